/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of a repository: each opens it. */
#include "requester/repository/repository.h"
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
        json_array_append_new(out,
                              json_pack("{s:s, s:s, s:s, s:b, s:b}", "id", list[i].id, "kind", list[i].key_file ? "key file" : "passphrase",
                                        "created", list[i].created, "current", list[i].current, "removed", list[i].removed));
    if (r >= 0 && !(*ret = json_pack("{s:O}", "keys", out)))
        r = err_nomem(err);
    json_decref(out);
    return job_end(rq, r, err);
}

/* The secret of a new key; the caller wipes *ret_passphrase. */
static int new_secret(struct requester *rq, const struct requester_new_key *key, char **ret_passphrase, struct store_key *ret,
                      struct err *err)
{
    struct requester given = { .config = { .password_file = key->password_file, .log = rq->config.log } };
    int r = 0;

    if (key->password_file)
        r = key_given(&given, ret_passphrase, err);
    else if (!key->key_file && !rq->config.ask)
        r = err_set(err, EACCES, "no new key given and no terminal to ask at: use --new-password-file FILE or --new-key-file FILE");
    else if (!key->key_file)
        r = key_asked(rq, "New passphrase: ", true, ret_passphrase, err);
    if (r < 0)
        return r;
    key_file_look(rq, key->key_file);
    *ret = (struct store_key){ .passphrase = *ret_passphrase, .key_file = key->key_file };
    return 0;
}

static int keep_key_add(struct requester *rq, const struct requester_new_key *key, char id[static 33], struct err *err)
{
    _cleanup_(key_wipe_p) char *passphrase = NULL;
    struct store_key k;

    int r = repository_open_for(rq, KNOWN_TRUST, err);
    if (r >= 0)
        r = new_secret(rq, key, &passphrase, &k, err);
    if (r >= 0)
        r = store_key_add(rq->store, &k, 0, id, err);
    if (r >= 0) {
        known_note_keys(rq);
        (void)known_sign(rq, STORE_ENTRY_BASE, NULL); /* under the new master key, with what it has seen of the other hosts */
    }
    return r;
}

/* In a repository of version 1 nothing but the storage's goodwill keeps a key away. */
static int take_away(struct requester *rq, const char *id, struct err *err)
{
    int r = store_key_remove(rq->store, id, err);

    if (r < 0)
        return r;
    known_note_keys(rq);
    if (store_version(rq->store) < 2)
        log_warning(rq->config.log, "the repository has format version 1: if its storage restores the file of the removed key, that key "
                                    "opens the repository again. kvss upgrade prevents that");
    return 0;
}

int requester_key_add(struct requester *rq, const struct requester_new_key *key, json_t **ret, struct err *err)
{
    char id[33];

    rq->end = REQUESTER_DONE;
    int r = keep_key_add(rq, key, id, err);
    if (r >= 0 && !(*ret = json_pack("{s:s}", "added", id)))
        r = err_nomem(err);
    return job_end(rq, r, err);
}

/* The key whose id begins so. */
static int keep_key_find(struct requester *rq, const char *begin, char ret[static 33], struct err *err)
{
    _cleanup_free_ struct store_key_info *list = NULL;
    const struct store_key_info *found = NULL;
    size_t n = 0;

    int r = keys(rq, &list, &n, err);
    for (size_t i = 0; r >= 0 && i < n; i++) {
        if (strncmp(list[i].id, begin, strlen(begin)))
            continue;
        if (found)
            return err_set(err, ENOTUNIQ, "several keys have IDs that begin with %s", begin);
        found = &list[i];
    }
    if (r < 0)
        return r;
    if (!found || !*begin)
        return err_set(err, ENOENT, "the repository has no key %s (kvss key list shows the keys)", begin);
    memcpy(ret, found->id, sizeof(found->id));
    return 0;
}

int requester_key_remove(struct requester *rq, const char *begin, json_t **ret, struct err *err)
{
    char id[33];

    rq->end = REQUESTER_DONE;
    int r = keep_key_find(rq, begin, id, err);
    if (r >= 0)
        r = take_away(rq, id, err);
    if (r >= 0 && !(*ret = json_pack("{s:s}", "removed", id)))
        r = err_nomem(err);
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
    return r < 0 ? r : err_set(err, ENOENT, "cannot determine which key opened the repository");
}

int requester_key_change(struct requester *rq, const struct requester_new_key *key, json_t **ret, struct err *err)
{
    char old[33], id[33];

    rq->end = REQUESTER_DONE;
    int r = current(rq, old, err);
    if (r >= 0)
        r = keep_key_add(rq, key, id, err);
    if (r >= 0)
        r = take_away(rq, old, err);
    if (r >= 0 && !(*ret = json_pack("{s:s, s:s}", "added", id, "removed", old)))
        r = err_nomem(err);
    return job_end(rq, r, err);
}

/* ---- A new master key -------------------------------------------------------------------------------------------------------*/

/* The ids of the keys that a rotation takes away: that which is used now, and others, which only their owners could make again. */
static int keys_to_go(struct requester *rq, bool others_too, json_t *ret, struct err *err)
{
    _cleanup_free_ struct store_key_info *list = NULL;
    size_t n = 0, others = 0;

    int r = store_key_list(rq->store, &list, &n, err);
    for (size_t i = 0; r >= 0 && i < n; i++) {
        others += !list[i].removed && !list[i].current;
        if (!list[i].removed && json_array_append_new(ret, json_string(list[i].id)) < 0)
            r = err_nomem(err);
    }
    if (r >= 0 && others && !others_too) {
        rq->end = REQUESTER_REFUSED;
        return err_set(err, EBUSY,
                       "the repository has %zu other %s (kvss key list), and rotating the master key needs the passphrase or key file of "
                       "each: use --remove-other-keys, and add them again afterwards",
                       others, others == 1 ? "key" : "keys");
    }
    return r;
}

static int keep_key_rotate(struct requester *rq, const struct requester_new_key *key, json_t *gone, char id[static 33], struct err *err)
{
    _cleanup_(key_wipe_p) char *passphrase = NULL;
    struct store_key k;

    int r = repository_open_for(rq, KNOWN_CHANGE, err);
    if (r >= 0)
        r = keys_to_go(rq, key->remove_others, gone, err);
    if (r >= 0)
        r = new_secret(rq, key, &passphrase, &k, err);
    if (r >= 0)
        r = store_key_rotate(rq->store, &k, 0, id, err);
    if (r >= 0)
        known_note_keys(rq);
    return r;
}

int requester_key_rotate(struct requester *rq, const struct requester_new_key *key, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *gone = json_array();
    char id[33];

    rq->end = REQUESTER_DONE;
    int r = keep_key_rotate(rq, key, gone, id, err);
    if (r >= 0 && !(*ret = json_pack("{s:b, s:s, s:O}", "rotated", true, "added", id, "removed_keys", gone)))
        r = err_nomem(err);
    return job_end(rq, r, err);
}

int requester_upgrade(struct requester *rq, json_t **ret, struct err *err)
{
    _cleanup_free_ struct store_key_info *list = NULL;
    _cleanup_json_ json_t *keys = json_array();
    size_t n = 0;
    int done = 0;

    rq->end = REQUESTER_DONE;
    int r = repository_open_for(rq, KNOWN_CHANGE, err);
    if (r >= 0)
        r = done = store_upgrade(rq->store, err);
    if (r > 0) {
        known_note_keys(rq);
        known_begin(rq);
    }
    if (r >= 0 && store_encrypted(rq->store))
        r = store_key_list(rq->store, &list, &n, err);
    for (size_t i = 0; r >= 0 && i < n; i++)
        if (!list[i].removed)
            json_array_append_new(keys, json_string(list[i].id));
    if (r >= 0 && !(*ret = json_pack("{s:s, s:i, s:b, s:O}", "repository", store_location(rq->store), "version", store_version(rq->store),
                                     "upgraded", done > 0, "keys", keys)))
        r = err_nomem(err);
    return job_end(rq, r, err);
}
