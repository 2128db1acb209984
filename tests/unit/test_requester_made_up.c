/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restore points that nobody has signed for since their host was killed: it makes up for that with whatever it does next (B4). And what a
 * host takes for its own (B3). */
#include "requester_hosts.h"
#include <sys/wait.h>
#include <unistd.h>

struct copied {
    struct requester *to;
    enum until until;
};

static void copy_prepared(void *priv, const char *id)
{
    const struct copied *c = priv;

    known_note_copy_prepared(c->to, id);
    if (c->until == PREPARED)
        _exit(0);
}

/* As kvss copy does it, in a process of its own that ends there. */
static void copy_until(struct requester *from, struct requester *to, const char *id, enum until until)
{
    struct copied c = { to, until };
    const struct store_copy options = { .prepared = copy_prepared, .priv = &c };
    char copy[STORE_ID_LEN + 1];
    struct err err = ERR_INIT;
    int status;

    leave(from);
    leave(to);
    pid_t pid = fork();
    if (pid == 0) {
        if (repository_open_for(from, KNOWN_LOOK, &err) < 0 || repository_open_for(to, KNOWN_CHANGE, &err) < 0 ||
            store_copy_point(from->store, id, to->store, &options, copy, &err) != 0)
            _exit(1);
        if (until >= MADE)
            known_note_made(to, copy);
        _exit(until >= SIGNED && known_sign(to, STORE_ENTRY_COMMIT, NULL) < 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* All of them were put a day ago, so that nobody is waited for to sign. How many. */
static size_t grow_old(const struct scene *x, struct requester *rq)
{
    struct store_id *ids;
    struct err err = ERR_INIT;
    size_t n;

    enter(rq, KNOWN_LOOK);
    assert_ok(store_point_ids(rq->store, &ids, &n, &err));
    for (size_t i = 0; i < n; i++)
        make_old(x, ids[i].text);
    free(ids);
    leave(rq);
    return n;
}

static void b4_a_copy_that_was_killed_before_it_signed_is_made_up_for(void **state)
{
    _cleanup_free_ char *other = io_path(*state, "other");
    struct store_init init = { .no_encryption = true };
    struct err err = ERR_INIT;
    struct scene x;

    scene_begin(&x, *state);
    assert_ok(store_create(other, &init, &err));
    struct requester *a = &x.host[0], *b = &x.host[1], from;
    char first[STORE_ID_LEN + 1], id[STORE_ID_LEN + 1];
    host(&from, x.known[2], other, "gamma");
    backup(a, SIGNED, first);
    backup(b, SIGNED, first);
    for (enum until until = PREPARED; until <= SIGNED; until++) {
        backup(&from, SIGNED, id);
        copy_until(&from, a, id, until);
        assert_int_equal(grow_old(&x, a), 2 + until);
        enter(a, KNOWN_CHANGE); /* whatever it is for */
        assert_int_equal(json_array_size(a->known->unsigned_points), 0);
        leave(a);
        assert_quiet(a);
        assert_quiet(b);
    }
    leave(&from);
    scene_end(&x);
}

/* A backup, too, is signed for by whatever writes next; what another one has put there is not. */
static void b4_whatever_writes_next_signs(void **state)
{
    char one[STORE_ID_LEN + 1], two[STORE_ID_LEN + 1], forged[STORE_ID_LEN + 1];
    struct store_writer *w;
    struct err err = ERR_INIT;
    struct scene x;

    scene_begin(&x, *state);
    struct requester *a = &x.host[0], *b = &x.host[1];
    backup(a, SIGNED, one);
    backup(b, SIGNED, one);
    backup(a, PUBLISHED, two);
    enter(b, KNOWN_LOOK);
    assert_ok(store_write_begin(b->store, &w, &err));
    assert_ok(store_write_commit(w, "{}", forged, &err));
    leave(b);
    assert_int_equal(grow_old(&x, b), 4);
    enter(a, KNOWN_REHEARSE);
    assert_null(store_catalogue_find(a->known->catalogue, two));
    enter(a, KNOWN_CHANGE);
    enter(b, KNOWN_LOOK);
    assert_true(store_point_stands(store_catalogue_find(b->known->catalogue, two)));
    assert_null(store_catalogue_find(b->known->catalogue, forged));
    assert_int_equal(json_array_size(b->known->unsigned_points), 1);
    scene_end(&x);
}

/* What a copy says of VMs is what the other repository says: it is no less a stranger for that. */
static void b3_a_copy_is_not_what_this_host_had(void **state)
{
    _cleanup_free_ char *other = io_path(*state, "other");
    struct store_init init = { .no_encryption = true };
    char id[STORE_ID_LEN + 1], made[STORE_ID_LEN + 1];
    char *ids[] = { id, NULL };
    struct requester_copy job = { .points = ids };
    struct err err = ERR_INIT;
    json_t *report = NULL;
    struct scene x;

    scene_begin(&x, *state);
    assert_ok(store_create(other, &init, &err));
    struct requester *a = &x.host[0], from;
    host(&from, x.known[2], other, "gamma");
    backup(a, SIGNED, made);
    backup(&from, SIGNED, id);
    host(&from, x.known[0], other, "alpha");
    job.to = x.path;
    assert_ok(requester_copy(&from, &job, &report, &err));
    const char *copy = json_get_text(json_array_get(json_object_get(report, "points"), 0), "copy");
    enter(a, KNOWN_CHANGE);
    assert_true(known_made(a, made));
    assert_false(known_made(a, copy));
    assert_true(store_point_stands(store_catalogue_find(a->known->catalogue, copy)));
    json_decref(report);
    leave(&from);
    scene_end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(b4_a_copy_that_was_killed_before_it_signed_is_made_up_for),
        test_in_dir(b4_whatever_writes_next_signs),
        test_in_dir(b3_a_copy_is_not_what_this_host_had),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
