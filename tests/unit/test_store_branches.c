/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whoever has the key can make a tree of a few nodes in which the same branch stands again and again, for an image of petabytes: nothing
 * takes longer for it than for the nodes that are there. Walked in full it would take years. */
#include "store_test.h"
#include "base/num.h"
#include "store/object/names.h"
#include <unistd.h>

#define LEVELS 5u
#define TOO_LONG_S 60
#define PETABYTES ((uint64_t)CHUNK_SIZE << 40) /* IMAGE_MAX */

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
static struct tree_root make_tree(struct store *s, const char *chunk, bool missing)
{
    struct err err = ERR_INIT;
    uint8_t bytes[NODE_BYTES_MAX];
    struct chunk_id id;

    assert_ok(store_hold(s, &err));
    put(s, CRYPT_CHUNK, chunk, strlen(chunk), &id);
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

struct forged {
    const char *chunk;
    uint64_t size;
    int64_t time_us;
    bool missing;
};

static void make_point(struct store *s, const struct forged *f, char id[static STORE_ID_LEN + 1])
{
    struct point_stream stream = { .kind = STREAM_IMAGE, .name = "disk", .size = f->size, .root = make_tree(s, f->chunk, f->missing) };
    struct point_data d = { .meta = strdup("{}"), .time_us = f->time_us };
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

    make_point(s, &(struct forged){ "chunk", PETABYTES, 1, false }, id);
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

    make_point(s, &(struct forged){ "chunk", PETABYTES, 1, true }, id);
    alarm(TOO_LONG_S);
    assert_ok(store_verify(s, id, NULL, NULL, NULL, &problems, &err));
    assert_int_equal(problems, 2 * NODE_FANOUT); /* in both images */
    assert_ok(store_check(s, &o, NULL, NULL, &r, &err));
    assert_true(r.problems >= 2 && r.points_damaged == 1);
    alarm(0);
    store_close(s);
}

/* ---- Copies ---------------------------------------------------------------------------------------------------------------*/

/* The image has the chunk in each chunk, up to its end. */
static void assert_made_of(struct store *s, const char *id, const struct forged *f)
{
    const uint64_t at[] = { 0, CHUNK_SIZE * 12345, f->size / 3 / CHUNK_SIZE * CHUNK_SIZE, (f->size - 1) / CHUNK_SIZE * CHUNK_SIZE };
    struct err err = ERR_INIT;
    struct store_point *p;
    struct store_image *i;
    uint64_t data;

    assert_ok(store_point_open(s, id, &p, &err));
    assert_ok(store_image_open(p, "disk", &i, &err));
    assert_int_equal(store_image_size(i), f->size);
    assert_ok(store_image_data(i, &data, &err));
    assert_int_equal(data, f->size);
    for (size_t k = 0; k < ARRAY_SIZE(at); k++) {
        char got[16] = "";
        size_t n = num_min(strlen(f->chunk), f->size - at[k]);
        assert_ok(store_image_read(i, at[k], got, n, &err));
        assert_int_equal(strncmp(got, f->chunk, n), 0);
    }
    store_image_close(i);
    store_point_close(p);
}

/* The second with the first as its base, though every branch of it is another. */
static void copies_take_no_longer_than_the_nodes(void **state)
{
    static const struct forged forged[] = {
        { "chunk", PETABYTES, 1, false },
        { "other", PETABYTES, 2, false },
        { "third", PETABYTES - CHUNK_SIZE * 131 + 3, 3, false },
    };
    struct store *a = test_repo(*state, true), *b = test_second_repo(*state);
    char id[STORE_ID_LEN + 1], copy[STORE_ID_LEN + 1];
    struct err err = ERR_INIT;

    alarm(TOO_LONG_S);
    for (size_t i = 0; i < ARRAY_SIZE(forged); i++) {
        make_point(a, &forged[i], id);
        assert_int_equal(store_copy_point(a, id, b, NULL, copy, &err), 0);
        assert_made_of(b, copy, &forged[i]);
    }
    test_clean(b);
    alarm(0);
    store_close(a);
    store_close(b);
}

/* ---- Keeping --------------------------------------------------------------------------------------------------------------*/

static void counted_and_pruned(void **state)
{
    struct store *s = test_repo(*state, false);
    struct store_prune o = { .grace_us = 0 };
    struct store_prune_result r;
    char id[STORE_ID_LEN + 1];
    struct err err = ERR_INIT;
    struct store_usage *u;
    size_t n;

    make_point(s, &(struct forged){ "chunk", PETABYTES, 1, false }, id);
    alarm(TOO_LONG_S);
    assert_ok(store_usage(s, NULL, NULL, &u, &n, &err));
    assert_int_equal(u[0].logical, 2 * PETABYTES);
    assert_int_equal(u[0].points, 1);
    store_usage_free(u, n);
    assert_ok(store_prune(s, &o, &r, &err));
    assert_int_equal(r.chunks, LEVELS + 2);
    alarm(0);
    store_close(s);
}

/* A pack that nothing of the image is in: whether it is whole is looked up then. */
static void whole_beside_a_lost_pack(void **state)
{
    struct store *s = test_repo(*state, false);
    _cleanup_names_ struct names before = { 0 };
    uint8_t *data = malloc(CHUNK);
    char id[STORE_ID_LEN + 1], other[STORE_ID_LEN + 1], object[OBJECT_PATH_SIZE];
    struct store_lost lost;
    struct store_point *p;
    struct err err = ERR_INIT;

    fill(data, CHUNK, 1);
    test_backup(s, data, CHUNK, NULL, other);
    assert_ok(names_list(&s->env, "packs", &before, &err));
    for (size_t i = 0; i < before.n; i++)
        assert_ok(backend_del(s->env.backend, object_name_path("packs", &before.list[i], object), &err));
    make_point(s, &(struct forged){ "chunk", PETABYTES, 1, false }, id);
    assert_ok(store_lost(s, &lost, &err));
    assert_true(lost.missing > 0);
    assert_ok(store_point_open(s, id, &p, &err));
    alarm(TOO_LONG_S);
    assert_ok(store_image_whole(p, "disk", &err));
    alarm(0);
    store_point_close(p);
    store_close(s);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(the_same_branch_again_and_again),
        test_in_dir(what_is_missing_in_it_is_found),
        test_in_dir(copies_take_no_longer_than_the_nodes),
        test_in_dir(counted_and_pruned),
        test_in_dir(whole_beside_a_lost_pack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
