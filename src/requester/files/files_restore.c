/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files out of a restore point. The index came from a repository: nothing in it is taken on trust. */
#include "base/io.h"
#include "base/io_at.h"
#include "base/num.h"
#include "requester/files/files.h"
#include "requester/context/context.h"
#include "requester/stage/stage.h"
#include "requester/point/stored_point.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define BLOCK_SIZE MIB

bool files_plain_path(const char *path)
{
    size_t n = path ? strlen(path) : 0;

    if (n < 2 || path[0] != '/' || path[n - 1] == '/' || strstr(path, "//"))
        return false;
    for (const char *p = strstr(path, "/."); p; p = strstr(p + 1, "/."))
        if (p[2] == '/' || p[2] == '\0' || (p[2] == '.' && (p[3] == '/' || p[3] == '\0')))
            return false;
    return true;
}

static int restore_check_entry(const json_t *e, struct err *err)
{
    const char *path = json_get_text(e, "path"), *type = json_get_text(e, "type");

    if (!files_plain_path(path))
        return err_set(err, EUCLEAN, "a file index contains an invalid path");
    if (!type || (strcmp(type, "file") && strcmp(type, "folder") && strcmp(type, "link")) ||
        (!strcmp(type, "link") && !json_get_text(e, "link")))
        return err_set(err, EUCLEAN, "the file index has an invalid entry for %s", path);
    return 0;
}

int files_index(struct store_point *p, size_t number, json_t **ret, struct err *err)
{
    _cleanup_free_ char *name = point_files_name(number, "index.json");
    _cleanup_json_ json_t *index = NULL;
    size_t i;
    json_t *e;

    if (!name)
        return err_nomem(err);
    int r = point_read_json(p, name, &index, err);
    if (r < 0)
        return r;
    if (!json_is_array(json_object_get(index, "files")))
        return err_set(err, EUCLEAN, "%s lists no files", name);
    json_array_foreach (json_object_get(index, "files"), i, e)
        if ((r = restore_check_entry(e, err)) < 0)
            return r;
    *ret = TAKE_PTR(index);
    return 0;
}

static int copy_content(struct store_image *image, int fd, uint64_t from, uint64_t size, const struct files_job *job, struct err *err)
{
    _cleanup_free_ uint8_t *block = malloc(BLOCK_SIZE);

    if (!block)
        return err_nomem(err);
    if (from > store_image_size(image) || size > store_image_size(image) - from)
        return err_set(err, EUCLEAN, "a file extends beyond its image");
    for (uint64_t off = 0, n; off < size; off += n) {
        n = num_min(size - off, BLOCK_SIZE);
        int r = store_image_read(image, from + off, block, (size_t)n, err);
        if (r < 0)
            return r;
        r = io_pwrite(fd, block, (size_t)n, off);
        if (r < 0)
            return err_errno(err, -r, "cannot write");
        if (par_cancelled(job->cancel))
            return err_set(err, EINTR, "interrupted");
    }
    return 0;
}

/* When it was changed last, as recorded; its last access is left. */
static void recorded_times(const json_t *e, struct timespec times[static 2])
{
    json_int_t ns = json_integer_value(json_object_get(e, "mtime_ns"));

    times[0] = (struct timespec){ .tv_nsec = UTIME_OMIT };
    times[1] = (struct timespec){ .tv_sec = (time_t)json_integer_value(json_object_get(e, "mtime")),
                                  .tv_nsec = ns >= 0 && ns < 1000000000 ? (long)ns : 0 };
}

/* ---- Set-id bits: a program of root's runs as root again only where nobody else can have put it ------------------------------------*/

/* What a stage of one component needs. */
struct staging {
    struct store_image *image;
    const struct files_job *job;
    struct stage *stage;
    const char *group;
    json_t *folders; /* path: entry; borrowed entries */
};

static int map_folders(const json_t *index, json_t **ret)
{
    json_t *map = json_object();
    size_t i;
    json_t *e;

    json_array_foreach (json_object_get(index, "files"), i, e)
        if (!strcmp(json_get_text(e, "type"), "folder") && json_object_set(map, json_get_text(e, "path"), e) < 0) {
            json_decref(map);
            return -ENOMEM;
        }
    *ret = map;
    return map ? 0 : -ENOMEM;
}

static bool entry_is_roots(const json_t *e)
{
    _cleanup_owner_ struct owner owner = { 0 };

    return owner_from_json(e, &owner, NULL) >= 0 && owner_is_root(&owner);
}

/* A folder that is made is root's for the moment; what counts is whose it will be. */
static bool may_set_ids(const struct staging *s, const json_t *e, const char *made)
{
    _cleanup_free_ char *dir = io_dirname(json_get_text(e, "path"));
    const json_t *folder = dir ? json_object_get(s->folders, dir) : NULL;

    return dir && entry_is_roots(e) && (!folder || entry_is_roots(folder)) && stage_in_roots_folder(s->stage, made);
}

static void tell_set_ids(const struct staging *s, const json_t *e, const struct owner *owner, bool kept)
{
    char mode[8];

    snprintf(mode, sizeof(mode), "%04o", (unsigned)owner->mode);
    if (s->job->set_ids)
        json_array_append_new(s->job->set_ids, json_pack("{s:s, s:s, s:b}", "path", json_get_text(e, "path"), "mode", mode, "kept", kept));
}

/* ---- Files -----------------------------------------------------------------------------------------------------------------------*/

static int make_file(const struct staging *s, const json_t *e, const char *made, struct err *err)
{
    _cleanup_close_ int fd = -1;
    _cleanup_owner_ struct owner owner = { 0 };

    int r = owner_from_json(e, &owner, err);
    if (r < 0)
        return r;
    bool set_ids = owner_set_ids(&owner) && may_set_ids(s, e, made);
    r = stage_create(s->stage, made, &fd, err);
    if (r >= 0)
        r = copy_content(s->image, fd, json_get_u64(e, "off"), json_get_u64(e, "size"), s->job, err);
    if (r >= 0)
        r = owner_apply(fd, &owner, geteuid(), getegid(), set_ids ? OWNER_SET_IDS : OWNER_FILE, err);
    if (r < 0)
        return r;
    if (owner_set_ids(&owner))
        tell_set_ids(s, e, &owner, set_ids);
    struct timespec times[2];
    recorded_times(e, times);
    if (futimens(fd, times) < 0 || fsync(fd) < 0)
        return err_errno(err, errno, "cannot write %s", made);
    return 0;
}

static int restore_make_link(const struct staging *s, const json_t *e, const char *made, struct err *err)
{
    _cleanup_close_ int fd = -1;
    _cleanup_owner_ struct owner owner = { 0 };
    struct timespec times[2];

    recorded_times(e, times);
    int r = owner_from_json(e, &owner, err);
    if (r >= 0)
        r = stage_link(s->stage, made, json_get_text(e, "link"), &fd, err);
    if (r >= 0)
        r = owner_apply_link(fd, &owner, err);
    if (r >= 0 && utimensat(fd, "", times, AT_EMPTY_PATH) < 0 && errno != EINVAL) /* EINVAL: before Linux 5.8 */
        r = err_errno(err, errno, "cannot set the time of %s", made);
    return r;
}

/* ---- Folders ---------------------------------------------------------------------------------------------------------------------*/

static int set_time(const char *path, int fd, const json_t *e, struct err *err)
{
    struct timespec times[2];

    recorded_times(e, times);
    return futimens(fd, times) < 0 ? err_errno(err, errno, "cannot set the time of folder %s", path) : 0;
}

static int finish_folder(void *priv, const char *path, int fd, struct err *err)
{
    const json_t *e = json_object_get(priv, path);
    _cleanup_owner_ struct owner owner = { 0 };

    int r = e ? owner_from_json(e, &owner, err) : 0;
    if (e && r >= 0)
        r = owner_apply(fd, &owner, geteuid(), getegid(), OWNER_FOLDER, err);
    return r < 0 ? err_context(err, "folder %s", path) : r;
}

/* Backwards: what is in a folder comes after it, and would change its time. */
static int finish_times(const json_t *index, struct err *err)
{
    json_t *files = json_object_get(index, "files");

    for (size_t i = json_array_size(files); i-- > 0;) {
        const json_t *e = json_array_get(files, i);
        if (strcmp(json_get_text(e, "type"), "folder"))
            continue;
        _cleanup_close_ int fd = io_open_entry(json_get_text(e, "path"), O_RDONLY | O_DIRECTORY, err);
        int r = fd < 0 ? fd : set_time(json_get_text(e, "path"), fd, e, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int files_finish_folders(const json_t *index, struct stage *stage, const char *group, struct err *err)
{
    _cleanup_json_ json_t *folders = NULL;

    if (map_folders(index, &folders) < 0)
        return err_nomem(err);
    int r = stage_each_folder(stage, group, finish_folder, folders, err);
    return r < 0 ? r : finish_times(index, err);
}

static int stage_entry(const struct staging *s, const json_t *e, struct err *err)
{
    const char *path = json_get_text(e, "path"), *type = json_get_text(e, "type"), *made;
    _cleanup_free_ char *dir = io_dirname(path);

    if (!dir)
        return err_nomem(err);
    if (!strcmp(type, "folder"))
        return stage_folder(s->stage, s->group, path, 0755, err);
    int r = stage_folder(s->stage, s->group, dir, 0755, err);
    if (r >= 0)
        r = stage_add(s->stage, s->group, path, STAGE_NOFOLLOW | (s->job->only_new ? STAGE_NEW : STAGE_MAY_CHANGE), &made, err);
    if (r < 0)
        return r;
    r = !strcmp(type, "file") ? make_file(s, e, made, err) : restore_make_link(s, e, made, err);
    return r < 0 ? r : stage_made(s->stage, made, err);
}

int files_stage(struct store_point *p, const json_t *index, const struct files_job *job, struct stage *stage, const char *group,
                struct err *err)
{
    _cleanup_free_ char *name = point_files_name(job->number, "data");
    _cleanup_(store_image_close_p) struct store_image *image = NULL;
    size_t i;
    json_t *e;

    _cleanup_json_ json_t *folders = NULL;
    int r = name && map_folders(index, &folders) >= 0 ? store_image_open(p, name, &image, err) : err_nomem(err);
    if (r < 0)
        return r;
    const struct staging s = { image, job, stage, group, folders };
    json_array_foreach (json_object_get(index, "files"), i, e)
        if ((r = stage_entry(&s, e, err)) < 0)
            return err_context(err, "%s", json_get_text(e, "path"));
    return 0;
}
