/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libxml2 with its sharp edges off: untrusted XML is parsed without network, DTD or entities, bounded in size and depth. */
#ifndef BASE_XML_H
#define BASE_XML_H

#include "base/cleanup.h"
#include <kvss/error.h>
#include <libxml/tree.h>
#include <libxml/xpath.h>
#include <stdbool.h>
#include <stddef.h>

#define XML_TEXT_MAX ((size_t)8 << 20) /* libxml2 itself stops at 10 MB unless all its limits are lifted */

DEFINE_CLEANUP(xmlDocPtr, xmlFreeDoc)
#define _cleanup_xml_ _cleanup_(xmlFreeDoc_p)

/* Parses text of n bytes; `what` names it in errors. -EINVAL malformed, has a DTD or is too deep; -EFBIG longer than XML_TEXT_MAX. */
int xml_parse(const char *text, size_t n, const char *what, xmlDocPtr *ret, struct err *err);

/* In the XPath of the calls below, prefixes mean what they mean at `node`; its default namespace has the prefix "ns". The XPath is
 * a constant of ours: never build one from names that come from outside. */

/* First node that the XPath matches below `node` (relative paths), or NULL. */
xmlNodePtr xml_find(xmlNodePtr node, const char *xpath);
/* All nodes; *ret is malloc'd (NULL if none), count returned. -ENOMEM. */
int xml_find_all(xmlNodePtr node, const char *xpath, xmlNodePtr **ret);
/* Text of the first match (element content or attribute value), or NULL. Caller frees with free(). */
char *xml_get(xmlNodePtr node, const char *xpath);
/* Attribute of node itself, or NULL. Caller frees with free(). */
char *xml_attr(xmlNodePtr node, const char *name);
/* A new, empty element at the end of parent; NULL: out of memory, or parent was NULL. */
xmlNodePtr xml_add(xmlNodePtr parent, const char *name);
void xml_set(xmlNodePtr node, const char *name, const char *value); /* an attribute; node may be NULL */
/* Serialises doc (or only node, if given) as UTF-8. pretty: elements that hold no text (so: no white space either, which
 * xml_parse() keeps) are indented by two blanks. Caller frees with free(). */
int xml_dump(xmlDocPtr doc, xmlNodePtr node, bool pretty, char **ret, struct err *err);

#endif
