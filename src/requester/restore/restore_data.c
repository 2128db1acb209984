/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The data of a restore: parts that the VM writer needs, images beside their targets, and their way into place. */
#include "base/io.h"
#include "base/io_at.h"
#include "base/num.h"
#include "requester/stage/stage.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define IMAGES_AT_ONCE 2
#define SECTOR 512u

static struct transfer transfer_of(const struct restore *r)
{
    return (struct transfer){ .progress = r->rq->config.progress, .cancel = r->rq->config.cancel, .log = r->rq->config.log };
}

/* Writes an image of the point to the new, empty file fd. */
static int write_to_fd(struct restore *r, const char *label, struct store_image *image, int fd, struct err *err)
{
    struct transfer t = transfer_of(r);
    struct transfer_out out = { .label = label, .image = image, .fd = fd, .fresh = true };

    if (ftruncate(fd, (off_t)store_image_size(image)) < 0)
        return err_errno(err, errno, "cannot restore %s", label);
    int rc = transfer_write(&t, &out, err);
    return rc < 0 ? rc : fsync(fd) < 0 ? err_errno(err, errno, "cannot restore %s", label) : 0;
}

/* A part into the new, empty file fd, which will be at path. */
static int part_to_fd(struct restore *r, const struct restore_vm *vm, const struct vm_record_part *part, const char *path, int fd,
                      struct err *err)
{
    const char *stored = part->stored_as;
    _cleanup_(store_image_close_p) struct store_image *image = NULL;
    _cleanup_buf_ struct buf data = BUF_INIT;
    _cleanup_free_ char *label = str_format("%s %s", vm->name, part->name);

    if (!label)
        return err_nomem(err);
    bool large = part->kind == VM_PART_IMAGE, pages = part->kind == VM_PART_PAGES;
    int rc = pages   ? restore_memory(r, label, part, fd, err)
             : large ? store_image_open(r->point, stored, &image, err)
                     : store_read_document(r->point, stored, &data, err);
    if (rc >= 0 && large)
        rc = write_to_fd(r, label, image, fd, err);
    else if (rc >= 0 && !pages && (rc = io_write(fd, data.data, data.len)) < 0)
        err_errno(err, -rc, "cannot write %s", path);
    if (rc >= 0)
        rc = restore_give_away(r, fd, &part->owner, path, part->tpm != NULL, err);
    if (rc >= 0 && fsync(fd) < 0)
        rc = err_errno(err, errno, "cannot write %s", path);
    return rc;
}

/* As a new file at path, in a folder of ours or libvirt's. */
static int part_to_file(struct restore *r, const struct restore_vm *vm, const struct vm_record_part *part, const char *path,
                        struct err *err)
{
    _cleanup_close_ int dir = -1, fd = -1;
    _cleanup_free_ char *name = NULL;

    int rc = io_open_parent(path, &dir, &name, err);
    if (rc < 0)
        return rc;
    if ((fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)) < 0)
        return err_errno(err, errno, "cannot create %s", path);
    return part_to_fd(r, vm, part, path, fd, err);
}

/* ---- Before PreRestore: what the VM writer gets ---------------------------------------------------------------------------*/

static int take_definition(struct restore *r, struct restore_vm *vm, struct err *err)
{
    const struct vm_record_part *part = restore_find_part(vm, VM_PART_DEFINITION);

    if (!part)
        return err_set(err, EUCLEAN, "VM %s: the restore point contains no definition", vm->name);
    vm->definition = str_format("%s/%s.xml", r->s->dir, vm->uuid);
    return vm->definition ? part_to_file(r, vm, part, vm->definition, err) : err_nomem(err);
}

/* A VM that boots gets the definition that it ran with, if there was another one for its next start. One that has its memory has it too. */
static int make_live(struct restore *r, struct restore_vm *vm, struct err *err)
{
    _cleanup_free_ char *xml = NULL;

    if (vm->part || vm->with_memory || restore_definition(vm) != vm->live)
        return 0;
    vm->live_path = str_format("%s/%s.live.xml", r->s->dir, vm->uuid);
    int rc = vm->live_path ? hv_def_text(vm->live, &xml, err) : err_nomem(err);
    return rc < 0 ? rc : io_replace_file(vm->live_path, xml, strlen(xml), 0600, err);
}

/* Memory may be many gigabytes, and the run-time folder is often in memory itself: it goes where libvirt keeps such files. */
static int take_memory(struct restore *r, struct restore_vm *vm, struct err *err)
{
    const struct vm_record_part *part = restore_find_part(vm, VM_PART_MEMORY);
    const char *dir = hv_save_dir(r->s->hv);
    uint64_t id;

    if (!part || !vm->with_memory)
        return 0;
    if (!dir || access(dir, W_OK | X_OK) < 0)
        dir = r->s->dir;
    vm->memory = str_format("%s/" IO_TEMPORARY_PREFIX "%.8s-%.8s.memory", dir, vss_session_id(r->s->vss), vm->uuid);
    if (!vm->memory)
        return err_nomem(err);
    struct journal_arg args[] = { { "group", vm->uuid }, { "path", vm->memory }, { NULL, NULL } };
    int rc = journal_begin(r->s->journal, VERB_STAGED_FILE, args, &id, err);
    if (rc < 0 || (rc = part_to_file(r, vm, part, vm->memory, err)) < 0)
        return rc;
    rc = journal_done(r->s->journal, id);
    return rc < 0 ? err_errno(err, -rc, "cannot create %s", vm->memory) : 0;
}

int restore_prepare_parts(struct restore *r, struct err *err)
{
    for (size_t i = 0; i < r->n_vms; i++) {
        struct restore_vm *vm = &r->vms[i];
        int rc = take_definition(r, vm, err);
        if (rc >= 0)
            rc = make_live(r, vm, err);
        if (rc >= 0)
            rc = take_memory(r, vm, err);
        if (rc >= 0)
            rc = restore_set_options(r, vm, err);
        if (rc < 0)
            return err_context(err, "VM %s", vm->name);
    }
    return 0;
}

/* ---- Images ---------------------------------------------------------------------------------------------------------------*/

static void add_option(struct buf *b, const char *name, const char *value)
{
    if (value)
        buf_addf(b, "%s%s=%s", b->len ? "," : "", name, value);
}

/* An option's value is one of qemu-img's words or a number; anything else came from a damaged record. */
static const char *word(const char *s)
{
    return s && s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789.")] == '\0' && *s ? s : NULL;
}

/* The options that an image like the old one is made with: "cluster_size=65536,compat=1.1". NULL: none. Caller frees. */
static char *image_options(const struct restore_disk *d)
{
    const struct vm_record_image *image = &d->record->image;
    const char *prealloc = word(image->preallocation), *was = d->record->format;
    struct buf b = BUF_INIT;

    if (!was || strcmp(was, d->format))
        return NULL; /* another format has other options */

    if (prealloc && strcmp(prealloc, "off"))
        add_option(&b, "preallocation", prealloc);
    if (!strcmp(d->format, "qcow2")) {
        uint64_t cluster = image->cluster_size;
        add_option(&b, "compat", word(image->compat));
        if (cluster >= 512 && cluster <= 2 * MIB && num_is_pow2(cluster))
            buf_addf(&b, "%scluster_size=%llu", b.len ? "," : "", (unsigned long long)cluster);
        add_option(&b, "lazy_refcounts", image->lazy_refcounts ? "on" : NULL);
        const char *compression = word(image->compression);
        add_option(&b, "compression_type", compression && strcmp(compression, "zlib") ? compression : NULL);
        uint64_t bits = image->refcount_bits;
        if (bits && bits != 16 && bits <= 64 && num_is_pow2(bits))
            buf_addf(&b, "%srefcount_bits=%llu", b.len ? "," : "", (unsigned long long)bits);
        add_option(&b, "extended_l2", image->extended_l2 ? "on" : NULL);
    }
    return b.len ? buf_take_str(&b) : NULL;
}

/* fd: of the image that was made; -1: the block device that was there */
static int write_exported(struct restore *r, struct restore_disk *d, int fd, struct err *err)
{
    struct transfer t = transfer_of(r);
    struct hv_export *e = NULL;
    bool fresh = fd >= 0;

    int rc = fresh ? hv_export_start_new(r->s->dir, fd, d->made, d->format, &e, err)
                   : hv_export_start(r->s->dir, d->path, d->format, HV_EXPORT_WRITE, &e, err);
    if (rc < 0)
        return rc;
    struct transfer_out out = { .label = d->label, .image = d->content, .nbd_uri = hv_export_uri(e), .fd = -1, .fresh = fresh };
    rc = transfer_write(&t, &out, err);
    struct err why = ERR_INIT;
    int stopped = hv_export_stop(e, rc < 0 ? &why : err); /* also on failure; then the first one counts */
    return rc < 0 ? rc : stopped;
}

/* What a raw image lacks of its last sector QEMU reads as zeros; the file ends where it ended. */
static int cut_last_sector(const struct restore_disk *d, int fd)
{
    uint64_t size = d->record->image.file_size.value;
    bool cut = !strcmp(d->format, "raw") && size < d->size && d->size - size < SECTOR;

    return cut && ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

static int finish_image(struct restore *r, const struct restore_disk *d, int fd, struct err *err)
{
    int rc = cut_last_sector(d, fd);
    if (rc < 0)
        return err_errno(err, -rc, "cannot truncate %s", d->made);
    rc = restore_give_away(r, fd, &d->record->owner, d->path, false, err);
    return rc < 0 ? rc : fsync(fd) < 0 ? err_errno(err, errno, "cannot write %s", d->made) : 0;
}

static int make_image(struct restore *r, struct restore_disk *d, struct err *err)
{
    _cleanup_free_ char *options = image_options(d);
    _cleanup_close_ int fd = -1;

    int rc = stage_create(r->stage, d->made, &fd, err);
    if (rc >= 0)
        rc = hv_image_make(fd, d->made, d->format, d->size, options, err);
    if (rc >= 0)
        rc = strcmp(d->format, "raw") ? write_exported(r, d, fd, err) : write_to_fd(r, d->label, d->content, fd, err);
    if (rc >= 0)
        rc = finish_image(r, d, fd, err);
    return rc < 0 ? rc : stage_made(r->stage, d->made, err);
}

struct all_disks {
    struct restore *r;
    struct restore_vm **vms; /* per disk */
    struct restore_disk **disks;
    size_t n;
};

static int restore_one_disk(void *ctx, size_t i, struct err *err)
{
    const struct all_disks *all = ctx;
    struct restore_disk *d = all->disks[i];

    int rc = job_cancelled(all->r->rq, err);
    if (rc < 0)
        return rc;
    rc = d->block_device ? write_exported(all->r, d, -1, err) : make_image(all->r, d, err);
    return rc < 0 ? err_context(err, "VM %s, disk %s", all->vms[i]->name, d->target) : 0;
}

/* The folder of a target may be gone. */
static int stage_beside(struct restore *r, const char *group, const char *target, unsigned flags, const char **ret, struct err *err)
{
    _cleanup_free_ char *dir = io_dirname(target);

    int rc = dir ? stage_folder(r->stage, group, dir, 0711, err) : err_nomem(err);
    return rc < 0 ? rc : stage_add(r->stage, group, target, flags, ret, err);
}

/* Its place in the pool was told to the VM writer already. */
static int make_volume(struct restore *r, const struct restore_vm *vm, const struct restore_disk *d, struct err *err)
{
    _cleanup_free_ char *name = io_basename(d->path), *path = NULL, *key = NULL;
    const struct journal_arg args[] = { { "group", vm->uuid }, { "pool", r->job->pool }, { "name", name }, { NULL, NULL } };
    uint64_t id = 0;

    int rc = name ? journal_begin(r->s->journal, VERB_MADE_VOLUME, args, &id, err) : err_nomem(err);
    if (rc < 0)
        return rc;
    rc = hv_volume_make(r->s->hv, r->job->pool, name, d->size, &path, &key, err);
    if (rc == -EEXIST) /* made by somebody just now: theirs */
        journal_settled(r->s->journal, id);
    if (rc >= 0)
        rc = journal_note(r->s->journal, id, "key", key, err);
    if (rc < 0)
        return rc;
    if (!restore_same_file(path, d->path))
        return err_set(err, EINVAL, "new volume %s of storage pool %s is %s, not %s", name, r->job->pool, path, d->path);
    rc = journal_done(r->s->journal, id);
    return rc < 0 ? err_errno(err, -rc, "cannot create volume %s", name) : 0;
}

enum which { STAGED, OTHER_DEVICES, IN_PLACE };

static enum which which_is(const struct restore_disk *d)
{
    return d->in_place ? IN_PLACE : d->block_device ? OTHER_DEVICES : STAGED;
}

static int before_disk(struct restore *r, struct restore_vm *vm, struct restore_disk *d, struct err *err)
{
    if (d->in_place)
        vm->files_touched = true;
    else if (!d->block_device)
        return stage_beside(r, vm->uuid, d->path, d->own || r->job->overwrite ? 0 : STAGE_NEW, &d->made, err);
    else if (d->new_volume)
        return make_volume(r, vm, d, err);
    else
        r->devices_touched = true;
    return 0;
}

/* Several at once. */
static int restore_disks(struct restore *r, enum which which, struct err *err)
{
    size_t max = 1;
    for (size_t i = 0; i < r->n_vms; i++)
        max += r->vms[i].n_disks;
    _cleanup_free_ struct restore_vm **vms = calloc(max, sizeof(struct restore_vm *));
    _cleanup_free_ struct restore_disk **disks = calloc(max, sizeof(struct restore_disk *));
    struct all_disks all = { r, vms, disks, 0 };
    int rc = vms && disks ? 0 : err_nomem(err);

    for (size_t i = 0; i < r->n_vms && rc >= 0; i++)
        for (size_t k = 0; k < r->vms[i].n_disks && rc >= 0; k++) {
            struct restore_disk *d = &r->vms[i].disks[k];
            if (which_is(d) != which)
                continue;
            vms[all.n] = &r->vms[i];
            disks[all.n++] = d;
            if ((rc = before_disk(r, &r->vms[i], d, err)) < 0)
                err_context(err, "VM %s, disk %s", r->vms[i].name, d->target);
        }
    return rc < 0 ? rc : par_each(all.n, IMAGES_AT_ONCE, restore_one_disk, &all, err);
}

int restore_stage_part(struct restore *r, struct restore_vm *vm, const struct vm_record_part *part, const char *target,
                       const char **ret_made, struct err *err)
{
    /* swtpm and libvirt make them anew while the VM still runs. */
    int rc = stage_beside(r, vm->uuid, target, STAGE_MAY_CHANGE, ret_made, err);
    _cleanup_close_ int fd = -1;

    if (rc >= 0)
        rc = stage_create(r->stage, *ret_made, &fd, err);
    if (rc >= 0)
        rc = part_to_fd(r, vm, part, target, fd, err);
    return rc < 0 ? rc : stage_made(r->stage, *ret_made, err);
}

char *restore_files_group(const struct restore_files *f)
{
    return str_format("files-%zu", f->number);
}

/* Twice, where it goes to alternate locations after all: what was staged first is left to the undo. */
int restore_stage_component(struct restore *r, struct restore_files *f, struct err *err)
{
    json_decref(f->set_ids);
    f->set_ids = json_array();
    struct files_job job = {
        .number = f->number, .cancel = r->rq->config.cancel, .set_ids = f->set_ids, .only_new = (f->to || f->moved) && !r->job->overwrite
    };
    if (!f->set_ids)
        return err_nomem(err);
    int rc = files_stage(r->point, f->index, &job, r->stage, f->group, err);
    return rc < 0 ? err_context(err, "component %s", f->component) : 0;
}

int restore_stage(struct restore *r, struct err *err)
{
    int rc = restore_disks(r, STAGED, err);

    for (size_t i = 0; i < r->n_vms && rc >= 0; i++)
        if (r->vms[i].nvram_path &&
            (rc = restore_stage_part(r, &r->vms[i], r->vms[i].nvram, r->vms[i].nvram_path, &r->vms[i].nvram_made, err)) < 0)
            err_context(err, "VM %s, NVRAM", r->vms[i].name);
        else if ((rc = restore_stage_tpm(r, &r->vms[i], err)) < 0)
            err_context(err, "VM %s, TPM", r->vms[i].name);
    for (size_t i = 0; i < r->n_files && rc >= 0; i++)
        rc = restore_stage_component(r, &r->files[i], err);
    return rc < 0 ? rc : restore_disks(r, OTHER_DEVICES, err); /* last: what they held is lost */
}

/* ---- Into place -----------------------------------------------------------------------------------------------------------*/

int restore_devices_in_place(struct restore *r, struct err *err)
{
    return restore_disks(r, IN_PLACE, err);
}

int restore_files_in_place(struct restore *r, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < r->n_vms && rc >= 0; i++) {
        r->vms[i].files_touched = true;
        rc = restore_enter_old(r, &r->vms[i], err);
        if (rc >= 0)
            rc = stage_swap(r->stage, r->vms[i].uuid, err);
        r->vms[i].files_done = rc >= 0;
    }
    for (size_t i = 0; i < r->n_files && rc >= 0; i++) {
        r->files[i].touched = true;
        rc = stage_swap(r->stage, r->files[i].group, err);
        r->files[i].done = rc >= 0;
    }
    return rc;
}
