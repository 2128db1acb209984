/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions: what is accepted has a target and a format for each disk, a path only where it is one. */
#include "fuzz.h"
#include "hypervisor/xml/domain_xml.h"
#include <string.h>

static void check_disk(const struct hv_disk *d)
{
    bool local = d->source == HV_SOURCE_FILE || d->source == HV_SOURCE_BLOCK;

    FUZZ_REQUIRE(d->target && d->target[0] && d->format && d->locator);
    FUZZ_REQUIRE(local == (d->path != NULL));
    FUZZ_REQUIRE(!d->path || d->path[0] == '/');
    FUZZ_REQUIRE((d->source == HV_SOURCE_NETWORK) == (d->protocol != NULL));
    FUZZ_REQUIRE((d->source == HV_SOURCE_NETWORK) == (d->node || d->no_node) && !(d->node && d->no_node));
    FUZZ_REQUIRE(strv_len(d->backing) <= CHAIN_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = calloc(1, sizeof *d);
    _cleanup_free_ char *xml = strndup((const char *)data, size);
    struct err err = ERR_INIT;

    if (!d || !xml)
        return 0;
    if (domain_xml_parse(xml, NULL, d, &err) < 0)
        FUZZ_REQUIRE(err.code && err.text[0]);
    for (size_t i = 0; i < d->n_disks; i++)
        check_disk(&d->disks[i]);
    for (size_t i = 0; i < d->n_nics; i++)
        FUZZ_REQUIRE(d->nics[i].type);
    FUZZ_REQUIRE(!d->nvram || d->nvram[0] == '/');
    return 0;
}
