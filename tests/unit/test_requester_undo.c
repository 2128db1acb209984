/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Undo and finish of files act on what is provably this session's and on nothing else (docs/undo.md): the place cannot be reached, is
 * another one, holds somebody else's file, answers with other errors than "absent"; done twice, and by another process. B2. */
#include "test.h"

#include "base/io_at.h"
#include "requester/stage/file_effects.h"
#include "requester/stage/stage.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define GROUP "vm"

struct place {
    char *dir, *away, *old, *fresh, *sessions;
};

static struct place place_new(const char *top)
{
    struct place p = { io_path(top, "images"), io_path(top, "away"), NULL, NULL, io_path(top, "sessions") };

    assert_int_equal(mkdir(p.dir, 0700), 0);
    p.old = io_path(p.dir, "old");
    p.fresh = io_path(p.dir, "fresh");
    write_text(p.old, "before");
    return p;
}

static void place_clear(struct place *p)
{
    free(p->dir);
    free(p->away);
    free(p->old);
    free(p->fresh);
    free(p->sessions);
}

static size_t entries(const char *dir)
{
    _cleanup_closedir_ DIR *d = opendir(dir);
    size_t n = 0;

    for (struct dirent *e; d && (e = readdir(d));)
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    return n;
}

static void make(struct stage *s, const char *target, const char *text)
{
    const char *made = NULL;
    struct err err = ERR_INIT;

    assert_ok(stage_add(s, GROUP, target, 0, &made, &err));
    write_text(made, text);
    assert_ok(stage_made(s, made, &err));
}

enum until { MADE, SWAPPED, COMMITTED };

/* A session that gets so far with one file over another and one where there was none, and a new folder; and is killed. */
static void killed(const struct place *p, enum until until)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct journal *j;
        struct stage *s;
        struct err err = ERR_INIT;
        _cleanup_free_ char *deep = str_format("%s/new/deep", p->dir);
        assert_ok(journal_new(p->sessions, "dead", requester_verbs, NULL, NULL, &j, &err));
        assert_ok(stage_new(j, &s, &err));
        make(s, p->old, "after");
        make(s, p->fresh, "new");
        assert_ok(stage_folder(s, GROUP, deep, 0700, &err));
        if (until >= SWAPPED)
            assert_ok(stage_swap(s, GROUP, &err));
        if (until >= COMMITTED)
            assert_ok(journal_commit(j, GROUP, &err));
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

struct told {
    size_t left;
    char text[4096]; /* the first failure, and all that was undone */
};

static void note(void *priv, const struct journal_recovered *r)
{
    struct told *t = priv;

    t->left += r->left;
    if (r->text)
        strncat(t->text, r->text, sizeof(t->text) - strlen(t->text) - 1);
    for (char *const *line = r->undone; line && *line; line++)
        strncat(t->text, *line, sizeof(t->text) - strlen(t->text) - 1);
}

static struct told recover(const struct place *p)
{
    struct told t = { 0 };
    struct err err = ERR_INIT;

    assert_ok(journal_recover(p->sessions, requester_verbs, NULL, NULL, note, &t, &err));
    return t;
}

static void assert_undone(const struct place *p)
{
    assert_file_text(p->old, "before");
    assert_int_equal(entries(p->dir), 1);
    assert_int_equal(recover(p).left, 0); /* and again */
    assert_file_text(p->old, "before");
    assert_int_equal(entries(p->sessions), 0);
}

static void assert_finished(const struct place *p)
{
    assert_file_text(p->old, "after");
    assert_file_text(p->fresh, "new");
    assert_int_equal(entries(p->dir), 3);
    assert_int_equal(recover(p).left, 0);
    assert_int_equal(entries(p->sessions), 0);
}

static void b2_another_process_undoes_and_finishes_once(void **state)
{
    _cleanup_(place_clear) struct place p = place_new(*state);

    for (enum until u = MADE; u <= SWAPPED; u++) {
        killed(&p, u);
        assert_int_equal(recover(&p).left, 0);
        assert_undone(&p);
    }
    killed(&p, COMMITTED);
    assert_int_equal(recover(&p).left, 0);
    assert_finished(&p);
}

/* What is in the way of the folder while recover runs. */
static void moved(const struct place *p)
{
    assert_int_equal(rename(p->dir, p->away), 0);
}
static void empty(const struct place *p) /* a mount point without its file system is so */
{
    moved(p);
    assert_int_equal(mkdir(p->dir, 0700), 0);
}
static void with_others(const struct place *p)
{
    _cleanup_free_ char *old = str_format("%s/old", p->dir), *fresh = str_format("%s/fresh", p->dir);

    empty(p);
    write_text(old, "of others");
    write_text(fresh, "of others");
}
static void no_folder(const struct place *p) /* ENOTDIR */
{
    moved(p);
    write_text(p->dir, "");
}
static void circle(const struct place *p) /* ELOOP */
{
    moved(p);
    assert_int_equal(symlink(p->dir, p->dir), 0);
}

static void b2_what_cannot_be_reached_is_not_taken_for_absent(void **state)
{
    static void (*const obstacles[])(const struct place *) = { moved, empty, with_others, no_folder, circle };
    _cleanup_(place_clear) struct place p = place_new(*state);
    struct err err = ERR_INIT;

    for (enum until u = MADE; u <= COMMITTED; u++)
        for (size_t i = 0; i < ARRAY_SIZE(obstacles); i++) {
            killed(&p, u);
            size_t before = entries(p.dir);
            obstacles[i](&p);
            size_t others = entries(p.dir);
            for (int twice = 0; twice < 2; twice++) {
                struct told t = recover(&p);
                assert_true(t.left > 0);
                assert_non_null(strstr(t.text, "folder"));
                assert_int_equal(entries(p.away), before);
                assert_int_equal(entries(p.dir), others);
            }
            assert_ok(io_remove_tree(p.dir, &err));
            assert_int_equal(rename(p.away, p.dir), 0);
            assert_int_equal(recover(&p).left, 0);
            if (u < COMMITTED) {
                assert_undone(&p);
                continue;
            }
            assert_finished(&p);
            assert_ok(io_remove_tree(p.dir, &err));
            assert_int_equal(mkdir(p.dir, 0700), 0);
            write_text(p.old, "before");
        }
}

/* Puts somebody else's file in the place of the entry that begins so. */
static void exchange(const struct place *p, const char *begins, char ret[static 512])
{
    _cleanup_closedir_ DIR *d = opendir(p->dir);
    const struct dirent *e;

    while ((e = readdir(d)) && strncmp(e->d_name, begins, strlen(begins)))
        ;
    assert_non_null(e);
    snprintf(ret, 512, "%s/%s", p->dir, e->d_name);
    assert_int_equal(unlink(ret), 0);
    write_text(ret, "of others");
}

static void b2_a_file_of_others_is_left_alone_and_named(void **state)
{
    _cleanup_(place_clear) struct place p = place_new(*state);
    char path[512];

    killed(&p, MADE); /* a staged one */
    exchange(&p, ".kvss-new", path);
    struct told t = recover(&p);
    assert_int_equal(t.left, 0);
    assert_non_null(strstr(t.text, path));
    assert_file_text(path, "of others");
    assert_int_equal(unlink(path), 0);
    assert_undone(&p);

    killed(&p, SWAPPED); /* one where there was none */
    exchange(&p, "fresh", path);
    t = recover(&p);
    assert_int_equal(t.left, 0);
    assert_non_null(strstr(t.text, "fresh was not created by this session"));
    assert_file_text(p.fresh, "of others");
    assert_int_equal(unlink(p.fresh), 0);
    assert_undone(&p);

    killed(&p, SWAPPED); /* one in the place of the old one, which waits beside it until there is room */
    exchange(&p, "old", path);
    for (int twice = 0; twice < 2; twice++) {
        t = recover(&p);
        assert_int_equal(t.left, 1);
        assert_non_null(strstr(t.text, "belongs to something else"));
        assert_file_text(p.old, "of others");
    }
    assert_int_equal(unlink(p.old), 0);
    assert_int_equal(recover(&p).left, 0);
    assert_undone(&p);

    killed(&p, COMMITTED); /* one in the place of what was kept */
    exchange(&p, ".kvss-old", path);
    t = recover(&p);
    assert_int_equal(t.left, 0);
    assert_file_text(path, "of others");
    assert_file_text(p.old, "after");
}

static void b2_a_folder_of_others_is_left_alone(void **state)
{
    _cleanup_(place_clear) struct place p = place_new(*state);
    _cleanup_free_ char *deep = str_format("%s/new/deep", p.dir), *up = str_format("%s/new", p.dir), *file = io_path(deep, "file");

    killed(&p, MADE);
    write_text(file, "of others");
    struct told t = recover(&p);
    assert_int_equal(t.left, 0);
    assert_non_null(strstr(t.text, "was kept"));
    assert_file_text(file, "of others");
    struct err err = ERR_INIT;
    assert_ok(io_remove_tree(up, &err));

    killed(&p, MADE);
    assert_int_equal(rmdir(deep), 0);
    assert_int_equal(mkdir(deep, 0700), 0);
    t = recover(&p);
    assert_int_equal(t.left, 0);
    assert_non_null(strstr(t.text, "was not created by this session"));
    assert_true(io_exists(deep));
}

/* ---- The restore itself ---------------------------------------------------------------------------------------------------------*/

struct run {
    struct journal *j;
    struct stage *s;
};

static struct run run_new(void)
{
    struct run r;
    struct err err = ERR_INIT;

    assert_ok(journal_new(NULL, "s", requester_verbs, NULL, NULL, &r.j, &err));
    assert_ok(stage_new(r.j, &r.s, &err));
    return r;
}

static void run_clear(struct run *r)
{
    stage_free(r->s);
    journal_free(r->j);
}

static void b2_nothing_is_entered_where_the_target_cannot_be_looked_at(void **state)
{
    static void (*const obstacles[])(const struct place *) = { moved, no_folder, circle };
    _cleanup_(place_clear) struct place p = place_new(*state);
    struct err err = ERR_INIT;
    const char *made;

    _cleanup_(run_clear) struct run other = run_new();
    assert_fails(EEXIST, stage_add(other.s, GROUP, p.old, STAGE_NEW, &made, &err)); /* planned as absent */
    assert_int_equal(journal_open_effects(other.j), 0);
    for (size_t i = 0; i < ARRAY_SIZE(obstacles); i++) {
        _cleanup_(run_clear) struct run r = run_new();
        obstacles[i](&p);
        assert_true(stage_add(r.s, GROUP, p.old, 0, &made, &err) < 0);
        assert_int_equal(journal_open_effects(r.j), 0);
        if (obstacles[i] != moved) {
            assert_true(stage_folder(r.s, GROUP, p.dir, 0700, &err) < 0);
            assert_int_equal(journal_open_effects(r.j), 0);
        }
        unlink(p.dir);
        assert_int_equal(rename(p.away, p.dir), 0);
    }
}

static void b2_the_swap_is_refused_in_another_folder(void **state)
{
    static void (*const obstacles[])(const struct place *) = { moved, empty, with_others, no_folder, circle };
    _cleanup_(place_clear) struct place p = place_new(*state);
    struct err err = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(obstacles); i++) {
        _cleanup_(run_clear) struct run r = run_new();
        make(r.s, p.old, "after");
        make(r.s, p.fresh, "new");
        obstacles[i](&p);
        assert_true(stage_swap(r.s, GROUP, &err) < 0);
        assert_true(journal_undo_all(r.j, &err) < 0);
        assert_ok(io_remove_tree(p.dir, &err));
        assert_int_equal(rename(p.away, p.dir), 0);
        assert_ok(journal_undo_all(r.j, &err));
        assert_file_text(p.old, "before");
        assert_int_equal(entries(p.dir), 1);
    }
}

static void b2_the_swap_replaces_nothing_that_came_meanwhile(void **state)
{
    _cleanup_(place_clear) struct place p = place_new(*state);
    struct err err = ERR_INIT;
    _cleanup_(run_clear) struct run r = run_new();

    make(r.s, p.fresh, "new");
    write_text(p.fresh, "of others");
    assert_fails(EEXIST, stage_swap(r.s, GROUP, &err));
    assert_ok(journal_undo_all(r.j, &err));
    assert_file_text(p.fresh, "of others");
    make(r.s, p.old, "after");
    assert_int_equal(unlink(p.old), 0);
    write_text(p.old, "of others");
    assert_int_equal(unlink(p.fresh), 0);
    assert_true(stage_swap(r.s, GROUP, &err) < 0);
    assert_ok(journal_undo_all(r.j, &err));
    assert_file_text(p.old, "of others");
}

/* ---- Lists of earlier versions --------------------------------------------------------------------------------------------------*/

static void dead_session(const struct place *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void dead_session(const struct place *p, const char *format, ...)
{
    _cleanup_free_ char *dir = io_path(p->sessions, "dead"), *lock = io_path(dir, "lock"), *effects = io_path(dir, "effects"), *text = NULL;
    struct err err = ERR_INIT;
    va_list ap;

    va_start(ap, format);
    assert_true(vasprintf(&text, format, ap) > 0);
    va_end(ap);
    assert_ok(io_mkdir_p(dir, 0700, &err));
    write_text(lock, "");
    write_text(effects, text);
}

static void b2_entries_without_identities_prove_nothing_but_names(void **state)
{
    _cleanup_(place_clear) struct place p = place_new(*state);
    _cleanup_free_ char *kept = str_format("%s/.kvss-old-1", p.dir), *made = str_format("%s/.kvss-new-1", p.dir);

    /* the list that deleted an image: a target that was taken for absent */
    dead_session(&p, "{\"effect\":1,\"verb\":\"replaced-file\",\"values\":{\"path\":\"%s\",\"group\":\"g\"}}\n", p.old);
    struct told t = recover(&p);
    assert_non_null(strstr(t.text, "left alone"));
    assert_undone(&p);

    /* kept and replaced; and with the folder away */
    write_text(kept, "before");
    write_text(p.old, "after");
    dead_session(&p,
                 "{\"effect\":1,\"verb\":\"staged-file\",\"values\":{\"path\":\"%s\",\"group\":\"g\"}}\n"
                 "{\"effect\":2,\"verb\":\"replaced-file\",\"values\":{\"path\":\"%s\",\"kept\":\"%s\",\"group\":\"g\"}}\n",
                 made, p.old, kept);
    moved(&p);
    assert_int_equal(recover(&p).left, 2);
    assert_int_equal(rename(p.away, p.dir), 0);
    assert_int_equal(recover(&p).left, 0);
    assert_undone(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(b2_another_process_undoes_and_finishes_once),
        test_in_dir(b2_what_cannot_be_reached_is_not_taken_for_absent),
        test_in_dir(b2_a_file_of_others_is_left_alone_and_named),
        test_in_dir(b2_a_folder_of_others_is_left_alone),
        test_in_dir(b2_nothing_is_entered_where_the_target_cannot_be_looked_at),
        test_in_dir(b2_the_swap_is_refused_in_another_folder),
        test_in_dir(b2_the_swap_replaces_nothing_that_came_meanwhile),
        test_in_dir(b2_entries_without_identities_prove_nothing_but_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
