/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Several hosts that use one repository, and what they can tell from what each of them has signed (B4). */
#include "requester_hosts.h"

/* ---- Forgetting -----------------------------------------------------------------------------------------------------------------------*/

static void b4_what_another_host_forgot_is_not_missed(void **state)
{
    char one[STORE_ID_LEN + 1], two[STORE_ID_LEN + 1];
    struct err err = ERR_INIT;
    struct scene x;

    scene_begin(&x, *state);
    struct requester *a = &x.host[0], *b = &x.host[1];
    backup(a, SIGNED, one);
    backup(b, SIGNED, two);
    backup(a, SIGNED, two);
    assert_quiet(a);
    assert_quiet(b);
    _cleanup_free_ char *file = point_file(&x, two), *copy = str_format("%s/copy", x.path);
    assert_ok(io_copy_file(file, copy, 0600, &err));
    assert_ok(forget(b, two, &err)); /* the newest that a has made, too */
    assert_quiet(a);
    enter(a, KNOWN_CHANGE);
    assert_ok(prune(a, &err));
    assert_ok(io_copy_file(copy, file, 0600, &err)); /* the storage puts it back */
    for (int i = 0; i < 2; i++) {
        enter(&x.host[i], KNOWN_LOOK);
        assert_int_equal(json_array_size(x.host[i].known->returned), 1);
    }
    a->config.accept_rollback = true;
    enter(a, KNOWN_CHANGE);
    a->config.accept_rollback = false;
    assert_int_equal(known_sign(a, STORE_ENTRY_ACCEPT, NULL), 0);
    assert_quiet(a);
    enter(b, KNOWN_LOOK);
    assert_int_equal(json_array_size(b->known->unfinished), 0);
    assert_ok(prune(b, &err));
    assert_true(io_exists(file));
    scene_end(&x);
}

static void b4_a_signed_point_that_is_hidden_is_missed_by_all(void **state)
{
    char one[STORE_ID_LEN + 1], two[STORE_ID_LEN + 1];
    struct err err = ERR_INIT;
    struct scene x;

    scene_begin(&x, *state);
    struct requester *a = &x.host[0], *b = &x.host[1], *c = &x.host[2];
    backup(a, SIGNED, one);
    backup(b, SIGNED, two);
    hide(&x, two, false);
    for (int i = 0; i < 3; i++) { /* a has never seen it there; c sees the repository for the first time */
        enter(&x.host[i], KNOWN_LOOK);
        assert_int_equal(json_array_size(x.host[i].known->missing), 1);
        assert_true(x.host[i].known->lost);
    }
    leave(a);
    assert_fails(EPERM, prune(a, &err));
    assert_int_equal(a->end, REQUESTER_REFUSED);
    assert_fails(EPERM, prune(c, &err));
    hide(&x, two, true);
    assert_quiet(a);
    assert_ok(prune(a, &err));
    hide(&x, two, false);
    a->config.accept_rollback = true;
    assert_ok(prune(a, &err));
    a->config.accept_rollback = false;
    assert_quiet(a);
    assert_quiet(b); /* a has signed that it is gone */
    assert_ok(prune(b, &err));
    hide(&x, two, true);
    enter(a, KNOWN_LOOK);
    assert_int_equal(json_array_size(a->known->returned), 1);
    scene_end(&x);
}

/* Signed, and then killed. */
static void b4_an_interrupted_forget_is_finished(void **state)
{
    char one[STORE_ID_LEN + 1], two[STORE_ID_LEN + 1], *ids[] = { one, NULL };
    struct err err = ERR_INIT;
    struct scene x;

    scene_begin(&x, *state);
    struct requester *a = &x.host[0], *b = &x.host[1];
    backup(a, SIGNED, one);
    backup(a, SIGNED, two);
    _cleanup_free_ char *file = point_file(&x, one);
    for (int noted = 0; noted < 2; noted++) {
        enter(a, KNOWN_CHANGE);
        assert_int_equal(known_sign(a, STORE_ENTRY_FORGET, ids), 0);
        if (noted)
            known_note_forgotten(a, ids);
        leave(a);
        assert_quiet(a);
        assert_quiet(b);
        assert_true(io_exists(file));
        if (!noted) { /* somebody protects it, so it stays, and that is signed too */
            enter(b, KNOWN_LOOK);
            assert_ok(store_protect(b->store, one, 0, &err));
            assert_ok(prune(b, &err));
            assert_true(io_exists(file));
            enter(b, KNOWN_LOOK);
            assert_int_equal(json_array_size(b->known->unfinished), 0);
            assert_ok(store_unprotect(b->store, one, &err));
            assert_quiet(a);
        }
    }
    assert_ok(prune(b, &err));
    assert_false(io_exists(file));
    assert_quiet(a);
    assert_quiet(b);
    scene_end(&x);
}

/* ---- Making ---------------------------------------------------------------------------------------------------------------------------*/

static void b4_a_point_that_nobody_signed_is_seen(void **state)
{
    char one[STORE_ID_LEN + 1], forged[STORE_ID_LEN + 1];
    struct store_writer *w;
    struct err err = ERR_INIT;
    struct scene x;

    scene_begin(&x, *state);
    struct requester *a = &x.host[0], *b = &x.host[1];
    backup(a, SIGNED, one);
    assert_quiet(b);
    enter(b, KNOWN_LOOK); /* for its store only */
    assert_ok(store_write_begin(b->store, &w, &err));
    assert_ok(store_write_commit(w, "{}", forged, &err));
    assert_quiet(a); /* whoever made it may be about to sign */
    make_old(&x, forged);
    for (int i = 0; i < 2; i++) {
        enter(&x.host[i], KNOWN_LOOK);
        assert_int_equal(json_array_size(x.host[i].known->unsigned_points), 1);
    }
    assert_ok(prune(a, &err));
    enter(a, KNOWN_LOOK);
    assert_int_equal(json_array_size(a->known->unsigned_points), 1);
    a->config.accept_rollback = true;
    assert_ok(prune(a, &err));
    a->config.accept_rollback = false;
    assert_quiet(a);
    assert_quiet(b);
    scene_end(&x);
}

static void b4_a_backup_that_was_killed_before_it_signed_is_made_up_for(void **state)
{
    static const enum until when[] = { PREPARED, PUBLISHED, MADE };
    char id[STORE_ID_LEN + 1], next[STORE_ID_LEN + 1], first[STORE_ID_LEN + 1];
    struct scene x;

    scene_begin(&x, *state);
    struct requester *a = &x.host[0], *b = &x.host[1];
    backup(a, SIGNED, first);
    assert_quiet(b);
    for (size_t i = 0; i < ARRAY_SIZE(when); i++) {
        backup(a, when[i], id);
        if (when[i] >= PUBLISHED)
            make_old(&x, id);
        assert_quiet(a);
        backup(a, SIGNED, next);
        assert_quiet(a);
        assert_quiet(b);
        enter(b, KNOWN_LOOK);
        assert_int_equal(store_point_stands(store_catalogue_find(b->known->catalogue, id)), when[i] >= PUBLISHED);
    }
    scene_end(&x);
}

/* Points from before there was a catalogue: the first who signs takes them over; nobody does so again when it was removed. */
static void b4_the_first_host_takes_over_what_is_there(void **state)
{
    char old[STORE_ID_LEN + 1], id[STORE_ID_LEN + 1];
    struct store_open o = { 0 };
    struct store_writer *w;
    struct err err = ERR_INIT;
    struct store *s;
    struct scene x;

    scene_begin(&x, *state);
    struct requester *a = &x.host[0], *b = &x.host[1];
    assert_ok(store_open(x.path, &o, &s, &err));
    assert_ok(store_write_begin(s, &w, &err));
    assert_ok(store_write_commit(w, "{}", old, &err));
    store_close(s);
    make_old(&x, old);
    assert_quiet(a);
    backup(a, SIGNED, id);
    assert_quiet(a);
    assert_quiet(b);
    enter(b, KNOWN_LOOK);
    assert_true(store_point_stands(store_catalogue_find(b->known->catalogue, old)));
    leave(b);
    _cleanup_free_ char *folder = io_path(x.path, "catalogue");
    assert_ok(io_remove_tree(folder, &err));
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_fails(EPERM, repository_open_for(a, KNOWN_CHANGE, &err));
    leave(a);
    enter(b, KNOWN_LOOK);
    assert_int_equal(json_array_size(b->known->cut), 1);
    assert_fails(EPERM, prune(b, &err));
    scene_end(&x);
}

/* ---- Chains ---------------------------------------------------------------------------------------------------------------------------*/

static void drop_head(const struct scene *x, const struct requester *rq, const char *host)
{
    size_t n;
    const struct store_host *list = store_catalogue_hosts(rq->known->catalogue, &n);

    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i].name, host)) {
            _cleanup_free_ char *file = str_format("%s/catalogue/%s", x->path, list[i].head);
            assert_int_equal(unlink(file), 0);
            return;
        }
    fail();
}

static void b4_a_catalogue_that_was_cut_short_is_told(void **state)
{
    char one[STORE_ID_LEN + 1], two[STORE_ID_LEN + 1], three[STORE_ID_LEN + 1];
    struct err err = ERR_INIT;
    struct scene x;

    scene_begin(&x, *state);
    struct requester *a = &x.host[0], *b = &x.host[1], *c = &x.host[2];
    backup(a, SIGNED, one);
    backup(a, SIGNED, two);
    backup(b, SIGNED, three);
    assert_quiet(a);
    enter(a, KNOWN_LOOK);
    drop_head(&x, a, "alpha"); /* with which nothing says of `two` any more that it is to be there */
    hide(&x, two, false);
    enter(c, KNOWN_LOOK); /* by what b says that it saw */
    assert_int_equal(json_array_size(c->known->cut), 1);
    assert_non_null(strstr(json_string_value(json_array_get(c->known->cut, 0)), "beta has seen entry number 2 signed by host alpha"));
    assert_fails(EPERM, prune(c, &err));
    enter(b, KNOWN_LOOK); /* by what it remembers */
    assert_int_equal(json_array_size(b->known->cut), 1);
    leave(a);
    assert_fails(EPERM, repository_open_for(a, KNOWN_CHANGE, &err)); /* its own */
    assert_int_equal(a->end, REQUESTER_REFUSED);
    a->config.accept_rollback = true;
    assert_ok(prune(a, &err));
    a->config.accept_rollback = false;
    assert_quiet(a);
    assert_quiet(b); /* the chain begins anew, behind what is missing */
    assert_quiet(c);
    backup(a, SIGNED, one);
    assert_quiet(b);
    scene_end(&x);
}

static void b4_another_key_under_a_known_name_is_not_believed(void **state)
{
    char one[STORE_ID_LEN + 1], two[STORE_ID_LEN + 1];
    struct err err = ERR_INIT;
    struct scene x;

    scene_begin(&x, *state);
    struct requester *a = &x.host[0], *b = &x.host[1], *c = &x.host[2];
    backup(a, SIGNED, one);
    backup(b, SIGNED, two);
    assert_quiet(a);
    c->config.host_name = "beta";
    assert_ok(forget(c, one, &err));
    enter(a, KNOWN_LOOK);
    assert_int_equal(json_array_size(a->known->missing), 1);
    assert_int_equal(json_array_size(a->known->notes), 1);
    leave(a);
    a->config.accept_rollback = true; /* that is another matter */
    enter(a, KNOWN_LOOK);
    a->config.accept_rollback = false;
    a->config.accept_host_keys = true;
    enter(a, KNOWN_LOOK);
    a->config.accept_host_keys = false;
    assert_int_equal(json_array_size(a->known->notes), 0);
    assert_quiet(a);
    scene_end(&x);
}

static void b4_a_new_host_is_told_once(void **state)
{
    char one[STORE_ID_LEN + 1], two[STORE_ID_LEN + 1];
    struct scene x;

    scene_begin(&x, *state);
    struct requester *a = &x.host[0], *b = &x.host[1];
    backup(a, SIGNED, one);
    backup(b, SIGNED, two);
    for (size_t i = 0; i < 2; i++) {
        enter(a, KNOWN_LOOK);
        assert_int_equal(json_array_size(a->known->notes), 1 - i);
    }
    scene_end(&x);
}

/* ---- The key --------------------------------------------------------------------------------------------------------------------------*/

static void b4_the_key_is_for_this_user_alone(void **state)
{
    char one[STORE_ID_LEN + 1], two[STORE_ID_LEN + 1];
    struct err err = ERR_INIT;
    struct scene x;
    struct stat st;

    scene_begin(&x, *state);
    struct requester *a = &x.host[0];
    backup(a, SIGNED, one);
    _cleanup_free_ char *dir = io_dirname(x.known[0]), *file = io_path(dir, "host.key"), *moved = io_path(dir, "moved");
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(chmod(file, 0640), 0);
    backup(a, MADE, two);
    enter(a, KNOWN_CHANGE);
    assert_true(known_sign(a, STORE_ENTRY_COMMIT, NULL) < 0); /* a warning, and everything else goes on */
    leave(a);
    assert_ok(prune(a, &err));
    assert_int_equal(chmod(file, 0600), 0);
    assert_int_equal(rename(file, moved), 0);
    assert_int_equal(symlink("moved", file), 0);
    enter(a, KNOWN_CHANGE);
    assert_true(known_sign(a, STORE_ENTRY_COMMIT, NULL) < 0);
    leave(a);
    assert_int_equal(rename(moved, file), 0);
    enter(a, KNOWN_CHANGE);
    assert_int_equal(known_sign(a, STORE_ENTRY_COMMIT, NULL), 0);
    assert_true(store_point_stands(store_catalogue_find(a->known->catalogue, two)));
    scene_end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(b4_what_another_host_forgot_is_not_missed),
        test_in_dir(b4_a_signed_point_that_is_hidden_is_missed_by_all),
        test_in_dir(b4_an_interrupted_forget_is_finished),
        test_in_dir(b4_a_point_that_nobody_signed_is_seen),
        test_in_dir(b4_a_backup_that_was_killed_before_it_signed_is_made_up_for),
        test_in_dir(b4_the_first_host_takes_over_what_is_there),
        test_in_dir(b4_a_catalogue_that_was_cut_short_is_told),
        test_in_dir(b4_another_key_under_a_known_name_is_not_believed),
        test_in_dir(b4_a_new_host_is_told_once),
        test_in_dir(b4_the_key_is_for_this_user_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
