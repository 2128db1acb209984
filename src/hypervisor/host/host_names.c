/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names that go over to others: states for people, exports and contexts for NBD clients. */
#include "hypervisor/host/hv_internal.h"
#include <ctype.h>
#include <string.h>

const char *hv_state_name(enum hv_state s)
{
    static const char *const names[] = {
        [HV_OFF] = "off", [HV_RUNNING] = "running", [HV_PAUSED] = "paused", [HV_SAVED] = "saved", [HV_OTHER] = "other",
    };

    return (size_t)s < ARRAY_SIZE(names) ? names[s] : "other";
}

/* Percent-encodes all but what RFC 3986 calls unreserved, and '/'. */
static int add_encoded(struct buf *b, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        int r = isalnum(c) || strchr("-._~/", c) ? buf_add(b, s, 1) : buf_addf(b, "%%%02X", c);
        if (r < 0)
            return r;
    }
    return 0;
}

char *hv_nbd_uri(const char *socket, const char *export_name)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    if (buf_adds(&b, "nbd+unix:///") < 0 || add_encoded(&b, export_name) < 0 || buf_adds(&b, "?socket=") < 0 || add_encoded(&b, socket) < 0)
        return NULL;
    return buf_take_str(&b);
}

char *hv_dirty_context(const char *target)
{
    return str_format("qemu:dirty-bitmap:backup-%s", target);
}
