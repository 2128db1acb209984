/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bits flipped and bytes cut in every kind of file, at random places: always detected, never a crash, never wrong data.
 * KVSS_TEST_ROUNDS: tries per kind (default 40). Under valgrind fewer. Clause B4. */
#include "store_test.h"
#include <dirent.h>
#include <sys/stat.h>

#define N (40 * CHUNK)

struct world {
    char *path;
    bool encrypted;
    uint8_t *data[2];
    char id[2][STORE_ID_LEN + 1];
    unsigned detected;
};

static void build(struct world *w, const char *dir, bool encrypted)
{
    struct store *s = test_repo(dir, encrypted);

    w->path = io_path(dir, "repo");
    w->encrypted = encrypted;
    for (unsigned i = 0; i < 2; i++) {
        w->data[i] = malloc(N);
        if (i)
            memcpy(w->data[1], w->data[0], N);
        fill(w->data[i] + i * 5 * CHUNK, i ? 2 * CHUNK : N, i);
        memset(w->data[i] + 20 * CHUNK, 'x', 8 * CHUNK); /* and something to compress */
        test_backup(s, w->data[i], N, i ? w->id[0] : NULL, w->id[i]);
    }
    store_close(s);
}

static void gather(const char *folder, char ***ret)
{
    DIR *d = opendir(folder);

    for (struct dirent *e; d && (e = readdir(d));) {
        char *path = io_path(folder, e->d_name);
        struct stat st;
        if (e->d_name[0] != '.' && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            gather(path, ret);
        else if (e->d_name[0] != '.')
            assert_int_equal(strv_add(ret, path), 0);
        free(path);
    }
    if (d)
        closedir(d);
}

/* Reads what can be read: it is right, or an error says so. True if something was found wrong. */
static bool examine(struct world *w)
{
    struct store_open o = { .key.passphrase = w->encrypted ? "correct horse" : NULL, .threads = 2 };
    uint8_t *got = malloc(N);
    struct err err = ERR_INIT;
    struct store *s;
    bool found = false;
    int r = store_open(w->path, &o, &s, &err);

    if (r < 0) {
        assert_true(r == -EUCLEAN || r == -EACCES || r == -EPROTONOSUPPORT || r == -ENOENT);
        free(got);
        return true;
    }
    for (unsigned i = 0; i < 2; i++) {
        struct store_point *p;
        struct store_image *im;
        r = store_point_open(s, w->id[i], &p, &err);
        if (r < 0) {
            found |= r != -ENOENT; /* one that is gone counts as forgotten */
            continue;
        }
        assert_ok(store_image_open(p, "disk", &im, &err));
        r = store_image_read(im, 0, got, N, &err);
        assert_true(r == 0 || r == -EUCLEAN);
        if (r == 0)
            assert_memory_equal(got, w->data[i], N);
        found |= r < 0;
        store_image_close(im);
        store_point_close(p);
    }
    uint64_t problems;
    assert_ok(store_verify(s, NULL, NULL, NULL, NULL, &problems, &err));
    assert_true(problems || !found);
    store_close(s);
    free(got);
    return problems > 0;
}

/* Damages the file in one of several ways; false if that changes nothing. */
static bool damage(struct buf *b, uint64_t *seed)
{
    size_t at = rnd(seed) % b->len, n = 1 + rnd(seed) % 64;

    switch (rnd(seed) % 4) {
    case 0: /* one bit */ b->data[at] ^= (uint8_t)(1u << rnd(seed) % 8); return true;
    case 1: /* cut */ b->len = at; return true;
    case 2: /* zeros, as a lost sector */
        n = n < b->len - at ? n : b->len - at;
        for (size_t i = 0; i < n; i++)
            if (b->data[at + i]) {
                memset(b->data + at, 0, n);
                return true;
            }
        return false;
    default: /* more bytes at the end */ assert_int_equal(buf_add(b, "xxxxxxxxxxxxxxxxxxxxxxxx", 1 + n % 24), 0); return true;
    }
}

static void damage_folder(const char *dir, bool encrypted, const char *folder)
{
    unsigned rounds = getenv("KVSS_TEST_ROUNDS") ? (unsigned)atoi(getenv("KVSS_TEST_ROUNDS")) : 40 / test_stride(20);
    struct world w = { 0 };
    struct err err = ERR_INIT;
    char **files = NULL;
    uint64_t seed = 12345 + (uint64_t)folder[0];

    build(&w, dir, encrypted);
    char *top = io_path(w.path, folder);
    struct stat st;
    if (stat(top, &st) == 0 && S_ISDIR(st.st_mode))
        gather(top, &files);
    else
        assert_int_equal(strv_add(&files, top), 0);
    assert_true(strv_len(files) > 0);
    assert_false(examine(&w));
    for (unsigned i = 0; i < rounds; i++) {
        const char *file = files[rnd(&seed) % strv_len(files)];
        struct buf good = BUF_INIT, bad = BUF_INIT;
        assert_ok(io_read_file(file, 64 << 20, &good, &err));
        assert_int_equal(buf_add(&bad, good.data, good.len), 0);
        if (damage(&bad, &seed)) {
            assert_ok(io_replace_file(file, bad.data, bad.len, 0600, &err));
            if (!examine(&w))
                fail_msg("damage in %s was not detected (round %u)", file, i);
            assert_ok(io_replace_file(file, good.data, good.len, 0600, &err));
        }
        buf_free(&good);
        buf_free(&bad);
    }
    assert_false(examine(&w));
    strv_free(files);
    for (unsigned i = 0; i < 2; i++)
        free(w.data[i]);
    free(top);
    free(w.path);
}

static void packs_encrypted(void **state)
{
    damage_folder(*state, true, "packs");
}
static void packs_plain(void **state)
{
    damage_folder(*state, false, "packs");
}
static void index_encrypted(void **state)
{
    damage_folder(*state, true, "index");
}
static void index_plain(void **state)
{
    damage_folder(*state, false, "index");
}
static void points_encrypted(void **state)
{
    damage_folder(*state, true, "points");
}
static void points_plain(void **state)
{
    damage_folder(*state, false, "points");
}
static void keys_encrypted(void **state)
{
    damage_folder(*state, true, "keys");
}
static void config_encrypted(void **state)
{
    damage_folder(*state, true, "config");
}
static void config_plain(void **state)
{
    damage_folder(*state, false, "config");
}

/* Files that stand in for one another are found out as well. */
static void exchanged_files_are_noticed(void **state)
{
    struct world w = { 0 };
    struct err err = ERR_INIT;
    const char *folders[] = { "packs", "index", "points" };

    build(&w, *state, true);
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        char **files = NULL, *top = io_path(w.path, folders[i]), *spare = io_path(w.path, "spare");
        gather(top, &files);
        assert_true(strv_len(files) >= 2);
        assert_int_equal(rename(files[0], spare), 0);
        assert_int_equal(rename(files[1], files[0]), 0);
        assert_int_equal(rename(spare, files[1]), 0);
        assert_true(examine(&w));
        assert_int_equal(rename(files[1], spare), 0);
        assert_int_equal(rename(files[0], files[1]), 0);
        assert_int_equal(rename(spare, files[0]), 0);
        assert_false(examine(&w));
        assert_int_equal(unlink(files[0]), 0);
        /* What is missing is noticed too; but what an index file said is in the packs, and a point that is gone counts as forgotten. */
        assert_int_equal(examine(&w), i == 0);
        if (i < 2) {
            io_remove_tree(w.path, &err);
            free(w.data[0]);
            free(w.data[1]);
            free(w.path);
            build(&w, *state, true);
        }
        strv_free(files);
        free(top);
        free(spare);
    }
    free(w.data[0]);
    free(w.data[1]);
    free(w.path);
}

/* A lost index comes back from the packs; damaged chunks are left out, and the next backup heals older points. */
static void repair_and_heal(void **state)
{
    struct world w = { 0 };
    struct err err = ERR_INIT;
    char **files = NULL, id[STORE_ID_LEN + 1];
    struct store_repair_result r;
    uint64_t problems;

    build(&w, *state, true);
    char *index = io_path(w.path, "index"), *packs = io_path(w.path, "packs");
    gather(index, &files);
    for (size_t i = 0; i < strv_len(files); i++)
        assert_int_equal(unlink(files[i]), 0);
    strv_free(TAKE_PTR(files));
    assert_false(examine(&w)); /* nothing is lost */
    struct store *s = test_open(w.path, true);
    assert_ok(store_repair_index(s, false, NULL, &r, &err));
    assert_int_equal(r.chunks_lost, 0);
    test_same(s, w.id[0], w.data[0], N);
    test_same(s, w.id[1], w.data[1], N);
    test_clean(s);
    /* Cut the largest pack: its footer is gone, and some segments. */
    gather(packs, &files);
    struct stat st;
    for (size_t i = 0; i < strv_len(files); i++) {
        assert_int_equal(stat(files[i], &st), 0);
        if ((size_t)st.st_size > N / 2)
            assert_int_equal(truncate(files[i], st.st_size / 2), 0);
    }
    assert_ok(store_verify(s, NULL, NULL, NULL, NULL, &problems, &err));
    assert_true(problems > 0);
    assert_ok(store_repair_index(s, true, NULL, &r, &err));
    assert_int_equal(r.packs_damaged, 1);
    struct store_stats stats = test_backup(s, w.data[0], N, NULL, id);
    /* what lies first was saved from the cut pack: one segment of the three, which one is left to the threads */
    assert_true(stats.chunks_new > 5 && stats.chunks_new < N / CHUNK);
    test_same(s, w.id[0], w.data[0], N); /* the old point too */
    store_close(s);
    strv_free(files);
    free(index);
    free(packs);
    free(w.data[0]);
    free(w.data[1]);
    free(w.path);
}

static void note(void *priv, const struct store_problem *p)
{
    struct world *w = priv;

    if (p->point && p->name && strcmp(p->point, w->id[1]) == 0 && strcmp(p->name, "disk") == 0)
        w->detected |= 2;
    if (p->point && strcmp(p->point, w->id[0]) == 0)
        w->detected |= 1;
}

/* Garbage waits for a live session; a file of that folder is damaged; then nothing that anyone counts on may go. */
static void damage_beside_a_session(struct world *w, const char *folder, uint64_t *seed)
{
    struct store *s = test_open(w->path, true), *other = test_open(w->path, true);
    char third[STORE_ID_LEN + 1], *top = io_path(w->path, folder), **files = NULL;
    struct buf bad = BUF_INIT;
    struct err err = ERR_INIT;
    struct store_prune o = { 0 };
    struct store_prune_result r = { 0 };
    struct store_writer *running;
    uint8_t *data = malloc(N);

    assert_ok(store_write_begin(other, &running, &err));
    fill(data, N, *seed);
    test_backup(s, data, N, NULL, third);
    assert_ok(store_forget(s, (const char *const[]){ third }, 1, &err));
    assert_ok(store_prune(s, &o, &r, &err));
    assert_true(r.bytes_later >= N);
    gather(top, &files);
    assert_true(strv_len(files) > 0);
    const char *file = files[rnd(seed) % strv_len(files)];
    assert_ok(io_read_file(file, 1 << 20, &bad, &err));
    damage(&bad, seed);
    assert_ok(io_replace_file(file, bad.data, bad.len, 0600, &err));
    assert_false(examine(w));
    int e = store_prune(s, &o, &r, &err);
    assert_true(e == 0 || e == -EBUSY);
    assert_int_equal(r.packs_deleted, 0);
    test_backup(other, data, N, NULL, third); /* finds it all where it was */
    test_same(s, third, data, N);
    assert_ok(store_forget(s, (const char *const[]){ third }, 1, &err));
    store_write_abort(running);
    store_close(other);
    size_t unlocked;
    assert_ok(store_unlock(s, true, &unlocked, &err));
    for (unsigned i = 0; i < 2; i++)
        assert_ok(store_prune(s, &o, &r, &err));
    assert_int_equal(r.bytes_later, 0);
    store_close(s);
    buf_free(&bad);
    strv_free(files);
    free(data);
    free(top);
}

/* Locks and records of garbage hold nothing that is restored: damage in them is no finding, and must do no harm. */
static void damaged_locks_and_records_do_no_harm(void **state)
{
    unsigned rounds = getenv("KVSS_TEST_ROUNDS") ? (unsigned)atoi(getenv("KVSS_TEST_ROUNDS")) : getenv("KVSS_TEST_VALGRIND") ? 1 : 15;
    struct world w = { 0 };
    uint64_t seed = 99;

    build(&w, *state, true);
    for (unsigned i = 0; i < rounds; i++) {
        damage_beside_a_session(&w, "locks", &seed);
        damage_beside_a_session(&w, "gc", &seed);
    }
    assert_false(examine(&w));
    for (unsigned i = 0; i < 2; i++)
        free(w.data[i]);
    free(w.path);
}

/* Damage is told with the points and images it touches, and only these. */
/* Nothing is removed, and the message says what to do. */
static void prune_with_a_damaged_index_file(void **state)
{
    _cleanup_free_ char *folder = str_format("%s/repo/index", (const char *)*state);
    _cleanup_strv_ char **files = NULL;
    struct err err = ERR_INIT;
    struct world w = { 0 };

    build(&w, *state, false);
    gather(folder, &files);
    assert_non_null(files);
    assert_int_equal(truncate(files[0], 10), 0);
    struct store *s = test_open(w.path, false);
    for (int dry = 1; dry >= 0; dry--) {
        struct store_prune o = { .dry_run = dry };
        struct store_prune_result r;
        assert_fails(EUCLEAN, store_prune(s, &o, &r, &err));
        assert_non_null(strstr(err.text, "kvss repair index"));
    }
    store_close(s);
    for (unsigned i = 0; i < 2; i++)
        free(w.data[i]);
    free(w.path);
}

static void check_names_what_is_touched(void **state)
{
    struct world w = { 0 };
    struct err err = ERR_INIT;
    char **files = NULL;
    struct store_check o = { .read_data_percent = 100 };
    struct store_check_result r;

    build(&w, *state, false);
    char *packs = io_path(w.path, "packs");
    gather(packs, &files);
    /* The second point's data pack holds two chunks of 64 KiB, no more. */
    struct stat st;
    for (size_t i = 0; i < strv_len(files); i++) {
        struct buf b = BUF_INIT;
        assert_int_equal(stat(files[i], &st), 0);
        if ((size_t)st.st_size < 2 * CHUNK || (size_t)st.st_size > 3 * CHUNK)
            continue;
        assert_ok(io_read_file(files[i], 64 << 20, &b, &err));
        b.data[1000] ^= 1;
        assert_ok(io_replace_file(files[i], b.data, b.len, 0600, &err));
        buf_free(&b);
    }
    struct store *s = test_open(w.path, false);
    assert_ok(store_check(s, &o, note, &w, &r, &err));
    assert_int_equal(w.detected, 2);
    assert_int_equal(r.points_damaged, 1);
    assert_int_equal(r.points, 2);
    test_same(s, w.id[0], w.data[0], N);
    store_close(s);
    strv_free(files);
    free(packs);
    free(w.data[0]);
    free(w.data[1]);
    free(w.path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(packs_encrypted),
        test_in_dir(packs_plain),
        test_in_dir(index_encrypted),
        test_in_dir(index_plain),
        test_in_dir(points_encrypted),
        test_in_dir(points_plain),
        test_in_dir(keys_encrypted),
        test_in_dir(config_encrypted),
        test_in_dir(config_plain),
        test_in_dir(exchanged_files_are_noticed),
        test_in_dir(repair_and_heal),
        test_in_dir(check_names_what_is_touched),
        test_in_dir(damaged_locks_and_records_do_no_harm),
        test_in_dir(prune_with_a_damaged_index_file),
    };

    return cmocka_run_group_tests_name("store_damage", tests, NULL, NULL);
}
