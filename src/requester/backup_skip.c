/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM must not keep all others from being backed up, where that is asked for (skip_failed): of an attempt that failed, for which VMs it
 * did, and the set without them. Otherwise one that fails is the end of all (M10). */
#include "requester/backup.h"
#include <errno.h>
#include <string.h>

static const char *name_of(const struct backup *b, const char *uuid)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->components[i].vm && !strcmp(b->components[i].name, uuid))
            return backup_vm_name(&b->components[i]);
    return uuid;
}

static bool lists(const json_t *list, const char *uuid)
{
    size_t i;
    json_t *vm;

    json_array_foreach (list, i, vm)
        if (!strcmp(json_get_text(vm, "uuid"), uuid))
            return true;
    return false;
}

void backup_blame(struct backup *b, const char *uuid, const struct err *why)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    const char *name = name_of(b, uuid);

    if (!b->job->skip_failed || lists(b->blamed, uuid))
        return;
    if (name == uuid && b->s && hv_domain_find(b->s->hv, uuid, &d, NULL) >= 0)
        name = d->name;
    _cleanup_free_ char *text = str_format("failed: %s", why->text);
    if (!b->blamed)
        b->blamed = json_array();
    json_array_append_new(b->blamed, json_pack("{s:o, s:s, s:o, s:b}", "name", json_text(name), "uuid", uuid, "why",
                                               json_text(text ? text : "failed"), "failed", 1));
}

void backup_find_blamed(struct backup *b, const struct err *why)
{
    _cleanup_free_ char *heavy = b->s ? qemu_provider_whose(b->s->provider) : NULL;

    if (!b->job->skip_failed)
        return;
    if (heavy) {
        backup_blame(b, heavy, why);
        return; /* the jobs of all were ended for that one: what came after is no fault of theirs */
    }
    for (size_t i = 0; b->s && i < b->n; i++) {
        const struct backup_component *c = &b->components[i];
        struct vss_component_state st;
        struct err e = ERR_INIT;
        if (!c->vm || vss_get_component_state(b->s->vss, c->writer_id, c->logical_path, c->name, &st, NULL) < 0 || st.failure == VSS_S_OK)
            continue;
        err_set(&e, EIO, "%s", st.failure_text ? st.failure_text : "no cause was given");
        backup_blame(b, c->name, &e);
    }
    for (size_t i = 0; i < b->n_items; i++)
        if (b->items[i].failed && b->item_of[i].component && b->item_of[i].component->vm)
            backup_blame(b, b->item_of[i].component->name, why);
}

bool backup_skip(struct backup_tries *t, struct backup *b)
{
    size_t vms = 0, i;
    json_t *vm;

    for (i = 0; b->uuids && b->uuids[i]; i++)
        vms += !lists(b->blamed, b->uuids[i]);
    if (!b->job->skip_failed || !json_array_size(b->blamed) || !vms)
        return false;
    if (!t->skipped && !(t->skipped = json_array()))
        return false;
    json_array_foreach (b->blamed, i, vm) {
        if (json_array_append(t->skipped, vm) < 0)
            return false;
        log_warning(b->rq->config.log, "VM %s %s; all is as before, and the others are backed up without it", json_get_text(vm, "name"),
                    json_get_text(vm, "why"));
    }
    return true;
}

int backup_leave_skipped(struct backup *b, char **uuids, struct err *err)
{
    size_t n = 0, i;
    json_t *vm;

    for (i = 0; uuids[i]; i++) {
        if (lists(b->tries->skipped, uuids[i]))
            free(uuids[i]);
        else
            uuids[n++] = uuids[i];
    }
    uuids[n] = NULL;
    json_array_foreach (b->tries->skipped, i, vm)
        if (json_array_append(b->vms_left_out, vm) < 0)
            return err_set(err, ENOMEM, "out of memory");
    return n ? 0 : err_set(err, EPERM, "no VM is left that could be backed up");
}
