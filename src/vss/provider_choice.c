/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which provider shadows what, and what else providers are asked outside of a session. */
#include "vss/registry.h"
#include <errno.h>
#include <string.h>

/* Who takes no points is not asked for disks: nothing on its volume is of the guest's instant. */
static int choice_supports(const struct provider_entry *e, const struct kvss_volume *what, bool *ret, struct err *err)
{
    bool yes = false;

    if (what->target && !e->provider.take_point)
        return 0;
    int r = e->provider.is_volume_supported(e->priv, what, &yes, err);
    if (r < 0)
        return err_context(err, "provider '%s' cannot determine whether it supports volume '%s'", e->provider.name, what->name);
    *ret = yes;
    return 0;
}

int provider_choose(struct vss_service *s, const char *provider_id, const struct kvss_volume *what, struct provider_entry **ret,
                    struct err *err)
{
    struct provider_entry *e = provider_id ? service_find_provider(s, provider_id) : service_provider(s, 0);
    bool yes = false;

    if (provider_id && !e)
        return err_vss(err, VSS_E_PROVIDER_NOT_REGISTERED, ENOENT, "there is no provider %s", provider_id);
    for (size_t i = 1; e; e = provider_id ? NULL : service_provider(s, i++)) {
        int r = choice_supports(e, what, &yes, err);
        if (r < 0)
            return r;
        if (yes) {
            *ret = e;
            return 0;
        }
    }
    return 0;
}

int provider_unsupported(struct vss_service *s, const char *provider_id, const struct kvss_volume *what, struct err *err)
{
    const struct provider_entry *e = provider_id ? service_find_provider(s, provider_id) : NULL;

    return err_vss(err, VSS_E_VOLUME_NOT_SUPPORTED, EOPNOTSUPP, "%s%s %s create a shadow copy of %s%s%s'%s'",
                   e ? "the provider " : "no provider", e ? e->provider.name : "", e ? "cannot" : "can", what->target ? "disk " : "",
                   what->target ? what->target : "", what->target ? " on volume " : "volume ", what->name);
}

static struct vss_provider_info info_of(const struct provider_entry *e)
{
    const struct kvss_provider *p = &e->provider;

    return (struct vss_provider_info){ .name = p->name, .id = p->id, .version = p->version, .type = p->type };
}

int vss_find_provider(struct vss_service *s, const char *provider, const struct kvss_volume *what, struct vss_provider_info *ret,
                      struct err *err)
{
    struct provider_entry *e = NULL;
    int r = provider_choose(s, provider, what, &e, err);

    if (r < 0)
        return r;
    if (!e)
        return provider_unsupported(s, provider, what, err);
    *ret = info_of(e);
    return 0;
}

struct vss_provider_info vss_provider_get(const struct vss_service *s, size_t i)
{
    return info_of(service_provider((struct vss_service *)(uintptr_t)s, i));
}

int vss_provider_check_health(struct vss_service *s, size_t i, char **ret_why_not, struct err *err)
{
    const struct provider_entry *e = service_provider(s, i);

    *ret_why_not = NULL;
    return e->provider.check_health ? e->provider.check_health(e->priv, ret_why_not, err) : 0;
}

int vss_provider_free_room(struct vss_service *s, size_t i, const char *volume, struct kvss_room *ret, struct err *err)
{
    const struct provider_entry *e = service_provider(s, i);

    if (!e->provider.free_room)
        return err_set(err, EOPNOTSUPP, "provider '%s' does not report its free space", e->provider.name);
    return e->provider.free_room(e->priv, volume, ret, err);
}
