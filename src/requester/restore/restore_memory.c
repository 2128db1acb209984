/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A saved state whose pages are stored by their addresses, put together again. */
#include "base/io.h"
#include "base/num.h"
#include "memory/memory.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <string.h>

#define AT_ONCE ((size_t)8 << 20) /* bytes of the file that are made in memory */

struct page_wanted {
    uint64_t place;
    uint8_t *to;
};

struct memory_making {
    struct store_image *pages;
    uint64_t chunk, places;
    int fd;
    uint64_t off; /* of data, in the file */
    uint8_t *data;
    size_t n;
    struct page_wanted wanted[AT_ONCE / MEMORY_PAGE + 1];
    size_t n_wanted;
    size_t threads;
    const struct par_cancel *cancel;
    struct progress_task *task;
};

/* Reads this thread's share of the pages, and writes what is between the first of them and the next thread's. */
static int making_part(void *ctx, size_t i, struct err *err)
{
    struct memory_making *m = ctx;
    size_t each = num_div_up(m->n_wanted, m->threads), first = num_min(i * each, m->n_wanted), end = num_min(first + each, m->n_wanted);
    uint8_t *from = i == 0 ? m->data : first < m->n_wanted ? m->wanted[first].to : m->data + m->n;
    uint8_t *to = i + 1 < m->threads && end < m->n_wanted ? m->wanted[end].to : m->data + m->n;
    int rc = 0;

    for (size_t k = first; rc == 0 && k < end; k++)
        rc = store_image_read(m->pages, m->wanted[k].place * m->chunk, m->wanted[k].to, MEMORY_PAGE, err);
    if (rc == 0 && (rc = io_pwrite(m->fd, from, (size_t)(to - from), m->off + (uint64_t)(from - m->data))) < 0)
        err_errno(err, -rc, "cannot write the saved memory");
    return rc;
}

static int making_flush(struct memory_making *m, struct err *err)
{
    int rc = par_cancelled(m->cancel) ? err_set(err, EINTR, "cancelled") : 0;

    if (rc == 0 && m->n)
        rc = par_each(m->threads, 0, making_part, m, err);
    progress_add(m->task, m->n);
    m->off += m->n;
    m->n = m->n_wanted = 0;
    return rc;
}

static int making_bytes(void *priv, const void *p, size_t n, struct err *err)
{
    struct memory_making *m = priv;
    const uint8_t *from = p;
    int rc = 0;

    for (size_t step; rc == 0 && n; n -= step, from += step) {
        step = (size_t)num_min(n, AT_ONCE - m->n);
        memcpy(m->data + m->n, from, step);
        m->n += step;
        if (m->n == AT_ONCE)
            rc = making_flush(m, err);
    }
    return rc;
}

static int making_page(void *priv, uint64_t place, struct err *err)
{
    struct memory_making *m = priv;
    int rc = AT_ONCE - m->n < MEMORY_PAGE ? making_flush(m, err) : 0;

    m->wanted[m->n_wanted++] = (struct page_wanted){ place, m->data + m->n };
    m->n += MEMORY_PAGE;
    return rc;
}

static int making_run(struct memory_making *m, const struct buf *frame, struct err *err)
{
    const struct memory_out out = { making_bytes, making_page, m };
    uint64_t size, places, bytes;
    int rc = memory_frame_size(frame->data, frame->len, &size, &places, err);

    if (rc == 0 && (!num_mul(places, m->chunk, &bytes) || bytes != store_image_size(m->pages)))
        rc = err_set(err, EUCLEAN, "the pages of the saved memory do not match their map");
    if (rc == 0 && !(m->data = malloc(AT_ONCE)))
        rc = err_nomem(err);
    if (rc == 0)
        rc = memory_join(frame->data, frame->len, &out, err);
    return rc == 0 ? making_flush(m, err) : rc;
}

int restore_memory(struct restore *r, const char *label, const struct vm_record_part *part, int fd, struct err *err)
{
    _cleanup_(store_image_close_p) struct store_image *pages = NULL;
    _cleanup_free_ struct memory_making *m = calloc(1, sizeof *m);
    _cleanup_buf_ struct buf frame = BUF_INIT;

    if (!m)
        return err_nomem(err);
    if (!part->pages_as)
        return err_set(err, EUCLEAN, "the restore point does not say where the pages of the memory are stored");
    int rc = point_read_frame(r->point, part, &frame, err);
    if (rc >= 0)
        rc = store_image_open(r->point, part->pages_as, &pages, err);
    if (rc >= 0)
        rc = progress_task_new(r->rq->config.progress, label, part->size, &m->task, err);
    if (rc < 0)
        return rc;
    m->pages = pages;
    m->chunk = store_chunk_size(r->rq->store);
    m->fd = fd;
    m->threads = transfer_threads();
    m->cancel = r->rq->config.cancel;
    rc = making_run(m, &frame, err);
    progress_end(m->task);
    free(m->data);
    return rc < 0 ? err_context(err, "cannot restore %s", label) : 0;
}
