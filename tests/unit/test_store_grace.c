/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A prune that ran while a restore point was out of sight takes nothing that cannot come back (B4); and locks that nobody holds, whatever
 * time they have. */
#include "store_test.h"
#include "base/clock.h"
#include "store/garbage/garbage.h"
#include "store/object/names.h"
#include <fts.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MINUTE_US (60 * INT64_C(1000000)) /* by which the clocks of storage and host may differ */
#define HOUR_US (60 * MINUTE_US)
#define DAY_US (24 * HOUR_US)
#define N (40 * CHUNK)

static struct store_prune_result prune(struct store *s, int64_t grace_us)
{
    struct store_prune o = { .grace_us = grace_us };
    struct store_prune_result r;
    struct err err = ERR_INIT;

    assert_ok(store_prune(s, &o, &r, &err));
    return r;
}

/* So long ago was everything without an index that is so now. */
static void let_pass(struct store *s, int64_t us)
{
    _cleanup_garbage_ struct garbage g = { 0 };
    struct err err = ERR_INIT;

    assert_ok(garbage_load(&s->env, &g, &err));
    assert_true(g.n > 0);
    for (size_t i = 0; i < g.n; i++) {
        g.records[i].since_us -= us;
        assert_ok(garbage_put(&s->env, &g.records[i], &err));
    }
    assert_ok(garbage_drop(&s->env, &g, &err));
}

struct hidden {
    char *there, *away;
};

static struct hidden hide(const char *dir, const char *id)
{
    struct hidden h = { str_format("%s/repo/points/%s", dir, id), str_format("%s/%s", dir, id) };

    assert_int_equal(rename(h.there, h.away), 0);
    return h;
}

static void unhide(struct hidden *h)
{
    assert_int_equal(rename(h->away, h->there), 0);
    free(h->there);
    free(h->away);
}

static void assert_sound(struct store *s)
{
    struct store_check o = { .read_data_percent = 100 };
    struct store_check_result r;
    struct err err = ERR_INIT;

    assert_ok(store_check(s, &o, NULL, NULL, &r, &err));
    assert_int_equal(r.problems, 0);
    test_clean(s);
}

static bool deletes(const struct store_prune_result *r)
{
    return r->packs_deleted > 0;
}

/* Hidden for the length of one prune, whole or in part of its packs, in another process each time. */
static void b4_a_hidden_point_comes_back_whole(void **state)
{
    char *path = io_path(*state, "repo"), first[STORE_ID_LEN + 1], second[STORE_ID_LEN + 1];
    uint8_t *data = malloc(N);

    for (int encrypted = 0; encrypted < 2; encrypted++) {
        struct store *s = test_repo(*state, encrypted);
        struct err err = ERR_INIT;
        fill(data, N, 1);
        test_backup(s, data, N, NULL, first);
        fill(data, N / 2, 2); /* half of its chunks are the first one's */
        test_backup(s, data, N, first, second);
        struct hidden h = hide(*state, second);
        for (int i = 0; i < 3; i++) {
            struct store_prune_result r = prune(s, DAY_US);
            assert_false(deletes(&r));
            assert_true(r.bytes_later >= N / 2 && r.later_us > 0);
        }
        unhide(&h);
        store_close(s);
        s = test_open(path, encrypted); /* before any other prune */
        test_same(s, second, data, N);
        assert_sound(s);
        prune(s, DAY_US); /* takes it into the index again */
        test_same(s, second, data, N);
        prune(s, 0);
        test_same(s, second, data, N);
        assert_sound(s);
        store_close(s);
        assert_ok(io_remove_tree(path, &err));
    }
    free(data);
    free(path);
}

static void note_warning(void *priv, const struct store_problem *p)
{
    *(unsigned *)priv += p->warning && strstr(p->what, "kvss prune or kvss repair index lists them again");
}

/* A prune that is killed, or at work, after its index is out and before it has looked for points made meanwhile: that a point is out of its
 * sight, and its records are gone, leaves the same. The point can be read, and counted on by backups and copies. */
static void b4_packs_that_no_index_names_are_read(void **state)
{
    char first[STORE_ID_LEN + 1], second[STORE_ID_LEN + 1], ids[3][STORE_ID_LEN + 1];
    _cleanup_free_ char *path = io_path(*state, "repo"), *records = io_path(path, "gc");
    uint8_t *data = malloc(N), *newer = malloc(N);
    struct store *s = test_repo(*state, false), *from = test_second_repo(*state);
    struct store_check_result r;
    struct store_check o = { 0 };
    struct err err = ERR_INIT;
    unsigned warnings = 0;

    fill(data, N, 1);
    test_backup(from, data, N, NULL, first);
    memcpy(newer, data, N);
    fill(newer, 2 * CHUNK, 2);
    test_backup(from, newer, N, first, second);
    assert_int_equal(store_copy_point(from, first, s, NULL, ids[0], &err), 0);
    struct hidden h = hide(*state, ids[0]);
    prune(s, DAY_US);
    unhide(&h);
    assert_ok(io_remove_tree(records, &err));
    store_close(s);
    s = test_open(path, false);
    assert_int_equal(store_copy_point(from, second, s, NULL, ids[1], &err), 0); /* the first one's copy is its base */
    test_backup(s, newer, N, ids[0], ids[2]);
    store_close(s);
    s = test_open(path, false);
    for (int i = 0; i < 3; i++)
        test_same(s, ids[i], i ? newer : data, N);
    assert_ok(store_check(s, &o, note_warning, &warnings, &r, &err));
    assert_int_equal(r.problems, 0);
    assert_int_equal(warnings, 1);
    prune(s, 0);
    for (int i = 0; i < 3; i++)
        test_same(s, ids[i], i ? newer : data, N);
    assert_sound(s);
    store_close(s);
    store_close(from);
    free(data);
    free(newer);
}

static void b4_what_was_garbage_for_long_enough_goes(void **state)
{
    char id[STORE_ID_LEN + 1], kept[STORE_ID_LEN + 1];
    const char *forgotten = id;
    uint8_t *data = malloc(N);
    struct store *s = test_repo(*state, false);
    struct err err = ERR_INIT;

    fill(data, N, 1);
    test_backup(s, data, N, NULL, id);
    fill(data, N, 2);
    test_backup(s, data, N, NULL, kept);
    assert_ok(store_forget(s, &forgotten, 1, &err));
    struct store_prune_result r = prune(s, DAY_US);
    assert_false(deletes(&r));
    r = prune(s, DAY_US); /* its time does not begin again */
    assert_false(deletes(&r));
    let_pass(s, DAY_US - HOUR_US);
    r = prune(s, DAY_US);
    assert_false(deletes(&r));
    assert_true(r.later_us > 0);
    let_pass(s, HOUR_US + MINUTE_US);
    r = prune(s, DAY_US);
    assert_true(deletes(&r) && r.bytes_freed >= N && r.bytes_later == 0 && r.later_us == 0);
    test_same(s, kept, data, N);
    fill(data, N, 3);
    test_backup(s, data, N, NULL, id);
    assert_ok(store_forget(s, &forgotten, 1, &err));
    prune(s, DAY_US);
    r = prune(s, 0); /* --now */
    assert_true(deletes(&r));
    assert_sound(s);
    store_close(s);
    free(data);
}

/* A dry run, and then the same in earnest: both tell the same. */
static void assert_foreseen(struct store *s, int64_t grace_us, bool some_goes, bool some_waits)
{
    struct store_prune o = { .grace_us = grace_us, .dry_run = true };
    struct store_prune_result dry, r;
    struct err err = ERR_INIT;

    assert_ok(store_prune(s, &o, &dry, &err));
    r = prune(s, grace_us);
    assert_int_equal(dry.packs_deleted, r.packs_deleted);
    assert_int_equal(dry.packs_repacked, r.packs_repacked);
    assert_int_equal(dry.bytes_freed, r.bytes_freed);
    assert_int_equal(dry.bytes_later, r.bytes_later);
    assert_int_equal(dry.later_us > 0, r.later_us > 0);
    assert_true(llabs(dry.later_us - r.later_us) < 60 * INT64_C(1000000));
    assert_int_equal(dry.bytes_freed > 0, some_goes);
    assert_int_equal(dry.bytes_later > 0, some_waits);
}

static void b4_a_dry_run_counts_what_the_grace_keeps(void **state)
{
    char whole[STORE_ID_LEN + 1], part[STORE_ID_LEN + 1], other[STORE_ID_LEN + 1];
    const char *forgotten[] = { whole, other };
    uint8_t *data = malloc(N);
    struct store *s = test_repo(*state, false);
    struct err err = ERR_INIT;

    fill(data, N, 1);
    test_backup(s, data, N, NULL, whole);
    test_backup(s, data, N / 4, NULL, part);
    fill(data, N, 2);
    test_backup(s, data, N, NULL, other);
    assert_foreseen(s, DAY_US, false, false);
    assert_ok(store_forget(s, forgotten, 2, &err)); /* a pack to write again, and one of which nothing is used */
    assert_foreseen(s, DAY_US, false, true);
    assert_foreseen(s, DAY_US, false, true);
    assert_foreseen(s, 0, true, false);
    assert_foreseen(s, DAY_US, false, false);
    test_backup(s, data, N, NULL, other);
    assert_ok(store_forget(s, forgotten + 1, 1, &err));
    assert_foreseen(s, DAY_US, false, true);
    let_pass(s, DAY_US + MINUTE_US);
    assert_foreseen(s, DAY_US, true, false);
    assert_sound(s);
    store_close(s);
    free(data);
}

/* ---- What a dry run writes --------------------------------------------------------------------------------------------------*/

/* Every file and folder below it, with sizes and times. */
static void describe(const char *path, struct buf *ret)
{
    char *const paths[] = { (char *)(uintptr_t)path, NULL };
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

    assert_non_null(tree);
    for (FTSENT *e; (e = fts_read(tree));)
        if (e->fts_info != FTS_DP)
            assert_int_equal(buf_addf(ret, "%s %lld %lld.%09ld %llu\n", e->fts_path, (long long)e->fts_statp->st_size,
                                      (long long)e->fts_statp->st_mtim.tv_sec, e->fts_statp->st_mtim.tv_nsec,
                                      (unsigned long long)e->fts_statp->st_ino),
                             0);
    fts_close(tree);
}

static void remove_all(struct store *s, const char *folder)
{
    _cleanup_names_ struct names names = { 0 };
    char path[OBJECT_PATH_SIZE];
    struct err err = ERR_INIT;

    assert_ok(names_list(&s->env, folder, &names, &err));
    for (size_t i = 0; i < names.n; i++)
        assert_ok(backend_del(s->env.backend, object_name_path(folder, &names.list[i], path), &err));
}

/* Also where the storage has lost index files, which a prune makes again: the dry run says what that prune does. */
static void b4_a_dry_run_writes_nothing(void **state)
{
    char *path = io_path(*state, "repo"), id[STORE_ID_LEN + 1], kept[STORE_ID_LEN + 1];
    const char *forgotten = id;
    uint8_t *data = malloc(N), *want = malloc(N);
    struct err err = ERR_INIT;

    for (int lost = 0; lost < 2; lost++) {
        struct store_prune o = { .dry_run = true };
        struct store_prune_result dry, r;
        _cleanup_buf_ struct buf before = BUF_INIT, after = BUF_INIT;
        struct store *s = test_repo(*state, lost);
        fill(data, N, 1);
        test_backup(s, data, N, NULL, id);
        fill(data, N / 4, 2);
        test_backup(s, data, N, NULL, kept);
        memcpy(want, data, N);
        fill(data, N, 3);
        test_backup(s, data, N, NULL, id);
        assert_ok(store_forget(s, &forgotten, 1, &err));
        if (lost)
            remove_all(s, "index");
        store_close(s);
        s = test_open(path, lost);
        describe(path, &before);
        assert_ok(store_prune(s, &o, &dry, &err));
        describe(path, &after);
        assert_string_equal((char *)before.data, (char *)after.data);
        r = prune(s, 0);
        assert_int_equal(dry.points, r.points);
        assert_int_equal(dry.chunks, r.chunks);
        assert_int_equal(dry.packs_deleted, r.packs_deleted);
        assert_int_equal(dry.packs_repacked, r.packs_repacked);
        assert_int_equal(dry.bytes_freed, r.bytes_freed);
        assert_true(r.packs_deleted > 0);
        test_same(s, kept, want, N);
        assert_sound(s);
        store_close(s);
        assert_ok(io_remove_tree(path, &err));
    }
    free(data);
    free(want);
    free(path);
}

/* As before it had a lock: others that delete are in its way, and it says so. */
static void b4_a_dry_run_is_refused_beside_a_prune(void **state)
{
    char *lock = io_path(*state, "repo/locks/00112233445566778899aabbccddeeff"), text[256], since[32];
    struct store *s = test_repo(*state, false);
    struct store_prune o = { .dry_run = true };
    struct store_prune_result r;
    struct err err = ERR_INIT;

    snprintf(text, sizeof text,
             "kvss lock 1\nkind=maintenance\npurpose=prune\nhost=elsewhere\nboot=x\npid=1\nstart=1\npidns=1\n"
             "since=%s\n",
             clock_format(clock_wall_us(), since));
    test_lock(s, lock, text);
    assert_fails(EBUSY, store_prune(s, &o, &r, &err));
    assert_int_equal(unlink(lock), 0);
    assert_ok(store_prune(s, &o, &r, &err));
    store_close(s);
    free(lock);
}

/* Records of an older kvss, and such that a wrong clock made, count from now on. */
static void b4_a_record_without_a_sane_time_counts_from_now(void **state)
{
    char id[STORE_ID_LEN + 1];
    const char *forgotten = id;
    uint8_t *data = malloc(N);
    struct store *s = test_repo(*state, false);
    struct err err = ERR_INIT;

    fill(data, N, 1);
    test_backup(s, data, N, NULL, id);
    assert_ok(store_forget(s, &forgotten, 1, &err));
    prune(s, DAY_US);
    for (int i = 0; i < 2; i++) {
        _cleanup_garbage_ struct garbage g = { 0 };
        assert_ok(garbage_load(&s->env, &g, &err));
        assert_int_equal(g.n, 1);
        g.records[0].since_us = i ? INT64_MAX : 0;
        assert_ok(garbage_put(&s->env, &g.records[0], &err));
        assert_ok(garbage_drop(&s->env, &g, &err));
        struct store_prune_result r = prune(s, 60 * INT64_C(1000000));
        assert_false(deletes(&r));
        _cleanup_garbage_ struct garbage now = { 0 };
        assert_ok(garbage_load(&s->env, &now, &err));
        assert_int_equal(now.n, 1);
        assert_true(now.records[0].since_us > 0 && now.records[0].since_us < INT64_MAX);
    }
    store_close(s);
    free(data);
}

static void put_in_future(const char *path)
{
    const struct timespec t[2] = { { .tv_sec = 2051222400 }, { .tv_sec = 2051222400 } };

    assert_int_equal(utimensat(-1, path, t, 0), 0);
}

static void b2_a_lock_from_the_future_that_nobody_holds_blocks_nothing(void **state)
{
    char *lock = io_path(*state, "repo/locks/00112233445566778899aabbccddeeff");
    const char *old = "kvss lock 1\nkind=maintenance\npurpose=prune\nhost=elsewhere\nboot=x\npid=1\nstart=1\npidns=1\n"
                      "since=2026-01-01T00:00:00.000Z\n";
    char fresh[256], since[32];
    struct store *s = test_repo(*state, false);
    struct store_prune o = { 0 };
    struct store_prune_result r;
    struct err err = ERR_INIT;

    write_text(lock, "no lock at all\n");
    put_in_future(lock);
    prune(s, 0);
    assert_false(io_exists(lock));
    test_lock(s, lock, old);
    put_in_future(lock);
    prune(s, 0);
    assert_false(io_exists(lock));
    /* One that was begun just now may well be alive: it is for people to say. */
    snprintf(fresh, sizeof fresh,
             "kvss lock 1\nkind=maintenance\npurpose=prune\nhost=elsewhere\nboot=x\npid=1\nstart=1\npidns=1\n"
             "since=%s\n",
             clock_format(clock_wall_us(), since));
    test_lock(s, lock, fresh);
    put_in_future(lock);
    assert_fails(EBUSY, store_prune(s, &o, &r, &err));
    assert_fails(EINVAL, store_unlock_one(s, "0011", &err));
    assert_fails(ENOENT, store_unlock_one(s, "ffffffff", &err));
    assert_ok(store_unlock_one(s, "001122334455", &err));
    prune(s, 0);
    /* Unreadable, and as old as now: it counts. */
    write_text(lock, "no lock at all\n");
    assert_fails(EBUSY, store_prune(s, &o, &r, &err));
    store_close(s);
    free(lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(b4_a_hidden_point_comes_back_whole),
        test_in_dir(b4_packs_that_no_index_names_are_read),
        test_in_dir(b4_what_was_garbage_for_long_enough_goes),
        test_in_dir(b4_a_dry_run_counts_what_the_grace_keeps),
        test_in_dir(b4_a_dry_run_writes_nothing),
        test_in_dir(b4_a_dry_run_is_refused_beside_a_prune),
        test_in_dir(b4_a_record_without_a_sane_time_counts_from_now),
        test_in_dir(b2_a_lock_from_the_future_that_nobody_holds_blocks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
