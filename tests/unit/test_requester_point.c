/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which restore point a restore takes, of those that hold the VMs: the one named, the one made last, or the last by its
 * instant that is not younger than a time. */
#include "test.h"

#include "requester/restore/restore.h"

static void add(struct store *s, const char *meta, char *ret_id)
{
    struct store_writer *w = NULL;
    struct err err = ERR_INIT;

    assert_ok(store_write_begin(s, &w, &err));
    assert_ok(store_write_commit(w, meta, ret_id, &err));
}

#define VM(name, digit) "{\"name\": \"" name "\", \"uuid\": \"aaaaaaaa-0000-4000-8000-00000000000" digit "\"}"
static const char *const metas[] = {
    "{\"instant\": \"2026-11-22T10:00:00.500Z\", \"made_us\": 10, \"vms\": [" VM("web", "1") ", " VM("db", "2") "]}",
    "{\"instant\": \"2026-11-24T10:00:00Z\", \"made_us\": 31, \"vms\": [" VM("web", "1") "]}",
    "{\"instant\": \"2026-11-23T10:00:00Z\", \"made_us\": 20, \"vms\": [" VM("web", "1") "]}",                    /* copied in later */
    "{\"instant\": \"2099-11-23T10:00:00Z\", \"made_us\": 30, \"vms\": [" VM("web", "1") ", " VM("db", "2") "]}", /* its clock was wrong */
    "{\"instant\": \"1999-11-23T10:00:00Z\", \"made_us\": 40, \"vms\": [" VM("mail", "3") "]}",                   /* so was this one's */
    "{\"instant\": \"2026-11-25T10:00:00Z\", \"made_us\": 39, \"vms\": [" VM("mail", "3") "]}",
    "{\"not\": \"ours\"}",
    "no JSON",
};

struct wanted {
    const char *at;
    const char *vms[3];
    int index; /* in metas; -1: none */
};

static void choose(struct store *s, const struct wanted *w, const char *const *ids)
{
    struct requester rq = { .store = s };
    struct requester_restore job = { .at = w->at, .vms = w->vms[0] ? (char *const *)(uintptr_t)w->vms : NULL };
    struct restore r = { .rq = &rq, .job = &job };
    struct err err = ERR_INIT;

    int rc = restore_choose_point(&r, &err);
    if (w->index < 0) {
        assert_int_equal(rc, -ENOENT);
        assert_non_null(strstr(err.text, "no restore point"));
        return;
    }
    if (rc < 0)
        fail_msg("%s", err.text);
    assert_string_equal(store_point_id(r.point), ids[w->index]);
    store_point_close(r.point);
}

static void the_newest_that_will_do_is_taken(void **state)
{
    static const struct wanted wanted[] = {
        { NULL, { NULL }, 4 },
        { NULL, { "web" }, 1 },
        { NULL, { "db" }, 3 },
        { NULL, { "AAAAAAAA-0000-4000-8000-000000000002" }, 3 },
        { NULL, { "web", "db" }, 3 },
        { NULL, { "mail" }, 4 },
        { "2026-12-01", { "mail" }, 5 },
        { "2099-12-01", { "web" }, 3 },
        { NULL, { "web", "mail" }, -1 },
        { "2026-11-24T10:00:00Z", { "web" }, 1 },
        { "2026-11-24T09:59:59Z", { "web" }, 2 },
        { "2026-11-23T10:00:00Z", { "web" }, 2 },
        { "2026-11-22T10:00:01Z", { "web" }, 0 },
        { "2026-11-22T10:00:00Z", { "web" }, 0 }, /* all of that second */
        { "2026-11-22T10:00:00.4Z", { "web" }, -1 },
        { "2030-01-01", { "db" }, 0 },
        { "1998-01-01", { NULL }, -1 },
    };
    struct store_init init = { .no_encryption = true };
    struct store_open open = { 0 };
    _cleanup_free_ char *path = io_path(*state, "repo");
    char ids[ARRAY_SIZE(metas)][STORE_ID_LEN + 1];
    const char *names[ARRAY_SIZE(metas)];
    struct err err = ERR_INIT;
    struct store *s;

    assert_ok(store_create(path, &init, &err));
    assert_ok(store_open(path, &open, &s, &err));
    for (size_t i = 0; i < ARRAY_SIZE(metas); i++) {
        add(s, metas[i], ids[i]);
        names[i] = ids[i];
    }
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        choose(s, &wanted[i], names);

    struct requester rq = { .store = s };
    struct requester_restore job = { .at = "yesterday" };
    struct restore r = { .rq = &rq, .job = &job };
    assert_fails(EINVAL, restore_choose_point(&r, &err));
    job = (struct requester_restore){ .point = ids[2] };
    assert_ok(restore_choose_point(&r, &err));
    assert_string_equal(store_point_id(r.point), ids[2]);
    store_point_close(r.point);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_newest_that_will_do_is_taken, test_dir_setup, test_dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
