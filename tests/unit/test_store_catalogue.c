/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The catalogue: entries within bounds, and the chains of several hosts (B4). */
#include "catalogue_hosts.h"

/* ---- Entries ------------------------------------------------------------------------------------------------------------------------*/

static struct buf text_of(const struct catalogue_entry *e)
{
    struct buf b = BUF_INIT;
    char hex[2 * CRYPT_SIGNATURE_LEN + 1];

    assert_int_equal(catalogue_format(e, "guid", &b), 0);
    memset(hex, 'a', sizeof hex - 1);
    hex[sizeof hex - 1] = 0;
    assert_int_equal(lines_add(&b, "signature", hex), 0);
    return b;
}

static int parse(const char *text, size_t n)
{
    struct catalogue_entry e;
    int r = catalogue_parse(text, n, "guid", &e);

    if (r == 0) {
        free(e.seen);
        free(e.ops);
    }
    return r;
}

static void an_entry_reads_as_it_was_written(void **state)
{
    struct catalogue_op ops[] = { { { { 1 } }, 1 }, { { { 2 } }, 2 }, { { { 3 } }, 3 }, { { { 4 } }, 40 } };
    struct catalogue_seen seen[] = { { { 5 }, 77, { { 6 } } } };
    struct catalogue_entry e = { .host = "web01",
                                 .seq = 9,
                                 .since = 7,
                                 .time_us = 1800000000000000,
                                 .kind = STORE_ENTRY_BASE,
                                 .has_prev = true,
                                 .prev = { { 8 } },
                                 .seen = seen,
                                 .n_seen = 1,
                                 .ops = ops,
                                 .n_ops = 4 },
                           got;
    struct buf b = text_of(&e);

    (void)state;
    assert_int_equal(catalogue_parse(b.data, b.len, "guid", &got), 0);
    assert_string_equal(got.host, "web01");
    assert_true(got.seq == 9 && got.since == 7 && got.kind == STORE_ENTRY_BASE && got.has_prev && got.time_us == e.time_us);
    assert_memory_equal(got.seen, seen, sizeof seen);
    assert_int_equal(got.n_ops, 4);
    for (unsigned i = 0; i < 4; i++) { /* those that stand come first */
        static const unsigned order[] = { 0, 2, 1, 3 };
        assert_memory_equal(&got.ops[i], &ops[order[i]], sizeof ops[0]);
    }
    assert_int_equal(catalogue_parse(b.data, b.len, "another", &got), -EBADMSG);
    free(got.seen);
    free(got.ops);
    buf_free(&b);
}

/* The text with one piece exchanged is not taken. */
static void refused(const char *text, const char *old, const char *new)
{
    const char *at = strstr(text, old);
    char *other = at ? str_format("%.*s%s%s", (int)(at - text), text, new, at + strlen(old)) : NULL;

    assert_non_null(other);
    assert_int_equal(parse(other, strlen(other)), -EBADMSG);
    free(other);
}

static void an_entry_out_of_bounds_is_refused(void **state)
{
    struct catalogue_op ops[] = { { { { 1 } }, 3 }, { { { 2 } }, 2 } };
    struct catalogue_entry e = {
        .host = "web01", .seq = 9, .time_us = 1800000000000000, .kind = STORE_ENTRY_COMMIT, .ops = ops, .n_ops = 2
    };
    struct buf b = text_of(&e);
    const char *text = (const char *)b.data;

    (void)state;
    assert_int_equal(parse(text, b.len), 0);
    refused(text, "seq=9", "seq=0");
    refused(text, "seq=9", "seq=99999999999999999999");
    refused(text, "seq=9\n", "seq=9\nseq=10\n");
    refused(text, "seq=9\n", "");
    refused(text, "host=web01\n", "");
    refused(text, "host=web01", "host=");
    refused(text, "kind=commit", "kind=other");
    refused(text, "kind=commit\n", "kind=commit\nsince=3\n");
    refused(text, "kind=commit", "kind=base");
    refused(text, " 3\n", " 4\n");
    refused(text, " 3\n", " 1000001\n");
    refused(text, " 3\n", " \n");
    refused(text, "gone=", "none=");
    refused(text, "gone=0", "gone=g");
    refused(text, "signature=a", "signature=x");
    refused(text, "signature=a", "signature=");
    refused(text, "kvss catalogue 1", "kvss catalogue 2");
    for (size_t n = 0; n < b.len; n++)
        assert_int_equal(parse(text, n), -EBADMSG);
    buf_free(&b);
    e.ops = calloc(CATALOGUE_OPS_MAX + 1, sizeof *e.ops);
    for (e.n_ops = 0; e.n_ops <= CATALOGUE_OPS_MAX; e.n_ops++)
        e.ops[e.n_ops] = (struct catalogue_op){ { { (uint8_t)e.n_ops, (uint8_t)(e.n_ops >> 8) } }, 1 };
    b = text_of(&e);
    assert_int_equal(parse((const char *)b.data, b.len), -EBADMSG);
    buf_free(&b);
    e.n_ops--;
    b = text_of(&e);
    assert_int_equal(parse((const char *)b.data, b.len), 0);
    buf_free(&b);
    free(e.ops);
}

/* ---- Chains -------------------------------------------------------------------------------------------------------------------------*/

static void b4_all_chains_together_say_what_stands(void **state)
{
    struct host a, b;
    char *path = begin_two(*state, &a, &b);
    size_t n;

    commit(&a, 1);
    commit(&b, 2);
    forget(&b, 1); /* of the other host */
    commit(&a, 3);
    look(&a);
    look(&b);
    assert_true(is_gone(&a, 1) && stands(&a, 2) && stands(&a, 3) && is_gone(&b, 1) && stands(&b, 2) && stands(&b, 3));
    assert_int_equal(cuts(&a) + cuts(&b), 0);
    commit(&a, 1); /* it is back, and that is right */
    look(&b);
    assert_true(stands(&b, 1));
    forget(&b, 1);
    look(&a);
    assert_true(is_gone(&a, 1));
    const struct store_host *hosts = store_catalogue_hosts(a.c, &n);
    assert_int_equal(n, 2);
    assert_int_equal(hosts[0].points + hosts[1].points, 2);
    host_end(&a);
    host_end(&b);
    free(path);
}

static void b4_two_at_once_are_no_fault(void **state)
{
    struct host a, b;
    char *path = begin_two(*state, &a, &b);
    struct store_catalogue_add add = { .key = b.key, .host = b.name, .kind = STORE_ENTRY_COMMIT };
    char id[STORE_ID_LEN + 1], *points[] = { point(2, id), NULL };
    struct store_head head;
    struct err err = ERR_INIT;

    commit(&a, 1); /* b has not seen that */
    add.points = points;
    assert_ok(store_catalogue_add(b.s, b.c, &add, &head, &err));
    look(&a);
    look(&b);
    assert_true(stands(&a, 1) && stands(&a, 2) && stands(&b, 1) && stands(&b, 2));
    assert_int_equal(cuts(&a) + cuts(&b), 0);
    host_end(&a);
    host_end(&b);
    free(path);
}

static void b4_a_base_replaces_what_is_older(void **state)
{
    struct host a, b;
    char *path = begin_two(*state, &a, &b);

    commit(&b, 1000);
    commit(&b, 1001);
    forget(&a, 1000); /* as long as b says that it stands, a has to say that it does not */
    for (int i = 0; i < 70; i++)
        commit(&a, i);
    forget(&a, 5);
    for (int i = 100; i < 170; i++)
        commit(&a, i);
    assert_true(objects(&a) <= CATALOGUE_BASE_EVERY + 3);
    look(&b);
    for (unsigned i = 0; i < 170; i++)
        assert_int_equal(stands(&b, i), i != 5 && (i < 70 || i >= 100));
    assert_true(is_gone(&b, 1000) && stands(&b, 1001));
    assert_int_equal(cuts(&b), 0);
    for (int i = 200; i < 264; i++)
        commit(&b, i); /* and a base of b, which leaves out what a has forgotten */
    for (int i = 300; i < 364; i++)
        commit(&a, i);
    look(&a);
    assert_true(!stands(&a, 1000) && stands(&a, 1001) && stands(&a, 0) && !stands(&a, 5) && stands(&a, 263) && stands(&a, 363));
    assert_null(store_catalogue_find(a.c, point(999 + 1, (char[STORE_ID_LEN + 1]){ 0 })));
    assert_int_equal(cuts(&a), 0);
    host_end(&a);
    host_end(&b);
    free(path);
}

static void more_than_an_entry_can_hold(void **state)
{
    struct host a, b;
    char *path = begin_two(*state, &a, &b), **points = NULL;
    struct store_catalogue_add add = { .key = a.key, .host = a.name, .kind = STORE_ENTRY_BASE };
    struct err err = ERR_INIT;
    size_t n;

    for (unsigned i = 0; i < CATALOGUE_OPS_MAX + 5; i++) {
        char id[STORE_ID_LEN + 1];
        assert_int_equal(strv_add(&points, point(i, id)), 0);
    }
    add.points = points;
    assert_ok(store_catalogue_add(a.s, a.c, &add, &a.head, &err));
    add.points = NULL;
    add.anew = true;
    assert_ok(store_catalogue_add(a.s, a.c, &add, &a.head, &err));
    look(&b);
    (void)store_catalogue_points(b.c, &n);
    assert_int_equal(n, CATALOGUE_OPS_MAX + 5);
    assert_int_equal(objects(&b), 2); /* those of the first base are gone */
    assert_int_equal(cuts(&b), 0);
    strv_free(points);
    host_end(&a);
    host_end(&b);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_reads_as_it_was_written),  cmocka_unit_test(an_entry_out_of_bounds_is_refused),
        test_in_dir(b4_all_chains_together_say_what_stands), test_in_dir(b4_two_at_once_are_no_fault),
        test_in_dir(b4_a_base_replaces_what_is_older),       test_in_dir(more_than_an_entry_can_hold),
    };

    return cmocka_run_group_tests_name("store_catalogue", tests, NULL, NULL);
}
