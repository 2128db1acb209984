/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/process_stat.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define STAT_MAX 4096
#define CHILDREN_MAX 65536
#define DEPTH_MAX 8 /* a program that a shell runs that a program runs; bounds what a loop of processes costs */

int process_stat(uint64_t pid, struct process_stat *ret)
{
    unsigned long long user, system, waited_user, waited_system, start;
    _cleanup_buf_ struct buf b = BUF_INIT;
    char path[64], state;

    snprintf(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)pid);
    if (io_read_file(path, STAT_MAX, &b, NULL) < 0 || !b.data)
        return -ENOENT;
    /* The name in parentheses may hold anything; what follows the last one is numbers. */
    const char *p = strrchr((const char *)b.data, ')');
    if (!p || sscanf(p + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu %*d %*d %*d %*d %llu", &state, &user, &system,
                     &waited_user, &waited_system, &start) != 6)
        return -EBADMSG;
    *ret = (struct process_stat){ .state = state, .user = user, .system = system, .waited = waited_user + waited_system, .start = start };
    return 0;
}

static uint64_t ticks_of(uint64_t pid, bool own, unsigned depth);

/* What this thread has started: the kernel lists children by the thread that made them. */
static uint64_t ticks_started_in(uint64_t pid, const char *thread, unsigned depth)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    char path[64 + NAME_MAX], *rest = NULL;
    uint64_t sum = 0, child;

    snprintf(path, sizeof(path), "/proc/%llu/task/%s/children", (unsigned long long)pid, thread);
    if (io_read_file(path, CHILDREN_MAX, &b, NULL) < 0 || !b.data)
        return 0;
    for (char *s = strtok_r((char *)b.data, " \n", &rest); s; s = strtok_r(NULL, " \n", &rest)) {
        if (num_parse_u64(s, 1, INT32_MAX, &child, NULL) == 0)
            sum += ticks_of(child, true, depth + 1);
    }
    return sum;
}

static uint64_t ticks_of(uint64_t pid, bool own, unsigned depth)
{
    struct process_stat st;
    char path[64];

    if (depth >= DEPTH_MAX || process_stat(pid, &st) < 0)
        return 0;
    uint64_t sum = st.waited + (own ? st.user + st.system : 0);
    snprintf(path, sizeof(path), "/proc/%llu/task", (unsigned long long)pid);
    _cleanup_closedir_ DIR *threads = opendir(path);
    for (struct dirent *e; threads && (e = readdir(threads));)
        if (e->d_name[0] != '.')
            sum += ticks_started_in(pid, e->d_name, depth);
    return sum;
}

uint64_t process_started_ticks(uint64_t pid)
{
    return ticks_of(pid, false, 0);
}
