/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's folder of a VM that runs, and the socket in it: which of several is the VM's, how long its name gets, what its removal
 * leaves alone. */
#include "test.h"
#include "hypervisor/domain/domain_dir.h"
#include "hypervisor/hypervisor.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static void make(const char *parent, const char *name)
{
    _cleanup_free_ char *path = io_path(parent, name);

    assert_int_equal(mkdir(path, 0700), 0);
}

static void assert_found(const char *parent, int id, const char *name, const char *wanted)
{
    _cleanup_free_ char *found = NULL;
    struct err err = ERR_INIT;

    assert_ok(domain_dir_find(parent, id, name, &found, &err));
    assert_string_equal(strrchr(found, '/') + 1, wanted);
}

static void looked_up(void **state)
{
    const char *parent = *state;
    struct err err = ERR_INIT;
    char *none = NULL;

    make(parent, "domain-1-web");                   /* of a host that crashed */
    make(parent, "domain-1-webserver-of-the-hous"); /* cut short */
    make(parent, "domain-11-webserver-of-the-hous");
    make(parent, "domain-2-web");
    make(parent, "domain-3-w\xc3\xa4hrung\xe2\x82\xac");
    make(parent, "domain-4-");
    make(parent, "save");
    assert_found(parent, 1, "webserver-of-the-house", "domain-1-webserver-of-the-hous");
    assert_found(parent, 11, "webserver-of-the-house", "domain-11-webserver-of-the-hous");
    assert_found(parent, 1, "web", "domain-1-web");
    assert_found(parent, 2, "web", "domain-2-web");
    assert_found(parent, 3, "w\xc3\xa4hrung\xe2\x82\xac-des-hauses", "domain-3-w\xc3\xa4hrung\xe2\x82\xac");
    assert_fails(ENOENT, domain_dir_find(parent, 2, "db", &none, &err));
    assert_fails(ENOENT, domain_dir_find(parent, 4, "web", &none, &err));
    assert_fails(ENOENT, domain_dir_find(parent, 5, "web", &none, &err));
    assert_fails(ENOENT, domain_dir_find("/nowhere", 1, "web", &none, &err));
    assert_null(none);
}

static void no_link(void **state)
{
    _cleanup_free_ char *link = io_path(*state, "domain-7-web");
    _cleanup_free_ char *file = io_path(*state, "domain-7-w");
    struct err err = ERR_INIT;
    char *none = NULL;

    assert_int_equal(symlink("/etc", link), 0);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    assert_fails(ENOENT, domain_dir_find(*state, 7, "web", &none, &err));
}

static void as_long_as_libvirts(void **state)
{
    char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
    _cleanup_free_ char *path = NULL;
    _cleanup_free_ char *other = NULL;
    struct err err = ERR_INIT;

    (void)state;
    /* the longest in which libvirt's own socket fits, with the slash and the end */
    memset(dir, 'd', sizeof(dir));
    dir[sizeof(dir) - sizeof("/monitor.sock")] = '\0';
    assert_ok(domain_dir_socket(dir, &path, &err));
    assert_int_equal(strlen(path), strlen(dir) + strlen("/monitor.sock"));
    assert_non_null(strstr(path, HV_BACKUP_MARK));
    assert_ok(domain_dir_socket("/x", &other, &err));
    assert_string_not_equal(strrchr(path, '/'), strrchr(other, '/'));
    free(TAKE_PTR(path));
    dir[strlen(dir)] = 'd';
    dir[sizeof(dir) - sizeof("/monitor.sock") + 1] = '\0';
    assert_fails(ENAMETOOLONG, domain_dir_socket(dir, &path, &err));
    assert_null(path);
}

static void make_socket(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0 && strlen(path) < sizeof(a.sun_path));
    strcpy(a.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
}

static void removed(void **state)
{
    _cleanup_free_ char *dir = io_path(*state, "domain-1-web");
    _cleanup_free_ char *path = io_path(dir, "kvss-1234567");
    _cleanup_free_ char *moved = io_path(*state, "elsewhere");
    struct err err = ERR_INIT;

    assert_ok(hv_backup_socket_remove(path, &err)); /* the folder went with the VM */
    make(*state, "domain-1-web");
    assert_ok(hv_backup_socket_remove(path, &err)); /* never made */
    make_socket(path);
    assert_ok(hv_backup_socket_remove(path, &err));
    assert_false(io_exists(path));

    /* what QEMU's user has put there instead */
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_ok(hv_backup_socket_remove(path, &err));
    assert_true(io_exists(path));
    assert_int_equal(unlink(path), 0);
    make_socket(path);
    assert_int_equal(rename(dir, moved), 0);
    assert_int_equal(symlink(moved, dir), 0);
    assert_ok(hv_backup_socket_remove(path, &err));
    assert_true(io_exists(path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(looked_up, test_dir_setup, test_dir_teardown),
        cmocka_unit_test_setup_teardown(no_link, test_dir_setup, test_dir_teardown),
        cmocka_unit_test(as_long_as_libvirts),
        cmocka_unit_test_setup_teardown(removed, test_dir_setup, test_dir_teardown),
    };
    return cmocka_run_group_tests_name("hv_domain_dir", tests, NULL, NULL);
}
