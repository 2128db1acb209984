/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host is the provider of the guest's snapshot set: it takes the point in time of the disks while the guest's writers are held. It says
 * when it is ready (PreCommitSnapshots waits for that) and when it has taken it (CommitSnapshots). All that the guest has is one volume. */
#include "guest/guest_session.h"

static int host_supports(void *p, const struct kvss_volume *volume, bool *ret, struct err *err)
{
    (void)p;
    (void)err;
    *ret = !volume->vm_uuid;
    return 0;
}

static int host_begin_prepare(void *p, const char *set_id, const char *snapshot_id, const char *volume, uint32_t context, struct err *err)
{
    (void)p;
    (void)set_id;
    (void)snapshot_id;
    (void)volume;
    (void)context;
    (void)err;
    return 0;
}

static int host_pre_commit(void *p, const char *set_id, struct err *err)
{
    (void)set_id;
    return guest_session_wait_freeze(p, err);
}

static int host_commit(void *p, const char *set_id, struct err *err)
{
    (void)set_id;
    return guest_session_wait_thaw(p, err);
}

static int host_forget(void *p, const char *set_id, struct err *err)
{
    (void)p;
    (void)set_id;
    (void)err;
    return 0;
}

int guest_register_host(struct guest_session *s, struct err *err)
{
    static const struct kvss_provider host = {
        .struct_size = sizeof host,
        .api = KVSS_PROVIDER_API,
        .name = "host",
        .id = "5d2ef0a4-7a64-4b0b-9e0e-5b5b6f0f0a11",
        .version = KVSS_VERSION,
        .type = KVSS_PROV_HARDWARE,
        .is_volume_supported = host_supports,
        .begin_prepare = host_begin_prepare,
        .pre_commit = host_pre_commit,
        .commit = host_commit,
        .abort_snapshots = host_forget,
        .delete_snapshots = host_forget,
    };

    return vss_register_provider(s->service, &host, s, err);
}
