/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files put into place together, and brought back: a restore leaves the old or the new, never neither (M10 of restores). */
#include "test.h"

#include "requester/stage/file_effects.h"
#include "requester/stage/stage.h"
#include <dirent.h>
#include <sys/stat.h>

struct place {
    struct journal *journal;
    struct stage *stage;
    char *old, *fresh, *other; /* a file that exists; one that does not; one of another group */
};

static void place_new(struct place *p, const char *dir)
{
    struct err err = ERR_INIT;

    assert_ok(journal_new(NULL, "session", requester_verbs, NULL, NULL, &p->journal, &err));
    assert_ok(stage_new(p->journal, &p->stage, &err));
    p->old = io_path(dir, "old");
    p->fresh = io_path(dir, "fresh");
    p->other = io_path(dir, "other");
    write_text(p->old, "before");
    write_text(p->other, "other before");
}

static void place_clear(struct place *p)
{
    stage_free(p->stage);
    journal_free(p->journal);
    free(p->old);
    free(p->fresh);
    free(p->other);
}

static const char *make(struct place *p, const char *group, const char *target, const char *text)
{
    const char *made = NULL;
    struct err err = ERR_INIT;

    assert_ok(stage_add(p->stage, group, target, 0, &made, &err));
    write_text(made, text);
    return made;
}

static size_t entries(const char *dir)
{
    _cleanup_closedir_ DIR *d = opendir(dir);
    size_t n = 0;

    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.' || e->d_name[1] == 'k';
    return n;
}

static void nothing_changes_before_the_swap(void **state)
{
    _cleanup_(place_clear) struct place p = { 0 };
    struct err err = ERR_INIT;

    place_new(&p, *state);
    make(&p, "vm", p.old, "after");
    make(&p, "vm", p.fresh, "new");
    assert_file_text(p.old, "before");
    assert_false(io_exists(p.fresh));
    assert_ok(journal_undo_all(p.journal, &err));
    assert_int_equal(entries(*state), 2);
    assert_file_text(p.old, "before");
}

static void a_swap_that_stands_leaves_only_the_new(void **state)
{
    _cleanup_(place_clear) struct place p = { 0 };
    struct err err = ERR_INIT;

    place_new(&p, *state);
    make(&p, "vm", p.old, "after");
    make(&p, "vm", p.fresh, "new");
    assert_ok(stage_swap(p.stage, "vm", &err));
    assert_file_text(p.old, "after");
    assert_file_text(p.fresh, "new");
    assert_ok(journal_commit(p.journal, "vm", &err));
    assert_ok(stage_finish(p.stage, "vm", &err));
    assert_int_equal(journal_open_effects(p.journal), 0);
    assert_int_equal(entries(*state), 3);
}

static void a_swap_can_be_taken_back(void **state)
{
    _cleanup_(place_clear) struct place p = { 0 };
    struct err err = ERR_INIT;

    place_new(&p, *state);
    make(&p, "vm", p.old, "after");
    make(&p, "vm", p.fresh, "new");
    assert_ok(stage_swap(p.stage, "vm", &err));
    assert_ok(journal_undo_all(p.journal, &err));
    assert_file_text(p.old, "before");
    assert_false(io_exists(p.fresh));
    assert_int_equal(entries(*state), 2);
}

static void groups_stand_or_fall_alone(void **state)
{
    _cleanup_(place_clear) struct place p = { 0 };
    struct err err = ERR_INIT;

    place_new(&p, *state);
    make(&p, "one", p.old, "after");
    make(&p, "two", p.other, "other after");
    assert_ok(stage_swap(p.stage, "one", &err));
    assert_file_text(p.other, "other before");
    assert_ok(stage_swap(p.stage, "two", &err));
    assert_ok(journal_commit(p.journal, "one", &err));
    assert_ok(stage_finish(p.stage, "one", &err));
    assert_ok(journal_undo_all(p.journal, &err));
    assert_file_text(p.old, "after");
    assert_file_text(p.other, "other before");
}

/* Killed between giving the old file its second name and the rename: the undo of another process finds both names. */
static void undo_of_a_replacement_that_only_began(void **state)
{
    _cleanup_(place_clear) struct place p = { 0 };
    _cleanup_free_ char *kept = str_format("%s/.kvss-old-x", (char *)*state);
    struct err err = ERR_INIT;
    uint64_t id;

    place_new(&p, *state);
    struct journal_arg args[] = { { "path", p.old }, { "group", "vm" }, { "kept", kept }, { NULL, NULL } };
    assert_ok(journal_begin(p.journal, VERB_REPLACED_FILE, args, &id, &err));
    assert_ok(journal_undo(p.journal, id, &err)); /* nothing was done yet */
    assert_file_text(p.old, "before");
    assert_ok(journal_begin(p.journal, VERB_REPLACED_FILE, args, &id, &err));
    assert_int_equal(link(p.old, kept), 0);
    assert_ok(journal_undo(p.journal, id, &err));
    assert_file_text(p.old, "before");
    assert_int_equal(entries(*state), 2);
}

static void a_link_is_followed_to_the_file_that_is_meant(void **state)
{
    _cleanup_(place_clear) struct place p = { 0 };
    _cleanup_free_ char *link_path = io_path(*state, "link");
    struct stat st;
    struct err err = ERR_INIT;

    place_new(&p, *state);
    assert_int_equal(symlink("old", link_path), 0);
    make(&p, "vm", link_path, "after");
    assert_ok(stage_swap(p.stage, "vm", &err));
    assert_ok(journal_commit(p.journal, "vm", &err));
    assert_ok(stage_finish(p.stage, "vm", &err));
    assert_file_text(p.old, "after");
    assert_int_equal(lstat(link_path, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
}

/* The disaster took the file, on a volume of its own, and left the link: the room is there, not beside the link. */
static void a_link_is_followed_to_where_the_file_was(void **state)
{
    _cleanup_(place_clear) struct place p = { 0 };
    _cleanup_free_ char *link_path = io_path(*state, "link"), *folder = io_path(*state, "volume");
    _cleanup_free_ char *file = io_path(folder, "disk"), *circle = io_path(*state, "circle"), *nowhere = io_path(*state, "nowhere");
    struct stat st;
    struct err err = ERR_INIT;

    place_new(&p, *state);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(symlink("volume/disk", link_path), 0);
    assert_int_equal(symlink("circle", circle), 0);
    assert_int_equal(symlink("/nowhere/at/all", nowhere), 0);
    make(&p, "vm", link_path, "after");
    make(&p, "vm", circle, "one");
    make(&p, "vm", nowhere, "two");
    assert_ok(stage_swap(p.stage, "vm", &err));
    assert_ok(journal_commit(p.journal, "vm", &err));
    assert_ok(stage_finish(p.stage, "vm", &err));
    assert_file_text(file, "after");
    assert_int_equal(lstat(link_path, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_file_text(circle, "one"); /* such links lead nowhere: the file stands in their place */
    assert_file_text(nowhere, "two");
}

static void what_was_exchanged_is_not_put_into_place(void **state)
{
    _cleanup_(place_clear) struct place p = { 0 };
    _cleanup_free_ char *elsewhere = io_path(*state, "elsewhere");
    _cleanup_close_ int fd = -1;
    struct err err = ERR_INIT;
    const char *made = NULL;

    place_new(&p, *state);
    write_text(elsewhere, "not for this");
    assert_ok(stage_add(p.stage, "vm", p.old, 0, &made, &err));
    assert_ok(stage_create(p.stage, made, &fd, &err));
    assert_int_equal(write(fd, "after", 5), 5);
    assert_ok(stage_made(p.stage, made, &err));
    assert_int_equal(unlink(made), 0);
    assert_int_equal(symlink(elsewhere, made), 0);
    assert_fails(ESTALE, stage_swap(p.stage, "vm", &err));
    assert_file_text(p.old, "before");
    assert_file_text(elsewhere, "not for this");
}

static void nothing_is_made_through_a_planted_name(void **state)
{
    _cleanup_(place_clear) struct place p = { 0 };
    _cleanup_free_ char *elsewhere = io_path(*state, "elsewhere");
    struct err err = ERR_INIT;
    const char *made = NULL;
    int fd = -1;

    place_new(&p, *state);
    assert_ok(stage_add(p.stage, "vm", p.old, 0, &made, &err));
    assert_int_equal(symlink(elsewhere, made), 0);
    assert_fails(EEXIST, stage_create(p.stage, made, &fd, &err));
    assert_false(io_exists(elsewhere));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(nothing_changes_before_the_swap),
        test_in_dir(what_was_exchanged_is_not_put_into_place),
        test_in_dir(nothing_is_made_through_a_planted_name),
        test_in_dir(a_swap_that_stands_leaves_only_the_new),
        test_in_dir(a_swap_can_be_taken_back),
        test_in_dir(groups_stand_or_fall_alone),
        test_in_dir(undo_of_a_replacement_that_only_began),
        test_in_dir(a_link_is_followed_to_the_file_that_is_meant),
        test_in_dir(a_link_is_followed_to_where_the_file_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
