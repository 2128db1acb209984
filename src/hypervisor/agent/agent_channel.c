/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kvss-guest over a channel of its own, org.kvss.guest.0, where the VM has one: QEMU listens on a socket of this host, and one line of JSON
 * goes each way (src/guest/guest_listen.c). Without it, by the guest agent's guest-exec. */
#include "base/clock.h"
#include "base/guid.h"
#include "base/io.h"
#include "base/num.h"
#include "base/xml.h"
#include "hypervisor/agent/agent.h"
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LOOK_MS 100 /* at the flag to stop */
#define EXTRA 4096  /* what comes with the answer */

/* The path of the channel's socket, if the guest has its end open; NULL: there is none to be used. Caller frees. */
static char *channel_path(struct hv_domain *d)
{
    _cleanup_free_ char *xml = NULL;
    _cleanup_xml_ xmlDocPtr doc = NULL;

    if (!hv_is_local(d->hv) || hv_live_xml(d, &xml, NULL) < 0 || xml_parse(xml, strlen(xml), "the VM's definition", &doc, NULL) < 0)
        return NULL;
    xmlNodePtr channel = xml_find(xmlDocGetRootElement(doc), "devices/channel[target/@type='virtio' and target/@name='org.kvss.guest.0']");
    xmlNodePtr target = channel ? xml_find(channel, "target") : NULL, source = channel ? xml_find(channel, "source") : NULL;
    _cleanup_free_ char *state = target ? xml_attr(target, "state") : NULL, *mode = source ? xml_attr(source, "mode") : NULL;
    if (!state || !mode || strcmp(state, "connected") != 0 || strcmp(mode, "bind") != 0)
        return NULL;
    return xml_attr(source, "path");
}

static int channel_connect(const char *path, int *ret, struct err *err)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };

    if (strlen(path) >= sizeof(a.sun_path))
        return err_set(err, ENAMETOOLONG, "the path of the guest's channel is too long: %s", path);
    memcpy(a.sun_path, path, strlen(path) + 1);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof a) < 0)
        return err_errno(err, errno, "cannot connect to the guest's channel %s", path);
    *ret = TAKE_FD(fd);
    return 0;
}

/* Until it can be read or written. */
static int channel_wait(int fd, short events, const struct hv_agent_run *run, uint64_t deadline, struct err *err)
{
    for (;;) {
        struct pollfd p = { .fd = fd, .events = events };
        uint64_t now = clock_mono_ms();
        if (par_cancelled(run->cancel))
            return err_set(err, EINTR, "interrupted");
        if (now >= deadline)
            return err_set(err, ETIMEDOUT, "%s %s did not answer within %u ms", run->path, run->word, run->timeout_ms);
        int n = poll(&p, 1, (int)num_min(deadline - now, LOOK_MS));
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return err_errno(err, errno, "cannot use the guest's channel");
    }
}

static int channel_send(int fd, const char *text, const struct hv_agent_run *run, uint64_t deadline, struct err *err)
{
    for (size_t left = strlen(text); left;) {
        int r = channel_wait(fd, POLLOUT, run, deadline, err);
        if (r < 0)
            return r;
        ssize_t n = send(fd, text, left, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return err_errno(err, errno, "cannot write to the guest's channel");
        text += n > 0 ? n : 0;
        left -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* The answer of that id, as text; any other line is an earlier host's. */
static char *line_answer(const char *line, size_t n, const char *id)
{
    json_auto_t *reply = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
    const char *of = json_string_value(json_object_get(reply, "id"));

    return of && !strcmp(of, id) ? json_dumps(json_object_get(reply, "answer"), JSON_COMPACT) : NULL;
}

static int channel_read(int fd, const char *id, const struct hv_agent_run *run, uint64_t deadline, char **ret, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    char piece[16384], *end;

    for (;;) {
        int r = channel_wait(fd, POLLIN, run, deadline, err);
        if (r < 0)
            return r;
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n == 0)
            return err_set(err, ENOTCONN, "the guest's channel was closed");
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return err_errno(err, errno, "cannot read from the guest's channel");
        if (n > 0 && buf_add(&b, piece, (size_t)n) < 0)
            return err_nomem(err);
        while (b.len && (end = memchr(b.data, '\n', b.len))) {
            size_t line = (size_t)(end - (char *)b.data);
            if ((*ret = line_answer((const char *)b.data, line, id)))
                return 0;
            memmove(b.data, end + 1, b.len - line - 1);
            b.len -= line + 1;
        }
        if (b.len > run->out_max + EXTRA)
            return err_set(err, EFBIG, "the answer of %s %s is longer than %zu bytes", run->path, run->word, run->out_max);
    }
}

static int channel_ask(const char *path, const struct hv_agent_run *run, char **ret_out, struct err *err)
{
    uint64_t deadline = clock_mono_ms() + run->timeout_ms;
    struct guid id = guid_new();
    _cleanup_close_ int fd = -1;
    _cleanup_free_ char *text = NULL, *line = NULL;
    json_auto_t *message =
        json_pack("{s:s, s:s, s:o*}", "id", id.text, "command", run->word, "request", *run->input ? json_loads(run->input, 0, NULL) : NULL);

    if (!message || !(text = json_dumps(message, JSON_COMPACT)) || !(line = str_format("\n%s\n", text)))
        return err_nomem(err);
    int r = channel_connect(path, &fd, err);
    if (r >= 0)
        r = channel_send(fd, line, run, deadline, err);
    return r < 0 ? r : channel_read(fd, id.text, run, deadline, ret_out, err);
}

int hv_guest_run(struct hv_domain *d, const struct hv_agent_run *run, char **ret_out, int *ret_status, struct err *err)
{
    _cleanup_free_ char *path = channel_path(d);

    *ret_status = 0;
    return path ? channel_ask(path, run, ret_out, err) : hv_agent_exec(d, run, ret_out, ret_status, err);
}

bool hv_guest_has_channel(struct hv_domain *d)
{
    _cleanup_free_ char *path = channel_path(d);

    return path;
}
