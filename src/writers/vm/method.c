/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which disks are covered (M11), which method is used (M1, M4), what it will be worth (B3) and whether it is refused. */
#include "base/buf.h"
#include "base/io.h"
#include "writers/vm/internal.h"
#include <errno.h>
#include <string.h>

const char *vm_method_name(enum vm_method m)
{
    static const char *const names[] = { "auto", "child-vm-snapshot", "saved-state", "offline" };
    return (size_t)m < ARRAY_SIZE(names) ? names[m] : "unknown";
}

const char *vm_level_name(enum vm_level l)
{
    static const char *const names[] = { "crash", "saved-state", "file-system", "application", "offline" };
    return (size_t)l < ARRAY_SIZE(names) ? names[l] : "unknown";
}

const char *vm_fallback_name(enum vm_fallback f)
{
    static const char *const names[] = { "auto", "saved-state", "fail" };
    return (size_t)f < ARRAY_SIZE(names) ? names[f] : "unknown";
}

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
    free((char *)r->policy.not_quiesced);
    strv_free(r->warnings);
    memset(r, 0, sizeof(*r));
}

/* ---- Disks ------------------------------------------------------------------------------------------------------------------*/

const char *vm_disk_not_covered(const struct hv_disk *d)
{
    switch (d->device) {
    case HV_DEVICE_CDROM:
        return "CD-ROM drive: its medium is not backed up, the drive stays in the definition";
    case HV_DEVICE_FLOPPY:
        return "floppy drive: its medium is not backed up, the drive stays in the definition";
    case HV_DEVICE_LUN:
        return "pass-through disk: not visible to the host (M11); back it up from inside the guest";
    case HV_DEVICE_DISK:
        break;
    }
    if (d->source == HV_SOURCE_NONE)
        return "empty drive";
    if (d->source == HV_SOURCE_NETWORK && d->protocol && !strcmp(d->protocol, "iscsi"))
        return "iSCSI disk: not visible to the host (M11); back it up from inside the guest or on the target";
    if (d->source == HV_SOURCE_OTHER && !strncmp(d->locator, "dir:", 4))
        return "folder of the host, shown as a disk: back up the folder";
    if (d->source == HV_SOURCE_OTHER && !d->unreadable)
        return "pass-through disk: QEMU cannot read it for a backup (M11)";
    if (d->encrypted)
        return "encrypted disk (LUKS, with a secret of libvirt's): kvss cannot write it back encrypted; back it up from inside the "
               "guest";
    if (d->slice)
        return "a part of a file (slice): kvss reads and restores whole images only; back it up from inside the guest";
    if (d->shareable)
        return "shareable disk: other VMs may write it, so no point in time of it can be taken through one VM";
    return NULL;
}

static int add_disk(struct vm_report *r, const char *target, const char *path, const char *format, const char *why)
{
    struct vm_disk_report *d = &r->disks[r->n_disks++];

    d->target = strdup(target);
    d->path = path ? strdup(path) : NULL;
    d->format = format ? strdup(format) : NULL;
    d->why = why ? strdup(why) : NULL;
    d->covered = !why;
    return d->target && (d->path || !path) && (d->format || !format) && (d->why || !why) ? 0 : -ENOMEM;
}

/* What a VM has of the host beside disks: called by its element, which says what it is. */
static int add_beside(struct vm_report *r, const struct hv_beside_item *item)
{
    static const struct { const char *target, *why; } kinds[] = {
        [HV_BESIDE_PMEM] = { "memory", "NVDIMM or persistent memory: what the guest keeps in it is not backed up (M11); back it up from "
                                       "inside the guest" },
        [HV_BESIDE_FOLDER] = { "filesystem", "folder of the host, shared with the guest: not backed up with the VM; back up the folder" },
        [HV_BESIDE_FIRMWARE] = { "firmware", "firmware that the guest can write, in no file of its own: not backed up" },
        [HV_BESIDE_TPM] = { "tpm", "TPM that libvirt does not emulate: its state is not visible to the host and is not backed up" },
        [HV_BESIDE_COMMANDLINE] = { "qemu:commandline", "storage on QEMU's command line, which libvirt does not know: not backed up (M11); "
                                                        "make it a <disk>" },
    };

    return add_disk(r, kinds[item->kind].target, item->name, NULL, kinds[item->kind].why);
}

static int cover_disks(const struct hv_domain *d, struct vm_report *r)
{
    r->disks = calloc(d->n_disks + strv_len(d->passthrough) + d->n_beside + d->n_later + 1, sizeof(*r->disks));
    if (!r->disks)
        return -ENOMEM;
    for (size_t i = 0; i < d->n_disks; i++) {
        const struct hv_disk *disk = &d->disks[i];
        const char *why = vm_disk_not_covered(disk);
        if (add_disk(r, disk->target, disk->locator, disk->format, why ? why : disk->unreadable) < 0)
            return -ENOMEM;
    }
    for (char **p = d->passthrough; p && *p; p++)
        if (add_disk(r, "hostdev", *p, NULL, "pass-through device: not visible to the host (M11)") < 0)
            return -ENOMEM;
    for (size_t i = 0; i < d->n_beside; i++)
        if (add_beside(r, &d->beside[i]) < 0)
            return -ENOMEM;
    for (size_t i = 0; i < d->n_later; i++)
        if (add_disk(r, d->later[i].target, d->later[i].locator, d->later[i].format,
                     "the VM gets it at its next start and does not have it now: its image is not backed up") < 0)
            return -ENOMEM;
    return 0;
}

/* ---- Method -----------------------------------------------------------------------------------------------------------------*/

char *vm_failed_conditions(const struct vm_report *r)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    for (int i = 0; i < 5; i++) {
        const struct vm_condition *c = &r->conditions[i];
        if (!c->checked || c->ok)
            continue;
        if (buf_addf(&b, "%s%s %s: %s", b.len ? "; " : "", c->clause, c->name, c->why ? c->why : "unknown") < 0)
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

static void choose_method(const struct hv_domain *d, struct vm_report *r)
{
    if (d->state == HV_OFF || d->state == HV_SAVED) {
        r->method = VM_METHOD_OFFLINE;
        r->level = VM_LEVEL_OFFLINE;
    } else if (r->policy.method != VM_METHOD_SAVED && !r->policy.not_quiesced && child_possible(r)) {
        r->method = VM_METHOD_CHILD;
    } else {
        r->method = VM_METHOD_SAVED;
        r->level = VM_LEVEL_SAVED_STATE;
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
                              disk->path && !io_exists(disk->path) ? "; if the VM was deleted, virsh undefine removes what is left of it"
                                                                   : "");
    }
    if (d->nvram && d->state != HV_OFF && hv_is_local(d->hv) && !io_exists(d->nvram))
        return str_format("its NVRAM %s is not there: bring it back", d->nvram);
    return vm_lost_tpm(d);
}

/* Why a backup with these settings cannot be made; NULL: it can. Everything here is known before anything is touched. */
static char *refusal(const struct vm_writer *w, struct hv_domain *d, struct vm_report *r, const char *job)
{
    _cleanup_free_ char *failed = vm_failed_conditions(r);
    _cleanup_free_ char *unsaved = NULL, *broken = unreadable(d);
    const struct vm_policy *p = &r->policy;
    const char *why = p->not_quiesced ? p->not_quiesced : failed ? failed : "--method saved-state was asked for";

    if (d->state == HV_OTHER)
        return str_format("the VM is in a state from which it cannot be brought back as it was: %s", d->state_detail);
    if (broken)
        return TAKE_PTR(broken);
    if (r->method == VM_METHOD_SAVED && p->method == VM_METHOD_CHILD)
        return str_format("Child VM Snapshot was asked for and is not possible: %s", why);
    /* Nothing needs to be quiesced in a VM that stands still anyway. */
    if (r->method == VM_METHOD_SAVED && p->method == VM_METHOD_AUTO && p->fallback == VM_FALLBACK_FAIL && d->state == HV_RUNNING)
        return str_format("--fallback fail: the guest cannot be quiesced: %s", why);
    if (r->level < p->require)
        return str_format("--require %s: the backup would be %s only: %s", vm_level_name(p->require), vm_level_name(r->level),
                          r->method == VM_METHOD_SAVED ? why
                          : r->windows ? "the agent runs a VSS backup in the guest, but what its writers answered is not known here"
                                       : "the agent freezes file systems; nothing in the guest tells its applications");
    if (r->method == VM_METHOD_SAVED && (unsaved = vm_cannot_save(w, d, r, why)))
        return TAKE_PTR(unsaved);
    return job ? str_format("another job holds the VM: %s; wait for it or end it", job) : NULL;
}

/* A disk that is not of the instant of the memory which is kept: the guest would go on with what it remembers of it. */
static int warn_of_memory(const struct hv_domain *d, struct vm_report *r)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    if (r->method != VM_METHOD_SAVED && d->state != HV_SAVED)
        return 0;
    for (size_t i = 0; i < d->n_disks; i++) {
        const struct hv_disk *disk = &d->disks[i];
        bool written = (disk->device == HV_DEVICE_DISK || disk->device == HV_DEVICE_LUN) && disk->source != HV_SOURCE_NONE &&
                       !disk->readonly;
        if (written && !r->disks[i].covered && buf_addf(&b, "%s%s", b.len ? ", " : "", disk->target) < 0)
            return -ENOMEM;
    }
    return !b.len ? 0 : strv_addf(&r->warnings, "its memory is backed up and disk %s is not: if that was written since, restore the VM "
                                  "with --discard-memory, so that it boots anew", (const char *)b.data);
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
    return strv_addf(&r->warnings, "mounted in the guest from elsewhere, and neither frozen nor backed up with it: %s",
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
            strv_addf(&r->warnings, "disk %s is transient: what the guest wrote to it since its start ends with it and is not backed up",
                      d->disks[i].target) < 0)
            return -ENOMEM;
    if (warn_of_memory(d, r) < 0 || warn_of_mounts(r) < 0)
        return -ENOMEM;
    if (d->tpm && !hv_is_local(w->config.hv) &&
        strv_addf(&r->warnings, "the state of its emulated TPM lies on another host and is not backed up") < 0)
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

    int rc = vm_look_at_network(d, err);
    if (rc < 0)
        return rc;
    r.name = strdup(d->name);
    r.uuid = strdup(d->uuid);
    if (!r.name || !r.uuid || take_policy(w, d, &r) < 0 || cover_disks(d, &r) < 0) {
        vm_report_clear(&r);
        return err_set(err, ENOMEM, "out of memory");
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
    choose_method(d, &r);
    r.save_bytes = !hangs && r.method == VM_METHOD_SAVED ? hv_save_bytes(d) : 0;
    r.refused = hangs ? str_format("%s: see what it waits for, or turn the VM off", silent.text) : refusal(w, d, &r, busy ? job : NULL);
    if (rc == -EINTR || (hangs && !r.refused) || add_warnings(w, d, &r) < 0) {
        vm_report_clear(&r);
        return rc == -EINTR ? err_move(err, &silent) : err_set(err, ENOMEM, "out of memory");
    }
    *ret = r;
    return 0;
}

int vm_writer_check(struct vm_writer *w, const char *name_or_uuid, struct vm_report *ret, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;

    int r = hv_domain_get(w->config.hv, name_or_uuid, &d, err);
    return r < 0 ? r : vm_examine(w, d, ret, err);
}
