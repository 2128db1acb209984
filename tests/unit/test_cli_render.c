/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reports in words: tests/golden/cli/NAME.json is rendered to NAME.txt, with --verbose to NAME-verbose.txt. Set KVSS_UPDATE_GOLDEN to
 * write the texts anew, and read what has changed. */
#include "test.h"

#include "cli/bar.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "cli/render.h"

#define GOLDEN_MAX ((size_t)1 << 20)

static char *golden_path(const char *name, const char *ending)
{
    char *path = str_format("%s/cli/%s%s", KVSS_GOLDEN_DIR, name, ending);

    assert_non_null(path);
    return path;
}

static char *render_text(render_fn *render, const json_t *report, bool verbose)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    assert_non_null(f);
    render(f, report, verbose);
    fclose(f);
    return text;
}

static void check(const char *name, const char *ending, const char *text)
{
    _cleanup_free_ char *path = golden_path(name, ending);

    if (getenv("KVSS_UPDATE_GOLDEN"))
        assert_int_equal(io_replace_file(path, text, strlen(text), 0644, NULL), 0);
    else
        assert_file_text(path, text);
}

static void golden(const char *name, render_fn *render)
{
    _cleanup_free_ char *path = golden_path(name, ".json");
    json_error_t why;
    json_t *report = json_load_file(path, JSON_REJECT_DUPLICATES, &why);

    if (!report)
        fail_msg("%s:%d: %s", path, why.line, why.text);
    _cleanup_free_ char *plain = render_text(render, report, false), *verbose = render_text(render, report, true);
    json_decref(report);
    check(name, ".txt", plain);
    check(name, "-verbose.txt", verbose);
}

static void writers_in_the_manner_of_vssadmin(void **state)
{
    (void)state;
    golden("writers", render_writers);
}

static void providers_in_the_manner_of_vssadmin(void **state)
{
    (void)state;
    golden("providers", render_providers);
}

static void vms_and_points_as_tables(void **state)
{
    (void)state;
    golden("vms", render_vms);
    golden("points", render_points);
}

static void m4_check_names_conditions_reasons_and_remedies(void **state)
{
    (void)state;
    golden("check", render_check);
}

static void b3_backup_and_show_tell_consistency(void **state)
{
    (void)state;
    golden("backup", render_backup);
    golden("backup-lost", render_backup); /* B4: on a repository that has lost files */
    golden("show", render_show);
}

static void restore_tells_disks_steps_and_warnings(void **state)
{
    (void)state;
    golden("restore", render_restore);
    golden("restore-plan", render_restore_plan);
}

/* On a terminal times are local, with the zone, as in every other text. */
static void question(FILE *f, const json_t *plan, bool verbose)
{
    (void)verbose;
    render_restore_question(f, plan);
}

static void restore_asks_with_the_plan(void **state)
{
    (void)state;
    golden("restore-question", question);
}

static void verify_names_what_is_damaged(void **state)
{
    (void)state;
    golden("verify-sound", render_verify);
    golden("verify-damaged", render_verify);
    golden("verify-missing", render_verify);
}

static void keeping_a_repository_is_told(void **state)
{
    (void)state;
    golden("forget", render_forget);
    golden("prune", render_prune);
    golden("fsck", render_fsck);
    golden("repair", render_repair);
    golden("stats", render_stats);
    golden("copy", render_copy);
    golden("keys", render_key);
    golden("unlock", render_unlock);
}

static void empty_reports_do_no_harm(void **state)
{
    (void)state;
    static render_fn *const all[] = { render_init,   render_writers, render_providers, render_vms,     render_points,
                                      render_check,  render_backup,  render_show,      render_restore, render_restore_plan,
                                      render_verify, render_forget,  render_prune,     render_fsck,    render_repair,
                                      render_stats,  render_copy,    render_key,       render_unlock };
    json_t *empty = json_object();

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free(render_text(all[i], empty, true));
    json_decref(empty);
}

/* What a guest or a definition says must not command the terminal. */
static void control_characters_do_not_reach_the_terminal(void **state)
{
    (void)state;
    json_t *report =
        json_pack("{s:[{s:s, s:s, s:s, s:[s]}]}", "vms", "name", "a\033[2Jb", "state", "running", "uuid", "u", "warnings", "clear\033[2J");
    render_fn *const all[] = { render_vms, render_check, render_backup, render_restore };

    out_clean(report);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        _cleanup_free_ char *text = render_text(all[i], report, true);
        assert_non_null(strstr(text, "a?[2Jb"));
        assert_null(strchr(text, '\033'));
    }
    json_decref(report);
}

static void bars_tell_rate_and_time_left(void **state)
{
    (void)state;
    struct progress_view v = { .name = "web01 vda", .done = 512 << 20, .total = 1 << 30, .rate = 100 << 20, .eta_s = 5 };
    char line[200];

    bar_format(&v, line, sizeof(line), 199);
    assert_string_equal(line, "web01 vda            [##########----------]  50%  512.0 MiB of 1.0 GiB  100.0 MiB/s  0:05 left");
    v.eta_s = 3725;
    bar_format(&v, line, sizeof(line), 199);
    assert_non_null(strstr(line, "1:02:05 left"));
    v.eta_s = -1;
    bar_format(&v, line, sizeof(line), 40);
    assert_int_equal(strlen(line), 40);
    v.ended = true;
    v.done = v.total = 0;
    bar_format(&v, line, sizeof(line), 199);
    assert_non_null(strstr(line, "100%"));
    assert_non_null(strstr(line, "done"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writers_in_the_manner_of_vssadmin),
        cmocka_unit_test(providers_in_the_manner_of_vssadmin),
        cmocka_unit_test(vms_and_points_as_tables),
        cmocka_unit_test(m4_check_names_conditions_reasons_and_remedies),
        cmocka_unit_test(b3_backup_and_show_tell_consistency),
        cmocka_unit_test(restore_tells_disks_steps_and_warnings),
        cmocka_unit_test(restore_asks_with_the_plan),
        cmocka_unit_test(verify_names_what_is_damaged),
        cmocka_unit_test(keeping_a_repository_is_told),
        cmocka_unit_test(empty_reports_do_no_harm),
        cmocka_unit_test(control_characters_do_not_reach_the_terminal),
        cmocka_unit_test(bars_tell_rate_and_time_left),
    };

    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1); /* texts are in local time, reports in UTC */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
