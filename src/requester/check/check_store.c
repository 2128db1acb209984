/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The repository, if one is configured: there, readable with the key at hand, writable, not full. */
#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "requester/check/check.h"
#include "requester/repository/repository.h"
#include "requester/point/stored_point.h"
#include <errno.h>
#include <string.h>

#define FULL_BYTES (64 * MIB)

static int load_points(struct check *c, struct err *err)
{
    size_t n_bad = 0;

    int r = store_list(c->rq->store, &c->points, &c->n_points, &n_bad, err);
    if (r < 0)
        return r;
    c->metas = calloc(c->n_points + 1, sizeof(*c->metas));
    if (!c->metas)
        return err_nomem(err);
    for (size_t i = 0; i < c->n_points; i++)
        (void)point_meta(c->points[i].meta, &c->metas[i], NULL);
    if (n_bad)
        check_found(c, c->findings, FOUND(FINDING_WARNING, "repository-damaged", "run kvss fsck for details"),
                    "restore points that cannot be read: %zu", n_bad);
    return 0;
}

static void look_at_times(struct check *c)
{
    int64_t now = clock_wall_us();
    char last[40];
    size_t n = 0, at = 0;

    for (size_t i = 0; i < c->n_points; i++)
        if (store_is_ahead(c->points[i].time_us, now) && (n++ == 0 || c->points[i].time_us > c->points[at].time_us))
            at = i;
    if (n)
        check_found(c, c->findings,
                    FOUND(FINDING_WARNING, "repository-future",
                          "set this host's clock if it is wrong; no kvss forget rule removes such restore points, remove them by ID"),
                    "%zu restore %s dated in the future, the newest is %.12s of %s", n, n == 1 ? "point is" : "points are",
                    c->points[at].id, clock_format_local(c->points[at].time_us, last));
}

const json_t *check_last_point(const struct check *c, const char *uuid, const char **ret_id)
{
    for (size_t i = c->n_points; c->metas && i-- > 0;) {
        const json_t *vm = c->metas[i] ? point_find_vm(c->metas[i], uuid) : NULL;
        if (!vm)
            continue;
        if (ret_id)
            *ret_id = c->points[i].id;
        return vm;
    }
    return NULL;
}

/* Nobody is asked for a passphrase only to look. */
static int open_quietly(struct requester *rq, struct err *err)
{
    __auto_type ask = rq->config.ask;

    rq->config.ask = NULL;
    int r = repository_open_for(rq, KNOWN_CHECK, err);
    rq->config.ask = ask;
    return r;
}

static const char *open_failed(struct check *c, int r, const struct err *why)
{
    const struct requester_config *q = &c->rq->config;
    bool no_key = !q->password_file && !q->key_file && !q->password_command && !q->passphrase;

    if (r == -EACCES && no_key) {
        check_found(c, c->findings, FOUND(FINDING_NOTE, "repository-not-opened", "use --password-file or --key-file to check it as well"),
                    "the repository %s is encrypted and no key was given: it was not checked", q->repository);
        return "not-opened";
    }
    if (r == -ENOENT)
        check_found(c, c->findings,
                    FOUND(FINDING_ERROR, "repository-missing",
                          "if it is on a disk or share that must be mounted, mount it; kvss init creates a new repository"),
                    "there is no repository in %s yet", q->repository);
    else if (r == -ENOTSUP)
        check_found(c, c->findings, FOUND(FINDING_ERROR, "repository-unsupported", "give the folder of the repository"), "%s", why->text);
    else if (r == -EACCES)
        check_found(c, c->findings,
                    FOUND(FINDING_ERROR, "repository-key", "give the correct passphrase or key, and make sure that its file can be read"),
                    "%s", why->text);
    else
        check_found(c, c->findings, FOUND(FINDING_ERROR, "repository-unreachable", "if the repository is damaged, kvss fsck shows details"),
                    "%s", why->text);
    return r == -ENOENT ? "missing" : r == -EACCES ? "wrong-key" : "unreachable";
}

static void look_at_rights(struct check *c, const char *path)
{
    int r = check_may_write(path);

    if (r < 0)
        check_found(c, c->findings, FOUND(FINDING_ERROR, "repository-not-writable", "mount it writable, or give the user write permission"),
                    "the repository %s is not writable: %s", path, strerror(-r));
}

/* *ret: what is free, where that can be told. */
static void look_at_space(struct check *c, const char *path, json_t **ret)
{
    uint64_t free_bytes = 0, total = 0, new_data = 0;
    char have[16], need[16];

    if (io_space(path, &free_bytes, &total, NULL) < 0)
        return;
    *ret = json_integer((json_int_t)free_bytes);
    num_format_size(free_bytes, have);
    for (size_t i = 0; c->metas && i < c->n; i++)
        if (!check_last_point(c, c->vms[i].report->uuid, NULL))
            new_data += check_allocated(&c->vms[i]);
    if (free_bytes < FULL_BYTES)
        check_found(c, c->findings, FOUND(FINDING_ERROR, "repository-full", "run kvss forget --prune --now, or free space there"),
                    "the repository %s is full (%s free)", path, have);
    else if (free_bytes < new_data)
        check_found(c, c->findings, FOUND(FINDING_WARNING, "repository-small", "run kvss forget --prune --now, or free space there"),
                    "the repository %s has %s free, but VMs that are not in it yet have disks of %s; with compression and deduplication "
                    "they may still fit",
                    path, have, num_format_size(new_data, need));
}

static void look_at_packs(struct check *c)
{
    struct store_lost l;

    if (store_lost(c->rq->store, &l, NULL) < 0 || l.missing + l.cut == 0)
        return;
    check_found(
        c, c->findings,
        FOUND(FINDING_WARNING, "repository-lost-packs",
              "run kvss fsck to see which restore points need them; kvss backup --type full stores again what a VM still has"),
        "the repository is damaged: files missing: %llu, truncated: %llu, for example %s; restore points that need them cannot be restored",
        (unsigned long long)l.missing, (unsigned long long)l.cut, l.first);
}

static void look_at_index(struct check *c)
{
    struct store_unindexed u;

    if (store_unindexed(c->rq->store, &u, NULL) < 0 || u.points == 0)
        return;
    check_found(
        c, c->findings,
        FOUND(FINDING_WARNING, "repository-unindexed", "run kvss repair index to rebuild the index from the packs; no data is lost"),
        "an index file of the repository was removed or replaced by an older one: packs in no index: %llu; at least %llu restore %s them",
        (unsigned long long)u.packs, (unsigned long long)u.points, u.points == 1 ? "point needs" : "points need");
}

/* What hosts have signed. */
static void look_at_catalogue(struct check *c, const struct known *k)
{
    json_t *text;
    size_t i;

    json_array_foreach (k->cut, i, text)
        check_found(c, c->findings,
                    FOUND(FINDING_WARNING, "repository-catalogue-cut", "find out what happened to it; kvss prune would be refused"), "%s",
                    json_string_value(text));
    json_array_foreach (k->notes, i, text)
        check_found(c, c->findings, FOUND(FINDING_NOTE, "repository-hosts", "run kvss list hosts to see all of them"), "%s",
                    json_string_value(text));
}

/* Whether it is the one that this host knows, and has all that it should. */
static void look_at_known(struct check *c)
{
    _cleanup_buf_ struct buf missing = BUF_INIT, returned = BUF_INIT, of_nobody = BUF_INIT;
    const struct known *k = c->rq->known;

    if (k && k->strange)
        check_found(c, c->findings,
                    FOUND(FINDING_ERROR, "repository-changed", "find out what happened to the repository; a backup would be refused"), "%s",
                    k->strange);
    if (!k || known_missing_text(k, false, &missing) < 0 || known_returned_text(k, &returned) < 0 ||
        known_unsigned_text(k, false, &of_nobody) < 0)
        return;
    if (missing.len && k->rolled_back)
        check_found(c, c->findings,
                    FOUND(FINDING_ERROR, "repository-rolled-back", "find out what happened to them; a backup would be refused"), "%s",
                    (char *)missing.data);
    else if (missing.len)
        check_found(c, c->findings, FOUND(FINDING_WARNING, "repository-points-missing", "find out what happened to them"), "%s",
                    (char *)missing.data);
    if (returned.len)
        check_found(c, c->findings, FOUND(FINDING_WARNING, "repository-points-returned", "find out who put them there"), "%s",
                    (char *)returned.data);
    if (of_nobody.len)
        check_found(c, c->findings, FOUND(FINDING_WARNING, "repository-points-unsigned", "find out who created them"), "%s",
                    (char *)of_nobody.data);
    look_at_catalogue(c, k);
}

static void look_at_locks(struct check *c)
{
    struct store_lock_info *locks = NULL;
    size_t n = 0;

    if (store_lock_list(c->rq->store, &locks, &n, NULL) < 0)
        return;
    for (size_t i = 0; i < n; i++)
        if (locks[i].stale)
            check_found(c, c->findings, FOUND(FINDING_NOTE, "repository-stale-lock", "run kvss unlock"),
                        "the repository has a stale lock: %s", locks[i].owner);
    free(locks);
}

int check_store(struct check *c, struct err *err)
{
    const char *path = c->rq->config.repository, *state = "ok";
    json_t *free_bytes = NULL;
    struct err why = ERR_INIT;

    c->repository = json_null();
    if (!path)
        return 0;
    int r = open_quietly(c->rq, &why);
    if (r == -ENOMEM)
        return err_move(err, &why);
    if (r >= 0) {
        r = load_points(c, err);
        if (r < 0)
            return err_context(err, "repository %s", path);
        look_at_times(c);
        look_at_known(c);
        look_at_packs(c);
        look_at_index(c);
        look_at_locks(c);
    } else {
        state = open_failed(c, r, &why);
    }
    if (io_exists(path) && !strstr(path, "://")) {
        if (strcmp(state, "missing"))
            look_at_rights(c, path);
        look_at_space(c, path, &free_bytes);
        check_place_of_repository(c, path);
    }
    c->repository = json_pack("{s:o, s:s, s:o}", "path", json_text(path), "state", state, "free", free_bytes ? free_bytes : json_null());
    return c->repository ? 0 : err_nomem(err);
}
