/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kvss-guest: the requester inside a guest (M2, M7). One program, several lives:
 *
 *   a command     started by the host through the guest agent; a JSON object on stdin and one on stdout (docs/guests.md)
 *   the hook      started by the guest agent before it freezes file systems and after it has thawed them
 *   the session   started by the command `begin`, which it outlives: it holds the VSS session and listens on a socket in the run folder
 *   the switch    a child of the session: the dead-man's switch (guest_switch.c)
 *
 * Nothing here needs libvirt, OpenSSL or libxml2. Nothing is written to a disk but in the run folder, which must be in memory (/run).
 */
#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H

#include "base/guid.h"
#include "base/json.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <stdint.h>

#define GUEST_PROTOCOL 1
#define GUEST_HOLD_MAX_MS 10000u /* the longest that a host may ask for */
#define GUEST_WAIT_MS 600000u    /* from prepared to held: other VMs of the set may take long to prepare */
#define GUEST_WAIT_MAX_MS 3600000u
#define GUEST_END_MS 60000u       /* from thawed to `end` */
#define GUEST_SUPERSEDE_MS 15000u /* for an earlier session to let go */
#define GUEST_IN_MAX ((size_t)64 << 10)
#define GUEST_OUT_MAX ((size_t)4 << 20)

struct guest { /* of one run of the program */
    const char *run_dir, *writers_dir;
    int argc; /* what follows the command */
    char *const *argv;
    json_t *input; /* owned by main; NULL: the command takes none */
};

/* A command: its answer (an object, caller's), or a failure. */
typedef int guest_command_fn(const struct guest *g, json_t **ret_answer, struct err *err);
guest_command_fn guest_status, guest_begin, guest_freeze, guest_end, guest_abort, guest_committed, guest_hook, guest_listen;
/* By its name; NULL: there is none that the host may call. */
guest_command_fn *guest_command_for_host(const char *name);

/* ---- guest_answer.c -----------------------------------------------------------------------------------------------------*/
/* { "protocol", "error": { "code", "hresult", "text" } }; NULL: out of memory. */
json_t *guest_error_answer(const struct err *why);
/* The failure in an answer, or 0. */
int guest_answer_error(const json_t *answer, struct err *err);
/* All that can be read, up to max bytes: -EFBIG. */
int guest_read_all(int fd, size_t max, struct buf *ret, struct err *err);
/* JSON and a newline. */
int guest_write_answer(int fd, const json_t *answer);
/* The session's answer, up to the end of the stream. -EPIPE: there was none. -ETIMEDOUT: not within the limit of a socket. An answer that
 * is an error is a failure. *ret: caller's. */
int guest_read_answer(int fd, json_t **ret, struct err *err);

/* ---- guest_socket.c: from a command to the session ----------------------------------------------------------------------*/
/* Listening in the run folder, which is made, for the same user alone. *ret_lock keeps a second session away until the last process that
 * has it ends; -EBUSY: one is there. */
int guest_session_lock(const struct guest *g, int *ret_lock, struct err *err);
int guest_socket_listen(const struct guest *g, int *ret_fd, struct err *err);
/* One request, one answer; -ENOENT: no session runs; -ETIMEDOUT. An answer that is an error is a failure. ret_answer: caller's. */
int guest_socket_ask(const struct guest *g, const json_t *request, unsigned timeout_ms, json_t **ret_answer, struct err *err);
/* What the request was, read from a connection; it is answered by guest_write_answer(). */
int guest_socket_take(int fd, json_t **ret, struct err *err);

/* ---- guest_agent.c: how the agent freezes -------------------------------------------------------------------------------*/
/* Whether the guest agent that runs here has a hook that leads to `kvss-guest hook`. Not being sure means no. */
bool guest_hook_is_used(void);
/* Out of the control group of the agent's service, with which it would be killed. Best effort. */
void guest_leave_service(void);

/* ---- guest_switch.c: the dead-man's switch ------------------------------------------------------------------------------*/
struct guest_switch;
struct guest_switch_config {
    const char *writers_dir;
    unsigned hold_ms;
    int not_its; /* a descriptor that it must not keep open */
};
/* Forks it: before the first thread. It opens the mounted file systems; what cannot be opened the agent cannot freeze either. */
int guest_switch_start(const struct guest_switch_config *config, struct guest_switch **ret, struct err *err);
void guest_switch_name(struct guest_switch *s, const char *session_id); /* whose Abort it sends */
int guest_switch_arm(struct guest_switch *s, struct err *err);          /* from now on hold_ms. -ESRCH: it is gone */
void guest_switch_disarm(struct guest_switch *s);
void guest_switch_act(struct guest_switch *s); /* at once what it would do at the deadline, if it is armed */
bool guest_switch_fired(const struct guest_switch *s);
/* The writers have been let go: it need not do so after it fired. */
void guest_switch_released(struct guest_switch *s);
size_t guest_switch_mounts(const struct guest_switch *s); /* file systems that it has open */
/* It ends, quietly. Disarmed or not, file systems are left alone. */
void guest_switch_stop(struct guest_switch *s);

/* ---- guest_session.c, guest_run.c, guest_report.c: the session ----------------------------------------------------------*/
enum guest_phase {
    GUEST_PREPARING, /* Identify, PrepareForBackup, PrepareForSnapshot */
    GUEST_PREPARED,  /* waits for the freeze */
    GUEST_FREEZING,  /* Freeze */
    GUEST_HELD,      /* the instant may be taken */
    GUEST_THAWING,   /* Thaw, PostSnapshot */
    GUEST_DONE,      /* waits for the end */
    GUEST_ENDED,     /* BackupComplete and BackupShutdown, or Abort; nothing is held any more */
};
const char *guest_phase_name(enum guest_phase p);

struct guest_session;
struct guest_session_config {
    const struct guest *guest;
    struct guest_switch *sw;
    unsigned hold_ms, wait_ms;
    bool hook; /* the agent's hook is expected to ask for the freeze */
};
int guest_session_new(const struct guest_session_config *config, struct guest_session **ret, struct err *err);
void guest_session_free(struct guest_session *s);
/* Starts the VSS session in a thread and waits until all writers are prepared. 1: no writer has anything to do, there is no session. */
int guest_session_prepare(struct guest_session *s, struct err *err);
/* Each waits for its outcome. by_hook: the agent's hook asks. */
int guest_session_freeze(struct guest_session *s, bool by_hook, struct err *err);
void guest_session_thaw(struct guest_session *s);
int guest_session_end(struct guest_session *s, struct err *err);
void guest_session_abort(struct guest_session *s, const char *why);
bool guest_session_over(struct guest_session *s);
/* What came of it, for the host; at any time. NULL: out of memory. */
json_t *guest_session_report(struct guest_session *s);

/* ---- guest_server.c: the session's process ------------------------------------------------------------------------------*/
/* Never fails towards its caller: what there is to say of the beginning goes to `out`, as one answer. Returns the exit status. */
int guest_serve(const struct guest *g, bool hook, int out);

#endif
