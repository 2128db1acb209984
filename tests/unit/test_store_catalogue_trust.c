/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The catalogue: what is missing of it, what others than its hosts have made, and what a crash leaves (B4). */
#include "catalogue_hosts.h"

#define KEEPS 63 /* entries that fit before a base */

/* ---- What is missing ----------------------------------------------------------------------------------------------------------------*/

static void b4_a_chain_that_was_cut_short_is_seen(void **state)
{
    struct host a, b;
    char *path = begin_two(*state, &a, &b);
    size_t n;

    commit(&a, 1);
    struct store_head first = a.head;
    commit(&a, 2);
    look(&b);
    commit(&b, 3); /* has seen both */
    struct store_head second = a.head;
    drop(&a, second.id);
    look(&b);
    const struct store_cut *cut = store_catalogue_cuts(b.c, &n);
    assert_int_equal(n, 1);
    assert_string_equal(cut->name, "alpha");
    assert_string_equal(cut->by, "beta");
    assert_true(cut->seq == 2 && cut->have == 1);
    second.waived = 2;
    look_with(&b, &second, 1);
    assert_int_equal(cuts(&b), 0);
    drop(&b, b.head.id); /* now only this host knows */
    second.waived = 0;
    look_with(&b, &second, 1);
    cut = store_catalogue_cuts(b.c, &n);
    assert_int_equal(n, 1);
    assert_string_equal(cut->by, "");
    look_with(&b, &first, 1);
    assert_int_equal(cuts(&b), 0);
    commit(&a, 4); /* it goes on behind what is missing, which is a gap */
    look(&b);
    assert_int_equal(cuts(&b), 1);
    assert_true(a.head.seq == 3 && stands(&b, 4));
    struct store_catalogue_add again = { .key = a.key, .host = a.name, .kind = STORE_ENTRY_ACCEPT, .last = a.head, .anew = true };
    struct err err = ERR_INIT;
    look(&a);
    assert_ok(store_catalogue_add(a.s, a.c, &again, &a.head, &err));
    look_with(&b, &second, 1);
    assert_int_equal(cuts(&b), 0);
    assert_true(stands(&b, 1) && stands(&b, 4) && !stands(&b, 2));
    host_end(&a);
    host_end(&b);
    free(path);
}

static void b4_the_first_entries_cannot_be_taken_away(void **state)
{
    struct host a, b;
    char *path = begin_two(*state, &a, &b);

    commit(&a, 1);
    struct store_head first = a.head;
    commit(&a, 2);
    drop(&b, first.id);
    look(&b);
    assert_int_equal(cuts(&b), 1);
    host_end(&a);
    host_end(&b);
    free(path);
}

/* ---- Forgery ------------------------------------------------------------------------------------------------------------------------*/

/* Somebody who has the key of the repository: seals whatever he likes. */
static void put_sealed(struct store *s, const struct buf *text)
{
    _cleanup_buf_ struct buf object = BUF_INIT;
    uint8_t salt[CRYPT_SALT_LEN], header[CRYPT_HEADER_LEN];
    char path[OBJECT_PATH_SIZE];
    struct crypt_object key;
    struct chunk_id id;
    struct err err = ERR_INIT;

    assert_int_equal(crypt_random(salt, sizeof salt), 0);
    object_header(CATALOGUE_MAGIC, salt, crypt_epoch(s->env.crypt), header);
    assert_int_equal(crypt_object_init(s->env.crypt, header, &key), 0);
    assert_int_equal(buf_add(&object, header, sizeof header), 0);
    assert_int_equal(buf_reserve(&object, text->len + CRYPT_TAG_LEN), 0);
    assert_int_equal(crypt_seal(s->env.crypt, &key, 0, text->data, text->len, object.data + object.len), 0);
    object.len += text->len + CRYPT_TAG_LEN;
    assert_int_equal(crypt_sha256(s->env.crypt, object.data, object.len, &id), 0);
    object_path("catalogue", id.b, sizeof id.b, path);
    assert_ok(backend_put(s->env.backend, path, object.data, object.len, BACKEND_REPLACE, &err));
}

static void b4_an_entry_that_its_host_did_not_sign_says_nothing(void **state)
{
    struct host a, b;
    char *path = begin_two(*state, &a, &b), id[STORE_ID_LEN + 1];
    struct catalogue_entry e = { .host = "alpha", .seq = 2, .time_us = 1800000000000000, .kind = STORE_ENTRY_FORGET, .has_prev = true };
    struct catalogue_op gone = { .n = 2 };
    struct buf text = BUF_INIT;
    uint8_t signature[CRYPT_SIGNATURE_LEN] = { 1 };
    char hex[2 * CRYPT_SIGNATURE_LEN + 1];

    commit(&a, 1);
    assert_true(crypt_unhex(point(1, id), gone.point.b, sizeof gone.point.b));
    assert_true(crypt_unhex(a.head.id, e.prev.b, sizeof e.prev.b));
    memcpy(e.key, host_key_public(a.key), sizeof e.key);
    e.ops = &gone;
    e.n_ops = 1;
    assert_int_equal(catalogue_format(&e, store_guid(a.s), &text), 0);
    assert_int_equal(lines_add(&text, "signature", crypt_hex(signature, sizeof signature, hex)), 0);
    put_sealed(a.s, &text);
    look(&b);
    assert_true(stands(&b, 1));
    assert_int_equal(store_catalogue_unreadable(b.c), 1);
    look_with(&b, &a.head, 1); /* nor where a later entry is taken for it */
    assert_int_equal(store_catalogue_unreadable(b.c), 1);
    store_catalogue_tidy(b.s, b.c, true);
    look(&b);
    assert_int_equal(store_catalogue_unreadable(b.c), 0);
    buf_free(&text);
    host_end(&a);
    host_end(&b);
    free(path);
}

static void what_is_no_entry_is_counted(void **state)
{
    struct host a, b;
    char *path = begin_two(*state, &a, &b), *object = str_format("%s/catalogue/%064d", path, 7);
    struct err err = ERR_INIT;

    commit(&a, 1);
    assert_ok(io_replace_file(object, "nothing", 7, 0600, &err));
    look(&b);
    assert_int_equal(store_catalogue_unreadable(b.c), 1);
    assert_true(stands(&b, 1));
    host_end(&a);
    host_end(&b);
    free(object);
    free(path);
}

/* Whoever had the master key before it was rotated can still seal. A new host that he makes up is not believed; hosts that were there
 * before are. */
static void b4_a_host_made_up_with_an_old_master_key_is_not_believed(void **state)
{
    char *path = io_path(*state, "repo"), id[33];
    struct store_key key = { .passphrase = "another" };
    struct store_open o = { .key = key };
    struct err err = ERR_INIT;
    struct host a, old, planted;
    size_t n, outdated = 0;

    store_close(test_repo(*state, true));
    a = (struct host){ .s = test_open(path, true), .key = new_key(), .name = "alpha" };
    old = (struct host){ .s = test_open(path, true), .key = new_key(), .name = "beta" };
    planted = (struct host){ .s = test_open(path, true), .key = new_key(), .name = "gamma" };
    look(&a);
    look(&old);
    commit(&a, 1);
    commit(&old, 2);
    look(&a);
    assert_ok(store_key_rotate(a.s, &key, 10, id, &err));
    look(&planted);
    forget(&planted, 2);
    look(&a);
    assert_true(is_gone(&a, 2)); /* as long as nobody has written since */
    struct store_host *hosts = store_catalogue_hosts(a.c, &n);
    for (size_t i = 0; i < n; i++)
        hosts[i].ignored = strcmp(hosts[i].name, "gamma") == 0;
    assert_ok(store_catalogue_judge(a.c, &err));
    commit(&a, 3);
    struct host late = { .key = new_key(), .name = "late" };
    assert_ok(store_open(path, &o, &late.s, &err));
    look(&late);
    assert_true(stands(&late, 1) && stands(&late, 2) && stands(&late, 3));
    hosts = store_catalogue_hosts(late.c, &n);
    for (size_t i = 0; i < n; i++)
        outdated += hosts[i].outdated && hosts[i].ignored && strcmp(hosts[i].name, "gamma") == 0;
    assert_true(n == 3 && outdated == 1);
    host_end(&a);
    host_end(&old);
    host_end(&planted);
    host_end(&late);
    free(path);
}

/* ---- Crashes ------------------------------------------------------------------------------------------------------------------------*/

struct cut_off {
    struct backend backend;
    const struct backend_ops *real_ops;
    struct backend *real;
    struct backend_ops ops;
    int left; /* calls that change something */
};

static int c_put(struct backend *b, const char *name, const struct iovec *iov, size_t iovs, enum backend_put how, struct err *err)
{
    struct cut_off *c = (struct cut_off *)b;

    return c->left-- > 0 ? c->real->ops->put(c->real, name, iov, iovs, how, err) : err_set(err, EIO, "cut off");
}

static int c_del(struct backend *b, const char *name, struct err *err)
{
    struct cut_off *c = (struct cut_off *)b;

    return c->left-- > 0 ? backend_del(c->real, name, err) : err_set(err, EIO, "cut off");
}

static int c_get(struct backend *b, const char *name, uint64_t off, void *p, size_t n, struct err *err)
{
    return backend_get(((struct cut_off *)b)->real, name, off, p, n, err);
}

static int c_list(struct backend *b, const char *folder, int (*fn)(void *priv, const char *name), void *priv, struct err *err)
{
    return backend_list(((struct cut_off *)b)->real, folder, fn, priv, err);
}

static int c_stat(struct backend *b, const char *name, struct backend_stat *ret, struct err *err)
{
    return backend_stat(((struct cut_off *)b)->real, name, ret, err);
}

static void c_close(struct backend *b)
{
    backend_close(((struct cut_off *)b)->real);
    free(b);
}

static const struct backend_ops cut_off_ops = {
    .get = c_get, .put = c_put, .del = c_del, .list = c_list, .stat = c_stat, .close = c_close
};

/* The entry after which a base is due, cut off at each step of it; then another host looks, and this one goes on. */
static void b4_cut_off_at_any_step_of_a_base(void **state)
{
    struct host a, b;
    char *path = begin_two(*state, &a, &b);
    struct store_open o = { .threads = 2 };
    struct err err = ERR_INIT;
    int done = -1;

    for (int i = 0; i < KEEPS; i++)
        commit(&a, i);
    store_close(a.s);
    for (int n = 0, next = KEEPS; done < 0; n++, next++) {
        struct cut_off *c = calloc(1, sizeof *c);
        c->backend.ops = &cut_off_ops;
        c->left = n;
        assert_ok(backend_dir_open(path, &c->real, &err));
        assert_ok(store_open_backend(&c->backend, path, &o, &a.s, &err));
        look(&a);
        int r = say(&a, STORE_ENTRY_COMMIT, next, -1, &err);
        assert_true(r == 0 || n == 0);
        done = c->left > 0 ? 1 : -1;
        store_close(a.s);
        look(&b);
        assert_int_equal(cuts(&b) + store_catalogue_unreadable(b.c), 0);
        for (int i = 0; i < next; i++)
            assert_true(stands(&b, (unsigned)i) || i == KEEPS); /* the very first was never said */
        assert_int_equal(stands(&b, (unsigned)next), r == 0);
        assert_true(n < 200);
    }
    a.s = test_open(path, false);
    assert_true(objects(&a) < 2 * CATALOGUE_BASE_EVERY);
    host_end(&a);
    host_end(&b);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(b4_a_chain_that_was_cut_short_is_seen),
        test_in_dir(b4_the_first_entries_cannot_be_taken_away),
        test_in_dir(b4_an_entry_that_its_host_did_not_sign_says_nothing),
        test_in_dir(what_is_no_entry_is_counted),
        test_in_dir(b4_a_host_made_up_with_an_old_master_key_is_not_believed),
        test_in_dir(b4_cut_off_at_any_step_of_a_base),
    };

    return cmocka_run_group_tests_name("store_catalogue_trust", tests, NULL, NULL);
}
