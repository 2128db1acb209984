/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packs in memory, and the threads that put them. */
#include "store/chunk/packer_internal.h"
#include <errno.h>
#include <string.h>

void pack_free(struct packer *p, struct pack *k)
{
    p->alive--;
    if (k->bytes && p->spares < PACKS_ALIVE)
        p->spare[p->spares++] = k->bytes;
    else
        free(k->bytes);
    crypt_object_wipe(&k->key);
    buf_free(&k->footer);
    free(k);
}

static struct pack *packer_pack_new(struct packer *p)
{
    struct pack *k = calloc(1, sizeof *k);

    if (!k)
        return NULL;
    p->alive++;
    k->bytes = p->spares ? p->spare[--p->spares] : malloc(PACK_TARGET);
    bool ok = k->bytes && crypt_random(&k->name, sizeof k->name) == 0 && footer_begin(&k->footer) == 0;
    if (ok) {
        object_header(PACK_MAGIC, k->name.b, crypt_epoch(p->env->crypt), k->bytes);
        ok = crypt_object_init(p->env->crypt, k->bytes, &k->key) == 0;
    }
    if (!ok) {
        pack_free(p, k);
        return NULL;
    }
    k->len = CRYPT_HEADER_LEN;
    return k;
}

/* A closed pack that nobody fills any more goes to the writers. With the lock held. */
static void queue_if_done(struct packer *p, struct pack *k)
{
    if (!k->closed || k->filling)
        return;
    k->next = NULL;
    if (p->full_last)
        p->full_last->next = k;
    else
        p->full = k;
    p->full_last = k;
    packer_changed(p);
}

static void pack_close(struct packer *p, enum pack_kind kind)
{
    struct pack *k = p->current[kind];

    p->current[kind] = NULL;
    k->closed = true;
    queue_if_done(p, k);
}

void pack_close_all(struct packer *p)
{
    for (size_t i = 0; i < PACK_KINDS; i++)
        if (p->current[i])
            pack_close(p, i);
}

/* The footer is as long as the ids in it; it must not push a pack beyond what readers accept, so it is counted as well. */
static bool fits(const struct pack *k, size_t n)
{
    return k->len + 4 + n <= PACK_TARGET;
}

int pack_reserve(struct packer *p, enum pack_kind kind, const struct segment *g, size_t n, struct pack **ret, uint32_t *ret_off)
{
    SCOPED_LOCK(&p->lock);
    for (;;) {
        if (p->failed.code)
            return -ECANCELED;
        if (p->current[kind] && fits(p->current[kind], n))
            break;
        if (p->current[kind])
            pack_close(p, kind);
        if (p->alive >= PACKS_ALIVE) {
            pthread_cond_wait(&p->changed, &p->lock);
            continue;
        }
        p->current[kind] = packer_pack_new(p);
        if (!p->current[kind])
            return -ENOMEM;
    }
    struct pack *k = p->current[kind];
    uint32_t off = (uint32_t)k->len + 4;
    if (footer_add(&k->footer, off, (uint32_t)n, g->n, g->id, g->len) < 0)
        return -ENOMEM;
    k->len += 4 + n;
    k->segments++;
    k->filling++;
    *ret = k;
    *ret_off = off;
    return 0;
}

void pack_filled(struct packer *p, struct pack *k)
{
    SCOPED_LOCK(&p->lock);
    k->filling--;
    queue_if_done(p, k);
}

/* Writes k as an object and tells the index. */
static int pack_put(struct packer *p, struct pack *k, struct err *err)
{
    _cleanup_buf_ struct buf sealed = BUF_INIT;
    char path[OBJECT_PATH_SIZE];
    uint8_t tail[OBJECT_TAIL_LEN];
    size_t n = k->footer.len + CRYPT_TAG_LEN;

    footer_end(&k->footer, k->segments);
    if (buf_reserve(&sealed, n) < 0)
        return err_nomem(err);
    int r = crypt_seal(p->env->crypt, &k->key, k->len | PACK_FOOTER_UNIT, k->footer.data, k->footer.len, sealed.data);
    if (r < 0)
        return err_errno(err, -r, "cannot write a pack");
    object_tail((uint32_t)n, tail);
    struct iovec iov[] = { { k->bytes, k->len }, { sealed.data, n }, { tail, sizeof tail } };
    struct backend *b = p->env->backend;
    r = b->ops->put(b, object_name_path("packs", &k->name, path), iov, ARRAY_SIZE(iov), BACKEND_REPLACE, err);
    if (r == 0 && index_add_pack(p->index, &k->name, &k->footer) < 0)
        r = err_nomem(err);
    if (r == 0 && index_unsaved(p->index) >= INDEX_SAVE_AT)
        r = index_save(p->index, err);
    return r;
}

void *pack_writer(void *packer)
{
    struct packer *p = packer;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct pack *k = p->full;
        if (!k && p->stop)
            break;
        if (!k) {
            pthread_cond_wait(&p->changed, &p->lock);
            continue;
        }
        struct err err = ERR_INIT;
        p->full = k->next;
        if (!p->full)
            p->full_last = NULL;
        bool skip = p->failed.code != 0;
        pthread_mutex_unlock(&p->lock);
        if (!skip && pack_put(p, k, &err) < 0)
            packer_fail(p, &err);
        pthread_mutex_lock(&p->lock);
        pack_free(p, k);
        packer_changed(p);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}
