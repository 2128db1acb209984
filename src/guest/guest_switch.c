/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The dead-man's switch: a child of the session that thaws the guest and releases its writers when the time is over, even if the host,
 * QEMU, the agent and the session itself are gone (B2).
 *
 * While file systems are frozen it must not need any of them: it is locked in memory, has them open, and does nothing but poll and ioctl.
 * Only after the thaw does it start programs. It and the session share a page of memory; a pipe wakes it, and its end tells it that the
 * session has died.
 *
 * That it has acted is noted before the first thaw, so that no hold is called unbroken that was broken. */
#include "base/clock.h"
#include "base/io.h"
#include "base/strv.h"
#include "guest/guest.h"
#include "guest/guest_mounts.h"
#include "writers/command_writer.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define LATE_MS 30000u   /* a freeze that was on its way when the time was over is undone for so long */
#define LATE_STEP_MS 250 /* and looked for so often */
#define RELEASE_MS 3000u /* for the session to release the writers by itself */
#define WAKE 'w'
#define QUIT 'q'

struct switch_page { /* shared with the child */
    atomic_bool armed, fired, released;
    atomic_uint_least64_t deadline_ms; /* CLOCK_MONOTONIC */
    char session[GUID_LEN + 1];
};

struct guest_switch {
    struct guest_switch_config config;
    struct switch_page *page;
    struct guest_mounts mounts;
    int pipe;
    pid_t child;
};

/* ---- The child ------------------------------------------------------------------------------------------------------------*/

/* What of this is refused makes it weaker, not wrong. */
static void child_harden(void)
{
    const struct sched_param first = { .sched_priority = 1 };
    _cleanup_close_ int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    (void)prctl(PR_SET_NAME, "kvss-guest-dead");
    if (oom >= 0)
        (void)io_write(oom, "-1000", 5);
    (void)setpriority(PRIO_PROCESS, 0, -20);
    (void)sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first);
    (void)mlockall(MCL_CURRENT | MCL_FUTURE);
    for (int sig = SIGHUP; sig <= SIGTERM; sig++)
        (void)signal(sig, sig == SIGCHLD ? SIG_DFL : SIG_IGN);
}

/* Abort to every writer: those that hold nothing do nothing. */
static void child_release(const struct guest_switch *s)
{
    _cleanup_strv_ char **names = NULL;

    if (!*s->page->session || atomic_exchange(&s->page->released, true) ||
        command_writers_programs(s->config.writers_dir, &names, NULL) < 0)
        return;
    for (char **n = names; n && *n; n++) {
        _cleanup_free_ char *path = io_path(s->config.writers_dir, *n);
        if (path)
            (void)command_writer_abort(path, s->page->session, NULL);
    }
}

/* The time is over, or nobody is left to say so. */
static void child_fire(const struct guest_switch *s)
{
    atomic_store(&s->page->fired, true);
    (void)guest_mounts_thaw(&s->mounts);
}

struct child_watch_state { /* of the child, after it fired */
    uint64_t release_ms, late_ms;
};

/* Milliseconds to the next thing to do; -1: nothing. */
static int child_wait_ms(const struct guest_switch *s, const struct child_watch_state *w)
{
    uint64_t now = clock_mono_ms(), at = atomic_load(&s->page->deadline_ms);

    if (w->late_ms)
        return LATE_STEP_MS;
    if (!atomic_load(&s->page->armed))
        return -1;
    return at <= now ? 0 : at - now > INT_MAX ? INT_MAX : (int)(at - now);
}

static void child_act(const struct guest_switch *s, struct child_watch_state *w)
{
    uint64_t now = clock_mono_ms();

    if (!w->late_ms && atomic_load(&s->page->armed) && now >= atomic_load(&s->page->deadline_ms)) {
        child_fire(s);
        *w = (struct child_watch_state){ .release_ms = now + RELEASE_MS, .late_ms = now + LATE_MS };
    }
    if (!w->late_ms)
        return;
    if (!atomic_load(&s->page->armed) || now >= w->late_ms)
        *w = (struct child_watch_state){ 0 };
    else
        (void)guest_mounts_thaw(&s->mounts);
    if (w->release_ms && now >= w->release_ms) {
        w->release_ms = 0;
        child_release(s);
    }
}

/* Until it is told to end, or the session has died: then all that it left is put back at once, for its instant is broken anyway. */
static void child_watch(const struct guest_switch *s, int in)
{
    struct pollfd p = { .fd = in, .events = POLLIN };
    struct child_watch_state w = { 0 };
    char c = WAKE;

    for (;;) {
        int n = poll(&p, 1, child_wait_ms(s, &w));
        ssize_t got = n > 0 ? read(in, &c, 1) : 1;
        if (got == 1 && n > 0 && c == QUIT)
            return;
        if (got == 0)
            break;
        child_act(s, &w);
    }
    if (atomic_load(&s->page->armed))
        child_fire(s);
    child_release(s);
}

/* ---- The session's side ---------------------------------------------------------------------------------------------------*/

static int switch_fork(struct guest_switch *s, struct err *err)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(err, errno, "cannot start the dead-man's switch");
    s->child = fork();
    if (s->child < 0) {
        int code = errno;
        close(fds[0]);
        close(fds[1]);
        return err_errno(err, code, "cannot start the dead-man's switch");
    }
    if (s->child == 0) {
        close(fds[1]);
        close(s->config.not_its);
        child_harden();
        child_watch(s, fds[0]);
        _exit(0);
    }
    close(fds[0]);
    s->pipe = fds[1];
    return 0;
}

static void switch_free(struct guest_switch *s)
{
    guest_mounts_close(&s->mounts);
    if (s->page)
        munmap(s->page, sizeof *s->page);
    free(s);
}

int guest_switch_start(const struct guest_switch_config *config, struct guest_switch **ret, struct err *err)
{
    struct guest_switch *s = calloc(1, sizeof *s);

    if (!s)
        return err_nomem(err);
    s->config = *config;
    void *page = mmap(NULL, sizeof *s->page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    s->page = page == MAP_FAILED ? NULL : page;
    int r = s->page ? guest_mounts_open(&s->mounts, err) : err_nomem(err);
    if (r >= 0)
        r = switch_fork(s, err);
    if (r < 0) {
        switch_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void guest_switch_name(struct guest_switch *s, const char *session_id)
{
    snprintf(s->page->session, sizeof(s->page->session), "%s", session_id);
}

static int switch_wake(struct guest_switch *s, char c)
{
    return io_write(s->pipe, &c, 1);
}

int guest_switch_arm(struct guest_switch *s, struct err *err)
{
    if (!atomic_load(&s->page->armed))
        atomic_store(&s->page->deadline_ms, clock_mono_ms() + s->config.hold_ms);
    atomic_store(&s->page->armed, true);
    if (switch_wake(s, WAKE) >= 0)
        return 0;
    atomic_store(&s->page->armed, false);
    return err_set(err, ESRCH, "the dead-man's switch is not running");
}

void guest_switch_act(struct guest_switch *s)
{
    if (!atomic_load(&s->page->armed))
        return;
    atomic_store(&s->page->deadline_ms, clock_mono_ms());
    (void)switch_wake(s, WAKE);
}

void guest_switch_disarm(struct guest_switch *s)
{
    atomic_store(&s->page->armed, false);
    (void)switch_wake(s, WAKE);
}

bool guest_switch_fired(const struct guest_switch *s)
{
    return atomic_load(&s->page->fired);
}

void guest_switch_released(struct guest_switch *s)
{
    atomic_store(&s->page->released, true);
}

size_t guest_switch_mounts(const struct guest_switch *s)
{
    return s->mounts.n;
}

void guest_switch_stop(struct guest_switch *s)
{
    (void)switch_wake(s, QUIT);
    while (waitpid(s->child, NULL, 0) < 0 && errno == EINTR) {
    }
    close(s->pipe);
    switch_free(s);
}
