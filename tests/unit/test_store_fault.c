/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Nth call of the backend fails, for every N until none is left to fail: with "no space left", once or from then on; or the
 * program is cut off there (nothing gets through any more). What was there before stays whole, the next attempt works.
 * Issue 3: "ENOSPC and read-only targets end in a clear error and a valid repository". */
#include "store_test.h"

#define N (30 * CHUNK)

enum fault { FAIL_ONCE, FAIL_ON, CUT_OFF, READ_ONLY, CONFIG_IN_DOUBT, NO_RING };

struct faulty {
    struct backend backend;
    struct backend *real;
    enum fault how;
    atomic_int left; /* calls that change something, until it fails */
};

static bool fails(struct faulty *f)
{
    int left = atomic_fetch_sub(&f->left, 1);

    return f->how == FAIL_ONCE ? left == 0 : left <= 0;
}

static int no_space(struct err *err)
{
    return err_set(err, ENOSPC, "cannot write: no space left");
}

static int f_get(struct backend *b, const char *name, uint64_t off, void *p, size_t n, struct err *err)
{
    struct faulty *f = (struct faulty *)b;

    if (f->how == NO_RING && strncmp(name, "ring/", 5) == 0)
        return err_set(err, EIO, "a bad spot");
    return backend_get(f->real, name, off, p, n, err);
}

static int f_put(struct backend *b, const char *name, const struct iovec *iov, size_t iovs, enum backend_put how, struct err *err)
{
    struct faulty *f = (struct faulty *)b;

    if (f->how == READ_ONLY)
        return err_set(err, EROFS, "cannot write: it is read-only");
    if (f->how == CONFIG_IN_DOUBT && strcmp(name, "config") == 0) { /* it is there, but nobody knows for how long */
        assert_int_equal(f->real->ops->put(f->real, name, iov, iovs, how, err), 0);
        return err_set(err, EIO, "the last fsync failed");
    }
    return f->how < CONFIG_IN_DOUBT && fails(f) ? no_space(err) : f->real->ops->put(f->real, name, iov, iovs, how, err);
}

static int f_prepare(struct backend *b, const char *name, const struct iovec *iov, size_t iovs, struct backend_prepared *ret,
                     struct err *err)
{
    struct faulty *f = (struct faulty *)b;

    if (f->how == READ_ONLY)
        return err_set(err, EROFS, "cannot write: it is read-only");
    return fails(f) ? no_space(err) : f->real->ops->prepare(f->real, name, iov, iovs, ret, err);
}

static int f_publish(struct backend *b, const struct backend_prepared *p, struct err *err)
{
    struct faulty *f = (struct faulty *)b;

    return fails(f) ? no_space(err) : backend_publish(f->real, p, err);
}

static void f_abandon(struct backend *b, const struct backend_prepared *p)
{
    backend_abandon(((struct faulty *)b)->real, p);
}

static int f_list(struct backend *b, const char *folder, int (*fn)(void *priv, const char *name), void *priv, struct err *err)
{
    return backend_list(((struct faulty *)b)->real, folder, fn, priv, err);
}

/* A full file system still deletes; a program that was cut off does not. */
static int f_del(struct backend *b, const char *name, struct err *err)
{
    struct faulty *f = (struct faulty *)b;

    return f->how == CUT_OFF && fails(f) ? err_set(err, EIO, "cut off") : backend_del(f->real, name, err);
}

static int f_stat(struct backend *b, const char *name, struct backend_stat *ret, struct err *err)
{
    return backend_stat(((struct faulty *)b)->real, name, ret, err);
}

static void f_close(struct backend *b)
{
    backend_close(((struct faulty *)b)->real);
    free(b);
}

static const struct backend_ops faulty_ops = { f_get, f_put, f_prepare, f_publish, f_abandon, f_list, f_del, f_stat, f_close };

static struct store *open_faulty(const char *path, enum fault how, int n, struct faulty **ret)
{
    struct store_open o = { .key.passphrase = "correct horse", .threads = 2 };
    struct faulty *f = calloc(1, sizeof *f);
    struct err err = ERR_INIT;
    struct store *s;

    f->backend.ops = &faulty_ops;
    f->how = how;
    f->left = n;
    assert_ok(backend_dir_open(path, &f->real, &err));
    assert_ok(store_open_backend(&f->backend, path, &o, &s, &err));
    *ret = f;
    return s;
}

/* As test_backup(), but it may fail. */
static int try_backup(struct store *s, const uint8_t *p, const char *parent, char *id, struct err *err)
{
    struct store_image_writer *iw;
    struct store_writer *w;
    int r = store_write_begin(s, &w, err);

    if (r < 0)
        return r;
    r = store_write_document(w, "doc", p, 5 * CHUNK, err);
    if (r == 0)
        r = store_image_begin(w, "disk", N, parent, "disk", &iw, err);
    if (r == 0) {
        r = store_image_write(iw, 0, p, N, err);
        if (r == 0)
            r = store_image_end(iw, NULL, err);
        else
            store_image_drop(iw);
    }
    if (r == 0)
        return store_write_commit(w, "{}", id, err);
    store_write_abort(w);
    return r;
}

struct scene {
    char *path;
    uint8_t *data[3];
    char id[3][STORE_ID_LEN + 1];
};

static void scene_begin(struct scene *x, const char *dir)
{
    struct store *s = test_repo(dir, true);

    x->path = io_path(dir, "repo");
    for (unsigned i = 0; i < 3; i++) {
        x->data[i] = malloc(N);
        fill(x->data[i], N, i);
        if (i == 1)
            memcpy(x->data[1], x->data[0], N / 2);
        if (i < 2)
            test_backup(s, x->data[i], N, NULL, x->id[i]);
    }
    store_close(s);
}

static void scene_end(struct scene *x)
{
    for (unsigned i = 0; i < 3; i++)
        free(x->data[i]);
    free(x->path);
}

/* The points that must be there are, whole; nothing is damaged. */
static void scene_check(const struct scene *x, unsigned from, unsigned to)
{
    struct store *s = test_open(x->path, true);

    for (unsigned i = from; i < to; i++)
        test_same(s, x->id[i], x->data[i], N);
    test_clean(s);
    store_close(s);
}

static void backup_fails(const char *dir, enum fault how)
{
    struct err err = ERR_INIT;
    struct scene x;
    struct faulty *f;
    int r = -1;

    scene_begin(&x, dir);
    for (int n = 0; r < 0; n += (int)test_stride(25)) {
        struct store *s = open_faulty(x.path, how, n, &f);
        r = try_backup(s, x.data[2], x.id[1], x.id[2], &err);
        assert_true(r == 0 || r == -ENOSPC || how == CUT_OFF);
        assert_true(r == 0 || err.text[0]);
        store_close(s);
        scene_check(&x, 0, r == 0 ? 3 : 2);
        assert_true(n < 1000);
    }
    /* And once more without faults. */
    struct store *s = test_open(x.path, true);
    assert_ok(try_backup(s, x.data[2], NULL, x.id[2], &err));
    store_close(s);
    scene_check(&x, 0, 3);
    scene_end(&x);
}

static void backup_no_space_once(void **state)
{
    backup_fails(*state, FAIL_ONCE);
}
static void backup_no_space(void **state)
{
    backup_fails(*state, FAIL_ON);
}
static void backup_cut_off(void **state)
{
    backup_fails(*state, CUT_OFF);
}

/* Locks of a program that was cut off, as if it were long dead. */
static void remove_locks(const char *path)
{
    struct store *s = test_open(path, true);
    struct err err = ERR_INIT;
    size_t n;

    assert_ok(store_unlock(s, true, &n, &err));
    store_close(s);
}

static void prune_fails(const char *dir, enum fault how)
{
    struct err err = ERR_INIT;
    struct scene x;
    struct faulty *f;
    int r = -1;

    scene_begin(&x, dir);
    struct store *s = test_open(x.path, true);
    assert_ok(store_forget(s, (const char *const[]){ x.id[0] }, 1, &err));
    store_close(s);
    for (int n = 0; r < 0; n += (int)test_stride(25)) {
        struct store_prune o = { 0 };
        struct store_prune_result result;
        s = open_faulty(x.path, how, n, &f);
        r = store_prune(s, &o, &result, &err);
        assert_true(r == 0 || r == -ENOSPC || how == CUT_OFF);
        store_close(s);
        scene_check(&x, 1, 2);
        remove_locks(x.path);
        assert_true(n < 1000);
    }
    s = test_open(x.path, true);
    assert_ok(try_backup(s, x.data[2], NULL, x.id[2], &err));
    assert_ok(try_backup(s, x.data[0], NULL, x.id[0], &err));
    store_close(s);
    scene_check(&x, 0, 3);
    scene_end(&x);
}

static void prune_no_space(void **state)
{
    prune_fails(*state, FAIL_ON);
}
static void prune_cut_off(void **state)
{
    prune_fails(*state, CUT_OFF);
}

/* Reading needs no lock, nor any other trace. */
static void read_only_is_readable(void **state)
{
    struct err err = ERR_INIT;
    struct scene x;
    struct faulty *f;

    scene_begin(&x, *state);
    struct store *s = open_faulty(x.path, READ_ONLY, 0, &f);
    test_same(s, x.id[0], x.data[0], N);
    test_same(s, "latest", x.data[1], N);
    test_clean(s);
    assert_fails(EROFS, try_backup(s, x.data[2], NULL, x.id[2], &err));
    test_same(s, x.id[0], x.data[0], N);
    store_close(s);
    scene_end(&x);
}

static void repair_fails(void **state)
{
    struct err err = ERR_INIT;
    struct scene x;
    struct faulty *f;
    int r = -1;

    scene_begin(&x, *state);
    for (int n = 0; r < 0; n += (int)test_stride(25)) {
        struct store_repair_result result;
        struct store *s = open_faulty(x.path, CUT_OFF, n, &f);
        r = store_repair_index(s, true, NULL, &result, &err);
        store_close(s);
        scene_check(&x, 0, 2);
        remove_locks(x.path);
        assert_true(n < 1000);
    }
    scene_end(&x);
}

/* Until it has come to its one decisive step nothing has changed for anybody; afterwards all has. The passphrase stays the same. */
static void rotation_fails(const char *dir, enum fault how)
{
    const struct store_key key = { .passphrase = "correct horse" };
    struct err err = ERR_INIT;
    struct scene x;
    struct faulty *f;
    char id[33];
    int r = -1;

    scene_begin(&x, dir);
    for (int n = 0; r < 0; n += (int)test_stride(25)) {
        struct store *s = open_faulty(x.path, how, n, &f);
        r = store_key_rotate(s, &key, 10, id, &err);
        assert_true(r == 0 || r == -ENOSPC || how == CUT_OFF);
        store_close(s);
        scene_check(&x, 0, 2);
        remove_locks(x.path);
        s = test_open(x.path, true);
        assert_ok(try_backup(s, x.data[1], x.id[0], x.id[2], &err));
        assert_ok(store_forget(s, (const char *const[]){ x.id[2] }, 1, &err));
        store_close(s);
        assert_true(n < 1000);
    }
    struct store *s = test_open(x.path, true);
    assert_ok(try_backup(s, x.data[2], x.id[1], x.id[2], &err));
    store_close(s);
    scene_check(&x, 0, 3);
    scene_end(&x);
}

static void rotation_no_space(void **state)
{
    rotation_fails(*state, FAIL_ON);
}
static void rotation_cut_off(void **state)
{
    rotation_fails(*state, CUT_OFF);
}

/* Once config is replaced the old key opens nothing, and nobody may be told that nothing has changed. */
static void a_rotation_that_is_done_says_so(void **state)
{
    const struct store_key key = { .passphrase = "battery staple" }, old = { .passphrase = "correct horse" };
    struct store_open o = { .key = old, .threads = 1 };
    struct err err = ERR_INIT;
    struct scene x;
    struct faulty *f;
    char id[33];

    scene_begin(&x, *state);
    struct store *s = open_faulty(x.path, CONFIG_IN_DOUBT, 0, &f);
    assert_ok(store_key_rotate(s, &key, 10, id, &err));
    store_close(s);
    assert_fails(EACCES, store_open(x.path, &o, &s, &err));
    o.key = key;
    assert_ok(store_open(x.path, &o, &s, &err));
    assert_ok(store_key_rotate(s, &old, 10, id, &err));
    store_close(s);
    s = NULL;
    scene_check(&x, 0, 2);
    scene_end(&x);
}

static void a_rotation_that_cannot_be_read_back(void **state)
{
    const struct store_key key = { .passphrase = "battery staple" };
    struct store_open o = { .key = key, .threads = 1 };
    struct err err = ERR_INIT;
    struct scene x;
    struct faulty *f;
    char id[33];

    scene_begin(&x, *state);
    struct store *s = open_faulty(x.path, NO_RING, 0, &f);
    assert_fails(EIO, store_key_rotate(s, &key, 10, id, &err));
    assert_non_null(strstr(err.text, "was rotated and only the new key opens"));
    store_close(s);
    assert_ok(store_open(x.path, &o, &s, &err));
    test_same(s, x.id[0], x.data[0], N);
    store_close(s);
    scene_end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(backup_no_space_once),
        test_in_dir(backup_no_space),
        test_in_dir(backup_cut_off),
        test_in_dir(prune_no_space),
        test_in_dir(prune_cut_off),
        test_in_dir(repair_fails),
        test_in_dir(read_only_is_readable),
        test_in_dir(rotation_no_space),
        test_in_dir(rotation_cut_off),
        test_in_dir(a_rotation_that_is_done_says_so),
        test_in_dir(a_rotation_that_cannot_be_read_back),
    };

    return cmocka_run_group_tests_name("store_fault", tests, NULL, NULL);
}
