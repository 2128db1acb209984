/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order of events and calls: behaviours 9 to 13, 28, 30 of the VSS protocol. */
#include "vss_world.h"

/* The lines of one writer, without its name. Caller frees. */
static char *lines_of(struct trace *t, const char *who)
{
    struct buf b = BUF_INIT;
    size_t n = strlen(who);

    for (size_t i = 0; i < t->n; i++)
        if (strncmp(t->lines[i], who, n) == 0 && t->lines[i][n] == ':')
            buf_addf(&b, "%s%s", b.len ? " " : "", t->lines[i] + n + 1);
    return buf_take_str(&b);
}

static void assert_lines(struct trace *t, const char *who, const char *expected)
{
    _cleanup_free_ char *lines = lines_of(t, who);

    assert_string_equal(lines, expected);
}

static void behaviour_09_event_order(void **state)
{
    static const char *const order = "Identify PrepareForBackup PrepareForSnapshot Freeze Thaw PostSnapshot BackupComplete BackupShutdown";
    struct world *w = *state;

    vss_session_release(session_complete(w));
    assert_lines(&w->trace, "vm writer", order);
    assert_lines(&w->trace, "db writer", order);
    assert_lines(&w->events, "vm writer", order);
    assert_lines(&w->trace, "provider",
                 "begin_prepare end_prepare pre_commit commit post_commit pre_final_commit "
                 "post_final_commit delete_snapshots");
    assert_true(w->vm.told_success && !w->vm.told_failure);
}

/* Index of the line in the trace. */
static size_t at(struct trace *t, const char *line)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->lines[i], line) == 0)
            return i;
    fail_msg("'%s' never happened", line);
    return 0;
}

static void behaviour_09_providers_between_writers(void **state)
{
    static const char *const order[] = {
        "provider:begin_prepare",    "vm writer:PrepareForBackup", "vm writer:PrepareForSnapshot",
        "provider:end_prepare",      "provider:pre_commit",        "vm writer:Freeze",
        "provider:commit",           "provider:post_commit",       "vm writer:Thaw",
        "provider:pre_final_commit", "vm writer:PostSnapshot",     "provider:post_final_commit",
        "vm writer:BackupComplete",  "vm writer:BackupShutdown",   "provider:delete_snapshots",
    };
    struct world *w = *state;

    vss_session_release(session_complete(w));
    for (size_t i = 1; i < ARRAY_SIZE(order); i++)
        if (at(&w->trace, order[i - 1]) >= at(&w->trace, order[i]))
            fail_msg("'%s' did not come before '%s'", order[i - 1], order[i]);
}

static void behaviour_09_event_log_is_in_order_of_registration(void **state)
{
    struct world *w = *state;
    struct vss_session *v = session_complete(w);

    for (size_t i = 0; i + 1 < w->events.n; i += 2) {
        assert_true(strncmp(w->events.lines[i], "vm writer:", 10) == 0);
        assert_true(strncmp(w->events.lines[i + 1], "db writer:", 10) == 0);
        assert_string_equal(w->events.lines[i] + 10, w->events.lines[i + 1] + 10);
    }
    vss_session_release(v);
}

static void restore_events_are_three(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    _cleanup_(documents_free) struct documents d = documents_of_backup(w);

    trace_clear(&w->trace);
    struct vss_session *v = session_restore(w, &d);
    assert_ok(vss_set_selected_for_restore(v, VM_WRITER_ID, NULL, "web01", true, &err));
    assert_ok(vss_pre_restore(v, &err));
    assert_ok(vss_set_file_restore_status(v, VM_WRITER_ID, NULL, "web01", VSS_RS_ALL, &err));
    assert_ok(vss_post_restore(v, &err));
    vss_session_release(v);
    assert_lines(&w->trace, "vm writer", "Identify PreRestore PostRestore");
    /* Nothing of it was selected. */
    assert_lines(&w->trace, "db writer", "Identify");
    assert_lines(&w->trace, "provider", "");
}

static void behaviour_11_state_after_each_event(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_set(w);

    assert_int_equal(status_of(v, VM_WRITER_ID).state, VSS_WS_STABLE);
    assert_ok(vss_prepare_for_backup(v, &err));
    assert_int_equal(status_of(v, VM_WRITER_ID).state, VSS_WS_STABLE);
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_int_equal(status_of(v, VM_WRITER_ID).state, VSS_WS_WAITING_FOR_BACKUP_COMPLETE);
    assert_ok(vss_backup_complete(v, &err));
    assert_int_equal(status_of(v, VM_WRITER_ID).state, VSS_WS_STABLE);
    assert_int_equal(status_of(v, VM_WRITER_ID).hresult, VSS_S_OK);
    assert_null(status_of(v, VM_WRITER_ID).text);
    vss_session_release(v);
}

struct seen_state {
    const char *writer;
    char text[512];
};

static void note_state(void *priv, const char *event, const char *writer, enum vss_writer_state state, uint32_t hresult)
{
    struct seen_state *s = priv;
    size_t n = strlen(s->text);

    (void)hresult;
    if (strcmp(writer, s->writer) == 0)
        snprintf(s->text + n, sizeof s->text - n, "%s=%d ", event, (int)state);
}

static void behaviour_11_states_inside_the_snapshot_set(void **state)
{
    struct world *w = *state;
    struct seen_state seen = { .writer = "vm writer" };
    struct err err = ERR_INIT;
    struct vss_session *v = session_prepared(w);

    vss_set_event_log(v, note_state, &seen);
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_string_equal(seen.text, "PrepareForSnapshot=2 Freeze=3 Thaw=4 PostSnapshot=5 ");
    vss_session_release(v);
}

/* ---- Every event fails in turn --------------------------------------------------------------------------------------------*/

struct failure_case {
    const char *event;
    enum vss_writer_state state;
    bool auto_abort;
};

static const struct failure_case backup_failures[] = {
    { "PrepareForBackup", VSS_WS_FAILED_AT_PREPARE_BACKUP, false },
    { "PrepareForSnapshot", VSS_WS_FAILED_AT_PREPARE_SNAPSHOT, false },
    { "Freeze", VSS_WS_FAILED_AT_FREEZE, true },
    { "Thaw", VSS_WS_FAILED_AT_THAW, true },
    { "PostSnapshot", VSS_WS_FAILED_AT_POST_SNAPSHOT, false },
    { "BackupComplete", VSS_WS_FAILED_AT_BACKUP_COMPLETE, false },
};

/* Goes on until something fails. */
static int run_backup(struct vss_session *v, struct err *err)
{
    int r = vss_prepare_for_backup(v, err);

    if (r == 0)
        r = vss_do_snapshot_set(v, err);
    return r == 0 ? vss_backup_complete(v, err) : r;
}

static void fail_in_event(struct world *w, const struct failure_case *c, uint32_t code, bool returns)
{
    struct err err = ERR_INIT;
    uint32_t expected = code ? code : VSS_E_WRITERERROR_NONRETRYABLE;

    w->vm.fail_at = c->event;
    w->vm.fail_code = code;
    w->vm.fail_returns = returns;
    w->vm.aborts = 0;
    trace_clear(&w->log);
    struct vss_session *v = session_set(w);
    assert_true(run_backup(v, &err) < 0);
    assert_int_equal(err.hresult, expected);
    assert_non_null(strstr(err.text, "vm writer"));
    struct vss_writer_status s = status_of(v, VM_WRITER_ID);
    assert_non_null(strstr(err.text, s.text));
    assert_int_equal(s.state, c->state);
    assert_int_equal(s.hresult, expected);
    assert_non_null(s.text);
    assert_int_equal(w->vm.aborts, c->auto_abort ? 1 : 0);
    /* Behaviour 43: one line with writer, event, code and cause. */
    assert_int_equal(w->log.n, 1);
    assert_non_null(strstr(w->log.lines[0], "vm writer"));
    assert_non_null(strstr(w->log.lines[0], c->event));
    assert_non_null(strstr(w->log.lines[0], vss_error_symbol(expected)));
    assert_non_null(strstr(w->log.lines[0], s.text));
    /* The failure stays readable after Abort, and the other writer has none. */
    assert_ok(vss_abort_backup(v, &err));
    assert_int_equal(status_of(v, VM_WRITER_ID).state, c->state);
    assert_int_equal(status_of(v, DB_WRITER_ID).hresult, VSS_S_OK);
    assert_int_equal(status_of(v, DB_WRITER_ID).state, VSS_WS_STABLE);
    vss_session_release(v);
    assert_true(w->vm.told_failure && !w->vm.told_success);
}

static void behaviour_11_failure_in_each_event(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(backup_failures); i++) {
        fail_in_event(*state, &backup_failures[i], VSS_E_WRITERERROR_RETRYABLE, false);
        fail_in_event(*state, &backup_failures[i], VSS_E_WRITERERROR_OUTOFRESOURCES, true); /* the code alone is a veto */
        fail_in_event(*state, &backup_failures[i], 0, false);                               /* and so is false alone */
    }
}

static void a_code_that_is_no_writers_becomes_nonretryable(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_set(w);

    w->vm.fail_at = "PrepareForBackup";
    w->vm.fail_code = VSS_E_PROVIDER_VETO;
    assert_fails(EIO, vss_prepare_for_backup(v, &err));
    assert_int_equal(err.hresult, VSS_E_WRITERERROR_NONRETRYABLE);
    vss_session_release(v);
}

static void identify_failure_leaves_the_writer_out(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;

    w->db.fail_at = "Identify";
    struct vss_session *v = session_gathered(w);
    assert_int_equal(vss_writer_count(v), 1);
    assert_null(vss_writer_find(v, DB_WRITER_ID));
    assert_int_equal(vss_left_out_count(v), 1);
    assert_string_equal(vss_left_out_get(v, 0).name, "db writer");
    assert_non_null(strstr(vss_left_out_get(v, 0).text, "told to fail in Identify"));
    assert_ok(vss_gather_writer_status(v, &err));
    assert_int_equal(vss_writer_status_count(v), 1);
    assert_fails(ENOENT, vss_add_component(v, DB_WRITER_ID, NULL, "orders", &err));
    vss_session_release(v);
}

static void behaviour_12_status_is_per_session(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *a = session_set(w), *b = session_set(w);

    w->vm.fail_at = "PrepareForBackup";
    w->vm.fail_code = VSS_E_WRITERERROR_RETRYABLE;
    assert_fails(EAGAIN, vss_prepare_for_backup(a, &err));
    w->vm.fail_at = NULL;
    assert_ok(vss_prepare_for_backup(b, &err));
    assert_int_equal(status_of(a, VM_WRITER_ID).state, VSS_WS_FAILED_AT_PREPARE_BACKUP);
    assert_int_equal(status_of(b, VM_WRITER_ID).state, VSS_WS_STABLE);
    assert_int_equal(status_of(b, VM_WRITER_ID).hresult, VSS_S_OK);
    assert_ok(vss_do_snapshot_set(b, &err));
    assert_int_equal(status_of(a, VM_WRITER_ID).state, VSS_WS_FAILED_AT_PREPARE_BACKUP);
    /* A new session knows nothing of the failure. */
    struct vss_session *c = session_gathered(w);
    assert_int_equal(status_of(c, VM_WRITER_ID).hresult, VSS_S_OK);
    vss_session_release(a);
    vss_session_release(b);
    vss_session_release(c);
}

static void behaviour_12_status_is_as_of_the_last_gathering(void **state)
{
    struct world *w = *state;
    struct vss_writer_status s;
    struct err err = ERR_INIT;
    struct vss_session *v = session_prepared(w);

    assert_fails(EPROTO, vss_get_writer_status(v, 0, &s, &err));
    assert_int_equal(err.hresult, VSS_E_BAD_STATE);
    assert_ok(vss_gather_writer_status(v, &err));
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_ok(vss_get_writer_status(v, 0, &s, &err));
    assert_int_equal(s.state, VSS_WS_STABLE);
    assert_fails(ENOENT, vss_get_writer_status(v, 2, &s, &err));
    vss_session_release(v);
}

static void behaviour_13_document_holds_what_post_snapshot_added(void **state)
{
    struct world *w = *state;
    struct vss_component_state c;
    struct err err = ERR_INIT;
    char *xml = NULL;

    w->vm.stamp = true;
    struct vss_session *v = session_prepared(w);
    assert_fails(EPROTO, vss_save_as_xml(v, &xml, &err));
    assert_int_equal(err.hresult, VSS_E_BAD_STATE);
    assert_null(xml);
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_ok(vss_save_as_xml(v, &xml, &err));
    assert_non_null(strstr(xml, "backupStamp=\"stamp 1\""));
    assert_non_null(strstr(xml, "<BACKUP_METADATA metadata="));
    free(xml);
    assert_ok(vss_get_component_state(v, VM_WRITER_ID, NULL, "web01", &c, &err));
    assert_string_equal(c.backup_metadata, "{\"vm\":\n\t\"<&'>\"}");
    assert_string_equal(c.backup_stamp, "stamp 1");
    assert_false(c.backup_succeeded);
    vss_session_release(v);
}

static void behaviour_28_abort_before_prepare_is_harmless(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *fresh = session_begin(w), *gathered = session_gathered(w), *set = session_set(w);

    assert_ok(vss_abort_backup(fresh, &err));
    assert_ok(vss_abort_backup(gathered, &err));
    assert_ok(vss_abort_backup(set, &err));
    assert_int_equal(w->vm.aborts + w->db.aborts, 0);
    assert_int_equal(w->provider.copies, 0);
    vss_session_release(fresh);
    vss_session_release(gathered);
    vss_session_release(set);
    assert_int_equal(trace_count(&w->trace, "vm writer:BackupShutdown"), 0);
    assert_int_equal(w->vm.vms[1].changes, 0);
}

static void behaviour_28_backup_complete_after_abort_is_refused(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_snapped(w);

    assert_ok(vss_abort_backup(v, &err));
    assert_fails(EPROTO, vss_backup_complete(v, &err));
    assert_int_equal(err.hresult, VSS_E_BAD_STATE);
    assert_int_equal(trace_count(&w->trace, "vm writer:BackupComplete"), 0);
    vss_session_release(v);
    assert_true(w->vm.told_failure && !w->vm.told_success);
}

static void behaviour_30_release_without_complete_is_a_failed_backup(void **state)
{
    struct world *w = *state;

    vss_session_release(session_snapped(w));
    assert_true(w->vm.told_failure && !w->vm.told_success);
    assert_int_equal(trace_count(&w->trace, "vm writer:BackupShutdown"), 1);
    assert_int_equal(w->provider.copies, 0);
    assert_int_equal(w->vm.vms[0].power, FAKE_RUNNING);
    assert_int_equal(w->vm.vms[1].power, FAKE_RUNNING);
}

static void behaviour_30_persistent_copies_stay_until_deleted(void **state)
{
    struct world *w = *state;
    struct kvss_snapshot_properties p;
    struct err err = ERR_INIT;

    for (int i = 0; i < 2; i++) {
        struct vss_session *v = session_gathered(w);
        assert_ok(vss_set_context(v, VSS_CTX_APP_ROLLBACK, &err));
        assert_ok(vss_add_component(v, DB_WRITER_ID, NULL, "orders", &err));
        assert_ok(vss_start_snapshot_set(v, NULL, &err));
        assert_ok(vss_add_to_snapshot_set(v, "/vol/a", PROVIDER_ID, NULL, &err));
        assert_ok(vss_prepare_for_backup(v, &err));
        assert_ok(vss_do_snapshot_set(v, &err));
        assert_ok(vss_backup_complete(v, &err));
        assert_ok(vss_get_snapshot_properties(v, 0, &p, &err));
        assert_string_equal(p.volume, "/vol/a");
        assert_string_equal(p.provider_id, PROVIDER_ID);
        assert_int_equal(p.attributes, VSS_CTX_APP_ROLLBACK | VSS_VOLSNAP_ATTR_AUTORECOVER);
        if (i == 1)
            assert_ok(vss_delete_snapshots(v, &err));
        vss_session_release(v);
        assert_int_equal(w->provider.copies, i == 1 ? 0 : 1);
        w->provider.copies = 0;
    }
    assert_int_equal(w->provider.deleted, 1);
    assert_int_equal(w->provider.aborted, 0);
}

static void without_writers_only_the_provider_is_asked(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_begin(w);

    assert_ok(vss_initialize_for_backup(v, &err));
    assert_ok(vss_set_context(v, VSS_CTX_FILE_SHARE_BACKUP, &err));
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
    assert_ok(vss_do_snapshot_set(v, &err));
    vss_session_release(v);
    _cleanup_free_ char *all = trace_text(&w->trace, 0);
    assert_string_equal(all, "provider:begin_prepare provider:end_prepare provider:pre_commit provider:commit "
                             "provider:post_commit provider:pre_final_commit provider:post_final_commit "
                             "provider:delete_snapshots");
}

static void whole_volume_backup_sends_events_to_all(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_begin(w);

    assert_ok(vss_initialize_for_backup(v, &err));
    assert_ok(vss_set_backup_state(v, false, true, VSS_BT_COPY, false, &err));
    assert_ok(vss_gather_writer_metadata(v, &err));
    assert_fails(EPROTO, vss_add_component(v, VM_WRITER_ID, NULL, "web01", &err));
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
    assert_ok(vss_prepare_for_backup(v, &err));
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_ok(vss_backup_complete(v, &err));
    vss_session_release(v);
    assert_int_equal(trace_count(&w->trace, "db writer:PostSnapshot"), 1);
    assert_int_equal(trace_count(&w->trace, "vm writer:BackupShutdown"), 1);
}

static void a_snapshot_set_may_be_skipped(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_gathered(w);
    char *xml = NULL;

    assert_ok(vss_add_component(v, DB_WRITER_ID, NULL, "orders", &err));
    assert_ok(vss_prepare_for_backup(v, &err));
    assert_ok(vss_set_backup_succeeded(v, DB_WRITER_ID, NULL, "orders", true, &err));
    assert_ok(vss_backup_complete(v, &err));
    assert_ok(vss_save_as_xml(v, &xml, &err));
    assert_null(strstr(xml, "SNAPSHOT_SET_DESCRIPTION"));
    free(xml);
    vss_session_release(v);
    assert_lines(&w->trace, "db writer", "Identify PrepareForBackup BackupComplete BackupShutdown");
}

static void only_enabled_writers_are_asked(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_begin(w);

    assert_ok(vss_initialize_for_backup(v, &err));
    assert_ok(vss_enable_writer_class(v, "{66841CD4-6DED-4F4B-8F17-FD23F8DDC3DE}", &err));
    assert_ok(vss_gather_writer_metadata(v, &err));
    assert_int_equal(vss_writer_count(v), 1);
    assert_string_equal(vss_writer_get(v, 0)->id, VM_WRITER_ID);
    _cleanup_free_ char *instance = strdup(vss_writer_get(v, 0)->instance_id);
    vss_session_release(v);

    v = session_begin(w);
    assert_ok(vss_initialize_for_backup(v, &err));
    assert_ok(vss_disable_writer_instance(v, instance, &err));
    assert_ok(vss_disable_writer_class(v, DB_WRITER_ID, &err));
    assert_fails(EINVAL, vss_disable_writer_class(v, "no guid", &err));
    assert_ok(vss_gather_writer_metadata(v, &err));
    assert_int_equal(vss_writer_count(v), 0);
    vss_session_release(v);
    assert_int_equal(trace_count(&w->trace, "db writer:Identify"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(behaviour_09_event_order),
        world_test(behaviour_09_providers_between_writers),
        world_test(behaviour_09_event_log_is_in_order_of_registration),
        world_test(restore_events_are_three),
        world_test(behaviour_11_state_after_each_event),
        world_test(behaviour_11_states_inside_the_snapshot_set),
        world_test(behaviour_11_failure_in_each_event),
        world_test(a_code_that_is_no_writers_becomes_nonretryable),
        world_test(identify_failure_leaves_the_writer_out),
        world_test(behaviour_12_status_is_per_session),
        world_test(behaviour_12_status_is_as_of_the_last_gathering),
        world_test(behaviour_13_document_holds_what_post_snapshot_added),
        world_test(behaviour_28_abort_before_prepare_is_harmless),
        world_test(behaviour_28_backup_complete_after_abort_is_refused),
        world_test(behaviour_30_release_without_complete_is_a_failed_backup),
        world_test(behaviour_30_persistent_copies_stay_until_deleted),
        world_test(without_writers_only_the_provider_is_asked),
        world_test(whole_volume_backup_sends_events_to_all),
        world_test(a_snapshot_set_may_be_skipped),
        world_test(only_enabled_writers_are_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
