/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VM that a restore replaces: turned off and deleted (M13), with everything written down and kept that is needed to have it again as
 * it was, up to the moment when the new one stands (restore_undo.c). */
#include "base/num.h"
#include "base/io.h"
#include "base/io_at.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <string.h>

#define VALUES_MAX 8

int vm_restore_effect(struct vm_restore *r, const char *verb, const char *vm, const struct journal_arg *values, uint64_t *ret_id,
                      struct err *err)
{
    struct journal_arg args[VALUES_MAX + 3] = { { "group", r->uuid }, { "vm", vm } };
    size_t n = 2;

    *ret_id = 0;
    if (!r->writer->config.journal)
        return 0;
    for (size_t i = 0; values[i].name && n < ARRAY_SIZE(args) - 1; i++)
        if (values[i].value)
            args[n++] = values[i];
    return journal_begin(r->writer->config.journal, verb, args, ret_id, err);
}

int vm_restore_effect_done(struct vm_restore *r, uint64_t id, struct err *err)
{
    int rc = r->writer->config.journal ? journal_done(r->writer->config.journal, id) : 0;

    return rc < 0 ? err_errno(err, -rc, "an earlier step did not complete as expected") : 0;
}

/* ---- What the user must know of it ------------------------------------------------------------------------------------------*/

static bool is_replaced(const struct vm_restore *r, const char *path)
{
    _cleanup_free_ char *real = realpath(path, NULL);
    const char *target;
    json_t *to;
    size_t i;

    json_array_foreach (json_object_get(r->options, "deletes"), i, to) /* --move */
        if (json_is_string(to) && !strcmp(json_string_value(to), path))
            return true;
    json_object_foreach (json_object_get(r->options, "disks"), target, to) {
        const char *p = json_is_string(to) ? json_string_value(to) : "";
        _cleanup_free_ char *real_to = realpath(p, NULL);
        if (!strcmp(p, path) || (real && real_to && !strcmp(real, real_to)))
            return true;
    }
    return false;
}

static void warn_of_leftovers(struct vm_restore *r, const struct hv_domain *d, const struct hv_kept *kept)
{
    size_t n = strv_len(kept->snapshots);

    if (n)
        vm_restore_warn(r, "its %zu snapshot%s %s deleted with the replaced VM; restore points do not contain snapshots", n, num_s(n),
                        num_word(n, "was", "were"));
    for (size_t i = 0; i < d->n_disks; i++) {
        const struct hv_disk *disk = &d->disks[i];
        if (disk->device == HV_DEVICE_DISK && disk->source == HV_SOURCE_FILE && disk->path && !disk->readonly && !disk->shareable &&
            !disk->encrypted && !disk->slice && !is_replaced(r, disk->path))
            vm_restore_warn(r, "disk image %s (%s) of the replaced VM was kept; no disk of the restored VM uses it", disk->path,
                            disk->target);
    }
}

/* ---- Turning off, deleting ----------------------------------------------------------------------------------------------------*/

/* The state to come back in if the restore fails. A device that is written in place may be half old and half new then. */
static const char *state_before(const struct vm_restore *r, const struct hv_domain *d)
{
    if (json_is_true(json_object_get(r->options, "in_place")))
        return "off";
    return d->state == HV_OTHER ? "running" : hv_state_name(d->state);
}

/* 1: its saved state is there; 0: there is none. */
static int look_at_saved_state(const char *path, struct io_id *ret, struct err *err)
{
    _cleanup_close_ int dir = -1;
    _cleanup_free_ char *name = NULL;

    int r = io_open_parent(path, &dir, &name, err);
    if (r < 0)
        return r;
    r = io_id_at(dir, name, ret);
    return r == -ENOENT ? 0 : r < 0 ? err_errno(err, -r, "cannot access %s", path) : 1;
}

int vm_keep_second_name(struct vm_restore *r, const char *vm, const char *path, struct err *err)
{
    _cleanup_free_ char *dir = NULL, *kept = NULL;
    struct guid id = guid_new();
    struct io_id old;
    uint64_t fx;

    int rc = look_at_saved_state(path, &old, err);
    if (rc <= 0)
        return rc < 0 ? err_context(err, "cannot keep the saved state of VM %s", vm) : 0;
    dir = io_dirname(path);
    kept = dir ? str_format("%s/" IO_TEMPORARY_PREFIX "old-%.13s.memory", dir, id.text) : NULL;
    if (!kept)
        return err_nomem(err);
    const struct journal_arg values[] = { { "path", path }, { "kept", kept }, { "path_id", old.text }, { NULL, NULL } };
    rc = vm_restore_effect(r, VERB_KEEP_SAVED, vm, values, &fx, err);
    if (rc >= 0)
        rc = io_link_or_copy(path, kept, 0600, err);
    if (rc >= 0)
        rc = vm_restore_effect_done(r, fx, err);
    return rc < 0 ? err_context(err, "cannot keep the saved state of VM %s", vm) : 1;
}

/* Before libvirt removes it. */
static int keep_saved_state(struct vm_restore *r, struct hv_domain *d, struct err *err)
{
    _cleanup_free_ char *path = NULL;

    if (d->state != HV_SAVED || hv_managed_save_path(d, &path, NULL) < 0)
        return 0;
    int rc = vm_keep_second_name(r, d->name, path, err);
    return rc < 0 ? rc : 0;
}

/* Once another one is off, all go on to the end. */
int vm_last_moment(struct vm_restore *r, const char *vm, struct err *err)
{
    bool *carries_on = r->writer->config.carries_on;

    if (!(carries_on && __atomic_load_n(carries_on, __ATOMIC_SEQ_CST)) && par_cancelled(r->writer->config.cancel))
        return err_set(err, EINTR, "VM %s: interrupted before it was turned off", vm);
    if (carries_on)
        __atomic_store_n(carries_on, true, __ATOMIC_SEQ_CST);
    return 0;
}

static int destroy_old(struct vm_restore *r, struct hv_domain *d, struct err *err)
{
    vm_restore_step(r, "turn off", "VM %s was %s", d->name, hv_state_name(d->state));
    int rc = hv_destroy(d, err);
    return rc < 0 ? err_context(err, "cannot turn off VM %s", d->name) : 0;
}

int vm_turn_off(struct vm_restore *r, struct hv_domain *d, struct err *err)
{
    const char *state = state_before(r, d);
    bool runs = true;
    uint64_t id;

    if (!strcmp(state, "saved")) {
        _cleanup_free_ char *path = NULL;
        struct err unknown = ERR_INIT; /* saved states that kvss cannot see are not kept */
        if (hv_managed_save_path(d, &path, &unknown) < 0 || hv_save_image_runs(path, &runs, &unknown) < 0)
            state = "off";
    }
    _cleanup_free_ char *live = NULL;
    int rc = d->persistent ? vm_live_text(d, &live, err) : 0;
    if (rc < 0)
        return rc;
    const struct journal_arg values[] = {
        { "uuid", d->uuid }, { "state", state }, { "runs", runs ? "yes" : "no" }, { "live", live }, { NULL, NULL },
    };
    rc = vm_restore_effect(r, VERB_TURN_OFF, d->name, values, &id, err);
    if (rc >= 0)
        rc = vm_last_moment(r, d->name, err);
    if (rc >= 0)
        rc = destroy_old(r, d, err);
    if (rc >= 0)
        rc = vm_restore_effect_done(r, id, err);
    return rc < 0 ? rc : keep_saved_state(r, d, err);
}

static json_t *texts(char *const *list)
{
    json_t *array = json_array();

    for (; list && *list; list++)
        json_array_append_new(array, json_string(*list));
    return array;
}

static int enter_delete(struct vm_restore *r, const struct hv_domain *d, const struct hv_kept *kept, uint64_t *id, struct err *err)
{
    json_auto_t *j = json_pack("{s:o, s:o, s:I}", "snapshots", texts(kept->snapshots), "checkpoints", texts(kept->checkpoints), "current",
                               (json_int_t)kept->current);
    _cleanup_free_ char *metadata = j ? json_dumps(j, JSON_COMPACT) : NULL;
    const struct journal_arg values[] = {
        { "uuid", d->uuid },
        { "definition", d->xml },
        { "autostart", d->autostart ? "yes" : "no" },
        { "transient", d->persistent ? NULL : state_before(r, d) },
        { "metadata", metadata },
        { NULL, NULL },
    };

    return metadata ? vm_restore_effect(r, VERB_DELETE, d->name, values, id, err) : err_nomem(err);
}

/* Being turned off deletes it. */
static int delete_transient(struct vm_restore *r, struct hv_domain *d, const struct hv_kept *kept, struct err *err)
{
    uint64_t id;

    int rc = enter_delete(r, d, kept, &id, err);
    if (rc >= 0)
        rc = destroy_old(r, d, err);
    if (rc < 0)
        return rc;
    vm_restore_step(r, "delete", "VM %s", d->name);
    return vm_restore_effect_done(r, id, err);
}

static int delete_persistent(struct vm_restore *r, struct hv_domain *d, const struct hv_kept *kept, struct err *err)
{
    uint64_t id;

    int rc = vm_turn_off(r, d, err);
    if (rc >= 0)
        rc = enter_delete(r, d, kept, &id, err);
    if (rc < 0)
        return rc;
    vm_restore_step(r, "delete", "VM %s", d->name);
    rc = hv_undefine(d, true, err);
    return rc < 0 ? err_context(err, "cannot delete VM %s", d->name) : vm_restore_effect_done(r, id, err);
}

int vm_delete_old(struct vm_restore *r, const char *name, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    _cleanup_(hv_kept_clear) struct hv_kept kept = { 0 };
    struct err none = ERR_INIT;

    int rc = hv_domain_get(r->writer->config.hv, r->uuid, &d, &none);
    if (rc == -ENOENT) {
        vm_restore_step(r, "turn off", "VM %s is not on this host", name);
        return 0;
    }
    if (rc < 0)
        return err_move(err, &none);
    if ((rc = hv_keep_metadata(d, &kept, err)) < 0)
        return rc;
    r->replaces = true;
    warn_of_leftovers(r, d, &kept);
    return d->persistent ? delete_persistent(r, d, &kept, err) : delete_transient(r, d, &kept, err);
}
