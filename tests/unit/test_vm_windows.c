/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a Windows guest's vssadmin says of its writers is understood in any language, or known not to be (M2, B3). */
#include "test.h"

#include "writers/vm/windows_writers.h"
#include <errno.h>
#include <string.h>

static char *golden(const char *name)
{
    _cleanup_free_ char *path = str_format("%s/vssadmin/%s.txt", KVSS_GOLDEN_DIR, name);
    FILE *f = fopen(path, "r");
    char *text = calloc(1, 65536);

    if (!f || !text || !fread(text, 1, 65535, f))
        fail_msg("%s cannot be read", path);
    fclose(f);
    return text;
}

static struct vm_record_guest parsed(const char *name)
{
    _cleanup_free_ char *text = golden(name);
    struct vm_record_guest g = { 0 };
    struct err err = ERR_INIT;

    if (vm_windows_parse(text, &g, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    return g;
}

/* The errors of all writers that have one, as "NAME: ERROR; ". */
static char *errors(const struct vm_record_guest *g)
{
    char *all = calloc(1, 4096);

    assert_non_null(all);
    for (size_t i = 0; i < g->n_writers; i++)
        if (g->writers[i].error)
            snprintf(all + strlen(all), 4096 - strlen(all), "%s: %s; ", g->writers[i].name, g->writers[i].error);
    return all;
}

static void assert_errors(const char *name, size_t n_writers, const char *expected)
{
    struct vm_record_guest g = parsed(name);
    _cleanup_free_ char *all = errors(&g);

    assert_int_equal(g.n_writers, n_writers);
    assert_string_equal(all, expected);
    assert_null(g.failure);
    vm_record_guest_clear(&g);
}

static void writers_are_read(void **state)
{
    (void)state;
    struct vm_record_guest g = parsed("server-2022");

    assert_string_equal(g.version, VM_WRITER_WINDOWS);
    assert_int_equal(g.n_writers, 7);
    assert_string_equal(g.writers[3].name, "SqlServerWriter");
    assert_string_equal(g.writers[3].id, "a65faa63-5ea8-4ebc-9dbd-a0c4db26912a");
    assert_string_equal(g.writers[3].instance, "9a2c071c-f231-4a9d-abb3-0b15e1866b79");
    assert_string_equal(g.writers[3].state, "[1] Stable");
    assert_string_equal(g.writers[6].state, "[5] Waiting for completion");
    vm_record_guest_clear(&g);
}

static void b3_only_those_without_error_have_come_through(void **state)
{
    (void)state;
    assert_errors("server-2022", 7, "");
    assert_errors("sql-failed", 7, "SqlServerWriter: [8] Failed: Retryable error; ");
    assert_errors("sql-timed-out", 7, "SqlServerWriter: [1] Stable: Timed out; ");
    assert_errors("german", 2, "");
    assert_errors("german-failed", 2, "Microsoft Exchange Writer: [1] Stabil: Wiederholbarer Fehler; ");
}

static void b3_what_is_not_understood_is_no_success(void **state)
{
    (void)state;
    struct vm_record_guest g = parsed("french");

    assert_int_equal(g.n_writers, 2);
    assert_string_equal(g.writers[1].name, "SqlServerWriter");
    assert_null(g.writers[1].error);
    assert_non_null(g.failure);
    assert_non_null(strstr(g.failure, "Aucune erreur"));
    vm_record_guest_clear(&g);
}

/* Nor are all the others taken for failed because one of them is. */
static void b3_one_that_fails_is_known_in_any_language(void **state)
{
    (void)state;
    struct vm_record_guest g = parsed("french-failed");
    _cleanup_free_ char *all = errors(&g);

    assert_int_equal(g.n_writers, 3);
    assert_non_null(g.failure);
    assert_ptr_equal(strstr(all, "SqlServerWriter: [8] "), all);
    assert_null(strstr(all, "System Writer"));
    assert_null(strstr(all, "Registry Writer"));
    vm_record_guest_clear(&g);
}

/* A writer in the midst of another backup has not come through ours. */
static void b3_a_backup_under_way_is_no_success(void **state)
{
    (void)state;
    static const char text[] = "Writer name: 'A'\n Writer Id: {a65faa63-5ea8-4ebc-9dbd-a0c4db26912a}\n Writer Instance Id: "
                               "{a65faa63-5ea8-4ebc-9dbd-a0c4db26912b}\n State: [3] Waiting for thaw\n Last error: No error\n";
    struct vm_record_guest g = { 0 };

    assert_int_equal(vm_windows_parse(text, &g, NULL), 0);
    assert_string_equal(g.writers[0].error, "[3] Waiting for thaw: No error");
    vm_record_guest_clear(&g);
}

static void what_is_cut_off_is_refused(void **state)
{
    (void)state;
    _cleanup_free_ char *text = golden("server-2022");
    struct vm_record_guest g = { 0 };
    const char *last = strstr(text, "'WMI Writer'"), *end = strstr(last, "No error");

    /* anywhere from the name of the last writer to its last line */
    for (size_t n = (size_t)(end - text); n > (size_t)(last - text) + strlen("'WMI Writer'"); n--) {
        _cleanup_free_ char *part = strndup(text, n);
        assert_int_equal(vm_windows_parse(part, &g, NULL), -EBADMSG);
    }
    assert_int_equal(vm_windows_parse("Error: You don't have the correct permissions to run this command.\n", &g, NULL), -EBADMSG);
    assert_int_equal(vm_windows_parse("", &g, NULL), -EBADMSG);
    assert_false(g.known);
}

static void too_many_are_refused(void **state)
{
    (void)state;
    char *text = calloc(300, 256);
    struct vm_record_guest g = { 0 };

    assert_non_null(text);
    for (int i = 0; i < 300; i++)
        snprintf(text + strlen(text), 256,
                 "Writer name: 'A'\nWriter Id: {a65faa63-5ea8-4ebc-9dbd-a0c4db26912a}\nWriter Instance Id: "
                 "{a65faa63-5ea8-4ebc-9dbd-a0c4db26912b}\nState: [1] Stable\nLast error: No error\n");
    assert_int_equal(vm_windows_parse(text, &g, NULL), -EFBIG);
    free(text);
}

static void the_backup_type_is_the_agents(void **state)
{
    (void)state;
    _cleanup_free_ char *copy = golden("copy.reg");

    assert_string_equal(vm_windows_backup_type(copy), "copy");
    assert_string_equal(vm_windows_backup_type("ERROR: The system was unable to find the specified registry key or value.\r\n"), "full");
    assert_string_equal(vm_windows_backup_type(" VssOption REG_DWORD 0x6"), "full"); /* the agent takes no such value */
    assert_string_equal(vm_windows_backup_type(" VssOption REG_SZ copy"), "full");
    assert_string_equal(vm_windows_backup_type(" VssOption REG_DWORD 0x4"), "log");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writers_are_read),
        cmocka_unit_test(b3_only_those_without_error_have_come_through),
        cmocka_unit_test(b3_what_is_not_understood_is_no_success),
        cmocka_unit_test(b3_one_that_fails_is_known_in_any_language),
        cmocka_unit_test(b3_a_backup_under_way_is_no_success),
        cmocka_unit_test(what_is_cut_off_is_refused),
        cmocka_unit_test(too_many_are_refused),
        cmocka_unit_test(the_backup_type_is_the_agents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
