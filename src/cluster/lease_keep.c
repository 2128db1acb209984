/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A lease that is short, so that a cluster does not wait long for a host that is dead, and is renewed as long as this process lives. One
 * that has lapsed, since the process stood still, is never renewed: the cluster has acted by then. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/thread.h"
#include "cluster/cluster.h"
#include <errno.h>
#include <string.h>

#define RENEWALS 4u    /* in its time */
#define MARGIN_S 30u   /* clocks of nodes may differ by so much */
#define RETRY_MS 5000u /* the cluster elects a coordinator, say */

struct cluster_keep {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool end, lost;
    uint64_t set_ms;
    struct cluster_lease lease;
    char *resource, *id;
};

static void keep_free(struct cluster_keep *k)
{
    pthread_cond_destroy(&k->changed);
    pthread_mutex_destroy(&k->lock);
    free(k->resource);
    free(k->id);
    free(k);
}
DEFINE_CLEANUP(struct cluster_keep *, keep_free)

static bool lapsed(const struct cluster_keep *k, uint64_t now)
{
    return k->lost || now - k->set_ms >= (k->lease.seconds - MARGIN_S) * UINT64_C(1000);
}

/* False: there is nothing more to be renewed. */
static bool renew(struct cluster_keep *k)
{
    uint64_t now = clock_mono_ms();
    struct err ignored = ERR_INIT; /* tried again soon */

    int r = lapsed(k, now) ? -ESTALE : cluster_lease_renew(&k->lease, &ignored);
    SCOPED_LOCK(&k->lock);
    if (r >= 0)
        k->set_ms = now;
    else if (r == -ENOENT || r == -ESTALE)
        k->lost = true;
    return !k->lost && !k->end;
}

static void *keep_run(void *arg)
{
    struct cluster_keep *k = arg;
    uint64_t every_ms = k->lease.seconds * UINT64_C(1000) / RENEWALS, last_ms = 0;

    for (;;) {
        pthread_mutex_lock(&k->lock);
        uint64_t until = k->set_ms + every_ms;
        if (until <= last_ms)
            until = last_ms + RETRY_MS;
        while (!k->end && clock_mono_ms() < until)
            (void)thread_cond_wait_until(&k->changed, &k->lock, until);
        bool end = k->end;
        pthread_mutex_unlock(&k->lock);
        last_ms = clock_mono_ms();
        if (end || !renew(k))
            return NULL;
    }
}

int cluster_keep_start(const struct cluster_lease *l, bool fresh, struct cluster_keep **ret, struct err *err)
{
    _cleanup_(keep_free_p) struct cluster_keep *k = calloc(1, sizeof(*k));

    if (!k)
        return err_nomem(err);
    pthread_mutex_init(&k->lock, NULL);
    thread_cond_init(&k->changed);
    k->resource = strdup(l->resource);
    k->id = strdup(l->id);
    if (!k->resource || !k->id)
        return err_nomem(err);
    k->lease = *l;
    k->lease.resource = k->resource;
    k->lease.id = k->id;
    k->set_ms = clock_mono_ms();
    int r = fresh ? cluster_lease_set(&k->lease, err) : cluster_lease_renew(&k->lease, err);
    if (r < 0)
        return r;
    r = thread_start(&k->thread, "lease", keep_run, k);
    if (r < 0)
        return err_errno(err, -r, "cannot start a thread");
    *ret = TAKE_PTR(k);
    return 0;
}

bool cluster_keep_holds(struct cluster_keep *k)
{
    SCOPED_LOCK(&k->lock);
    return !lapsed(k, clock_mono_ms());
}

void cluster_keep_end(struct cluster_keep *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->end = true;
    pthread_cond_broadcast(&k->changed);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    keep_free(k);
}
