/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Single disks restored into a VM that stays defined: it is turned off for that if it runs, and comes back as it was. The requester
 * has found that the VM is there and has these disks. */
#include "writers/vm/internal.h"
#include <errno.h>
#include <string.h>

bool vm_is_part(const struct vm_restore *r)
{
    return json_is_true(json_object_get(r->options, "part"));
}

static int find(const struct vm_restore *r, struct hv_domain **ret, struct err *err)
{
    int rc = hv_domain_get(r->writer->config.hv, r->uuid, ret, err);

    return rc < 0 ? err_context(err, "single disks are restored into a VM that is here") : 0;
}

/* libvirt goes on listing them. */
static int warn_of_snapshots(struct vm_restore *r, struct hv_domain *d, struct err *err)
{
    _cleanup_(hv_kept_clear) struct hv_kept kept = { 0 };

    int rc = hv_keep_metadata(d, &kept, err);
    if (rc >= 0 && kept.snapshots && kept.snapshots[0])
        vm_restore_warn(r, "it has snapshots, and what they hold of the disks that were restored is gone: do not revert to one, delete "
                           "them (virsh snapshot-list %s)", d->name);
    return rc;
}

int vm_part_pre_restore(struct vm_restore *r, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;

    int rc = find(r, &d, err);
    if (rc >= 0)
        rc = warn_of_snapshots(r, d, err);
    if (rc < 0)
        return rc;
    if (d->state == HV_OFF) {
        vm_restore_step(r, "turn off: VM %s was %s", d->name, hv_state_name(d->state));
        return 0;
    }
    return vm_turn_off(r, d, err);
}

/* The new images stand alone; a definition that spells out the old chain would make QEMU look for it. */
static int drop_chains(struct vm_restore *r, struct hv_domain **d, struct err *err)
{
    _cleanup_free_ char *xml = NULL;
    const char *target;
    json_t *path;

    if (!strstr((*d)->xml, "<backingStore type="))
        return 0;
    int rc = hv_def_parse((*d)->xml, &r->def, err);
    json_object_foreach(json_object_get(r->options, "disks"), target, path)
        if (rc >= 0)
            rc = hv_def_set_disk(r->def, target, json_string_value(path) ? json_string_value(path) : "", NULL, err);
    if (rc >= 0)
        rc = hv_def_text(r->def, &xml, err);
    if (rc < 0)
        return rc;
    struct hv_domain *fresh = NULL;
    if ((rc = hv_define(r->writer->config.hv, xml, &fresh, err)) < 0)
        return rc;
    hv_domain_free(*d);
    *d = fresh;
    return 0;
}

int vm_part_post_restore(struct vm_restore *r, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    const char *state = vm_restore_option(r, "state");

    int rc = find(r, &d, err);
    if (rc >= 0)
        rc = drop_chains(r, &d, err);
    if (rc < 0)
        return rc;
    if (d->state == HV_SAVED) { /* agreed to: --discard-memory */
        if ((rc = hv_managed_save_drop(d, err)) < 0)
            return rc;
        vm_restore_step(r, "discard: its saved state, which did not belong to these disks");
    }
    if (!state || (strcmp(state, "running") && strcmp(state, "paused")))
        return 0;
    rc = hv_start(d, !strcmp(state, "paused"), err);
    if (rc < 0)
        return err_context(err, "its disks are restored, but it could not be started");
    vm_restore_step(r, "start: booted%s", strcmp(state, "paused") ? "" : ", paused");
    return 0;
}
