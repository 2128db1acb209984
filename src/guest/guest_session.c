/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the host and the hook ask of the session, and when each is granted. */
#include "guest/guest_session.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/thread.h"
#include <errno.h>
#include <string.h>

#define LOOK_MS 20 /* the switch is in another process and wakes nobody here */
#define ABORT_WAIT_MS 30000u

const char *guest_phase_name(enum guest_phase p)
{
    static const char *const names[] = {
        [GUEST_PREPARING] = "preparing", [GUEST_PREPARED] = "prepared", [GUEST_FREEZING] = "freezing", [GUEST_HELD] = "held",
        [GUEST_THAWING] = "thawing",     [GUEST_DONE] = "done",         [GUEST_ENDED] = "ended",
    };

    return names[p];
}

static void note_skipped(void *priv, enum log_level level, const char *line)
{
    struct guest_session *s = priv;

    if (level <= LOG_LEVEL_WARNING && !*s->skipped)
        snprintf(s->skipped, sizeof(s->skipped), "%s", line);
}

int guest_session_new(const struct guest_session_config *config, struct guest_session **ret, struct err *err)
{
    struct guest_session *s = calloc(1, sizeof *s);

    if (!s)
        return err_nomem(err);
    s->config = *config;
    s->log = (struct log){ .write = note_skipped, .priv = s, .max = LOG_LEVEL_WARNING };
    s->begun_us = clock_mono_us();
    pthread_mutex_init(&s->lock, NULL);
    thread_cond_init(&s->changed);
    *ret = s;
    return 0;
}

void guest_session_free(struct guest_session *s)
{
    if (s->started)
        pthread_join(s->thread, NULL);
    for (size_t i = 0; i < s->n_events; i++)
        free(s->events[i].writer);
    json_decref(s->writers);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- Under the lock -------------------------------------------------------------------------------------------------------*/

static int session_failure(const struct guest_session *s, struct err *err)
{
    return s->failed.code ? err_move(err, &s->failed) : 0;
}

/* Whether it is too late for the instant to be whole: the switch has acted, or should have. */
static int session_broken(const struct guest_session *s, struct err *err)
{
    uint64_t held_ms = s->freeze_us ? ((s->thaw_us ? s->thaw_us : clock_mono_us()) - s->freeze_us) / 1000 : 0;

    if (!guest_switch_fired(s->config.sw) && held_ms < s->config.hold_ms)
        return 0;
    return err_vss(err, VSS_E_HOLD_WRITES_TIMEOUT, ETIMEDOUT,
                   "the guest thawed automatically after %u ms, before the host had taken its point in time", s->config.hold_ms);
}

/* Until the phase is reached, or the session has failed: then its failure. */
static int session_await(struct guest_session *s, enum guest_phase phase, unsigned limit_ms, struct err *err)
{
    uint64_t deadline = clock_mono_ms() + limit_ms;

    while (s->phase < phase && !s->failed.code)
        if (!thread_cond_wait_until(&s->changed, &s->lock, deadline))
            return err_set(err, ETIMEDOUT, "the writers did not finish within %u ms", limit_ms);
    return session_failure(s, err);
}

/* ---- For the requester's thread -------------------------------------------------------------------------------------------*/

void guest_session_enter(struct guest_session *s, enum guest_phase phase)
{
    SCOPED_LOCK(&s->lock);
    s->phase = phase;
    pthread_cond_broadcast(&s->changed);
}

void guest_session_fail(struct guest_session *s, const struct err *why)
{
    SCOPED_LOCK(&s->lock);
    if (!s->failed.code)
        s->failed = *why;
    pthread_cond_broadcast(&s->changed);
}

/* Until the flag is set or Abort is asked for. */
static int wait_asked(struct guest_session *s, const bool *flag, unsigned limit_ms, const char *what, struct err *err)
{
    uint64_t deadline = clock_mono_ms() + limit_ms;

    while (!*flag && !s->abort_asked)
        if (!thread_cond_wait_until(&s->changed, &s->lock, deadline) && !*flag)
            return err_set(err, ETIMEDOUT, "the host did not %s within %u ms", what, limit_ms);
    if (!s->abort_asked)
        return 0;
    return s->failed.code ? err_move(err, &s->failed) : err_set(err, ECANCELED, "aborted by the host");
}

int guest_session_wait_freeze(struct guest_session *s, struct err *err)
{
    SCOPED_LOCK(&s->lock);
    s->phase = GUEST_PREPARED;
    s->prepared_us = clock_mono_us();
    pthread_cond_broadcast(&s->changed);
    int r = wait_asked(s, &s->freeze_asked, s->config.wait_ms, "begin the freeze", err);
    if (r >= 0)
        s->phase = GUEST_FREEZING;
    return r;
}

int guest_session_wait_thaw(struct guest_session *s, struct err *err)
{
    SCOPED_LOCK(&s->lock);
    if (s->thaw_asked)
        return err_set(err, ETIMEDOUT, "the host thawed the guest before the writers were frozen");
    s->phase = GUEST_HELD;
    s->held_us = clock_mono_us();
    pthread_cond_broadcast(&s->changed);
    while (!s->thaw_asked && !s->abort_asked && session_broken(s, NULL) >= 0)
        (void)thread_cond_wait_until(&s->changed, &s->lock, clock_mono_ms() + LOOK_MS);
    int r = session_broken(s, err);
    if (r >= 0 && s->abort_asked && !s->thaw_asked)
        r = s->failed.code ? err_move(err, &s->failed) : err_set(err, ECANCELED, "aborted by the host");
    if (r >= 0)
        s->phase = GUEST_THAWING;
    return r;
}

int guest_session_wait_end(struct guest_session *s, struct err *err)
{
    SCOPED_LOCK(&s->lock);
    int r = wait_asked(s, &s->end_asked, GUEST_END_MS, "end the backup", err);
    return r < 0 ? r : session_broken(s, err);
}

/* ---- For the host and the hook --------------------------------------------------------------------------------------------*/

int guest_session_prepare(struct guest_session *s, struct err *err)
{
    int r = thread_start(&s->thread, "requester", guest_run, s);

    if (r < 0)
        return err_errno(err, -r, "cannot start the session");
    s->started = true;
    SCOPED_LOCK(&s->lock);
    r = session_await(s, GUEST_PREPARED, GUEST_WAIT_MAX_MS, err);
    return r < 0 ? r : s->nothing;
}

/* A freeze that comes again, or after the instant, is another program's: it is not kept from it. */
int guest_session_freeze(struct guest_session *s, bool by_hook, struct err *err)
{
    SCOPED_LOCK(&s->lock);
    if (s->phase == GUEST_ENDED && by_hook)
        return 0; /* it is over, and only waits for somebody to ask how it ended */
    if (s->phase == GUEST_PREPARING)
        return err_set(err, EAGAIN, "the guest's writers are not prepared yet");
    if (s->phase == GUEST_PREPARED && !s->freeze_asked && !s->failed.code) {
        int r = guest_switch_arm(s->config.sw, err);
        if (r < 0)
            return r;
        s->freeze_us = clock_mono_us();
        s->by_hook = by_hook;
        s->freeze_asked = true;
        pthread_cond_broadcast(&s->changed);
    }
    return session_await(s, GUEST_HELD, s->config.hold_ms, err);
}

void guest_session_thaw(struct guest_session *s)
{
    SCOPED_LOCK(&s->lock);
    if (s->freeze_asked && !s->thaw_us)
        s->thaw_us = clock_mono_us();
    guest_switch_disarm(s->config.sw);
    if (s->freeze_asked)
        s->thaw_asked = true;
    pthread_cond_broadcast(&s->changed);
}

int guest_session_end(struct guest_session *s, struct err *err)
{
    bool asked;

    {
        SCOPED_LOCK(&s->lock);
        asked = s->freeze_asked;
    }
    if (!asked) {
        guest_session_abort(s, s->config.hook ? "the guest agent froze the file systems without running its freeze hook, so the writers "
                                                "were not frozen"
                                              : "the host ended the backup without having asked for the freeze");
    } else {
        guest_session_thaw(s);
        SCOPED_LOCK(&s->lock);
        s->end_asked = true;
        pthread_cond_broadcast(&s->changed);
    }
    SCOPED_LOCK(&s->lock);
    uint64_t deadline = clock_mono_ms() + GUEST_END_MS;
    while (s->phase < GUEST_ENDED && thread_cond_wait_until(&s->changed, &s->lock, deadline)) {
    }
    if (s->phase < GUEST_ENDED)
        return err_set(err, ETIMEDOUT, "the writers did not end the backup within %u ms", GUEST_END_MS);
    return session_failure(s, err);
}

void guest_session_abort(struct guest_session *s, const char *why)
{
    SCOPED_LOCK(&s->lock);
    guest_switch_act(s->config.sw); /* whoever aborts may be gone before it has thawed what is frozen */
    if (!s->failed.code && !s->completed)
        err_set(&s->failed, ECANCELED, "%s", why);
    s->abort_asked = true;
    pthread_cond_broadcast(&s->changed);
    uint64_t deadline = clock_mono_ms() + ABORT_WAIT_MS;
    while (s->phase < GUEST_ENDED && thread_cond_wait_until(&s->changed, &s->lock, deadline)) {
    }
}

bool guest_session_over(struct guest_session *s)
{
    SCOPED_LOCK(&s->lock);
    return s->phase == GUEST_ENDED;
}
