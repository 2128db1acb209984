/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What earlier backups have left: checkpoints and bitmaps that nothing stands on any more cost QEMU memory and time with every write of
 * the guest; a session that died waits to be put back; a guest that could not be quiesced has told so. */
#include "requester/backup/backup.h"
#include "requester/check/check.h"
#include "requester/point/stored_point.h"
#include <errno.h>
#include <string.h>

#define MARK CHECKPOINT_MARK

/* "kvss-1a2b3c4d" of "kvss-1a2b3c4d-1764072000000-0f0e0d0c". */
static bool left_is_of(const char *checkpoint, const char *prefix)
{
    size_t n = strlen(prefix);

    return !strncmp(checkpoint, prefix, n) && checkpoint[n] == '-';
}

/* Whether a restore point of the repository names it for that VM. */
static bool is_known(const struct check *c, const char *uuid, const char *checkpoint)
{
    for (size_t i = 0; i < c->n_points; i++) {
        const json_t *vm = c->metas[i] ? point_find_vm(c->metas[i], uuid) : NULL;
        const char *name = vm_record_listed(vm).checkpoint;
        if (name && !strcmp(name, checkpoint))
            return true;
    }
    return false;
}

static void look_at_checkpoint(struct check *c, struct check_vm *vm, const char *name, const char *prefix)
{
    _cleanup_free_ char *remedy = NULL;

    if (strncmp(name, MARK, strlen(MARK)) || (prefix && left_is_of(name, prefix) && is_known(c, vm->report->uuid, name)))
        return;
    if (prefix && left_is_of(name, prefix)) {
        remedy = str_format("the next backup of the VM to this repository deletes it; or: virsh checkpoint-delete %s %s", vm->report->name,
                            name);
        check_found(c, vm->findings, FOUND(FINDING_WARNING, "checkpoint-stale", remedy ? remedy : ""),
                    "checkpoint %s belongs to a restore point that no longer exists in the repository", name);
        return;
    }
    remedy = str_format("if that repository no longer exists: virsh checkpoint-delete %s %s", vm->report->name, name);
    check_found(c, vm->findings, FOUND(FINDING_NOTE, "checkpoint-of-another", remedy ? remedy : ""),
                "checkpoint %s belongs to %s repository", name, prefix ? "another" : "a");
}

/* Snapshots inside an image are gone when the VM is restored. */
static void look_at_snapshots(struct check *c, struct check_vm *vm, const struct hv_disk *d, size_t n)
{
    _cleanup_free_ char *remedy = str_format("to keep one, with the VM off: qemu-img convert -l NAME -O qcow2 %s COPY", d->path);

    if (n)
        check_found(c, vm->findings, FOUND(FINDING_NOTE, "snapshots-inside", remedy ? remedy : ""),
                    "disk %s: the %zu snapshot%s inside its image %s not backed up", d->target, n, n == 1 ? "" : "s",
                    n == 1 ? "is" : "are");
}

/* Whether the next backup could make that checkpoint known to libvirt again: the newest that a restore point of the repository left. */
static bool may_revive(const struct check *c, const char *uuid, const char *prefix, const char *checkpoint)
{
    for (size_t i = prefix ? c->n_points : 0; i-- > 0;) {
        const json_t *vm = c->metas[i] ? point_find_vm(c->metas[i], uuid) : NULL;
        const char *name = vm_record_listed(vm).checkpoint;
        if (name && left_is_of(name, prefix))
            return !strcmp(name, checkpoint);
    }
    return false;
}

/* libvirt forgets checkpoints when a VM is undefined, and knows nothing of an image that was put back from an older copy; the images keep
 * the bitmaps, and QEMU goes on recording in them. Returns how many there are. */
static size_t look_at_image(struct check *c, struct check_vm *vm, const struct hv_disk *d, const char *prefix)
{
    _cleanup_free_ char *remedy = str_format("with the VM off: kvss checkpoint drop %s", vm->report->name);
    struct hv_image_info info = { 0 };
    size_t forgotten = 0;

    if (!d->path || strcmp(d->format, "qcow2") || hv_image_info(c->s->hv, d->path, d->format, true, &info, NULL) < 0)
        return 0;
    for (size_t i = 0; i < info.n_bitmaps; i++) {
        const char *name = info.bitmaps[i].name;
        if (strncmp(name, MARK, strlen(MARK)) || strv_has(vm->dom->checkpoints, name))
            continue;
        forgotten++;
        if (may_revive(c, vm->report->uuid, prefix, name))
            continue;
        check_found(c, vm->findings, FOUND(FINDING_WARNING, "bitmap-stale", remedy ? remedy : ""),
                    "disk %s has an orphaned dirty bitmap %s: neither a libvirt checkpoint nor a restore point uses it", d->target, name);
    }
    look_at_snapshots(c, vm, d, info.n_snapshots);
    hv_image_info_clear(&info);
    return forgotten;
}

/* Agent and hooks cannot be tried without freezing the guest; but what happened the last time is known. */
static void look_at_last_point(struct check *c, struct check_vm *vm)
{
    const char *id = "";
    const json_t *last = check_last_point(c, vm->report->uuid, &id);
    const struct vm_record_listed listed = last ? vm_record_listed(last) : (struct vm_record_listed){ 0 };
    const char *why = listed.not_quiesced;

    if (!why)
        return;
    if (listed.method && !strcmp(listed.method, vm_method_name(VM_METHOD_CHILD))) {
        _cleanup_free_ char *look = str_format("run kvss guest status %s, and correct that writer in the guest", vm->report->name);
        check_found(c, vm->findings, FOUND(FINDING_WARNING, "last-freeze-failed", look ? look : ""),
                    "in the last restore point (%.12s) only the file systems of the guest were frozen: %s", id, why);
        return;
    }
    _cleanup_free_ char *remedy = str_format(
        "check the agent's log and the scripts of its fsfreeze hook in the guest, then try: virsh domfsfreeze %s; virsh domfsthaw %s",
        vm->report->name, vm->report->name);
    check_found(c, vm->findings, FOUND(FINDING_WARNING, "last-freeze-failed", remedy ? remedy : ""),
                "in the last restore point (%.12s) the guest could not be quiesced, so its fallback was used: %s", id, why);
}

/* A snapshot that was made after the last backup: the next one deletes the checkpoint, but who wants to revert now is told how.
 * forgotten: bitmaps of kvss in the images of which libvirt knows no checkpoint; they block as well, and go only while the VM is off. */
static void look_at_reverting(struct check *c, struct check_vm *vm, size_t forgotten)
{
    _cleanup_free_ char *remedy =
        str_format("before reverting%s: kvss checkpoint drop %s", forgotten ? ", with the VM off" : "", vm->report->name);
    struct err unknown = ERR_INIT;
    size_t n = 0, ours = 0;

    for (char **name = vm->dom->checkpoints; name && *name; name++)
        ours += !strncmp(*name, MARK, strlen(MARK));
    if (ours + forgotten && hv_internal_snapshots(vm->dom, &n, &unknown) >= 0 && n)
        check_found(c, vm->findings, FOUND(FINDING_WARNING, "revert-blocked", remedy ? remedy : ""),
                    "virsh snapshot-revert would fail and leave the VM off: QEMU cannot revert to a snapshot inside an image that has a "
                    "checkpoint%s",
                    ours ? "" : " or a dirty bitmap left over from one");
}

static void look_at_vm(struct check *c, struct check_vm *vm, const char *prefix)
{
    size_t forgotten = 0;
    bool busy = false;

    look_at_last_point(c, vm);
    if (hv_domain_busy(vm->dom, &busy, NULL, NULL) < 0 || busy)
        return; /* a backup is just making a checkpoint, perhaps */
    for (char **name = vm->dom->checkpoints; name && *name; name++)
        look_at_checkpoint(c, vm, *name, prefix);
    for (size_t i = 0; hv_is_local(c->s->hv) && i < vm->dom->n_disks; i++)
        if (vm->report->disks[i].covered)
            forgotten += look_at_image(c, vm, &vm->dom->disks[i], prefix);
    look_at_reverting(c, vm, forgotten);
}

/* ---- Sessions that died, and settings of VMs that are not there --------------------------------------------------------------*/

static void note_session(void *priv, const struct journal_recovered *r)
{
    struct check *c = priv;

    if (r->text)
        check_found(c, c->findings, FOUND(FINDING_WARNING, "session-unreadable", "run kvss recover"),
                    "session %s crashed, and its journal cannot be read: %s", r->session_id, r->text);
    else
        check_found(c, c->findings,
                    FOUND(FINDING_WARNING, "session-dead", "run kvss recover (every backup and restore does the same first)"),
                    "session %s crashed; changes not undone yet: %zu", r->session_id, r->effects);
}

static int left_look_at_sessions(struct check *c, struct err *err)
{
    _cleanup_free_ struct journal_verb *verbs = NULL;
    _cleanup_free_ char *dir = NULL;
    struct err why = ERR_INIT;

    if (sessions_dir(&dir, &why) < 0)
        return 0;
    int r = session_verbs(&verbs, err);
    if (r >= 0 && journal_survey(dir, verbs, note_session, c, &why) < 0)
        check_found(c, c->findings, FOUND(FINDING_WARNING, "sessions-unreadable", "make it readable"), "%s", why.text);
    return r;
}

static void look_at_sections(struct check *c)
{
    for (size_t i = 0; i < c->policies->n; i++) {
        struct hv_domain *d = NULL;
        struct err why = ERR_INIT;
        if (hv_domain_find(c->s->hv, c->policies->of[i].vm, &d, &why) >= 0)
            hv_domain_free(d);
        else if (why.code == ENOENT)
            check_found(c, c->findings,
                        FOUND(FINDING_WARNING, "settings-of-unknown-vm",
                              "correct the name; ignore this if the VM is on another host that shares the file"),
                        "kvss.conf has a section [vm %s], but no VM on this host has that name", c->policies->of[i].vm);
    }
}

static int look_at_excludes(struct check *c, struct err *err)
{
    _cleanup_strv_ char **idle = NULL;

    int r = select_idle_patterns(c->s->hv, c->exclude, &idle, err);
    for (char **p = idle; p && *p && r >= 0; p++)
        check_found(
            c, c->findings,
            FOUND(FINDING_WARNING, "exclude-matches-nothing", "correct it; ignore this if the VM is on another host that shares the file"),
            "%s is excluded (exclude in kvss.conf, or --exclude), but no VM on this host has that name or UUID or matches that pattern",
            *p);
    return r;
}

/* Whether the VM of a pattern VM:DISK is one that is looked at without such a disk, or (found out for all of the host) none at all. */
static int disk_is_idle(struct check *c, const char *pattern, bool *ret, struct err *err)
{
    const char *colon = strrchr(pattern, ':');
    _cleanup_free_ char *vm = colon ? strndup(pattern, (size_t)(colon - pattern)) : strdup(pattern);
    _cleanup_strv_ char **idle = NULL;
    bool looked_at = false, found = false;

    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < c->vms[i].dom->n_disks; k++) {
            bool its = false;
            found |= policy_pattern_has(pattern, c->vms[i].dom->name, c->vms[i].dom->uuid, c->vms[i].dom->disks[k].target, &its);
            looked_at |= its;
        }
    *ret = looked_at && !found;
    if (looked_at || !vm)
        return vm ? 0 : err_nomem(err);
    char *const patterns[] = { vm, NULL };
    int r = select_idle_patterns(c->s->hv, patterns, &idle, err);
    *ret = idle != NULL;
    return r;
}

static int look_at_excluded_disks(struct check *c, struct err *err)
{
    int r = 0;

    for (char *const *p = c->policies->exclude_disks; p && *p && r >= 0; p++) {
        bool idle = false;
        r = disk_is_idle(c, *p, &idle, err);
        if (r >= 0 && idle)
            check_found(c, c->findings,
                        FOUND(FINDING_WARNING, "exclude-matches-nothing",
                              "correct it; ignore this if the VM is on another host that shares the file"),
                        "%s is excluded (exclude-disk in kvss.conf, or --exclude-disk), but no VM on this host has such a disk", *p);
    }
    return r;
}

int check_left(struct check *c, struct err *err)
{
    char prefix[CHAIN_PREFIX_MAX];

    if (c->rq->store)
        chain_prefix(c->rq->store, prefix);
    for (size_t i = 0; i < c->n; i++)
        look_at_vm(c, &c->vms[i], c->rq->store ? prefix : NULL);
    look_at_sections(c);
    int r = look_at_excludes(c, err);
    if (r >= 0)
        r = look_at_excluded_disks(c, err);
    return r < 0 ? r : left_look_at_sessions(c, err);
}
