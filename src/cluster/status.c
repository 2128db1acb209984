/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a VM is, by crm_mon. A monitor that recurs is in the history of its node from its first run until the cluster has cancelled it. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/proc.h"
#include "cluster/cluster_internal.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS 200u

void cluster_vm_clear(struct cluster_vm *v)
{
    free(v->resource);
    free(v->config);
    free(v->domain);
    free(v->snapshot);
    free(v->here);
    free(v->role);
    free(v->node);
    free(v->disagree);
    *v = (struct cluster_vm){ 0 };
}

static bool status_says(xmlNodePtr node, const char *name)
{
    _cleanup_free_ char *value = xml_attr(node, name);

    return value && strcmp(value, "true") == 0;
}

/* An instance of a clone is called "ID:NUMBER". */
static bool is_resource(xmlNodePtr node, const char *resource)
{
    _cleanup_free_ char *id = xml_attr(node, "id");
    size_t n = strlen(resource);

    return id && strncmp(id, resource, n) == 0 && (id[n] == '\0' || id[n] == ':');
}

static int read_resource(xmlNodePtr node, struct cluster_vm *v, struct err *err)
{
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    int n = xml_find_all(node, "node[@name]", &nodes);

    if (n < 0)
        return err_nomem(err);
    free(v->role);
    if (!(v->role = xml_attr(node, "role")))
        return err_set(err, EBADMSG, "the cluster's status gives no role for resource %s", v->resource);
    v->managed = status_says(node, "managed");
    v->failed |= status_says(node, "failed");
    v->blocked |= status_says(node, "blocked");
    v->orphaned |= status_says(node, "orphaned");
    _cleanup_free_ char *pending = xml_attr(node, "pending");
    v->pending |= pending != NULL;
    for (int i = 0; i < n; i++) {
        v->n_active++;
        if (!v->node && !(v->node = xml_attr(nodes[i], "name")))
            return err_nomem(err);
    }
    return 0;
}

static int read_watched(xmlNodePtr root, struct cluster_vm *v, struct err *err)
{
    _cleanup_free_ xmlNodePtr *list = NULL;
    int n = xml_find_all(root, "node_history/node/resource_history[operation_history[@interval]]", &list);

    for (int i = 0; i < n; i++) { /* where it was before, a monitor stays in the history */
        _cleanup_free_ char *node = xml_attr(list[i]->parent, "name");
        v->watched |= is_resource(list[i], v->resource) && (!v->node || (node && strcmp(node, v->node) == 0));
    }
    return n < 0 ? err_nomem(err) : 0;
}

/* A node of which nobody knows what it does. */
static int read_nodes(xmlNodePtr root, struct cluster_vm *v, struct err *err)
{
    xmlNodePtr unclean = xml_find(root, "nodes/node[@unclean='true' or @pending='true']");

    if (unclean && !(v->disagree = xml_attr(unclean, "name")))
        return err_set(err, EBADMSG, "the cluster's status lists a node without a name");
    /* Lost, and not fenced: it may be alive on the other side. */
    v->uncertain = v->disagree || xml_find(root, "nodes/node[@online='false' and @expected_up='true']") ||
                   xml_find(root, "summary/current_dc[@with_quorum='false']");
    return 0;
}

int cluster_read_status(const char *text, size_t n, struct cluster_vm *v, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = NULL;
    _cleanup_free_ xmlNodePtr *list = NULL;
    int found = 0;

    int r = xml_parse(text, n, "the cluster's status", &doc, err);
    if (r < 0)
        return r;
    xmlNodePtr root = xmlDocGetRootElement(doc);
    if (!xml_find(root, "resources") && !xml_find(root, "nodes"))
        return err_set(err, EBADMSG, "the cluster's status lists neither nodes nor resources");
    free(v->node);
    free(v->disagree);
    v->node = v->disagree = NULL;
    v->n_active = 0;
    v->managed = v->failed = v->blocked = v->orphaned = v->watched = v->pending = v->uncertain = false;
    int n_list = xml_find_all(root, "resources//resource", &list);
    if (n_list < 0)
        return err_nomem(err);
    for (int i = 0; r >= 0 && i < n_list; i++) {
        if (!is_resource(list[i], v->resource))
            continue;
        found++;
        r = read_resource(list[i], v, err);
    }
    if (r >= 0 && !found)
        r = err_set(err, ENOENT, "the cluster's status does not list resource %s", v->resource);
    if (r >= 0)
        r = read_watched(root, v, err);
    return r < 0 ? r : read_nodes(root, v, err);
}

int cluster_look(struct cluster_vm *v, struct err *err)
{
    _cleanup_buf_ struct buf out = BUF_INIT;

    int r = cluster_tool(PROC_ARGV("crm_mon", "-r", "--output-as=xml"), NULL, &out, err);
    return r < 0 ? r : cluster_read_status(out.data ? (const char *)out.data : "", out.len, v, err);
}

bool cluster_is_idle_hand(const struct cluster_vm *v)
{
    return !v->managed && !v->pending && (!v->watched || !v->n_active); /* a stop leaves the monitor in the history */
}

bool cluster_is_in_charge(const struct cluster_vm *v)
{
    return v->managed && v->watched && !v->pending && !v->failed && strcmp(v->role, "Started") == 0;
}

bool cluster_is_stopped(const struct cluster_vm *v)
{
    return !v->n_active && !v->pending && !v->failed && !v->blocked && strcmp(v->role, "Stopped") == 0;
}

int cluster_wait(struct cluster_vm *v, bool (*is)(const struct cluster_vm *v), unsigned ms, const char *what, struct err *err)
{
    uint64_t end = clock_mono_ms() + ms;

    for (;;) {
        int r = cluster_look(v, err);
        if (r < 0 && (r != -ENOTCONN || clock_mono_ms() > end)) /* it may be electing a new coordinator */
            return r;
        if (r < 0)
            err_clear(err);
        else if (is(v))
            return 0;
        if (r >= 0 && clock_mono_ms() > end)
            return err_set(err, ETIMEDOUT, "the cluster %s within %u s (resource %s is %s%s%s%s)", what, ms / 1000, v->resource, v->role,
                           v->node ? " on " : "", v->node ? v->node : "", v->failed ? ", failed" : "");
        clock_sleep_ms(LOOK_MS);
    }
}

/* ---- Asking ---------------------------------------------------------------------------------------------------------------------*/

static int cluster_here(struct cluster_vm *v, struct err *err)
{
    _cleanup_buf_ struct buf out = BUF_INIT;

    int r = cluster_tool(PROC_ARGV("crm_node", "-n"), NULL, &out, err);
    if (r < 0)
        return r;
    v->here = buf_take_str(&out);
    if (!v->here)
        return err_nomem(err);
    v->here[strcspn(v->here, "\n")] = '\0';
    return *v->here ? 0 : err_set(err, EBADMSG, "the cluster does not name this node");
}

static int cluster_describe(xmlNodePtr cib, xmlNodePtr primitive, struct cluster_vm *v, struct err *err)
{
    v->resource = xml_attr(primitive, "id");
    v->config = cib_parameter(cib, primitive, "config");
    v->snapshot = cib_parameter(cib, primitive, "snapshot");
    v->domain = v->config ? cib_domain_name(v->config) : NULL;
    v->copies = xml_find(primitive, "ancestor::clone | ancestor::master | ancestor::bundle") != NULL;
    if (v->snapshot && !*v->snapshot) {
        free(v->snapshot);
        v->snapshot = NULL;
    }
    if (!v->resource || !v->config)
        return err_set(err, EINVAL, "the cluster configuration contains a VM without an ID or definition");
    int r = cluster_here(v, err);
    return r < 0 ? r : cluster_look(v, err);
}

int cluster_ask(const char *name, const char *uuid, struct cluster_vm *ret, struct err *err)
{
    _cleanup_free_ char *stored = NULL;
    _cleanup_xml_ xmlDocPtr doc = NULL;
    xmlNodePtr primitive = NULL;
    struct err unread = ERR_INIT;

    *ret = (struct cluster_vm){ 0 };
    if (!cluster_is_configured())
        return 0;
    int r = cluster_tool_xml(PROC_ARGV("cibadmin", "-Q"), NULL, &doc, err);
    if (r < 0) { /* what this host last knew of the cluster */
        if (cluster_resource(name, uuid, &stored, &unread) < 0)
            return err_move(err, &unread);
        if (stored)
            return err_context(err, "Pacemaker manages VM %s (resource %s)", name, stored);
        err_clear(err);
        return 0;
    }
    if (r >= 0)
        r = cib_find(xmlDocGetRootElement(doc), name, uuid, &primitive, err);
    if (r >= 0 && !primitive)
        return 0;
    if (r >= 0)
        r = cluster_describe(xmlDocGetRootElement(doc), primitive, ret, err);
    return r < 0 ? err_context(err, "cannot ask the cluster about VM %s", name) : 1;
}

int cluster_ask_resource(const char *resource, struct cluster_vm *ret, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = NULL;

    *ret = (struct cluster_vm){ 0 };
    int r = cluster_tool_xml(PROC_ARGV("cibadmin", "-Q"), NULL, &doc, err);
    if (r < 0)
        return r;
    xmlNodePtr primitive = cib_primitive(xmlDocGetRootElement(doc), resource);
    if (!primitive)
        return err_set(err, ENOENT, "the cluster has no resource %s", resource);
    r = cluster_describe(xmlDocGetRootElement(doc), primitive, ret, err);
    return r < 0 ? err_context(err, "cannot ask the cluster about resource %s", resource) : 0;
}
