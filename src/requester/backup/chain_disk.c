/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a disk is still the one that the earlier restore point holds. The name of a checkpoint alone does not tell: all disks of
 * a VM have the same one, and files can be renamed, copied, moved. When in doubt the disk is read whole. */
#include "base/buf.h"
#include "requester/backup/chain.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* The image itself is written all the time, and keeps its record of changes inside; what it is backed by must not change at all. */
static int file_entry(const char *path, bool backing, struct vm_record_file *ret)
{
    struct stat st;

    if (path && !(ret->path = strdup(path)))
        return -ENOMEM;
    if (!path || path[0] != '/' || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    ret->inode = (struct vm_opt){ true, st.st_ino };
    if (!backing)
        return 0;
    ret->size = (struct vm_opt){ true, (uint64_t)st.st_size };
    ret->mtime = (struct vm_opt){ true, (uint64_t)st.st_mtim.tv_sec };
    ret->mtime_ns = (struct vm_opt){ true, (uint64_t)st.st_mtim.tv_nsec };
    return 0;
}

int chain_record_files(struct vm_record_disk *disk, struct err *err)
{
    size_t n_backing = strv_len(disk->backing);
    struct vm_record_file *files = calloc(n_backing + 1, sizeof(*files));

    if (!files)
        return err_nomem(err);
    disk->files = files;
    int r = file_entry(disk->path, false, &files[disk->n_files++]);
    for (size_t i = 0; i < n_backing && r >= 0; i++)
        r = file_entry(disk->backing[i], true, &files[disk->n_files++]);
    return r < 0 ? err_nomem(err) : 0;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static bool same_number(struct vm_opt a, struct vm_opt b)
{
    return a.known == b.known && (!a.known || a.value == b.value);
}

/* Where an older record tells of none, they are others. */
static bool same_files(const struct vm_record_disk *was, const struct vm_record_disk *disk)
{
    bool same = was->n_files > 0 && was->n_files == disk->n_files;

    for (size_t i = 0; same && i < was->n_files; i++) {
        const struct vm_record_file *a = &was->files[i], *b = &disk->files[i];
        same = same_text(a->path, b->path) && same_number(a->inode, b->inode) && same_number(a->size, b->size) &&
               same_number(a->mtime, b->mtime) && same_number(a->mtime_ns, b->mtime_ns);
    }
    return same;
}

static const char *differs(const struct vm_record_disk *was, const struct vm_record_disk *disk)
{
    if (!was)
        return "it is not in the earlier restore point";
    if (!was->stored_as)
        return "it was not backed up in the earlier restore point";
    if (!same_text(was->path, disk->path))
        return "its location has changed since the earlier restore point";
    if (!same_text(was->format, disk->format))
        return "its format has changed since the earlier restore point";
    if (was->size != disk->size)
        return "its size has changed since the earlier restore point";
    if (!same_files(was, disk))
        return "its image or a backing image was replaced after the earlier restore point";
    return NULL;
}

const char *chain_image(const struct chain_vm *vm, const struct vm_record_disk *disk, char **ret_why)
{
    const struct vm_record_disk *was = disk->target ? vm_record_find_disk(&vm->record, disk->target) : NULL;
    const char *why = differs(was, disk);

    *ret_why = why ? strdup(why) : NULL;
    return why ? NULL : was->stored_as;
}
