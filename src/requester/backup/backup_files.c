/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of a command writer's component and of what lies in its component set, as they were while their writer was held. */
#include "requester/backup/backup.h"
#include "requester/files/files.h"
#include <errno.h>
#include <string.h>

static size_t files_index_of(const struct backup_component *c)
{
    return (size_t)(c->info - c->writer->components);
}

static int find_volume(void *priv, const char *path, char **ret_volume, struct err *err)
{
    const struct backup *b = priv;
    _cleanup_free_ char *volume = NULL;
    struct vss_provider_info p;
    bool mounts = true;

    *ret_volume = NULL;
    int r = volume_mounts_below(path, &mounts, err);
    if (r < 0 || mounts) /* they are in no copy of the volume, even if they are of the same one (bind mounts) */
        return r < 0 ? r : 0;
    r = volume_of(NULL, path, &volume, err);
    if (r >= 0)
        r = vss_find_provider(b->s->service, NULL, &(struct kvss_volume){ .name = volume }, &p, err);
    if (r >= 0 && providers_files_in_device(p.id))
        *ret_volume = TAKE_PTR(volume);
    return r < 0 ? r : 0;
}

static const char *find_device(void *priv, const char *volume)
{
    const struct backup *b = priv;
    struct kvss_snapshot_properties s;

    for (size_t i = 0; i < vss_snapshot_count(b->s->vss); i++)
        if (vss_get_snapshot_properties(b->s->vss, i, &s, NULL) >= 0 && !strcmp(s.volume, volume) && s.device &&
            providers_files_in_device(s.provider_id))
            return s.device;
    return NULL;
}

int backup_announce_files(struct backup *b, struct err *err)
{
    const struct files_volumes volumes = { find_volume, find_device, b };
    int r = 0;

    for (size_t i = 0; i < b->n && r >= 0; i++) {
        const struct backup_component *c = &b->components[i];
        if (!c->vm)
            r = files_hold_add(b->s->hold, c->writer, files_index_of(c), store_chunk_size(b->rq->store), err);
    }
    if (r >= 0)
        r = files_shadow_plan(b->s->hold, &volumes, err);
    if (r >= 0)
        r = files_hold_check(b->s->hold, err);
    if (r == -EFBIG || r == -ENOSPC || r == -EILSEQ)
        b->rq->end = REQUESTER_REFUSED;
    return r;
}

/* What the copy is worth: a program that has nothing to do in Freeze does not hold its files. */
static const char *level_of(const struct backup *b, const struct backup_component *c)
{
    return command_writer_held(b->s->commands, c->writer_id) ? "application" : "not-held";
}

static const char *how_of(const struct held_files *files)
{
    if (files->shadow.n)
        return "snapshot";
    return files->fd[HELD_COPIED] >= 0 ? files->fd[HELD_SHARED] >= 0 ? "shared and copied" : "copied" : "shared";
}

/* What has no content that could be put back. */
static json_t *warnings_of(const struct file_list *l)
{
    bool one = l->n_special == 1;
    _cleanup_free_ char *text = l->n_special ? str_format("%zu file%s skipped (sockets, pipes, devices): %s%s", l->n_special,
                                                          one ? " was" : "s were", l->special, one ? "" : " and others")
                                             : NULL;
    json_t *list = json_array();

    if (text)
        json_array_append_new(list, json_text(text));
    return list;
}

int backup_files(struct backup *b, struct backup_component *c, struct err *err)
{
    struct held_files *held = files_hold_get(b->s->hold, c->writer, files_index_of(c));
    const struct files_volumes volumes = { find_volume, find_device, b };
    struct files_job job = { .number = b->n_files, .cancel = b->rq->config.cancel };
    struct store_stats stats = { 0 };
    uint64_t size = 0;

    int r = held ? 0 : err_set(err, EINVAL, "its files were not copied");
    if (r >= 0 && held->shadow.n)
        r = files_shadow_find(held, &volumes, err);
    if (r >= 0 && b->job->bytes_per_s)
        r = rate_new(b->job->bytes_per_s, &job.rate, err);
    if (r >= 0)
        r = files_save(b->rq->store, b->w, &held->files, &job, &size, &stats, err);
    rate_free(job.rate);
    if (r < 0)
        return err_context(err, "writer %s, component %s", c->writer_name, c->name);
    c->read = size;
    c->stored = stats.stored;
    c->report = json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:o}", "logical_path", c->logical_path, "name", c->name, "number",
                          (json_int_t)b->n_files, "files", (json_int_t)held->files.n, "size", (json_int_t)size, "level", level_of(b, c),
                          "held", how_of(held), "warnings", warnings_of(&held->files));
    held_drop(held);
    if (!c->report)
        return err_nomem(err);
    b->n_files++;
    return 0;
}
