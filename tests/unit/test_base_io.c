/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/num.h"
#include "test.h"
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

static unsigned entries_in(const char *path)
{
    unsigned n = 0;
    _cleanup_closedir_ DIR *d = opendir(path);

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    return n;
}

static char *in_dir(void **state, const char *name)
{
    char *p = io_path(*state, name);

    assert_non_null(p);
    return p;
}

static void reads_and_writes_are_whole(void **state)
{
    _cleanup_free_ char *path = in_dir(state, "f");
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char got[6] = "";

    assert_int_equal(io_write(fd, "abcdef", 6), 0);
    assert_int_equal(io_pwrite(fd, "XY", 2, 2), 0);
    assert_int_equal(io_pread(fd, got, 5, 1), 0);
    assert_string_equal(got, "bXYef");
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(io_read(fd, got, 3), 0);
    assert_memory_equal(got, "abX", 3);
}

static void a_read_past_the_end_is_no_data(void **state)
{
    _cleanup_free_ char *path = in_dir(state, "f");
    char got[8];

    write_text(path, "abc");
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(io_pread(fd, got, 2, 2), -ENODATA);
    assert_int_equal(io_read(fd, got, 4), -ENODATA);
    assert_int_equal(io_read(-1, got, 4), -EBADF);
}

static void offsets_beyond_the_signed_range_are_refused(void **state)
{
    _cleanup_free_ char *path = in_dir(state, "f");
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char c = 'x';

    assert_int_equal(io_pread(fd, &c, 1, UINT64_MAX), -EINVAL);
    assert_int_equal(io_pwrite(fd, &c, 1, INT64_MAX), -EFBIG);
}

static void pipes_give_short_reads_and_they_are_joined(void **state)
{
    int fds[2];
    char got[5] = "";

    (void)state;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 4; i++) {
            (void)io_write(fds[1], "a", 1);
            usleep(3000);
        }
        _exit(0);
    }
    assert_int_equal(io_read(fds[0], got, 4), 0);
    assert_string_equal(got, "aaaa");
    close(fds[0]);
    close(fds[1]);
}

static void whole_files_are_read_and_bounded(void **state)
{
    _cleanup_free_ char *path = in_dir(state, "f");
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct err err = ERR_INIT;

    write_text(path, "12345");
    assert_ok(io_read_file(path, 5, &b, &err));
    assert_string_equal((char *)b.data, "12345");
    write_text(path, "123456");
    assert_fails(EFBIG, io_read_file(path, 5, &b, &err));
    assert_string_equal((char *)b.data, "12345");
    assert_fails(EFBIG, io_read_file("/dev/zero", 100000, &b, &err));
    assert_ok(io_read_file("/proc/self/stat", SIZE_MAX, &b, &err));
    assert_true(b.len > 10);
}

static void failures_to_read_name_the_path(void **state)
{
    _cleanup_free_ char *path = in_dir(state, "missing");
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct err err = ERR_INIT;

    assert_fails(ENOENT, io_read_file(path, 5, &b, &err));
    assert_non_null(strstr(err.text, path));
    assert_fails(EISDIR, io_read_file(*state, 5, &b, &err));
    assert_non_null(strstr(err.text, *state));
}

static void a_fifo_in_a_files_place_does_not_hang(void **state)
{
    _cleanup_free_ char *path = in_dir(state, "fifo");
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct err err = ERR_INIT;

    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(10);
    assert_ok(io_read_file(path, 5, &b, &err));
    alarm(0);
    assert_int_equal(b.len, 0);
}

static void replacing_is_exact_and_leaves_nothing_else(void **state)
{
    _cleanup_free_ char *path = in_dir(state, "f");
    struct err err = ERR_INIT;
    struct stat st;

    umask(077);
    assert_ok(io_replace_file(path, "old", 3, 0644, &err));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_ok(io_replace_file(path, "newer", 5, 0600, &err));
    assert_file_text(path, "newer");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(entries_in(*state), 1);
    umask(022);
}

static void replacing_does_not_touch_readers_of_the_old(void **state)
{
    _cleanup_free_ char *path = in_dir(state, "f");
    struct err err = ERR_INIT;
    char got[4] = "";

    assert_ok(io_replace_file(path, "old", 3, 0600, &err));
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_ok(io_replace_file(path, "new", 3, 0600, &err));
    assert_int_equal(io_read(fd, got, 3), 0);
    assert_string_equal(got, "old");
}

static void failed_replacing_keeps_the_old(void **state)
{
    _cleanup_free_ char *dir = in_dir(state, "d");
    _cleanup_free_ char *inside = in_dir(state, "d/x");
    _cleanup_free_ char *nowhere = in_dir(state, "no/x");
    struct err err = ERR_INIT;

    /* rename() of a file over a folder fails after the temporary file was made. */
    assert_ok(io_mkdir_p(inside, 0700, &err));
    assert_fails(EISDIR, io_replace_file(dir, "x", 1, 0600, &err));
    assert_int_equal(entries_in(*state), 1);
    assert_true(io_exists(inside));
    assert_fails(ENOENT, io_replace_file(nowhere, "x", 1, 0600, &err));
}

static void replacing_a_link_leaves_its_target(void **state)
{
    _cleanup_free_ char *target = in_dir(state, "target");
    _cleanup_free_ char *link = in_dir(state, "link");
    struct err err = ERR_INIT;

    write_text(target, "target");
    assert_int_equal(symlink("target", link), 0);
    assert_ok(io_replace_file(link, "new", 3, 0600, &err));
    assert_file_text(target, "target");
    assert_file_text(link, "new");
}

static void folders_are_made_with_their_parents(void **state)
{
    _cleanup_free_ char *deep = in_dir(state, "a/b//c/");
    _cleanup_free_ char *file = in_dir(state, "file");
    _cleanup_free_ char *below_file = in_dir(state, "file/x");
    struct err err = ERR_INIT;

    assert_ok(io_mkdir_p(deep, 0700, &err));
    assert_ok(io_mkdir_p(deep, 0700, &err));
    assert_true(io_exists(deep));
    assert_ok(io_mkdir_p("/", 0700, &err));
    write_text(file, "");
    assert_fails(ENOTDIR, io_mkdir_p(file, 0700, &err));
    assert_fails(ENOTDIR, io_mkdir_p(below_file, 0700, &err));
    assert_fails(ENOENT, io_mkdir_p("", 0700, &err));
}

static void trees_are_removed_but_links_are_not_followed(void **state)
{
    _cleanup_free_ char *tree = in_dir(state, "tree");
    _cleanup_free_ char *deep = in_dir(state, "tree/a/b/c");
    _cleanup_free_ char *file = in_dir(state, "tree/a/file");
    _cleanup_free_ char *link = in_dir(state, "tree/a/link");
    _cleanup_free_ char *kept = in_dir(state, "kept");
    _cleanup_free_ char *kept_file = in_dir(state, "kept/file");
    _cleanup_free_ char *top_link = in_dir(state, "toplink");
    struct err err = ERR_INIT;

    assert_ok(io_mkdir_p(deep, 0700, &err));
    assert_ok(io_mkdir_p(kept, 0700, &err));
    write_text(file, "x");
    write_text(kept_file, "kept");
    assert_int_equal(symlink(kept, link), 0);
    assert_int_equal(symlink(kept, top_link), 0);
    assert_ok(io_remove_tree(tree, &err));
    assert_false(io_exists(tree));
    assert_ok(io_remove_tree(top_link, &err));
    assert_file_text(kept_file, "kept");
    assert_ok(io_remove_tree(tree, &err));
    assert_ok(io_remove_tree(kept_file, &err));
    assert_int_equal(entries_in(kept), 0);
}

static void trees_too_deep_are_refused(void **state)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    _cleanup_free_ char *tree = in_dir(state, "t");
    struct err err = ERR_INIT;

    buf_adds(&b, tree);
    for (int i = 0; i < 140; i++)
        buf_adds(&b, "/d");
    assert_ok(io_mkdir_p((char *)b.data, 0700, &err));
    assert_fails(ELOOP, io_remove_tree(tree, &err));
    _cleanup_free_ char *part = strndup((char *)b.data, strlen(tree) + 100 * 2);
    assert_ok(io_remove_tree(part, &err));
}

static void what_is_mounted_below_a_tree_survives(void **state)
{
    _cleanup_free_ char *tree = in_dir(state, "tree");
    _cleanup_free_ char *mnt = in_dir(state, "tree/mnt");
    _cleanup_free_ char *origin = in_dir(state, "origin");
    _cleanup_free_ char *file = in_dir(state, "origin/file");
    struct err err = ERR_INIT;

    assert_ok(io_mkdir_p(mnt, 0700, &err));
    assert_ok(io_mkdir_p(origin, 0700, &err));
    write_text(file, "kept");
    if (mount(origin, mnt, "none", MS_BIND, NULL) < 0)
        skip(); /* not root */
    int r = io_remove_tree(tree, &err);
    umount(mnt);
    assert_int_equal(r, -EXDEV);
    assert_file_text(file, "kept");
}

static void removing_what_is_absent_is_fine(void **state)
{
    _cleanup_free_ char *path = in_dir(state, "missing");
    struct err err = ERR_INIT;

    assert_ok(io_unlink(path, &err));
    write_text(path, "");
    assert_ok(io_unlink(path, &err));
    assert_false(io_exists(path));
    assert_fails(EISDIR, io_unlink(*state, &err));
}

static void paths_are_joined_and_taken_apart(void **state)
{
    static const struct {
        const char *path, *dir, *base;
    } cases[] = { { "/a/b", "/a", "b" }, { "/a/b/", "/a", "b" }, { "/a", "/", "a" }, { "a", ".", "a" },
                  { "a/b", "a", "b" },   { "/", "/", "/" },      { "", ".", "." },   { "//a//b", "//a", "b" } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *dir = io_dirname(cases[i].path);
        _cleanup_free_ char *base = io_basename(cases[i].path);
        assert_string_equal(dir, cases[i].dir);
        assert_string_equal(base, cases[i].base);
    }
    _cleanup_free_ char *a = io_path("/x", "y");
    _cleanup_free_ char *b = io_path("/", "y");
    _cleanup_free_ char *c = io_path("", "y");
    assert_string_equal(a, "/x/y");
    assert_string_equal(b, "/y");
    assert_string_equal(c, "/y");
}

static void dangling_links_do_not_exist(void **state)
{
    _cleanup_free_ char *link = in_dir(state, "link");

    assert_int_equal(symlink("nowhere", link), 0);
    assert_false(io_exists(link));
    assert_true(io_exists(*state));
}

/* In a child: two private folders below `parent`. Exit code 0: as promised. */
static void check_private_folders(const char *parent)
{
    _cleanup_free_ char *a = NULL;
    _cleanup_free_ char *b = NULL;
    struct stat st;
    bool good = io_private_dir("unit", &a, NULL) == 0 && io_private_dir("unit", &b, NULL) == 0 && strcmp(a, b) != 0 &&
                strncmp(a, parent, strlen(parent)) == 0 && strncmp(a + strlen(parent), "/unit-", 6) == 0 && stat(a, &st) == 0 &&
                (st.st_mode & 07777) == 0700 && rmdir(a) == 0 && rmdir(b) == 0;
    _exit(good ? 0 : 1);
}

static void assert_child_good(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void roots_private_folders_are_below_run(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    pid_t pid = fork();
    if (pid == 0) { /* on a /run of its own */
        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0)
            _exit(2);
        setenv("XDG_RUNTIME_DIR", "/tmp", 1);
        check_private_folders("/run/kvss");
    }
    assert_child_good(pid);
}

static void users_private_folders_are_where_they_want(void **state)
{
    static const char *const names[] = { "XDG_RUNTIME_DIR", "TMPDIR" };

    assert_int_equal(chmod(*state, 0777), 0);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
                _exit(2);
            unsetenv("XDG_RUNTIME_DIR");
            setenv("TMPDIR", "not/absolute", 1);
            setenv(names[i], *state, 1);
            check_private_folders(*state);
        }
        assert_child_good(pid);
    }
}

static void free_space_is_what_statvfs_says(void **state)
{
    struct err err = ERR_INIT;
    uint64_t n = 0;
    struct statvfs st;

    assert_ok(io_free_bytes(*state, &n, &err));
    assert_int_equal(statvfs(*state, &st), 0);
    uint64_t now = (uint64_t)st.f_bavail * st.f_frsize;
    assert_true((n > now ? n - now : now - n) < GIB); /* others write meanwhile */
    assert_fails(ENOENT, io_free_bytes("/nowhere/at/all", &n, &err));
}

static void folders_can_be_made_durable(void **state)
{
    _cleanup_free_ char *file = in_dir(state, "f");
    struct err err = ERR_INIT;

    write_text(file, "");
    assert_ok(io_fsync_dir(*state, &err));
    assert_ok(io_fsync_parent(file, &err));
    assert_fails(ENOTDIR, io_fsync_dir(file, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(reads_and_writes_are_whole),
        test_in_dir(a_read_past_the_end_is_no_data),
        test_in_dir(offsets_beyond_the_signed_range_are_refused),
        cmocka_unit_test(pipes_give_short_reads_and_they_are_joined),
        test_in_dir(whole_files_are_read_and_bounded),
        test_in_dir(failures_to_read_name_the_path),
        test_in_dir(a_fifo_in_a_files_place_does_not_hang),
        test_in_dir(replacing_is_exact_and_leaves_nothing_else),
        test_in_dir(replacing_does_not_touch_readers_of_the_old),
        test_in_dir(failed_replacing_keeps_the_old),
        test_in_dir(replacing_a_link_leaves_its_target),
        test_in_dir(folders_are_made_with_their_parents),
        test_in_dir(trees_are_removed_but_links_are_not_followed),
        test_in_dir(trees_too_deep_are_refused),
        test_in_dir(what_is_mounted_below_a_tree_survives),
        test_in_dir(removing_what_is_absent_is_fine),
        cmocka_unit_test(paths_are_joined_and_taken_apart),
        test_in_dir(dangling_links_do_not_exist),
        cmocka_unit_test(roots_private_folders_are_below_run),
        test_in_dir(users_private_folders_are_where_they_want),
        test_in_dir(free_space_is_what_statvfs_says),
        test_in_dir(folders_can_be_made_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
