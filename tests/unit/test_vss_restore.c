/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restoring: behaviours 33, 34, 35, 38 and 39, and the restore side of 7. */
#include "vss_world.h"

struct restore {
    struct world *w;
    struct documents d;
};

static int restore_setup(void **state)
{
    struct restore *r = calloc(1, sizeof *r);
    void *world = NULL;

    if (!r || world_setup(&world) < 0)
        return -1;
    r->w = world;
    r->w->vm.stamp = true;
    r->d = documents_of_backup(r->w);
    trace_clear(&r->w->trace);
    trace_clear(&r->w->events);
    *state = r;
    return 0;
}

static int restore_teardown(void **state)
{
    struct restore *r = *state;
    void *world = r->w;

    documents_free(&r->d);
    free(r);
    return world_teardown(&world);
}

#define restore_test(f) cmocka_unit_test_setup_teardown(f, restore_setup, restore_teardown)

/* Up to PreRestore, with these VMs. */
static struct vss_session *pre_restored(struct restore *r, const char *vm, const char *other)
{
    struct vss_session *v = session_restore(r->w, &r->d);
    struct err err = ERR_INIT;

    assert_ok(vss_set_selected_for_restore(v, VM_WRITER_ID, NULL, vm, true, &err));
    if (other)
        assert_ok(vss_set_selected_for_restore(v, VM_WRITER_ID, "", other, true, &err));
    assert_ok(vss_pre_restore(v, &err));
    return v;
}

static void behaviour_33_only_selected_vms_are_removed(void **state)
{
    struct restore *r = *state;
    struct err err = ERR_INIT;
    struct vss_component_state c;
    struct vss_session *v = pre_restored(r, "web01", NULL);

    assert_false(r->w->vm.vms[0].defined);
    assert_int_equal(r->w->vm.vms[0].power, FAKE_OFF);
    assert_true(r->w->vm.vms[1].defined);
    assert_int_equal(r->w->vm.vms[1].power, FAKE_RUNNING);
    assert_int_equal(r->w->vm.vms[1].changes, 2); /* those of the backup */
    assert_ok(vss_get_component_state(v, VM_WRITER_ID, NULL, "web01", &c, &err));
    assert_true(c.selected_for_restore);
    assert_string_equal(c.restore_metadata, "turned off");
    assert_int_equal(c.file_restore_status, VSS_RS_UNDEFINED);
    assert_int_equal(c.restore_target, VSS_RT_ORIGINAL);
    assert_ok(vss_get_component_state(v, VM_WRITER_ID, NULL, "db01", &c, &err));
    assert_false(c.selected_for_restore);
    /* A selection can be taken back, but not any more. */
    assert_fails(EPROTO, vss_set_selected_for_restore(v, VM_WRITER_ID, NULL, "web01", false, &err));
    assert_ok(vss_set_file_restore_status(v, VM_WRITER_ID, NULL, "web01", VSS_RS_ALL, &err));
    assert_ok(vss_post_restore(v, &err));
    vss_session_release(v);
    assert_true(r->w->vm.vms[0].defined && r->w->vm.vms[0].good);
    assert_true(r->w->vm.vms[1].defined && !r->w->vm.vms[1].good);
}

static void behaviour_33_selection_can_be_taken_back(void **state)
{
    struct restore *r = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_restore(r->w, &r->d);

    assert_ok(vss_set_selected_for_restore(v, VM_WRITER_ID, NULL, "web01", true, &err));
    assert_ok(vss_set_selected_for_restore(v, VM_WRITER_ID, NULL, "web01", false, &err));
    assert_ok(vss_pre_restore(v, &err));
    assert_ok(vss_post_restore(v, &err));
    vss_session_release(v);
    assert_int_equal(trace_count(&r->w->trace, "vm writer:PreRestore"), 0);
    assert_true(r->w->vm.vms[0].defined);
}

static void behaviour_33_an_unknown_vm_is_created(void **state)
{
    struct restore *r = *state;
    struct err err = ERR_INIT;

    r->w->vm.vms[0] = r->w->vm.vms[1]; /* web01 is gone from this host */
    r->w->vm.n_vms = 1;
    struct vss_session *v = pre_restored(r, "web01", NULL);
    assert_ok(vss_set_file_restore_status(v, VM_WRITER_ID, NULL, "web01", VSS_RS_ALL, &err));
    assert_ok(vss_post_restore(v, &err));
    assert_int_equal(r->w->vm.n_vms, 2);
    assert_string_equal(r->w->vm.vms[1].name, "web01");
    assert_true(r->w->vm.vms[1].good);
    r->w->vm.vms[1].name = "";
    vss_session_release(v);
}

static void behaviour_34_stored_metadata_governs(void **state)
{
    struct restore *r = *state;
    struct err err = ERR_INIT;

    r->w->vm.volume = "/vol/moved/elsewhere";
    r->w->vm.vms[0].child = false;
    struct vss_session *v = session_restore(r->w, &r->d);
    assert_int_equal(vss_stored_writer_count(v), 2);
    const struct vss_writer_info *stored = vss_stored_writer_get(v, 0), *live = vss_writer_find(v, VM_WRITER_ID);
    assert_string_equal(stored->components[0].files[0].path, "/vol/a/images");
    assert_string_equal(stored->components[0].caption, "Backup Using Child Partition Snapshot\\web01");
    assert_null(stored->components[0].vm_name); /* documents have no place for it */
    assert_string_equal(live->components[0].files[0].path, "/vol/moved/elsewhere");
    /* The writer is handed what it said in the backup. */
    assert_ok(vss_set_selected_for_restore(v, VM_WRITER_ID, NULL, "web01", true, &err));
    assert_ok(vss_pre_restore(v, &err));
    assert_ok(vss_set_file_restore_status(v, VM_WRITER_ID, NULL, "web01", VSS_RS_ALL, &err));
    assert_ok(vss_post_restore(v, &err));
    assert_string_equal(r->w->vm.seen_restore[0], "{\"vm\":\n\t\"<&'>\"}|turned off|");
    vss_session_release(v);
}

static void behaviour_34_writer_that_is_not_running(void **state)
{
    struct restore *r = *state;
    struct err err = ERR_INIT;

    r->w->db.fail_at = "Identify";
    struct vss_session *v = session_restore(r->w, &r->d);
    assert_fails(ENOENT, vss_set_selected_for_restore(v, DB_WRITER_ID, NULL, "orders", true, &err));
    assert_int_equal(err.hresult, VSS_E_OBJECT_NOT_FOUND);
    assert_non_null(strstr(err.text, "not available here"));
    assert_fails(ENOENT, vss_set_selected_for_restore(v, VM_WRITER_ID, NULL, "web99", true, &err));
    assert_int_equal(err.hresult, VSS_E_OBJECT_NOT_FOUND);
    assert_fails(ENOENT, vss_set_selected_for_restore(v, NO_SUCH_ID, NULL, "web01", true, &err));
    /* The other writer's components can be restored all the same. */
    assert_ok(vss_set_selected_for_restore(v, VM_WRITER_ID, NULL, "web01", true, &err));
    vss_session_release(v);
}

static void post_restore_with(struct restore *r, enum vss_file_restore_status status)
{
    struct err err = ERR_INIT;
    struct vss_session *v = pre_restored(r, "web01", "db01");

    assert_ok(vss_set_file_restore_status(v, VM_WRITER_ID, NULL, "web01", VSS_RS_ALL, &err));
    if (status != VSS_RS_UNDEFINED)
        assert_ok(vss_set_file_restore_status(v, VM_WRITER_ID, NULL, "db01", status, &err));
    assert_fails(EIO, vss_post_restore(v, &err));
    assert_non_null(strstr(err.text, "db01"));
    assert_int_equal(r->w->vm.seen_status[0], VSS_RS_ALL);
    assert_int_equal(r->w->vm.seen_status[1], status);
    struct vss_writer_status s = status_of(v, VM_WRITER_ID);
    assert_int_equal(s.state, VSS_WS_FAILED_AT_POST_RESTORE);
    assert_int_equal(s.hresult, VSS_E_WRITERERROR_NONRETRYABLE);
    assert_true(r->w->vm.vms[0].good);
    assert_false(r->w->vm.vms[1].good);
    vss_session_release(v);
}

static void behaviour_35_incomplete_files_fail_post_restore(void **state)
{
    post_restore_with(*state, VSS_RS_NONE);
    post_restore_with(*state, VSS_RS_FAILED);
    post_restore_with(*state, VSS_RS_UNDEFINED);
}

static void behaviour_35_complete_files_are_registered(void **state)
{
    struct restore *r = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = pre_restored(r, "web01", "db01");

    assert_ok(vss_set_file_restore_status(v, VM_WRITER_ID, NULL, "web01", VSS_RS_ALL, &err));
    assert_ok(vss_set_file_restore_status(v, VM_WRITER_ID, NULL, "db01", VSS_RS_ALL, &err));
    assert_ok(vss_post_restore(v, &err));
    assert_int_equal(status_of(v, VM_WRITER_ID).state, VSS_WS_STABLE);
    assert_true(r->w->vm.vms[0].good && r->w->vm.vms[1].good);
    assert_fails(EPROTO, vss_post_restore(v, &err));
    vss_session_release(v);
}

/* The writer does not look, the service does. */
static void behaviour_38_a_status_is_owed_for_every_selected_component(void **state)
{
    struct restore *r = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_restore(r->w, &r->d);

    r->w->db.fail_at = "PostRestore";
    r->w->db.fail_returns = true;
    assert_ok(vss_set_selected_for_restore(v, DB_WRITER_ID, NULL, "orders", true, &err));
    assert_ok(vss_pre_restore(v, &err));
    assert_fails(EINVAL, vss_post_restore(v, &err));
    assert_non_null(strstr(err.text, "'orders'"));
    assert_int_equal(trace_count(&r->w->trace, "db writer:PostRestore"), 1); /* it learns of it all the same */
    vss_session_release(v);
}

static void behaviour_38_statuses_are_checked(void **state)
{
    struct restore *r = *state;
    struct vss_component_state c;
    struct err err = ERR_INIT;
    struct vss_session *v = pre_restored(r, "web01", NULL);

    assert_fails(EINVAL, vss_set_file_restore_status(v, VM_WRITER_ID, NULL, "web01", VSS_RS_UNDEFINED, &err));
    assert_fails(EINVAL, vss_set_file_restore_status(v, VM_WRITER_ID, NULL, "web01", 4, &err));
    assert_fails(EINVAL, vss_set_file_restore_status(v, VM_WRITER_ID, NULL, "db01", VSS_RS_ALL, &err)); /* not selected */
    assert_fails(ENOENT, vss_set_file_restore_status(v, VM_WRITER_ID, NULL, "web99", VSS_RS_ALL, &err));
    assert_ok(vss_set_file_restore_status(v, VM_WRITER_ID, NULL, "web01", VSS_RS_FAILED, &err));
    assert_ok(vss_get_component_state(v, VM_WRITER_ID, NULL, "web01", &c, &err));
    assert_int_equal(c.file_restore_status, VSS_RS_FAILED);
    vss_session_release(v);
}

static void behaviour_39_abort_in_a_restore_is_refused(void **state)
{
    struct restore *r = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = pre_restored(r, "web01", NULL);

    assert_fails(EPROTO, vss_abort_backup(v, &err));
    assert_int_equal(err.hresult, VSS_E_BAD_STATE);
    assert_int_equal(r->w->vm.aborts, 0);
    vss_session_release(v);
    assert_int_equal(r->w->vm.aborts, 0);
    assert_int_equal(trace_count(&r->w->trace, "vm writer:BackupShutdown"), 0);
}

static void behaviour_39_failure_is_told_through_status(void **state)
{
    struct restore *r = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_restore(r->w, &r->d);

    r->w->vm.fail_at = "PreRestore";
    r->w->vm.fail_code = VSS_E_WRITERERROR_RETRYABLE;
    assert_ok(vss_set_selected_for_restore(v, VM_WRITER_ID, NULL, "web01", true, &err));
    assert_ok(vss_set_selected_for_restore(v, DB_WRITER_ID, NULL, "orders", true, &err));
    assert_fails(EAGAIN, vss_pre_restore(v, &err));
    assert_int_equal(status_of(v, VM_WRITER_ID).state, VSS_WS_FAILED_AT_PRE_RESTORE);
    assert_int_equal(status_of(v, DB_WRITER_ID).state, VSS_WS_STABLE);
    /* A requester may go on with the others; PostRestore is still owed to all. */
    assert_ok(vss_set_file_restore_status(v, DB_WRITER_ID, NULL, "orders", VSS_RS_ALL, &err));
    assert_ok(vss_set_file_restore_status(v, VM_WRITER_ID, NULL, "web01", VSS_RS_NONE, &err));
    r->w->vm.fail_at = NULL;
    assert_fails(EIO, vss_post_restore(v, &err));
    assert_int_equal(status_of(v, DB_WRITER_ID).state, VSS_WS_STABLE);
    vss_session_release(v);
}

static void behaviour_07_restore_needs_both_documents(void **state)
{
    struct restore *r = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_begin(r->w);

    assert_fails(EINVAL, vss_initialize_for_restore(v, NULL, &err));
    assert_int_equal(err.hresult, VSS_E_INVALID_XML_DOCUMENT);
    assert_ok(vss_initialize_for_restore(v, r->d.components, &err));
    assert_fails(EINVAL, vss_load_writer_metadata(v, NULL, &err));
    assert_fails(ENOENT, vss_gather_writer_metadata(v, &err));
    assert_ok(vss_load_writer_metadata(v, r->d.vm, &err));
    assert_fails(ENOENT, vss_gather_writer_metadata(v, &err));
    assert_non_null(strstr(err.text, DB_WRITER_ID));
    assert_int_equal(trace_count(&r->w->trace, "vm writer:Identify"), 0);
    assert_fails(EEXIST, vss_load_writer_metadata(v, r->d.vm, &err));
    assert_ok(vss_load_writer_metadata(v, r->d.db, &err));
    assert_ok(vss_gather_writer_metadata(v, &err));
    vss_session_release(v);
}

static void what_is_stored_can_be_listed(void **state)
{
    struct restore *r = *state;
    struct err err = ERR_INIT;
    const char *path = NULL, *name = NULL;
    struct vss_component_state c;
    struct vss_session *v = session_restore(r->w, &r->d);

    assert_int_equal(vss_stored_component_count(v, VM_WRITER_ID), 2);
    assert_int_equal(vss_stored_component_count(v, NO_SUCH_ID), 0);
    assert_ok(vss_stored_component(v, VM_WRITER_ID, 1, &path, &name, &err));
    assert_string_equal(path, "");
    assert_string_equal(name, "db01");
    assert_fails(ENOENT, vss_stored_component(v, VM_WRITER_ID, 2, &path, &name, &err));
    assert_ok(vss_get_component_state(v, VM_WRITER_ID, NULL, "db01", &c, &err));
    assert_true(c.backup_succeeded);
    assert_string_equal(c.backup_stamp, "stamp 1");
    assert_null(vss_stored_writer_get(v, 2));
    vss_session_release(v);
}

static void behaviour_36_a_new_target_reaches_the_writer(void **state)
{
    struct restore *r = *state;
    struct err err = ERR_INIT;
    static const struct kvss_new_target good = { "/vol/a/images", "*.qcow2", false, "/vol/b/other" };
    static const struct kvss_new_target bad[] = {
        { NULL, "*", false, "/x" },
        { "/x", "", false, "/x" },
        { "/x", "*", false, NULL },
        { "/x", "*", false, "\x02" },
    };
    struct vss_session *v = session_restore(r->w, &r->d);

    assert_ok(vss_set_selected_for_restore(v, VM_WRITER_ID, NULL, "web01", true, &err));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_fails(EINVAL, vss_add_new_target(v, VM_WRITER_ID, NULL, "web01", &bad[i], &err));
    assert_ok(vss_add_new_target(v, VM_WRITER_ID, NULL, "web01", &good, &err));
    assert_fails(ENOENT, vss_add_new_target(v, VM_WRITER_ID, NULL, "web99", &good, &err));
    assert_ok(vss_set_restore_options(v, VM_WRITER_ID, NULL, "web01", "keep-off", &err));
    assert_ok(vss_set_additional_restores(v, VM_WRITER_ID, NULL, "web01", false, &err));
    assert_ok(vss_pre_restore(v, &err));
    assert_ok(vss_set_file_restore_status(v, VM_WRITER_ID, NULL, "web01", VSS_RS_ALL, &err));
    assert_ok(vss_post_restore(v, &err));
    assert_non_null(strstr(r->w->vm.seen_restore[0], "|/vol/b/other"));
    vss_session_release(v);
}

/* ---- Subcomponents, alternate locations, restore targets ------------------------------------------------------------------*/

static int identify_set(struct fake_writer *w, struct kvss_metadata *md, struct err *err)
{
    static const struct kvss_md_component list[] = {
        { .type = VSS_CT_DATABASE, .name = "orders", .selectable = true },
        { .type = VSS_CT_DATABASE, .name = "table", .logical_path = "orders", .selectable_for_restore = true },
        { .type = VSS_CT_DATABASE, .name = "index", .logical_path = "orders" },
    };

    (void)w;
    kvss_md_set_restore_method(md, VSS_RME_RESTORE_TO_ALTERNATE_LOCATION, "orders.service", VSS_WRE_ALWAYS, true, err);
    kvss_md_add_alternate_location(md, "/vol/a/db", "*.db", true, "/vol/a/other", err);
    for (size_t i = 0; i < ARRAY_SIZE(list); i++)
        if (kvss_md_add_component(md, &list[i], err) < 0)
            return -EINVAL;
    return 0;
}

static bool choose_target(void *priv, struct kvss_event *ev)
{
    struct fake_writer *w = priv;
    struct err err = ERR_INIT;
    struct kvss_component *c = kvss_event_component(ev, 0);

    trace_add(w->trace, w->name, "PreRestore");
    return kvss_component_set_restore_target(c, 9, &err) == -EINVAL &&
           kvss_component_set_pre_restore_failure(c, "nothing bad", &err) == 0 &&
           kvss_component_set_restore_target(c, VSS_RT_ALTERNATE, &err) == 0;
}

static bool too_late_for_a_target(void *priv, struct kvss_event *ev)
{
    struct err err = ERR_INIT;
    struct kvss_component *c = kvss_event_component(ev, 0);

    (void)priv;
    return kvss_component_set_restore_target(c, VSS_RT_ORIGINAL, &err) == -EPROTO &&
           kvss_component_set_post_restore_failure(c, "a little", &err) == 0;
}

static void targets_mappings_and_subcomponents(void **state)
{
    struct restore *r = *state;
    struct world *w = r->w;
    struct vss_component_state c;
    struct err err = ERR_INIT;
    struct kvss_writer s = fake_writer_struct(&w->other);
    struct vss_alternate_location used = { "/vol/a/db", "*.db", "/vol/a/other", true };
    char *bcd = NULL, *wmd = NULL;

    /* A backup of this writer alone. */
    s.pre_restore = choose_target;
    s.post_restore = too_late_for_a_target;
    w->other.identify = identify_set;
    w->db.fail_at = "Identify"; /* it has a component "orders" too */
    assert_ok(vss_register_writer(w->service, &s, &w->other, &err));
    struct vss_session *v = session_gathered(w);
    assert_ok(vss_add_component(v, LOG_WRITER_ID, NULL, "orders", &err));
    assert_ok(vss_prepare_for_backup(v, &err));
    assert_ok(vss_backup_complete(v, &err));
    assert_ok(vss_save_as_xml(v, &bcd, &err));
    assert_ok(vss_writer_metadata_xml(v, 1, &wmd, &err));
    vss_session_release(v);

    v = session_begin(w);
    assert_ok(vss_initialize_for_restore(v, bcd, &err));
    assert_ok(vss_load_writer_metadata(v, wmd, &err));
    assert_ok(vss_gather_writer_metadata(v, &err));
    assert_ok(vss_set_selected_for_restore(v, LOG_WRITER_ID, NULL, "orders", true, &err));
    assert_ok(vss_add_restore_subcomponent(v, LOG_WRITER_ID, NULL, "orders", "orders", "table", &err));
    assert_fails(EEXIST, vss_add_restore_subcomponent(v, LOG_WRITER_ID, NULL, "orders", "orders", "table", &err));
    assert_fails(EINVAL, vss_add_restore_subcomponent(v, LOG_WRITER_ID, NULL, "orders", "orders", "index", &err));
    assert_fails(ENOENT, vss_add_restore_subcomponent(v, LOG_WRITER_ID, NULL, "orders", NULL, "orders", &err));
    assert_ok(vss_pre_restore(v, &err));
    assert_ok(vss_get_component_state(v, LOG_WRITER_ID, NULL, "orders", &c, &err));
    assert_int_equal(c.restore_target, VSS_RT_ALTERNATE);
    assert_string_equal(c.pre_restore_failure, "nothing bad");
    assert_ok(vss_add_alternative_location_mapping(v, LOG_WRITER_ID, NULL, "orders", &used, &err));
    used.recursive = false;
    assert_fails(ENOENT, vss_add_alternative_location_mapping(v, LOG_WRITER_ID, NULL, "orders", &used, &err));
    used.path = NULL;
    assert_fails(ENOENT, vss_add_alternative_location_mapping(v, LOG_WRITER_ID, NULL, "orders", &used, &err));
    assert_ok(vss_set_file_restore_status(v, LOG_WRITER_ID, NULL, "orders", VSS_RS_ALL, &err));
    assert_ok(vss_post_restore(v, &err));
    assert_ok(vss_get_component_state(v, LOG_WRITER_ID, NULL, "orders", &c, &err));
    assert_string_equal(c.post_restore_failure, "a little");
    vss_session_release(v);
    free(bcd);
    free(wmd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        restore_test(behaviour_33_only_selected_vms_are_removed),
        restore_test(behaviour_33_selection_can_be_taken_back),
        restore_test(behaviour_33_an_unknown_vm_is_created),
        restore_test(behaviour_34_stored_metadata_governs),
        restore_test(behaviour_34_writer_that_is_not_running),
        restore_test(behaviour_35_incomplete_files_fail_post_restore),
        restore_test(behaviour_35_complete_files_are_registered),
        restore_test(behaviour_38_a_status_is_owed_for_every_selected_component),
        restore_test(behaviour_38_statuses_are_checked),
        restore_test(behaviour_39_abort_in_a_restore_is_refused),
        restore_test(behaviour_39_failure_is_told_through_status),
        restore_test(behaviour_07_restore_needs_both_documents),
        restore_test(what_is_stored_can_be_listed),
        restore_test(behaviour_36_a_new_target_reaches_the_writer),
        restore_test(targets_mappings_and_subcomponents),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
