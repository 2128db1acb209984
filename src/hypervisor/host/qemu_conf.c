/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's configuration of its QEMU driver, where it is that of this host and not of a session or an embedded driver. */
#include "base/buf.h"
#include "base/io.h"
#include "hypervisor/host/host.h"
#include <string.h>

#define QEMU_CONF "/etc/libvirt/qemu.conf"
#define CONF_MAX ((size_t)1 << 20)

bool qemu_conf_is_usual(const struct hv *hv, const char *key, const char *usual)
{
    _cleanup_buf_ struct buf conf = BUF_INIT;
    size_t n = strlen(key), len = strlen(usual);

    if (hv->root || hv->session || io_read_file(QEMU_CONF, CONF_MAX, &conf, NULL) < 0)
        return true;
    for (const char *line = (const char *)conf.data; line; line = strchr(line, '\n')) {
        line += strspn(line, "\n \t");
        if (strncmp(line, key, n) != 0 || !strchr(" \t=", line[n]))
            continue;
        const char *value = line + n + strspn(line + n, " \t=");
        return *value == '"' && !strncmp(value + 1, usual, len) && value[1 + len] == '"';
    }
    return true;
}
