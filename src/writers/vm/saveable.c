/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a VM can be put in a saved state and comes back from there (M3, B2): all that is known before anything is touched. */
#include "base/io.h"
#include "base/num.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <string.h>

#define ROOM_MARGIN (1u << 20) /* what libvirt writes beside the memory */

char *vm_unsaveable(const struct hv_domain *d, const struct vm_report *r)
{
    for (size_t i = 0; i < d->n_disks; i++) {
        const struct hv_disk *disk = &d->disks[i];
        if (disk->transient)
            return str_format("a transient disk (%s)", disk->target);
        if (disk->unsaveable)
            return str_format("an image of format %s (disk %s; qemu-img convert can convert it to qcow2)", disk->unsaveable, disk->target);
    }
    for (size_t i = 0; i < r->n_elsewhere; i++)
        if (!strcmp(r->elsewhere[i].type, "9p"))
            return str_format("a shared folder that is mounted (9p, %s)", r->elsewhere[i].mountpoint);
    return d->unsaveable ? strv_join(d->unsaveable, ", ") : NULL;
}

int vm_writer_check_room(const struct vm_writer *w, const uint64_t *save_bytes, size_t n, struct err *err)
{
    const char *dir = hv_save_dir(w->config.hv);
    uint64_t wanted = 0, have = 0;
    char wants[16], has[16];

    for (size_t i = 0; i < n; i++)
        wanted += save_bytes[i];
    if (!wanted || !dir || io_free_bytes(dir, &have, NULL) < 0 || wanted + ROOM_MARGIN <= have)
        return 0;
    num_format_size(wanted + ROOM_MARGIN, wants);
    num_format_size(have, has);
    return err_set(
        err, ENOSPC,
        "not enough space for saved states in %s: up to %s needed, %s free; free space there, or make Child VM Snapshot possible", dir,
        wants, has);
}

/* To its cluster a VM that is saved has failed, unless the cluster takes part. Caller frees. */
static char *clustered(const struct hv_domain *d, struct vm_report *r, const char *why)
{
    _cleanup_free_ char *no = NULL;
    struct err unknown = ERR_INIT;

    if (vm_cluster_way(d, &r->cluster, &no, &unknown) < 0)
        return str_format("Saved State is not possible: %s", unknown.text);
    if (!no)
        return NULL;
    return str_format(
        "Saved State is not possible because Pacemaker manages the VM (resource %s): %s. To use Child VM Snapshot instead: %s", r->cluster,
        no, why);
}

char *vm_cannot_save(const struct vm_writer *w, struct hv_domain *d, struct vm_report *r, const char *why)
{
    _cleanup_free_ char *with = vm_unsaveable(d, r), *cluster = clustered(d, r, why);
    _cleanup_strv_ char **lacks = NULL, **unsure = NULL;
    struct err unread = ERR_INIT;

    if (cluster)
        return TAKE_PTR(cluster);
    if (!d->persistent && !r->cluster)
        return str_format("the VM is transient (it has no persistent definition), so its state cannot be saved");
    if (with)
        return str_format("Saved State is not possible because QEMU cannot save a VM with %s. To use Child VM Snapshot instead: %s", with,
                          why);
    if (d->state == HV_RUNNING && !hv_may_resume_in_job(d))
        return str_format(
            "Saved State would crash the VM: a disk has an iothread and a limit (iotune), and this QEMU (before 9.0) aborts when such a VM "
            "is resumed while its backup job runs. Remove one of the two (virsh blkdeviotune ... 0), or use Child VM Snapshot: %s",
            why);
    if (!hv_save_dir(w->config.hv))
        return str_format("the VM runs on another host, and its saved state cannot be read from here: run kvss there");
    if (vm_writer_check_room(w, &r->save_bytes, 1, &unread) < 0)
        return str_format("Saved State is not possible: %s: %s", unread.text, why);
    if (hv_start_lacks(d, NULL, &lacks, &unsure, &unread) < 0)
        return str_format("Saved State is not possible: cannot determine what the VM needs to start again: %s", unread.text);
    for (char **text = unsure; text && *text; text++)
        if (strv_add(&r->warnings, *text) < 0)
            return str_format("out of memory");
    _cleanup_free_ char *list = lacks ? strv_join(lacks, "; ") : NULL;
    if (!list)
        return NULL;
    return str_format("Saved State is not possible because the VM could not be started again: this host lacks %s. Provide it, or use Child "
                      "VM Snapshot: %s",
                      list, why);
}
