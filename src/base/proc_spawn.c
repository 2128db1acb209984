/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "base/confine_internal.h"
#include "base/io.h"
#include "base/proc.h"
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

/* All that the child needs, made before the fork. */
struct launch {
    const struct proc_spawn *spawn;
    char **env;
    struct confine_site site; /* where it is confined */
    int *room;                /* for place_passed() */
    pid_t parent;
    int report; /* the child tells here what it goes without (0 or less), then an errno if it does not get as far as exec */
};

static void launch_done(struct launch *l)
{
    strv_free(l->env);
    free(l->room);
    confine_site_clear(&l->site);
}

static void spawn_tell(int report, int what)
{
    (void)io_write(report, &what, sizeof(what));
}

/* systemd's protocol for handing over a socket wants the process's own number in its environment; proc_spawn() has left room for it. */
static void enter_own_pid(char *const *env)
{
    static const char name[] = PROC_LISTEN_PID;
    const size_t len = sizeof(name) - 1;
    char digits[20];

    for (; *env; env++) {
        if (strncmp(*env, name, len) != 0)
            continue;
        size_t n = 0;
        for (pid_t rest = getpid(); rest; rest /= 10)
            digits[n++] = (char)('0' + rest % 10);
        for (size_t i = 0; i < n; i++)
            (*env)[len + i] = digits[n - 1 - i];
        (*env)[len + n] = '\0';
    }
}

/* If the parent died before prctl(), no signal will come. What changes who a process is takes the signal away again. */
static bool die_with(const struct launch *l)
{
    return !l->spawn->die_with_thread || (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == l->parent);
}

static void spawn_run(const struct launch *l, int report)
{
    const struct proc_spawn *s = l->spawn;
    unsigned lacks = s->confine ? confine_enter(s->confine, &l->site) : 0;

    if (!die_with(l))
        _exit(127);
    reset_signals(s->outlives_endings);
    if (!s->confine) {
        execvpe(s->argv[0], s->argv, l->env);
        return;
    }
    lacks |= confine_filter(s->confine);
    spawn_tell(report, -(int)lacks);
    execve(l->site.program, s->argv, l->env);
}

static _Noreturn void child(const struct launch *l)
{
    const struct proc_spawn *s = l->spawn;
    int above = fcntl(l->report, F_DUPFD_CLOEXEC, 3 + (int)s->n_pass); /* the pipe may have been given a number that is needed */

    if (above < 0)
        _exit(127);
    if (setpgid(0, 0) == 0 && place_stdio(s) && place_passed(s, l->room)) {
        hide_other_fds(3 + (unsigned)s->n_pass);
        enter_own_pid(l->env);
        spawn_run(l, above);
    }
    spawn_tell(above, errno > 0 ? errno : EIO);
    _exit(127);
}

/* ---- In the parent ---- */

/* The child's errno if it failed before or in exec; 0: the pipe was closed by a successful exec. */
static int exec_result(int report, unsigned *ret_lacks)
{
    for (;;) {
        int what = 0;
        int r = io_read(report, &what, sizeof what);
        if (r < 0)
            return r == -ENODATA ? 0 : r;
        if (what > 0)
            return -what;
        if (ret_lacks)
            *ret_lacks = (unsigned)-what;
    }
}

static const char *proc_name(const struct proc_spawn *s)
{
    return s->name ? s->name : s->argv[0];
}

static int spawn_launch(struct launch *l, pid_t *ret, struct err *err)
{
    const struct proc_spawn *s = l->spawn;
    sigset_t all, saved;
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(err, errno, "cannot start %s", proc_name(s));
    _cleanup_close_ int report_in = fds[0];
    _cleanup_close_ int report_out = fds[1];
    l->report = report_out;
    l->parent = getpid();
    /* Our signal handlers must not run in the child. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    pid_t pid = fork();
    int e = errno;
    if (pid == 0)
        child(l);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    if (pid < 0)
        return err_errno(err, e, "cannot start %s", proc_name(s));
    close(TAKE_FD(report_out));
    int r = exec_result(report_in, s->confine ? s->confine->ret_lacks : NULL);
    if (r < 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return err_errno(err, -r, "cannot start %s", proc_name(s));
    }
    *ret = pid;
    return 0;
}

int proc_spawn(const struct proc_spawn *s, pid_t *ret, struct err *err)
{
    _cleanup_(launch_done) struct launch l = { .spawn = s, .env = make_env(s->env), .room = calloc(s->n_pass + 1, sizeof(*l.room)) };

    if (!l.env || !l.room)
        return err_nomem(err);
    if (!s->confine)
        return spawn_launch(&l, ret, err);
    int r = confine_find(s->argv[0], &l.site);
    if (r < 0)
        return err_errno(err, -r, "cannot start %s", proc_name(s));
    l.site.n_fds = s->n_pass;
    if (spawn_launch(&l, ret, NULL) == 0)
        return 0;
    /* It may need a file that it is kept from. */
    l.site.all_files = true;
    return spawn_launch(&l, ret, err);
}

int proc_status(int how, int value)
{
    return how == CLD_EXITED ? value : 128 + value;
}
