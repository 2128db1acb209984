/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks on the network that a backup reads without the VM's QEMU: their servers are asked for them beforehand, as it will do. */
#include "writers/vm/vm_internal.h"
#include <errno.h>

/* No QEMU has it open that a backup job could read it through; of one that the guest only reads it takes none. */
static bool is_read_apart(const struct hv_domain *d, const struct hv_disk *disk)
{
    return disk->source == HV_SOURCE_NETWORK && !vm_disk_not_covered(disk) && !disk->unreadable &&
           (d->state == HV_OFF || d->state == HV_SAVED || disk->readonly || disk->transient);
}

/* none: why it cannot even be asked for. */
static char *cannot_read(const struct hv_domain *d, const struct hv_disk *disk, const char *none, const struct err *why)
{
    const char *start = d->state == HV_OFF || d->state == HV_SAVED ? "start the VM, or " : "";

    return str_format("its image %s is on the network and not open in a running QEMU: %s: %sexclude the VM from --all (--exclude %s)",
                      disk->locator, none ? none : why->text,
                      none                      ? start
                      : why->code == EOPNOTSUPP ? "install it, or "
                                                : "check its server, or ",
                      d->name);
}

int vm_look_at_network(struct hv_domain *d, struct err *err)
{
    _cleanup_free_ bool *which = calloc(d->n_disks + 1, sizeof(*which));
    _cleanup_free_ struct hv_network_answer *answers = NULL;

    if (!which)
        return err_nomem(err);
    for (size_t i = 0; i < d->n_disks; i++)
        which[i] = is_read_apart(d, &d->disks[i]) && hv_is_local(d->hv) && d->disks[i].node;
    int r = hv_network_disks_ask(d, which, HV_NETWORK_ANSWER_MS, &answers, err);
    for (size_t i = 0; r >= 0 && i < d->n_disks; i++) {
        struct hv_disk *disk = &d->disks[i];
        const char *none = !hv_is_local(d->hv) ? "QEMU runs on another host" : !disk->node ? disk->no_node : NULL;
        if (which[i] && !answers[i].why.code)
            disk->size = answers[i].size;
        else if (is_read_apart(d, disk) && !(disk->unreadable = cannot_read(d, disk, none, &answers[i].why)))
            return err_nomem(err);
    }
    return r;
}
