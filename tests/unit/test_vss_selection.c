/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Selecting components, volumes, backup types and files: behaviours 4, 5, 6 and 8. */
#include "base/strv.h"
#include "vss/metadata.h"
#include "vss_world.h"
#include <dirent.h>
#include <sys/stat.h>

/* A writer with a tree: "sys" is required; "app" is selectable, with "app\data" (not selectable) and "app\logs" (selectable)
 * below it; "free" is selectable and depends on the VM web01. */
static int identify_tree(struct fake_writer *w, struct kvss_metadata *md, struct err *err)
{
    static const struct kvss_md_component list[] = {
        { .type = VSS_CT_FILEGROUP, .name = "sys" },
        { .type = VSS_CT_FILEGROUP, .name = "app", .selectable = true, .selectable_for_restore = true },
        { .type = VSS_CT_FILEGROUP, .name = "data", .logical_path = "app", .selectable_for_restore = true },
        { .type = VSS_CT_FILEGROUP, .name = "logs", .logical_path = "app", .selectable = true },
        { .type = VSS_CT_FILEGROUP, .name = "appendix", .selectable = true },
        { .type = VSS_CT_FILEGROUP, .name = "free", .selectable = true },
    };
    struct kvss_md_files f = { .path = w->volume, .filespec = "*" };

    if (kvss_md_set_restore_method(md, VSS_RME_CUSTOM, NULL, VSS_WRE_NEVER, false, err) < 0)
        return -EINVAL;
    for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
        if (kvss_md_add_component(md, &list[i], err) < 0)
            return -EINVAL;
        if (i < 2 && kvss_md_add_files(md, NULL, list[i].name, &f, err) < 0)
            return -EINVAL;
    }
    f.path = "/vol/logs/app";
    if (kvss_md_add_files(md, "app", "logs", &f, err) < 0)
        return -EINVAL;
    return kvss_md_add_dependency(md, NULL, "free", VM_WRITER_ID, NULL, "web01", err);
}

static struct vss_session *gathered_tree(struct world *w)
{
    w->db.identify = identify_tree;
    return session_gathered(w);
}

static void behaviour_05_unknown_writers_and_components_are_refused(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_gathered(w);

    assert_fails(ENOENT, vss_add_component(v, NO_SUCH_ID, NULL, "web01", &err));
    assert_int_equal(err.hresult, VSS_E_OBJECT_NOT_FOUND);
    assert_fails(ENOENT, vss_add_component(v, VM_WRITER_ID, NULL, "web99", &err));
    assert_int_equal(err.hresult, VSS_E_OBJECT_NOT_FOUND);
    assert_fails(ENOENT, vss_add_component(v, VM_WRITER_ID, "path", "web01", &err));
    assert_fails(ENOENT, vss_add_component(v, VM_WRITER_ID, NULL, NULL, &err));
    assert_fails(ENOENT, vss_set_backup_options(v, VM_WRITER_ID, NULL, "web01", "x", &err));
    assert_ok(vss_add_component(v, VM_WRITER_ID, NULL, "web01", &err));
    assert_fails(EEXIST, vss_add_component(v, VM_WRITER_ID, NULL, "web01", &err));
    assert_int_equal(err.hresult, VSS_E_OBJECT_ALREADY_EXISTS);
    vss_session_release(v);
}

static void behaviour_05_a_writer_without_component_is_shut_out(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_gathered(w);

    assert_ok(vss_add_component(v, VM_WRITER_ID, NULL, "web01", &err));
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
    assert_ok(vss_prepare_for_backup(v, &err));
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_ok(vss_abort_backup(v, &err));
    assert_int_equal(status_of(v, DB_WRITER_ID).state, VSS_WS_STABLE);
    vss_session_release(v);
    for (size_t i = 0; i < w->trace.n; i++)
        if (strncmp(w->trace.lines[i], "db writer:", 10) == 0)
            assert_string_equal(w->trace.lines[i], "db writer:Identify");
    /* Of the VM writer only the chosen VM is touched. */
    assert_int_equal(w->vm.vms[1].changes, 0);
}

static void behaviour_06_required_components_are_enforced(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = gathered_tree(w);
    const struct vss_writer_info *info = vss_writer_find(v, DB_WRITER_ID);

    assert_true(vss_component_is_required(info, 0));
    assert_false(vss_component_is_required(info, 1));
    assert_false(vss_component_is_required(info, 2)); /* comes with app */
    assert_ok(vss_add_component(v, DB_WRITER_ID, NULL, "app", &err));
    assert_fails(EINVAL, vss_prepare_for_backup(v, &err));
    assert_non_null(strstr(err.text, "'sys'"));
    assert_non_null(strstr(err.text, "required"));
    /* Nothing was sent; with the component it goes on. */
    assert_int_equal(trace_count(&w->trace, "db writer:PrepareForBackup"), 0);
    assert_ok(vss_add_component(v, DB_WRITER_ID, NULL, "sys", &err));
    assert_ok(vss_prepare_for_backup(v, &err));
    vss_session_release(v);
}

static void component_sets_are_all_or_nothing(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = gathered_tree(w);
    const struct vss_writer_info *info = vss_writer_find(v, DB_WRITER_ID);

    assert_true(vss_component_in_set(info, 1, 1) && vss_component_in_set(info, 1, 2) && vss_component_in_set(info, 1, 3));
    assert_false(vss_component_in_set(info, 1, 4)); /* "appendix" only begins alike */
    assert_false(vss_component_in_set(info, 2, 1));
    assert_fails(EINVAL, vss_add_component(v, DB_WRITER_ID, "app", "data", &err)); /* never by itself */
    assert_ok(vss_add_component(v, DB_WRITER_ID, NULL, "app", &err));
    assert_fails(EEXIST, vss_add_component(v, DB_WRITER_ID, "app", "logs", &err)); /* is in already */
    vss_session_release(v);
    v = gathered_tree(w);
    assert_ok(vss_add_component(v, DB_WRITER_ID, "app", "logs", &err)); /* alone it may */
    assert_fails(EEXIST, vss_add_component(v, DB_WRITER_ID, NULL, "app", &err));
    vss_session_release(v);
}

static void dependencies_are_enforced(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = gathered_tree(w);

    assert_ok(vss_add_component(v, DB_WRITER_ID, NULL, "sys", &err));
    assert_ok(vss_add_component(v, DB_WRITER_ID, NULL, "free", &err));
    assert_fails(ENOENT, vss_prepare_for_backup(v, &err));
    assert_non_null(strstr(err.text, "depends on component 'web01'"));
    assert_ok(vss_add_component(v, VM_WRITER_ID, NULL, "web01", &err));
    assert_ok(vss_prepare_for_backup(v, &err));
    vss_session_release(v);
}

static void behaviour_06_missing_volume_is_inconsistent(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = gathered_tree(w);

    /* The logs of app, which came in by itself, are on a volume of their own. */
    assert_ok(vss_add_component(v, DB_WRITER_ID, NULL, "sys", &err));
    assert_ok(vss_add_component(v, DB_WRITER_ID, NULL, "app", &err));
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
    assert_ok(vss_prepare_for_backup(v, &err));
    assert_fails(EINVAL, vss_do_snapshot_set(v, &err));
    assert_int_equal(err.hresult, VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT);
    assert_non_null(strstr(err.text, "'logs'"));
    assert_non_null(strstr(err.text, "'/vol/logs'"));
    struct vss_writer_status s = status_of(v, DB_WRITER_ID);
    assert_int_equal(s.hresult, VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT);
    assert_int_equal(s.state, VSS_WS_FAILED_AT_PREPARE_SNAPSHOT);
    assert_int_equal(trace_count(&w->trace, "db writer:PrepareForSnapshot"), 0);
    vss_session_release(v);
    assert_int_equal(w->provider.copies, 0);
}

static void volumes_of_the_set(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    struct vss_session *v = session_gathered(w);
    const char *id = NULL;
    bool yes = false;

    assert_ok(vss_is_volume_supported(v, NULL, "/vol/a", &yes, &err));
    assert_true(yes);
    assert_ok(vss_is_volume_supported(v, PROVIDER_ID, "/unsupported/x", &yes, &err));
    assert_false(yes);
    assert_fails(ENOENT, vss_is_volume_supported(v, NO_SUCH_ID, "/vol/a", &yes, &err));
    assert_int_equal(err.hresult, VSS_E_PROVIDER_NOT_REGISTERED);
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_fails(EOPNOTSUPP, vss_add_to_snapshot_set(v, "/unsupported/x", NULL, NULL, &err));
    assert_int_equal(err.hresult, VSS_E_VOLUME_NOT_SUPPORTED);
    assert_fails(EINVAL, vss_add_to_snapshot_set(v, "", NULL, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, &id, &err));
    assert_int_equal(strlen(id), 36);
    assert_fails(EEXIST, vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
    assert_int_equal(err.hresult, VSS_E_OBJECT_ALREADY_EXISTS);
    /* A provider that refuses leaves no trace in the set. */
    w->provider.fail_at = "begin_prepare";
    assert_fails(EIO, vss_add_to_snapshot_set(v, "/vol/b", NULL, NULL, &err));
    assert_int_equal(err.hresult, VSS_E_PROVIDER_VETO);
    w->provider.fail_code = VSS_E_INSUFFICIENT_STORAGE;
    assert_fails(ENOSPC, vss_add_to_snapshot_set(v, "/vol/b", NULL, NULL, &err));
    assert_int_equal(err.hresult, VSS_E_INSUFFICIENT_STORAGE);
    w->provider.fail_at = NULL;
    assert_int_equal(vss_snapshot_count(v), 1);
    vss_session_release(v);
}

static void behaviour_08_unsupported_type_falls_back_to_full(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    char *xml = NULL;

    w->vm.schema = VSS_BS_INCREMENTAL | VSS_BS_COPY;
    struct vss_session *v = session_begin(w);
    assert_ok(vss_initialize_for_backup(v, &err));
    assert_ok(vss_set_backup_state(v, true, false, VSS_BT_INCREMENTAL, false, &err));
    assert_ok(vss_gather_writer_metadata(v, &err));
    assert_int_equal(vss_writer_backup_type(v, VM_WRITER_ID), VSS_BT_INCREMENTAL);
    assert_int_equal(vss_writer_backup_type(v, DB_WRITER_ID), VSS_BT_FULL);
    assert_int_equal(vss_writer_backup_type(v, NO_SUCH_ID), VSS_BT_UNDEFINED);
    assert_ok(vss_add_component(v, VM_WRITER_ID, NULL, "web01", &err));
    assert_ok(vss_add_component(v, DB_WRITER_ID, NULL, "orders", &err));
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
    assert_ok(vss_prepare_for_backup(v, &err));
    assert_int_equal(w->vm.type, VSS_BT_INCREMENTAL);
    assert_int_equal(w->db.type, VSS_BT_FULL);
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_ok(vss_save_as_xml(v, &xml, &err));
    assert_non_null(strstr(xml, "backupType=\"incremental\" partialFileSupport"));
    assert_non_null(strstr(strstr(xml, DB_WRITER_ID), "backupType=\"full\""));
    free(xml);
    assert_int_equal(w->log.n, 1);
    assert_non_null(strstr(w->log.lines[0], "writer db writer does not support incremental backups"));
    vss_session_release(v);
}

/* ---- Files ----------------------------------------------------------------------------------------------------------------*/

static int list_dir(void *priv, const char *path, int (*entry)(void *arg, const char *name, bool is_folder), void *arg, struct err *err)
{
    _cleanup_free_ char *full = str_format("%s%s", (const char *)priv, path);
    _cleanup_closedir_ DIR *d = opendir(full);
    int r = 0;

    (void)err;
    for (struct dirent *e; d && r == 0 && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            r = entry(arg, e->d_name, e->d_type == DT_DIR);
    return r;
}

static int note_file(void *priv, const struct vss_file_set *set, const char *folder, const char *name, struct err *err)
{
    char ***list = priv;

    (void)set, (void)err;
    return strv_addf(list, "%s/%s", folder, name);
}

/* Files of a component with one file set, by a writer with one exclude; as "a b c", in order. Caller frees. */
static char *files_of(const char *root, const struct kvss_md_files *f, const char *exclude, int expected, struct err *err)
{
    _cleanup_metadata_ struct kvss_metadata *md = NULL;
    _cleanup_strv_ char **found = NULL;
    struct kvss_md_component c = { .type = VSS_CT_FILEGROUP, .name = "c" };
    struct vss_folder folder = { list_dir, (void *)(uintptr_t)root };

    assert_int_equal(metadata_new("w", VM_WRITER_ID, DB_WRITER_ID, VSS_UT_USERDATA, VSS_ST_OTHER, &md, err), 0);
    assert_int_equal(kvss_md_add_component(md, &c, err), 0);
    assert_int_equal(kvss_md_add_files(md, NULL, "c", f, err), 0);
    if (exclude)
        assert_int_equal(kvss_md_add_exclude(md, f->path, exclude, true, err), 0);
    assert_int_equal(vss_component_files(&md->info, 0, &folder, note_file, &found, err), expected);
    strv_sort(found);
    return strv_join(found, " ");
}

static void make_files(const char *root)
{
    static const char *const names[] = { "d/a.img", "d/b.img", "d/b.tmp", "d/sub/c.img", "d/sub/deep/c.tmp", "alt/a.img" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *path = str_format("%s/%s", root, names[i]);
        _cleanup_free_ char *dir = io_dirname(path);
        assert_int_equal(io_mkdir_p(dir, 0755, NULL), 0);
        write_text(path, "x");
    }
}

static void assert_files(const char *root, struct kvss_md_files f, const char *exclude, const char *expected)
{
    struct err err = ERR_INIT;
    _cleanup_free_ char *found = files_of(root, &f, exclude, 0, &err);

    assert_string_equal(found, expected);
}

static void behaviour_04_exclude_wins(void **state)
{
    struct kvss_md_files f = { .path = "/d", .filespec = "*", .recursive = true };

    make_files(*state);
    assert_files(*state, f, NULL, "/d/a.img /d/b.img /d/b.tmp /d/sub/c.img /d/sub/deep/c.tmp");
    assert_files(*state, f, "*.tmp", "/d/a.img /d/b.img /d/sub/c.img");
    assert_files(*state, f, "*", "");
    f.path = "/d/";
    assert_files(*state, f, "?.img", "/d/b.tmp /d/sub/deep/c.tmp");
    f.path = "/d";
    f.recursive = false;
    assert_files(*state, f, NULL, "/d/a.img /d/b.img /d/b.tmp");
}

static void behaviour_04_wildcard_may_match_nothing(void **state)
{
    make_files(*state);
    assert_files(*state, (struct kvss_md_files){ .path = "/d", .filespec = "*.none" }, NULL, "");
    assert_files(*state, (struct kvss_md_files){ .path = "/nowhere", .filespec = "?" }, NULL, "");
}

static void behaviour_04_named_missing_file_fails_the_component(void **state)
{
    struct kvss_md_files f = { .path = "/d", .filespec = "gone.img" };
    struct err err = ERR_INIT;

    make_files(*state);
    _cleanup_free_ char *none = files_of(*state, &f, NULL, -ENOENT, &err);
    assert_string_equal(none, "");
    assert_non_null(strstr(err.text, "gone.img"));
    /* What is excluded need not be there. */
    assert_files(*state, f, "gone.img", "");
    f.filespec = "a.img";
    assert_files(*state, f, NULL, "/d/a.img");
}

/* Read from the alternate path, restored to the path: so that is how the file is called. */
static void alternate_path_is_read_instead(void **state)
{
    struct kvss_md_files f = { .path = "/elsewhere", .filespec = "*", .alternate_path = "/alt" };

    make_files(*state);
    assert_files(*state, f, NULL, "/elsewhere/a.img");
}

static void wildcards(void **state)
{
    static const struct {
        const char *spec, *name;
        bool match;
    } cases[] = {
        { "*", "", true },
        { "*", "x", true },
        { "?", "", false },
        { "a?c", "abc", true },
        { "a*c", "ac", true },
        { "a*c", "abcbc", true },
        { "a*c", "abcb", false },
        { "*.img", "a.img", true },
        { "*.img", "a.imgx", false },
        { "", "", true },
        { "", "a", false },
        { "a", "A", false },
        { "**a", "ba", true },
        { "*a*b*", "xxaxxbxx", true },
    };
    char name[4096];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (vss_filespec_match(cases[i].spec, cases[i].name) != cases[i].match)
            fail_msg("'%s' against '%s'", cases[i].spec, cases[i].name);
    /* A pattern that makes a simple matcher go on for years. */
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_false(vss_filespec_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(behaviour_05_unknown_writers_and_components_are_refused),
        world_test(behaviour_05_a_writer_without_component_is_shut_out),
        world_test(behaviour_06_required_components_are_enforced),
        world_test(component_sets_are_all_or_nothing),
        world_test(dependencies_are_enforced),
        world_test(behaviour_06_missing_volume_is_inconsistent),
        world_test(volumes_of_the_set),
        world_test(behaviour_08_unsupported_type_falls_back_to_full),
        test_in_dir(behaviour_04_exclude_wins),
        test_in_dir(behaviour_04_wildcard_may_match_nothing),
        test_in_dir(behaviour_04_named_missing_file_fails_the_component),
        test_in_dir(alternate_path_is_read_instead),
        cmocka_unit_test(wildcards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
