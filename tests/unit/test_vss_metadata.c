/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What writers say in Identify, and what is selected of it: behaviours 1 to 6 and 8. */
#include "vss/metadata.h"
#include "vss_world.h"

/* ---- Identify -------------------------------------------------------------------------------------------------------------*/

static void behaviour_01_identify_twice_is_byte_equal(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    char *first = NULL, *second = NULL;
    struct vss_session *a = session_gathered(w), *b = session_gathered(w);

    assert_ok(vss_writer_metadata_xml(a, 0, &first, &err));
    assert_ok(vss_writer_metadata_xml(b, 0, &second, &err));
    assert_string_equal(first, second);
    assert_int_equal(w->vm.vms[0].changes + w->vm.vms[1].changes, 0);
    assert_int_equal(status_of(a, VM_WRITER_ID).state, VSS_WS_STABLE);
    free(first);
    free(second);
    vss_session_release(a);
    vss_session_release(b);
}

static void behaviour_02_a_component_per_vm(void **state)
{
    struct world *w = *state;
    struct vss_session *v = session_gathered(w);
    const struct vss_writer_info *info = vss_writer_find(v, VM_WRITER_ID);

    assert_int_equal(info->n_components, 2);
    assert_int_equal(info->restore_method, VSS_RME_CUSTOM);
    assert_int_equal(info->writer_restore, VSS_WRE_ALWAYS);
    const struct vss_component_info *c = &info->components[0];
    assert_string_equal(c->name, "web01");
    assert_string_equal(c->logical_path, "");
    assert_string_equal(c->caption, "Backup Using Child Partition Snapshot\\web01");
    assert_string_equal(info->components[1].caption, "Backup Using Saved State\\db01");
    assert_string_equal(info->components[1].vm_name, "db01"); /* not to be had from a caption */
    assert_int_equal(c->type, VSS_CT_FILEGROUP);
    assert_true(c->selectable && c->selectable_for_restore && c->restore_metadata && c->notify_on_backup_complete);
    assert_int_equal(c->flags, VSS_CF_BACKUP_RECOVERY);
    assert_int_equal(c->n_files, 1);
    assert_string_equal(c->files[0].path, "/vol/a/images");
    assert_string_equal(c->files[0].filespec, "*.qcow2");
    assert_int_equal(c->files[0].backup_type_mask, VSS_FSBT_DEFAULT);
    vss_session_release(v);
}

static void behaviour_02_later_changes_do_not_show(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    char *before = NULL, *after = NULL;
    struct vss_session *v = session_gathered(w);

    assert_ok(vss_writer_metadata_xml(v, 0, &before, &err));
    w->vm.vms[2] = (struct fake_vm){ .name = "new01" };
    w->vm.n_vms = 3;
    w->vm.vms[0].child = false;
    assert_ok(vss_writer_metadata_xml(v, 0, &after, &err));
    assert_string_equal(before, after);
    assert_fails(ENOENT, vss_add_component(v, VM_WRITER_ID, NULL, "new01", &err));
    struct vss_session *later = session_gathered(w);
    assert_int_equal(vss_writer_find(later, VM_WRITER_ID)->n_components, 3);
    vss_session_release(later);
    vss_session_release(v);
    free(before);
    free(after);
}

static int identify_same_name_twice(struct fake_writer *w, struct kvss_metadata *md, struct err *err)
{
    struct kvss_md_component c = { .type = VSS_CT_FILEGROUP, .name = "twice", .logical_path = "a\\b" };

    (void)w;
    assert_int_equal(kvss_md_set_restore_method(md, VSS_RME_CUSTOM, NULL, VSS_WRE_NEVER, false, err), 0);
    assert_int_equal(kvss_md_add_component(md, &c, err), 0);
    c.logical_path = "a";
    assert_int_equal(kvss_md_add_component(md, &c, err), 0);
    c.logical_path = "a\\b";
    assert_int_equal(kvss_md_add_component(md, &c, err), -EEXIST);
    return 0;
}

static int identify_web01(struct fake_writer *w, struct kvss_metadata *md, struct err *err)
{
    struct kvss_md_component c = { .type = VSS_CT_FILEGROUP, .name = "web01" };

    (void)w;
    kvss_md_set_restore_method(md, VSS_RME_CUSTOM, NULL, VSS_WRE_NEVER, false, err);
    return kvss_md_add_component(md, &c, err);
}

static void behaviour_02_names_are_unique(void **state)
{
    struct world *w = *state;

    w->db.identify = identify_same_name_twice;
    struct vss_session *v = session_gathered(w);
    assert_int_equal(vss_writer_find(v, DB_WRITER_ID)->n_components, 2);
    vss_session_release(v);
    /* Among all writers: who comes second with a name is left out, and said why. */
    w->db.identify = identify_web01;
    v = session_gathered(w);
    assert_null(vss_writer_find(v, DB_WRITER_ID));
    assert_int_equal(vss_left_out_count(v), 1);
    assert_non_null(strstr(vss_left_out_get(v, 0).text, "'web01' already belongs to writer 'vm writer'"));
    assert_int_equal(w->log.n, 1);
    vss_session_release(v);
}

static int identify_without_method(struct fake_writer *w, struct kvss_metadata *md, struct err *err)
{
    struct kvss_md_component c = { .type = VSS_CT_FILEGROUP, .name = "x" };

    (void)w;
    return kvss_md_add_component(md, &c, err);
}

static void a_writer_without_restore_method_is_left_out(void **state)
{
    struct world *w = *state;

    w->db.identify = identify_without_method;
    struct vss_session *v = session_gathered(w);
    assert_null(vss_writer_find(v, DB_WRITER_ID));
    assert_non_null(strstr(vss_left_out_get(v, 0).text, "restore method"));
    vss_session_release(v);
}

static void behaviour_03_identity(void **state)
{
    struct world *w = *state;
    struct vss_session *v = session_gathered(w);
    const struct vss_writer_info *info = vss_writer_get(v, 0);
    _cleanup_free_ char *first = strdup(info->instance_id);

    assert_string_equal(info->name, "vm writer");
    assert_string_equal(info->id, VM_WRITER_ID);
    assert_int_equal(strlen(first), 36);
    vss_session_release(v);
    /* Another start of the service: same class, other instance. */
    world_limits(w, 0, 0, false);
    v = session_gathered(w);
    assert_string_equal(vss_writer_get(v, 0)->id, VM_WRITER_ID);
    assert_string_not_equal(vss_writer_get(v, 0)->instance_id, first);
    vss_session_release(v);
}

/* ---- Bounds of what a writer may say --------------------------------------------------------------------------------------*/

static struct kvss_metadata *metadata_begin(void)
{
    struct kvss_metadata *md = NULL;
    struct err err = ERR_INIT;

    assert_ok(metadata_new("w", VM_WRITER_ID, DB_WRITER_ID, VSS_UT_USERDATA, VSS_ST_OTHER, &md, &err));
    return md;
}

static void identity_is_checked(void **state)
{
    struct kvss_metadata *md = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_fails(EINVAL, metadata_new("", VM_WRITER_ID, DB_WRITER_ID, VSS_UT_USERDATA, VSS_ST_OTHER, &md, &err));
    assert_fails(EINVAL, metadata_new("w", "66841cd4", DB_WRITER_ID, VSS_UT_USERDATA, VSS_ST_OTHER, &md, &err));
    assert_fails(EINVAL, metadata_new("w", VM_WRITER_ID, NULL, VSS_UT_USERDATA, VSS_ST_OTHER, &md, &err));
    assert_fails(EINVAL, metadata_new("w", VM_WRITER_ID, DB_WRITER_ID, 9, VSS_ST_OTHER, &md, &err));
    assert_fails(EINVAL, metadata_new("w", VM_WRITER_ID, DB_WRITER_ID, VSS_UT_USERDATA, 0, &md, &err));
    assert_fails(EINVAL, metadata_new("bad\x01name", VM_WRITER_ID, DB_WRITER_ID, VSS_UT_USERDATA, VSS_ST_OTHER, &md, &err));
    assert_null(md);
}

static void components_are_checked(void **state)
{
    struct err err = ERR_INIT;
    char long_name[1026];
    struct kvss_metadata *md = metadata_begin();
    static const struct kvss_md_component bad[] = {
        { .type = VSS_CT_FILEGROUP },
        { .type = VSS_CT_FILEGROUP, .name = "" },
        { .type = VSS_CT_FILEGROUP, .name = "a\\b" },
        { .type = VSS_CT_UNDEFINED, .name = "a" },
        { .type = 3, .name = "a" },
        { .type = VSS_CT_FILEGROUP, .name = "a", .logical_path = "\\x" },
        { .type = VSS_CT_FILEGROUP, .name = "a", .logical_path = "x\\" },
        { .type = VSS_CT_FILEGROUP, .name = "a", .logical_path = "x\\\\y" },
        { .type = VSS_CT_FILEGROUP, .name = "a", .flags = 0x8 },
        { .type = VSS_CT_FILEGROUP, .name = "a\xff" },
        { .type = VSS_CT_FILEGROUP, .name = "a\xc0\x80" },     /* zero, in two bytes */
        { .type = VSS_CT_FILEGROUP, .name = "a\xe0\x84\x80" }, /* two bytes' worth in three */
        { .type = VSS_CT_FILEGROUP, .name = "a\xed\xa0\x80" }, /* half of a surrogate pair */
        { .type = VSS_CT_FILEGROUP, .name = "a\xef\xbf\xbe" }, /* no character */
        { .type = VSS_CT_FILEGROUP, .name = "a\xe2\x82" },     /* cut short */
        { .type = VSS_CT_FILEGROUP, .name = "a", .caption = "\x1b[0m" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_fails(EINVAL, kvss_md_add_component(md, &bad[i], &err));
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    struct kvss_md_component c = { .type = VSS_CT_FILEGROUP, .name = long_name };
    assert_fails(EINVAL, kvss_md_add_component(md, &c, &err));
    c.name = long_name + 1;
    assert_ok(kvss_md_add_component(md, &c, &err));
    c.name = "Gr\xc3\xb6\xc3\x9f"
             "e \xf0\x9f\x92\xbe"; /* two and four bytes */
    assert_ok(kvss_md_add_component(md, &c, &err));
    assert_int_equal(md->info.n_components, 2);
    metadata_free(md);
}

static void there_is_an_end_to_components(void **state)
{
    struct err err = ERR_INIT;
    struct kvss_metadata *md = metadata_begin();
    char name[16];

    (void)state;
    for (int i = 0; i < 8192; i++) {
        snprintf(name, sizeof name, "c%d", i);
        struct kvss_md_component c = { .type = VSS_CT_FILEGROUP, .name = name };
        assert_ok(kvss_md_add_component(md, &c, &err));
    }
    struct kvss_md_component c = { .type = VSS_CT_FILEGROUP, .name = "one more" };
    assert_fails(E2BIG, kvss_md_add_component(md, &c, &err));
    metadata_free(md);
}

static void files_are_checked(void **state)
{
    struct err err = ERR_INIT;
    struct kvss_metadata *md = metadata_begin();
    struct kvss_md_component group = { .type = VSS_CT_FILEGROUP, .name = "g" }, db = { .type = VSS_CT_DATABASE, .name = "d" };
    static const struct kvss_md_files bad[] = {
        { .path = "", .filespec = "*" },
        { .path = "/x", .filespec = NULL },
        { .path = "/x", .filespec = "a/b" },
        { .path = "/x", .filespec = "*", .kind = KVSS_FILES_DATABASE },
        { .path = "/x", .filespec = "*", .kind = 7 },
        { .path = "/x", .filespec = "*", .backup_type_mask = 0x10 },
        { .path = "/x", .filespec = "*", .alternate_path = "" },
        { .path = "/x", .filespec = "*", .vm_disk = "" },
        { .path = "/x", .filespec = "*", .alternate_path = "/y", .vm_disk = "" },
    };
    struct kvss_md_files f = { .path = "/x", .filespec = "*", .kind = KVSS_FILES_DATABASE_LOG };

    (void)state;
    assert_ok(kvss_md_add_component(md, &group, &err));
    assert_ok(kvss_md_add_component(md, &db, &err));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_fails(EINVAL, kvss_md_add_files(md, "", "g", &bad[i], &err));
    assert_fails(ENOENT, kvss_md_add_files(md, "", "nobody", &f, &err));
    assert_ok(kvss_md_add_files(md, "", "d", &f, &err));
    f.alternate_path = "/y";
    assert_fails(EINVAL, kvss_md_add_files(md, "", "d", &f, &err));
    assert_fails(EINVAL, kvss_md_set_restore_method(md, VSS_RME_UNDEFINED, NULL, VSS_WRE_NEVER, false, &err));
    assert_fails(EINVAL, kvss_md_set_restore_method(md, VSS_RME_CUSTOM, NULL, 9, false, &err));
    assert_fails(EINVAL, kvss_md_set_backup_schema(md, 0x80000000u, &err));
    assert_fails(EINVAL, kvss_md_add_exclude(md, "/x", "", false, &err));
    assert_fails(EINVAL, kvss_md_add_alternate_location(md, "/x", "*", false, "", &err));
    assert_fails(EINVAL, kvss_md_add_dependency(md, NULL, "g", VM_WRITER_ID, NULL, "d", &err)); /* on itself */
    assert_fails(EINVAL, kvss_md_add_dependency(md, NULL, "g", "x", NULL, "d", &err));
    assert_ok(kvss_md_add_dependency(md, NULL, "g", DB_WRITER_ID, "\\\\far\\path", "d", &err));
    metadata_free(md);
}

static void writers_are_checked_when_registered(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct kvss_writer good = fake_writer_struct(&w->other), bad;

    bad = good, bad.api = 2;
    assert_fails(EINVAL, vss_register_writer(w->service, &bad, w, &err));
    bad = good, bad.struct_size = 16;
    assert_fails(EINVAL, vss_register_writer(w->service, &bad, w, &err));
    bad = good, bad.id = "x";
    assert_fails(EINVAL, vss_register_writer(w->service, &bad, w, &err));
    bad = good, bad.name = NULL;
    assert_fails(EINVAL, vss_register_writer(w->service, &bad, w, &err));
    bad = good, bad.usage = 0;
    assert_fails(EINVAL, vss_register_writer(w->service, &bad, w, &err));
    bad = good, bad.identify = NULL;
    assert_fails(EINVAL, vss_register_writer(w->service, &bad, w, &err));
    assert_non_null(strstr(err.text, "identify"));
    bad = good, bad.prepare_snapshot = NULL;
    assert_fails(EINVAL, vss_register_writer(w->service, &bad, w, &err));
    bad = good, bad.freeze = NULL;
    assert_fails(EINVAL, vss_register_writer(w->service, &bad, w, &err));
    bad = good, bad.thaw = NULL;
    assert_fails(EINVAL, vss_register_writer(w->service, &bad, w, &err));
    bad = good, bad.abort = NULL;
    assert_fails(EINVAL, vss_register_writer(w->service, &bad, w, &err));
    bad = good, bad.id = "{66841CD4-6DED-4F4B-8F17-FD23F8DDC3DE}";
    assert_fails(EEXIST, vss_register_writer(w->service, &bad, w, &err));
    /* A struct of a later version, with more behind it. */
    good.struct_size += 64;
    assert_ok(vss_register_writer(w->service, &good, &w->other, &err));
    struct vss_session *v = session_gathered(w);
    assert_int_equal(vss_writer_count(v), 3);
    vss_session_release(v);
}

static void unset_handlers_have_the_default(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct kvss_writer s = fake_writer_struct(&w->other);

    s.prepare_backup = s.post_snapshot = s.backup_complete = s.backup_shutdown = s.pre_restore = s.post_restore = NULL;
    assert_ok(vss_register_writer(w->service, &s, &w->other, &err));
    struct vss_session *v = session_gathered(w);
    assert_ok(vss_add_component(v, LOG_WRITER_ID, NULL, "audit", &err));
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
    assert_ok(vss_prepare_for_backup(v, &err));
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_int_equal(status_of(v, LOG_WRITER_ID).state, VSS_WS_WAITING_FOR_BACKUP_COMPLETE);
    assert_ok(vss_backup_complete(v, &err));
    vss_session_release(v);
}

static void providers_are_checked_when_registered(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct kvss_provider good = fake_provider_struct(), bad;

    assert_fails(EEXIST, vss_register_provider(w->service, &good, w, &err));
    assert_int_equal(err.hresult, VSS_E_PROVIDER_ALREADY_REGISTERED);
    good.id = SLOW_ID;
    bad = good, bad.commit = NULL;
    assert_fails(EINVAL, vss_register_provider(w->service, &bad, w, &err));
    bad = good, bad.abort_snapshots = NULL;
    assert_fails(EINVAL, vss_register_provider(w->service, &bad, w, &err));
    bad = good, bad.delete_snapshots = NULL;
    assert_fails(EINVAL, vss_register_provider(w->service, &bad, w, &err));
    bad = good, bad.begin_prepare = NULL;
    assert_fails(EINVAL, vss_register_provider(w->service, &bad, w, &err));
    bad = good, bad.is_volume_supported = NULL;
    assert_fails(EINVAL, vss_register_provider(w->service, &bad, w, &err));
    bad = good, bad.struct_size--;
    assert_fails(EINVAL, vss_register_provider(w->service, &bad, w, &err));
    assert_int_equal(vss_provider_count(w->service), 1);
    assert_ok(vss_register_provider(w->service, &good, &w->provider, &err));
    assert_string_equal(vss_provider_get(w->service, 1).id, SLOW_ID);
    assert_int_equal(vss_provider_get(w->service, 1).type, KVSS_PROV_SOFTWARE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(behaviour_01_identify_twice_is_byte_equal),
        world_test(behaviour_02_a_component_per_vm),
        world_test(behaviour_02_later_changes_do_not_show),
        world_test(behaviour_02_names_are_unique),
        world_test(a_writer_without_restore_method_is_left_out),
        world_test(behaviour_03_identity),
        cmocka_unit_test(identity_is_checked),
        cmocka_unit_test(components_are_checked),
        cmocka_unit_test(there_is_an_end_to_components),
        cmocka_unit_test(files_are_checked),
        world_test(writers_are_checked_when_registered),
        world_test(unset_handlers_have_the_default),
        world_test(providers_are_checked_when_registered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
