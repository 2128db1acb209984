/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/clock.h"
#include "base/par.h"
#include "base/progress.h"
#include "test.h"

static void counters_show_what_was_added(void **state)
{
    struct progress *p = NULL;
    struct progress_task *a, *b;
    struct progress_view v[4];
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(progress_new(&p, &err));
    assert_int_equal(progress_get(p, v, 4), 0);
    assert_ok(progress_task_new(p, "web01 vda", 100, &a, &err));
    assert_ok(progress_task_new(p, "web01 vdb", 0, &b, &err));
    progress_add(a, 30);
    progress_add(a, 5);
    progress_grow(b, 50);
    assert_int_equal(progress_get(p, v, 4), 2);
    assert_string_equal(v[0].name, "web01 vda");
    assert_int_equal(v[0].done, 35);
    assert_int_equal(v[0].total, 100);
    assert_false(v[0].ended);
    assert_string_equal(v[1].name, "web01 vdb");
    assert_int_equal(v[1].total, 50);
    progress_free(p);
}

static void no_progress_object_is_fine(void **state)
{
    struct progress_task *t = (struct progress_task *)1;
    struct progress_view v;
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(progress_task_new(NULL, "x", 1, &t, &err));
    assert_null(t);
    progress_add(t, 1);
    progress_grow(t, 1);
    progress_end(t);
    assert_int_equal(progress_get(NULL, &v, 1), 0);
    progress_free(NULL);
}

static void more_tasks_than_room_are_counted(void **state)
{
    struct progress *p = NULL;
    struct progress_task *t;
    struct progress_view v[2] = { { 0 }, { .name = "untouched" } };
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(progress_new(&p, &err));
    for (int i = 0; i < 3; i++)
        assert_ok(progress_task_new(p, "t", 1, &t, &err));
    assert_int_equal(progress_get(p, v, 1), 3);
    assert_string_equal(v[1].name, "untouched");
    progress_free(p);
}

static void rate_and_time_left_follow_from_the_work(void **state)
{
    struct progress *p = NULL;
    struct progress_task *t;
    struct progress_view v;
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(progress_new(&p, &err));
    assert_ok(progress_task_new(p, "t", 10000, &t, &err));
    clock_sleep_ms(50);
    progress_get(p, &v, 1);
    assert_int_equal(v.eta_s, -1);
    progress_add(t, 5000);
    progress_get(p, &v, 1);
    /* 5000 bytes in at least 50 ms; how much longer it took is up to the machine. */
    assert_true(v.rate > 0 && v.rate <= 100000.0);
    assert_true(v.eta_s >= 1);
    progress_add(t, 5000);
    progress_get(p, &v, 1);
    assert_int_equal(v.eta_s, 0);
    progress_free(p);
}

static void an_old_burst_does_not_count_for_ever(void **state)
{
    struct progress *p = NULL;
    struct progress_task *t;
    struct progress_view v;
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(progress_new(&p, &err));
    assert_ok(progress_task_new(p, "t", 2000000, &t, &err));
    progress_add(t, 1000000);
    for (int i = 0; i < 100; i++) {
        clock_sleep_ms(60);
        progress_get(p, &v, 1);
    }
    assert_true(v.rate < 1);
    assert_int_equal(v.eta_s, -1);
    progress_free(p);
}

static void an_ended_task_keeps_its_mean_rate(void **state)
{
    struct progress *p = NULL;
    struct progress_task *t;
    struct progress_view v, later;
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(progress_new(&p, &err));
    assert_ok(progress_task_new(p, "t", 1000, &t, &err));
    clock_sleep_ms(20);
    progress_add(t, 500); /* fewer than announced: the rest was not needed */
    progress_end(t);
    progress_get(p, &v, 1);
    assert_true(v.ended);
    assert_int_equal(v.eta_s, 0);
    clock_sleep_ms(20);
    progress_end(t);
    progress_get(p, &later, 1);
    assert_true(later.rate >= v.rate && later.rate <= v.rate && v.rate > 0);
    progress_free(p);
}

static int add_many(void *ctx, size_t i, struct err *err)
{
    (void)i, (void)err;
    for (int k = 0; k < 10000; k++)
        progress_add(ctx, 1);
    return 0;
}

static void threads_lose_no_count(void **state)
{
    struct progress *p = NULL;
    struct progress_task *t;
    struct progress_view v;
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(progress_new(&p, &err));
    assert_ok(progress_task_new(p, "t", 40000, &t, &err));
    assert_ok(par_each(4, 0, add_many, t, &err));
    progress_get(p, &v, 1);
    assert_int_equal(v.done, 40000);
    progress_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_show_what_was_added),
        cmocka_unit_test(no_progress_object_is_fine),
        cmocka_unit_test(more_tasks_than_room_are_counted),
        cmocka_unit_test(rate_and_time_left_follow_from_the_work),
        cmocka_unit_test(an_old_burst_does_not_count_for_ever),
        cmocka_unit_test(an_ended_task_keeps_its_mean_rate),
        cmocka_unit_test(threads_lose_no_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
