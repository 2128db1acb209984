/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs in the guest. The agent starts one at once and is asked again and again whether it has ended; then its output comes too. */
#include "base/clock.h"
#include "base/num.h"
#include "hypervisor/agent/agent.h"
#include <errno.h>
#include <jansson.h>
#include <libvirt/libvirt.h>
#include <string.h>

#define FIRST_STEP_MS 10u
#define LAST_STEP_MS 200u
#define ANSWER_MS 5000u /* for each question: what it asks takes no time */

static uint64_t answer_by(uint64_t deadline)
{
    return num_min(clock_mono_ms() + ANSWER_MS, deadline);
}

/* What the agent says when it cannot start a program comes in the words of its libraries: any refusal counts as one. */
static int exec_refused(int r, const char *path, struct err *err)
{
    if (r != -EIO)
        return r;
    struct err why = ERR_INIT;
    (void)err_move(&why, err);
    return err_set(err, ENOENT, "the guest agent could not start %s: %s", path, why.text);
}

static json_t *exec_arguments(const struct hv_agent_run *run)
{
    json_t *list = json_pack("[s]", run->word);

    for (const char *const *a = run->more; list && a && *a; a++)
        json_array_append_new(list, json_string(*a));
    return list;
}

static int exec_start(struct hv_domain *d, const struct hv_agent_run *run, uint64_t deadline, int64_t *ret_pid, struct err *err)
{
    struct err why = ERR_INIT;
    _cleanup_free_ char *input = agent_base64(run->input, strlen(run->input)), *reply = NULL, *json = NULL;
    json_auto_t *command = input ? json_pack("{s:s, s:{s:s, s:o, s:s, s:b}}", "execute", "guest-exec", "arguments", "path", run->path,
                                             "arg", exec_arguments(run), "input-data", input, "capture-output", 1)
                                 : NULL;

    if (!command || !(json = json_dumps(command, JSON_COMPACT)))
        return err_nomem(err);
    int r = agent_command(d, json, answer_by(deadline), &reply, &why);
    if (r >= 0)
        return agent_json_exec(reply, ret_pid, err);
    (void)exec_refused(r, run->path, &why);
    return err_move(err, &why);
}

static int exec_ask(struct hv_domain *d, int64_t pid, uint64_t deadline, char **ret, struct err *err)
{
    _cleanup_free_ char *json = str_format("{\"execute\":\"guest-exec-status\",\"arguments\":{\"pid\":%lld}}", (long long)pid);

    return json ? agent_command(d, json, answer_by(deadline), ret, err) : err_nomem(err);
}

static int exec_follow(struct hv_domain *d, const struct hv_agent_run *run, int64_t pid, uint64_t deadline, struct buf *out,
                       int *ret_status, struct err *err)
{
    unsigned step = FIRST_STEP_MS;
    bool ended = false;
    int r = 0;

    while (r >= 0 && !ended) {
        _cleanup_free_ char *reply = NULL;
        clock_sleep_ms(step);
        step = (unsigned)num_min(step * 2, LAST_STEP_MS);
        if (par_cancelled(run->cancel))
            return err_set(err, EINTR, "interrupted");
        if (clock_mono_ms() >= deadline)
            return err_set(err, ETIMEDOUT, "%s %s did not end in the guest within %u ms", run->path, run->word, run->timeout_ms);
        r = exec_ask(d, pid, deadline, &reply, err);
        if (r >= 0)
            r = agent_json_exec_status(reply, out, &ended, ret_status, err);
        if (r >= 0 && out->len > run->out_max)
            r = err_set(err, EFBIG, "the output of %s %s is longer than %zu bytes", run->path, run->word, run->out_max);
    }
    return r;
}

int hv_agent_exec(struct hv_domain *d, const struct hv_agent_run *run, char **ret_out, int *ret_status, struct err *err)
{
    uint64_t deadline = clock_mono_ms() + run->timeout_ms;
    _cleanup_buf_ struct buf out = BUF_INIT;
    int64_t pid = 0;

    int r = exec_start(d, run, deadline, &pid, err);
    if (r >= 0)
        r = exec_follow(d, run, pid, deadline, &out, ret_status, err);
    (void)virDomainAgentSetResponseTimeout(hv_handle(d), VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK, 0);
    if (r < 0)
        return r;
    return (*ret_out = buf_take_str(&out)) ? 0 : err_nomem(err);
}
