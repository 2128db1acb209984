/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the commands of a cluster print: its status, its plan, its configuration. */
#include "base/strv.h"
#include "cluster/cluster_internal.h"
#include "fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(cluster_vm_clear) struct cluster_vm v = { .resource = strdup("vm-one"), .here = strdup("n1") };
    _cleanup_strv_ char **actions = NULL, **resources = NULL;
    _cleanup_xml_ xmlDocPtr doc = NULL;
    const char *text = (const char *)data;
    int64_t end = 0;

    if (!v.resource || !v.here)
        return 0;
    if (cluster_read_status(text, size, &v, NULL) >= 0)
        (void)(cluster_is_in_charge(&v) + cluster_is_stopped(&v) + cluster_is_idle_hand(&v));
    (void)cluster_read_actions(text, size, &actions, &resources, NULL);
    if (xml_parse(text, size, "it", &doc, NULL) >= 0 && xmlDocGetRootElement(doc)) {
        xmlNodePtr primitive = cib_primitive(xmlDocGetRootElement(doc), "vm-one");
        (void)lease_end(xmlDocGetRootElement(doc), "kvss-lease", &end, NULL);
        if (primitive)
            free(cib_parameter(xmlDocGetRootElement(doc), primitive, "config"));
    }
    return 0;
}
