/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requester/files/files_hold.h"
#include "base/clock.h"
#include "base/guid.h"
#include "base/io.h"
#include "base/io_at.h"
#include "base/num.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COPY_STEP MIB
#define REMEDY FILES_NO_WRITER

/* Whether files of a file system can be shared: asked once for each. */
struct can_share {
    dev_t dev;
    bool yes;
};

struct files_hold {
    struct files_hold_config config;
    uint64_t chunk;
    struct par_cancel stop;
    size_t n, n_asked;
    struct held_files *list;
    struct can_share *asked;
    /* Of the take that is under way. */
    uint64_t until_ms, copied;
};

int files_hold_new(const struct files_hold_config *config, struct files_hold **ret, struct err *err)
{
    struct files_hold *h = calloc(1, sizeof(*h));

    if (!h)
        return err_nomem(err);
    h->config = *config;
    if (!h->config.max_bytes)
        h->config.max_bytes = FILES_HOLD_BYTES;
    *ret = h;
    return 0;
}

void held_drop(struct held_files *c)
{
    for (size_t i = 0; i < HELD_HOWS; i++) {
        if (c->fd[i] >= 0)
            close(c->fd[i]);
        c->fd[i] = -1;
    }
    file_list_clear(&c->files);
    files_places_clear(&c->shadow);
}

void files_hold_free(void *hold)
{
    struct files_hold *h = hold;

    for (size_t i = 0; h && i < h->n; i++)
        held_drop(&h->list[i]);
    if (h)
        free(h->list);
    if (h)
        free(h->asked);
    free(h);
}

void files_hold_stop(void *hold)
{
    par_cancel_raise(&((struct files_hold *)hold)->stop);
}

int files_hold_add(struct files_hold *h, const struct vss_writer_info *w, size_t component, uint64_t chunk, struct err *err)
{
    struct held_files *more = reallocarray(h->list, h->n + 1, sizeof(*more));

    if (!more)
        return err_nomem(err);
    h->list = more;
    h->chunk = chunk;
    more[h->n++] = (struct held_files){ .writer = w, .component = component, .fd = { -1, -1 } };
    return 0;
}

struct held_files *files_hold_at(struct files_hold *h, size_t i)
{
    return i < h->n ? &h->list[i] : NULL;
}

struct held_files *files_hold_get(struct files_hold *h, const struct vss_writer_info *w, size_t component)
{
    for (size_t i = 0; i < h->n; i++)
        if (h->list[i].writer == w && h->list[i].component == component)
            return &h->list[i];
    return NULL;
}

void held_name(const struct held_files *c, struct err *err)
{
    err_context(err, "writer %s, component %s", c->writer->name, c->writer->components[c->component].name);
}

int held_find(const struct held_files *c, const struct files_places *places, struct file_list *files, struct err *err)
{
    int r = 0;

    for (size_t k = 0; k < c->writer->n_components && r >= 0; k++)
        if (k == c->component || vss_component_in_set(c->writer, c->component, k))
            r = files_find(c->writer, k, places, files, err);
    files_sort(files);
    return r;
}

/* ---- Copies without a name ------------------------------------------------------------------------------------------------*/

/* In the folder, or -errno. */
static int nameless(const char *path)
{
    _cleanup_close_ int dir = -1;
    struct guid id = guid_new();
    char name[64];

    int r = io_open_folder(path, &dir, NULL);
    if (r < 0)
        return r;
    int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
        return fd >= 0 ? fd : -errno;
    snprintf(name, sizeof(name), IO_TEMPORARY_PREFIX "files-%.13s", id.text);
    fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)unlinkat(dir, name, 0);
    return fd >= 0 ? fd : -errno;
}

/* Only where it needs no name: the folder is the writer's. */
static int hold_beside(const char *path)
{
    _cleanup_close_ int dir = -1;
    _cleanup_free_ char *name = NULL;

    int r = io_open_parent(path, &dir, &name, NULL);
    if (r < 0)
        return r;
    int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : -errno;
}

/* n 0: all of it. */
static bool share(int from, int to, uint64_t n, uint64_t at)
{
    struct file_clone_range range = { .src_fd = from, .src_length = n, .dest_offset = at };

    return ioctl(to, FICLONERANGE, &range) == 0;
}

static int open_source(const struct file_entry *e, int flags, struct err *err)
{
    return io_open_entry(e->from ? e->from : e->path, flags, err);
}

/* ---- Beforehand -----------------------------------------------------------------------------------------------------------*/

static bool try_share(const struct files_hold *h, const struct file_entry *e)
{
    _cleanup_close_ int from = open_source(e, O_RDONLY, NULL), to = from < 0 ? -1 : hold_beside(e->from ? e->from : e->path);

    return from >= 0 && to >= 0 && share(from, to, (uint64_t)e->st.st_size > h->chunk ? h->chunk : 0, 0);
}

static bool can_share(struct files_hold *h, const struct file_entry *e)
{
    for (size_t i = 0; i < h->n_asked; i++)
        if (h->asked[i].dev == e->st.st_dev)
            return h->asked[i].yes;
    bool yes = try_share(h, e);
    struct can_share *more = reallocarray(h->asked, h->n_asked + 1, sizeof(*more));
    if (more) {
        h->asked = more;
        more[h->n_asked++] = (struct can_share){ e->st.st_dev, yes };
    }
    return yes;
}

static int hold_too_many(const struct files_hold *h, uint64_t bytes, struct err *err)
{
    char are[16], may[16];

    return err_set(err, EFBIG,
                   "its files (%s) cannot share blocks with a copy (reflink), and at most %s can be copied while writers are frozen: move "
                   "them to XFS or btrfs, raise writer-copy-limit, " REMEDY,
                   num_format_size(bytes, are), num_format_size(h->config.max_bytes, may));
}

/* What would have to be copied of the component now. Files that its writer has yet to make are not there, and no failure. */
static int hold_count(struct files_hold *h, const struct held_files *c, uint64_t *ret, struct err *err)
{
    _cleanup_file_list_ struct file_list files = FILE_LIST_INIT;
    struct err why = ERR_INIT;

    int r = held_find(c, NULL, &files, &why);
    if (r < 0 && r != -ENOENT)
        return err_move(err, &why);
    *ret = 0;
    for (size_t i = 0; i < files.n && !c->shadow.n; i++)
        if (S_ISREG(files.entries[i].st.st_mode) && files.entries[i].st.st_size > 0 && !can_share(h, &files.entries[i]))
            *ret += num_min((uint64_t)files.entries[i].st.st_size, (uint64_t)INT64_MAX / 2 - *ret);
    return 0;
}

static int hold_check_room(const struct files_hold *h, uint64_t bytes, struct err *err)
{
    uint64_t room;
    char are[16], need[16];

    if (!bytes || io_free_bytes(h->config.dir, &room, NULL) < 0) /* what cannot be looked at may still work */
        return 0;
    if (room >= bytes && room - bytes >= h->config.reserve)
        return 0;
    return err_set(
        err, ENOSPC, "copying its files needs %s in %s, where %s are free and %s must be left free: free space, set snapshot-dir, " REMEDY,
        num_format_size(bytes, need), h->config.dir, num_format_size(room, are), num_format_size(h->config.reserve, (char[16]){ 0 }));
}

int files_hold_check(struct files_hold *h, struct err *err)
{
    uint64_t all = 0, most = 0;
    size_t largest = 0;
    int r = 0;

    for (size_t i = 0; i < h->n && r >= 0; i++) {
        uint64_t bytes = 0;
        r = hold_count(h, &h->list[i], &bytes, err);
        if (r < 0) {
            held_name(&h->list[i], err);
            return r;
        }
        all += num_min(bytes, UINT64_MAX - all);
        if (bytes > most)
            largest = i;
        most = num_max(most, bytes);
    }
    r = all > h->config.max_bytes ? hold_too_many(h, all, err) : hold_check_room(h, all, err);
    if (r < 0)
        held_name(&h->list[largest], err);
    return r;
}

/* ---- While they are held --------------------------------------------------------------------------------------------------*/

static int hold_may_go_on(const struct files_hold *h, struct err *err)
{
    if (par_cancelled(&h->stop) || par_cancelled(h->config.cancel))
        return err_set(err, EINTR, "interrupted");
    if (h->config.max_ms && clock_mono_ms() >= h->until_ms)
        return err_vss(err, VSS_E_WRITERERROR_TIMEOUT, ETIMEDOUT,
                       "copying its files took longer than %u ms while the writer was frozen: raise --freeze-limit, move them to XFS or "
                       "btrfs, " REMEDY,
                       h->config.max_ms);
    return 0;
}

/* *ret_n: how much of it there was. */
static int hold_copy_range(const struct files_hold *h, int from, int to, uint64_t at, uint64_t *off, uint64_t end, struct err *err)
{
    _cleanup_free_ uint8_t *block = malloc(COPY_STEP);

    if (!block)
        return err_nomem(err);
    while (*off < end) {
        int r = hold_may_go_on(h, err);
        if (r < 0)
            return r;
        ssize_t n = pread(from, block, (size_t)num_min(COPY_STEP, end - *off), (off_t)*off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? err_errno(err, errno, "cannot read it") : 1;
        r = io_pwrite(to, block, (size_t)n, at + *off);
        if (r < 0)
            return err_errno(err, -r, "cannot write its copy in %s", h->config.dir);
        *off += (uint64_t)n;
    }
    return 0;
}

/* Data only; *ret: its size, less than it was where it has become shorter meanwhile. */
static int hold_copy(const struct files_hold *h, int from, int to, uint64_t at, uint64_t size, uint64_t *ret, struct err *err)
{
    uint64_t off = 0;
    int r = 0;

    while (off < size && r == 0) {
        off_t data = lseek(from, (off_t)off, SEEK_DATA);
        if (data < 0 && errno == ENXIO) /* a hole up to the end */
            break;
        off_t hole = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);
        if (data < 0 || hole <= data) { /* a file system that knows no holes */
            data = (off_t)off;
            hole = (off_t)size;
        }
        off = (uint64_t)data;
        r = hold_copy_range(h, from, to, at, &off, num_min((uint64_t)hole, size), err);
    }
    *ret = r == 1 ? off : size;
    return r < 0 ? r : 0;
}

static int copy_file(struct files_hold *h, struct held_files *c, int from, struct file_entry *e, struct err *err)
{
    uint64_t size = (uint64_t)e->st.st_size;

    if (size > h->config.max_bytes - h->copied)
        return hold_too_many(h, h->copied + size, err);
    if (c->fd[HELD_COPIED] < 0 && (c->fd[HELD_COPIED] = nameless(h->config.dir)) < 0)
        return err_errno(err, -c->fd[HELD_COPIED], "cannot create the copy of its files in %s", h->config.dir);
    int r = hold_copy(h, from, c->fd[HELD_COPIED], c->end, size, &size, err);
    if (r < 0)
        return r;
    h->copied += size;
    e->st.st_size = (off_t)size;
    e->held = &c->fd[HELD_COPIED];
    return 0;
}

static bool share_file(struct held_files *c, int from, struct file_entry *e)
{
    if (c->fd[HELD_SHARED] < 0)
        c->fd[HELD_SHARED] = hold_beside(e->from ? e->from : e->path);
    if (c->fd[HELD_SHARED] < 0 || !share(from, c->fd[HELD_SHARED], 0, c->end))
        return false;
    e->held = &c->fd[HELD_SHARED];
    return true;
}

static int take_file(struct files_hold *h, struct held_files *c, struct file_entry *e, struct err *err)
{
    _cleanup_close_ int from = open_source(e, O_RDONLY, err);

    if (from < 0)
        return from;
    if (fstat(from, &e->st) < 0)
        return err_errno(err, errno, "cannot access it");
    if (!S_ISREG(e->st.st_mode))
        return err_set(err, EINVAL, "it is no longer a regular file");
    e->off = c->end;
    int r = share_file(c, from, e) ? 0 : copy_file(h, c, from, e, err);
    if (r < 0)
        return r;
    uint64_t room;
    if (!num_mul(num_div_up((uint64_t)e->st.st_size, h->chunk), h->chunk, &room) || !num_add(c->end, room, &c->end) || c->end > INT64_MAX)
        return err_set(err, EFBIG, "the files are too large in total");
    return 0;
}

static int take_link(struct file_entry *e, struct err *err)
{
    _cleanup_close_ int fd = open_source(e, O_PATH, err);

    if (fd < 0)
        return fd;
    if (fstat(fd, &e->st) < 0)
        return err_errno(err, errno, "cannot access it");
    if (!S_ISLNK(e->st.st_mode))
        return err_set(err, EINVAL, "it is no longer a symbolic link");
    return files_read_link(fd, e->from ? e->from : e->path, &e->link, err);
}

static int hold_take_component(struct files_hold *h, struct held_files *c, struct err *err)
{
    int r = held_find(c, NULL, &c->files, err);

    for (size_t i = 0; i < c->files.n && r >= 0; i++) {
        struct file_entry *e = &c->files.entries[i];
        struct err why = ERR_INIT;
        if ((r = hold_may_go_on(h, err)) < 0)
            break;
        r = 0;
        if (S_ISREG(e->st.st_mode))
            r = take_file(h, c, e, &why);
        else if (S_ISLNK(e->st.st_mode))
            r = take_link(e, &why);
        if (r < 0 && r != -EFBIG && r != -ETIMEDOUT && r != -EINTR)
            err_context(&why, "%s", e->from ? e->from : e->path);
        if (r < 0)
            err_move(err, &why);
    }
    return r;
}

int files_hold_take(void *hold, struct err *err)
{
    struct files_hold *h = hold;
    int r = 0;

    h->until_ms = clock_mono_ms() + h->config.max_ms;
    h->copied = 0;
    for (size_t i = 0; i < h->n && r >= 0; i++) {
        r = h->list[i].shadow.n ? 0 : hold_take_component(h, &h->list[i], err);
        if (r < 0)
            held_name(&h->list[i], err);
    }
    return r;
}
