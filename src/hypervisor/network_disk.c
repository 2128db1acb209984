/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images on the network that no QEMU has open: whether they can be read, as QEMU's own tools see it. */
#include "base/proc.h"
#include "hypervisor/image.h"
#include "hypervisor/internal.h"
#include <errno.h>
#include <string.h>

#define INFO_MAX ((size_t)1 << 20)
#define NO_DRIVER "QEMU's tools have no driver for it here (Debian: qemu-block-extra)"

char *network_disk_name(const struct hv_disk *disk)
{
    return str_format("json:%s", disk->node);
}

const char *network_disk_why(char *said)
{
    const char *mark = "}': ";
    char *why = said;

    for (char *at = said; (at = strstr(at, mark)); at += strlen(mark))
        why = at + strlen(mark);
    if (strncmp(why, "Unknown driver", strlen("Unknown driver")) == 0)
        return NO_DRIVER;
    why[strcspn(why, "\n")] = '\0';
    return why[0] ? why : "it gave no reason";
}

static int ask(struct hv_domain *d, const struct hv_disk *disk, struct hv_image_info *ret, struct err *err)
{
    _cleanup_free_ char *name = network_disk_name(disk);
    _cleanup_buf_ struct buf out = BUF_INIT, said = BUF_INIT;
    struct proc_run run = { .argv = PROC_ARGV("qemu-img", "info", "--output=json", name), .out_max = INFO_MAX,
                            .timeout_ms = NETWORK_ANSWER_MS, .cancel = d->hv->cancel, .die_with_us = true };
    int status = 0;

    if (!name)
        return err_errno(err, ENOMEM, "cannot examine the image");
    int r = proc_run(&run, &out, &said, &status, err);
    if (r == -ETIMEDOUT)
        return err_set(err, ETIMEDOUT, "its server does not answer (%u s)", NETWORK_ANSWER_MS / 1000);
    if (r < 0)
        return r;
    if (status != 0) {
        const char *why = network_disk_why((char *)said.data);
        return err_set(err, strcmp(why, NO_DRIVER) == 0 ? EOPNOTSUPP : EIO, "%s", why);
    }
    return image_json_parse(out.data ? (char *)out.data : "", out.len, ret, err);
}

int hv_network_disk_size(struct hv_domain *d, const struct hv_disk *disk, uint64_t *ret, struct err *err)
{
    struct hv_image_info info = { 0 };

    int r = disk->node ? ask(d, disk, &info, err) : err_set(err, EOPNOTSUPP, "%s", disk->no_node ? disk->no_node : "it is on no network");
    if (r == 0)
        *ret = info.size;
    hv_image_info_clear(&info);
    return r;
}
