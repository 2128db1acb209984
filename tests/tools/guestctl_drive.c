/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define ASK_AGAIN_MS 1000

static int64_t epoch_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/*
 * Sends REQUEST until ANSWER (PORT_LINE_MAX bytes) holds the line that GOOD accepts. Waits for ever:
 * a guest that is frozen, paused, saved or turned off holds all tokens back, which is the point.
 */
static void ask(struct port *p, const char *request, bool (*good)(const char *, uint64_t), uint64_t want, char *answer)
{
    for (;;) {
        int64_t deadline = clock_ms() + ASK_AGAIN_MS;
        int got;

        if (!port_connect(p) || !port_send(p, request, deadline)) {
            usleep(20000);
            continue;
        }
        do
            got = port_line(p, answer, deadline);
        while (got > 0 && !good(answer, want));
        if (got > 0)
            return;
        if (got == 0)
            port_close(p); /* lets another client in, and finds a QEMU that was replaced */
    }
}

static bool is_report(const char *line, uint64_t want)
{
    (void)want;
    return line[0] == '=';
}

static bool is_answer(const char *line, uint64_t want)
{
    uint64_t number;

    return sscanf(line, "%" SCNu64 " ", &number) == 1 && number == want;
}

static uint64_t highest_token(struct port **ports, int nports)
{
    static char answer[PORT_LINE_MAX];
    uint64_t highest = 0, a, b;

    for (int i = 0; i < nports; i++) {
        ask(ports[i], "\n?\n", is_report, 0, answer);
        if (sscanf(answer, "= %" SCNu64 " %" SCNu64, &a, &b) == 2 && a > highest)
            highest = a;
    }
    return highest;
}

int drive(struct port **ports, int nports, const char *log, unsigned pause_ms, uint64_t count)
{
    static char answer[PORT_LINE_MAX];
    FILE *out = log != NULL ? fopen(log, "a") : stdout;
    uint64_t first, n;

    if (out == NULL) {
        perror(log);
        return 1;
    }
    setvbuf(out, NULL, _IOLBF, 0);
    first = highest_token(ports, nports) + 1;
    for (n = first; count == 0 || n - first < count; n++) {
        for (int i = 0; i < nports; i++) {
            char request[32];

            snprintf(request, sizeof request, "\n%" PRIu64 "\n", n);
            ask(ports[i], request, is_answer, n, answer);
            fprintf(out, "%" PRId64 " %d %s\n", epoch_ms(), i, answer);
        }
        usleep(pause_ms * 1000);
    }
    return log != NULL && fclose(out) != 0 ? 1 : 0;
}
