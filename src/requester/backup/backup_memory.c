/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The memory of a VM into the restore point: by pages, so that what did not change since the last one is stored once, wherever QEMU put it
 * in its stream. A saved state of an unknown kind is stored as it is. */
#include "base/io_at.h"
#include "base/rate.h"
#include "memory/memory.h"
#include "requester/backup/backup.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define PAGES_AT_ONCE 512u

struct memory_reading {
    struct backup *b;
    const struct transfer *t;
    const char *pages_as;
    struct rate *rate;
    struct progress_task *task;
    struct store_image_writer *iw;
    uint64_t places[PAGES_AT_ONCE];
    uint8_t *pages;
    size_t n;
};

static int reading_flush(struct memory_reading *m, struct err *err)
{
    int r = m->n ? store_image_write_pieces(m->iw, m->places, m->pages, MEMORY_PAGE, m->n, err) : 0;

    m->n = 0;
    return r;
}

static int reading_begin(void *priv, uint64_t places, struct err *err)
{
    struct memory_reading *m = priv;

    /* One chunk each: it holds the page alone, and is as long as that. */
    return store_image_begin(m->b->w, m->pages_as, places * store_chunk_size(m->b->rq->store), NULL, NULL, &m->iw, err);
}

static int reading_page(void *priv, uint64_t place, const uint8_t *p, struct err *err)
{
    struct memory_reading *m = priv;

    memcpy(m->pages + m->n * MEMORY_PAGE, p, MEMORY_PAGE);
    m->places[m->n++] = place;
    return m->n == PAGES_AT_ONCE ? reading_flush(m, err) : 0;
}

static bool reading_stopped(void *priv)
{
    const struct memory_reading *m = priv;

    return par_cancelled(m->t->cancel);
}

static int reading_passed(void *priv, uint64_t n, struct err *err)
{
    struct memory_reading *m = priv;

    if (!rate_wait(m->rate, n, reading_stopped, m) || reading_stopped(m))
        return err_set(err, EINTR, "cancelled");
    progress_add(m->task, n);
    return 0;
}

static int store_frame(struct memory_reading *m, const char *name, const struct buf *frame, struct store_stats *ret, struct err *err)
{
    struct store_image_writer *iw;
    int r = store_image_begin(m->b->w, name, frame->len, NULL, NULL, &iw, err);

    if (r < 0)
        return r;
    if ((r = store_image_write(iw, 0, frame->data, frame->len, err)) < 0) {
        store_image_drop(iw);
        return r;
    }
    return store_image_end(iw, ret, err);
}

static int read_pages(struct memory_reading *m, int fd, struct vm_record_part *part, struct err *err)
{
    const struct memory_sink sink = { reading_begin, reading_page, reading_passed, m };
    _cleanup_buf_ struct buf frame = BUF_INIT;
    struct store_stats pages, framed;
    int r = memory_split(fd, part->size, &sink, &frame, err);

    if (r == 0)
        r = reading_flush(m, err);
    if (r == 0)
        r = store_image_end(TAKE_PTR(m->iw), &pages, err);
    if (r == 0)
        r = store_frame(m, part->stored_as, &frame, &framed, err);
    if (r < 0)
        return r;
    part->kind = VM_PART_PAGES;
    part->read = (struct vm_opt){ true, part->size };
    part->stored = (struct vm_opt){ true, pages.stored + framed.stored };
    return 0;
}

/* As it is. */
static int memory_as_it_is(const struct memory_reading *m, const char *label, struct vm_record_part *part, struct err *err)
{
    struct transfer_in item = { .label = label, .path = part->path, .image = part->stored_as };
    int r = transfer_read(m->t, m->b->rq->store, m->b->w, &item, 1, err);

    if (r < 0)
        return r;
    part->kind = VM_PART_IMAGE;
    part->size = item.size;
    part->read = (struct vm_opt){ true, item.bytes_read };
    part->stored = (struct vm_opt){ true, item.stats.stored };
    return 0;
}

static int open_memory(struct vm_record_part *part, struct err *err)
{
    _cleanup_close_ int fd = io_open_file(part->path, O_RDONLY, err);
    struct stat st;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "cannot read %s", part->path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, EINVAL, "%s is not a regular file", part->path);
    part->size = (uint64_t)st.st_size;
    return TAKE_FD(fd);
}

int backup_memory(struct backup *b, const struct transfer *t, struct backup_component *c, struct vm_record_part *part, struct err *err)
{
    _cleanup_free_ char *label = str_format("%s %s", backup_vm_name(c), part->name), *pages_as = str_format("%s.pages", part->stored_as);
    _cleanup_free_ struct memory_reading *m = calloc(1, sizeof *m);
    _cleanup_free_ uint8_t *pages = malloc((size_t)PAGES_AT_ONCE * MEMORY_PAGE);
    struct err why = ERR_INIT;

    if (!label || !pages_as || !m || !pages)
        return err_nomem(err);
    *m = (struct memory_reading){ .b = b, .t = t, .pages_as = pages_as, .pages = pages };
    _cleanup_close_ int fd = open_memory(part, err);
    int r = fd < 0 ? fd : t->bytes_per_s ? rate_new(t->bytes_per_s, &m->rate, err) : 0;
    if (r < 0)
        return r;
    r = progress_task_new(t->progress, label, part->size, &m->task, &why);
    if (r == 0)
        r = read_pages(m, fd, part, &why);
    progress_end(m->task);
    rate_free(m->rate);
    store_image_drop(m->iw);
    if (r == -ENOTSUP) {
        log_debug(t->log, "%s: %s", label, why.text);
        return memory_as_it_is(m, label, part, err);
    }
    if (r < 0) {
        err_move(err, &why);
        return err_context(err, "cannot store %s", label);
    }
    part->pages_as = TAKE_PTR(pages_as);
    return 0;
}
