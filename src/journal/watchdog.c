/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The watchdog and the pipe to it. Messages are fixed structs on a pipe: whole or not at all (they are shorter than PIPE_BUF).
 * While a deadline is armed the watchdog does nothing but wait. When it has passed, what is held is let go; an owner that gives no
 * sign of life after that is ended, first by asking (SIGALRM), then by SIGKILL, and its effects are undone as those of any that
 * died. An owner that has begun to undo is left to it. */
#include "base/clock.h"
#include "base/io.h"
#include "base/proc.h"
#include "journal/journal_internal.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

enum message_kind { MSG_DEADLINE = 1, MSG_GOOD_BYE = 2, MSG_UNDOING = 3 };

struct watchdog_message {
    uint32_t kind, ms, who;
};

#define READY_TIMEOUT_MS 120000u /* nothing has been touched yet: a slow host may take its time */
#define LOCK_POLL_MS 20u
#define GRACE_MS 5000u
#define LOCK_TIMEOUT_MS 30000u
#define PERSIST_MS 600000u
#define AGAIN_MS 1000u
#define AGAIN_MAX_MS 10000u
#define END_WAIT_MS 15000u

/* ---- The owner's end ------------------------------------------------------------------------------------------------------*/

struct journal_watch {
    int fd;
    pid_t pid;
};

/* SIGPIPE must not kill us where the watchdog is dead: the signal is held back in this thread and taken out again. */
static int send_message(int fd, struct watchdog_message m)
{
    sigset_t pipe_set, saved, pending;
    const struct timespec now = { 0 };

    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_set, &saved);
    int r = io_write(fd, &m, sizeof(m));
    if (r == -EPIPE && !was_pending)
        while (sigtimedwait(&pipe_set, NULL, &now) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    return r;
}

pid_t journal_watch_pid(const struct journal_watch *w)
{
    return w ? w->pid : 0;
}

void journal_watch_end(struct journal_watch *w, bool wait)
{
    if (!w)
        return;
    (void)send_message(w->fd, (struct watchdog_message){ .kind = MSG_GOOD_BYE });
    close(w->fd);
    uint64_t end = clock_mono_ms() + (wait ? END_WAIT_MS : 0);
    int r = 0;
    while ((r == 0 || (r < 0 && errno == EINTR)) && clock_mono_ms() < end) {
        r = waitpid(w->pid, NULL, WNOHANG);
        if (r == 0)
            clock_sleep_ms(2);
    }
    free(w);
}

/* The watchdog makes the file `watched` in the session's folder once it can act. */
static int wait_until_ready(struct journal *j, const char *path, struct journal_watch *w, struct err *err)
{
    uint64_t end = clock_mono_ms() + READY_TIMEOUT_MS;

    (void)j;
    while (!io_exists(path)) {
        int status;
        if (waitpid(w->pid, &status, WNOHANG) == w->pid) {
            close(w->fd);
            free(w);
            return err_set(err, EIO, "the watchdog exited immediately; see its log");
        }
        if (clock_mono_ms() > end) {
            journal_watch_end(w, true);
            return err_set(err, ETIMEDOUT, "the watchdog was not ready within %u s", READY_TIMEOUT_MS / 1000);
        }
        clock_sleep_ms(5);
    }
    return 0;
}

#define JOURNAL_WATCHED "watched"

static char *ready_path(const char *session_path)
{
    return io_path(session_path, JOURNAL_WATCHED);
}

int journal_watch_start(struct journal *j, char *const *argv, const char *log_path, struct err *err)
{
    if (!j->file)
        return err_set(err, EINVAL, "a journal that exists only in memory cannot be watched");
    _cleanup_free_ char *path = ready_path(journal_file_path(j->file));
    struct journal_watch *w = calloc(1, sizeof(*w));

    if (!w || !path) {
        free(w);
        return err_nomem(err);
    }
    int r = proc_start_apart(argv, log_path, &w->fd, &w->pid, err);
    if (r < 0) {
        free(w);
        return r;
    }
    r = wait_until_ready(j, path, w, err);
    if (r < 0)
        return r;
    j->watch = w;
    return 0;
}

int journal_deadline(struct journal *j, enum journal_held who, unsigned ms, struct err *err)
{
    if (!j->watch)
        return 0;
    int r = send_message(j->watch->fd, (struct watchdog_message){ .kind = MSG_DEADLINE, .ms = ms, .who = (uint32_t)who });
    return r < 0 ? err_errno(err, -r, "the watchdog of this session is no longer running") : 0;
}

void journal_watch_undoing(struct journal *j)
{
    if (j->watch)
        (void)send_message(j->watch->fd, (struct watchdog_message){ .kind = MSG_UNDOING });
}

/* ---- The watchdog's end ---------------------------------------------------------------------------------------------------*/

/* The owner hangs: the effects of the held kind are undone over its head. It finds out when it tries to reverse them itself. */
static void undo_held(const struct journal_watch_config *c)
{
    struct journal *j = NULL;
    struct journal_file *file = NULL;
    struct err why = ERR_INIT;

    if (journal_make(c->session_id, c->verbs, c->ctx, c->log, &j, &why) < 0)
        return;
    if (journal_file_peek(c->dir, c->session_id, &file, &why) >= 0 && journal_file_load(file, j, &why) >= 0)
        (void)journal_undo_some(j, &(struct journal_filter){ .verb = c->held_verb }, &why);
    journal_file_close(file, false);
    journal_free(j);
    if (why.code)
        log_error(c->log, "the freeze limit expired, but undoing failed: %s", why.text);
    else
        log_warning(c->log, "the freeze limit expired: all guests and writers were thawed");
}

/* Only while it is our parent: its number may be another's later. */
static void signal_owner(pid_t owner, int sig)
{
    if (owner > 1 && getppid() == owner)
        kill(owner, sig);
}

/* What follows when the time is over, and how long until the next step. */
enum watch_step { STEP_LET_GO, STEP_ASK, STEP_KILL, STEP_NONE };

struct watch {
    const struct journal_watch_config *config;
    pid_t owner;
    uint64_t held_until[JOURNAL_HELD_MAX]; /* 0: not held */
    uint64_t deadline;                     /* of the step; 0: none */
    enum watch_step step;
    bool undoing;
};

static void time_is_over(struct watch *w)
{
    enum watch_step now = w->step;

    if (now == STEP_LET_GO)
        undo_held(w->config);
    if (now == STEP_ASK)
        signal_owner(w->owner, SIGALRM);
    if (now == STEP_KILL)
        signal_owner(w->owner, SIGKILL);
    w->step = w->undoing ? STEP_NONE : (enum watch_step)(now + 1);
    w->deadline = w->step == STEP_NONE ? 0 : clock_mono_ms() + (w->config->grace_ms ? w->config->grace_ms : GRACE_MS);
}

static uint64_t first_end(const struct watch *w)
{
    uint64_t first = 0;

    for (size_t i = 0; i < JOURNAL_HELD_MAX; i++)
        if (w->held_until[i] && (!first || w->held_until[i] < first))
            first = w->held_until[i];
    return first;
}

static void take_message(struct watch *w, const struct watchdog_message *m)
{
    if (m->kind == MSG_UNDOING) {
        w->undoing = true;
        if (w->step != STEP_LET_GO)
            w->deadline = 0;
    } else if (m->kind == MSG_DEADLINE && m->who < JOURNAL_HELD_MAX) {
        w->step = STEP_LET_GO;
        w->undoing = w->undoing && !m->ms; /* another attempt of the same session */
        w->held_until[m->who] = m->ms ? clock_mono_ms() + m->ms : 0;
        w->deadline = first_end(w);
    }
}

/* The lock goes when the owner's last thread is gone, a moment after its pipe. *ret_left: see journal_recover_session(). */
static int undo_session(const struct journal_watch_config *c, size_t *ret_left, struct err *err)
{
    uint64_t end = clock_mono_ms() + LOCK_TIMEOUT_MS;

    for (;;) {
        int r = journal_recover_session(c, NULL, ret_left, err);
        if (r == -ENOENT)
            return 0; /* someone was faster */
        if (r != -EBUSY || clock_mono_ms() > end)
            return r;
        clock_sleep_ms(LOCK_POLL_MS);
    }
}

/* An empty file in the session's folder, which goes with it. */
static int watchdog_mark(const struct journal_watch_config *c, const char *name, struct err *err)
{
    _cleanup_free_ char *session = io_path(c->dir, c->session_id);
    _cleanup_free_ char *path = session ? io_path(session, name) : NULL;

    return path ? io_replace_file(path, "", 0, 0600, err) : err_nomem(err);
}

/* A guest whose agent hangs, or cannot thaw, stays frozen: nobody but the agent can thaw it. A VM whose QEMU hangs cannot be resumed,
 * started, or freed of its backup job; nor one whose image another program has locked, or whose storage is away. All may come round, so
 * they are asked again and again for a good while, less and less often. Whoever else recovers the session meanwhile is welcome to. */
static int watchdog_take_over(const struct journal_watch_config *c, struct err *err)
{
    const struct journal_filter which = { .verb = c->held_verb, .holds = true };
    uint64_t end = clock_mono_ms() + (c->persist_ms ? c->persist_ms : PERSIST_MS);
    unsigned pause = AGAIN_MS;
    size_t left = 1;

    (void)watchdog_mark(c, JOURNAL_ORPHAN, NULL); /* for people who ask */
    int r = undo_session(c, &left, err);
    while (r < 0 && left && clock_mono_ms() < end) {
        struct err again = ERR_INIT;
        clock_sleep_ms(pause);
        pause = pause * 3 / 2 < AGAIN_MAX_MS ? pause * 3 / 2 : AGAIN_MAX_MS;
        left = 0;
        int e = journal_recover_session(c, &which, &left, &again);
        if (e == -ENOENT)
            return 0;
        if (e == -EBUSY)
            left = 1;
    }
    return r < 0 ? undo_session(c, &left, err) : r;
}

/* 1: a message; 0: the owner is gone; -ETIMEDOUT. */
static int next_message(int fd, uint64_t deadline, struct watchdog_message *ret)
{
    for (;;) {
        uint64_t now = clock_mono_ms();
        if (deadline && now >= deadline)
            return -ETIMEDOUT;
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int n = poll(&p, 1, deadline ? (int)(deadline - now) : -1);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n <= 0)
            continue;
        int r = io_read(fd, ret, sizeof(*ret));
        return r < 0 ? 0 : 1;
    }
}

int journal_watch_run(const struct journal_watch_config *c, struct err *err)
{
    struct watch w = { .config = c, .owner = getppid() };

    int r = watchdog_mark(c, JOURNAL_WATCHED, err);
    if (r < 0)
        return r;
    for (;;) {
        struct watchdog_message m;
        r = next_message(c->fd, w.deadline, &m);
        if (r == -ETIMEDOUT)
            time_is_over(&w);
        /* What the owner could not undo is tried once more, by a process that is not in its trouble. */
        else if (r <= 0 || m.kind == MSG_GOOD_BYE)
            return watchdog_take_over(c, err);
        else
            take_message(&w, &m);
    }
}
