/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a host remembers of a repository: meeting it again, and what must not be believed (B3, B4). */
#include "test.h"

#include "base/io.h"
#include "requester/repository/known.h"
#include "requester/repository/repository.h"
#include <dirent.h>
#include <sys/stat.h>

#define VM "0b0a2f3e-7c11-4a7e-9d9c-1f2a3b4c5d6e"

/* Without encryption: no passphrase costs time. */
static char *repository(const char *dir, const char *name, bool encrypted)
{
    struct store_init init = { .no_encryption = !encrypted, .scrypt_log_n = 10 };
    char *path = io_path(dir, name);
    struct err err = ERR_INIT;

    if (encrypted)
        init.key.passphrase = "a test";
    assert_ok(store_create(path, &init, &err));
    return path;
}

static void host(struct requester *rq, const char *known, const char *path, bool encrypted)
{
    *rq = (struct requester){ .config = { .repository = path, .known_dir = known, .passphrase = encrypted ? "a test" : NULL } };
}

static void leave(struct requester *rq)
{
    store_close(TAKE_PTR(rq->store));
    known_free(TAKE_PTR(rq->known));
    rq->end = REQUESTER_DONE;
}

/* A backup as far as the memory is concerned. */
static void make_point(struct requester *rq, int64_t made, const char *checkpoint, char id[static STORE_ID_LEN + 1])
{
    _cleanup_json_ json_t *report =
        json_pack("{s:I, s:[{s:s, s:s}]}", "made_us", (json_int_t)made, "vms", "uuid", VM, "checkpoint", checkpoint);
    _cleanup_free_ char *meta = json_dumps(report, JSON_COMPACT);
    struct store_writer *w;
    struct err err = ERR_INIT;

    assert_ok(store_write_begin(rq->store, &w, &err));
    assert_ok(store_write_prepare(w, meta, id, &err));
    known_note_prepared(rq, id, report);
    assert_ok(store_write_publish(w, &err));
    known_note_made(rq, id);
}

static void hide(const char *path, const char *id, bool back)
{
    _cleanup_free_ char *there = str_format("%s/points/%s", path, id), *away = str_format("%s/%s", path, id);

    assert_int_equal(back ? rename(away, there) : rename(there, away), 0);
}

static void b3_a_hidden_newest_point_forbids_to_write(void **state)
{
    _cleanup_free_ char *known = io_path(*state, "known"), *path = repository(*state, "repository", true);
    char one[STORE_ID_LEN + 1], two[STORE_ID_LEN + 1];
    struct requester rq;
    struct err err = ERR_INIT;

    host(&rq, known, path, true);
    assert_ok(repository_open_for(&rq, KNOWN_CHANGE, &err));
    make_point(&rq, 1000, "kvss-1", one);
    make_point(&rq, 2000, "kvss-2", two);
    leave(&rq);
    hide(path, two, false);
    assert_fails(EPERM, repository_open_for(&rq, KNOWN_CHANGE, &err));
    assert_int_equal(rq.end, REQUESTER_REFUSED);
    leave(&rq);
    assert_ok(repository_open_for(&rq, KNOWN_LOOK, &err));
    assert_true(rq.known->rolled_back);
    leave(&rq);
    hide(path, two, true);
    assert_ok(repository_open_for(&rq, KNOWN_CHANGE, &err));
    assert_int_equal(json_array_size(rq.known->missing), 0);
    assert_int_equal(known_owns(&rq, two, VM, "kvss-2"), 1);
    assert_int_equal(known_owns(&rq, one, VM, "kvss-2"), 0);
    assert_int_equal(known_owns(&rq, two, VM, "kvss-3"), -1);
    leave(&rq);
    hide(path, two, false);
    rq.config.accept_rollback = true;
    assert_ok(repository_open_for(&rq, KNOWN_CHANGE, &err));
    leave(&rq);
    rq.config.accept_rollback = false;
    assert_ok(repository_open_for(&rq, KNOWN_CHANGE, &err));
    leave(&rq);
}

static void b3_what_this_host_forgot_is_not_missed(void **state)
{
    _cleanup_free_ char *known = io_path(*state, "known"), *path = repository(*state, "repository", false);
    char id[STORE_ID_LEN + 1], *ids[] = { id, NULL };
    struct requester rq;
    struct err err = ERR_INIT;

    host(&rq, known, path, false);
    assert_ok(repository_open_for(&rq, KNOWN_CHANGE, &err));
    make_point(&rq, 1000, "kvss-1", id);
    known_note_forgotten(&rq, ids);
    known_note_kept(&rq, ids); /* it failed */
    leave(&rq);
    assert_ok(repository_open(&rq, &err));
    assert_int_equal(json_array_size(rq.known->returned), 0);
    known_note_forgotten(&rq, ids);
    leave(&rq);
    assert_ok(repository_open(&rq, &err));
    assert_int_equal(json_array_size(rq.known->returned), 1); /* still there: somebody has put it back */
    leave(&rq);
    hide(path, id, false);
    assert_ok(repository_open_for(&rq, KNOWN_CHANGE, &err));
    assert_int_equal(json_array_size(rq.known->returned) + json_array_size(rq.known->missing), 0);
    leave(&rq);
}

static void b3_another_repository_in_its_place_is_refused(void **state)
{
    _cleanup_free_ char *known = io_path(*state, "known"), *path = repository(*state, "repository", true), *away = io_path(*state, "away");
    struct requester rq;
    struct err err = ERR_INIT;

    host(&rq, known, path, true);
    assert_ok(repository_open(&rq, &err));
    leave(&rq);
    for (int encrypted = 0; encrypted < 2; encrypted++) {
        assert_int_equal(rename(path, away), 0);
        _cleanup_free_ char *other = repository(*state, "repository", encrypted);
        rq.config.passphrase = encrypted ? "a test" : NULL;
        assert_fails(EPERM, repository_open_for(&rq, KNOWN_CHANGE, &err));
        leave(&rq);
        assert_fails(EPERM, repository_open_for(&rq, KNOWN_TRUST, &err));
        leave(&rq);
        assert_ok(repository_open(&rq, &err));
        assert_non_null(rq.known->strange);
        leave(&rq);
        assert_ok(io_remove_tree(other, &err));
        assert_int_equal(rename(away, path), 0);
    }
    rq.config.passphrase = "a test";
    rq.config.repository = away; /* a known one that was moved */
    assert_int_equal(rename(path, away), 0);
    assert_ok(repository_open_for(&rq, KNOWN_CHANGE, &err));
    leave(&rq);
}

static void b3_encryption_can_be_demanded(void **state)
{
    _cleanup_free_ char *known = io_path(*state, "known"), *path = repository(*state, "repository", false);
    struct requester rq;
    struct err err = ERR_INIT;

    host(&rq, known, path, false);
    rq.config.encryption_required = true;
    assert_fails(EPERM, repository_open(&rq, &err));
    assert_null(rq.store);
}

/* Killed between the two notes: it was published, or it was not. */
static void b4_a_point_that_was_only_prepared(void **state)
{
    _cleanup_free_ char *known = io_path(*state, "known"), *path = repository(*state, "repository", false);
    _cleanup_json_ json_t *report = json_pack("{s:I, s:[{s:s, s:s}]}", "made_us", (json_int_t)5, "vms", "uuid", VM, "checkpoint", "kvss-9");
    char id[STORE_ID_LEN + 1], never[STORE_ID_LEN + 1];
    struct requester rq;
    struct store_writer *w;
    struct err err = ERR_INIT;

    host(&rq, known, path, false);
    assert_ok(repository_open_for(&rq, KNOWN_CHANGE, &err));
    assert_ok(store_write_begin(rq.store, &w, &err));
    assert_ok(store_write_commit(w, "{}", id, &err));
    known_note_prepared(&rq, id, report);
    memset(never, 'e', STORE_ID_LEN);
    never[STORE_ID_LEN] = '\0';
    known_note_prepared(&rq, never, report);
    leave(&rq);
    for (int i = 0; i < 2; i++) {
        assert_ok(repository_open_for(&rq, KNOWN_CHANGE, &err));
        assert_int_equal(json_array_size(rq.known->missing), 0);
        assert_int_equal(known_owns(&rq, id, VM, "kvss-9"), 1);
        leave(&rq);
    }
    hide(path, id, false);
    assert_fails(EPERM, repository_open_for(&rq, KNOWN_CHANGE, &err));
    leave(&rq);
}

static void b3_a_damaged_file_stops_what_writes_only(void **state)
{
    _cleanup_free_ char *known = io_path(*state, "known"), *path = repository(*state, "repository", false);
    struct requester rq;
    struct err err = ERR_INIT;

    host(&rq, known, path, false);
    assert_ok(repository_open(&rq, &err));
    _cleanup_free_ char *file = strdup(rq.known->path);
    leave(&rq);
    write_text(file, "{\"known\": 1}");
    assert_fails(EINVAL, repository_open_for(&rq, KNOWN_CHANGE, &err));
    leave(&rq);
    assert_ok(repository_open(&rq, &err));
    leave(&rq);
}

static void b3_a_folder_that_others_can_write_is_not_used(void **state)
{
    _cleanup_free_ char *known = io_path(*state, "known"), *path = repository(*state, "repository", false);
    struct requester rq;
    struct err err = ERR_INIT;

    host(&rq, known, path, false);
    assert_int_equal(mkdir(known, 0700), 0);
    assert_int_equal(chmod(known, 0777), 0);
    assert_ok(repository_open(&rq, &err));
    assert_true(known_nothing(&rq));
    leave(&rq);
}

static void count_line(void *priv, enum log_level level, const char *line)
{
    (void)line;
    *(unsigned *)priv += level <= LOG_LEVEL_WARNING;
}

static void copy_keys(const char *from, const char *to)
{
    _cleanup_free_ char *of = str_format("%s/keys", from), *there = str_format("%s/keys", to);
    _cleanup_closedir_ DIR *d = opendir(of);
    struct err err = ERR_INIT;

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        _cleanup_free_ char *source = io_path(of, e->d_name), *target = io_path(there, e->d_name);
        _cleanup_buf_ struct buf b = BUF_INIT;
        if (e->d_name[0] == '.')
            continue;
        assert_ok(io_read_file(source, 4096, &b, &err));
        assert_ok(io_replace_file(target, b.data, b.len, 0600, &err));
    }
}

/* Key objects of another repository with the same passphrase are planted, and cost less than the right one: a host that has opened the
 * repository before does not even try them. */
static void b3_the_key_that_opened_it_before_is_tried_first(void **state)
{
    const struct store_init dear = { .key.passphrase = "a test", .scrypt_log_n = 12, .version = 1 }; /* 2 knows its keys */
    _cleanup_free_ char *known = io_path(*state, "known"), *path = io_path(*state, "dear"), *other = repository(*state, "cheap", true);
    unsigned warnings = 0;
    const struct log log = { count_line, &warnings, LOG_LEVEL_WARNING };
    struct requester rq;
    struct err err = ERR_INIT;

    assert_ok(store_create(path, &dear, &err));
    host(&rq, known, path, true);
    rq.config.log = &log;
    assert_null(known_first_key(&rq));
    assert_ok(repository_open(&rq, &err));
    _cleanup_free_ char *key = known_first_key(&rq);
    assert_string_equal(key, store_key_used(rq.store));
    leave(&rq);
    copy_keys(other, path);
    assert_ok(repository_open(&rq, &err));
    assert_int_equal(warnings, 0);
    leave(&rq);
    assert_ok(io_remove_tree(known, &err));
    assert_ok(repository_open(&rq, &err)); /* without a memory it does: this test can fail */
    assert_int_equal(warnings, 1);
    leave(&rq);
    copy_keys(other, path);
    _cleanup_free_ char *of = str_format("%s/keys/%s", path, key);
    assert_int_equal(unlink(of), 0); /* one that is not there any more is no hindrance */
    assert_fails(EACCES, repository_open(&rq, &err));
    leave(&rq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(b3_a_hidden_newest_point_forbids_to_write),
        test_in_dir(b3_what_this_host_forgot_is_not_missed),
        test_in_dir(b3_another_repository_in_its_place_is_refused),
        test_in_dir(b3_encryption_can_be_demanded),
        test_in_dir(b4_a_point_that_was_only_prepared),
        test_in_dir(b3_a_damaged_file_stops_what_writes_only),
        test_in_dir(b3_a_folder_that_others_can_write_is_not_used),
        test_in_dir(b3_the_key_that_opened_it_before_is_tried_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
