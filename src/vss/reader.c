/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/guid.h"
#include "base/num.h"
#include "vss/form.h"
#include "vss/vss_text.h"
#include "vss/vss.h"
#include <errno.h>
#include <stdarg.h>
#include <string.h>

void reader_fail(struct reader *rd, xmlNodePtr node, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    if (rd->r < 0)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    rd->r = err_vss(rd->err, VSS_E_CORRUPT_XML_DOCUMENT, EBADMSG, "%s, line %ld, <%.64s>: %s", rd->what, xmlGetLineNo(node),
                    (const char *)node->name, text);
}

void reader_unexpected(struct reader *rd, xmlNodePtr node)
{
    reader_fail(rd, node, "unknown element");
}

void reader_check(struct reader *rd, xmlNodePtr node, int r)
{
    struct err cause = ERR_INIT;

    if (rd->r < 0 || r == 0)
        return;
    err_move(&cause, rd->err);
    if (r == -ENOMEM)
        rd->r = r;
    else
        reader_fail(rd, node, "%s", cause.text);
}

bool reader_is(xmlNodePtr node, const char *name)
{
    return xmlStrEqual(node->name, BAD_CAST name);
}

static bool in_namespace(const struct reader *rd, xmlNodePtr node)
{
    return node->ns && !node->ns->prefix && xmlStrEqual(node->ns->href, BAD_CAST rd->xmlns);
}

xmlNodePtr reader_begin(struct reader *rd, const char *xml, const char *root, const char *version, xmlDocPtr *ret_doc)
{
    _cleanup_xml_ xmlDocPtr doc = NULL;
    int r = xml_parse(xml, strlen(xml), rd->what, &doc, rd->err);

    if (r < 0) {
        struct err cause = ERR_INIT;
        err_move(&cause, rd->err);
        rd->r = r == -ENOMEM ? r : err_vss(rd->err, VSS_E_INVALID_XML_DOCUMENT, -r, "%s", cause.text);
        return NULL;
    }
    xmlNodePtr node = xmlDocGetRootElement(doc);
    if (!reader_is(node, root) || !in_namespace(rd, node))
        reader_fail(rd, node, "expected <%s xmlns=\"%s\">", root, rd->xmlns);
    for (xmlNodePtr n = doc->children; n; n = n->next)
        if (n != node)
            reader_fail(rd, node, "data after or before the root element");
    rd->seen = 0;
    const char *found = reader_text(rd, node, "version", TEXT_NAME_MAX);
    if (rd->r == 0 && strcmp(found, version) != 0)
        reader_fail(rd, node, "version %s is unknown, only %s is known", found, version);
    if (rd->r < 0)
        return NULL;
    *ret_doc = TAKE_PTR(doc);
    return node;
}

xmlNodePtr reader_next(struct reader *rd, xmlNodePtr parent, xmlNodePtr last)
{
    xmlNodePtr node = last ? last->next : parent->children;

    if (rd->r < 0)
        return NULL;
    while (node && node->type == XML_TEXT_NODE && xmlIsBlankNode(node))
        node = node->next;
    if (!node)
        return NULL;
    if (node->type != XML_ELEMENT_NODE)
        reader_fail(rd, parent, "text between elements");
    else if (!in_namespace(rd, node))
        reader_fail(rd, node, "this element is from another vocabulary");
    else if (node->nsDef)
        reader_fail(rd, node, "a namespace is declared here");
    rd->seen = 0;
    return rd->r < 0 ? NULL : node;
}

/* Caller frees. NULL: absent, or failed. */
static char *get(struct reader *rd, xmlNodePtr node, const char *attr, bool needed)
{
    if (rd->r < 0)
        return NULL;
    char *value = xml_attr(node, attr);
    if (value)
        rd->seen++;
    else if (needed)
        reader_fail(rd, node, "attribute %s is missing", attr);
    return value;
}

static const char *reader_keep(struct reader *rd, xmlNodePtr node, const char *attr, size_t max, bool needed)
{
    _cleanup_free_ char *value = get(rd, node, attr, needed);
    const char *kept = NULL;

    if (!value)
        return NULL;
    reader_check(rd, node, text_check(value, max, attr, rd->err));
    if (rd->r == 0)
        rd->r = text_keep(rd->pool, value, &kept, rd->err);
    return kept;
}

const char *reader_text(struct reader *rd, xmlNodePtr node, const char *attr, size_t max)
{
    return reader_keep(rd, node, attr, max, true);
}

const char *reader_opt_text(struct reader *rd, xmlNodePtr node, const char *attr, size_t max)
{
    return reader_keep(rd, node, attr, max, false);
}

const char *reader_guid(struct reader *rd, xmlNodePtr node, const char *attr)
{
    const char *text = reader_text(rd, node, attr, GUID_LEN);
    struct guid canonical;

    /* Only as we write it: another spelling would not be saved as it was. */
    if (text && (!guid_parse(text, &canonical) || strcmp(text, canonical.text) != 0)) {
        reader_fail(rd, node, "attribute %s is not a GUID in lower case", attr);
        return NULL;
    }
    return text;
}

uint64_t reader_number(struct reader *rd, xmlNodePtr node, const char *attr, uint64_t max)
{
    _cleanup_free_ char *value = get(rd, node, attr, true);
    uint64_t n = 0;

    if (value)
        reader_check(rd, node, num_parse_u64(value, 0, max, &n, rd->err));
    if (value && rd->r == 0 && value[0] == '0' && value[1] != '\0')
        reader_fail(rd, node, "attribute %s has leading zeros", attr);
    return rd->r < 0 ? 0 : n;
}

uint32_t reader_hex(struct reader *rd, xmlNodePtr node, const char *attr)
{
    _cleanup_free_ char *value = get(rd, node, attr, true);
    uint32_t n = 0;

    if (!value)
        return 0;
    bool good = strlen(value) == 10 && strncmp(value, "0x", 2) == 0 && strspn(value + 2, "0123456789abcdef") == 8;
    if (!good)
        reader_fail(rd, node, "attribute %s is not of the form 0x00000000", attr);
    else
        n = (uint32_t)strtoul(value, NULL, 16);
    return n;
}

static int reader_find_word(struct reader *rd, xmlNodePtr node, const char *attr, const struct words *w, bool needed)
{
    _cleanup_free_ char *value = get(rd, node, attr, needed);
    int i = value ? words_find(w, value) : 0;

    if (i < 0) {
        reader_fail(rd, node, "attribute %s: '%.64s' is not a %s", attr, value, w->what);
        return 0;
    }
    return i;
}

int reader_word(struct reader *rd, xmlNodePtr node, const char *attr, const struct words *w)
{
    return reader_find_word(rd, node, attr, w, true);
}

int reader_opt_word(struct reader *rd, xmlNodePtr node, const char *attr, const struct words *w)
{
    return reader_find_word(rd, node, attr, w, false);
}

bool reader_bool(struct reader *rd, xmlNodePtr node, const char *attr)
{
    return reader_word(rd, node, attr, &words_bool) == 1;
}

void reader_end(struct reader *rd, xmlNodePtr node, bool leaf)
{
    size_t n = 0;

    if (rd->r < 0)
        return;
    for (xmlAttrPtr a = node->properties; a; a = a->next)
        n++;
    if (n != rd->seen)
        reader_fail(rd, node, "it has %zu attributes, only %zu are known", n, rd->seen);
    else if (leaf && node->children)
        reader_fail(rd, node, "it has content, but none is expected");
}
