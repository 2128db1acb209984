/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A storage that loses packs, cuts them short, or has an old index file put back: what is written then can be read, what has been stored
 * again heals older points, and a check without reading back names the points that are touched, and no other. Clause B4. */
#include "store_test.h"
#include <dirent.h>
#include <sys/stat.h>

#define N (300 * CHUNK) /* more than one pack of data, and more than one node */

enum harm { REMOVED, EMPTIED, HALVED, HARMS };

struct world {
    struct store *s;
    char *path;
    uint8_t *data;
    char id[STORE_ID_LEN + 1];
    unsigned warnings; /* of the last check */
};

static void build(struct world *w, const char *dir)
{
    w->s = test_repo(dir, test_encrypted());
    w->path = io_path(dir, "repo");
    w->data = malloc(N);
    fill(w->data, N, 1);
    test_backup(w->s, w->data, N, NULL, w->id);
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
    free(w->data);
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

/* The files of a folder of the repository. */
static char **files(const struct world *w, const char *folder)
{
    char *path = io_path(w->path, folder), **list = NULL;

    gather(path, &list);
    free(path);
    return list;
}

static void harm(const char *path, enum harm how)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(how == REMOVED ? unlink(path) : truncate(path, how == EMPTIED ? 0 : st.st_size / 2), 0);
}

struct found {
    unsigned problems, of_point, warnings;
    const char *point;
};

static void note(void *priv, const struct store_problem *p)
{
    struct found *f = priv;

    if (p->warning) {
        f->warnings++;
        return;
    }
    f->problems++;
    f->of_point += p->point && strcmp(p->point, f->point) == 0;
}

/* Checks without reading back: how many points are damaged; *of_point: findings that name this one. What is told of no point is a warning
 * where all points are whole, and only there. */
static uint64_t check(struct world *w, const char *point, unsigned *of_point)
{
    struct store_check o = { .read_data_percent = 0 };
    struct store_check_result result;
    struct found f = { .point = point };
    struct err err = ERR_INIT;

    assert_ok(store_check(w->s, &o, note, &f, &result, &err));
    if (of_point)
        *of_point = f.of_point;
    assert_int_equal(result.points_damaged > 0, f.problems > 0);
    assert_int_equal(result.problems, f.problems);
    assert_true(f.problems == 0 || f.warnings == 0);
    w->warnings = f.warnings;
    return result.points_damaged;
}

static struct store_lost lost(struct world *w)
{
    struct store_lost l;
    struct err err = ERR_INIT;

    assert_ok(store_lost(w->s, &l, &err));
    return l;
}

/* Each pack in each way: the check names the point; a full backup of the same bytes can be read, and heals the older one. */
static void what_is_lost_is_stored_again(void **state)
{
    for (unsigned n = 0, packs = 1; n < packs * HARMS; n += test_stride(100)) {
        char *dir = str_format("%s/%u", (char *)*state, n), second[STORE_ID_LEN + 1];
        struct world w;
        unsigned named;
        assert_int_equal(mkdir(dir, 0700), 0);
        build(&w, dir);
        char **list = files(&w, "packs");
        packs = (unsigned)strv_len(list);
        assert_true(packs >= 2);
        assert_int_equal(lost(&w).missing + lost(&w).cut, 0);
        harm(list[n / HARMS], n % HARMS);
        reopen(&w);
        assert_int_equal(check(&w, w.id, &named), 1);
        assert_true(named > 0);
        test_backup(w.s, w.data, N, NULL, second);
        struct store_lost l = lost(&w);
        assert_int_equal(l.missing, n % HARMS != HALVED);
        assert_int_equal(l.cut, n % HARMS == HALVED);
        assert_true(l.again > 0);
        reopen(&w);
        test_same(w.s, second, w.data, N);
        test_same(w.s, w.id, w.data, N);
        assert_int_equal(check(&w, w.id, NULL), 0);
        test_clean(w.s);
        /* And a prune clears it away. */
        struct store_prune o = { 0 };
        struct store_prune_result result;
        struct err err = ERR_INIT;
        assert_ok(store_prune(w.s, &o, &result, &err));
        reopen(&w);
        assert_int_equal(lost(&w).missing + lost(&w).cut, 0);
        test_same(w.s, w.id, w.data, N);
        test_clean(w.s);
        strv_free(list);
        done(&w);
        free(dir);
    }
}

/* A point that shares nothing with the lost pack is not named, and one that does is not stood upon. */
static void only_what_is_touched_is_named(void **state)
{
    struct world w;
    char other[STORE_ID_LEN + 1];
    uint8_t *data = malloc(N);
    struct store_point *p;
    struct err err = ERR_INIT;
    unsigned named;

    build(&w, *state);
    char **before = files(&w, "packs");
    fill(data, N, 2);
    test_backup(w.s, data, N, NULL, other);
    for (char **f = before; *f; f++)
        harm(*f, HALVED);
    reopen(&w);
    assert_int_equal(check(&w, other, &named), 1);
    assert_int_equal(named, 0);
    test_same(w.s, other, data, N);
    assert_int_equal(lost(&w).cut, strv_len(before));
    assert_ok(store_point_open(w.s, other, &p, &err));
    assert_ok(store_image_whole(p, "disk", &err));
    store_point_close(p);
    assert_ok(store_point_open(w.s, w.id, &p, &err));
    assert_fails(EUCLEAN, store_image_whole(p, "disk", &err));
    store_point_close(p);
    strv_free(before);
    free(data);
    done(&w);
}

/* What the footer says is gone, and the size is as it was: a host that lost power leaves such files. */
static void a_pack_of_zeros_is_looked_into(void **state)
{
    struct world w;
    unsigned named;

    build(&w, *state);
    char **list = files(&w, "packs");
    struct stat st;
    assert_int_equal(stat(list[0], &st), 0);
    assert_int_equal(truncate(list[0], st.st_size / 2), 0);
    assert_int_equal(truncate(list[0], st.st_size), 0);
    reopen(&w);
    assert_int_equal(check(&w, w.id, &named), 1);
    assert_true(named > 0);
    strv_free(list);
    done(&w);
}

/* Index files from before a prune, put back beside the present ones, name packs that are gone. */
static void an_old_index_does_no_harm(void **state)
{
    struct world w;
    char second[STORE_ID_LEN + 1], third[STORE_ID_LEN + 1];
    const char *gone[1];
    struct store_prune o = { .max_unused_percent = 1 };
    struct store_prune_result result;
    struct err err = ERR_INIT;

    build(&w, *state);
    char **old = files(&w, "index"), **kept = NULL;
    for (char **f = old; *f; f++) {
        struct buf b = BUF_INIT;
        assert_ok(io_read_file(*f, 1 << 24, &b, &err));
        char *copy = str_format("%s/copy%zu", (char *)*state, strv_len(kept));
        assert_ok(io_replace_file(copy, b.data, b.len, 0600, &err));
        assert_int_equal(strv_add(&kept, copy), 0);
        free(copy);
        buf_free(&b);
    }
    /* Twice: the first new index says that it stands in the place of the old one, the second does not know of that. */
    for (unsigned i = 0; i < 2; i++) {
        gone[0] = i ? second : w.id;
        strcpy(third, gone[0]);
        gone[0] = third;
        fill(w.data, N / 2, 3 + i); /* the other half stays in use, but not in its packs */
        test_backup(w.s, w.data, N, NULL, second);
        assert_ok(store_forget(w.s, gone, 1, &err));
        assert_ok(store_prune(w.s, &o, &result, &err));
        assert_true(result.packs_deleted > 0);
    }
    for (size_t i = 0; old[i]; i++)
        assert_int_equal(rename(kept[i], old[i]), 0);
    reopen(&w);
    test_same(w.s, second, w.data, N);
    assert_int_equal(check(&w, second, NULL), 0);
    assert_int_equal(w.warnings, 1);
    fill(w.data, N / 2, 1); /* as it was: the old index has all of it */
    test_backup(w.s, w.data, N, NULL, third);
    assert_true(lost(&w).missing > 0);
    reopen(&w);
    test_same(w.s, third, w.data, N);
    test_clean(w.s);
    assert_ok(store_prune(w.s, &o, &result, &err));
    test_same(w.s, third, w.data, N);
    test_clean(w.s);
    assert_int_equal(check(&w, third, NULL), 0);
    assert_int_equal(w.warnings, 0);
    strv_free(old);
    strv_free(kept);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(what_is_lost_is_stored_again),
        test_in_dir(only_what_is_touched_is_named),
        test_in_dir(a_pack_of_zeros_is_looked_into),
        test_in_dir(an_old_index_does_no_harm),
    };

    return cmocka_run_group_tests_name("store_lost", tests, NULL, NULL);
}
