/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Wrong clocks: points from the future use up no rule, the latest is the one made last, and the age of a lock is told by the storage's
 * clock. Issue 10. */
#include "store_test.h"
#include "base/clock.h"
#include "store/point/point.h"
#include "store/lock/lock_session.h"
#include <sys/stat.h>
#include <sys/syscall.h>

#define DAY (86400 * INT64_C(1000000))

/* This process's clock, which the storage's is not: files get their times from the kernel. */
static int64_t skew_s;

int clock_gettime(clockid_t id, struct timespec *t)
{
    int r = (int)syscall(SYS_clock_gettime, id, t);

    if (r == 0 && id == CLOCK_REALTIME)
        t->tv_sec += skew_s;
    return r;
}

/* A point whose maker's clock showed that time; meta NULL: as versions make it that know of no "made_us". */
static void add(struct store *s, int64_t time_us, bool numbered, char *ret)
{
    struct err err = ERR_INIT;
    struct store_writer *w;
    char meta[64] = "{}";

    int64_t made = store_made_next(s);
    if (numbered)
        snprintf(meta, sizeof meta, "{\"a\": [], \"made_us\": %lld}", (long long)(time_us > made ? time_us : made));
    assert_ok(store_write_begin(s, &w, &err));
    w->data.time_us = time_us;
    assert_ok(store_write_commit(w, meta, ret, &err));
}

static void assert_order(struct store *s, char (*ids)[STORE_ID_LEN + 1], const size_t *want, size_t n)
{
    struct store_point_info *list;
    struct err err = ERR_INIT;
    struct store_point *p;
    size_t n_list;

    assert_ok(store_list(s, &list, &n_list, NULL, &err));
    assert_int_equal(n_list, n);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(list[i].id, ids[want[i]]);
    store_list_free(list, n_list);
    assert_ok(store_point_open(s, "latest", &p, &err));
    assert_string_equal(store_point_id(p), ids[want[n - 1]]);
    store_point_close(p);
}

static void the_latest_is_the_one_made_last(void **state)
{
    struct store *s = test_repo(*state, true);
    char ids[4][STORE_ID_LEN + 1];
    int64_t now = clock_wall_us();

    add(s, now - DAY, true, ids[0]);
    add(s, now + 400 * DAY, true, ids[1]); /* the clock was ahead */
    add(s, now, true, ids[2]);
    add(s, 0 + DAY, true, ids[3]); /* and behind, as after a flat battery */
    assert_order(s, ids, (const size_t[]){ 0, 1, 2, 3 }, 4);
    store_close(s);
}

/* Points of versions that knew of no number: those from the future cannot be placed, and are the latest only if there are no others. */
static void points_without_a_number_are_placed_by_their_time(void **state)
{
    struct store *s = test_repo(*state, false);
    char ids[4][STORE_ID_LEN + 1];
    int64_t now = clock_wall_us();

    add(s, now + 2 * DAY, false, ids[0]);
    assert_order(s, ids, (const size_t[]){ 0 }, 1);
    add(s, now - DAY, false, ids[1]);
    assert_order(s, ids, (const size_t[]){ 0, 1 }, 2);
    add(s, now + 60 * INT64_C(1000000), false, ids[2]); /* a minute ahead is no wrong clock */
    assert_order(s, ids, (const size_t[]){ 0, 1, 2 }, 3);
    add(s, now, true, ids[3]);
    assert_true(store_made_next(s) > now + 2 * DAY); /* larger than theirs, whichever clock is wrong */
    assert_order(s, ids, (const size_t[]){ 0, 1, 2, 3 }, 4);
    store_close(s);
}

static void only_the_number_of_the_point_itself_counts(void **state)
{
    static const struct {
        const char *meta;
        int64_t made;
    } cases[] = {
        { "{\"made_us\": 17}", 17 },
        { "{\"a\": \"}{\", \"made_us\":18 }", 18 },
        { "{\n \"a\\\\\": {\"made_us\": 5},\n \"made_us\": 19,\n \"b\": 1\n}", 19 },
        { "{\"a\": \"\\\"made_us\\\": 5\", \"b\": [{\"made_us\": 6}]}", 7 },
        { "{\"a\": \"made_us\"}", 7 },
        { "{\"made_us\": \"8\"}", 7 },
        { "{\"made_us\": -8}", 7 },
        { "{\"made_us\": 8.5}", 7 },
        { "{\"made_us\": 0}", 7 },
        { "{\"made_us\": 99999999999999999999999999}", 7 },
        { "{\"made_us\": 9223372036854775807}", 7 },
        { "{\"made_us\":", 7 },
        { "{\"made_us", 7 },
        { "{\"made_us\\", 7 },
        { "\"made_us\": 8", 7 },
        { "", 7 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(point_made(cases[i].meta, 7, DAY), cases[i].made);
    assert_int_equal(point_made("{}", DAY + STORE_AHEAD_US, DAY), DAY + STORE_AHEAD_US);
    assert_int_equal(point_made("{}", DAY + STORE_AHEAD_US + 1, DAY), 0);
}

static void the_future_uses_up_no_rule(void **state)
{
    const char *web[] = { "web", NULL };
    struct store_policy_item items[] = {
        { .time_us = 400 * DAY, .groups = web },
        { .time_us = 401 * DAY, .groups = web },
        { .time_us = 402 * DAY, .groups = web },
        { .time_us = 900 * DAY, .groups = web },
        { .time_us = 901 * DAY, .groups = web },
        { .time_us = 403 * DAY, .groups = web },
        { .time_us = 1 * DAY, .groups = web, .made_us = 902 * DAY }, /* its clock was behind; it was made last */
    };
    const struct store_policy policies[] = {
        { .last = 3, .now_us = 404 * DAY },
        { .daily = 2, .now_us = 404 * DAY },
        { .yearly = 1, .now_us = 404 * DAY },
        { .hourly = 2, .monthly = 1, .now_us = 404 * DAY },
    };
    const bool want[][7] = { { 0, 0, 1, 1, 1, 1, 1 }, { 0, 0, 1, 1, 1, 1, 0 }, { 0, 0, 0, 1, 1, 1, 0 }, { 0, 0, 1, 1, 1, 1, 0 } };
    struct err err = ERR_INIT;

    (void)state;
    setenv("TZ", "UTC", 1);
    for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
        assert_ok(store_policy_apply(&policies[i], items, ARRAY_SIZE(items), &err));
        for (size_t k = 0; k < ARRAY_SIZE(items); k++)
            assert_int_equal(items[k].keep, want[i][k]);
        assert_string_equal(items[3].why, "in the future");
        assert_string_equal(items[4].why, "in the future");
    }
}

static void set_age(const char *path, int64_t age_s)
{
    struct timespec t = { .tv_sec = time(NULL) - age_s };

    assert_int_equal(utimensat(-1, path, (const struct timespec[]){ t, t }, 0), 0);
}

static void assert_lock(struct store *s, const char *path, int64_t age_s, bool stale)
{
    const char *text = "kvss lock 1\nkind=session\npurpose=backup\nhost=web\nboot=other\npid=1\nstart=1\npidns=1\nsince=2026\n";
    struct store_lock_info *list;
    struct err err = ERR_INIT;
    size_t n;

    test_lock(s, path, text);
    set_age(path, age_s);
    assert_ok(store_lock_list(s, &list, &n, &err));
    assert_int_equal(n, 1);
    assert_int_equal(list[0].stale, stale);
    free(list);
    assert_ok(store_unlock(s, false, &n, &err));
    assert_int_equal(n, stale);
    assert_int_equal(io_exists(path), !stale);
    (void)remove(path);
}

static void the_storage_tells_the_age_of_locks_and_temporary_files(void **state)
{
    static const int64_t skews[] = { 0, -3 * 86400, 3 * 86400 };
    char *lock = io_path(*state, "repo/locks/00112233445566778899aabbccddeeff"), *tmp = io_path(*state, "repo/tmp/left");
    struct store *s = test_repo(*state, false);
    struct err err = ERR_INIT;
    char id[STORE_ID_LEN + 1];

    for (size_t i = 0; i < ARRAY_SIZE(skews); i++) {
        int64_t before = clock_wall_us();
        skew_s = skews[i];
        assert_true(skew_s == 0 || llabs(clock_wall_us() - before) > DAY);
        assert_lock(s, lock, 0, false);
        assert_lock(s, lock, LOCK_STALE_S - 60, false);
        assert_lock(s, lock, LOCK_STALE_S + 60, true);
        for (int old = 0; old < 2; old++) {
            assert_ok(io_replace_file(tmp, "x", 1, 0600, &err));
            set_age(tmp, old ? TIDY_AFTER_S + 60 : 60);
            test_backup(s, &i, sizeof i, NULL, id);
            assert_int_equal(io_exists(tmp), !old);
        }
        skew_s = 0;
    }
    store_close(s);
    free(lock);
    free(tmp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(the_latest_is_the_one_made_last),
        test_in_dir(points_without_a_number_are_placed_by_their_time),
        cmocka_unit_test(only_the_number_of_the_point_itself_counts),
        cmocka_unit_test(the_future_uses_up_no_rule),
        test_in_dir(the_storage_tells_the_age_of_locks_and_temporary_files),
    };

    return cmocka_run_group_tests_name("store_clock", tests, NULL, NULL);
}
