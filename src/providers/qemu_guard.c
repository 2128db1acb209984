/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A backup must not harm its guest. While a job runs, QEMU copies what the guest overwrites into scratch files before it lets the write
 * through; where there is no room for that, it stops the VM (or, with error_policy report, tells the guest of an I/O error). So the
 * room is watched by a thread of its own, and the jobs are given up while some is left: their scratch files go, and the guests know
 * nothing. If a VM was stopped all the same, it goes on as soon as its job has ended: QEMU then repeats the write. */
#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "providers/qemu_internal.h"
#include "base/thread.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define LOOK_MS 50u /* at 1 GB/s a guest overwrites 50 MB meanwhile */
#define LOOK_AT_VM_MS 500u

/* The scratch file of one disk. Entries are added and never taken out, so that the list can be read without a lock. */
struct guarded {
    struct guarded *next;
    char *dir, *scratch, *vm_uuid, *vm_name, *target;
    uint64_t fx_job;
    struct hv_domain *dom; /* the guard's own; of the first disk of a VM, else NULL */
    bool begun, gone;      /* atomic */
};

struct qemu_guard {
    const struct provider_context *config;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool running, stop;
    struct guarded *list; /* atomic */
    struct err why;       /* of giving up, under the lock; and ... */
    const char *whose;    /* ... the UUID of the VM that it was about */
};

/* ---- Giving up --------------------------------------------------------------------------------------------------------------*/

static bool is_on(const struct guarded *g)
{
    return __atomic_load_n(&g->begun, __ATOMIC_ACQUIRE) && !__atomic_load_n(&g->gone, __ATOMIC_ACQUIRE);
}

/* Of all disks of the VM that have a job. What cannot be looked at is taken for nothing. */
static uint64_t used_by(const struct qemu_guard *g, uint64_t fx_job)
{
    uint64_t used = 0;
    struct stat st;

    for (const struct guarded *e = __atomic_load_n(&g->list, __ATOMIC_ACQUIRE); e; e = e->next)
        if (e->fx_job == fx_job && lstat(e->scratch, &st) == 0 && S_ISREG(st.st_mode))
            used += (uint64_t)st.st_blocks * 512;
    return used;
}

/* Whoever took the most of the room is why it is used up. */
static const struct guarded *heaviest(const struct qemu_guard *g, const struct guarded *first)
{
    uint64_t most = used_by(g, first->fx_job);

    for (const struct guarded *e = __atomic_load_n(&g->list, __ATOMIC_ACQUIRE); e; e = e->next) {
        uint64_t used = is_on(e) && !strcmp(e->dir, first->dir) ? used_by(g, e->fx_job) : 0;
        if (used > most) {
            most = used;
            first = e;
        }
    }
    return first;
}

/* Once per VM. */
static int check_limit(const struct qemu_guard *g, const struct guarded *e, struct err *err)
{
    uint64_t limit = g->config->scratch_limit, used = limit && e->dom ? used_by(g, e->fx_job) : 0;
    char have[16], most[16];

    if (used <= limit)
        return 0;
    return err_vss(err, VSS_E_INSUFFICIENT_STORAGE, ENOSPC,
                   "the data overwritten by the guest takes %s of scratch space, and a VM may use %s (scratch-limit); back up the VM when "
                   "it writes less, or raise the limit",
                   num_format_size(used, have), num_format_size(limit, most));
}

static void keep_reason(struct qemu_guard *g, const char *whose, const struct err *why)
{
    SCOPED_LOCK(&g->lock);
    if (!g->why.code) {
        g->why = *why;
        g->whose = whose;
    }
}

/* Every job of the set: there is no partial backup, so all of them have become useless. What cannot be ended is tried again by abort. */
static void give_up(struct qemu_guard *g, const struct guarded *first, struct err *why)
{
    struct err ignored = ERR_INIT;

    err_context(why, "VM %s: the backup was abandoned", first->vm_name);
    keep_reason(g, first->vm_uuid, why);
    log_warning(g->config->log, "%s", why->text);
    (void)journal_undo(g->config->journal, first->fx_job, &ignored);
    for (struct guarded *e = __atomic_load_n(&g->list, __ATOMIC_ACQUIRE); e; e = e->next)
        if (is_on(e))
            (void)journal_undo(g->config->journal, e->fx_job, &ignored);
}

static bool is_stalled(struct guarded *e)
{
    return e->dom && hv_domain_refresh_state(e->dom, NULL) >= 0 && e->dom->io_error;
}

/* True: the jobs were given up. */
static bool guard_look(struct qemu_guard *g, bool at_vms)
{
    struct err why = ERR_INIT;

    for (struct guarded *e = __atomic_load_n(&g->list, __ATOMIC_ACQUIRE); e; e = e->next) {
        if (!is_on(e))
            continue;
        const struct guarded *whose = e;
        if (provider_scratch_room(e->dir, g->config->scratch_reserve, &why) < 0)
            whose = heaviest(g, e);
        else if (check_limit(g, e, &why) >= 0 && at_vms && is_stalled(e))
            err_vss(&why, VSS_E_INSUFFICIENT_STORAGE, ENOSPC,
                    "QEMU had paused the VM because the data overwritten by the guest could not be kept in %s; it is running again, and "
                    "the guest noticed nothing but the lost time",
                    e->dir);
        if (why.code) {
            give_up(g, whose, &why);
            return true;
        }
    }
    return false;
}

static void *watch(void *arg)
{
    struct qemu_guard *g = arg;
    uint64_t look_at_vm = 0;

    pthread_mutex_lock(&g->lock);
    while (!g->stop) {
        uint64_t until = clock_mono_ms() + LOOK_MS;
        while (!g->stop && thread_cond_wait_until(&g->wake, &g->lock, until))
            ;
        if (g->stop)
            break;
        bool at_vms = clock_mono_ms() >= look_at_vm;
        pthread_mutex_unlock(&g->lock);
        bool over = guard_look(g, at_vms);
        if (at_vms)
            look_at_vm = clock_mono_ms() + LOOK_AT_VM_MS;
        pthread_mutex_lock(&g->lock);
        if (over)
            break;
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

/* ---- Beginning and end ------------------------------------------------------------------------------------------------------*/

int qemu_guard_new(const struct provider_context *config, struct qemu_guard **ret, struct err *err)
{
    struct qemu_guard *g = calloc(1, sizeof(*g));

    if (!g)
        return err_nomem(err);
    g->config = config;
    pthread_mutex_init(&g->lock, NULL);
    thread_cond_init(&g->wake);
    g->running = thread_start(&g->thread, "kvss-scratch", watch, g) == 0;
    if (!g->running) {
        qemu_guard_free(g);
        return err_set(err, EAGAIN, "cannot start the thread that watches the scratch space");
    }
    *ret = g;
    return 0;
}

void qemu_guard_free(struct qemu_guard *g)
{
    if (!g)
        return;
    if (g->running) {
        pthread_mutex_lock(&g->lock);
        g->stop = true;
        pthread_cond_signal(&g->wake);
        pthread_mutex_unlock(&g->lock);
        pthread_join(g->thread, NULL);
    }
    for (struct guarded *e = g->list, *next; e; e = next) {
        next = e->next;
        if (e->dom)
            hv_domain_free(e->dom);
        free(e->dir);
        free(e->scratch);
        free(e->vm_uuid);
        free(e->vm_name);
        free(e->target);
        free(e);
    }
    pthread_cond_destroy(&g->wake);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

static int guard_add(struct qemu_guard *g, const struct qemu_point *pt, const struct qemu_disk *d, bool with_domain, struct err *err)
{
    struct guarded *e = calloc(1, sizeof(*e));
    int r = 0;

    if (!e)
        return err_nomem(err);
    e->dir = io_dirname(d->scratch);
    e->scratch = strdup(d->scratch);
    e->vm_uuid = strdup(pt->vm_uuid);
    e->vm_name = strdup(pt->vm_name);
    e->target = strdup(d->target);
    e->fx_job = pt->fx_job;
    if (!e->dir || !e->scratch || !e->vm_uuid || !e->vm_name || !e->target)
        r = err_nomem(err);
    if (r >= 0 && with_domain)
        r = hv_domain_find(g->config->hv, pt->vm_uuid, &e->dom, err);
    /* In the list in any case: it owns the entry. What has not begun is not looked at. */
    pthread_mutex_lock(&g->lock);
    e->next = g->list;
    __atomic_store_n(&g->list, e, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&g->lock);
    return r;
}

int qemu_guard_add(struct qemu_guard *g, const struct qemu_point *pt, struct err *err)
{
    bool first = true;

    for (size_t i = 0; i < pt->n_disks; i++) {
        if (!pt->disks[i].scratch)
            continue;
        _cleanup_free_ char *dir = io_dirname(pt->disks[i].scratch);
        int r = dir ? provider_scratch_room(dir, g->config->scratch_reserve, err) : err_nomem(err);
        if (r >= 0)
            r = guard_add(g, pt, &pt->disks[i], first, err);
        if (r < 0)
            return err_context(err, "VM %s", pt->vm_name);
        first = false;
    }
    return 0;
}

static void guard_mark(struct qemu_guard *g, const struct qemu_point *pt, bool gone)
{
    for (struct guarded *e = g ? __atomic_load_n(&g->list, __ATOMIC_ACQUIRE) : NULL; e; e = e->next)
        if (e->fx_job == pt->fx_job)
            __atomic_store_n(gone ? &e->gone : &e->begun, true, __ATOMIC_RELEASE);
}

void qemu_guard_begun(struct qemu_guard *g, const struct qemu_point *pt)
{
    guard_mark(g, pt, false);
}

void qemu_guard_gone(struct qemu_guard *g, const struct qemu_point *pt)
{
    guard_mark(g, pt, true);
}

int qemu_check_snapshots(void *priv, const char *set_id, char **ret_vm_uuid, struct err *err)
{
    const struct qemu_provider *p = priv;
    struct qemu_guard *g = p->guard;

    (void)set_id;
    if (!g)
        return 0;
    SCOPED_LOCK(&g->lock);
    if (!g->why.code)
        return 0;
    *ret_vm_uuid = g->whose ? strdup(g->whose) : NULL;
    return err_move(err, &g->why);
}
