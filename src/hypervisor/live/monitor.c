/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/text.h"
#include "hypervisor/live/live.h"
#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt-qemu.h>
#include <string.h>

#define REPLY_MAX ((size_t)4 << 20)

/* One command, shared with the thread that makes the call. */
struct monitor {
    char *text;
    int fd; /* ours; -1: none */
    char *reply;
};

static void monitor_free(void *arg)
{
    struct monitor *m = arg;

    if (!m)
        return;
    cleanup_close_p(&m->fd);
    free(m->text);
    free(m->reply);
    free(m);
}
DEFINE_CLEANUP(struct monitor *, monitor_free)

static int monitor_ask(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    struct monitor *m = arg;
    unsigned n = m->fd >= 0;

    (void)conn;
    if (virDomainQemuMonitorCommandWithFiles(dom, m->text, n, n ? &m->fd : NULL, NULL, NULL, &m->reply, 0) < 0)
        return hv_virt_error(err, "libvirt");
    return 0;
}

static int monitor_new(const char *command, json_t *arguments, int fd, struct monitor **ret, struct err *err)
{
    _cleanup_json_ json_t *args = arguments;
    _cleanup_(monitor_free_p) struct monitor *m = calloc(1, sizeof(*m));
    _cleanup_json_ json_t *o =
        args ? json_pack("{s:s, s:O}", "execute", command, "arguments", args) : json_pack("{s:s}", "execute", command);

    if (!m)
        return err_nomem(err);
    m->fd = -1;
    if (!o || !(m->text = json_dumps(o, JSON_COMPACT)))
        return err_nomem(err);
    if (fd >= 0 && (m->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0)
        return err_errno(err, errno, "cannot hand a descriptor to QEMU");
    *ret = TAKE_PTR(m);
    return 0;
}

static int monitor_reply(const char *command, const char *text, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *o = NULL;
    struct err why = ERR_INIT;
    size_t n = strnlen(text, REPLY_MAX + 1);

    int r = n > REPLY_MAX ? err_set(&why, EFBIG, "too long") : json_parse_object(text, n, "QEMU's reply", &o, &why);
    if (r < 0)
        return err_set(err, EPROTO, "QEMU's reply to %s cannot be read: %s", command, why.text);
    const json_t *error = json_object_get(o, "error");
    if (error) {
        _cleanup_free_ char *desc = strdup(json_get_text(error, "desc") ? json_get_text(error, "desc") : "no reason given");
        if (desc)
            text_clean(desc, false);
        return err_set(err, EPROTO, "QEMU refuses %s: %s", command, desc ? desc : "out of memory");
    }
    if (ret)
        *ret = json_incref(json_object_get(o, "return"));
    return 0;
}

int monitor_command(struct hv_domain *d, const char *command, json_t *arguments, int fd, json_t **ret, struct err *err)
{
    const struct patient_call call = { .fn = monitor_ask, .free_arg = monitor_free, .insists = true };
    _cleanup_(monitor_free_p) struct monitor *m = NULL;

    int r = monitor_new(command, arguments, fd, &m, err);
    if (r < 0)
        return r;
    r = patiently(d, &call, (void **)&m, err);
    return r < 0 ? r : monitor_reply(command, m->reply ? m->reply : "", ret, err);
}
