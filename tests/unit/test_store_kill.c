/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kill -9 at random moments of backup, forget, prune and copy. After each: everything checks clean to the last byte, every point
 * that was committed is there and reads as it was written, and the next backup works without help.
 * KVSS_TEST_ROUNDS: how often (10; 200 with KVSS_TEST_FULL; 1 under valgrind). */
#include "store_test.h"
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define CHUNKS 160
#define N (CHUNKS * CHUNK)
#define LOGGED 4096

enum doing { OPENING, BACKUP, COPY, FORGET, PRUNE, KINDS };

/* What the killed process had done and was doing, as it said while it lived. */
struct diary {
    atomic_uint committed, forgetting, doing;
    char commit[LOGGED][STORE_ID_LEN + 1];
    char forget[LOGGED][STORE_ID_LEN + 1];
};

/* The contents of an image follow from a number: some chunks are its own, some of its family's, some of all. */
static void image_of(uint64_t number, uint8_t *p)
{
    for (uint64_t i = 0; i < CHUNKS; i++) {
        uint64_t seed = i % 16 == number % 16 ? 1000000 + number * CHUNKS + i : i % 3 ? i : 1000 * (number % 4 + 1) + i;
        if (i % 7 == 6)
            memset(p + i * CHUNK, 0, CHUNK);
        else
            fill(p + i * CHUNK, CHUNK, seed);
    }
}

static void backup(struct store *s, uint64_t number, const char *parent, uint64_t parent_number, char *id)
{
    uint8_t *p = malloc(N), *old = malloc(N);
    char meta[32];
    struct store_image_writer *iw;
    struct store_writer *w;
    struct err err = ERR_INIT;

    image_of(number, p);
    image_of(parent_number, old);
    snprintf(meta, sizeof meta, "%llu", (unsigned long long)number);
    assert_ok(store_write_begin(s, &w, &err));
    assert_ok(store_write_document(w, "doc", p, CHUNK + 5, &err));
    assert_ok(store_image_begin(w, "disk", N, parent, "disk", &iw, &err));
    for (size_t i = 0; i < N; i += CHUNK)
        if (!parent || memcmp(p + i, old + i, CHUNK) != 0)
            assert_ok(store_image_write(iw, i, p + i, CHUNK, &err));
    assert_ok(store_image_end(iw, NULL, &err));
    assert_ok(store_write_commit(w, meta, id, &err));
    free(p);
    free(old);
}

static uint64_t number_of(const struct store_point_info *p)
{
    return strtoull(p->meta, NULL, 10);
}

static void forget_some(struct store *s, struct diary *d, uint64_t *seed)
{
    struct store_point_info *list;
    struct err err = ERR_INIT;
    size_t n;

    assert_ok(store_list(s, &list, &n, NULL, &err));
    for (size_t i = 0; i + 4 < n; i++) {
        const char *id = list[rnd(seed) % n].id;
        strcpy(d->forget[d->forgetting], id);
        atomic_fetch_add(&d->forgetting, 1);
        assert_ok(store_forget(s, &id, 1, &err));
    }
    store_list_free(list, n);
}

static void work(const char *path, const char *other, struct diary *d, uint64_t seed)
{
    struct store *s = test_open(path, true), *to = test_open(other, true);
    struct err err = ERR_INIT;

    d->doing = OPENING;
    for (;;) {
        struct store_point_info *list;
        struct store_prune o = { 0 };
        struct store_prune_result r;
        char id[STORE_ID_LEN + 1];
        size_t n;
        assert_ok(store_list(s, &list, &n, NULL, &err));
        bool full = n == 0 || rnd(&seed) % 3 == 0;
        d->doing = BACKUP;
        backup(s, rnd(&seed) % 1000, full ? NULL : list[n - 1].id, full ? 0 : number_of(&list[n - 1]), id);
        strcpy(d->commit[d->committed], id);
        atomic_fetch_add(&d->committed, 1);
        if (rnd(&seed) % 2) {
            d->doing = COPY;
            assert_true(store_copy_point(s, id, to, NULL, id, &err) >= 0);
        }
        store_list_free(list, n);
        d->doing = FORGET;
        forget_some(s, d, &seed);
        d->doing = PRUNE;
        assert_ok(store_prune(s, &o, &r, &err));
        if (d->committed > LOGGED - 10)
            _exit(0);
    }
}

/* A random moment of the kind of work that is wanted; where that is short or does not come, of what comes then. */
static void wait_for_moment(struct diary *d, enum doing wanted, uint64_t *seed)
{
    uint64_t random = rnd(seed);

    for (unsigned i = 0; i < 50000 && d->doing != wanted; i++)
        usleep(100);
    usleep((useconds_t)(random % (random % 4 ? 30000 : 400000)));
}

/* Every point of the repository reads as its number says; all of `ids` that nobody may have forgotten are there. */
static void examine(const char *path, const struct diary *d)
{
    struct store *s = test_open(path, true);
    struct store_point_info *list;
    struct err err = ERR_INIT;
    uint8_t *want = malloc(N);
    size_t n, bad;

    test_clean(s);
    assert_ok(store_list(s, &list, &n, &bad, &err));
    assert_int_equal(bad, 0);
    for (size_t i = 0; i < n; i++) {
        image_of(number_of(&list[i]), want);
        test_same(s, list[i].id, want, N);
    }
    for (unsigned i = 0; d && i < d->committed; i++) {
        bool found = false;
        for (size_t k = 0; k < n; k++)
            found |= strcmp(list[k].id, d->commit[i]) == 0;
        for (unsigned k = 0; k < d->forgetting; k++)
            found |= strcmp(d->forget[k], d->commit[i]) == 0;
        assert_true(found);
    }
    store_list_free(list, n);
    store_close(s);
    free(want);
}

static void killed_at_any_moment(void **state)
{
    const char *text = getenv("KVSS_TEST_ROUNDS"), *how = getenv("KVSS_TEST_FULL");
    unsigned killed[KINDS] = { 0 }, rounds = text ? (unsigned)atoi(text) : getenv("KVSS_TEST_VALGRIND") ? 1 : how ? 200 : 10;
    struct diary *d = mmap(NULL, sizeof *d, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *path = io_path(*state, "repo"), *other = io_path(*state, "other/x"), *up = io_path(*state, "other");
    struct err err = ERR_INIT;
    uint64_t seed = 20261122;

    assert_ok(io_mkdir_p(up, 0700, &err));
    store_close(test_repo(*state, true));
    struct store_init init = test_init(true);
    assert_ok(store_create(other, &init, &err));
    for (unsigned i = 0; i < rounds; i++) {
        static const enum doing all[] = { BACKUP, PRUNE, COPY };
        int status;
        uint64_t child_seed = rnd(&seed);
        d->doing = OPENING;
        pid_t pid = fork();
        if (pid == 0)
            work(path, other, d, child_seed);
        wait_for_moment(d, all[i % 3], &seed);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        killed[d->doing]++;
        examine(path, d);
        examine(other, NULL);
        struct store *s = test_open(path, true);
        char id[STORE_ID_LEN + 1];
        backup(s, 77, NULL, 0, id);
        store_close(s);
        strcpy(d->commit[0], id);
        d->committed = 1;
        d->forgetting = 0;
    }
    print_message("killed in backup %u, copy %u, forget %u, prune %u\n", killed[BACKUP], killed[COPY], killed[FORGET], killed[PRUNE]);
    assert_true(rounds < 100 || (killed[BACKUP] > rounds / 20 && killed[COPY] > rounds / 20 && killed[PRUNE] > rounds / 20));
    munmap(d, sizeof *d);
    free(path);
    free(other);
    free(up);
}

int main(void)
{
    const struct CMUnitTest tests[] = { test_in_dir_forking(killed_at_any_moment) };

    return cmocka_run_group_tests_name("store_kill", tests, NULL, NULL);
}
