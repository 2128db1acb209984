/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files into a restore point: their contents one after the other in one image, each from the begin of a chunk (so that what has not
 * changed is stored once, and the gaps are holes); what they are in an index. */
#include "base/io.h"
#include "base/io_at.h"
#include "base/num.h"
#include "requester/files/files.h"
#include "requester/context/context.h"
#include "requester/stage/stage.h"
#include "requester/point/stored_point.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define BLOCK_SIZE MIB

static int lay_out(struct file_list *l, uint64_t chunk, uint64_t *ret_size, struct err *err)
{
    uint64_t end = 0;

    for (size_t i = 0; i < l->n; i++) {
        struct file_entry *e = &l->entries[i];
        uint64_t room;
        e->off = end;
        if (!S_ISREG(e->st.st_mode))
            continue;
        if (!num_mul(num_div_up((uint64_t)e->st.st_size, chunk), chunk, &room) || !num_add(end, room, &end))
            return err_set(err, EFBIG, "the files are too large in total");
    }
    *ret_size = end;
    return 0;
}

static bool save_cancelled(void *priv)
{
    return par_cancelled(priv);
}

/* The file itself, where no copy of it was made: what is told of it is what is read. */
static int open_own(struct file_entry *e, struct err *err)
{
    const char *path = e->from ? e->from : e->path;
    _cleanup_close_ int fd = io_open_entry(path, O_RDONLY, err);
    struct stat st;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(err, EINVAL, "%s is no longer a regular file", path);
    st.st_size = (off_t)num_min((uint64_t)st.st_size, (uint64_t)e->st.st_size); /* for which there is room in the image */
    e->st = st;
    return TAKE_FD(fd);
}

/* Reads what was there when the file was found; what it has lost since is zeros, and its entry says the shorter size. */
static int save_content(struct store_image_writer *iw, struct file_entry *e, uint8_t *block, const struct files_job *job, struct err *err)
{
    const char *path = e->from ? e->from : e->path;
    _cleanup_close_ int own = e->held ? -1 : open_own(e, err);
    uint64_t off = 0, size = (uint64_t)e->st.st_size, at = e->held ? e->off : 0;
    int fd = e->held ? *e->held : own;

    if (fd < 0)
        return e->held ? err_set(err, EBADF, "there is no copy of %s", path) : fd;
    while (off < size) {
        size_t want = (size_t)num_min(BLOCK_SIZE, size - off);
        if (!rate_wait(job->rate, want, save_cancelled, (void *)(uintptr_t)job->cancel) || par_cancelled(job->cancel))
            return err_set(err, EINTR, "interrupted");
        ssize_t n = pread(fd, block, want, (off_t)(at + off));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "cannot read %s", path);
        if (n == 0 && e->held) { /* the copy ends in a hole */
            off = size;
            break;
        }
        if (n == 0)
            break;
        int r = store_image_write(iw, e->off + off, block, (size_t)n, err);
        if (r < 0)
            return r;
        off += (uint64_t)n;
    }
    e->st.st_size = (off_t)off;
    return 0;
}

static int save_contents(struct store_image_writer *iw, struct file_list *l, const struct files_job *job, uint64_t *ret_size,
                         struct err *err)
{
    _cleanup_free_ uint8_t *block = malloc(BLOCK_SIZE);
    int r = block ? 0 : err_nomem(err);

    for (size_t i = 0; i < l->n && r >= 0; i++) {
        struct file_entry *e = &l->entries[i];
        if (!S_ISREG(e->st.st_mode))
            continue;
        r = save_content(iw, e, block, job, err);
        *ret_size += (uint64_t)e->st.st_size;
    }
    return r;
}

static int add_link(json_t *o, const struct file_entry *e, struct err *err)
{
    const char *path = e->from ? e->from : e->path;
    _cleanup_close_ int fd = e->link ? -1 : io_open_entry(path, O_PATH, err);
    _cleanup_free_ char *target = NULL;

    if (!e->link && fd < 0)
        return fd;
    int r = e->link ? 0 : files_read_link(fd, path, &target, err);
    if (r >= 0)
        json_object_set_new(o, "link", json_text(e->link ? e->link : target));
    return r;
}

static int index_entry(json_t *list, const struct file_entry *e, struct err *err)
{
    const char *type = S_ISDIR(e->st.st_mode) ? "folder" : S_ISLNK(e->st.st_mode) ? "link" : "file";
    json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "path", e->path, "type", type, "size",
                          S_ISREG(e->st.st_mode) ? (json_int_t)e->st.st_size : (json_int_t)0, "off", (json_int_t)e->off, "mtime",
                          (json_int_t)e->st.st_mtim.tv_sec, "mtime_ns", (json_int_t)e->st.st_mtim.tv_nsec);

    if (!o)
        return err_set(err, EILSEQ, "the file name %s is not UTF-8 and cannot be stored", e->path);
    _cleanup_owner_ struct owner owner = { 0 };
    int r = owner_of(&e->st, &owner, err);
    if (r >= 0 && owner_to_json(&owner, o) < 0)
        r = err_nomem(err);
    if (r >= 0 && S_ISLNK(e->st.st_mode))
        r = add_link(o, e, err);
    json_array_append_new(list, o);
    return r;
}

static int save_index(struct store_writer *w, const struct file_list *l, size_t number, struct err *err)
{
    _cleanup_json_ json_t *index = json_pack("{s:[]}", "files");
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_free_ char *name = point_files_name(number, "index.json");
    int r = index && name ? 0 : err_nomem(err);

    for (size_t i = 0; i < l->n && r >= 0; i++)
        r = index_entry(json_object_get(index, "files"), &l->entries[i], err);
    if (r >= 0)
        r = json_to_buf(index, &text, err);
    return r < 0 ? r : store_write_document(w, name, text.data, text.len, err);
}

int files_save(struct store *store, struct store_writer *w, struct file_list *l, const struct files_job *job, uint64_t *ret_size,
               struct store_stats *ret_stats, struct err *err)
{
    _cleanup_free_ char *name = point_files_name(job->number, "data");
    struct store_image_writer *iw = NULL;
    uint64_t size = 0, content = 0;

    if (!name)
        return err_nomem(err);
    int r = lay_out(l, store_chunk_size(store), &size, err);
    if (r >= 0)
        r = store_image_begin(w, name, size, NULL, NULL, &iw, err);
    if (r >= 0)
        r = save_contents(iw, l, job, &content, err);
    if (r < 0) {
        store_image_drop(iw);
        return r;
    }
    r = store_image_end(iw, ret_stats, err);
    if (r >= 0)
        r = save_index(w, l, job->number, err);
    if (r >= 0)
        *ret_size = content;
    return r;
}
