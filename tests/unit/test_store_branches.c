/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whoever has the key can make a tree of a few nodes in which the same branch stands again and again, for an image of petabytes: nothing
 * takes longer for it than for the nodes that are there. Walked in full it would take years. */
#include "store_test.h"
#include "base/num.h"
#include <unistd.h>

#define LEVELS 5u
#define TOO_LONG_S 60

static void put(struct store *s, enum crypt_kind kind, const void *p, size_t n, struct chunk_id *ret)
{
    struct err err = ERR_INIT;

    assert_ok(crypt_id(s->env.crypt, kind, p, n, ret));
    int r = index_claim(s->index, ret, &err);
    if (r > 0)
        r = packer_add(&s->meta, ret, p, n, &err);
    assert_ok(r);
}

/* A tree of LEVELS + 1 nodes, below all of which is one chunk, or one that is nowhere. */
static struct tree_root make_tree(struct store *s, bool missing)
{
    struct err err = ERR_INIT;
    uint8_t bytes[NODE_BYTES_MAX];
    struct chunk_id id;

    assert_ok(store_hold(s, &err));
    put(s, CRYPT_CHUNK, "chunk", 5, &id);
    if (missing)
        id.b[0] ^= 1;
    for (unsigned level = 0; level <= LEVELS; level++) {
        struct node n = { .level = level, .set = { UINT64_MAX, UINT64_MAX } };
        for (unsigned i = 0; i < NODE_FANOUT; i++)
            n.slots[i] = id;
        put(s, CRYPT_NODE, bytes, node_encode(&n, bytes), &id);
    }
    assert_ok(packer_flush(s->packer, &err));
    assert_ok(index_save(s->index, &err));
    store_unhold(s);
    return (struct tree_root){ .present = true, .level = LEVELS, .id = id };
}

static void make_point(struct store *s, bool missing, char id[static STORE_ID_LEN + 1])
{
    struct point_stream stream = { .kind = STREAM_IMAGE, .name = "disk", .size = (uint64_t)CHUNK_SIZE << 40,
                                   .root = make_tree(s, missing) };
    struct point_data d = { .meta = strdup("{}"), .time_us = 1 };
    struct backend_prepared prepared;
    struct chunk_id name;
    struct err err = ERR_INIT;

    assert_ok(point_data_add(&d, &stream));
    snprintf(stream.name, sizeof stream.name, "other");
    assert_ok(point_data_add(&d, &stream));
    assert_ok(point_prepare(&s->env, &d, &name, &prepared, &err));
    assert_ok(backend_publish(s->env.backend, &prepared, &err));
    crypt_hex(name.b, sizeof name.b, id);
    point_data_free(&d);
}

static void the_same_branch_again_and_again(void **state)
{
    struct store *s = test_repo(*state, true);
    char id[STORE_ID_LEN + 1];
    struct store_point *p;
    struct store_image *i;
    struct err err = ERR_INIT;
    uint64_t problems, data;

    make_point(s, false, id);
    alarm(TOO_LONG_S);
    assert_ok(store_verify(s, id, NULL, NULL, NULL, &problems, &err));
    assert_int_equal(problems, 0);
    assert_ok(store_verify(s, NULL, NULL, NULL, NULL, &problems, &err));
    assert_int_equal(problems, 0);
    assert_ok(store_point_open(s, id, &p, &err));
    assert_ok(store_image_open(p, "disk", &i, &err));
    assert_ok(store_image_data(i, &data, &err));
    assert_int_equal(data, store_image_size(i));
    store_image_close(i);
    store_point_close(p);
    alarm(0);
    store_close(s);
}

static void what_is_missing_in_it_is_found(void **state)
{
    struct store *s = test_repo(*state, false);
    struct store_check o = { 0 };
    struct store_check_result r;
    char id[STORE_ID_LEN + 1];
    struct err err = ERR_INIT;
    uint64_t problems;

    make_point(s, true, id);
    alarm(TOO_LONG_S);
    assert_ok(store_verify(s, id, NULL, NULL, NULL, &problems, &err));
    assert_int_equal(problems, 2 * NODE_FANOUT); /* in both images */
    assert_ok(store_check(s, &o, NULL, NULL, &r, &err));
    assert_true(r.problems >= 2 && r.points_damaged == 1);
    alarm(0);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(the_same_branch_again_and_again),
        test_in_dir(what_is_missing_in_it_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
