/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A lease is one block of meta attributes with a rule that ends it: the cluster itself goes back to what its administrator wants if nobody
 * is left to take the lease away. Its id says whose it is, so that an undo removes this one and no other. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/strv.h"
#include "cluster/cluster_internal.h"
#include <errno.h>
#include <string.h>
#include <time.h>

#define OUTRANKS "INFINITY" /* what the administrator has set */

static void set_id(xmlNodePtr node, const char *id, const char *suffix)
{
    _cleanup_free_ char *text = str_format("%s%s", id, suffix);

    xml_set(node, "id", text ? text : "");
}

/* "2026-12-01 15:00:00Z", as rules want it */
static void format_end(unsigned seconds, char ret[static 32])
{
    time_t end = (time_t)(clock_wall_us() / 1000000) + (time_t)seconds;
    struct tm tm;

    if (!gmtime_r(&end, &tm) || !strftime(ret, 32, "%Y-%m-%d %H:%M:%SZ", &tm))
        ret[0] = '\0';
}

static void set_until(xmlNodePtr date, const struct cluster_lease *l)
{
    char end[32];

    format_end(l->seconds, end);
    set_id(date, l->id, "-until");
    xml_set(date, "operation", "lt");
    xml_set(date, "end", end);
}

xmlNodePtr lease_add(xmlNodePtr primitive, const struct cluster_lease *l)
{
    xmlNodePtr block = xml_add(primitive, "meta_attributes"), rule = NULL;

    xml_set(block, "id", l->id);
    xml_set(block, "score", OUTRANKS);
    if (l->seconds) {
        rule = xml_add(block, "rule");
        set_id(rule, l->id, "-rule");
        xml_set(rule, "score", "INFINITY");
        xmlNodePtr date = xml_add(rule, "date_expression");
        set_until(date, l);
        if (!date)
            return NULL;
    }
    xmlNodePtr value = xml_add(block, "nvpair");
    set_id(value, l->id, "-value");
    xml_set(value, "name", l->order == CLUSTER_STOP ? "target-role" : "maintenance");
    xml_set(value, "value", l->order == CLUSTER_STOP ? "Stopped" : "true");
    return value ? block : NULL;
}

/* Nothing is made that is not there, but blocks of those that are. */
static int cib_modify(xmlDocPtr doc, struct err *err)
{
    _cleanup_free_ char *text = NULL;

    int r = xml_dump(doc, xmlDocGetRootElement(doc), false, &text, err);
    return r < 0 ? r : cluster_tool(PROC_ARGV("cibadmin", "--modify", "-o", "resources", "-X", text), NULL, NULL, err);
}

int cluster_lease_set(const struct cluster_lease *l, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = xmlNewDoc(BAD_CAST "1.0");
    xmlNodePtr primitive = doc ? xmlNewDocNode(doc, NULL, BAD_CAST "primitive", NULL) : NULL;

    if (!primitive)
        return err_nomem(err);
    xmlDocSetRootElement(doc, primitive);
    xml_set(primitive, "id", l->resource);
    if (!lease_add(primitive, l))
        return err_nomem(err);
    int r = cib_modify(doc, err);
    if (r < 0 && l->order == CLUSTER_STOP)
        return err_context(err, "cannot ask the cluster to stop resource %s", l->resource);
    return r < 0 ? err_context(err, "cannot ask the cluster to leave resource %s alone", l->resource) : 0;
}

/* Only an element that is there: what has been removed must not come back. */
int cluster_lease_renew(const struct cluster_lease *l, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = xmlNewDoc(BAD_CAST "1.0");
    xmlNodePtr date = doc ? xmlNewDocNode(doc, NULL, BAD_CAST "date_expression", NULL) : NULL;

    if (!date)
        return err_nomem(err);
    xmlDocSetRootElement(doc, date);
    set_until(date, l);
    return cib_modify(doc, err);
}

/* Of a configuration. */
int lease_end(xmlNodePtr cib, const char *id, int64_t *ret_us, struct err *err)
{
    _cleanup_free_ xmlNodePtr *blocks = NULL;
    int n = xml_find_all(cib, ".//meta_attributes[rule/date_expression/@end]", &blocks), r = n < 0 ? err_nomem(err) : 0;

    *ret_us = 0;
    for (int i = 0; r >= 0 && i < n; i++) {
        _cleanup_free_ char *its_id = xml_attr(blocks[i], "id"), *end = xml_get(blocks[i], "rule/date_expression/@end");
        if (its_id && end && strcmp(its_id, id) == 0)
            r = clock_parse_local(end, ret_us, err);
    }
    return r;
}

int cluster_lease_left(const char *id, unsigned *ret_seconds, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = NULL;
    int64_t end = 0;

    int r = cluster_tool_xml(PROC_ARGV("cibadmin", "-Q"), NULL, &doc, err);
    if (r >= 0)
        r = lease_end(xmlDocGetRootElement(doc), id, &end, err);
    if (r < 0)
        return r;
    int64_t left = (end - clock_wall_us()) / 1000000;
    *ret_seconds = left > 0 ? (unsigned)left : 0;
    return 0;
}

int cluster_refresh(const char *resource, struct err *err)
{
    int r = cluster_tool(PROC_ARGV("crm_resource", "--refresh", "--resource", resource), NULL, NULL, err);

    return r < 0 ? err_context(err, "cannot have the cluster look at resource %s again", resource) : 0;
}

int cluster_lease_drop(const char *id, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = xmlNewDoc(BAD_CAST "1.0");
    xmlNodePtr block = doc ? xmlNewDocNode(doc, NULL, BAD_CAST "meta_attributes", NULL) : NULL;
    _cleanup_free_ char *text = NULL;

    if (!block)
        return err_nomem(err);
    xmlDocSetRootElement(doc, block);
    xml_set(block, "id", id);
    int r = xml_dump(doc, block, false, &text, err);
    if (r >= 0)
        r = cluster_tool(PROC_ARGV("cibadmin", "--delete", "-X", text), NULL, NULL, err);
    if (r == -ENOENT) {
        err_clear(err);
        return 0;
    }
    return r < 0 ? err_context(err, "cannot return the VM to its cluster") : 0;
}

/* ---- What it would do ---------------------------------------------------------------------------------------------------------------*/

int cluster_read_actions(const char *text, size_t n, char ***ret, char ***ret_resources, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = NULL;
    _cleanup_free_ xmlNodePtr *list = NULL;

    int r = xml_parse(text, n, "the cluster's plan", &doc, err);
    if (r < 0)
        return r;
    xmlNodePtr root = xmlDocGetRootElement(doc);
    if (!xml_find(root, "actions"))
        return err_set(err, EBADMSG, "the cluster's plan lists no actions");
    int n_list = xml_find_all(root, "actions/*", &list);
    if (n_list < 0)
        return err_nomem(err);
    for (int i = 0; i < n_list; i++) {
        _cleanup_free_ char *action = xml_attr(list[i], "action"), *resource = xml_attr(list[i], "resource");
        _cleanup_free_ char *node = xml_attr(list[i], "node");
        if (strv_addf(ret, "%s %s%s%s", action ? action : (const char *)list[i]->name, resource ? resource : "", node ? " on node " : "",
                      node ? node : "") < 0 ||
            strv_add(ret_resources, resource ? resource : "") < 0)
            return err_nomem(err);
    }
    return 0;
}

static int plan_for(const struct buf *cib, char ***ret, char ***ret_resources, struct err *err)
{
    _cleanup_buf_ struct buf out = BUF_INIT;

    int r = cluster_tool(PROC_ARGV("crm_simulate", "--run", "--xml-pipe", "--output-as=xml"), cib, &out, err);
    return r < 0 ? r : cluster_read_actions(out.data ? (const char *)out.data : "", out.len, ret, ret_resources, err);
}

/* The configuration with the lease in it. */
static int with_lease(const struct buf *cib, const struct cluster_lease *l, struct buf *ret, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = NULL;
    _cleanup_free_ char *text = NULL;

    int r = xml_parse((const char *)cib->data, cib->len, "the cluster configuration", &doc, err);
    if (r < 0)
        return r;
    xmlNodePtr primitive = cib_primitive(xmlDocGetRootElement(doc), l->resource);
    if (!primitive)
        return err_set(err, ENOENT, "the cluster has no resource %s", l->resource);
    if (!lease_add(primitive, l))
        return err_nomem(err);
    r = xml_dump(doc, NULL, false, &text, err);
    if (r >= 0 && buf_adds(ret, text) < 0)
        r = err_nomem(err);
    return r;
}

int cluster_lease_foresee(const struct cluster_lease *l, struct err *err)
{
    _cleanup_buf_ struct buf cib = BUF_INIT, changed = BUF_INIT, others = BUF_INIT;
    _cleanup_strv_ char **before = NULL, **before_of = NULL, **after = NULL, **after_of = NULL;

    int r = cluster_tool(PROC_ARGV("cibadmin", "-Q"), NULL, &cib, err);
    if (r >= 0 && !cib.data)
        r = err_set(err, EBADMSG, "the cluster gives no configuration");
    if (r >= 0)
        r = with_lease(&cib, l, &changed, err);
    if (r >= 0)
        r = plan_for(&cib, &before, &before_of, err);
    if (r >= 0)
        r = plan_for(&changed, &after, &after_of, err);
    if (r < 0)
        return err_context(err, "cannot determine what the cluster would do");
    for (size_t i = 0; after && after[i]; i++)
        if (strcmp(after_of[i], l->resource) != 0 && !strv_has(before, after[i]) &&
            buf_addf(&others, "%s%s", others.len ? ", " : "", after[i]) < 0)
            return err_nomem(err);
    return others.len ? err_set(err, EBUSY, "the cluster would also %s", (const char *)others.data) : 0;
}
