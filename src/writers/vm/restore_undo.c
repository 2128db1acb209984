/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a restore is taken back: the new VM goes, and the old one is registered again and brought to the state it had. In a group these
 * are undone last first and only one on top of the other (journal.h): nothing is started on images that are not its own. */
#include "base/clock.h"
#include "base/io.h"
#include "writers/vm/internal.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define LATE_POLLS 20u /* for a call that the dead session had made and that libvirt is still at */
#define LATE_POLL_MS 50u

/* 1 and the domain; 0: there is none of that UUID. */
static int find_vm(struct hv *hv, const struct journal_effect *e, struct hv_domain **ret, struct err *err)
{
    const char *uuid = journal_value(e, "uuid");

    int r = hv_domain_get(hv, uuid ? uuid : journal_value(e, "group"), ret, err);
    if (r == -ENOENT) {
        err_clear(err);
        return 0;
    }
    return r < 0 ? r : 1;
}

static bool is(const struct journal_effect *e, const char *name, const char *value)
{
    const char *have = journal_value(e, name);

    return have && !strcmp(have, value);
}

/* ---- The new one --------------------------------------------------------------------------------------------------------------*/

int vm_undo_register(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    const char *nvram = journal_value(e, "nvram"), *tpm = journal_value(e, "tpm");

    int r = find_vm(ctx, e, &d, err);
    if (r < 0)
        return r;
    if (r > 0 && ((r = hv_destroy(d, err)) < 0 || (d->persistent && (r = hv_undefine(d, true, err)) < 0)))
        return err_context(err, "the restored VM %s could not be taken back", d->name);
    /* What its start has made where there was none. */
    r = nvram ? io_unlink(nvram, err) : 0;
    return r < 0 ? r : tpm ? io_remove_tree(tpm, err) : 0;
}

int vm_undo_link(void *ctx, const struct journal_effect *e, struct err *err)
{
    const char *path = journal_value(e, "path"), *target = journal_value(e, "target");
    struct stat st;

    (void)ctx;
    if (lstat(path, &st) == 0 && !S_ISLNK(st.st_mode))
        return 0; /* someone else's */
    if (!target)
        return io_unlink(path, err);
    _cleanup_free_ char *fresh = str_format("%s" VM_LINK_SUFFIX, path);
    if (!fresh)
        return err_set(err, ENOMEM, "out of memory");
    (void)unlink(fresh);
    if (symlink(target, fresh) < 0 || rename(fresh, path) < 0)
        return err_errno(err, errno, "cannot put the link %s back", path);
    return 0;
}

/* ---- The old one --------------------------------------------------------------------------------------------------------------*/

static int add_texts(const json_t *array, char ***ret)
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

    if (add_texts(json_object_get(j, "snapshots"), &kept.snapshots) < 0 ||
        add_texts(json_object_get(j, "checkpoints"), &kept.checkpoints) < 0)
        return err_set(err, ENOMEM, "out of memory");
    return hv_restore_metadata(d, &kept, err);
}

int vm_undo_delete(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    const char *transient = journal_value(e, "transient"), *definition = journal_value(e, "definition");

    int r = find_vm(ctx, e, &d, err);
    if (r < 0 || (r > 0 && (transient || (d->state != HV_OFF && d->state != HV_SAVED))))
        return r < 0 ? r : 0;
    if (transient)
        return strcmp(transient, "off") ? hv_create_transient(ctx, definition, !strcmp(transient, "paused"), err) : 0;
    if (r == 0)
        r = hv_define(ctx, definition, &d, err);
    if (r >= 0 && is(e, "autostart", "yes"))
        r = hv_set_autostart(d, true, err);
    return r < 0 ? r : restore_metadata(d, e, err);
}

/* Back under the name where libvirt looks for it when the VM is started. */
int vm_undo_keep_saved(void *ctx, const struct journal_effect *e, struct err *err)
{
    const char *path = journal_value(e, "path"), *kept = journal_value(e, "kept");

    (void)ctx;
    if (io_exists(path) || !io_exists(kept))
        return io_unlink(kept, err);
    if (rename(kept, path) < 0)
        return err_errno(err, errno, "cannot put the saved state %s back from %s", path, kept);
    return io_fsync_parent(path, err);
}

int vm_finish_keep_saved(void *ctx, const struct journal_effect *e, struct err *err)
{
    (void)ctx;
    return io_unlink(journal_value(e, "kept"), err);
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
        r = hv_start(d, true, err);
    if (r >= 0 && d->state == HV_PAUSED)
        r = hv_managed_save(d, is(e, "runs", "yes"), err);
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
    bool paused = is(e, "state", "paused");

    if (live && hv_start_as(d, live, paused, NULL) >= 0)
        return 0;
    return hv_start(d, paused, err);
}

int vm_undo_turn_off(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;

    int r = find_vm(ctx, e, &d, err);
    if (r <= 0 || is(e, "state", "off"))
        return r < 0 ? r : 0;
    if (is(e, "state", "saved")) {
        r = save_again(d, e, err);
    } else {
        r = wait_for_late_call(d, e, err);
        if (r >= 0 && d->state == HV_OFF)
            r = start_old(d, e, err);
    }
    return r < 0 ? err_context(err, "VM %s has its old images and definition, but not its old state", d->name) : 0;
}
