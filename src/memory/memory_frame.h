/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The frame of a saved state, being made and being read. Also what both sides need to know of QEMU's stream. */
#ifndef MEMORY_MEMORY_FRAME_H
#define MEMORY_MEMORY_FRAME_H

#include "base/cleanup.h"
#include "memory/memory.h"
#include <stdbool.h>

/* QEMU's migration/ram.c; an address is a multiple of MEMORY_PAGE, so that the flags have room below. */
#define RAM_ZERO 0x02u
#define RAM_SIZE 0x04u
#define RAM_PAGE 0x08u
#define RAM_END 0x10u
#define RAM_CONTINUE 0x20u /* of the block of the record before, which is not named again */
#define RAM_FLAGS 0xfffu

#define FRAME_BLOCKS_MAX 1024u
#define FRAME_PLACES_MAX ((uint64_t)1 << 34) /* 64 TiB of memory */

/* A block of the VM's memory ("pc.ram", "vga.vram"). */
struct frame_block {
    uint8_t len;
    char id[255];
    uint64_t first, pages; /* its places */
};
struct frame_head {
    uint64_t size, places;
    struct frame_block *blocks;
    size_t n;
};
void frame_head_free(struct frame_head *h);
#define _cleanup_frame_head_ _cleanup_(frame_head_free)
/* Adds a block behind those that are there. -EUCLEAN: too much. -ENOMEM */
int frame_head_add(struct frame_head *h, const void *id, uint8_t len, uint64_t pages);
/* NULL: no such block. */
const struct frame_block *frame_head_named(const struct frame_head *h, const void *id, uint8_t len);
const struct frame_block *frame_head_of(const struct frame_head *h, uint64_t place);

/* Records of pages, one after the other, in places one after the other. */
struct frame_run {
    uint64_t place, n;
    bool zero;  /* pages of zeros, which have no bytes */
    bool named; /* the first record names its block */
};

struct frame_writer {
    struct buf body, bytes; /* bytes: not in the body yet */
    struct frame_run run;   /* nor is this; one of the two is empty */
    uint64_t next;          /* place after the last one in the body */
};
void frame_writer_free(struct frame_writer *w);
#define _cleanup_frame_writer_ _cleanup_(frame_writer_free)
/* All of them: -ENOTSUP: the frame would be too large. -ENOMEM */
int frame_writer_bytes(struct frame_writer *w, const void *p, size_t n);
int frame_writer_record(struct frame_writer *w, uint64_t place, bool zero, bool named);
/* Appends head and body. */
int frame_writer_end(struct frame_writer *w, const struct frame_head *head, struct buf *ret);

struct frame_reader {
    const uint8_t *p, *end;
    uint64_t next;
};
struct frame_step {
    const uint8_t *bytes; /* n of them; NULL: it is the run */
    size_t n;
    struct frame_run run;
};
/* Reads the head; r stands at the first step then. -EUCLEAN */
int frame_reader_begin(const void *p, size_t n, struct frame_reader *r, struct frame_head *ret);
/* 1, or 0 at the end. -EUCLEAN */
int frame_reader_next(struct frame_reader *r, struct frame_step *ret);

#endif
