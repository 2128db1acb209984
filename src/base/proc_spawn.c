/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc_internal.h"
#include "base/strv.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Our environment with the entries of `added` in the place of those of the same name. NULL: out of memory. */
static char **make_env(char *const *added)
{
    _cleanup_strv_ char **env = strv_copy(added);

    if (!env && strv_len(added))
        return NULL;
    for (char **e = environ; e && *e; e++) {
        size_t name = strcspn(*e, "=");
        bool replaced = false;
        for (char *const *a = added; a && *a && !replaced; a++)
            replaced = strncmp(*a, *e, name) == 0 && (*a)[name] == '=';
        if (!replaced && strv_add(&env, *e) < 0)
            return NULL;
    }
    return env ? TAKE_PTR(env) : calloc(1, sizeof *env);
}

/* ---- In the child, between fork and exec: only what is safe after a fork of a process with threads. ---- */

static void reset_signals(bool outlives_endings)
{
    struct sigaction dfl = { .sa_handler = SIG_DFL }, ignore = { .sa_handler = SIG_IGN };
    static const int endings[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        sigaction(sig, &dfl, NULL);
    for (size_t i = 0; outlives_endings && i < ARRAY_SIZE(endings); i++)
        sigaction(endings[i], &ignore, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool place_stdio(const struct proc_spawn *s)
{
    /* First above 2, so that none is overwritten before it is used. */
    int in = fcntl(s->in, F_DUPFD_CLOEXEC, 3), out = fcntl(s->out, F_DUPFD_CLOEXEC, 3), err = fcntl(s->err, F_DUPFD_CLOEXEC, 3);

    return in >= 0 && out >= 0 && err >= 0 && dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(err, 2) == 2;
}

/* moved: room for as many. */
static bool place_passed(const struct proc_spawn *s, int *moved)
{
    for (size_t i = 0; i < s->n_pass; i++)
        if ((moved[i] = fcntl(s->pass[i], F_DUPFD_CLOEXEC, 3 + (int)s->n_pass)) < 0)
            return false;
    for (size_t i = 0; i < s->n_pass; i++)
        if (dup2(moved[i], 3 + (int)i) < 0)
            return false;
    return true;
}

static void hide_other_fds(unsigned from)
{
    if (close_range(from, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    for (int fd = (int)from; fd < 4096; fd++) /* a kernel before 5.11; our own are opened with O_CLOEXEC anyway */
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static _Noreturn void child(const struct proc_spawn *s, char *const *env, int report, pid_t parent, int *room)
{
    int above = fcntl(report, F_DUPFD_CLOEXEC, 3 + (int)s->n_pass); /* the pipe may have been given a number that is needed */

    if (above < 0)
        _exit(127);
    if (setpgid(0, 0) == 0 && place_stdio(s) && place_passed(s, room)) {
        hide_other_fds(3 + (unsigned)s->n_pass);
        /* If the parent died before prctl(), no signal will come. */
        if (s->die_with_thread && (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent))
            _exit(127);
        reset_signals(s->outlives_endings);
        execvpe(s->argv[0], s->argv, env);
    }
    int e = errno;
    (void)io_write(above, &e, sizeof e);
    _exit(127);
}

/* ---- In the parent ---- */

/* The child's errno if it failed before or in exec; 0: the pipe was closed by a successful exec. */
static int exec_result(int report)
{
    int e = 0;
    int r = io_read(report, &e, sizeof e);

    return r == -ENODATA ? 0 : r < 0 ? r : e > 0 ? -e : -EIO;
}

int proc_spawn(const struct proc_spawn *s, pid_t *ret, struct err *err)
{
    _cleanup_strv_ char **env = make_env(s->env);
    _cleanup_free_ int *room = calloc(s->n_pass + 1, sizeof(*room));
    int fds[2];
    sigset_t all, saved;

    if (!env || !room)
        return err_errno(err, ENOMEM, "cannot start %s", s->argv[0]);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(err, errno, "cannot start %s", s->argv[0]);
    _cleanup_close_ int report_in = fds[0];
    _cleanup_close_ int report_out = fds[1];
    pid_t parent = getpid();
    /* Our signal handlers must not run in the child. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    pid_t pid = fork();
    int e = errno;
    if (pid == 0)
        child(s, env, report_out, parent, room);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    if (pid < 0)
        return err_errno(err, e, "cannot start %s", s->argv[0]);
    close(TAKE_FD(report_out));
    int r = exec_result(report_in);
    if (r < 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return err_errno(err, -r, "cannot start %s", s->argv[0]);
    }
    *ret = pid;
    return 0;
}

int proc_status(int how, int value)
{
    return how == CLD_EXITED ? value : 128 + value;
}
