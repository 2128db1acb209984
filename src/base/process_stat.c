/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/process_stat.h"
#include "base/buf.h"
#include "base/io.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define STAT_MAX 4096

int process_stat(uint64_t pid, struct process_stat *ret)
{
    unsigned long long user, system, start;
    _cleanup_buf_ struct buf b = BUF_INIT;
    char path[64], state;

    snprintf(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)pid);
    if (io_read_file(path, STAT_MAX, &b, NULL) < 0 || !b.data)
        return -ENOENT;
    /* The name in parentheses may hold anything; what follows the last one is numbers. */
    const char *p = strrchr((const char *)b.data, ')');
    if (!p || sscanf(p + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu", &state, &user, &system,
                     &start) != 4)
        return -EBADMSG;
    *ret = (struct process_stat){ .state = state, .user = user, .system = system, .start = start };
    return 0;
}
