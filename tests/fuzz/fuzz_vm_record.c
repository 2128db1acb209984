/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The record of a VM, vm.json of a restore point: whatever it says, what was understood of it is written and read again without a change,
 * and its summary is one that does not differ from it. */
#include "fuzz.h"
#include "base/json.h"
#include "writers/vm/vm_writer.h"
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_json_ json_t *j = NULL;
    _cleanup_vm_record_ struct vm_record first = { 0 }, second = { 0 };
    _cleanup_free_ char *differs = NULL;
    struct err err = ERR_INIT;

    if (json_parse_object((const char *)data, size, "the record", &j, NULL) < 0)
        return 0;
    int r = vm_record_from_json(j, &first, &err);
    if (r < 0) {
        FUZZ_REQUIRE(r == -EUCLEAN && err.text[0] && !first.n_disks && !first.name);
        return 0;
    }
    FUZZ_REQUIRE(first.n_disks <= VM_RECORD_DISKS_MAX && first.n_parts <= VM_RECORD_PARTS_MAX);
    _cleanup_json_ json_t *once = vm_record_to_json(&first), *summary = vm_record_summary(&first), *preview = vm_record_preview(&first);
    FUZZ_REQUIRE(once && summary && preview);
    FUZZ_REQUIRE(vm_record_from_json(once, &second, &err) >= 0);
    _cleanup_json_ json_t *twice = vm_record_to_json(&second);
    FUZZ_REQUIRE(json_equal(once, twice));
    FUZZ_REQUIRE(vm_record_summary_differs(&second, summary, &differs, &err) == 0);
    return 0;
}
