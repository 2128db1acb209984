/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Structs as JSON objects by a table of their members, so that what is written and what is read cannot differ. What is read is untrusted:
 * texts and lists are bounded, and a member of another type than it should have is as if it were not there. */
#ifndef WRITERS_VM_VM_FIELD_H
#define WRITERS_VM_VM_FIELD_H

#include <jansson.h>
#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vm_field_kind {
    FIELD_TEXT,     /* char *, owned; null: NULL */
    FIELD_TEXTS,    /* char **, owned: a list of them */
    FIELD_BOOL,     /* bool */
    FIELD_OPT_BOOL, /* struct vm_opt */
    FIELD_U64,      /* uint64_t; below 0, or no number: 0 */
    FIELD_OPT_U64,  /* struct vm_opt; below 0: not known */
    FIELD_OPT_INT,  /* struct vm_opt, of which the value is an int64_t */
    FIELD_MS,       /* struct vm_ms */
    FIELD_ENUM,     /* an enum: one of `names`; a value without a name is null */
    FIELD_OWNER,    /* struct owner, its members among those of the object */
    FIELD_OBJECT,   /* a struct whose first member is a bool: it is known; else null */
    FIELD_LIST,     /* pointer to the first of *n_at structs, owned */
};

struct vm_opt {
    bool known;
    uint64_t value;
};
struct vm_ms {
    bool known;
    double ms;
};

struct vm_field {
    const char *key;
    enum vm_field_kind kind;
    size_t at;                 /* offset in the struct */
    size_t max;                /* TEXT: its length; TEXTS, LIST: entries. What is longer is not there; of TEXTS and LIST the rest is not */
    bool whole;                /* LIST: more entries than that are an error */
    bool omit;                 /* where it is not known, or a LIST empty, the member is missing, not null */
    const char *const *names;  /* ENUM: by value */
    int n_names, other;        /* ENUM: how many, and what any other name stands for */
    const char *within;        /* TEXTS: each is the member of that name of an object */
    const struct vm_shape *of; /* OBJECT, LIST */
    size_t n_at;               /* LIST: offset of the count, a size_t */
};
struct vm_shape {
    size_t size; /* of the struct */
    size_t n;
    const struct vm_field *fields;
};

/* -ENOMEM. */
int vm_fields_to_json(const struct vm_shape *shape, const void *from, json_t *to);
/* Into a struct that is all zero, also after a failure to be cleared. -EUCLEAN, -ENOMEM. */
int vm_fields_from_json(const struct vm_shape *shape, const json_t *from, void *to, struct err *err);
void vm_fields_clear(const struct vm_shape *shape, void *of);

#endif
