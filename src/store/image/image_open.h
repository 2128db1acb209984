/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STORE_IMAGE_IMAGE_OPEN_H
#define STORE_IMAGE_IMAGE_OPEN_H

#include "store/handle/handle.h"

struct store_point {
    struct store *store;
    char id[STORE_ID_LEN + 1];
    struct point_data data;
    char **documents, **images;
};

struct store_image {
    struct store *store;
    struct tree_reader *tree;
    struct tree_root root;
    char name[STORE_NAME_MAX + 1];
    char point[STORE_ID_LEN + 1];
    uint64_t size;
};

/* n bytes at `within` of a chunk; what the chunk does not have is zero. */
int read_chunk(struct store *s, struct tree_reader *tree, uint64_t chunk, size_t within, uint8_t *p, size_t n, struct err *err);

#endif
