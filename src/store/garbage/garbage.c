/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/garbage/garbage.h"
#include "base/num.h"
#include "store/object/object.h"
#include <errno.h>
#include <string.h>

#define TITLE "kvss gc 1"
#define PACKS_PER_RECORD 8192 /* 38 bytes each: well below GARBAGE_BYTES_MAX */

void garbage_record_free(struct garbage_record *g)
{
    names_free(&g->packs);
    names_free(&g->sessions);
}

int garbage_parse(const void *p, size_t n, struct garbage_record *ret, struct err *err)
{
    _cleanup_lines_ struct lines l = { 0 };
    struct garbage_record g = { 0 };
    struct object_name name;
    int r = n > GARBAGE_BYTES_MAX ? -EBADMSG : lines_parse(p, n, TITLE, "the gc record", &l, err);

    for (size_t i = 0; r == 0 && i < l.count; i++) {
        bool pack = strcmp(l.names[i], "pack") == 0;
        uint64_t since;
        if (strcmp(l.names[i], "since") == 0) {
            r = num_parse_u64(l.values[i], 0, INT64_MAX, &since, NULL) < 0 ? -EBADMSG : 0;
            g.since_us = r == 0 ? (int64_t)since : 0;
            continue;
        }
        if ((!pack && strcmp(l.names[i], "session") != 0) || !crypt_unhex(l.values[i], name.b, sizeof name.b))
            r = -EBADMSG;
        else
            r = names_add(pack ? &g.packs : &g.sessions, &name);
    }
    if (r < 0) {
        garbage_record_free(&g);
        return err_set(err, -r, "the gc record is damaged");
    }
    names_sort(&g.packs);
    names_sort(&g.sessions);
    *ret = g;
    return 0;
}

void garbage_free(struct garbage *g)
{
    for (size_t i = 0; i < g->n; i++)
        garbage_record_free(&g->records[i]);
    free(g->records);
    *g = (struct garbage){ 0 };
}

static int garbage_load_one(struct env *env, const struct object_name *name, bool tidy, struct garbage *g, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct garbage_record record = { 0 };
    char path[OBJECT_PATH_SIZE];
    int r = backend_read(env->backend, object_name_path("gc", name, path), GARBAGE_BYTES_MAX, &b, err);

    size_t covered;
    if (r == 0) /* a wrong session in it would let go of what a live one needs */
        r = signed_check(env->crypt, b.data, b.len, &covered);
    if (r == 0)
        r = garbage_parse(b.data, covered, &record, err);
    if ((r == -EBADMSG || r == -EFBIG) && !tidy)
        return 0;
    if (r == -EBADMSG || r == -EFBIG) {
        log_warning(env->log, "%s is damaged and is removed", path);
        return backend_del(env->backend, path, err);
    }
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    record.name = *name;
    struct garbage_record *records = reallocarray(g->records, g->n + 1, sizeof *records);
    if (!records) {
        garbage_record_free(&record);
        return err_nomem(err);
    }
    g->records = records;
    records[g->n++] = record;
    return 0;
}

static int load_all(struct env *env, bool tidy, struct garbage *ret, struct err *err)
{
    _cleanup_names_ struct names names = { 0 };
    struct garbage g = { 0 };
    int r = names_list(env, "gc", &names, err);

    for (size_t i = 0; r == 0 && i < names.n; i++)
        r = garbage_load_one(env, &names.list[i], tidy, &g, err);
    if (r < 0) {
        garbage_free(&g);
        return r;
    }
    *ret = g;
    return 0;
}

int garbage_load(struct env *env, struct garbage *ret, struct err *err)
{
    return load_all(env, true, ret, err);
}

int garbage_look(struct env *env, struct garbage *ret, struct err *err)
{
    return load_all(env, false, ret, err);
}

const struct garbage_record *garbage_find(const struct garbage *g, const struct object_name *pack)
{
    for (size_t i = 0; i < g->n; i++)
        if (names_has(&g->records[i].packs, pack))
            return &g->records[i];
    return NULL;
}

static int add_lines(struct buf *b, const char *what, const struct object_name *names, size_t n)
{
    char hex[2 * OBJECT_NAME_LEN + 1];
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++)
        r = lines_add(b, what, crypt_hex(names[i].b, sizeof names[i].b, hex));
    return r;
}

int garbage_put(struct env *env, const struct garbage_record *record, struct err *err)
{
    const struct names *packs = &record->packs, *sessions = &record->sessions;

    for (size_t done = 0; done < packs->n; done += PACKS_PER_RECORD) {
        _cleanup_buf_ struct buf b = BUF_INIT;
        char path[OBJECT_PATH_SIZE];
        struct object_name name;
        int r = crypt_random(&name, sizeof name);
        if (r == 0)
            r = buf_adds(&b, TITLE "\n");
        if (r == 0 && record->since_us > 0)
            r = lines_addf(&b, "since", "%lld", (long long)record->since_us);
        if (r == 0)
            r = add_lines(&b, "session", sessions->list, sessions->n);
        if (r == 0)
            r = add_lines(&b, "pack", packs->list + done, num_min(packs->n - done, PACKS_PER_RECORD));
        if (r == 0)
            r = signed_end(env->crypt, &b);
        r = r < 0 ? err_errno(err, -r, "cannot write a gc record")
                  : backend_put(env->backend, object_name_path("gc", &name, path), b.data, b.len, BACKEND_REPLACE, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int garbage_drop(struct env *env, const struct garbage *g, struct err *err)
{
    char path[OBJECT_PATH_SIZE];

    for (size_t i = 0; i < g->n; i++) {
        int r = backend_del(env->backend, object_name_path("gc", &g->records[i].name, path), err);
        if (r < 0)
            return r;
    }
    return 0;
}
