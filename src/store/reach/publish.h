/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What must be in the index before a point is published. */
#ifndef STORE_REACH_PUBLISH_H
#define STORE_REACH_PUBLISH_H

#include "store/handle/handle.h"

/* Makes sure that the index in force names all that the point needs, which is published by a session that is still held.
 * -EUCLEAN: it does not, and cannot be made to. */
int store_settle_index(struct store *s, const struct point_data *point, struct err *err);
/* Takes the chunks of a pack into the index (in memory; index_save() makes it last). */
int store_adopt_pack(struct store *s, const struct object_name *pack, struct err *err);

#endif
