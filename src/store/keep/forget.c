/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Removing points, and looking after locks. */
#include "store/keep/protect.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

int store_forget(struct store *s, const char *const *ids, size_t n, struct err *err)
{
    char path[OBJECT_PATH_SIZE];
    struct chunk_id id;
    int refused = protect_refuse(s, ids, n, err);

    if (refused < 0)
        return refused;
    for (size_t i = 0; i < n; i++) {
        if (!crypt_unhex(ids[i], id.b, sizeof id.b))
            return err_set(err, EINVAL, "'%.80s' is not the full ID of a restore point", ids[i]);
        int r = backend_del(s->env.backend, object_path("points", id.b, sizeof id.b, path), err);
        if (r < 0)
            return r;
    }
    return 0;
}

int store_lock_list(struct store *s, struct store_lock_info **ret, size_t *ret_n, struct err *err)
{
    _cleanup_free_ struct lock *locks = NULL;
    size_t n;
    int r = lock_list(&s->env, 0, &locks, &n, err);

    if (r < 0)
        return r;
    struct store_lock_info *list = calloc(n + 1, sizeof *list);
    if (!list)
        return err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        crypt_hex(locks[i].name.b, sizeof locks[i].name.b, list[i].id);
        lock_owner(&locks[i], list[i].owner, sizeof list[i].owner);
        list[i].stale = locks[i].stale;
        list[i].maintenance = locks[i].readable && locks[i].text.kind != LOCK_SESSION;
    }
    *ret = list;
    *ret_n = n;
    return 0;
}

int store_unlock(struct store *s, bool all, size_t *ret_n, struct err *err)
{
    _cleanup_free_ struct lock *locks = NULL;
    char path[OBJECT_PATH_SIZE];
    size_t n, removed = 0;
    int r = lock_list(&s->env, 0, &locks, &n, err);

    for (size_t i = 0; r == 0 && i < n; i++) {
        if (!all && !locks[i].stale)
            continue;
        r = backend_del(s->env.backend, object_name_path("locks", &locks[i].name, path), err);
        removed += r == 0;
    }
    if (r == 0)
        *ret_n = removed;
    return r;
}

int store_unlock_one(struct store *s, const char *id, struct err *err)
{
    _cleanup_free_ struct lock *locks = NULL;
    char path[OBJECT_PATH_SIZE], hex[2 * OBJECT_NAME_LEN + 1];
    size_t n = 0, found = 0, at = 0, len = strlen(id);

    if (len < 6 || len > 2 * OBJECT_NAME_LEN || strspn(id, "0123456789abcdef") != len)
        return err_set(err, EINVAL, "'%.80s' is not the ID of a lock or a prefix of one (6 or more digits)", id);
    int r = lock_list(&s->env, 0, &locks, &n, err);
    for (size_t i = 0; r == 0 && i < n; i++)
        if (strncmp(crypt_hex(locks[i].name.b, sizeof locks[i].name.b, hex), id, len) == 0) {
            found++;
            at = i;
        }
    if (r == 0 && found != 1)
        return err_set(err, found ? ENOTUNIQ : ENOENT, found ? "several locks have IDs that begin with %s" : "there is no lock %s", id);
    return r < 0 ? r : backend_del(s->env.backend, object_name_path("locks", &locks[at].name, path), err);
}
