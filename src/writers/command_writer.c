/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "writers/command_writer.h"
#include "base/io.h"
#include "base/runnable.h"
#include "base/strv.h"
#include "writers/command_internal.h"
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

struct command_writers {
    const struct log *log;
    struct command_writer *list;
    size_t n;
};

/* ---- The writer interface -------------------------------------------------------------------------------------------------*/

static int writer_identify(void *priv, struct kvss_metadata *md, struct err *err)
{
    const struct command_writer *w = priv;
    struct command_writer now = { 0 };
    _cleanup_json_ json_t *answer = NULL;
    int r = command_identify(w, &answer, err);

    if (r < 0)
        return r;
    r = command_parse_identity(answer, &now, err);
    if (r == 0 && (strcmp(now.id, w->id) != 0 || strcmp(now.name, w->name) != 0))
        r = err_set(err, EINVAL, "it was '%s' (%s) when it was loaded and now identifies itself as '%s' (%s)", w->name, w->id, now.name,
                    now.id);
    free(now.name);
    free(now.id);
    if (r == 0)
        r = command_parse_metadata(answer, md, err);
    if (r < 0)
        err_context(err, "writer program %s", w->path);
    return r;
}

#define HANDLER(name, event)                              \
    static bool name(void *writer, struct kvss_event *ev) \
    {                                                     \
        return command_event(writer, ev, event);          \
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
        .identify = writer_identify,
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
static int open_program(int dir, const char *dir_path, const char *name, struct command_writer *ret, struct err *err)
{
    const struct runnable_kind kind = { .also = geteuid(), .program = true };
    _cleanup_free_ char *path = io_path(dir_path, name);
    int fd = -1;

    if (!path)
        return err_nomem(err);
    int r = runnable_open_file(dir, dir_path, name, kind, &fd, err);
    if (r < 0)
        return r;
    *ret = (struct command_writer){ .path = TAKE_PTR(path), .file = fd };
    return 0;
}

static void writer_clear(struct command_writer *w)
{
    cleanup_close_p(&w->file);
    free(w->path);
    free(w->name);
    free(w->id);
}

/* An event of a session that this process does not have; borrows `input`, which may be NULL: out of memory. */
static int writer_tell(const char *path, const char *event, json_t *input, struct err *err)
{
    const struct runnable_kind kind = { .also = geteuid(), .program = true };
    _cleanup_result_ struct command_result result = { 0 };
    _cleanup_close_ int fd = -1;

    if (!input)
        return err_nomem(err);
    int r = runnable_open(path, kind, &fd, err);
    if (r < 0)
        return r;
    const struct command_call call = { path, event, fd, input, COMMAND_TIMEOUT_MS };
    r = command_run(&call, &result, err);
    if (r >= 0 && result.verdict == COMMAND_FAILED)
        r = err_set(err, EIO, "writer program %s, event %s: %s", path, event,
                    *result.text ? result.text : "it failed without giving a reason");
    return r < 0 ? r : 0;
}

int command_writer_abort(const char *path, const char *session, struct err *err)
{
    _cleanup_json_ json_t *input =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:i, s:b, s:b, s:b, s:i, s:b, s:[], s:[]}", "api", COMMAND_API, "event", "abort", "session",
                  session, "set", "", "backup_type", "full", "context", 0, "auto_recovery", 0, "bootable_state", 0, "components_selected",
                  1, "time_left_ms", -1, "succeeded", 0, "snapshots", "components");

    return writer_tell(path, "abort", input, err);
}

int command_writer_committed(const char *path, const char *session, struct err *err)
{
    _cleanup_json_ json_t *input = json_pack("{s:i, s:s, s:s}", "api", COMMAND_API, "event", "committed", "session", session);

    return writer_tell(path, "committed", input, err);
}

static int writer_keep(struct command_writers *w, struct command_writer *cw, struct err *err)
{
    struct command_writer *list = reallocarray(w->list, w->n + 1, sizeof *list);

    if (!list)
        return err_nomem(err);
    w->list = list;
    w->list[w->n++] = *cw;
    return 0;
}

/* A program that is not usable is no failure: it is a writer that is not there, and the log says why. */
static int load_program(struct command_writers *w, int dir, const char *dir_path, const char *name, struct err *err)
{
    _cleanup_(writer_clear) struct command_writer cw = { .file = -1 };
    _cleanup_json_ json_t *answer = NULL;
    struct err why = ERR_INIT;

    int r = open_program(dir, dir_path, name, &cw, &why);
    if (r >= 0)
        r = command_identify(&cw, &answer, &why);
    if (r >= 0)
        r = command_parse_identity(answer, &cw, &why);
    if (r < 0) {
        log_warning(w->log, "writer program %s/%s is skipped: %s", dir_path, name, why.text);
        return r == -ENOMEM ? err_move(err, &why) : 0;
    }
    r = writer_keep(w, &cw, err);
    if (r >= 0)
        cw = (struct command_writer){ .file = -1 };
    return r;
}

/* No folder: no programs. */
static int open_programs(const char *dir, int *ret_dir, char ***ret_names, struct err *err)
{
    _cleanup_close_ int fd = -1;

    int r = runnable_open_folder(dir, geteuid(), &fd, err);
    if (r == -ENOENT)
        return 0;
    if (r >= 0 && (r = runnable_names(fd, NULL, ret_names)) < 0)
        return err_errno(err, -r, "cannot search for writers in %s", dir);
    if (r >= 0)
        *ret_dir = TAKE_FD(fd);
    return r;
}

DEFINE_CLEANUP(struct command_writers *, command_writers_free)

int command_writers_load(const char *dir, const struct log *log, struct command_writers **ret, struct err *err)
{
    _cleanup_(command_writers_free_p) struct command_writers *w = calloc(1, sizeof *w);
    _cleanup_strv_ char **names = NULL;
    _cleanup_close_ int fd = -1;

    if (!w)
        return err_nomem(err);
    w->log = log;
    int r = open_programs(dir, &fd, &names, err);
    for (char **name = names; r >= 0 && name && *name; name++)
        r = load_program(w, fd, dir, *name, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(w);
    return 0;
}

void command_writers_free(struct command_writers *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n; i++)
        writer_clear(&w->list[i]);
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
    _cleanup_close_ int fd = -1;

    return open_programs(dir, &fd, ret, err);
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
            log_warning(w->log, "writer program %s is skipped: %s", w->list[i].path, why.text);
    }
    return 0;
}
