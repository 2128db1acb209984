/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writers that are programs (M22), with the programs of tests/writers, really run. */
#include "base/clock.h"
#include "base/strv.h"
#include "vss_world.h"
#include "writers/command_internal.h"
#include "writers/command_writer.h"
#include <jansson.h>
#include <sys/stat.h>

#define RECORDER_ID "5d4e7a10-0d2b-4c55-8a63-7b1f0c9e1a01"
#define VETO_ID "5d4e7a10-0d2b-4c55-8a63-7b1f0c9e1a02"
#define HANG_ID "5d4e7a10-0d2b-4c55-8a63-7b1f0c9e1a03"
#define GARBAGE_ID "5d4e7a10-0d2b-4c55-8a63-7b1f0c9e1a04"

/* A writers directory, and a service that uses it. */
struct house {
    char *dir, *writers, *files, *log_file;
    struct trace log;
    struct log log_object;
    struct vss_service *service;
    struct command_writers *commands;
    struct trace trace;
    uint64_t clock;
    struct fake_provider provider;
};

static void house_log(void *priv, enum log_level level, const char *line)
{
    (void)level;
    trace_add(&((struct house *)priv)->log, "", line);
}

static int house_setup(void **state)
{
    struct house *h = calloc(1, sizeof *h);

    if (!h || test_dir_setup((void **)&h->dir) < 0)
        return -1;
    h->writers = str_format("%s/writers.d", h->dir);
    h->files = str_format("%s/files", h->dir);
    h->log_file = str_format("%s/events", h->dir);
    pthread_mutex_init(&h->log.lock, NULL);
    pthread_mutex_init(&h->trace.lock, NULL);
    h->provider.trace = &h->trace;
    h->provider.clock = &h->clock;
    h->log_object = (struct log){ .write = house_log, .priv = h, .max = LOG_LEVEL_DEBUG };
    *state = h;
    return mkdir(h->writers, 0755) | mkdir(h->files, 0755);
}

static int house_teardown(void **state)
{
    struct house *h = *state;
    void *dir = h->dir;

    vss_service_free(h->service);
    command_writers_free(h->commands);
    trace_clear(&h->log);
    trace_clear(&h->trace);
    free(h->writers);
    free(h->files);
    free(h->log_file);
    free(h);
    return test_dir_teardown(&dir);
}

#define house_test(f) cmocka_unit_test_setup_teardown(f, house_setup, house_teardown)

/* Puts a test writer into the directory, with its configuration. */
static void install(struct house *h, const char *name, const char *config)
{
    _cleanup_free_ char *from = str_format("%s/%s", KVSS_TEST_WRITERS, name);
    _cleanup_free_ char *to = str_format("%s/%s", h->writers, name);
    _cleanup_free_ char *conf = str_format("%s/.%s.conf", h->writers, name);
    _cleanup_free_ char *text = str_format("LOG='%s' FILES='%s'\n%s\n", h->log_file, h->files, config);
    struct err err = ERR_INIT;

    if (!io_exists(to)) {
        assert_ok(io_copy_file(from, to, 0755, &err));
        assert_int_equal(chmod(to, 0755), 0);
    }
    write_text(conf, text);
}

/* A program of our own making. */
static void install_text(struct house *h, const char *name, const char *text, mode_t mode)
{
    _cleanup_free_ char *path = str_format("%s/%s", h->writers, name);

    write_text(path, text);
    assert_int_equal(chmod(path, mode), 0);
}

static void load(struct house *h, unsigned freeze_limit_ms)
{
    struct vss_service_config config = { .log = &h->log_object, .freeze_limit_ms = freeze_limit_ms };
    struct kvss_provider p = fake_provider_struct();
    struct err err = ERR_INIT;

    assert_ok(vss_service_new(&config, &h->service, &err));
    assert_ok(vss_register_provider(h->service, &p, &h->provider, &err));
    assert_ok(command_writers_load(h->writers, &h->log_object, &h->commands, &err));
    assert_ok(command_writers_register(h->commands, h->service, &err));
}

static struct vss_session *begin(struct house *h, const char *writer, const char *logical_path, const char *component)
{
    struct vss_session *v = NULL;
    struct err err = ERR_INIT;

    assert_ok(vss_session_new(h->service, &v, &err));
    assert_ok(vss_initialize_for_backup(v, &err));
    assert_ok(vss_gather_writer_metadata(v, &err));
    assert_ok(vss_add_component(v, writer, logical_path, component, &err));
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/", NULL, NULL, &err));
    return v;
}

static int run(struct vss_session *v, struct err *err)
{
    int r = vss_prepare_for_backup(v, err);

    if (r == 0)
        r = vss_do_snapshot_set(v, err);
    return r == 0 ? vss_backup_complete(v, err) : r;
}

static bool logged(struct house *h, const char *part)
{
    for (size_t i = 0; i < h->log.n; i++)
        if (strstr(h->log.lines[i], part))
            return true;
    return false;
}

/* ---- A writer that records ------------------------------------------------------------------------------------------------*/

static json_t *told(struct house *h, const char *event)
{
    _cleanup_free_ char *path = str_format("%s.%s.json", h->log_file, event);
    json_t *j = json_load_file(path, 0, NULL);

    assert_non_null(j);
    return j;
}

static void whole_backup_and_restore(void **state)
{
    struct house *h = *state;
    struct vss_component_state c;
    struct err err = ERR_INIT;
    char *bcd = NULL, *wmd = NULL;

    install(h, "recorder", "");
    load(h, 0);
    assert_int_equal(command_writers_count(h->commands), 1);
    struct vss_session *v = begin(h, RECORDER_ID, "test", "records");
    const struct vss_writer_info *w = vss_writer_find(v, RECORDER_ID);
    assert_string_equal(w->name, "kvss test recorder");
    assert_int_equal(w->backup_schema, VSS_BS_COPY);
    assert_int_equal(w->restore_method, VSS_RME_CUSTOM);
    assert_int_equal(w->n_excludes, 1);
    assert_string_equal(w->components[0].files[0].path, h->files);
    assert_true(w->components[0].files[0].recursive && w->components[0].selectable && w->components[0].restore_metadata);
    assert_ok(run(v, &err));
    assert_ok(vss_get_component_state(v, RECORDER_ID, "test", "records", &c, &err));
    assert_string_equal(c.backup_stamp, "stamp of the recorder");
    assert_string_equal(c.backup_metadata, "line 1\nline 2 <&>");
    assert_ok(vss_save_as_xml(v, &bcd, &err));
    assert_ok(vss_writer_metadata_xml(v, 0, &wmd, &err));
    vss_session_release(v);
    assert_file_text(h->log_file, "identify\nidentify\nprepare-backup\nprepare-snapshot\nfreeze\nthaw\npost-snapshot\n"
                                  "backup-complete\nbackup-shutdown\n");

    unlink(h->log_file);
    assert_ok(vss_session_new(h->service, &v, &err));
    assert_ok(vss_initialize_for_restore(v, bcd, &err));
    assert_ok(vss_load_writer_metadata(v, wmd, &err));
    assert_ok(vss_gather_writer_metadata(v, &err));
    assert_ok(vss_set_selected_for_restore(v, RECORDER_ID, "test", "records", true, &err));
    assert_ok(vss_pre_restore(v, &err));
    assert_ok(vss_set_file_restore_status(v, RECORDER_ID, "test", "records", VSS_RS_ALL, &err));
    assert_ok(vss_post_restore(v, &err));
    vss_session_release(v);
    assert_file_text(h->log_file, "identify\npre-restore\npost-restore\n");
    _cleanup_json_ json_t *j = told(h, "post-restore");
    json_t *first = json_array_get(json_object_get(j, "components"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "file_restore_status")), "all");
    assert_string_equal(json_string_value(json_object_get(first, "restore_metadata")), "stopped");
    assert_string_equal(json_string_value(json_object_get(first, "backup_metadata")), "line 1\nline 2 <&>");
    free(bcd);
    free(wmd);
}

static void what_a_program_is_told(void **state)
{
    struct house *h = *state;
    struct err err = ERR_INIT;
    const char *session, *set, *type;
    int recovery, succeeded;
    json_int_t left, context;

    install(h, "recorder", "");
    load(h, 30000);
    struct vss_session *v = begin(h, RECORDER_ID, "test", "records");
    assert_ok(vss_set_backup_options(v, RECORDER_ID, "test", "records", "quick", &err));
    assert_ok(run(v, &err));
    _cleanup_json_ json_t *freeze = told(h, "freeze"), *prepare = told(h, "prepare-backup");
    assert_int_equal(json_unpack(freeze, "{s:s, s:s, s:s, s:I, s:b, s:I, s:b}", "session", &session, "set", &set, "backup_type",
                                 &type, "context", &context, "auto_recovery", &recovery, "time_left_ms", &left, "succeeded",
                                 &succeeded), 0);
    assert_string_equal(session, vss_session_id(v));
    assert_int_equal(strlen(set), 36);
    assert_string_equal(type, "full");
    assert_int_equal(context, 0);
    assert_true(recovery);
    assert_in_range(left, 20000, 30000);
    assert_int_equal(json_integer_value(json_object_get(prepare, "time_left_ms")), -1);
    json_t *component = json_array_get(json_object_get(prepare, "components"), 0);
    assert_string_equal(json_string_value(json_object_get(component, "backup_options")), "quick");
    assert_true(json_is_null(json_object_get(component, "backup_stamp")));
    vss_session_release(v);
    _cleanup_json_ json_t *shutdown = told(h, "backup-shutdown");
    assert_true(json_is_true(json_object_get(shutdown, "succeeded")));
}

/* ---- A writer that vetoes -------------------------------------------------------------------------------------------------*/

static void veto_in_each_event(void **state)
{
    static const struct {
        const char *event;
        enum vss_writer_state failed;
    } cases[] = {
        { "prepare-backup", VSS_WS_FAILED_AT_PREPARE_BACKUP },   { "prepare-snapshot", VSS_WS_FAILED_AT_PREPARE_SNAPSHOT },
        { "freeze", VSS_WS_FAILED_AT_FREEZE },                   { "thaw", VSS_WS_FAILED_AT_THAW },
        { "post-snapshot", VSS_WS_FAILED_AT_POST_SNAPSHOT },     { "backup-complete", VSS_WS_FAILED_AT_BACKUP_COMPLETE },
    };
    struct house *h = *state;
    struct err err = ERR_INIT;

    install(h, "veto", "");
    load(h, 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *config = str_format("EVENT=%s KIND=retryable", cases[i].event);
        install(h, "veto", config);
        struct vss_session *v = begin(h, VETO_ID, NULL, "vetoed");
        assert_fails(EAGAIN, run(v, &err));
        struct vss_writer_status s = status_of(v, VETO_ID);
        assert_int_equal(s.state, cases[i].failed);
        assert_int_equal(s.hresult, VSS_E_WRITERERROR_RETRYABLE);
        _cleanup_free_ char *text = str_format("the test writer was told to veto in %s", cases[i].event);
        assert_string_equal(s.text, text);
        assert_ok(vss_abort_backup(v, &err));
        vss_session_release(v);
    }
}

static void veto_of_each_kind(void **state)
{
    static const struct {
        const char *kind;
        uint32_t hresult;
    } cases[] = {
        { "", VSS_E_WRITERERROR_NONRETRYABLE },
        { "nonretryable", VSS_E_WRITERERROR_NONRETRYABLE },
        { "timeout", VSS_E_WRITERERROR_TIMEOUT },
        { "out-of-resources", VSS_E_WRITERERROR_OUTOFRESOURCES },
        { "inconsistent-snapshot", VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT },
        { "partial-failure", VSS_E_WRITERERROR_PARTIAL_FAILURE },
        { "unheard-of", VSS_E_WRITERERROR_NONRETRYABLE },
    };
    struct house *h = *state;
    struct err err = ERR_INIT;

    install(h, "veto", "");
    load(h, 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *config = str_format("EVENT=prepare-backup KIND=%s", cases[i].kind);
        install(h, "veto", config);
        struct vss_session *v = begin(h, VETO_ID, NULL, "vetoed");
        assert_true(vss_prepare_for_backup(v, &err) < 0);
        assert_int_equal(err.hresult, cases[i].hresult);
        vss_session_release(v);
    }
}

static void veto_in_identify_leaves_it_out(void **state)
{
    struct house *h = *state;
    struct vss_session *v = NULL;
    struct err err = ERR_INIT;

    install(h, "veto", "");
    load(h, 0);
    install(h, "veto", "EVENT=identify");
    assert_ok(vss_session_new(h->service, &v, &err));
    assert_ok(vss_initialize_for_backup(v, &err));
    assert_ok(vss_gather_writer_metadata(v, &err));
    assert_int_equal(vss_writer_count(v), 0);
    assert_non_null(strstr(vss_left_out_get(v, 0).text, "told to veto in identify"));
    vss_session_release(v);
}

/* ---- A writer that hangs --------------------------------------------------------------------------------------------------*/

static void hanging_in_freeze_is_killed_in_time(void **state)
{
    struct house *h = *state;
    struct err err = ERR_INIT;

    install(h, "hang", "EVENT=freeze FREEZE_MS=400");
    load(h, 0);
    struct vss_session *v = begin(h, HANG_ID, NULL, "hung");
    uint64_t start = clock_mono_ms();
    assert_fails(ETIMEDOUT, run(v, &err));
    assert_in_range(clock_mono_ms() - start, 300, 8000);
    assert_int_equal(err.hresult, VSS_E_WRITERERROR_TIMEOUT);
    assert_int_equal(status_of(v, HANG_ID).state, VSS_WS_FAILED_AT_FREEZE);
    vss_session_release(v);
    /* Abort came by itself, and nobody is left hanging. */
    assert_file_text(h->log_file, "identify\nidentify\nprepare-backup\nprepare-snapshot\nfreeze\nabort\nbackup-shutdown\n");
}

static void hanging_elsewhere_is_killed_after_its_own_time(void **state)
{
    struct house *h = *state;
    struct err err = ERR_INIT;

    install(h, "hang", "EVENT=prepare-snapshot TIMEOUT_MS=300");
    load(h, 0);
    struct vss_session *v = begin(h, HANG_ID, NULL, "hung");
    uint64_t start = clock_mono_ms();
    assert_fails(ETIMEDOUT, run(v, &err));
    assert_in_range(clock_mono_ms() - start, 300, 8000);
    assert_int_equal(err.hresult, VSS_E_WRITERERROR_TIMEOUT);
    vss_session_release(v);
}

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
        "hello", "[1]", "{", "{} {}", "{\"failure\": 1}", "{\"failure\": \"none\"}", "{\"componnts\": []}", "{\"components\": 1}",
        "{\"components\": [1]}", "{\"components\": [{}]}", "{\"components\": [{\"name\": \"else\"}]}",
        "{\"components\": [{\"name\": \"garbled\", \"backup_stamp\": 1}]}",
        "{\"components\": [{\"name\": \"garbled\", \"stamp\": \"x\"}]}",
        "{\"components\": [{\"name\": \"garbled\", \"backup_stamp\": \"a\\u0001\"}]}",
        "{\"components\": [{\"name\": \"garbled\", \"restore_target\": \"moon\"}]}",
        "{\"components\": [{\"name\": \"garbled\", \"restore_target\": \"original\"}]}", /* not in this event */
        "{\"components\": [], \"components\": []}", "\xff\xfe",
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
    assert_non_null(strstr(vss_left_out_get(v, 0).text, "now calls itself"));
    vss_session_release(v);
}

/* ---- The directory --------------------------------------------------------------------------------------------------------*/

static void only_safe_programs_are_run(void **state)
{
    struct house *h = *state;
    static const char proof[] = "#!/bin/sh\ntouch \"$(dirname \"$0\")/../ran\"\n";
    _cleanup_free_ char *ran = str_format("%s/ran", h->dir);
    _cleanup_free_ char *folder = str_format("%s/folder", h->writers);

    install_text(h, "10-not-executable", proof, 0644);
    install_text(h, "20-writable-by-all", proof, 0757);
    install_text(h, "30-writable-by-group", proof, 0775);
    install_text(h, ".hidden", proof, 0755);
    install_text(h, "backup~", proof, 0755);
    assert_int_equal(mkdir(folder, 0755), 0);
    install(h, "recorder", "");
    load(h, 0);
    assert_int_equal(command_writers_count(h->commands), 1);
    assert_false(io_exists(ran));
    assert_true(logged(h, "10-not-executable is left out") && logged(h, "20-writable-by-all is left out"));
    assert_true(logged(h, "30-writable-by-group is left out") && logged(h, "folder is left out"));
    assert_false(logged(h, "hidden") || logged(h, "backup~"));
}

static void a_directory_others_may_write_is_refused(void **state)
{
    struct house *h = *state;
    struct command_writers *w = NULL;
    struct err err = ERR_INIT;

    assert_int_equal(chmod(h->writers, 0777), 0);
    assert_fails(EPERM, command_writers_load(h->writers, NULL, &w, &err));
    assert_null(w);
    assert_int_equal(chmod(h->writers, 0755), 0);
}

static void an_absent_directory_is_an_empty_one(void **state)
{
    struct house *h = *state;
    struct command_writers *w = NULL;
    struct err err = ERR_INIT;

    assert_ok(command_writers_load("/nonexistent/writers.d", NULL, &w, &err));
    assert_int_equal(command_writers_count(w), 0);
    command_writers_free(w);
    command_writers_free(NULL);
    load(h, 0);
    assert_int_equal(command_writers_count(h->commands), 0);
}

static void programs_are_in_order_of_name_and_ids_are_unique(void **state)
{
    struct house *h = *state;
    struct vss_session *v = NULL;
    struct err err = ERR_INIT;

    install(h, "veto", "");
    install(h, "recorder", "");
    install_text(h, "zz-same-id", "#!/bin/sh\necho '{" ID ", \"id2\": 1}' | sed s/a04/a02/\n", 0755);
    load(h, 0);
    assert_true(logged(h, "zz-same-id is left out"));
    assert_ok(vss_session_new(h->service, &v, &err));
    assert_ok(vss_initialize_for_backup(v, &err));
    assert_ok(vss_gather_writer_metadata(v, &err));
    assert_int_equal(vss_writer_count(v), 2);
    assert_string_equal(vss_writer_get(v, 0)->id, RECORDER_ID);
    assert_string_equal(vss_writer_get(v, 1)->id, VETO_ID);
    vss_session_release(v);
}

static void stderr_becomes_one_printable_line(void **state)
{
    struct house *h = *state;
    _cleanup_free_ char *path = str_format("%s/loud", h->writers);
    _cleanup_json_ json_t *input = json_object();
    json_t *answer = NULL;
    enum command_exit verdict;
    struct err err = ERR_INIT;
    char text[64];

    install_text(h, "loud", "#!/bin/sh\nprintf 'a\\033[31m  b\\n\\nc\\303\\274\\n\\n' >&2\nexit 1\n", 0755);
    assert_ok(command_run(path, "x", input, 5000, &answer, &verdict, text, sizeof text, &err));
    assert_int_equal(verdict, COMMAND_FAILED);
    assert_string_equal(text, "a [31m b c??");
    install_text(h, "loud", "#!/bin/sh\nseq 1 1000 >&2\nexit 1\n", 0755);
    assert_ok(command_run(path, "x", input, 5000, &answer, &verdict, text, sizeof text, &err));
    assert_string_equal(text + strlen(text) - 4, "1000"); /* the end says most */
    assert_true(strlen(text) < sizeof text);
    install_text(h, "loud", "#!/bin/sh\nkill -9 $$\n", 0755);
    assert_fails(EIO, command_run(path, "x", input, 5000, &answer, &verdict, text, sizeof text, &err));
    assert_non_null(strstr(err.text, "killed by signal 9"));
    install_text(h, "loud", "#!/nonexistent/interpreter\n", 0755);
    assert_true(command_run(path, "x", input, 5000, &answer, &verdict, text, sizeof text, &err) < 0);
    assert_null(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        house_test(whole_backup_and_restore),
        house_test(what_a_program_is_told),
        house_test(veto_in_each_event),
        house_test(veto_of_each_kind),
        house_test(veto_in_identify_leaves_it_out),
        house_test(hanging_in_freeze_is_killed_in_time),
        house_test(hanging_elsewhere_is_killed_after_its_own_time),
        house_test(garbage_in_an_event_is_a_failure),
        house_test(too_much_is_too_much),
        house_test(garbage_in_identify_leaves_it_out),
        house_test(everything_identify_can_say),
        house_test(a_program_must_stay_who_it_is),
        house_test(only_safe_programs_are_run),
        house_test(a_directory_others_may_write_is_refused),
        house_test(an_absent_directory_is_an_empty_one),
        house_test(programs_are_in_order_of_name_and_ids_are_unique),
        house_test(stderr_becomes_one_printable_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
