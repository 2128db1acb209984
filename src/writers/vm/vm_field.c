/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "writers/vm/vm_field.h"
#include "base/json.h"
#include "base/owner.h"
#include "base/strv.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TEXTS_LEN_MAX 65536 /* of each of several texts */

static const void *field_in(const struct vm_field *f, const void *of)
{
    return (const char *)of + f->at;
}

static void *field_of(const struct vm_field *f, void *of)
{
    return (char *)of + f->at;
}

/* The first entry; a pointer to another type for each list, so it is copied. */
static void *list_at(const struct vm_field *f, const void *of)
{
    void *entries;

    memcpy(&entries, field_in(f, of), sizeof(entries));
    return entries;
}

static size_t list_count(const struct vm_field *f, const void *of)
{
    return *(const size_t *)(const void *)((const char *)of + f->n_at);
}

/* ---- To JSON --------------------------------------------------------------------------------------------------------------*/

static json_t *texts_to(const struct vm_field *f, char *const *texts)
{
    json_t *list = json_array();

    for (; list && texts && *texts; texts++) {
        json_t *e = f->within ? json_pack("{s:o}", f->within, json_text(*texts)) : json_text(*texts);
        if (json_array_append_new(list, e) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *object_to(const struct vm_shape *shape, const void *from)
{
    json_t *o = json_object();

    if (o && vm_fields_to_json(shape, from, o) < 0) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static json_t *list_to(const struct vm_field *f, const void *of)
{
    const char *entries = list_at(f, of);
    json_t *list = json_array();

    for (size_t i = 0; list && i < list_count(f, of); i++)
        if (json_array_append_new(list, object_to(f->of, entries + i * f->of->size)) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *enum_to(const struct vm_field *f, const void *at)
{
    int value;

    memcpy(&value, at, sizeof(value));
    return json_text(value >= 0 && value < f->n_names ? f->names[value] : NULL);
}

/* Whether there is a value; an owner is none by itself. */
static bool has_value(const struct vm_field *f, const void *of)
{
    const void *at = field_in(f, of);

    switch (f->kind) {
    case FIELD_TEXT: return *(char *const *)at != NULL;
    case FIELD_OPT_BOOL:
    case FIELD_OPT_U64:
    case FIELD_OPT_INT: return ((const struct vm_opt *)at)->known;
    case FIELD_MS: return ((const struct vm_ms *)at)->known;
    case FIELD_OBJECT: return *(const bool *)at;
    case FIELD_LIST: return list_count(f, of) > 0;
    case FIELD_TEXTS:
    case FIELD_BOOL:
    case FIELD_U64:
    case FIELD_ENUM:
    case FIELD_OWNER: break;
    }
    return true;
}

static json_t *field_to(const struct vm_field *f, const void *of)
{
    const void *at = field_in(f, of);

    if (f->kind != FIELD_LIST && !has_value(f, of))
        return json_null();
    switch (f->kind) {
    case FIELD_TEXT: return json_text(*(char *const *)at);
    case FIELD_TEXTS: return texts_to(f, *(char *const *const *)at);
    case FIELD_BOOL: return json_boolean(*(const bool *)at);
    case FIELD_OPT_BOOL: return json_boolean(((const struct vm_opt *)at)->value);
    case FIELD_U64: return json_integer((json_int_t) * (const uint64_t *)at);
    case FIELD_OPT_U64:
    case FIELD_OPT_INT: return json_integer((json_int_t)((const struct vm_opt *)at)->value);
    case FIELD_MS: return json_real(((const struct vm_ms *)at)->ms);
    case FIELD_ENUM: return enum_to(f, at);
    case FIELD_OBJECT: return object_to(f->of, at);
    case FIELD_LIST: return list_to(f, of);
    case FIELD_OWNER: break;
    }
    return NULL;
}

int vm_fields_to_json(const struct vm_shape *shape, const void *from, json_t *to)
{
    for (size_t i = 0; i < shape->n; i++) {
        const struct vm_field *f = &shape->fields[i];
        const void *at = field_in(f, from);

        if (f->kind == FIELD_OWNER ? owner_to_json(at, to) < 0
                                   : (!f->omit || has_value(f, from)) && json_object_set_new(to, f->key, field_to(f, from)) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* ---- From JSON ------------------------------------------------------------------------------------------------------------*/

static int text_from(const struct vm_field *f, const json_t *v, char **ret)
{
    if (!json_is_string(v) || json_string_length(v) > f->max)
        return 0;
    return (*ret = strdup(json_string_value(v))) ? 0 : -ENOMEM;
}

static int texts_from(const struct vm_field *f, const json_t *list, char ***ret)
{
    for (size_t i = 0; i < json_array_size(list) && i < f->max; i++) {
        const json_t *e = json_array_get(list, i), *v = f->within ? json_object_get(e, f->within) : e;
        if (json_is_string(v) && json_string_length(v) <= TEXTS_LEN_MAX && strv_add(ret, json_string_value(v)) < 0)
            return -ENOMEM;
    }
    return 0;
}

static void opt_from(const struct vm_field *f, const json_t *v, struct vm_opt *ret)
{
    json_int_t n = json_integer_value(v);

    if (f->kind == FIELD_OPT_BOOL)
        *ret = json_is_boolean(v) ? (struct vm_opt){ true, json_is_true(v) } : (struct vm_opt){ 0 };
    else if (json_is_integer(v) && (n >= 0 || f->kind == FIELD_OPT_INT))
        *ret = (struct vm_opt){ true, (uint64_t)n };
}

static void ms_from(const json_t *v, struct vm_ms *ret)
{
    double ms = json_number_value(v);

    if (json_is_number(v) && isfinite(ms) && ms >= 0)
        *ret = (struct vm_ms){ true, ms };
}

static void enum_from(const struct vm_field *f, const json_t *v, void *ret)
{
    const char *name = json_string_value(v);
    int value = f->other;

    for (int i = 0; name && i < f->n_names; i++)
        if (f->names[i] && !strcmp(f->names[i], name))
            value = i;
    memcpy(ret, &value, sizeof(value));
}

/* Entries that are no objects are passed over. */
static int list_from(const struct vm_field *f, const json_t *list, void *of, struct err *err)
{
    size_t *n = (void *)((char *)of + f->n_at), size = json_array_size(list);

    if (size > f->max && f->whole)
        return err_set(err, EUCLEAN, "it lists %zu %s, at most %zu are possible", size, f->key, f->max);
    if (size > f->max)
        size = f->max;
    char *entries = calloc(size + 1, f->of->size);
    if (!entries)
        return err_nomem(err);
    memcpy(field_of(f, of), &entries, sizeof(entries));
    for (size_t i = 0; i < size; i++) {
        const json_t *e = json_array_get(list, i);
        int r = json_is_object(e) ? vm_fields_from_json(f->of, e, entries + *n * f->of->size, err) : 0;
        *n += json_is_object(e); /* also where it failed: it is cleared with the others */
        if (r < 0)
            return r;
    }
    return 0;
}

static int object_from(const struct vm_field *f, const json_t *v, void *at, struct err *err)
{
    if (!json_is_object(v))
        return 0;
    *(bool *)at = true;
    return vm_fields_from_json(f->of, v, at, err);
}

static int field_from(const struct vm_field *f, const json_t *from, void *to, struct err *err)
{
    const json_t *v = f->key ? json_object_get(from, f->key) : NULL;
    void *at = field_of(f, to);
    int r = 0;

    switch (f->kind) {
    case FIELD_TEXT: r = text_from(f, v, at); break;
    case FIELD_TEXTS: r = texts_from(f, v, at); break;
    case FIELD_BOOL: *(bool *)at = json_is_true(v); break;
    case FIELD_OPT_BOOL:
    case FIELD_OPT_U64:
    case FIELD_OPT_INT: opt_from(f, v, at); break;
    case FIELD_U64: *(uint64_t *)at = json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v) : 0; break;
    case FIELD_MS: ms_from(v, at); break;
    case FIELD_ENUM: enum_from(f, v, at); break;
    case FIELD_OWNER: r = owner_from_json(from, at, NULL); break;
    case FIELD_OBJECT: return object_from(f, v, at, err);
    case FIELD_LIST: return list_from(f, v, to, err);
    }
    return r < 0 ? err_nomem(err) : 0;
}

int vm_fields_from_json(const struct vm_shape *shape, const json_t *from, void *to, struct err *err)
{
    int r = 0;

    for (size_t i = 0; i < shape->n && r >= 0; i++)
        r = field_from(&shape->fields[i], from, to, err);
    return r;
}

/* ---- Clearing -------------------------------------------------------------------------------------------------------------*/

static void list_clear(const struct vm_field *f, void *of)
{
    size_t *n = (void *)((char *)of + f->n_at);
    char *entries = list_at(f, of);

    for (size_t i = 0; i < *n; i++)
        vm_fields_clear(f->of, entries + i * f->of->size);
    free(entries);
}

static void field_clear(const struct vm_field *f, void *of)
{
    void *at = field_of(f, of);

    switch (f->kind) {
    case FIELD_TEXT: free(*(char **)at); break;
    case FIELD_TEXTS: strv_free(*(char ***)at); break;
    case FIELD_OWNER: owner_clear(at); break;
    case FIELD_OBJECT: vm_fields_clear(f->of, at); break;
    case FIELD_LIST: list_clear(f, of); break;
    case FIELD_BOOL:
    case FIELD_OPT_BOOL:
    case FIELD_U64:
    case FIELD_OPT_U64:
    case FIELD_OPT_INT:
    case FIELD_MS:
    case FIELD_ENUM: break;
    }
}

void vm_fields_clear(const struct vm_shape *shape, void *of)
{
    for (size_t i = 0; i < shape->n; i++)
        field_clear(&shape->fields[i], of);
    memset(of, 0, shape->size);
}
