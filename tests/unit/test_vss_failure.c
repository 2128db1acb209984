/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is left behind when something fails: behaviours 21, 24 to 27 and 30. */
#include "vss_world.h"

/* Power states as they were, nothing frozen, no shadow copy. */
static void assert_as_before(struct world *w)
{
    static const enum fake_power before[] = { FAKE_RUNNING, FAKE_RUNNING };

    for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
        assert_int_equal(w->vm.vms[i].power, before[i]);
        assert_false(w->vm.vms[i].frozen);
        assert_false(w->vm.vms[i].touched);
    }
    assert_int_equal(w->provider.copies, 0);
}

static void behaviour_21_no_autorecovery_refuses_the_child_method(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_gathered(w);

    assert_ok(vss_set_context(v, VSS_CTX_BACKUP | VSS_VOLSNAP_ATTR_NO_AUTORECOVERY, &err));
    assert_ok(vss_add_component(v, VM_WRITER_ID, NULL, "web01", &err)); /* child method */
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
    assert_fails(EIO, vss_prepare_for_backup(v, &err));
    assert_non_null(strstr(err.text, "web01"));
    assert_int_equal(err.hresult, VSS_E_WRITERERROR_NONRETRYABLE);
    assert_int_equal(w->vm.context, VSS_VOLSNAP_ATTR_NO_AUTORECOVERY);
    vss_session_release(v);
    assert_as_before(w);
    assert_false(w->vm.vms[0].rolled_back);
}

static void behaviour_21_no_autorecovery_lets_saved_state_be(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct kvss_snapshot_properties p;
    struct vss_session *v = session_gathered(w);

    assert_ok(vss_set_context(v, VSS_VOLSNAP_ATTR_NO_AUTORECOVERY, &err));
    assert_ok(vss_add_component(v, VM_WRITER_ID, NULL, "db01", &err));
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
    assert_ok(vss_prepare_for_backup(v, &err));
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_ok(vss_get_snapshot_properties(v, 0, &p, &err));
    assert_int_equal(p.attributes, VSS_VOLSNAP_ATTR_NO_AUTORECOVERY);
    vss_session_release(v);
    assert_as_before(w);
}

static void behaviour_24_one_vm_fails_none_is_backed_up(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_prepared(w);

    w->vm.vms[0].fails = true; /* frozen when it fails; db01 is saved by then or after */
    assert_fails(EAGAIN, vss_do_snapshot_set(v, &err));
    assert_int_equal(err.hresult, VSS_E_WRITERERROR_RETRYABLE);
    assert_non_null(strstr(err.text, "VM 'web01' cannot be snapshotted"));
    assert_int_equal(status_of(v, VM_WRITER_ID).state, VSS_WS_FAILED_AT_PREPARE_SNAPSHOT);
    assert_string_equal(status_of(v, VM_WRITER_ID).text, "VM 'web01' cannot be snapshotted");
    /* That is no Abort yet: the requester raises it. Nobody was frozen, nothing committed. */
    assert_int_equal(w->vm.aborts, 0);
    assert_int_equal(w->vm.vms[1].power, FAKE_SAVED);
    assert_int_equal(trace_count(&w->trace, "db writer:Freeze"), 0);
    assert_int_equal(trace_count(&w->trace, "provider:commit"), 0);
    assert_ok(vss_abort_backup(v, &err));
    assert_as_before(w);
    assert_int_equal(w->db.aborts, 1);
    char *xml = NULL;
    assert_fails(EPROTO, vss_save_as_xml(v, &xml, &err));
    vss_session_release(v);
}

static void behaviour_24_release_alone_brings_the_vms_back(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_prepared(w);

    w->vm.vms[1].fails = true;
    assert_fails(EAGAIN, vss_do_snapshot_set(v, &err));
    vss_session_release(v);
    assert_as_before(w);
    assert_int_equal(w->vm.aborts, 1);
    assert_true(w->vm.told_failure);
}

/* ---- Time -----------------------------------------------------------------------------------------------------------------*/

/* The handed-in clock says that the step took too long, though it returned. */
static void time_out_at(struct world *w, const char *event, enum vss_writer_state expected)
{
    struct err err = ERR_INIT;
    struct vss_session *v = session_prepared(w);

    w->vm.aborts = w->db.aborts = 0;
    w->db.late_at = event;
    w->db.late_ms = 60000;
    assert_fails(ETIMEDOUT, vss_do_snapshot_set(v, &err));
    assert_int_equal(err.hresult, VSS_E_WRITERERROR_TIMEOUT);
    assert_int_equal(w->vm.aborts, 1);
    assert_int_equal(w->db.aborts, 1);
    assert_as_before(w);
    assert_int_equal(status_of(v, VM_WRITER_ID).state, expected);
    assert_int_equal(status_of(v, VM_WRITER_ID).hresult, VSS_E_WRITERERROR_TIMEOUT);
    assert_int_equal(status_of(v, DB_WRITER_ID).hresult, VSS_E_WRITERERROR_TIMEOUT);
    assert_ok(vss_abort_backup(v, &err));
    w->db.late_at = NULL;
    vss_session_release(v);
}

static void behaviour_25_freeze_over_the_limit(void **state)
{
    struct world *w = *state;

    time_out_at(w, "Freeze", VSS_WS_FAILED_AT_FREEZE);
    assert_int_equal(trace_count(&w->trace, "provider:commit"), 0);
    assert_int_equal(trace_count(&w->trace, "vm writer:Thaw"), 0);
}

static void behaviour_25_thaw_over_the_limit(void **state)
{
    struct world *w = *state;

    time_out_at(w, "Thaw", VSS_WS_FAILED_AT_THAW);
    assert_int_equal(trace_count(&w->trace, "vm writer:PostSnapshot"), 0);
}

static void behaviour_25_just_within_the_limit(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_prepared(w);

    w->db.late_at = "Freeze";
    w->db.late_ms = 59000;
    w->vm.late_at = "PrepareForSnapshot"; /* nobody is held yet: may take its time */
    w->vm.late_ms = 600000;
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_int_equal(w->vm.aborts, 0);
    assert_in_range(w->vm.time_left, 1000, 60000);
    vss_session_release(v);
}

static void behaviour_25_commit_over_the_writers_limit(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_prepared(w);

    w->provider.late_at = "post_commit";
    w->provider.late_ms = 60001;
    assert_fails(ETIMEDOUT, vss_do_snapshot_set(v, &err));
    assert_int_equal(err.hresult, VSS_E_WRITERERROR_TIMEOUT);
    assert_int_equal(status_of(v, VM_WRITER_ID).state, VSS_WS_FAILED_AT_FREEZE);
    assert_int_equal(w->vm.aborts, 1);
    assert_as_before(w);
    vss_session_release(v);
}

static void hold_limit_of_the_commit(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_prepared(w);

    w->provider.late_at = "commit";
    w->provider.late_ms = 10000;
    assert_fails(ETIMEDOUT, vss_do_snapshot_set(v, &err));
    assert_int_equal(err.hresult, VSS_E_HOLD_WRITES_TIMEOUT);
    assert_int_equal(w->vm.aborts, 1);
    assert_int_equal(w->provider.aborted, 1);
    assert_as_before(w);
    /* It is the provider's fault, not the writers'. */
    assert_int_equal(status_of(v, VM_WRITER_ID).hresult, VSS_S_OK);
    vss_session_release(v);
}

static void a_writers_own_limit_counts_for_it(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;

    w->db.freeze_limit_ms = 5000;
    world_limits(w, 0, 0, false);
    struct vss_session *v = session_prepared(w);
    w->provider.late_at = "commit";
    w->provider.late_ms = 6000;
    assert_fails(ETIMEDOUT, vss_do_snapshot_set(v, &err));
    assert_int_equal(err.hresult, VSS_E_WRITERERROR_TIMEOUT);
    assert_non_null(strstr(err.text, "db writer"));
    assert_int_equal(status_of(v, VM_WRITER_ID).hresult, VSS_S_OK);
    assert_int_equal(status_of(v, VM_WRITER_ID).state, VSS_WS_STABLE);
    assert_int_equal(w->vm.aborts, 1);
    vss_session_release(v);
}

/* ---- Handlers that do not return ------------------------------------------------------------------------------------------*/

static void behaviour_25_hung_freeze_ends_in_real_time(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;

    world_limits(w, 200, 0, true);
    struct vss_session *v = session_prepared(w);
    w->db.hang_at = "Freeze";
    uint64_t start = clock_mono_ms();
    assert_fails(ETIMEDOUT, vss_do_snapshot_set(v, &err));
    uint64_t took = clock_mono_ms() - start;
    assert_in_range(took, 200, 10000);
    assert_int_equal(err.hresult, VSS_E_WRITERERROR_TIMEOUT);
    assert_non_null(strstr(err.text, "db writer"));
    assert_non_null(strstr(err.text, "did not return within 200 ms"));
    assert_true(fake_is_hanging(&w->db));
    assert_int_equal(w->db.aborts, 1); /* while it still hangs */
    assert_as_before(w);
    fake_let_go(&w->db);
    vss_session_release(v);
    assert_false(fake_is_hanging(&w->db));
    assert_int_equal(trace_count(&w->trace, "db writer:BackupShutdown"), 1);
}

static void behaviour_25_hung_freeze_with_a_clock_of_its_own(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;

    /* The clock stands still: real time counts as well. */
    world_limits(w, 200, 0, false);
    struct vss_session *v = session_prepared(w);
    w->vm.hang_at = "Freeze";
    assert_fails(ETIMEDOUT, vss_do_snapshot_set(v, &err));
    assert_int_equal(status_of(v, VM_WRITER_ID).state, VSS_WS_FAILED_AT_FREEZE);
    fake_let_go(&w->vm);
    vss_session_release(v);
}

static void behaviour_25_hung_thaw(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;

    world_limits(w, 200, 0, true);
    struct vss_session *v = session_prepared(w);
    w->vm.hang_at = "Thaw";
    assert_fails(ETIMEDOUT, vss_do_snapshot_set(v, &err));
    assert_int_equal(status_of(v, VM_WRITER_ID).state, VSS_WS_FAILED_AT_THAW);
    assert_int_equal(w->vm.aborts, 1);
    fake_let_go(&w->vm);
    vss_session_release(v);
    assert_as_before(w);
}

static void behaviour_25_hung_commit(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;

    world_limits(w, 0, 200, true);
    struct vss_session *v = session_prepared(w);
    w->provider.hang_at = "commit";
    assert_fails(ETIMEDOUT, vss_do_snapshot_set(v, &err));
    assert_int_equal(err.hresult, VSS_E_HOLD_WRITES_TIMEOUT);
    assert_int_equal(w->vm.aborts, 1);
    assert_int_equal(w->provider.aborted, 1);
    fake_provider_let_go(&w->provider);
    vss_session_release(v);
    assert_as_before(w);
}

static void a_handler_that_never_returns_is_left_behind(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;

    world_limits(w, 1000, 0, true);
    struct vss_session *v = session_prepared(w);
    w->db.hang_at = "Thaw";
    assert_fails(ETIMEDOUT, vss_do_snapshot_set(v, &err));
    uint64_t start = clock_mono_ms();
    vss_session_release(v);
    assert_in_range(clock_mono_ms() - start, 5000, 20000);
    assert_int_equal(trace_count(&w->trace, "vm writer:BackupShutdown"), 1);
    assert_int_equal(trace_count(&w->trace, "db writer:BackupShutdown"), 0);
    assert_non_null(strstr(w->log.lines[w->log.n - 1], "writer db writer is not sent BackupShutdown"));
    /* It comes back into a session that is gone. */
    fake_let_go(&w->db);
    while (fake_is_hanging(&w->db))
        clock_sleep_ms(1);
    clock_sleep_ms(50);
}

static bool late_stamp_freeze(void *priv, struct kvss_event *ev)
{
    struct fake_writer *w = priv;
    struct err err = ERR_INIT;
    bool ret = true;

    w->hang_at = "Freeze";
    fake_script(w, ev, "Freeze", &ret);
    /* Too late: none of this counts. */
    int r = kvss_component_set_backup_stamp(kvss_event_component(ev, 0), "late", &err);
    kvss_set_writer_failure(ev, VSS_E_WRITERERROR_NONRETRYABLE, "late");
    trace_add(w->trace, w->name, r == -ESHUTDOWN ? "refused" : "taken");
    return true;
}

static void what_a_late_handler_says_does_not_count(void **state)
{
    struct world *w = *state;
    struct vss_component_state c;
    struct err err = ERR_INIT;
    struct kvss_writer s = fake_writer_struct(&w->other);

    world_limits(w, 200, 0, true);
    s.freeze = late_stamp_freeze;
    assert_ok(vss_register_writer(w->service, &s, &w->other, &err));
    struct vss_session *v = session_gathered(w);
    assert_ok(vss_add_component(v, LOG_WRITER_ID, NULL, "audit", &err));
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
    assert_ok(vss_prepare_for_backup(v, &err));
    assert_fails(ETIMEDOUT, vss_do_snapshot_set(v, &err));
    fake_let_go(&w->other);
    while (trace_count(&w->trace, "other writer:refused") + trace_count(&w->trace, "other writer:taken") == 0)
        clock_sleep_ms(1);
    assert_int_equal(trace_count(&w->trace, "other writer:refused"), 1);
    assert_ok(vss_get_component_state(v, LOG_WRITER_ID, NULL, "audit", &c, &err));
    assert_null(c.backup_stamp);
    assert_int_equal(status_of(v, LOG_WRITER_ID).hresult, VSS_E_WRITERERROR_TIMEOUT);
    vss_session_release(v);
}

/* ---- Providers ------------------------------------------------------------------------------------------------------------*/

static void behaviour_26_provider_failure_aborts_all(void **state)
{
    static const char *const calls[] = {
        "end_prepare", "pre_commit", "commit", "post_commit", "pre_final_commit", "post_final_commit",
    };
    struct world *w = *state;
    struct err err = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        struct vss_session *v = session_prepared(w);
        w->vm.aborts = 0;
        w->provider.fail_at = calls[i];
        w->provider.fail_code = i % 2 ? VSS_E_INSUFFICIENT_STORAGE : 0;
        assert_true(vss_do_snapshot_set(v, &err) < 0);
        assert_int_equal(err.hresult, i % 2 ? VSS_E_INSUFFICIENT_STORAGE : VSS_E_UNEXPECTED_PROVIDER_ERROR);
        assert_non_null(strstr(err.text, "provider fake"));
        assert_int_equal(w->vm.aborts, 1);
        w->provider.fail_at = NULL;
        assert_ok(vss_abort_backup(v, &err));
        assert_as_before(w);
        vss_session_release(v);
    }
}

/* ---- Abort ----------------------------------------------------------------------------------------------------------------*/

static void behaviour_27_abort_after_every_step_and_twice(void **state)
{
    static struct vss_session *(*const steps[])(struct world * w) = {
        session_begin, session_gathered, session_set, session_prepared, session_snapped,
    };
    struct world *w = *state;
    struct err err = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        struct vss_session *v = steps[i](w);
        assert_ok(vss_abort_backup(v, &err));
        assert_as_before(w);
        assert_ok(vss_abort_backup(v, &err));
        assert_as_before(w);
        assert_fails(EPROTO, vss_initialize_for_backup(v, &err)); /* an aborted object refuses reuse */
        vss_session_release(v);
        assert_as_before(w);
    }
    assert_int_equal(w->vm.aborts, 4); /* behind PrepareForBackup only */
}

static void behaviour_27_abort_after_a_failure_in_every_event_and_twice(void **state)
{
    static const char *const events[] = {
        "PrepareForBackup", "PrepareForSnapshot", "Freeze", "Thaw", "PostSnapshot", "BackupComplete",
    };
    struct world *w = *state;
    struct err err = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        struct vss_session *v = session_set(w);
        w->db.fail_at = events[i];
        if (vss_prepare_for_backup(v, &err) == 0 && vss_do_snapshot_set(v, &err) == 0)
            assert_int_equal(vss_backup_complete(v, &err), -EIO);
        assert_int_equal(err.hresult, VSS_E_WRITERERROR_NONRETRYABLE);
        w->db.fail_at = NULL;
        assert_ok(vss_abort_backup(v, &err));
        assert_ok(vss_abort_backup(v, &err));
        assert_as_before(w);
        vss_session_release(v);
        assert_as_before(w);
    }
}

static void behaviour_27_a_failed_abort_is_told_and_can_be_repeated(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_snapped(w);

    w->vm.fail_at = "Abort";
    w->vm.fail_code = VSS_E_WRITERERROR_RETRYABLE;
    assert_fails(EAGAIN, vss_abort_backup(v, &err));
    assert_non_null(strstr(err.text, "writer vm writer: "));
    assert_int_equal(status_of(v, VM_WRITER_ID).state, VSS_WS_UNKNOWN);
    assert_int_equal(w->db.aborts, 1); /* the others are aborted all the same */
    assert_int_equal(w->provider.aborted, 1);
    w->vm.fail_at = NULL;
    assert_ok(vss_abort_backup(v, &err));
    assert_as_before(w);
    vss_session_release(v);
}

/* The service has raised Abort; the end of the session does not do so again, and copies that are gone are not deleted. */
static void behaviour_27_release_does_not_abort_twice(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_prepared(w);

    w->db.fail_at = "Freeze";
    assert_true(vss_do_snapshot_set(v, &err) < 0);
    assert_ok(vss_delete_snapshots(v, &err));
    vss_session_release(v);
    assert_int_equal(w->vm.aborts, 1);
    assert_int_equal(w->provider.aborted, 1);
    assert_int_equal(w->provider.deleted, 0);
    assert_as_before(w);
}

static void behaviour_27_a_failed_automatic_abort_is_in_the_message(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_prepared(w);

    w->vm.fail_at = "Abort";
    w->provider.fail_at = "commit";
    assert_true(vss_do_snapshot_set(v, &err) < 0);
    assert_non_null(strstr(err.text, "Aborting failed too"));
    assert_non_null(strstr(err.text, "provider fake: "));
    w->vm.fail_at = NULL;
    vss_session_release(v); /* tries again */
    assert_as_before(w);
    assert_int_equal(w->vm.aborts, 2);
}

static void behaviour_30_a_complete_backup_is_not_aborted(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_complete(w);

    assert_ok(vss_abort_backup(v, &err));
    assert_int_equal(w->vm.aborts, 0);
    assert_int_equal(w->provider.copies, 1);
    vss_session_release(v);
    assert_true(w->vm.told_success && !w->vm.told_failure);
    assert_int_equal(w->provider.copies, 0);
}

static void behaviour_30_release_between_prepare_and_snapshot(void **state)
{
    struct world *w = *state;

    vss_session_release(session_prepared(w));
    assert_true(w->vm.told_failure);
    assert_int_equal(w->provider.aborted, 1);
    assert_int_equal(w->provider.copies, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(behaviour_21_no_autorecovery_refuses_the_child_method),
        world_test(behaviour_21_no_autorecovery_lets_saved_state_be),
        world_test(behaviour_24_one_vm_fails_none_is_backed_up),
        world_test(behaviour_24_release_alone_brings_the_vms_back),
        world_test(behaviour_25_freeze_over_the_limit),
        world_test(behaviour_25_thaw_over_the_limit),
        world_test(behaviour_25_just_within_the_limit),
        world_test(behaviour_25_commit_over_the_writers_limit),
        world_test(hold_limit_of_the_commit),
        world_test(a_writers_own_limit_counts_for_it),
        world_test(behaviour_25_hung_freeze_ends_in_real_time),
        world_test(behaviour_25_hung_freeze_with_a_clock_of_its_own),
        world_test(behaviour_25_hung_thaw),
        world_test(behaviour_25_hung_commit),
        world_test(a_handler_that_never_returns_is_left_behind),
        world_test(what_a_late_handler_says_does_not_count),
        world_test(behaviour_26_provider_failure_aborts_all),
        world_test(behaviour_27_abort_after_every_step_and_twice),
        world_test(behaviour_27_abort_after_a_failure_in_every_event_and_twice),
        world_test(behaviour_27_a_failed_abort_is_told_and_can_be_repeated),
        world_test(behaviour_27_release_does_not_abort_twice),
        world_test(behaviour_27_a_failed_automatic_abort_is_in_the_message),
        world_test(behaviour_30_release_between_prepare_and_snapshot),
        world_test(behaviour_30_a_complete_backup_is_not_aborted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
