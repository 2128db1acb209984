/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Partition tables. Windows dynamic disks (M4d): an MBR with a partition of type 0x42, or a GPT with one of the two LDM partition types. */
#include "base/num.h"
#include "writers/vm/vm_internal.h"
#include <string.h>

#define MBR_SIZE 512
#define MBR_ENTRIES 446
#define MBR_TYPE_LDM 0x42

/* The GUIDs as they lie on disk: first three fields little-endian. */
static const uint8_t ldm_metadata[16] = { 0xaa, 0xc8, 0x08, 0x58, 0x8f, 0x7e, 0xe0, 0x42, 0x85, 0xd2, 0xe1, 0xe9, 0x04, 0x34, 0xcf, 0xb3 };
static const uint8_t ldm_data[16] = { 0xa0, 0x60, 0x9b, 0xaf, 0x31, 0x14, 0x62, 0x4f, 0xbc, 0x68, 0x33, 0x11, 0x71, 0x4a, 0x69, 0xad };

static bool mbr_is_dynamic(const uint8_t *mbr)
{
    if (mbr[510] != 0x55 || mbr[511] != 0xaa)
        return false;
    for (int i = 0; i < 4; i++)
        if (mbr[MBR_ENTRIES + 16 * i + 4] == MBR_TYPE_LDM)
            return true;
    return false;
}

static bool gpt_is_dynamic(const uint8_t *start, size_t n, size_t sector)
{
    const uint8_t *header = start + sector;
    if (n < sector + 92 || memcmp(header, "EFI PART", 8))
        return false;

    uint64_t lba = num_get_le64(header + 72);
    uint32_t count = num_get_le32(header + 80), size = num_get_le32(header + 84);
    uint64_t at;
    if (size < 128 || size > 4096 || !num_mul(lba, sector, &at))
        return false;
    for (uint32_t i = 0; i < count; i++, at += size) {
        if (at > n || n - at < 16)
            return false;
        if (!memcmp(start + at, ldm_metadata, 16) || !memcmp(start + at, ldm_data, 16))
            return true;
    }
    return false;
}

bool vm_partition_is_dynamic(const uint8_t *start, size_t n)
{
    return n >= MBR_SIZE && (mbr_is_dynamic(start) || gpt_is_dynamic(start, n, 512) || gpt_is_dynamic(start, n, 4096));
}

static size_t mbr_starts(const uint8_t *mbr, uint64_t *ret, size_t max)
{
    size_t n = 0;

    if (mbr[510] != 0x55 || mbr[511] != 0xaa)
        return 0;
    for (; n < 4 && n < max; n++) {
        const uint8_t *entry = mbr + MBR_ENTRIES + 16 * n;
        ret[n] = entry[4] ? (uint64_t)num_get_le32(entry + 8) * MBR_SIZE : 0;
    }
    return n;
}

static size_t gpt_starts(const uint8_t *start, size_t n, size_t sector, uint64_t *ret, size_t max)
{
    static const uint8_t unused[16];
    const uint8_t *header = start + sector;
    size_t found = 0;
    uint64_t at;

    if (n < sector + 92 || memcmp(header, "EFI PART", 8))
        return 0;
    uint32_t count = num_get_le32(header + 80), size = num_get_le32(header + 84);
    if (size < 128 || size > 4096 || !num_mul(num_get_le64(header + 72), sector, &at))
        return 0;
    for (; found < count && found < max && at <= n && n - at >= 40; found++, at += size)
        if (!memcmp(start + at, unused, 16) || !num_mul(num_get_le64(start + at + 32), sector, &ret[found]))
            ret[found] = 0;
    return found;
}

size_t vm_partition_starts(const uint8_t *start, size_t n, uint64_t *ret, size_t max)
{
    size_t found = n < MBR_SIZE ? 0 : gpt_starts(start, n, 512, ret, max);

    if (!found && n >= MBR_SIZE)
        found = gpt_starts(start, n, 4096, ret, max);
    return found || n < MBR_SIZE ? found : mbr_starts(start, ret, max);
}
