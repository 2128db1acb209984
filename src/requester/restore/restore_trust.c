/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A definition from a restore point may have the host run and open whatever its author liked. What the VM has on this host now it may have
 * again, and so what any VM needs: its own images, firmware and emulator of this host; and what it had here when this host made the point
 * itself, for nobody can have changed that since. Everything else needs a person's word. */
#include "base/guid.h"
#include "base/io.h"
#include "requester/trust/trust.h"
#include "requester/repository/repository.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* ---- What any VM needs ----------------------------------------------------------------------------------------------------------------*/

static bool is_roots(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && st.st_uid == 0 && !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* Below one of the folders, in which only root can make anything, whether it is there or not. */
static bool is_system(const char *path, const char *const *folders)
{
    _cleanup_free_ char *real = realpath(path, NULL);

    if (strstr(path, "/.") || strstr(path, "//"))
        return false;
    for (; *folders; folders++)
        if (!strncmp(path, *folders, strlen(*folders)) && is_roots(*folders))
            return !real || (!strncmp(real, "/usr/", 5) && is_roots(real));
    return false;
}

/* A QEMU by its name, where packages put it: another one than libvirt lists, or one that this host does not have (it is left out then). */
static bool is_emulator(const struct restore *r, const char *path)
{
    static const char *const folders[] = { "/usr/bin/", "/usr/libexec/", "/usr/lib/qemu/", NULL };
    _cleanup_free_ char *base = io_basename(path);

    if (r->s->hv && hv_emulator_is_listed(r->s->hv, path))
        return true;
    bool named = base && (!strncmp(base, "qemu-system-", 12) || !strcmp(base, "qemu-kvm") || !strcmp(base, "kvm"));
    return named && is_system(path, folders);
}

static bool is_firmware(const char *path)
{
    static const char *const folders[] = { "/usr/share/", NULL };

    return is_system(path, folders);
}

/* The NVRAM that libvirt makes for the VM by itself. */
static bool is_its_nvram(const struct restore *r, const struct restore_vm *vm, const char *path)
{
    const char *dir = r->s->hv ? hv_nvram_dir(r->s->hv) : NULL;
    static const char *const endings[] = { "fd", "qcow2" };

    for (size_t i = 0; dir && i < ARRAY_SIZE(endings); i++) {
        _cleanup_free_ char *wanted = str_format("%s/%s_VARS.%s", dir, vm->name, endings[i]);
        if (wanted && !strcmp(wanted, path))
            return true;
    }
    return false;
}

static bool is_ordinary(const struct restore *r, const struct restore_vm *vm, const struct hv_demand *d)
{
    if (d->danger == HV_DANGER_RESOURCE)
        return true;
    if (!d->path)
        return false;
    if (!strcmp(d->kind, "emulator"))
        return is_emulator(r, d->path);
    if (!strcmp(d->kind, "firmware"))
        return is_firmware(d->path);
    return !strcmp(d->kind, "NVRAM") && is_its_nvram(r, vm, d->path);
}

/* ---- One definition -------------------------------------------------------------------------------------------------------------------*/

/* What a restore puts in its place. */
static bool trust_is_restored(const struct restore_vm *vm, const struct hv_def *def, const struct hv_demand *d)
{
    if (!strcmp(d->kind, "NVRAM") && vm->nvram)
        return true;
    for (size_t i = 0; d->disk && i < vm->n_disks; i++) {
        const char *here = restore_disk_in(vm, def, &vm->disks[i]);
        if (here && !strcmp(here, d->disk))
            return true;
    }
    return false;
}

static bool trust_has(const struct hv_demands *list, const struct hv_demand *d)
{
    for (size_t i = 0; i < list->n; i++)
        if (hv_demand_equal(&list->list[i], d))
            return true;
    return false;
}

/* Of the VM as it is here. */
struct present {
    struct hv_demands next, live;
};

static json_t *trust_find(const json_t *list, const json_t *entry)
{
    size_t i;
    json_t *e;

    json_array_foreach (list, i, e)
        if (json_equal(json_object_get(e, "kind"), json_object_get(entry, "kind")) &&
            json_equal(json_object_get(e, "text"), json_object_get(entry, "text")))
            return e;
    return NULL;
}

static bool is_trusted(const struct restore *r)
{
    return r->job->trust_definition || r->job->images_only || known_made(r->rq, store_point_id(r->point));
}

static int judge_one(struct restore *r, struct restore_vm *vm, const struct hv_demand *d, const struct present *now, struct err *err)
{
    _cleanup_json_ json_t *entry = demands_entry(d);
    bool had = trust_has(&now->next, d) || trust_has(&now->live, d);
    bool refused = !had && !is_ordinary(r, vm, d) && !is_trusted(r);

    if (!entry)
        return err_nomem(err);
    json_object_set_new(entry, "here", json_boolean(had));
    json_object_set_new(entry, "refused", json_boolean(refused));
    json_t *told = trust_find(vm->demands, entry);
    if (told) {
        if (refused) /* texts that were cut look alike */
            json_object_set_new(told, "refused", json_true());
        return 0;
    }
    if (json_array_append(vm->demands, entry) < 0)
        return err_nomem(err);
    if (!refused)
        return 0;
    const char *does = d->danger == HV_DANGER_CODE   ? "make this host run or allow"
                       : d->danger == HV_DANGER_HOST ? "open"
                                                     : "contain something unknown";
    _cleanup_free_ char *what =
        str_format("the definition of VM %s would %s: %s %s", vm->name, does, d->kind, json_get_text(entry, "text"));
    return what ? restore_refuse(r, what, "--trust-definition", err) : err_nomem(err);
}

static int trust_judge(struct restore *r, struct restore_vm *vm, const struct hv_def *def, const struct present *now, struct err *err)
{
    struct hv_demands list = { 0 };

    if (!def)
        return 0;
    if (!hv_def_uuid(def) || !guid_equal(hv_def_uuid(def), vm->uuid))
        return err_set(err, EUCLEAN, "VM %s: a definition in the restore point belongs to another VM (%s)", vm->name,
                       hv_def_uuid(def) ? hv_def_uuid(def) : "no UUID");
    int rc = hv_definition_demands(def, &list, err);
    for (size_t i = 0; i < list.n && rc >= 0; i++)
        if (!trust_is_restored(vm, def, &list.list[i]))
            rc = judge_one(r, vm, &list.list[i], now, err);
    hv_demands_clear(&list);
    return rc;
}

/* ---- All of a VM ----------------------------------------------------------------------------------------------------------------------*/

static int demands_now(const char *xml, struct hv_demands *ret, struct err *err)
{
    struct hv_def *def = NULL;

    int rc = hv_def_parse(xml, &def, err);
    if (rc >= 0)
        rc = hv_definition_demands(def, ret, err);
    hv_def_free(def);
    return rc;
}

static int trust_look(const struct restore_vm *vm, struct present *now, struct err *err)
{
    _cleanup_free_ char *live = NULL;
    struct err none = ERR_INIT; /* a VM that hangs or has ended only has what is defined */

    int rc = vm->now ? demands_now(vm->now->xml, &now->next, err) : 0;
    if (rc >= 0 && vm->now && hv_domain_live(vm->now, &live, &none) >= 0 && live)
        rc = demands_now(live, &now->live, err);
    return rc;
}

/* libvirt starts a VM from its saved memory by the definition in the head of that. */
static int judge_memory(struct restore *r, struct restore_vm *vm, const struct present *now, struct err *err)
{
    const struct vm_record_part *part = vm->with_memory && !r->job->images_only ? restore_find_part(vm, VM_PART_MEMORY) : NULL;
    struct hv_def *def = NULL;

    int rc = part ? demands_read_memory(r->point, part, &def, err) : 0;
    if (rc < 0)
        return err_context(err, "VM %s: the definition in its saved memory cannot be read (use --discard-memory to restore without it)",
                           vm->name);
    rc = trust_judge(r, vm, def, now, err);
    hv_def_free(def);
    return rc;
}

/* A person names a VM; what is turned off and replaced is the one with its UUID. It may have been renamed, or a stranger means another. */
static int judge_name(struct restore *r, const struct restore_vm *vm, struct err *err)
{
    if (!vm->now || vm->as_uuid || !strcmp(vm->now->name, vm->name) || is_trusted(r))
        return 0;
    _cleanup_free_ char *what =
        str_format("VM %s in the restore point has the UUID of VM %s on this host, which would be replaced", vm->name, vm->now->name);
    return what ? restore_refuse(r, what, "--trust-definition", err) : err_nomem(err);
}

static int judge_vm(struct restore *r, struct restore_vm *vm, struct err *err)
{
    struct present now = { 0 };

    int named = judge_name(r, vm, err);
    if (named < 0)
        return named;

    if (vm->part) /* it keeps the definition that it has */
        return 0;
    int rc = (vm->demands = json_array()) ? trust_look(vm, &now, err) : err_nomem(err);
    if (rc >= 0)
        rc = trust_judge(r, vm, vm->def, &now, err);
    if (rc >= 0)
        rc = trust_judge(r, vm, vm->live, &now, err);
    if (rc >= 0)
        rc = judge_memory(r, vm, &now, err);
    hv_demands_clear(&now.next);
    hv_demands_clear(&now.live);
    return rc;
}

int restore_judge_definitions(struct restore *r, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < r->n_vms && rc >= 0; i++)
        rc = judge_vm(r, &r->vms[i], err);
    return rc;
}
