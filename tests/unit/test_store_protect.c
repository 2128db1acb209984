/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Protected restore points: not forgotten, what they need is not pruned, not even where the storage has lost them; nobody without the key
 * makes a protection that counts as genuine, and one that is damaged protects. Clause B4. */
#include "store_test.h"
#include "base/clock.h"

#define N (20 * CHUNK)

struct world {
    struct store *s;
    char *repo;
    uint8_t data[N];
    char id[2][STORE_ID_LEN + 1];
};

static struct world *build(const char *dir, bool encrypted)
{
    struct world *w = calloc(1, sizeof *w);

    w->s = test_repo(dir, encrypted);
    w->repo = io_path(dir, "repo");
    for (unsigned i = 0; i < 2; i++) {
        fill(w->data, N, i);
        test_backup(w->s, w->data, N, NULL, w->id[i]);
    }
    return w;
}

static void done(struct world *w)
{
    store_close(w->s);
    free(w->repo);
    free(w);
}

static int forget(struct world *w, unsigned i, struct err *err)
{
    const char *ids[] = { w->id[i] };

    return store_forget(w->s, ids, 1, err);
}

static struct store_protection one(struct world *w)
{
    struct store_protection *list, p;
    struct err err = ERR_INIT;
    size_t n;

    assert_ok(store_protections(w->s, &list, &n, &err));
    assert_int_equal(n, 1);
    p = *list;
    free(list);
    return p;
}

static int prune(struct world *w, struct err *err)
{
    struct store_prune_result result;

    return store_prune(w->s, &(struct store_prune){ 0 }, &result, err);
}

static void round_trip(const char *dir, bool encrypted)
{
    struct world *w = build(dir, encrypted);
    struct err err = ERR_INIT;

    assert_ok(store_protect(w->s, w->id[0], 0, &err));
    assert_int_equal(one(w).until_us, 0);
    assert_false(one(w).damaged);
    assert_non_null(strstr(one(w).by, "uid"));
    assert_fails(EPERM, forget(w, 0, &err));
    assert_non_null(strstr(err.text, "kvss protect --off"));
    err_clear(&err);
    const char *both[] = { w->id[1], w->id[0] };
    assert_fails(EPERM, store_forget(w->s, both, 2, &err));
    err_clear(&err);
    test_same(w->s, w->id[1], w->data, N); /* nothing was removed */
    assert_ok(forget(w, 1, &err));
    assert_ok(prune(w, &err));
    fill(w->data, N, 0);
    test_same(w->s, w->id[0], w->data, N);
    /* Replaced, then over by both clocks, then taken away. */
    assert_ok(store_protect(w->s, w->id[0], clock_wall_us() + 3600 * INT64_C(1000000), &err));
    assert_fails(EPERM, forget(w, 0, &err));
    err_clear(&err);
    assert_ok(store_protect(w->s, w->id[0], clock_wall_us() - 60 * INT64_C(1000000), &err));
    assert_true(one(w).expired);
    assert_ok(store_unprotect(w->s, w->id[0], &err));
    assert_ok(store_unprotect(w->s, w->id[0], &err));
    assert_ok(forget(w, 0, &err));
    done(w);
}

static void encrypted(void **state)
{
    round_trip(*state, true);
}
static void plain(void **state)
{
    round_trip(*state, false);
}

/* The storage loses the point: nothing is pruned, and a check tells. */
static void what_is_lost_can_be_put_back(void **state)
{
    struct world *w = build(*state, true);
    struct err err = ERR_INIT;
    uint64_t problems;
    char *point = str_format("%s/points/%s", w->repo, w->id[0]), *kept = io_path(*state, "kept");

    assert_ok(store_protect(w->s, w->id[0], 0, &err));
    test_clean(w->s);
    assert_int_equal(rename(point, kept), 0);
    assert_fails(EUCLEAN, prune(w, &err));
    err_clear(&err);
    assert_ok(store_verify(w->s, NULL, NULL, NULL, NULL, &problems, &err));
    assert_int_equal(problems, 1);
    assert_int_equal(rename(kept, point), 0);
    fill(w->data, N, 0);
    test_same(w->s, w->id[0], w->data, N);
    assert_ok(prune(w, &err));
    test_clean(w->s);
    free(point);
    free(kept);
    done(w);
}

/* A protection that was altered (to end sooner, or for another point) is no genuine one: it protects for good. */
static void an_altered_one_protects(void **state)
{
    struct world *w = build(*state, true);
    struct err err = ERR_INIT;
    struct buf b = BUF_INIT;
    char *path = str_format("%s/protected/%s", w->repo, w->id[0]), *other = str_format("%s/protected/%s", w->repo, w->id[1]);

    assert_ok(store_protect(w->s, w->id[0], clock_wall_us() + 3600 * INT64_C(1000000), &err));
    assert_ok(io_read_file(path, 4096, &b, &err));
    memcpy(strstr((char *)b.data, "until=") + 6, "1999", 4);
    assert_ok(io_replace_file(path, b.data, b.len, 0600, &err));
    assert_true(one(w).damaged);
    assert_fails(EPERM, forget(w, 0, &err));
    err_clear(&err);
    assert_ok(store_protect(w->s, w->id[0], 0, &err));
    assert_int_equal(rename(path, other), 0);
    assert_true(one(w).damaged);
    assert_fails(EPERM, forget(w, 1, &err));
    buf_free(&b);
    free(path);
    free(other);
    done(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(encrypted),
        test_in_dir(plain),
        test_in_dir(what_is_lost_can_be_put_back),
        test_in_dir(an_altered_one_protects),
    };

    return cmocka_run_group_tests_name("store_protect", tests, NULL, NULL);
}
