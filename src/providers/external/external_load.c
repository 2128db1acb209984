/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which providers of third parties there are. */
#include "base/io.h"
#include "base/runnable.h"
#include "base/strv.h"
#include "providers/external/external_internal.h"
#include <errno.h>
#include <string.h>

struct external_set {
    const struct log *log;
    size_t n, n_refused;
    struct external **list;
    struct external_refused *refused;
};

void external_free(struct external_set *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        external_one_free(s->list[i]);
    for (size_t i = 0; i < s->n_refused; i++) {
        free(s->refused[i].path);
        free(s->refused[i].why);
    }
    free(s->list);
    free(s->refused);
    free(s);
}
DEFINE_CLEANUP(struct external_set *, external_free)

int external_refuse(struct external_set *s, const char *path, const struct err *why, struct err *err)
{
    struct external_refused *more = reallocarray(s->refused, s->n_refused + 1, sizeof(*more));
    struct external_refused r = { strdup(path), strdup(why->text) };

    if (more)
        s->refused = more;
    if (!more || !r.path || !r.why) {
        free(r.path);
        free(r.why);
        return err_nomem(err);
    }
    more[s->n_refused++] = r;
    log_warning(s->log, "provider %s is not used: %s", path, why->text);
    return 0;
}

static int load_keep(struct external_set *s, struct external *x)
{
    struct external **more = reallocarray(s->list, s->n + 1, sizeof(struct external *));

    if (!more)
        return -ENOMEM;
    s->list = more;
    more[s->n++] = x;
    return 0;
}

static int load_one(struct external_set *s, const struct external_config *config, enum external_kind kind, int dir, const char *path,
                    struct err *why)
{
    _cleanup_free_ char *name = io_basename(path), *folder = io_dirname(path);
    struct external *x = NULL;
    int file = -1;

    if (!name || !folder)
        return err_nomem(why);
    int r = runnable_open_file(dir, folder, name, (struct runnable_kind){ .program = kind == EXTERNAL_PROGRAM }, &file, why);
    if (r >= 0)
        r = external_new(config, kind, path, file, &x, why);
    if (r >= 0)
        r = external_identify(x, why);
    if (r >= 0 && (r = load_keep(s, x)) < 0)
        err_nomem(why);
    if (r < 0)
        external_one_free(x);
    return r;
}

static int load_folder(struct external_set *s, const struct external_config *config, enum external_kind kind, struct err *err)
{
    const char *dir = kind == EXTERNAL_PROGRAM ? config->programs_dir : config->objects_dir;
    _cleanup_strv_ char **names = NULL;
    _cleanup_close_ int fd = -1;
    struct err why = ERR_INIT;

    int r = dir ? runnable_open_folder(dir, 0, &fd, &why) : -ENOENT;
    if (r == -ENOENT)
        return 0;
    if (r >= 0 && (r = runnable_names(fd, kind == EXTERNAL_OBJECT ? ".so" : NULL, &names)) < 0)
        err_errno(&why, -r, "cannot read the folder %s", dir);
    if (r < 0)
        return external_refuse(s, dir, &why, err);
    for (char **name = names; name && *name; name++) {
        _cleanup_free_ char *path = io_path(dir, *name);
        if (!path)
            return err_nomem(err);
        err_clear(&why);
        if (load_one(s, config, kind, fd, path, &why) < 0 && (r = external_refuse(s, path, &why, err)) < 0)
            return r;
    }
    return 0;
}

int external_load(const struct external_config *config, struct external_set **ret, struct err *err)
{
    _cleanup_(external_free_p) struct external_set *s = calloc(1, sizeof(*s));

    if (!s)
        return err_nomem(err);
    s->log = config->log;
    int r = load_folder(s, config, EXTERNAL_OBJECT, err);
    if (r >= 0)
        r = load_folder(s, config, EXTERNAL_PROGRAM, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(s);
    return 0;
}

size_t external_count(const struct external_set *s)
{
    return s ? s->n : 0;
}

const struct kvss_provider *external_ops(const struct external_set *s, size_t i)
{
    return &s->list[i]->ops;
}

void *external_priv(const struct external_set *s, size_t i)
{
    return s->list[i];
}

const char *external_path(const struct external_set *s, size_t i)
{
    return s->list[i]->path;
}

size_t external_refused_count(const struct external_set *s)
{
    return s ? s->n_refused : 0;
}

const struct external_refused *external_refused(const struct external_set *s, size_t i)
{
    return &s->refused[i];
}
