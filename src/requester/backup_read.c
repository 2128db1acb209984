/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file backup: disks from the shadow copies, the other parts of each VM, and the documents, into the restore point. */
#include "base/io.h"
#include "requester/backup.h"
#include "requester/owner.h"
#include <errno.h>
#include <string.h>

static const char *vm_name(const struct backup_component *c)
{
    const char *name = json_get_text(c->record, "vm");

    return name ? name : c->name;
}

/* The backup owns the string (s is taken over) as long as the job lasts. */
static const char *keep(struct backup *b, char *s)
{
    _cleanup_free_ char *mine = s;
    int r = mine ? strv_add(&b->strings, mine) : -ENOMEM;

    return r < 0 ? NULL : b->strings[strv_len(b->strings) - 1];
}

static int add_item(struct backup *b, struct backup_component *c, const struct transfer_in *item, struct err *err)
{
    struct transfer_in *items = realloc(b->items, (b->n_items + 1) * sizeof(*items));
    if (items)
        b->items = items;
    struct backup_component **of = realloc(b->item_of, (b->n_items + 1) * sizeof(*of));
    if (of)
        b->item_of = of;
    if (!items || !of || !item->label || !item->image || !(item->nbd_uri || item->path))
        return err_set(err, ENOMEM, "out of memory");
    items[b->n_items] = *item;
    of[b->n_items++] = c;
    return 0;
}

/* ---- Disks ----------------------------------------------------------------------------------------------------------------*/

static void record_owner(json_t *o, const char *path)
{
    struct stat st;

    if (path && path[0] == '/' && stat(path, &st) == 0)
        (void)owner_record(o, &st);
}

static int add_disk(struct backup *b, struct backup_component *c, json_t *disk, struct err *err)
{
    const char *target = json_get_text(disk, "target");
    _cleanup_(kvss_disk_source_free) struct kvss_disk_source source = { 0 };

    if (!json_is_true(json_object_get(disk, "covered")))
        return 0;
    if (!target || strchr(target, '/'))
        return err_set(err, EINVAL, "the VM writer names no target for a disk");
    int r = qemu_provider_ops.open_disk(b->s->provider, b->set_id, c->name, target, &source, err);
    if (r < 0)
        return r;
    if (source.why_full)
        log_warning(b->rq->config.log, "%s %s is read whole: %s", vm_name(c), target, source.why_full);
    _cleanup_free_ char *rest = str_format("disk/%s", target);
    struct transfer_in item = {
        .label = keep(b, str_format("%s %s", vm_name(c), target)),
        .nbd_uri = keep(b, TAKE_PTR(source.nbd_uri)),
        .dirty_context = source.dirty_context ? keep(b, TAKE_PTR(source.dirty_context)) : NULL,
        .image = rest ? keep(b, point_vm_name(c->name, rest)) : NULL,
    };
    r = add_item(b, c, &item, err);
    if (r < 0)
        return r;
    json_object_set_new(disk, "stored_as", json_text(item.image));
    record_owner(disk, json_get_text(disk, "path"));
    return 0;
}

/* ---- Parts ----------------------------------------------------------------------------------------------------------------*/

static int store_small(struct backup *b, struct backup_component *c, const char *path, const char *name, struct err *err)
{
    _cleanup_buf_ struct buf data = BUF_INIT;

    int r = io_read_file(path, POINT_DOCUMENT_MAX, &data, err);
    if (r < 0)
        return r;
    c->stored += data.len;
    return store_write_document(b->w, name, data.data ? (const void *)data.data : "", data.len, err);
}

static int add_part(struct backup *b, struct backup_component *c, json_t *part, struct err *err)
{
    const char *what = json_get_text(part, "name"), *path = json_get_text(part, "path");
    struct stat st;

    if (!what || !path || strchr(what, '/'))
        return err_set(err, EINVAL, "the VM writer does not say where a part of the VM is");
    if (stat(path, &st) < 0)
        return err_errno(err, errno, "%s: cannot read %s", what, path);
    bool large = !strcmp(what, "memory") || (uint64_t)st.st_size > POINT_DOCUMENT_MAX;
    _cleanup_free_ char *rest = str_format("part/%s", what);
    const char *name = rest ? keep(b, point_vm_name(c->name, rest)) : NULL;
    if (!name)
        return err_set(err, ENOMEM, "out of memory");

    json_object_set_new(part, "stored_as", json_text(name));
    json_object_set_new(part, "kind", json_string(large ? "image" : "document"));
    json_object_set_new(part, "size", json_integer(st.st_size));
    record_owner(part, json_get_text(part, "restore_path"));
    if (!large)
        return store_small(b, c, path, name, err);
    struct transfer_in item = {
        .label = keep(b, str_format("%s %s", vm_name(c), what)), .path = keep(b, strdup(path)), .image = name,
    };
    return add_item(b, c, &item, err);
}

/* What the VM writer wrote into the component in PostSnapshot. */
static int read_record(struct backup *b, struct backup_component *c, struct err *err)
{
    struct vss_component_state st;

    int r = vss_get_component_state(b->s->vss, c->writer_id, c->logical_path, c->name, &st, err);
    if (r < 0)
        return r;
    if (!st.backup_metadata)
        return err_set(err, EIO, "the VM writer recorded nothing about VM %s", c->name);
    return json_parse_object(st.backup_metadata, strlen(st.backup_metadata), "the VM writer's record", &c->record, err);
}

static int add_vm(struct backup *b, struct backup_component *c, struct err *err)
{
    size_t i;
    json_t *e;

    int r = read_record(b, c, err);
    if (r < 0)
        return r;
    json_array_foreach (json_object_get(c->record, "disks"), i, e)
        if ((r = add_disk(b, c, e, err)) < 0)
            return err_context(err, "VM %s", vm_name(c));
    json_array_foreach (json_object_get(c->record, "parts"), i, e)
        if ((r = add_part(b, c, e, err)) < 0)
            return err_context(err, "VM %s", vm_name(c));
    return 0;
}

int backup_read(struct backup *b, struct err *err)
{
    struct transfer t = { .progress = b->rq->config.progress, .cancel = b->rq->config.cancel, .log = b->rq->config.log };
    int r = 0;

    for (size_t i = 0; i < b->n && r >= 0; i++)
        r = b->components[i].vm ? add_vm(b, &b->components[i], err) : backup_files(b, &b->components[i], err);
    if (r >= 0)
        r = transfer_read(&t, b->rq->store, b->w, b->items, b->n_items, err);
    for (size_t i = 0; i < b->n_items && r >= 0; i++) {
        b->item_of[i]->read += b->items[i].bytes_read;
        b->item_of[i]->stored += b->items[i].stats.stored;
    }
    return r;
}

/* ---- Documents ------------------------------------------------------------------------------------------------------------*/

static int write_metadata(struct backup *b, size_t i, struct err *err)
{
    _cleanup_free_ char *xml = NULL, *name = point_wmd_name(i);

    if (!name)
        return err_set(err, ENOMEM, "out of memory");
    int r = vss_writer_metadata_xml(b->s->vss, i, &xml, err);
    return r < 0 ? r : store_write_document(b->w, name, xml, strlen(xml), err);
}

static int write_record(struct backup *b, const struct backup_component *c, struct err *err)
{
    _cleanup_free_ char *name = point_vm_name(c->name, "vm.json");
    _cleanup_buf_ struct buf text = BUF_INIT;

    if (!name)
        return err_set(err, ENOMEM, "out of memory");
    int r = json_to_buf(c->record, &text, err);
    return r < 0 ? r : store_write_document(b->w, name, text.data, text.len, err);
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
