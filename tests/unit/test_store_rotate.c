/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Version 2 of the format: a key that was removed stays removed, a new master key leaves nothing to who has the old one but what was
 * there, and a repository of version 1 stays as it is until it is upgraded. Clause B4. */
#include "store_test.h"
#include "base/clock.h"
#include "store/index/index_table.h"
#include "store/handle/handle.h"
#include "store/object/key.h"
#include "store/object/names.h"
#include <dirent.h>

#define N (20 * CHUNK)

static const struct store_key old_key = { .passphrase = "correct horse" }, new_key = { .passphrase = "battery staple" };

static struct store *open_with(const char *repo, const struct store_key *key)
{
    struct store_open o = { .key = *key, .threads = 2 };
    struct err err = ERR_INIT;
    struct store *s;

    assert_ok(store_open(repo, &o, &s, &err));
    return s;
}

static void refuses(const char *repo, const struct store_key *key, int code, const char *text)
{
    struct store_open o = { .key = *key, .threads = 2 };
    struct err err = ERR_INIT;
    struct store *s;

    assert_fails(code, store_open(repo, &o, &s, &err));
    assert_non_null(strstr(err.text, text));
}

static void rotate(struct store *s, const struct store_key *key)
{
    struct err err = ERR_INIT;
    char id[33];

    assert_ok(store_key_rotate(s, key, 10, id, &err));
    assert_string_equal(store_key_used(s), id);
}

/* A repository with a point of N bytes made from seed 1; the caller frees. */
static char *scene(void **state, uint8_t *data, char *id)
{
    struct store *s = test_repo(*state, true);

    fill(data, N, 1);
    test_backup(s, data, N, NULL, id);
    store_close(s);
    return io_path(*state, "repo");
}

static char *copy_keys(const char *repo)
{
    char *name = NULL, *path = io_path(repo, "keys");
    DIR *dir = opendir(path);

    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.')
            name = str_format("keys/%s", e->d_name);
    closedir(dir);
    free(path);
    return name;
}

static void old_data_stays_and_the_old_key_goes(void **state)
{
    uint8_t data[N], more[N];
    char first[STORE_ID_LEN + 1], second[STORE_ID_LEN + 1], third[STORE_ID_LEN + 1], *repo = scene(state, data, first);
    char *key = copy_keys(repo), *path = io_path(repo, key);
    _cleanup_buf_ struct buf object = BUF_INIT;
    struct err err = ERR_INIT;

    assert_ok(io_read_file(path, KEY_BYTES_MAX, &object, &err));
    struct store *s = open_with(repo, &old_key);
    rotate(s, &new_key);
    test_same(s, first, data, N); /* the same handle goes on */
    fill(more, N, 2);
    test_backup(s, more, N, first, second);
    store_close(s);
    refuses(repo, &old_key, EACCES, "does not match");
    assert_ok(io_replace_file(path, object.data, object.len, 0600, &err)); /* the storage puts it back */
    refuses(repo, &old_key, EACCES, "not tried because");
    s = open_with(repo, &new_key);
    test_same(s, first, data, N);
    test_same(s, second, more, N);
    assert_int_equal(test_backup(s, data, N, NULL, third).chunks_new, 0); /* what was stored before is found again */
    test_clean(s);
    rotate(s, &old_key); /* and again: two older ones now */
    store_close(s);
    s = open_with(repo, &old_key);
    test_same(s, first, data, N);
    test_same(s, second, more, N);
    test_same(s, third, data, N);
    test_clean(s);
    store_close(s);
    free(key);
    free(path);
    free(repo);
}

/* A restore that has begun goes on, whoever rotates beside it: it may have to open an index file yet. */
static void the_old_index_stays_until_the_next_prune(void **state)
{
    uint8_t data[N];
    char first[STORE_ID_LEN + 1], *repo = scene(state, data, first);
    struct store *reader = open_with(repo, &old_key), *s = open_with(repo, &old_key);
    struct names before = { 0 }, after = { 0 }, pruned = { 0 };
    struct store_prune_result result;
    struct store_prune o = { 0 };
    struct err err = ERR_INIT;

    assert_ok(names_list(&s->env, "index", &before, &err));
    rotate(s, &new_key);
    test_same(reader, first, data, N);
    assert_ok(names_list(&s->env, "index", &after, &err));
    assert_int_equal(after.n, before.n + 1);
    for (size_t i = 0; i < before.n; i++)
        assert_true(names_has(&after, &before.list[i]));
    assert_ok(store_prune(s, &o, &result, &err));
    assert_ok(names_list(&s->env, "index", &pruned, &err));
    for (size_t i = 0; i < before.n; i++)
        assert_false(names_has(&pruned, &before.list[i]));
    test_same(s, first, data, N);
    names_free(&before);
    names_free(&after);
    names_free(&pruned);
    store_close(s);
    store_close(reader);
    free(repo);
}

static void prune_and_repair_know_the_epochs(void **state)
{
    uint8_t data[N], more[N];
    char first[STORE_ID_LEN + 1], second[STORE_ID_LEN + 1], *repo = scene(state, data, first);
    struct store *s = open_with(repo, &old_key);
    struct store_prune_result pruned;
    struct store_repair_result repaired;
    struct store_prune o = { 0 };
    struct err err = ERR_INIT;

    rotate(s, &new_key);
    fill(more, N, 2);
    memcpy(more, data, N / 2);
    test_backup(s, more, N, NULL, second);
    assert_ok(store_forget(s, (const char *const[]){ first }, 1, &err));
    assert_ok(store_prune(s, &o, &pruned, &err)); /* half of an old pack is copied into a new one */
    test_same(s, second, more, N);
    assert_ok(store_repair_index(s, true, NULL, &repaired, &err));
    test_same(s, second, more, N);
    test_clean(s);
    store_close(s);
    free(repo);
}

/* Who has the old master key, and can write to the storage, makes a restore point and an index after the rotation. */
static void what_the_old_key_forges_is_not_taken(void **state)
{
    uint8_t data[N], more[N];
    char first[STORE_ID_LEN + 1], id[STORE_ID_LEN + 1], *repo = scene(state, data, first);
    struct store *thief = open_with(repo, &old_key), *s = open_with(repo, &old_key);
    struct point_data point = { .meta = strdup("{}"), .time_us = clock_wall_us() };
    struct index_entry entry = { .at = { .off = 36, .len = 100, .chunk_len = CHUNK } };
    struct backend_prepared prepared;
    struct store_point_info *list;
    struct store_writer *w;
    struct chunk_id name;
    struct err err = ERR_INIT;
    size_t n, bad;

    rotate(s, &new_key);
    assert_fails(ESTALE, store_write_begin(thief, &w, &err)); /* an honest one notices */
    assert_ok(point_prepare(&thief->env, &point, &name, &prepared, &err));
    assert_ok(backend_publish(thief->env.backend, &prepared, &err));
    fill(more, N, 3);
    assert_int_equal(crypt_id(thief->env.crypt, CRYPT_CHUNK, more, CHUNK, &entry.id), 0);
    assert_ok(index_table_write(&thief->env, &entry, 1, NULL, 0, NULL, &err));
    store_close(thief);
    assert_ok(store_list(s, &list, &n, &bad, &err));
    assert_int_equal(n, 1);
    assert_int_equal(bad, 1);
    store_list_free(list, n);
    struct store_point *p;
    crypt_hex(name.b, sizeof name.b, id);
    assert_fails(EUCLEAN, store_point_open(s, id, &p, &err));
    assert_non_null(strstr(err.text, "rotated"));
    /* The chunk that the forged index claims to have is stored all the same. */
    store_close(s);
    s = open_with(repo, &new_key);
    assert_int_equal(test_backup(s, more, N, NULL, id).chunks_new, N / CHUNK);
    test_same(s, id, more, N);
    store_close(s);
    point_data_free(&point);
    free(repo);
}

static void nobody_writes_beside_it(void **state)
{
    uint8_t data[N];
    char first[STORE_ID_LEN + 1], key[33], *repo = scene(state, data, first);
    struct store *s = open_with(repo, &old_key), *other = open_with(repo, &old_key);
    struct store_writer *w;
    struct lock_session *session;
    struct err err = ERR_INIT;

    assert_ok(store_write_begin(other, &w, &err));
    assert_fails(EBUSY, store_key_rotate(s, &new_key, 10, key, &err));
    store_write_abort(w);
    assert_ok(session_begin(&other->env, LOCK_EXCLUSIVE, "key rotate", &session, &err));
    assert_fails(EBUSY, store_write_begin(s, &w, &err));
    assert_fails(EBUSY, store_key_rotate(s, &new_key, 10, key, &err));
    session_end(session);
    assert_ok(store_key_add(other, &(struct store_key){ .passphrase = "of another host" }, 10, key, &err));
    assert_fails(ESTALE, store_key_rotate(s, &new_key, 10, key, &err)); /* it would be removed, and nobody was asked */
    rotate(s, &new_key);
    store_close(other);
    store_close(s);
    free(repo);
}

static void protections_and_the_ring(void **state)
{
    uint8_t data[N];
    char first[STORE_ID_LEN + 1], *repo = scene(state, data, first), *ring = io_path(repo, "ring");
    struct store *s = open_with(repo, &old_key);
    struct store_protection *list;
    struct err err = ERR_INIT;
    size_t n;

    assert_ok(store_protect(s, first, 0, &err));
    rotate(s, &new_key);
    assert_ok(store_protections(s, &list, &n, &err));
    assert_int_equal(n, 1);
    assert_false(list[0].damaged);
    free(list);
    assert_fails(EPERM, store_forget(s, (const char *const[]){ first }, 1, &err));
    store_close(s);
    char *away = str_format("%s.away", ring);
    assert_int_equal(rename(ring, away), 0);
    refuses(repo, &new_key, EUCLEAN, "is missing");
    assert_int_equal(rename(away, ring), 0);
    store_close(open_with(repo, &new_key));
    free(away);
    free(ring);
    free(repo);
}

/* Any key opens version 1, and there is one master key; from the upgrade on config says which. */
static void version_one_until_it_is_upgraded(void **state)
{
    struct store_init init = test_init(true);
    char *repo = io_path(*state, "repo"), id[33], point[STORE_ID_LEN + 1];
    struct err err = ERR_INIT;
    uint8_t data[N];
    struct store *s;

    init.version = 1;
    assert_ok(store_create(repo, &init, &err));
    s = open_with(repo, &old_key);
    assert_int_equal(store_version(s), 1);
    assert_int_equal(store_generation(s), 0);
    fill(data, N, 1);
    test_backup(s, data, N, NULL, point);
    assert_fails(ENOTSUP, store_key_rotate(s, &new_key, 10, id, &err));
    assert_non_null(strstr(err.text, "kvss upgrade"));
    assert_ok(store_key_add(s, &new_key, 10, id, &err));
    assert_int_equal(store_version(s), 1);
    assert_int_equal(store_upgrade(s, &err), 1);
    assert_int_equal(store_upgrade(s, &err), 0);
    assert_int_equal(store_version(s), 2);
    store_close(s);
    s = open_with(repo, &new_key); /* both keys were taken over */
    test_same(s, point, data, N);
    store_close(s);
    s = open_with(repo, &old_key);
    assert_ok(store_key_remove(s, id, &err));
    assert_int_equal(store_generation(s), 2);
    rotate(s, &new_key);
    test_same(s, point, data, N);
    test_clean(s);
    store_close(s);
    free(repo);
}

static void unencrypted_is_upgraded_too(void **state)
{
    struct store_init init = test_init(false);
    char *repo = io_path(*state, "repo"), id[33];
    struct err err = ERR_INIT;

    init.version = 1;
    assert_ok(store_create(repo, &init, &err));
    struct store *s = test_open(repo, false);
    assert_int_equal(store_upgrade(s, &err), 1);
    assert_fails(ENOTSUP, store_key_rotate(s, &new_key, 10, id, &err));
    store_close(s);
    s = test_open(repo, false);
    assert_int_equal(store_version(s), 2);
    store_close(s);
    init.version = 3;
    char *other = io_path(*state, "other");
    assert_fails(EINVAL, store_create(other, &init, &err));
    free(other);
    free(repo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(old_data_stays_and_the_old_key_goes),
        test_in_dir(the_old_index_stays_until_the_next_prune),
        test_in_dir(prune_and_repair_know_the_epochs),
        test_in_dir(what_the_old_key_forges_is_not_taken),
        test_in_dir(nobody_writes_beside_it),
        test_in_dir(protections_and_the_ring),
        test_in_dir(version_one_until_it_is_upgraded),
        test_in_dir(unencrypted_is_upgraded_too),
    };

    return cmocka_run_group_tests_name("store_rotate", tests, NULL, NULL);
}
