/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An index file that was removed or replaced by an older one is noticed, told with its remedy, and mended; packs whose ends or chunks are
 * damaged are written again where all that is needed of them can be read; what cannot be read anywhere stays a loss. Clause B4. */
#include "store_test.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define N (100 * CHUNK)

struct world {
    struct store *s;
    char *path;
    uint8_t *data[2];
    char id[2][STORE_ID_LEN + 1];
    char **packs[2], **index[2];  /* what was there after the first backup, and after the second */
    char last[KVSS_ERR_TEXT_MAX]; /* warning of the last check */
    unsigned warnings;
};

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

static char **files(const struct world *w, const char *folder)
{
    char *path = io_path(w->path, folder), **list = NULL;

    gather(path, &list);
    free(path);
    return list;
}

/* Two points that share most of their chunks. */
static void build(struct world *w, const char *dir)
{
    w->s = test_repo(dir, test_encrypted());
    w->path = io_path(dir, "repo");
    for (unsigned i = 0; i < 2; i++) {
        w->data[i] = malloc(N);
        fill(w->data[i], N, 1);
        fill(w->data[i], i * 10 * CHUNK, 2);
        test_backup(w->s, w->data[i], N, NULL, w->id[i]);
        w->packs[i] = files(w, "packs");
        w->index[i] = files(w, "index");
    }
}

static void reopen(struct world *w)
{
    store_close(w->s);
    w->s = test_open(w->path, test_encrypted());
}

static void done(struct world *w)
{
    store_close(w->s);
    free(w->path);
    for (unsigned i = 0; i < 2; i++) {
        free(w->data[i]);
        strv_free(w->packs[i]);
        strv_free(w->index[i]);
    }
}

static void note(void *priv, const struct store_problem *p)
{
    struct world *w = priv;

    if (!p->warning)
        return;
    w->warnings++;
    snprintf(w->last, sizeof w->last, "%s", p->what);
}

/* How many findings are damage; *ret_points: points that are touched. */
static uint64_t check(struct world *w, unsigned percent, uint64_t *ret_points)
{
    struct store_check o = { .read_data_percent = percent };
    struct store_check_result result;
    struct err err = ERR_INIT;

    reopen(w);
    w->warnings = 0;
    assert_ok(store_check(w->s, &o, note, w, &result, &err));
    *ret_points = result.points_damaged;
    return result.problems;
}

static struct store_unindexed unindexed(struct world *w)
{
    struct store_unindexed u;
    struct err err = ERR_INIT;

    assert_ok(store_unindexed(w->s, &u, &err));
    return u;
}

static struct store_prune_result prune(struct world *w, enum store_mend mend)
{
    struct store_prune o = { .mend = mend };
    struct store_prune_result result;
    struct err err = ERR_INIT;

    assert_ok(store_prune(w->s, &o, &result, &err));
    return result;
}

/* The files of the second list that are not in the first. */
static char **only_second(char *const *first, char *const *second)
{
    char **list = NULL;

    for (; *second; second++)
        if (!strv_has((char **)(uintptr_t)first, *second))
            assert_int_equal(strv_add(&list, *second), 0);
    return list;
}

static void all_is_well(struct world *w)
{
    uint64_t points;

    assert_int_equal(check(w, 100, &points), 0);
    assert_int_equal(unindexed(w).points, 0);
    for (unsigned i = 0; i < 2; i++)
        test_same(w->s, w->id[i], w->data[i], N);
    test_clean(w->s);
}

/* The newer index file, or the older one, or both are removed: told, with the remedy, and all can be read; a backup stores what it needs
 * again; both commands that mend it do. */
static void a_removed_index_is_told(void **state)
{
    for (unsigned n = 0; n < 6; n += test_stride(5)) {
        char *dir = str_format("%s/%u", (char *)*state, n), third[STORE_ID_LEN + 1];
        struct store_repair_result result;
        struct err err = ERR_INIT;
        struct world w = { 0 };
        uint64_t points, problems;
        assert_int_equal(mkdir(dir, 0700), 0);
        build(&w, dir);
        assert_int_equal(unindexed(&w).points, 0);
        char **newer = only_second(w.index[0], w.index[1]);
        for (char *const *f = n % 3 == 0 ? newer : n % 3 == 1 ? w.index[0] : w.index[1]; *f; f++)
            assert_int_equal(unlink(*f), 0);
        reopen(&w);
        assert_true(unindexed(&w).packs > 0);
        assert_true(unindexed(&w).points > 0);
        assert_int_equal(store_verify(w.s, w.id[n % 3 == 0], NULL, NULL, NULL, &problems, &err), 0);
        assert_int_equal(problems, 0);
        assert_int_equal(check(&w, 0, &points), 0);
        assert_int_equal(points, 0);
        assert_int_equal(w.warnings, 1);
        assert_non_null(strstr(w.last, "kvss repair index"));
        test_same(w.s, w.id[n % 3 == 0], w.data[n % 3 == 0], N);
        /* As today: what no index knows is stored again. */
        test_backup(w.s, w.data[1], N, NULL, third);
        reopen(&w);
        test_same(w.s, third, w.data[1], N);
        if (n < 3)
            assert_ok(store_repair_index(w.s, false, NULL, &result, &(struct err)ERR_INIT));
        else
            prune(&w, STORE_MEND_ENDS);
        all_is_well(&w);
        test_same(w.s, third, w.data[1], N);
        strv_free(newer);
        done(&w);
        free(dir);
    }
}

/* Packs that no index names, since a backup was interrupted: of no interest. */
static void an_interrupted_backup_is_not_told(void **state)
{
    struct world w = { 0 };
    struct store_writer *writer;
    struct store_image_writer *iw;
    struct store_stats stats;
    struct err err = ERR_INIT;

    build(&w, *state);
    assert_ok(store_write_begin(w.s, &writer, &err));
    fill(w.data[1], N, 7);
    assert_ok(store_image_begin(writer, "disk", N, NULL, NULL, &iw, &err));
    assert_ok(store_image_write(iw, 0, w.data[1], N, &err));
    assert_ok(store_image_end(iw, &stats, &err));
    assert_ok(packer_flush(w.s->packer, &err));
    assert_true(unindexed(&w).packs > 0);
    assert_int_equal(unindexed(&w).points, 0);
    store_write_abort(writer);
    done(&w);
}

static void harm(const char *path, int64_t at, size_t n)
{
    struct stat st;
    uint8_t b[64];
    int fd = open(path, O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0 && fstat(fd, &st) == 0 && n <= sizeof b);
    if (at < 0)
        at += st.st_size;
    assert_int_equal(pread(fd, b, n, at), n);
    for (size_t i = 0; i < n; i++)
        b[i] ^= 0x55;
    assert_int_equal(pwrite(fd, b, n, at), n);
    close(fd);
}

static void cut(const char *path, int64_t n)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size - n), 0);
}

/* Each pack loses its last bytes: a prune mends it. A bit of the footer: the repair does. */
static void an_end_is_mended(void **state)
{
    const struct {
        int64_t cut, flip;
    } ways[] = { { 1, 0 }, { 12, 0 }, { 13, 0 }, { 40, 0 }, { 0, -1 }, { 0, -30 } };

    for (unsigned n = 0; n < ARRAY_SIZE(ways); n += test_stride(5)) {
        char *dir = str_format("%s/%u", (char *)*state, n);
        struct world w = { 0 };
        uint64_t points;
        assert_int_equal(mkdir(dir, 0700), 0);
        build(&w, dir);
        size_t packs = strv_len(w.packs[1]);
        for (char **f = w.packs[1]; *f; f++) {
            if (ways[n].cut)
                cut(*f, ways[n].cut);
            else
                harm(*f, ways[n].flip, 1);
        }
        assert_true(check(&w, 0, &points) > 0);
        assert_int_equal(points, 0);
        struct store_prune_result result = prune(&w, ways[n].flip < -12 ? STORE_MEND_FOOTERS : n % 2 ? STORE_MEND_ENDS : STORE_MEND_ALL);
        assert_int_equal(result.packs_damaged, packs);
        assert_int_equal(result.packs_mended, packs);
        assert_int_equal(result.chunks_lost, 0);
        all_is_well(&w);
        assert_int_equal(prune(&w, STORE_MEND_ALL).packs_damaged, 0);
        done(&w);
        free(dir);
    }
}

/* A chunk that rots and is stored again, or that nobody needs any more: the repair writes the rest of its pack again. */
static void what_rots_is_mended_if_it_is_elsewhere(void **state)
{
    for (unsigned n = 0; n < 2; n += test_stride(2)) {
        char *dir = str_format("%s/%u", (char *)*state, n), third[STORE_ID_LEN + 1];
        const char *first[1];
        struct store_repair_result repaired;
        struct err err = ERR_INIT;
        struct world w = { 0 };
        uint64_t points;
        assert_int_equal(mkdir(dir, 0700), 0);
        build(&w, dir);
        for (char **f = w.packs[0]; *f; f++)
            harm(*f, 200, 1);
        assert_true(check(&w, 100, &points) > 0);
        assert_true(points > 0);
        /* A real loss: nothing is taken away, and it stays one. */
        struct store_prune_result result = { 0 };
        int r = store_prune(w.s, &(struct store_prune){ .mend = STORE_MEND_ALL }, &result, &err);
        assert_true(r == -EUCLEAN || (r == 0 && result.chunks_lost > 0 && result.packs_mended < result.packs_damaged));
        assert_true(check(&w, 100, &points) > 0);
        assert_true(points > 0);
        /* Found to be missing, and stored again. */
        assert_ok(store_repair_index(w.s, true, NULL, &repaired, &(struct err)ERR_INIT));
        assert_true(repaired.chunks_lost > 0);
        for (unsigned i = 0; i < 2; i++)
            test_backup(w.s, w.data[i], N, NULL, third);
        if (n == 1) {
            first[0] = w.id[0];
            assert_ok(store_forget(w.s, first, 1, &(struct err)ERR_INIT));
        }
        reopen(&w);
        result = prune(&w, STORE_MEND_ALL);
        assert_true(result.packs_damaged > 0);
        assert_int_equal(result.chunks_lost, 0);
        assert_int_equal(check(&w, 100, &points), 0);
        test_same(w.s, w.id[1], w.data[1], N);
        test_same(w.s, third, w.data[1], N);
        assert_int_equal(prune(&w, STORE_MEND_ALL).packs_damaged, 0);
        done(&w);
        free(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(a_removed_index_is_told),
        test_in_dir(an_interrupted_backup_is_not_told),
        test_in_dir(an_end_is_mended),
        test_in_dir(what_rots_is_mended_if_it_is_elsewhere),
    };

    return cmocka_run_group_tests_name("store_mend", tests, NULL, NULL);
}
