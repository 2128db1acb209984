/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of effects: undo runs once, last first, goes on after failures, and a group does not wait for another (B2). */
#include "test.h"

#include "base/clock.h"
#include "journal/journal.h"
#include <errno.h>
#include <string.h>

struct record {
    pthread_mutex_t lock;
    char text[256];       /* values "name" in the order undone */
    const char *fail_on;  /* undo of this one fails */
    unsigned fails;       /* so many times */
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
    strcat(r->text, name);
    strcat(r->text, " ");
    return 0;
}

static const struct journal_verb verbs[] = { { "note", undo_note }, { NULL, NULL } };

static struct journal *start(struct record *r)
{
    struct journal *j = NULL;
    memset(r, 0, sizeof(*r));
    pthread_mutex_init(&r->lock, NULL);
    assert_int_equal(journal_new("s", verbs, r, NULL, &j, NULL), 0);
    return j;
}

static uint64_t enter(struct journal *j, const char *name, const char *group)
{
    const struct journal_arg args[] = { { "name", name }, { group ? "group" : NULL, group }, { NULL, NULL } };
    uint64_t id = 0;
    assert_int_equal(journal_begin(j, "note", args, &id, NULL), 0);
    assert_true(id > 0);
    return id;
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
    enter(j, "kept", NULL);
    journal_settle_all(j);
    assert_int_equal(journal_undo_all(j, NULL), 0);
    assert_string_equal(r.text, "a ");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(undo_is_last_first_and_once),
        cmocka_unit_test(settled_effects_are_left_alone),
        cmocka_unit_test(undo_goes_on_after_a_failure_and_can_be_tried_again),
        cmocka_unit_test(groups_do_not_wait_for_each_other),
        cmocka_unit_test(an_unknown_verb_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
