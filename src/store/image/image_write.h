/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STORE_IMAGE_IMAGE_WRITE_H
#define STORE_IMAGE_IMAGE_WRITE_H

#include "store/handle/handle.h"

/* A chunk that is being put together from parts. */
struct part {
    uint64_t chunk;
    uint64_t tick;
    size_t covered; /* bytes written so far; ranges do not overlap */
    uint8_t bytes[CHUNK_SIZE];
};

struct store_image_writer {
    struct store_writer *writer;
    struct point_stream stream;
    struct tree_writer *tree;
    struct packer_stream packing;
    pthread_mutex_t lock; /* stats */
    struct store_stats stats;
    uint64_t stored_nodes;
    pthread_mutex_t parts_lock; /* below */
    struct part **parts;
    size_t parts_n;
    uint64_t tick;
};

/* Whole chunks from number `first` on; only the last may be short. */
int image_whole(struct store_image_writer *iw, uint64_t first, const uint8_t *p, size_t n, struct err *err);
/* n bytes (p NULL: zeros) at `within` of a chunk. */
int image_part(struct store_image_writer *iw, uint64_t chunk, size_t within, const uint8_t *p, size_t n, struct err *err);
int image_parts_end(struct store_image_writer *iw, struct err *err);
void image_parts_free(struct store_image_writer *iw);

#endif
