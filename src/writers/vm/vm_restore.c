/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PreRestore and PostRestore (M13, M15): the VMs about to be restored are turned off and deleted; afterwards those whose files
 * were all restored are registered. No guest takes part (M12). */
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* The same is done in both definitions of a VM, and told once. Takes over entry, which may be NULL. */
static void add_once(json_t *list, json_t *entry)
{
    for (size_t i = 0; entry && i < json_array_size(list); i++)
        if (json_equal(json_array_get(list, i), entry)) {
            json_decref(entry);
            return;
        }
    json_array_append_new(list, entry);
}

__attribute__((format(printf, 1, 0))) static json_t *format_text(const char *fmt, va_list ap)
{
    _cleanup_free_ char *text = NULL;

    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    return text ? json_string(text) : NULL;
}

void vm_restore_step(struct vm_restore *r, const char *step, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    json_t *text = format_text(fmt, ap);
    va_end(ap);
    add_once(r->steps, text ? json_pack("{s:s, s:o}", "step", step, "text", text) : NULL);
}

void vm_restore_warn(struct vm_restore *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_once(r->warnings, format_text(fmt, ap));
    va_end(ap);
}

static json_t *restore_parse(const char *text, const char *what, struct err *err)
{
    json_error_t e;
    json_t *j = text ? json_loads(text, JSON_REJECT_DUPLICATES, &e) : NULL;

    if (j && json_is_object(j))
        return j;
    json_decref(j);
    err_set(err, EINVAL, "the %s of component %s", what, text ? "are damaged" : "are missing");
    return NULL;
}

/* What PreRestore did is kept in the component's restore metadata, so that PostRestore goes on with the same list of steps. */
static void resume_report(struct vm_restore *r)
{
    const char *text = kvss_component_restore_metadata(r->component);
    json_auto_t *before = text ? json_loads(text, 0, NULL) : NULL;
    json_t *steps = json_object_get(before, "steps"), *warnings = json_object_get(before, "warnings");

    r->steps = json_is_array(steps) ? json_incref(steps) : json_array();
    r->warnings = json_is_array(warnings) ? json_incref(warnings) : json_array();
    r->replaces = json_is_true(json_object_get(before, "replaces"));
    const char *lease = json_string_value(json_object_get(before, "lease"));
    r->lease = lease ? strdup(lease) : NULL;
    r->cluster_off = json_is_true(json_object_get(before, "cluster_off"));
}

/* The name, by which the VM was known in the backup. */
static int read_reference(struct vm_restore *r, struct err *err)
{
    json_t *reference = restore_parse(kvss_component_backup_metadata(r->component), "backup metadata", err);
    const char *name = json_string_value(json_object_get(reference, "vm"));
    int rc = reference ? 0 : -EINVAL;

    if (rc >= 0 && !name)
        rc = err_set(err, EINVAL, "the backup metadata of VM %s does not name the VM", r->uuid);
    if (rc >= 0 && !(r->name = strdup(name)))
        rc = err_nomem(err);
    json_decref(reference);
    return rc;
}

int vm_restore_read(struct vm_restore *r, struct vm_writer *w, struct kvss_component *c, struct err *err)
{
    struct guid id;
    memset(r, 0, sizeof(*r));
    r->writer = w;
    r->component = c;
    r->uuid = kvss_component_name(c);
    resume_report(r);
    if (!guid_parse(r->uuid, &id))
        return err_set(err, EINVAL, "component \"%s\" is not the UUID of a VM", r->uuid);
    int rc = read_reference(r, err);
    if (rc < 0)
        return rc;
    if (kvss_component_restore_options(c) && !(r->options = restore_parse(kvss_component_restore_options(c), "restore options", err)))
        return -EINVAL;
    return 0;
}

void vm_restore_clear(struct vm_restore *r)
{
    free(r->name);
    free(r->lease);
    json_decref(r->options);
    json_decref(r->steps);
    json_decref(r->warnings);
    hv_def_free(r->def);
    memset(r, 0, sizeof(*r));
}

static void save_report(struct vm_restore *r, bool registered)
{
    json_auto_t *j = json_pack("{s:b, s:b, s:O, s:O, s:s*, s:b}", "registered", registered, "replaces", r->replaces, "steps", r->steps,
                               "warnings", r->warnings, "lease", r->lease, "cluster_off", r->cluster_off);
    _cleanup_free_ char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    struct err ignored = ERR_INIT; /* the report is lost, the VM is not */

    if (text)
        (void)kvss_component_set_restore_metadata(r->component, text, &ignored);
}

/* ---- PreRestore -------------------------------------------------------------------------------------------------------------*/

/* A name that another VM has got meanwhile would only be refused after the old VM is gone: it is refused now. */
static int restore_check_name(struct vm_restore *r, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    struct err none = ERR_INIT;

    if (vm_is_part(r))
        return 0; /* it keeps the name that it has */
    int rc = hv_domain_get(r->writer->config.hv, vm_restored_name(r), &d, &none);
    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return err_move(err, &none);
    if (vm_is_copy(r))
        return err_vss(err, VSS_E_WRITERERROR_NONRETRYABLE, EEXIST, "VM %s: a VM %s is on this host (UUID %s); nothing was changed",
                       r->name, d->name, d->uuid);
    if (!guid_equal(d->uuid, r->uuid))
        return err_vss(err, VSS_E_WRITERERROR_NONRETRYABLE, EEXIST,
                       "VM %s: another VM on this host has that name (UUID %s; the VM to be restored has %s): rename it with virsh "
                       "domrename first; nothing was changed",
                       r->name, d->uuid, r->uuid);
    return 0;
}

/* M13; but the original of a copy, and a VM of which only disks come back, stay what they are. */
static int restore_make_way(struct vm_restore *r, struct err *err)
{
    if (vm_is_part(r))
        return vm_part_pre_restore(r, err);
    int rc = vm_is_copy(r) ? 0 : vm_cluster_offline(r, err);
    if (rc < 0)
        return rc;
    if (!vm_is_copy(r))
        return vm_delete_old(r, r->name, err);
    vm_restore_step(r, "turn off", "nothing, VM %s is restored as copy %s", r->name, vm_restored_name(r));
    return 0;
}

static bool restore_fail(struct kvss_event *ev, const struct err *err)
{
    kvss_set_writer_failure(ev, err->hresult ? err->hresult : VSS_E_WRITERERROR_NONRETRYABLE, "%s", err->text);
    return false;
}

static int pre_restore_one(struct vm_writer *w, struct kvss_component *c, bool only_check, struct err *err)
{
    struct vm_restore r;

    int rc = vm_restore_read(&r, w, c, err);
    if (rc >= 0)
        rc = only_check ? restore_check_name(&r, err) : restore_make_way(&r, err);
    if (rc >= 0 && !only_check)
        save_report(&r, false);
    if (rc < 0 && !only_check) {
        struct err ignored = ERR_INIT;
        (void)kvss_component_set_pre_restore_failure(c, err->text, &ignored);
    }
    vm_restore_clear(&r);
    return rc;
}

bool vm_pre_restore(void *writer, struct kvss_event *ev)
{
    struct err err = ERR_INIT;

    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < kvss_event_component_count(ev); i++) {
            struct kvss_component *c = kvss_event_component(ev, i);
            if (kvss_component_selected_for_restore(c) && pre_restore_one(writer, c, pass == 0, &err) < 0)
                return restore_fail(ev, &err);
        }
    return true;
}

/* ---- PostRestore ------------------------------------------------------------------------------------------------------------*/

/* From here on the new VM stands: whatever happens now, it is not taken back any more, and what was kept of the old one goes. */
static int restore_commit(struct vm_restore *r, struct err *err)
{
    struct journal *journal = r->writer->config.journal;

    return journal ? journal_commit(journal, r->uuid, err) : 0;
}

/* A VM that does not start gives way to the one it was to replace. Where there was none, a VM that is off is better than nothing. */
static int register_and_start(struct vm_restore *r, bool *ret_stands, struct err *err)
{
    struct err second = ERR_INIT;

    int rc = vm_register(r, err);
    if (rc < 0)
        return rc;
    rc = vm_bring_to_state(r, err);
    if (rc < 0 && r->replaces)
        return rc;
    if (rc < 0)
        vm_restore_warn(r, "it is off: %s", err->text);
    int rc2 = restore_commit(r, rc < 0 ? &second : err);
    *ret_stands = rc2 >= 0;
    return rc < 0 ? rc : rc2;
}

static int part_and_commit(struct vm_restore *r, bool *ret_stands, struct err *err)
{
    int rc = vm_part_post_restore(r, err);

    if (rc >= 0)
        rc = restore_commit(r, err);
    *ret_stands = rc >= 0;
    return rc;
}

static int post_restore_one(struct vm_writer *w, struct kvss_component *c, struct err *err)
{
    struct vm_restore r;
    bool stands = false;

    if (kvss_component_file_restore_status(c) != VSS_RS_ALL) /* M15 */
        return err_set(err, EIO, "not all files of VM %s were restored, so it was not defined", kvss_component_name(c));
    int rc = vm_restore_read(&r, w, c, err);
    if (rc >= 0)
        rc = vm_is_part(&r) ? part_and_commit(&r, &stands, err) : register_and_start(&r, &stands, err);
    if (rc < 0)
        err_context(err, "VM %s", r.name ? vm_restored_name(&r) : kvss_component_name(c));
    save_report(&r, stands);
    vm_restore_clear(&r);
    return rc;
}

/* A VM that cannot be registered does not keep the others from coming back. */
bool vm_post_restore(void *writer, struct kvss_event *ev)
{
    bool good = true;

    for (size_t i = 0; i < kvss_event_component_count(ev); i++) {
        struct kvss_component *c = kvss_event_component(ev, i);
        struct err err = ERR_INIT, ignored = ERR_INIT;

        if (!kvss_component_selected_for_restore(c) || post_restore_one(writer, c, &err) >= 0)
            continue;
        (void)kvss_component_set_post_restore_failure(c, err.text, &ignored);
        good = restore_fail(ev, &err);
    }
    return good;
}
