/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writers that are programs (M22), with the programs of tests/writers, really run. What they may not say is in
 * test_command_garbage.c. */
#include "base/runnable.h"
#include "command_house.h"

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
    assert_int_equal(w->restore_method, VSS_RME_RESTORE_IF_CAN_REPLACE);
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
    assert_int_equal(json_unpack(freeze, "{s:s, s:s, s:s, s:I, s:b, s:I, s:b}", "session", &session, "set", &set, "backup_type", &type,
                                 "context", &context, "auto_recovery", &recovery, "time_left_ms", &left, "succeeded", &succeeded),
                     0);
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
        { "prepare-backup", VSS_WS_FAILED_AT_PREPARE_BACKUP },
        { "prepare-snapshot", VSS_WS_FAILED_AT_PREPARE_SNAPSHOT },
        { "freeze", VSS_WS_FAILED_AT_FREEZE },
        { "thaw", VSS_WS_FAILED_AT_THAW },
        { "post-snapshot", VSS_WS_FAILED_AT_POST_SNAPSHOT },
        { "backup-complete", VSS_WS_FAILED_AT_BACKUP_COMPLETE },
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

/* ---- The directory --------------------------------------------------------------------------------------------------------*/

static void only_safe_programs_are_run(void **state)
{
    struct house *h = *state;
    static const char proof[] = "#!/bin/sh\ntouch \"$(dirname \"$KVSS_WRITER\")/../ran\"\n";
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
    assert_true(logged(h, "10-not-executable is skipped") && logged(h, "20-writable-by-all is skipped"));
    assert_true(logged(h, "30-writable-by-group is skipped") && logged(h, "folder is skipped"));
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

static void a_folder_above_that_others_may_write_is_refused(void **state)
{
    struct house *h = *state;
    struct command_writers *w = NULL;
    struct err err = ERR_INIT;

    install(h, "recorder", "");
    assert_int_equal(chmod(h->dir, 0775), 0);
    assert_fails(EPERM, command_writers_load(h->writers, NULL, &w, &err));
    assert_non_null(strstr(err.text, "a folder above "));
    assert_null(w);
    err_clear(&err);
    assert_int_equal(chmod(h->dir, 0755), 0);
    assert_ok(command_writers_load(h->writers, NULL, &w, &err));
    assert_int_equal(command_writers_count(w), 1);
    command_writers_free(w);
}

static void what_somebody_else_owns_or_can_exchange_is_not_run(void **state)
{
    struct house *h = *state;
    static const char proof[] = "#!/bin/sh\ntouch \"$(dirname \"$KVSS_WRITER\")/../ran\"\n";
    _cleanup_free_ char *ran = str_format("%s/ran", h->dir), *elsewhere = str_format("%s/elsewhere", h->dir);
    _cleanup_free_ char *link = str_format("%s/10-link", h->writers), *foreign = str_format("%s/20-foreign", h->writers);
    _cleanup_free_ char *fifo = str_format("%s/30-fifo", h->writers);
    struct err err = ERR_INIT;

    if (geteuid() != 0)
        skip();
    write_text(elsewhere, proof);
    assert_int_equal(chmod(elsewhere, 0755), 0);
    assert_int_equal(symlink(elsewhere, link), 0);
    install_text(h, "20-foreign", proof, 0755);
    assert_int_equal(chown(foreign, 12345, 0), 0);
    assert_int_equal(mkfifo(fifo, 0755), 0); /* nobody waits for it */
    load(h, 0);
    assert_int_equal(command_writers_count(h->commands), 0);
    assert_true(logged(h, "10-link is skipped") && logged(h, "is a symbolic link: put the file itself there"));
    assert_true(logged(h, "20-foreign is skipped") && logged(h, "is owned by user 12345, not by root"));
    assert_true(logged(h, "30-fifo is skipped") && logged(h, "is not a regular file"));
    assert_fails(EPERM, command_writer_abort(link, "00000000-0000-4000-8000-000000000000", &err));
    assert_fails(EPERM, command_writer_abort(foreign, "00000000-0000-4000-8000-000000000000", &err));
    assert_false(io_exists(ran));
}

/* Exchanged after it was looked at: what was looked at is what runs. */
static void a_program_is_the_one_that_was_looked_at(void **state)
{
    struct house *h = *state;
    _cleanup_free_ char *path = str_format("%s/recorder", h->writers), *ran = str_format("%s/ran", h->dir);
    _cleanup_buf_ struct buf events = BUF_INIT;
    struct err err = ERR_INIT;

    install(h, "recorder", "");
    load(h, 0);
    assert_int_equal(unlink(path), 0);
    install_text(h, "recorder", "#!/bin/sh\ntouch \"$(dirname \"$KVSS_WRITER\")/../ran\"\n", 0777);
    struct vss_session *v = begin(h, RECORDER_ID, "test", "records");
    assert_ok(run(v, &err));
    vss_session_release(v);
    assert_false(io_exists(ran));
    assert_ok(io_read_file(h->log_file, 1 << 20, &events, &err));
    assert_non_null(strstr((const char *)events.data, "freeze"));
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
    install_text(h, "zz-same-id", "#!/bin/sh\necho '{\"api\": 1, \"name\": \"copy\", \"id\": \"" VETO_ID "\"}'\n", 0755);
    load(h, 0);
    assert_true(logged(h, "zz-same-id is skipped"));
    assert_ok(vss_session_new(h->service, &v, &err));
    assert_ok(vss_initialize_for_backup(v, &err));
    assert_ok(vss_gather_writer_metadata(v, &err));
    assert_int_equal(vss_writer_count(v), 2);
    assert_string_equal(vss_writer_get(v, 0)->id, RECORDER_ID);
    assert_string_equal(vss_writer_get(v, 1)->id, VETO_ID);
    vss_session_release(v);
}

/* As it is by now. */
static int run_loud(const char *path, json_t *input, struct command_result *ret, struct err *err)
{
    _cleanup_close_ int fd = -1;

    int r = runnable_open(path, (struct runnable_kind){ .also = geteuid(), .program = true }, &fd, err);
    return r < 0 ? r : command_run(&(struct command_call){ path, "x", fd, input, 5000 }, ret, err);
}

static void stderr_becomes_one_printable_line(void **state)
{
    struct house *h = *state;
    _cleanup_free_ char *path = str_format("%s/loud", h->writers);
    _cleanup_json_ json_t *input = json_object();
    struct command_result result = { 0 };
    struct err err = ERR_INIT;

    install_text(h, "loud", "#!/bin/sh\nprintf 'a\\033[31m  b\\n\\nc\\303\\274\\n\\n' >&2\nexit 1\n", 0755);
    assert_ok(run_loud(path, input, &result, &err));
    assert_int_equal(result.verdict, COMMAND_FAILED);
    assert_string_equal(result.text, "a [31m b c??");
    install_text(h, "loud", "#!/bin/sh\nseq 1 1000 >&2\nexit 1\n", 0755);
    assert_ok(run_loud(path, input, &result, &err));
    assert_string_equal(result.text + strlen(result.text) - 4, "1000"); /* the end says most */
    assert_true(strlen(result.text) < sizeof result.text);
    install_text(h, "loud", "#!/bin/sh\nkill -9 $$\n", 0755);
    assert_fails(EIO, run_loud(path, input, &result, &err));
    assert_non_null(strstr(err.text, "killed by signal 9"));
    install_text(h, "loud", "#!/nonexistent/interpreter\n", 0755);
    assert_true(run_loud(path, input, &result, &err) < 0);
    assert_null(result.answer);
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
        house_test(only_safe_programs_are_run),
        house_test(a_directory_others_may_write_is_refused),
        house_test(a_folder_above_that_others_may_write_is_refused),
        house_test(what_somebody_else_owns_or_can_exchange_is_not_run),
        house_test(a_program_is_the_one_that_was_looked_at),
        house_test(an_absent_directory_is_an_empty_one),
        house_test(programs_are_in_order_of_name_and_ids_are_unique),
        house_test(stderr_becomes_one_printable_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
