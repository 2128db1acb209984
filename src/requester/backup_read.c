/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file backup: disks from the shadow copies, the other parts of each VM, and the documents, into the restore point. */
#include "base/clock.h"
#include "base/io.h"
#include "requester/backup.h"
#include "requester/owner.h"
#include <errno.h>
#include <string.h>

#define END_WAIT_MS 3000u
#define END_LOOK_MS 50u

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

static int add_item(struct backup *b, struct backup_item of, const struct transfer_in *item, struct err *err)
{
    struct transfer_in *items = realloc(b->items, (b->n_items + 1) * sizeof(*items));
    if (items)
        b->items = items;
    struct backup_item *whose = realloc(b->item_of, (b->n_items + 1) * sizeof(*whose));
    if (whose)
        b->item_of = whose;
    if (!items || !whose || !item->label || !item->image || !(item->nbd_uri || item->path))
        return err_set(err, ENOMEM, "out of memory");
    items[b->n_items] = *item;
    whose[b->n_items++] = of;
    return 0;
}

/* ---- Disks ----------------------------------------------------------------------------------------------------------------*/

static void record_owner(json_t *o, const char *path)
{
    struct stat st;

    if (path && path[0] == '/' && stat(path, &st) == 0)
        (void)owner_record(o, &st);
}

/* Where only what changed is to be read: since when, and what stands elsewhere. Else why not, in the disk's record. */
static int stand_on_parent(struct backup *b, struct backup_component *c, json_t *disk, struct kvss_disk_source *source,
                           struct transfer_in *item, struct err *err)
{
    _cleanup_free_ char *why = NULL;
    const char *image;

    if (!c->chain || !c->chain->point)
        return 0;
    image = chain_image(c->chain, disk, &why);
    if (image && source->dirty_context) {
        item->dirty_context = keep(b, TAKE_PTR(source->dirty_context));
        item->parent_point = c->chain->point;
        item->parent_image = image;
        return item->dirty_context ? 0 : err_set(err, ENOMEM, "out of memory");
    }
    json_object_set_new(disk, "why_whole", json_text(why ? why : source->why_full ? source->why_full : "its changes are not known"));
    return 0;
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
    const char *state = json_get_text(c->record, "state");

    return state && (!strcmp(state, "running") || !strcmp(state, "paused"));
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
    _cleanup_free_ char *rest = str_format("disk/%s", target);
    struct transfer_in item = {
        .label = keep(b, str_format("%s %s", vm_name(c), target)),
        .nbd_uri = keep(b, TAKE_PTR(source.nbd_uri)),
        .apart = source.apart,
        .image = rest ? keep(b, point_vm_name(c->name, rest)) : NULL,
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
        r = add_item(b, (struct backup_item){ c, disk }, &item, err);
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
    return add_item(b, (struct backup_item){ c, NULL }, &item, err);
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

/* ---- What it came to ------------------------------------------------------------------------------------------------------*/

static void count_item(const struct transfer_in *in, const struct backup_item *of)
{
    bool increment = in->parent_point && !in->why_whole[0];

    of->component->read += in->bytes_read;
    of->component->stored += in->stats.stored;
    if (!of->disk)
        return;
    if (increment) {
        of->component->dirty += in->dirty;
        of->component->done = of->component->chain->type;
    }
    if (in->why_whole[0])
        json_object_set_new(of->disk, "why_whole", json_text(in->why_whole));
    json_object_set_new(of->disk, "read", json_integer((json_int_t)in->bytes_read));
    json_object_set_new(of->disk, "dirty", increment ? json_integer((json_int_t)in->dirty) : json_null());
    json_object_set_new(of->disk, "stored", json_integer((json_int_t)in->stats.stored));
}

/* A VM none of whose disks could tell its changes got a full backup, whatever was asked. */
static void record_type(const struct backup *b, struct backup_component *c)
{
    const struct chain_vm *chain = c->chain;
    bool increment = c->done == VSS_BT_INCREMENTAL || c->done == VSS_BT_DIFFERENTIAL;
    const char *why = chain->why;

    if (!why && chain->point && !increment)
        why = "no disk could tell what changed";
    json_object_set_new(c->record, "asked", json_text(b->asked));
    json_object_set_new(c->record, "type", json_text(vss_backup_type_name(c->done)));
    json_object_set_new(c->record, "why_type", json_text(why));
    json_object_set_new(c->record, "since", json_text(increment ? chain->point : NULL));
    json_object_set_new(c->record, "dirty", increment ? json_integer((json_int_t)c->dirty) : json_null());
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

/* What a person has to know first, if QEMU is gone: not what became of a connection to it. */
static void explain_end(const struct backup *b, struct err *err)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct backup_component *c = &b->components[i];
        _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;

        if (!c->vm || !is_active(c) || !has_ended(b, c, could_not_be_read(b, c) ? END_WAIT_MS : 0, &d))
            continue;
        err_set(err, EIO, "VM %s was turned off, or its QEMU ended, while its disks were being read (it is %s now)", vm_name(c),
                !d ? "gone" : d->state == HV_OFF || d->state == HV_SAVED ? d->state_detail : "without a process");
        return;
    }
}

static bool has_disk_elsewhere(const struct backup_component *c)
{
    size_t i;
    json_t *e;

    json_array_foreach (json_object_get(c->record, "disks"), i, e) {
        const char *path = json_get_text(e, "path");
        if (json_is_true(json_object_get(e, "covered")) && path && path[0] != '/')
            return true;
    }
    return false;
}

/* A VM that is off cannot be started while its images are locked; on the network nothing locks them. Then it must be off still. */
static int check_still_off(struct backup *b, const struct backup_component *c, struct err *err)
{
    const char *was = c->vm ? json_get_text(c->record, "state") : NULL;
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;

    if (!was || (strcmp(was, "off") && strcmp(was, "saved")) || !has_disk_elsewhere(c))
        return 0;
    int r = hv_domain_find(b->s->hv, c->name, &d, err);
    if (r < 0 || !strcmp(hv_state_name(d->state), was))
        return r;
    return err_vss(err, VSS_E_WRITERERROR_RETRYABLE, EAGAIN, "VM %s was %s and is %s now, and may have written to its disk on the network "
                   "while that was being read: run the backup again", vm_name(c), was,
                   d->state == HV_OTHER ? d->state_detail : hv_state_name(d->state));
}

int backup_read(struct backup *b, struct err *err)
{
    const struct requester_config *c = &b->rq->config;
    struct transfer t = { .progress = c->progress, .cancel = c->cancel, .log = c->log, .keeper = b->s->keeper,
                          .bytes_per_s = b->job->bytes_per_s };
    int r = 0;

    for (size_t i = 0; i < b->n && r >= 0; i++)
        r = b->components[i].vm ? add_vm(b, &b->components[i], err) : backup_files(b, &b->components[i], err);
    if (r >= 0)
        r = transfer_read(&t, b->rq->store, b->w, b->items, b->n_items, err);
    for (size_t i = 0; i < b->n && r >= 0; i++)
        r = check_still_off(b, &b->components[i], err);
    if (r < 0) {
        if (err && r != -EINTR)
            explain_end(b, err);
        return r;
    }
    for (size_t i = 0; i < b->n; i++)
        b->components[i].done = b->type == VSS_BT_COPY ? VSS_BT_COPY : VSS_BT_FULL;
    for (size_t i = 0; i < b->n_items; i++)
        count_item(&b->items[i], &b->item_of[i]);
    for (size_t i = 0; i < b->n; i++)
        if (b->components[i].chain)
            record_type(b, &b->components[i]);
    return 0;
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
