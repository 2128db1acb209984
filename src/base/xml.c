/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/xml.h"
#include <errno.h>
#include <libxml/parser.h>
#include <libxml/xpathInternals.h>
#include <string.h>

DEFINE_CLEANUP(xmlParserCtxtPtr, xmlFreeParserCtxt)
DEFINE_CLEANUP(xmlXPathContextPtr, xmlXPathFreeContext)
DEFINE_CLEANUP(xmlXPathObjectPtr, xmlXPathFreeObject)
DEFINE_CLEANUP(xmlBufferPtr, xmlBufferFree)

/* A document type declares entities: what expands, and what reads other files, begins there. The parser stops before it
 * looks inside. */
static void refuse_dtd(void *arg, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
    xmlParserCtxtPtr ctxt = arg;

    (void)name, (void)external, (void)system;
    ctxt->_private = ctxt;
    xmlStopParser(ctxt);
}

static int malformed(xmlParserCtxtPtr ctxt, const char *what, struct err *err)
{
    xmlErrorPtr e = xmlCtxtGetLastError(ctxt);

    if (ctxt->_private)
        return err_set(err, EINVAL, "%s has a document type declaration, which is not allowed", what);
    if (e && e->code == XML_ERR_NO_MEMORY)
        return err_nomem(err);
    if (!e || !e->message)
        return err_set(err, EINVAL, "%s is not well-formed XML", what);
    return err_set(err, EINVAL, "%s is not well-formed XML: line %d: %.*s", what, e->line, (int)strcspn(e->message, "\n"), e->message);
}

int xml_parse(const char *text, size_t n, const char *what, xmlDocPtr *ret, struct err *err)
{
    if (n > XML_TEXT_MAX)
        return err_set(err, EFBIG, "%s is longer than the %zu bytes allowed for XML", what, XML_TEXT_MAX);
    xmlInitParser();
    _cleanup_(xmlFreeParserCtxt_p) xmlParserCtxtPtr ctxt = xmlNewParserCtxt();
    if (!ctxt)
        return err_nomem(err);
    ctxt->sax->internalSubset = refuse_dtd;
    /* Without XML_PARSE_HUGE libxml2 bounds the depth (256), names and text by itself. */
    _cleanup_xml_ xmlDocPtr doc =
        xmlCtxtReadMemory(ctxt, text, (int)n, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (!doc || !ctxt->wellFormed || ctxt->_private || !xmlDocGetRootElement(doc))
        return malformed(ctxt, what, err);
    *ret = TAKE_PTR(doc);
    return 0;
}

/* Makes the namespace prefixes that are declared at node usable in the XPath; the default one is called "ns". */
static int register_namespaces(xmlXPathContextPtr ctx, xmlNodePtr node)
{
    xmlNsPtr *list = xmlGetNsList(node->doc, node);
    int r = 0;

    for (size_t i = 0; list && list[i] && r == 0; i++)
        r = xmlXPathRegisterNs(ctx, list[i]->prefix ? list[i]->prefix : BAD_CAST "ns", list[i]->href);
    xmlFree(list);
    return r;
}

static void ignore_error(void *priv, xmlErrorPtr error)
{
    (void)priv, (void)error;
}

/* Nodes that match, or NULL: none, no such XPath, out of memory. */
static xmlXPathObjectPtr evaluate(xmlNodePtr node, const char *xpath)
{
    if (!node)
        return NULL;
    _cleanup_(xmlXPathFreeContext_p) xmlXPathContextPtr ctx = xmlXPathNewContext(node->doc);
    if (!ctx)
        return NULL;
    ctx->error = ignore_error;
    if (register_namespaces(ctx, node) < 0)
        return NULL;
    _cleanup_(xmlXPathFreeObject_p) xmlXPathObjectPtr found = xmlXPathNodeEval(node, BAD_CAST xpath, ctx);
    if (!found || found->type != XPATH_NODESET || !found->nodesetval)
        return NULL;
    return TAKE_PTR(found);
}

/* Namespace "nodes" belong to the result and go with it. */
static bool is_lasting(xmlNodePtr node)
{
    return node->type != XML_NAMESPACE_DECL;
}

xmlNodePtr xml_find(xmlNodePtr node, const char *xpath)
{
    _cleanup_(xmlXPathFreeObject_p) xmlXPathObjectPtr found = evaluate(node, xpath);

    for (int i = 0; found && i < found->nodesetval->nodeNr; i++)
        if (is_lasting(found->nodesetval->nodeTab[i]))
            return found->nodesetval->nodeTab[i];
    return NULL;
}

int xml_find_all(xmlNodePtr node, const char *xpath, xmlNodePtr **ret)
{
    _cleanup_(xmlXPathFreeObject_p) xmlXPathObjectPtr found = evaluate(node, xpath);
    int n = 0;

    *ret = NULL;
    if (!found || found->nodesetval->nodeNr <= 0)
        return 0;
    xmlNodePtr *nodes = calloc((size_t)found->nodesetval->nodeNr, sizeof(xmlNodePtr));
    if (!nodes)
        return -ENOMEM;
    for (int i = 0; i < found->nodesetval->nodeNr; i++)
        if (is_lasting(found->nodesetval->nodeTab[i]))
            nodes[n++] = found->nodesetval->nodeTab[i];
    *ret = nodes;
    return n;
}

/* libxml2 may have been given an allocator of its own; what we hand out is for free(). */
static char *to_malloced(xmlChar *s)
{
    char *copy = s ? strdup((const char *)s) : NULL;

    xmlFree(s);
    return copy;
}

char *xml_get(xmlNodePtr node, const char *xpath)
{
    xmlNodePtr found = xml_find(node, xpath);

    return found ? to_malloced(xmlNodeGetContent(found)) : NULL;
}

char *xml_attr(xmlNodePtr node, const char *name)
{
    return node ? to_malloced(xmlGetNoNsProp(node, BAD_CAST name)) : NULL;
}

static char *dump_doc(xmlDocPtr doc, bool pretty)
{
    xmlChar *text = NULL;
    int n = 0;

    xmlDocDumpFormatMemoryEnc(doc, &text, &n, "UTF-8", pretty);
    return to_malloced(text);
}

static char *dump_node(xmlDocPtr doc, xmlNodePtr node, bool pretty)
{
    _cleanup_(xmlBufferFree_p) xmlBufferPtr buffer = xmlBufferCreate();

    if (!buffer || xmlNodeDump(buffer, doc, node, 0, pretty) < 0)
        return NULL;
    return strdup((const char *)xmlBufferContent(buffer));
}

int xml_dump(xmlDocPtr doc, xmlNodePtr node, bool pretty, char **ret, struct err *err)
{
    char *text = node ? dump_node(doc, node, pretty) : dump_doc(doc, pretty);

    if (!text)
        return err_nomem(err);
    *ret = text;
    return 0;
}

xmlNodePtr xml_add(xmlNodePtr parent, const char *name)
{
    return parent ? xmlNewChild(parent, NULL, BAD_CAST name, NULL) : NULL;
}

void xml_set(xmlNodePtr node, const char *name, const char *value)
{
    if (node)
        xmlNewProp(node, BAD_CAST name, BAD_CAST value);
}
