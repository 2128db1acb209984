/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pacemaker's configuration, the CIB, as each node keeps it on disk: there too while the cluster does not answer. A resource names the file
 * of its VM's definition, and that file names the VM. */
#include "base/guid.h"
#include "base/io.h"
#include "base/strv.h"
#include "base/xml.h"
#include "cluster/cluster_internal.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CIB "/var/lib/pacemaker/cib/cib.xml"
#define DEFINITION_MAX ((size_t)1 << 20)
#define VIRTUAL_DOMAIN "@class='ocf' and @provider='heartbeat' and @type='VirtualDomain'"

static char *own_parameter(xmlNodePtr node, const char *name)
{
    _cleanup_free_ xmlNodePtr *pairs = NULL;
    int n = xml_find_all(node, "instance_attributes/nvpair[@name and @value]", &pairs);

    for (int i = 0; i < n; i++) {
        _cleanup_free_ char *its_name = xml_attr(pairs[i], "name");
        if (its_name && strcmp(its_name, name) == 0)
            return xml_attr(pairs[i], "value");
    }
    return NULL;
}

/* A primitive's own attribute comes before that of its template. */
char *cib_parameter(xmlNodePtr cib, xmlNodePtr primitive, const char *name)
{
    char *value = own_parameter(primitive, name);
    _cleanup_free_ char *template = value ? NULL : xml_attr(primitive, "template");
    _cleanup_free_ xmlNodePtr *templates = NULL;
    int n = template ? xml_find_all(cib, ".//template[" VIRTUAL_DOMAIN "]", &templates) : 0;

    for (int i = 0; i < n && !value; i++) {
        _cleanup_free_ char *id = xml_attr(templates[i], "id");
        if (id && strcmp(id, template) == 0)
            value = own_parameter(templates[i], name);
    }
    return value;
}

/* By the file's own name, where it cannot be read: it is on another node, say. */
static bool is_named_after(const char *config, const char *name)
{
    _cleanup_free_ char *base = io_basename(config), *expected = str_format("%s.xml", name);

    return base && expected && strcmp(base, expected) == 0;
}

char *cib_domain_name(const char *config)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_xml_ xmlDocPtr doc = NULL;

    if (io_read_file(config, DEFINITION_MAX, &text, NULL) < 0 || !text.data ||
        xml_parse((const char *)text.data, text.len, "the definition", &doc, NULL) < 0)
        return NULL;
    return xml_get(xmlDocGetRootElement(doc), "name");
}

static bool is_config_of(const char *config, const char *name, const char *uuid)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_xml_ xmlDocPtr doc = NULL;

    if (io_read_file(config, DEFINITION_MAX, &text, NULL) < 0 || !text.data ||
        xml_parse((const char *)text.data, text.len, "the definition", &doc, NULL) < 0)
        return is_named_after(config, name);
    _cleanup_free_ char *its_name = xml_get(xmlDocGetRootElement(doc), "name");
    _cleanup_free_ char *its_uuid = xml_get(xmlDocGetRootElement(doc), "uuid");
    return (its_name && strcmp(its_name, name) == 0) || (its_uuid && guid_equal(its_uuid, uuid));
}

xmlNodePtr cib_primitive(xmlNodePtr cib, const char *id)
{
    _cleanup_free_ xmlNodePtr *primitives = NULL;
    int n = xml_find_all(cib, ".//primitive[@id]", &primitives);

    for (int i = 0; i < n; i++) {
        _cleanup_free_ char *its_id = xml_attr(primitives[i], "id");
        if (its_id && strcmp(its_id, id) == 0)
            return primitives[i];
    }
    return NULL;
}

int cib_find(xmlNodePtr cib, const char *name, const char *uuid, xmlNodePtr *ret, struct err *err)
{
    _cleanup_free_ xmlNodePtr *primitives = NULL;
    int n = xml_find_all(cib, ".//primitive[@template or (" VIRTUAL_DOMAIN ")]", &primitives);

    *ret = NULL;
    for (int i = 0; i < n && !*ret; i++) {
        _cleanup_free_ char *config = cib_parameter(cib, primitives[i], "config");
        if (config && is_config_of(config, name, uuid))
            *ret = primitives[i];
    }
    return n < 0 ? err_errno(err, -n, "cannot read the cluster configuration") : 0;
}

static int find_resource(xmlNodePtr cib, const char *name, const char *uuid, char **ret, struct err *err)
{
    xmlNodePtr primitive = NULL;

    int r = cib_find(cib, name, uuid, &primitive, err);
    if (r < 0 || !primitive)
        return r;
    *ret = xml_attr(primitive, "id");
    return *ret ? 0 : err_set(err, EINVAL, "the cluster configuration contains a resource without an ID");
}

int cluster_resource_in(const char *cib, const char *name, const char *uuid, char **ret, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_xml_ xmlDocPtr doc = NULL;

    *ret = NULL;
    int r = io_read_file(cib, XML_TEXT_MAX, &text, err);
    if (r == -ENOENT || r == -ENOTDIR) {
        err_clear(err);
        return 0;
    }
    if (r >= 0)
        r = xml_parse(text.data ? (const char *)text.data : "", text.len, "the cluster configuration", &doc, err);
    if (r >= 0)
        r = find_resource(xmlDocGetRootElement(doc), name, uuid, ret, err);
    return r < 0 ? err_context(err, "cannot determine whether a cluster manages VM %s", name) : 0;
}

/* A cluster's VMs are root's; nobody else can read its configuration. What cannot be told counts as one. */
bool cluster_is_configured(void)
{
    return geteuid() == 0 && (access(CIB, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR));
}

int cluster_resource(const char *name, const char *uuid, char **ret, struct err *err)
{
    *ret = NULL;
    return geteuid() == 0 ? cluster_resource_in(CIB, name, uuid, ret, err) : 0;
}
