/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Uses memory in a guest: writes to each page of MIB MiB once, and prints "ready"; then, for as long as the file PACE is there, to page
 * after page as fast as it can. About every 100 ms it prints how many MiB/s that were: "MS_SINCE_BOOT MIB_PER_S".
 *
 *   memory_writer MIB PACE
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define REPORT_US 100000
#define LOOK_EVERY 64 /* pages between two looks at the clock */

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* What is in a page is of no use to who compresses or deduplicates. */
static void write_page(volatile uint64_t *page, uint64_t *seed)
{
    for (unsigned i = 0; i < PAGE / sizeof(*page); i++) {
        *seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17; /* xorshift64 */
        page[i] = *seed;
    }
}

/* A word of each page is enough for QEMU to have to save the page before. */
static void write_on(volatile uint64_t *memory, uint64_t pages, const char *pace)
{
    uint64_t at = 0, done = 0, since = now_us();

    while (access(pace, F_OK) == 0) {
        for (unsigned i = 0; i < LOOK_EVERY; i++, at = (at + 1) % pages)
            memory[at * (PAGE / sizeof(*memory))]++;
        done += LOOK_EVERY;
        uint64_t now = now_us();
        if (now - since >= REPORT_US) {
            printf("%llu %llu\n", (unsigned long long)(now / 1000), (unsigned long long)(done * PAGE * 1000000 / (now - since) >> 20));
            fflush(stdout);
            since = now;
            done = 0;
        }
    }
}

int main(int argc, char **argv)
{
    uint64_t pages = argc == 3 ? strtoull(argv[1], NULL, 10) * (1 << 20) / PAGE : 0, seed = now_us() | 1;
    uint64_t *memory = pages ? mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;

    if (memory == MAP_FAILED) {
        fprintf(stderr, "usage: memory_writer MIB PACE\n");
        return 2;
    }
    for (uint64_t i = 0; i < pages; i++)
        write_page(memory + i * (PAGE / sizeof(*memory)), &seed);
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        write_on(memory, pages, argv[2]);
        sleep(1);
    }
}
