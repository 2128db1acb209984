/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One snapshot set at a time for all writers but one (enter_set and leave_set): when a session has its turn, and that nothing which
 * lets go is raised outside of it. */
#include "base/par.h"
#include "vss_world.h"

/* Whose turn it is, as a requester keeps it. */
static bool taken; /* by another session */
static int entered, left, brief_ones;
static struct world *the_world;

static int enter_set(void *priv, bool brief, struct err *err)
{
    (void)priv;
    brief_ones += brief;
    if (taken)
        return err_vss(err, VSS_E_SNAPSHOT_SET_IN_PROGRESS, EBUSY, "another has it");
    entered++;
    trace_add(&the_world->trace, "turn", "enter");
    return 0;
}

static void leave_set(void *priv)
{
    (void)priv;
    left++;
    trace_add(&the_world->trace, "turn", "leave");
}

static int turn_setup(void **state)
{
    struct world *w = world_new();
    struct vss_service_config config = {
        .now_ms = world_now,
        .volume_of = world_volume_of,
        .priv = w,
        .log = &w->log_object,
        .enter_set = enter_set,
        .leave_set = leave_set,
        .side_by_side = VM_WRITER_ID,
    };
    struct kvss_provider p = fake_provider_struct();
    struct err err = ERR_INIT;

    vss_service_free(w->service);
    assert_ok(vss_service_new(&config, &w->service, &err));
    assert_ok(vss_register_provider(w->service, &p, &w->provider, &err));
    world_register(w, &w->vm);
    world_register(w, &w->db);
    the_world = w;
    taken = false;
    entered = left = brief_ones = 0;
    *state = w;
    return 0;
}

#define turn_test(f) cmocka_unit_test_setup_teardown(f, turn_setup, world_teardown)

/* Where the line comes in the trace, the first time or the last. */
static int first_of(struct world *w, const char *line)
{
    for (size_t i = 0; i < w->trace.n; i++)
        if (strcmp(w->trace.lines[i], line) == 0)
            return (int)i;
    fail_msg("%s did not come", line);
    return -1;
}

static int last_of(struct world *w, const char *line)
{
    for (size_t i = w->trace.n; i > 0; i--)
        if (strcmp(w->trace.lines[i - 1], line) == 0)
            return (int)i - 1;
    fail_msg("%s did not come", line);
    return -1;
}

static void from_prepare_to_post_snapshot(void **state)
{
    struct world *w = *state;
    struct vss_session *v = session_complete(w);

    assert_int_equal(entered, 1);
    assert_int_equal(left, 1);
    vss_session_release(v);
    assert_int_equal(entered, 1);
    assert_int_equal(left, 1);
    assert_true(first_of(w, "turn:enter") > first_of(w, "db writer:PrepareForBackup"));
    assert_true(first_of(w, "turn:enter") < first_of(w, "db writer:PrepareForSnapshot"));
    assert_true(first_of(w, "turn:enter") < first_of(w, "vm writer:PrepareForSnapshot"));
    assert_true(first_of(w, "turn:leave") > last_of(w, "db writer:PostSnapshot"));
    assert_true(first_of(w, "turn:leave") > last_of(w, "vm writer:PostSnapshot"));
    assert_true(first_of(w, "turn:leave") > last_of(w, "provider:post_final_commit"));
    assert_true(first_of(w, "turn:leave") < first_of(w, "db writer:BackupComplete"));
}

static void refused_when_it_does_not_come(void **state)
{
    struct world *w = *state;
    struct vss_session *v = session_prepared(w);
    struct err err = ERR_INIT;
    size_t before = trace_len(&w->trace);

    taken = true;
    assert_int_equal(vss_do_snapshot_set(v, &err), -EBUSY);
    assert_int_equal(err.hresult, VSS_E_SNAPSHOT_SET_IN_PROGRESS);
    assert_int_equal(trace_len(&w->trace), before); /* nobody was told of anything */
    assert_int_equal(left, 0);                      /* what is another's is not let go */
    err_clear(&err);
    taken = false;
    assert_ok(vss_do_snapshot_set(v, &err)); /* nothing was done, so it may be asked again */
    assert_int_equal(entered, 1);
    assert_int_equal(left, 1);
    assert_int_equal(brief_ones, 0);
    vss_session_release(v);
}

/* Refused, and then aborted as a requester does: who is held for another session does not hear of it. */
static void nothing_of_another_is_let_go(void **state)
{
    struct world *w = *state;
    struct vss_session *v = session_prepared(w);
    struct err err = ERR_INIT;

    taken = true;
    assert_int_equal(vss_do_snapshot_set(v, &err), -EBUSY);
    err_clear(&err);
    assert_ok(vss_abort_backup(v, &err));
    assert_int_equal(brief_ones, 1);
    assert_int_equal(trace_count(&w->trace, "db writer:Abort"), 0);
    assert_int_equal(trace_count(&w->trace, "vm writer:Abort"), 1);
    assert_int_equal(w->provider.aborted, 1);
    vss_session_release(v);
    assert_int_equal(trace_count(&w->trace, "db writer:Abort"), 0);
    assert_int_equal(trace_count(&w->trace, "db writer:Thaw"), 0);
    assert_int_equal(trace_count(&w->trace, "db writer:BackupShutdown"), 1);
    assert_true(w->db.told_failure);
    assert_int_equal(entered + left, 0);
}

/* The same of a session that failed after its turn, while it read. */
static void nor_after_the_turn(void **state)
{
    struct world *w = *state;
    struct vss_session *v = session_snapped(w);
    struct err err = ERR_INIT;

    taken = true;
    assert_ok(vss_abort_backup(v, &err));
    assert_int_equal(trace_count(&w->trace, "db writer:Abort"), 0);
    assert_int_equal(trace_count(&w->trace, "vm writer:Abort"), 1);
    vss_session_release(v);
    assert_int_equal(trace_count(&w->trace, "db writer:BackupShutdown"), 1);
    assert_int_equal(left, 1);
}

static void an_abort_has_a_turn_where_it_comes(void **state)
{
    struct world *w = *state;
    struct vss_session *v = session_snapped(w);
    struct err err = ERR_INIT;

    assert_ok(vss_abort_backup(v, &err));
    assert_int_equal(trace_count(&w->trace, "db writer:Abort"), 1);
    assert_int_equal(brief_ones, 1);
    assert_int_equal(entered, 2);
    assert_int_equal(left, 2);
    assert_true(last_of(w, "turn:enter") < first_of(w, "db writer:Abort"));
    assert_true(last_of(w, "turn:leave") > last_of(w, "db writer:Abort"));
    vss_session_release(v);
}

/* A failure in each event of the set: the turn lasts until Abort has been raised, by the service or by who comes after it. */
static void after_a_failure_until_abort(void **state)
{
    static const char *const at[] = { "PrepareForSnapshot", "Freeze", "Thaw", "PostSnapshot" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(at); i++)
        for (int release = 0; release < 2; release++) {
            void *own = NULL;
            turn_setup(&own);
            struct world *w = own;
            struct err err = ERR_INIT;
            w->db.fail_at = at[i];
            struct vss_session *v = session_prepared(w);
            assert_true(vss_do_snapshot_set(v, &err) < 0);
            assert_int_equal(entered, 1);
            assert_int_equal(left, trace_count(&w->trace, "db writer:Abort"));
            taken = left == 1; /* somebody else's turn at once: a second Abort is not theirs to hear */
            err_clear(&err);
            if (!release)
                assert_ok(vss_abort_backup(v, &err));
            vss_session_release(v);
            assert_int_equal(trace_count(&w->trace, "db writer:Abort"), 1);
            assert_int_equal(entered, 1);
            assert_int_equal(left, 1);
            assert_true(first_of(w, "turn:leave") > last_of(w, "db writer:Abort"));
            world_teardown(&own);
        }
}

static void the_one_beside_needs_no_turn(void **state)
{
    struct world *w = *state;
    struct vss_session *v = session_gathered(w);
    struct err err = ERR_INIT;

    taken = true;
    assert_ok(vss_add_component(v, VM_WRITER_ID, NULL, "web01", &err));
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
    assert_ok(vss_prepare_for_backup(v, &err));
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_ok(vss_abort_backup(v, &err));
    assert_int_equal(trace_count(&w->trace, "vm writer:Abort"), 1);
    assert_int_equal(trace_count(&w->trace, "db writer:PrepareForSnapshot"), 0);
    vss_session_release(v);
    assert_int_equal(entered + left + brief_ones, 0);
}

/* ---- Many sessions at once ------------------------------------------------------------------------------------------------*/

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static int wait_turn(void *priv, bool brief, struct err *err)
{
    (void)priv, (void)brief, (void)err;
    pthread_mutex_lock(&turn);
    return 0;
}

static void end_turn(void *priv)
{
    (void)priv;
    pthread_mutex_unlock(&turn);
}

static int one_backup(void *ctx, size_t i, struct err *err)
{
    struct world *w = ctx;
    struct vss_session *v = NULL;
    int r = vss_session_new(w->service, &v, err);

    (void)i;
    if (r < 0)
        return r;
    if ((r = vss_initialize_for_backup(v, err)) == 0 && (r = vss_gather_writer_metadata(v, err)) == 0 &&
        (r = vss_add_component(v, DB_WRITER_ID, NULL, "orders", err)) == 0 && (r = vss_start_snapshot_set(v, NULL, err)) == 0 &&
        (r = vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, err)) == 0 && (r = vss_prepare_for_backup(v, err)) == 0)
        r = vss_do_snapshot_set(v, err);
    vss_session_release(v);
    return r;
}

static void freeze_and_thaw_alternate(void **state)
{
    struct world *w = *state;
    struct vss_service_config config = {
        .volume_of = world_volume_of,
        .enter_set = wait_turn,
        .leave_set = end_turn,
        .side_by_side = VM_WRITER_ID,
        .log = &w->log_object,
    };
    struct kvss_provider p = fake_provider_struct();
    struct err err = ERR_INIT;
    int held = 0, times = 0;

    vss_service_free(w->service);
    assert_ok(vss_service_new(&config, &w->service, &err));
    assert_ok(vss_register_provider(w->service, &p, &w->provider, &err));
    world_register(w, &w->db);
    assert_ok(par_each(6, 0, one_backup, w, &err));
    for (size_t i = 0; i < w->trace.n; i++) {
        const char *line = w->trace.lines[i];
        if (strcmp(line, "db writer:Freeze") == 0) {
            assert_int_equal(held++, 0);
            times++;
        } else if (strcmp(line, "db writer:Thaw") == 0) {
            assert_int_equal(held--, 1);
        }
    }
    assert_int_equal(times, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        turn_test(from_prepare_to_post_snapshot),      turn_test(refused_when_it_does_not_come),
        turn_test(nothing_of_another_is_let_go),       turn_test(nor_after_the_turn),
        turn_test(an_abort_has_a_turn_where_it_comes), cmocka_unit_test(after_a_failure_until_abort),
        turn_test(the_one_beside_needs_no_turn),       turn_test(freeze_and_thaw_alternate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
