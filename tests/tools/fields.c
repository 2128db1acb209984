/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fields < DEFINITION: every field of a VM's definition as a line PATH=VALUE, so that two can be compared field by field whatever their
 * order is. A device is called by what it is known by: the target of a disk, the MAC of a NIC, the number of a controller, else its
 * count. */
#include "base/buf.h"
#include "base/xml.h"
#include <libxml/parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_value(const char *path, const char *name, xmlChar *value)
{
    printf("%s%s=%s\n", path, name, value ? (const char *)value : "");
    xmlFree(value);
}

/* The first of these that the device has. */
static char *key_of(xmlNodePtr device)
{
    static const char *const keys[] = { "mac/@address", "target/@dev", "@index" };
    char *key = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(keys) && !key; i++)
        key = xml_get(device, keys[i]);
    return key;
}

static unsigned count_before(xmlNodePtr node)
{
    unsigned n = 1;

    for (xmlNodePtr p = node->prev; p; p = p->prev)
        n += p->type == XML_ELEMENT_NODE && xmlStrEqual(p->name, node->name);
    return n;
}

static char *path_of(const char *parent, xmlNodePtr node)
{
    const char *name = (const char *)node->name;
    _cleanup_free_ char *key = xmlStrEqual(node->parent->name, BAD_CAST "devices") ? key_of(node) : NULL;
    _cleanup_free_ char *type = key && strcmp(name, "controller") == 0 ? xml_get(node, "@type") : NULL;

    return key ? str_format("%s/%s[%s%s]", parent, name, type ? type : "", key) : str_format("%s/%s[%u]", parent, name, count_before(node));
}

static void print_node(const char *parent, xmlNodePtr node)
{
    _cleanup_free_ char *path = path_of(parent, node);
    bool leaf = true;

    for (xmlAttrPtr a = node->properties; a; a = a->next) {
        _cleanup_free_ char *name = str_format("/@%s", (const char *)a->name);
        print_value(path, name, xmlNodeGetContent((xmlNodePtr)a));
    }
    for (xmlNodePtr child = node->children; child; child = child->next)
        if (child->type == XML_ELEMENT_NODE) {
            leaf = false;
            print_node(path, child);
        }
    if (leaf)
        print_value(path, "", xmlNodeGetContent(node));
}

int main(void)
{
    _cleanup_xml_ xmlDocPtr doc = xmlReadFd(0, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOBLANKS);

    if (!doc)
        return 1;
    print_node("", xmlDocGetRootElement(doc));
    return 0;
}
