/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading whole packs: every segment, every chunk checked against its id. For check and repair. */
#ifndef STORE_PACK_SCAN_H
#define STORE_PACK_SCAN_H

#include "store/pack/pack.h"

struct scan {
    struct env *env;
    const struct par_cancel *cancel;
    /* A segment of the pack with its chunks; bad: chunk i does not match its id (why says more). < 0 ends the scan. */
    int (*segment)(void *priv, const struct footer_segment *s, const bool *bad, const struct err *why);
    void *priv;
};
/* -EUCLEAN: the footer is damaged (then nothing was told). */
int scan_pack(const struct scan *x, const struct object_name *pack, struct err *err);

/* For a pack without a good footer: walks the frames from the start as far as they can be opened and makes up the footer from
 * the chunks' contents. Chunks are told twice, under the id they would have as data and as node. Stops without failure where
 * damage begins. */
int scan_frames(struct env *env, const struct object_name *pack, int (*fn)(void *priv, const struct footer_segment *s), void *priv,
                struct err *err);

#endif
