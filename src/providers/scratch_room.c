/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much room has to be left where providers put what they need for a backup. */
#include "base/io.h"
#include "base/num.h"
#include "providers/providers_internal.h"
#include <errno.h>
#include <string.h>

#define RESERVE_SHARE 20 /* without a setting: a twentieth of the file system, */
#define RESERVE_MAX GIB  /* but no more */

uint64_t provider_scratch_reserve(uint64_t wanted, uint64_t total)
{
    return wanted ? wanted : num_min(total / RESERVE_SHARE, RESERVE_MAX);
}

int provider_scratch_room(const char *dir, uint64_t reserve_wanted, struct err *err)
{
    uint64_t free_bytes, total;
    char have[16], must[16];

    if (io_space(dir, &free_bytes, &total, NULL) < 0)
        return 0;
    uint64_t reserve = provider_scratch_reserve(reserve_wanted, total);
    if (free_bytes >= reserve)
        return 0;
    return err_vss(err, VSS_E_INSUFFICIENT_STORAGE, ENOSPC,
                   "out of scratch space: %s are free in %s, and %s must be left free so that the guest is not affected (scratch-reserve); "
                   "free space, set snapshot-dir to a folder with more space, or back up when the guest writes less",
                   num_format_size(free_bytes, have), dir, num_format_size(reserve, must));
}

int provider_room_of(const char *place, struct kvss_room *ret, struct err *err)
{
    struct kvss_room room = { .place = strdup(place) };

    if (!room.place)
        return err_nomem(err);
    int r = io_space(place, &room.free_bytes, &room.total_bytes, err);
    if (r < 0) {
        free(room.place);
        return r;
    }
    *ret = room;
    return 0;
}
