/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requester/repository/repository.h"
#include <errno.h>

int requester_init(struct requester *rq, const struct requester_init *job, json_t **ret, struct err *err)
{
    const struct requester_config *c = &rq->config;
    _cleanup_(key_wipe_p) char *passphrase = NULL;

    rq->end = REQUESTER_DONE;
    int r = repository_check_encryption(rq, !job->no_encryption, c->repository ? c->repository : "", err);
    if (r >= 0 && !c->repository)
        r = err_set(err, EINVAL, "no repository given: use --repository FOLDER or set KVSS_REPOSITORY");
    if (r >= 0 && !job->no_encryption && !c->key_file)
        r = key_given(rq, &passphrase, err);
    if (r >= 0 && !job->no_encryption && !c->key_file && !passphrase) {
        r = key_asked(rq, "Passphrase for the new repository: ", true, &passphrase, err);
        if (r < 0)
            err_context(err, "a repository is encrypted unless --no-encryption is given");
    }
    if (r < 0)
        return job_end(rq, r, err);
    key_file_look(rq, job->no_encryption ? NULL : c->key_file);

    struct store_init init = { .no_encryption = job->no_encryption, .make_parents = job->make_parents, .version = job->version };
    if (!job->no_encryption)
        init.key = (struct store_key){ .passphrase = passphrase, .key_file = c->key_file };
    struct store_open o = { .key = init.key, .log = c->log };
    r = store_create(c->repository, &init, err);
    if (r >= 0)
        r = store_open(c->repository, &o, &rq->store, err);
    if (r >= 0)
        r = known_meet(rq, KNOWN_FOUNDED, err);
    if (r >= 0)
        (void)known_sign(rq, STORE_ENTRY_BASE, NULL);
    if (r >= 0 && !(*ret = json_pack("{s:s, s:s, s:b, s:i}", "repository", store_location(rq->store), "guid", store_guid(rq->store),
                                     "encrypted", !job->no_encryption, "version", store_version(rq->store))))
        r = err_nomem(err);
    return job_end(rq, r, err);
}
