/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Several hosts that use one repository, each with what it remembers, for tests. */
#ifndef REQUESTER_HOSTS_H
#define REQUESTER_HOSTS_H

#include "test.h"

#include "requester/repository/known.h"
#include <sys/stat.h>
#include <utime.h>

/* Three hosts: their memory and keys are in folders of their own. */
struct scene {
    char *path, *known[3];
    struct requester host[3];
};

static inline char *state_of(const char *dir, const char *name)
{
    _cleanup_free_ char *folder = io_path(dir, name);

    assert_int_equal(mkdir(folder, 0700), 0);
    return io_path(folder, "known");
}

static inline void host(struct requester *rq, const char *known, const char *path, const char *name)
{
    *rq = (struct requester){ .config = { .repository = path, .known_dir = known, .host_name = name, .prune_grace_s = -1 } };
}

static inline void scene_begin(struct scene *x, const char *dir)
{
    static const char *const names[] = { "alpha", "beta", "gamma" };
    struct store_init init = { .no_encryption = true };
    struct err err = ERR_INIT;

    x->path = io_path(dir, "repository");
    assert_ok(store_create(x->path, &init, &err));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        x->known[i] = state_of(dir, names[i]);
        host(&x->host[i], x->known[i], x->path, names[i]);
    }
}

static inline void leave(struct requester *rq)
{
    store_close(TAKE_PTR(rq->store));
    known_free(TAKE_PTR(rq->known));
    rq->end = REQUESTER_DONE;
}

static inline void scene_end(struct scene *x)
{
    for (size_t i = 0; i < ARRAY_SIZE(x->known); i++) {
        leave(&x->host[i]);
        free(x->known[i]);
    }
    free(x->path);
}

static inline void enter(struct requester *rq, enum known_use use)
{
    struct err err = ERR_INIT;

    leave(rq);
    assert_ok(repository_open_for(rq, use, &err));
}

/* A backup as far as the memory and the catalogue are concerned; `until`: killed then. */
enum until { PREPARED, PUBLISHED, MADE, SIGNED };
static inline void backup(struct requester *rq, enum until until, char id[static STORE_ID_LEN + 1])
{
    struct store_writer *w;
    struct err err = ERR_INIT;

    enter(rq, KNOWN_CHANGE);
    _cleanup_json_ json_t *report = json_pack("{s:I, s:[]}", "made_us", (json_int_t)store_made_next(rq->store), "vms");
    _cleanup_free_ char *meta = json_dumps(report, JSON_COMPACT);
    assert_ok(store_write_begin(rq->store, &w, &err));
    assert_ok(store_write_prepare(w, meta, id, &err));
    known_note_prepared(rq, id, report);
    if (until >= PUBLISHED)
        assert_ok(store_write_publish(w, &err));
    else
        store_write_abort(w);
    if (until >= MADE)
        known_note_made(rq, id);
    if (until >= SIGNED)
        assert_int_equal(known_sign(rq, STORE_ENTRY_COMMIT, NULL), 0);
    leave(rq);
}

static inline int forget(struct requester *rq, const char *id, struct err *err)
{
    char *points[] = { (char *)(uintptr_t)id, NULL };
    const struct requester_forget job = { .points = points };
    json_t *report = NULL;

    leave(rq);
    int r = requester_forget(rq, &job, &report, err);
    json_decref(report);
    store_close(TAKE_PTR(rq->store));
    known_free(TAKE_PTR(rq->known));
    return r;
}

static inline int prune(struct requester *rq, struct err *err)
{
    const struct requester_prune job = { .now = true };
    json_t *report = NULL;

    leave(rq);
    int r = requester_prune(rq, &job, &report, err);
    json_decref(report);
    store_close(TAKE_PTR(rq->store));
    known_free(TAKE_PTR(rq->known));
    return r;
}

static inline char *point_file(const struct scene *x, const char *id)
{
    return str_format("%s/points/%s", x->path, id);
}

static inline void hide(const struct scene *x, const char *id, bool back)
{
    _cleanup_free_ char *there = point_file(x, id), *away = str_format("%s/%s", x->path, id);

    assert_int_equal(back ? rename(away, there) : rename(there, away), 0);
}

/* Nothing is reported: neither missing nor back nor unsigned, and nothing of the catalogue. */
static inline void assert_quiet(struct requester *rq)
{
    enter(rq, KNOWN_LOOK);
    assert_non_null(rq->known->catalogue);
    assert_int_equal(json_array_size(rq->known->missing), 0);
    assert_int_equal(json_array_size(rq->known->returned), 0);
    assert_int_equal(json_array_size(rq->known->unsigned_points), 0);
    assert_int_equal(json_array_size(rq->known->cut), 0);
    assert_false(rq->known->lost || rq->known->rolled_back);
    leave(rq);
}

static inline void make_old(const struct scene *x, const char *id)
{
    _cleanup_free_ char *file = point_file(x, id);
    const struct utimbuf t = { .actime = 1000000000, .modtime = 1000000000 };

    assert_int_equal(utime(file, &t), 0);
}

#endif
