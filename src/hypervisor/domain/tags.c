/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words that people give to VMs, in libvirt's own metadata: <tags xmlns="urn:kvss:tags"><tag>web</tag></tags>. virsh metadata reads and
 * writes them too, so what is found there is anybody's. */
#include "base/xml.h"
#include "hypervisor/domain/domain_state.h"
#include "hypervisor/host/host.h"
#include <errno.h>
#include <string.h>

#define TAGS_BYTES_MAX ((size_t)256 << 10)

bool hv_tag_is_valid(const char *tag)
{
    size_t n = strlen(tag);
    static const char signs[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:@/=+-";

    return n > 0 && n <= HV_TAG_MAX && tag[strspn(tag, signs)] == '\0' && tag[0] != '-';
}

static int tags_find(struct hv *hv, const char *uuid, virDomainPtr *ret, struct err *err)
{
    *ret = virDomainLookupByUUIDString(hv->conn, uuid);
    if (*ret)
        return 0;
    return hv_virt_code() == VIR_ERR_NO_DOMAIN ? err_set(err, ENOENT, "VM %s no longer exists at %s", uuid, hv->uri)
                                               : hv_virt_error(err, "cannot find VM %s", uuid);
}

/* What is no tag is passed by: whoever wrote it did not mean kvss. */
static int tags_parse(const char *text, char ***tags, struct err *err)
{
    static const char blanks[] = " \t\r\n";
    _cleanup_xml_ xmlDocPtr doc = NULL;
    _cleanup_free_ xmlNodePtr *nodes = NULL;

    if (strlen(text) > TAGS_BYTES_MAX)
        return err_set(err, E2BIG, "larger than %zu KiB", TAGS_BYTES_MAX >> 10);
    int r = xml_parse(text, strlen(text), "the tags", &doc, err);
    if (r < 0)
        return r;
    int n = xml_find_all(xmlDocGetRootElement(doc), "*[local-name() = 'tag']", &nodes);
    for (int i = 0; i < n && strv_len(*tags) < HV_TAGS_MAX; i++) {
        _cleanup_free_ char *content = xml_get(nodes[i], "."), *tag = NULL;
        const char *at = content ? content + strspn(content, blanks) : "";
        size_t n_tag = strcspn(at, blanks);
        if (!(tag = strndup(at, n_tag)))
            return err_nomem(err);
        if (at[n_tag + strspn(at + n_tag, blanks)])
            continue; /* more than one word */
        if (hv_tag_is_valid(tag) && !strv_has(*tags, tag) && strv_add(tags, tag) < 0)
            return err_nomem(err);
    }
    return 0;
}

/* of: VIR_DOMAIN_AFFECT_LIVE or ..._CONFIG. What has no such definition has no tags in it. */
static int tags_read(virDomainPtr dom, const char *uuid, unsigned of, char ***tags, struct err *err)
{
    _cleanup_free_ char *text = virDomainGetMetadata(dom, VIR_DOMAIN_METADATA_ELEMENT, HV_TAGS_URI, of);

    if (text) {
        int r = tags_parse(text, tags, err);
        return r < 0 ? err_context(err, "cannot read the tags of VM %s", uuid) : 0;
    }
    switch (hv_virt_code()) {
    case VIR_ERR_NO_DOMAIN_METADATA:
    case VIR_ERR_OPERATION_INVALID:
    case VIR_ERR_NO_DOMAIN: return 0;
    default: return hv_virt_error(err, "cannot read the tags of VM %s", uuid);
    }
}

/* The definitions that it has: VIR_DOMAIN_AFFECT_CONFIG, ..._LIVE. */
static int tags_places(virDomainPtr dom, const char *uuid, unsigned *ret, struct err *err)
{
    int persistent = virDomainIsPersistent(dom), active = persistent < 0 ? -1 : virDomainIsActive(dom);

    if (active < 0)
        return hv_virt_error(err, "cannot read the state of VM %s", uuid);
    *ret = (persistent ? VIR_DOMAIN_AFFECT_CONFIG : 0u) | (active ? VIR_DOMAIN_AFFECT_LIVE : 0u);
    return 0;
}

int hv_tags(struct hv *hv, const char *uuid, char ***ret, struct err *err)
{
    _cleanup_(virDomainFree_p) virDomainPtr dom = NULL;
    _cleanup_strv_ char **tags = NULL;
    unsigned in = 0;

    int r = tags_find(hv, uuid, &dom, err);
    if (r >= 0)
        r = tags_places(dom, uuid, &in, err);
    if (r >= 0 && in & VIR_DOMAIN_AFFECT_CONFIG)
        r = tags_read(dom, uuid, VIR_DOMAIN_AFFECT_CONFIG, &tags, err);
    if (r >= 0 && in & VIR_DOMAIN_AFFECT_LIVE)
        r = tags_read(dom, uuid, VIR_DOMAIN_AFFECT_LIVE, &tags, err);
    if (r < 0)
        return r;
    if (tags)
        strv_sort(tags);
    *ret = TAKE_PTR(tags);
    return 0;
}

int hv_tags_set(struct hv *hv, const char *uuid, char *const *tags, struct err *err)
{
    _cleanup_(virDomainFree_p) virDomainPtr dom = NULL;
    _cleanup_buf_ struct buf text = BUF_INIT;
    unsigned to = 0;

    int r = tags_find(hv, uuid, &dom, err);
    if (r >= 0)
        r = tags_places(dom, uuid, &to, err);
    if (r < 0)
        return r;
    r = buf_addf(&text, "<tags>");
    for (char *const *t = tags; t && *t && r >= 0; t++)
        r = hv_tag_is_valid(*t) ? buf_addf(&text, "<tag>%s</tag>", *t) : err_set(err, EINVAL, "'%s' is not a tag", *t);
    if (r >= 0)
        r = buf_addf(&text, "</tags>");
    if (r < 0)
        return r == -EINVAL ? r : err_nomem(err);
    const char *xml = tags && *tags ? (const char *)text.data : NULL;
    if (virDomainSetMetadata(dom, VIR_DOMAIN_METADATA_ELEMENT, xml, "kvss", HV_TAGS_URI, to) < 0 &&
        (xml || hv_virt_code() != VIR_ERR_NO_DOMAIN_METADATA))
        return hv_virt_error(err, "cannot store the tags of VM %s", uuid);
    return 0;
}

int hv_state_now(struct hv *hv, const char *uuid, enum hv_state *ret, struct err *err)
{
    _cleanup_(virDomainFree_p) virDomainPtr dom = NULL;
    int state = 0, reason = 0, saved = 0;
    const char *detail;

    int r = tags_find(hv, uuid, &dom, err);
    if (r < 0)
        return r;
    if (virDomainGetState(dom, &state, &reason, 0) < 0)
        return hv_virt_error(err, "cannot read the state of VM %s", uuid);
    if (state == VIR_DOMAIN_SHUTOFF)
        saved = virDomainHasManagedSaveImage(dom, 0); /* below 0: it has just ended, or is undefined */
    *ret = domain_state_from(state, reason, saved > 0, &detail);
    return 0;
}
