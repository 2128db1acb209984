/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of a command writer's component and of what lies in its component set, as they are now. */
#include "requester/backup.h"
#include <errno.h>

static int find_all(const struct backup_component *c, struct file_list *files, struct err *err)
{
    size_t self = (size_t)(c->info - c->writer->components);
    int r = 0;

    for (size_t k = 0; k < c->writer->n_components && r >= 0; k++)
        if (k == self || vss_component_in_set(c->writer, self, k))
            r = files_find(c->writer, k, files, err);
    files_sort(files);
    return r;
}

int backup_files(struct backup *b, struct backup_component *c, struct err *err)
{
    _cleanup_file_list_ struct file_list files = FILE_LIST_INIT;
    struct files_job job = { .number = b->n_files, .cancel = b->rq->config.cancel };
    struct store_stats stats = { 0 };
    uint64_t size = 0;

    int r = find_all(c, &files, err);
    if (r >= 0 && b->job->bytes_per_s)
        r = rate_new(b->job->bytes_per_s, &job.rate, err);
    if (r >= 0)
        r = files_save(b->rq->store, b->w, &files, &job, &size, &stats, err);
    rate_free(job.rate);
    if (r < 0)
        return err_context(err, "writer %s, component %s", c->writer_name, c->name);
    c->read = size;
    c->stored = stats.stored;
    c->report = json_pack("{s:s, s:s, s:I, s:I, s:I}", "logical_path", c->logical_path, "name", c->name, "number",
                          (json_int_t)b->n_files, "files", (json_int_t)files.n, "size", (json_int_t)size);
    if (!c->report)
        return err_set(err, ENOMEM, "out of memory");
    b->n_files++;
    return 0;
}
