/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Storage pools: those that are folders can take images as files. */
#include "hypervisor/definition.h"
#include "hypervisor/host.h"
#include "hypervisor/internal.h"
#include <errno.h>
#include <string.h>

static void pool_free_p(virStoragePoolPtr *p)
{
    if (*p)
        virStoragePoolFree(*p);
}

static int is_folder(const char *name, const char *type, struct err *err)
{
    static const char *const folders[] = { "dir", "fs", "netfs" };

    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        if (type && strcmp(type, folders[i]) == 0)
            return 0;
    return err_set(err, EOPNOTSUPP, "storage pool %s is of type %s: images are only restored into pools that are folders (dir, fs, "
                                    "netfs); make a volume with virsh vol-create-as and name its device with --disk TARGET=PATH "
                                    "--overwrite", name, type ? type : "unknown");
}

int hv_pool_dir(struct hv *hv, const char *name, char **ret, struct err *err)
{
    _cleanup_(pool_free_p) virStoragePoolPtr pool = virStoragePoolLookupByName(hv->conn, name);
    _cleanup_xml_ xmlDocPtr doc = NULL;

    if (!pool && (hv_virt_code() == VIR_ERR_NO_STORAGE_POOL || hv_virt_code() == VIR_ERR_NO_SUPPORT))
        return err_set(err, ENOENT, "there is no storage pool %s at %s", name, hv->uri);
    if (!pool)
        return hv_virt_error(err, "cannot look up the storage pool %s", name);
    if (virStoragePoolIsActive(pool) != 1)
        return err_set(err, EAGAIN, "storage pool %s is not active: start it with virsh pool-start %s", name, name);
    _cleanup_free_ char *xml = virStoragePoolGetXMLDesc(pool, 0);
    if (!xml)
        return hv_virt_error(err, "cannot read the storage pool %s", name);
    int r = xml_parse(xml, strlen(xml), "the definition of the storage pool", &doc, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *type = xml_attr(xmlDocGetRootElement(doc), "type");
    if ((r = is_folder(name, type, err)) < 0)
        return r;
    char *path = xml_get(xmlDocGetRootElement(doc), "target/path");
    if (!path || path[0] != '/') {
        free(path);
        return err_set(err, EINVAL, "storage pool %s does not say which folder it is", name);
    }
    *ret = path;
    return 0;
}

int hv_pool_refresh(struct hv *hv, const char *name, struct err *err)
{
    _cleanup_(pool_free_p) virStoragePoolPtr pool = virStoragePoolLookupByName(hv->conn, name);

    if (!pool || virStoragePoolRefresh(pool, 0) < 0)
        return hv_virt_error(err, "cannot refresh the storage pool %s", name);
    return 0;
}

bool hv_def_is_volume_at(struct hv *hv, const struct hv_def *def, const char *target, const char *path)
{
    struct domain_xml_env env = host_env(hv);
    bool same = false;

    for (size_t i = 0; i < def->n_disks; i++) {
        _cleanup_free_ char *type = xml_attr(def->disks[i].node, "type");
        struct hv_disk disk = { 0 };
        if (strcmp(def->disks[i].target, target) || !type || strcmp(type, "volume"))
            continue;
        if (disk_xml_parse(def->disks[i].node, &env, &disk, NULL) == 0)
            same = disk.path && strcmp(disk.path, path) == 0;
        hv_disk_clear(&disk);
    }
    return same;
}
