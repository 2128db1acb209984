/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The session as the files of this folder see it. The session's thread is the requester's; handlers of writers and providers run
 * in threads of their own, and one that overruns its time limit is left to itself ("late"). Therefore:
 *  - a session is counted: each running handler holds it;
 *  - what handlers may read or write while the requester's thread goes on (components, failures, data) is guarded by `lock`;
 *  - what a late handler says no longer counts. */
#ifndef VSS_SESSION_STATE_H
#define VSS_SESSION_STATE_H

#include "base/guid.h"
#include "base/strv.h"
#include "vss/components.h"
#include "vss/metadata.h"
#include "vss/registry.h"
#include "vss/call_order.h"
#include "vss/vss.h"
#include <pthread.h>

struct member { /* one writer in one session */
    struct writer_entry *entry;
    struct kvss_metadata *md; /* as gathered by this session */
    struct bc_writer *bc;     /* its components in the session; NULL: none */
    bool takes_part;          /* it was or is being sent events behind Identify */
    bool expired;             /* it was held longer than its limit */
    enum vss_writer_state state;
    uint32_t failure; /* VSS_S_OK or VSS_E_* */
    const char *text; /* the cause, or NULL; in the session's pool */
    void *data;       /* the writer's own; under lock */
    unsigned running; /* its handlers that have not returned; under lock */
};

struct set_disk { /* a disk of a VM in the snapshot set */
    const char *vm_uuid, *target, *volume;
    struct provider_entry *entry;
};

struct vss_session {
    struct vss_service *service;
    struct guid id;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a handler has returned; CLOCK_MONOTONIC */
    unsigned refs;          /* under lock */
    enum session_state state;

    vss_event_fn *log_fn;
    void *log_priv;

    char **only_classes, **not_classes, **not_instances; /* EnableWriterClasses ... */
    struct member **members;                             /* in order of registration; addresses last */
    size_t n_members;
    struct vss_left_out_writer *left_out;
    size_t n_left_out;
    struct kvss_metadata **stored; /* restore: the stored writer metadata */
    size_t n_stored;

    struct bc_document *doc;
    struct provider_entry **providers; /* of the snapshot set, in order of first use */
    size_t n_providers;
    struct set_disk *disks; /* and which of them shadows which */
    size_t n_disks;
    bool snapshots_there;             /* their devices are known; under lock */
    bool snapshots_gone;              /* deleted or aborted */
    bool in_set;                      /* it is this session's turn, see enter_set */
    bool out_of_turn;                 /* Abort is being raised while another session has its turn */
    bool aborted;                     /* Abort was raised since the last other event */
    struct vss_writer_status *status; /* as of the last GatherWriterStatus */
    size_t n_status;
    struct pool strings;
};

void session_unref(struct vss_session *v);

/* What a call that is allowed leads to. */
struct session_step {
    enum session_state ok, failed;
};
/* Refuses a call out of order: -EPROTO, VSS_E_BAD_STATE. */
int session_enter(const struct vss_session *v, enum session_call call, struct session_step *ret, struct err *err);
/* Moves on by the result of what the call did; returns it. */
int session_leave(struct vss_session *v, const struct session_step *step, int r);
/* For calls that lead nowhere: session_enter() alone. */
int session_check(const struct vss_session *v, enum session_call call, struct err *err);

struct member *session_member(const struct vss_session *v, const char *writer_id); /* NULL: none such gathered */
/* Member and component that a requester names. -ENOENT, VSS_E_OBJECT_NOT_FOUND. */
int session_component(const struct vss_session *v, const char *writer_id, const char *logical_path, const char *name,
                      struct bc_component **ret, struct err *err);
/* The failure of a writer in words: its cause, with the writer's name before it unless the cause names what failed. */
int member_error(const struct vss_session *v, const struct member *m, uint32_t hresult, int code, const char *cause, struct err *err);
/* Keeps the failure as the member's status and writes the log line of behaviour 43: whoever wants to see each step gets writer, event,
 * code and cause, anyone else the failure in words. `text` may be NULL. */
void member_fail(struct vss_session *v, struct member *m, const char *event, enum vss_writer_state state, uint32_t hresult,
                 const char *text);
bool session_is_restore(const struct vss_session *v);
/* Whether the writer is held for one snapshot set at a time: all but vss_service_config.side_by_side. */
bool session_waits_its_turn(const struct vss_session *v, const struct member *m);
/* The turn of this session's set (vss_service_config.enter_set). 0 also where it needs none, or has it. */
int session_enter_set(struct vss_session *v, bool brief, struct err *err);
void session_leave_set(struct vss_session *v);
/* Of a session that has failed: whatever SetBackupSucceeded said before. */
void session_nothing_succeeded(struct vss_session *v);
/* Abort to writers and providers after the failure that is in err; if it fails too, err says so. */
void session_raise_abort(struct vss_session *v, struct err *err);

/* ---- selection.c ----------------------------------------------------------------------------------------------------------*/
/* Before PrepareForBackup: required components and dependencies. -EINVAL, -ENOENT. */
int selection_check(const struct vss_session *v, struct err *err);
/* Whether one may add this component explicitly beside those that were. */
int selection_may_add(const struct member *m, size_t component, struct err *err);
/* True if the component is in the session, explicitly or by its component set. */
bool selection_has(const struct member *m, size_t component);
/* True if an included component has the flag (VSS_CF_*). */
bool selection_has_flag(const struct vss_session *v, uint32_t flag);

/* ---- volumes.c ------------------------------------------------------------------------------------------------------------*/
/* Before PrepareForSnapshot: -EINVAL and INCONSISTENTSNAPSHOT, the writer marked, where a component's volume is not in the set. */
int volumes_check(struct vss_session *v, struct err *err);
/* True if the volume that holds path is in the snapshot set. Any thread. */
bool volumes_has_path(const struct vss_session *v, const char *path);

/* ---- provider_calls.c -----------------------------------------------------------------------------------------------------*/
struct deadline;
enum provider_call { /* in their order */
                     PROVIDER_END_PREPARE,
                     PROVIDER_PRE_COMMIT,
                     PROVIDER_COMMIT,
                     PROVIDER_POST_COMMIT,
                     PROVIDER_PRE_FINAL_COMMIT,
                     PROVIDER_POST_FINAL_COMMIT,
                     PROVIDER_ABORT,
                     PROVIDER_DELETE,
};
/* The call to every provider of the set, at once; *ret_late (may be NULL with no deadline) if some had not returned at the deadline. */
int providers_call(struct vss_session *v, enum provider_call call, const struct deadline *deadline, bool *ret_late, struct err *err);

/* ---- set_disks.c ----------------------------------------------------------------------------------------------------------*/
/* NULL: the disk is not in the set. */
const struct set_disk *set_disk_find(const struct vss_session *v, const char *vm_uuid, const char *target);
/* The devices of the shadow copies, once they may be written to: from now on writers are told of them. */
int set_find_devices(struct vss_session *v, struct err *err);
void set_forget_devices(struct vss_session *v); /* they are being deleted */

#endif
