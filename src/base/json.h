/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small helps around jansson. What is parsed came from writers, documents and repositories: untrusted, so bounded. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"
#include "base/cleanup.h"
#include <jansson.h>
#include <kvss/error.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

DEFINE_CLEANUP(json_t *, json_decref)
#define _cleanup_json_ _cleanup_(json_decref_p)

json_t *json_text(const char *s); /* string, or null for NULL or what is not UTF-8 */
json_t *json_text_format(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0))); /* the same; null: out of memory */
json_t *json_strv(char *const *v);
/* Parsing with limits. -EINVAL; `what` names it. *ret is an object. */
int json_parse_object(const char *text, size_t n, const char *what, json_t **ret, struct err *err);
const char *json_get_text(const json_t *o, const char *key);            /* NULL unless a string */
uint64_t json_get_u64(const json_t *o, const char *key);                /* 0 unless a number >= 0 */
json_t *json_copy_key(json_t *to, const json_t *from, const char *key); /* returns the value; null where there is none */
int json_to_buf(const json_t *o, struct buf *ret, struct err *err);

#endif
