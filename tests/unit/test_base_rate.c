/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/clock.h"
#include "base/num.h"
#include "base/par.h"
#include "base/rate.h"
#include "test.h"

static void what_is_taken_must_be_waited_for(void **state)
{
    struct rate *r = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(rate_new(MIB, &r, &err));
    assert_int_equal(rate_take(r, 0), 0);
    uint64_t first = rate_take(r, MIB); /* nothing was taken before it */
    assert_int_equal(first, 0);
    uint64_t second = rate_take(r, 10 * MIB); /* after the first: a second, but for what was saved up */
    assert_in_range(second, 0, 1001);
    assert_in_range(rate_take(r, 1), 1, 11001); /* ten seconds after it, less what this test itself took */
    rate_free(r);
}

static void without_a_limit_nothing_waits(void **state)
{
    struct rate *r = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(rate_take(NULL, UINT64_MAX), 0);
    assert_fails(EINVAL, rate_new(0, &r, &err));
    assert_null(r);
    rate_free(NULL);
}

static int take(void *ctx, size_t i, struct err *err)
{
    (void)i;
    (void)err;
    for (int k = 0; k < 1000; k++)
        (void)rate_take(ctx, 1000);
    return 0;
}

/* 4 MB at 1 kB/s are more than an hour, however long the threads took. */
static void threads_share_one_limit(void **state)
{
    struct rate *r = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(rate_new(1000, &r, &err));
    assert_ok(par_each(4, 0, take, r, &err));
    assert_in_range(rate_take(r, 1), 3000000, 4000001); /* ms */
    rate_free(r);
}

static bool after_three_looks(void *priv)
{
    return ++*(int *)priv > 3;
}

static bool never(void *priv)
{
    (void)priv;
    return false;
}

static void waiting_ends_when_the_time_has_come_or_it_is_stopped(void **state)
{
    struct rate *r = NULL;
    struct err err = ERR_INIT;
    int looks = 0;

    (void)state;
    assert_ok(rate_new(MIB, &r, &err));
    uint64_t began = clock_mono_ms();
    assert_true(rate_wait(r, MIB / 2, never, NULL)); /* nothing was taken before it */
    assert_true(rate_wait(r, 100 * MIB, never, NULL));
    assert_true(clock_mono_ms() - began >= 300); /* half a second, but for what was saved up */
    assert_false(rate_wait(r, 1, after_three_looks, &looks));
    assert_int_equal(looks, 4);
    assert_true(rate_wait(NULL, UINT64_MAX, never, NULL));
    rate_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_must_be_waited_for),
        cmocka_unit_test(waiting_ends_when_the_time_has_come_or_it_is_stopped),
        cmocka_unit_test(without_a_limit_nothing_waits),
        cmocka_unit_test(threads_share_one_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
