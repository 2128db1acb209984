/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where every file of a restore goes, what is on this host of the VM now, and the state that it comes back in. */
#include "base/guid.h"
#include "base/io.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

const char *restore_name(const struct restore *r, const struct restore_vm *vm)
{
    return vm->as_uuid ? r->job->name : vm->name;
}

/* "dir/name". Names come from a repository: they must be one. */
static int place_in(const char *dir, const char *name, char **ret, struct err *err)
{
    if (!*name || !strcmp(name, ".") || !strcmp(name, "..") || strchr(name, '/') || strlen(name) > 255)
        return err_set(err, EUCLEAN, "\"%s\" is not a valid file name", name);
    *ret = io_path(dir, name);
    return *ret ? 0 : err_nomem(err);
}

/* ---- Options that name disks ------------------------------------------------------------------------------------------------*/

/* The value after "TARGET=" where the option is about this disk; "" for "TARGET" alone; NULL: it is about another. */
static const char *about(const char *option, const char *target)
{
    size_t n = strlen(target);

    if (strncmp(option, target, n) || (option[n] != '\0' && option[n] != '='))
        return NULL;
    return option[n] ? option + n + 1 : "";
}

static const char *disk_option(const struct restore *r, const char *target)
{
    const char *found = NULL;

    for (size_t i = 0; !found && r->job->disks && r->job->disks[i]; i++)
        found = about(r->job->disks[i], target);
    return found;
}

static int no_such_disk(const struct restore_vm *vm, const char *option, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    for (size_t i = 0; i < vm->n_disks; i++)
        buf_addf(&b, "%s%s", i ? ", " : "", vm->disks[i].target);
    return err_set(err, ENOENT, "--disk %s: the restore point contains no such disk of VM %s, only %s", option, vm->name,
                   b.len ? (const char *)b.data : "none");
}

static int check_disk_options(const struct restore *r, struct err *err)
{
    const struct restore_vm *vm = &r->vms[0];

    if (!r->job->disks)
        return 0;
    if (r->n_vms != 1)
        return err_set(err, EINVAL, "--disk works for a single VM: name it");
    for (char *const *o = r->job->disks; *o; o++) {
        size_t k = 0;
        while (k < vm->n_disks && !about(*o, vm->disks[k].target))
            k++;
        if (k == vm->n_disks)
            return no_such_disk(vm, *o, err);
        for (char *const *p = r->job->disks; p < o; p++)
            if (about(*p, vm->disks[k].target))
                return err_set(err, EINVAL, "--disk %s: disk %s is given twice", *o, vm->disks[k].target);
    }
    return 0;
}

static bool wants_parts(const struct restore *r)
{
    return r->job->disks && r->job->disks[0] && !strchr(r->job->disks[0], '=');
}

/* Only the disks named stay in the plan. */
static void drop_other_disks(struct restore *r, struct restore_vm *vm)
{
    size_t n = 0;

    for (size_t k = 0; k < vm->n_disks; k++) {
        struct restore_disk d = vm->disks[k];
        if (disk_option(r, d.target)) {
            vm->disks[n++] = d;
            continue;
        }
        free(d.path);
        free(d.real);
        free(d.label);
        store_image_close(d.content);
    }
    vm->n_disks = n;
}

/* ---- Disks ------------------------------------------------------------------------------------------------------------------*/

static bool below_dev(const char *path)
{
    return path && !strncmp(path, "/dev/", 5);
}

static bool is_block_device(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

/* An image keeps its file's name; a copy's, and those that were no files, get one: "web-vda.qcow2". Volumes: "web-vda". */
static char *file_name(const struct restore *r, const struct restore_vm *vm, const struct restore_disk *d)
{
    if (r->to_volumes)
        return str_format("%s-%s", restore_name(r, vm), d->target);
    if (!vm->as_uuid && d->was && d->was[0] == '/' && !below_dev(d->was))
        return io_basename(d->was);
    return str_format("%s-%s.%s", restore_name(r, vm), d->target, d->format);
}

static int needs_a_place(const struct restore_vm *vm, const struct restore_disk *d, struct err *err)
{
    if (!d->was || d->was[0] != '/')
        return err_set(
            err, EOPNOTSUPP,
            "VM %s, disk %s: it was on the network (%s) and cannot be restored there: choose a place with --to, --pool or --disk %s=PATH",
            vm->name, d->target, d->was ? d->was : "unknown place", d->target);
    return err_set(
        err, EEXIST,
        "VM %s, disk %s: it was block device %s, which the original keeps: choose a place for the copy with --to, --pool or --disk %s=PATH",
        vm->name, d->target, d->was, d->target);
}

static int default_place(const struct restore *r, const struct restore_vm *vm, const struct restore_disk *d, char **ret, struct err *err)
{
    bool beside = vm->as_uuid && d->was && d->was[0] == '/' && !below_dev(d->was);

    if (r->to_dir || beside) {
        _cleanup_free_ char *name = file_name(r, vm, d), *dir = r->to_dir ? strdup(r->to_dir) : io_dirname(d->was);
        return name && dir ? place_in(dir, name, ret, err) : err_nomem(err);
    }
    if (vm->as_uuid || !d->was || d->was[0] != '/')
        return needs_a_place(vm, d, err);
    *ret = strdup(d->was);
    return *ret ? 0 : err_nomem(err);
}

/* The disk as the VM has it now. NULL: it has none of that name. */
static const struct hv_disk *disk_now(const struct restore_vm *vm, const char *target)
{
    for (size_t i = 0; vm->now && i < vm->now->n_disks; i++)
        if (!strcmp(vm->now->disks[i].target, target))
            return &vm->now->disks[i];
    return NULL;
}

/* A VM that stays defined keeps its disks where they are now. */
static int place_of_part(const struct restore_vm *vm, const struct restore_disk *d, char **ret, struct err *err)
{
    const struct hv_disk *now = disk_now(vm, d->target);

    if (!now || !now->path)
        return err_set(err, ENOENT, "VM %s has no disk %s in a file or block device of this host: restore the complete VM", vm->name,
                       d->target);
    if (strcmp(now->format, d->format))
        return err_set(err, EINVAL, "VM %s, disk %s: its image was %s at the backup and is %s now (%s): restore the complete VM", vm->name,
                       d->target, d->format, now->format, now->path);
    *ret = strdup(now->path);
    return *ret ? 0 : err_nomem(err);
}

static bool place_is_own(const struct restore *r, const struct restore_vm *vm, const struct restore_disk *d)
{
    if (vm->as_uuid || r->job->images_only)
        return false;
    for (size_t i = 0; vm->now && i < vm->now->n_disks; i++) {
        const struct hv_disk *now = &vm->now->disks[i];
        bool image = now->path && now->device == HV_DEVICE_DISK && !now->readonly && !now->shareable; /* no CD, no disk of several */
        if (image && restore_same_file(now->path, d->path))
            return true;
    }
    /* A file in its old place is its own, though the VM may be gone; a device may have got another use meanwhile. */
    return !d->block_device && d->was && !strcmp(d->was, d->path);
}

/* Whether the VM has it, in whatever way: then it must be off before it is written to. */
static bool place_has_now(const struct restore_vm *vm, const char *path)
{
    for (size_t i = 0; vm->now && i < vm->now->n_disks; i++)
        if (restore_disk_uses(&vm->now->disks[i], path))
            return true;
    return false;
}

static int place_disk(struct restore *r, struct restore_vm *vm, struct restore_disk *d, struct err *err)
{
    const char *given = disk_option(r, d->target);
    int rc = 0;

    if (given && *given && *given != '/')
        return err_set(err, EINVAL, "--disk %s=%s: not an absolute path", d->target, given);
    if (given && *given)
        rc = (d->path = strdup(given)) ? 0 : err_nomem(err);
    else
        rc = vm->part ? place_of_part(vm, d, &d->path, err) : default_place(r, vm, d, &d->path, err);
    if (rc < 0)
        return rc;
    d->block_device = is_block_device(d->path);
    d->new_volume = !d->block_device && r->to_volumes && !vm->part && !(given && *given);
    if (below_dev(d->path) && !d->block_device && !d->new_volume)
        return err_set(
            err, ENODEV,
            "VM %s, disk %s: there is no block device %s on this host: create it, or choose a place with --to, --pool or --disk %s=PATH",
            vm->name, d->target, d->path, d->target);
    d->block_device = d->block_device || d->new_volume;
    d->own = place_is_own(r, vm, d);
    d->in_place = d->block_device && !vm->as_uuid && !r->job->images_only && place_has_now(vm, d->path);
    if (d->block_device && !d->own)
        d->format = "raw"; /* any other format would have to be made on it first, and gains nothing there */
    return 0;
}

/* ---- NVRAM --------------------------------------------------------------------------------------------------------------------*/

/* libvirt's own name for it: then it stays where libvirt puts and finds NVRAMs by itself. */
static const char *managed_ending(const struct restore_vm *vm, const char *base)
{
    size_t n = strlen(vm->name);

    if (strncmp(base, vm->name, n))
        return NULL;
    return !strcmp(base + n, "_VARS.fd") || !strcmp(base + n, "_VARS.qcow2") ? base + n : NULL;
}

static int place_nvram(struct restore *r, struct restore_vm *vm, struct err *err)
{
    const char *was;

    vm->nvram = vm->part ? NULL : restore_find_part(vm, VM_PART_NVRAM);
    if (!vm->nvram)
        return 0;
    if (!(was = vm->nvram->restore_path) || was[0] != '/')
        return err_set(err, EUCLEAN, "VM %s: the restore point does not record the path of its NVRAM", vm->name);
    _cleanup_free_ char *base = io_basename(was), *dir = io_dirname(was), *name = NULL;
    if (!base || !dir)
        return err_nomem(err);
    const char *ending = managed_ending(vm, base), *nvram_dir = r->s->hv ? hv_nvram_dir(r->s->hv) : NULL;
    const char *to_dir = r->to_volumes ? NULL : r->to_dir;
    if (!to_dir && !vm->as_uuid)
        return (vm->nvram_path = strdup(was)) ? 0 : err_nomem(err);
    name = vm->as_uuid ? str_format("%s%s", restore_name(r, vm), ending ? ending : "_VARS.fd") : strdup(base);
    if (!name)
        return err_nomem(err);
    return place_in(ending && nvram_dir ? nvram_dir : to_dir ? to_dir : dir, name, &vm->nvram_path, err);
}

/* ---- State ----------------------------------------------------------------------------------------------------------------------*/

static void place_plan_state(const struct restore *r, struct restore_vm *vm)
{
    enum hv_state was = vm->record.state;
    const char *wanted = r->job->state;

    if (vm->part) {
        vm->state = vm->now->state == HV_SAVED ? "off" : hv_state_name(vm->now->state);
        return;
    }
    vm->with_memory = !r->job->discard_memory && restore_find_part(vm, VM_PART_MEMORY);
    vm->state = was == HV_RUNNING || was == HV_PAUSED || was == HV_SAVED ? hv_state_name(was) : "off";
    if (wanted && !strcmp(wanted, "off"))
        vm->state = vm->with_memory ? "saved" : "off"; /* memory is not thrown away by not starting it */
    else if (wanted)
        vm->state = wanted;
    if (!vm->with_memory && !strcmp(vm->state, "saved"))
        vm->state = "off";
}

/* ---- All of it -------------------------------------------------------------------------------------------------------------------*/

static int find_now(struct restore *r, struct restore_vm *vm, struct err *err)
{
    struct err none = ERR_INIT;

    int rc = hv_domain_get(r->s->hv, vm->uuid, &vm->now, &none);
    return rc < 0 && rc != -ENOENT ? err_move(err, &none) : 0;
}

static int check_part(const struct restore *r, const struct restore_vm *vm, struct err *err)
{
    if (!vm->now)
        return err_set(err, ENOENT,
                       "VM %s is not on this host: single disks can only be restored into an existing VM; restore the complete VM, or "
                       "extract the disk with --images-only",
                       vm->name);
    if (!vm->now->persistent || vm->now->state == HV_OTHER)
        return err_set(err, EBUSY, "VM %s is %s: single disks can only be restored into a defined VM that is running, paused or off",
                       vm->name, vm->now->persistent ? vm->now->state_detail : "transient and would disappear when turned off");
    if (vm->now->state == HV_SAVED && !r->job->discard_memory)
        return err_set(err, EBUSY,
                       "VM %s has a saved state that would not match the restored disk: start the VM first, or use --discard-memory",
                       vm->name);
    return 0;
}

static int place_vm(struct restore *r, struct restore_vm *vm, struct err *err)
{
    struct guid fresh = guid_new();

    if (r->job->name && !(vm->as_uuid = strdup(fresh.text)))
        return err_nomem(err);
    int rc = r->s->hv ? find_now(r, vm, err) : 0;
    if (wants_parts(r))
        drop_other_disks(r, vm);
    vm->part = wants_parts(r) && !r->job->images_only;
    if (rc >= 0 && vm->part)
        rc = check_part(r, vm, err);
    for (size_t k = 0; k < vm->n_disks && rc >= 0; k++)
        rc = place_disk(r, vm, &vm->disks[k], err);
    if (rc >= 0)
        rc = restore_real_places(r, vm, err);
    if (rc == -EPERM)
        r->rq->end = REQUESTER_REFUSED;
    if (rc >= 0)
        rc = place_nvram(r, vm, err);
    if (rc < 0)
        return rc;
    place_plan_state(r, vm);
    rc = restore_note_excluded(r, vm, err);
    return rc < 0 ? rc : restore_note_disks(r, vm, err);
}

static int find_dir(struct restore *r, struct err *err)
{
    if (r->job->pool)
        return hv_pool_dir(r->s->hv, r->job->pool, &r->to_dir, &r->to_volumes, err);
    r->to_dir = r->job->to ? strdup(r->job->to) : NULL;
    return r->to_dir || !r->job->to ? 0 : err_nomem(err);
}

int restore_place(struct restore *r, struct err *err)
{
    if (r->job->name && r->n_vms != 1)
        return err_set(err, EINVAL, "--name works for a single VM: name it");
    if (r->job->name && (strchr(r->job->name, '/') || strlen(r->job->name) > 200))
        return err_set(err, EINVAL, "--name %s: not a valid VM name", r->job->name);
    int rc = check_disk_options(r, err);
    if (rc >= 0)
        rc = find_dir(r, err);
    for (size_t i = 0; i < r->n_vms && rc >= 0; i++)
        rc = place_vm(r, &r->vms[i], err);
    return rc;
}
