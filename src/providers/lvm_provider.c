/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The `lvm` provider: a volume is a logical volume, thin or classic, that is the disk of a VM or has the file system of images or files on
 * it. Its shadow copy is a snapshot, mounted for the session where there is a file system. Clauses M9, M22. */
#include "base/io.h"
#include "base/io_at.h"
#include "base/num.h"
#include "providers/lvm_internal.h"
#include "providers/volume_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define VERB_LV_SNAPSHOT "lv-snapshot" /* "group": the snapshot, "vg", "vg_uuid", "name", "tag" */
#define POOL_FULL 95u                  /* percent: a pool that is full stops all that is in it */
#define POOL_FULL_FILES 70u            /* where nobody asked for it */
#define SHARE_MIN 10u                  /* a classic snapshot has room for at least this part of its origin to change */
#define SPARE_EXTENTS 4u               /* for its tables */

/* What is known of the volume of a copy beforehand. */
struct lvm_copy {
    struct lvm_volume origin;
    const char *type; /* of the file system; NULL: the volume is the disk itself */
    char *name, *tag, *mount;
};

/* ---- Whether ------------------------------------------------------------------------------------------------------------------*/

/* The device of what is on the volume; 0: it is not on a logical volume, or cannot be mounted a second time. *ret_type as above. */
static dev_t volume_device(const char *volume, const char **ret_type)
{
    _cleanup_close_ int fd = io_open_file(volume, O_PATH, NULL);
    struct stat st;

    *ret_type = NULL;
    if (fd < 0 || fstat(fd, &st) < 0)
        return 0;
    if (S_ISBLK(st.st_mode))
        return lvm_is_volume(st.st_rdev) ? st.st_rdev : 0;
    return S_ISDIR(st.st_mode) && (*ret_type = lvm_mountable(volume)) && lvm_is_volume(st.st_dev) ? st.st_dev : 0;
}

static bool image_is_on(dev_t dev, const char *type, const char *image)
{
    _cleanup_close_ int fd = io_open_file(image, O_PATH, NULL);
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 && (type ? S_ISREG(st.st_mode) && st.st_dev == dev : S_ISBLK(st.st_mode) && st.st_rdev == dev);
}

static int pool_room(const struct lvm_volume *v, struct err *err)
{
    struct lvm_volume pool;

    int r = lvm_named(v->vg_uuid, v->pool, &pool, err);
    if (r >= 0 && (pool.full >= POOL_FULL || pool.metadata_full >= POOL_FULL))
        r = err_vss(
            err, VSS_E_INSUFFICIENT_STORAGE, ENOSPC,
            "thin pool %s/%s is nearly full (data %u %%, metadata %u %%), and whatever changes after a snapshot takes up space in it: "
            "extend it (lvextend)",
            v->vg, v->pool, pool.full, pool.metadata_full);
    lvm_volume_clear(&pool);
    return r;
}

/* Of what is free in its group, a classic snapshot gets an equal share, as far as it can use it. */
static uint64_t share_of(const struct lvm_volume *v, size_t n)
{
    uint64_t extent = v->extent ? v->extent : 1, most = v->size + v->size / 50 + SPARE_EXTENTS * extent;

    return num_min(most, v->vg_free / n) / extent * extent;
}

static int check_share(const struct lvm_volume *v, size_t n, struct err *err)
{
    char have[16], need[16];

    if (share_of(v, n) >= v->size / 100 * SHARE_MIN)
        return 0;
    return err_vss(
        err, VSS_E_INSUFFICIENT_STORAGE, ENOSPC,
        "volume group %s has %s free, too little for %zu snapshot%s, one of them of %s, which has %s: each needs at least %u %% of "
        "its volume",
        v->vg, num_format_size(v->vg_free, have), n, n > 1 ? "s" : "", v->name, num_format_size(v->size, need), SHARE_MIN);
}

static int snapshot_room(const struct lvm_volume *v, size_t n, struct err *err)
{
    return lvm_is_thin(v) ? pool_room(v, err) : check_share(v, n, err);
}

/* Nobody asked for a snapshot where it is about files: it must cost nearly nothing, and not use up what a pool needs to grow. What is not
 * so is copied while its writer is held, or shared. */
static bool good_for_files(const struct lvm_volume *v, const char *type)
{
    struct lvm_volume pool = { 0 };

    bool ok = type && !strcmp(type, "ext4") && lvm_is_thin(v) && lvm_named(v->vg_uuid, v->pool, &pool, NULL) >= 0 &&
              pool.full < POOL_FULL_FILES && pool.metadata_full < POOL_FULL_FILES;
    lvm_volume_clear(&pool);
    return ok;
}

static int lvm_supports(const struct volume_provider *p, const struct kvss_volume *volume, bool *ret, struct err *err)
{
    const char *type;
    struct lvm_volume v = { 0 };
    dev_t dev = volume_device(volume->name, &type);

    (void)p;
    (void)err;
    if (dev && lvm_of_device(dev, &v, NULL) >= 0 && (lvm_is_thin(&v) || lvm_is_classic(&v)))
        *ret = volume->target ? image_is_on(dev, type, volume->path) : good_for_files(&v, type);
    lvm_volume_clear(&v);
    return 0;
}

/* ---- The copy -----------------------------------------------------------------------------------------------------------------*/

static void lvm_forget(void *state)
{
    struct lvm_copy *l = state;

    if (!l)
        return;
    lvm_volume_clear(&l->origin);
    free(l->name);
    free(l->tag);
    free(l->mount);
    free(l);
}
DEFINE_CLEANUP(void *, lvm_forget)

/* How many classic snapshots of the set share what is free in a group. */
static size_t snapshots_in(const struct volume_provider *p, const char *set_id, const char *vg_uuid)
{
    size_t n = 0;

    for (const struct volume_copy *c = p->copies; c; c = c->next) {
        const struct lvm_copy *l = c->state;
        n += l && !strcmp(c->set_id, set_id) && !strcmp(l->origin.vg_uuid, vg_uuid) && !lvm_is_thin(&l->origin);
    }
    return n;
}

static int lvm_prepare(struct volume_provider *p, struct volume_copy *c, struct err *err)
{
    _cleanup_(lvm_forget_p) void *state = calloc(1, sizeof(struct lvm_copy));
    struct lvm_copy *l = state;

    if (!l)
        return err_nomem(err);
    dev_t dev = volume_device(c->volume, &l->type);
    int r = dev ? lvm_of_device(dev, &l->origin, err) : err_set(err, ENODEV, "%s is no longer on a logical volume", c->volume);
    if (r >= 0)
        r = snapshot_room(&l->origin, 1 + snapshots_in(p, c->set_id, l->origin.vg_uuid), err);
    if (r < 0)
        return r;
    l->name = str_format("kvss-%.8s-%.8s", c->set_id, c->snapshot_id);
    l->tag = str_format("kvss-%s-%s", c->set_id, c->snapshot_id);
    l->mount = l->type ? str_format("%s/volume-%.8s", p->config.session_dir, c->snapshot_id) : NULL;
    if (!l->name || !l->tag || (l->type && !l->mount))
        return err_nomem(err);
    c->state = TAKE_PTR(state);
    return 0;
}

/* It may have waited for its turn, and others may have come into the set. */
static int lvm_look_again(struct volume_provider *p, struct volume_copy *c, struct err *err)
{
    struct lvm_copy *l = c->state;
    struct lvm_volume now;

    int r = lvm_named(l->origin.vg_uuid, l->origin.name, &now, err);
    if (r >= 0 && strcmp(now.uuid, l->origin.uuid))
        r = err_set(err, ESTALE, "%s is no longer on the logical volume that it was on", c->volume);
    if (r < 0) {
        lvm_volume_clear(&now);
        return r;
    }
    lvm_volume_clear(&l->origin);
    l->origin = now;
    return snapshot_room(&l->origin, snapshots_in(p, c->set_id, l->origin.vg_uuid), err);
}

/* Its device is where the copy of a disk is read; a file system is mounted later, when nobody is held. */
static int lvm_copy(struct volume_provider *p, struct volume_copy *c, struct err *err)
{
    const struct lvm_copy *l = c->state;
    const struct lvm_volume *v = &l->origin;
    const struct journal_arg args[] = {
        { "group", c->snapshot_id }, { "vg", v->vg }, { "vg_uuid", v->vg_uuid }, { "name", l->name }, { "tag", l->tag }, { NULL, NULL },
    };
    const struct lvm_wish wish = {
        .name = l->name,
        .tag = l->tag,
        .thin = lvm_is_thin(v),
        .size = lvm_is_thin(v) ? 0 : share_of(v, snapshots_in(p, c->set_id, v->vg_uuid)),
        .read_only = !l->type,
    };

    int r = journal_begin(p->config.journal, VERB_LV_SNAPSHOT, args, &c->fx, err);
    if (r >= 0)
        r = lvm_snapshot(v, &wish, err);
    if (r >= 0)
        r = volume_effect_done(p, c->fx, err);
    if (r >= 0 && !l->type && !(c->path = str_format("/dev/%s/%s", v->vg, l->name)))
        r = err_nomem(err);
    return r;
}

static int lvm_open(struct volume_provider *p, struct volume_copy *c, struct err *err)
{
    const struct lvm_copy *l = c->state;
    _cleanup_free_ char *device = str_format("/dev/%s/%s", l->origin.vg, l->name), *id = NULL;
    struct stat st;

    if (!l->type)
        return 0;
    if (!device)
        return err_nomem(err);
    if (stat(device, &st) < 0)
        return err_errno(err, errno, "cannot access the snapshot %s", device);
    if (!S_ISBLK(st.st_mode) || !(id = lvm_device_id(st.st_rdev)))
        return err_set(err, ENODEV, "%s is not the snapshot that was created", device);
    const struct journal_arg args[] = { { "group", c->snapshot_id }, { "path", l->mount }, { "device", id }, { NULL, NULL } };
    int r = journal_begin(p->config.journal, VERB_VOLUME_MOUNT, args, &c->fx_open, err);
    if (r >= 0)
        r = lvm_mount(device, l->type, l->mount, c->volume, &c->path, err);
    return r < 0 ? r : volume_effect_done(p, c->fx_open, err);
}

static int lvm_seal(struct volume_provider *p, struct volume_copy *c, struct err *err)
{
    const struct lvm_copy *l = c->state;

    if (!l->type || !c->path)
        return 0;
    int r = volume_drop_overlays(p, c, err);
    return r < 0 ? r : lvm_mount_close(l->mount, err);
}

/* A classic snapshot is worth nothing once it is full. */
static int lvm_check(struct volume_provider *p, struct volume_copy *c, struct err *err)
{
    const struct lvm_copy *l = c->state;
    struct lvm_volume v;

    (void)p;
    bool full = c->fx && lvm_tagged(l->origin.vg_uuid, l->tag, &v, NULL) >= 0 && v.invalid;
    if (c->fx)
        lvm_volume_clear(&v);
    return !full
               ? 0
               : err_vss(err, VSS_E_INSUFFICIENT_STORAGE, ENOSPC,
                         "the snapshot of logical volume %s/%s ran out of space, because too much was written meanwhile: extend the volume "
                         "group, or use another provider",
                         l->origin.vg, l->origin.name);
}

/* ---- The undo -----------------------------------------------------------------------------------------------------------------*/

/* Its group may only be out of reach: then nothing is known. */
static int group_is_there(const struct journal_effect *e, struct err *err)
{
    _cleanup_free_ char *select = str_format("vg_uuid=%s", journal_value(e, "vg_uuid"));
    bool there = false;

    int r = select ? lvm_group(select, &there, err) : err_nomem(err);
    if (r >= 0 && !there)
        r = err_set(err, ENODEV, "volume group %s cannot be found, and snapshot %s may still be in it: once it is back, run: kvss recover",
                    journal_value(e, "vg"), journal_value(e, "name"));
    return r;
}

static int undo_snapshot(void *ctx, const struct journal_effect *e, struct err *err)
{
    const char *vg_uuid = journal_value(e, "vg_uuid"), *name = journal_value(e, "name"), *tag = journal_value(e, "tag");
    struct err why = ERR_INIT;
    struct lvm_volume v;

    (void)ctx;
    if (!vg_uuid || !name || !tag)
        return err_set(err, EINVAL, "the journal does not say which snapshot is meant");
    int r = lvm_tagged(vg_uuid, tag, &v, &why);
    if (r == -ENOENT)
        r = group_is_there(e, err);
    else if (r < 0)
        err_move(err, &why);
    else
        r = lvm_remove(v.uuid, err);
    lvm_volume_clear(&v);
    return r;
}

static const struct journal_verb lvm_verbs[] = {
    { VERB_LV_SNAPSHOT, undo_snapshot, .undone = "the snapshot of a logical volume is removed", .in_order = true, .holds = true },
    { VERB_VOLUME_MOUNT, lvm_undo_mount, .undone = "a shadow copy is unmounted", .places = { "path" }, .holds = true },
    { NULL, NULL },
};

/* ---- As a provider --------------------------------------------------------------------------------------------------------------*/

static const struct volume_kind lvm_kind = {
    .name = "lvm",
    .supports = lvm_supports,
    .prepare_volume = lvm_prepare,
    .look_again = lvm_look_again,
    .copy_volume = lvm_copy,
    .open_volume = lvm_open,
    .seal_volume = lvm_seal,
    .check_volume = lvm_check,
    .free_state = lvm_forget,
};

static int lvm_new(const struct provider_context *context, void **ret, struct err *err)
{
    return volume_provider_new(&lvm_kind, context, ret, err);
}

static const struct kvss_provider lvm_ops = {
    .name = "lvm",
    .id = "0b7e1d52-3a9c-4f6e-9d1b-7c2f5e8a4d30",
    VOLUME_PROVIDER_OPS,
};

const struct builtin_provider lvm_provider = {
    .ops = &lvm_ops,
    .make = lvm_new,
    .free = volume_provider_free,
    .verbs = lvm_verbs,
    .files_in_device = true,
    .priority = 3,
};
