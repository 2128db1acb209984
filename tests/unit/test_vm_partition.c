/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* M4d: dynamic disks are told from basic ones by their first bytes, whatever those are. */
#include "test.h"

#include "base/num.h"
#include "writers/vm/vm_internal.h"
#include <string.h>

#define N VM_PARTITION_BYTES

static uint8_t *disk(void)
{
    uint8_t *d = calloc(1, N);
    assert_non_null(d);
    return d;
}

static void put_mbr(uint8_t *d, int slot, uint8_t type)
{
    d[510] = 0x55;
    d[511] = 0xaa;
    d[446 + 16 * slot + 4] = type;
}

static void put_gpt(uint8_t *d, size_t sector, uint32_t count, uint32_t size)
{
    put_mbr(d, 0, 0xee);
    memcpy(d + sector, "EFI PART", 8);
    num_put_le64(d + sector + 72, 2);
    num_put_le32(d + sector + 80, count);
    num_put_le32(d + sector + 84, size);
}

static const uint8_t ldm_data[16] = { 0xa0, 0x60, 0x9b, 0xaf, 0x31, 0x14, 0x62, 0x4f, 0xbc, 0x68, 0x33, 0x11, 0x71, 0x4a, 0x69, 0xad };

static void an_mbr_disk_is_dynamic_by_type_0x42_in_any_slot(void **state)
{
    (void)state;
    for (int slot = 0; slot < 4; slot++) {
        uint8_t *d = disk();
        put_mbr(d, slot, 0x83);
        assert_false(vm_partition_is_dynamic(d, N));
        put_mbr(d, slot, 0x42);
        assert_true(vm_partition_is_dynamic(d, N));
        d[511] = 0; /* no signature: no table */
        assert_false(vm_partition_is_dynamic(d, N));
        free(d);
    }
}

static void a_gpt_disk_is_dynamic_by_its_partition_types(void **state)
{
    (void)state;
    const size_t sectors[] = { 512, 4096 };
    for (size_t i = 0; i < 2; i++) {
        uint8_t *d = disk();
        put_gpt(d, sectors[i], 128, 128);
        assert_false(vm_partition_is_dynamic(d, N));
        memcpy(d + 2 * sectors[i] + 128 * 5, ldm_data, 16);
        assert_true(vm_partition_is_dynamic(d, N));
        free(d);
    }
}

static void tables_that_lie_are_survived(void **state)
{
    (void)state;
    uint8_t *d = disk();
    put_gpt(d, 512, UINT32_MAX, 128);
    assert_false(vm_partition_is_dynamic(d, N));
    num_put_le64(d + 512 + 72, UINT64_MAX);
    assert_false(vm_partition_is_dynamic(d, N));
    num_put_le64(d + 512 + 72, UINT64_MAX / 512 + 1);
    assert_false(vm_partition_is_dynamic(d, N));
    num_put_le64(d + 512 + 72, 2);
    num_put_le32(d + 512 + 84, 0);
    assert_false(vm_partition_is_dynamic(d, N));
    for (size_t n = 0; n < 2048; n++)
        (void)vm_partition_is_dynamic(d, n);
    free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_mbr_disk_is_dynamic_by_type_0x42_in_any_slot),
        cmocka_unit_test(a_gpt_disk_is_dynamic_by_its_partition_types),
        cmocka_unit_test(tables_that_lie_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
