/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KVSS_RANGE_H
#define KVSS_RANGE_H

#include <stdint.h>

/* Bytes of a file or disk. */
struct kvss_range {
    uint64_t offset, length;
};

#endif
