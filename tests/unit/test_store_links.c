/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A link in the place of a folder of the repository: of somebody else it leads nowhere, nothing is written or deleted where it points; an
 * administrator's own works. */
#include "store_test.h"
#include "store/lock/lock_session.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define N (4 * CHUNK)
#define STRANGER 64777

static size_t entries(const char *path)
{
    DIR *d = opendir(path);
    size_t n = 0;

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* Moves the folder away and puts a link to it there. */
static void put_link(const char *repo, const char *folder, const char *away, uid_t owner)
{
    _cleanup_free_ char *path = io_path(repo, folder);

    assert_int_equal(rename(path, away), 0);
    assert_int_equal(symlink(away, path), 0);
    assert_int_equal(lchown(path, owner, owner), 0);
}

static void put_back(const char *repo, const char *folder, const char *away)
{
    _cleanup_free_ char *path = io_path(repo, folder);

    assert_int_equal(unlink(path), 0);
    assert_int_equal(rename(away, path), 0);
}

static void links_of_others_are_not_followed(void **state)
{
    static const char *const folders[] = { "locks", "tmp", "gc", "points", "index", "packs" };
    _cleanup_free_ char *repo = io_path(*state, "repo"), *away = io_path(*state, "away");
    _cleanup_free_ char *old = io_path(away, "old"), *data = calloc(1, N);
    char id[STORE_ID_LEN + 1];
    struct err err = ERR_INIT;

    if (geteuid() != 0)
        skip();
    struct store *s = test_repo(*state, false);
    test_backup(s, (uint8_t *)data, N, NULL, id);
    store_close(s);
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        put_link(repo, folders[i], away, STRANGER);
        write_text(old, "not kvss's");
        assert_int_equal(utimensat(AT_FDCWD, old, (struct timespec[2]){ { 1, 0 }, { 1, 0 } }, 0), 0);
        size_t before = entries(away);
        struct store_open o = { 0 };
        struct store_prune_result r;
        if (store_open(repo, &o, &s, &err) == 0) {
            assert_true(store_prune(s, &(struct store_prune){ 0 }, &r, &err) < 0);
            backend_dir_tidy(s->env.backend, 1000000);
            store_close(s);
        }
        assert_int_equal(entries(away), before);
        assert_int_equal(unlink(old), 0);
        put_back(repo, folders[i], away);
    }
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        put_link(repo, folders[i], away, 0);
        s = test_open(repo, false);
        memset(data, (int)i + 1, N);
        test_backup(s, (uint8_t *)data, N, NULL, id);
        test_same(s, id, (uint8_t *)data, N);
        store_close(s);
        put_back(repo, folders[i], away);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(links_of_others_are_not_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
