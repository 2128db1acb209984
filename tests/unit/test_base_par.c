/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/clock.h"
#include "base/par.h"
#include "test.h"
#include <signal.h>
#include <sys/resource.h>

struct shared {
    struct par_barrier *barrier;
    int calls[100];
    int at_once, most_at_once;
    int passed, broken;
    int fail_at, fail_at_2;
};

static int count(void *ctx, size_t i, struct err *err)
{
    struct shared *s = ctx;

    (void)err;
    int now = __atomic_add_fetch(&s->at_once, 1, __ATOMIC_SEQ_CST);
    int most = __atomic_load_n(&s->most_at_once, __ATOMIC_SEQ_CST);
    while (now > most && !__atomic_compare_exchange_n(&s->most_at_once, &most, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
    __atomic_add_fetch(&s->calls[i], 1, __ATOMIC_SEQ_CST);
    clock_sleep_ms(1);
    __atomic_sub_fetch(&s->at_once, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static void each_item_is_done_once(void **state)
{
    static const size_t threads[] = { 0, 1, 3, 1000 };
    struct err err = ERR_INIT;

    (void)state;
    for (size_t t = 0; t < ARRAY_SIZE(threads); t++) {
        struct shared s = { 0 };
        assert_ok(par_each(100, threads[t], count, &s, &err));
        for (size_t i = 0; i < 100; i++)
            assert_int_equal(s.calls[i], 1);
        if (threads[t] && threads[t] < 100)
            assert_true((size_t)s.most_at_once <= threads[t]);
    }
}

static void nothing_to_do_is_done(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(par_each(0, 0, count, NULL, &err));
}

static int fail_some(void *ctx, size_t i, struct err *err)
{
    struct shared *s = ctx;

    __atomic_add_fetch(&s->calls[i], 1, __ATOMIC_SEQ_CST);
    if ((int)i == s->fail_at_2)
        return err_set(err, EBUSY, "item %zu is busy", i);
    if ((int)i == s->fail_at) {
        clock_sleep_ms(30); /* the lower one fails later */
        return err_set(err, EPERM, "item %zu is not allowed", i);
    }
    return 0;
}

static void the_lowest_failure_wins_and_the_rest_still_runs(void **state)
{
    struct shared s = { .fail_at = 3, .fail_at_2 = 7 };
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(par_each(20, 0, fail_some, &s, &err), -EPERM);
    assert_string_equal(err.text, "item 3 is not allowed");
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(s.calls[i], 1);
    assert_int_equal(par_each(20, 1, fail_some, &s, NULL), -EPERM);
}

static int fail_silently(void *ctx, size_t i, struct err *err)
{
    (void)ctx, (void)i, (void)err;
    return -ENOSPC;
}

static void a_failure_without_words_gets_some(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(par_each(2, 0, fail_silently, NULL, &err), -ENOSPC);
    assert_int_equal(err.code, ENOSPC);
    assert_non_null(strstr(err.text, "item 0"));
}

static int meet(void *ctx, size_t i, struct err *err)
{
    struct shared *s = ctx;

    (void)err;
    for (int round = 1; round <= 50; round++) {
        __atomic_add_fetch(&s->calls[round], 1, __ATOMIC_SEQ_CST);
        if (!par_barrier_wait(s->barrier))
            return err_set(err, EIO, "broken at %zu", i);
        if (__atomic_load_n(&s->calls[round], __ATOMIC_SEQ_CST) != 8)
            return err_set(err, EIO, "passed before all were there");
    }
    return 0;
}

static void nobody_passes_a_barrier_before_all_are_there(void **state)
{
    struct shared s = { 0 };
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(par_barrier_new(8, &s.barrier, &err));
    assert_ok(par_each(8, 0, meet, &s, &err));
    par_barrier_free(s.barrier);
}

static int meet_but_fail(void *ctx, size_t i, struct err *err)
{
    struct shared *s = ctx;

    if (i == 2) {
        clock_sleep_ms(30); /* the others are waiting by now */
        par_barrier_break(s->barrier);
        return err_set(err, EIO, "item 2 failed");
    }
    if (par_barrier_wait(s->barrier))
        __atomic_add_fetch(&s->passed, 1, __ATOMIC_SEQ_CST);
    else
        __atomic_add_fetch(&s->broken, 1, __ATOMIC_SEQ_CST);
    return 0;
}

/* Clause M10 stands on this: one that fails releases all that wait for it. */
static void a_broken_barrier_lets_everyone_go(void **state)
{
    struct shared s = { 0 };
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(par_barrier_new(6, &s.barrier, &err));
    assert_fails(EIO, par_each(6, 0, meet_but_fail, &s, &err));
    assert_int_equal(s.passed, 0);
    assert_int_equal(s.broken, 5);
    assert_false(par_barrier_wait(s.barrier));
    par_barrier_break(s.barrier);
    par_barrier_free(s.barrier);
}

static void a_barrier_for_one_or_none(void **state)
{
    struct par_barrier *b = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_fails(EINVAL, par_barrier_new(0, &b, &err));
    assert_null(b);
    assert_ok(par_barrier_new(1, &b, &err));
    assert_true(par_barrier_wait(b));
    assert_true(par_barrier_wait(b));
    par_barrier_free(b);
    par_barrier_free(NULL);
}

static int read_mask(void *ctx, size_t i, struct err *err)
{
    sigset_t now;

    (void)err;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    ((int *)ctx)[i] = sigismember(&now, SIGINT) && sigismember(&now, SIGTERM) && !sigismember(&now, SIGSEGV);
    return 0;
}

static void signals_go_to_the_main_thread(void **state)
{
    int masked[3] = { 0 };
    struct err err = ERR_INIT;
    sigset_t now;

    (void)state;
    assert_ok(par_each(3, 0, read_mask, masked, &err));
    for (size_t i = 0; i < 3; i++)
        assert_true(masked[i]);
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    assert_false(sigismember(&now, SIGINT));
}

/* With a barrier among them, threads that cannot be started would leave the others waiting for ever. */
static void too_few_threads_means_no_work_at_all(void **state)
{
    struct shared s = { 0 };
    struct err err = ERR_INIT;
    struct rlimit old, low;

    (void)state;
    if (getenv("KVSS_TEST_VALGRIND"))
        skip(); /* it needs that memory itself */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* likewise */
#endif
    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
    low = old;
    low.rlim_cur = 256 << 20; /* room for some stacks of 8 MiB, not for 100 */
    assert_int_equal(setrlimit(RLIMIT_AS, &low), 0);
    int r = par_each(100, 0, count, &s, &err);
    assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
    assert_int_equal(r, -EAGAIN);
    assert_non_null(strstr(err.text, "threads"));
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(s.calls[i], 0);
}

static void a_cancel_flag_is_seen(void **state)
{
    struct par_cancel c = { 0 };

    (void)state;
    assert_false(par_cancelled(NULL));
    assert_false(par_cancelled(&c));
    par_cancel_raise(&c);
    assert_true(par_cancelled(&c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_item_is_done_once),
        cmocka_unit_test(nothing_to_do_is_done),
        cmocka_unit_test(the_lowest_failure_wins_and_the_rest_still_runs),
        cmocka_unit_test(a_failure_without_words_gets_some),
        cmocka_unit_test(nobody_passes_a_barrier_before_all_are_there),
        cmocka_unit_test(a_broken_barrier_lets_everyone_go),
        cmocka_unit_test(a_barrier_for_one_or_none),
        cmocka_unit_test(signals_go_to_the_main_thread),
        cmocka_unit_test(too_few_threads_means_no_work_at_all),
        cmocka_unit_test(a_cancel_flag_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
