/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strings that live as long as a document, and arrays that grow. A string that is replaced stays in its pool, so that a writer
 * may go on reading what it was handed while another thread sets a new one. */
#ifndef VSS_VSS_POOL_H
#define VSS_VSS_POOL_H

#include <stddef.h>

struct pool_item;
struct pool {
    struct pool_item *items;
};

const char *pool_copy(struct pool *p, const char *s); /* NULL: out of memory */
void pool_free(struct pool *p);

/* Room for one more behind n elements: the array to use from now on, or NULL (then the old one is still good). */
void *array_grow(void *p, size_t n, size_t size);
#define ARRAY_GROW(p, n)                                  \
    ({                                                    \
        void *grown_ = array_grow((p), (n), sizeof *(p)); \
        if (grown_)                                       \
            (p) = grown_;                                 \
        grown_ != NULL;                                   \
    })

#endif
