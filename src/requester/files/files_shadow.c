/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that are read from the shadow copies of their volumes: nothing is copied while their writers are held, and what a writer changes in
 * its shadow copy afterwards (auto-recovery) is stored. Behaviours 20-24. */
#include "base/buf.h"
#include "base/io.h"
#include "base/io_at.h"
#include "requester/files/files.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

void files_places_clear(struct files_places *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->list[i].path);
        free(p->list[i].volume);
        free(p->list[i].rest);
        free(p->list[i].from);
    }
    free(p->list);
    *p = (struct files_places){ 0 };
}

static const struct files_place *place_of(const struct files_places *p, const char *path)
{
    const struct files_place *best = NULL;

    for (size_t i = 0; i < p->n; i++)
        if (io_is_below(path, p->list[i].path) && (!best || strlen(p->list[i].path) > strlen(best->path)))
            best = &p->list[i];
    return best;
}

char *files_place(const struct files_places *p, const char *path)
{
    const struct files_place *place = place_of(p, path);

    if (!place || !place->from)
        return strdup(path);
    return str_format("%s%s", place->from, io_beyond(path, place->path));
}

/* ---- Beforehand -----------------------------------------------------------------------------------------------------------------*/

static struct files_place *add_place(struct files_places *p)
{
    struct files_place *more = reallocarray(p->list, p->n + 1, sizeof(*more));

    if (!more)
        return NULL;
    p->list = more;
    more[p->n] = (struct files_place){ 0 };
    return &more[p->n++];
}

/* 1: planned; 0: it has to be copied. */
static int plan_set(struct files_places *p, const struct vss_file_set *set, const struct files_volumes *volumes, struct err *err)
{
    const char *base = set->alternate_path ? set->alternate_path : set->path;
    _cleanup_free_ char *real = NULL;
    struct stat st;

    if (io_real_path(base, &real, NULL) < 0 || !io_exists(real))
        return 0; /* its writer may still make it, anywhere */
    struct files_place *place = add_place(p);
    if (!place || !(place->path = strndup(base, files_path_len(base))))
        return err_nomem(err);
    int r = volumes->find(volumes->priv, real, &place->volume, err);
    if (r < 0 || !place->volume)
        return r < 0 ? r : 0;
    if (stat(place->volume, &st) < 0 || !io_is_below(real, place->volume))
        return 0;
    place->dev = st.st_dev;
    place->rest = strdup(io_beyond(real, place->volume));
    return place->rest ? 1 : err_nomem(err);
}

/* Below a folder there may be other file systems, or subvolumes, which are in no copy of this volume. */
static int all_on_volumes(const struct held_files *c, struct err *err)
{
    _cleanup_file_list_ struct file_list files = FILE_LIST_INIT;
    struct err why = ERR_INIT;

    int r = held_find(c, NULL, &files, &why);
    if (r < 0)
        return r == -ENOMEM ? err_move(err, &why) : 0; /* files_hold_check() says so */
    for (size_t i = 0; i < files.n; i++) {
        const struct file_entry *e = &files.entries[i];
        const struct files_place *place = place_of(&c->shadow, e->from ? e->from : e->path);
        if (!place || e->st.st_dev != place->dev)
            return 0;
    }
    return 1;
}

static int shadow_plan_component(struct held_files *c, const struct files_volumes *volumes, struct err *err)
{
    int r = 1;

    for (size_t k = 0; k < c->writer->n_components && r > 0; k++) {
        const struct vss_component_info *info = &c->writer->components[k];
        if (k != c->component && !vss_component_in_set(c->writer, c->component, k))
            continue;
        for (size_t f = 0; f < info->n_files && r > 0; f++)
            r = plan_set(&c->shadow, &info->files[f], volumes, err);
    }
    if (r > 0)
        r = all_on_volumes(c, err);
    if (r <= 0)
        files_places_clear(&c->shadow);
    return r < 0 ? r : 0;
}

int files_shadow_plan(struct files_hold *h, const struct files_volumes *volumes, struct err *err)
{
    struct held_files *c;
    int r = 0;

    for (size_t i = 0; r >= 0 && (c = files_hold_at(h, i)); i++)
        r = shadow_plan_component(c, volumes, err);
    return r;
}

/* ---- Afterwards -----------------------------------------------------------------------------------------------------------------*/

int files_shadow_find(struct held_files *c, const struct files_volumes *volumes, struct err *err)
{
    for (size_t i = 0; i < c->shadow.n; i++) {
        struct files_place *place = &c->shadow.list[i];
        const char *device = volumes->device(volumes->priv, place->volume);
        if (!device)
            return err_set(err, ENOENT, "there is no shadow copy of %s", place->volume);
        place->from = str_format("%s%s", device, place->rest);
        if (!place->from)
            return err_nomem(err);
    }
    return held_find(c, &c->shadow, &c->files, err);
}
