/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether the snapshot providers can be used, and which of them would take the points of the VMs' disks. */
#include "base/io.h"
#include "requester/check/check.h"
#include <errno.h>

static void provider_usable(struct check *c, size_t i)
{
    const struct vss_provider_info p = vss_provider_get(c->s->service, i);
    _cleanup_free_ char *why_not = NULL;
    struct err why = ERR_INIT;

    if (vss_provider_check_health(c->s->service, i, &why_not, &why) >= 0 && !why_not)
        return;
    check_found(c, c->findings, FOUND(FINDING_WARNING, "provider-not-usable", "as it says; kvss list providers shows all providers"),
                "the provider %s cannot be used on this host: %s", p.name, why_not ? why_not : why.text);
}

/* One that cannot tell fails the backup as it would here. */
static void provider_of_disk(struct check *c, struct check_vm *vm, size_t k, const char *wanted)
{
    const struct hv_disk *d = &vm->dom->disks[k];
    _cleanup_free_ char *volume = NULL;
    struct vss_provider_info p;
    struct err why = ERR_INIT;

    int r = volume_of(NULL, d->locator, &volume, &why);
    if (r >= 0)
        r = vss_find_provider(c->s->service, wanted, &(struct kvss_volume){ volume, vm->dom->uuid, d->target, d->locator }, &p, &why);
    if (r < 0)
        check_found(c, vm->findings, FOUND(FINDING_ERROR, "no-provider", "kvss list providers shows all providers"), "disk %s: %s",
                    d->target, why.text);
}

int check_providers(struct check *c, struct err *err)
{
    const char *file, *why, *wanted = NULL;

    int r = session_provider(c->s, c->provider, &wanted, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < vss_provider_count(c->s->service); i++)
        provider_usable(c, i);
    for (size_t i = 0; providers_refused(c->s->providers, i, &file, &why); i++)
        check_found(c, c->findings, FOUND(FINDING_WARNING, "provider-not-loaded", "as it says, or remove the file"),
                    "the provider %s is not loaded: %s", file, why);
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < c->vms[i].dom->n_disks && k < c->vms[i].report->n_disks; k++)
            if (c->vms[i].report->disks[k].covered)
                provider_of_disk(c, &c->vms[i], k, wanted);
    return 0;
}
