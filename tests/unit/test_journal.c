/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of effects: undo runs once, last first, goes on after failures, and a group does not wait for another (B2). */
#include "test.h"

#include "base/clock.h"
#include "journal/journal.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

struct record {
    pthread_mutex_t lock;
    char text[256];      /* values "name" in the order undone */
    const char *fail_on; /* undo of this one fails */
    unsigned fails;      /* so many times */
    unsigned inherited;  /* how many were another process's */
};

static int undo_note(void *ctx, const struct journal_effect *e, struct err *err)
{
    struct record *r = ctx;
    const char *name = journal_value(e, "name");

    if (!strcmp(name, "slow"))
        clock_sleep_ms(200);
    SCOPED_LOCK(&r->lock);
    if (r->fail_on && !strcmp(name, r->fail_on) && r->fails) {
        r->fails--;
        return err_set(err, EIO, "%s cannot be undone", name);
    }
    r->inherited += journal_is_inherited(e);
    strcat(r->text, name);
    strcat(r->text, " ");
    return 0;
}

static int finish_note(void *ctx, const struct journal_effect *e, struct err *err)
{
    struct record *r = ctx;

    (void)err;
    SCOPED_LOCK(&r->lock);
    strcat(r->text, "+");
    strcat(r->text, journal_value(e, "name"));
    strcat(r->text, " ");
    return 0;
}

static int undo_file(void *ctx, const struct journal_effect *e, struct err *err)
{
    (void)ctx;
    return journal_remove_made(e, "path", journal_value(e, "own_name") != NULL, err);
}

static const struct journal_verb verbs[] = {
    { "note", undo_note },
    { "kept", undo_note, finish_note },
    { "on-top", undo_note, NULL, true },
    { "result", undo_note, .lasting = true },
    { "file", undo_file, .places = { "path" } },
    { NULL, NULL },
};

static struct journal *start(struct record *r)
{
    struct journal *j = NULL;
    memset(r, 0, sizeof(*r));
    pthread_mutex_init(&r->lock, NULL);
    assert_int_equal(journal_new(NULL, "s", verbs, r, NULL, &j, NULL), 0);
    return j;
}

static uint64_t enter_verb(struct journal *j, const char *verb, const char *name, const char *group)
{
    const struct journal_arg args[] = { { "name", name }, { group ? "group" : NULL, group }, { NULL, NULL } };
    uint64_t id = 0;
    assert_int_equal(journal_begin(j, verb, args, &id, NULL), 0);
    assert_true(id > 0);
    return id;
}

static uint64_t enter(struct journal *j, const char *name, const char *group)
{
    return enter_verb(j, "note", name, group);
}

static void undo_is_last_first_and_once(void **state)
{
    (void)state;
    struct record r;
    struct journal *j = start(&r);

    enter(j, "a", NULL);
    journal_done(j, enter(j, "b", NULL));
    enter(j, "c", NULL);
    assert_int_equal(journal_open_effects(j), 3);
    assert_int_equal(journal_undo_all(j, NULL), 0);
    assert_string_equal(r.text, "c b a ");
    assert_int_equal(journal_undo_all(j, NULL), 0);
    assert_string_equal(r.text, "c b a ");
    assert_int_equal(r.inherited, 0);
    assert_int_equal(journal_open_effects(j), 0);
    journal_free(j);
}

static void settled_effects_are_left_alone(void **state)
{
    (void)state;
    struct record r;
    struct journal *j = start(&r);

    enter(j, "a", NULL);
    uint64_t b = enter(j, "b", NULL);
    journal_done(j, b);
    journal_settled(j, b);
    journal_done(j, b); /* comes late: settled it stays */
    assert_int_equal(journal_undo(j, b, NULL), 0);
    assert_int_equal(journal_undo_all(j, NULL), 0);
    assert_string_equal(r.text, "a ");
    journal_free(j);
}

/* What lasts is meant to stay; files that are needed no more stay in the list until they are gone. */
static void at_the_end_only_what_lasts_is_settled(void **state)
{
    (void)state;
    struct record r;
    struct journal *j = start(&r);

    enter(j, "file", NULL);
    enter_verb(j, "result", "checkpoint", "vm1");
    journal_settle_lasting(j);
    assert_int_equal(journal_open_effects(j), 1);
    assert_int_equal(journal_undo_all(j, NULL), 0);
    assert_string_equal(r.text, "file ");
    journal_free(j);
}

static void undo_goes_on_after_a_failure_and_can_be_tried_again(void **state)
{
    (void)state;
    struct record r;
    struct journal *j = start(&r);
    struct err err = ERR_INIT;

    enter(j, "a", NULL);
    enter(j, "b", NULL);
    enter(j, "c", NULL);
    r.fail_on = "b";
    r.fails = 1;
    assert_int_equal(journal_undo_all(j, &err), -EIO);
    assert_non_null(strstr(err.text, "b cannot be undone"));
    assert_string_equal(r.text, "c a ");
    assert_int_equal(journal_open_effects(j), 1);
    assert_int_equal(journal_undo_all(j, &err), 0);
    assert_string_equal(r.text, "c a b ");
    journal_free(j);
}

static void what_is_committed_is_finished_and_the_rest_undone(void **state)
{
    (void)state;
    struct record r;
    struct journal *j = start(&r);

    enter_verb(j, "kept", "a", "one");
    enter_verb(j, "kept", "b", "two");
    enter_verb(j, "on-top", "c", "one");
    assert_int_equal(journal_commit(j, "one", NULL), 0);
    uint64_t late = enter_verb(j, "note", "late", "one");
    assert_int_equal(journal_undo(j, late, NULL), 0);
    assert_string_equal(r.text, "late ");
    r.text[0] = '\0';
    assert_int_equal(journal_undo_all(j, NULL), 0);
    assert_int_equal(journal_open_effects(j), 0);
    assert_non_null(strstr(r.text, "+a "));
    assert_null(strstr(r.text, "+b "));
    assert_non_null(strstr(r.text, "b "));
    assert_null(strstr(r.text, "c"));
    journal_free(j);
}

static void nothing_is_undone_beneath_what_could_not_be(void **state)
{
    (void)state;
    struct record r;
    struct journal *j = start(&r);
    struct err err = ERR_INIT;

    enter_verb(j, "note", "a", "one");
    enter_verb(j, "on-top", "b", "one");
    enter_verb(j, "on-top", "c", "one");
    enter_verb(j, "on-top", "other", "two");
    r.fail_on = "c";
    r.fails = 1;
    assert_int_equal(journal_undo_all(j, &err), -EIO);
    assert_int_equal(journal_open_effects(j), 2);
    assert_null(strstr(r.text, "b "));
    assert_non_null(strstr(r.text, "a "));
    assert_non_null(strstr(r.text, "other "));
    r.text[0] = '\0';
    assert_int_equal(journal_undo_all(j, &err), 0);
    assert_string_equal(r.text, "c b ");
    journal_free(j);
}

static void groups_do_not_wait_for_each_other(void **state)
{
    (void)state;
    struct record r;
    struct journal *j = start(&r);

    enter(j, "x", "vm1"); /* waits for slow, which is of its own group */
    enter(j, "slow", "vm1");
    enter(j, "y", "vm2");
    enter(j, "last", NULL);
    assert_int_equal(journal_undo_all(j, NULL), 0);
    assert_string_equal(r.text, "y slow x last ");
    journal_free(j);
}

static void an_unknown_verb_is_refused(void **state)
{
    (void)state;
    struct record r;
    struct journal *j = start(&r);
    struct err err = ERR_INIT;
    uint64_t id = 7;

    assert_int_equal(journal_begin(j, "no-such", NULL, &id, &err), -EINVAL);
    assert_int_equal(id, 7);
    assert_int_equal(journal_undo(j, 99, NULL), 0);
    assert_int_equal(journal_undo(j, 0, NULL), 0);
    journal_free(j);
}

/* ---- On disk -----------------------------------------------------------------------------------------------------------------*/

static struct journal *start_in(const char *dir, const char *session, struct record *r)
{
    struct journal *j = NULL;
    struct err err = ERR_INIT;
    memset(r, 0, sizeof(*r));
    pthread_mutex_init(&r->lock, NULL);
    assert_ok(journal_new(dir, session, verbs, r, NULL, &j, &err));
    return j;
}

struct found {
    int n;
    size_t effects, left;
};

static void note_recovered(void *priv, const struct journal_recovered *r)
{
    struct found *f = priv;
    f->n++;
    f->effects += r->effects;
    f->left += r->left;
}

static struct found recover(const char *dir, struct record *r)
{
    struct found f = { 0 };
    struct err err = ERR_INIT;
    assert_ok(journal_recover(dir, verbs, r, NULL, note_recovered, &f, &err));
    return f;
}

/* Does `work` in a child that is killed outright, so that locks go and nothing is tidied up. */
static void in_killed_child(const char *dir, void (*work)(struct journal *j))
{
    pid_t pid = fork();
    if (pid == 0) {
        struct record r = { 0 };
        struct journal *j = NULL;
        pthread_mutex_init(&r.lock, NULL);
        if (journal_new(dir, "dead", verbs, &r, NULL, &j, NULL) < 0)
            _exit(1);
        work(j);
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static void enter_three(struct journal *j)
{
    enter(j, "a", NULL);
    uint64_t b = enter(j, "b \"quoted\"\n", NULL);
    journal_done(j, enter(j, "c", "vm1"));
    journal_settled(j, b);
}

static void b2_a_killed_session_is_recovered_once(void **state)
{
    struct record r = { 0 };
    pthread_mutex_init(&r.lock, NULL);
    in_killed_child(*state, enter_three);
    struct found f = recover(*state, &r);
    assert_int_equal(f.n, 1);
    assert_int_equal(f.effects, 2);
    assert_int_equal(f.left, 0);
    assert_string_equal(r.text, "c a ");
    assert_int_equal(r.inherited, 2);
    f = recover(*state, &r);
    assert_int_equal(f.n, 0);
    assert_string_equal(r.text, "c a ");
}

static void b2_what_cannot_be_undone_stays_for_the_next_time(void **state)
{
    struct record r = { .fail_on = "c", .fails = 1 };
    pthread_mutex_init(&r.lock, NULL);
    in_killed_child(*state, enter_three);
    struct found f = recover(*state, &r);
    assert_int_equal(f.left, 1);
    f = recover(*state, &r);
    assert_int_equal(f.effects, 1);
    assert_int_equal(f.left, 0);
    assert_string_equal(r.text, "a c ");
}

static void commit_and_go_on(struct journal *j)
{
    enter_verb(j, "kept", "a", "one");
    enter_verb(j, "kept", "b", "two");
    if (journal_commit(j, "one", NULL) < 0)
        _exit(1);
    enter(j, "c", "one");
}

static void b2_a_commit_outlives_its_session(void **state)
{
    struct record r = { 0 };
    pthread_mutex_init(&r.lock, NULL);
    in_killed_child(*state, commit_and_go_on);
    struct found f = recover(*state, &r);
    assert_int_equal(f.effects, 3);
    assert_int_equal(f.left, 0);
    const char *undone = strstr(r.text, "c "), *finished = strstr(r.text, "+a ");
    assert_true(undone && finished && undone < finished);
    assert_non_null(strstr(r.text, "b "));
    assert_null(strstr(r.text, "+b"));
}

static struct found survey(const char *dir)
{
    struct found f = { 0 };
    struct err err = ERR_INIT;
    assert_ok(journal_survey(dir, verbs, note_recovered, &f, &err));
    return f;
}

static void b2_a_survey_tells_what_died_and_changes_nothing(void **state)
{
    struct record r = { 0 }, living;
    _cleanup_free_ char *path = str_format("%s/dead/effects", (char *)*state), *nowhere = io_path(*state, "nowhere");

    pthread_mutex_init(&r.lock, NULL);
    struct journal *j = start_in(*state, "alive", &living);
    enter(j, "a", NULL);
    assert_int_equal(survey(*state).n, 0);
    in_killed_child(*state, enter_three);
    for (int i = 0; i < 2; i++) {
        struct found f = survey(*state);
        assert_int_equal(f.n, 1);
        assert_int_equal(f.effects, 2);
        assert_int_equal(f.left, 2);
    }
    struct found f = recover(*state, &r); /* all of it is there still */
    assert_int_equal(f.effects, 2);
    assert_string_equal(r.text, "c a ");
    assert_int_equal(survey(*state).n, 0);
    in_killed_child(*state, enter_three);
    write_text(path, "garbage\n");
    assert_int_equal(survey(*state).n, 1);
    assert_int_equal(survey(nowhere).n, 0);
    assert_int_equal(journal_undo_all(j, NULL), 0);
    journal_free(j);
}

static void b2_a_group_is_held_while_a_dead_session_is_put_back(void **state)
{
    struct record living, r = { 0 };
    struct err err = ERR_INIT;

    pthread_mutex_init(&r.lock, NULL);
    struct journal *j = start_in(*state, "alive", &living);
    assert_int_equal(journal_group_held(*state, verbs, "vm1", &err), 0);
    uint64_t id = enter(j, "a", "vm1");
    assert_int_equal(journal_group_held(*state, verbs, "vm1", &err), 0); /* its owner lives: a copy of vm1 is no business of vm1's */
    _cleanup_free_ char *mark = str_format("%s/alive/orphan", (char *)*state);
    write_text(mark, ""); /* as the watchdog says that it has the session now */
    assert_int_equal(journal_group_held(*state, verbs, "vm1", &err), 1);
    assert_int_equal(journal_group_held(*state, verbs, "vm2", &err), 0);
    journal_settled(j, id);
    assert_int_equal(journal_group_held(*state, verbs, "vm1", &err), 0);
    in_killed_child(*state, enter_three); /* nobody has it: it is to be recovered, not to be waited for */
    assert_int_equal(journal_group_held(*state, verbs, "vm1", &err), 0);
    assert_int_equal(recover(*state, &r).effects, 2);
    journal_free(j);
}

static void b2_a_live_session_is_not_touched(void **state)
{
    struct record r, other = { 0 };
    pthread_mutex_init(&other.lock, NULL);
    struct journal *j = start_in(*state, "alive", &r);
    enter(j, "a", NULL);
    assert_int_equal(recover(*state, &other).n, 0);
    assert_int_equal(journal_undo_all(j, NULL), 0);
    assert_string_equal(r.text, "a ");
    journal_free(j);
    _cleanup_free_ char *left = io_path(*state, "alive");
    assert_false(io_exists(left));
}

static void two_sessions_of_one_name_are_refused(void **state)
{
    struct record r;
    struct err err = ERR_INIT;
    struct journal *j = start_in(*state, "s", &r), *second = NULL;
    assert_fails(EEXIST, journal_new(*state, "s", verbs, &r, NULL, &second, &err));
    journal_free(j);
}

static void enter_and_cut(struct journal *j)
{
    enter(j, "a", NULL);
    enter(j, "b", NULL);
}

static void a_line_that_was_cut_off_is_an_effect_that_never_was(void **state)
{
    struct record r = { 0 };
    _cleanup_free_ char *path = str_format("%s/dead/effects", (char *)*state);
    _cleanup_buf_ struct buf whole = BUF_INIT;
    struct err err = ERR_INIT;

    pthread_mutex_init(&r.lock, NULL);
    in_killed_child(*state, enter_and_cut);
    assert_ok(io_read_file(path, 1 << 20, &whole, &err));
    assert_int_equal(truncate(path, (off_t)whole.len - 3), 0);
    struct found f = recover(*state, &r);
    assert_int_equal(f.effects, 1);
    assert_string_equal(r.text, "a ");
}

/* ... also when whoever recovers writes on, and dies in turn. */
static void b2_after_a_line_that_was_cut_off_the_list_goes_on(void **state)
{
    struct record r = { .fail_on = "a", .fails = 1 };
    _cleanup_free_ char *path = str_format("%s/dead/effects", (char *)*state);
    _cleanup_buf_ struct buf whole = BUF_INIT;
    struct err err = ERR_INIT;

    pthread_mutex_init(&r.lock, NULL);
    in_killed_child(*state, enter_three);
    assert_ok(io_read_file(path, 1 << 20, &whole, &err));
    assert_int_equal(truncate(path, (off_t)whole.len - 3), 0);
    struct found f = recover(*state, &r);
    assert_int_equal(f.left, 1);
    f = recover(*state, &r);
    assert_int_equal(f.effects, 1);
    assert_int_equal(f.left, 0);
}

/* Enters until the file can grow no more; then there is room again. */
static void enter_until_full(struct journal *j)
{
    const struct rlimit limit = { 1000, RLIM_INFINITY }, none = { RLIM_INFINITY, RLIM_INFINITY };
    const struct journal_arg args[] = { { "name", "x" }, { NULL, NULL } };
    uint64_t id, n = 0;

    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    while (journal_begin(j, "note", args, &id, NULL) == 0)
        n = id;
    setrlimit(RLIMIT_FSIZE, &none);
    journal_settled(j, n);
}

static void b2_a_list_of_a_disk_that_was_full_can_be_read(void **state)
{
    struct record r = { 0 };

    pthread_mutex_init(&r.lock, NULL);
    in_killed_child(*state, enter_until_full);
    struct found f = recover(*state, &r);
    assert_int_equal(f.n, 1);
    assert_int_equal(f.left, 0);
    assert_non_null(strstr(r.text, "x x x "));
}

static void a_damaged_list_is_told_and_kept(void **state)
{
    struct record r = { 0 };
    _cleanup_free_ char *path = str_format("%s/dead/effects", (char *)*state);
    const char *const texts[] = { "garbage\n",
                                  "{}\n",
                                  "[1]\n",
                                  "{\"effect\":2,\"verb\":\"note\",\"values\":{}}\n",
                                  "{\"effect\":1,\"verb\":\"unheard-of\",\"values\":{}}\n",
                                  "{\"effect\":1,\"verb\":\"note\",\"values\":{\"name\":7}}\n" };

    pthread_mutex_init(&r.lock, NULL);
    in_killed_child(*state, enter_and_cut);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        write_text(path, texts[i]);
        struct found f = recover(*state, &r);
        assert_int_equal(f.n, 1);
        assert_int_equal(f.left, 1);
        assert_true(io_exists(path));
    }
    assert_string_equal(r.text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(undo_is_last_first_and_once),
        cmocka_unit_test(settled_effects_are_left_alone),
        cmocka_unit_test(at_the_end_only_what_lasts_is_settled),
        cmocka_unit_test(undo_goes_on_after_a_failure_and_can_be_tried_again),
        cmocka_unit_test(what_is_committed_is_finished_and_the_rest_undone),
        cmocka_unit_test(nothing_is_undone_beneath_what_could_not_be),
        cmocka_unit_test(groups_do_not_wait_for_each_other),
        cmocka_unit_test(an_unknown_verb_is_refused),
        test_in_dir(b2_a_killed_session_is_recovered_once),
        test_in_dir(b2_what_cannot_be_undone_stays_for_the_next_time),
        test_in_dir(b2_a_commit_outlives_its_session),
        test_in_dir(b2_a_survey_tells_what_died_and_changes_nothing),
        test_in_dir(b2_a_group_is_held_while_a_dead_session_is_put_back),
        test_in_dir(b2_a_live_session_is_not_touched),
        test_in_dir(two_sessions_of_one_name_are_refused),
        test_in_dir(a_line_that_was_cut_off_is_an_effect_that_never_was),
        test_in_dir(b2_after_a_line_that_was_cut_off_the_list_goes_on),
        test_in_dir(b2_a_list_of_a_disk_that_was_full_can_be_read),
        test_in_dir(a_damaged_list_is_told_and_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
