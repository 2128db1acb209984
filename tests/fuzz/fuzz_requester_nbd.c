/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A backup from an NBD server that lies: about its size, about what is where and what has changed, in the form of its replies, and by
 * what it leaves out. The server is a real one on a socket, whose answers are the input; the reading is all of transfer_read(), and only
 * the store is a stand-in. What arrives is within the image, is aligned and comes once, or the reading fails. */
#include "base/io.h"
#include "base/num.h"
#include "fuzz.h"
#include "nbd_server.h"
#include "transfer/transfer.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK ((uint64_t)65536)
#define WRITTEN_MAX ((uint64_t)8 << 20) /* the part of the image whose chunks are counted */

/* ---- The store ---------------------------------------------------------------------------------------------------------------------*/

struct store_image {
    uint64_t size;
};
struct store_image_writer {
    uint64_t size;
    uint8_t seen[WRITTEN_MAX / CHUNK];
    bool has_parent, begun;
};
/* Of one reading. */
struct store {
    struct store_image_writer iw;
    struct store_image parent;
};

uint64_t __wrap_store_chunk_size(const struct store *s);
uint64_t __wrap_store_chunk_size(const struct store *s)
{
    (void)s;
    return CHUNK;
}

int __wrap_store_image_begin(struct store_writer *w, const char *name, uint64_t size, const char *parent_point, const char *parent_image,
                             struct store_image_writer **ret, struct err *err);
int __wrap_store_image_begin(struct store_writer *w, const char *name, uint64_t size, const char *parent_point, const char *parent_image,
                             struct store_image_writer **ret, struct err *err)
{
    struct store *s = (struct store *)w;

    (void)name;
    FUZZ_REQUIRE(!s->iw.begun && !parent_point == !parent_image);
    if (size > INT64_MAX)
        return err_set(err, EFBIG, "too large");
    s->iw.size = size;
    s->iw.has_parent = parent_point;
    s->iw.begun = true;
    *ret = &s->iw;
    return 0;
}

static void note(struct store_image_writer *iw, uint64_t off, uint64_t n)
{
    FUZZ_REQUIRE(iw->begun && n > 0 && off < iw->size && n <= iw->size - off && off % CHUNK == 0);
    FUZZ_REQUIRE(n % CHUNK == 0 || off + n == iw->size);
    for (uint64_t at = off; at < num_min(off + n, WRITTEN_MAX); at += CHUNK)
        FUZZ_REQUIRE(__atomic_fetch_add(&iw->seen[at / CHUNK], 1, __ATOMIC_RELAXED) == 0);
}

int __wrap_store_image_write(struct store_image_writer *iw, uint64_t off, const void *p, size_t n, struct err *err);
int __wrap_store_image_write(struct store_image_writer *iw, uint64_t off, const void *p, size_t n, struct err *err)
{
    const uint8_t *bytes = p;
    unsigned sum = 0;

    (void)err;
    note(iw, off, n);
    for (size_t i = 0; i < n; i += 512)
        sum += bytes[i]; /* they are there */
    FUZZ_REQUIRE(sum <= n * 255);
    return 0;
}

int __wrap_store_image_zero(struct store_image_writer *iw, uint64_t off, uint64_t n, struct err *err);
int __wrap_store_image_zero(struct store_image_writer *iw, uint64_t off, uint64_t n, struct err *err)
{
    (void)err;
    FUZZ_REQUIRE(iw->has_parent);
    note(iw, off, n);
    return 0;
}

int __wrap_store_image_end(struct store_image_writer *iw, struct store_stats *ret_stats, struct err *err);
int __wrap_store_image_end(struct store_image_writer *iw, struct store_stats *ret_stats, struct err *err)
{
    (void)err;
    FUZZ_REQUIRE(iw->begun);
    *ret_stats = (struct store_stats){ 0 };
    return 0;
}

void __wrap_store_image_drop(struct store_image_writer *iw);
void __wrap_store_image_drop(struct store_image_writer *iw)
{
    (void)iw;
}

/* The parent: of the size that the server told first, half holes, its data all zeros. */
int __wrap_store_point_open(struct store *s, const char *id, struct store_point **ret, struct err *err);
int __wrap_store_point_open(struct store *s, const char *id, struct store_point **ret, struct err *err)
{
    (void)id, (void)err;
    *ret = (struct store_point *)s;
    return 0;
}

void __wrap_store_point_close(struct store_point *p);
void __wrap_store_point_close(struct store_point *p)
{
    (void)p;
}

int __wrap_store_image_open(struct store_point *p, const char *name, struct store_image **ret, struct err *err);
int __wrap_store_image_open(struct store_point *p, const char *name, struct store_image **ret, struct err *err)
{
    (void)name, (void)err;
    *ret = &((struct store *)p)->parent;
    return 0;
}

void __wrap_store_image_close(struct store_image *i);
void __wrap_store_image_close(struct store_image *i)
{
    (void)i;
}

uint64_t __wrap_store_image_size(const struct store_image *i);
uint64_t __wrap_store_image_size(const struct store_image *i)
{
    return i->size;
}

int __wrap_store_image_whole(struct store_point *p, const char *name, struct err *err);
int __wrap_store_image_whole(struct store_point *p, const char *name, struct err *err)
{
    (void)p, (void)name, (void)err;
    return 0;
}

int __wrap_store_image_read(struct store_image *i, uint64_t off, void *p, size_t n, struct err *err);
int __wrap_store_image_read(struct store_image *i, uint64_t off, void *p, size_t n, struct err *err)
{
    (void)err;
    FUZZ_REQUIRE(off <= i->size && n <= i->size - off);
    memset(p, 0, n);
    return 0;
}

int __wrap_store_image_extent(struct store_image *i, uint64_t off, uint64_t *ret_len, bool *ret_hole, struct err *err);
int __wrap_store_image_extent(struct store_image *i, uint64_t off, uint64_t *ret_len, bool *ret_hole, struct err *err)
{
    (void)err;
    FUZZ_REQUIRE(off < i->size);
    *ret_hole = off / (4 * CHUNK) % 2 == 0;
    *ret_len = num_min(i->size - off, 4 * CHUNK - off % (4 * CHUNK));
    return 0;
}

/* ---- One reading -------------------------------------------------------------------------------------------------------------------*/

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lying_server *server = lying_server_start(data, size);
    struct store *store = calloc(1, sizeof(*store));
    struct transfer_in in = { .label = "vm vda", .image = "disk", .dirty_context = LYING_DIRTY };
    struct progress *progress = NULL;
    struct err err = ERR_INIT;

    if (server && store && progress_new(&progress, &err) >= 0) {
        const struct transfer t = { .progress = progress };
        in.nbd_uri = lying_server_uri(server);
        if (size && data[0] & 1) {
            in.parent_point = "parent";
            in.parent_image = "disk";
            store->parent.size = lying_server_size(server);
        }
        int r = transfer_read(&t, store, (struct store_writer *)store, &in, 1, &err);
        FUZZ_REQUIRE((r < 0) == (err.text[0] != '\0'));
        FUZZ_REQUIRE(r < 0 || (in.size == store->iw.size && in.size == lying_server_size(server) && in.dirty <= in.size));
    }
    progress_free(progress);
    lying_server_stop(server);
    free(store);
    return 0;
}
