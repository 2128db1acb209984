/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of a command writer: found as its file sets say (behaviour 4), stored, and put back as they were, with owner, mode and time. */
#include "test.h"

#include "base/clock.h"
#include "base/num.h"
#include "requester/stage/file_effects.h"
#include "requester/files/files.h"
#include "requester/context/context.h"
#include <fcntl.h>
#include <sys/stat.h>

static void make(const char *dir, const char *name, const char *text)
{
    _cleanup_free_ char *path = io_path(dir, name), *parent = io_dirname(path);
    struct err err = ERR_INIT;

    assert_ok(io_mkdir_p(parent, 0755, &err));
    write_text(path, text);
}

static int find(const struct vss_file_set *sets, size_t n, struct file_list *list, struct err *err)
{
    struct vss_component_info c = { .name = "component", .n_files = n, .files = sets };
    struct vss_writer_info w = { .name = "writer", .n_components = 1, .components = &c };

    int r = files_find(&w, 0, NULL, list, err);
    files_sort(list);
    return r;
}

/* Paths below dir, with "/" behind folders. */
static char *names(const struct file_list *l, const char *dir)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    for (size_t i = 0; i < l->n; i++) {
        assert_int_equal(strncmp(l->entries[i].path, dir, strlen(dir)), 0);
        buf_addf(&b, "%s%s%s", i ? " " : "", l->entries[i].path + strlen(dir) + 1, S_ISDIR(l->entries[i].st.st_mode) ? "/" : "");
    }
    return buf_take_str(&b);
}

static void behaviour_04_files_are_found_as_the_sets_say(void **state)
{
    const char *dir = *state;
    _cleanup_file_list_ struct file_list list = FILE_LIST_INIT;
    struct err err = ERR_INIT;

    make(dir, "a.conf", "a");
    make(dir, "b.txt", "b");
    make(dir, "sub/c.conf", "c");
    make(dir, "sub/empty/.keep", "");
    struct vss_file_set sets[] = {
        { .path = dir, .filespec = "*.conf", .recursive = true },
        { .path = dir, .filespec = "*.conf" }, /* overlaps: each file is there once */
        { .path = "/nonexistent/folder", .filespec = "*" },
    };
    assert_ok(find(sets, 3, &list, &err));
    _cleanup_free_ char *text = names(&list, dir);
    assert_string_equal(text, "a.conf sub/ sub/c.conf sub/empty/");
}

static void behaviour_04_a_named_file_that_is_missing_fails(void **state)
{
    _cleanup_file_list_ struct file_list list = FILE_LIST_INIT;
    struct err err = ERR_INIT;
    struct vss_file_set set = { .path = *state, .filespec = "missing" };

    assert_fails(ENOENT, find(&set, 1, &list, &err));
}

static void names_that_cannot_be_stored_are_refused(void **state)
{
    _cleanup_free_ char *named = io_path(*state, "named"), *linked = io_path(*state, "linked"), *link = io_path(linked, "link");
    _cleanup_file_list_ struct file_list list = FILE_LIST_INIT, links = FILE_LIST_INIT;
    struct err err = ERR_INIT;

    make(named, "a\xff\xfe", "x");
    struct vss_file_set set = { .path = named, .filespec = "*" };
    assert_fails(EILSEQ, find(&set, 1, &list, &err));
    assert_non_null(strstr(err.text, "/named/a\\xff\\xfe is not UTF-8"));
    assert_non_null(strstr(err.text, "--no-writers"));

    assert_ok(io_mkdir_p(linked, 0755, &err));
    assert_int_equal(symlink("b\xff", link), 0);
    set.path = linked;
    assert_fails(EILSEQ, find(&set, 1, &links, &err));
    assert_non_null(strstr(err.text, "/linked/link"));
}

static void what_has_no_content_is_counted(void **state)
{
    const char *dir = *state;
    _cleanup_free_ char *first = io_path(dir, "a"), *second = io_path(dir, "z");
    _cleanup_file_list_ struct file_list list = FILE_LIST_INIT;
    struct err err = ERR_INIT;

    make(dir, "file", "x");
    assert_int_equal(mkfifo(first, 0600), 0);
    assert_int_equal(mkfifo(second, 0600), 0);
    struct vss_file_set sets[] = { { .path = dir, .filespec = "*" }, { .path = dir, .filespec = "a" } };
    assert_ok(find(sets, 2, &list, &err));
    _cleanup_free_ char *text = names(&list, dir);
    assert_string_equal(text, "file");
    assert_int_equal(list.n_special, 2);
    assert_string_equal(list.special, first);
}

static void a_relative_path_is_refused(void **state)
{
    (void)state;
    _cleanup_file_list_ struct file_list list = FILE_LIST_INIT;
    struct err err = ERR_INIT;
    struct vss_file_set set = { .path = "etc", .filespec = "*" };

    assert_fails(EINVAL, find(&set, 1, &list, &err));
}

static void an_alternate_path_is_read_but_not_restored_to(void **state)
{
    _cleanup_free_ char *copy = io_path(*state, "copy");
    _cleanup_file_list_ struct file_list list = FILE_LIST_INIT;
    struct err err = ERR_INIT;

    make(copy, "sub/x", "x");
    struct vss_file_set set = { .path = "/var/lib/thing", .filespec = "*", .recursive = true, .alternate_path = copy };
    assert_ok(find(&set, 1, &list, &err));
    assert_int_equal(list.n, 2);
    assert_string_equal(list.entries[0].path, "/var/lib/thing/sub");
    assert_string_equal(list.entries[1].path, "/var/lib/thing/sub/x");
    assert_int_equal(strncmp(list.entries[1].from, copy, strlen(copy)), 0);
}

/* ---- Through a repository -------------------------------------------------------------------------------------------------*/

struct repo {
    struct store *store;
    struct store_point *point;
    struct journal *journal;
    struct stage *stage;
};

static void repo_clear(struct repo *r)
{
    stage_free(r->stage);
    journal_free(r->journal);
    store_point_close(r->point);
    store_close(r->store);
}

static void save_at(struct repo *r, const char *dir, struct file_list *list, struct rate *rate)
{
    _cleanup_free_ char *location = io_path(dir, "repository");
    struct store_init init = { .no_encryption = true };
    struct store_open open_options = { 0 };
    struct files_job job = { .rate = rate };
    struct store_writer *w = NULL;
    struct store_stats stats;
    char id[STORE_ID_LEN + 1];
    uint64_t size = 0;
    struct err err = ERR_INIT;

    assert_ok(store_create(location, &init, &err));
    assert_ok(store_open(location, &open_options, &r->store, &err));
    assert_ok(store_write_begin(r->store, &w, &err));
    assert_ok(files_save(r->store, w, list, &job, &size, &stats, &err));
    assert_ok(store_write_commit(w, "{}", id, &err));
    assert_ok(store_point_open(r->store, id, &r->point, &err));
    assert_ok(journal_new(NULL, "session", requester_verbs, NULL, NULL, &r->journal, &err));
    assert_ok(stage_new(r->journal, &r->stage, &err));
}

static void save(struct repo *r, const char *dir, struct file_list *list)
{
    save_at(r, dir, list, NULL);
}

static void restore(struct repo *r)
{
    struct files_job job = { .number = 0 };
    _cleanup_json_ json_t *index = NULL;
    struct err err = ERR_INIT;

    assert_ok(files_index(r->point, 0, &index, &err));
    assert_ok(files_stage(r->point, index, &job, r->stage, "group", &err));
    assert_ok(stage_swap(r->stage, "group", &err));
    assert_ok(journal_commit(r->journal, "group", &err));
    assert_ok(stage_finish(r->stage, "group", &err));
    assert_ok(files_finish_folders(index, r->stage, "group", &err));
}

static void assert_mode_and_time(const char *dir, const char *name, mode_t mode, long ns)
{
    _cleanup_free_ char *path = io_path(dir, name);
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
    assert_int_equal(st.st_mtim.tv_sec, 1000000000);
    assert_int_equal(st.st_mtim.tv_nsec, ns);
}

static void set_mode_and_time(const char *dir, const char *name, mode_t mode, long ns)
{
    _cleanup_free_ char *path = io_path(dir, name);
    struct timespec times[2] = { { .tv_sec = 5 }, { .tv_sec = 1000000000, .tv_nsec = ns } };

    if (mode)
        assert_int_equal(chmod(path, mode), 0);
    assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void assert_place(const struct files_places *p, const char *path, const char *wanted)
{
    _cleanup_free_ char *place = files_place(p, path);

    assert_string_equal(place, wanted);
}

/* What is in a shadow copy is read there, under the innermost folder that is known; names that only begin alike are not meant. */
static void a_path_is_read_in_the_shadow_copy_of_its_folder(void **state)
{
    struct files_place list[] = {
        { .path = (char *)"/srv", .from = (char *)"/snap/srv" },
        { .path = (char *)"/srv/db", .from = (char *)"/other/db" },
        { .path = (char *)"/later" },
    };
    const struct files_places p = { ARRAY_SIZE(list), list };

    (void)state;
    assert_place(&p, "/srv", "/snap/srv");
    assert_place(&p, "/srv/a/b", "/snap/srv/a/b");
    assert_place(&p, "/srv/db/x", "/other/db/x");
    assert_place(&p, "/srv/dbx", "/snap/srv/dbx");
    assert_place(&p, "/srvx", "/srvx");
    assert_place(&p, "/later/x", "/later/x");
    list[0].path = (char *)"/";
    assert_place(&p, "/etc/x", "/snap/srv/etc/x");
}

static void what_was_saved_comes_back_as_it_was(void **state)
{
    _cleanup_free_ char *files = io_path(*state, "files"), *one = io_path(files, "one"), *link_path = io_path(files, "sub/link");
    _cleanup_free_ char *empty = io_path(files, "empty"), *sub = io_path(files, "sub");
    _cleanup_file_list_ struct file_list list = FILE_LIST_INIT;
    _cleanup_(repo_clear) struct repo r = { 0 };
    char target[16] = "";
    struct err err = ERR_INIT;

    make(files, "one", "the first");
    make(files, "sub/two", "");
    assert_int_equal(symlink("../one", link_path), 0);
    assert_int_equal(mkdir(empty, 0755), 0);
    set_mode_and_time(files, "one", 0640, 123456789);
    set_mode_and_time(files, "sub/link", 0, 42);
    set_mode_and_time(files, "sub", 0750, 7);
    struct vss_file_set set = { .path = files, .filespec = "*", .recursive = true };
    assert_ok(find(&set, 1, &list, &err));
    save(&r, *state, &list);

    write_text(one, "changed");
    assert_int_equal(rmdir(empty), 0);
    assert_ok(io_remove_tree(sub, &err));
    restore(&r);
    assert_file_text(one, "the first");
    assert_mode_and_time(files, "one", 0640, 123456789);
    assert_mode_and_time(files, "sub/link", 0777, 42);
    assert_mode_and_time(files, "sub", 0750, 7);
    assert_true(io_exists(empty));
    assert_int_equal(readlink(link_path, target, sizeof(target) - 1), 6);
    assert_string_equal(target, "../one");
    assert_int_equal(journal_open_effects(r.journal), 0);
}

static void folders_that_are_there_keep_owner_and_mode(void **state)
{
    _cleanup_free_ char *files = io_path(*state, "files"), *sub = io_path(files, "sub"), *one = io_path(files, "sub/one");
    _cleanup_file_list_ struct file_list list = FILE_LIST_INIT;
    _cleanup_(repo_clear) struct repo r = { 0 };
    struct err err = ERR_INIT;
    struct stat st;

    make(files, "sub/one", "1");
    set_mode_and_time(files, "sub", 0777, 7);
    struct vss_file_set set = { .path = files, .filespec = "*", .recursive = true };
    assert_ok(find(&set, 1, &list, &err));
    save(&r, *state, &list);
    assert_int_equal(chmod(sub, 0700), 0);
    write_text(one, "2");
    restore(&r);
    assert_file_text(one, "1");
    assert_int_equal(stat(sub, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void set_ids_come_back_only_where_all_is_roots(void **state)
{
    _cleanup_free_ char *files = io_path(*state, "files"), *ours = io_path(files, "ours"), *theirs = io_path(files, "theirs");
    _cleanup_free_ char *owned = io_path(files, "theirs/program"), *given = io_path(files, "ours/given");
    _cleanup_file_list_ struct file_list list = FILE_LIST_INIT;
    _cleanup_(repo_clear) struct repo r = { 0 };
    struct err err = ERR_INIT;

    if (geteuid() != 0)
        skip();
    make(files, "ours/program", "p");
    make(files, "ours/given", "g");
    make(files, "theirs/program", "t");
    assert_int_equal(chown(theirs, 64777, 64777), 0);
    assert_int_equal(chown(given, 64777, 64777), 0);
    set_mode_and_time(files, "ours/program", 04755, 1);
    set_mode_and_time(files, "ours/given", 06755, 1);
    set_mode_and_time(files, "theirs/program", 02755, 1);
    struct vss_file_set set = { .path = files, .filespec = "*", .recursive = true };
    assert_ok(find(&set, 1, &list, &err));
    save(&r, *state, &list);
    assert_int_equal(unlink(owned), 0);
    assert_ok(io_remove_tree(ours, &err)); /* so that it is made anew, and root's at first */
    restore(&r);
    assert_mode_and_time(files, "ours/program", 04755, 1);
    assert_mode_and_time(files, "ours/given", 0755, 1);
    assert_mode_and_time(files, "theirs/program", 0755, 1);
}

static void no_more_is_read_than_the_limit_says(void **state)
{
    _cleanup_file_list_ struct file_list list = FILE_LIST_INIT;
    _cleanup_(repo_clear) struct repo r = { 0 };
    _cleanup_free_ char *files = io_path(*state, "files"), *text = calloc(1, 300 * 1024 + 1);
    struct rate *rate = NULL;
    struct err err = ERR_INIT;

    memset(text, 'x', 300 * 1024);
    for (const char *const *name = (const char *const[]){ "one", "two", "three", NULL }; *name; name++)
        make(files, *name, text);
    struct vss_file_set set = { .path = files, .filespec = "*" };
    assert_ok(find(&set, 1, &list, &err));
    assert_ok(rate_new(MIB, &rate, &err));
    uint64_t began = clock_mono_ms();
    save_at(&r, *state, &list, rate);
    assert_true(clock_mono_ms() - began >= 400); /* the last begins when the first two have taken their time, but for what was saved up */
    rate_free(rate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(behaviour_04_files_are_found_as_the_sets_say),
        test_in_dir(behaviour_04_a_named_file_that_is_missing_fails),
        test_in_dir(names_that_cannot_be_stored_are_refused),
        test_in_dir(what_has_no_content_is_counted),
        cmocka_unit_test(a_relative_path_is_refused),
        cmocka_unit_test(a_path_is_read_in_the_shadow_copy_of_its_folder),
        test_in_dir(an_alternate_path_is_read_but_not_restored_to),
        test_in_dir(what_was_saved_comes_back_as_it_was),
        test_in_dir(folders_that_are_there_keep_owner_and_mode),
        test_in_dir(set_ids_come_back_only_where_all_is_roots),
        test_in_dir(no_more_is_read_than_the_limit_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
