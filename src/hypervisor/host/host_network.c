/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Virtual switches: libvirt networks, bridges of the kernel, bridges of Open vSwitch (M18). */
#include "base/io.h"
#include "base/proc.h"
#include "hypervisor/host/hv_internal.h"
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

static void network_free_p(virNetworkPtr *n)
{
    if (*n)
        virNetworkFree(*n);
}

static int libvirt_network(struct hv *hv, const char *name, enum hv_switch *ret, struct err *err)
{
    _cleanup_(network_free_p) virNetworkPtr net = virNetworkLookupByName(hv->conn, name);

    if (!net) {
        int code = hv_virt_code();
        if (code != VIR_ERR_NO_NETWORK && code != VIR_ERR_NO_SUPPORT)
            return hv_virt_error(err, "cannot look up the network %s", name);
        *ret = HV_SWITCH_ABSENT;
        return 0;
    }
    int active = virNetworkIsActive(net);
    if (active < 0)
        return hv_virt_error(err, "cannot determine whether the network %s is active", name);
    *ret = active ? HV_SWITCH_ACTIVE : HV_SWITCH_INACTIVE;
    return 0;
}

/* A device of this host: up, down or absent. */
static enum hv_switch local_device(const char *name)
{
    _cleanup_free_ char *path = str_format("/sys/class/net/%s/flags", name);
    _cleanup_buf_ struct buf b = BUF_INIT;

    if (!path || name[0] == '.' || strchr(name, '/') || io_read_file(path, 64, &b, NULL) < 0 || !b.data)
        return HV_SWITCH_ABSENT;
    return strtoul((char *)b.data, NULL, 0) & IFF_UP ? HV_SWITCH_ACTIVE : HV_SWITCH_INACTIVE;
}

/* A device of the host that libvirt runs on: its node device is called "net_NAME_MAC". */
static enum hv_switch remote_device(struct hv *hv, const char *name)
{
    virNodeDevicePtr *list = NULL;
    int n = virConnectListAllNodeDevices(hv->conn, &list, VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET);
    enum hv_switch found = HV_SWITCH_ABSENT;
    size_t len = strlen(name);

    for (int i = 0; i < n; i++) {
        const char *s = virNodeDeviceGetName(list[i]);
        if (s && strncmp(s, "net_", 4) == 0 && strncmp(s + 4, name, len) == 0 && s[4 + len] == '_')
            found = HV_SWITCH_ACTIVE;
        virNodeDeviceFree(list[i]);
    }
    free(list);
    return found;
}

/* Status of ovs-vsctl br-exists: 0 it is one, 2 it is none; -1: Open vSwitch is not installed, or not running. */
static int ask_ovs(const char *name)
{
    char *argv[] = { (char *)"ovs-vsctl", (char *)"--timeout=5", (char *)"br-exists", (char *)(uintptr_t)name, NULL };
    struct proc_run run = { .argv = argv, .timeout_ms = 10000 };
    _cleanup_buf_ struct buf out = BUF_INIT;
    int status = 0;

    if (name[0] == '-' || proc_run(&run, &out, NULL, &status, NULL) < 0 || status == 1)
        return -1;
    return status;
}

/* Open vSwitch knows its bridges itself: in its user-space datapath they need not be devices of the kernel, and a device of one may
 * outlive the switch. Only root may ask it; libvirt makes the ports as root, so for others the device has to do. */
static enum hv_switch ovs_bridge(const char *name)
{
    int status = ask_ovs(name);

    if (status < 0)
        return geteuid() == 0 ? HV_SWITCH_UNREACHABLE : local_device(name);
    return status == 0 ? HV_SWITCH_ACTIVE : HV_SWITCH_ABSENT;
}

int hv_switch_state(struct hv *hv, const struct hv_nic *nic, enum hv_switch *ret, struct err *err)
{
    *ret = HV_SWITCH_ACTIVE;
    if (!nic->source || !nic->source[0])
        return 0;
    if (strcmp(nic->type, "network") == 0)
        return libvirt_network(hv, nic->source, ret, err);
    if (strcmp(nic->type, "bridge") != 0 && strcmp(nic->type, "direct") != 0)
        return 0;
    if (!hv->local)
        *ret = remote_device(hv, nic->source);
    else if (nic->virtualport && strcmp(nic->virtualport, "openvswitch") == 0)
        *ret = ovs_bridge(nic->source);
    else
        *ret = local_device(nic->source);
    return 0;
}

int hv_network_start(struct hv *hv, const char *name, struct err *err)
{
    _cleanup_(network_free_p) virNetworkPtr net = virNetworkLookupByName(hv->conn, name);

    if (!net)
        return hv_virt_error(err, "cannot look up the network %s", name);
    if (virNetworkIsActive(net) == 1)
        return 0;
    if (virNetworkCreate(net) < 0)
        return hv_virt_error(err, "cannot start the network %s", name);
    return 0;
}

static bool is_kernel_bridge(const char *name)
{
    _cleanup_free_ char *path = str_format("/sys/class/net/%s/bridge", name);

    return path && name[0] != '.' && !strchr(name, '/') && io_exists(path);
}

int hv_switch_find(struct hv *hv, const char *name, struct hv_nic *ret, struct err *err)
{
    enum hv_switch state;
    struct hv_nic nic = { .source = (char *)(uintptr_t)name };

    int r = libvirt_network(hv, name, &state, err);
    if (r < 0)
        return r;
    if (state != HV_SWITCH_ABSENT) {
        nic.type = (char *)"network";
    } else if (hv->local && ask_ovs(name) == 0) {
        nic.type = (char *)"bridge";
        nic.virtualport = (char *)"openvswitch";
    } else if (hv->local ? is_kernel_bridge(name) : remote_device(hv, name) != HV_SWITCH_ABSENT) {
        nic.type = (char *)"bridge";
    } else {
        return err_set(err, ENOENT, "there is no network and no bridge %s at %s", name, hv->uri);
    }
    *ret = nic;
    return 0;
}
