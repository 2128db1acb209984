/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel says of another process (proc_pid_stat(5)). */
#ifndef BASE_PROCESS_STAT_H
#define BASE_PROCESS_STAT_H

#include <stdint.h>

struct process_stat {
    char state;            /* 'R', 'S' ...; 'Z', 'X': it has ended */
    uint64_t user, system; /* processor time of all its threads, in clock ticks; of a QEMU the guest's included */
    uint64_t waited;       /* the same, of its children that have ended and of theirs */
    uint64_t start;        /* in clock ticks since boot: with the number, no other process has it */
};
/* -ENOENT: there is no such process, or it ended meanwhile; -EBADMSG: the text makes no sense. Sets no error text: callers take a process
 * that cannot be seen for one that is not there. */
int process_stat(uint64_t pid, struct process_stat *ret);

/* Processor time, in clock ticks, of what that process has started: of its children, theirs and so on, of those that have ended too, and
 * not its own. What has left it (a daemon) no longer counts. 0: nothing, or not known. */
uint64_t process_started_ticks(uint64_t pid);

#endif
