/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The five conditions of Child VM Snapshot (M4), each looked at for real and told with its reason. */
#include "base/buf.h"
#include "base/io.h"
#include "base/num.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

enum { COND_AGENT, COND_RUNNING, COND_PLACE, COND_BASIC, COND_FS };

static const struct {
    const char *clause, *name;
} names[5] = {
    [COND_AGENT] = { "M4a", "integration-service" }, [COND_RUNNING] = { "M4b", "running" }, [COND_PLACE] = { "M4c", "snapshot-place" },
    [COND_BASIC] = { "M4d", "basic-disks" },         [COND_FS] = { "M4e", "file-systems" },
};

/* Sets what was found; a text that cannot be made leaves the condition failed without one rather than passed. */
__attribute__((format(printf, 3, 4))) static void found(struct vm_condition *c, bool ok, const char *fmt, ...)
{
    va_list ap;

    free(c->why);
    va_start(ap, fmt);
    if (vasprintf(&c->why, fmt, ap) < 0)
        c->why = NULL;
    va_end(ap);
    c->checked = true;
    c->ok = ok && c->why;
}

static void not_checked(struct vm_condition *c, const char *why)
{
    free(c->why);
    c->why = str_format("not checked: %s", why);
    c->checked = c->ok = false;
}

static void check_running(const struct hv_domain *d, struct vm_condition *c)
{
    if (d->state == HV_RUNNING)
        found(c, true, "the VM is running");
    else
        found(c, false, "the VM is %s (%s)", hv_state_name(d->state), d->state_detail);
}

/* ---- M4c: snapshot files on the volume of the images ------------------------------------------------------------------------*/

static bool same_volume(const char *dir, const char *beside, struct vm_condition *c, const struct hv_disk *disk)
{
    bool same = false;

    int r = io_same_volume(dir, beside, &same);
    if (r < 0) {
        found(c, false, "disk %s: %s or the folder for snapshot files, %s, cannot be accessed: %s", disk->target, disk->path, dir,
              strerror(-r));
        return false;
    }
    if (!same) {
        found(c, false,
              "snapshot files are created in %s, which is on another volume than disk %s (%s): set snapshot-dir to a folder on that "
              "volume, or leave it unset",
              dir, disk->target, disk->path);
        return false;
    }
    return true;
}

static bool can_be_kept(const struct vm_writer *w, struct vm_condition *c, const struct hv_disk *disk)
{
    _cleanup_free_ char *dir = NULL;
    struct err why = ERR_INIT;

    if (hv_scratch_dir(w->config.hv, disk->path, w->config.snapshot_dir, &dir, &why) != -EPERM)
        return true; /* what else there is about the place is told elsewhere */
    found(c, false, "disk %s: %s", disk->target, why.text);
    return false;
}

/* A link to an image is not the image: what counts is the folder that this lies in. */
static char *conditions_folder_of(const char *path)
{
    _cleanup_free_ char *real = io_follow(path);

    return real ? io_dirname(real) : NULL;
}

static void conditions_check_place(const struct vm_writer *w, const struct hv_domain *d, const struct vm_report *r, struct vm_condition *c)
{
    if (!hv_is_local(w->config.hv)) {
        not_checked(c, "the VM runs on another host");
        return;
    }
    for (size_t i = 0; i < d->n_disks; i++) {
        const struct hv_disk *disk = &d->disks[i];
        if (!r->disks[i].covered || disk->source != HV_SOURCE_FILE)
            continue; /* beside a block device or a network disk no snapshot file can be placed, nor is one */
        _cleanup_free_ char *beside = conditions_folder_of(disk->path);
        if (!beside) {
            found(c, false, "out of memory");
            return;
        }
        if (!same_volume(w->config.snapshot_dir ? w->config.snapshot_dir : beside, beside, c, disk) || !can_be_kept(w, c, disk))
            return;
    }
    if (w->config.snapshot_dir)
        found(c, true, "snapshot files are created in %s, on the volume of the images", w->config.snapshot_dir);
    else
        found(c, true, "snapshot files are created next to the images");
}

/* ---- M4d: basic disks -------------------------------------------------------------------------------------------------------*/

static bool target_covered(const struct vm_report *r, const char *target)
{
    for (size_t i = 0; i < r->n_disks; i++)
        if (!strcmp(r->disks[i].target, target))
            return r->disks[i].covered;
    return false;
}

static bool disk_is_basic(const struct vm_writer *w, const struct hv_disk *disk, struct vm_condition *c)
{
    _cleanup_free_ uint8_t *start = malloc(VM_PARTITION_BYTES);
    size_t n = disk->size ? (size_t)num_min(disk->size, VM_PARTITION_BYTES) : 512;
    struct err err = ERR_INIT;

    if (!start || hv_image_peek(w->config.session_dir, disk->path, disk->format, 0, start, n, &err) < 0) {
        found(c, false, "the partition table of disk %s cannot be read: %s", disk->target, err.text);
        return false;
    }
    if (vm_partition_is_dynamic(start, n)) {
        found(c, false, "disk %s is a dynamic (LDM) disk; only basic disks can be included in a guest snapshot", disk->target);
        return false;
    }
    return true;
}

/* A guest volume that is on disks alone which were left out on purpose: nobody will look for it in the restore point. */
static bool is_left_out(const struct vm_report *r, const struct hv_guest_fs *fs)
{
    for (char **t = fs->targets; t && *t; t++) {
        bool excluded = false;
        for (size_t i = 0; i < r->n_disks; i++)
            excluded |= r->disks[i].excluded_by && !strcmp(r->disks[i].target, *t);
        if (!excluded)
            return false;
    }
    return fs->targets && *fs->targets && !fs->unknown_disk;
}

/* A guest volume that spans a disk which is not in the set would come back torn. */
static bool fs_is_whole(const struct vm_report *r, const struct hv_guest_fs *fs, struct vm_condition *c)
{
    if (fs->read_only)
        return true; /* a CD-ROM, whatever disk it is: nothing in it changes */
    if (is_left_out(r, fs))
        return true;
    if (fs->unknown_disk) {
        found(c, false, "the guest's %s (%s) is on a disk that is not one of the VM's", fs->mountpoint, fs->type);
        return false;
    }
    for (char **t = fs->targets; t && *t; t++)
        if (!target_covered(r, *t)) {
            found(c, false, "the guest's %s (%s) is on disk %s, which is not backed up", fs->mountpoint, fs->type, *t);
            return false;
        }
    return true;
}

static void check_basic(const struct vm_writer *w, const struct hv_domain *d, const struct vm_report *r, struct vm_condition *c)
{
    for (size_t i = 0; i < r->n_fs; i++)
        if (!fs_is_whole(r, &r->fs[i], c))
            return;
    for (size_t i = 0; i < d->n_disks; i++)
        if (r->disks[i].covered && d->disks[i].path && hv_is_local(d->hv) && !disk_is_basic(w, &d->disks[i], c))
            return;
    _cleanup_free_ char *why = NULL;
    if (vm_volumes_whole(w, d, r, &why) < 0 || why)
        found(c, false, "%s", why ? why : "out of memory");
    else if (r->n_fs)
        found(c, true, "all disks are basic, and as far as the agent reports the guest's volumes are on disks that are backed up");
    else
        found(c, true, "all disks are basic");
}

/* ---- M4a, M4e: what the agent tells -----------------------------------------------------------------------------------------*/

/* The EFI system partition is written by no one while the system runs, and is passed over as Windows does. In Windows it has no drive
 * letter, and VSS leaves out whatever FAT volume has none; its agent calls all such "System Reserved". */
static bool is_efi_partition(const struct hv_guest_fs *fs, bool windows)
{
    static const char *const places[] = { "/boot/efi", "/efi", "/boot", "/esp", NULL };

    if (windows)
        return !strcmp(fs->mountpoint, "System Reserved") && !strncasecmp(fs->type, "FAT", 3);
    for (int i = 0; places[i]; i++)
        if (!strcmp(fs->mountpoint, places[i]))
            return !strcmp(fs->type, "vfat") || !strcmp(fs->type, "msdos");
    return false;
}

bool vm_fs_on_disk(const struct hv_guest_fs *fs)
{
    return !strcmp(fs->type, "zfs") || !strcmp(fs->type, "bcachefs");
}

/* Overlays are as good as the file systems they rest on; they are named, since nobody else froze them. */
static char *overlays(const struct vm_report *r)
{
    const char *first = NULL;
    size_t n = 0;

    for (size_t i = 0; i < r->n_elsewhere; i++)
        if (!strcmp(r->elsewhere[i].type, "overlay") && !n++)
            first = r->elsewhere[i].mountpoint;
    return !n       ? strdup("")
           : n == 1 ? str_format("; the overlay at %s is based on these", first)
                    : str_format("; the overlay at %s and %zu more are based on these", first, n - 1);
}

static void all_can_be_frozen(const struct vm_report *r, struct vm_condition *c)
{
    _cleanup_free_ char *more = overlays(r);

    if (!r->n_fs)
        found(c, true, "the guest agent lists no file system on the VM's disks");
    else if (r->windows)
        found(c, true, "all volumes listed by the guest agent can be snapshotted (%zu)", r->n_fs);
    else if (r->mounts_known)
        found(c, true, "all file systems in the guest can be frozen (%zu mounted)%s", r->n_fs, more ? more : "");
    else
        found(c, true,
              "all file systems listed by the guest agent can be frozen (%zu); whether there are others, such as ZFS, cannot be seen",
              r->n_fs);
}

static void check_fs(const struct vm_report *r, struct vm_condition *c)
{
    for (size_t i = 0; i < r->n_fs; i++) {
        const struct hv_guest_fs *fs = &r->fs[i];
        if (fs->read_only || hv_fs_freezable(fs->type, r->windows) || is_efi_partition(fs, r->windows))
            continue;
        found(c, false, "the guest's %s is %s, which cannot be frozen: unmount it or use another file system", fs->mountpoint, fs->type);
        return;
    }
    for (size_t i = 0; i < r->n_elsewhere; i++)
        if (vm_fs_on_disk(&r->elsewhere[i])) {
            found(c, false, "the guest's %s is %s, which the agent neither lists nor freezes: unmount it or use another file system",
                  r->elsewhere[i].mountpoint, r->elsewhere[i].type);
            return;
        }
    all_can_be_frozen(r, c);
}

static void ask_agent(struct vm_writer *w, struct hv_domain *d, struct vm_report *r)
{
    struct vm_condition *agent = &r->conditions[COND_AGENT], *fs = &r->conditions[COND_FS];
    struct hv_agent_info info = { 0 };
    struct err err = ERR_INIT;
    unsigned ms = w->config.agent_timeout_ms ? w->config.agent_timeout_ms : AGENT_QUESTION_MS;

    if (d->state != HV_RUNNING) {
        not_checked(agent, "the VM is not running");
        not_checked(fs, "the VM is not running");
        return;
    }
    if (hv_agent_probe(d, ms, &info, &err) < 0) {
        found(agent, false, "the guest agent cannot be queried: %s", err.text);
    } else if (info.status != HV_AGENT_OK) {
        r->agent = info.status;
        found(agent, false, "%s", info.why ? info.why : "the guest agent cannot take part");
    } else {
        r->agent = HV_AGENT_OK;
        found(agent, true, "guest agent %s responds in %s", info.version ? info.version : "(version unknown)",
              info.os_name ? info.os_name : "the guest");
        r->fs = info.fs;
        r->n_fs = info.n_fs;
        r->windows = info.windows;
        r->mounts_known = info.mounts_known;
        r->can_exec = info.can_exec;
        r->elsewhere = info.elsewhere;
        r->n_elsewhere = info.n_elsewhere;
        info.fs = info.elsewhere = NULL;
        info.n_fs = info.n_elsewhere = 0;
        /* On Linux qemu-ga freezes file systems; on Windows it runs a VSS backup in the guest, and says nothing of its writers. More is
         * claimed only of what they are asked by vm_guest_ask() (B3). */
        r->level = VM_LEVEL_FILE_SYSTEM;
    }
    if (agent->ok)
        check_fs(r, fs);
    else
        not_checked(fs, "there is no agent to ask");
    hv_agent_info_clear(&info);
}

static void name_conditions(struct vm_report *r)
{
    for (int i = 0; i < 5; i++) {
        r->conditions[i].clause = names[i].clause;
        r->conditions[i].name = names[i].name;
    }
}

void vm_leave_conditions(struct vm_report *r, const char *why)
{
    name_conditions(r);
    for (int i = 0; i < 5; i++)
        r->conditions[i].why = str_format("not examined: %s", why);
}

void vm_check_conditions(struct vm_writer *w, struct hv_domain *d, struct vm_report *r)
{
    name_conditions(r);
    check_running(d, &r->conditions[COND_RUNNING]);
    ask_agent(w, d, r);
    conditions_check_place(w, d, r, &r->conditions[COND_PLACE]);
    check_basic(w, d, r, &r->conditions[COND_BASIC]);
}
