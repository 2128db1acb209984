/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Networks of a restored VM (M18): where the switch still exists a new port is made and connected; where it does not, the VM is
 * registered all the same with that link down, and the user is told. */
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char *switch_name(const struct hv_nic *nic)
{
    return nic->source ? nic->source : nic->type;
}

/* A network that is only inactive exists; a VM on it cannot start before it is started. */
static int wake_network(struct vm_restore *r, const struct hv_nic *nic, bool tell, struct err *err)
{
    struct err why = ERR_INIT;

    if (strcmp(nic->type, "network"))
        return 0;
    if (hv_network_start(r->writer->config.hv, nic->source, &why) < 0) {
        if (tell)
            vm_restore_warn(r, "network %s%s%s is inactive and cannot be started: %s", nic->source, nic->mac ? " of NIC " : "",
                            nic->mac ? nic->mac : "", why.text);
        (void)err;
        return 0;
    }
    if (tell)
        vm_restore_step(r, "network", "started the inactive network %s", nic->source);
    return 0;
}

/* What the user wants for NIC i: 1 and a name, or NULL for none; 0: nothing in particular. */
static int wanted(const struct vm_restore *r, size_t i, bool live, const char **ret)
{
    const json_t *nics = json_object_get(r->options, live ? "nics_live" : "nics");
    char key[24];

    snprintf(key, sizeof(key), "%zu", i);
    const json_t *to = json_object_get(nics ? nics : json_object_get(r->options, "nics"), key);
    *ret = json_string_value(to);
    return to != NULL;
}

static int replug(struct vm_restore *r, struct hv_def *def, size_t i, const char *to, bool tell, struct err *err)
{
    struct hv_nic nic = { 0 }, into = { 0 };
    enum hv_switch state;

    int rc = hv_def_nic(def, i, &nic, err);
    if (rc >= 0 && !to) {
        if (tell)
            vm_restore_step(r, "network", "NIC %s not connected, link down, as requested", nic.mac ? nic.mac : "?");
        return hv_def_nic_unplug(def, i, geteuid() == 0, err);
    }
    if (rc >= 0)
        rc = hv_switch_find(r->writer->config.hv, to, &into, err);
    if (rc >= 0)
        rc = hv_switch_state(r->writer->config.hv, &into, &state, err);
    if (rc < 0)
        return rc;
    if (state == HV_SWITCH_INACTIVE && (rc = wake_network(r, &into, tell, err)) < 0)
        return rc;
    if (tell)
        vm_restore_step(r, "network", "new port for NIC %s on %s %s, was %s", nic.mac ? nic.mac : "?", into.type, to, switch_name(&nic));
    return hv_def_nic_plug(def, i, &into, err);
}

static int connect_nic(struct vm_restore *r, struct hv_def *def, size_t i, bool live, bool tell, struct err *err)
{
    struct hv_nic nic = { 0 };
    enum hv_switch state;
    const char *to;

    int rc = hv_def_nic(def, i, &nic, err);
    if (rc < 0)
        return rc;
    if (wanted(r, i, live, &to))
        return replug(r, def, i, to, tell, err);
    rc = hv_switch_state(r->writer->config.hv, &nic, &state, err);
    if (rc < 0)
        return rc;
    if (state == HV_SWITCH_ABSENT || state == HV_SWITCH_UNREACHABLE) {
        if (tell) {
            vm_restore_step(r, "network", "NIC %s not connected, link down", nic.mac ? nic.mac : "?");
            vm_restore_warn(r, "%s %s %s: NIC %s is not connected and its link is down; connect it with virsh update-device or virsh edit",
                            nic.type, switch_name(&nic),
                            state == HV_SWITCH_ABSENT ? "does not exist on this host"
                                                      : "cannot be used because Open vSwitch does not respond",
                            nic.mac ? nic.mac : "?");
        }
        return hv_def_nic_unplug(def, i, geteuid() == 0, err);
    }
    if (state == HV_SWITCH_INACTIVE && (rc = wake_network(r, &nic, tell, err)) < 0)
        return rc;
    if (tell)
        vm_restore_step(r, "network", "new port for NIC %s on %s %s", nic.mac ? nic.mac : "?", nic.type, switch_name(&nic));
    return hv_def_nic_new_port(def, i, err);
}

int vm_correct_networks(struct vm_restore *r, struct hv_def *def, bool live, bool tell, struct err *err)
{
    for (size_t i = 0; i < hv_def_nic_count(def); i++) {
        int rc = connect_nic(r, def, i, live, tell, err);
        if (rc < 0)
            return err_context(err, "NIC %zu", i);
    }
    return 0;
}
