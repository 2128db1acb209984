/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A saved state, whatever QEMU or somebody else wrote: taken apart and put together again it is the same, or it is refused. */
#include "base/io.h"
#include "fuzz.h"
#include "memory/memory.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PLACES_TRIED ((uint64_t)1 << 14)

struct apart {
    uint64_t places;
    uint8_t *pages;
    struct buf again;
};

static int apart_begin(void *priv, uint64_t places, struct err *err)
{
    struct apart *a = priv;

    (void)err;
    a->places = places;
    if (places > PLACES_TRIED)
        return -EFBIG;
    a->pages = calloc(places + 1, MEMORY_PAGE);
    return a->pages ? 0 : -ENOMEM;
}

static int apart_page(void *priv, uint64_t place, const uint8_t *p, struct err *err)
{
    struct apart *a = priv;

    (void)err;
    FUZZ_REQUIRE(place < a->places);
    memcpy(a->pages + place * MEMORY_PAGE, p, MEMORY_PAGE);
    return 0;
}

static int apart_passed(void *priv, uint64_t n, struct err *err)
{
    (void)priv;
    (void)n;
    (void)err;
    return 0;
}

static int again_bytes(void *priv, const void *p, size_t n, struct err *err)
{
    (void)err;
    return buf_add(&((struct apart *)priv)->again, p, n);
}

static int again_page(void *priv, uint64_t place, struct err *err)
{
    struct apart *a = priv;

    (void)err;
    FUZZ_REQUIRE(place < a->places);
    return buf_add(&a->again, a->pages + place * MEMORY_PAGE, MEMORY_PAGE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct apart a = { 0 };
    const struct memory_sink sink = { apart_begin, apart_page, apart_passed, &a };
    const struct memory_out out = { again_bytes, again_page, &a };
    _cleanup_close_ int fd = memfd_create("state", MFD_CLOEXEC);
    _cleanup_buf_ struct buf frame = BUF_INIT;

    if (fd >= 0 && io_pwrite(fd, data, size, 0) == 0 && memory_split(fd, size, &sink, &frame, NULL) == 0) {
        FUZZ_REQUIRE(memory_join(frame.data, frame.len, &out, NULL) == 0);
        FUZZ_REQUIRE(a.again.len == size && memcmp(a.again.data, data, size) == 0);
    }
    free(a.pages);
    buf_free(&a.again);
    return 0;
}
