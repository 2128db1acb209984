/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requester/effects.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "hypervisor/hypervisor.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int undo_staged(void *ctx, const struct journal_effect *effect, struct err *err)
{
    (void)ctx;
    return io_unlink(journal_value(effect, "path"), err);
}

static bool same_file(const char *a, const char *b)
{
    struct stat sa, sb;

    return lstat(a, &sa) == 0 && lstat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* `kept` is a second name of the old file, made before the new one was renamed over it. Where the effect was only begun, `kept`
 * may not be there yet, and then path is still the old file. */
static int undo_replaced(void *ctx, const struct journal_effect *effect, struct err *err)
{
    const char *path = journal_value(effect, "path"), *kept = journal_value(effect, "kept");

    (void)ctx;
    if (!kept)
        return io_unlink(path, err);
    if (same_file(kept, path))
        return io_unlink(kept, err); /* rename() of a file over itself would leave both names */
    if (rename(kept, path) < 0 && errno != ENOENT)
        return err_errno(err, errno, "cannot put the old %s back from %s", path, kept);
    return io_fsync_parent(path, err);
}

static int finish_replaced(void *ctx, const struct journal_effect *effect, struct err *err)
{
    const char *kept = journal_value(effect, "kept");

    (void)ctx;
    return kept ? io_unlink(kept, err) : 0;
}

/* From the deepest one up to the first that was made; one that someone uses meanwhile stays, and those above it. */
static int undo_made_folder(void *ctx, const struct journal_effect *effect, struct err *err)
{
    const char *top = journal_value(effect, "top");
    _cleanup_free_ char *at = strdup(journal_value(effect, "path"));

    (void)ctx;
    while (at && strlen(at) >= strlen(top)) {
        if (rmdir(at) < 0 && errno != ENOENT)
            return errno == ENOTEMPTY || errno == EEXIST ? 0 : err_errno(err, errno, "cannot remove the folder %s", at);
        char *up = io_dirname(at);
        free(at);
        at = up;
    }
    return at ? 0 : err_set(err, ENOMEM, "out of memory");
}

static int undo_made_volume(void *ctx, const struct journal_effect *effect, struct err *err)
{
    return hv_volume_delete(ctx, journal_value(effect, "pool"), journal_value(effect, "name"), err);
}

static int undo_session_dir(void *ctx, const struct journal_effect *effect, struct err *err)
{
    (void)ctx;
    return io_remove_tree(journal_value(effect, "path"), err);
}

const struct journal_verb requester_verbs[] = {
    { VERB_SESSION_DIR, undo_session_dir },
    { VERB_STAGED_FILE, undo_staged, undo_staged },
    { VERB_REPLACED_FILE, undo_replaced, finish_replaced, true, "the old file is in its place" },
    { VERB_MADE_FOLDER, undo_made_folder },
    { VERB_MADE_VOLUME, undo_made_volume, .undone = "the new volume is deleted" },
    { NULL, NULL },
};
