/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small helps around jansson. What is parsed came from writers, documents and repositories: untrusted, so bounded. */
#include "base/json.h"
#include <errno.h>
#include <string.h>

#define JSON_TEXT_MAX ((size_t)64 << 20)

json_t *json_text(const char *s)
{
    json_t *j = s ? json_string(s) : NULL;

    return j ? j : json_null();
}

json_t *json_text_format(const char *fmt, va_list ap)
{
    _cleanup_free_ char *text = NULL;

    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    return json_text(text);
}

json_t *json_strv(char *const *v)
{
    json_t *a = json_array();

    for (size_t i = 0; a && v && v[i]; i++)
        json_array_append_new(a, json_text(v[i]));
    return a;
}

int json_parse_object(const char *text, size_t n, const char *what, json_t **ret, struct err *err)
{
    json_error_t why;

    if (n > JSON_TEXT_MAX)
        return err_set(err, EINVAL, "%s: longer than %zu bytes", what, JSON_TEXT_MAX);
    /* jansson bounds the depth itself (JSON_PARSER_MAX_DEPTH). */
    json_t *j = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    if (!j)
        return err_set(err, EINVAL, "%s: line %d: %s", what, why.line, why.text);
    if (!json_is_object(j)) {
        json_decref(j);
        return err_set(err, EINVAL, "%s: not a JSON object", what);
    }
    *ret = j;
    return 0;
}

const char *json_get_text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

uint64_t json_get_u64(const json_t *o, const char *key)
{
    json_int_t v = json_integer_value(json_object_get(o, key));

    return v > 0 ? (uint64_t)v : 0;
}

json_t *json_copy_key(json_t *to, const json_t *from, const char *key)
{
    json_t *v = json_object_get(from, key);

    json_object_set_new(to, key, v ? json_incref(v) : json_null());
    return json_object_get(to, key);
}

static int json_add_piece(const char *p, size_t n, void *priv)
{
    return buf_add(priv, p, n) < 0 ? -1 : 0;
}

int json_to_buf(const json_t *o, struct buf *ret, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    if (json_dump_callback(o, json_add_piece, &b, JSON_INDENT(1) | JSON_SORT_KEYS) < 0)
        return err_nomem(err);
    buf_free(ret);
    *ret = b;
    b = (struct buf)BUF_INIT;
    return 0;
}
