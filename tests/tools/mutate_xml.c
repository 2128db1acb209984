/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mutate_xml.h"
#include <libxml/parser.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOCUMENT_MAX 1000000

static size_t count(xmlNodePtr n)
{
    size_t sum = 0;

    for (xmlNodePtr c = n->children; c; c = c->next)
        if (c->type == XML_ELEMENT_NODE)
            sum += 1 + count(c);
    return sum;
}

/* Element number *at below n; itself not counted. */
static xmlNodePtr pick(xmlNodePtr n, size_t *at)
{
    for (xmlNodePtr c = n->children; c; c = c->next) {
        if (c->type != XML_ELEMENT_NODE)
            continue;
        if ((*at)-- == 0)
            return c;
        xmlNodePtr found = pick(c, at);
        if (found)
            return found;
    }
    return NULL;
}

static const char *value(const char *path)
{
    static const char *const of[] = { "", "-1", "18446744073709551616", "0", "..", "../../x", "%s%n", "network", "block", "qemu", "raw" };
    size_t i = (size_t)random() % (2 * sizeof(of) / sizeof(of[0]));

    return i < sizeof(of) / sizeof(of[0]) ? of[i] : path;
}

/* What has the host run or open something. */
static void add_evil(xmlNodePtr root, const char *path)
{
    static const char *const of[] = {
        "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:arg value='-incoming'/><qemu:arg "
        "value='exec:%s'/></qemu:commandline>",
        "<devices><interface type='ethernet'><script path='%s'/><mac address='52:54:00:00:00:01'/></interface></devices>",
        "<devices><emulator>%s</emulator></devices>",
        "<devices><disk type='file' device='disk'><source file='%s'/><target dev='vdz'/></disk></devices>",
        "<devices><filesystem type='mount'><source dir='%s'/><target dir='x'/></filesystem></devices>",
        "<os><kernel>%s</kernel></os>",
        "<devices><serial type='file'><source path='%s'/><target port='1'/></serial></devices>",
        "<devices><hostdev mode='subsystem' type='pci'><source><address domain='0' bus='0' slot='1' function='0'/></source></hostdev>"
        "</devices>",
    };
    char text[4096];
    xmlNodePtr into = root;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, of[(size_t)random() % (sizeof(of) / sizeof(of[0]))], path);
#pragma GCC diagnostic pop
    xmlDocPtr doc = xmlReadMemory(text, (int)strlen(text), NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR);
    xmlNodePtr what = doc ? xmlDocGetRootElement(doc) : NULL;
    if (what && what->ns == NULL && what->children) { /* into the element of that name, if there is one */
        for (xmlNodePtr c = root->children; c; c = c->next)
            into = c->type == XML_ELEMENT_NODE && xmlStrEqual(c->name, what->name) ? c : into;
        what = into == root ? what : what->children;
    }
    if (what)
        xmlAddChild(into, xmlDocCopyNode(what, root->doc, 1));
    xmlFreeDoc(doc);
}

static void change_attribute(xmlNodePtr n, const char *path)
{
    size_t number = 0, chosen;

    for (xmlAttrPtr a = n->properties; a; a = a->next)
        number++;
    if (!number)
        return;
    chosen = (size_t)random() % number;
    for (xmlAttrPtr a = n->properties; a; a = a->next)
        if (chosen-- == 0) {
            if (random() % 4)
                xmlSetProp(n, a->name, BAD_CAST value(path));
            else
                xmlRemoveProp(a);
            return;
        }
}

static void change(xmlNodePtr root, const char *path)
{
    size_t n = count(root), at = n ? (size_t)random() % n : 0;
    xmlNodePtr e = n ? pick(root, &at) : NULL;

    if (!e)
        return;
    switch (random() % 8) {
    case 0:
        xmlUnlinkNode(e);
        xmlFreeNode(e);
        break;
    case 1: xmlAddNextSibling(e, xmlCopyNode(e, 1)); break;
    case 2: xmlNodeSetName(e, BAD_CAST "x"); break;
    case 3:
        if (!e->children || e->children->type == XML_TEXT_NODE)
            xmlNodeSetContent(e, BAD_CAST value(path));
        break;
    case 4: add_evil(root, path); break;
    default: change_attribute(e, path);
    }
}

int mutate_xml(const char *seed, const char *path)
{
    char *text = malloc(DOCUMENT_MAX);
    size_t n = text ? fread(text, 1, DOCUMENT_MAX, stdin) : 0;
    xmlDocPtr doc = n ? xmlReadMemory(text, (int)n, NULL, NULL, XML_PARSE_NONET) : NULL;
    xmlNodePtr root = doc ? xmlDocGetRootElement(doc) : NULL;

    free(text);
    if (!root)
        return 1;
    srandom((unsigned)atoi(seed));
    for (long changes = random() % 4 + 1; changes > 0; changes--)
        change(root, path);
    int r = xmlDocDump(stdout, doc) < 0;
    xmlFreeDoc(doc);
    return r;
}
