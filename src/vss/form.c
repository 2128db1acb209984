/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vss/form.h"
#include "base/buf.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

xmlNodePtr form_begin(struct form *f, const char *root, const char *xmlns, const char *version)
{
    *f = (struct form){ .doc = xmlNewDoc(BAD_CAST "1.0") };
    xmlNodePtr node = f->doc ? xmlNewDocNode(f->doc, NULL, BAD_CAST root, NULL) : NULL;

    if (!node) {
        f->failed = true;
        return NULL;
    }
    xmlDocSetRootElement(f->doc, node);
    xmlNsPtr ns = xmlNewNs(node, BAD_CAST xmlns, NULL);
    f->failed = !ns;
    xmlSetNs(node, ns);
    form_text(f, node, "version", version);
    return node;
}

xmlNodePtr form_add(struct form *f, xmlNodePtr parent, const char *name)
{
    xmlNodePtr node = f->failed ? NULL : xmlNewChild(parent, NULL, BAD_CAST name, NULL);

    f->failed |= !node;
    return node;
}

void form_text(struct form *f, xmlNodePtr node, const char *attr, const char *value)
{
    if (!f->failed && value && !xmlNewProp(node, BAD_CAST attr, BAD_CAST value))
        f->failed = true;
}

void form_number(struct form *f, xmlNodePtr node, const char *attr, uint64_t value)
{
    char text[32];

    snprintf(text, sizeof text, "%" PRIu64, value);
    form_text(f, node, attr, text);
}

void form_hex(struct form *f, xmlNodePtr node, const char *attr, uint32_t value)
{
    char text[16];

    snprintf(text, sizeof text, "0x%08" PRIx32, value);
    form_text(f, node, attr, text);
}

void form_word(struct form *f, xmlNodePtr node, const char *attr, const struct words *w, size_t value)
{
    form_text(f, node, attr, words_get(w, value));
}

void form_bool(struct form *f, xmlNodePtr node, const char *attr, bool value)
{
    form_word(f, node, attr, &words_bool, value);
}

int form_end(struct form *f, char **ret_xml, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = TAKE_PTR(f->doc);
    _cleanup_free_ char *xml = NULL;

    if (f->failed)
        return err_nomem(err);
    int r = xml_dump(doc, NULL, true, &xml, err);
    if (r < 0)
        return r;
    if (strlen(xml) > XML_TEXT_MAX)
        return err_set(err, EFBIG, "the document would be longer than %zu bytes", XML_TEXT_MAX);
    *ret_xml = TAKE_PTR(xml);
    return 0;
}
