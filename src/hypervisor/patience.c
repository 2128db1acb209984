/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hypervisor/patience.h"
#include "base/clock.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define ANSWER_MS 30000u       /* as long as libvirt itself waits for who holds a VM */
#define TOLD_TO_END_MS 1000u   /* a sound QEMU answers in far less */
#define UNDOING_MS 10000u
#define LOOK_MS 100u
#define HELD_MS 15000u         /* for so long a VM that another call of libvirt's held for 30 s is taken to be held still */

/* One call, shared by who waits for it, the thread that makes it, and the list of those left behind. */
struct patient {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    unsigned users;
    bool done;            /* it has returned */
    int r;
    uint64_t held_until;  /* once it is done */
    struct err err;
    char *uri;
    unsigned char uuid[VIR_UUID_BUFLEN];
    virConnectPtr conn;   /* given along, or opened by the thread */
    struct patient_call call;
    void *arg;
};

static void patient_leave(struct patient *p)
{
    pthread_mutex_lock(&p->lock);
    bool last = --p->users == 0;
    pthread_mutex_unlock(&p->lock);
    if (!last)
        return;
    if (p->conn)
        virConnectClose(p->conn);
    if (p->arg && p->call.free_arg)
        p->call.free_arg(p->arg);
    pthread_cond_destroy(&p->ended);
    pthread_mutex_destroy(&p->lock);
    free(p->uri);
    free(p);
}

static int make_call(struct patient *p)
{
    if (!p->conn && !(p->conn = virConnectOpen(p->uri)))
        return hv_virt_error(&p->err, "cannot connect to libvirt at %s once more", p->uri);
    _cleanup_(virDomainFree_p) virDomainPtr dom = virDomainLookupByUUID(p->conn, p->uuid);
    if (!dom)
        return hv_virt_error(&p->err, "cannot look up a VM");
    return p->call.fn(dom, p->arg, &p->err);
}

static void *patient_main(void *arg)
{
    struct patient *p = arg;
    int r = make_call(p);

    pthread_mutex_lock(&p->lock);
    p->r = r;
    p->done = true;
    pthread_cond_signal(&p->ended);
    pthread_mutex_unlock(&p->lock);
    patient_leave(p);
    return NULL;
}

static struct patient *patient_new(struct hv_domain *d, const struct patient_call *call)
{
    struct patient *p = calloc(1, sizeof(*p));
    pthread_condattr_t attributes;

    if (!p || !(p->uri = strdup(d->hv->uri)) || virDomainGetUUID(hv_handle(d), p->uuid) < 0) {
        free(p ? p->uri : NULL);
        free(p);
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&p->ended, &attributes);
    pthread_condattr_destroy(&attributes);
    p->users = 1;
    p->call = *call;
    return p;
}

static int patient_start(struct patient *p, struct err *err)
{
    sigset_t all, old;
    pthread_t thread;

    p->users++;
    sigfillset(&all); /* signals are for the threads of the program */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&thread, NULL, patient_main, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r) {
        p->users--;
        return err_errno(err, r, "cannot start a thread");
    }
    pthread_detach(thread);
    return 0;
}

/* Until it has returned, the time is over, or the command is told to end. -ETIMEDOUT, -EINTR: it goes on without us. */
static int patient_wait(struct patient *p, const struct par_cancel *cancel)
{
    uint64_t begun = clock_mono_ms(), end = begun + ANSWER_MS, told = 0;
    int r = 0;

    pthread_mutex_lock(&p->lock);
    while (!p->done && r == 0) {
        struct timespec look;
        uint64_t now = clock_mono_ms();
        if (!told && par_cancelled(cancel))
            told = now + (p->call.undoing ? UNDOING_MS : TOLD_TO_END_MS);
        if (told && now >= told)
            r = -EINTR;
        else if (now >= end)
            r = -ETIMEDOUT;
        if (r < 0)
            break;
        clock_gettime(CLOCK_MONOTONIC, &look);
        look.tv_nsec += LOOK_MS * 1000000L;
        look.tv_sec += look.tv_nsec / 1000000000L;
        look.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&p->ended, &p->lock, &look);
    }
    pthread_mutex_unlock(&p->lock);
    return r;
}

/* ---- Those left behind ----------------------------------------------------------------------------------------------------*/

static bool is_done(struct patient *p)
{
    SCOPED_LOCK(&p->lock);
    return p->done && clock_mono_ms() >= p->held_until;
}

/* Whether one about this VM has not returned yet: then its QEMU still does not answer. Drops those that have. */
static bool still_hangs(struct hv *hv, const unsigned char *uuid)
{
    bool hangs = false;

    SCOPED_LOCK(&hv->lock);
    for (unsigned i = 0; i < hv->n_left; i++) {
        if (is_done(hv->left[i])) {
            patient_leave(hv->left[i]);
            hv->left[i--] = hv->left[--hv->n_left];
        } else {
            hangs |= !memcmp(hv->left[i]->uuid, uuid, VIR_UUID_BUFLEN);
        }
    }
    return hangs;
}

static void leave_behind(struct hv *hv, struct patient *p)
{
    SCOPED_LOCK(&hv->lock);
    struct patient **more = reallocarray(hv->left, hv->n_left + 1, sizeof(*more));
    if (more) {
        hv->left = more;
        hv->left[hv->n_left++] = p;
    } else {
        patient_leave(p); /* not remembered: the next call waits anew */
    }
}

static virConnectPtr take_idle(struct hv *hv)
{
    SCOPED_LOCK(&hv->lock);
    return hv->n_idle ? hv->idle[--hv->n_idle] : NULL;
}

/* A connection that broke is of no use to anyone. */
static void give_idle(struct hv *hv, struct patient *p)
{
    SCOPED_LOCK(&hv->lock);
    if (p->conn && hv->n_idle < IDLE_MAX && virConnectIsAlive(p->conn) == 1)
        hv->idle[hv->n_idle++] = TAKE_PTR(p->conn);
}

void patience_close(struct hv *hv)
{
    for (unsigned i = 0; i < hv->n_left; i++)
        patient_leave(hv->left[i]);
    free(hv->left);
    for (unsigned i = 0; i < hv->n_idle; i++)
        virConnectClose(hv->idle[i]);
}

static int does_not_answer(const struct hv_domain *d, int r, struct err *err)
{
    if (r == -EINTR)
        return err_set(err, EINTR, "VM %s: interrupted while its QEMU did not answer", d->name);
    return err_set(err, ETIMEDOUT, "VM %s: QEMU does not answer (%u s)", d->name, ANSWER_MS / 1000);
}

int patiently(struct hv_domain *d, const struct patient_call *call, void **arg, struct err *err)
{
    struct hv *hv = d->hv;
    struct patient *p = patient_new(d, call);

    if (!p)
        return err_errno(err, ENOMEM, "cannot ask libvirt about VM %s", d->name);
    if (still_hangs(hv, p->uuid)) {
        patient_leave(p);
        return does_not_answer(d, -ETIMEDOUT, err);
    }
    p->arg = *arg;
    p->conn = take_idle(hv);
    int r = patient_start(p, err);
    if (r < 0) {
        p->arg = NULL;
        patient_leave(p);
        return r;
    }
    r = patient_wait(p, hv->cancel);
    if (r < 0) {
        *arg = NULL;
        leave_behind(hv, p);
        return does_not_answer(d, r, err);
    }
    p->arg = NULL;
    give_idle(hv, p);
    r = p->r < 0 ? err_move(err, &p->err) : p->r;
    if (r == -EBUSY) {
        r = err_set(err, ETIMEDOUT, "VM %s: QEMU does not answer (%u s), or another program: %s", d->name, ANSWER_MS / 1000, p->err.text);
        p->held_until = clock_mono_ms() + HELD_MS;
        leave_behind(hv, p);
    } else {
        patient_leave(p);
    }
    return r;
}
