/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Child processes: argv only, never a shell; deadlines; the child dies with us where asked. */
#ifndef BASE_PROC_H
#define BASE_PROC_H

#include "base/buf.h"
#include "base/confine.h"
#include "base/par.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <sys/types.h>

/* An argv written in place: PROC_ARGV("qemu-img", "info", path). Lives until the end of the block. */
#define PROC_ARGV(...) ((char *const *)(const char *const[]){ __VA_ARGS__, NULL })

struct proc_run {
    char *const *argv; /* argv[0] is looked up in PATH unless it has a slash */
    char *const *env;  /* added to ours, "NAME=value"; may be NULL */
    const char *name;  /* what errors call it, such as "it" where the context names it; NULL: argv[0] */
    const void *in;    /* bytes for stdin, or NULL for /dev/null */
    size_t in_len;
    size_t out_max;                  /* stdout longer than this kills the child: -EMSGSIZE; 0: stdout is dropped */
    unsigned timeout_ms;             /* 0: none. On expiry the child's whole process group is killed: -ETIMEDOUT */
    const struct par_cancel *cancel; /* raised: the same, but -EINTR; may be NULL */
    const int *pass;                 /* descriptors that the child gets as 3, 4 ...; NULL: none */
    size_t n_pass;
    const struct confine *confine; /* NULL: it has all that we have */
    bool die_with_us;              /* the child gets SIGTERM if the calling thread dies, as it does with the process */
};

/* Runs to the end, in a process group of its own. *ret_status: exit code, or 128 + signal. out (may be NULL) is replaced by
 * stdout; err_tail (may be NULL) by the last 4 KiB of stderr, also where the child overran; their data is never NULL then. What
 * the child has left running in the background is neither waited for nor killed. Fails only where the child could not be
 * started (-ENOENT ...), overran or talked too much; a non-zero exit is no failure. */
int proc_run(const struct proc_run *run, struct buf *out, struct buf *err_tail, int *ret_status, struct err *err);

struct proc; /* a running child */
struct proc_pass {
    const int *fds;
    size_t n;
    const struct confine *confine; /* NULL: it has all that we have */
};

/* In env: the child finds its own process number in the place of the zeros, as systemd's way to hand over sockets (LISTEN_FDS) wants it. */
#define PROC_LISTEN_PID "LISTEN_PID="
#define PROC_LISTEN_PID_ROOM PROC_LISTEN_PID "00000000000000000000"

/* Starts argv in a process group of its own with stdin from /dev/null, stdout and stderr appended to the file at log_path (NULL:
 * dropped). The child gets SIGTERM if this process dies, whichever thread called. No other descriptors are inherited. */
int proc_start(char *const *argv, const char *log_path, struct proc **ret, struct err *err);
/* env: added to ours, "NAME=value"; may be NULL. */
int proc_start_env(char *const *argv, char *const *env, const char *log_path, struct proc **ret, struct err *err);
/* The descriptors become 3, 4 ... in the child; the caller closes its own. */
int proc_start_with(char *const *argv, char *const *env, const char *log_path, const struct proc_pass *pass, struct proc **ret,
                    struct err *err);
pid_t proc_pid(const struct proc *p);
/* 1 while it runs, 0 ended (*ret_status as in proc_run, may be NULL). Never blocks. */
int proc_alive(struct proc *p, int *ret_status);
/* SIGTERM, then SIGKILL after grace_ms (0: at once) to the process group; reaps and frees. NULL is fine. */
void proc_stop(struct proc *p, unsigned grace_ms);

/* Starts a child that lives on when we die, in a process group of its own: its stdin is a pipe whose other end is *ret_pipe (the
 * caller closes it; the child reads end-of-file when we are gone), stdout and stderr go to log_path (or /dev/null). The caller
 * reaps *ret_pid by waitpid(). */
int proc_start_apart(char *const *argv, const char *log_path, int *ret_pipe, pid_t *ret_pid, struct err *err);

#endif
