/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hypervisor/host/patience.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/thread.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define TOLD_TO_END_MS 1000u /* a sound QEMU answers in far less */
#define INSIST_MS 10000u
#define INSIST_LONG_MS 30000u
#define INSIST_MORE_MS 30000u
#define LOOK_MS 100u
#define WORK_LOOK_MS 5000u /* or half the limit, if that is shorter */
#define WORK_PER_CENT 5u   /* of one processor; a QEMU that hangs uses none */
#define IDLE_LOOKS 2u      /* one program that is done, and another that has not begun */
#define HELD_MS 15000u     /* for so long a VM that another call of libvirt's held for 30 s is taken to be held still */

/* One call, shared by who waits for it, the thread that makes it, and the list of those left behind. */
struct patient {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    unsigned users;
    bool done; /* it has returned */
    int r;
    bool held;           /* another call of libvirt's held the VM for as long as libvirt waits for that */
    uint64_t held_until; /* once it is done: for so long it is taken to be held still */
    struct err err;
    char *uri;
    bool about_vm; /* else uuid is not set */
    unsigned char uuid[VIR_UUID_BUFLEN];
    virConnectPtr conn; /* given along, or opened by the thread */
    virDomainPtr dom;   /* the same */
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
    if (p->dom)
        virDomainFree(p->dom);
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
        return hv_virt_error(&p->err, "cannot open another connection to libvirt at %s", p->uri);
    if (p->about_vm && !p->dom && !(p->dom = virDomainLookupByUUID(p->conn, p->uuid)))
        return hv_virt_error(&p->err, "cannot look up a VM");
    int r = p->call.fn(p->conn, p->dom, p->arg, &p->err);
    p->held = r < 0 && hv_virt_code() == VIR_ERR_OPERATION_TIMEOUT;
    return r;
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

/* d is NULL for what libvirt does not know yet. */
static struct patient *patient_new(const struct hv *hv, struct hv_domain *d, const struct patient_call *call)
{
    struct patient *p = calloc(1, sizeof(*p));

    if (!p || !(p->uri = strdup(hv->uri)) || (d && virDomainGetUUID(hv_handle(d), p->uuid) < 0)) {
        free(p ? p->uri : NULL);
        free(p);
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    thread_cond_init(&p->ended);
    p->users = 1;
    p->about_vm = d != NULL;
    p->call = *call;
    return p;
}

static int patient_start(struct patient *p, struct err *err)
{
    p->users++;
    int r = thread_start(NULL, "kvss-patient", patient_main, p);
    if (r == 0)
        return 0;
    p->users--;
    return err_errno(err, -r, "cannot start a thread");
}

/* Nobody waits for it: a QEMU that does not end what it is told to end is no worse than before. */
static void tell_to_stop(const struct hv *hv, struct hv_domain *d, const struct patient_call *call)
{
    const struct patient_call stop = { .fn = call->stop };
    struct patient *p = d ? patient_new(hv, d, &stop) : NULL;

    if (p) {
        (void)patient_start(p, NULL);
        patient_leave(p);
    }
}

/* True: it has ended; else LOOK_MS are over. */
static bool wait_a_little(struct patient *p)
{
    SCOPED_LOCK(&p->lock);
    if (!p->done)
        (void)thread_cond_wait_until(&p->ended, &p->lock, clock_mono_ms() + LOOK_MS);
    return p->done;
}

/* How long it goes on after the command was told to end. What it changes is the watchdog's from then on. */
static unsigned when_told(const struct patient_call *call)
{
    if (!call->insists)
        return TOLD_TO_END_MS;
    return call->extra_ms ? INSIST_LONG_MS + (unsigned)num_min(call->extra_ms / 10, INSIST_MORE_MS) : INSIST_MS;
}

int patience_ask_qemu(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    virDomainIOThreadInfoPtr *list = NULL;
    int n = virDomainGetIOThreadInfo(dom, &list, VIR_DOMAIN_AFFECT_LIVE);

    (void)conn, (void)arg;
    for (int i = 0; i < n; i++)
        virDomainIOThreadInfoFree(list[i]);
    free(list);
    return n < 0 && hv_virt_code() == VIR_ERR_OPERATION_TIMEOUT ? hv_virt_error(err, "cannot query QEMU") : 0;
}

int hv_domain_answers(struct hv_domain *d, struct err *err)
{
    return patiently_do(d, patience_ask_qemu, false, err);
}

/* How much has been done for it, looked at now and then. */
struct work {
    uint64_t at, done; /* the last look */
    unsigned idle;     /* so many looks ago it went on */
};

static void look_at_work(struct work *w, const struct patient *p, uint64_t now, uint64_t limit)
{
    uint64_t every = num_min(WORK_LOOK_MS, limit / 2);

    if (!p->call.work || now - w->at < every)
        return;
    uint64_t done = p->call.work(p->arg);
    w->idle = done > w->done && done - w->done >= (now - w->at) * WORK_PER_CENT / 100 ? 0 : w->idle + 1;
    w->done = done;
    w->at = now;
}

/* Until it has returned, the time is over, or the command is told to end. -ETIMEDOUT, -EINTR: it goes on without us. */
static int patient_wait(struct patient *p, struct hv *hv, struct hv_domain *d)
{
    uint64_t begun = clock_mono_ms(), told = 0, limit = hv->answer_ms + (uint64_t)p->call.extra_ms,
             most = begun + limit + PATIENCE_WORKS_MS;
    struct work work = { .at = begun, .idle = IDLE_LOOKS };
    bool puts_back = p->call.long_job && par_cancelled(hv->cancel); /* what was told to end is being undone: that is to be done */

    while (!wait_a_little(p)) {
        uint64_t now = clock_mono_ms();
        if (!told && !puts_back && par_cancelled(hv->cancel)) {
            told = now + when_told(&p->call);
            if (p->call.stop)
                tell_to_stop(hv, d, &p->call);
        }
        if (told && now >= told)
            return -EINTR;
        look_at_work(&work, p, now, limit);
        if (now - begun < limit || (work.idle < IDLE_LOOKS && now < most))
            continue;
        if (!p->call.long_job || patiently_do(d, patience_ask_qemu, p->call.insists, NULL) == -ETIMEDOUT)
            return -ETIMEDOUT;
        begun = now;
    }
    return 0;
}

/* ---- Those left behind ----------------------------------------------------------------------------------------------------*/

static bool patience_is_done(struct patient *p)
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
        if (patience_is_done(hv->left[i])) {
            patient_leave(hv->left[i]);
            hv->left[i--] = hv->left[--hv->n_left];
        } else {
            hangs |= hv->left[i]->about_vm && !memcmp(hv->left[i]->uuid, uuid, VIR_UUID_BUFLEN);
        }
    }
    return hangs;
}

/* Without memory for it, it is not remembered, and the next call waits anew. */
static void leave_behind(struct hv *hv, struct patient *p)
{
    SCOPED_LOCK(&hv->lock);
    struct patient **more = reallocarray(hv->left, hv->n_left + 1, sizeof(*more));
    if (!more)
        return;
    hv->left = more;
    hv->left[hv->n_left++] = p;
    pthread_mutex_lock(&p->lock);
    p->users++;
    pthread_mutex_unlock(&p->lock);
}

/* ---- Connections ----------------------------------------------------------------------------------------------------------*/

struct patient_line {
    virConnectPtr conn;
    virDomainPtr dom;
};

void patient_line_free(struct patient_line *l)
{
    if (!l)
        return;
    virDomainFree(l->dom);
    virConnectClose(l->conn);
    free(l);
}

static virConnectPtr take_idle(struct hv *hv)
{
    SCOPED_LOCK(&hv->lock);
    return hv->n_idle ? hv->idle[--hv->n_idle] : NULL;
}

/* A connection that broke is of no use to anyone. */
static bool give_idle(struct hv *hv, virConnectPtr conn)
{
    SCOPED_LOCK(&hv->lock);
    if (!conn || hv->n_idle == IDLE_MAX || virConnectIsAlive(conn) != 1)
        return false;
    hv->idle[hv->n_idle++] = conn;
    return true;
}

/* What a call before a moment that counts can do; where it fails, that moment takes longer. */
void hv_domain_ready(struct hv_domain *d)
{
    struct patient_line *l = calloc(1, sizeof(*l));
    unsigned char uuid[VIR_UUID_BUFLEN];

    if (l && !d->line && virDomainGetUUID(hv_handle(d), uuid) == 0) {
        l->conn = virConnectOpen(d->hv->uri);
        l->dom = l->conn ? virDomainLookupByUUID(l->conn, uuid) : NULL;
        if (l->dom)
            d->line = TAKE_PTR(l);
        else if (l->conn)
            virConnectClose(l->conn);
    }
    free(l);
}

/* *ret_line: it is d's own, to be given back. */
static void connect_patient(struct patient *p, struct hv *hv, struct hv_domain *d, bool *ret_line)
{
    struct patient_line *l = d ? TAKE_PTR(d->line) : NULL;

    *ret_line = l && virConnectIsAlive(l->conn) == 1;
    if (*ret_line) {
        p->conn = l->conn;
        p->dom = l->dom;
        free(l);
        return;
    }
    patient_line_free(l);
    p->conn = take_idle(hv);
}

static void give_back(struct patient *p, struct hv *hv, struct hv_domain *d, bool line)
{
    struct patient_line *l = line ? malloc(sizeof(*l)) : NULL;

    if (l) {
        *l = (struct patient_line){ TAKE_PTR(p->conn), TAKE_PTR(p->dom) };
        d->line = l;
        return;
    }
    if (p->dom)
        virDomainFree(TAKE_PTR(p->dom));
    if (give_idle(hv, p->conn))
        p->conn = NULL;
}

bool hv_domain_hangs(struct hv_domain *d)
{
    unsigned char uuid[VIR_UUID_BUFLEN];

    return virDomainGetUUID(hv_handle(d), uuid) == 0 && still_hangs(d->hv, uuid);
}

void patience_close(struct hv *hv)
{
    for (unsigned i = 0; i < hv->n_left; i++)
        patient_leave(hv->left[i]);
    free(hv->left);
    for (unsigned i = 0; i < hv->n_idle; i++)
        virConnectClose(hv->idle[i]);
}

/* ---- The call -------------------------------------------------------------------------------------------------------------*/

static int does_not_answer(const struct hv *hv, const char *name, const struct patient_call *call, int r, struct err *err)
{
    if (r == -EINTR)
        return err_set(err, EINTR, "%s: interrupted while waiting for QEMU", name);
    if (r == -EALREADY)
        return err_set(err, ETIMEDOUT, "%s: QEMU does not respond (not asked again)", name);
    return err_set(err, ETIMEDOUT, "%s: QEMU does not respond (%u s)", name, (hv->answer_ms + call->extra_ms) / 1000);
}

/* It has returned. Who could not get hold of the VM for 30 s is not to be asked again at once. */
static int patience_take_result(struct patient *p, struct hv *hv, const char *name, struct err *err)
{
    if (p->r >= 0)
        return p->r;
    if (!p->held)
        return err_move(err, &p->err);
    p->held_until = clock_mono_ms() + HELD_MS;
    leave_behind(hv, p);
    return err_set(err, ETIMEDOUT, "%s: QEMU does not respond (%u s), or is busy with another program: %s", name, HV_ANSWER_MS / 1000,
                   p->err.text);
}

static int run_patient(struct patient *p, struct hv *hv, struct hv_domain *d, const char *name, void **arg, struct err *err)
{
    bool line;

    connect_patient(p, hv, d, &line);
    p->arg = *arg;
    int r = patient_start(p, err);
    if (r < 0) {
        p->arg = NULL;
        return r;
    }
    r = patient_wait(p, hv, d);
    if (r < 0) {
        *arg = NULL;
        leave_behind(hv, p);
        return does_not_answer(hv, name, &p->call, r, err);
    }
    p->arg = NULL;
    give_back(p, hv, d, line);
    return patience_take_result(p, hv, name, err);
}

int patiently(struct hv_domain *d, const struct patient_call *call, void **arg, struct err *err)
{
    _cleanup_free_ char *name = str_format("VM %s", d->name);
    struct patient *p = name ? patient_new(d->hv, d, call) : NULL;

    if (!p)
        return err_nomem(err);
    bool hangs = !call->about_hung && still_hangs(d->hv, p->uuid);
    int r = hangs ? does_not_answer(d->hv, name, call, -EALREADY, err) : run_patient(p, d->hv, d, name, arg, err);
    patient_leave(p);
    return r;
}

int patiently_at(struct hv *hv, const char *name, const struct patient_call *call, void **arg, struct err *err)
{
    struct patient *p = patient_new(hv, NULL, call);

    if (!p)
        return err_nomem(err);
    int r = run_patient(p, hv, NULL, name, arg, err);
    patient_leave(p);
    return r;
}

int patiently_do(struct hv_domain *d, patient_fn *fn, bool insists, struct err *err)
{
    const struct patient_call call = { .fn = fn, .insists = insists };
    void *none = NULL;

    return patiently(d, &call, &none, err);
}
