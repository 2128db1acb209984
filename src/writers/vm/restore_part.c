/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Single disks restored into a VM that stays defined: it is turned off for that if it runs, and comes back as it was. The requester
 * has found that the VM is there and has these disks. */
#include "base/buf.h"
#include "base/io.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <string.h>

#define DEFINITION_MAX ((size_t)16 << 20)

bool vm_is_part(const struct vm_restore *r)
{
    return json_is_true(json_object_get(r->options, "part"));
}

static int part_find(const struct vm_restore *r, struct hv_domain **ret, struct err *err)
{
    int rc = hv_domain_get(r->writer->config.hv, r->uuid, ret, err);

    return rc < 0 ? err_context(err, "single disks can only be restored into an existing VM") : 0;
}

/* libvirt goes on listing them. */
static int part_warn_of_snapshots(struct vm_restore *r, struct hv_domain *d, struct err *err)
{
    _cleanup_(hv_kept_clear) struct hv_kept kept = { 0 };

    int rc = hv_keep_metadata(d, &kept, err);
    if (rc >= 0 && kept.snapshots && kept.snapshots[0])
        vm_restore_warn(r, "its snapshots no longer match the restored disks: do not revert to one, delete them (virsh snapshot-list %s)",
                        d->name);
    return rc;
}

int vm_live_text(struct hv_domain *d, char **ret, struct err *err)
{
    _cleanup_free_ char *xml = NULL;
    struct hv_def *live = NULL, *next = NULL;
    bool differs = false;

    if (d->state != HV_RUNNING && d->state != HV_PAUSED)
        return 0;
    int rc = hv_domain_live(d, &xml, err);
    if (rc >= 0 && xml && (rc = hv_def_parse(xml, &live, err)) >= 0 && (rc = hv_def_parse(d->xml, &next, err)) >= 0)
        rc = hv_def_settle_live(live, next, &differs, err);
    if (rc >= 0 && differs)
        rc = hv_def_text(live, ret, err);
    hv_def_free(live);
    hv_def_free(next);
    return rc;
}

static char *live_path(const struct vm_restore *r)
{
    return str_format("%s/%s.live.xml", r->writer->config.session_dir, r->uuid);
}

static int keep_live(struct vm_restore *r, struct hv_domain *d, struct err *err)
{
    _cleanup_free_ char *xml = NULL, *path = live_path(r);

    int rc = path ? vm_live_text(d, &xml, err) : err_nomem(err);
    return rc < 0 || !xml ? rc : io_replace_file(path, xml, strlen(xml), 0600, err);
}

int vm_part_pre_restore(struct vm_restore *r, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;

    int rc = part_find(r, &d, err);
    if (rc >= 0)
        rc = part_warn_of_snapshots(r, d, err);
    if (rc >= 0)
        rc = keep_live(r, d, err);
    if (rc < 0)
        return rc;
    if (d->state == HV_OFF) {
        vm_restore_step(r, "turn off", "VM %s was %s", d->name, hv_state_name(d->state));
        return 0;
    }
    return vm_turn_off(r, d, err);
}

/* The new images stand alone; a definition that spells out the old chain would make QEMU look for it. */
static int without_chains(struct vm_restore *r, const char *text, char **ret, struct err *err)
{
    const char *target;
    json_t *path;

    hv_def_free(r->def);
    r->def = NULL;
    int rc = hv_def_parse(text, &r->def, err);
    json_object_foreach (json_object_get(r->options, "disks"), target, path) {
        const char *at = json_string_value(path) ? json_string_value(path) : "";
        const char *here = rc >= 0 ? hv_def_find_image(r->writer->config.hv, r->def, target, at) : NULL;
        if (here)
            rc = hv_def_set_disk(r->def, here, at, NULL, err);
    }
    return rc < 0 ? rc : hv_def_text(r->def, ret, err);
}

static int drop_chains(struct vm_restore *r, struct hv_domain **d, struct err *err)
{
    _cleanup_free_ char *xml = NULL;
    struct hv_domain *fresh = NULL;

    if (!strstr((*d)->xml, "<backingStore type="))
        return 0;
    int rc = without_chains(r, (*d)->xml, &xml, err);
    if (rc < 0 || (rc = hv_define(r->writer->config.hv, xml, &fresh, err)) < 0)
        return rc;
    hv_domain_free(*d);
    *d = fresh;
    return 0;
}

static int part_start_again(struct vm_restore *r, struct hv_domain *d, bool paused, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_free_ char *path = live_path(r), *xml = NULL;

    if (!path)
        return err_nomem(err);
    if (!io_exists(path))
        return hv_start(d, paused, err);
    int rc = io_read_file(path, DEFINITION_MAX, &text, err);
    if (rc >= 0)
        rc = without_chains(r, (const char *)text.data, &xml, err);
    return rc < 0 ? rc : hv_start_as(d, xml, paused, err);
}

int vm_part_post_restore(struct vm_restore *r, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    const char *state = vm_restore_option(r, "state");

    int rc = part_find(r, &d, err);
    if (rc >= 0)
        rc = drop_chains(r, &d, err);
    if (rc < 0)
        return rc;
    if (d->state == HV_SAVED) { /* agreed to: --discard-memory */
        if ((rc = hv_managed_save_drop(d, err)) < 0)
            return rc;
        vm_restore_step(r, "discard", "its saved state, which did not belong to these disks");
    }
    if (!state || (strcmp(state, "running") && strcmp(state, "paused")))
        return 0;
    rc = part_start_again(r, d, !strcmp(state, "paused"), err);
    if (rc < 0)
        return err_context(err, "its disks were restored, and it is off");
    vm_restore_step(r, "start", "booted%s", strcmp(state, "paused") ? "" : ", paused");
    return 0;
}
