/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/num.h"
#include "test.h"
#include <fcntl.h>
#include <sys/stat.h>

static char *in_dir(void **state, const char *name)
{
    char *p = io_path(*state, name);

    assert_non_null(p);
    return p;
}

/* 8 MiB with data at 1 MiB and at the last byte. */
static void make_sparse(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_int_equal(io_pwrite(fd, "data", 4, MIB), 0);
    assert_int_equal(io_pwrite(fd, "z", 1, 8 * MIB - 1), 0);
    assert_int_equal(fsync(fd), 0);
}

static void copies_keep_contents_mode_and_holes(void **state)
{
    _cleanup_free_ char *src = in_dir(state, "src");
    _cleanup_free_ char *dst = in_dir(state, "dst");
    _cleanup_buf_ struct buf a = BUF_INIT, b = BUF_INIT;
    struct err err = ERR_INIT;
    struct stat st;

    make_sparse(src);
    assert_ok(io_copy_file(src, dst, 0640, &err));
    assert_int_equal(stat(dst, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_size, 8 * MIB);
    assert_true(st.st_blocks * 512 < (off_t)MIB);
    assert_ok(io_read_file(src, 16 * MIB, &a, &err));
    assert_ok(io_read_file(dst, 16 * MIB, &b, &err));
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
}

static void copies_of_nothing_and_of_a_hole(void **state)
{
    _cleanup_free_ char *src = in_dir(state, "src");
    _cleanup_free_ char *empty = in_dir(state, "empty");
    _cleanup_free_ char *hole = in_dir(state, "hole");
    struct err err = ERR_INIT;
    struct stat st;

    write_text(src, "");
    assert_ok(io_copy_file(src, empty, 0600, &err));
    assert_int_equal(stat(empty, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(truncate(src, 12345), 0);
    assert_ok(io_copy_file(src, hole, 0600, &err));
    assert_int_equal(stat(hole, &st), 0);
    assert_int_equal(st.st_size, 12345);
    assert_int_equal(st.st_blocks, 0);
}

static void copies_never_overwrite_and_leave_no_half(void **state)
{
    _cleanup_free_ char *src = in_dir(state, "src");
    _cleanup_free_ char *dst = in_dir(state, "dst");
    _cleanup_free_ char *other = in_dir(state, "other");
    struct err err = ERR_INIT;

    write_text(src, "src");
    write_text(dst, "dst");
    assert_fails(EEXIST, io_copy_file(src, dst, 0600, &err));
    assert_file_text(dst, "dst");
    assert_fails(EISDIR, io_copy_file(*state, other, 0600, &err));
    assert_false(io_exists(other));
    assert_fails(EINVAL, io_copy_file("/dev/zero", other, 0600, &err));
    assert_false(io_exists(other));
}

static void a_second_name_or_else_a_copy(void **state)
{
    _cleanup_free_ char *src = in_dir(state, "src");
    _cleanup_free_ char *name = in_dir(state, "name");
    _cleanup_free_ char *elsewhere = str_format("/dev/shm/kvss-unit-%d", (int)getpid());
    struct err err = ERR_INIT;
    struct stat a, b;

    write_text(src, "src");
    assert_ok(io_link_or_copy(src, name, 0600, &err));
    assert_int_equal(stat(src, &a), 0);
    assert_int_equal(stat(name, &b), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    assert_fails(EEXIST, io_link_or_copy(src, name, 0600, &err));
    struct stat shm;
    if (stat("/dev/shm", &shm) < 0 || shm.st_dev == a.st_dev)
        skip();
    assert_ok(io_link_or_copy(src, elsewhere, 0600, &err));
    assert_file_text(elsewhere, "src");
    unlink(elsewhere);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(copies_keep_contents_mode_and_holes),
        test_in_dir(copies_of_nothing_and_of_a_hole),
        test_in_dir(copies_never_overwrite_and_leave_no_half),
        test_in_dir(a_second_name_or_else_a_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
