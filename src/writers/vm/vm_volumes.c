/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* M4d where the agent cannot tell: it names one device of a file system, but btrfs, f2fs, and ext4 and XFS with a journal elsewhere can
 * have more. Where the VM has a disk that is not backed up, their super blocks are read on the host, on the disks that are. */
#include "base/num.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <string.h>

#define PARTITIONS_MAX 128u
#define SUPERS_MAX 1024u
#define NO_NUMBER SIZE_MAX

/* A super block that was found. */
struct volumes_member {
    const char *target;
    size_t partition; /* 0: the whole disk */
    struct vm_super super;
};
struct volumes_members {
    struct volumes_member *list;
    size_t n;
};

static void members_clear(struct volumes_members *m)
{
    free(m->list);
}

/* Names of disks that the guest can write and that are not backed up; NULL: none. Caller frees. */
static int uncovered(const struct hv_domain *d, const struct vm_report *r, char **ret)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    int rc = 0;

    for (size_t i = 0; i < d->n_disks && rc == 0; i++) {
        const struct hv_disk *disk = &d->disks[i];
        bool writes =
            (disk->device == HV_DEVICE_DISK || disk->device == HV_DEVICE_LUN) && disk->source != HV_SOURCE_NONE && !disk->readonly;
        if (writes && !r->disks[i].covered)
            rc = buf_addf(&b, "%s%s", b.len ? ", " : "", disk->target);
    }
    for (char **p = d->passthrough; p && *p && rc == 0; p++)
        rc = buf_addf(&b, "%s%s", b.len ? ", " : "", *p);
    if (rc == 0 && b.len && !(*ret = buf_take_str(&b)))
        rc = -ENOMEM;
    return rc;
}

static bool may_have_more_devices(const char *type)
{
    return !strcmp(type, "btrfs") || !strcmp(type, "f2fs") || !strncmp(type, "ext", 3) || !strcmp(type, "xfs");
}

/* "/dev/vda2": 2; "/dev/vda": 0; "dm-0" and whatever else: NO_NUMBER. */
static size_t partition_number(const char *device)
{
    if (!device || strncmp(device, "/dev/", 5))
        return NO_NUMBER;
    bool numbered = !strncmp(device, "/dev/nvme", 9) || !strncmp(device, "/dev/mmcblk", 11); /* disks whose own names end in a number */
    const char *last = device + strlen(device);
    uint64_t number = 0;

    while (last[-1] >= '0' && last[-1] <= '9')
        last--;
    if (!*last || (numbered && last[-1] != 'p'))
        return 0;
    return num_parse_u64(last, 1, PARTITIONS_MAX, &number, NULL) < 0 ? NO_NUMBER : (size_t)number;
}

static int add_member(struct volumes_members *m, const char *target, size_t partition, const uint8_t *p, size_t n)
{
    struct vm_super super;

    vm_super_parse(p, n, &super);
    if (!super.type || m->n >= SUPERS_MAX)
        return 0;
    struct volumes_member *list = reallocarray(m->list, m->n + 1, sizeof(*list));
    if (!list)
        return -ENOMEM;
    m->list = list;
    m->list[m->n++] = (struct volumes_member){ target, partition, super };
    return 0;
}

/* What cannot be read is not found: whoever needs it then fails for want of proof. */
static int read_disk(const struct vm_writer *w, const struct hv_disk *disk, struct volumes_members *m)
{
    _cleanup_free_ uint8_t *start = malloc(VM_SUPER_BYTES);
    const char *dir = w->config.session_dir;
    uint64_t at[PARTITIONS_MAX];
    size_t n = (size_t)num_min(disk->size, VM_SUPER_BYTES);

    if (!start)
        return -ENOMEM;
    if (hv_image_peek(dir, disk->path, disk->format, 0, start, n, NULL) < 0)
        return 0;
    int r = add_member(m, disk->target, 0, start, n);
    size_t parts = vm_partition_starts(start, n, at, PARTITIONS_MAX);
    for (size_t i = 0; i < parts && r == 0; i++) {
        if (!at[i] || at[i] >= disk->size)
            continue;
        n = (size_t)num_min(disk->size - at[i], VM_SUPER_BYTES);
        if (hv_image_peek(dir, disk->path, disk->format, at[i], start, n, NULL) >= 0)
            r = add_member(m, disk->target, i + 1, start, n);
    }
    return r;
}

/* The super block of a file system, by the device that the agent names; NULL: not found. */
static const struct volumes_member *volumes_find(const struct volumes_members *m, const struct hv_guest_fs *fs)
{
    size_t number = partition_number(fs->device);

    for (size_t i = 0; i < m->n; i++)
        if (number != NO_NUMBER && m->list[i].partition == number && strv_has(fs->targets, m->list[i].target))
            return &m->list[i];
    return NULL;
}

/* How many of the devices of that file system lie on disks that are backed up. */
static size_t count_devices(const struct volumes_members *m, const struct vm_super *of)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n; i++) {
        const struct vm_super *s = &m->list[i].super;
        bool seen = false;
        if (!strcmp(of->type, "ext4") && !strcmp(s->type, "ext4 journal") && !memcmp(s->id, of->journal, 16))
            return 2;
        if (strcmp(s->type, of->type) || memcmp(s->id, of->id, 16))
            continue;
        for (size_t k = 0; k < i; k++)
            seen |= !strcmp(m->list[k].super.type, of->type) && !memcmp(m->list[k].super.id, of->id, 16) &&
                    m->list[k].super.device == s->device;
        n += !seen;
    }
    return n;
}

/* One file system of the guest. `others`: disks that are not backed up, NULL: there are none. */
static char *not_whole(const struct volumes_members *m, const struct hv_guest_fs *fs, const char *others)
{
    const struct volumes_member *found = volumes_find(m, fs);
    bool own_devices = !strcmp(fs->type, "btrfs") || !strcmp(fs->type, "f2fs"); /* the others say where their parts are only at mkfs */

    if (!found)
        return others && own_devices ? str_format("the guest's %s is %s, which can span several disks; whether it also uses %s, which is "
                                                  "not backed up, cannot be determined",
                                                  fs->mountpoint, fs->type, others)
                                     : NULL;
    size_t n = count_devices(m, &found->super);
    if (n >= found->super.n_devices || (!others && strcmp(fs->type, "btrfs")))
        return NULL;
    return others ? str_format("the guest's %s (%s) has %llu devices, only %zu of them on disks that are backed up; not backed up: %s",
                               fs->mountpoint, fs->type, (unsigned long long)found->super.n_devices, n, others)
                  : str_format("the guest's %s (%s) has %llu devices, only %zu of them on disks of the VM", fs->mountpoint, fs->type,
                               (unsigned long long)found->super.n_devices, n);
}

int vm_volumes_whole(const struct vm_writer *w, const struct hv_domain *d, const struct vm_report *r, char **ret_why)
{
    _cleanup_free_ char *others = NULL;
    _cleanup_(members_clear) struct volumes_members m = { 0 };
    bool wanted = false;

    if (uncovered(d, r, &others) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < r->n_fs; i++)
        wanted |= !r->fs[i].read_only && (others ? may_have_more_devices(r->fs[i].type) : !strcmp(r->fs[i].type, "btrfs"));
    for (size_t i = 0; i < d->n_disks && wanted; i++)
        if (r->disks[i].covered && d->disks[i].path && hv_is_local(d->hv) && read_disk(w, &d->disks[i], &m) < 0)
            return -ENOMEM;
    for (size_t i = 0; i < r->n_fs && wanted && !*ret_why; i++)
        if (!r->fs[i].read_only && may_have_more_devices(r->fs[i].type))
            *ret_why = not_whole(&m, &r->fs[i], others);
    return 0;
}
