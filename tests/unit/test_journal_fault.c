/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fault points themselves: the matrix of tests/fault rests on them. Skipped where they are not compiled in. */
#include "test.h"

#include "journal/journal_internal.h"
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int undo_nothing(void *ctx, const struct journal_effect *e, struct err *err)
{
    (void)ctx, (void)e, (void)err;
    return 0;
}

static const struct journal_verb verbs[] = { { "freeze", undo_nothing }, { "other", undo_nothing }, { NULL, NULL } };

static struct journal *start(const char *dir, const char *fault)
{
    struct journal *j = NULL;
    struct err err = ERR_INIT;

    setenv("KVSS_TEST_FAULT", fault, 1);
    assert_ok(journal_new(dir, "s", verbs, NULL, NULL, &j, &err));
    return j;
}

static int begin(struct journal *j, const char *verb, uint64_t *ret_id, struct err *err)
{
    const struct journal_arg args[] = { { NULL, NULL } };

    return journal_begin(j, verb, args, ret_id, err);
}

static int teardown(void **state)
{
    unsetenv("KVSS_TEST_FAULT");
    unsetenv("KVSS_TEST_FAULT_LOG");
    return test_dir_teardown(state);
}

static void a_step_fails_the_nth_time_and_the_effect_stays_open(void **state)
{
    struct journal *j = start(*state, "fail:freeze:begin:2");
    struct err err = ERR_INIT;
    uint64_t id;

    assert_ok(begin(j, "freeze", &id, &err));
    assert_ok(begin(j, "other", &id, &err));
    assert_fails(EIO, begin(j, "freeze", &id, &err));
    assert_ok(begin(j, "freeze", &id, &err));
    assert_int_equal(journal_open_effects(j), 4);
    assert_ok(journal_undo_all(j, &err));
    journal_free(j);
}

static void what_was_done_can_be_said_to_have_failed(void **state)
{
    struct journal *j = start(*state, "fail:freeze:done");
    struct err err = ERR_INIT;
    uint64_t id;

    assert_ok(begin(j, "freeze", &id, &err));
    assert_int_equal(journal_done(j, id), -EIO);
    assert_int_equal(journal_open_effects(j), 1);
    assert_ok(journal_undo_all(j, &err));
    journal_free(j);
}

static void the_process_dies_after_the_line_is_on_disk(void **state)
{
    _cleanup_free_ char *log = io_path(*state, "log"), *effects = io_path(*state, "s/effects");
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct err err = ERR_INIT;
    int status;

    setenv("KVSS_TEST_FAULT_LOG", log, 1);
    pid_t pid = fork();
    if (pid == 0) {
        uint64_t id;
        begin(start(*state, "kill:freeze:begin"), "freeze", &id, NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_file_text(log, "verb freeze\nverb other\nbegin freeze\nfault kill begin freeze\n");
    assert_ok(io_read_file(effects, 4096, &b, &err));
    assert_non_null(strstr((const char *)b.data, "\"verb\":\"freeze\""));
}

static void nonsense_is_refused(void **state)
{
    static const char *const specs[] = { "", "kill", "kill:freeze", "kill:freeze:sometimes", "kill:freeze:done:0", "kill:freeze:done:1x" };
    struct err err = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
        struct journal *j = NULL;
        setenv("KVSS_TEST_FAULT", specs[i], 1);
        assert_fails(EINVAL, journal_new(*state, "s", verbs, NULL, NULL, &j, &err));
        assert_ok(io_remove_tree(*state, &err));
        assert_int_equal(mkdir(*state, 0700), 0);
    }
}

int main(void)
{
#ifndef KVSS_FAULT_POINTS
    puts("1..0 # SKIP there are none in this build"); /* cmocka's own word for a skipped test is a failure to meson */
    return 0;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_step_fails_the_nth_time_and_the_effect_stays_open, test_dir_setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_done_can_be_said_to_have_failed, test_dir_setup, teardown),
        cmocka_unit_test_setup_teardown(the_process_dies_after_the_line_is_on_disk, test_dir_setup, teardown),
        cmocka_unit_test_setup_teardown(nonsense_is_refused, test_dir_setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
