/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The writer's side of the VSS events. What is special happens in PrepareForSnapshot and PostSnapshot (M5). */
#include "base/io.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>

int vm_writer_new(const struct vm_writer_config *config, struct vm_writer **ret, struct err *err)
{
    struct vm_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return err_nomem(err);
    w->config = *config;
    pthread_mutex_init(&w->lock, NULL);
    *ret = w;
    return 0;
}

void vm_writer_free(struct vm_writer *w)
{
    if (!w)
        return;
    vm_known_free(w->known);
    for (struct vm_recorded *k = w->recorded, *next; k; k = next) {
        next = k->next;
        vm_record_clear(&k->record);
        free(k);
    }
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static int vm_writer_identify(void *writer, struct kvss_metadata *md, struct err *err)
{
    return vm_identify(writer, md, err);
}

uint32_t vm_hresult(const struct err *err)
{
    switch (err->hresult ? 0 : err->code) {
    case 0: return err->hresult;
    case EBUSY: /* another job holds the VM, another program its agent */
    case EAGAIN:
    case EINTR:
    case EHOSTUNREACH: /* the agent was just there, and did not answer */ return VSS_E_WRITERERROR_RETRYABLE;
    case ETIMEDOUT: return VSS_E_WRITERERROR_TIMEOUT;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM: return VSS_E_WRITERERROR_OUTOFRESOURCES;
    default: return VSS_E_WRITERERROR_NONRETRYABLE;
    }
}

static bool writer_fail(struct kvss_event *ev, const struct err *err)
{
    kvss_set_writer_failure(ev, vm_hresult(err), "%s", err->text);
    return false;
}

static struct kvss_component *component_of(struct kvss_event *ev, const char *uuid)
{
    for (size_t i = 0; i < kvss_event_component_count(ev); i++) {
        struct kvss_component *c = kvss_event_component(ev, i);
        if (guid_equal(kvss_component_name(c), uuid))
            return c;
    }
    return NULL;
}

/* Which VMs it was that failed, or whose guests could not be quiesced, beside the failure of the whole set. */
static void name_failed(const struct vm_session *s, struct kvss_event *ev)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct vm *vm = &s->vms[i];
        struct kvss_component *c = !vm->not_quiesced && !vm->failed.code ? NULL
                                   : vm->dom                             ? component_of(ev, vm->dom->uuid)
                                                                         : kvss_event_component(ev, i); /* it was not even found */
        if (c && vm->not_quiesced)
            (void)kvss_component_set_failure(c, vm->guest_refused ? VM_WRITER_GUEST_REFUSED : VM_WRITER_NOT_QUIESCED, vm->not_quiesced,
                                             NULL);
        else if (c)
            (void)kvss_component_set_failure(c, vm_hresult(&vm->failed), vm->failed.text, NULL);
    }
}

/* ---- PrepareForBackup: everything that can be refused is refused here, before anything is touched --------------------------*/

struct load {
    struct vm_session *s;
    struct kvss_event *ev;
};

static int writer_load_one(void *ctx, size_t i, struct err *err)
{
    struct load *l = ctx;
    const struct kvss_component *c = kvss_event_component(l->ev, i);
    enum vss_backup_type type = kvss_event_backup_type(l->ev);
    bool chained = type == VSS_BT_INCREMENTAL || type == VSS_BT_DIFFERENTIAL;
    struct vm *vm = &l->s->vms[i];
    struct err why = ERR_INIT;

    int r = vm_load(l->s->writer, vm, kvss_component_name(c), chained ? kvss_component_previous_stamp(c) : NULL, &why);
    if (r < 0 && r != -EINTR)
        vm->failed = why;
    return r < 0 ? err_move(err, &why) : 0;
}

/* Each would fit alone, and all of them are saved at once. */
static int writer_check_room(const struct vm_session *s, struct err *err)
{
    _cleanup_free_ uint64_t *bytes = calloc(s->n + 1, sizeof(*bytes));

    if (!bytes)
        return err_nomem(err);
    for (size_t i = 0; i < s->n; i++)
        bytes[i] = s->vms[i].report->save_bytes;
    return vm_writer_check_room(s->writer, bytes, s->n, err);
}

static bool child_needs_recovery(const struct vm_session *s, struct kvss_event *ev)
{
    if (!(kvss_event_context(ev) & VSS_VOLSNAP_ATTR_NO_AUTORECOVERY))
        return false;
    for (size_t i = 0; i < s->n; i++)
        if (s->vms[i].report->method == VM_METHOD_CHILD) {
            kvss_set_writer_failure(ev, VSS_E_WRITERERROR_NONRETRYABLE,
                                    "VM %s: Child VM Snapshot needs a shadow copy that can be recovered, but "
                                    "VSS_VOLSNAP_ATTR_NO_AUTORECOVERY was requested: use --method saved-state, or drop the attribute",
                                    s->vms[i].dom->name);
            return true;
        }
    return false;
}

static bool prepare_backup(void *writer, struct kvss_event *ev)
{
    struct vm_writer *w = writer;
    _cleanup_(vm_session_free_p) struct vm_session *s = NULL;
    struct err err = ERR_INIT;
    size_t n = kvss_event_component_count(ev);

    if (!w->config.journal || !w->config.points || !w->config.session_dir) {
        err_set(&err, EINVAL, "the VM writer was set up for queries only, not for a backup");
        return writer_fail(ev, &err);
    }
    if (vm_session_new(w, n, &s, &err) < 0)
        return writer_fail(ev, &err);
    struct load load = { .s = s, .ev = ev };
    if (par_each(n, 32, writer_load_one, &load, &err) < 0) {
        name_failed(s, ev);
        return writer_fail(ev, &err);
    }
    if (writer_check_room(s, &err) < 0)
        return writer_fail(ev, &err);
    if (child_needs_recovery(s, ev))
        return false;
    kvss_event_set_data(ev, TAKE_PTR(s));
    return true;
}

/* ---- PrepareForSnapshot, Freeze, Thaw, PostSnapshot ------------------------------------------------------------------------*/

/* The points of its VMs are asked for through the event. */
static void belong_to(struct vm_session *s, struct kvss_event *ev)
{
    for (size_t i = 0; i < s->n; i++)
        s->vms[i].ev = ev;
}

static bool prepare_snapshot(void *writer, struct kvss_event *ev)
{
    struct vm_session *s = kvss_event_data(ev);
    struct err err = ERR_INIT;
    (void)writer;

    if (!s || !s->n)
        return true;
    belong_to(s, ev);
    if (vm_session_prepare_snapshot(s, kvss_event_set_id(ev), &err) >= 0)
        return true;
    name_failed(s, ev);
    return writer_fail(ev, &err);
}

/* M8: all is done when PrepareForSnapshot returns. */
static bool nothing(void *writer, struct kvss_event *ev)
{
    (void)writer;
    (void)ev;
    return true;
}

static void keep_record(struct vm_writer *w, struct vm_recorded *kept)
{
    SCOPED_LOCK(&w->lock);
    kept->next = w->recorded;
    w->recorded = kept;
}

int vm_writer_take_record(struct vm_writer *w, const char *uuid, struct vm_record *ret, struct err *err)
{
    SCOPED_LOCK(&w->lock);
    for (struct vm_recorded **at = &w->recorded; *at; at = &(*at)->next) {
        struct vm_recorded *found = *at;
        if (!found->record.uuid || !guid_equal(found->record.uuid, uuid))
            continue;
        *at = found->next;
        *ret = found->record;
        free(found);
        return 0;
    }
    return err_set(err, EIO, "the VM writer recorded no data for VM %s", uuid);
}

static int writer_report(struct kvss_event *ev, const struct vm *vm, struct err *err)
{
    struct kvss_component *c = component_of(ev, vm->dom->uuid);
    struct vm_recorded *kept = calloc(1, sizeof(*kept));

    if (!c || !kept) {
        free(kept);
        return err_nomem(err);
    }
    int r = vm_make_record(vm, &kept->record, err);
    _cleanup_free_ char *reference = r >= 0 ? vm_backup_reference(&kept->record) : NULL;
    keep_record(vm->writer, kept); /* whatever became of it */
    if (r >= 0)
        r = reference ? kvss_component_set_backup_metadata(c, reference, err) : err_nomem(err);
    if (r >= 0 && vm->checkpoint && vm->report->method != VM_METHOD_OFFLINE)
        r = kvss_component_set_backup_stamp(c, vm->checkpoint, err);
    return r;
}

static bool post_snapshot(void *writer, struct kvss_event *ev)
{
    struct vm_session *s = kvss_event_data(ev);
    struct err err = ERR_INIT;
    (void)writer;

    if (!s)
        return true;
    belong_to(s, ev);
    if (vm_session_post_snapshot(s, &err) < 0) {
        struct err undo = ERR_INIT;
        (void)vm_session_undo(s, &undo); /* each that cannot be undone is logged, and abort tries again */
        name_failed(s, ev);
        return writer_fail(ev, &err);
    }
    for (size_t i = 0; i < s->n; i++)
        if (writer_report(ev, &s->vms[i], &err) < 0)
            return writer_fail(ev, &err);
    return true;
}

static bool do_abort(void *writer, struct kvss_event *ev)
{
    struct vm_session *s = kvss_event_data(ev);
    struct err err = ERR_INIT;
    (void)writer;

    if (!s)
        return true;
    par_cancel_raise(&s->broken);
    par_barrier_break(s->ready);
    par_barrier_break(s->held);
    par_barrier_break(s->taken);
    return vm_session_undo(s, &err) < 0 ? writer_fail(ev, &err) : true;
}

/* The parts have been read; their copies go. Anything else that is still open belongs to a backup that did not complete. */
static bool backup_shutdown(void *writer, struct kvss_event *ev)
{
    struct vm_session *s = kvss_event_data(ev);
    (void)writer;

    if (!s)
        return true;
    for (size_t i = 0; i < s->n; i++) {
        (void)io_unlink(s->vms[i].definition ? s->vms[i].definition : "", NULL);
        (void)io_unlink(s->vms[i].memory ? s->vms[i].memory : "", NULL);
        (void)io_unlink(s->vms[i].nvram ? s->vms[i].nvram : "", NULL);
    }
    if (!kvss_event_succeeded(ev)) {
        struct err err = ERR_INIT;
        (void)vm_session_undo(s, &err);
    }
    vm_session_free(s);
    kvss_event_set_data(ev, NULL);
    return true;
}

const struct kvss_writer vm_writer_ops = {
    .struct_size = sizeof(struct kvss_writer),
    .api = KVSS_WRITER_API,
    .name = VM_WRITER_NAME,
    .id = VM_WRITER_ID,
    .usage = VSS_UT_USERDATA,
    .source = VSS_ST_OTHER,
    .identify = vm_writer_identify,
    .prepare_backup = prepare_backup,
    .prepare_snapshot = prepare_snapshot,
    .freeze = nothing,
    .thaw = nothing,
    .post_snapshot = post_snapshot,
    .backup_shutdown = backup_shutdown,
    .abort = do_abort,
    .pre_restore = vm_pre_restore,
    .post_restore = vm_post_restore,
};
