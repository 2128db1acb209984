/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/object/names.h"
#include <errno.h>
#include <string.h>

void names_free(struct names *x)
{
    free(x->list);
    *x = (struct names){ 0 };
}

int names_add(struct names *x, const struct object_name *name)
{
    if ((x->n & (x->n - 1)) == 0) {
        struct object_name *list = reallocarray(x->list, x->n ? 2 * x->n : 1, sizeof *list);
        if (!list)
            return -ENOMEM;
        x->list = list;
    }
    x->list[x->n++] = *name;
    return 0;
}

static int object_names_compare(const void *a, const void *b)
{
    return memcmp(a, b, OBJECT_NAME_LEN);
}

void names_sort(struct names *x)
{
    size_t used = 0;

    if (x->n)
        qsort(x->list, x->n, sizeof *x->list, object_names_compare);
    for (size_t i = 0; i < x->n; i++)
        if (used == 0 || object_names_compare(&x->list[i], &x->list[used - 1]) != 0)
            x->list[used++] = x->list[i];
    /* The capacity follows from n (names_add()), so it is given up down to what n says. */
    if (used < x->n) {
        size_t cap = 1;
        while (cap < used)
            cap *= 2;
        struct object_name *list = reallocarray(x->list, cap, sizeof *list);
        x->list = list ? list : x->list;
    }
    x->n = used;
}

bool names_has(const struct names *x, const struct object_name *name)
{
    return x->n && bsearch(name, x->list, x->n, sizeof *x->list, object_names_compare);
}

static int names_add_one(void *priv, const char *text)
{
    struct object_name name;

    return crypt_unhex(text, name.b, sizeof name.b) ? names_add(priv, &name) : 0;
}

int names_list(struct env *env, const char *folder, struct names *ret, struct err *err)
{
    _cleanup_names_ struct names x = { 0 };
    int r = backend_list(env->backend, folder, names_add_one, &x, err);

    if (r < 0)
        return r;
    names_sort(&x);
    *ret = x;
    x = (struct names){ 0 };
    return 0;
}
