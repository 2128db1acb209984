/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "base/proc.h"
#include "base/proc_internal.h"
#include <errno.h>
#include <fcntl.h>

int proc_start_apart(char *const *argv, const char *log_path, int *ret_pipe, pid_t *ret_pid, struct err *err)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(err, errno, "cannot start %s", argv[0]);
    _cleanup_close_ int ours = fds[1];
    _cleanup_close_ int theirs = fds[0];
    _cleanup_close_ int out = open(log_path ? log_path : "/dev/null", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    if (out < 0)
        return err_errno(err, errno, "cannot open %s", log_path);
    const struct proc_spawn s = { .argv = argv, .in = theirs, .out = out, .err = out };
    int r = proc_spawn(&s, ret_pid, err);
    if (r < 0)
        return r;
    *ret_pipe = TAKE_FD(ours);
    return 0;
}
