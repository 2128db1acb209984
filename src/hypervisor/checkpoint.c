/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/xml.h"
#include "hypervisor/internal.h"
#include <errno.h>
#include <string.h>

static void checkpoint_free_p(virDomainCheckpointPtr *c)
{
    if (*c)
        virDomainCheckpointFree(*c);
}

int hv_checkpoint_delete(struct hv_domain *d, const char *name, bool metadata_only, struct err *err)
{
    _cleanup_(checkpoint_free_p) virDomainCheckpointPtr c = virDomainCheckpointLookupByName(hv_handle(d), name, 0);

    if (!c && hv_virt_code() == VIR_ERR_NO_DOMAIN_CHECKPOINT)
        return 0;
    if (!c)
        return hv_virt_error(err, "cannot look up checkpoint %s of VM %s", name, d->name);
    if (virDomainCheckpointDelete(c, metadata_only ? VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY : 0) < 0)
        return hv_virt_error(err, "cannot delete checkpoint %s of VM %s", name, d->name);
    return 0;
}

int hv_checkpoint_xml(struct hv_domain *d, const char *name, char **ret, struct err *err)
{
    _cleanup_(checkpoint_free_p) virDomainCheckpointPtr c = virDomainCheckpointLookupByName(hv_handle(d), name, 0);
    char *xml = c ? virDomainCheckpointGetXMLDesc(c, VIR_DOMAIN_CHECKPOINT_XML_SECURE | VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN) : NULL;

    if (!xml)
        return hv_virt_error(err, "cannot read checkpoint %s of VM %s", name, d->name);
    *ret = xml;
    return 0;
}

int hv_checkpoint_redefine(struct hv_domain *d, const char *xml, struct err *err)
{
    unsigned flags = VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE | VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE;
    _cleanup_(checkpoint_free_p) virDomainCheckpointPtr c = virDomainCheckpointCreateXML(hv_handle(d), xml, flags);

    if (!c)
        return hv_virt_error(err, "cannot make a checkpoint of VM %s known to libvirt again", d->name);
    return 0;
}
