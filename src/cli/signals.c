/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/signals.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>

static void asked_to_end(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

static void *wait_for_signals(void *arg)
{
    sigset_t set;
    int sig;

    asked_to_end(&set);
    while (sigwait(&set, &sig) == 0)
        par_cancel_raise(arg);
    return NULL;
}

int signals_raise(struct par_cancel *cancel, struct err *err)
{
    pthread_t thread;
    sigset_t set;

    asked_to_end(&set);
    signal(SIGPIPE, SIG_IGN);
    int r = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (r == 0)
        r = pthread_create(&thread, NULL, wait_for_signals, cancel);
    if (r)
        return err_errno(err, r, "cannot wait for signals");
    pthread_detach(thread);
    return 0;
}
