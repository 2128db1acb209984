/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tags of VMs, by which backups choose them. The running definition and that for the next start get the same. */
#include "requester/session/session.h"
#include <errno.h>

static int check_tags(char *const *tags, struct err *err)
{
    for (; tags && *tags; tags++)
        if (!hv_tag_is_valid(*tags))
            return err_set(err, EINVAL, "'%s' is not a tag: use up to %d letters, digits and . _ : @ / = + -, not beginning with -", *tags,
                           HV_TAG_MAX);
    return 0;
}

/* Those that are to be there. */
static int new_tags(const struct requester_tag *job, char *const *had, char ***ret, struct err *err)
{
    for (char *const *t = had; t && *t; t++)
        if (!strv_has(job->remove, *t) && strv_add(ret, *t) < 0)
            return err_nomem(err);
    for (char *const *t = job->add; t && *t; t++)
        if (!strv_has(*ret, *t) && strv_add(ret, *t) < 0)
            return err_nomem(err);
    if (strv_len(*ret) > HV_TAGS_MAX)
        return err_set(err, E2BIG, "more than %d tags", HV_TAGS_MAX);
    if (*ret)
        strv_sort(*ret);
    return 0;
}

static int tag_one(struct hv *hv, const struct requester_tag *job, const char *uuid, json_t *vms, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    _cleanup_strv_ char **had = NULL, **tags = NULL;

    int r = hv_domain_glance(hv, uuid, &d, err);
    if (r >= 0)
        r = hv_tags(hv, uuid, &had, err);
    if (r < 0)
        return r;
    for (char *const *t = job->remove; t && *t; t++)
        if (!strv_has(had, *t))
            return err_set(err, ENOENT, "VM %s does not have the tag '%s'", d->name, *t);
    r = new_tags(job, had, &tags, err);
    if (r >= 0 && (job->add || job->remove))
        r = hv_tags_set(hv, uuid, tags, err);
    if (r < 0)
        return err_context(err, "VM %s", d->name);
    json_array_append_new(vms, json_pack("{s:s, s:s, s:o}", "name", d->name, "uuid", d->uuid, "tags", json_strv(tags)));
    return 0;
}

int requester_tag(struct requester *rq, const struct requester_tag *job, json_t **ret, struct err *err)
{
    _cleanup_(hv_close_p) struct hv *hv = NULL;
    _cleanup_strv_ char **uuids = NULL;
    _cleanup_json_ json_t *vms = json_array();

    rq->end = REQUESTER_DONE;
    int r = vms ? check_tags(job->add, err) : err_nomem(err);
    if (r >= 0)
        r = check_tags(job->remove, err);
    if (r >= 0)
        r = hv_connect(rq, &hv, err);
    if (r >= 0)
        r = select_vms(hv, &(struct vm_selection){ .names = job->vms }, &uuids, NULL, err);
    for (char **uuid = uuids; r >= 0 && uuid && *uuid; uuid++)
        r = tag_one(hv, job, *uuid, vms, err);
    if (r >= 0 && !(*ret = json_pack("{s:O}", "vms", vms)))
        r = err_nomem(err);
    return job_end(rq, r, err);
}
