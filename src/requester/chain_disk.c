/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a disk is still the one that the earlier restore point holds. The name of a checkpoint alone does not tell: all disks of
 * a VM have the same one, and files can be renamed, copied, moved. When in doubt the disk is read whole. */
#include "base/buf.h"
#include "requester/chain.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* The image itself is written all the time, and keeps its record of changes inside; what it is backed by must not change at all. */
static json_t *file_entry(const char *path, bool backing)
{
    json_t *e = json_pack("{s:o}", "path", json_text(path));
    struct stat st;

    if (!e || !path || path[0] != '/' || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return e;
    json_object_set_new(e, "inode", json_integer((json_int_t)st.st_ino));
    if (!backing)
        return e;
    json_object_set_new(e, "size", json_integer((json_int_t)st.st_size));
    json_object_set_new(e, "mtime", json_integer((json_int_t)st.st_mtim.tv_sec));
    json_object_set_new(e, "mtime_ns", json_integer((json_int_t)st.st_mtim.tv_nsec));
    return e;
}

int chain_record_files(json_t *disk, struct err *err)
{
    json_t *files = json_array(), *b;
    size_t i;

    int r = json_array_append_new(files, file_entry(json_get_text(disk, "path"), false));
    json_array_foreach (json_object_get(disk, "backing"), i, b)
        r |= json_array_append_new(files, file_entry(json_get_text(b, "path"), true));
    r |= json_object_set_new(disk, "files", files);
    return r < 0 ? err_set(err, ENOMEM, "out of memory") : 0;
}

static const json_t *find_disk(const json_t *record, const char *target)
{
    size_t i;
    json_t *d;

    json_array_foreach (json_object_get(record, "disks"), i, d) {
        const char *t = json_get_text(d, "target");
        if (t && !strcmp(t, target))
            return d;
    }
    return NULL;
}

static bool same(const json_t *a, const json_t *b, const char *key)
{
    const json_t *x = json_object_get(a, key), *y = json_object_get(b, key);

    return x && y && json_equal(x, y);
}

static const char *differs(const json_t *was, const json_t *disk)
{
    if (!was)
        return "it is not in the earlier restore point";
    if (!json_get_text(was, "stored_as"))
        return "it was not backed up in the earlier restore point";
    if (!same(was, disk, "path"))
        return "it lies in another place than at the earlier restore point";
    if (!same(was, disk, "format"))
        return "its format is not what it was at the earlier restore point";
    if (!same(was, disk, "size"))
        return "its size is not what it was at the earlier restore point";
    if (!same(was, disk, "files"))
        return "its image, or what that is backed by, is another file than at the earlier restore point";
    return NULL;
}

const char *chain_image(const struct chain_vm *vm, const json_t *disk, char **ret_why)
{
    const char *target = json_get_text(disk, "target");
    const json_t *was = target ? find_disk(vm->record, target) : NULL;
    const char *why = differs(was, disk);

    *ret_why = why ? strdup(why) : NULL;
    return why ? NULL : json_get_text(was, "stored_as");
}
