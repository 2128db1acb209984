/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the host and the agent's hook start. */
#include "base/clock.h"
#include "base/io.h"
#include "base/strv.h"
#include "guest/guest.h"
#include "writers/command_writer.h"
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/wait.h>

#define ASK_MS 120000u /* for what the session bounds itself */
#define STATUS_MS 5000u
#define RETRY_MS 100u
#define OLD_KERNEL_FDS 4096

static int ask(const struct guest *g, json_t *request, unsigned ms, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *owned = request;

    return owned ? guest_socket_ask(g, owned, ms, ret, err) : err_nomem(err);
}

/* ---- begin ----------------------------------------------------------------------------------------------------------------*/

static int request_check_limit(const struct guest *g, const char *key, uint64_t max, struct err *err)
{
    const json_t *v = json_object_get(g->input, key);

    if (!v || (json_is_integer(v) && json_integer_value(v) >= 1 && (uint64_t)json_integer_value(v) <= max))
        return 0;
    return err_set(err, EINVAL, "%s is not between 1 and %llu", key, (unsigned long long)max);
}

static int check_protocol(const struct guest *g, struct err *err)
{
    if (json_get_u64(g->input, "protocol") != GUEST_PROTOCOL)
        return err_set(err, EPROTONOSUPPORT,
                       "this kvss-guest (" KVSS_VERSION ") supports only protocol %d: install the kvss-guest that comes with the "
                       "host's kvss",
                       GUEST_PROTOCOL);
    return 0;
}

static int check_request(const struct guest *g, struct err *err)
{
    int r = check_protocol(g, err);

    if (r >= 0)
        r = request_check_limit(g, "hold_ms", GUEST_HOLD_MAX_MS, err);
    return r < 0 ? r : request_check_limit(g, "wait_ms", GUEST_WAIT_MAX_MS, err);
}

/* A VM is backed up by one host at a time, and that one is asking: an earlier session has been left behind by a host that died. */
static int supersede(const struct guest *g, int *ret_lock, struct err *err)
{
    uint64_t deadline = clock_mono_ms() + GUEST_SUPERSEDE_MS;
    int r = guest_session_lock(g, ret_lock, err);

    while (r == -EBUSY && clock_mono_ms() < deadline) {
        _cleanup_json_ json_t *answer = NULL;
        (void)ask(g, json_pack("{s:s, s:s}", "do", "abort", "why", "superseded by another backup of this guest"), STATUS_MS, &answer, NULL);
        clock_sleep_ms(RETRY_MS);
        r = guest_session_lock(g, ret_lock, err);
    }
    return r;
}

static void close_range_of(int from, int to)
{
    if (from <= to && close_range((unsigned)from, (unsigned)to, 0) < 0)
        for (int fd = from; fd <= to && fd < OLD_KERNEL_FDS; fd++) /* before Linux 5.9 */
            close(fd);
}

/* What the session has open beside these would keep those from ending who wait for its end: of a pipe of the agent's, say. */
static void close_all_but(int a, int b)
{
    int first = a < b ? a : b, second = a < b ? b : a;

    close_range_of(3, first - 1);
    close_range_of(first + 1, second - 1);
    close_range_of(second + 1, INT_MAX);
}

/* The session's process holds the lock and the writing end. */
static int start_session(const struct guest *g, int lock, int *ret_in, struct err *err)
{
    int fds[2];

    if (pipe(fds) < 0)
        return err_errno(err, errno, "cannot start the session");
    bool hook = guest_hook_is_used();
    pid_t pid = fork();
    if (pid == 0) {
        close_all_but(lock, fds[1]);
        _exit(guest_serve(g, hook, fds[1]));
    }
    int code = errno;
    close(fds[1]);
    close(lock);
    if (pid < 0) {
        close(fds[0]);
        return err_errno(err, code, "cannot start the session");
    }
    *ret_in = fds[0];
    return 0;
}

int guest_begin(const struct guest *g, json_t **ret_answer, struct err *err)
{
    _cleanup_close_ int in = -1;
    int lock = -1;

    int r = check_request(g, err);
    if (r >= 0)
        r = supersede(g, &lock, err);
    if (r >= 0)
        r = start_session(g, lock, &in, err);
    return r < 0 ? r : guest_read_answer(in, ret_answer, err);
}

/* ---- The others -----------------------------------------------------------------------------------------------------------*/

int guest_freeze(const struct guest *g, json_t **ret_answer, struct err *err)
{
    return ask(g, json_pack("{s:s}", "do", "freeze"), GUEST_HOLD_MAX_MS + STATUS_MS, ret_answer, err);
}

int guest_end(const struct guest *g, json_t **ret_answer, struct err *err)
{
    return ask(g, json_pack("{s:s}", "do", "end"), ASK_MS, ret_answer, err);
}

int guest_abort(const struct guest *g, json_t **ret_answer, struct err *err)
{
    int r = ask(g, json_pack("{s:s}", "do", "abort"), ASK_MS, ret_answer, err);

    if (r != -ENOENT)
        return r;
    *ret_answer = json_pack("{s:i}", "protocol", GUEST_PROTOCOL); /* nothing is left of it: what was wanted */
    return *ret_answer ? 0 : err_nomem(err);
}

/* No event of VSS: the session has long ended. Each program is told; what it makes of that is no concern of the backup any more. */
int guest_committed(const struct guest *g, json_t **ret_answer, struct err *err)
{
    _cleanup_strv_ char **names = NULL;
    _cleanup_json_ json_t *failed = json_array();
    struct guid session;

    int r = check_protocol(g, err);
    if (r >= 0 && !guid_parse(json_get_text(g->input, "session"), &session))
        r = err_set(err, EINVAL, "session is not a GUID");
    if (r >= 0)
        r = failed ? command_writers_programs(g->writers_dir, &names, err) : err_nomem(err);
    for (char **n = names; r >= 0 && n && *n; n++) {
        _cleanup_free_ char *path = io_path(g->writers_dir, *n);
        struct err why = ERR_INIT;
        if (!path)
            return err_nomem(err);
        if (command_writer_committed(path, session.text, &why) < 0)
            json_array_append_new(failed, json_text(why.text));
    }
    if (r < 0)
        return r;
    *ret_answer = json_pack("{s:i, s:O}", "protocol", GUEST_PROTOCOL, "failed", failed);
    return *ret_answer ? 0 : err_nomem(err);
}

/* Without a session a freeze is another program's and no concern of ours. A thaw never fails. */
int guest_hook(const struct guest *g, json_t **ret_answer, struct err *err)
{
    const char *what = g->argc == 1 ? g->argv[0] : "";
    bool freeze = !strcmp(what, "freeze");

    if (!freeze && strcmp(what, "thaw") != 0)
        return err_set(err, EINVAL, "the hook is called with freeze or thaw");
    int r = ask(g, json_pack("{s:s, s:b}", "do", what, "by_hook", 1), GUEST_HOLD_MAX_MS + STATUS_MS, ret_answer, err);
    return freeze && r != -ENOENT ? r : 0;
}
