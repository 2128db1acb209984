/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file backup: disks from the shadow copies, the other parts of each VM, and the documents, into the restore point. */
#include "base/clock.h"
#include "base/io.h"
#include "requester/backup/backup.h"
#include "requester/stage/stage.h"
#include <errno.h>
#include <string.h>

#define END_WAIT_MS 3000u
#define END_TOGETHER_MS 500u /* after another one */
#define END_LOOK_MS 50u

/* The backup owns the string (s is taken over) as long as the job lasts. */
static const char *read_keep(struct backup *b, char *s)
{
    _cleanup_free_ char *mine = s;
    int r = mine ? strv_add(&b->strings, mine) : -ENOMEM;

    return r < 0 ? NULL : b->strings[strv_len(b->strings) - 1];
}

static int add_item(struct backup *b, struct backup_item of, const struct transfer_in *item, struct err *err)
{
    struct transfer_in *items = realloc(b->items, (b->n_items + 1) * sizeof(*items));
    if (items)
        b->items = items;
    struct backup_item *whose = realloc(b->item_of, (b->n_items + 1) * sizeof(*whose));
    if (whose)
        b->item_of = whose;
    if (!items || !whose || !item->label || !item->image || !(item->nbd_uri || item->path))
        return err_nomem(err);
    items[b->n_items] = *item;
    whose[b->n_items++] = of;
    return 0;
}

/* ---- Disks ----------------------------------------------------------------------------------------------------------------*/

static int record_owner(struct owner *o, const char *path, struct err *err)
{
    struct stat st;

    return path && path[0] == '/' && stat(path, &st) == 0 ? owner_of(&st, o, err) : 0;
}

static int read_record_text(char **to, const char *text, struct err *err)
{
    free(*to);
    return (*to = strdup(text)) ? 0 : err_nomem(err);
}

/* The backup owns the list as long as the job lasts. */
static int keep_changes(struct backup *b, struct kvss_disk_source *source, struct transfer_in *item, struct err *err)
{
    struct kvss_range **lists = reallocarray(b->changes, b->n_changes + 1, sizeof(struct kvss_range *));

    if (!lists)
        return err_nomem(err);
    b->changes = lists;
    item->changed = lists[b->n_changes++] = TAKE_PTR(source->changed);
    item->n_changed = source->n_changed;
    item->changes_known = true;
    return 0;
}

/* Where only what changed is to be read: since when, and what stands elsewhere. Else why not, in the disk's record. */
static int stand_on_parent(struct backup *b, struct backup_component *c, struct vm_record_disk *disk, struct kvss_disk_source *source,
                           struct transfer_in *item, struct err *err)
{
    _cleanup_free_ char *why = NULL;
    const char *image;

    if (!c->chain || !c->chain->point)
        return 0;
    image = chain_image(c->chain, disk, &why);
    if (image && (source->dirty_context || source->changes_known)) {
        item->dirty_context = source->dirty_context ? read_keep(b, TAKE_PTR(source->dirty_context)) : NULL;
        item->parent_point = c->chain->point;
        item->parent_image = image;
        return item->dirty_context ? 0 : source->changes_known ? keep_changes(b, source, item, err) : err_nomem(err);
    }
    return read_record_text(&disk->why_whole,
                            why                ? why
                            : source->why_full ? source->why_full
                                               : "its changes since the last backup are not known",
                            err);
}

/* Whether the VM's QEMU, which serves its disks, answers. A VM that is gone answers by its end. */
static int ask_vm(void *priv, struct err *err)
{
    const struct backup_server *a = priv;
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;

    SCOPED_LOCK(a->asking);
    int r = hv_domain_find(a->hv, a->uuid, &d, NULL);
    return r < 0 ? 0 : hv_domain_answers(d, err);
}

static bool is_active(const struct backup_component *c)
{
    return c->record.uuid && (c->record.state == HV_RUNNING || c->record.state == HV_PAUSED);
}

/* An image in a shadow copy, which nobody serves, is served as that of a VM that is off is. */
static int read_export(struct backup *b, struct kvss_disk_source *source, struct err *err)
{
    struct hv_export **more;
    int r;

    if (source->nbd_uri)
        return 0;
    more = reallocarray(b->exports, b->n_exports + 1, sizeof(struct hv_export *));
    if (!more)
        return err_nomem(err);
    b->exports = more;
    r = hv_export_start(b->s->dir, source->path, source->format, HV_EXPORT_READ, &more[b->n_exports], err);
    if (r < 0)
        return r;
    source->apart = true;
    source->nbd_uri = strdup(hv_export_uri(more[b->n_exports++]));
    return source->nbd_uri ? 0 : err_nomem(err);
}

static int read_add_disk(struct backup *b, struct backup_component *c, struct vm_record_disk *disk, struct err *err)
{
    const char *target = disk->target;
    _cleanup_(kvss_disk_source_free) struct kvss_disk_source source = { 0 };

    if (!disk->covered)
        return 0;
    if (!target || strchr(target, '/'))
        return err_set(err, EINVAL, "the VM writer reported a disk without a target");
    int r = vss_open_disk(b->s->vss, c->name, target, &source, err);
    if (r >= 0)
        r = read_export(b, &source, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *rest = str_format("disk/%s", target);
    struct transfer_in item = {
        .label = read_keep(b, str_format("%s %s", backup_vm_name(c), target)),
        .nbd_uri = read_keep(b, TAKE_PTR(source.nbd_uri)),
        .apart = source.apart,
        .image = rest ? read_keep(b, point_vm_name(c->name, rest)) : NULL,
    };
    if (is_active(c) && !source.apart) {
        c->server = (struct backup_server){ b->s->hv, c->name, b->asking };
        item.answers = ask_vm;
        item.answers_priv = &c->server;
    }
    r = chain_record_files(disk, err);
    if (r >= 0)
        r = stand_on_parent(b, c, disk, &source, &item, err);
    if (r >= 0)
        r = add_item(b, (struct backup_item){ .component = c, .disk = disk }, &item, err);
    if (r >= 0)
        r = read_record_text(&disk->stored_as, item.image, err);
    return r < 0 ? r : record_owner(&disk->owner, disk->path, err);
}

/* ---- Parts ----------------------------------------------------------------------------------------------------------------*/

static int store_small(struct backup *b, struct vm_record_part *part, const char *path, const char *name, struct err *err)
{
    _cleanup_buf_ struct buf data = BUF_INIT;

    int r = io_read_file(path, POINT_DOCUMENT_MAX, &data, err);
    if (r < 0)
        return r;
    part->stored = (struct vm_opt){ true, data.len };
    return store_write_document(b->w, name, data.data ? (const void *)data.data : "", data.len, err);
}

static int read_add_part(struct backup *b, struct backup_component *c, struct vm_record_part *part, struct err *err)
{
    const char *what = part->name, *path = part->path;
    struct stat st;

    if (!what || !path || strchr(what, '/'))
        return err_set(err, EINVAL, "the VM writer did not report where a part of the VM is stored");
    if (stat(path, &st) < 0)
        return err_errno(err, errno, "%s: cannot read %s", what, path);
    bool large = !strcmp(what, VM_PART_MEMORY) || (uint64_t)st.st_size > POINT_DOCUMENT_MAX;
    _cleanup_free_ char *rest = str_format("part/%s", what);
    const char *name = rest ? read_keep(b, point_vm_name(c->name, rest)) : NULL;
    if (!name)
        return err_nomem(err);

    part->kind = large ? VM_PART_IMAGE : VM_PART_DOCUMENT;
    part->size = (uint64_t)st.st_size;
    int r = read_record_text(&part->stored_as, name, err);
    if (r >= 0)
        r = record_owner(&part->owner, part->restore_path, err);
    if (r >= 0 && !strcmp(what, VM_PART_MEMORY))
        return 0; /* read_memories() */
    if (r < 0 || !large)
        return r < 0 ? r : store_small(b, part, path, name, err);
    struct transfer_in item = {
        .label = read_keep(b, str_format("%s %s", backup_vm_name(c), what)),
        .path = read_keep(b, strdup(path)),
        .image = name,
    };
    return add_item(b, (struct backup_item){ .component = c, .part = part }, &item, err);
}

static int read_add_vm(struct backup *b, struct backup_component *c, struct err *err)
{
    int r = vm_writer_take_record(b->s->vm_writer, c->name, &c->record, err);

    for (size_t i = 0; i < c->record.n_disks && r >= 0; i++)
        r = read_add_disk(b, c, &c->record.disks[i], err);
    for (size_t i = 0; i < c->record.n_parts && r >= 0; i++)
        r = read_add_part(b, c, &c->record.parts[i], err);
    return r < 0 ? err_context(err, "VM %s", backup_vm_name(c)) : 0;
}

/* One after the other: each keeps the store's workers busy. */
static int read_memories(struct backup *b, struct transfer *t, struct err *err)
{
    int r = 0;

    for (size_t i = 0; i < b->n && r >= 0; i++) {
        struct backup_component *c = &b->components[i];
        for (size_t k = 0; c->vm && k < c->record.n_parts && r >= 0; k++)
            if (!strcmp(c->record.parts[k].name, VM_PART_MEMORY))
                r = backup_memory(b, t, c, &c->record.parts[k], err);
    }
    return r;
}

/* ---- What it came to ------------------------------------------------------------------------------------------------------*/

static int count_item(const struct transfer_in *in, const struct backup_item *of, struct err *err)
{
    bool increment = in->parent_point && !in->why_whole[0];
    const struct vm_opt read = { true, in->bytes_read }, stored = { true, in->stats.stored };

    if (of->part) {
        of->part->size = in->size;
        of->part->read = read;
        of->part->stored = stored;
    }
    if (!of->disk)
        return 0;
    if (increment)
        of->component->done = of->component->chain->type;
    of->disk->image_size = (struct vm_opt){ true, in->size };
    of->disk->read = read;
    of->disk->stored = stored;
    of->disk->dirty = (struct vm_opt){ increment, increment ? in->dirty : 0 };
    return in->why_whole[0] ? read_record_text(&of->disk->why_whole, in->why_whole, err) : 0;
}

static struct vm_opt dirty_sum(const struct vm_record *r)
{
    struct vm_opt sum = { true, 0 };

    for (size_t i = 0; i < r->n_disks; i++)
        sum.value += r->disks[i].dirty.value;
    return sum;
}

/* A VM none of whose disks could tell its changes got a full backup, whatever was asked. */
static int record_type(const struct backup *b, struct backup_component *c, struct err *err)
{
    const struct chain_vm *chain = c->chain;
    struct vm_record *to = &c->record;
    bool increment = c->done == VSS_BT_INCREMENTAL || c->done == VSS_BT_DIFFERENTIAL;
    const char *why = chain->why;

    if (!why && chain->point && !increment)
        why = "no disk has usable change tracking";
    int r = read_record_text(&to->asked, b->asked, err);
    if (r >= 0)
        r = read_record_text(&to->type, vss_backup_type_name(c->done), err);
    if (r >= 0 && why)
        r = read_record_text(&to->why_type, why, err);
    if (r >= 0 && increment)
        r = read_record_text(&to->since, chain->point, err);
    if (increment)
        to->dirty = dirty_sum(to);
    return r;
}

/* A connection to it breaks before libvirt knows that a QEMU has ended. */
static bool could_not_be_read(const struct backup *b, const struct backup_component *c)
{
    for (size_t i = 0; i < b->n_items; i++)
        if (b->item_of[i].component == c && b->items[i].failed && b->items[i].nbd_uri)
            return true;
    return false;
}

/* Whether the VM has ended, or does so within ms; *ret_d is NULL if it is gone. */
static bool has_ended(const struct backup *b, const struct backup_component *c, unsigned ms, struct hv_domain **ret_d)
{
    for (uint64_t end = clock_mono_ms() + ms;; clock_sleep_ms(END_LOOK_MS)) {
        _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
        struct err none = ERR_INIT;
        int r = hv_domain_find(b->s->hv, c->name, &d, &none);
        if (r == -ENOENT || (r >= 0 && (d->state == HV_OFF || d->state == HV_SAVED || hv_domain_process_gone(d)))) {
            *ret_d = TAKE_PTR(d);
            return true;
        }
        if (clock_mono_ms() >= end || par_cancelled(b->rq->config.cancel))
            return false;
    }
}

/* Whether this VM was turned off, or its QEMU ended, within ms; blamed then. `first`: its end is what the backup failed of. */
static bool explain_end_of(struct backup *b, const struct backup_component *c, unsigned ms, bool first, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    struct err why = ERR_INIT;

    if (!c->vm || !is_active(c) || !has_ended(b, c, ms, &d))
        return false;
    err_set(&why, EIO, "VM %s was turned off or its QEMU ended while its disks were being read (now %s)", backup_vm_name(c),
            !d                                           ? "deleted"
            : d->state == HV_OFF || d->state == HV_SAVED ? d->state_detail
                                                         : "not running");
    backup_blame(b, c->name, &why);
    if (first)
        err_move(err, &why);
    return true;
}

/* What a person has to know first, if QEMU is gone: not what became of a connection to it. Whatever ended one VM may have ended others,
 * which need not have been noticed by their connections. */
static void explain_end(struct backup *b, struct err *err)
{
    uint64_t until = 0; /* the others are looked at; 0: none has ended so far */

    for (int failed = 1; failed >= 0; failed--)
        for (size_t i = 0; i < b->n; i++) {
            uint64_t now = clock_mono_ms(), wait = failed ? END_WAIT_MS : until > now ? until - now : 0;
            if (could_not_be_read(b, &b->components[i]) == (bool)failed &&
                explain_end_of(b, &b->components[i], (unsigned)wait, until == 0, err))
                until = clock_mono_ms() + END_TOGETHER_MS;
        }
}

static bool has_disk_elsewhere(const struct vm_record *r)
{
    for (size_t i = 0; i < r->n_disks; i++)
        if (r->disks[i].covered && r->disks[i].path && r->disks[i].path[0] != '/')
            return true;
    return false;
}

/* A VM that is off cannot be started while its images are locked; on the network nothing locks them. Then it must be off still. */
static int check_still_off(struct backup *b, const struct backup_component *c, struct err *err)
{
    enum hv_state was = c->record.state;
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;

    if (!c->vm || (was != HV_OFF && was != HV_SAVED) || !has_disk_elsewhere(&c->record))
        return 0;
    int r = hv_domain_find(b->s->hv, c->name, &d, err);
    if (r < 0 || d->state == was)
        return r;
    return err_vss(err, VSS_E_WRITERERROR_RETRYABLE, EAGAIN,
                   "VM %s was %s and is %s now, and may have written to its network disk while it was being read: run the backup again",
                   backup_vm_name(c), hv_state_name(was), d->state == HV_OTHER ? d->state_detail : hv_state_name(d->state));
}

void backup_read_end(struct backup *b)
{
    for (size_t i = 0; i < b->n_exports; i++)
        (void)hv_export_stop(b->exports[i], NULL);
    free(b->exports);
    b->exports = NULL;
    b->n_exports = 0;
}

static int read_shadows(struct backup *b, struct err *err)
{
    const struct requester_config *c = &b->rq->config;
    struct transfer t = {
        .progress = c->progress, .cancel = c->cancel, .log = c->log, .keeper = b->s->keeper, .bytes_per_s = b->job->bytes_per_s
    };
    int r = 0;

    for (size_t i = 0; i < b->n && r >= 0; i++)
        r = b->components[i].vm ? read_add_vm(b, &b->components[i], err) : backup_files(b, &b->components[i], err);
    if (r >= 0)
        r = transfer_read(&t, b->rq->store, b->w, b->items, b->n_items, err);
    backup_read_end(b);
    if (r >= 0)
        r = read_memories(b, &t, err);
    for (size_t i = 0; i < b->n && r >= 0; i++)
        r = check_still_off(b, &b->components[i], err);
    return r;
}

int backup_read(struct backup *b, struct err *err)
{
    int r = read_shadows(b, err);

    if (r < 0) {
        if (err && r != -EINTR)
            explain_end(b, err);
        return r;
    }
    for (size_t i = 0; i < b->n; i++)
        b->components[i].done = b->type == VSS_BT_COPY ? VSS_BT_COPY : VSS_BT_FULL;
    for (size_t i = 0; i < b->n_items && r >= 0; i++)
        r = count_item(&b->items[i], &b->item_of[i], err);
    for (size_t i = 0; i < b->n && r >= 0; i++)
        if (b->components[i].chain)
            r = record_type(b, &b->components[i], err);
    return r;
}

/* ---- Documents ------------------------------------------------------------------------------------------------------------*/

static int write_metadata(struct backup *b, size_t i, struct err *err)
{
    _cleanup_free_ char *xml = NULL, *name = point_wmd_name(i);

    if (!name)
        return err_nomem(err);
    int r = vss_writer_metadata_xml(b->s->vss, i, &xml, err);
    return r < 0 ? r : store_write_document(b->w, name, xml, strlen(xml), err);
}

/* What will be read of it is what is told of the backup: with the bounds that there are for reading it. */
static int write_record(struct backup *b, struct backup_component *c, struct err *err)
{
    _cleanup_free_ char *name = point_vm_name(c->name, "vm.json");
    _cleanup_json_ json_t *j = vm_record_to_json(&c->record);
    _cleanup_buf_ struct buf text = BUF_INIT;

    if (!name || !j)
        return err_nomem(err);
    int r = json_to_buf(j, &text, err);
    if (r >= 0)
        r = store_write_document(b->w, name, text.data, text.len, err);
    return r < 0 ? r : vm_record_from_json(j, &c->record, err);
}

int backup_documents(struct backup *b, struct err *err)
{
    _cleanup_free_ char *bcd = NULL;
    int r = 0;

    for (size_t i = 0; i < vss_writer_count(b->s->vss) && r >= 0; i++)
        r = write_metadata(b, i, err);
    for (size_t i = 0; i < b->n && r >= 0; i++)
        if (b->components[i].vm)
            r = write_record(b, &b->components[i], err);
    if (r >= 0)
        r = vss_save_as_xml(b->s->vss, &bcd, err);
    return r < 0 ? r : store_write_document(b->w, POINT_BCD, bcd, strlen(bcd), err);
}
