/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a confined program can and cannot do. What it cannot for lack of namespaces (an ordinary user, a container) is left out. */
#include "base/confine.h"
#include "base/proc.h"
#include "test.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#define SH(script) PROC_ARGV("sh", "-c", (script))
#define NOBODY 65534

/* Exit code; what it lacked is in *lacks. fds: its descriptors 3 and 4; NULL: none. */
static int run(char *const *argv, bool write, const int *fds, struct buf *out, unsigned *lacks)
{
    const struct confine c = { .uid = NOBODY, .gid = NOBODY, .write = write, .ret_lacks = lacks };
    const struct proc_run r = { .argv = argv, .out_max = 1 << 16, .timeout_ms = 60000, .pass = fds, .n_pass = fds ? 2 : 0, .confine = &c };
    struct err err = ERR_INIT;
    int status = -1;

    assert_ok(proc_run(&r, out, NULL, &status, &err));
    return status;
}

static void write_bytes(const char *path, const void *p, size_t n, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

    assert_true(fd >= 0);
    assert_int_equal(io_write(fd, p, n), 0);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    write_bytes(path, text, strlen(text), mode);
}

static void open_two(const char *dir, int fds[2])
{
    _cleanup_free_ char *a = io_path(dir, "a"), *b = io_path(dir, "b");

    write_file(a, "one", 0600); /* nobody else's to read */
    write_file(b, "two", 0600);
    assert_true((fds[0] = open(a, O_PATH | O_CLOEXEC)) >= 0);
    assert_true((fds[1] = open(b, O_PATH | O_CLOEXEC)) >= 0);
}

static void it_reads_and_writes_what_it_was_handed(void **state)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    unsigned lacks = 0;
    int fds[2];

    open_two(*state, fds);
    assert_int_equal(run(SH("cat /proc/self/fd/3 /proc/self/fd/4"), false, fds, &out, &lacks), 0);
    assert_string_equal((char *)out.data, "onetwo");
    assert_int_equal(run(SH("echo three > /proc/self/fd/4 && cat /proc/self/fd/4"), true, fds, &out, &lacks), 0);
    assert_string_equal((char *)out.data, "three\n");
    if (!(lacks & CONFINE_LANDLOCK)) /* nothing else tells reading from writing where it owns the file or may open all */
        assert_int_not_equal(run(SH("echo four > /proc/self/fd/4"), false, fds, NULL, &lacks), 0);
    close(fds[0]);
    close(fds[1]);
}

static void it_reaches_no_other_file(void **state)
{
    _cleanup_free_ char *path = io_path(*state, "open"), *script = str_format("cat '%s'", path);
    unsigned lacks = 0;

    write_file(path, "x", 0644);
    assert_int_equal(chmod(*state, 0755), 0);
    int status = run(SH(script), false, NULL, NULL, &lacks);
    if ((lacks & CONFINE_ROOT) && (lacks & CONFINE_LANDLOCK))
        skip();
    assert_int_not_equal(status, 0);
}

static void calls_that_no_such_program_needs_are_refused(void **state)
{
    unsigned lacks = 0;

    (void)state;
    int status = run(SH("unshare -U true"), false, NULL, NULL, &lacks);
    if (lacks & CONFINE_SECCOMP)
        skip();
    assert_int_not_equal(status, 0);
    assert_int_not_equal(run(SH("sleep 5 & kill $!"), false, NULL, NULL, &lacks), 0);
    assert_int_equal(run(SH("kill -KILL $$"), false, NULL, NULL, &lacks), 128 + SIGKILL);
}

/* "/opt/qemu/bin" is no system folder. */
static void a_program_is_found_wherever_it_is(void **state)
{
    _cleanup_free_ char *path = io_path(*state, "program");
    _cleanup_buf_ struct buf out = BUF_INIT;
    unsigned lacks = 0;

    write_file(path, "#!/bin/sh\necho here\n", 0755);
    assert_int_equal(chmod(*state, 0755), 0);
    assert_int_equal(run(PROC_ARGV(path), false, NULL, &out, &lacks), 0);
    assert_string_equal((char *)out.data, "here\n");
}

/* Its interpreter lies where it cannot reach. */
static void a_program_that_cannot_start_so_is_started_without(void **state)
{
    _cleanup_free_ char *dir = io_path(*state, "elsewhere"), *sh = io_path(dir, "sh"), *path = io_path(*state, "program");
    _cleanup_free_ char *script = str_format("#!%s\necho here\n", sh);
    _cleanup_buf_ struct buf out = BUF_INIT, shell = BUF_INIT;
    struct err err = ERR_INIT;
    unsigned lacks = 0;

    assert_int_equal(mkdir(dir, 0755), 0);
    assert_ok(io_read_file("/bin/sh", 64 << 20, &shell, &err));
    write_bytes(sh, shell.data, shell.len, 0755);
    write_file(path, script, 0755);
    assert_int_equal(chmod(*state, 0755), 0);
    assert_int_equal(run(PROC_ARGV(path), false, NULL, &out, &lacks), 0);
    assert_string_equal((char *)out.data, "here\n");
}

static void a_socket_is_handed_over_as_systemd_does(void **state)
{
    const struct confine c = { .uid = NOBODY, .gid = NOBODY };
    const struct proc_run r = {
        .argv = SH("test \"$LISTEN_PID\" = $$"), .env = (char *[]){ (char *)PROC_LISTEN_PID_ROOM, NULL }, .timeout_ms = 60000, .confine = &c
    };
    struct err err = ERR_INIT;
    int status = -1;

    (void)state;
    assert_ok(proc_run(&r, NULL, NULL, &status, &err));
    assert_int_equal(status, 0);
}

static void what_is_not_there_is_named(void **state)
{
    const struct confine c = { 0 };
    const struct proc_run r = { .argv = PROC_ARGV("kvss-no-such-program"), .confine = &c };
    struct err err = ERR_INIT;
    int status = -1;

    (void)state;
    assert_fails(ENOENT, proc_run(&r, NULL, NULL, &status, &err));
    assert_non_null(strstr(err.text, "kvss-no-such-program"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(it_reads_and_writes_what_it_was_handed),
        test_in_dir(it_reaches_no_other_file),
        cmocka_unit_test(calls_that_no_such_program_needs_are_refused),
        test_in_dir(a_program_is_found_wherever_it_is),
        test_in_dir(a_program_that_cannot_start_so_is_started_without),
        cmocka_unit_test(a_socket_is_handed_over_as_systemd_does),
        cmocka_unit_test(what_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
