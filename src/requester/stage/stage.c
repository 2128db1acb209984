/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requester/stage/stage.h"
#include "base/guid.h"
#include "base/io.h"
#include "base/io_at.h"
#include "requester/stage/file_effects.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

struct item {
    char *group, *target, *made, *kept; /* made NULL: a folder; kept: second name of the old file; NULL: there was none */
    struct io_id folder, old;           /* of the target when it was planned; old: empty where nothing was there */
    struct io_id new;                   /* what was made; empty: not known */
    unsigned flags;
    uint64_t fx_made, fx_replaced;
    bool in_place;
};

struct stage {
    struct journal *journal;
    struct item **items;
    size_t n;
};

static void item_free(struct item *i)
{
    free(i->group);
    free(i->target);
    free(i->made);
    free(i->kept);
    free(i);
}
DEFINE_CLEANUP(struct item *, item_free)

int stage_new(struct journal *j, struct stage **ret, struct err *err)
{
    struct stage *s = calloc(1, sizeof(*s));
    if (!s)
        return err_nomem(err);
    s->journal = j;
    *ret = s;
    return 0;
}

void stage_free(struct stage *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        item_free(s->items[i]);
    free(s->items);
    free(s);
}

/* A hidden name beside target, not in use. */
static char *stage_stage_beside(const char *target, const char *what)
{
    _cleanup_free_ char *dir = io_dirname(target);
    struct guid id = guid_new();

    return dir ? str_format("%s/" IO_TEMPORARY_PREFIX "%s-%.13s", dir, what, id.text) : NULL;
}

/* Room for one item more. */
static int stage_grow(struct stage *s)
{
    struct item **more = realloc(s->items, (s->n + 1) * sizeof(*more));

    if (more)
        s->items = more;
    return more ? 0 : -ENOMEM;
}

static int done(struct stage *s, uint64_t id, struct err *err)
{
    int r = journal_done(s->journal, id);

    return r < 0 ? err_errno(err, -r, "a restored file has unexpected attributes") : 0;
}

/* The target without links, where they are followed. One that leads nowhere stands for itself; what cannot be looked at is no place to put
 * a file. */
static int stage_resolve(struct item *i, const char *target, struct err *err)
{
    struct err why = ERR_INIT;
    int r = i->flags & STAGE_NOFOLLOW ? -ENOENT : io_real_path(target, &i->target, &why);

    if (r == -ENOENT || r == -ELOOP)
        i->target = strdup(target);
    else if (r < 0)
        return err_move(err, &why);
    if (!i->target || !(i->made = stage_stage_beside(i->target, "new")))
        return err_nomem(err);
    return 0;
}

/* Which folder the target is in, and which file is there. */
static int look_at_target(struct item *i, struct err *err)
{
    _cleanup_close_ int dir = -1;
    _cleanup_free_ char *name = NULL;
    struct stat st;

    int r = io_open_parent(i->target, &dir, &name, err);
    if (r < 0)
        return r;
    if ((r = io_id_of(dir, &i->folder)) >= 0 && (r = io_id_at(dir, name, &i->old)) == -ENOENT)
        r = 0;
    if (r >= 0 && *i->old.text && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        r = -errno;
    if (r < 0)
        return err_errno(err, -r, "cannot access %s", i->target);
    if (*i->old.text && (i->flags & STAGE_NEW))
        return err_set(err, EEXIST, "%s has appeared since the restore was planned and was left alone", i->target);
    return *i->old.text && S_ISDIR(st.st_mode) ? err_set(err, EISDIR, "%s is a folder", i->target) : 0;
}

int stage_add(struct stage *s, const char *group, const char *target, unsigned flags, const char **ret_path, struct err *err)
{
    _cleanup_(item_free_p) struct item *i = calloc(1, sizeof(*i));

    if (!i || stage_grow(s) < 0 || !(i->group = strdup(group)))
        return err_nomem(err);
    i->flags = flags;
    int r = stage_resolve(i, target, err);
    if (r < 0 || (r = look_at_target(i, err)) < 0)
        return r;
    const struct journal_arg args[] = { { "path", i->made }, { "group", i->group }, { "path_dir", i->folder.text }, { NULL, NULL } };
    r = journal_begin(s->journal, VERB_STAGED_FILE, args, &i->fx_made, err);
    if (r < 0)
        return r;
    *ret_path = i->made;
    s->items[s->n++] = TAKE_PTR(i);
    return 0;
}

/* ---- Making it ---------------------------------------------------------------------------------------------------------------------*/

/* The latest first: it is most likely what was just added. */
static struct item *find_item(const struct stage *s, const char *made)
{
    for (size_t k = s->n; k-- > 0;)
        if (s->items[k]->made && !strcmp(s->items[k]->made, made))
            return s->items[k];
    return NULL;
}

static int moved(const char *target, struct err *err)
{
    return err_set(err, ESTALE,
                   "the folder of %s is not the one that was there when the restore began; its file system may have been unmounted, or the "
                   "folder moved",
                   target);
}

/* The item's folder, if it is the one that it was. */
static int stage_open_folder(const struct item *i, int *ret, char **ret_name, struct err *err)
{
    _cleanup_close_ int dir = -1;
    _cleanup_free_ char *name = NULL;
    struct io_id folder;

    int r = io_open_parent(i->target, &dir, &name, err);
    if (r < 0)
        return r;
    if ((r = io_id_of(dir, &folder)) < 0)
        return err_errno(err, -r, "cannot access the folder of %s", i->target);
    if (!io_id_same(i->folder.text, folder.text))
        return moved(i->target, err);
    *ret = TAKE_FD(dir);
    *ret_name = TAKE_PTR(name);
    return 0;
}

/* Who may write to the folder could have put another link there meanwhile: even a second name of one that is not his. Files are opened as
 * they are made. Owners tell nothing: shares and FAT make them up. */
static bool is_link_to(int fd, const struct stat *st, const char *target)
{
    char there[PATH_MAX];
    ssize_t n = S_ISLNK(st->st_mode) && st->st_nlink == 1 ? readlinkat(fd, "", there, sizeof(there)) : -1;

    return n >= 0 && (size_t)n == strlen(target) && !memcmp(there, target, (size_t)n);
}

static int note_new(struct stage *s, struct item *i, int fd, struct err *err)
{
    int r = io_id_of(fd, &i->new);

    if (r < 0)
        return err_errno(err, -r, "cannot access %s", i->made);
    return journal_note(s->journal, i->fx_made ? i->fx_made : i->fx_replaced, i->fx_made ? "path_id" : "made_id", i->new.text, err);
}

/* made: of stage_add(). *ret_name is its last part. */
static int open_made(struct stage *s, const char *made, struct item **ret, int *ret_dir, char **ret_name, struct err *err)
{
    _cleanup_free_ char *name = NULL;
    struct item *i = find_item(s, made);

    if (!i || !(*ret_name = io_basename(made)))
        return err_set(err, i ? ENOMEM : ENOENT, i ? "out of memory" : "%s was not planned", made);
    *ret = i;
    return stage_open_folder(i, ret_dir, &name, err);
}

int stage_create(struct stage *s, const char *made, int *ret_fd, struct err *err)
{
    _cleanup_close_ int dir = -1, fd = -1;
    _cleanup_free_ char *name = NULL;
    struct item *i;

    int r = open_made(s, made, &i, &dir, &name, err);
    if (r < 0)
        return r;
    if ((fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600)) < 0)
        return err_errno(err, errno, "cannot create %s", made);
    if ((r = note_new(s, i, fd, err)) < 0)
        return r;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int stage_link(struct stage *s, const char *made, const char *target, int *ret_fd, struct err *err)
{
    _cleanup_close_ int dir = -1, fd = -1;
    _cleanup_free_ char *name = NULL;
    struct item *i;
    struct stat st;

    int r = open_made(s, made, &i, &dir, &name, err);
    if (r < 0)
        return r;
    if (symlinkat(target, dir, name) < 0 || (fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC)) < 0)
        return err_errno(err, errno, "cannot create symbolic link %s", made);
    if (fstat(fd, &st) < 0 || !is_link_to(fd, &st, target))
        return err_set(err, EEXIST, "%s was replaced by someone else while it was being created", made);
    if ((r = note_new(s, i, fd, err)) < 0)
        return r;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

bool stage_in_roots_folder(struct stage *s, const char *made)
{
    _cleanup_close_ int dir = -1;
    _cleanup_free_ char *name = NULL;
    struct err ignored = ERR_INIT;
    struct item *i;
    struct stat st;

    return open_made(s, made, &i, &dir, &name, &ignored) >= 0 && fstat(dir, &st) == 0 && st.st_uid == 0 &&
           !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* ---- Folders ----------------------------------------------------------------------------------------------------------------------*/

/* 1: there is a folder at path; 0: nothing. */
static int stage_is_there(const char *path, struct err *err)
{
    _cleanup_close_ int fd = -1;
    struct err why = ERR_INIT;

    int r = io_open_folder(path, &fd, &why);
    return r >= 0 ? 1 : r == -ENOENT ? 0 : err_move(err, &why);
}

/* rename() that leaves alone what is at `to`, as far as the file system knows how to. */
static int rename_to_free(int dir, const char *from, const char *to)
{
    struct stat st;

    if (renameat2(dir, from, dir, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
        return -errno;
    if (fstatat(dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return -EEXIST;
    return errno != ENOENT || renameat(dir, from, dir, to) < 0 ? -errno : 0;
}

/* Made under a name that nobody else has, looked at, and renamed: so it is known later on whether the folder at path is ours. */
static int make_folder_at(struct stage *s, struct item *i, mode_t mode, struct err *err)
{
    _cleanup_close_ int dir = -1, fd = -1;
    _cleanup_free_ char *name = NULL, *made = io_basename(i->made);

    int r = made ? io_open_parent(i->target, &dir, &name, err) : err_nomem(err);
    if (r < 0)
        return r;
    if (mkdirat(dir, made, mode) < 0 || (fd = openat(dir, made, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        return err_errno(err, errno, "cannot create folder %s", i->target);
    if ((r = note_new(s, i, fd, err)) < 0)
        return r;
    r = rename_to_free(dir, made, name);
    if (r == -EEXIST || r == -ENOTEMPTY) { /* somebody has made it just now: theirs, and as good */
        *i->new.text = '\0';
        return unlinkat(dir, made, AT_REMOVEDIR) < 0 ? err_errno(err, errno, "cannot remove %s", i->made) : 0;
    }
    if (r >= 0)
        r = io_fsync_at(dir);
    return r < 0 ? err_errno(err, -r, "cannot create folder %s", i->target) : 0;
}

static int stage_make_folder(struct stage *s, const char *group, const char *path, mode_t mode, struct err *err)
{
    _cleanup_(item_free_p) struct item *i = calloc(1, sizeof(*i));

    if (!i || !(i->group = strdup(group)) || !(i->target = strdup(path)) || !(i->made = stage_stage_beside(path, "dir")) ||
        stage_grow(s) < 0)
        return err_nomem(err);
    const struct journal_arg args[] = { { "path", path }, { "group", group }, { "made", i->made }, { NULL, NULL } };
    int r = journal_begin(s->journal, VERB_MADE_FOLDER, args, &i->fx_replaced, err);
    if (r < 0 || (r = make_folder_at(s, i, mode, err)) < 0)
        return r;
    i->in_place = true;
    free(TAKE_PTR(i->made));
    r = done(s, i->fx_replaced, err);
    s->items[s->n++] = TAKE_PTR(i);
    return r;
}

int stage_folder(struct stage *s, const char *group, const char *dir, mode_t mode, struct err *err)
{
    int r = stage_is_there(dir, err);

    if (r != 0)
        return r < 0 ? r : 0;
    _cleanup_free_ char *up = io_dirname(dir);
    if (!up)
        return err_nomem(err);
    if (strcmp(up, dir) && (r = stage_folder(s, group, up, mode, err)) < 0)
        return r;
    return stage_make_folder(s, group, dir, mode, err);
}

/* 1: open, and what was made; 0: it is another by now. */
static int open_own_folder(const struct item *i, int *ret, struct err *err)
{
    _cleanup_close_ int fd = io_open_entry(i->target, O_RDONLY | O_DIRECTORY, err);
    struct io_id now;

    if (fd < 0)
        return fd;
    int r = io_id_of(fd, &now);
    if (r < 0)
        return err_errno(err, -r, "cannot access folder %s", i->target);
    *ret = io_id_same(i->new.text, now.text) ? TAKE_FD(fd) : -1;
    return *ret >= 0;
}

int stage_each_folder(struct stage *s, const char *group, int (*fn)(void *priv, const char *path, int fd, struct err *err), void *priv,
                      struct err *err)
{
    for (size_t k = s->n; k-- > 0;) {
        _cleanup_close_ int fd = -1;
        const struct item *i = s->items[k];
        if (i->made || !*i->new.text || strcmp(i->group, group))
            continue;
        int r = open_own_folder(i, &fd, err);
        if (r > 0)
            r = fn(priv, i->target, fd, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- The swap ---------------------------------------------------------------------------------------------------------------------*/

/* A target's folder, open, and what is in it. */
struct swap {
    int dir;
    char *name, *made, *kept; /* last parts of the paths */
    struct io_id old, new;    /* old: empty where nothing is there */
};

static void swap_clear(struct swap *w)
{
    if (w->dir >= 0)
        close(w->dir);
    free(w->name);
    free(w->made);
    free(w->kept);
}

/* In the folder that was planned, over what was planned, or over nothing. */
static int stage_check_place(const struct item *i, struct swap *w, struct err *err)
{
    int r = stage_open_folder(i, &w->dir, &w->name, err);
    if (r < 0)
        return r;
    if ((r = io_id_at(w->dir, w->name, &w->old)) == -ENOENT)
        r = 0;
    if (r >= 0)
        r = io_id_at(w->dir, w->made, &w->new);
    if (r < 0)
        return err_errno(err, -r, "cannot move the restored %s into place", i->target);
    if (*i->new.text && !io_id_same(i->new.text, w->new.text))
        return err_set(err, ESTALE, "%s, which was to become %s, was replaced by someone else", i->made, i->target);
    if (!*w->old.text || (i->flags & STAGE_MAY_CHANGE) || (*i->old.text && io_id_same(i->old.text, w->old.text)))
        return 0;
    return err_set(err, EEXIST, "%s is not the file that was there when the restore began and was left alone", i->target);
}

/* Gives the old file a second name. Where the file system knows no links, the first name goes for the moment. */
static int keep_old(const struct item *i, const struct swap *w, struct err *err)
{
    if (linkat(w->dir, w->name, w->dir, w->kept, 0) == 0)
        return 0;
    if (errno != EPERM && errno != EOPNOTSUPP && errno != EMLINK)
        return err_errno(err, errno, "cannot keep the old %s as %s", i->target, i->kept);
    if (renameat(w->dir, w->name, w->dir, w->kept) < 0)
        return err_errno(err, errno, "cannot move the old %s to %s", i->target, i->kept);
    return 0;
}

static int enter_swap(struct stage *s, struct item *i, struct swap *w, struct err *err)
{
    bool replaces = *w->old.text;

    if (replaces && (!(i->kept = stage_stage_beside(i->target, "old")) || !(w->kept = io_basename(i->kept))))
        return err_nomem(err);
    const struct journal_arg args[] = {
        { "path", i->target },
        { "group", i->group },
        { "path_dir", i->folder.text },
        { "new_id", w->new.text },
        { replaces ? "kept" : NULL, i->kept },
        { "old_id", w->old.text },
        { NULL, NULL },
    };
    return journal_begin(s->journal, VERB_REPLACED_FILE, args, &i->fx_replaced, err);
}

static int swap_in(struct stage *s, struct item *i, struct err *err)
{
    _cleanup_(swap_clear) struct swap w = { .dir = -1 };

    if (!(w.made = io_basename(i->made)))
        return err_nomem(err);
    int r = stage_check_place(i, &w, err);
    if (r < 0 || (r = enter_swap(s, i, &w, err)) < 0)
        return r;
    if (i->kept && (r = keep_old(i, &w, err)) < 0)
        return r;
    if (i->kept)
        r = renameat(w.dir, w.made, w.dir, w.name) < 0 ? -errno : 0;
    else
        r = rename_to_free(w.dir, w.made, w.name);
    if (r < 0)
        return err_errno(err, -r, "cannot move the restored %s into place", i->target);
    if ((r = done(s, i->fx_replaced, err)) < 0)
        return r;
    journal_settled(s->journal, i->fx_made);
    i->in_place = true;
    r = io_fsync_at(w.dir);
    return r < 0 ? err_errno(err, -r, "cannot sync %s to disk", i->target) : 0;
}

int stage_made(struct stage *s, const char *path, struct err *err)
{
    const struct item *i = find_item(s, path);

    return i ? done(s, i->fx_made, err) : 0;
}

int stage_swap(struct stage *s, const char *group, struct err *err)
{
    for (size_t k = 0; k < s->n; k++) {
        struct item *i = s->items[k];
        int r = !strcmp(i->group, group) && !i->in_place ? swap_in(s, i, err) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

int stage_finish(struct stage *s, const char *group, struct err *err)
{
    int first = 0;

    for (size_t k = 0; k < s->n; k++) {
        struct item *i = s->items[k];
        struct err why = ERR_INIT;
        if (i->in_place && !strcmp(i->group, group) && journal_undo(s->journal, i->fx_replaced, &why) < 0 && !first)
            first = err_move(err, &why);
    }
    return first;
}
