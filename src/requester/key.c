/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of a repository: each opens it, and none of this touches its data. */
#include "requester/known.h"
#include <errno.h>
#include <string.h>

static int keys(struct requester *rq, struct store_key_info **ret, size_t *ret_n, struct err *err)
{
    int r = repository_open(rq, err);

    return r < 0 ? r : store_key_list(rq->store, ret, ret_n, err);
}

int requester_key_list(struct requester *rq, json_t **ret, struct err *err)
{
    _cleanup_free_ struct store_key_info *list = NULL;
    json_t *out = json_array();
    size_t n = 0;

    rq->end = REQUESTER_DONE;
    int r = keys(rq, &list, &n, err);
    for (size_t i = 0; r >= 0 && i < n; i++)
        json_array_append_new(out, json_pack("{s:s, s:s, s:s, s:b}", "id", list[i].id, "kind",
                                             list[i].key_file ? "key file" : "passphrase", "created", list[i].created, "current",
                                             list[i].current));
    if (r >= 0 && !(*ret = json_pack("{s:O}", "keys", out)))
        r = err_set(err, ENOMEM, "out of memory");
    json_decref(out);
    return job_end(rq, r, err);
}

static int add(struct requester *rq, const struct requester_new_key *key, char id[static 33], struct err *err)
{
    struct requester given = { .config = { .password_file = key->password_file, .log = rq->config.log } };
    _cleanup_(key_wipe_p) char *passphrase = NULL;

    int r = repository_open_for(rq, KNOWN_TRUST, err);
    if (r >= 0 && key->password_file)
        r = key_given(&given, &passphrase, err);
    else if (r >= 0 && !key->key_file && !rq->config.ask)
        r = err_set(err, EACCES, "no new key was given and nobody can be asked: give --new-password-file FILE or --new-key-file FILE");
    else if (r >= 0 && !key->key_file)
        r = key_asked(rq, "New passphrase: ", true, &passphrase, err);
    if (r < 0)
        return r;
    key_file_look(rq, key->key_file);
    const struct store_key k = { .passphrase = passphrase, .key_file = key->key_file };
    return store_key_add(rq->store, &k, 0, id, err);
}

int requester_key_add(struct requester *rq, const struct requester_new_key *key, json_t **ret, struct err *err)
{
    char id[33];

    rq->end = REQUESTER_DONE;
    int r = add(rq, key, id, err);
    if (r >= 0 && !(*ret = json_pack("{s:s}", "added", id)))
        r = err_set(err, ENOMEM, "out of memory");
    return job_end(rq, r, err);
}

/* The key whose id begins so. */
static int find(struct requester *rq, const char *begin, char ret[static 33], struct err *err)
{
    _cleanup_free_ struct store_key_info *list = NULL;
    const struct store_key_info *found = NULL;
    size_t n = 0;

    int r = keys(rq, &list, &n, err);
    for (size_t i = 0; r >= 0 && i < n; i++) {
        if (strncmp(list[i].id, begin, strlen(begin)))
            continue;
        if (found)
            return err_set(err, ENOTUNIQ, "the ids of several keys begin with %s", begin);
        found = &list[i];
    }
    if (r < 0)
        return r;
    if (!found || !*begin)
        return err_set(err, ENOENT, "the repository has no key %s (kvss key list shows which there are)", begin);
    memcpy(ret, found->id, sizeof(found->id));
    return 0;
}

int requester_key_remove(struct requester *rq, const char *begin, json_t **ret, struct err *err)
{
    char id[33];

    rq->end = REQUESTER_DONE;
    int r = find(rq, begin, id, err);
    if (r >= 0)
        r = store_key_remove(rq->store, id, err);
    if (r >= 0 && !(*ret = json_pack("{s:s}", "removed", id)))
        r = err_set(err, ENOMEM, "out of memory");
    return job_end(rq, r, err);
}

static int current(struct requester *rq, char ret[static 33], struct err *err)
{
    _cleanup_free_ struct store_key_info *list = NULL;
    size_t n = 0;

    int r = keys(rq, &list, &n, err);
    for (size_t i = 0; r >= 0 && i < n; i++)
        if (list[i].current) {
            memcpy(ret, list[i].id, sizeof(list[i].id));
            return 0;
        }
    return r < 0 ? r : err_set(err, ENOENT, "it is not known which key opened the repository");
}

int requester_key_change(struct requester *rq, const struct requester_new_key *key, json_t **ret, struct err *err)
{
    char old[33], id[33];

    rq->end = REQUESTER_DONE;
    int r = current(rq, old, err);
    if (r >= 0)
        r = add(rq, key, id, err);
    if (r >= 0)
        r = store_key_remove(rq->store, old, err);
    if (r >= 0 && !(*ret = json_pack("{s:s, s:s}", "added", id, "removed", old)))
        r = err_set(err, ENOMEM, "out of memory");
    return job_end(rq, r, err);
}
