/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Undo and finish of the VM writer's files: the old saved state, the link in the default place, parts of a backup (docs/undo.md). B2. */
#include "test.h"

#include "base/io_at.h"
#include "journal/journal.h"
#include "writers/vm/vm_internal.h"
#include <fcntl.h>
#include <sys/stat.h>

struct place {
    char *dir, *away, *path, *kept;
    struct journal *j;
};

static struct place place_new(const char *top, const char *name)
{
    struct place p = { .dir = io_path(top, "dir"), .away = io_path(top, "away") };
    struct err err = ERR_INIT;

    assert_int_equal(mkdir(p.dir, 0700), 0);
    p.path = io_path(p.dir, name);
    p.kept = str_format("%s/.kvss-old-1", p.dir);
    assert_ok(journal_new(NULL, "s", vm_writer_verbs, NULL, NULL, &p.j, &err));
    return p;
}

static void place_clear(struct place *p)
{
    journal_free(p->j);
    free(p->dir);
    free(p->away);
    free(p->path);
    free(p->kept);
}

static void id_of(const struct place *p, const char *name, struct io_id *ret)
{
    _cleanup_close_ int dir = open(p->dir, O_PATH | O_DIRECTORY);

    assert_int_equal(io_id_at(dir, name, ret), 0);
}

/* The undo fails while the folder is away, whatever is there instead, and touches neither. */
static void assert_waits_for_its_folder(const struct place *p)
{
    struct err err = ERR_INIT;

    assert_int_equal(rename(p->dir, p->away), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(journal_undo_all(p->j, &err) < 0); /* gone; an empty one; ENOTDIR */
        if (i == 0)
            assert_int_equal(mkdir(p->dir, 0700), 0);
        if (i == 1) {
            assert_int_equal(rmdir(p->dir), 0); /* nothing was put into it */
            write_text(p->dir, "");
        }
    }
    assert_int_equal(unlink(p->dir), 0);
    assert_int_equal(rename(p->away, p->dir), 0);
}

/* ---- The saved state of the VM that is replaced -----------------------------------------------------------------------------------*/

static void keep(const struct place *p, bool done)
{
    struct io_id old;
    struct err err = ERR_INIT;
    uint64_t id;

    write_text(p->path, "memory");
    id_of(p, "web.save", &old);
    const struct journal_arg args[] = {
        { "path", p->path }, { "kept", p->kept }, { "path_id", old.text }, { "group", "g" }, { NULL, NULL },
    };
    assert_ok(journal_begin(p->j, VERB_KEEP_SAVED, args, &id, &err));
    assert_int_equal(link(p->path, p->kept), 0);
    if (done)
        assert_int_equal(journal_done(p->j, id), 0);
}

static void b2_the_old_saved_state_comes_back(void **state)
{
    struct err err = ERR_INIT;
    _cleanup_(place_clear) struct place p = place_new(*state, "web.save");

    for (int i = 0; i < 4; i++) {
        keep(&p, i % 2);
        if (i < 2)
            assert_int_equal(unlink(p.path), 0); /* libvirt did */
        assert_waits_for_its_folder(&p);
        assert_ok(journal_undo_all(p.j, &err));
        assert_file_text(p.path, "memory");
        assert_false(io_exists(p.kept));
        assert_int_equal(unlink(p.path), 0);
    }
}

static void b2_another_saved_state_is_left_alone(void **state)
{
    struct err err = ERR_INIT;
    _cleanup_(place_clear) struct place p = place_new(*state, "web.save");

    keep(&p, true);
    assert_int_equal(unlink(p.path), 0);
    write_text(p.path, "of others");
    assert_true(journal_undo_all(p.j, &err) < 0);
    assert_file_text(p.path, "of others");
    assert_file_text(p.kept, "memory");
    assert_int_equal(unlink(p.path), 0);
    assert_ok(journal_undo_all(p.j, &err));
    assert_file_text(p.path, "memory");
}

static void b2_what_was_kept_is_only_removed_where_it_is(void **state)
{
    struct err err = ERR_INIT;
    _cleanup_(place_clear) struct place p = place_new(*state, "web.save");

    keep(&p, true);
    assert_ok(journal_commit(p.j, "g", &err));
    assert_waits_for_its_folder(&p);
    assert_ok(journal_undo_all(p.j, &err));
    assert_false(io_exists(p.kept));
    assert_true(io_exists(p.path));
    keep(&p, true);
    assert_ok(journal_commit(p.j, "g", &err));
    assert_int_equal(unlink(p.kept), 0);
    write_text(p.kept, "of others");
    assert_ok(journal_undo_all(p.j, &err));
    assert_file_text(p.kept, "of others");
}

/* ---- The link in the default place -----------------------------------------------------------------------------------------------*/

static void assert_link(const char *path, const char *target)
{
    char now[256] = "";

    ssize_t n = readlink(path, now, sizeof(now) - 1);
    assert_string_equal(n < 0 ? "none" : now, target);
}

/* before: where a link leads that is there; after: where ours does, NULL: it is removed. */
static void link_effect(const struct place *p, const char *before, const char *after)
{
    struct io_id old = { "" }, new;
    struct err err = ERR_INIT;
    uint64_t id;

    if (before)
        assert_int_equal(symlink(before, p->path), 0);
    if (before)
        id_of(p, "web", &old);
    const struct journal_arg args[] = {
        { "path", p->path },    { "made", p->kept }, { "group", "g" }, { before ? "target" : NULL, before },
        { "old_id", old.text }, { NULL, NULL },
    };
    assert_ok(journal_begin(p->j, VERB_LINK, args, &id, &err));
    if (!after) {
        assert_int_equal(unlink(p->path), 0);
        return;
    }
    assert_int_equal(symlink(after, p->kept), 0);
    id_of(p, ".kvss-old-1", &new);
    assert_ok(journal_note(p->j, id, "new_id", new.text, &err));
    assert_int_equal(rename(p->kept, p->path), 0);
}

static void b2_the_link_is_as_before(void **state)
{
    static const char *const cases[][2] = { { NULL, "/new" }, { "/old", "/new" }, { "/old", NULL } };
    struct err err = ERR_INIT;
    _cleanup_(place_clear) struct place p = place_new(*state, "web");

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        link_effect(&p, cases[i][0], cases[i][1]);
        assert_waits_for_its_folder(&p);
        assert_ok(journal_undo_all(p.j, &err));
        assert_link(p.path, cases[i][0] ? cases[i][0] : "none");
        unlink(p.path);
    }
}

static void b2_a_link_of_others_is_left_alone(void **state)
{
    struct err err = ERR_INIT;
    _cleanup_(place_clear) struct place p = place_new(*state, "web");

    for (int had = 0; had < 2; had++) {
        link_effect(&p, had ? "/old" : NULL, "/new");
        assert_int_equal(unlink(p.path), 0);
        assert_int_equal(symlink("/theirs", p.path), 0);
        assert_ok(journal_undo_all(p.j, &err));
        assert_link(p.path, "/theirs");
        assert_int_equal(unlink(p.path), 0);
    }
}

static void b2_a_link_that_was_only_begun(void **state)
{
    struct io_id old;
    struct err err = ERR_INIT;
    uint64_t id;
    _cleanup_(place_clear) struct place p = place_new(*state, "web");

    assert_int_equal(symlink("/old", p.path), 0);
    id_of(&p, "web", &old);
    const struct journal_arg args[] = {
        { "path", p.path }, { "made", p.kept }, { "group", "g" }, { "target", "/old" }, { "old_id", old.text }, { NULL, NULL },
    };
    assert_ok(journal_begin(p.j, VERB_LINK, args, &id, &err));
    assert_int_equal(symlink("/new", p.kept), 0);
    assert_ok(journal_undo_all(p.j, &err));
    assert_link(p.path, "/old");
    assert_link(p.kept, "none");
}

static void m16_a_folder_of_its_name_needs_no_link(void **state)
{
    const char *top = *state;
    static const struct {
        const char *place;
        bool needs;
    } cases[] = { { "default", false },          { "default/web", false }, { "default/web/disks", false }, { "default/webcam", true },
                  { "default/group/web", true }, { "elsewhere", true },    { "default/no", false } };
    static const char *const folders[] = { "default",       "default/web",       "default/web/disks", "default/webcam",
                                           "default/group", "default/group/web", "elsewhere" };
    _cleanup_free_ char *dir = io_path(top, "default"), *link = io_path(dir, "web"), *other = io_path(dir, "db");

    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        _cleanup_free_ char *path = io_path(top, folders[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *place = io_path(top, cases[i].place);
        if (vm_needs_link(dir, link, place) != cases[i].needs)
            fail_msg("%s: a link is %s", cases[i].place, cases[i].needs ? "needed" : "not needed");
        assert_int_equal(vm_needs_link(dir, other, place), i != 0 && i != 6); /* whose name no folder has */
    }
    _cleanup_free_ char *elsewhere = io_path(top, "elsewhere");
    assert_int_equal(symlink(elsewhere, other), 0);
    assert_true(vm_needs_link(dir, other, elsewhere)); /* it has one, which stays */
}

/* ---- Parts of a backup --------------------------------------------------------------------------------------------------------------*/

static void b2_a_part_stays_in_the_list_until_it_is_gone(void **state)
{
    struct err err = ERR_INIT;
    uint64_t id;
    _cleanup_(place_clear) struct place p = place_new(*state, ".kvss-1-2.memory");
    const struct journal_arg args[] = { { "path", p.path }, { "group", "g" }, { NULL, NULL } };

    assert_ok(journal_begin(p.j, VERB_PART, args, &id, &err));
    write_text(p.path, "memory");
    assert_int_equal(journal_done(p.j, id), 0);
    journal_settle_lasting(p.j); /* the commit of the backup */
    assert_int_equal(journal_open_effects(p.j), 1);
    assert_waits_for_its_folder(&p);
    assert_ok(journal_undo_all(p.j, &err));
    assert_false(io_exists(p.path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(b2_the_old_saved_state_comes_back),
        test_in_dir(b2_another_saved_state_is_left_alone),
        test_in_dir(b2_what_was_kept_is_only_removed_where_it_is),
        test_in_dir(b2_the_link_is_as_before),
        test_in_dir(b2_a_link_of_others_is_left_alone),
        test_in_dir(b2_a_link_that_was_only_begun),
        test_in_dir(m16_a_folder_of_its_name_needs_no_link),
        test_in_dir(b2_a_part_stays_in_the_list_until_it_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
