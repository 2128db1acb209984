/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a VM keeps or reads on the host beside its disks: files of NVDIMMs, shared folders, drives that only QEMU's command line knows.
 * None of it is backed up, and all of it is told (M11). */
#include "hypervisor/xml/domain_xml.h"
#include <errno.h>
#include <string.h>

#define ARGUMENT_SHOWN 160

static int beside_xml_add(struct hv_domain *d, enum hv_beside kind, const char *name)
{
    struct hv_beside_item *more = realloc(d->beside, (d->n_beside + 1) * sizeof *more);

    if (!more)
        return -ENOMEM;
    d->beside = more;
    more[d->n_beside] = (struct hv_beside_item){ kind, strdup(name && name[0] ? name : "?") };
    return more[d->n_beside].name ? (d->n_beside++, 0) : -ENOMEM;
}

static int add_elements(xmlNodePtr domain, struct hv_domain *d)
{
    static const struct {
        enum hv_beside kind;
        const char *xpath, *name;
    } rules[] = {
        { HV_BESIDE_PMEM, "devices/memory[source/path]", "source/path" },
        { HV_BESIDE_FOLDER, "devices/filesystem",
          "source/@dir | source/@socket | source/@file | source/@dev | source/@name | target/@dir" },
        { HV_BESIDE_FIRMWARE, "os/loader[@readonly='no']", "." },
        { HV_BESIDE_FIRMWARE, "os/nvram[source/@dev or source/@protocol]", "source/@dev | source/@name | source/@protocol" },
        { HV_BESIDE_TPM, "devices/tpm/backend[@type='passthrough']", "device/@path" },
        { HV_BESIDE_TPM, "devices/tpm/backend[@type='external']", "source/@path" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        _cleanup_free_ xmlNodePtr *nodes = NULL;
        int n = xml_find_all(domain, rules[i].xpath, &nodes);
        for (int k = 0; k < n; k++) {
            _cleanup_free_ char *name = xml_get(nodes[k], rules[i].name);
            if (beside_xml_add(d, rules[i].kind, name) < 0)
                return -ENOMEM;
        }
        if (n < 0)
            return n;
    }
    return 0;
}

/* ---- QEMU's command line ------------------------------------------------------------------------------------------------------*/

static bool beside_xml_starts(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

/* Options of QEMU whose value, or which by themselves, bring storage or a folder along. */
static bool brings_storage(const char *option, const char *value)
{
    static const char *const always[] = { "drive", "blockdev", "hda", "hdb",      "hdc",    "hdd",    "cdrom",
                                          "fda",   "fdb",      "sd",  "mtdblock", "pflash", "virtfs", "fsdev" };
    static const char *const devices[] = { "vfio-",      "usb-host",       "scsi-generic",    "scsi-block",
                                           "vhost-scsi", "vhost-user-blk", "vhost-user-scsi", "vhost-user-fs",
                                           "nvdimm",     "virtio-pmem",    "usb-mtp" };

    option += option[0] == '-' ? 1 + (option[1] == '-') : 0;
    for (size_t i = 0; i < ARRAY_SIZE(always); i++)
        if (strcmp(option, always[i]) == 0)
            return true;
    if (!value)
        return false;
    if (strcmp(option, "object") == 0)
        return beside_xml_starts(value, "memory-backend-file") || strstr(value, "\"memory-backend-file\"");
    for (size_t i = 0; strcmp(option, "device") == 0 && i < ARRAY_SIZE(devices); i++)
        if (strstr(value, devices[i]))
            return true;
    return strcmp(option, "usbdevice") == 0 && beside_xml_starts(value, "disk");
}

static int beside_xml_add_arguments(xmlNodePtr domain, struct hv_domain *d)
{
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    _cleanup_free_ char *option = NULL;
    /* The prefix of the namespace is whatever the definition says. */
    int n = xml_find_all(domain, "*[local-name()='commandline']/*[local-name()='arg']", &nodes), r = 0;

    for (int i = 0; i < n && r == 0; i++) {
        _cleanup_free_ char *value = xml_attr(nodes[i], "value");
        if (!value)
            continue;
        if (value[0] == '-') { /* an option, which may stand alone */
            free(option);
            option = TAKE_PTR(value);
            continue;
        }
        if (option && brings_storage(option, value)) {
            _cleanup_free_ char *text = str_format("%s %.*s", option, ARGUMENT_SHOWN, value);
            r = text ? beside_xml_add(d, HV_BESIDE_COMMANDLINE, text) : -ENOMEM;
        }
        free(TAKE_PTR(option));
    }
    return n < 0 ? n : r;
}

int beside_xml_list(xmlNodePtr domain, struct hv_domain *d, struct err *err)
{
    int r = add_elements(domain, d);

    if (r == 0)
        r = beside_xml_add_arguments(domain, d);
    return r < 0 ? err_errno(err, -r, "cannot read what the definition contains apart from its disks") : 0;
}

void hv_beside_clear(struct hv_domain *d)
{
    for (size_t i = 0; i < d->n_beside; i++)
        free(d->beside[i].name);
    free(d->beside);
    d->beside = NULL;
    d->n_beside = 0;
}
