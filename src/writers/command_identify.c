/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The answer to identify. The bounds and checks of what it says are the service's (kvss_md_*). */
#include "writers/command_internal.h"
#include <errno.h>
#include <string.h>

/* Index of the word in a NULL-terminated list. */
static int identify_find_word(const char *const *list, const char *word, const char *what, struct err *err)
{
    for (int i = 0; list[i]; i++)
        if (strcmp(list[i], word) == 0)
            return i;
    return err_set(err, EBADMSG, "'%.64s' is not a %s", word, what);
}

static const char *const usages[] = { "bootable-system-state", "system-service", "user-data", "other", NULL };
static const char *const sources[] = { "transacted-db", "nontransacted-db", "other", NULL };
static const char *const restore_methods[] = {
    "restore-if-not-there",
    "restore-if-can-replace",
    "stop-restore-start",
    "restore-to-alternate-location",
    "restore-at-reboot",
    "restore-at-reboot-if-cannot-replace",
    "custom",
    "restore-stop-start",
    NULL,
};
static const char *const writer_restores[] = { "never", "if-replace-fails", "always", NULL };
static const char *const component_types[] = { "database", "file-group", NULL };
static const char *const file_kinds[] = { "files", "database", "database-log", NULL };

static int unpack_failed(const json_error_t *e, const char *what, struct err *err)
{
    return err_set(err, EBADMSG, "%s: %s", what, e->text);
}

int command_identify(const struct command_writer *w, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *input = json_pack("{s:i, s:s}", "api", COMMAND_API, "event", "identify");
    _cleanup_result_ struct command_result result = { 0 };
    struct command_call call = { w->path, "identify", w->file, input, COMMAND_IDENTIFY_MS };

    if (!input)
        return err_nomem(err);
    int r = command_run(&call, &result, err);
    if (r < 0)
        return r;
    if (result.verdict != COMMAND_OK)
        return err_set(err, EIO, "identify failed: %s", *result.text ? result.text : "no reason given");
    if (!result.answer)
        return err_set(err, EBADMSG, "identify printed nothing");
    *ret = TAKE_PTR(result.answer);
    return 0;
}

/* ---- Identity -------------------------------------------------------------------------------------------------------------*/

static int parse_times(json_int_t freeze_ms, json_int_t timeout_ms, struct command_writer *ret, struct err *err)
{
    if (freeze_ms < 0 || freeze_ms > COMMAND_TIMEOUT_MAX_MS)
        return err_set(err, EBADMSG, "freeze_limit_ms is not between 0 and %u", COMMAND_TIMEOUT_MAX_MS);
    if (timeout_ms < 1 || timeout_ms > COMMAND_TIMEOUT_MAX_MS)
        return err_set(err, EBADMSG, "timeout_ms is not between 1 and %u", COMMAND_TIMEOUT_MAX_MS);
    ret->freeze_limit_ms = (unsigned)freeze_ms;
    ret->timeout_ms = (unsigned)timeout_ms;
    return 0;
}

int command_parse_identity(json_t *answer, struct command_writer *ret, struct err *err)
{
    const char *name = NULL, *id = NULL, *usage = "user-data", *source = "other";
    json_int_t api = 0, freeze_ms = 0, timeout_ms = COMMAND_TIMEOUT_MS;
    struct command_writer w = { 0 };
    json_error_t e;

    if (json_unpack_ex(answer, &e, 0, "{s:I, s:s, s:s, s?s, s?s, s?I, s?I}", "api", &api, "name", &name, "id", &id, "usage", &usage,
                       "source", &source, "freeze_limit_ms", &freeze_ms, "timeout_ms", &timeout_ms) < 0)
        return unpack_failed(&e, "identity", err);
    if (api != COMMAND_API)
        return err_set(err, EBADMSG, "it uses interface %lld; only %d is supported", (long long)api, COMMAND_API);
    int u = identify_find_word(usages, usage, "usage", err);
    int s = u < 0 ? u : identify_find_word(sources, source, "source", err);
    int r = s < 0 ? s : parse_times(freeze_ms, timeout_ms, &w, err);
    if (r < 0)
        return r;
    w.usage = (enum vss_usage)(VSS_UT_BOOTABLESYSTEMSTATE + u);
    w.source = (enum vss_source)(VSS_ST_TRANSACTEDDB + s);
    w.name = strdup(name);
    w.id = strdup(id);
    if (!w.name || !w.id) {
        free(w.name);
        free(w.id);
        return err_nomem(err);
    }
    w.path = ret->path;
    w.file = ret->file;
    *ret = w;
    return 0;
}

/* ---- Metadata -------------------------------------------------------------------------------------------------------------*/

/* fn for each element of the array j (NULL: none). */
static int each(json_t *j, const char *what, int (*fn)(json_t *element, struct kvss_metadata *md, struct err *err),
                struct kvss_metadata *md, struct err *err)
{
    if (!j)
        return 0;
    if (!json_is_array(j))
        return err_set(err, EBADMSG, "%s is not an array", what);
    for (size_t i = 0; i < json_array_size(j); i++) {
        int r = fn(json_array_get(j, i), md, err);
        if (r < 0) {
            err_context(err, "%s, number %zu", what, i + 1);
            return r;
        }
    }
    return 0;
}

static int parse_exclude(json_t *j, struct kvss_metadata *md, struct err *err)
{
    const char *path = NULL, *filespec = NULL;
    int recursive = 0;
    json_error_t e;

    if (json_unpack_ex(j, &e, 0, "{s:s, s:s, s?b!}", "path", &path, "filespec", &filespec, "recursive", &recursive) < 0)
        return unpack_failed(&e, "exclude", err);
    return kvss_md_add_exclude(md, path, filespec, recursive, err);
}

static int parse_location(json_t *j, struct kvss_metadata *md, struct err *err)
{
    const char *path = NULL, *filespec = NULL, *destination = NULL;
    int recursive = 0;
    json_error_t e;

    if (json_unpack_ex(j, &e, 0, "{s:s, s:s, s:s, s?b!}", "path", &path, "filespec", &filespec, "destination", &destination, "recursive",
                       &recursive) < 0)
        return unpack_failed(&e, "alternate location", err);
    return kvss_md_add_alternate_location(md, path, filespec, recursive, destination, err);
}

static int parse_files(json_t *j, const struct kvss_md_component *c, struct kvss_metadata *md, struct err *err)
{
    const char *kind = c->type == VSS_CT_DATABASE ? "database" : "files";
    struct kvss_md_files f = { 0 };
    int recursive = 0;
    json_error_t e;

    if (json_unpack_ex(j, &e, 0, "{s:s, s:s, s?s, s?s, s?b!}", "path", &f.path, "filespec", &f.filespec, "kind", &kind, "alternate_path",
                       &f.alternate_path, "recursive", &recursive) < 0)
        return unpack_failed(&e, "files", err);
    int k = identify_find_word(file_kinds, kind, "kind of files", err);
    if (k < 0)
        return k;
    f.kind = (enum kvss_file_kind)(KVSS_FILES_GROUP + k);
    f.recursive = recursive;
    return kvss_md_add_files(md, c->logical_path, c->name, &f, err);
}

static int parse_dependency(json_t *j, const struct kvss_md_component *c, struct kvss_metadata *md, struct err *err)
{
    const char *writer = NULL, *path = "", *name = NULL;
    json_error_t e;

    if (json_unpack_ex(j, &e, 0, "{s:s, s?s, s:s!}", "writer", &writer, "logical_path", &path, "component", &name) < 0)
        return unpack_failed(&e, "dependency", err);
    return kvss_md_add_dependency(md, c->logical_path, c->name, writer, path, name, err);
}

static int parse_lists(json_t *files, json_t *dependencies, const struct kvss_md_component *c, struct kvss_metadata *md, struct err *err)
{
    int r = 0;

    if ((files && !json_is_array(files)) || (dependencies && !json_is_array(dependencies)))
        return err_set(err, EBADMSG, "component '%s': files or depends_on is not an array", c->name);
    for (size_t i = 0; r == 0 && i < json_array_size(files); i++)
        r = parse_files(json_array_get(files, i), c, md, err);
    for (size_t i = 0; r == 0 && i < json_array_size(dependencies); i++)
        r = parse_dependency(json_array_get(dependencies, i), c, md, err);
    if (r < 0)
        err_context(err, "component '%s'", c->name);
    return r;
}

static int parse_component(json_t *j, struct kvss_metadata *md, struct err *err)
{
    struct kvss_md_component c = { 0 };
    const char *type = "file-group";
    int selectable = 1, for_restore = 1, metadata = 0, notify = 0, recovery = 0;
    json_t *files = NULL, *dependencies = NULL;
    json_error_t e;

    if (json_unpack_ex(j, &e, 0, "{s:s, s?s, s?s, s?s, s?b, s?b, s?b, s?b, s?b, s?o, s?o!}", "name", &c.name, "logical_path",
                       &c.logical_path, "caption", &c.caption, "type", &type, "selectable", &selectable, "selectable_for_restore",
                       &for_restore, "restore_metadata", &metadata, "notify_on_backup_complete", &notify, "backup_recovery", &recovery,
                       "files", &files, "depends_on", &dependencies) < 0)
        return unpack_failed(&e, "component", err);
    int t = identify_find_word(component_types, type, "component type", err);
    if (t < 0)
        return t;
    c.type = (enum vss_component_type)(VSS_CT_DATABASE + t);
    c.selectable = selectable;
    c.selectable_for_restore = for_restore;
    c.restore_metadata = metadata;
    c.notify_on_backup_complete = notify;
    c.flags = recovery ? VSS_CF_BACKUP_RECOVERY : 0;
    int r = kvss_md_add_component(md, &c, err);
    return r < 0 ? r : parse_lists(files, dependencies, &c, md, err);
}

static int parse_schema(json_t *types, struct kvss_metadata *md, struct err *err)
{
    static const char *const words[] = { "full", "incremental", "differential", "log", "copy", NULL };
    static const uint32_t bits[] = { 0, VSS_BS_INCREMENTAL, VSS_BS_DIFFERENTIAL, VSS_BS_LOG, VSS_BS_COPY };
    uint32_t schema = 0;

    if (types && !json_is_array(types))
        return err_set(err, EBADMSG, "backup_types is not an array");
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *word = json_string_value(json_array_get(types, i));
        int k = identify_find_word(words, word ? word : "", "backup type", err);
        if (k < 0)
            return k;
        schema |= bits[k];
    }
    return kvss_md_set_backup_schema(md, schema, err);
}

static int parse_restore_method(json_t *answer, struct kvss_metadata *md, struct err *err)
{
    const char *method = "restore-if-can-replace", *service = NULL, *when = "always";
    int reboot = 0;
    json_error_t e;

    if (json_unpack_ex(answer, &e, 0, "{s?s, s?s, s?s, s?b}", "restore_method", &method, "service", &service, "writer_restore", &when,
                       "reboot", &reboot) < 0)
        return unpack_failed(&e, "restore method", err);
    int m = identify_find_word(restore_methods, method, "restore method", err);
    int w = m < 0 ? m : identify_find_word(writer_restores, when, "time for writer_restore", err);
    if (w < 0)
        return w;
    return kvss_md_set_restore_method(md, (enum vss_restore_method)(VSS_RME_RESTORE_IF_NOT_THERE + m), service,
                                      (enum vss_writer_restore)(VSS_WRE_NEVER + w), reboot, err);
}

/* A misspelt key must not pass for one that was left out. */
static int check_keys(json_t *answer, struct err *err)
{
    static const char *const known[] = {
        "api",     "name",           "id",     "usage",        "source",   "freeze_limit_ms",     "timeout_ms", "restore_method",
        "service", "writer_restore", "reboot", "backup_types", "excludes", "alternate_locations", "components", NULL,
    };
    const char *key;
    json_t *value;

    json_object_foreach (answer, key, value) {
        int r = identify_find_word(known, key, "key known in identify", err);
        if (r < 0)
            return r;
    }
    return 0;
}

int command_parse_metadata(json_t *answer, struct kvss_metadata *md, struct err *err)
{
    int r = check_keys(answer, err);

    if (r == 0)
        r = parse_restore_method(answer, md, err);
    if (r == 0)
        r = parse_schema(json_object_get(answer, "backup_types"), md, err);
    if (r == 0)
        r = each(json_object_get(answer, "excludes"), "excludes", parse_exclude, md, err);
    if (r == 0)
        r = each(json_object_get(answer, "alternate_locations"), "alternate_locations", parse_location, md, err);
    if (r == 0)
        r = each(json_object_get(answer, "components"), "components", parse_component, md, err);
    return r;
}
