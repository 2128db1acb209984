/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a VM is doing. */
#include "hypervisor/domain/domain_state.h"
#include "hypervisor/host/host.h"
#include <errno.h>
#include <string.h>

struct reason {
    int reason;
    enum hv_state state;
    const char *detail;
};

static const struct reason paused[] = {
    { VIR_DOMAIN_PAUSED_UNKNOWN, HV_PAUSED, "paused" },
    { VIR_DOMAIN_PAUSED_USER, HV_PAUSED, "paused on request" },
    /* So libvirt calls a VM that was started paused from a save image; a real migration has a job (hv_domain_busy). */
    { VIR_DOMAIN_PAUSED_MIGRATION, HV_PAUSED, "paused, restored or migrating" },
    { VIR_DOMAIN_PAUSED_SAVE, HV_OTHER, "paused while it is being saved" },
    { VIR_DOMAIN_PAUSED_DUMP, HV_OTHER, "paused while its memory is being dumped" },
    { VIR_DOMAIN_PAUSED_IOERROR, HV_OTHER, "paused by a disk I/O error" },
    { VIR_DOMAIN_PAUSED_WATCHDOG, HV_OTHER, "paused by its watchdog" },
    { VIR_DOMAIN_PAUSED_FROM_SNAPSHOT, HV_PAUSED, "paused after a snapshot was reverted to" },
    { VIR_DOMAIN_PAUSED_SHUTTING_DOWN, HV_OTHER, "shutting down" },
    { VIR_DOMAIN_PAUSED_SNAPSHOT, HV_OTHER, "paused while a snapshot is being made" },
    { VIR_DOMAIN_PAUSED_CRASHED, HV_OTHER, "paused because the guest crashed" },
    { VIR_DOMAIN_PAUSED_STARTING_UP, HV_OTHER, "starting up" },
    { VIR_DOMAIN_PAUSED_POSTCOPY, HV_OTHER, "migrating" },
    { VIR_DOMAIN_PAUSED_POSTCOPY_FAILED, HV_OTHER, "its migration failed" },
};

static const char *const off_details[] = {
    [VIR_DOMAIN_SHUTOFF_UNKNOWN] = "off",
    [VIR_DOMAIN_SHUTOFF_SHUTDOWN] = "shut down",
    [VIR_DOMAIN_SHUTOFF_DESTROYED] = "forced off",
    [VIR_DOMAIN_SHUTOFF_CRASHED] = "off because it crashed",
    [VIR_DOMAIN_SHUTOFF_MIGRATED] = "migrated to another host",
    [VIR_DOMAIN_SHUTOFF_SAVED] = "off; its state was saved",
    [VIR_DOMAIN_SHUTOFF_FAILED] = "off because a start failed",
    [VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT] = "off after a snapshot was reverted to",
    [VIR_DOMAIN_SHUTOFF_DAEMON] = "turned off by libvirt",
};

static enum hv_state paused_from(int reason, const char **ret_detail)
{
    for (size_t i = 0; i < ARRAY_SIZE(paused); i++) {
        if (paused[i].reason == reason) {
            *ret_detail = paused[i].detail;
            return paused[i].state;
        }
    }
    *ret_detail = "paused for an unknown reason";
    return HV_OTHER;
}

enum hv_state domain_state_from(int state, int reason, bool saved, const char **ret_detail)
{
    *ret_detail = "in an unknown state";
    switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
        *ret_detail = reason == VIR_DOMAIN_RUNNING_POSTCOPY ? "migrating" : "running";
        return reason == VIR_DOMAIN_RUNNING_POSTCOPY || reason == VIR_DOMAIN_RUNNING_POSTCOPY_FAILED ? HV_OTHER : HV_RUNNING;
    case VIR_DOMAIN_PAUSED: return paused_from(reason, ret_detail);
    case VIR_DOMAIN_SHUTDOWN: *ret_detail = "shutting down"; return HV_OTHER;
    case VIR_DOMAIN_CRASHED: *ret_detail = "crashed"; return HV_OTHER;
    case VIR_DOMAIN_PMSUSPENDED: *ret_detail = "suspended by the guest"; return HV_OTHER;
    case VIR_DOMAIN_SHUTOFF:
        *ret_detail = saved ? "off with its state saved" : "off";
        if (!saved && reason >= 0 && (size_t)reason < ARRAY_SIZE(off_details))
            *ret_detail = off_details[reason];
        return saved ? HV_SAVED : HV_OFF;
    default: return HV_OTHER;
    }
}

int hv_domain_refresh_state(struct hv_domain *d, struct err *err)
{
    int state = 0, reason = 0, saved = 0;
    const char *detail;

    if (virDomainGetState(hv_handle(d), &state, &reason, 0) < 0)
        return hv_virt_error(err, "cannot read the state of VM %s", d->name);
    if (state == VIR_DOMAIN_SHUTOFF && d->persistent) {
        saved = virDomainHasManagedSaveImage(hv_handle(d), 0);
        if (saved < 0)
            return hv_virt_error(err, "cannot determine whether VM %s has a saved state", d->name);
    }
    enum hv_state s = domain_state_from(state, reason, saved > 0, &detail);
    char *copy = strdup(detail);
    if (!copy)
        return err_nomem(err);
    free(d->state_detail);
    d->state_detail = copy;
    d->io_error = state == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_IOERROR;
    d->state = s;
    return 0;
}
