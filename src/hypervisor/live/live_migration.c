/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/buf.h"
#include "base/text.h"
#include "hypervisor/live/live.h"
#include <errno.h>
#include <string.h>

/* Those that QEMU does not let on beside it (check_caps_background_snapshot). libvirt turns them on for its own migrations only. */
static const char *const clashes[] = {
    "postcopy-ram",
    "dirty-bitmaps",
    "postcopy-blocktime",
    "late-block-activate",
    "return-path",
    "multifd",
    "pause-before-switchover",
    "auto-converge",
    "release-ram",
    "rdma-pin-all",
    "compress",
    "xbzrle",
    "x-colo",
    "validate-uuid",
    "zero-copy-send",
};

static bool is_clash(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(clashes); i++)
        if (!strcmp(name, clashes[i]))
            return true;
    return false;
}

int live_migration_progress(struct hv_domain *d, struct live_progress *ret, struct err *err)
{
    static const char *const over[] = { "completed", "failed", "cancelled" };
    _cleanup_json_ json_t *o = NULL;

    int r = monitor_command(d, "query-migrate", NULL, -1, &o, err);
    if (r < 0)
        return r;
    const char *status = json_get_text(o, "status"), *why = json_get_text(o, "error-desc");
    *ret = (struct live_progress){
        .status = !status || !strcmp(status, "none") ? LIVE_NONE : LIVE_ACTIVE,
        .bytes = json_get_u64(json_object_get(o, "ram"), "transferred"),
    };
    for (size_t i = 0; status && i < ARRAY_SIZE(over); i++)
        if (!strcmp(status, over[i]))
            ret->status = i == 0 ? LIVE_COMPLETED : LIVE_FAILED;
    snprintf(ret->why, sizeof(ret->why), "%s", why ? why : "");
    text_clean(ret->why, false);
    return 0;
}

int live_capabilities(struct hv_domain *d, struct live_capabilities *ret, struct err *err)
{
    struct live_capabilities found = { 0 };
    _cleanup_json_ json_t *list = NULL;
    json_t *c;
    size_t i;

    int r = monitor_command(d, "query-migrate-capabilities", NULL, -1, &list, err);
    if (r < 0)
        return r;
    json_array_foreach (list, i, c) {
        const char *name = json_get_text(c, "capability");
        bool on = json_is_true(json_object_get(c, "state"));
        if (!name)
            continue;
        if (!strcmp(name, CAPABILITY)) {
            found.offered = true;
            found.on = on;
        } else if (on && !found.clash && is_clash(name) && !(found.clash = strdup(name))) {
            return err_nomem(err);
        }
    }
    *ret = found;
    return 0;
}

int live_set_capability(struct hv_domain *d, bool on, struct err *err)
{
    json_t *arguments = json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability", CAPABILITY, "state", on);

    return arguments ? monitor_command(d, "migrate-set-capabilities", arguments, -1, NULL, err) : err_nomem(err);
}
