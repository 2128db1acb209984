/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Windows dynamic disks (M4d): an MBR with a partition of type 0x42, or a GPT with one of the two LDM partition types. */
#include "base/num.h"
#include "writers/vm/internal.h"
#include <string.h>

#define MBR_SIZE 512
#define MBR_ENTRIES 446
#define MBR_TYPE_LDM 0x42

/* The GUIDs as they lie on disk: first three fields little-endian. */
static const uint8_t ldm_metadata[16] = { 0xaa, 0xc8, 0x08, 0x58, 0x8f, 0x7e, 0xe0, 0x42,
                                          0x85, 0xd2, 0xe1, 0xe9, 0x04, 0x34, 0xcf, 0xb3 };
static const uint8_t ldm_data[16] = { 0xa0, 0x60, 0x9b, 0xaf, 0x31, 0x14, 0x62, 0x4f,
                                      0xbc, 0x68, 0x33, 0x11, 0x71, 0x4a, 0x69, 0xad };

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
    return n >= MBR_SIZE &&
           (mbr_is_dynamic(start) || gpt_is_dynamic(start, n, 512) || gpt_is_dynamic(start, n, 4096));
}
