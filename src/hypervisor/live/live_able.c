/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What keeps a VM's memory from being written while it runs. Everything that the host and the definition tell comes first: QEMU is only
 * asked, which taints the domain, where nothing else is in the way. */
#include "base/io.h"
#include "base/xml.h"
#include "hypervisor/domain/domain_storage.h"
#include "hypervisor/live/live.h"
#include <errno.h>
#include <string.h>

#define SYSCTL "/proc/sys/vm/unprivileged_userfaultfd"
#define QEMU_8 8000000ul /* from then on QEMU opens /dev/userfaultfd where it can */
#define SYSCTL_MAX 64

static const struct live_able_rule {
    const char *xpath, *what;
} rules[] = {
    { "memoryBacking/hugepages", "its memory is of huge pages" },
    { "memoryBacking/access[@mode='shared'] | cpu/numa/cell[@memAccess='shared']", "its memory is shared with other processes" },
    { "memoryBacking/source[@type='file' or @type='memfd']", "its memory is that of a file (memoryBacking)" },
    { "devices/memory/source | devices/memory[@model='nvdimm' or @model='virtio-pmem']", "a memory device of it is that of a file" },
    { "devices/interface[@type='vhostuser']", "it has a vhost-user interface" },
    { "devices/disk[@type='vhostuser']", "it has a vhost-user disk" },
    { "devices/video/driver[@name='vhostuser']", "its display is drawn by a vhost-user process" },
    { "devices/filesystem/driver[@type='virtiofs']", "it has a shared folder (virtiofs)" },
    { "devices/shmem", "it has memory shared with other VMs (ivshmem)" },
    { "devices/lease", "it has leases of a lock manager, which libvirt would give up when QEMU stops the VM" },
    { "*[local-name()='commandline']/*[local-name()='arg'][starts-with(@value, 'vhost-user') or starts-with(@value, 'memory-backend')]",
      "QEMU's command line has a vhost-user device, or memory of its own" },
};

static int by_definition(struct hv_domain *d, char **ret, struct err *err)
{
    _cleanup_free_ char *xml = NULL;
    _cleanup_xml_ xmlDocPtr doc = NULL;

    int r = hv_live_xml(d, &xml, err);
    if (r >= 0)
        r = xml_parse(xml, strlen(xml), "the VM's definition", &doc, err);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(rules); i++)
        if (xml_find(xmlDocGetRootElement(doc), rules[i].xpath))
            return (*ret = strdup(rules[i].what)) ? 0 : err_nomem(err);
    return r;
}

/* With one, QEMU's own stop and start would cost the VM its locks: libvirt gives them up at the one and does not take them at the other. */
static bool has_lock_manager(const struct hv *hv)
{
    return !qemu_conf_is_usual(hv, "lock_manager", "nop");
}

int hv_live_host_lacks(char **ret_why, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct err why = ERR_INIT;

    *ret_why = NULL;
    int r = io_read_file(SYSCTL, SYSCTL_MAX, &text, &why);
    if (r >= 0 && text.len && text.data[0] == '1')
        return 0;
    *ret_why = strdup(r < 0 ? "this host's kernel has no userfaultfd"
                            : "QEMU may not use userfaultfd (vm.unprivileged_userfaultfd is 0); to allow it: sysctl "
                              "vm.unprivileged_userfaultfd=1");
    return *ret_why ? 0 : err_nomem(err);
}

/* Newer ones open a device instead, if it is in the /dev that libvirt made for them. */
static bool has_device(struct hv_domain *d)
{
    unsigned long version = 0;
    _cleanup_free_ char *path = NULL;
    uint64_t pid = domain_process_id(d->hv, d->name);

    if (virConnectGetVersion(virDomainGetConnect(hv_handle(d)), &version) < 0 || version < QEMU_8 || !pid)
        return false;
    path = str_format("/proc/%llu/root/dev/userfaultfd", (unsigned long long)pid);
    return path && io_exists(path);
}

/* NULL: nothing. Without asking QEMU. */
static int by_host(struct hv_domain *d, char **ret, struct err *err)
{
    const char *why = !hv_is_local(d->hv)        ? "its QEMU runs on another host"
                      : !d->hv->state_dir        ? "kvss has no folder for its state"
                      : d->state != HV_RUNNING   ? "it is not running, and QEMU would start it"
                      : d->unsaveable            ? d->unsaveable[0]
                      : has_lock_manager(d->hv)  ? "libvirt uses a lock manager, and would give up the VM's locks when QEMU stops it"
                      : !hv_may_resume_in_job(d) ? "a disk has an iothread and a limit (iotune), and this QEMU (before 9.0) would abort"
                                                 : NULL;

    if (why)
        return (*ret = d->unsaveable && why == d->unsaveable[0] ? str_format("QEMU cannot save a VM with %s", why) : strdup(why))
                   ? 0
                   : err_nomem(err);
    int r = hv_live_host_lacks(ret, err);
    if (r >= 0 && *ret && has_device(d))
        free(TAKE_PTR(*ret));
    return r;
}

static int by_qemu(struct hv_domain *d, char **ret, struct err *err)
{
    struct live_capabilities c = { 0 };

    int r = live_capabilities(d, &c, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *clash = c.clash;
    if (!c.offered)
        *ret = strdup("its QEMU does not have background-snapshot (6.0 or later has)");
    else if (clash)
        *ret = str_format("its QEMU has the capability %s on, which excludes it", clash);
    return (c.offered && !clash) || *ret ? 0 : err_nomem(err);
}

int hv_live_lacks(struct hv_domain *d, char **ret_why, struct err *err)
{
    _cleanup_free_ char *why = NULL;

    int r = by_host(d, &why, err);
    if (r >= 0 && !why)
        r = by_definition(d, &why, err);
    if (r >= 0 && !why)
        r = by_qemu(d, &why, err);
    if (r < 0)
        return r;
    *ret_why = TAKE_PTR(why);
    return 0;
}
