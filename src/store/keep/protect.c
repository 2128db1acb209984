/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Protected restore points: an object of its own for each, with a check value, so that the storage can make none. One that is damaged
 * protects all the same. */
#include "store/keep/protect.h"
#include "base/clock.h"
#include "base/io.h"
#include "store/object/object.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TITLE "kvss protection 1"
#define FOLDER "protected"

static bool get_time(const struct lines *l, const char *name, int64_t *ret)
{
    const char *v = lines_get(l, name);

    return v && clock_parse(v, ret, NULL) == 0 && *ret > 0;
}

int protect_parse(const void *p, size_t n, struct protect_text *ret, struct err *err)
{
    _cleanup_lines_ struct lines l = { 0 };
    struct protect_text t = { 0 };
    int r = n > PROTECT_BYTES_MAX ? -EBADMSG : lines_parse(p, n, TITLE, "the protection", &l, err);

    if (r == -ENOMEM)
        return r;
    const char *point = r == 0 ? lines_get(&l, "point") : NULL, *by = r == 0 ? lines_get(&l, "by") : NULL;
    if (r < 0 || !point || !by || !crypt_unhex(point, t.point.b, sizeof t.point.b) || !get_time(&l, "since", &t.since_us) ||
        (lines_get(&l, "until") && !get_time(&l, "until", &t.until_us)))
        return err_set(err, EBADMSG, "the protection is damaged");
    snprintf(t.by, sizeof t.by, "%s", by);
    *ret = t;
    return 0;
}

static int make(struct crypt *crypt, const char *id, int64_t until_us, struct buf *b)
{
    char since[32], until[32], host[65] = "";
    int r = buf_adds(b, TITLE "\n");

    (void)gethostname(host, sizeof host - 1);
    if (r == 0)
        r = lines_add(b, "point", id);
    if (r == 0)
        r = lines_add(b, "since", clock_format(clock_wall_us(), since));
    if (r == 0 && until_us)
        r = lines_add(b, "until", clock_format(until_us, until));
    if (r == 0)
        r = lines_addf(b, "by", "uid %u on %s", (unsigned)getuid(), host);
    return r < 0 ? r : signed_end(crypt, b);
}

int store_protect(struct store *s, const char *id, int64_t until_us, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    char path[OBJECT_PATH_SIZE];
    struct chunk_id point;

    if (!crypt_unhex(id, point.b, sizeof point.b))
        return err_set(err, EINVAL, "'%.80s' is not the full ID of a restore point", id);
    int r = make(s->env.crypt, id, until_us, &b);
    if (r < 0)
        return err_errno(err, -r, "cannot protect restore point %.12s", id);
    return backend_put(s->env.backend, object_path(FOLDER, point.b, sizeof point.b, path), b.data, b.len, BACKEND_REPLACE, err);
}

int store_unprotect(struct store *s, const char *id, struct err *err)
{
    char path[OBJECT_PATH_SIZE];
    struct chunk_id point;

    if (!crypt_unhex(id, point.b, sizeof point.b))
        return err_set(err, EINVAL, "'%.80s' is not the full ID of a restore point", id);
    return backend_del(s->env.backend, object_path(FOLDER, point.b, sizeof point.b, path), err);
}

/* ---- reading them ---------------------------------------------------------------------------------------------------------------*/

struct gathering {
    struct store *store;
    struct store_protection *list;
    size_t n;
};

static void read_one(struct gathering *x, const struct chunk_id *id, struct store_protection *p)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct protect_text t = { 0 };
    char path[OBJECT_PATH_SIZE];
    size_t covered = 0;
    int r = backend_read(x->store->env.backend, object_path(FOLDER, id->b, sizeof id->b, path), PROTECT_BYTES_MAX, &b, NULL);

    if (r == 0)
        r = signed_check(x->store->env.crypt, b.data, b.len, &covered);
    if (r == 0)
        r = protect_parse(b.data, covered, &t, NULL);
    if (r == 0 && memcmp(&t.point, id, sizeof *id) != 0)
        r = -EBADMSG;
    crypt_hex(id->b, sizeof id->b, p->point);
    p->damaged = r < 0;
    p->since_us = t.since_us;
    p->until_us = r < 0 ? 0 : t.until_us;
    snprintf(p->by, sizeof p->by, "%s", r < 0 ? "" : t.by);
}

static int protect_add(void *priv, const char *name)
{
    struct gathering *x = priv;
    struct chunk_id id;

    if (!crypt_unhex(name, id.b, sizeof id.b))
        return 0;
    struct store_protection *list = reallocarray(x->list, x->n + 1, sizeof *list);
    if (!list)
        return -ENOMEM;
    x->list = list;
    list[x->n] = (struct store_protection){ 0 };
    read_one(x, &id, &list[x->n++]);
    return 0;
}

/* An hour ahead is no reason to let go of a restore point: it has passed only if this host's clock and the storage's say so. */
static void mark_expired(struct gathering *x)
{
    int64_t now = clock_wall_us(), there = 0;
    bool any = false;

    for (size_t i = 0; i < x->n; i++)
        any |= x->list[i].until_us && x->list[i].until_us < now;
    if (any)
        there = backend_dir_now(x->store->env.backend);
    for (size_t i = 0; i < x->n; i++)
        x->list[i].expired = x->list[i].until_us && x->list[i].until_us < now && (!there || x->list[i].until_us < there);
}

int store_protections(struct store *s, struct store_protection **ret, size_t *ret_n, struct err *err)
{
    struct gathering x = { .store = s };
    int r = backend_list(s->env.backend, FOLDER, protect_add, &x, err);

    if (r < 0) {
        free(x.list);
        return r;
    }
    mark_expired(&x);
    *ret = x.list;
    *ret_n = x.n;
    return 0;
}

const struct store_protection *store_protection_find(const struct store_protection *list, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (!list[i].expired && strcmp(list[i].point, id) == 0)
            return &list[i];
    return NULL;
}

static int sign_again(struct store *s, struct crypt *crypt, const char *point, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    char path[OBJECT_PATH_SIZE];
    size_t covered = 0;

    snprintf(path, sizeof path, FOLDER "/%s", point);
    int r = backend_read(s->env.backend, path, PROTECT_BYTES_MAX, &b, err);
    if (r == 0)
        r = signed_check(s->env.crypt, b.data, b.len, &covered);
    if (r < 0)
        return r == -EBADMSG ? 0 : r;
    b.len = covered;
    r = signed_end(crypt, &b);
    return r < 0 ? err_errno(err, -r, "cannot protect restore point %.12s", point)
                 : backend_put(s->env.backend, path, b.data, b.len, BACKEND_REPLACE, err);
}

int protect_sign_again(struct store *s, struct crypt *crypt, struct err *err)
{
    _cleanup_free_ struct store_protection *list = NULL;
    size_t n = 0;
    int r = store_protections(s, &list, &n, err);

    for (size_t i = 0; r == 0 && i < n; i++)
        r = list[i].damaged ? 0 : sign_again(s, crypt, list[i].point, err);
    return r;
}

int protect_refuse(struct store *s, const char *const *ids, size_t n, struct err *err)
{
    _cleanup_free_ struct store_protection *list = NULL;
    size_t list_n = 0;
    char until[40];
    int r = store_protections(s, &list, &list_n, err);

    for (size_t i = 0; r == 0 && i < n; i++) {
        const struct store_protection *p = store_protection_find(list, list_n, ids[i]);
        if (p)
            r = err_set(err, EPERM,
                        "restore point %.12s is protected%s%s, and nothing was removed; to remove the protection: kvss protect --off %.12s",
                        ids[i], p->until_us ? " until " : "", p->until_us ? clock_format_local(p->until_us, until) : "", ids[i]);
    }
    return r;
}

int protect_all_there(struct store *s, const struct chunk_id *points, size_t n, struct err *err)
{
    _cleanup_free_ struct store_protection *list = NULL;
    size_t list_n = 0;
    int r = store_protections(s, &list, &list_n, err);

    for (size_t i = 0; r == 0 && i < list_n; i++) {
        struct chunk_id id;
        bool there = list[i].expired || !crypt_unhex(list[i].point, id.b, sizeof id.b);
        for (size_t k = 0; k < n && !there; k++)
            there = memcmp(&points[k], &id, sizeof id) == 0;
        if (!there)
            r = err_set(err, EUCLEAN,
                        "restore point %.12s is protected but no longer exists: nothing was removed, so that it can still be recovered; if "
                        "it is permanently lost: kvss protect --off %s",
                        list[i].point, list[i].point);
    }
    return r;
}
