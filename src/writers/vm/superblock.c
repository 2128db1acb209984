/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Super blocks of file systems that can lie on more than one device without LVM or md, which the agent would see through: btrfs, f2fs,
 * and ext4 and XFS with a journal or realtime part of their own. Layouts: the kernel's fs/btrfs, fs/f2fs, fs/ext4, fs/xfs. */
#include "base/num.h"
#include "writers/vm/vm_internal.h"
#include <string.h>

#define BTRFS_SUPER 65536u
#define OTHER_SUPER 1024u /* ext4, f2fs */
#define EXT4_HAS_JOURNAL 0x4u
#define EXT4_JOURNAL_DEV 0x8u
#define F2FS_DEVS 0x899u /* in its super block: 8 entries of 68 bytes, a path and a length */
#define F2FS_MAX_DEVS 8u

static uint64_t get_be64(const uint8_t *p)
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

static bool is_btrfs(const uint8_t *start, size_t n, struct vm_super *ret)
{
    const uint8_t *p = start + BTRFS_SUPER;

    if (n < BTRFS_SUPER + 4096 || memcmp(p + 0x40, "_BHRfS_M", 8))
        return false;
    ret->type = "btrfs";
    memcpy(ret->id, p + 0x20, 16);
    ret->n_devices = num_get_le64(p + 0x88);
    ret->device = num_get_le64(p + 0xc9);
    return true;
}

static bool is_ext4(const uint8_t *start, size_t n, struct vm_super *ret)
{
    static const uint8_t none[16];
    const uint8_t *p = start + OTHER_SUPER;

    if (n < OTHER_SUPER + 1024 || num_get_le16(p + 56) != 0xef53)
        return false;
    bool is_journal = num_get_le32(p + 96) & EXT4_JOURNAL_DEV;
    bool outside = (num_get_le32(p + 92) & EXT4_HAS_JOURNAL) && num_get_le32(p + 224) == 0 && memcmp(p + 208, none, 16) != 0;
    ret->type = is_journal ? "ext4 journal" : "ext4";
    memcpy(ret->id, p + 104, 16);
    memcpy(ret->journal, p + 208, 16);
    ret->n_devices = outside && !is_journal ? 2 : 1;
    return true;
}

static bool is_f2fs(const uint8_t *start, size_t n, struct vm_super *ret)
{
    const uint8_t *p = start + OTHER_SUPER;

    if (n < OTHER_SUPER + 0x1000 || num_get_le32(p) != 0xf2f52010)
        return false;
    ret->type = "f2fs";
    memcpy(ret->id, p + 0x6c, 16);
    for (size_t i = 0; i < F2FS_MAX_DEVS; i++)
        ret->n_devices += p[F2FS_DEVS + 68 * i] != 0;
    ret->n_devices += ret->n_devices == 0; /* one that has one device does not list it */
    return true;
}

static bool is_xfs(const uint8_t *start, size_t n, struct vm_super *ret)
{
    if (n < 512 || memcmp(start, "XFSB", 4))
        return false;
    ret->type = "xfs";
    memcpy(ret->id, start + 32, 16);
    ret->n_devices = 1u + (get_be64(start + 48) == 0) + (get_be64(start + 16) != 0);
    return true;
}

void vm_super_parse(const uint8_t *start, size_t n, struct vm_super *ret)
{
    *ret = (struct vm_super){ 0 };
    if (is_btrfs(start, n, ret) || is_xfs(start, n, ret) || is_f2fs(start, n, ret) || is_ext4(start, n, ret))
        return;
    *ret = (struct vm_super){ 0 };
}
