/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Repositories and restore points: creation, keys, documents, listing, names, visibility. Clauses B4, B7. */
#include "store_test.h"
#include <sys/stat.h>

static void create_refuses_what_is_there(void **state)
{
    struct store_init init = test_init(false);
    struct err err = ERR_INIT;
    char *repo = io_path(*state, "a/b"), *file = io_path(*state, "file");

    assert_fails(ENOTEMPTY, (io_replace_file(file, "x", 1, 0600, NULL), store_create(*state, &init, &err)));
    assert_fails(ENOENT, store_create(repo, &init, &err)); /* nothing is mounted there, perhaps */
    assert_non_null(strstr(err.text, "--make-parents"));
    init.make_parents = true;
    assert_ok(store_create(repo, &init, &err));
    assert_fails(EEXIST, store_create(repo, &init, &err));
    init.no_encryption = false;
    char *other = io_path(*state, "c");
    assert_fails(EINVAL, store_create(other, &init, &err));
    /* What a creation that failed leaves does not stand in the way of the next. */
    init = test_init(true);
    assert_ok(store_create(other, &init, &err));
    free(other);
    free(repo);
    free(file);
}

static void addresses_are_no_folders(void **state)
{
    static const char *const bad[] = { "s3:b/x", "s3://b/x", "sftp:u@h:/x", "ssh://h/x", "u@h:/x",
                                       "h:x",    "C:\\x",    "\\\\h\\x",    ":x",        "file:///x" };
    static const char *const good[] = { "x", "./a:b", "/a:b", "a/b:c", "..", ".", "/", "a" };
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_fails(ENOTSUP, backend_supported(bad[i], &err));
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_ok(backend_supported(good[i], &err));
}

static int try_open(const char *path, const char *passphrase, const char *key_file, struct err *err)
{
    struct store_open o = { .key = { passphrase, key_file }, .threads = 1 };
    struct store *s = NULL;
    int r = store_open(path, &o, &s, err);

    store_close(s);
    return r;
}

static void keys_open_and_others_do_not(void **state)
{
    struct err err = ERR_INIT;
    char *path = io_path(*state, "repo"), *key = io_path(*state, "key"), *file_repo = io_path(*state, "repo2");
    struct store_init init = { .key.key_file = key, .scrypt_log_n = 10 };

    store_close(test_repo(*state, true));
    assert_int_equal(try_open(path, "correct horse", NULL, &err), 0);
    assert_fails(EACCES, try_open(path, "wrong horse", NULL, &err));
    assert_fails(EACCES, try_open(path, NULL, NULL, &err));
    assert_ok(io_replace_file(key, "0123456789abcdef0123456789abcdef", 32, 0600, &err));
    assert_fails(EACCES, try_open(path, NULL, key, &err));
    assert_ok(store_create(file_repo, &init, &err));
    assert_int_equal(try_open(file_repo, NULL, key, &err), 0);
    assert_fails(EACCES, try_open(file_repo, "0123456789abcdef0123456789abcdef", NULL, &err));
    assert_fails(ENOENT, try_open(*state, NULL, NULL, &err));
    free(file_repo);
    free(path);
    free(key);
}

/* Someone who can write to the repository must not be able to switch encryption off for whoever has the key. */
static void encryption_cannot_be_switched_off(void **state)
{
    struct err err = ERR_INIT;
    struct buf text = BUF_INIT;
    char *path = io_path(*state, "repo"), *config = io_path(path, "config");

    store_close(test_repo(*state, true));
    assert_ok(io_read_file(config, 4096, &text, &err));
    char *at = strstr((char *)text.data, "cipher=aes-256-gcm");
    assert_non_null(at);
    memmove(at + strlen("cipher=none"), at + strlen("cipher=aes-256-gcm"), strlen(at + strlen("cipher=aes-256-gcm")) + 1);
    memcpy(at, "cipher=none", strlen("cipher=none"));
    assert_ok(io_replace_file(config, text.data, strlen((char *)text.data), 0600, &err));
    assert_fails(EACCES, try_open(path, "correct horse", NULL, &err));
    assert_fails(EUCLEAN, try_open(path, NULL, NULL, &err));
    buf_free(&text);
    free(config);
    free(path);
}

static void documents_round_trip(void **state)
{
    struct err err = ERR_INIT;
    struct store *s = test_repo(*state, true);
    size_t sizes[] = { 0, 1, CHUNK, 5 * CHUNK + 17 };
    uint8_t *data = malloc(sizes[3]);
    char name[64], id[STORE_ID_LEN + 1];
    struct buf got = BUF_INIT;
    struct store_writer *w;
    struct store_point *p;

    assert_ok(store_write_begin(s, &w, &err));
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        fill(data, sizes[i], i);
        snprintf(name, sizeof name, "vm/doc%zu.xml", i);
        assert_ok(store_write_document(w, name, data, sizes[i], &err));
        assert_fails(EEXIST, store_write_document(w, name, data, sizes[i], &err));
    }
    const char *bad[] = { "", "/x", "x/", "a//b", "a/../b", "..", ".", "a\nb" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_fails(EINVAL, store_write_document(w, bad[i], "x", 1, &err));
    assert_ok(store_write_commit(w, "{\"vm\":\"web01\"}", id, &err));
    assert_ok(store_point_open(s, id, &p, &err));
    assert_string_equal(store_point_meta(p), "{\"vm\":\"web01\"}");
    assert_string_equal(store_point_documents(p)[3], "vm/doc3.xml");
    assert_null(store_point_documents(p)[4]);
    assert_null(store_point_images(p)[0]);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        fill(data, sizes[i], i);
        snprintf(name, sizeof name, "vm/doc%zu.xml", i);
        assert_ok(store_read_document(p, name, &got, &err));
        assert_int_equal(got.len, sizes[i]);
        assert_memory_equal(got.data, data, sizes[i]);
    }
    assert_fails(ENOENT, store_read_document(p, "other", &got, &err));
    store_point_close(p);
    test_clean(s);
    store_close(s);
    buf_free(&got);
    free(data);
}

static void listed_oldest_first_and_found_by_prefix(void **state)
{
    struct err err = ERR_INIT;
    struct store *s = test_repo(*state, false);
    char ids[3][STORE_ID_LEN + 1], prefix[8] = "";
    struct store_point_info *list;
    struct store_point *p;
    size_t n;

    assert_fails(ENOENT, store_point_open(s, "latest", &p, &err));
    for (uint8_t i = 0; i < 3; i++)
        test_backup(s, &i, 1, NULL, ids[i]);
    assert_ok(store_list(s, &list, &n, NULL, &err));
    assert_int_equal(n, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(list[i].id, ids[i]);
    store_list_free(list, n);
    memcpy(prefix, ids[1], 7);
    assert_ok(store_point_open(s, prefix, &p, &err));
    assert_string_equal(store_point_id(p), ids[1]);
    store_point_close(p);
    assert_fails(ENOENT, store_point_open(s, "abc", &p, &err));
    assert_fails(ENOENT, store_point_open(s, "not an id", &p, &err));
    store_close(s);
}

/* Nothing of a point is seen before its commit, nor after it was given up; what it stored is used by the next. */
static void a_point_is_seen_only_when_committed(void **state)
{
    struct err err = ERR_INIT;
    struct store *s = test_repo(*state, true);
    uint8_t *data = malloc(20 * CHUNK);
    char *path = io_path(*state, "repo"), id[STORE_ID_LEN + 1];
    struct store_image_writer *iw;
    struct store_writer *w;
    struct store_point_info *list;
    size_t n;

    fill(data, 20 * CHUNK, 5);
    for (unsigned i = 0; i < 2; i++) {
        assert_ok(store_write_begin(s, &w, &err));
        assert_ok(store_write_document(w, "d", "text", 4, &err));
        assert_ok(store_image_begin(w, "disk", 20 * CHUNK, NULL, NULL, &iw, &err));
        assert_ok(store_image_write(iw, 0, data, 20 * CHUNK, &err));
        if (i)
            store_image_drop(iw);
        else
            assert_ok(store_image_end(iw, NULL, &err));
        assert_ok(store_list(s, &list, &n, NULL, &err));
        assert_int_equal(n, 0);
        store_list_free(list, n);
        store_write_abort(w);
    }
    struct store_stats st = test_backup(s, data, 20 * CHUNK, NULL, id);
    assert_int_equal(st.chunks_new, 0);
    test_same(s, id, data, 20 * CHUNK);
    store_close(s);
    s = test_open(path, true);
    test_same(s, id, data, 20 * CHUNK);
    test_clean(s);
    store_close(s);
    free(path);
    free(data);
}

/* What another process has just stored is found by every thread that reads it, also right after the last look at the index. */
static void what_another_has_just_made_is_read(void **state)
{
    struct store *a = test_repo(*state, true);
    char *path = io_path(*state, "repo"), id[STORE_ID_LEN + 1];
    struct store *b = test_open(path, true);
    const size_t n = 64 * CHUNK;
    uint8_t *data = malloc(n);

    for (unsigned i = 0; i < (getenv("KVSS_TEST_VALGRIND") ? 2 : 20); i++) {
        fill(data, n, i);
        test_backup(b, data, n, NULL, id);
        test_same(a, id, data, n);
    }
    test_clean(a);
    store_close(a);
    store_close(b);
    free(data);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(create_refuses_what_is_there),
        test_in_dir(addresses_are_no_folders),
        test_in_dir(keys_open_and_others_do_not),
        test_in_dir(encryption_cannot_be_switched_off),
        test_in_dir(documents_round_trip),
        test_in_dir(listed_oldest_first_and_found_by_prefix),
        test_in_dir(what_another_has_just_made_is_read),
        test_in_dir(a_point_is_seen_only_when_committed),
    };

    return cmocka_run_group_tests_name("store_point", tests, NULL, NULL);
}
