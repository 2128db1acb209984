/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the requester's own effects are reversed, and finished (docs/undo.md). Entries of versions that did not write down what was made
 * are taken back only as far as names prove it. */
#include "requester/stage/service.h"
#include "requester/stage/file_effects.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/io_at.h"
#include "hypervisor/hypervisor.h"
#include "writers/command_writer.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Its name has a random part. */
static int undo_staged(void *ctx, const struct journal_effect *effect, struct err *err)
{
    (void)ctx;
    return journal_remove_made(effect, "path", true, err);
}

/* ---- A file in the place of another -----------------------------------------------------------------------------------------------*/

struct replaced {
    struct journal_place place;
    char *kept; /* the last part of its path; NULL: nothing was there */
    enum journal_found at_path, at_kept;
    bool same; /* one file under both names */
};

static void replaced_clear(struct replaced *f)
{
    journal_place_close(&f->place);
    free(f->kept);
}

/* Of the entries of earlier versions nothing is known but the names: two of one file tell that nothing was renamed yet. */
static int is_one_file(struct replaced *f, struct err *err)
{
    struct io_id a, b;

    int r = io_id_at(f->place.dir, f->place.name, &a);
    if (r >= 0)
        r = io_id_at(f->place.dir, f->kept, &b);
    if (r < 0)
        return r == -ENOENT ? 0 : err_errno(err, -r, "cannot access %s", f->place.path);
    f->same = io_id_same(a.text, b.text);
    return 0;
}

/* As journal_place_open(). */
static int effects_look(const struct journal_effect *e, struct replaced *f, struct err *err)
{
    const char *kept = journal_value(e, "kept"), *old = journal_value(e, "old_id");

    int r = journal_place_open(e, "path", &f->place, err);
    if (r <= 0)
        return r;
    if (kept && !(f->kept = io_basename(kept)))
        return err_nomem(err);
    if ((r = journal_find(&f->place, f->place.name, journal_value(e, "new_id"), err)) < 0)
        return r;
    f->at_path = (enum journal_found)r;
    if (!f->kept)
        return 1;
    if ((r = journal_find(&f->place, f->kept, old, err)) < 0)
        return r;
    f->at_kept = (enum journal_found)r;
    if (old && f->at_path == JOURNAL_OTHERS) {
        if ((r = journal_find(&f->place, f->place.name, old, err)) < 0)
            return r;
        f->same = r == JOURNAL_SAME;
    } else if (!old && (r = is_one_file(f, err)) < 0) {
        return r;
    }
    return 1;
}

static int remove_entry(const struct replaced *f, const char *name, struct err *err)
{
    if (unlinkat(f->place.dir, name, 0) < 0 && errno != ENOENT)
        return err_errno(err, errno, "cannot remove %s next to %s", name, f->place.path);
    int r = io_fsync_at(f->place.dir);
    return r < 0 ? err_errno(err, -r, "cannot sync %s to disk", f->place.path) : 0;
}

/* Nothing was there before. */
static int undo_new_file(const struct replaced *f, struct err *err)
{
    if (f->at_path == JOURNAL_ABSENT)
        return 0;
    return f->at_path == JOURNAL_SAME ? remove_entry(f, f->place.name, err) : journal_left_alone(f->place.path, err);
}

static int put_back(const struct replaced *f, struct err *err)
{
    if (renameat(f->place.dir, f->kept, f->place.dir, f->place.name) < 0)
        return err_errno(err, errno, "cannot restore the old %s from %s", f->place.path, f->kept);
    int r = io_fsync_at(f->place.dir);
    return r < 0 ? err_errno(err, -r, "cannot sync %s to disk", f->place.path) : 0;
}

/* The old file has two names, or only the second one; where it was only begun, perhaps only the first. What rests on it (the VM's
 * definition, its start) waits while the old file is not in its place. */
static int undo_replaced(void *ctx, const struct journal_effect *effect, struct err *err)
{
    _cleanup_(replaced_clear) struct replaced f = { .place = { .dir = -1 } };

    (void)ctx;
    int r = effects_look(effect, &f, err);
    if (r <= 0 || !f.kept)
        return r <= 0 ? r : undo_new_file(&f, err);
    if (f.same) /* rename() of a file over itself would leave both names */
        return f.at_kept == JOURNAL_SAME || f.at_kept == JOURNAL_UNKNOWN ? remove_entry(&f, f.kept, err) : 0;
    if (f.at_kept == JOURNAL_ABSENT && !journal_value(effect, "old_id"))
        return 0; /* of an earlier version: put back before */
    if (f.at_kept == JOURNAL_ABSENT || f.at_kept == JOURNAL_OTHERS)
        return err_set(err, ENOENT, "the old %s exists neither there nor next to it as %s: restore it manually, then run: kvss recover",
                       f.place.path, f.kept);
    if (f.at_path == JOURNAL_OTHERS)
        return err_set(err, EEXIST,
                       "%s now belongs to something else and was left alone; the old one is next to it as %s: move one of them, then run: "
                       "kvss recover",
                       f.place.path, f.kept);
    return put_back(&f, err);
}

static int finish_replaced(void *ctx, const struct journal_effect *effect, struct err *err)
{
    _cleanup_(replaced_clear) struct replaced f = { .place = { .dir = -1 } };

    (void)ctx;
    if (!journal_value(effect, "kept"))
        return 0;
    int r = effects_look(effect, &f, err);
    if (r <= 0 || f.at_kept == JOURNAL_ABSENT)
        return r < 0 ? r : 0;
    return f.at_kept == JOURNAL_OTHERS ? journal_left_alone(journal_value(effect, "kept"), err) : remove_entry(&f, f.kept, err);
}

/* It was left alone so far. */
static int undo_old_image(void *ctx, const struct journal_effect *effect, struct err *err)
{
    (void)ctx;
    (void)effect;
    (void)err;
    return 0;
}

/* "path_id" is of the image that was planned to go. */
static int finish_old_image(void *ctx, const struct journal_effect *effect, struct err *err)
{
    (void)ctx;
    return journal_remove_made(effect, "path", false, err);
}

/* ---- Folders and volumes ------------------------------------------------------------------------------------------------------------*/

static int remove_folder(const struct journal_place *p, const char *name, struct err *err)
{
    if (unlinkat(p->dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno == ENOTEMPTY || errno == EEXIST) {
        err_set(err, ENOTEMPTY, "the folder %s is used by others now and was kept", p->path);
        return 1;
    }
    return err_errno(err, errno, "cannot remove the folder %s", p->path);
}

/* Under its first name it is certainly ours; under the second if it is what was made. */
static int undo_made_folder(void *ctx, const struct journal_effect *effect, struct err *err)
{
    _cleanup_(journal_place_close) struct journal_place p = { .dir = -1 };
    const char *made = journal_value(effect, "made"), *id = journal_value(effect, "made_id");
    _cleanup_free_ char *name = made ? io_basename(made) : NULL;

    (void)ctx;
    if (!made)
        return journal_left_alone(journal_value(effect, "path"), err); /* of an earlier version */
    int r = name ? journal_place_open(effect, "path", &p, err) : err_nomem(err);
    if (r <= 0 || (r = remove_folder(&p, name, err)) != 0)
        return r;
    r = journal_find(&p, p.name, id, err);
    if (r == JOURNAL_OTHERS)
        return journal_left_alone(p.path, err);
    return r < 0 ? r : r == JOURNAL_SAME ? remove_folder(&p, p.name, err) : 0;
}

static int undo_made_volume(void *ctx, const struct journal_effect *effect, struct err *err)
{
    return hv_volume_delete(ctx, journal_value(effect, "pool"), journal_value(effect, "name"), journal_value(effect, "key"), err);
}

/* Root's own folder, or the user's, holds it: nobody else makes one of that name. */
static int undo_session_dir(void *ctx, const struct journal_effect *effect, struct err *err)
{
    (void)ctx;
    return journal_remove_made(effect, "path", true, err);
}

/* Whoever has the turn next undoes this first (session.c), so it comes between nobody's freeze and thaw. */
static int undo_held_writer(void *ctx, const struct journal_effect *effect, struct err *err)
{
    (void)ctx;
    return command_writer_abort(journal_value(effect, "program"), journal_value(effect, "session"), err);
}

const struct journal_verb requester_verbs[] = {
    { VERB_HOLD_WRITER, undo_held_writer, .undone = "a writer was sent an abort", .for_heirs = true },
    { VERB_STOPPED_SERVICE, service_undo_stop, .undone = "a service runs again" },
    { VERB_STARTED_SERVICE, service_undo_start, .undone = "a service is stopped until its old files are back" },
    { VERB_SESSION_DIR, undo_session_dir, .places = { "path" } },
    { VERB_STAGED_FILE, undo_staged, undo_staged, .places = { "path" } },
    { VERB_REPLACED_FILE, undo_replaced, finish_replaced, true, "the old file is in place", .places = { "path" } },
    { VERB_OLD_IMAGE, undo_old_image, finish_old_image, .undone = "the old image is in place", .places = { "path" } },
    { VERB_MADE_FOLDER, undo_made_folder, .places = { "path" } },
    { VERB_MADE_VOLUME, undo_made_volume, .undone = "the new volume is deleted" },
    { NULL, NULL },
};
