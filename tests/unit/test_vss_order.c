/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Behaviour 10: every call in every state. What is allowed, and where it leads, is written down here once more, after the
 * published order of calls; all other combinations must be refused and change nothing. Behaviour 39 is among them. */
#include "vss/session_state.h"
#include "vss_world.h"

/* ---- A session in each state ----------------------------------------------------------------------------------------------*/

static struct documents stored; /* of a good backup; the same for all tests of this program */

static struct vss_session *begin_no_writers(struct world *w)
{
    struct vss_session *v = session_begin(w);
    struct err err = ERR_INIT;

    assert_ok(vss_initialize_for_backup(v, &err));
    assert_ok(vss_set_context(v, VSS_CTX_FILE_SHARE_BACKUP, &err));
    return v;
}

static struct vss_session *begin_gathered(struct world *w)
{
    struct vss_session *v = session_gathered(w);
    struct err err = ERR_INIT;

    assert_ok(vss_add_component(v, VM_WRITER_ID, NULL, "web01", &err));
    return v;
}

static struct vss_session *begin_set(struct world *w)
{
    struct vss_session *v = begin_gathered(w);
    struct err err = ERR_INIT;

    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
    return v;
}

static struct vss_session *begin_prepared(struct world *w)
{
    struct vss_session *v = begin_set(w);
    struct err err = ERR_INIT;

    assert_ok(vss_prepare_for_backup(v, &err));
    return v;
}

static struct vss_session *begin_snapped(struct world *w)
{
    struct vss_session *v = begin_prepared(w);
    struct err err = ERR_INIT;

    assert_ok(vss_do_snapshot_set(v, &err));
    return v;
}

static struct vss_session *begin_restore(struct world *w)
{
    struct vss_session *v = session_begin(w);
    struct err err = ERR_INIT;

    assert_ok(vss_initialize_for_restore(v, stored.components, &err));
    assert_ok(vss_load_writer_metadata(v, stored.vm, &err));
    assert_ok(vss_load_writer_metadata(v, stored.db, &err));
    return v;
}

static struct vss_session *begin_restore_gathered(struct world *w)
{
    struct vss_session *v = begin_restore(w);
    struct err err = ERR_INIT;

    assert_ok(vss_gather_writer_metadata(v, &err));
    assert_ok(vss_set_selected_for_restore(v, VM_WRITER_ID, NULL, "web01", true, &err));
    return v;
}

static struct vss_session *begin_pre_restored(struct world *w)
{
    struct vss_session *v = begin_restore_gathered(w);
    struct err err = ERR_INIT;

    assert_ok(vss_pre_restore(v, &err));
    assert_ok(vss_set_file_restore_status(v, VM_WRITER_ID, NULL, "web01", VSS_RS_ALL, &err));
    return v;
}

static struct vss_session *begin(struct world *w, enum session_state state)
{
    struct vss_session *v = NULL;
    struct err err = ERR_INIT;

    switch (state) {
    case S_NEW: return session_begin(w);
    case S_BACKUP:
        v = session_begin(w);
        assert_ok(vss_initialize_for_backup(v, &err));
        return v;
    case S_BACKUP_NO_WRITERS: return begin_no_writers(w);
    case S_GATHERED: return begin_gathered(w);
    case S_SET: return begin_set(w);
    case S_SET_NO_WRITERS:
        v = begin_no_writers(w);
        assert_ok(vss_start_snapshot_set(v, NULL, &err));
        assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
        return v;
    case S_PREPARED_NO_SET:
        v = begin_gathered(w);
        assert_ok(vss_prepare_for_backup(v, &err));
        return v;
    case S_PREPARED: return begin_prepared(w);
    case S_SNAPPED: return begin_snapped(w);
    case S_FAILED:
        v = begin_prepared(w);
        w->vm.fail_at = "PrepareForSnapshot";
        assert_fails(EIO, vss_do_snapshot_set(v, &err));
        w->vm.fail_at = NULL;
        return v;
    case S_COMPLETE:
        v = begin_snapped(w);
        assert_ok(vss_backup_complete(v, &err));
        return v;
    case S_ABORTED:
        v = begin_snapped(w);
        assert_ok(vss_abort_backup(v, &err));
        return v;
    case S_RESTORE: return begin_restore(w);
    case S_RESTORE_GATHERED: return begin_restore_gathered(w);
    case S_PRE_RESTORED: return begin_pre_restored(w);
    case S_RESTORED:
        v = begin_pre_restored(w);
        assert_ok(vss_post_restore(v, &err));
        return v;
    case SESSION_STATES: break;
    }
    fail();
    return NULL;
}

/* ---- Every call, with arguments that are good wherever the call is -------------------------------------------------------*/

#define CALL(name, ...)                                            \
    static int call_##name(struct vss_session *v, struct err *err) \
    {                                                              \
        return vss_##name(v, __VA_ARGS__ err);                     \
    }
#define NOTHING
CALL(initialize_for_backup, NOTHING)
CALL(enable_writer_class, VM_WRITER_ID, )
CALL(disable_writer_class, DB_WRITER_ID, )
CALL(disable_writer_instance, NO_SUCH_ID, )
CALL(set_context, VSS_CTX_BACKUP, )
CALL(set_backup_state, true, true, VSS_BT_FULL, false, )
CALL(gather_writer_metadata, NOTHING)
CALL(add_component, DB_WRITER_ID, NULL, "orders", )
CALL(start_snapshot_set, NULL, )
CALL(add_to_snapshot_set, "/vol/b", NULL, NULL, )
CALL(set_backup_options, VM_WRITER_ID, NULL, "web01", "some", )
CALL(set_previous_backup_stamp, VM_WRITER_ID, NULL, "web01", "some", )
CALL(prepare_for_backup, NOTHING)
CALL(do_snapshot_set, NOTHING)
CALL(gather_writer_status, NOTHING)
CALL(set_backup_succeeded, VM_WRITER_ID, NULL, "web01", true, )
CALL(backup_complete, NOTHING)
CALL(abort_backup, NOTHING)
CALL(delete_snapshots, NOTHING)
CALL(initialize_for_restore, stored.components, )
CALL(load_writer_metadata, stored.vm, )
CALL(set_selected_for_restore, VM_WRITER_ID, NULL, "web01", true, )
CALL(add_restore_subcomponent, VM_WRITER_ID, NULL, "web01", NULL, "db01", )
CALL(set_restore_options, VM_WRITER_ID, NULL, "web01", "some", )
CALL(set_additional_restores, VM_WRITER_ID, NULL, "web01", true, )
CALL(pre_restore, NOTHING)
CALL(set_file_restore_status, VM_WRITER_ID, NULL, "web01", VSS_RS_ALL, )
CALL(post_restore, NOTHING)

static int call_is_volume_supported(struct vss_session *v, struct err *err)
{
    bool yes = false;

    return vss_is_volume_supported(v, NULL, "/vol/a", &yes, err);
}

static int call_get_snapshot_properties(struct vss_session *v, struct err *err)
{
    struct kvss_snapshot_properties p;

    return vss_get_snapshot_properties(v, 0, &p, err);
}

static int call_save_as_xml(struct vss_session *v, struct err *err)
{
    char *xml = NULL;
    int r = vss_save_as_xml(v, &xml, err);

    free(xml);
    return r;
}

static int call_add_new_target(struct vss_session *v, struct err *err)
{
    static const struct kvss_new_target target = { "/vol/a/images", "*.qcow2", false, "/vol/b/images" };

    return vss_add_new_target(v, VM_WRITER_ID, NULL, "web01", &target, err);
}

static int call_add_alternative_location_mapping(struct vss_session *v, struct err *err)
{
    static const struct vss_alternate_location used = { "/vol/a/images", "*.qcow2", "/vol/b", false };

    return vss_add_alternative_location_mapping(v, VM_WRITER_ID, NULL, "web01", &used, err);
}

#define UNFINISHED(to)                                                                                                                \
    "new>" to " backup>" to " no-writers>" to " gathered>" to " set>" to " set-no-writers>" to " prepared-no-set>" to " prepared>" to \
    " snapped>" to " failed>" to " aborted>" to " "
#define STATUS "gathered set prepared-no-set prepared snapped failed complete aborted restore-gathered pre-restored restored "

/* `allowed`: states, each with the one that follows behind '>' if that is another. `r`: result where it is allowed. */
static const struct call {
    const char *name;
    int (*fn)(struct vss_session *v, struct err *err);
    int r;
    const char *allowed;
} calls[] = {
    { "InitializeForBackup", call_initialize_for_backup, 0, "new>backup " },
    { "EnableWriterClasses", call_enable_writer_class, 0, "backup " },
    { "DisableWriterClasses", call_disable_writer_class, 0, "backup " },
    { "DisableWriterInstances", call_disable_writer_instance, 0, "backup " },
    { "SetContext", call_set_context, 0, "backup no-writers>backup gathered " },
    { "SetBackupState", call_set_backup_state, 0, "backup no-writers " },
    { "GatherWriterMetadata", call_gather_writer_metadata, 0, "backup>gathered restore>restore-gathered " },
    { "AddComponent", call_add_component, 0, "gathered set " },
    { "StartSnapshotSet", call_start_snapshot_set, 0, "gathered>set no-writers>set-no-writers " },
    { "IsVolumeSupported", call_is_volume_supported, 0, "backup no-writers gathered set set-no-writers " },
    { "AddToSnapshotSet", call_add_to_snapshot_set, 0, "set set-no-writers " },
    { "SetBackupOptions", call_set_backup_options, 0, "gathered set " },
    { "SetPreviousBackupStamp", call_set_previous_backup_stamp, 0, "gathered set " },
    { "PrepareForBackup", call_prepare_for_backup, 0, "gathered>prepared-no-set set>prepared " },
    { "DoSnapshotSet", call_do_snapshot_set, 0, "prepared>snapped set-no-writers>snapped " },
    { "GetSnapshotProperties", call_get_snapshot_properties, 0, "snapped complete " },
    { "GatherWriterStatus", call_gather_writer_status, 0, STATUS },
    { "SetBackupSucceeded", call_set_backup_succeeded, 0, "snapped prepared-no-set " },
    { "BackupComplete", call_backup_complete, 0, "snapped>complete prepared-no-set>complete " },
    { "AbortBackup", call_abort_backup, 0, UNFINISHED("aborted") "complete " },
    { "DeleteSnapshots", call_delete_snapshots, 0, "snapped complete failed aborted " },
    { "SaveAsXML", call_save_as_xml, 0, "snapped complete " },
    { "InitializeForRestore", call_initialize_for_restore, 0, "new>restore " },
    { "LoadWriterMetadata", call_load_writer_metadata, -EEXIST, "restore " },
    { "SetSelectedForRestore", call_set_selected_for_restore, 0, "restore-gathered " },
    { "AddRestoreSubcomponent", call_add_restore_subcomponent, -ENOENT, "restore-gathered " },
    { "SetRestoreOptions", call_set_restore_options, 0, "restore-gathered " },
    { "AddNewTarget", call_add_new_target, 0, "restore-gathered pre-restored " },
    { "AddAlternativeLocationMapping", call_add_alternative_location_mapping, -ENOENT, "restore-gathered pre-restored " },
    { "SetAdditionalRestores", call_set_additional_restores, 0, "restore-gathered pre-restored " },
    { "PreRestore", call_pre_restore, 0, "restore-gathered>pre-restored " },
    { "SetFileRestoreStatus", call_set_file_restore_status, 0, "pre-restored " },
    { "PostRestore", call_post_restore, 0, "pre-restored>restored " },
};

static const char *const state_words[SESSION_STATES] = {
    [S_NEW] = "new",
    [S_BACKUP] = "backup",
    [S_BACKUP_NO_WRITERS] = "no-writers",
    [S_GATHERED] = "gathered",
    [S_SET] = "set",
    [S_SET_NO_WRITERS] = "set-no-writers",
    [S_PREPARED_NO_SET] = "prepared-no-set",
    [S_PREPARED] = "prepared",
    [S_SNAPPED] = "snapped",
    [S_FAILED] = "failed",
    [S_COMPLETE] = "complete",
    [S_ABORTED] = "aborted",
    [S_RESTORE] = "restore",
    [S_RESTORE_GATHERED] = "restore-gathered",
    [S_PRE_RESTORED] = "pre-restored",
    [S_RESTORED] = "restored",
};

/* The state that follows, in `next`; false: not allowed. */
static bool is_allowed(const struct call *c, enum session_state state, char *next, size_t n)
{
    size_t len = strlen(state_words[state]);

    for (const char *p = c->allowed; *p; p = strchr(p, ' ') + 1) {
        if (strncmp(p, state_words[state], len) != 0 || (p[len] != ' ' && p[len] != '>'))
            continue;
        const char *to = p[len] == '>' ? p + len + 1 : p;
        snprintf(next, n, "%.*s", (int)strcspn(to, p[len] == '>' ? " " : " >"), to);
        return true;
    }
    return false;
}

static char *document_of(struct vss_session *v)
{
    char *xml = NULL;
    struct err err = ERR_INIT;

    assert_ok(components_format(v->doc, &xml, &err));
    return xml;
}

static void refuse(struct world *w, const struct call *c, enum session_state state)
{
    struct vss_session *v = begin(w, state);
    struct err err = ERR_INIT;
    _cleanup_free_ char *before = document_of(v);
    size_t events = w->events.n, calls_made = w->trace.n;

    int r = c->fn(v, &err);
    if (r != -EPROTO || err.hresult != VSS_E_BAD_STATE)
        fail_msg("%s in state %s: %d, 0x%x (%s)", c->name, state_words[state], r, err.hresult, err.text);
    assert_non_null(strstr(err.text, "out of order"));
    _cleanup_free_ char *after = document_of(v);
    assert_string_equal(before, after);
    assert_int_equal(v->state, state);
    assert_int_equal(w->events.n, events);
    assert_int_equal(w->trace.n, calls_made);
    vss_session_release(v);
}

static void allow(struct world *w, const struct call *c, enum session_state state, const char *next)
{
    struct vss_session *v = begin(w, state);
    struct err err = ERR_INIT;
    int r = c->fn(v, &err);

    if (r != c->r || strcmp(state_words[v->state], next) != 0)
        fail_msg("%s in state %s: %d (%s), then state %s, not %s", c->name, state_words[state], r, err.text, state_words[v->state], next);
    vss_session_release(v);
}

static void behaviour_10_every_call_in_every_state(void **state)
{
    size_t refused = 0, allowed = 0;
    char next[32];

    for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
        for (int s = 0; s < SESSION_STATES; s++) {
            struct world *w = *state;
            trace_clear(&w->trace);
            trace_clear(&w->events);
            trace_clear(&w->log);
            if (is_allowed(&calls[i], (enum session_state)s, next, sizeof next)) {
                allow(w, &calls[i], (enum session_state)s, next);
                allowed++;
            } else {
                refuse(w, &calls[i], (enum session_state)s);
                refused++;
            }
        }
    print_message("%zu calls in order, %zu out of order\n", allowed, refused);
    assert_int_equal(allowed + refused, ARRAY_SIZE(calls) * SESSION_STATES);
    assert_int_equal(allowed, 79);
}

/* A second try of a refused call is no better, and the session can still be used as before. */
static void behaviour_10_a_refused_call_does_no_harm(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = begin_set(w);

    for (int i = 0; i < 2; i++) {
        assert_fails(EPROTO, vss_do_snapshot_set(v, &err));
        assert_fails(EPROTO, vss_backup_complete(v, &err));
        assert_fails(EPROTO, vss_post_restore(v, &err));
    }
    assert_ok(vss_prepare_for_backup(v, &err));
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_ok(vss_backup_complete(v, &err));
    vss_session_release(v);
    assert_true(w->vm.told_success);
}

/* Refused arguments leave the state too. */
static void behaviour_10_a_refused_argument_changes_nothing(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_begin(w);

    assert_fails(EINVAL, vss_initialize_for_restore(v, NULL, &err));
    assert_fails(EINVAL, vss_initialize_for_restore(v, "<no", &err));
    assert_int_equal(v->state, S_NEW);
    assert_ok(vss_initialize_for_backup(v, &err));
    assert_fails(EINVAL, vss_set_context(v, 0x4000, &err));
    assert_int_equal(err.hresult, VSS_E_UNSUPPORTED_CONTEXT);
    assert_fails(EINVAL, vss_set_context(v, VSS_VOLSNAP_ATTR_DIFFERENTIAL | VSS_VOLSNAP_ATTR_PLEX, &err));
    assert_fails(EINVAL, vss_set_backup_state(v, true, false, VSS_BT_UNDEFINED, false, &err));
    assert_int_equal(v->state, S_BACKUP);
    assert_int_equal(v->doc->context, VSS_CTX_BACKUP);
    assert_ok(vss_gather_writer_metadata(v, &err));
    assert_fails(EPROTO, vss_set_context(v, VSS_CTX_FILE_SHARE_BACKUP, &err));
    assert_int_equal(v->state, S_GATHERED);
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_ok(vss_add_component(v, VM_WRITER_ID, NULL, "web01", &err));
    assert_ok(vss_prepare_for_backup(v, &err));
    /* No volume was added. */
    assert_fails(EPROTO, vss_do_snapshot_set(v, &err));
    assert_int_equal(v->state, S_PREPARED);
    vss_session_release(v);
}

static int group_setup(void **state)
{
    struct world *w;

    (void)state;
    world_setup((void **)&w);
    stored = documents_of_backup(w);
    return world_teardown((void **)&w);
}

static int group_teardown(void **state)
{
    (void)state;
    documents_free(&stored);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(behaviour_10_every_call_in_every_state),
        world_test(behaviour_10_a_refused_call_does_no_harm),
        world_test(behaviour_10_a_refused_argument_changes_nothing),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
