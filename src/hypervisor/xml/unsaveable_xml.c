/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices with which QEMU, or libvirt for it, refuses to save a VM. They are told from the definition: to ask QEMU would take a monitor
 * command, which taints the domain. libvirt: qemuMigrationSrcIsAllowed(), which its save obeys too; QEMU: devices whose state is marked
 * "unmigratable", and blockers that it registers. */
#include "hypervisor/xml/domain_xml.h"
#include <errno.h>
#include <string.h>

static const struct unsaveable_xml_rule {
    const char *xpath;
    const char *what;
    const char *name; /* of the one that was found; NULL: what says it all */
} rules[] = {
    { "devices/hostdev[@mode='subsystem' and @type!='usb' and not(teaming)]", "a pass-through device", "@type" },
    { "devices/hostdev[@mode='capabilities']", "a pass-through device", "@type" },
    { "devices/interface[@type='hostdev' and not(teaming)]", "a pass-through network interface", "mac/@address" },
    { "devices/interface[@type='vdpa']", "a vDPA network interface", "mac/@address" },
    { "devices/interface[model/@type='usb-net']", "a USB network interface", "mac/@address" },
    { "devices/filesystem[driver/@type='virtiofs']", "a shared folder (virtiofs)", "source/@dir | target/@dir" },
    { "devices/shmem[not(model/@type='ivshmem-plain' or model/@type='ivshmem-doorbell') or not(@role='master')]",
      "shared memory (ivshmem; it could be saved with role='master')", "@name" },
    { "devices/sound[@model='usb']", "a USB sound device", NULL },
    { "devices/serial[target/@type='usb-serial']", "a USB serial port", NULL },
    { "devices/video[model/@type='virtio' and model/acceleration/@accel3d='yes']", "3D acceleration (virtio-gpu)", NULL },
    { "devices/memory[@model='virtio-pmem' or @model='sgx-epc']", "memory of this type", "@model" },
    { "launchSecurity", "encrypted memory (launchSecurity)", "@type" },
    { "cpu[@migratable='off']", "a CPU that is not migratable (migratable='off')", NULL },
    { "self::domain[not(clock/timer[@name='tsc' and @frequency])]/cpu/feature[@name='invtsc' and @policy='require']",
      "the CPU feature invtsc (without a fixed frequency of the TSC)", NULL },
    { "*[local-name()='commandline']/*[local-name()='arg'][starts-with(@value, 'vfio-') or starts-with(@value, 'vhost-user-fs') or "
      "starts-with(@value, 'ivshmem') or starts-with(@value, 'nvme') or starts-with(@value, 'usb-mtp') or starts-with(@value, 'usb-net') "
      "or starts-with(@value, 'usb-audio') or starts-with(@value, 'usb-serial')]",
      "a device on QEMU's command line", "@value" },
};

#define NAME_SHOWN 80

int unsaveable_xml_list(xmlNodePtr domain, char ***v)
{
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        _cleanup_free_ xmlNodePtr *nodes = NULL;
        int n = xml_find_all(domain, rules[i].xpath, &nodes);
        for (int k = 0; k < n; k++) {
            _cleanup_free_ char *name = rules[i].name ? xml_get(nodes[k], rules[i].name) : NULL;
            if ((name ? strv_addf(v, "%s: %.*s", rules[i].what, NAME_SHOWN, name) : strv_add(v, rules[i].what)) < 0)
                return -ENOMEM;
        }
        if (n < 0)
            return n;
    }
    return 0;
}
