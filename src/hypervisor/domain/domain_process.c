/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process of a VM's QEMU on this host: its number, whether it is there, and how much it has worked. Asks nobody. */
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

uint64_t domain_process_id(const struct hv *hv, const char *name)
{
    _cleanup_free_ char *file = hv_is_local(hv) ? pid_file(hv, name) : NULL;
    _cleanup_buf_ struct buf text = BUF_INIT;
    uint64_t pid;

    if (!file || io_read_file(file, PID_MAX, &text, NULL) < 0 || !text.len)
        return 0;
    char *s = (char *)text.data;
    s[strcspn(s, "\n")] = '\0';
    return num_parse_u64(s, 2, INT32_MAX, &pid, NULL) < 0 ? 0 : pid;
}

bool hv_domain_process_gone(const struct hv_domain *d)
{
    uint64_t pid = domain_process_id(d->hv, d->name);

    return pid && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

uint64_t domain_process_cpu_ms(const struct hv *hv, const char *name)
{
    uint64_t pid = domain_process_id(hv, name);
    long per_s = sysconf(_SC_CLK_TCK);
    struct process_stat st;

    return !pid || per_s <= 0 || process_stat(pid, &st) < 0 ? 0 : (st.user + st.system) * 1000 / (uint64_t)per_s;
}
