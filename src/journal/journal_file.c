/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "journal/journal_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define FILE_MAX ((size_t)64 << 20)

struct journal_file {
    char *path; /* folder of the session */
    int lock_fd, fd;
};

void journal_file_close(struct journal_file *f, bool remove)
{
    if (!f)
        return;
    /* Removed under the lock, so that no one takes the session over half-way. */
    if (remove)
        (void)io_remove_tree(f->path, NULL);
    if (f->fd >= 0)
        close(f->fd);
    if (f->lock_fd >= 0)
        close(f->lock_fd);
    free(f->path);
    free(f);
}

const char *journal_file_path(const struct journal_file *f)
{
    return f->path;
}

static void file_close(struct journal_file *f)
{
    journal_file_close(f, false);
}
DEFINE_CLEANUP(struct journal_file *, file_close)

static int file_new(const char *dir, const char *session_id, struct journal_file **ret, struct err *err)
{
    struct journal_file *f = calloc(1, sizeof(*f));

    if (!f || !(f->path = io_path(dir, session_id))) {
        free(f);
        return err_nomem(err);
    }
    f->lock_fd = f->fd = -1;
    *ret = f;
    return 0;
}

static int take_lock(struct journal_file *f, int flags, struct err *err)
{
    _cleanup_free_ char *path = io_path(f->path, "lock");

    if (!path)
        return err_nomem(err);
    f->lock_fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
    if (f->lock_fd < 0)
        return err_errno(err, errno, "cannot open %s", path);
    if (flock(f->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, errno == EWOULDBLOCK ? EBUSY : errno, "the owner of session %s is still running", f->path);
    return 0;
}

static int file_open_effects(struct journal_file *f, int flags, struct err *err)
{
    _cleanup_free_ char *path = io_path(f->path, "effects");

    if (!path)
        return err_nomem(err);
    f->fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
    return f->fd < 0 ? err_errno(err, errno, "cannot open %s", path) : 0;
}

int journal_file_create(const char *dir, const char *session_id, struct journal_file **ret, struct err *err)
{
    _cleanup_(file_close_p) struct journal_file *f = NULL;

    int r = io_mkdir_p(dir, 0700, err);
    if (r < 0 || (r = file_new(dir, session_id, &f, err)) < 0)
        return r;
    if (mkdir(f->path, 0700) < 0)
        return err_errno(err, errno, "cannot create the session folder %s", f->path);
    if ((r = take_lock(f, O_CREAT | O_EXCL, err)) < 0 || (r = file_open_effects(f, O_CREAT | O_EXCL, err)) < 0 ||
        (r = io_fsync_dir(f->path, err)) < 0 || (r = io_fsync_dir(dir, err)) < 0) {
        (void)io_remove_tree(f->path, NULL);
        return r;
    }
    *ret = TAKE_PTR(f);
    return 0;
}

int journal_file_peek(const char *dir, const char *session_id, struct journal_file **ret, struct err *err)
{
    return file_new(dir, session_id, ret, err);
}

int journal_file_take(const char *dir, const char *session_id, struct journal_file **ret, struct err *err)
{
    _cleanup_(file_close_p) struct journal_file *f = NULL;

    int r = file_new(dir, session_id, &f, err);
    if (r < 0 || (r = take_lock(f, 0, err)) < 0 || (r = file_open_effects(f, O_CREAT, err)) < 0)
        return r;
    *ret = TAKE_PTR(f);
    return 0;
}

void journal_file_mark(const struct journal_file *f, const char *name)
{
    _cleanup_free_ char *path = io_path(f->path, name);

    if (path)
        (void)io_replace_file(path, "", 0, 0600, NULL);
}

/* ---- Writing: under the journal's lock ---------------------------------------------------------------------------------------*/

static int write_line(struct journal_file *f, json_t *line, bool durable, struct err *err)
{
    _cleanup_free_ char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    _cleanup_free_ char *whole = text ? str_format("%s\n", text) : NULL;

    if (!whole)
        return err_nomem(err);
    off_t before = lseek(f->fd, 0, SEEK_END);
    int r = before < 0 ? -errno : io_write(f->fd, whole, strlen(whole));
    if (r >= 0 && durable && fdatasync(f->fd) < 0)
        r = -errno;
    /* No half a line may stay (the disk was full): those that follow it could not be read. */
    if (r < 0 && before >= 0)
        (void)!ftruncate(f->fd, before);
    return r < 0 ? err_errno(err, -r, "cannot write %s/effects", f->path) : 0;
}

int journal_file_begin(struct journal_file *f, const struct journal_effect *e, struct err *err)
{
    json_auto_t *values = json_object();
    char now[32];

    for (const struct journal_arg *a = e->args; a->name; a++)
        json_object_set_new(values, a->name, json_string(a->value));
    json_auto_t *line = json_pack("{s:I, s:s, s:s, s:O}", "effect", (json_int_t)e->id, "verb", e->verb->name, "time",
                                  clock_format(clock_wall_us(), now), "values", values);
    return write_line(f, line, true, err);
}

int journal_file_state(struct journal_file *f, uint64_t id, enum effect_state state, bool durable, struct err *err)
{
    json_auto_t *line = json_pack("{s:I, s:s}", "effect", (json_int_t)id, "state", state == EFFECT_DONE ? "done" : "settled");
    return write_line(f, line, durable, err);
}

int journal_file_commit(struct journal_file *f, const char *group, struct err *err)
{
    json_auto_t *line = json_pack("{s:s}", "committed", group);
    return write_line(f, line, true, err);
}

int journal_file_note(struct journal_file *f, uint64_t id, const char *name, const char *value, struct err *err)
{
    json_auto_t *line = json_pack("{s:I, s:{s:s}}", "effect", (json_int_t)id, "values", name, value);
    return write_line(f, line, true, err);
}

/* ---- Reading: another process's file, perhaps of another version, perhaps cut off -------------------------------------------*/

static int load_begin(struct journal *j, const json_t *line, struct err *err)
{
    json_t *values = json_object_get(line, "values"), *value;
    const char *verb = json_string_value(json_object_get(line, "verb")), *name;
    size_t n = 0;
    json_int_t number = json_integer_value(json_object_get(line, "effect"));

    if (!verb || number != (json_int_t)j->n + 1)
        return err_set(err, EUCLEAN, verb ? "entries are missing before number %lld" : "the verb of entry %lld is not a text",
                       (long long)number);
    _cleanup_free_ struct journal_arg *args = calloc(json_object_size(values) + 1, sizeof(*args));
    if (!args)
        return err_nomem(err);
    json_object_foreach (values, name, value) {
        if (!json_is_string(value))
            return err_set(err, EUCLEAN, "the value %s is not a text", name);
        args[n++] = (struct journal_arg){ name, json_string_value(value) };
    }
    return journal_enter_loaded(j, verb, args, err);
}

static int load_note(struct journal *j, uint64_t id, json_t *values, struct err *err)
{
    const char *name;
    json_t *value;
    int r = 0;

    json_object_foreach (values, name, value)
        if (r >= 0)
            r = json_is_string(value) ? journal_note(j, id, name, json_string_value(value), err)
                                      : err_set(err, EUCLEAN, "the value %s is not a text", name);
    return r;
}

static int load_line(struct journal *j, const char *text, size_t n, struct err *err)
{
    json_auto_t *line = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    const char *state = json_string_value(json_object_get(line, "state"));
    json_int_t id = json_integer_value(json_object_get(line, "effect"));

    if (!json_is_object(line))
        return err_set(err, EUCLEAN, "a line does not match its checksum");
    if (json_object_get(line, "verb"))
        return load_begin(j, line, err);
    if (json_is_string(json_object_get(line, "committed")))
        return journal_commit(j, json_string_value(json_object_get(line, "committed")), err);
    if (id > 0 && json_is_object(json_object_get(line, "values")))
        return load_note(j, (uint64_t)id, json_object_get(line, "values"), err);
    if (json_object_get(line, "settled"))
        journal_settle_all(j);
    else if (state && id > 0 && !strcmp(state, "done"))
        journal_state_loaded(j, (uint64_t)id, EFFECT_DONE);
    else if (state && id > 0 && !strcmp(state, "settled"))
        journal_state_loaded(j, (uint64_t)id, EFFECT_SETTLED);
    else
        return err_set(err, EUCLEAN, "a line is invalid");
    return 0;
}

int journal_load_text(struct journal *j, const char *text, size_t n, struct err *err)
{
    int r = 0;

    for (size_t at = 0; r >= 0 && at < n;) {
        const char *line = text + at, *end = memchr(line, '\n', n - at);
        if (!end)
            break; /* cut off while it was written: the effect had not happened yet */
        r = load_line(j, line, (size_t)(end - line), err);
        at += (size_t)(end - line) + 1;
    }
    return r;
}

/* What is written from here on must not follow half a line. */
static int cut_after_last_line(const struct journal_file *f, const struct buf *b, struct err *err)
{
    const char *last = b->len ? memrchr(b->data, '\n', b->len) : NULL;
    off_t keep = last ? last + 1 - (const char *)b->data : 0;

    if ((size_t)keep < b->len && ftruncate(f->fd, keep) < 0)
        return err_errno(err, errno, "cannot truncate %s/effects", f->path);
    return 0;
}

int journal_file_load(struct journal_file *f, struct journal *j, struct err *err)
{
    _cleanup_free_ char *path = io_path(f->path, "effects");
    _cleanup_buf_ struct buf b = BUF_INIT;

    if (!path)
        return err_nomem(err);
    int r = io_read_file(path, FILE_MAX, &b, err);
    if (r >= 0)
        r = journal_load_text(j, (const char *)b.data, b.len, err);
    if (r >= 0 && f->fd >= 0)
        r = cut_after_last_line(f, &b, err);
    return r < 0 ? err_context(err, "%s", path) : 0;
}
