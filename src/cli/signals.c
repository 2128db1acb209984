/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/signals.h"
#include "base/clock.h"
#include "base/thread.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#define AGAIN_MS 1000u /* a second signal that comes sooner is taken for a part of the first: TERM with HUP, a key that bounces */

/* What was ignored when the command began stays ignored: nohup, jobs in the background of a script. But not the watchdog's signal. */
static void asked_to_end(sigset_t *set)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction now;

    sigemptyset(set);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        if (sigaction(signals[i], NULL, &now) < 0 || now.sa_handler != SIG_IGN)
            sigaddset(set, signals[i]);
    sigaddset(set, SIGALRM);
}

static void *wait_for_signals(void *arg)
{
    const struct signals *s = arg;
    uint64_t first = 0;
    sigset_t set;
    int sig;

    asked_to_end(&set);
    while (sigwait(&set, &sig) == 0) {
        bool again = first && clock_mono_ms() - first >= AGAIN_MS;
        if (sig == SIGALRM || again)
            s->end(s->priv, sig == SIGALRM);
        par_cancel_raise(s->cancel);
        if (first)
            continue;
        first = clock_mono_ms();
        s->asked(s->priv);
    }
    return NULL;
}

int signals_wait(const struct signals *signals, struct err *err)
{
    sigset_t set;

    asked_to_end(&set);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, SIG_DFL);
    int r = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (r == 0)
        r = -thread_start(NULL, "kvss-signals", wait_for_signals, (void *)(uintptr_t)signals);
    if (r)
        return err_errno(err, r, "cannot wait for signals");
    return 0;
}
