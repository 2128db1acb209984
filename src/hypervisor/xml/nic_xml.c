/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <interface> of a domain definition. */
#include "hypervisor/xml/domain_xml.h"
#include <errno.h>
#include <string.h>

void hv_nic_clear(struct hv_nic *nic)
{
    free(nic->mac);
    free(nic->alias);
    free(nic->type);
    free(nic->source);
    free(nic->target);
    free(nic->virtualport);
    free(nic->interface_id);
    *nic = (struct hv_nic){ 0 };
}

/* What the NIC is plugged into, by the attribute that this type uses. */
static char *source_of(xmlNodePtr node)
{
    static const char *const attributes[] = { "source/@network", "source/@bridge", "source/@dev", "source/@path" };

    for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
        char *s = xml_get(node, attributes[i]);
        if (s && s[0])
            return s;
        free(s);
    }
    return NULL;
}

int nic_xml_parse(xmlNodePtr node, struct hv_nic *ret, struct err *err)
{
    struct hv_nic nic = {
        .mac = xml_get(node, "mac/@address"),
        .alias = xml_get(node, "alias/@name"),
        .type = xml_attr(node, "type"),
        .target = xml_get(node, "target/@dev"),
        .virtualport = xml_get(node, "virtualport/@type"),
        .interface_id = xml_get(node, "virtualport/parameters/@interfaceid"),
    };
    _cleanup_free_ char *link = xml_get(node, "link/@state");

    nic.link_down = link && strcmp(link, "down") == 0;
    nic.source = source_of(node);
    if (!nic.type) {
        hv_nic_clear(&nic);
        return err_set(err, EINVAL, "a network interface of the definition has no type");
    }
    *ret = nic;
    return 0;
}
