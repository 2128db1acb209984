/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Locks and many writers: none loses a restore point; a lock tells its owner; one whose owner is dead is removed. Issue 3, 6. */
#include "store_test.h"
#include "store/lock/lock_session.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static size_t count_locks(const char *repo)
{
    char *path = io_path(repo, "locks");
    DIR *d = opendir(path);
    size_t n = 0;

    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    free(path);
    return n;
}

/* A writer that is killed with its lock standing. To be called while no repository is open: a fork beside worker threads may copy
   a locked allocator (AddressSanitizer's does not get ready for a fork), and the child would wait for it for ever. */
static void leave_lock(const char *path)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        struct store_open o = { .threads = 1 };
        struct store_writer *w;
        struct store *s;
        if (store_open(path, &o, &s, NULL) == 0 && store_write_begin(s, &w, NULL) == 0)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static void the_lock_of_a_dead_process_is_removed(void **state)
{
    char *path = io_path(*state, "repo"), id[STORE_ID_LEN + 1];
    struct store_lock_info *list;
    struct err err = ERR_INIT;
    size_t n;

    store_close(test_repo(*state, false));
    leave_lock(path);
    assert_int_equal(count_locks(path), 1);
    struct store *s = test_open(path, false);
    assert_ok(store_lock_list(s, &list, &n, &err));
    assert_int_equal(n, 1);
    assert_true(list[0].stale && !list[0].maintenance);
    assert_non_null(strstr(list[0].owner, "backup, host "));
    free(list);
    test_backup(s, "x", 1, NULL, id);
    assert_int_equal(count_locks(path), 0);
    store_close(s);
    leave_lock(path);
    assert_int_equal(count_locks(path), 1);
    s = test_open(path, false);
    struct store_prune o = { 0 };
    struct store_prune_result r;
    assert_ok(store_prune(s, &o, &r, &err));
    assert_int_equal(r.bytes_later, 0);
    assert_int_equal(count_locks(path), 0);
    store_close(s);
    free(path);
}

static void a_live_lock_of_another_host_stays(void **state)
{
    struct err err = ERR_INIT;
    char *path = io_path(*state, "repo"), *lock = io_path(*state, "repo/locks/00112233445566778899aabbccddeeff");
    const char *text = "kvss lock 1\nkind=session\npurpose=backup\nhost=web\nboot=other\npid=1\nstart=1\npidns=1\nsince=2026\n";
    char id[STORE_ID_LEN + 1];

    struct store *s = test_repo(*state, false);
    test_lock(s, lock, text);
    test_backup(s, "x", 1, NULL, id);
    assert_true(io_exists(lock));
    assert_ok(io_replace_file(lock, "rubbish", 7, 0600, &err)); /* damaged: counts as live until it is old */
    test_backup(s, "y", 1, NULL, id);
    assert_true(io_exists(lock));
    struct timespec old[2] = { { .tv_sec = time(NULL) - LOCK_STALE_S - 10 }, { .tv_sec = time(NULL) - LOCK_STALE_S - 10 } };
    assert_int_equal(utimensat(-1, lock, old, 0), 0);
    test_backup(s, "z", 1, NULL, id);
    assert_false(io_exists(lock));
    store_close(s);
    free(lock);
    free(path);
}

/* A writer whose lock was taken away must not commit: a prune may have run without knowing of it. */
static void a_lost_lock_ends_the_backup(void **state)
{
    struct err err = ERR_INIT;
    struct store *s = test_repo(*state, false);
    struct store_point_info *list;
    struct store_writer *w;
    char id[STORE_ID_LEN + 1];
    size_t n;

    assert_ok(store_write_begin(s, &w, &err));
    assert_ok(store_unlock(s, true, &n, &err));
    assert_int_equal(n, 1);
    assert_fails(ESTALE, store_write_commit(w, "{}", id, &err));
    assert_ok(store_list(s, &list, &n, NULL, &err));
    assert_int_equal(n, 0);
    store_list_free(list, n);
    test_backup(s, "x", 1, NULL, id);
    store_close(s);
}

#define WRITERS 4
#define POINTS 5

/* Whatever a prune does to the index meanwhile; only between its new index and its look at new points it may have to be waited for. */
static void read_by_others(const char *path, const char *id, const uint8_t *want)
{
    uint8_t *got = malloc(20 * CHUNK);
    int r = -EUCLEAN;

    for (unsigned i = 0; i < 300 && r == -EUCLEAN; i++) {
        struct store *s = test_open(path, test_encrypted());
        struct store_image *im = NULL;
        struct store_point *p;
        r = store_point_open(s, id, &p, NULL);
        assert_int_equal(r, 0);
        r = store_image_open(p, "disk", &im, NULL);
        if (r == 0)
            r = store_image_read(im, 0, got, 20 * CHUNK, NULL);
        store_image_close(im);
        store_point_close(p);
        store_close(s);
        if (r < 0)
            usleep(100000);
    }
    assert_int_equal(r, 0);
    assert_memory_equal(got, want, 20 * CHUNK);
    free(got);
}

static void one_writer(const char *path, unsigned number)
{
    uint8_t *data = malloc(20 * CHUNK);
    char id[STORE_ID_LEN + 1];

    for (unsigned i = 0; i < POINTS; i++) {
        struct store *s = test_open(path, test_encrypted());
        fill(data, 20 * CHUNK, i); /* all want to store the same, */
        data[0] = (uint8_t)number; /* nearly */
        data[19 * CHUNK] = (uint8_t)number;
        test_backup(s, data, 20 * CHUNK, NULL, id);
        test_same(s, id, data, 20 * CHUNK);
        store_close(s);
        read_by_others(path, id, data);
    }
    free(data);
}

static void many_writers_lose_nothing(void **state)
{
    char *path = io_path(*state, "repo");
    struct store_point_info *list;
    struct err err = ERR_INIT;
    int status;
    size_t n;

    store_close(test_repo(*state, test_encrypted()));
    for (unsigned i = 0; i < WRITERS; i++) { /* before there are threads, as in leave_lock() */
        if (fork() == 0) {
            one_writer(path, i);
            test_child_end(true);
        }
    }
    struct store *s = test_open(path, test_encrypted());
    /* and a prune every now and then */
    for (unsigned i = 0; i < WRITERS;) {
        struct store_prune o = { 0 };
        struct store_prune_result r;
        assert_ok(store_prune(s, &o, &r, &err));
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) {
            usleep(20000);
            continue;
        }
        assert_int_equal(status, 0);
        i++;
    }
    assert_ok(store_list(s, &list, &n, NULL, &err));
    assert_int_equal(n, WRITERS * POINTS);
    store_list_free(list, n);
    test_clean(s);
    store_close(s);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir_forking(the_lock_of_a_dead_process_is_removed),
        test_in_dir(a_live_lock_of_another_host_stays),
        test_in_dir(a_lost_lock_ends_the_backup),
        test_in_dir_forking(many_writers_lose_nothing),
    };

    return cmocka_run_group_tests_name("store_lock", tests, NULL, NULL);
}
