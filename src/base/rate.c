/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/rate.h"
#include "base/clock.h"
#include "base/num.h"
#include <errno.h>

#define LOOK_MS 50u         /* how often it is asked whether to stop */
#define SAVED_UP_US 100000u /* what was not used in this time may be made up for */

struct rate {
    pthread_mutex_t lock;
    double us_per_byte;
    double next_us; /* when all that was taken will have been moved */
};

int rate_new(uint64_t bytes_per_s, struct rate **ret, struct err *err)
{
    struct rate *r = calloc(1, sizeof(*r));

    if (!r || !bytes_per_s) {
        free(r);
        return err_set(err, r ? EINVAL : ENOMEM, r ? "the rate must not be zero" : "out of memory");
    }
    pthread_mutex_init(&r->lock, NULL);
    r->us_per_byte = 1e6 / (double)bytes_per_s;
    *ret = r;
    return 0;
}

void rate_free(struct rate *r)
{
    if (!r)
        return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

uint64_t rate_take(struct rate *r, uint64_t n)
{
    if (!r)
        return 0;
    SCOPED_LOCK(&r->lock);
    double now = (double)clock_mono_us();
    if (r->next_us < now - SAVED_UP_US)
        r->next_us = now - SAVED_UP_US;
    double wait = r->next_us - now;
    r->next_us += (double)n * r->us_per_byte;
    return wait > 0 ? (uint64_t)(wait / 1000.0) + 1 : 0;
}

bool rate_wait(struct rate *r, uint64_t n, bool (*stopped)(void *priv), void *priv)
{
    for (uint64_t end = clock_mono_ms() + rate_take(r, n), now; (now = clock_mono_ms()) < end;) {
        if (stopped(priv))
            return false;
        clock_sleep_ms((unsigned)num_min(end - now, LOOK_MS));
    }
    return true;
}
