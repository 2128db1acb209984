/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a restore is taken back: the new VM goes, and the old one is registered again and brought to the state it had. In a group these
 * are undone last first and only one on top of the other (journal.h): nothing is started on images that are not its own. */
#include "base/clock.h"
#include "base/io.h"
#include "base/io_at.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LATE_POLLS 20u /* for a call that the dead session had made and that libvirt is still at */
#define LATE_POLL_MS 50u

/* 1 and the domain; 0: there is none of that UUID. */
static int undo_find_vm(struct hv *hv, const struct journal_effect *e, struct hv_domain **ret, struct err *err)
{
    const char *uuid = journal_value(e, "uuid");

    int r = hv_domain_get(hv, uuid ? uuid : journal_value(e, "group"), ret, err);
    if (r == -ENOENT) {
        err_clear(err);
        return 0;
    }
    return r < 0 ? r : 1;
}

static bool undo_is(const struct journal_effect *e, const char *name, const char *value)
{
    const char *have = journal_value(e, name);

    return have && !strcmp(have, value);
}

/* ---- The new one --------------------------------------------------------------------------------------------------------------*/

/* Whether the VM that is there is the one that was about to be made, or deleted. What a version that did not write down its definition
 * has brought about for certain is believed, too. */
static bool is_recorded(const struct journal_effect *e, const struct hv_domain *d)
{
    const char *definition = journal_value(e, "definition");

    return definition ? hv_def_alike(definition, d->xml) : journal_is_done(e);
}

static int someone_elses(const struct hv_domain *d, struct err *err)
{
    return err_set(err, EEXIST, "VM %s was redefined by someone else and was left alone: undefine it, then run: kvss recover", d->name);
}

int vm_undo_register(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    int left = 0;

    int r = undo_find_vm(ctx, e, &d, err);
    if (r > 0 && !is_recorded(e, d))
        r = someone_elses(d, err);
    if (r < 0)
        return r;
    if (r > 0 && ((r = hv_destroy(d, err)) < 0 || (d->persistent && (r = hv_undefine(d, true, err)) < 0)))
        return err_context(err, "cannot undo the restore of VM %s", d->name);
    /* What its start has made where there was none. */
    const char *const firmware[] = { "nvram", "tpm" };
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(firmware); i++) {
        if (!journal_value(e, firmware[i]))
            continue;
        r = journal_remove_made(e, firmware[i], false, err);
        left |= r > 0;
    }
    return r < 0 ? r : left;
}

/* A link that is there again: made beside, so that there is no moment without one, and renamed. */
static int put_link_back(const struct journal_place *p, const char *target, bool over, struct err *err)
{
    struct guid id = guid_new();
    _cleanup_free_ char *fresh = str_format(IO_TEMPORARY_PREFIX "link-%.13s", id.text);

    if (!fresh)
        return err_nomem(err);
    int r = over ? symlinkat(target, p->dir, fresh) : symlinkat(target, p->dir, p->name);
    if (r == 0 && over && renameat(p->dir, fresh, p->dir, p->name) < 0) {
        r = -1;
        int why = errno;
        (void)unlinkat(p->dir, fresh, 0);
        errno = why;
    }
    return r < 0 ? err_errno(err, errno, "cannot restore the link %s", p->path) : 0;
}

static int drop_link(const struct journal_place *p, const char *name, struct err *err)
{
    if (unlinkat(p->dir, name, 0) < 0 && errno != ENOENT)
        return err_errno(err, errno, "cannot remove the link %s", p->path);
    return 0;
}

/* Only begun, the old one is there still, or nothing. */
static int undo_known_link(const struct journal_effect *e, const struct journal_place *p, struct err *err)
{
    const char *target = journal_value(e, "target");

    int r = journal_find(p, p->name, journal_value(e, "old_id"), err);
    if (r < 0 || (r == JOURNAL_SAME && target))
        return r < 0 ? r : 0;
    r = journal_find(p, p->name, journal_value(e, "new_id"), err);
    if (r == JOURNAL_ABSENT)
        return target ? put_link_back(p, target, false, err) : 0;
    if (r == JOURNAL_SAME)
        return target ? put_link_back(p, target, true, err) : drop_link(p, p->name, err);
    return r < 0 ? r : journal_left_alone(p->path, err);
}

int vm_undo_link(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(journal_place_close) struct journal_place p = { .dir = -1 };
    const char *made = journal_value(e, "made");
    _cleanup_free_ char *name = made ? io_basename(made) : NULL;

    (void)ctx;
    if (made && !name)
        return err_nomem(err);
    int r = journal_place_open(e, "path", &p, err);
    if (r <= 0)
        return r;
    if (!p.proven) /* of an earlier version: nobody can tell whose it is */
        return journal_left_alone(p.path, err);
    r = name ? drop_link(&p, name, err) : 0;
    return r < 0 ? r : undo_known_link(e, &p, err);
}

/* ---- The old one --------------------------------------------------------------------------------------------------------------*/

static int undo_add_texts(const json_t *array, char ***ret)
{
    size_t i;
    json_t *t;

    json_array_foreach (array, i, t)
        if (json_is_string(t) && strv_add(ret, json_string_value(t)) < 0)
            return -ENOMEM;
    return 0;
}

static int restore_metadata(struct hv_domain *d, const struct journal_effect *e, struct err *err)
{
    const char *text = journal_value(e, "metadata");
    json_auto_t *j = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    _cleanup_(hv_kept_clear) struct hv_kept kept = { .current = (size_t)json_integer_value(json_object_get(j, "current")) };

    if (undo_add_texts(json_object_get(j, "snapshots"), &kept.snapshots) < 0 ||
        undo_add_texts(json_object_get(j, "checkpoints"), &kept.checkpoints) < 0)
        return err_nomem(err);
    return hv_restore_metadata(d, &kept, err);
}

int vm_undo_delete(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    const char *transient = journal_value(e, "transient"), *definition = journal_value(e, "definition");

    int r = undo_find_vm(ctx, e, &d, err);
    if (r > 0 && !is_recorded(e, d))
        r = someone_elses(d, err);
    if (r < 0 || (r > 0 && (transient || (d->state != HV_OFF && d->state != HV_SAVED))))
        return r < 0 ? r : 0;
    if (transient)
        return strcmp(transient, "off") ? hv_create_transient(ctx, definition, !strcmp(transient, "paused"), err) : 0;
    if (r == 0)
        r = hv_define(ctx, definition, &d, err);
    if (r >= 0 && undo_is(e, "autostart", "yes"))
        r = hv_set_autostart(d, true, err);
    return r < 0 ? r : restore_metadata(d, e, err);
}

static int put_saved_state_back(const struct journal_place *p, const char *kept, struct err *err)
{
    if (renameat(p->dir, kept, p->dir, p->name) < 0)
        return err_errno(err, errno, "cannot restore the saved state %s from %s", p->path, kept);
    int r = io_fsync_at(p->dir);
    return r < 0 ? err_errno(err, -r, "cannot sync %s to disk", p->path) : 0;
}

static int drop_second_name(const struct journal_place *p, const char *kept, struct err *err)
{
    if (unlinkat(p->dir, kept, 0) < 0 && errno != ENOENT)
        return err_errno(err, errno, "cannot remove %s next to %s", kept, p->path);
    return 0;
}

/* Back under the name where libvirt looks for it when the VM is started. */
int vm_undo_keep_saved(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(journal_place_close) struct journal_place p = { .dir = -1 };
    _cleanup_free_ char *kept = io_basename(journal_value(e, "kept"));

    (void)ctx;
    int r = kept ? journal_place_open(e, "path", &p, err) : err_nomem(err);
    if (r <= 0)
        return r;
    int at_path = journal_find(&p, p.name, journal_value(e, "path_id"), err);
    int at_kept = at_path < 0 ? at_path : journal_find(&p, kept, journal_value(e, "kept_id"), err);
    if (at_kept < 0 || at_kept == JOURNAL_ABSENT) /* not kept yet, or put back before */
        return at_kept < 0 ? at_kept : 0;
    if (at_kept == JOURNAL_OTHERS)
        return journal_left_alone(journal_value(e, "kept"), err);
    if (at_path == JOURNAL_OTHERS)
        return err_set(
            err, EEXIST,
            "%s is another saved state and was left alone; the VM's own is next to it as %s: move one of them, then run: kvss recover",
            p.path, kept);
    return at_path == JOURNAL_ABSENT ? put_saved_state_back(&p, kept, err) : drop_second_name(&p, kept, err);
}

int vm_finish_keep_saved(void *ctx, const struct journal_effect *e, struct err *err)
{
    (void)ctx;
    return journal_remove_made(e, "kept", true, err);
}

/* libvirt does not notice a saved state that is put into its folder before it starts the VM from there: so that is done, paused, and
 * the VM is saved again. */
static int save_again(struct hv_domain *d, const struct journal_effect *e, struct err *err)
{
    _cleanup_free_ char *path = NULL;

    int r = hv_managed_save_path(d, &path, err);
    if (r < 0 || d->state == HV_SAVED)
        return r < 0 ? r : 0;
    if (d->state == HV_OFF && io_exists(path))
        r = vm_start_again(d, true, err);
    if (r >= 0 && d->state == HV_PAUSED)
        r = hv_managed_save(d, undo_is(e, "runs", "yes"), err);
    return r;
}

/* A call to turn it off may have outlived its caller. */
static int wait_for_late_call(struct hv_domain *d, const struct journal_effect *e, struct err *err)
{
    int r = 0;

    for (unsigned i = 0; i < LATE_POLLS && r >= 0 && !journal_is_done(e) && d->state != HV_OFF && d->state != HV_SAVED; i++) {
        clock_sleep_ms(LATE_POLL_MS);
        r = hv_domain_refresh_state(d, err);
    }
    return r;
}

/* As it ran. If that cannot be had, it is better off running without what it only had for the time being. */
static int start_old(struct hv_domain *d, const struct journal_effect *e, struct err *err)
{
    const char *live = journal_value(e, "live");
    bool paused = undo_is(e, "state", "paused");
    _cleanup_strv_ char **notes = NULL;

    int r = hv_start_off(d, live, paused, &notes, err);
    if (r < 0 && live)
        r = hv_start_off(d, NULL, paused, &notes, NULL); /* the failure that is told is the first one */
    hv_tell(d, notes);
    return r;
}

int vm_undo_turn_off(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;

    int r = undo_find_vm(ctx, e, &d, err);
    if (r <= 0 || undo_is(e, "state", "off"))
        return r < 0 ? r : 0;
    if (undo_is(e, "state", "saved")) {
        r = save_again(d, e, err);
    } else {
        r = wait_for_late_call(d, e, err);
        if (r >= 0 && d->state == HV_OFF)
            r = start_old(d, e, err);
    }
    return r < 0 ? err_context(err, "VM %s has its old images and definition again, but not its old state", d->name) : 0;
}
