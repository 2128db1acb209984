/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keeping: policy, forget, prune, keys. Any point can go without harm to others; prune is safe beside running backups. */
#include "store_test.h"
#include <dirent.h>
#include <sys/stat.h>

#define N (64 * CHUNK)

static uint64_t pack_bytes(const char *folder)
{
    DIR *d = opendir(folder);
    uint64_t sum = 0;

    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        char *path = io_path(folder, e->d_name);
        if (e->d_name[0] != '.' && stat(path, &st) == 0)
            sum += S_ISDIR(st.st_mode) ? pack_bytes(path) : (uint64_t)st.st_size;
        free(path);
    }
    if (d)
        closedir(d);
    return sum;
}

static uint64_t repo_bytes(void **state)
{
    char *packs = io_path(*state, "repo/packs");
    uint64_t n = pack_bytes(packs);

    free(packs);
    return n;
}

static struct store_prune_result prune(struct store *s)
{
    struct err err = ERR_INIT;
    struct store_prune o = { 0 };
    struct store_prune_result r;

    assert_ok(store_prune(s, &o, &r, &err));
    return r;
}

static void forget(struct store *s, const char *id)
{
    struct err err = ERR_INIT;

    assert_ok(store_forget(s, &id, 1, &err));
}

static void policy_keeps_the_newest_of_each_period(void **state)
{
    const char *web[] = { "web", NULL }, *both[] = { "db", "web", NULL }, *none[] = { NULL };
    struct store_policy_item items[] = {
        { .time_us = 1000000LL * 86400 * 400, .groups = web },        /* 0: oldest */
        { .time_us = 1000000LL * (86400 * 401 + 10), .groups = web }, /* 1: next day, early */
        { .time_us = 1000000LL * (86400 * 401 + 20), .groups = web }, /* 2: later that day */
        { .time_us = 1000000LL * 86400 * 402, .groups = both },       /* 3: db only here */
        { .time_us = 1000000LL * 86400 * 403, .groups = web },        /* 4 */
        { .time_us = 1000000LL * 86400 * 404, .groups = web },        /* 5: newest */
        { .time_us = 1, .groups = none },
    };
    struct store_policy policy = { .last = 1, .daily = 2 };
    struct err err = ERR_INIT;

    (void)state;
    setenv("TZ", "UTC", 1);
    assert_ok(store_policy_apply(&policy, items, ARRAY_SIZE(items), &err));
    bool want[] = { false, false, false, true, true, true, true };
    for (size_t i = 0; i < ARRAY_SIZE(items); i++)
        assert_int_equal(items[i].keep, want[i]);
    assert_string_equal(items[5].why, "last");
    assert_string_equal(items[4].why, "daily");
    policy = (struct store_policy){ .daily = 10 };
    assert_ok(store_policy_apply(&policy, items, ARRAY_SIZE(items), &err));
    assert_false(items[1].keep); /* not the newest of its day */
    assert_true(items[0].keep && items[2].keep);
}

/* Any point of a chain of incrementals can go, in any order, and the others read as before (demand 19). */
static void any_point_can_go(void **state)
{
    struct store *s = test_repo(*state, true);
    uint8_t *data[6];
    char id[6][STORE_ID_LEN + 1], *path = io_path(*state, "repo");
    size_t order[] = { 0, 3, 5, 1, 2, 4 };

    for (size_t i = 0; i < 6; i++) {
        data[i] = malloc(N);
        if (i)
            memcpy(data[i], data[i - 1], N);
        fill(data[i] + (i ? i * 7 * CHUNK : 0), i ? 3 * CHUNK : N, i);
        test_backup(s, data[i], N, i ? id[i - 1] : NULL, id[i]);
    }
    for (size_t k = 0; k < 6; k++) {
        forget(s, id[order[k]]);
        prune(s);
        for (size_t i = k + 1; i < 6; i++)
            test_same(s, id[order[i]], data[order[i]], N);
        test_clean(s);
        if (k == 2) { /* also as another process sees it */
            store_close(s);
            s = test_open(path, true);
        }
    }
    prune(s);
    assert_int_equal(repo_bytes(state), 0);
    for (size_t i = 0; i < 6; i++)
        free(data[i]);
    store_close(s);
    free(path);
}

/* A pack that is mostly unused is written again; one that is nearly full of use stays. */
static void mostly_unused_packs_are_repacked(void **state)
{
    struct err err = ERR_INIT;
    struct store *s = test_repo(*state, false);
    uint8_t *data = malloc(2 * N);
    char big[STORE_ID_LEN + 1], part[STORE_ID_LEN + 1];

    fill(data, 2 * N, 1);
    test_backup(s, data, 2 * N, NULL, big);
    test_backup(s, data, N / 2, NULL, part);
    uint64_t before = repo_bytes(state);
    struct store_prune_result r = prune(s);
    assert_int_equal(r.packs_deleted, 0);
    assert_int_equal(repo_bytes(state), before);
    forget(s, big);
    struct store_prune o = { .dry_run = true };
    assert_ok(store_prune(s, &o, &r, &err));
    assert_true(r.bytes_freed > N);
    assert_int_equal(repo_bytes(state), before);
    r = prune(s);
    assert_true(r.packs_repacked > 0);
    assert_true(repo_bytes(state) < before / 3);
    test_same(s, part, data, N / 2);
    test_clean(s);
    store_close(s);
    free(data);
}

/* A backup that found its chunks in the repository before the prune still has them when it commits (B4). */
static void prune_beside_a_running_backup(void **state)
{
    struct err err = ERR_INIT;
    char *path = io_path(*state, "repo");
    struct store *a = test_repo(*state, true), *b = test_open(path, true);
    uint8_t *data = malloc(N);
    char first[STORE_ID_LEN + 1], second[STORE_ID_LEN + 1];
    struct store_image_writer *iw;
    struct store_writer *w;

    fill(data, N, 1);
    test_backup(a, data, N, NULL, first);
    for (unsigned commit = 0; commit < 2; commit++) {
        assert_ok(store_write_begin(a, &w, &err));
        assert_ok(store_image_begin(w, "disk", N, NULL, NULL, &iw, &err));
        struct store_stats st;
        assert_ok(store_image_write(iw, 0, data, N, &err));
        assert_ok(store_image_end(iw, &st, &err));
        assert_int_equal(st.chunks_new, 0);
        if (commit)
            forget(b, first);
        struct store_prune_result r = prune(b);
        if (commit) { /* everything is unused now, but nothing may go */
            assert_true(r.bytes_later >= N);
            assert_int_equal(r.packs_deleted, 0);
            assert_non_null(strstr(r.waits_for, "backup, host "));
            prune(b);
            assert_ok(store_write_commit(w, "{}", second, &err));
        } else {
            store_write_abort(w);
        }
    }
    test_same(a, second, data, N);
    struct store *c = test_open(path, true); /* and for others */
    test_same(c, second, data, N);
    test_clean(c);
    store_close(c);
    /* The points of the ended session are looked at before anything goes. */
    prune(b);
    test_same(b, second, data, N);
    test_clean(b);
    forget(b, second);
    prune(b);
    prune(b);
    assert_int_equal(repo_bytes(state), 0);
    store_close(a);
    store_close(b);
    free(data);
    free(path);
}

/* One prune at a time; the other is told who. */
static void one_prune_at_a_time(void **state)
{
    struct err err = ERR_INIT;
    struct store *s = test_repo(*state, false);
    char *lock = io_path(*state, "repo/locks/00112233445566778899aabbccddeeff");
    const char *text = "kvss lock 1\nkind=maintenance\npurpose=prune\nhost=elsewhere\nboot=x\npid=1\nstart=1\npidns=1\nsince=2026\n";
    struct store_prune o = { 0 };
    struct store_prune_result r;
    size_t n;

    test_lock(s, lock, text);
    assert_fails(EBUSY, store_prune(s, &o, &r, &err));
    assert_non_null(strstr(err.text, "elsewhere"));
    assert_ok(store_unlock(s, false, &n, &err));
    assert_int_equal(n, 0);
    struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
    assert_int_equal(utimensat(-1, lock, old, 0), 0);
    assert_ok(store_prune(s, &o, &r, &err)); /* stale: broken */
    assert_false(io_exists(lock));
    store_close(s);
    free(lock);
}

static void keys_are_added_and_removed(void **state)
{
    struct err err = ERR_INIT;
    struct store *s = test_repo(*state, true);
    char *path = io_path(*state, "repo"), id[33];
    struct store_key_info *list;
    struct store_key key = { .passphrase = "second" };
    uint8_t data[1000];
    char point[STORE_ID_LEN + 1];
    size_t n;

    fill(data, sizeof data, 1);
    test_backup(s, data, sizeof data, NULL, point);
    assert_ok(store_key_list(s, &list, &n, &err));
    assert_int_equal(n, 1);
    assert_true(list[0].current);
    assert_fails(EBUSY, store_key_remove(s, list[0].id, &err));
    assert_ok(store_key_add(s, &key, 10, id, &err));
    assert_ok(store_key_remove(s, list[0].id, &err));
    assert_fails(ENOENT, store_key_remove(s, list[0].id, &err));
    free(list);
    store_close(s);
    struct store_open o = { .key.passphrase = "correct horse" };
    assert_fails(EACCES, store_open(path, &o, &s, &err));
    o.key.passphrase = "second";
    assert_ok(store_open(path, &o, &s, &err));
    test_same(s, point, data, sizeof data);
    store_close(s);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy_keeps_the_newest_of_each_period),
        test_in_dir(any_point_can_go),
        test_in_dir(mostly_unused_packs_are_repacked),
        test_in_dir(prune_beside_a_running_backup),
        test_in_dir(one_prune_at_a_time),
        test_in_dir(keys_are_added_and_removed),
    };

    return cmocka_run_group_tests_name("store_keep", tests, NULL, NULL);
}
