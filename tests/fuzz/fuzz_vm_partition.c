/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The start of a guest's disk: partition tables are the guest's, and may say anything (M4d). */
#include "fuzz.h"
#include "writers/vm/vm_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Half a disk cannot be dynamic for what its second half says. */
    if (vm_partition_is_dynamic(data, size / 2))
        FUZZ_REQUIRE(vm_partition_is_dynamic(data, size));
    struct vm_super super;
    uint64_t at[8];
    vm_super_parse(data, size, &super);
    FUZZ_REQUIRE(!super.type || size >= 512);
    FUZZ_REQUIRE(vm_partition_starts(data, size, at, ARRAY_SIZE(at)) <= ARRAY_SIZE(at));
    return 0;
}
