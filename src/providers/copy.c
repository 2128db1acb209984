/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The `copy` provider: the shadow copies of writers' files are copies that are made between Freeze and Thaw. How, is its owner's to say;
 * here is only when. It shadows the volumes that it was told of, and there the files that its owner copies. */
#include "base/cleanup.h"
#include "base/strv.h"
#include "providers/providers.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct copy_provider {
    struct copy_provider_config config;
    atomic_uint refs; /* a copy that overruns its time may outlive the owner's interest in it */
    char **volumes;
};

int copy_provider_new(const struct copy_provider_config *config, struct copy_provider **ret, struct err *err)
{
    struct copy_provider *p = calloc(1, sizeof(*p));

    if (!p)
        return err_set(err, ENOMEM, "out of memory");
    p->config = *config;
    atomic_init(&p->refs, 1);
    *ret = p;
    return 0;
}

void copy_provider_free(struct copy_provider *p)
{
    if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    if (p->config.free)
        p->config.free(p->config.priv);
    strv_free(p->volumes);
    free(p);
}

int copy_provider_shadow(struct copy_provider *p, const char *volume, struct err *err)
{
    if (strv_has(p->volumes, volume))
        return 0;
    return strv_add(&p->volumes, volume) < 0 ? err_set(err, ENOMEM, "out of memory") : 0;
}

static int is_volume_supported(void *priv, const char *volume, bool *ret, struct err *err)
{
    const struct copy_provider *p = priv;

    (void)err;
    *ret = strv_has(p->volumes, volume);
    return 0;
}

static int begin_prepare(void *priv, const char *set_id, const char *snapshot_id, const char *volume, uint32_t context,
                         struct err *err)
{
    (void)priv;
    (void)set_id;
    (void)snapshot_id;
    if (context & VSS_VOLSNAP_ATTR_PERSISTENT)
        return err_vss(err, VSS_E_UNSUPPORTED_CONTEXT, EOPNOTSUPP,
                       "provider copy: shadow copies of %s cannot be persistent: they live as long as the session", volume);
    return 0;
}

static int commit(void *priv, const char *set_id, struct err *err)
{
    struct copy_provider *p = priv;

    (void)set_id;
    atomic_fetch_add(&p->refs, 1);
    int r = p->config.take ? p->config.take(p->config.priv, err) : 0;
    copy_provider_free(p);
    return r;
}

static int abort_snapshots(void *priv, const char *set_id, struct err *err)
{
    struct copy_provider *p = priv;

    (void)set_id;
    (void)err;
    if (p->config.stop)
        p->config.stop(p->config.priv);
    return 0;
}

/* The copies have no names; they go with who made them. */
static int delete_snapshots(void *priv, const char *set_id, struct err *err)
{
    (void)priv;
    (void)set_id;
    (void)err;
    return 0;
}

const struct kvss_provider copy_provider_ops = {
    .struct_size = sizeof(struct kvss_provider),
    .api = KVSS_PROVIDER_API,
    .name = "copy",
    .id = COPY_PROVIDER_ID,
    .version = "1",
    .type = KVSS_PROV_SOFTWARE,
    .is_volume_supported = is_volume_supported,
    .begin_prepare = begin_prepare,
    .commit = commit,
    .abort_snapshots = abort_snapshots,
    .delete_snapshots = delete_snapshots,
};
