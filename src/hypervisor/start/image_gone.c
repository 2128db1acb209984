/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a start opens of a disk: its image, and all that is beneath it. A QEMU that runs has these files open and goes on without their
 * names, so that nobody notices what is gone until the next start. */
#include "base/strv.h"
#include "hypervisor/xml/definition.h"
#include "hypervisor/image/image.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* As the definition tells it: always of a VM that runs, else where somebody wrote it there. */
static int told_chain(const struct def_disk *disk, bool *ret_told, char ***files)
{
    _cleanup_free_ xmlNodePtr *sources = NULL;
    int n = xml_find_all(disk->node, "backingStore/descendant::source | source/dataStore/source", &sources), r = n < 0 ? n : 0;

    *ret_told = xml_find(disk->node, "backingStore") != NULL;
    for (int i = 0; i < n && r == 0; i++) {
        _cleanup_free_ char *file = xml_attr(sources[i], "file"), *dev = xml_attr(sources[i], "dev");
        const char *path = file ? file : dev;
        if (path && path[0] == '/')
            r = strv_add(files, path);
    }
    return r;
}

int def_gone_image(const struct def_disk *disk, char **ret)
{
    _cleanup_strv_ char **files = NULL;
    bool told = false;

    *ret = NULL;
    int r = disk->path ? strv_add(&files, disk->path) : 0;
    if (r == 0)
        r = told_chain(disk, &told, &files);
    if (r == 0 && !told && disk->path)
        r = image_head_chain(disk->path, disk->format ? disk->format : "raw", &files);
    for (char **f = files; r == 0 && f && *f && !*ret; f++)
        if ((*f)[0] == '/' && access(*f, F_OK) < 0 && !(*ret = strdup(*f)))
            r = -ENOMEM;
    return r;
}

int hv_def_eject_missing(struct hv_def *def, char ***ret, struct err *err)
{
    _cleanup_strv_ char **ejected = NULL;

    for (size_t i = 0; i < def->n_disks; i++) {
        struct def_disk *disk = &def->disks[i];
        _cleanup_free_ char *gone = NULL;
        if (!def_is_removable(disk))
            continue;
        if (def_gone_image(disk, &gone) < 0)
            return err_nomem(err);
        if (!gone)
            continue;
        def_eject(disk);
        if (strv_add(&ejected, disk->target) < 0)
            return err_nomem(err);
    }
    *ret = TAKE_PTR(ejected);
    return 0;
}
