/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The `copy` provider: the shadow copies of writers' files are copies that are made between Freeze and Thaw. How, is its owner's to say;
 * here is only when. It is there for any volume, after all others. */
#include "base/cleanup.h"
#include "providers/providers_internal.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct copy_provider {
    struct provider_files files;
    atomic_uint refs; /* a copy that overruns its time may outlive the owner's interest in it */
};

static int copy_new(const struct provider_context *context, void **ret, struct err *err)
{
    struct copy_provider *p = calloc(1, sizeof(*p));

    if (!p)
        return err_nomem(err);
    p->files = context->files;
    atomic_init(&p->refs, 1);
    *ret = p;
    return 0;
}

static void copy_free(void *priv)
{
    struct copy_provider *p = priv;

    if (atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    if (p->files.free)
        p->files.free(p->files.priv);
    free(p);
}

/* Files can be copied from everywhere. What is a VM's is not. */
static int copy_is_volume_supported(void *priv, const struct kvss_volume *volume, bool *ret, struct err *err)
{
    (void)priv;
    (void)err;
    *ret = !volume->vm_uuid;
    return 0;
}

static int copy_free_room(void *priv, const char *volume, struct kvss_room *ret, struct err *err)
{
    const struct copy_provider *p = priv;

    (void)volume;
    if (!p->files.dir)
        return err_set(err, EOPNOTSUPP, "no folder for copies was given");
    return provider_room_of(p->files.dir, ret, err);
}

static int copy_begin_prepare(void *priv, const char *set_id, const char *snapshot_id, const char *volume, uint32_t context,
                              struct err *err)
{
    (void)priv;
    (void)set_id;
    (void)snapshot_id;
    if (context & VSS_VOLSNAP_ATTR_PERSISTENT)
        return err_vss(err, VSS_E_UNSUPPORTED_CONTEXT, EOPNOTSUPP,
                       "provider copy: shadow copies of %s cannot be persistent: they exist only as long as the session", volume);
    return 0;
}

static int copy_commit(void *priv, const char *set_id, struct err *err)
{
    struct copy_provider *p = priv;

    (void)set_id;
    atomic_fetch_add(&p->refs, 1);
    int r = p->files.take ? p->files.take(p->files.priv, err) : 0;
    copy_free(p);
    return r;
}

static int copy_abort_snapshots(void *priv, const char *set_id, struct err *err)
{
    struct copy_provider *p = priv;

    (void)set_id;
    (void)err;
    if (p->files.stop)
        p->files.stop(p->files.priv);
    return 0;
}

/* The copies have no names; they go with who made them. */
static int copy_delete_snapshots(void *priv, const char *set_id, struct err *err)
{
    (void)priv;
    (void)set_id;
    (void)err;
    return 0;
}

static const struct kvss_provider copy_ops = {
    .struct_size = sizeof(struct kvss_provider),
    .api = KVSS_PROVIDER_API,
    .name = "copy",
    .id = "5a1f8c0e-6d0b-4b1c-9c53-0e6f4a7d2b18",
    .version = "1",
    .type = KVSS_PROV_SOFTWARE,
    .free_room = copy_free_room,
    .is_volume_supported = copy_is_volume_supported,
    .begin_prepare = copy_begin_prepare,
    .commit = copy_commit,
    .abort_snapshots = copy_abort_snapshots,
    .delete_snapshots = copy_delete_snapshots,
};

const struct builtin_provider copy_provider = {
    .ops = &copy_ops,
    .make = copy_new,
    .free = copy_free,
    .owns_files = true,
    .priority = 0,
};
