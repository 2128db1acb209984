/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Corrections in a definition: they take, and the result is a definition again. The first byte says which are made. */
#include "fuzz.h"
#include "hypervisor/xml/definition.h"
#include <string.h>

/* The targets, as another parser of ours sees them. */
static struct hv_domain *disks_of(const char *xml)
{
    struct hv_domain *d = calloc(1, sizeof *d);

    if (d && domain_xml_parse(xml, NULL, d, NULL) < 0) {
        hv_domain_free(d);
        return NULL;
    }
    return d;
}

static void correct(struct hv_def *def, const struct hv_domain *d, unsigned what)
{
    const char *path, *format;

    for (size_t i = 0; i < d->n_disks && (what & 1); i++) {
        FUZZ_REQUIRE(hv_def_set_disk(def, d->disks[i].target, "/new/<&>.img", what & 2 ? "qcow2" : NULL, NULL) == 0);
        FUZZ_REQUIRE(hv_def_disk(def, d->disks[i].target, &path, &format, NULL) == 0);
        FUZZ_REQUIRE(strcmp(path, "/new/<&>.img") == 0);
    }
    if (what & 4 && hv_def_set_nvram(def, "/nvram", NULL) == 0)
        FUZZ_REQUIRE(strcmp(hv_def_nvram(def), "/nvram") == 0);
    for (size_t i = 0; i < hv_def_nic_count(def); i++) {
        struct hv_nic nic;
        if (what & 8 && hv_def_nic_new_port(def, i, NULL) == 0)
            FUZZ_REQUIRE(hv_def_nic(def, i, &nic, NULL) == 0 && !nic.interface_id);
        if (what & 16 && hv_def_nic_link(def, i, false, NULL) == 0)
            FUZZ_REQUIRE(hv_def_nic(def, i, &nic, NULL) == 0 && nic.link_down);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(hv_def_free_p) struct hv_def *def = NULL, *again = NULL;
    _cleanup_free_ char *xml = size ? strndup((const char *)data + 1, size - 1) : NULL, *text = NULL;
    struct err err = ERR_INIT;

    if (!xml || hv_def_parse(xml, &def, &err) < 0) {
        FUZZ_REQUIRE(!xml || err.text[0]);
        return 0;
    }
    _cleanup_strv_ char **missing = NULL;
    FUZZ_REQUIRE(hv_def_missing(NULL, def, &missing, &err) == 0);
    struct hv_demands demands = { 0 };
    FUZZ_REQUIRE(hv_definition_demands(def, &demands, &err) == 0);
    for (size_t i = 0; i < demands.n; i++)
        FUZZ_REQUIRE(demands.list[i].kind && demands.list[i].text && hv_demand_equal(&demands.list[i], &demands.list[i]));
    hv_demands_clear(&demands);
    _cleanup_(hv_domain_free_p) struct hv_domain *d = disks_of(xml);
    if (d)
        correct(def, d, data[0]);
    if (data[0] & 32) /* twice: what was done without is not missed any more */
        for (int i = 0; i < 2; i++) {
            _cleanup_strv_ char **notes = NULL;
            FUZZ_REQUIRE(def_do_without(NULL, def, WITHOUT_MISSING, &notes, NULL) == 0);
            FUZZ_REQUIRE(i == 0 || !notes);
        }
    if (data[0] & 64) {
        _cleanup_strv_ char **notes = NULL;
        FUZZ_REQUIRE(def_do_without(NULL, def, WITHOUT_LAST, &notes, NULL) == 0);
    }
    FUZZ_REQUIRE(hv_def_text(def, &text, &err) == 0);
    if (hv_def_parse(text, &again, &err) == 0)
        FUZZ_REQUIRE(hv_def_nic_count(again) == hv_def_nic_count(def));
    return 0;
}
