/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virDomainGetGuestInfo(): the guest's own words, in libvirt's typed parameters ("fs.0.disk.1.alias" ...). */
#include "hypervisor/agent/agent.h"
#include <errno.h>
#include <string.h>

struct params {
    virTypedParameterPtr list;
    int n;
};

static const char *get_string(const struct params *p, const char *name)
{
    const char *s = NULL;

    return virTypedParamsGetString(p->list, p->n, name, &s) == 1 ? s : NULL;
}

static unsigned get_count(const struct params *p, const char *name)
{
    unsigned n = 0;

    return virTypedParamsGetUInt(p->list, p->n, name, &n) == 1 ? n : 0;
}

/* NULL stays NULL. */
static int params_copy(char **ret, const char *s)
{
    *ret = s ? strdup(s) : NULL;
    return s && !*ret ? -ENOMEM : 0;
}

/* Linux says "vda1" or "dm-0", Windows "\\?\Volume{...}\". */
static int set_device(struct hv_guest_fs *fs, const char *name)
{
    if (!name || !name[0])
        return 0;
    bool plain = !strchr(name, '/') && !strchr(name, '\\') && strncmp(name, "dm-", 3) != 0;
    fs->device = plain ? str_format("/dev/%s", name) : strdup(name);
    return fs->device ? 0 : -ENOMEM;
}

/* libvirt names the disks of the VM it knows by their address; one without a name is none of the VM's. */
static int add_disks(const struct params *p, unsigned i, struct hv_guest_fs *fs)
{
    char key[64];
    int r = 0;

    snprintf(key, sizeof key, "fs.%u.disk.count", i);
    unsigned n = get_count(p, key);
    if (n > GUEST_DISKS_MAX)
        return -EBADMSG;
    for (unsigned j = 0; j < n && r == 0; j++) {
        snprintf(key, sizeof key, "fs.%u.disk.%u.alias", i, j);
        const char *target = get_string(p, key);
        if (!target)
            fs->unknown_disk = true;
        else if (!strv_has(fs->targets, target))
            r = strv_add(&fs->targets, target);
    }
    return r;
}

static int add_fs(const struct params *p, unsigned i, struct hv_guest_fs *fs)
{
    static const char *const read_only_types[] = { "iso9660", "udf", "squashfs", "erofs", "cramfs", "romfs", "CDFS", "UDF" };
    char key[64];

    snprintf(key, sizeof key, "fs.%u.mountpoint", i);
    int r = params_copy(&fs->mountpoint, get_string(p, key));
    snprintf(key, sizeof key, "fs.%u.fstype", i);
    if (r == 0)
        r = params_copy(&fs->type, get_string(p, key));
    snprintf(key, sizeof key, "fs.%u.name", i);
    if (r == 0)
        r = set_device(fs, get_string(p, key));
    for (size_t t = 0; fs->type && t < ARRAY_SIZE(read_only_types); t++)
        fs->read_only |= strcmp(fs->type, read_only_types[t]) == 0;
    if (r == 0 && (!fs->mountpoint || !fs->type))
        r = -EBADMSG;
    return r == 0 ? add_disks(p, i, fs) : r;
}

static int add_all_fs(const struct params *p, struct hv_agent_info *info)
{
    unsigned n = get_count(p, "fs.count");

    if (n > GUEST_FS_MAX)
        return -EBADMSG;
    info->fs = calloc(n ? n : 1, sizeof *info->fs);
    if (!info->fs)
        return -ENOMEM;
    info->n_fs = n;
    for (unsigned i = 0; i < n; i++) {
        int r = add_fs(p, i, &info->fs[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

int agent_params_parse(virTypedParameterPtr list, int n, struct hv_agent_info *ret, struct err *err)
{
    struct params p = { list, n };
    struct hv_agent_info info = { 0 };
    const char *name = get_string(&p, "os.pretty-name");

    int r = params_copy(&info.os_id, get_string(&p, "os.id"));
    if (r == 0)
        r = params_copy(&info.os_name, name ? name : get_string(&p, "os.name"));
    info.windows = info.os_id && strcmp(info.os_id, "mswindows") == 0;
    if (r == 0)
        r = add_all_fs(&p, &info);
    if (r < 0) {
        hv_agent_info_clear(&info);
        return err_errno(err, -r, "the guest agent's list of file systems is invalid");
    }
    *ret = info;
    return 0;
}
