/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drives the repository directly on image files, without libvirt, for measuring. Reads with pread into a few buffers, as the
 * requester does from NBD; holes of the file are passed over, as allocation maps allow there.
 *   image init REPO | put REPO FILE | inc REPO FILE PARENT OFFSET... | get REPO POINT FILE | copy REPO POINT OTHER | verify REPO
 * put stores all data of the file, inc the 64 KiB at each offset over what PARENT has.
 * The passphrase is in KVSS_BENCH_PASSPHRASE; without it the repository is not encrypted. */
#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK ((size_t)2 << 20)
#define CLUSTER ((size_t)64 << 10)
#define READERS 2

struct job {
    int fd;
    uint64_t size, next;
    uint64_t data_end; /* get: [next, data_end) is known to be data */
    pthread_mutex_t lock;
    struct store_image_writer *iw;
    struct store_image *image;
};

/* The next piece of data of the file: [*off, *off + returned). 0: end. */
static size_t next_data(struct job *j, uint64_t *off)
{
    SCOPED_LOCK(&j->lock);
    off_t data = j->next < j->size ? lseek(j->fd, (off_t)j->next, SEEK_DATA) : -1;
    if (data < 0)
        return 0;
    *off = (uint64_t)data / BLOCK * BLOCK;
    *off = num_max(*off, j->next);
    j->next = num_min((*off / BLOCK + 1) * BLOCK, j->size);
    return (size_t)(j->next - *off);
}

static int put_some(void *ctx, size_t i, struct err *err)
{
    struct job *j = ctx;
    _cleanup_free_ void *p = malloc(BLOCK);
    uint64_t off;

    (void)i;
    for (size_t n; (n = next_data(j, &off)) > 0;) {
        int r = io_pread(j->fd, p, n, off);
        if (r == 0)
            r = store_image_write(j->iw, off, p, n, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The 64 KiB at each of the offsets; what an incremental reads. */
static int put_clusters(struct job *j, char **offsets, struct err *err)
{
    _cleanup_free_ void *p = malloc(CLUSTER);
    int r = 0;

    for (; r == 0 && *offsets; offsets++) {
        uint64_t off;
        r = num_parse_u64(*offsets, 0, j->size - CLUSTER, &off, err);
        if (r == 0)
            r = io_pread(j->fd, p, CLUSTER, off);
        if (r == 0)
            r = store_image_write(j->iw, off, p, CLUSTER, err);
    }
    return r;
}

/* parent NULL: all. */
static int put(struct store *s, const char *path, const char *parent, char **offsets, struct err *err)
{
    struct job j = { .lock = PTHREAD_MUTEX_INITIALIZER };
    _cleanup_close_ int fd = j.fd = open(path, O_RDONLY | O_CLOEXEC);
    char id[STORE_ID_LEN + 1];
    struct store_stats st;
    struct store_writer *w;
    struct stat stat;

    if (fd < 0 || fstat(fd, &stat) < 0)
        return err_errno(err, errno, "cannot open %s", path);
    j.size = (uint64_t)stat.st_size;
    int r = store_write_begin(s, &w, err);
    if (r == 0)
        r = store_image_begin(w, "disk", j.size, parent, "disk", &j.iw, err);
    if (r == 0)
        r = parent ? put_clusters(&j, offsets, err) : par_each(READERS, READERS, put_some, &j, err);
    if (r == 0)
        r = store_image_end(j.iw, &st, err);
    if (r == 0)
        r = store_write_commit(w, "{}", id, err);
    if (r == 0)
        printf("{\"id\": \"%s\", \"written\": %llu, \"chunks\": %llu, \"chunks_new\": %llu, \"stored\": %llu}\n", id,
               (unsigned long long)st.written, (unsigned long long)st.chunks, (unsigned long long)st.chunks_new,
               (unsigned long long)st.stored);
    return r;
}

/* The next piece of data of the image: 1; 0: end. */
static int next_piece(struct job *j, uint64_t *ret_off, size_t *ret_len, struct err *err)
{
    SCOPED_LOCK(&j->lock);
    while (j->next == j->data_end) {
        uint64_t len;
        bool hole;
        if (j->next == j->size)
            return 0;
        int r = store_image_extent(j->image, j->next, &len, &hole, err);
        if (r < 0)
            return r;
        j->data_end = j->next + len;
        j->next = hole ? j->data_end : j->next;
    }
    *ret_off = j->next;
    *ret_len = (size_t)num_min(j->data_end - j->next, BLOCK - j->next % BLOCK);
    j->next += *ret_len;
    return 1;
}

static int get_some(void *ctx, size_t i, struct err *err)
{
    struct job *j = ctx;
    _cleanup_free_ void *p = malloc(BLOCK);
    uint64_t off;
    size_t len;
    int r;

    (void)i;
    while ((r = next_piece(j, &off, &len, err)) > 0) {
        r = store_image_read(j->image, off, p, len, err);
        if (r == 0)
            r = io_pwrite(j->fd, p, len, off);
        if (r < 0)
            return r;
    }
    return r;
}

static int get(struct store *s, const char *point, const char *path, struct err *err)
{
    struct job j = { .lock = PTHREAD_MUTEX_INITIALIZER };
    _cleanup_close_ int fd = j.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct store_point *p;

    int r = fd < 0 ? err_errno(err, errno, "cannot open %s", path) : store_point_open(s, point, &p, err);
    if (r < 0)
        return r;
    r = store_image_open(p, "disk", &j.image, err);
    if (r == 0) {
        j.size = store_image_size(j.image);
        r = ftruncate(fd, (off_t)j.size) < 0 ? err_errno(err, errno, "cannot grow %s", path)
                                             : par_each(READERS, READERS, get_some, &j, err);
        store_image_close(j.image);
    }
    store_point_close(p);
    return r;
}

/* To another repository, which has the same passphrase. */
static int copy(struct store *s, const char *point, const char *other, const struct store_open *o, struct err *err)
{
    char id[STORE_ID_LEN + 1];
    struct store *to;
    int r = store_open(other, o, &to, err);

    if (r < 0)
        return r;
    r = store_copy_point(s, point, to, NULL, id, err);
    store_close(to);
    return r;
}

static int verify(struct store *s, struct err *err)
{
    uint64_t problems = 0;
    int r = store_verify(s, NULL, NULL, NULL, NULL, &problems, err);

    return r == 0 && problems ? err_set(err, EUCLEAN, "%llu problems", (unsigned long long)problems) : r;
}

static int run(int argc, char **argv, struct err *err)
{
    const char *pass = getenv("KVSS_BENCH_PASSPHRASE"), *verb = argc > 2 ? argv[1] : "", *level = getenv("KVSS_BENCH_LEVEL");
    struct store_init init = { .no_encryption = !pass, .key.passphrase = pass };
    struct store_open o = { .key.passphrase = pass, .zstd_level = level ? atoi(level) : 0 };
    struct store *s;

    if (strcmp(verb, "init") == 0)
        return store_create(argv[2], &init, err);
    int r = argc > 2 ? store_open(argv[2], &o, &s, err) : err_set(err, EINVAL, "usage: image init|put|inc|get|copy|verify REPO ...");
    if (r < 0)
        return r;
    if (strcmp(verb, "put") == 0 && argc > 3)
        r = put(s, argv[3], NULL, NULL, err);
    else if (strcmp(verb, "inc") == 0 && argc > 4)
        r = put(s, argv[3], argv[4], argv + 5, err);
    else if (strcmp(verb, "get") == 0 && argc > 4)
        r = get(s, argv[3], argv[4], err);
    else if (strcmp(verb, "copy") == 0 && argc > 4)
        r = copy(s, argv[3], argv[4], &o, err);
    else if (strcmp(verb, "verify") == 0)
        r = verify(s, err);
    else
        r = err_set(err, EINVAL, "unknown verb %s", verb);
    store_close(s);
    return r;
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;

    mallopt(M_MMAP_THRESHOLD, 32 << 20); /* as the command does */
    mallopt(M_TRIM_THRESHOLD, 128 << 20);
    store_use_huge_pages(); /* so does it */
    if (run(argc, argv, &err) < 0) {
        fprintf(stderr, "image: %s\n", err.text);
        return 1;
    }
    return 0;
}
