/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vss/vss_names.h"
#include "base/cleanup.h"
#include "vss/vss.h"
#include <errno.h>
#include <string.h>

static const char *const bool_list[] = { "no", "yes" };
static const char *const backup_type_list[] = { NULL, "full", "incremental", "differential", "log", "copy", "other" };
static const char *const usage_list[] = { NULL, "BOOTABLE_SYSTEM_STATE", "SYSTEM_SERVICE", "USER_DATA", "OTHER" };
static const char *const source_list[] = { NULL, "TRANSACTION_DB", "NONTRANSACTIONAL_DB", "OTHER" };
static const char *const restore_method_list[] = {
    NULL,
    "RESTORE_IF_NONE_THERE",
    "RESTORE_IF_CAN_BE_REPLACED",
    "STOP_RESTART_SERVICE",
    "RESTORE_TO_ALTERNATE_LOCATION",
    "REPLACE_AT_REBOOT",
    "REPLACE_AT_REBOOT_IF_CANNOT_REPLACE",
    "CUSTOM",
    "RESTORE_STOP_START",
};
static const char *const writer_restore_list[] = { NULL, "never", "ifReplaceFails", "always" };
static const char *const component_type_list[] = { NULL, "database", "filegroup" };
static const char *const restore_target_list[] = { NULL, "original", "alternate", "directed", "originalLocation" };
static const char *const file_restore_status_list[] = { NULL, "none", "all", "failed" };

#define WORDS(x, text) const struct words words_##x = { text, ARRAY_SIZE(x##_list), x##_list }
WORDS(bool, "yes or no");
WORDS(backup_type, "backup type");
WORDS(usage, "usage");
WORDS(source, "data source");
WORDS(restore_method, "restore method");
WORDS(writer_restore, "time of the writer's part in a restore");
WORDS(component_type, "component type");
WORDS(restore_target, "restore target");
WORDS(file_restore_status, "file restore status");

const char *words_get(const struct words *w, size_t value)
{
    return value < w->n ? w->list[value] : NULL;
}

int words_find(const struct words *w, const char *word)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->list[i] && strcmp(w->list[i], word) == 0)
            return (int)i;
    return -ENOENT;
}

const char *vss_backup_type_name(enum vss_backup_type type)
{
    const char *name = words_get(&words_backup_type, type);

    return name ? name : "undefined";
}

struct state_words {
    const char *symbol, *text;
};

static const struct state_words states[] = {
    [VSS_WS_UNKNOWN] = { "VSS_WS_UNKNOWN", "Unknown" },
    [VSS_WS_STABLE] = { "VSS_WS_STABLE", "Stable" },
    [VSS_WS_WAITING_FOR_FREEZE] = { "VSS_WS_WAITING_FOR_FREEZE", "Waiting for freeze" },
    [VSS_WS_WAITING_FOR_THAW] = { "VSS_WS_WAITING_FOR_THAW", "Frozen" },
    [VSS_WS_WAITING_FOR_POST_SNAPSHOT] = { "VSS_WS_WAITING_FOR_POST_SNAPSHOT", "Waiting for post-snapshot" },
    [VSS_WS_WAITING_FOR_BACKUP_COMPLETE] = { "VSS_WS_WAITING_FOR_BACKUP_COMPLETE", "Waiting for completion" },
    [VSS_WS_FAILED_AT_IDENTIFY] = { "VSS_WS_FAILED_AT_IDENTIFY", "Failed" },
    [VSS_WS_FAILED_AT_PREPARE_BACKUP] = { "VSS_WS_FAILED_AT_PREPARE_BACKUP", "Failed" },
    [VSS_WS_FAILED_AT_PREPARE_SNAPSHOT] = { "VSS_WS_FAILED_AT_PREPARE_SNAPSHOT", "Failed" },
    [VSS_WS_FAILED_AT_FREEZE] = { "VSS_WS_FAILED_AT_FREEZE", "Failed" },
    [VSS_WS_FAILED_AT_THAW] = { "VSS_WS_FAILED_AT_THAW", "Failed" },
    [VSS_WS_FAILED_AT_POST_SNAPSHOT] = { "VSS_WS_FAILED_AT_POST_SNAPSHOT", "Failed" },
    [VSS_WS_FAILED_AT_BACKUP_COMPLETE] = { "VSS_WS_FAILED_AT_BACKUP_COMPLETE", "Failed" },
    [VSS_WS_FAILED_AT_PRE_RESTORE] = { "VSS_WS_FAILED_AT_PRE_RESTORE", "Failed" },
    [VSS_WS_FAILED_AT_POST_RESTORE] = { "VSS_WS_FAILED_AT_POST_RESTORE", "Failed" },
    [VSS_WS_FAILED_AT_BACKUPSHUTDOWN] = { "VSS_WS_FAILED_AT_BACKUPSHUTDOWN", "Failed" },
};

static const struct state_words *state_words(enum vss_writer_state state)
{
    size_t i = (size_t)state;

    return &states[i < ARRAY_SIZE(states) ? i : VSS_WS_UNKNOWN];
}

const char *vss_state_name(enum vss_writer_state state)
{
    return state_words(state)->text;
}

const char *vss_state_symbol(enum vss_writer_state state)
{
    return state_words(state)->symbol;
}

struct error_words {
    uint32_t hresult;
    const char *symbol, *text;
};

#define E(code, text)     \
    {                     \
        code, #code, text \
    }
static const struct error_words errors[] = {
    E(VSS_S_OK, "No error"),
    E(VSS_E_BAD_STATE, "Call out of order"),
    E(VSS_E_UNEXPECTED, "Unexpected error"),
    E(VSS_E_PROVIDER_ALREADY_REGISTERED, "Provider already registered"),
    E(VSS_E_PROVIDER_NOT_REGISTERED, "Provider not registered"),
    E(VSS_E_PROVIDER_VETO, "Provider veto"),
    E(VSS_E_OBJECT_NOT_FOUND, "Object not found"),
    E(VSS_E_VOLUME_NOT_SUPPORTED, "Volume not supported"),
    E(VSS_E_OBJECT_ALREADY_EXISTS, "Object already exists"),
    E(VSS_E_UNEXPECTED_PROVIDER_ERROR, "Unexpected provider error"),
    E(VSS_E_CORRUPT_XML_DOCUMENT, "Corrupt XML document"),
    E(VSS_E_INVALID_XML_DOCUMENT, "Invalid XML document"),
    E(VSS_E_FLUSH_WRITES_TIMEOUT, "Flushing writes timed out"),
    E(VSS_E_HOLD_WRITES_TIMEOUT, "Holding writes timed out"),
    E(VSS_E_UNEXPECTED_WRITER_ERROR, "Unexpected writer error"),
    E(VSS_E_SNAPSHOT_SET_IN_PROGRESS, "Another snapshot set is in progress"),
    E(VSS_E_WRITER_NOT_RESPONDING, "Writer not responding"),
    E(VSS_E_UNSUPPORTED_CONTEXT, "Unsupported context"),
    E(VSS_E_INSUFFICIENT_STORAGE, "Insufficient storage"),
    E(VSS_E_WRITER_STATUS_NOT_AVAILABLE, "Writer status not available"),
    E(VSS_E_WRITERERROR_PARTIAL_FAILURE, "Partial failure"),
    E(VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT, "Inconsistent shadow copy"),
    E(VSS_E_WRITERERROR_OUTOFRESOURCES, "Out of resources"),
    E(VSS_E_WRITERERROR_TIMEOUT, "Timed out"),
    E(VSS_E_WRITERERROR_RETRYABLE, "Retryable error"),
    E(VSS_E_WRITERERROR_NONRETRYABLE, "Non-retryable error"),
};
#undef E

static const struct error_words *error_words(uint32_t hresult)
{
    static const struct error_words unknown = { 0, "unknown code", "Unknown error" };

    for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
        if (errors[i].hresult == hresult)
            return &errors[i];
    return &unknown;
}

const char *vss_error_text(uint32_t hresult)
{
    return error_words(hresult)->text;
}

const char *vss_error_symbol(uint32_t hresult)
{
    return error_words(hresult)->symbol;
}
