/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "writers/command_writer.h"
#include "base/io.h"
#include "base/strv.h"
#include "writers/command_internal.h"
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

struct command_writers {
    const struct log *log;
    struct command_writer *list;
    size_t n;
};

/* ---- The writer interface -------------------------------------------------------------------------------------------------*/

static int identify(void *priv, struct kvss_metadata *md, struct err *err)
{
    const struct command_writer *w = priv;
    struct command_writer now = { 0 };
    _cleanup_json_ json_t *answer = NULL;
    int r = command_identify(w->path, &answer, err);

    if (r < 0)
        return r;
    r = command_parse_identity(answer, &now, err);
    if (r == 0 && (strcmp(now.id, w->id) != 0 || strcmp(now.name, w->name) != 0))
        r = err_set(err, EINVAL, "it was '%s' (%s) when it was loaded and now calls itself '%s' (%s)", w->name, w->id, now.name,
                    now.id);
    free(now.name);
    free(now.id);
    if (r == 0)
        r = command_parse_metadata(answer, md, err);
    if (r < 0)
        err_context(err, "writer program %s, event identify", w->path);
    return r;
}

#define HANDLER(name, event)                                   \
    static bool name(void *writer, struct kvss_event *ev)      \
    {                                                          \
        return command_event(writer, ev, event);               \
    }
HANDLER(prepare_backup, "prepare-backup")
HANDLER(prepare_snapshot, "prepare-snapshot")
HANDLER(freeze, "freeze")
HANDLER(thaw, "thaw")
HANDLER(post_snapshot, "post-snapshot")
HANDLER(backup_complete, "backup-complete")
HANDLER(backup_shutdown, "backup-shutdown")
HANDLER(abort_backup, "abort")
HANDLER(pre_restore, "pre-restore")
HANDLER(post_restore, "post-restore")

static struct kvss_writer writer_of(const struct command_writer *w)
{
    return (struct kvss_writer){
        .struct_size = sizeof(struct kvss_writer),
        .api = KVSS_WRITER_API,
        .name = w->name,
        .id = w->id,
        .usage = w->usage,
        .source = w->source,
        .freeze_limit_ms = w->freeze_limit_ms,
        .identify = identify,
        .prepare_backup = prepare_backup,
        .prepare_snapshot = prepare_snapshot,
        .freeze = freeze,
        .thaw = thaw,
        .post_snapshot = post_snapshot,
        .backup_complete = backup_complete,
        .backup_shutdown = backup_shutdown,
        .abort = abort_backup,
        .pre_restore = pre_restore,
        .post_restore = post_restore,
    };
}

/* ---- Loading --------------------------------------------------------------------------------------------------------------*/

/* What runs as us must not be for others to change. */
static int check_owner(const char *path, const struct stat *st, struct err *err)
{
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return err_set(err, EPERM, "%s belongs to user %u: it must be root's or ours", path, (unsigned)st->st_uid);
    if (st->st_mode & (S_IWGRP | S_IWOTH))
        return err_set(err, EPERM, "%s is writable by others than its owner: take that away (chmod go-w)", path);
    return 0;
}

static int check_program(const char *path, struct err *err)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return err_errno(err, errno, "cannot look at %s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, EINVAL, "%s is no file", path);
    if (access(path, X_OK) < 0)
        return err_set(err, EACCES, "%s is not executable", path);
    return check_owner(path, &st, err);
}

int command_writer_abort(const char *path, const char *session, struct err *err)
{
    _cleanup_result_ struct command_result result = { 0 };
    int r = check_program(path, err);

    if (r < 0)
        return r;
    _cleanup_json_ json_t *input =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:i, s:b, s:b, s:b, s:i, s:b, s:[]}", "api", COMMAND_API, "event", "abort", "session", session,
                  "set", "", "backup_type", "full", "context", 0, "auto_recovery", 0, "bootable_state", 0, "components_selected", 1,
                  "time_left_ms", -1, "succeeded", 0, "components");
    const struct command_call call = { path, "abort", input, COMMAND_TIMEOUT_MS };
    if (!input)
        return err_set(err, ENOMEM, "out of memory");
    r = command_run(&call, &result, err);
    if (r >= 0 && result.verdict == COMMAND_FAILED)
        r = err_set(err, EIO, "writer program %s, event abort: %s", path, *result.text ? result.text : "it failed and gave no reason");
    return r < 0 ? r : 0;
}

static int keep(struct command_writers *w, struct command_writer *cw, struct err *err)
{
    struct command_writer *list = reallocarray(w->list, w->n + 1, sizeof *list);

    if (!list)
        return err_errno(err, ENOMEM, "cannot keep a writer");
    w->list = list;
    w->list[w->n++] = *cw;
    return 0;
}

/* A program that is not usable is no failure: it is a writer that is not there, and the log says why. */
static int load_program(struct command_writers *w, const char *path, struct err *err)
{
    _cleanup_json_ json_t *answer = NULL;
    struct err why = ERR_INIT;
    struct command_writer cw = { 0 };
    int r = check_program(path, &why);

    if (r == 0)
        r = command_identify(path, &answer, &why);
    if (r == 0)
        r = command_parse_identity(answer, &cw, &why);
    if (r < 0) {
        log_warning(w->log, "writer program %s is left out: %s", path, why.text);
        return r == -ENOMEM ? err_move(err, &why) : 0;
    }
    cw.path = strdup(path);
    r = cw.path ? keep(w, &cw, err) : err_errno(err, ENOMEM, "cannot keep a writer");
    if (r < 0) {
        free(cw.path);
        free(cw.name);
        free(cw.id);
    }
    return r;
}

static int list_names(const char *dir, char ***ret, struct err *err)
{
    _cleanup_closedir_ DIR *d = opendir(dir);
    _cleanup_strv_ char **names = NULL;
    struct stat st;

    if (!d)
        return errno == ENOENT ? 0 : err_errno(err, errno, "cannot look for writers in %s", dir);
    if (fstat(dirfd(d), &st) < 0)
        return err_errno(err, errno, "cannot look for writers in %s", dir);
    int r = check_owner(dir, &st, err);
    if (r < 0)
        return r;
    for (struct dirent *e; (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        if (e->d_name[0] == '.' || e->d_name[n - 1] == '~')
            continue; /* hidden, or what an editor left */
        if (strv_add(&names, e->d_name) < 0)
            return err_errno(err, ENOMEM, "cannot look for writers in %s", dir);
    }
    strv_sort(names);
    *ret = TAKE_PTR(names);
    return 0;
}

DEFINE_CLEANUP(struct command_writers *, command_writers_free)

int command_writers_load(const char *dir, const struct log *log, struct command_writers **ret, struct err *err)
{
    _cleanup_(command_writers_free_p) struct command_writers *w = calloc(1, sizeof *w);
    _cleanup_strv_ char **names = NULL;
    int r = w ? list_names(dir, &names, err) : err_errno(err, ENOMEM, "cannot load writers");

    for (size_t i = 0; r == 0 && i < strv_len(names); i++) {
        _cleanup_free_ char *path = io_path(dir, names[i]);
        w->log = log;
        r = path ? load_program(w, path, err) : err_errno(err, ENOMEM, "cannot load writers");
    }
    if (r < 0)
        return r;
    w->log = log;
    *ret = TAKE_PTR(w);
    return 0;
}

void command_writers_free(struct command_writers *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n; i++) {
        free(w->list[i].path);
        free(w->list[i].name);
        free(w->list[i].id);
    }
    free(w->list);
    free(w);
}

size_t command_writers_count(const struct command_writers *w)
{
    return w->n;
}

struct command_writer_info command_writer_get(const struct command_writers *w, size_t i)
{
    return (struct command_writer_info){ w->list[i].path, w->list[i].name, w->list[i].id };
}

bool command_writer_held(const struct command_writers *w, const char *id)
{
    for (size_t i = 0; i < w->n; i++)
        if (!strcasecmp(w->list[i].id, id))
            return atomic_load(&w->list[i].held);
    return false;
}

int command_writers_programs(const char *dir, char ***ret, struct err *err)
{
    return list_names(dir, ret, err);
}

int command_writers_register(struct command_writers *w, struct vss_service *service, struct err *err)
{
    for (size_t i = 0; i < w->n; i++) {
        struct kvss_writer writer = writer_of(&w->list[i]);
        struct err why = ERR_INIT;
        int r = vss_register_writer(service, &writer, &w->list[i], &why);
        if (r == -ENOMEM)
            return err_move(err, &why);
        if (r < 0)
            log_warning(w->log, "writer program %s is left out: %s", w->list[i].path, why.text);
    }
    return 0;
}
