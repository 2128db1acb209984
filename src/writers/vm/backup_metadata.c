/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is told of one VM's backup (B3), as vm_writer.h describes it. */
#include "base/clock.h"
#include "base/io.h"
#include "writers/vm/internal.h"
#include <string.h>

static json_t *text_or_null(const char *s)
{
    return s ? json_string(s) : json_null();
}

static json_t *conditions(const struct vm_report *r)
{
    json_t *list = json_array();

    for (int i = 0; i < 5; i++) {
        const struct vm_condition *c = &r->conditions[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:o}", "clause", c->clause, "name", c->name, "ok",
                                              c->checked ? json_boolean(c->ok) : json_null(), "why", text_or_null(c->why)));
    }
    return list;
}

static json_t *frozen(const struct vm *vm)
{
    json_t *list = json_array();

    for (size_t i = 0; i < vm->report.n_fs; i++) {
        const struct hv_guest_fs *fs = &vm->report.fs[i];
        bool can = hv_fs_freezable(fs->type, vm->report.windows) && !fs->read_only;
        const char *why = vm->report.method != VM_METHOD_CHILD ? "the whole VM stood still"
                          : can                                ? NULL
                          : fs->read_only                      ? "mounted read-only"
                                                               : "cannot be frozen, and is not written";
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:o}", "mountpoint", fs->mountpoint, "type", fs->type, "frozen",
                                              vm->report.method == VM_METHOD_CHILD && can, "why", text_or_null(why)));
    }
    return list;
}

static json_t *image(const struct hv_disk *d)
{
    struct hv_image_info info = { 0 };

    if (!d->path || hv_image_info(d->path, d->format, true, &info, NULL) < 0)
        return json_null();
    json_t *j = json_pack("{s:I, s:o, s:b, s:b, s:o, s:o, s:i, s:i}", "cluster_size", (json_int_t)info.cluster_size, "compat",
                          text_or_null(info.compat), "lazy_refcounts", info.lazy_refcounts, "extended_l2", info.extended_l2,
                          "preallocation", text_or_null(info.preallocation), "compression", text_or_null(info.compression),
                          "refcount_bits", (int)info.refcount_bits, "snapshots", (int)info.n_snapshots);
    if (!strcmp(d->format, "raw") && info.file_size)
        json_object_set_new(j, "file_size", json_integer((json_int_t)info.file_size));
    hv_image_info_clear(&info);
    return j;
}

static json_t *disks(const struct vm *vm)
{
    json_t *list = json_array();

    for (size_t i = 0; i < vm->report.n_disks; i++) {
        const struct vm_disk_report *r = &vm->report.disks[i];
        const struct hv_disk *d = i < vm->dom->n_disks ? &vm->dom->disks[i] : NULL; /* the rest are pass-through devices */
        json_t *backing = json_array();
        for (char **b = d ? d->backing : NULL; b && *b; b++)
            json_array_append_new(backing, json_pack("{s:s}", "path", *b));
        json_array_append_new(
            list, json_pack("{s:s, s:o, s:o, s:I, s:b, s:o, s:b, s:b, s:o, s:o}", "target", r->target, "path",
                            text_or_null(r->path), "format", text_or_null(r->format), "size",
                            (json_int_t)(d ? d->size : 0), "covered", r->covered, "why", text_or_null(r->why), "readonly",
                            d && d->readonly, "shareable", d && d->shareable, "backing", backing, "image",
                            d && r->covered ? image(d) : json_null()));
    }
    return list;
}

static void add_part(json_t *list, const char *name, const char *path, const char *restore_path)
{
    if (path)
        json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "name", name, "path", path, "restore_path",
                                              text_or_null(restore_path)));
}

/* A part for each file, named as the file is; "tpm" is where it belongs below the folder of the VM's TPM, whatever UUID that has. */
static void add_tpm(json_t *list, const struct vm *vm)
{
    _cleanup_free_ char *dir = NULL;

    if (!vm->tpm || hv_tpm_dir(vm->writer->config.hv, vm->dom->uuid, &dir, NULL) < 0)
        return;
    for (size_t i = 0; vm->tpm[i]; i++) {
        _cleanup_free_ char *from = io_path(dir, vm->tpm_files[i]), *name = io_basename(vm->tpm_files[i]);
        if (!from || !name)
            continue;
        add_part(list, name, vm->tpm[i], from);
        json_object_set_new(json_array_get(list, json_array_size(list) - 1), "tpm", json_string(vm->tpm_files[i]));
    }
}

static json_t *parts(const struct vm *vm)
{
    json_t *list = json_array();

    add_part(list, "definition", vm->definition, NULL);
    add_part(list, VM_PART_LIVE, vm->live, NULL);
    add_part(list, "memory", vm->memory, NULL);
    add_part(list, "nvram", vm->nvram, vm->dom->nvram);
    add_tpm(list, vm);
    return list;
}

static json_t *span_ms(uint64_t from_us, uint64_t to_us)
{
    return from_us && to_us >= from_us ? json_real((double)(to_us - from_us) / 1000.0) : json_null();
}

/* What the image of a disk holds and no NBD server tells of. */
static void warn_of_snapshots(json_t *list, const json_t *disks)
{
    json_t *disk;
    size_t i;

    json_array_foreach (disks, i, disk) {
        json_int_t n = json_integer_value(json_object_get(json_object_get(disk, "image"), "snapshots"));
        _cleanup_free_ char *text = n ? str_format("disk %s: the %lld snapshot%s inside its image %s not backed up",
                                                   json_string_value(json_object_get(disk, "target")), (long long)n,
                                                   n == 1 ? "" : "s", n == 1 ? "is" : "are") : NULL;
        if (text)
            json_array_append_new(list, json_string(text));
    }
}

static json_t *warnings(const struct vm *vm, const json_t *disks)
{
    json_t *list = json_array();

    for (char **s = vm->report.warnings; s && *s; s++)
        json_array_append_new(list, json_string(*s));
    for (char **s = vm->warnings; s && *s; s++)
        json_array_append_new(list, json_string(*s));
    warn_of_snapshots(list, disks);
    return list;
}

/* Why this method: the failed conditions, or what else decided. */
static json_t *why(const struct vm *vm)
{
    _cleanup_free_ char *failed = vm_failed_conditions(&vm->report);

    switch (vm->report.method) {
    case VM_METHOD_CHILD:
        return json_string("all five conditions of Child VM Snapshot hold");
    case VM_METHOD_OFFLINE:
        return json_string(vm->before == HV_SAVED ? "the VM was in a saved state already" : "the VM was off");
    default:
        break;
    }
    if (vm->report.policy.not_quiesced)
        return json_string(vm->report.policy.not_quiesced);
    return json_string(failed ? failed : "Saved State was asked for");
}

static json_t *policy(const struct vm_policy *p)
{
    static const char *const methods[] = { "auto", "child", "saved-state" };

    return json_pack("{s:s, s:o, s:s}", "method", (size_t)p->method < ARRAY_SIZE(methods) ? methods[p->method] : "auto", "require",
                     p->require == VM_LEVEL_CRASH ? json_null() : json_string(vm_level_name(p->require)), "fallback",
                     vm_fallback_name(p->fallback));
}

char *vm_backup_metadata(const struct vm *vm)
{
    char instant[32];
    json_t *list = disks(vm);
    json_auto_t *j = json_pack(
        "{s:s, s:s, s:s, s:b, s:b, s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "vm", vm->dom->name, "uuid",
        vm->dom->uuid, "state", hv_state_name(vm->before), "autostart", vm->dom->autostart, "persistent", vm->dom->persistent,
        "method", vm_method_name(vm->report.method), "why", why(vm), "conditions", conditions(&vm->report), "policy",
        policy(&vm->report.policy), "not_quiesced", text_or_null(vm->report.policy.not_quiesced), "consistency",
        vm_level_name(vm->report.level), "frozen", frozen(vm), "frozen_ms", span_ms(vm->frozen_us, vm->thawed_us), "down_ms",
        span_ms(vm->paused_us, vm->resumed_us), "instant", clock_format(vm->instant_us, instant), "disks", list, "parts",
        parts(vm), "checkpoint", text_or_null(vm->checkpoint && vm->report.method != VM_METHOD_OFFLINE ? vm->checkpoint : NULL),
        "warnings", warnings(vm, list));

    return j ? json_dumps(j, JSON_COMPACT) : NULL;
}
