/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requester/stage/service.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/proc.h"
#include <errno.h>
#include <string.h>

#define UNIT_MAX 255u
#define ANSWER_MAX ((size_t)64 << 10)
#define LOOK_MS 30000u
#define CHANGE_MS 600000u /* systemd has a limit of its own for each service */

static int run_systemctl(char *const *argv, unsigned timeout_ms, struct buf *out, int *ret_status, struct err *err)
{
    _cleanup_buf_ struct buf said = BUF_INIT;
    struct proc_run run = { .argv = argv, .out_max = ANSWER_MAX, .timeout_ms = timeout_ms };

    int r = proc_run(&run, out, &said, ret_status, err);
    if (r < 0)
        return err_context(err, "systemctl %s", argv[1]);
    if (*ret_status && said.len && err)
        err_set(err, EIO, "%.*s", (int)strcspn((const char *)said.data, "\n"), (const char *)said.data);
    return 0;
}

int service_check(const char *unit, struct err *err)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct err why = ERR_INIT;
    int status = 0;

    if (!unit || !*unit)
        return err_set(err, EINVAL, "it wants a service to be stopped for its restore, but does not say which");
    if (unit[0] == '-' || strlen(unit) > UNIT_MAX ||
        unit[strspn(unit, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.@\\-")] != '\0')
        return err_set(err, EINVAL, "it wants a service to be stopped for its restore, but '%s' is not the name of one", unit);
    int r = run_systemctl(PROC_ARGV("systemctl", "show", "--property=LoadState", "--value", "--", unit), LOOK_MS, &out, &status, &why);
    if (r < 0 || status || !out.data)
        return err_set(err, EIO, "cannot determine the state of service %s, which must be stopped for the restore%s%s", unit,
                       why.code ? ": " : "", why.code ? why.text : "");
    size_t n = strcspn((const char *)out.data, "\n");
    if (strncmp((const char *)out.data, "loaded", strlen("loaded")))
        return err_set(err, ENOENT, "the service %s must be stopped for the restore, but systemd cannot load it (%.*s)", unit, (int)n,
                       (const char *)out.data);
    return 0;
}

int service_runs(const char *unit, bool *ret, struct err *err)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    int status = 0;

    int r = run_systemctl(PROC_ARGV("systemctl", "show", "--property=ActiveState", "--value", "--", unit), LOOK_MS, &out, &status, err);
    if (r >= 0 && (status || !out.data))
        r = err_set(err, EIO, "cannot determine the state of service %s", unit);
    const char *state = out.data ? (const char *)out.data : "";
    *ret = r >= 0 && strncmp(state, "inactive", 8) != 0 && strncmp(state, "failed", 6) != 0;
    return r;
}

/* wait: else only asks for it. */
static int service_change(const char *verb, const char *unit, bool wait, struct err *err)
{
    struct err why = ERR_INIT;
    int status = 0;

    int r = run_systemctl(PROC_ARGV("systemctl", verb, wait ? "--quiet" : "--no-block", "--", unit), CHANGE_MS, NULL, &status, &why);
    if (r < 0)
        err_move(err, &why);
    else if (status)
        r = err_set(err, EIO, "systemctl %s %s failed%s%s", verb, unit, why.code ? ": " : "", why.code ? why.text : "");
    return r;
}

int service_stop(const char *unit, struct err *err)
{
    return service_change("stop", unit, true, err);
}

int service_restart(const char *unit, struct err *err)
{
    return service_change("restart", unit, true, err);
}

static int service_put_back(const char *verb, const struct journal_effect *e, bool wait, struct err *err)
{
    const char *unit = journal_value(e, "unit");

    return unit ? service_change(verb, unit, wait, err) : err_set(err, EINVAL, "the journal does not say which service is meant");
}

/* Who takes over from a dead session may be in the middle of the host's start, for which a service may wait. */
int service_undo_stop(void *ctx, const struct journal_effect *e, struct err *err)
{
    (void)ctx;
    return service_put_back("start", e, !journal_is_inherited(e), err);
}

int service_undo_start(void *ctx, const struct journal_effect *e, struct err *err)
{
    (void)ctx;
    return service_put_back("stop", e, true, err);
}
