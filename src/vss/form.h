/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing and reading the two documents. Both sides carry their first failure with them, so that callers read as a list of
 * attributes and ask once at the end. Reading is strict: an element, attribute or text that is not asked for is an error, so that
 * what is loaded and saved again is the same document. */
#ifndef VSS_FORM_H
#define VSS_FORM_H

#include "base/xml.h"
#include "vss/vss_names.h"
#include "vss/vss_pool.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <stdint.h>

/* ---- Writing --------------------------------------------------------------------------------------------------------------*/
struct form {
    xmlDocPtr doc;
    bool failed; /* out of memory */
};
xmlNodePtr form_begin(struct form *f, const char *root, const char *xmlns, const char *version);
xmlNodePtr form_add(struct form *f, xmlNodePtr parent, const char *name);
void form_text(struct form *f, xmlNodePtr node, const char *attr, const char *value); /* NULL: no such attribute */
void form_number(struct form *f, xmlNodePtr node, const char *attr, uint64_t value);
void form_hex(struct form *f, xmlNodePtr node, const char *attr, uint32_t value);
void form_word(struct form *f, xmlNodePtr node, const char *attr, const struct words *w, size_t value); /* no word: no attribute */
void form_bool(struct form *f, xmlNodePtr node, const char *attr, bool value);
/* The text of the document; frees it in any case. -EFBIG: longer than what can be read back. */
int form_end(struct form *f, char **ret_xml, struct err *err);

/* ---- Reading --------------------------------------------------------------------------------------------------------------*/
struct reader {
    const char *what; /* "writer metadata document" */
    const char *xmlns;
    struct pool *pool; /* where strings go */
    struct err *err;
    int r;       /* 0, or the first failure; then every call below does nothing and yields 0, false, NULL */
    size_t seen; /* attributes of the present element that were asked for */
};
/* Parses and checks the root element and its version; its other attributes are to be asked for. *ret_doc: caller frees. */
xmlNodePtr reader_begin(struct reader *rd, const char *xml, const char *root, const char *version, xmlDocPtr *ret_doc);
/* The next element child after `last` (NULL: the first), or NULL: no more. */
xmlNodePtr reader_next(struct reader *rd, xmlNodePtr parent, xmlNodePtr last);
bool reader_is(xmlNodePtr node, const char *name);
/* Fails with "unexpected element". */
void reader_unexpected(struct reader *rd, xmlNodePtr node);
void reader_fail(struct reader *rd, xmlNodePtr node, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

const char *reader_text(struct reader *rd, xmlNodePtr node, const char *attr, size_t max);     /* must be there */
const char *reader_opt_text(struct reader *rd, xmlNodePtr node, const char *attr, size_t max); /* NULL: absent */
const char *reader_guid(struct reader *rd, xmlNodePtr node, const char *attr);
uint64_t reader_number(struct reader *rd, xmlNodePtr node, const char *attr, uint64_t max);
uint32_t reader_hex(struct reader *rd, xmlNodePtr node, const char *attr);
int reader_word(struct reader *rd, xmlNodePtr node, const char *attr, const struct words *w);     /* must be there */
int reader_opt_word(struct reader *rd, xmlNodePtr node, const char *attr, const struct words *w); /* 0: absent */
bool reader_bool(struct reader *rd, xmlNodePtr node, const char *attr);
/* To be called when all attributes of node were asked for: any other is an error. `leaf`: no child element may follow. */
void reader_end(struct reader *rd, xmlNodePtr node, bool leaf);
/* Takes over the result r of a check whose text is in rd->err. */
void reader_check(struct reader *rd, xmlNodePtr node, int r);

#endif
