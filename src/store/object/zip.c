/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/object/zip.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>

struct zip_ctx {
    struct zip_ctx *next;
    ZSTD_CCtx *c;
    ZSTD_DCtx *d;
};

struct zip {
    int level;
    pthread_mutex_t lock; /* idle */
    struct zip_ctx *idle;
};

static void zip_ctx_free(struct zip_ctx *x)
{
    ZSTD_freeCCtx(x->c);
    ZSTD_freeDCtx(x->d);
    free(x);
}

static struct zip_ctx *zip_ctx_get(struct zip *z)
{
    pthread_mutex_lock(&z->lock);
    struct zip_ctx *x = z->idle;
    if (x)
        z->idle = x->next;
    pthread_mutex_unlock(&z->lock);
    return x ? x : calloc(1, sizeof *x);
}

static void zip_ctx_put(struct zip *z, struct zip_ctx *x)
{
    pthread_mutex_lock(&z->lock);
    x->next = z->idle;
    z->idle = x;
    pthread_mutex_unlock(&z->lock);
}

int zip_new(int level, struct zip **ret, struct err *err)
{
    struct zip *z = calloc(1, sizeof *z);

    if (!z)
        return err_nomem(err);
    if (level > ZSTD_maxCLevel()) {
        free(z);
        return err_set(err, EINVAL, "compression level %d is out of range (1 to %d)", level, ZSTD_maxCLevel());
    }
    z->level = level;
    pthread_mutex_init(&z->lock, NULL);
    *ret = z;
    return 0;
}

void zip_free(struct zip *z)
{
    if (!z)
        return;
    while (z->idle) {
        struct zip_ctx *x = z->idle;
        z->idle = x->next;
        zip_ctx_free(x);
    }
    pthread_mutex_destroy(&z->lock);
    free(z);
}

static ZSTD_CCtx *compressor(struct zip *z, struct zip_ctx *x)
{
    if (x->c)
        return x->c;
    x->c = ZSTD_createCCtx();
    if (x->c) {
        ZSTD_CCtx_setParameter(x->c, ZSTD_c_compressionLevel, z->level);
        ZSTD_CCtx_setParameter(x->c, ZSTD_c_contentSizeFlag, 1);
        /* Measured on segments of 1 MiB (docs/format.md, "Sizes"). */
        if (z->level == 1) {
            ZSTD_CCtx_setParameter(x->c, ZSTD_c_hashLog, 15);
            ZSTD_CCtx_setParameter(x->c, ZSTD_c_minMatch, 7);
        }
    }
    return x->c;
}

size_t zip_pack(struct zip *z, const void *p, size_t n, uint8_t *out, size_t cap)
{
    struct zip_ctx *x = zip_ctx_get(z);
    size_t limit = n - n / 32, got = 0;

    if (!x)
        return 0;
    if (n > 64 && z->level > 0 && compressor(z, x))
        got = ZSTD_compress2(x->c, out, cap, p, n);
    zip_ctx_put(z, x);
    return ZSTD_isError(got) || got > limit ? 0 : got;
}

size_t zip_bound(size_t n)
{
    return ZSTD_compressBound(n);
}

int zip_unpack(struct zip *z, const void *p, size_t n, uint8_t *out, size_t raw)
{
    struct zip_ctx *x = zip_ctx_get(z);

    if (!x)
        return -ENOMEM;
    if (!x->d)
        x->d = ZSTD_createDCtx();
    size_t got = x->d ? ZSTD_decompressDCtx(x->d, out, raw, p, n) : 0;
    int r = !x->d ? -ENOMEM : got == raw ? 0 : -EBADMSG;
    zip_ctx_put(z, x);
    return r;
}
