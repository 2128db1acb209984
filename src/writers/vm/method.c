/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which disks are covered (M11), which method is used (M1, M4), what it will be worth (B3) and whether it is refused. */
#include "base/buf.h"
#include "base/io.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <string.h>

void vm_report_clear(struct vm_report *r)
{
    struct hv_agent_info fs = { .n_fs = r->n_fs, .fs = r->fs, .n_elsewhere = r->n_elsewhere, .elsewhere = r->elsewhere };

    hv_agent_info_clear(&fs);
    for (int i = 0; i < 5; i++)
        free(r->conditions[i].why);
    for (size_t i = 0; i < r->n_disks; i++) {
        free(r->disks[i].target);
        free(r->disks[i].path);
        free(r->disks[i].format);
        free(r->disks[i].why);
    }
    free(r->disks);
    free(r->name);
    free(r->uuid);
    free(r->refused);
    free(r->no_application);
    vm_record_guest_clear(&r->guest);
    free(r->cluster);
    free(r->no_live);
    free((char *)r->policy.not_quiesced);
    strv_free(r->warnings);
    memset(r, 0, sizeof(*r));
}

/* ---- Disks ------------------------------------------------------------------------------------------------------------------*/

#define NOT_VISIBLE "M11" /* pass-through disks and iSCSI disks: what the host does not see */

/* NULL: it is covered. *ret_clause: for programs, the clause that this follows from; NULL where it has reasons of our own. */
static const char *disk_not_covered(const struct hv_disk *d, const char **ret_clause)
{
    bool iscsi = d->source == HV_SOURCE_NETWORK && d->protocol && !strcmp(d->protocol, "iscsi");
    bool folder = d->source == HV_SOURCE_OTHER && !strncmp(d->locator, "dir:", 4);
    bool other = d->source == HV_SOURCE_OTHER && !folder && !d->unreadable;
    bool drive = d->device == HV_DEVICE_CDROM || d->device == HV_DEVICE_FLOPPY;

    *ret_clause = d->device == HV_DEVICE_LUN || (!drive && !d->excluded && (iscsi || other)) ? NOT_VISIBLE : NULL;
    switch (d->device) {
    case HV_DEVICE_CDROM: return "CD-ROM drive: the drive is kept in the definition, its medium is not backed up";
    case HV_DEVICE_FLOPPY: return "floppy drive: the drive is kept in the definition, its medium is not backed up";
    case HV_DEVICE_LUN: return "pass-through disk: not visible to the host; back it up from inside the guest";
    case HV_DEVICE_DISK: break;
    }
    if (d->source == HV_SOURCE_NONE)
        return "empty drive";
    if (d->excluded)
        return "excluded";
    if (iscsi)
        return "iSCSI disk: not visible to the host; back it up from inside the guest or on the target";
    if (folder)
        return "folder of the host presented as a disk: back up the folder";
    if (other)
        return "pass-through disk: QEMU cannot read it for a backup";
    if (d->encrypted)
        return "encrypted disk (LUKS, with a libvirt secret): kvss cannot write it back encrypted; back it up from inside the guest";
    if (d->slice)
        return "part of a file (slice): kvss reads and restores complete images only; back it up from inside the guest";
    if (d->shareable)
        return "shareable disk: other VMs may write to it, so one VM cannot provide a consistent point in time; back it up from inside the "
               "guest";
    return NULL;
}

const char *vm_disk_not_covered(const struct hv_disk *d)
{
    const char *clause;

    return disk_not_covered(d, &clause);
}

bool vm_needs_scratch(const struct vm_report *r, const struct hv_domain *d, size_t i)
{
    return r->disks[i].covered && vm_disk_is_written(&d->disks[i]) && (d->state == HV_RUNNING || d->state == HV_PAUSED);
}

/* what: target, path, format of it, and why it is not covered, by which clause; borrowed. */
static int method_add_disk(struct vm_report *r, const struct vm_disk_report *what)
{
    struct vm_disk_report *d = &r->disks[r->n_disks++];

    d->target = strdup(what->target);
    d->path = what->path ? strdup(what->path) : NULL;
    d->format = what->format ? strdup(what->format) : NULL;
    d->why = what->why ? strdup(what->why) : NULL;
    d->clause = what->clause;
    d->excluded_by = what->excluded_by;
    d->covered = !what->why;
    return d->target && (d->path || !what->path) && (d->format || !what->format) && (d->why || !what->why) ? 0 : -ENOMEM;
}

/* What a VM has of the host beside disks: called by its element, which says what it is. */
static int add_beside(struct vm_report *r, const struct hv_beside_item *item)
{
    static const struct {
        const char *target, *why, *clause;
    } kinds[] = {
        [HV_BESIDE_PMEM] = { "memory",
                             "NVDIMM or persistent memory: what the guest stores in it is not backed up; back it up from inside the guest",
                             NOT_VISIBLE },
        [HV_BESIDE_FOLDER] = { "filesystem", "folder of the host shared with the guest: not backed up with the VM; back up the folder",
                               NULL },
        [HV_BESIDE_FIRMWARE] = { "firmware", "firmware variables without a file of their own: not backed up", NULL },
        [HV_BESIDE_TPM] = { "tpm", "TPM that libvirt does not emulate: its state is not visible to the host and is not backed up", NULL },
        [HV_BESIDE_COMMANDLINE] = { "qemu:commandline",
                                    "storage on QEMU's command line, unknown to libvirt: not backed up; make it a <disk>", NOT_VISIBLE },
    };

    return method_add_disk(r, &(struct vm_disk_report){ .target = (char *)kinds[item->kind].target,
                                                        .path = item->name,
                                                        .why = (char *)kinds[item->kind].why,
                                                        .clause = kinds[item->kind].clause });
}

static int cover_disk(struct vm_report *r, const struct hv_disk *d)
{
    struct vm_disk_report what = { .target = d->target, .path = d->locator, .format = d->format };
    const char *why = disk_not_covered(d, &what.clause);
    _cleanup_free_ char *excluded = NULL;

    if (why && d->excluded && d->device == HV_DEVICE_DISK && d->source != HV_SOURCE_NONE) {
        if (!(excluded = str_format("excluded by %s", d->excluded)))
            return -ENOMEM;
        why = excluded;
        what.excluded_by = d->excluded;
    }
    what.why = why ? (char *)why : d->unreadable;
    return method_add_disk(r, &what);
}

/* What somebody asked for comes first: such a disk need not even be readable. */
static void note_excluded(const struct vm_writer *w, struct hv_domain *d)
{
    for (size_t i = 0; w->config.excluded && i < d->n_disks; i++)
        d->disks[i].excluded = w->config.excluded(w->config.policy_priv, d->name, d->uuid, d->disks[i].target);
}

static int add_later(struct vm_report *r, const struct hv_disk *d)
{
    static const char why[] = "the VM gets this disk at its next start and does not have it now: its image is not backed up";

    return method_add_disk(r, &(struct vm_disk_report){ .target = d->target, .path = d->locator, .format = d->format, .why = (char *)why });
}

static int add_passthrough(struct vm_report *r, char *device)
{
    return method_add_disk(r, &(struct vm_disk_report){ .target = (char *)"hostdev",
                                                        .path = device,
                                                        .why = (char *)"pass-through device: not visible to the host",
                                                        .clause = NOT_VISIBLE });
}

static int cover_disks(const struct hv_domain *d, struct vm_report *r)
{
    int rc = 0;

    r->disks = calloc(d->n_disks + strv_len(d->passthrough) + d->n_beside + d->n_later + 1, sizeof(*r->disks));
    if (!r->disks)
        return -ENOMEM;
    for (size_t i = 0; rc >= 0 && i < d->n_disks; i++)
        rc = cover_disk(r, &d->disks[i]);
    for (char **p = d->passthrough; rc >= 0 && p && *p; p++)
        rc = add_passthrough(r, *p);
    for (size_t i = 0; rc >= 0 && i < d->n_beside; i++)
        rc = add_beside(r, &d->beside[i]);
    for (size_t i = 0; rc >= 0 && i < d->n_later; i++)
        rc = add_later(r, &d->later[i]);
    return rc;
}

/* ---- Method -----------------------------------------------------------------------------------------------------------------*/

char *vm_failed_conditions(const struct vm_report *r)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    for (int i = 0; i < 5; i++) {
        const struct vm_condition *c = &r->conditions[i];
        if (!c->checked || c->ok)
            continue;
        if (buf_addf(&b, "%s%s: %s", b.len ? "; " : "", c->name, c->why ? c->why : "unknown") < 0)
            return NULL;
    }
    return b.len ? buf_take_str(&b) : NULL;
}

static bool child_possible(const struct vm_report *r)
{
    for (int i = 0; i < 5; i++)
        if (!r->conditions[i].ok)
            return false;
    return true;
}

static bool chooses_child(const struct vm_policy *p)
{
    return (p->method == VM_METHOD_AUTO || p->method == VM_METHOD_CHILD) && (!p->not_quiesced || p->fallback == VM_FALLBACK_FILE_SYSTEM);
}

/* A VM that stands still loses nothing by Saved State. */
static bool falls_to_crash(const struct hv_domain *d, const struct vm_policy *p)
{
    return p->method == VM_METHOD_AUTO && p->fallback == VM_FALLBACK_CRASH && d->state == HV_RUNNING;
}

static void choose_method(const struct vm_writer *w, struct hv_domain *d, struct vm_report *r)
{
    const struct vm_policy *p = &r->policy;

    if (d->state == HV_OFF || d->state == HV_SAVED) {
        r->method = VM_METHOD_OFFLINE;
        r->level = VM_LEVEL_OFFLINE;
    } else if (chooses_child(p) && child_possible(r)) {
        r->method = VM_METHOD_CHILD;
    } else if (p->method == VM_METHOD_CRASH || falls_to_crash(d, p)) {
        r->method = VM_METHOD_CRASH;
        r->level = VM_LEVEL_CRASH;
    } else {
        r->method = VM_METHOD_SAVED;
        r->level = VM_LEVEL_SAVED_STATE;
        if (vm_wants_live(p) && !(r->no_live = vm_cannot_live(w, d, r)))
            r->method = VM_METHOD_LIVE;
    }
}

/* Of what should be backed up, what cannot be read: the whole VM is refused then, for nobody would miss a disk before the day of the
 * restore. NULL: nothing. Caller frees. */
static char *unreadable(const struct hv_domain *d)
{
    for (size_t i = 0; i < d->n_disks; i++) {
        const struct hv_disk *disk = &d->disks[i];
        if (vm_disk_not_covered(disk))
            continue;
        if (disk->unreadable)
            return str_format("disk %s cannot be read: %s%s", disk->target, disk->unreadable,
                              disk->path && !io_exists(disk->path) ? "; if the VM was deleted, run virsh undefine to remove its definition"
                                                                   : "");
    }
    if (d->nvram && d->state != HV_OFF && hv_is_local(d->hv) && !io_exists(d->nvram))
        return str_format("its NVRAM file %s does not exist: restore it", d->nvram);
    return vm_lost_tpm(d);
}

/* Why a backup with these settings cannot be made; NULL: it can. Everything here is known before anything is touched. */
static char *refusal(const struct vm_writer *w, struct hv_domain *d, struct vm_report *r, const char *job)
{
    _cleanup_free_ char *failed = vm_failed_conditions(r);
    _cleanup_free_ char *unsaved = NULL, *guest = NULL, *broken = unreadable(d);
    const struct vm_policy *p = &r->policy;
    const char *why = p->method == VM_METHOD_CRASH  ? "--method crash was requested"
                      : p->method == VM_METHOD_LIVE ? "--method live-state was requested"
                      : p->not_quiesced             ? p->not_quiesced
                      : failed                      ? failed
                                                    : "--method saved-state was requested";

    if (d->state == HV_OTHER)
        return str_format("the VM is in a state to which it could not be returned: %s", d->state_detail);
    if (broken)
        return TAKE_PTR(broken);
    if (r->method == VM_METHOD_SAVED && p->method == VM_METHOD_CHILD)
        return str_format("Child VM Snapshot was requested but is not possible: %s", why);
    if (r->method == VM_METHOD_SAVED && p->method == VM_METHOD_LIVE)
        return str_format("live-state was requested but is not possible: %s", r->no_live ? r->no_live : "unknown");
    /* Nothing needs to be quiesced in a VM that stands still anyway. */
    if ((r->method == VM_METHOD_SAVED || r->method == VM_METHOD_LIVE) && p->method == VM_METHOD_AUTO && d->state == HV_RUNNING &&
        (p->fallback == VM_FALLBACK_FAIL || p->fallback == VM_FALLBACK_FILE_SYSTEM))
        return str_format("--fallback %s: the guest cannot be quiesced: %s", vm_fallback_name(p->fallback), why);
    if (r->level < p->require)
        return str_format("--require %s: the backup would only be %s: %s", vm_level_name(p->require), vm_level_name(r->level),
                          r->method != VM_METHOD_CHILD ? why
                          : r->no_application          ? r->no_application
                                                       : "the agent freezes file systems but does not notify applications in the guest");
    if (r->method == VM_METHOD_CHILD && (guest = vm_guest_refusal(w, r)))
        return TAKE_PTR(guest);
    if (r->method == VM_METHOD_SAVED && (unsaved = vm_cannot_save(w, d, r, why)))
        return TAKE_PTR(unsaved);
    return job ? str_format("the VM is in use by another job (%s); wait for it or end it", job) : NULL;
}

/* A disk that is not of the instant of the memory which is kept: the guest would go on with what it remembers of it. */
static int warn_of_memory(const struct hv_domain *d, struct vm_report *r)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    if (r->method != VM_METHOD_SAVED && r->method != VM_METHOD_LIVE && d->state != HV_SAVED)
        return 0;
    for (size_t i = 0; i < d->n_disks; i++) {
        const struct hv_disk *disk = &d->disks[i];
        bool written =
            (disk->device == HV_DEVICE_DISK || disk->device == HV_DEVICE_LUN) && disk->source != HV_SOURCE_NONE && !disk->readonly;
        if (written && !r->disks[i].covered && buf_addf(&b, "%s%s", b.len ? ", " : "", disk->target) < 0)
            return -ENOMEM;
    }
    return !b.len ? 0
                  : strv_addf(&r->warnings,
                              "its memory is backed up but disk %s is not: if the disk is written to after the backup, restore the VM with "
                              "--discard-memory so that it boots afresh",
                              (const char *)b.data);
}

/* What the guest sees and no disk of it holds: nobody should look for it in a restore point. */
static int warn_of_mounts(struct vm_report *r)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    size_t n = 0;

    for (size_t i = 0; i < r->n_elsewhere; i++) {
        const struct hv_guest_fs *fs = &r->elsewhere[i];
        if (vm_fs_on_disk(fs) || !strcmp(fs->type, "overlay"))
            continue;
        if (++n <= VM_MOUNTS_NAMED && buf_addf(&b, "%s%s (%s)", n > 1 ? ", " : "", fs->mountpoint, fs->type) < 0)
            return -ENOMEM;
    }
    if (!n)
        return 0;
    if (n > VM_MOUNTS_NAMED && buf_addf(&b, " and %zu more", n - VM_MOUNTS_NAMED) < 0)
        return -ENOMEM;
    return strv_addf(&r->warnings, "file systems mounted in the guest from elsewhere are neither frozen nor backed up: %s",
                     (const char *)b.data);
}

static int add_warnings(const struct vm_writer *w, const struct hv_domain *d, struct vm_report *r)
{
    int n = 0;

    for (size_t i = 0; i < r->n_disks; i++)
        n += r->disks[i].covered;
    if (!n && strv_addf(&r->warnings, "no disk of the VM is backed up, only its definition") < 0)
        return -ENOMEM;
    for (size_t i = 0; i < d->n_disks; i++)
        if (d->disks[i].transient && r->disks[i].covered && (d->state == HV_RUNNING || d->state == HV_PAUSED) &&
            strv_addf(&r->warnings,
                      "disk %s is transient: what the guest has written to it since its start is lost when it stops, and is not backed up",
                      d->disks[i].target) < 0)
            return -ENOMEM;
    if (r->no_live && r->policy.method == VM_METHOD_AUTO && !r->refused &&
        strv_addf(&r->warnings, "live-state is enabled but not possible, so Saved State is used: %s", r->no_live) < 0)
        return -ENOMEM;
    if (warn_of_memory(d, r) < 0 || warn_of_mounts(r) < 0)
        return -ENOMEM;
    if (d->tpm && !hv_is_local(w->config.hv) &&
        strv_addf(&r->warnings, "the state of its emulated TPM is on another host and is not backed up") < 0)
        return -ENOMEM;
    return 0;
}

static int take_policy(const struct vm_writer *w, const struct hv_domain *d, struct vm_report *r)
{
    if (!w->config.policy)
        return 0;
    struct vm_policy p = w->config.policy(w->config.policy_priv, d->name, d->uuid);
    const char *why = p.not_quiesced;
    if (why && !(p.not_quiesced = strdup(why)))
        return -ENOMEM;
    r->policy = p;
    return 0;
}

int vm_examine(struct vm_writer *w, struct hv_domain *d, struct vm_report *ret, struct err *err)
{
    struct vm_report r = { .state = d->state, .level = VM_LEVEL_CRASH, .agent = HV_AGENT_FAILED };

    note_excluded(w, d);
    int rc = vm_look_at_network(d, err);
    if (rc < 0)
        return rc;
    r.name = strdup(d->name);
    r.uuid = strdup(d->uuid);
    if (!r.name || !r.uuid || take_policy(w, d, &r) < 0 || cover_disks(d, &r) < 0) {
        vm_report_clear(&r);
        return err_nomem(err);
    }
    _cleanup_free_ char *job = NULL;
    bool busy = false;
    struct err silent = ERR_INIT;
    rc = hv_domain_busy(d, &busy, &job, &silent); /* first of all: where QEMU hangs, nothing else is to be learnt */
    bool hangs = rc == -ETIMEDOUT;
    if (hangs)
        vm_leave_conditions(&r, silent.text);
    else if (rc != -EINTR)
        vm_check_conditions(w, d, &r);
    choose_method(w, d, &r);
    if (!hangs && rc != -EINTR && r.method == VM_METHOD_CHILD && vm_guest_ask(w, d, &r) < 0) {
        vm_report_clear(&r);
        return err_nomem(err);
    }
    if (r.method == VM_METHOD_CHILD && r.policy.not_quiesced)
        choose_method(w, d, &r); /* by what was learnt of the guest's writers */
    r.save_bytes = !hangs && (r.method == VM_METHOD_SAVED || r.method == VM_METHOD_LIVE) ? hv_save_bytes(d) : 0;
    r.refused =
        hangs ? str_format("%s: find out what it is waiting for, or turn the VM off", silent.text) : refusal(w, d, &r, busy ? job : NULL);
    if (rc == -EINTR || (hangs && !r.refused) || add_warnings(w, d, &r) < 0) {
        vm_report_clear(&r);
        return rc == -EINTR ? err_move(err, &silent) : err_nomem(err);
    }
    *ret = r;
    return 0;
}
