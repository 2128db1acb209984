/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAUSE_US 500000 /* between free tokens: a guest that writes as fast as it can costs a third of an emulated processor */

static uint64_t last_in(const char *path)
{
    struct token_scan scan = { 0 };
    struct stat sb;
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        return 0;
    if (fstat(fd, &sb) == 0) {
        int64_t whole = sb.st_size / TOKEN_SIZE;

        token_scan_fd(fd, (whole > 4 ? whole - 4 : 0) * TOKEN_SIZE, &scan);
    }
    close(fd);
    return scan.last.number;
}

void tokens_find_last(const struct options *opt, struct state *st)
{
    st->boot_a = last_in(opt->file_a);
    st->boot_b = last_in(opt->file_b);
    st->last_a = st->boot_a;
    st->last_b = st->boot_b;
}

/* Appends and fsyncs. The file is cut to whole records first: a crash may have left a piece of one. */
static bool append(const char *path, uint64_t number, struct state *st)
{
    struct token t = { .number = number, .bootid = st->bootid, .counter = st->counter };
    char record[TOKEN_SIZE];
    bool ok = false;
    struct stat sb;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

    token_format(record, &t);
    if (fd >= 0 && fstat(fd, &sb) == 0)
        ok = pwrite(fd, record, sizeof record, sb.st_size / TOKEN_SIZE * TOKEN_SIZE) == TOKEN_SIZE && fsync(fd) == 0;
    if (!ok)
        st->write_errno = errno != 0 ? errno : EIO;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Brings NUMBER to A, then to B, each unless it is there already. */
static bool write_token(const struct options *opt, struct state *st, uint64_t number)
{
    if (st->last_a < number) {
        if (!append(opt->file_a, number, st))
            return false;
        st->last_a = number;
    }
    if (st->last_b < number) {
        if (!append(opt->file_b, number, st))
            return false;
        st->last_b = number;
    }
    return true;
}

static void run_free(const struct options *opt, struct state *st)
{
    for (;;) {
        /* what a crash left on A alone is finished first */
        uint64_t next = st->last_b < st->last_a ? st->last_a : st->last_a + 1;

        if (!write_token(opt, st, next))
            usleep(500000);
        usleep(PAUSE_US);
    }
}

static void run_driven(const struct options *opt, struct state *st)
{
    int port = port_open(TOKEN_PORT);
    char line[64], answer[128];

    for (;;) {
        uint64_t number;
        int len = 0;

        port_read_line(port, line, sizeof line);
        if (line[0] == '?')
            len = snprintf(answer, sizeof answer, "\n= %" PRIu64 " %" PRIu64 "\n", st->last_a, st->last_b);
        else if (sscanf(line, "%" SCNu64, &number) == 1 && write_token(opt, st, number))
            len = snprintf(answer, sizeof answer, "\n%" PRIu64 " %" PRIu64 " %016" PRIx64 "\n", number, st->counter, st->bootid);
        port_write(port, answer, (size_t)len);
    }
}

void tokens_run(const struct options *opt, struct state *st)
{
    if (opt->file_a != NULL && strcmp(opt->tokens, "free") == 0)
        run_free(opt, st);
    if (opt->file_a != NULL && strcmp(opt->tokens, "driven") == 0)
        run_driven(opt, st);
    for (;;)
        pause();
}
