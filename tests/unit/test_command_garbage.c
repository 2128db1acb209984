/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What writer programs may say in identify and answer to events, and what not. */
#include "command_house.h"

/* ---- A writer that talks garbage ------------------------------------------------------------------------------------------*/

static int garbage_in(struct house *h, const char *event, const char *answer, int code, struct err *err)
{
    _cleanup_free_ char *file = str_format("%s/answer", h->dir);
    _cleanup_free_ char *config = str_format("EVENT=%s ANSWER='%s' CODE=%d", event, file, code);

    write_text(file, answer);
    install(h, "garbage", config);
    struct vss_session *v = begin(h, GARBAGE_ID, NULL, "garbled");
    int r = vss_prepare_for_backup(v, err);
    vss_session_release(v);
    return r;
}

static void garbage_in_an_event_is_a_failure(void **state)
{
    static const char *const answers[] = {
        "hello",
        "[1]",
        "{",
        "{} {}",
        "{\"failure\": 1}",
        "{\"failure\": \"none\"}",
        "{\"componnts\": []}",
        "{\"components\": 1}",
        "{\"components\": [1]}",
        "{\"components\": [{}]}",
        "{\"components\": [{\"name\": \"else\"}]}",
        "{\"components\": [{\"name\": \"garbled\", \"backup_stamp\": 1}]}",
        "{\"components\": [{\"name\": \"garbled\", \"stamp\": \"x\"}]}",
        "{\"components\": [{\"name\": \"garbled\", \"backup_stamp\": \"a\\u0001\"}]}",
        "{\"components\": [{\"name\": \"garbled\", \"restore_target\": \"moon\"}]}",
        "{\"components\": [{\"name\": \"garbled\", \"restore_target\": \"original\"}]}", /* not in this event */
        "{\"components\": [], \"components\": []}",
        "\xff\xfe",
    };
    struct house *h = *state;
    struct err err = ERR_INIT;

    install(h, "garbage", "");
    load(h, 0);
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
        if (garbage_in(h, "prepare-backup", answers[i], 0, &err) != -EIO || err.hresult != VSS_E_WRITERERROR_NONRETRYABLE)
            fail_msg("answer '%s' was taken: %s", answers[i], err.text);
    assert_int_equal(garbage_in(h, "prepare-backup", "", 3, &err), -EIO);
    assert_non_null(strstr(err.text, "exit code 3"));
    assert_ok(garbage_in(h, "prepare-backup", " \n", 0, &err));
    assert_ok(garbage_in(h, "prepare-backup", "{}", 0, &err));
    assert_ok(garbage_in(h, "prepare-backup", "{\"components\": [{\"name\": \"garbled\", \"backup_stamp\": \"a\"}]}", 0, &err));
    assert_ok(garbage_in(h, "prepare-backup", "", 2, &err));
}

static void too_much_is_too_much(void **state)
{
    struct house *h = *state;
    struct err err = ERR_INIT;
    _cleanup_free_ char *many = malloc(COMMAND_OUT_MAX + 2);

    assert_non_null(many);
    memset(many, ' ', COMMAND_OUT_MAX + 1);
    many[COMMAND_OUT_MAX + 1] = '\0';
    install(h, "garbage", "");
    load(h, 0);
    assert_int_equal(garbage_in(h, "prepare-backup", many, 0, &err), -EIO);
}

/* Identities that are refused when the directory is loaded, and metadata that is refused at Identify. */
static void garbage_in_identify_leaves_it_out(void **state)
{
#define ID "\"api\": 1, \"name\": \"g\", \"id\": \"" GARBAGE_ID "\""
    static const struct {
        const char *text;
        bool loads; /* the identity is good */
    } cases[] = {
        { "", false },
        { "{}", false },
        { "{\"api\": 2, \"name\": \"g\", \"id\": \"" GARBAGE_ID "\"}", false },
        { "{\"api\": 1, \"name\": 7, \"id\": \"" GARBAGE_ID "\"}", false },
        { "{" ID ", \"usage\": \"none\"}", false },
        { "{" ID ", \"source\": \"none\"}", false },
        { "{" ID ", \"freeze_limit_ms\": -1}", false },
        { "{" ID ", \"timeout_ms\": 0}", false },
        { "{" ID ", \"timeout_ms\": 99999999999}", false },
        { "{" ID ", \"component\": []}", true },
        { "{" ID ", \"restore_method\": \"pray\"}", true },
        { "{" ID ", \"writer_restore\": \"sometimes\"}", true },
        { "{" ID ", \"backup_types\": [\"some\"]}", true },
        { "{" ID ", \"backup_types\": \"full\"}", true },
        { "{" ID ", \"excludes\": [{\"path\": \"/\"}]}", true },
        { "{" ID ", \"excludes\": {}}", true },
        { "{" ID ", \"alternate_locations\": [{\"path\": \"/\", \"filespec\": \"*\"}]}", true },
        { "{" ID ", \"components\": [{}]}", true },
        { "{" ID ", \"components\": [{\"name\": \"a\\\\b\"}]}", true },
        { "{" ID ", \"components\": [{\"name\": \"a\"}, {\"name\": \"a\"}]}", true },
        { "{" ID ", \"components\": [{\"name\": \"a\", \"type\": \"table\"}]}", true },
        { "{" ID ", \"components\": [{\"name\": \"a\", \"files\": [{\"path\": \"/\"}]}]}", true },
        { "{" ID ", \"components\": [{\"name\": \"a\", \"files\": {}}]}", true },
        { "{" ID ", \"components\": [{\"name\": \"a\", \"files\": [{\"path\": \"/\", \"filespec\": \"*\", \"kind\": \"x\"}]}]}", true },
        { "{" ID ", \"components\": [{\"name\": \"a\", \"depends_on\": [{\"writer\": \"x\", \"component\": \"b\"}]}]}", true },
    };
    struct house *h = *state;
    _cleanup_free_ char *file = str_format("%s/identity", h->dir);
    _cleanup_free_ char *config = str_format("IDENTITY='%s'", file);
    struct err err = ERR_INIT;

    install(h, "garbage", config);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vss_session *v = NULL;
        write_text(file, cases[i].text);
        load(h, 0);
        if (command_writers_count(h->commands) != cases[i].loads)
            fail_msg("identity '%s'", cases[i].text);
        assert_ok(vss_session_new(h->service, &v, &err));
        assert_ok(vss_initialize_for_backup(v, &err));
        assert_ok(vss_gather_writer_metadata(v, &err));
        if (vss_writer_count(v) != 0)
            fail_msg("metadata '%s'", cases[i].text);
        assert_int_equal(vss_left_out_count(v), cases[i].loads);
        vss_session_release(v);
        vss_service_free(h->service);
        command_writers_free(h->commands);
        h->service = NULL;
        h->commands = NULL;
    }
}

static void everything_identify_can_say(void **state)
{
    static const char identity[] =
        "{" ID ", \"usage\": \"bootable-system-state\", \"source\": \"transacted-db\", \"freeze_limit_ms\": 5, \"timeout_ms\": 7000,"
        "\"restore_method\": \"stop-restore-start\", \"service\": \"db.service\", \"writer_restore\": \"if-replace-fails\","
        "\"reboot\": true, \"backup_types\": [\"full\", \"log\", \"differential\"],"
        "\"excludes\": [{\"path\": \"/db\", \"filespec\": \"*.tmp\", \"recursive\": true}],"
        "\"alternate_locations\": [{\"path\": \"/db\", \"filespec\": \"*\", \"recursive\": false, \"destination\": \"/old\"}],"
        "\"components\": [{\"type\": \"database\", \"name\": \"main\", \"logical_path\": \"a\", \"caption\": \"The \\u00fc\","
        "  \"selectable\": false, \"selectable_for_restore\": false, \"restore_metadata\": true,"
        "  \"notify_on_backup_complete\": true, \"backup_recovery\": true,"
        "  \"files\": [{\"path\": \"/db\", \"filespec\": \"*.db\"}, {\"kind\": \"database-log\", \"path\": \"/l\", \"filespec\": \"*\"}],"
        "  \"depends_on\": [{\"writer\": \"" VETO_ID "\", \"logical_path\": \"x\", \"component\": \"y\"}]}]}";
    struct house *h = *state;
    _cleanup_free_ char *file = str_format("%s/identity", h->dir);
    _cleanup_free_ char *config = str_format("IDENTITY='%s'", file);
    struct vss_session *v = NULL;
    struct err err = ERR_INIT;

    write_text(file, identity);
    install(h, "garbage", config);
    load(h, 0);
    assert_ok(vss_session_new(h->service, &v, &err));
    assert_ok(vss_initialize_for_backup(v, &err));
    assert_ok(vss_gather_writer_metadata(v, &err));
    const struct vss_writer_info *w = vss_writer_find(v, GARBAGE_ID);
    assert_non_null(w);
    assert_int_equal(w->usage, VSS_UT_BOOTABLESYSTEMSTATE);
    assert_int_equal(w->source, VSS_ST_TRANSACTEDDB);
    assert_int_equal(w->restore_method, VSS_RME_STOP_RESTORE_START);
    assert_int_equal(w->writer_restore, VSS_WRE_IF_REPLACE_FAILS);
    assert_string_equal(w->service, "db.service");
    assert_true(w->reboot);
    assert_int_equal(w->backup_schema, VSS_BS_LOG | VSS_BS_DIFFERENTIAL);
    assert_string_equal(w->locations[0].destination, "/old");
    const struct vss_component_info *c = &w->components[0];
    assert_int_equal(c->type, VSS_CT_DATABASE);
    assert_string_equal(c->caption, "The \xc3\xbc");
    assert_false(c->selectable || c->selectable_for_restore);
    assert_int_equal(c->flags, VSS_CF_BACKUP_RECOVERY);
    assert_int_equal(c->files[0].kind, KVSS_FILES_DATABASE);
    assert_int_equal(c->files[1].kind, KVSS_FILES_DATABASE_LOG);
    assert_string_equal(c->dependencies[0].component, "y");
    vss_session_release(v);
}

static void a_program_must_stay_who_it_is(void **state)
{
    struct house *h = *state;
    _cleanup_free_ char *file = str_format("%s/identity", h->dir);
    _cleanup_free_ char *config = str_format("IDENTITY='%s'", file);
    struct vss_session *v = NULL;
    struct err err = ERR_INIT;

    write_text(file, "{" ID "}");
    install(h, "garbage", config);
    load(h, 0);
    write_text(file, "{\"api\": 1, \"name\": \"g\", \"id\": \"" VETO_ID "\"}");
    assert_ok(vss_session_new(h->service, &v, &err));
    assert_ok(vss_initialize_for_backup(v, &err));
    assert_ok(vss_gather_writer_metadata(v, &err));
    assert_int_equal(vss_writer_count(v), 0);
    assert_non_null(strstr(vss_left_out_get(v, 0).text, "now identifies itself"));
    vss_session_release(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        house_test(garbage_in_an_event_is_a_failure),  house_test(too_much_is_too_much),
        house_test(garbage_in_identify_leaves_it_out), house_test(everything_identify_can_say),
        house_test(a_program_must_stay_who_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
