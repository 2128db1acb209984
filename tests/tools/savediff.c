/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* savediff OLD NEW: how many pages of memory of the saved state NEW are not zeros and not as in OLD. */
#include "base/cleanup.h"
#include "memory/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PLACES_MAX ((uint64_t)1 << 22) /* 16 GiB */

struct saved {
    uint64_t places;
    uint8_t *pages;
};

static int saved_begin(void *priv, uint64_t places, struct err *err)
{
    struct saved *s = priv;

    if (places > PLACES_MAX)
        return err_set(err, EFBIG, "too much memory");
    s->places = places;
    s->pages = mmap(NULL, places * MEMORY_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return s->pages == MAP_FAILED ? err_nomem(err) : 0;
}

static int saved_page(void *priv, uint64_t place, const uint8_t *p, struct err *err)
{
    (void)err;
    memcpy(((struct saved *)priv)->pages + place * MEMORY_PAGE, p, MEMORY_PAGE);
    return 0;
}

static int saved_passed(void *priv, uint64_t n, struct err *err)
{
    (void)priv;
    (void)n;
    (void)err;
    return 0;
}

static int saved_read(const char *path, struct saved *ret, struct err *err)
{
    const struct memory_sink sink = { saved_begin, saved_page, saved_passed, ret };
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    _cleanup_buf_ struct buf frame = BUF_INIT;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, errno, "cannot open %s", path);
    return memory_split(fd, (uint64_t)st.st_size, &sink, &frame, err);
}

int main(int argc, char **argv)
{
    static const uint8_t zeros[MEMORY_PAGE];
    struct saved a = { 0 }, b = { 0 };
    struct err err = ERR_INIT;
    uint64_t changed = 0;

    if (argc != 3 || saved_read(argv[1], &a, &err) < 0 || saved_read(argv[2], &b, &err) < 0) {
        fprintf(stderr, "savediff: %s\n", err.text);
        return 1;
    }
    for (uint64_t i = 0; i < b.places; i++) {
        const uint8_t *page = b.pages + i * MEMORY_PAGE;
        changed += memcmp(page, zeros, MEMORY_PAGE) != 0 && (i >= a.places || memcmp(page, a.pages + i * MEMORY_PAGE, MEMORY_PAGE) != 0);
    }
    printf("%llu\n", (unsigned long long)changed);
    return 0;
}
