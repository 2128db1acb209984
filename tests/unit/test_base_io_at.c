/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/io_at.h"
#include "test.h"
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define OTHER 64777 /* an unprivileged user */

/* As test_dir_setup(), with what most cases need: real/ and real/file, root's. */
static int setup(void **state)
{
    char path[256];

    if (test_dir_setup(state) < 0 || chmod(*state, 0755) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/real", (char *)*state);
    if (mkdir(path, 0755) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/real/file", (char *)*state);
    write_text(path, "inside");
    return 0;
}

static char *at(void **state, const char *name)
{
    char *p = io_path(*state, name);

    assert_non_null(p);
    return p;
}

static void make_link(void **state, const char *name, const char *target, uid_t owner)
{
    _cleanup_free_ char *path = at(state, name);

    assert_int_equal(symlink(target, path), 0);
    if (geteuid() == 0)
        assert_int_equal(lchown(path, owner, owner), 0);
}

static void make_folder(void **state, const char *name, uid_t owner, mode_t mode)
{
    _cleanup_free_ char *path = at(state, name);

    assert_int_equal(mkdir(path, 0700), 0);
    if (geteuid() == 0)
        assert_int_equal(chown(path, owner, owner), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* The place is "real/file", by whatever way. */
static void leads_to_file(void **state, const char *name)
{
    _cleanup_free_ char *path = at(state, name), *real = at(state, "real/file"), *found = NULL;
    struct err err = ERR_INIT;
    char text[8] = "";

    assert_ok(io_real_path(path, &found, &err));
    assert_string_equal(found, real);
    _cleanup_close_ int fd = io_open_file(path, O_RDONLY, &err);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, text, sizeof(text)), 6);
    assert_string_equal(text, "inside");
}

static void is_refused(void **state, const char *name, const char *text)
{
    _cleanup_free_ char *path = at(state, name), *found = NULL;
    struct err err = ERR_INIT;

    assert_fails(EPERM, io_real_path(path, &found, &err));
    assert_non_null(strstr(err.text, text));
    assert_fails(EPERM, io_open_file(path, O_RDONLY, &err));
}

static void plain_paths_are_reached(void **state)
{
    _cleanup_free_ char *file = at(state, "real/file"), *none = at(state, "none/file"), *new = at(state, "real/new"), *name = NULL;
    _cleanup_free_ char *through = at(state, "real/file/x"), *dots = NULL, *there = NULL;
    _cleanup_close_ int dir = -1;
    struct err err = ERR_INIT;
    int fd = -1;

    leads_to_file(state, "real/file");
    leads_to_file(state, "real/./../real//file");
    assert_ok(io_open_parent(file, &dir, &name, &err));
    assert_string_equal(name, "file");
    assert_int_equal(faccessat(dir, name, F_OK, 0), 0);
    assert_ok(io_real_path(new, &there, &err)); /* what is not there yet is a place, too */
    assert_string_equal(there, new);
    assert_fails(ENOENT, io_real_path(none, &dots, &err));
    assert_fails(ENOENT, io_open_folder(none, &fd, &err));
    assert_fails(ENOTDIR, io_real_path(through, &dots, &err));
    assert_fails(ENOENT, io_open_file(new, O_RDONLY, &err));
}

static void links_of_root_are_followed(void **state)
{
    _cleanup_free_ char *real = at(state, "real"), *new = at(state, "dangling"), *found = NULL, *want = at(state, "real/new");
    struct err err = ERR_INIT;

    make_link(state, "absolute", real, 0);
    make_link(state, "relative", "./real/../real", 0);
    make_link(state, "twice", "absolute/", 0);
    make_link(state, "to-file", "twice/file", 0);
    make_link(state, "dangling", "real/new", 0);
    leads_to_file(state, "absolute/file");
    leads_to_file(state, "relative/file");
    leads_to_file(state, "twice/file");
    leads_to_file(state, "to-file");
    assert_ok(io_real_path(new, &found, &err));
    assert_string_equal(found, want);
}

static void circles_end(void **state)
{
    _cleanup_free_ char *a = at(state, "a"), *below = at(state, "a/file"), *found = NULL;
    struct err err = ERR_INIT;

    make_link(state, "a", "b", 0);
    make_link(state, "b", "a", 0);
    assert_fails(ELOOP, io_real_path(a, &found, &err));
    assert_fails(ELOOP, io_real_path(below, &found, &err));
}

static void links_of_others_are_refused(void **state)
{
    _cleanup_free_ char *real = at(state, "real");

    if (geteuid() != 0)
        skip();
    make_folder(state, "theirs", OTHER, 0755);
    make_link(state, "theirs/folder", real, OTHER);
    make_link(state, "theirs/file", "../real/file", OTHER);
    make_link(state, "ours", "theirs/folder", 0);
    is_refused(state, "theirs/folder/file", "belongs to user 64777");
    is_refused(state, "theirs/file", "real/file");
    is_refused(state, "ours/file", "theirs/folder is a symbolic link");
}

static void links_that_others_can_exchange_are_refused(void **state)
{
    if (geteuid() != 0)
        skip();
    make_folder(state, "theirs", OTHER, 0755);
    make_folder(state, "open", 0, 0777);
    make_folder(state, "group", 0, 0775);
    make_folder(state, "sticky", 0, 01777);
    _cleanup_free_ char *group = at(state, "group");
    assert_int_equal(chown(group, 0, OTHER), 0);
    make_link(state, "theirs/x", "../real/file", 0); /* it was renamed to there */
    make_link(state, "open/x", "../real/file", 0);
    make_link(state, "group/x", "../real/file", 0);
    make_link(state, "sticky/x", "../real/file", 0);
    make_link(state, "sticky/y", "../real/file", OTHER);
    is_refused(state, "theirs/x", "other users can replace it");
    is_refused(state, "open/x", "other users can replace it");
    is_refused(state, "group/x", "other users can replace it");
    leads_to_file(state, "sticky/x");
    is_refused(state, "sticky/y", "belongs to user 64777");
}

static void folders_of_others_are_passed(void **state)
{
    if (geteuid() != 0)
        skip();
    make_folder(state, "theirs", OTHER, 0777);
    make_folder(state, "theirs/below", OTHER, 0777);
    _cleanup_free_ char *file = at(state, "theirs/below/x");
    struct err err = ERR_INIT;
    write_text(file, "x");
    _cleanup_close_ int fd = io_open_file(file, O_RDONLY, &err);
    assert_true(fd >= 0);
}

static void an_entry_is_what_it_is(void **state)
{
    _cleanup_free_ char *link = at(state, "link"), *file = at(state, "way/file"), *below = at(state, "way/link");
    struct err err = ERR_INIT;
    struct stat st;

    make_link(state, "link", "real/file", 0);
    make_link(state, "way", "real", 0);
    make_link(state, "real/link", "file", 0);
    assert_fails(ELOOP, io_open_entry(link, O_RDONLY, &err));
    assert_fails(ELOOP, io_open_entry(below, O_RDONLY, &err));
    _cleanup_close_ int entry = io_open_entry(link, O_PATH, &err), through = io_open_entry(below, O_PATH, &err);
    assert_int_equal(fstat(entry, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(fstat(through, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    _cleanup_close_ int fd = io_open_entry(file, O_RDONLY, &err);
    assert_true(fd >= 0);
}

static void nothing_leads_out_from_beneath(void **state)
{
    _cleanup_close_ int dir = -1;
    struct err err = ERR_INIT;

    make_link(state, "real/out", "..", 0);
    make_folder(state, "real/sub", 0, 0755);
    _cleanup_free_ char *file = at(state, "real/sub/x"), *real = at(state, "real");
    write_text(file, "x");
    assert_ok(io_open_folder(real, &dir, &err));
    _cleanup_close_ int fd = io_open_beneath(dir, "sub/x", O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(io_open_beneath(dir, "out/real/file", O_RDONLY) < 0, 1);
    assert_int_equal(io_open_beneath(dir, "../real/file", O_RDONLY), -EXDEV);
    assert_int_equal(io_open_beneath(dir, file, O_RDONLY), -EXDEV);
    assert_int_equal(io_open_beneath(dir, "none", O_RDONLY), -ENOENT);
}

static void kept_folder_is(void **state, const char *name, uid_t also, const char *want)
{
    _cleanup_free_ char *path = at(state, name), *found = NULL, *wanted = *want == '/' ? strdup(want) : at(state, want);
    struct err err = ERR_INIT;

    assert_ok(io_kept_folder(path, also, &found, &err));
    assert_string_equal(found, wanted);
}

static void kept_folders_are_found(void **state)
{
    if (geteuid() != 0)
        skip();
    make_folder(state, "ours", 0, 0711);
    make_folder(state, "ours/theirs", OTHER, 0755);
    make_folder(state, "ours/theirs/below", 0, 0755); /* may be renamed */
    make_folder(state, "ours/group", 0, 0770);
    _cleanup_free_ char *group = at(state, "ours/group");
    kept_folder_is(state, "ours/group", 0, "ours/group"); /* of group 0 */
    assert_int_equal(chown(group, 0, OTHER), 0);
    kept_folder_is(state, "ours", 0, "ours");
    kept_folder_is(state, "ours/theirs", 0, "ours");
    kept_folder_is(state, "ours/theirs", OTHER, "ours/theirs");
    kept_folder_is(state, "ours/theirs/below", 0, "ours");
    kept_folder_is(state, "ours/group", OTHER, "ours");
    make_link(state, "to-theirs", "ours/theirs", 0);
    kept_folder_is(state, "to-theirs", 0, "ours");
}

/* ---- Where the kernel has no openat2, or a filter lets nobody call it ---------------------------------------------------------*/

static bool forbid_openat2(unsigned why)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | why),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { ARRAY_SIZE(code), code };

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
           syscall(SYS_openat2, AT_FDCWD, "/", NULL, 0) < 0 && (unsigned)errno == why;
}

/* In a child, since a filter stays; what fails there is told by its exit code. */
static bool holds_without(void **state, unsigned why)
{
    _cleanup_free_ char *file = at(state, "link/file"), *planted = at(state, "planted/file"), *plain = at(state, "real/file");
    _cleanup_free_ char *found = NULL, *real = at(state, "real");
    struct err err = ERR_INIT;
    int dir = -1;

    if (!forbid_openat2(why))
        return false;
    bool good = io_real_path(file, &found, &err) == 0 && !strcmp(found, plain) && io_open_file(plain, O_RDONLY, &err) >= 0 &&
                io_open_entry(plain, O_RDONLY, &err) >= 0 && io_open_file(file, O_RDONLY, &err) >= 0;
    if (geteuid() == 0)
        good = good && io_open_file(planted, O_RDONLY, &err) == -EPERM && io_open_entry(planted, O_RDONLY, &err) == -EPERM;
    return good && io_open_folder(real, &dir, &err) == 0 && io_open_beneath(dir, "file", O_RDONLY) >= 0 &&
           io_open_beneath(dir, "../real/file", O_RDONLY) == -EXDEV && io_open_beneath(dir, "out/x", O_RDONLY) < 0 &&
           io_open_beneath(dir, "sub/x", O_RDONLY) >= 0;
}

static void it_holds_without_openat2(void **state)
{
    const unsigned whys[] = { ENOSYS, EPERM };
    size_t n = getenv("KVSS_TEST_VALGRIND") ? 1 : ARRAY_SIZE(whys); /* it lets no openat2 through, whatever a filter says */

    make_link(state, "link", "real", 0);
    make_link(state, "planted", "real", OTHER);
    make_link(state, "real/out", "sub", 0);
    make_folder(state, "real/sub", 0, 0755);
    _cleanup_free_ char *file = at(state, "real/sub/x");
    write_text(file, "x");
    for (size_t i = 0; i < n; i++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0)
            test_child_end(holds_without(state, whys[i]));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
#define in_dir(f) cmocka_unit_test_setup_teardown(f, setup, test_dir_teardown)
    const struct CMUnitTest tests[] = {
        in_dir(plain_paths_are_reached),
        in_dir(links_of_root_are_followed),
        in_dir(circles_end),
        in_dir(links_of_others_are_refused),
        in_dir(links_that_others_can_exchange_are_refused),
        in_dir(folders_of_others_are_passed),
        in_dir(an_entry_is_what_it_is),
        in_dir(nothing_leads_out_from_beneath),
        in_dir(kept_folders_are_found),
        in_dir(it_holds_without_openat2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
