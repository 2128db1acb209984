/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The record of one VM's backup (B3), as far as the writer knows it. */
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "writers/vm/vm_internal.h"
#include "writers/vm/vm_record_keys.h"
#include <errno.h>
#include <string.h>

/* Each of these may run out of memory: 0 or -ENOMEM. NULL stays NULL. */
static int record_text(char **to, const char *text)
{
    return !text || (*to = strdup(text)) ? 0 : -ENOMEM;
}

static int record_texts(char ***to, char *const *texts)
{
    int r = 0;

    for (; texts && *texts && r >= 0; texts++)
        r = strv_add(to, *texts);
    return r < 0 ? -ENOMEM : 0;
}

/* ---- From the report, which is made before anything is touched ----------------------------------------------------------------*/

static int make_conditions(const struct vm_report *r, struct vm_record *ret)
{
    int rc = (ret->conditions = calloc(ARRAY_SIZE(r->conditions), sizeof(*ret->conditions))) ? 0 : -ENOMEM;

    for (size_t i = 0; i < ARRAY_SIZE(r->conditions) && rc >= 0; i++) {
        const struct vm_condition *c = &r->conditions[i];
        struct vm_record_condition *to = &ret->conditions[ret->n_conditions++];
        to->ok = (struct vm_opt){ c->checked, c->ok };
        rc = record_text(&to->clause, c->clause) | record_text(&to->name, c->name) | record_text(&to->why, c->why);
    }
    return rc;
}

static int make_disks(const struct vm_report *r, struct vm_record *ret)
{
    int rc = (ret->disks = calloc(r->n_disks + 1, sizeof(*ret->disks))) ? 0 : -ENOMEM;

    for (size_t i = 0; i < r->n_disks && rc >= 0; i++) {
        const struct vm_disk_report *d = &r->disks[i];
        struct vm_record_disk *to = &ret->disks[ret->n_disks++];
        to->covered = d->covered;
        rc = record_text(&to->target, d->target) | record_text(&to->path, d->path) | record_text(&to->format, d->format) |
             record_text(&to->why, d->why) | record_text(&to->clause, d->clause) | record_text(&to->excluded_by, d->excluded_by);
    }
    return rc;
}

int vm_record_of_report(const struct vm_report *r, struct vm_record *ret, struct err *err)
{
    const struct vm_policy *p = &r->policy;

    vm_record_clear(ret);
    ret->version = VM_RECORD_VERSION;
    ret->state = r->state;
    ret->method = r->method;
    ret->consistency = r->level;
    ret->policy = (struct vm_record_policy){ true, p->method, p->require, p->fallback };
    int rc = record_text(&ret->name, r->name) | record_text(&ret->uuid, r->uuid) | record_text(&ret->not_quiesced, p->not_quiesced);
    if (rc >= 0)
        rc = make_conditions(r, ret) | make_disks(r, ret) | record_texts(&ret->warnings, r->warnings);
    if (rc >= 0)
        rc = vm_record_guest_copy(&r->guest, &ret->guest, err);
    if (rc < 0)
        vm_record_clear(ret);
    return rc < 0 ? err_nomem(err) : 0;
}

/* ---- What was done --------------------------------------------------------------------------------------------------------------*/

static int make_frozen(const struct vm *vm, struct vm_record *ret)
{
    bool child = vm->report->method == VM_METHOD_CHILD, crash = vm->report->method == VM_METHOD_CRASH;
    int rc = (ret->frozen = calloc(vm->report->n_fs + 1, sizeof(*ret->frozen))) ? 0 : -ENOMEM;

    for (size_t i = 0; i < vm->report->n_fs && rc >= 0; i++) {
        const struct hv_guest_fs *fs = &vm->report->fs[i];
        struct vm_record_fs *to = &ret->frozen[ret->n_frozen++];
        bool can = hv_fs_freezable(fs->type, vm->report->windows) && !fs->read_only;
        const char *why = crash           ? "nothing was frozen"
                          : !child        ? "the VM was paused completely"
                          : can           ? NULL
                          : fs->read_only ? "mounted read-only"
                                          : "cannot be frozen, but nothing writes to it";
        to->frozen = child && can;
        rc = record_text(&to->mountpoint, fs->mountpoint) | record_text(&to->type, fs->type) | record_text(&to->why, why);
    }
    return rc;
}

static int make_image_info(struct hv *hv, const struct hv_disk *d, struct vm_record_image *ret)
{
    struct hv_image_info info = { 0 };

    if (!d->path || hv_image_info(hv, d->path, d->format, true, &info, NULL) < 0)
        return 0;
    *ret = (struct vm_record_image){
        .known = true,
        .cluster_size = info.cluster_size,
        .lazy_refcounts = info.lazy_refcounts,
        .extended_l2 = info.extended_l2,
        .refcount_bits = info.refcount_bits,
        .snapshots = info.n_snapshots,
    };
    if (!strcmp(d->format, "raw") && info.file_size)
        ret->file_size = (struct vm_opt){ true, info.file_size };
    int rc = record_text(&ret->compat, info.compat) | record_text(&ret->preallocation, info.preallocation) |
             record_text(&ret->compression, info.compression);
    hv_image_info_clear(&info);
    return rc;
}

/* Disks of the report beyond those of the domain are pass-through devices. */
static int complete_disks(const struct vm *vm, struct vm_record *ret)
{
    int rc = 0;

    for (size_t i = 0; i < ret->n_disks && i < vm->dom->n_disks && rc >= 0; i++) {
        const struct hv_disk *d = &vm->dom->disks[i];
        struct vm_record_disk *to = &ret->disks[i];
        to->size = d->size;
        to->readonly = d->readonly;
        to->shareable = d->shareable;
        rc = record_texts(&to->backing, d->backing) | (to->covered ? make_image_info(vm->dom->hv, d, &to->image) : 0);
    }
    return rc;
}

static int make_part(struct vm_record *ret, const char *name, const char *path, const char *restore_path, const char *tpm)
{
    if (!path)
        return 0;
    struct vm_record_part *more = realloc(ret->parts, (ret->n_parts + 1) * sizeof(*more));
    if (!more)
        return -ENOMEM;
    ret->parts = more;
    struct vm_record_part *to = &more[ret->n_parts++];
    *to = (struct vm_record_part){ 0 };
    return record_text(&to->name, name) | record_text(&to->path, path) | record_text(&to->restore_path, restore_path) |
           record_text(&to->tpm, tpm);
}

/* A part for each file, named as the file is; "tpm" is where it belongs below the folder of the VM's TPM, whatever UUID that has. */
static int make_tpm_parts(const struct vm *vm, struct vm_record *ret)
{
    _cleanup_free_ char *dir = NULL;
    int rc = 0;

    if (!vm->tpm || hv_tpm_dir(vm->writer->config.hv, vm->dom->uuid, &dir, NULL) < 0)
        return 0;
    for (size_t i = 0; vm->tpm[i] && rc >= 0; i++) {
        _cleanup_free_ char *from = io_path(dir, vm->tpm_files[i]), *name = io_basename(vm->tpm_files[i]);
        rc = from && name ? make_part(ret, name, vm->tpm[i], from, vm->tpm_files[i]) : -ENOMEM;
    }
    return rc;
}

static int make_parts(const struct vm *vm, struct vm_record *ret)
{
    int rc = make_part(ret, VM_PART_DEFINITION, vm->definition, NULL, NULL);

    if (rc >= 0)
        rc = make_part(ret, VM_PART_LIVE, vm->live, NULL, NULL);
    if (rc >= 0)
        rc = make_part(ret, VM_PART_MEMORY, vm->memory, NULL, NULL);
    if (rc >= 0)
        rc = make_part(ret, VM_PART_NVRAM, vm->nvram, vm->dom->nvram, NULL);
    return rc < 0 ? rc : make_tpm_parts(vm, ret);
}

static struct vm_ms span_ms(uint64_t from_us, uint64_t to_us)
{
    return from_us && to_us >= from_us ? (struct vm_ms){ true, (double)(to_us - from_us) / 1000.0 } : (struct vm_ms){ 0 };
}

/* Not known of one that did not run before either. A guest that is frozen runs: see frozen_ms. */
static struct vm_ms down_ms(const struct vm *vm)
{
    bool never = vm->report->method == VM_METHOD_CHILD || vm->report->method == VM_METHOD_CRASH;

    if (never && vm->before == HV_RUNNING && !vm->paused_us)
        return (struct vm_ms){ true, 0 };
    return span_ms(vm->paused_us, vm->resumed_us);
}

/* What the image of a disk holds and no NBD server tells of. */
static int warn_of_snapshots(struct vm_record *ret)
{
    int rc = 0;

    for (size_t i = 0; i < ret->n_disks && rc >= 0; i++) {
        unsigned long long n = ret->disks[i].image.snapshots;
        _cleanup_free_ char *text = n ? str_format("disk %s: the %llu snapshot%s inside its image %s not backed up", ret->disks[i].target,
                                                   n, n == 1 ? "" : "s", n == 1 ? "is" : "are")
                                      : NULL;
        rc = !n ? 0 : text ? strv_add(&ret->warnings, text) : -ENOMEM;
    }
    return rc < 0 ? -ENOMEM : 0;
}

static int method_why(struct vm_record *ret, const char *why, const char *clause)
{
    return record_text(&ret->why, why) | record_text(&ret->clause, clause);
}

/* Why this method: the failed conditions, or what else decided. */
static int make_why(const struct vm *vm, struct vm_record *ret)
{
    _cleanup_free_ char *failed = vm_failed_conditions(vm->report);
    const char *unquiet = vm->report->policy.not_quiesced;

    switch (vm->report->method) {
    case VM_METHOD_CHILD: return method_why(ret, "all five conditions for Child VM Snapshot are met", "M4");
    case VM_METHOD_OFFLINE: return method_why(ret, vm->before == HV_SAVED ? "the VM already had a saved state" : "the VM was off", NULL);
    default: break;
    }
    if (vm->report->policy.method == VM_METHOD_LIVE && vm->report->method == VM_METHOD_LIVE)
        return method_why(ret, "live-state was requested", "B8");
    if (vm->report->policy.method == VM_METHOD_CRASH)
        return method_why(ret, "crash consistency was requested", "B3");
    return unquiet || failed ? method_why(ret, unquiet ? unquiet : failed, "M4") : method_why(ret, "Saved State was requested", "M1");
}

int vm_make_record(const struct vm *vm, struct vm_record *ret, struct err *err)
{
    char instant[32];

    int rc = vm_record_of_report(vm->report, ret, err);
    if (rc < 0)
        return rc;
    ret->state = vm->before;
    if (vm->unproven)
        ret->consistency = VM_LEVEL_FILE_SYSTEM;
    ret->autostart = vm->dom->autostart;
    ret->persistent = vm->dom->persistent;
    ret->frozen_ms = span_ms(vm->frozen_us, vm->thawed_us);
    ret->down_ms = down_ms(vm);
    rc = make_why(vm, ret) | make_frozen(vm, ret) | complete_disks(vm, ret) | make_parts(vm, ret) |
         record_text(&ret->instant, clock_format(vm->instant_us, instant)) |
         record_text(&ret->checkpoint, vm->report->method != VM_METHOD_OFFLINE ? vm->checkpoint : NULL) |
         record_texts(&ret->warnings, vm->warnings);
    if (rc >= 0)
        rc = warn_of_snapshots(ret);
    if (rc >= 0 && vm->guest.known)
        rc = vm_record_guest_copy(&vm->guest, &ret->guest, err);
    return rc < 0 ? err_nomem(err) : 0;
}

/* The component's backup metadata: what a restore has to know of the VM before the record is read. Earlier versions of kvss look for the
 * VM's state and whether it is started with the host here, too. */
char *vm_backup_reference(const struct vm_record *r)
{
    _cleanup_json_ json_t *o = json_pack("{s:i, s:o, s:o, s:s, s:b}", KEY_VERSION, VM_RECORD_VERSION, KEY_VM, json_text(r->name), KEY_UUID,
                                         json_text(r->uuid), KEY_STATE, hv_state_name(r->state), KEY_AUTOSTART, r->autostart);

    return o ? json_dumps(o, JSON_COMPACT) : NULL;
}
