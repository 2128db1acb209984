/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sending events to writers, and running handlers at once under a deadline. */
#ifndef VSS_DISPATCH_H
#define VSS_DISPATCH_H

#include "vss/session_state.h"

enum event_kind {
    EVENT_PREPARE_BACKUP,
    EVENT_PREPARE_SNAPSHOT,
    EVENT_FREEZE,
    EVENT_THAW,
    EVENT_POST_SNAPSHOT,
    EVENT_BACKUP_COMPLETE,
    EVENT_BACKUP_SHUTDOWN,
    EVENT_ABORT,
    EVENT_PRE_RESTORE,
    EVENT_POST_RESTORE,
};

/* Measured by the handed-in clock and by real time: whichever is over first. */
struct deadline {
    uint64_t clock_start, real_start;
    unsigned limit_ms;
};
struct deadline deadline_start(const struct vss_session *v, unsigned limit_ms);
uint64_t deadline_elapsed_ms(const struct vss_session *v, const struct deadline *d);
uint64_t deadline_left_ms(const struct vss_session *v, const struct deadline *d); /* 0: over */

/* ---- tasks.c: something that runs in a thread of its own ------------------------------------------------------------------*/
struct task {
    struct vss_session *session;
    void (*run)(struct task *t);
    void (*free)(struct task *t); /* when both sides are through with it */
    unsigned refs;                /* under the session's lock, as the next */
    bool done;
};
void task_init(struct task *t, struct vss_session *v, void (*run)(struct task *t), void (*free)(struct task *t));
void task_unref(struct task *t);
/* Runs all at once and waits for them, at most until the deadline (NULL: none). False: some have not returned. */
bool tasks_run(struct vss_session *v, struct task *const *tasks, size_t n, const struct deadline *deadline);

/* ---- dispatch.c -----------------------------------------------------------------------------------------------------------*/
/* Sends the event to every member that takes part. The failure of the first that failed, in order of registration. Handlers that
 * have not returned at the deadline are late: their writers' state says so and their `expired` is set. */
int dispatch_event(struct vss_session *v, enum event_kind kind, const struct deadline *deadline, struct err *err);
/* Marks the members whose own limit has passed since the deadline began as failed in `kind`. Names the first in err; -ETIMEDOUT. */
int dispatch_expire(struct vss_session *v, enum event_kind kind, const struct deadline *deadline, struct err *err);
unsigned member_freeze_limit_ms(const struct vss_session *v, const struct member *m);
/* Waits for writers' and providers' handlers that are late; false if some are still running after limit_ms. */
bool dispatch_wait_late(struct vss_session *v, unsigned limit_ms);
void dispatch_log(const struct vss_session *v, const char *event, const char *writer, enum vss_writer_state state, uint32_t hresult);

/* ---- event.c: the writer's view; made by dispatch -------------------------------------------------------------------------*/
struct kvss_component {
    struct kvss_event *event;
    struct bc_component *bc;
};
struct kvss_event {
    struct task task; /* first */
    struct member *member;
    enum event_kind kind;
    enum vss_backup_type backup_type;
    bool succeeded; /* BackupComplete had come */
    bool has_deadline;
    struct deadline deadline;
    struct kvss_component *components;
    size_t n_components;
    /* Under the session's lock. */
    bool closed; /* what the handler says from now on is too late */
    bool ok;
    uint32_t failure;
    const char *failure_text;
};
int event_new(struct vss_session *v, struct member *m, enum event_kind kind, const struct deadline *deadline, struct kvss_event **ret,
              struct err *err);

#endif
