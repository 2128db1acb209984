/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One event of a writer that is a program. */
#include "base/num.h"
#include "writers/command_internal.h"
#include <errno.h>
#include <string.h>

/* ---- What the program is told ---------------------------------------------------------------------------------------------*/

static const char *backup_type_word(enum vss_backup_type type)
{
    static const char *const words[] = { "undefined", "full", "incremental", "differential", "log", "copy", "other" };

    return (size_t)type < ARRAY_SIZE(words) ? words[type] : words[0];
}

static const char *status_word(enum vss_file_restore_status status)
{
    static const char *const words[] = { "undefined", "none", "all", "failed" };

    return (size_t)status < ARRAY_SIZE(words) ? words[status] : words[0];
}

static const char *const target_words[] = { "undefined", "original", "alternate", "directed", "original-location" };

/* key: what its destination is called there. */
static void add_mapping(json_t *list, const struct kvss_alternate_location *l, const char *key)
{
    json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s}", "path", l->path, "filespec", l->filespec, "recursive", (int)l->recursive,
                                          key, l->destination));
}

static json_t *describe_targets(const struct kvss_component *c)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < kvss_component_new_target_count(c); i++) {
        struct kvss_new_target t = kvss_component_new_target(c, i);
        add_mapping(list, &(struct kvss_alternate_location){ t.path, t.filespec, t.recursive, t.new_path }, "new_path");
    }
    return list;
}

static json_t *describe_locations(const struct kvss_component *c)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < kvss_component_alternate_location_count(c); i++) {
        struct kvss_alternate_location l = kvss_component_alternate_location(c, i);
        add_mapping(list, &l, "destination");
    }
    return list;
}

static json_t *describe_component(const struct kvss_component *c)
{
    return json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:b, s:s?, s:s?, s:b, s:b, s:s, s:s, s:o, s:o}", "name", kvss_component_name(c),
                     "logical_path", kvss_component_logical_path(c), "backup_options", kvss_component_backup_options(c), "previous_stamp",
                     kvss_component_previous_stamp(c), "backup_stamp", kvss_component_backup_stamp(c), "backup_metadata",
                     kvss_component_backup_metadata(c), "backup_succeeded", (int)kvss_component_backup_succeeded(c), "restore_options",
                     kvss_component_restore_options(c), "restore_metadata", kvss_component_restore_metadata(c), "selected_for_restore",
                     (int)kvss_component_selected_for_restore(c), "additional_restores", (int)kvss_component_additional_restores(c),
                     "file_restore_status", status_word(kvss_component_file_restore_status(c)), "restore_target",
                     target_words[kvss_component_restore_target(c)], "new_targets", describe_targets(c), "alternate_locations",
                     describe_locations(c));
}

static json_t *describe_components(struct kvss_event *ev)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < kvss_event_component_count(ev); i++)
        if (json_array_append_new(list, describe_component(kvss_event_component(ev, i))) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* From post-snapshot on, as long as there are any. */
static json_t *event_describe_snapshots(struct kvss_event *ev)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < kvss_event_snapshot_count(ev); i++) {
        const struct kvss_snapshot_properties s = kvss_event_snapshot(ev, i);
        if (json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s?}", "volume", s.volume, "snapshot", s.snapshot_id, "provider",
                                                  s.provider_id, "device", s.device)) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *describe_event(struct kvss_event *ev, const char *event)
{
    uint32_t context = kvss_event_context(ev);
    json_t *components = describe_components(ev), *snapshots = components ? event_describe_snapshots(ev) : NULL;

    if (!snapshots) {
        json_decref(components);
        return NULL;
    }
    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:b, s:b, s:b, s:I, s:b, s:o, s:o}", "api", COMMAND_API, "event", event, "session",
                     kvss_event_session_id(ev), "set", kvss_event_set_id(ev), "backup_type", backup_type_word(kvss_event_backup_type(ev)),
                     "context", (json_int_t)context, "auto_recovery", (context & VSS_VOLSNAP_ATTR_NO_AUTORECOVERY) == 0, "bootable_state",
                     (int)kvss_event_bootable_state(ev), "components_selected", (int)kvss_event_components_selected(ev), "time_left_ms",
                     (json_int_t)kvss_event_time_left_ms(ev), "succeeded", (int)kvss_event_succeeded(ev), "snapshots", snapshots,
                     "components", components);
}

/* ---- What it answers ------------------------------------------------------------------------------------------------------*/

static const struct failure_word {
    const char *word;
    uint32_t hresult;
} failure_words[] = {
    { "inconsistent-snapshot", VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT },
    { "out-of-resources", VSS_E_WRITERERROR_OUTOFRESOURCES },
    { "timeout", VSS_E_WRITERERROR_TIMEOUT },
    { "retryable", VSS_E_WRITERERROR_RETRYABLE },
    { "nonretryable", VSS_E_WRITERERROR_NONRETRYABLE },
    { "partial-failure", VSS_E_WRITERERROR_PARTIAL_FAILURE },
};

static int find_failure(const char *word, uint32_t *ret, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(failure_words); i++)
        if (strcmp(failure_words[i].word, word) == 0) {
            *ret = failure_words[i].hresult;
            return 0;
        }
    return err_set(err, EBADMSG, "'%.64s' is not a kind of failure", word);
}

static struct kvss_component *event_find_component(struct kvss_event *ev, const char *logical_path, const char *name)
{
    for (size_t i = 0; i < kvss_event_component_count(ev); i++) {
        struct kvss_component *c = kvss_event_component(ev, i);
        if (strcmp(kvss_component_name(c), name) == 0 && strcmp(kvss_component_logical_path(c), logical_path) == 0)
            return c;
    }
    return NULL;
}

static int set_target(struct kvss_component *c, const char *word, struct err *err)
{
    for (size_t i = VSS_RT_ORIGINAL; i < ARRAY_SIZE(target_words); i++)
        if (strcmp(target_words[i], word) == 0)
            return kvss_component_set_restore_target(c, (enum vss_restore_target)i, err);
    return err_set(err, EBADMSG, "'%.64s' is not a restore target", word);
}

struct component_answer { /* NULL: left as it is */
    const char *stamp, *backup_metadata, *failure, *failure_text, *restore_metadata, *target, *pre_failure, *post_failure;
};

static int apply_answer(struct kvss_component *c, const struct component_answer *a, struct err *err)
{
    uint32_t failure = VSS_S_OK;
    int r = a->failure ? find_failure(a->failure, &failure, err) : 0;

    if (r == 0 && a->stamp)
        r = kvss_component_set_backup_stamp(c, a->stamp, err);
    if (r == 0 && a->backup_metadata)
        r = kvss_component_set_backup_metadata(c, a->backup_metadata, err);
    if (r == 0 && failure != VSS_S_OK)
        r = kvss_component_set_failure(c, failure, a->failure_text, err);
    if (r == 0 && a->restore_metadata)
        r = kvss_component_set_restore_metadata(c, a->restore_metadata, err);
    if (r == 0 && a->target)
        r = set_target(c, a->target, err);
    if (r == 0 && a->pre_failure)
        r = kvss_component_set_pre_restore_failure(c, a->pre_failure, err);
    if (r == 0 && a->post_failure)
        r = kvss_component_set_post_restore_failure(c, a->post_failure, err);
    return r;
}

static int event_take_component(struct kvss_event *ev, json_t *j, struct err *err)
{
    const char *name = NULL, *logical_path = "";
    struct component_answer a = { 0 };
    json_error_t e;

    if (json_unpack_ex(j, &e, 0, "{s:s, s?s, s?s, s?s, s?s, s?s, s?s, s?s, s?s, s?s!}", "name", &name, "logical_path", &logical_path,
                       "backup_stamp", &a.stamp, "backup_metadata", &a.backup_metadata, "failure", &a.failure, "failure_text",
                       &a.failure_text, "restore_metadata", &a.restore_metadata, "restore_target", &a.target, "pre_restore_failure",
                       &a.pre_failure, "post_restore_failure", &a.post_failure) < 0)
        return err_set(err, EBADMSG, "its answer about a component is invalid: %s", e.text);
    struct kvss_component *c = event_find_component(ev, logical_path, name);
    if (!c)
        return err_set(err, ENOENT, "it answered about component '%.64s', which is not in this session", name);
    return apply_answer(c, &a, err);
}

static int take_answer(struct kvss_event *ev, json_t *answer, uint32_t *ret_failure, struct err *err)
{
    const char *failure = NULL;
    json_t *components = NULL;
    json_error_t e;
    int r = 0;

    if (!answer)
        return 0;
    if (json_unpack_ex(answer, &e, 0, "{s?s, s?o!}", "failure", &failure, "components", &components) < 0)
        return err_set(err, EBADMSG, "its answer is invalid: %s", e.text);
    if (components && !json_is_array(components))
        return err_set(err, EBADMSG, "its answer is invalid: components is not an array");
    if (failure)
        r = find_failure(failure, ret_failure, err);
    for (size_t i = 0; r == 0 && i < json_array_size(components); i++)
        r = event_take_component(ev, json_array_get(components, i), err);
    return r;
}

/* ---- The event ------------------------------------------------------------------------------------------------------------*/

/* While others are held the program is killed a little before the service loses patience: so its end is known, and Abort finds
 * nobody at work. */
static unsigned time_for(const struct command_writer *w, const struct kvss_event *ev)
{
    int64_t left = kvss_event_time_left_ms(ev);

    if (left < 0)
        return w->timeout_ms;
    uint64_t margin = num_min((uint64_t)left / 10, 500);
    return (unsigned)num_max(num_min((uint64_t)left - margin, COMMAND_TIMEOUT_MAX_MS), 1);
}

static bool event_fail(struct kvss_event *ev, uint32_t hresult, const char *text)
{
    kvss_set_writer_failure(ev, hresult, "%s", text);
    return false;
}

bool command_event(struct command_writer *w, struct kvss_event *ev, const char *event)
{
    _cleanup_json_ json_t *input = describe_event(ev, event);
    _cleanup_result_ struct command_result result = { 0 };
    struct command_call call = { w->path, event, w->file, input, time_for(w, ev) };
    uint32_t failure = VSS_E_WRITERERROR_NONRETRYABLE;
    struct err err = ERR_INIT;

    if (!input)
        return event_fail(ev, VSS_E_WRITERERROR_OUTOFRESOURCES, "out of memory");
    int r = command_run(&call, &result, &err);
    if (strcmp(event, "freeze") == 0)
        atomic_store(&w->held, r == 0 && result.verdict == COMMAND_OK);
    if (r == 0 && result.verdict == COMMAND_NOT_HANDLED)
        return true;
    if (r == 0 && (r = take_answer(ev, result.answer, &failure, &err)) < 0)
        err_context(&err, "writer program %s, event %s", w->path, event);
    if (r < 0)
        return event_fail(ev, r == -ETIMEDOUT ? VSS_E_WRITERERROR_TIMEOUT : VSS_E_WRITERERROR_NONRETRYABLE, err.text);
    if (result.verdict == COMMAND_FAILED)
        return event_fail(ev, failure, *result.text ? result.text : "the program failed without giving a reason");
    return true;
}
