/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process of a VM's QEMU on this host: its number, whether it is there, and how much was done to start it. Asks nobody. */
#include "hypervisor/domain/domain_process.h"
#include "base/buf.h"
#include "base/io.h"
#include "base/num.h"
#include "base/process_stat.h"
#include "hypervisor/host/host.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define PID_MAX 64

/* Where libvirt writes the number of a VM's QEMU; NULL: not known. Caller frees. */
static char *pid_file(const struct hv *hv, const char *name)
{
    const char *run = getenv("XDG_RUNTIME_DIR");

    if (hv->root)
        return str_format("%s/run/qemu/%s.pid", hv->root, name);
    if (hv->session)
        return run ? str_format("%s/libvirt/qemu/run/%s.pid", run, name) : NULL;
    return str_format("/run/libvirt/qemu/%s.pid", name);
}

static uint64_t read_pid(const char *file)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    uint64_t pid;

    if (!file || io_read_file(file, PID_MAX, &text, NULL) < 0 || !text.len)
        return 0;
    char *s = (char *)text.data;
    s[strcspn(s, "\n")] = '\0';
    return num_parse_u64(s, 2, INT32_MAX, &pid, NULL) < 0 ? 0 : pid;
}

uint64_t domain_process_id(const struct hv *hv, const char *name)
{
    _cleanup_free_ char *file = hv_is_local(hv) ? pid_file(hv, name) : NULL;

    return read_pid(file);
}

bool hv_domain_process_gone(const struct hv_domain *d)
{
    uint64_t pid = domain_process_id(d->hv, d->name);

    return pid && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

/* That of libvirt's daemon, monolithic or of QEMU alone; 0: not known. */
static uint64_t daemon_process_id(const struct hv *hv)
{
    static const char *const names[] = { "virtqemud", "libvirtd" };
    const char *run = getenv("XDG_RUNTIME_DIR");
    uint64_t pid = 0;

    for (size_t i = 0; !pid && i < ARRAY_SIZE(names) && !hv->root; i++) {
        _cleanup_free_ char *file =
            hv->session ? str_format("%s/libvirt/%s.pid", run ? run : "", names[i]) : str_format("/run/%s.pid", names[i]);
        pid = read_pid(file);
        if (pid && kill((pid_t)pid, 0) < 0 && errno == ESRCH)
            pid = 0; /* left behind by one that was killed */
    }
    return pid;
}

uint64_t domain_start_cpu_ms(const struct hv *hv, const char *name)
{
    uint64_t qemu = domain_process_id(hv, name), daemon = hv_is_local(hv) ? daemon_process_id(hv) : 0;
    long per_s = sysconf(_SC_CLK_TCK);
    struct process_stat st;

    if (per_s <= 0)
        return 0;
    uint64_t ticks = daemon ? process_started_ticks(daemon) : 0;
    if (qemu && process_stat(qemu, &st) == 0)
        ticks += st.user + st.system;
    return ticks * 1000 / (uint64_t)per_s;
}
