/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/proc.h"
#include "base/proc_internal.h"
#include "base/clock.h"
#include "base/thread.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

/* A child and the thread that is its parent. The kernel sends the "parent died" signal when the *thread* that forked ends, so a
 * thread that lives as long as the child forks it, and waits for it. */
struct proc {
    pthread_t keeper;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const struct proc_spawn *spawn; /* valid until `started` */
    struct err *err;                /* likewise */
    int r;
    bool started, ended;
    pid_t pid;
    int status;
};

static void *proc_keep(void *arg)
{
    struct proc *p = arg;
    siginfo_t info = { 0 };
    pid_t pid = 0;

    int r = proc_spawn(p->spawn, &pid, p->err);
    pthread_mutex_lock(&p->lock);
    p->r = r;
    p->pid = pid;
    p->started = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    if (r < 0)
        return NULL;
    /* WNOWAIT: the pid stays taken until `ended` is seen under the lock, so that nobody signals a stranger. */
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&p->lock);
    while (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 && errno == EINTR)
        ;
    p->status = proc_status(info.si_code, info.si_status);
    p->ended = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static struct proc *proc_new(void)
{
    struct proc *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    pthread_mutex_init(&p->lock, NULL);
    thread_cond_init(&p->changed);
    return p;
}

static void proc_free(struct proc *p)
{
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* Starts the keeper and waits until the child runs or is known not to. */
static int start_keeper(struct proc *p)
{
    int r = thread_start(&p->keeper, "kvss-child", proc_keep, p);

    if (r < 0)
        return err_errno(p->err, -r, "cannot start %s", p->spawn->argv[0]);
    pthread_mutex_lock(&p->lock);
    while (!p->started)
        pthread_cond_wait(&p->changed, &p->lock);
    r = p->r;
    p->spawn = NULL;
    p->err = NULL;
    pthread_mutex_unlock(&p->lock);
    if (r < 0)
        pthread_join(p->keeper, NULL);
    return r;
}

int proc_start(char *const *argv, const char *log_path, struct proc **ret, struct err *err)
{
    return proc_start_env(argv, NULL, log_path, ret, err);
}

int proc_start_env(char *const *argv, char *const *env, const char *log_path, struct proc **ret, struct err *err)
{
    return proc_start_with(argv, env, log_path, &(const struct proc_pass){ 0 }, ret, err);
}

int proc_start_with(char *const *argv, char *const *env, const char *log_path, const struct proc_pass *pass, struct proc **ret,
                    struct err *err)
{
    _cleanup_close_ int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int out = open(log_path ? log_path : "/dev/null", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);

    if (in < 0 || out < 0)
        return err_errno(err, errno, "cannot start %s: cannot open %s", argv[0], log_path ? log_path : "/dev/null");
    const struct proc_spawn spawn = { .argv = argv,
                                      .env = env,
                                      .in = in,
                                      .out = out,
                                      .err = out,
                                      .die_with_thread = true,
                                      .pass = pass->fds,
                                      .n_pass = pass->n,
                                      .confine = pass->confine };
    struct proc *p = proc_new();
    if (!p)
        return err_nomem(err);
    p->spawn = &spawn;
    p->err = err;
    int r = start_keeper(p);
    if (r < 0) {
        proc_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

pid_t proc_pid(const struct proc *p)
{
    return p->pid;
}

int proc_alive(struct proc *p, int *ret_status)
{
    SCOPED_LOCK(&p->lock);
    if (!p->ended)
        return 1;
    if (ret_status)
        *ret_status = p->status;
    return 0;
}

/* Waits for the end, at most ms. */
static bool wait_ended(struct proc *p, unsigned ms)
{
    uint64_t until = clock_mono_ms() + ms;

    SCOPED_LOCK(&p->lock);
    while (!p->ended && thread_cond_wait_until(&p->changed, &p->lock, until))
        ;
    return p->ended;
}

static void signal_group(struct proc *p, int sig)
{
    SCOPED_LOCK(&p->lock);
    if (!p->ended)
        kill(-p->pid, sig);
}

void proc_stop(struct proc *p, unsigned grace_ms)
{
    if (!p)
        return;
    signal_group(p, SIGTERM);
    if (!wait_ended(p, grace_ms))
        signal_group(p, SIGKILL);
    pthread_join(p->keeper, NULL);
    proc_free(p);
}
