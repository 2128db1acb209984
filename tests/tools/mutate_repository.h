/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TOOLS_MUTATE_REPOSITORY_H
#define TOOLS_MUTATE_REPOSITORY_H

#include "base/cleanup.h"
#include "base/io.h"
#include "store/handle/handle.h"

struct mutation {
    const char *folder, *outside, *passphrase;
    const char *host_key; /* file with the key of the host that is tested; NULL: none */
    struct store *store;
};

/* One file below the repository's folder of that name (or it, if it is a file), by chance. NULL: there is none. Caller frees. */
char *mutation_pick(struct mutation *m, const char *folder);
/* One change somewhere in the bytes; resize: they may become more or fewer. */
void mutation_bytes(struct buf *b, bool resize);

/* A text with one of its lines left out, doubled or changed. */
void mutation_lines(const char *text, struct buf *out);

/* mutate_catalogue.c, mutate_keys.c. < 0: it could not be done. */
int mutate_catalogue(struct mutation *m);
int mutate_config(struct mutation *m);
int mutate_key(struct mutation *m);
int mutate_ring(struct mutation *m);

/* mutate_points.c: a restore point, sealed again under its new name; and one whose image is a tree in which the same branch stands again
 * and again. < 0: it could not be done. */
int mutate_point(struct mutation *m);
int mutate_tree(struct mutation *m);

#endif
