/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Providers of third parties: which files are loaded, and what programs may say. Shared objects: tests/integration/17-providers.sh. */
#include "vss_world.h"
#include "providers/external/external_internal.h"
#include <fcntl.h>
#include <sys/stat.h>

#define GOOD "{\"api\": 1, \"name\": \"good\", \"id\": \"5d4e7a10-0d2b-4c55-8a63-7b1f0c9e1b01\"}"
#define POINTS                                                                                                                 \
    "{\"api\": 1, \"name\": \"good\", \"id\": \"5d4e7a10-0d2b-4c55-8a63-7b1f0c9e1b01\","                                       \
    " \"timeout_ms\": 1000, \"calls\": [\"take-point\", \"open-disk\", \"snapshot-device\", \"free-room\", \"check-health\", " \
    "\"check-snapshots\"]}"

struct yard {
    char *dir, *programs, *objects;
    struct trace log;
    struct log log_object;
    struct journal *journal;
    struct external_set *set;
};

static void yard_log(void *priv, enum log_level level, const char *line)
{
    (void)level;
    trace_add(&((struct yard *)priv)->log, "", line);
}

static int yard_setup(void **state)
{
    struct yard *y = calloc(1, sizeof(*y));
    struct err err = ERR_INIT;

    if (!y || test_dir_setup((void **)&y->dir) < 0)
        return -1;
    y->programs = str_format("%s/programs", y->dir);
    y->objects = str_format("%s/objects", y->dir);
    pthread_mutex_init(&y->log.lock, NULL);
    y->log_object = (struct log){ .write = yard_log, .priv = y, .max = LOG_LEVEL_DEBUG };
    *state = y;
    return mkdir(y->programs, 0755) | mkdir(y->objects, 0755) | journal_new(NULL, "test", external_verbs, NULL, NULL, &y->journal, &err);
}

static int yard_teardown(void **state)
{
    struct yard *y = *state;
    void *dir = y->dir;

    external_free(y->set);
    journal_free(y->journal);
    trace_clear(&y->log);
    free(y->programs);
    free(y->objects);
    free(y);
    return test_dir_teardown(&dir);
}

#define yard_test(f) cmocka_unit_test_setup_teardown(f, yard_setup, yard_teardown)

/* A program whose answer to each call is in the file CALL beside it, and its exit status in CALL.status. */
static void put_program(struct yard *y, const char *name, const char *identity)
{
    _cleanup_free_ char *path = str_format("%s/%s", y->programs, name), *answer = str_format("%s/identify", y->dir);
    _cleanup_free_ char *text = str_format("#!/bin/sh\ncat > '%s/asked'\necho $1 >> '%s/calls'\n[ ! -e '%s/'$1 ] || cat '%s/'$1\n"
                                           "[ ! -e '%s/'$1.sh ] || . '%s/'$1.sh\n",
                                           y->dir, y->dir, y->dir, y->dir, y->dir, y->dir);

    write_text(path, text);
    assert_int_equal(chmod(path, 0755), 0);
    write_text(answer, identity);
}

static void answer(struct yard *y, const char *call, const char *text)
{
    _cleanup_free_ char *path = str_format("%s/%s", y->dir, call);

    write_text(path, text);
}

static size_t load_all(struct yard *y)
{
    const struct external_config config = {
        .programs_dir = y->programs, .objects_dir = y->objects, .journal = y->journal, .held_ms = 500, .log = &y->log_object
    };
    struct err err = ERR_INIT;

    external_free(y->set);
    y->set = NULL;
    assert_ok(external_load(&config, &y->set, &err));
    return external_count(y->set);
}

/* Not loaded, for a reason that names `why`, and the log says so. */
static void assert_refused(struct yard *y, const char *why)
{
    size_t before = y->log.n;

    assert_int_equal(load_all(y), 0);
    assert_true(external_refused_count(y->set) >= 1); /* both folders, if it is for one above them */
    if (!strstr(external_refused(y->set, 0)->why, why))
        fail_msg("'%s' instead of '%s'", external_refused(y->set, 0)->why, why);
    assert_int_equal(y->log.n, before + external_refused_count(y->set));
    assert_non_null(strstr(y->log.lines[before], "is not used"));
}

/* ---- Files ----------------------------------------------------------------------------------------------------------------*/

static void a_file_of_roots_is_loaded_and_what_was_opened_runs(void **state)
{
    struct yard *y = *state;
    _cleanup_free_ char *path = str_format("%s/good", y->programs), *calls = str_format("%s/calls", y->dir);
    struct err err = ERR_INIT;
    bool yes = false;

    if (geteuid() != 0)
        skip();
    put_program(y, "good", GOOD);
    assert_int_equal(load_all(y), 1);
    assert_string_equal(external_ops(y->set, 0)->name, "good");
    assert_null(external_ops(y->set, 0)->take_point); /* it has not said that it takes any */
    /* Exchanged afterwards: what was looked at is what runs. */
    answer(y, "is-volume-supported", "{\"supported\": true}");
    assert_int_equal(unlink(path), 0);
    write_text(path, "#!/bin/sh\necho '{\"supported\": false}'\n");
    assert_int_equal(chmod(path, 0777), 0);
    assert_ok(external_ops(y->set, 0)->is_volume_supported(external_priv(y->set, 0), &(struct kvss_volume){ .name = "/x" }, &yes, &err));
    assert_true(yes);
    assert_file_text(calls, "identify\nis-volume-supported\n");
}

static void others_files_are_refused(void **state)
{
    struct yard *y = *state;
    _cleanup_free_ char *path = str_format("%s/good", y->programs), *aside = str_format("%s/aside", y->dir);

    if (geteuid() != 0)
        skip();
    put_program(y, "good", GOOD);
    assert_int_equal(chown(path, 12345, 0), 0);
    assert_refused(y, "is owned by user 12345, not by root");
    assert_int_equal(chown(path, 0, 0), 0);
    assert_int_equal(chmod(path, 0775), 0);
    assert_refused(y, "can be changed by users other than root");
    assert_int_equal(chmod(path, 0757), 0);
    assert_refused(y, "can be changed by users other than root");
    assert_int_equal(chmod(path, 0644), 0);
    assert_refused(y, "is not executable");
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(symlink(aside, path), 0);
    assert_refused(y, "is a symbolic link");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_refused(y, "is not a regular file");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0755), 0);
    assert_refused(y, "is not a regular file");
}

static void folders_that_others_can_change_are_refused(void **state)
{
    struct yard *y = *state;

    if (geteuid() != 0)
        skip();
    put_program(y, "good", GOOD);
    assert_int_equal(chmod(y->programs, 0775), 0);
    assert_refused(y, "the folder ");
    assert_int_equal(chmod(y->programs, 01777), 0); /* sticky: others could put files there */
    assert_refused(y, "the folder ");
    assert_int_equal(chmod(y->programs, 0755), 0);
    assert_int_equal(chown(y->programs, 12345, 0), 0);
    assert_refused(y, "is owned by user 12345");
    assert_int_equal(chown(y->programs, 0, 0), 0);
    assert_int_equal(chmod(y->dir, 0777), 0);
    assert_refused(y, "a folder above ");
    assert_int_equal(chmod(y->dir, 0755), 0);
    assert_int_equal(chown(y->dir, 12345, 0), 0);
    assert_refused(y, "a folder above ");
    assert_int_equal(chown(y->dir, 0, 0), 0);
    assert_int_equal(load_all(y), 1);
    external_free(y->set);
    y->set = NULL;
    assert_int_equal(rename(y->programs, y->objects), 0); /* the folder is gone: nothing is there, and that is no failure */
    assert_int_equal(load_all(y), 0);
    assert_int_equal(external_refused_count(y->set), 0); /* and what does not end in .so is no shared object */
}

/* ---- What programs say ----------------------------------------------------------------------------------------------------*/

static void garbage_in_identify_leaves_a_provider_out(void **state)
{
#define WHO "\"name\": \"g\", \"id\": \"5d4e7a10-0d2b-4c55-8a63-7b1f0c9e1b01\""
    static const char *const answers[] = {
        "",
        "hello",
        "[1]",
        "{} {}",
        "{}",
        "{\"api\": 2, " WHO "}",
        "{\"api\": 1, \"name\": \"\", \"id\": \"5d4e7a10-0d2b-4c55-8a63-7b1f0c9e1b01\"}",
        "{\"api\": 1, \"name\": \"a b\", \"id\": \"5d4e7a10-0d2b-4c55-8a63-7b1f0c9e1b01\"}",
        "{\"api\": 1, \"name\": \"../g\", \"id\": \"5d4e7a10-0d2b-4c55-8a63-7b1f0c9e1b01\"}",
        "{\"api\": 1, \"name\": \"g\", \"id\": \"5d4e\"}",
        "{\"api\": 1, " WHO ", \"type\": \"magic\"}",
        "{\"api\": 1, " WHO ", \"version\": \"1\\u001b[2J\"}",
        "{\"api\": 1, " WHO ", \"timeout_ms\": 0}",
        "{\"api\": 1, " WHO ", \"timeout_ms\": 99999999999}",
        "{\"api\": 1, " WHO ", \"calls\": {}}",
        "{\"api\": 1, " WHO ", \"calls\": [\"fly\"]}",
        "{\"api\": 1, " WHO ", \"calls\": [1]}",
        "{\"api\": 1, " WHO ", \"calls\": [\"take-point\"]}",
        "{\"api\": 1, " WHO ", \"calls\": [\"open-disk\"]}",
        "{\"api\": 1, " WHO ", \"call\": []}",
        "{\"api\": 1, \"api\": 1, " WHO "}",
    };
    struct yard *y = *state;

    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        put_program(y, "g", answers[i]);
        if (load_all(y) != 0 || external_refused_count(y->set) != 1)
            fail_msg("identity '%s' was taken", answers[i]);
    }
}

struct nonsense {
    const char *call, *answer;
    bool good;
};

static int ask(struct yard *y, const char *call, struct err *err)
{
    const struct kvss_provider *o = external_ops(y->set, 0);
    void *p = external_priv(y->set, 0);
    struct kvss_disk_source source = { 0 };
    struct kvss_room room = { 0 };
    _cleanup_free_ char *text = NULL;
    bool yes;
    int r = -1;

    if (!strcmp(call, "is-volume-supported"))
        r = o->is_volume_supported(p, &(struct kvss_volume){ .name = "/x" }, &yes, err);
    else if (!strcmp(call, "snapshot-device"))
        r = o->snapshot_device(p, "set", "snapshot", &text, err);
    else if (!strcmp(call, "free-room"))
        r = o->free_room(p, NULL, &room, err);
    else if (!strcmp(call, "check-health"))
        r = o->check_health(p, &text, err);
    else if (!strcmp(call, "check-snapshots"))
        r = o->check_snapshots(p, "set", &text, err);
    else if (!strcmp(call, "open-disk"))
        r = o->open_disk(p, "set", "vm", "vda", &source, err);
    else if (!strcmp(call, "commit"))
        r = o->commit(p, "set", err);
    free(room.place);
    kvss_disk_source_free(&source);
    return r;
}

static void garbage_in_a_call_is_a_failure_with_its_name(void **state)
{
    static const struct nonsense cases[] = {
        { "is-volume-supported", "{\"supported\": true}", true },
        { "is-volume-supported", "", false },
        { "is-volume-supported", "{}", false },
        { "is-volume-supported", "{\"supported\": 1}", false },
        { "is-volume-supported", "{\"supported\": true, \"x\": 1}", false },
        { "is-volume-supported", "yes", false },
        { "commit", "", true },
        { "commit", "{}", true },
        { "commit", "{\"done\": true}", false },
        { "commit", "[]", false },
        { "snapshot-device", "{\"device\": \"/copies\"}", true },
        { "snapshot-device", "{\"device\": null}", true },
        { "snapshot-device", "{\"device\": \"\"}", false },
        { "snapshot-device", "{\"device\": 7}", false },
        { "snapshot-device", "{\"device\": \"/a\\nb\"}", false },
        { "snapshot-device", "{\"path\": \"/a\"}", false },
        { "free-room", "{\"free\": 1, \"total\": 2, \"place\": \"/a\"}", true },
        { "free-room", "{\"free\": 3, \"total\": 2}", false },
        { "free-room", "{\"free\": -1, \"total\": 2}", false },
        { "free-room", "{\"free\": \"1\", \"total\": 2}", false },
        { "check-health", "{\"why_not\": \"no tool\"}", true },
        { "check-health", "{\"why_not\": []}", false },
        { "check-snapshots", "{}", true },
        { "check-snapshots", "{\"lost\": \"the pool is full\", \"vm\": \"x\"}", false },
        { "check-snapshots", "{\"lost\": 1}", false },
        { "open-disk", "{\"nbd_uri\": \"nbd+unix:///?socket=/s\", \"dirty_context\": \"qemu:dirty-bitmap:a\"}", true },
        { "open-disk", "{\"path\": \"/dev/null\", \"format\": \"raw\"}", false }, /* neither a file nor a disk */
        { "open-disk", "{\"path\": \"/proc/self/status\", \"format\": \"raw\"}", true },
        { "open-disk", "{}", false },
        { "open-disk", "{\"nbd_uri\": \"http://x\"}", false },
        { "open-disk", "{\"path\": \"/proc/self/status\"}", false },
        { "open-disk", "{\"path\": \"image\", \"format\": \"raw\"}", false },
        { "open-disk", "{\"path\": \"/proc/self/status\", \"format\": \"raw,file=/etc/shadow\"}", false },
        { "open-disk", "{\"path\": \"/proc/self/status\", \"format\": \"raw\", \"nbd_uri\": \"nbd://x\"}", false },
        { "open-disk", "{\"path\": \"/proc/self/status\", \"format\": \"raw\", \"dirty_context\": \"x\"}", false },
        { "open-disk", "{\"path\": \"/nothing/there\", \"format\": \"raw\"}", false },
    };
    struct yard *y = *state;

    if (geteuid() != 0)
        skip();
    put_program(y, "good", POINTS);
    assert_int_equal(load_all(y), 1);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = ERR_INIT;
        answer(y, cases[i].call, cases[i].answer);
        int r = ask(y, cases[i].call, &err);
        if ((r >= 0) != cases[i].good || (r < 0 && !strstr(err.text, "provider good")))
            fail_msg("%s: answer '%s': %d: %s", cases[i].call, cases[i].answer, r, err.text);
    }
}

static void one_that_fails_or_hangs_or_dies_is_named(void **state)
{
    struct yard *y = *state;
    struct err err = ERR_INIT;

    if (geteuid() != 0)
        skip();
    put_program(y, "good", POINTS);
    assert_int_equal(load_all(y), 1);
    answer(y, "commit.sh", "echo 'the array is away' >&2; exit 1\n");
    assert_fails(EIO, ask(y, "commit", &err));
    assert_non_null(strstr(err.text, "provider good: commit: the array is away"));
    answer(y, "commit.sh", "exit 2\n");
    assert_fails(EIO, ask(y, "commit", &err));
    assert_non_null(strstr(err.text, "it does not know this call"));
    answer(y, "commit.sh", "kill -SEGV $$\n");
    assert_fails(EIO, ask(y, "commit", &err));
    assert_non_null(strstr(err.text, "provider good: "));
    assert_non_null(strstr(err.text, "killed by signal 11"));
    uint64_t begun = clock_mono_ms();
    answer(y, "commit.sh", "sleep 60\n"); /* writers are held: half a second is all it gets here */
    assert_fails(ETIMEDOUT, ask(y, "commit", &err));
    assert_non_null(strstr(err.text, "provider good: "));
    assert_true(clock_mono_ms() - begun < 10000);
}

static void a_set_is_in_the_journal_until_it_is_deleted(void **state)
{
    struct yard *y = *state;
    _cleanup_free_ char *calls = str_format("%s/calls", y->dir), *asked = str_format("%s/asked", y->dir);
    struct err err = ERR_INIT;

    if (geteuid() != 0)
        skip();
    put_program(y, "good", GOOD);
    assert_int_equal(load_all(y), 1);
    const struct kvss_provider *o = external_ops(y->set, 0);
    void *p = external_priv(y->set, 0);
    assert_ok(o->abort_snapshots(p, "none", &err)); /* nothing was begun: nobody is asked */
    assert_ok(o->begin_prepare(p, "set1", "s1", "/a", 0, &err));
    assert_ok(o->begin_prepare(p, "set1", "s2", "/b", 0, &err));
    assert_int_equal(journal_open_effects(y->journal), 1);
    assert_ok(o->delete_snapshots(p, "set1", &err));
    assert_int_equal(journal_open_effects(y->journal), 0);
    assert_ok(o->delete_snapshots(p, "set1", &err));
    assert_file_text(calls, "identify\nbegin-prepare\nbegin-prepare\ndelete-snapshots\n");
    /* What could not be deleted is deleted by the undo, by the file as it is then. */
    assert_ok(o->begin_prepare(p, "set2", "s1", "/a", 0, &err));
    answer(y, "delete-snapshots.sh", "exit 1\n");
    assert_fails(EIO, o->delete_snapshots(p, "set2", &err));
    assert_int_equal(journal_open_effects(y->journal), 1);
    assert_ok(journal_undo_all(y->journal, &err));
    _cleanup_buf_ struct buf b = BUF_INIT;
    assert_ok(io_read_file(asked, 1000, &b, &err));
    assert_non_null(strstr((char *)b.data, "\"set\":\"set2\""));
    assert_non_null(strstr((char *)b.data, "\"call\":\"abort-snapshots\""));
    /* But not by one that others can change: the set stays for later. */
    assert_ok(o->begin_prepare(p, "set3", "s1", "/a", 0, &err));
    assert_int_equal(chmod(external_path(y->set, 0), 0777), 0);
    assert_fails(EPERM, journal_undo_all(y->journal, &err));
    assert_int_equal(journal_open_effects(y->journal), 1);
    assert_int_equal(chmod(external_path(y->set, 0), 0755), 0);
    assert_ok(journal_undo_all(y->journal, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        yard_test(a_file_of_roots_is_loaded_and_what_was_opened_runs), yard_test(others_files_are_refused),
        yard_test(folders_that_others_can_change_are_refused),         yard_test(garbage_in_identify_leaves_a_provider_out),
        yard_test(garbage_in_a_call_is_a_failure_with_its_name),       yard_test(one_that_fails_or_hangs_or_dies_is_named),
        yard_test(a_set_is_in_the_journal_until_it_is_deleted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
