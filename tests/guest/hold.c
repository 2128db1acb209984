/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestd.h"

#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SPARE_KIB 24576 /* memory that is left alone */

static long free_kib(void)
{
    char line[128];
    long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "MemFree: %ld kB", &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return kib;
}

/* What the kernel gave back still holds what was in it, and would be saved. Whoever takes it gets it as zeros, which take no room. */
static void clear_free_memory(void)
{
    size_t size = (size_t)(free_kib() - SPARE_KIB) * 1024;

    if (free_kib() <= SPARE_KIB)
        return;
    if (fork() == 0) {
        char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        for (size_t i = 0; p != MAP_FAILED && i < size; i += 4096)
            ((volatile char *)p)[i] = 0;
        _exit(0);
    }
    wait(NULL);
}

/* Guests that go on from the same memory must not draw the same numbers. */
static void seed(const char *hex)
{
    struct {
        struct rand_pool_info head;
        char bytes[64];
    } pool = { .head = { .buf_size = 0 } };
    int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);

    for (; hex[0] != '\0' && hex[1] != '\0' && pool.head.buf_size < 64; hex += 2) {
        char two[3] = { hex[0], hex[1], '\0' };

        pool.bytes[pool.head.buf_size++] = (char)strtoul(two, NULL, 16);
    }
    pool.head.entropy_count = 8 * pool.head.buf_size;
    if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) != 0 || ioctl(fd, RNDRESEEDCRNG) != 0)
        perror("guestd: /dev/urandom");
    close(fd);
}

int hold(void)
{
    static char line[LINE_MAX_BYTES];
    int port = port_open(SHELL_PORT);

    clear_free_memory();
    for (;;) {
        char id[33], random[129], answer[64];
        long long seconds;
        int at = 0;

        port_read_line(port, line, sizeof line);
        if (sscanf(line, "PING %32s", id) == 1)
            port_write(port, answer, (size_t)snprintf(answer, sizeof answer, "\n%s P\n", id));
        if (sscanf(line, "BOOT %32s %lld %128s %n", id, &seconds, random, &at) != 3 || at == 0)
            continue;
        clock_settime(CLOCK_REALTIME, &(struct timespec){ .tv_sec = seconds });
        seed(random);
        port_write(port, answer, (size_t)snprintf(answer, sizeof answer, "\n%s B\n", id));
        puts(line + at);
        return 0;
    }
}
