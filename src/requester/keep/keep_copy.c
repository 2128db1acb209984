/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restore points copied to another repository: a second place, without asking the VMs again. */
#include "requester/repository/repository.h"
#include <errno.h>
#include <string.h>

/* Never quietly to a repository that is not encrypted: what was secret here would lie open there. */
static int copy_open_target(struct requester *rq, const struct requester_copy *job, struct requester *ret, struct err *err)
{
    struct requester other = { .config = rq->config };

    other.config.repository = job->to;
    if (job->password_file || job->key_file || job->no_encryption) {
        other.config.password_file = job->password_file;
        other.config.key_file = job->key_file;
        other.config.passphrase = other.config.password_command = NULL;
    }
    if (job->no_encryption)
        other.config.ask = NULL;
    int r = repository_open_for(&other, KNOWN_CHANGE, err);
    rq->end = other.end;
    if (r == -EACCES && !job->no_encryption)
        return err_context(err, "the target (use --to-password-file, --to-key-file or --to-no-encryption)");
    if (r < 0)
        return err_context(err, "the target");
    *ret = other;
    if (!strcmp(store_guid(rq->store), store_guid(ret->store)))
        return err_set(err, EINVAL, "%s and %s are the same repository", store_location(rq->store), store_location(ret->store));
    return 0;
}

/* Ids in the order of their times. */
static int copy_choose(struct requester *rq, char *const *names, char ***ids, struct err *err)
{
    struct store_point_info *list = NULL;
    _cleanup_strv_ char **wanted = NULL;
    size_t n = 0;

    int r = store_list(rq->store, &list, &n, NULL, err);
    for (char *const *name = names; r >= 0 && name && *name; name++) {
        _cleanup_(store_point_close_p) struct store_point *p = NULL;
        r = store_point_open(rq->store, *name, &p, err);
        if (r >= 0 && strv_add(&wanted, store_point_id(p)) < 0)
            r = err_nomem(err);
    }
    for (size_t i = 0; r >= 0 && i < n; i++)
        if ((!wanted || strv_has(wanted, list[i].id)) && strv_add(ids, list[i].id) < 0)
            r = err_nomem(err);
    store_list_free(list, n);
    return r;
}

static void note_prepared(void *priv, const char *id)
{
    known_note_copy_prepared(priv, id);
}

static int copy_all(struct requester *rq, struct requester *to, char *const *ids, json_t *points, struct err *err)
{
    const struct store_copy options = {
        .progress = rq->config.progress, .cancel = rq->config.cancel, .prepared = note_prepared, .priv = to
    };

    for (; ids && *ids; ids++) {
        char id[STORE_ID_LEN + 1];
        int r = store_copy_point(rq->store, *ids, to->store, &options, id, err);
        if (r < 0)
            return err_context(err, "restore point %.12s", *ids);
        if (r == 0) {
            known_note_made(to, id);
            (void)known_sign(to, STORE_ENTRY_COMMIT, NULL);
        }
        json_array_append_new(points, json_pack("{s:s, s:s, s:b}", "id", *ids, "copy", id, "copied", r == 0));
    }
    return 0;
}

int requester_copy(struct requester *rq, const struct requester_copy *job, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *points = json_array();
    _cleanup_strv_ char **ids = NULL;
    struct requester to = { 0 };

    rq->end = REQUESTER_DONE;
    int r = repository_open(rq, err);
    if (r >= 0)
        r = copy_open_target(rq, job, &to, err);
    if (r >= 0)
        r = copy_choose(rq, job->points, &ids, err);
    if (r >= 0)
        r = copy_all(rq, &to, ids, points, err);
    if (r >= 0 && !(*ret = json_pack("{s:s, s:O}", "to", store_location(to.store), "points", points)))
        r = err_nomem(err);
    store_close(to.store);
    known_free(to.known);
    return job_end(rq, r, err);
}
