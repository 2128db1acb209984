/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `--network OLD=NEW`: found in the stored definitions, and NEW on this host, before anything is touched. */
#include "requester/restore/restore.h"
#include <errno.h>
#include <string.h>

static bool network_names(const char *old, size_t n, const char *s)
{
    return s && strlen(s) == n && !strncasecmp(s, old, n);
}

/* Networks and bridges by their exact name, MACs in any case. */
static bool is_meant(const struct hv_nic *nic, const char *old, size_t n)
{
    return (nic->source && strlen(nic->source) == n && !strncmp(nic->source, old, n)) || network_names(old, n, nic->mac);
}

static int map_nics(const struct hv_def *def, json_t *nics, const char *old, size_t n, const char *to, size_t *ret_found, struct err *err)
{
    for (size_t i = 0; def && i < hv_def_nic_count(def); i++) {
        struct hv_nic nic;
        char key[24];
        int rc = hv_def_nic(def, i, &nic, err);
        if (rc < 0)
            return rc;
        if (!is_meant(&nic, old, n))
            continue;
        snprintf(key, sizeof(key), "%zu", i);
        if (json_object_set_new(nics, key, json_text(to)) < 0)
            return err_nomem(err);
        ++*ret_found;
    }
    return 0;
}

/* In both definitions, each of which counts its NICs in its own way. */
static int map_vm(struct restore_vm *vm, const char *old, size_t n, const char *to, size_t *ret_found, struct err *err)
{
    if ((!vm->nics && !(vm->nics = json_object())) || (!vm->nics_live && !(vm->nics_live = json_object())))
        return err_nomem(err);
    int rc = map_nics(vm->def, vm->nics, old, n, to, ret_found, err);
    return rc < 0 ? rc : map_nics(vm->live, vm->nics_live, old, n, to, ret_found, err);
}

static int map_one(struct restore *r, const char *mapping, struct err *err)
{
    const char *equals = strchr(mapping, '=');
    struct hv_nic into;
    size_t found = 0;

    if (!equals || equals == mapping || !equals[1])
        return err_set(err, EINVAL, "--network %s: expected OLD=NEW or OLD=none", mapping);
    const char *to = strcmp(equals + 1, "none") ? equals + 1 : NULL;
    int rc = to ? hv_switch_find(r->s->hv, to, &into, err) : 0;
    for (size_t i = 0; i < r->n_vms && rc >= 0; i++)
        rc = map_vm(&r->vms[i], mapping, (size_t)(equals - mapping), to, &found, err);
    if (rc < 0)
        return err_context(err, "--network %s", mapping);
    if (!found)
        return err_set(err, ENOENT, "--network %s: no NIC of the VMs uses a network or bridge of that name or has that MAC address",
                       mapping);
    return 0;
}

int restore_map_networks(struct restore *r, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; r->job->networks && r->job->networks[i] && rc >= 0; i++)
        rc = map_one(r, r->job->networks[i], err);
    return rc;
}
