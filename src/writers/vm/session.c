/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VMs of one backup session: read, checked against what Identify said, and made ready to be acted on. */
#include "base/buf.h"
#include "base/clock.h"
#include "writers/vm/internal.h"
#include <errno.h>
#include <string.h>

static void free_disks(struct vm *vm)
{
    for (size_t i = 0; i < vm->n_disks; i++) {
        free((char *)vm->disks[i].target);
        free((char *)vm->disks[i].path);
        free((char *)vm->disks[i].format);
    }
    free(vm->disks);
}

void vm_clear(struct vm *vm)
{
    free_disks(vm);
    if (vm->dom)
        hv_domain_free(vm->dom);
    vm_report_clear(&vm->report);
    free(vm->set_id);
    free(vm->checkpoint);
    free(vm->since);
    free(vm->definition);
    free(vm->live);
    free(vm->memory);
    free(vm->nvram);
    free(vm->not_quiesced);
    strv_free(vm->tpm);
    strv_free(vm->tpm_files);
    strv_free(vm->traits);
    strv_free(vm->warnings);
    memset(vm, 0, sizeof(*vm));
}

void vm_session_free(struct vm_session *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        vm_clear(&s->vms[i]);
    free(s->vms);
    par_barrier_free(s->ready);
    par_barrier_free(s->held);
    par_barrier_free(s->taken);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int vm_session_new(struct vm_writer *w, size_t n, struct vm_session **ret, struct err *err)
{
    _cleanup_(vm_session_free_p) struct vm_session *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(err, ENOMEM, "out of memory");
    pthread_mutex_init(&s->lock, NULL);
    s->writer = w;
    s->vms = calloc(n ? n : 1, sizeof(*s->vms));
    if (!s->vms)
        return err_set(err, ENOMEM, "out of memory");
    s->n = n;
    int r = par_barrier_new(n, &s->ready, err);
    if (r >= 0)
        r = par_barrier_new(n, &s->held, err);
    if (r >= 0)
        r = par_barrier_new(n, &s->taken, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(s);
    return 0;
}

/* The disks whose point in time is taken: what the report says is covered. */
static int list_disks(struct vm *vm, struct err *err)
{
    vm->disks = calloc(vm->dom->n_disks ? vm->dom->n_disks : 1, sizeof(*vm->disks));
    if (!vm->disks)
        return err_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < vm->dom->n_disks; i++) {
        const struct hv_disk *from = &vm->dom->disks[i];
        if (!vm->report.disks[i].covered)
            continue;
        struct kvss_point_disk *to = &vm->disks[vm->n_disks++];
        to->target = strdup(from->target);
        to->path = from->path ? strdup(from->path) : NULL;
        to->format = strdup(from->format);
        to->readonly = from->readonly || from->transient;
        if (!to->target || !to->format || (from->path && !to->path))
            return err_set(err, ENOMEM, "out of memory");
    }
    return 0;
}

/* In its images, of which libvirt knows no checkpoint (an image was put back from an older copy): no backup takes them away, and they block
 * the way back to a snapshot too. */
static int warn_of_forgotten(struct vm *vm, struct err *err)
{
    _cleanup_strv_ char **names = NULL;

    int r = hv_forgotten_bitmaps(vm->dom, "kvss-", &names);
    if (r == 0 && names)
        r = strv_addf(&vm->warnings, "virsh snapshot-revert would fail, and leave it off: its images have %zu record%s of changes of which "
                                     "libvirt knows no checkpoint (%s); with the VM off: kvss checkpoint drop %s", strv_len(names),
                      strv_len(names) == 1 ? "" : "s", names[0], vm->dom->name);
    return r < 0 ? err_set(err, ENOMEM, "out of memory") : 0;
}

/* Named after the repository, so that chains of several repositories do not meet; the time, so that they sort; and the VM: an image
 * that is copied over another VM's must not bring a bitmap of the right name with it. */
static int name_checkpoint(struct vm *vm, struct err *err)
{
    const char *prefix = vm->writer->config.checkpoint_prefix;
    size_t n = 0;

    if (!prefix)
        return 0;
    /* QEMU (7.2) does not go back to a snapshot inside an image that has an active bitmap, and the VM is off then. */
    int r = hv_internal_snapshots(vm->dom, &n, err);
    if (r == 0 && n)
        r = warn_of_forgotten(vm, err);
    if (r < 0 || vm->report.method == VM_METHOD_OFFLINE)
        return r;
    if (n && strv_addf(&vm->warnings, "it has %zu snapshot%s inside its images, which could not be reverted to beside a checkpoint: none "
                                      "is made, and the next backup reads its disks whole", n, n == 1 ? "" : "s") < 0)
        return err_set(err, ENOMEM, "out of memory");
    if (n)
        return 0;
    vm->checkpoint = str_format("%s-%llu-%.8s", prefix, (unsigned long long)(clock_wall_us() / 1000), vm->dom->uuid);
    return vm->checkpoint ? 0 : err_set(err, ENOMEM, "out of memory");
}

/* That the guest cannot be quiesced any more is one matter, found out now or at the instant: the set begins anew, if it may. */
static int may_still(struct vm *vm, enum vm_method known, struct err *err)
{
    const char *name = vm->dom->name;

    if (vm->before == HV_RUNNING && known == VM_METHOD_CHILD && vm->report.method == VM_METHOD_SAVED) {
        _cleanup_free_ char *failed = vm_failed_conditions(&vm->report);
        err_vss(err, VSS_E_WRITERERROR_RETRYABLE, EAGAIN, "the guest cannot be quiesced any more: %s", failed ? failed : "unknown");
        int r = vm_not_quiesced(vm, err);
        err_context(err, "VM %s", name);
        return r;
    }
    if (vm->report.refused)
        return err_vss(err, VSS_E_WRITERERROR_NONRETRYABLE, EPERM, "VM %s: %s", name, vm->report.refused);
    if (vm->report.method == known)
        return 0;
    return err_vss(err, VSS_E_WRITERERROR_RETRYABLE, EAGAIN,
                   "VM %s has changed since it was looked at (it is %s now, and its method %s): run the backup again", name,
                   hv_state_name(vm->before), vm_method_name(vm->report.method));
}

int vm_load(struct vm_writer *w, struct vm *vm, const char *uuid, const char *previous_checkpoint, struct err *err)
{
    vm->writer = w;
    int r = hv_domain_get(w->config.hv, uuid, &vm->dom, err);
    if (r < 0)
        return r;
    r = vm_examine(w, vm->dom, &vm->report, err);
    if (r < 0)
        return err_context(err, "VM %s", vm->dom->name);
    vm->before = vm->dom->state;
    r = may_still(vm, vm_known_method(w, uuid), err);
    if (r < 0)
        return r;
    if (previous_checkpoint && !(vm->since = strdup(previous_checkpoint)))
        return err_set(err, ENOMEM, "out of memory");
    r = list_disks(vm, err);
    return r < 0 ? r : name_checkpoint(vm, err);
}
