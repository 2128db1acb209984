/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* M4d: how many devices a file system has, from super blocks that mkfs.btrfs, mkfs.f2fs, mkfs.xfs and mke2fs of Debian 12 made
 * (tests/golden/hv/super-*.hex: offset and bytes of each line of 32 that is not zero), and from any bytes at all. */
#include "test_hv.h"

#include "base/num.h"
#include "writers/vm/vm_internal.h"
#include <stdio.h>

static uint8_t *start_of(const char *name)
{
    _cleanup_free_ char *file = str_format("super-%s", name);
    _cleanup_free_ char *text = golden_read(file, "hex");
    uint8_t *start = calloc(1, VM_SUPER_BYTES);
    char *save = NULL;

    assert_non_null(start);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *hex = NULL;
        unsigned long at = strtoul(line, &hex, 16);
        for (hex++; *hex; hex += 2, at++) {
            unsigned byte = 0;
            assert_int_equal(sscanf(hex, "%2x", &byte), 1);
            assert_true(at < VM_SUPER_BYTES);
            start[at] = (uint8_t)byte;
        }
    }
    return start;
}

static void devices_of_real_file_systems(void **state)
{
    static const struct {
        const char *name, *type;
        unsigned devices;
    } cases[] = {
        { "btrfs-two-devices", "btrfs", 2 },   { "f2fs", "f2fs", 1 },
        { "f2fs-two-devices", "f2fs", 2 },     { "xfs", "xfs", 1 },
        { "xfs-outside-log", "xfs", 2 },       { "ext4", "ext4", 1 },
        { "ext4-outside-journal", "ext4", 2 }, { "ext4-journal", "ext4 journal", 1 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ uint8_t *start = start_of(cases[i].name);
        struct vm_super s;
        vm_super_parse(start, VM_SUPER_BYTES, &s);
        assert_non_null(s.type);
        assert_string_equal(s.type, cases[i].type);
        assert_int_equal(s.n_devices, cases[i].devices);
    }
}

/* The journal is found by what the file system says of it. */
static void a_journal_elsewhere_is_known_by_its_id(void **state)
{
    _cleanup_free_ uint8_t *fs = start_of("ext4-outside-journal");
    _cleanup_free_ uint8_t *journal = start_of("ext4-journal");
    struct vm_super a, b;

    (void)state;
    vm_super_parse(fs, VM_SUPER_BYTES, &a);
    vm_super_parse(journal, VM_SUPER_BYTES, &b);
    assert_memory_equal(a.journal, b.id, 16);
}

static void what_is_cut_off_is_no_super_block(void **state)
{
    _cleanup_free_ uint8_t *start = start_of("btrfs-two-devices");
    struct vm_super s;

    (void)state;
    for (size_t n = 0; n < VM_SUPER_BYTES; n += 511) {
        vm_super_parse(start, n, &s);
        assert_null(s.type);
    }
    memset(start, 0xff, VM_SUPER_BYTES);
    vm_super_parse(start, VM_SUPER_BYTES, &s);
    assert_null(s.type);
}

static void put_mbr(uint8_t *d, int slot, uint8_t type, uint32_t lba)
{
    d[510] = 0x55;
    d[511] = 0xaa;
    d[446 + 16 * slot + 4] = type;
    num_put_le32(d + 446 + 16 * slot + 8, lba);
}

static void partitions_begin_where_the_tables_say(void **state)
{
    _cleanup_free_ uint8_t *d = calloc(1, VM_SUPER_BYTES);
    uint64_t at[4] = { 7, 7, 7, 7 };

    (void)state;
    assert_non_null(d);
    assert_int_equal(vm_partition_starts(d, VM_SUPER_BYTES, at, 4), 0);
    put_mbr(d, 1, 0x83, 2048);
    assert_int_equal(vm_partition_starts(d, VM_SUPER_BYTES, at, 4), 4);
    assert_int_equal(at[0], 0);
    assert_int_equal(at[1], 2048 * 512);
    put_mbr(d, 0, 0xee, 1);
    memcpy(d + 512, "EFI PART", 8);
    num_put_le64(d + 512 + 72, 2);
    num_put_le32(d + 512 + 80, 128);
    num_put_le32(d + 512 + 84, 128);
    memset(d + 1024 + 128, 0xab, 16); /* the second: of some type */
    num_put_le64(d + 1024 + 128 + 32, 4096);
    assert_int_equal(vm_partition_starts(d, VM_SUPER_BYTES, at, 4), 4);
    assert_int_equal(at[0], 0);
    assert_int_equal(at[1], 4096 * 512);
    num_put_le64(d + 1024 + 128 + 32, UINT64_MAX / 256); /* beyond any disk */
    assert_int_equal(vm_partition_starts(d, VM_SUPER_BYTES, at, 4), 4);
    assert_int_equal(at[1], 0);
    for (size_t n = 0; n < 2048; n++)
        (void)vm_partition_starts(d, n, at, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_of_real_file_systems),
        cmocka_unit_test(a_journal_elsewhere_is_known_by_its_id),
        cmocka_unit_test(what_is_cut_off_is_no_super_block),
        cmocka_unit_test(partitions_begin_where_the_tables_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
