/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How large the saved state of a VM will be. QEMU leaves out pages that hold only zeros; those that the guest never touched are no part of
 * the process, which is all that can be told without a monitor command. */
#include "base/buf.h"
#include "base/io.h"
#include "hypervisor/internal.h"
#include <string.h>

#define STATUS_MAX ((size_t)64 << 10)
#define PID_MAX 64
#define QEMU_CONF "/etc/libvirt/qemu.conf"
#define CONF_MAX ((size_t)1 << 20)

static char *pid_file(const struct hv_domain *d)
{
    const char *run = getenv("XDG_RUNTIME_DIR");

    if (d->hv->root)
        return str_format("%s/run/qemu/%s.pid", d->hv->root, d->name);
    if (d->hv->session)
        return run ? str_format("%s/libvirt/qemu/run/%s.pid", run, d->name) : NULL;
    return str_format("/run/libvirt/qemu/%s.pid", d->name);
}

/* "RssAnon:     1234 kB" */
static uint64_t kilobytes(const char *status, const char *key)
{
    const char *line = strstr(status, key);

    return line ? strtoull(line + strlen(key), NULL, 10) << 10 : 0;
}

/* 0: not known. */
static uint64_t resident(const struct hv_domain *d)
{
    static const char *const keys[] = { "\nRssAnon:", "\nRssShmem:", "\nVmSwap:", "\nHugetlbPages:" };
    _cleanup_free_ char *file = pid_file(d), *path = NULL;
    _cleanup_buf_ struct buf pid = BUF_INIT, status = BUF_INIT;
    uint64_t sum = 0;

    if (!file || io_read_file(file, PID_MAX, &pid, NULL) < 0 || !pid.data)
        return 0;
    path = str_format("/proc/%lu/status", strtoul((const char *)pid.data, NULL, 10));
    if (!path || io_read_file(path, STATUS_MAX, &status, NULL) < 0 || !status.data)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        sum += kilobytes((const char *)status.data, keys[i]);
    return sum;
}

/* libvirt can be told to compress: then nobody knows. */
static bool compresses(const struct hv_domain *d)
{
    _cleanup_buf_ struct buf conf = BUF_INIT;

    if (d->hv->root || d->hv->session || io_read_file(QEMU_CONF, CONF_MAX, &conf, NULL) < 0 || !conf.data)
        return false;
    const char *line = strstr((const char *)conf.data, "\nsave_image_format");
    const char *value = line ? strchr(line, '"') : NULL;
    return value && strncmp(value, "\"raw\"", 5) != 0;
}

uint64_t hv_save_bytes(struct hv_domain *d)
{
    uint64_t n = d->hv->local && !compresses(d) ? resident(d) : 0;

    return d->memory_in_files && n ? d->memory_bytes : n < d->memory_bytes ? n : d->memory_bytes;
}
