/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A requester, and the repository that it opens. */
#include "requester/repository/known.h"
#include "store/store.h"
#include "requester/repository/repository.h"
#include <errno.h>

void requester_use_huge_pages(void)
{
    store_use_huge_pages();
}

int requester_new(const struct requester_config *config, struct requester **ret, struct err *err)
{
    struct requester *rq = calloc(1, sizeof(*rq));
    if (!rq)
        return err_nomem(err);
    rq->config = *config;
    *ret = rq;
    return 0;
}

void requester_free(struct requester *r)
{
    if (!r)
        return;
    store_close(r->store);
    known_free(r->known);
    json_decref(r->failures);
    free(r);
}

/* What a person can do about it. */
static int repository_explain(int r, struct err *err)
{
    struct err why = { 0 };

    if (r != -ENOENT || !err)
        return r;
    why = *err;
    return err_set(err, ENOENT, "%s; kvss init creates a repository", why.text);
}

static int open_store(struct requester *rq, struct err *err)
{
    _cleanup_(key_wipe_p) char *passphrase = NULL;
    const struct requester_config *c = &rq->config;

    if (!c->repository)
        return err_set(err, EINVAL,
                       "no repository given: use --repository FOLDER, set KVSS_REPOSITORY, or add 'repository = FOLDER' to kvss.conf");
    int r = c->key_file ? 0 : key_given(rq, &passphrase, err);
    if (r < 0)
        return r;
    key_file_look(rq, c->key_file);

    _cleanup_free_ char *first_key = known_first_key(rq);
    struct store_open o = {
        .key = { .passphrase = passphrase, .key_file = c->key_file },
        .key_memory = c->key_memory,
        .first_key = first_key,
        .zstd_level = c->compression,
        .log = c->log,
    };
    struct err why = ERR_INIT; /* kept apart: what is mended by asking has not failed */
    bool nothing_given = !passphrase && !c->key_file;
    r = store_open(c->repository, &o, &rq->store, &why);
    if (r >= 0)
        return r;
    if (r != -EACCES || !nothing_given)
        return repository_explain(err_move(err, &why), err);

    /* Encrypted, and only now is it worth asking someone. */
    _cleanup_free_ char *prompt = str_format("Passphrase of repository %s: ", c->repository);
    r = prompt ? key_asked(rq, prompt, false, &passphrase, err) : err_nomem(err);
    if (r < 0)
        return r == -EINTR ? r : err_context(err, "repository %s is encrypted", c->repository);
    o.key.passphrase = passphrase;
    return store_open(c->repository, &o, &rq->store, err);
}

int repository_check_encryption(struct requester *rq, bool encrypted, const char *location, struct err *err)
{
    if (encrypted || !rq->config.encryption_required)
        return 0;
    rq->end = REQUESTER_REFUSED;
    return err_set(err, EPERM, "the repository %s is not encrypted, but kvss.conf has 'encryption = required'", location);
}

/* How much must not be wrong with it. */
static int strictness(enum known_use use)
{
    switch (use) {
    case KNOWN_LOOK:
    case KNOWN_CHECK: return 0;
    case KNOWN_TRUST: return 1;
    case KNOWN_REHEARSE: return 2;
    default: return 3;
    }
}

int repository_open_for(struct requester *rq, enum known_use use, struct err *err)
{
    if (rq->store && strictness(use) <= rq->met)
        return 0;
    int r = rq->store ? 0 : open_store(rq, err); /* one that was met for less so far is met again, more strictly */
    if (r >= 0)
        r = repository_check_encryption(rq, store_encrypted(rq->store), rq->config.repository, err);
    known_free(TAKE_PTR(rq->known));
    if (r >= 0)
        r = known_meet(rq, use, err);
    rq->met = strictness(use);
    if (r >= 0 && use == KNOWN_CHANGE)
        known_make_up(rq);
    if (r < 0)
        store_close(TAKE_PTR(rq->store));
    return r;
}

int repository_open(struct requester *rq, struct err *err)
{
    return repository_open_for(rq, KNOWN_LOOK, err);
}
