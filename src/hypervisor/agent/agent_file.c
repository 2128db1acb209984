/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files in the guest. */
#include "base/clock.h"
#include "base/num.h"
#include "hypervisor/agent/agent.h"
#include <errno.h>
#include <jansson.h>

#define FILE_PIECE ((size_t)48 << 10)
#define FILE_ANSWER_MS 10000u /* for each question */

static int file_command(struct hv_domain *d, json_t *command, uint64_t deadline, char **ret_reply, struct err *err)
{
    json_auto_t *c = command;
    _cleanup_free_ char *json = c ? json_dumps(c, JSON_COMPACT) : NULL;

    return json ? agent_command(d, json, num_min(deadline, clock_mono_ms() + FILE_ANSWER_MS), ret_reply, err) : err_nomem(err);
}

int agent_file_open(struct hv_domain *d, const char *path, const char *mode, uint64_t deadline, int64_t *ret_handle, struct err *err)
{
    _cleanup_free_ char *reply = NULL;
    json_auto_t *root = NULL;

    int r = file_command(d, json_pack("{s:s, s:{s:s, s:s}}", "execute", "guest-file-open", "arguments", "path", path, "mode", mode),
                         deadline, &reply, err);
    if (r < 0)
        return r;
    const json_t *handle = (root = json_loads(reply, 0, NULL)) ? json_object_get(root, "return") : NULL;
    if (!json_is_integer(handle))
        return err_set(err, EBADMSG, "the guest agent's answer to guest-file-open is invalid");
    *ret_handle = json_integer_value(handle);
    return 0;
}

int agent_file_close(struct hv_domain *d, int64_t handle, uint64_t deadline, struct err *err)
{
    _cleanup_free_ char *reply = NULL;

    return file_command(d, json_pack("{s:s, s:{s:I}}", "execute", "guest-file-close", "arguments", "handle", (json_int_t)handle), deadline,
                        &reply, err);
}

/* *ret_n: how much of it the agent has taken. */
static int file_write(struct hv_domain *d, int64_t handle, const void *data, size_t len, uint64_t deadline, size_t *ret_n, struct err *err)
{
    _cleanup_free_ char *text = agent_base64(data, len), *reply = NULL;
    json_auto_t *root = NULL;

    if (!text)
        return err_nomem(err);
    int r = file_command(
        d, json_pack("{s:s, s:{s:I, s:s}}", "execute", "guest-file-write", "arguments", "handle", (json_int_t)handle, "buf-b64", text),
        deadline, &reply, err);
    if (r < 0)
        return r;
    json_int_t n = (root = json_loads(reply, 0, NULL)) ? json_integer_value(json_object_get(json_object_get(root, "return"), "count")) : 0;
    if (n <= 0 || (uint64_t)n > len)
        return err_set(err, EBADMSG, "the guest agent's answer to guest-file-write is invalid");
    *ret_n = (size_t)n;
    return 0;
}

int hv_agent_write(struct hv_domain *d, const struct hv_agent_file *file, struct err *err)
{
    uint64_t deadline = clock_mono_ms() + file->timeout_ms;
    int64_t handle = 0;
    size_t n = 0;

    int r = agent_file_open(d, file->path, "w", deadline, &handle, err);
    if (r < 0)
        return err_context(err, "cannot write %s in the guest", file->path);
    for (size_t done = 0; r >= 0 && done < file->len; done += n) {
        if (par_cancelled(file->cancel))
            r = err_set(err, EINTR, "interrupted");
        else if (clock_mono_ms() >= deadline)
            r = err_set(err, ETIMEDOUT, "not done after %u ms", file->timeout_ms);
        else
            r = file_write(d, handle, (const char *)file->data + done, num_min(FILE_PIECE, file->len - done), deadline, &n, err);
    }
    /* Only closing it tells whether all of it was written. */
    int closed = agent_file_close(d, handle, clock_mono_ms() + FILE_ANSWER_MS, r < 0 ? NULL : err);
    return r < 0 || closed < 0 ? err_context(err, "cannot write %s in the guest", file->path) : 0;
}
