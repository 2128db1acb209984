/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long single writes take in a guest: 4 KiB at random places of a disk, past the page cache, one after the other.
 *
 *   write_latency DEVICE SECONDS     prints {"writes": N, "p50_us": ..., "p99_us": ..., "max_us": ...}
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096
#define MAX ((size_t)4 << 20)

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    uint32_t *took = malloc(MAX * sizeof(*took));
    uint64_t end = argc == 3 ? now_us() + strtoull(argv[2], NULL, 10) * 1000000 : 0, seed = now_us() | 1;
    int fd = argc == 3 ? open(argv[1], O_WRONLY | O_DIRECT) : -1;
    off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    void *block;
    size_t n = 0;

    if (size < BLOCK || !took || posix_memalign(&block, BLOCK, BLOCK)) {
        fprintf(stderr, "usage: write_latency DEVICE SECONDS\n");
        return 2;
    }
    memset(block, 0x5a, BLOCK);
    while (n < MAX && now_us() < end) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17; /* xorshift64 */
        uint64_t begin = now_us();
        if (pwrite(fd, block, BLOCK, (off_t)(seed % (uint64_t)(size / BLOCK)) * BLOCK) != BLOCK) {
            perror(argv[1]);
            return 1;
        }
        took[n++] = (uint32_t)(now_us() - begin);
    }
    if (!n)
        return 1;
    qsort(took, n, sizeof(*took), compare);
    printf("{\"writes\": %zu, \"p50_us\": %u, \"p99_us\": %u, \"max_us\": %u}\n", n, took[n / 2], took[(n - 1) * 99 / 100], took[n - 1]);
    return 0;
}
