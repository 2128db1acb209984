/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The watchdog: it outlives the owner of a session and undoes what that leaves, and lets go what is held too long (B2). */
#include "test.h"

#include "base/clock.h"
#include "base/strv.h"
#include "journal/journal.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Undo here is a line in a file: it is another process that does it. ctx is the path. */
static int undo_to_file(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_free_ char *sane = str_format("%s.sane", (char *)ctx);
    if (!strcmp(journal_value(e, "name"), "stuck") && !io_exists(sane))
        return err_set(err, EIO, "stuck");
    if (!strcmp(journal_value(e, "name"), "silent") && !io_exists(sane))
        return err_set(err, ETIMEDOUT, "no answer");
    if (!strcmp(journal_value(e, "name"), "slow"))
        clock_sleep_ms(3000);
    FILE *f = fopen(ctx, "a");
    if (!f)
        return err_set(err, errno, "cannot open %s", (char *)ctx);
    fprintf(f, "%s ", journal_value(e, "name"));
    fclose(f);
    return 0;
}

static const struct journal_verb verbs[] = {
    { "freeze", undo_to_file },
    { "other", undo_to_file },
    { "pause", undo_to_file, .holds = true },
    { "told", undo_to_file, .for_heirs = true },
    { NULL, NULL },
};

struct place {
    char *sessions, *undone;
};

static struct place place(void **state)
{
    return (struct place){ io_path(*state, "sessions"), io_path(*state, "undone") };
}

static void place_clear(struct place *p)
{
    free(p->sessions);
    free(p->undone);
}

static struct journal *start(const struct place *p, const char *session)
{
    struct journal *j = NULL;
    struct err err = ERR_INIT;
    _cleanup_free_ char *self = realpath("/proc/self/exe", NULL); /* under valgrind the link itself leads to valgrind */
    char *argv[] = { self, (char *)"--watch", p->sessions, (char *)session, p->undone, NULL };

    assert_ok(journal_new(p->sessions, session, verbs, p->undone, NULL, &j, &err));
    assert_ok(journal_watch_start(j, argv, NULL, &err));
    return j;
}

static uint64_t enter(struct journal *j, const char *verb, const char *name)
{
    const struct journal_arg args[] = { { "name", name }, { NULL, NULL } };
    uint64_t id;
    assert_int_equal(journal_begin(j, verb, args, &id, NULL), 0);
    return id;
}

static bool reads(const char *path, const char *text)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    return io_read_file(path, 1 << 16, &b, NULL) >= 0 && !strcmp((const char *)b.data, text);
}

static void wait_until_reads(const char *path, const char *text)
{
    for (int i = 0; i < 500 && !reads(path, text); i++)
        clock_sleep_ms(20);
    assert_file_text(path, text);
}

static void b2_it_undoes_what_a_killed_owner_leaves(void **state)
{
    _cleanup_(place_clear) struct place p = place(state);
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct journal *j = start(&p, "killed");
        enter(j, "other", "a");
        enter(j, "freeze", "b");
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    wait_until_reads(p.undone, "b a ");
    _cleanup_free_ char *session = io_path(p.sessions, "killed");
    for (int i = 0; i < 500 && io_exists(session); i++)
        clock_sleep_ms(20);
    assert_false(io_exists(session));
}

static void b2_it_lets_go_what_is_held_too_long(void **state)
{
    _cleanup_(place_clear) struct place p = place(state);
    struct err err = ERR_INIT;
    struct journal *j = start(&p, "hangs");

    enter(j, "other", "a");
    enter(j, "freeze", "b");
    assert_ok(journal_deadline(j, JOURNAL_HELD_VMS, 100, &err));
    wait_until_reads(p.undone, "b "); /* we live, and do nothing */
    assert_int_equal(journal_open_effects(j), 2);
    assert_ok(journal_deadline(j, JOURNAL_HELD_VMS, 0, &err)); /* a sign of life, or it would end us */
    clock_sleep_ms(1000);
    journal_settled(j, 1);
    journal_settled(j, 2);
    journal_free(j);
    assert_file_text(p.undone, "b ");
}

static void b2_writers_are_held_for_a_time_of_their_own(void **state)
{
    _cleanup_(place_clear) struct place p = place(state);
    struct err err = ERR_INIT;
    struct journal *j = start(&p, "hangs");

    enter(j, "other", "a");
    enter(j, "freeze", "b");
    assert_ok(journal_deadline(j, JOURNAL_HELD_WRITERS, 300, &err));
    assert_ok(journal_deadline(j, JOURNAL_HELD_VMS, 60000, &err));
    assert_ok(journal_deadline(j, JOURNAL_HELD_VMS, 0, &err)); /* the VMs are let go, the writers are not */
    wait_until_reads(p.undone, "b ");
    assert_ok(journal_deadline(j, JOURNAL_HELD_WRITERS, 0, &err));
    clock_sleep_ms(1000);
    journal_settled(j, 1);
    journal_settled(j, 2);
    journal_free(j);
    assert_file_text(p.undone, "b ");
}

/* The status of an owner that lets the deadline pass. */
static int end_of_hanging_owner(const struct place *p, bool deaf, bool undoes)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct journal *j = start(p, "hangs");
        signal(SIGALRM, deaf ? SIG_IGN : SIG_DFL);
        enter(j, "other", "a");
        enter(j, "freeze", "b");
        if (undoes)
            enter(j, "other", "slow");
        journal_deadline(j, JOURNAL_HELD_VMS, 100, NULL);
        if (undoes)
            journal_undo_all(j, NULL);
        else
            clock_sleep_ms(60000);
        journal_free(j);
        test_child_end(true);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void b2_an_owner_that_hangs_is_ended(void **state)
{
    _cleanup_(place_clear) struct place p = place(state);
    int status = end_of_hanging_owner(&p, false, false);

    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
    wait_until_reads(p.undone, "b b a "); /* let go at the deadline, then undone as for any that died */
}

static void b2_an_owner_that_hears_nothing_is_killed(void **state)
{
    _cleanup_(place_clear) struct place p = place(state);
    int status = end_of_hanging_owner(&p, true, false);

    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    wait_until_reads(p.undone, "b b a ");
}

static void an_owner_that_undoes_is_left_to_it(void **state)
{
    _cleanup_(place_clear) struct place p = place(state);
    int status = end_of_hanging_owner(&p, false, true);

    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_deadline_that_is_taken_back_does_nothing(void **state)
{
    _cleanup_(place_clear) struct place p = place(state);
    struct err err = ERR_INIT;
    struct journal *j = start(&p, "fine");
    uint64_t id = enter(j, "freeze", "b");

    assert_ok(journal_deadline(j, JOURNAL_HELD_VMS, 100, &err));
    assert_ok(journal_deadline(j, JOURNAL_HELD_VMS, 0, &err));
    journal_settled(j, id);
    clock_sleep_ms(300);
    journal_free(j);
    assert_false(io_exists(p.undone));
    _cleanup_free_ char *session = io_path(p.sessions, "fine");
    assert_false(io_exists(session));
}

static void b2_it_tries_again_what_the_owner_gave_up(void **state)
{
    _cleanup_(place_clear) struct place p = place(state);
    struct journal *j = start(&p, "left");

    enter(j, "freeze", "b");
    journal_free(j); /* with an open effect */
    assert_file_text(p.undone, "b ");
}

static void killed_with(const struct place *p, const char *verb, const char *name)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct journal *j = start(p, "stuck");
        enter(j, "other", "a");
        enter(j, verb, name);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* What holds a VM (a pause, a backup job), whatever the failure was: an image that is locked for a moment, a QEMU that hangs. */
static void tried_again(void **state, const char *name, const char *wanted)
{
    _cleanup_(place_clear) struct place p = place(state);
    _cleanup_free_ char *sane = str_format("%s.sane", p.undone), *session = io_path(p.sessions, "stuck");

    struct err err = ERR_INIT;
    killed_with(&p, "pause", name);
    wait_until_reads(p.undone, "a ");
    clock_sleep_ms(1500);
    assert_ok(journal_wait_for_watchdogs(p.sessions, 5000, &err)); /* between two attempts */
    write_text(sane, "");
    wait_until_reads(p.undone, wanted);
    for (int i = 0; i < 500 && io_exists(session); i++)
        clock_sleep_ms(20);
    assert_false(io_exists(session));
}

static void b2_what_was_not_answered_is_tried_again(void **state)
{
    tried_again(state, "silent", "a silent ");
}

static void b2_what_holds_a_vm_is_tried_again(void **state)
{
    tried_again(state, "stuck", "a stuck ");
}

/* The session itself has another way, and says so by settling it; its heirs have none. */
static void b2_what_is_for_heirs_the_session_does_not_undo(void **state)
{
    _cleanup_(place_clear) struct place p = place(state);
    struct err err = ERR_INIT;
    struct journal *j = start(&p, "own");
    uint64_t id = enter(j, "told", "t");

    enter(j, "other", "a");
    assert_ok(journal_undo_all(j, &err));
    assert_file_text(p.undone, "a ");
    assert_int_equal(journal_open_effects(j), 1);
    journal_settled(j, id);
    journal_free(j);
    assert_file_text(p.undone, "a ");

    killed_with(&p, "told", "t2");
    wait_until_reads(p.undone, "a t2 a ");
}

/* "Nothing was left behind" would not be true. */
static void b2_who_asks_waits_for_the_watchdog(void **state)
{
    _cleanup_(place_clear) struct place p = place(state);
    _cleanup_free_ char *session = io_path(p.sessions, "stuck");
    struct err err = ERR_INIT;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct journal *j = start(&p, "stuck");
        enter(j, "other", "slow");
        enter(j, "other", "a");
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    wait_until_reads(p.undone, "a ");
    assert_fails(EBUSY, journal_wait_for_watchdogs(p.sessions, 0, &err)); /* what is slow takes 3 s */
    assert_ok(journal_wait_for_watchdogs(p.sessions, 20000, &err));
    assert_false(io_exists(session));
    assert_ok(journal_wait_for_watchdogs("/nonexistent", 0, &err));
}

static void b2_what_holds_nobody_is_left_to_recover(void **state)
{
    _cleanup_(place_clear) struct place p = place(state);
    _cleanup_free_ char *sane = str_format("%s.sane", p.undone), *session = io_path(p.sessions, "stuck");

    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* the watchdog becomes a child of ours */
    killed_with(&p, "other", "stuck");
    while (wait(NULL) > 0) /* it has tried again, and has ended */
        ;
    write_text(sane, "");
    clock_sleep_ms(1500);
    assert_file_text(p.undone, "a ");
    assert_true(io_exists(session));
    assert_int_equal(journal_recover(p.sessions, verbs, p.undone, NULL, NULL, NULL, NULL), 0);
    assert_file_text(p.undone, "a stuck ");
}

/* An agent that cannot thaw now may be able to later: the owner has long gone. */
static void b2_what_is_held_is_tried_again_and_again(void **state)
{
    _cleanup_(place_clear) struct place p = place(state);
    _cleanup_free_ char *sane = str_format("%s.sane", p.undone), *session = io_path(p.sessions, "stuck");

    killed_with(&p, "freeze", "stuck");
    wait_until_reads(p.undone, "a ");
    clock_sleep_ms(1500);
    assert_file_text(p.undone, "a ");
    write_text(sane, "");
    wait_until_reads(p.undone, "a stuck ");
    for (int i = 0; i < 500 && io_exists(session); i++)
        clock_sleep_ms(20);
    assert_false(io_exists(session));
}

static void a_watchdog_that_cannot_start_is_told(void **state)
{
    _cleanup_(place_clear) struct place p = place(state);
    struct journal *j = NULL;
    struct err err = ERR_INIT;
    char *argv[] = { (char *)"/bin/false", NULL };

    assert_ok(journal_new(p.sessions, "s", verbs, p.undone, NULL, &j, &err));
    assert_fails(EIO, journal_watch_start(j, argv, NULL, &err));
    assert_ok(journal_deadline(j, JOURNAL_HELD_VMS, 100, &err));
    journal_free(j);
    assert_ok(journal_new(NULL, "s", verbs, p.undone, NULL, &j, &err));
    assert_fails(EINVAL, journal_watch_start(j, argv, NULL, &err));
    journal_free(j);
}

static int watch(char **argv)
{
    const struct journal_watch_config c = {
        .fd = 0,
        .dir = argv[2],
        .session_id = argv[3],
        .held_verb = "freeze",
        .grace_ms = 2000,
        .verbs = verbs,
        .ctx = argv[4],
    };
    return journal_watch_run(&c, NULL) < 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(b2_it_undoes_what_a_killed_owner_leaves),
        test_in_dir(b2_it_lets_go_what_is_held_too_long),
        test_in_dir(b2_writers_are_held_for_a_time_of_their_own),
        test_in_dir(b2_an_owner_that_hangs_is_ended),
        test_in_dir(b2_an_owner_that_hears_nothing_is_killed),
        test_in_dir(an_owner_that_undoes_is_left_to_it),
        test_in_dir(a_deadline_that_is_taken_back_does_nothing),
        test_in_dir(b2_it_tries_again_what_the_owner_gave_up),
        test_in_dir(b2_what_is_held_is_tried_again_and_again),
        test_in_dir(b2_what_was_not_answered_is_tried_again),
        test_in_dir(b2_what_is_for_heirs_the_session_does_not_undo),
        test_in_dir(b2_who_asks_waits_for_the_watchdog),
        test_in_dir(b2_what_holds_a_vm_is_tried_again),
        test_in_dir(b2_what_holds_nobody_is_left_to_recover),
        test_in_dir(a_watchdog_that_cannot_start_is_told),
    };

    if (argc == 5 && !strcmp(argv[1], "--watch"))
        return watch(argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
