/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Key objects that a storage plants: dear ones cost nothing, nonsense is passed over, and one with another master key is refused. Keys are
 * in locked memory. Clause B4. */
#include "store_test.h"
#include "base/clock.h"
#include "store/object/key.h"
#include <sys/resource.h>

static char *plant(const char *repo, const char *id, const char *text)
{
    char *path = str_format("%s/keys/%s", repo, id);
    struct err err = ERR_INIT;

    assert_ok(io_replace_file(path, text, strlen(text), 0600, &err));
    return path;
}

static char *key_text_of(unsigned log_n, unsigned r, unsigned p)
{
    char zeros[2 * CRYPT_WRAPPED_LEN + 1];

    memset(zeros, '0', sizeof zeros - 1);
    zeros[sizeof zeros - 1] = '\0';
    return str_format("kvss key 1\nkind=passphrase\ncreated=2026-01-01T00:00:00Z\nlabel=x\nkdf=scrypt\nlog_n=%u\nr=%u\np=%u\nsalt=%.32s\n"
                      "wrapped=%s\n",
                      log_n, r, p, zeros, zeros);
}

static long peak_kib(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

/* Of dear ones only those are tried that fit into the limit, and these after the cheap one that opens. */
static void planted_keys_cost_nothing(void **state)
{
    const unsigned dear[][3] = { { 22, 16, 4 }, { 19, 8, 1 }, { 18, 8, 1 }, { 17, 16, 4 }, { 17, 8, 4 } };
    char *repo = io_path(*state, "repo");

    store_close(test_repo(*state, true));
    for (unsigned i = 0; i < 60; i++) {
        char *id = str_format("%032x", i), *text = i % 6 < 5 ? key_text_of(dear[i % 6][0], dear[i % 6][1], dear[i % 6][2]) : strdup("junk");
        free(plant(repo, id, text));
        free(text);
        free(id);
    }
    long before = peak_kib();
    uint64_t begun = clock_mono_ms();
    store_close(test_open(repo, true));
    assert_true(clock_mono_ms() - begun < 5000);
    if (!getenv("KVSS_TEST_VALGRIND"))
        assert_true(peak_kib() - before < 64 << 10);
    free(repo);
}

/* More than are looked at at most: the one that is known from the last time is tried all the same. */
static void the_last_one_goes_first(void **state)
{
    struct store *s = test_repo(*state, true);
    struct store_key_info *list;
    struct err err = ERR_INIT;
    char *repo = io_path(*state, "repo"), *cheap = key_text_of(10, 1, 1), first[33];
    size_t n;

    assert_ok(store_key_list(s, &list, &n, &err));
    assert_int_equal(n, 1);
    strcpy(first, list[0].id);
    free(list);
    store_close(s);
    for (unsigned i = 0; i < 40; i++) {
        char *id = str_format("%032x", i);
        free(plant(repo, id, cheap));
        free(id);
    }
    struct store_open o = { .key.passphrase = "correct horse", .threads = 1, .first_key = first };
    assert_ok(store_open(repo, &o, &s, &err));
    assert_string_equal(store_key_used(s), first);
    store_close(s);
    free(cheap);
    free(repo);
}

/* The same passphrase, another master key. */
static void another_master_key_is_refused(void **state)
{
    struct store *s;
    struct store_init init = test_init(true);
    struct key_secret secret;
    uint8_t master[CRYPT_KEY_LEN];
    struct err err = ERR_INIT;
    char *repo = io_path(*state, "repo");
    struct object_name name;

    init.version = 1; /* any key object may open it */
    assert_ok(store_create(repo, &init, &err));
    s = test_open(repo, true);
    assert_ok(key_secret_get(&(struct store_key){ .passphrase = "correct horse" }, &secret, &err));
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(crypt_random(master, sizeof master), 0);
        assert_ok(key_put(s->env.backend, &secret, 10, master, &name, &err));
    }
    key_secret_wipe(&secret);
    store_close(s);
    s = test_open(repo, true);
    assert_string_not_equal(store_key_used(s), "");
    char *path = str_format("%s/keys/%s", repo, store_key_used(s));
    store_close(s);
    assert_int_equal(unlink(path), 0);
    struct store_open o = { .key.passphrase = "correct horse" };
    assert_fails(EACCES, store_open(repo, &o, &s, &err));
    assert_non_null(strstr(err.text, "rotated"));
    free(path);
    free(repo);
}

static void keys_are_locked(void **state)
{
    bool locked;
    uint8_t *p = crypt_secret_new(5000, &locked);

    (void)state;
    assert_non_null(p);
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(p[i], 0);
    if (locked) {
        struct buf b = BUF_INIT;
        struct err err = ERR_INIT;
        unsigned long kib = 0;
        assert_ok(io_read_file("/proc/self/status", 1 << 16, &b, &err));
        assert_int_equal(sscanf(strstr((char *)b.data, "VmLck:"), "VmLck: %lu", &kib), 1);
#ifndef __SANITIZE_ADDRESS__ /* which leaves mlock() out */
        assert_true(kib >= 8);
#endif
        buf_free(&b);
    }
    crypt_secret_free(p, 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(planted_keys_cost_nothing),
        test_in_dir(the_last_one_goes_first),
        test_in_dir(another_master_key_is_refused),
        cmocka_unit_test(keys_are_locked),
    };

    return cmocka_run_group_tests_name("store_keys", tests, NULL, NULL);
}
