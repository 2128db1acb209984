/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The session's process: it outlives the command that started it, answers the host's other commands and the hook, and ends by itself. */
#include "base/clock.h"
#include "base/thread.h"
#include "guest/guest.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#define LOOK_MS 100
#define LINGER_MS 60000u /* an ended session that nobody has asked about yet */

struct server {
    struct guest_session *session;
    int listener, out;
    pthread_mutex_t lock;
    unsigned busy; /* threads that use the session */
    bool told;     /* the host knows how it ended */
};

struct connection {
    struct server *server;
    int fd;
};

static void server_count(struct server *s, int change)
{
    SCOPED_LOCK(&s->lock);
    s->busy += (unsigned)change;
}

static void server_told(struct server *s)
{
    SCOPED_LOCK(&s->lock);
    s->told = true;
}

/* ---- Requests -------------------------------------------------------------------------------------------------------------*/

static json_t *answer_nothing(void)
{
    return json_pack("{s:i}", "protocol", GUEST_PROTOCOL);
}

/* NULL: out of memory. *ret_told: the host learns from the answer how the session ended. */
static json_t *serve_request(struct server *s, const json_t *request, bool *ret_told)
{
    const char *what = json_get_text(request, "do"), *why = json_get_text(request, "why");
    struct err err = ERR_INIT;

    if (!what)
        what = "";
    if (!strcmp(what, "freeze")) {
        int r = guest_session_freeze(s->session, json_is_true(json_object_get(request, "by_hook")), &err);
        return r < 0 ? guest_error_answer(&err) : answer_nothing();
    }
    if (!strcmp(what, "thaw")) {
        guest_session_thaw(s->session);
        return answer_nothing();
    }
    *ret_told = !strcmp(what, "end") || !strcmp(what, "abort");
    if (!strcmp(what, "end"))
        (void)guest_session_end(s->session, NULL);
    else if (!strcmp(what, "abort"))
        guest_session_abort(s->session, why ? why : "aborted by the host");
    else if (strcmp(what, "status") != 0) {
        err_set(&err, EINVAL, "unknown request");
        return guest_error_answer(&err);
    }
    return guest_session_report(s->session);
}

static void *serve_connection(void *arg)
{
    struct connection c = *(struct connection *)arg;
    _cleanup_json_ json_t *request = NULL, *answer = NULL;
    struct err err = ERR_INIT;
    bool told = false;

    free(arg);
    answer = guest_socket_take(c.fd, &request, &err) < 0 ? guest_error_answer(&err) : serve_request(c.server, request, &told);
    int r = guest_write_answer(c.fd, answer);
    close(c.fd);
    if (told && r >= 0)
        server_told(c.server);
    server_count(c.server, -1);
    return NULL;
}

static void server_accept(struct server *s)
{
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    struct connection *c = fd < 0 ? NULL : malloc(sizeof *c);

    if (!c) {
        if (fd >= 0)
            close(fd);
        return;
    }
    *c = (struct connection){ s, fd };
    server_count(s, 1);
    if (thread_start(NULL, "request", serve_connection, c) < 0) {
        server_count(s, -1);
        close(fd);
        free(c);
    }
}

/* ---- The beginning --------------------------------------------------------------------------------------------------------*/

static void server_answer(struct server *s, json_t *answer)
{
    (void)guest_write_answer(s->out, answer);
    close(s->out);
    json_decref(answer);
}

/* Requests are answered meanwhile: the host may give up. */
static void *serve_beginning(void *arg)
{
    struct server *s = arg;
    struct err err = ERR_INIT;
    int r = guest_session_prepare(s->session, &err);

    server_answer(s, r < 0 ? guest_error_answer(&err) : guest_session_report(s->session));
    if (r != 0)
        server_told(s);
    server_count(s, -1);
    return NULL;
}

/* ---- The process ----------------------------------------------------------------------------------------------------------*/

static void become_daemon(void)
{
    _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)setsid(); /* its folder is the agent's, which keeps that busy as well */
    (void)signal(SIGPIPE, SIG_IGN);
    for (int fd = 0; fd <= 2 && null >= 0; fd++)
        (void)dup2(null, fd);
    guest_leave_service();
}

static bool server_done(struct server *s, uint64_t *over_ms)
{
    bool over = guest_session_over(s->session);

    SCOPED_LOCK(&s->lock);
    if (!over || s->busy)
        return false;
    if (!*over_ms)
        *over_ms = clock_mono_ms();
    return s->told || clock_mono_ms() - *over_ms >= LINGER_MS;
}

static void server_loop(struct server *s)
{
    struct pollfd p = { .fd = s->listener, .events = POLLIN };
    uint64_t over_ms = 0;

    while (!server_done(s, &over_ms))
        if (poll(&p, 1, LOOK_MS) > 0)
            server_accept(s);
}

static int serve_start(const struct guest *g, struct server *s, struct guest_session_config *c, struct err *err)
{
    const struct guest_switch_config sw = { .writers_dir = g->writers_dir, .hold_ms = c->hold_ms, .not_its = s->out };
    int r = guest_switch_start(&sw, &c->sw, err);

    if (r >= 0)
        r = guest_socket_listen(g, &s->listener, err);
    if (r >= 0)
        r = guest_session_new(c, &s->session, err);
    if (r < 0)
        return r;
    server_count(s, 1);
    r = thread_start(NULL, "beginning", serve_beginning, s);
    return r < 0 ? err_errno(err, -r, "cannot start the session") : 0;
}

int guest_serve(const struct guest *g, bool hook, int out)
{
    struct guest_session_config c = { .guest = g, .hook = hook };
    struct server s = { .listener = -1, .out = out, .lock = PTHREAD_MUTEX_INITIALIZER };
    struct err err = ERR_INIT;
    uint64_t hold = json_get_u64(g->input, "hold_ms"), wait = json_get_u64(g->input, "wait_ms");

    c.hold_ms = hold ? (unsigned)hold : GUEST_HOLD_MAX_MS;
    c.wait_ms = wait ? (unsigned)wait : GUEST_WAIT_MS;
    become_daemon();
    int r = serve_start(g, &s, &c, &err);
    if (r < 0)
        server_answer(&s, guest_error_answer(&err));
    else
        server_loop(&s);
    if (c.sw)
        guest_switch_stop(c.sw);
    if (r >= 0)
        guest_session_free(s.session);
    return r < 0;
}
