/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes the Nth allocation fail, for each N in turn, and counts what is not freed. Include it in one file of a test program; it takes
 * malloc's place there. Not together with ASan (OOM_POSSIBLE is 0 then) or valgrind, which do the same. */
#ifndef OOM_H
#define OOM_H

#include "test.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OOM_POSSIBLE 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OOM_POSSIBLE 0
#else
#define OOM_POSSIBLE 1
#endif
#else
#define OOM_POSSIBLE 1
#endif

static struct {
    long countdown; /* allocations that still succeed; -1: all do */
    long hit;       /* how often one was refused */
    long live;
} oom = { .countdown = -1 };

#if OOM_POSSIBLE
/* glibc's own, under the names it keeps for such uses. */
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void __libc_free(void *p);

static bool oom_refuse(void)
{
    long left = __atomic_load_n(&oom.countdown, __ATOMIC_SEQ_CST);

    if (left < 0)
        return false;
    if (left > 0 && __atomic_fetch_sub(&oom.countdown, 1, __ATOMIC_SEQ_CST) > 0)
        return false;
    __atomic_store_n(&oom.countdown, 0, __ATOMIC_SEQ_CST); /* memory that is gone stays gone */
    __atomic_add_fetch(&oom.hit, 1, __ATOMIC_SEQ_CST);
    errno = ENOMEM;
    return true;
}

static void *oom_count(void *p)
{
    if (p)
        __atomic_add_fetch(&oom.live, 1, __ATOMIC_SEQ_CST);
    return p;
}

__attribute__((visibility("default"))) void *malloc(size_t n)
{
    return oom_refuse() ? NULL : oom_count(__libc_malloc(n));
}

__attribute__((visibility("default"))) void *calloc(size_t n, size_t size)
{
    return oom_refuse() ? NULL : oom_count(__libc_calloc(n, size));
}

__attribute__((visibility("default"))) void *realloc(void *p, size_t n)
{
    if (oom_refuse())
        return NULL;
    return p ? __libc_realloc(p, n) : oom_count(__libc_realloc(p, n));
}

__attribute__((visibility("default"))) void free(void *p)
{
    if (p)
        __atomic_sub_fetch(&oom.live, 1, __ATOMIC_SEQ_CST);
    __libc_free(p);
}
#endif

/* Calls fn(ctx) until it meets no refused allocation any more. fn returns 0 or -errno and cleans up after itself; it must fail
 * with -ENOMEM (or `also`, if not 0) or not at all, and leave no memory behind. */
static inline void oom_each(int (*fn)(void *ctx), void *ctx, int also)
{
    if (!OOM_POSSIBLE || getenv("KVSS_TEST_VALGRIND"))
        skip();
    assert_int_equal(fn(ctx), 0); /* fills what libraries keep for themselves */
    for (long n = 0;; n++) {
        assert_true(n < 100000);
        long live = oom.live;
        oom.hit = 0;
        __atomic_store_n(&oom.countdown, n, __ATOMIC_SEQ_CST);
        int r = fn(ctx);
        __atomic_store_n(&oom.countdown, -1, __ATOMIC_SEQ_CST);
        if (r != 0 && r != -ENOMEM && r != -also)
            fail_msg("allocation %ld refused: returned %d", n, r);
        if (oom.live != live)
            fail_msg("allocation %ld refused (returned %d): %ld pieces of memory left", n, r, oom.live - live);
        if (oom.hit == 0) {
            assert_int_equal(r, 0);
            assert_true(n > 0); /* else nothing was tried */
            return;
        }
    }
}

#endif
