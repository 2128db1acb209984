/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VMs of one backup session: as they were examined, and made ready to be acted on. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "cluster/cluster.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <string.h>

#define OVERLAY_END ".overlay" /* of a provider that copies volumes */

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
    hv_live_free(vm->live_memory);
    free_disks(vm);
    free(vm->set_id);
    free(vm->checkpoint);
    free(vm->since);
    free(vm->definition);
    free(vm->live);
    free(vm->memory);
    free(vm->nvram);
    free(vm->not_quiesced);
    cluster_keep_end(vm->keep);
    free(vm->lease);
    hv_kept_clear(&vm->kept);
    vm_record_guest_clear(&vm->guest);
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
        return err_nomem(err);
    pthread_mutex_init(&s->lock, NULL);
    s->writer = w;
    s->vms = calloc(n ? n : 1, sizeof(*s->vms));
    if (!s->vms)
        return err_nomem(err);
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

/* It has what the guest wrote last, and goes once that could be committed. */
static int check_overlay(const struct hv_disk *disk, struct err *err)
{
    const char *name = strrchr(disk->path, '/');
    size_t n = name ? strlen(++name) : 0, end = strlen(OVERLAY_END);

    if (n < end || strncmp(name, IO_TEMPORARY_PREFIX, strlen(IO_TEMPORARY_PREFIX)) || strcmp(name + n - end, OVERLAY_END))
        return 0;
    return err_set(err, EBUSY, "disk %s still writes into an overlay of an earlier session, %s: run: kvss recover", disk->target,
                   disk->path);
}

/* The disks whose point in time is taken: what the report says is covered. */
static int list_disks(struct vm *vm, struct err *err)
{
    vm->disks = calloc(vm->dom->n_disks ? vm->dom->n_disks : 1, sizeof(*vm->disks));
    if (!vm->disks)
        return err_nomem(err);
    for (size_t i = 0; i < vm->dom->n_disks; i++) {
        const struct hv_disk *from = &vm->dom->disks[i];
        if (!vm->report->disks[i].covered)
            continue;
        int r = from->path ? check_overlay(from, err) : 0;
        if (r < 0)
            return r;
        struct kvss_point_disk *to = &vm->disks[vm->n_disks++];
        to->target = strdup(from->target);
        to->path = from->path ? strdup(from->path) : NULL;
        to->format = strdup(from->format);
        to->readonly = !vm_disk_is_written(from);
        if (!to->target || !to->format || (from->path && !to->path))
            return err_nomem(err);
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
        r = strv_addf(&vm->warnings,
                      "virsh snapshot-revert would fail and leave the VM off: its images have %zu orphaned dirty bitmap%s without a "
                      "libvirt checkpoint (%s); with the VM off: kvss checkpoint drop %s",
                      strv_len(names), strv_len(names) == 1 ? "" : "s", names[0], vm->dom->name);
    return r < 0 ? err_nomem(err) : 0;
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
    if (r < 0 || vm->report->method == VM_METHOD_OFFLINE)
        return r;
    if (n && strv_addf(&vm->warnings,
                       "it has %zu snapshot%s inside its images, and QEMU could not revert to one if there was a checkpoint: no checkpoint "
                       "is created, and the next backup reads its disks in full",
                       n, n == 1 ? "" : "s") < 0)
        return err_nomem(err);
    if (n)
        return 0;
    vm->checkpoint = str_format("%s-%llu-%.8s", prefix, (unsigned long long)(clock_wall_us() / 1000), vm->dom->uuid);
    return vm->checkpoint ? 0 : err_nomem(err);
}

int vm_load(struct vm_writer *w, struct vm *vm, const char *uuid, const char *previous_checkpoint, struct err *err)
{
    const struct vm_known *known = NULL;

    vm->writer = w;
    int r = vm_known_get(w, uuid, &known, err);
    if (r < 0)
        return r;
    vm->dom = known->dom;
    vm->report = &known->report;
    vm->before = vm->dom->state;
    if (vm->report->refused)
        return err_vss(err, VSS_E_WRITERERROR_NONRETRYABLE, EPERM, "VM %s: %s", vm->dom->name, vm->report->refused);
    if (previous_checkpoint && !(vm->since = strdup(previous_checkpoint)))
        return err_nomem(err);
    r = list_disks(vm, err);
    return r < 0 ? r : name_checkpoint(vm, err);
}
