/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A saved state of a VM taken apart: its pages of memory, and the frame that they were in. QEMU writes the pages of a running or paused VM
 * in an order of its own, at odd places of its stream, so that two saved states of one VM have hardly a block in common. By their addresses
 * they have. docs/format.md, "Memory". Knows no VM, libvirt or repository; what it reads may come from anywhere. */
#ifndef MEMORY_MEMORY_H
#define MEMORY_MEMORY_H

#include "base/buf.h"
#include <kvss/error.h>

#define MEMORY_PAGE 4096u
#define MEMORY_FRAME_MAX ((size_t)64 << 20)

/* ---- Apart ----------------------------------------------------------------------------------------------------------------*/
struct memory_sink {
    /* Before the first page. places: there are so many, one for each page that the VM's memory has. */
    int (*begin)(void *priv, uint64_t places, struct err *err);
    /* No place is given twice. p: MEMORY_PAGE bytes, the caller's. */
    int (*page)(void *priv, uint64_t place, const uint8_t *p, struct err *err);
    int (*passed)(void *priv, uint64_t n, struct err *err); /* n more bytes are about to be read */
    void *priv;
};
/* Takes apart what libvirt's head and QEMU's stream of version 3 in fd (size bytes) are. The frame is appended to `frame`. -ENOTSUP: it is
 * none, or has something unknown in it (compressed, say): it has to be kept as it is. Or what the sink returned. */
int memory_split(int fd, uint64_t size, const struct memory_sink *sink, struct buf *frame, struct err *err);

/* ---- Together -------------------------------------------------------------------------------------------------------------*/
/* In the order of the saved state. What they return, unless it is 0, ends memory_join(), which returns it. */
struct memory_out {
    int (*bytes)(void *priv, const void *p, size_t n, struct err *err);
    int (*page)(void *priv, uint64_t place, struct err *err); /* MEMORY_PAGE bytes of that place */
    void *priv;
};
/* -EUCLEAN: it is no frame, or yields something else than what it says. Never yields more than *ret_size of memory_frame_size(). */
int memory_join(const void *frame, size_t n, const struct memory_out *out, struct err *err);
/* Bytes of the saved state, and of places in it. -EUCLEAN */
int memory_frame_size(const void *frame, size_t n, uint64_t *ret_size, uint64_t *ret_places, struct err *err);

#endif
