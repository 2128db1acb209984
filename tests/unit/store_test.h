/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the store share: repositories in a scratch folder, reproducible bytes, comparing images. */
#ifndef STORE_TEST_H
#define STORE_TEST_H

#include "test.h"
#include "base/num.h"
#include "base/strv.h"
#include "store/handle/handle.h"
#include "store/object/signed.h"

#define CHUNK ((size_t)65536)

static inline void fill(void *p, size_t n, uint64_t seed)
{
    uint8_t *b = p;

    seed = seed * 0x9e3779b97f4a7c15ULL + 1;
    for (size_t i = 0; i < n; i += sizeof seed) {
        rnd(&seed);
        memcpy(b + i, &seed, n - i < sizeof seed ? n - i : sizeof seed);
    }
}

static inline struct store_init test_init(bool encrypted)
{
    return encrypted ? (struct store_init){ .key.passphrase = "correct horse", .scrypt_log_n = 10 }
                     : (struct store_init){ .no_encryption = true };
}

/* What is not about encryption does without it under valgrind, which does AES a byte at a time. */
static inline bool test_encrypted(void)
{
    return test_stride(0) == 1;
}

static inline struct store *test_open(const char *path, bool encrypted)
{
    struct store_open o = { .key.passphrase = encrypted ? "correct horse" : NULL, .threads = 3 };
    struct err err = ERR_INIT;
    struct store *s;

    assert_ok(store_open(path, &o, &s, &err));
    return s;
}

/* A new repository in state/repo, opened. */
static inline struct store *test_repo(const char *dir, bool encrypted)
{
    struct store_init init = test_init(encrypted);
    char *path = io_path(dir, "repo");
    struct err err = ERR_INIT;

    assert_ok(store_create(path, &init, &err));
    struct store *s = test_open(path, encrypted);
    free(path);
    return s;
}

/* Another new repository, with a key of its own. */
static inline struct store *test_second_repo(const char *dir)
{
    struct store_init init = { .key.passphrase = "other", .scrypt_log_n = 10 };
    struct store_open o = { .key.passphrase = "other", .threads = 2 };
    char *path = io_path(dir, "other");
    struct err err = ERR_INIT;
    struct store *s;

    assert_ok(store_create(path, &init, &err));
    assert_ok(store_open(path, &o, &s, &err));
    free(path);
    return s;
}

/* A point with one image "disk" of these bytes; id to ret. */
static inline struct store_stats test_backup(struct store *s, const void *p, size_t n, const char *parent, char *ret)
{
    struct err err = ERR_INIT;
    struct store_stats stats;
    struct store_writer *w;
    struct store_image_writer *iw;

    assert_ok(store_write_begin(s, &w, &err));
    assert_ok(store_image_begin(w, "disk", n, parent, "disk", &iw, &err));
    assert_ok(store_image_write(iw, 0, p, n, &err));
    assert_ok(store_image_end(iw, &stats, &err));
    assert_ok(store_write_commit(w, "{}", ret, &err));
    return stats;
}

/* The image "disk" of the point reads as these bytes, whole and by its extents. */
static inline void test_same(struct store *s, const char *id, const uint8_t *want, size_t n)
{
    struct err err = ERR_INIT;
    struct store_point *p;
    struct store_image *i;
    uint8_t *got = malloc(n + 1);

    assert_ok(store_point_open(s, id, &p, &err));
    assert_ok(store_image_open(p, "disk", &i, &err));
    assert_int_equal(store_image_size(i), n);
    assert_ok(store_image_read(i, 0, got, n, &err));
    assert_memory_equal(got, want, n);
    for (uint64_t off = 0, len; off < n; off += len) {
        bool hole;
        assert_ok(store_image_extent(i, off, &len, &hole, &err));
        assert_true(len > 0 && len <= n - off);
        for (uint64_t k = off; hole && k < off + len; k++)
            assert_int_equal(want[k], 0);
    }
    store_image_close(i);
    store_point_close(p);
    free(got);
}

static inline void test_tell(void *priv, const struct store_problem *p)
{
    (void)priv;
    print_message("found: %s\n", p->what);
}

static inline void test_clean(struct store *s)
{
    struct err err = ERR_INIT;
    uint64_t problems;

    assert_ok(store_verify(s, NULL, test_tell, NULL, NULL, &problems, &err));
    assert_int_equal(problems, 0);
}

/* Puts a lock as another host would. */
static inline void test_lock(struct store *s, const char *path, const char *text)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct err err = ERR_INIT;

    assert_int_equal(buf_adds(&b, text), 0);
    assert_int_equal(signed_end(s->env.crypt, &b), 0);
    assert_ok(io_replace_file(path, b.data, b.len, 0600, &err));
}

/* For tests that fork: a child whose assertion fails must end there, not go on as a second copy of the test program. */
static inline int test_forking_setup(void **state)
{
    char pid[16];

    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    setenv("KVSS_TEST_OWNER", pid, 1);
    return test_dir_setup(state);
}

static inline int test_forking_teardown(void **state)
{
    if (atol(getenv("KVSS_TEST_OWNER")) != getpid())
        _exit(1);
    return test_dir_teardown(state);
}

#define test_in_dir_forking(f) cmocka_unit_test_setup_teardown(f, test_forking_setup, test_forking_teardown)

#endif
