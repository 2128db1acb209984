/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a Linux guest has mounted beside what its agent lists. qemu-ga lists, and freezes, what lies on a block device of the kernel's
 * (and btrfs); ZFS, bcachefs, network and FUSE file systems and overlays have none, and would be passed over without a word. */
#include "base/clock.h"
#include "base/io.h"
#include "hypervisor/agent/agent.h"
#include <errno.h>
#include <jansson.h>
#include <string.h>

#define MOUNTINFO_PATH "/proc/self/mountinfo"
#define MOUNTINFO_MAX (1u << 20)
#define PIECE 65536u

/* ---- The list, as text ------------------------------------------------------------------------------------------------------*/

/* Neither data of anyone nor on any disk. */
static bool is_interface(const char *type)
{
    static const char *const types[] = {
        "proc",     "sysfs",   "tmpfs",      "devtmpfs", "devpts",      "ramfs",      "rootfs",      "hugetlbfs",       "mqueue",
        "cgroup",   "cgroup2", "cpuset",     "pstore",   "efivarfs",    "bpf",        "tracefs",     "debugfs",         "securityfs",
        "configfs", "fusectl", "selinuxfs",  "smackfs",  "binfmt_misc", "autofs",     "nsfs",        "rpc_pipefs",      "nfsd",
        "resctrl",  "binder",  "functionfs", "xenfs",    "dax",         "fuse.lxcfs", "fuse.portal", "fuse.gvfsd-fuse", "none",
    };

    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(types[i], type) == 0)
            return true;
    return false;
}

/* One line: "36 35 0:31 / /data rw,noatime master:1 - nfs4 host:/data rw". *device has a major number, i.e. a block device's. */
static int split_line(char *line, char **ret_mountpoint, char **ret_type, char **ret_source, bool *ret_device)
{
    char *field[5], *save = NULL, *dash = strstr(line, " - ");

    if (!dash)
        return -EBADMSG;
    *dash = 0;
    for (int i = 0; i < 5; i++)
        if (!(field[i] = strtok_r(i ? NULL : line, " ", &save)))
            return -EBADMSG;
    char *colon = strchr(field[2], ':');
    *ret_mountpoint = field[4];
    *ret_type = strtok_r(dash + 3, " ", &save);
    *ret_source = *ret_type ? strtok_r(NULL, " ", &save) : NULL;
    if (!colon || !*ret_type || !*ret_source || **ret_mountpoint != '/')
        return -EBADMSG;
    *ret_device = strncmp(field[2], "0:", 2) != 0;
    io_unescape_mount(*ret_mountpoint);
    io_unescape_mount(*ret_source);
    io_unescape_mount(*ret_type);
    return 0;
}

static bool mounts_is_listed(const struct hv_agent_info *info, const char *mountpoint)
{
    for (size_t i = 0; i < info->n_fs; i++)
        if (strcmp(info->fs[i].mountpoint, mountpoint) == 0)
            return true;
    return false;
}

static int mounts_add(struct hv_agent_info *info, const char *mountpoint, const char *type, const char *source)
{
    struct hv_guest_fs *fs = reallocarray(info->elsewhere, info->n_elsewhere + 1, sizeof *fs);

    if (!fs)
        return -ENOMEM;
    info->elsewhere = fs;
    fs += info->n_elsewhere;
    *fs = (struct hv_guest_fs){ .mountpoint = strdup(mountpoint), .type = strdup(type), .device = strdup(source) };
    info->n_elsewhere++;
    return fs->mountpoint && fs->type && fs->device ? 0 : -ENOMEM;
}

int agent_mounts_parse(const char *text, struct hv_agent_info *info, struct err *err)
{
    _cleanup_free_ char *copy = strdup(text);
    char *save = NULL, *mountpoint, *type, *source;
    bool device;
    int r = copy ? 0 : -ENOMEM;

    for (char *line = copy ? strtok_r(copy, "\n", &save) : NULL; line && r == 0; line = strtok_r(NULL, "\n", &save)) {
        r = split_line(line, &mountpoint, &type, &source, &device);
        if (r == 0 && info->n_elsewhere >= GUEST_FS_MAX)
            r = -EBADMSG;
        if (r < 0 || device || is_interface(type) || mounts_is_listed(info, mountpoint))
            continue;
        if (strcmp(type, "btrfs") == 0 && strncmp(source, "/dev/", 5) == 0)
            continue; /* listed by its device, at whichever of its places */
        r = mounts_add(info, mountpoint, type, source);
    }
    if (r < 0)
        return err_errno(err, -r, "the guest's list of mounts is invalid");
    info->mounts_known = true;
    return 0;
}

/* ---- Through the agent ------------------------------------------------------------------------------------------------------*/

static int mounts_read_file(struct hv_domain *d, int64_t handle, uint64_t deadline, struct buf *b, struct err *err)
{
    _cleanup_free_ char *json =
        str_format("{\"execute\":\"guest-file-read\",\"arguments\":{\"handle\":%lld,\"count\":%u}}", (long long)handle, PIECE);
    bool eof = false;
    int r = json ? 0 : -ENOMEM;

    while (r == 0 && !eof) {
        _cleanup_free_ char *reply = NULL;
        size_t before = b->len;
        r = agent_command(d, json, deadline, &reply, err);
        if (r == 0)
            r = agent_json_file(reply, b, &eof, err);
        if (r == 0 && (b->len > MOUNTINFO_MAX || clock_mono_ms() >= deadline))
            r = err_set(err, EFBIG, "the guest's list of mounts is too long");
        eof |= b->len == before; /* an agent that never says so does not keep us */
    }
    return r;
}

int agent_mounts_read(struct hv_domain *d, uint64_t deadline, struct hv_agent_info *info, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    int64_t handle = 0;

    int r = agent_file_open(d, MOUNTINFO_PATH, "r", deadline, &handle, err);
    if (r < 0)
        return r;
    r = mounts_read_file(d, handle, deadline, &b, err);
    (void)agent_file_close(d, handle, deadline, NULL); /* one that stays open is the agent's, and harmless */
    if (r < 0)
        return r;
    _cleanup_free_ char *text = buf_take_str(&b);
    return text ? agent_mounts_parse(text, info, err) : err_nomem(err);
}
