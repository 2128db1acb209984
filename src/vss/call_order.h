/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one table that says which call is allowed in which state of a session, and what state follows. */
#ifndef VSS_CALL_ORDER_H
#define VSS_CALL_ORDER_H

#include <stdbool.h>

enum session_state {
    S_NEW,
    S_BACKUP,            /* initialised for backup */
    S_BACKUP_NO_WRITERS, /* the same, in a context without writers */
    S_GATHERED,          /* writer metadata is there */
    S_SET,               /* and a snapshot set was started */
    S_SET_NO_WRITERS,
    S_PREPARED_NO_SET, /* PrepareForBackup succeeded, no snapshot set: DoSnapshotSet is skipped */
    S_PREPARED,
    S_SNAPPED,  /* DoSnapshotSet succeeded */
    S_FAILED,   /* PrepareForBackup, DoSnapshotSet or BackupComplete failed; AbortBackup is due */
    S_COMPLETE, /* BackupComplete succeeded */
    S_ABORTED,
    S_RESTORE, /* initialised for restore */
    S_RESTORE_GATHERED,
    S_PRE_RESTORED, /* PreRestore was sent; whether it went well is in the writers' status */
    S_RESTORED,     /* PostRestore was sent */
    SESSION_STATES
};

enum session_call {
    CALL_INITIALIZE_FOR_BACKUP,
    CALL_ENABLE_WRITER, /* enable and disable, class and instance */
    CALL_SET_CONTEXT,
    CALL_SET_BACKUP_STATE,
    CALL_GATHER_WRITER_METADATA,
    CALL_ADD_COMPONENT,
    CALL_START_SNAPSHOT_SET,
    CALL_IS_VOLUME_SUPPORTED,
    CALL_ADD_TO_SNAPSHOT_SET,
    CALL_SET_BACKUP_OPTIONS,
    CALL_SET_PREVIOUS_BACKUP_STAMP,
    CALL_PREPARE_FOR_BACKUP,
    CALL_DO_SNAPSHOT_SET,
    CALL_GET_SNAPSHOT_PROPERTIES,
    CALL_GATHER_WRITER_STATUS,
    CALL_GET_WRITER_STATUS,
    CALL_SET_BACKUP_SUCCEEDED,
    CALL_BACKUP_COMPLETE,
    CALL_WITHDRAW_COMPLETE,
    CALL_ABORT_BACKUP,
    CALL_DELETE_SNAPSHOTS,
    CALL_SAVE_AS_XML,
    CALL_INITIALIZE_FOR_RESTORE,
    CALL_LOAD_WRITER_METADATA,
    CALL_SET_SELECTED_FOR_RESTORE,
    CALL_ADD_RESTORE_SUBCOMPONENT,
    CALL_SET_RESTORE_OPTIONS,
    CALL_ADD_NEW_TARGET,
    CALL_ADD_ALTERNATIVE_LOCATION_MAPPING,
    CALL_SET_ADDITIONAL_RESTORES,
    CALL_PRE_RESTORE,
    CALL_SET_FILE_RESTORE_STATUS,
    CALL_POST_RESTORE,
    SESSION_CALLS
};

/* True if the call is allowed; then the states that follow its success and its failure. */
bool state_allows(enum session_state state, enum session_call call, enum session_state *ret_ok, enum session_state *ret_failed);
const char *state_name(enum session_state state);    /* for people: "after PrepareForBackup" */
const char *state_call_name(enum session_call call); /* "DoSnapshotSet" */

#endif
