/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vss/call_order.h"
#include "base/cleanup.h"

#define IN(s) (1u << (s))
#define STAY SESSION_STATES

static const unsigned before_set = IN(S_BACKUP) | IN(S_BACKUP_NO_WRITERS) | IN(S_GATHERED);
static const unsigned selecting = IN(S_GATHERED) | IN(S_SET);
static const unsigned set_open = IN(S_SET) | IN(S_SET_NO_WRITERS);
static const unsigned unfinished = IN(S_NEW) | IN(S_BACKUP) | IN(S_BACKUP_NO_WRITERS) | IN(S_GATHERED) | IN(S_SET) | IN(S_SET_NO_WRITERS) |
                                   IN(S_PREPARED_NO_SET) | IN(S_PREPARED) | IN(S_SNAPPED) | IN(S_FAILED) | IN(S_ABORTED);
static const unsigned ended = IN(S_SNAPPED) | IN(S_COMPLETE) | IN(S_FAILED) | IN(S_ABORTED);
static const unsigned with_writers = IN(S_GATHERED) | IN(S_SET) | IN(S_PREPARED_NO_SET) | IN(S_PREPARED) | IN(S_SNAPPED) | IN(S_FAILED) |
                                     IN(S_COMPLETE) | IN(S_ABORTED) | IN(S_RESTORE_GATHERED) | IN(S_PRE_RESTORED) | IN(S_RESTORED);

/* An argument that is refused leaves the state as it is in any case; `failed` is for calls that did something and failed. */
struct row {
    enum session_call call;
    unsigned from;
    enum session_state ok, failed;
};

static const struct row table[] = {
    { CALL_INITIALIZE_FOR_BACKUP, IN(S_NEW), S_BACKUP, STAY },
    { CALL_ENABLE_WRITER, IN(S_BACKUP), STAY, STAY },
    { CALL_SET_CONTEXT, before_set, STAY, STAY },
    { CALL_SET_BACKUP_STATE, IN(S_BACKUP) | IN(S_BACKUP_NO_WRITERS), STAY, STAY },
    { CALL_GATHER_WRITER_METADATA, IN(S_BACKUP), S_GATHERED, STAY },
    { CALL_GATHER_WRITER_METADATA, IN(S_RESTORE), S_RESTORE_GATHERED, STAY },
    { CALL_ADD_COMPONENT, selecting, STAY, STAY },
    { CALL_START_SNAPSHOT_SET, IN(S_GATHERED), S_SET, STAY },
    { CALL_START_SNAPSHOT_SET, IN(S_BACKUP_NO_WRITERS), S_SET_NO_WRITERS, STAY },
    { CALL_IS_VOLUME_SUPPORTED, before_set | set_open, STAY, STAY },
    { CALL_ADD_TO_SNAPSHOT_SET, set_open, STAY, STAY },
    { CALL_SET_BACKUP_OPTIONS, selecting, STAY, STAY },
    { CALL_SET_PREVIOUS_BACKUP_STAMP, selecting, STAY, STAY },
    { CALL_PREPARE_FOR_BACKUP, IN(S_GATHERED), S_PREPARED_NO_SET, S_FAILED },
    { CALL_PREPARE_FOR_BACKUP, IN(S_SET), S_PREPARED, S_FAILED },
    { CALL_DO_SNAPSHOT_SET, IN(S_PREPARED) | IN(S_SET_NO_WRITERS), S_SNAPPED, S_FAILED },
    { CALL_GET_SNAPSHOT_PROPERTIES, IN(S_SNAPPED) | IN(S_COMPLETE), STAY, STAY },
    { CALL_GATHER_WRITER_STATUS, with_writers, STAY, STAY },
    { CALL_GET_WRITER_STATUS, with_writers, STAY, STAY },
    { CALL_SET_BACKUP_SUCCEEDED, IN(S_SNAPPED) | IN(S_PREPARED_NO_SET), STAY, STAY },
    { CALL_BACKUP_COMPLETE, IN(S_SNAPPED) | IN(S_PREPARED_NO_SET), S_COMPLETE, S_FAILED },
    { CALL_WITHDRAW_COMPLETE, IN(S_COMPLETE), S_FAILED, STAY },
    { CALL_ABORT_BACKUP, unfinished, S_ABORTED, S_ABORTED },
    { CALL_ABORT_BACKUP, IN(S_COMPLETE), STAY, STAY }, /* nothing is left to abort */
    { CALL_DELETE_SNAPSHOTS, ended, STAY, STAY },
    { CALL_SAVE_AS_XML, IN(S_SNAPPED) | IN(S_COMPLETE), STAY, STAY },
    { CALL_INITIALIZE_FOR_RESTORE, IN(S_NEW), S_RESTORE, STAY },
    { CALL_LOAD_WRITER_METADATA, IN(S_RESTORE), STAY, STAY },
    { CALL_SET_SELECTED_FOR_RESTORE, IN(S_RESTORE_GATHERED), STAY, STAY },
    { CALL_ADD_RESTORE_SUBCOMPONENT, IN(S_RESTORE_GATHERED), STAY, STAY },
    { CALL_SET_RESTORE_OPTIONS, IN(S_RESTORE_GATHERED), STAY, STAY },
    { CALL_ADD_NEW_TARGET, IN(S_RESTORE_GATHERED) | IN(S_PRE_RESTORED), STAY, STAY },
    { CALL_ADD_ALTERNATIVE_LOCATION_MAPPING, IN(S_RESTORE_GATHERED) | IN(S_PRE_RESTORED), STAY, STAY },
    { CALL_SET_ADDITIONAL_RESTORES, IN(S_RESTORE_GATHERED) | IN(S_PRE_RESTORED), STAY, STAY },
    { CALL_PRE_RESTORE, IN(S_RESTORE_GATHERED), S_PRE_RESTORED, S_PRE_RESTORED },
    { CALL_SET_FILE_RESTORE_STATUS, IN(S_PRE_RESTORED), STAY, STAY },
    { CALL_POST_RESTORE, IN(S_PRE_RESTORED), S_RESTORED, S_RESTORED },
};

bool state_allows(enum session_state state, enum session_call call, enum session_state *ret_ok, enum session_state *ret_failed)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (table[i].call != call || !(table[i].from & IN(state)))
            continue;
        *ret_ok = table[i].ok == STAY ? state : table[i].ok;
        *ret_failed = table[i].failed == STAY ? state : table[i].failed;
        return true;
    }
    return false;
}

const char *state_name(enum session_state state)
{
    static const char *const names[SESSION_STATES] = {
        [S_NEW] = "new",
        [S_BACKUP] = "initialised for backup",
        [S_BACKUP_NO_WRITERS] = "initialised for backup without writers",
        [S_GATHERED] = "after GatherWriterMetadata",
        [S_SET] = "after StartSnapshotSet",
        [S_SET_NO_WRITERS] = "after StartSnapshotSet, without writers",
        [S_PREPARED_NO_SET] = "after PrepareForBackup, without a snapshot set",
        [S_PREPARED] = "after PrepareForBackup",
        [S_SNAPPED] = "after DoSnapshotSet",
        [S_FAILED] = "failed",
        [S_COMPLETE] = "complete",
        [S_ABORTED] = "aborted",
        [S_RESTORE] = "initialised for restore",
        [S_RESTORE_GATHERED] = "initialised for restore, writers gathered",
        [S_PRE_RESTORED] = "after PreRestore",
        [S_RESTORED] = "after PostRestore",
    };

    return names[state];
}

const char *state_call_name(enum session_call call)
{
    static const char *const names[SESSION_CALLS] = {
        [CALL_INITIALIZE_FOR_BACKUP] = "InitializeForBackup",
        [CALL_ENABLE_WRITER] = "EnableWriterClasses or DisableWriter",
        [CALL_SET_CONTEXT] = "SetContext",
        [CALL_SET_BACKUP_STATE] = "SetBackupState",
        [CALL_GATHER_WRITER_METADATA] = "GatherWriterMetadata",
        [CALL_ADD_COMPONENT] = "AddComponent",
        [CALL_START_SNAPSHOT_SET] = "StartSnapshotSet",
        [CALL_IS_VOLUME_SUPPORTED] = "IsVolumeSupported",
        [CALL_ADD_TO_SNAPSHOT_SET] = "AddToSnapshotSet",
        [CALL_SET_BACKUP_OPTIONS] = "SetBackupOptions",
        [CALL_SET_PREVIOUS_BACKUP_STAMP] = "SetPreviousBackupStamp",
        [CALL_PREPARE_FOR_BACKUP] = "PrepareForBackup",
        [CALL_DO_SNAPSHOT_SET] = "DoSnapshotSet",
        [CALL_GET_SNAPSHOT_PROPERTIES] = "GetSnapshotProperties",
        [CALL_GATHER_WRITER_STATUS] = "GatherWriterStatus",
        [CALL_GET_WRITER_STATUS] = "GetWriterStatus",
        [CALL_SET_BACKUP_SUCCEEDED] = "SetBackupSucceeded",
        [CALL_BACKUP_COMPLETE] = "BackupComplete",
        [CALL_WITHDRAW_COMPLETE] = "withdrawing BackupComplete",
        [CALL_ABORT_BACKUP] = "AbortBackup",
        [CALL_DELETE_SNAPSHOTS] = "DeleteSnapshots",
        [CALL_SAVE_AS_XML] = "SaveAsXML",
        [CALL_INITIALIZE_FOR_RESTORE] = "InitializeForRestore",
        [CALL_LOAD_WRITER_METADATA] = "loading writer metadata",
        [CALL_SET_SELECTED_FOR_RESTORE] = "SetSelectedForRestore",
        [CALL_ADD_RESTORE_SUBCOMPONENT] = "AddRestoreSubcomponent",
        [CALL_SET_RESTORE_OPTIONS] = "SetRestoreOptions",
        [CALL_ADD_NEW_TARGET] = "AddNewTarget",
        [CALL_ADD_ALTERNATIVE_LOCATION_MAPPING] = "AddAlternativeLocationMapping",
        [CALL_SET_ADDITIONAL_RESTORES] = "SetAdditionalRestores",
        [CALL_PRE_RESTORE] = "PreRestore",
        [CALL_SET_FILE_RESTORE_STATUS] = "SetFileRestoreStatus",
        [CALL_POST_RESTORE] = "PostRestore",
    };

    return names[call];
}
