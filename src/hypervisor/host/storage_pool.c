/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Storage pools: those that are folders take images as files, those of LVM's as volumes. */
#include "hypervisor/xml/definition.h"
#include "hypervisor/host/host.h"
#include "hypervisor/host/hv_internal.h"
#include <errno.h>
#include <string.h>

static void pool_free_p(virStoragePoolPtr *p)
{
    if (*p)
        virStoragePoolFree(*p);
}

static void volume_free_p(virStorageVolPtr *v)
{
    if (*v)
        virStorageVolFree(*v);
}

static int check_type(const char *name, const char *type, bool *ret_volumes, struct err *err)
{
    static const char *const folders[] = { "dir", "fs", "netfs" };

    *ret_volumes = type && strcmp(type, "logical") == 0;
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        if (*ret_volumes || (type && strcmp(type, folders[i]) == 0))
            return 0;
    return err_set(err, EOPNOTSUPP,
                   "storage pool %s is of type %s: images can only be restored to pools that are folders (dir, fs, netfs) or LVM "
                   "(logical); create a volume with virsh vol-create-as and name its device with --disk TARGET=PATH --overwrite",
                   name, type ? type : "unknown");
}

static int find_pool(struct hv *hv, const char *name, virStoragePoolPtr *ret, struct err *err)
{
    *ret = virStoragePoolLookupByName(hv->conn, name);
    if (*ret)
        return 0;
    if (hv_virt_code() == VIR_ERR_NO_STORAGE_POOL || hv_virt_code() == VIR_ERR_NO_SUPPORT)
        return err_set(err, ENOENT, "there is no storage pool %s at %s", name, hv->uri);
    return hv_virt_error(err, "cannot look up the storage pool %s", name);
}

bool hv_pool_is_active(struct hv *hv, const char *name)
{
    _cleanup_(pool_free_p) virStoragePoolPtr pool = NULL;

    return find_pool(hv, name, &pool, NULL) == 0 && virStoragePoolIsActive(pool) == 1;
}

int hv_pool_start(struct hv *hv, const char *name, struct err *err)
{
    _cleanup_(pool_free_p) virStoragePoolPtr pool = NULL;

    int r = find_pool(hv, name, &pool, err);
    if (r < 0 || virStoragePoolIsActive(pool) == 1)
        return r;
    return virStoragePoolCreate(pool, 0) < 0 ? hv_virt_error(err, "cannot start the storage pool %s", name) : 0;
}

static bool pool_holds(virStoragePoolPtr pool, const char *path)
{
    _cleanup_free_ char *xml = virStoragePoolGetXMLDesc(pool, VIR_STORAGE_XML_INACTIVE), *folder = NULL;
    _cleanup_xml_ xmlDocPtr doc = NULL;

    if (xml && xml_parse(xml, strlen(xml), "the definition of the storage pool", &doc, NULL) >= 0)
        folder = xml_get(xmlDocGetRootElement(doc), "target/path");
    size_t n = folder ? strlen(folder) : 0;
    return n > 1 && strncmp(path, folder, n) == 0 && path[n] == '/';
}

char *hv_pool_inactive_at(struct hv *hv, const char *path)
{
    virStoragePoolPtr *pools = NULL;
    int n = virConnectListAllStoragePools(hv->conn, &pools, VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE);
    char *name = NULL;

    for (int i = 0; i < n; i++) {
        if (!name && pool_holds(pools[i], path))
            name = strdup(virStoragePoolGetName(pools[i]));
        virStoragePoolFree(pools[i]);
    }
    free(pools);
    return name;
}

int hv_pool_dir(struct hv *hv, const char *name, char **ret, bool *ret_volumes, struct err *err)
{
    _cleanup_(pool_free_p) virStoragePoolPtr pool = NULL;
    _cleanup_xml_ xmlDocPtr doc = NULL;

    int r = find_pool(hv, name, &pool, err);
    if (r < 0)
        return r;
    if (virStoragePoolIsActive(pool) != 1)
        return err_set(err, EAGAIN, "storage pool %s is not active: start it with virsh pool-start %s", name, name);
    _cleanup_free_ char *xml = virStoragePoolGetXMLDesc(pool, 0);
    if (!xml)
        return hv_virt_error(err, "cannot read the storage pool %s", name);
    r = xml_parse(xml, strlen(xml), "the definition of the storage pool", &doc, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *type = xml_attr(xmlDocGetRootElement(doc), "type");
    if ((r = check_type(name, type, ret_volumes, err)) < 0)
        return r;
    char *path = xml_get(xmlDocGetRootElement(doc), "target/path");
    if (!path || path[0] != '/') {
        free(path);
        return err_set(err, EINVAL, "storage pool %s does not report its folder", name);
    }
    *ret = path;
    return 0;
}

/* ---- Where pools keep images ------------------------------------------------------------------------------------------------------*/

#define VOLUMES_MAX 10000

/* Devices of a pool whose folder holds other devices, too: /dev, /dev/disk/by-path. */
static int add_volumes(virStoragePoolPtr pool, char ***places)
{
    virStorageVolPtr *volumes = NULL;
    int n = virStoragePoolListAllVolumes(pool, &volumes, 0), r = 0;

    for (int i = 0; i < n; i++) {
        _cleanup_free_ char *path = i < VOLUMES_MAX && r == 0 ? virStorageVolGetPath(volumes[i]) : NULL;
        if (path && path[0] == '/')
            r = strv_add(places, path);
        virStorageVolFree(volumes[i]);
    }
    free(volumes);
    return r;
}

static int add_places(virStoragePoolPtr pool, char ***places)
{
    _cleanup_free_ char *xml = virStoragePoolGetXMLDesc(pool, 0);
    _cleanup_xml_ xmlDocPtr doc = NULL;
    bool volumes;

    if (!xml || xml_parse(xml, strlen(xml), "the definition of a storage pool", &doc, NULL) < 0)
        return 0; /* gone meanwhile, or nothing that could be told from: it allows nothing */
    _cleanup_free_ char *type = xml_attr(xmlDocGetRootElement(doc), "type");
    _cleanup_free_ char *path = xml_get(xmlDocGetRootElement(doc), "target/path");
    if (check_type("", type, &volumes, NULL) < 0)
        return add_volumes(pool, places);
    return path && path[0] == '/' ? strv_add(places, path) : 0;
}

int hv_pool_places(struct hv *hv, char ***ret, struct err *err)
{
    _cleanup_(pool_free_p) virStoragePoolPtr standard = virStoragePoolLookupByName(hv->conn, "default");
    _cleanup_free_ char *folder = NULL;
    virStoragePoolPtr *pools = NULL;

    int r = standard ? 0 : hv_default_image_dir(hv, &folder, err);
    if (r < 0)
        return r;
    int n = virConnectListAllStoragePools(hv->conn, &pools, VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE);
    for (int i = 0; i < n; i++) {
        if (r == 0)
            r = add_places(pools[i], ret);
        virStoragePoolFree(pools[i]);
    }
    free(pools);
    if (r == 0 && folder)
        r = strv_add(ret, folder);
    return r < 0 ? err_nomem(err) : 0;
}

int hv_pool_free(struct hv *hv, const char *name, uint64_t *ret, struct err *err)
{
    _cleanup_(pool_free_p) virStoragePoolPtr pool = NULL;
    virStoragePoolInfo info;

    int r = find_pool(hv, name, &pool, err);
    if (r < 0)
        return r;
    if (virStoragePoolGetInfo(pool, &info) < 0)
        return hv_virt_error(err, "cannot determine the free space of storage pool %s", name);
    *ret = info.available;
    return 0;
}

/* Names come from a repository: libxml2 writes them. Caller frees. */
static int volume_xml(const char *name, uint64_t size, char **ret, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = xmlNewDoc(BAD_CAST "1.0");
    xmlNodePtr root = doc ? xmlNewNode(NULL, BAD_CAST "volume") : NULL;
    char bytes[24];

    if (!root)
        return err_nomem(err);
    xmlDocSetRootElement(doc, root);
    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)size);
    xmlNewTextChild(root, NULL, BAD_CAST "name", BAD_CAST name);
    xmlNewTextChild(root, NULL, BAD_CAST "capacity", BAD_CAST bytes);
    return xml_dump(doc, root, false, ret, err);
}

int hv_volume_make(struct hv *hv, const char *pool_name, const char *name, uint64_t size, char **ret_path, char **ret_key, struct err *err)
{
    _cleanup_(pool_free_p) virStoragePoolPtr pool = NULL;
    _cleanup_free_ char *xml = NULL, *path = NULL;

    int r = volume_xml(name, size, &xml, err);
    if (r < 0 || (r = find_pool(hv, pool_name, &pool, err)) < 0)
        return r;
    _cleanup_(volume_free_p) virStorageVolPtr volume = virStorageVolCreateXML(pool, xml, 0);
    if (!volume && hv_virt_code() == VIR_ERR_STORAGE_VOL_EXIST)
        return err_set(err, EEXIST, "storage pool %s already has a volume %s: delete or rename it", pool_name, name);
    if (!volume)
        return hv_virt_error(err, "cannot create volume %s in storage pool %s", name, pool_name);
    const char *key = virStorageVolGetKey(volume);
    if (!key || !(path = virStorageVolGetPath(volume)))
        return hv_virt_error(err, "cannot determine the device of volume %s", name);
    if (!(*ret_key = strdup(key)))
        return err_nomem(err);
    *ret_path = TAKE_PTR(path);
    return 0;
}

int hv_volume_delete(struct hv *hv, const char *pool_name, const char *name, const char *key, struct err *err)
{
    _cleanup_(pool_free_p) virStoragePoolPtr pool = NULL;

    int r = find_pool(hv, pool_name, &pool, err);
    if (r < 0)
        return r;
    _cleanup_(volume_free_p) virStorageVolPtr volume = virStorageVolLookupByName(pool, name);
    if (!volume && hv_virt_code() == VIR_ERR_NO_STORAGE_VOL)
        return 0;
    const char *now = volume ? virStorageVolGetKey(volume) : NULL;
    if (now && (!key || strcmp(key, now))) {
        err_set(err, EEXIST, "volume %s of storage pool %s may belong to something else and was left alone", name, pool_name);
        return 1;
    }
    if (!now || virStorageVolDelete(volume, 0) < 0)
        return hv_virt_error(err, "cannot delete volume %s of storage pool %s", name, pool_name);
    return 0;
}

int hv_pool_refresh(struct hv *hv, const char *name, struct err *err)
{
    _cleanup_(pool_free_p) virStoragePoolPtr pool = virStoragePoolLookupByName(hv->conn, name);

    if (!pool || virStoragePoolRefresh(pool, 0) < 0)
        return hv_virt_error(err, "cannot refresh storage pool %s", name);
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
