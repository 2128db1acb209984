/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requester/trust/trust_demands.h"
#include "memory/memory.h"
#include "requester/context/context.h"
#include "requester/point/stored_point.h"
#include <errno.h>
#include <string.h>

#define HEAD_MAX (1u << 20) /* of a saved state: its definition is in there */
#define TEXT_SHOWN 400

int demands_read_part(struct store_point *p, const struct vm_record_part *part, struct hv_def **ret, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    if (!part || !part->stored_as)
        return err_set(err, ENOENT, "the restore point contains none");
    int rc = store_read_document(p, part->stored_as, &b, err);
    if (rc >= 0 && (!b.len || memchr(b.data, '\0', b.len) || buf_add(&b, "", 1) < 0))
        rc = err_set(err, EUCLEAN, "it is not text");
    return rc < 0 ? rc : hv_def_parse((const char *)b.data, ret, err);
}

struct head {
    char *p;
    size_t n;
};

/* 1: enough, or the first page: then the head is over. */
static int head_bytes(void *priv, const void *p, size_t n, struct err *err)
{
    struct head *h = priv;
    size_t step = n < HEAD_MAX - h->n ? n : HEAD_MAX - h->n;

    (void)err;
    memcpy(h->p + h->n, p, step);
    h->n += step;
    return h->n == HEAD_MAX;
}

static int head_page(void *priv, uint64_t place, struct err *err)
{
    (void)priv;
    (void)place;
    (void)err;
    return 1;
}

static int read_head_of_pages(struct store_point *p, const struct vm_record_part *part, struct head *h, struct err *err)
{
    _cleanup_buf_ struct buf frame = BUF_INIT;
    const struct memory_out out = { head_bytes, head_page, h };
    int rc = point_read_frame(p, part, &frame, err);

    return rc < 0 ? rc : memory_join(frame.data, frame.len, &out, err);
}

static int read_head_of_image(struct store_point *p, const struct vm_record_part *part, struct head *h, struct err *err)
{
    _cleanup_(store_image_close_p) struct store_image *image = NULL;
    int rc = store_image_open(p, part->stored_as, &image, err);

    if (rc < 0)
        return rc;
    uint64_t size = store_image_size(image);
    h->n = size < HEAD_MAX ? (size_t)size : HEAD_MAX;
    return store_image_read(image, 0, h->p, h->n, err);
}

int demands_read_memory(struct store_point *p, const struct vm_record_part *part, struct hv_def **ret, struct err *err)
{
    _cleanup_free_ char *text = malloc(HEAD_MAX + 1), *xml = NULL;
    struct head head = { .p = text };

    if (!text)
        return err_nomem(err);
    if (!part->stored_as)
        return err_set(err, ENOENT, "the restore point contains none");
    int rc = (part->kind == VM_PART_PAGES ? read_head_of_pages : read_head_of_image)(p, part, &head, err);
    if (rc >= 0)
        rc = hv_save_image_head_xml(head.p, head.n, &xml, err);
    return rc < 0 ? rc : hv_def_parse(xml, ret, err);
}

json_t *demands_entry(const struct hv_demand *d)
{
    size_t n = strlen(d->text);

    for (n = n > TEXT_SHOWN ? TEXT_SHOWN : n; n && (d->text[n] & 0xc0) == 0x80;)
        n--; /* not within a character */
    _cleanup_free_ char *text = str_format("%.*s%s", (int)n, d->text, d->text[n] ? " ..." : "");
    return text ? json_pack("{s:s, s:o, s:s}", "kind", d->kind, "text", json_text(text), "danger", hv_danger_name(d->danger)) : NULL;
}

static bool demands_list_has(const json_t *list, const json_t *entry)
{
    size_t i;
    json_t *e;

    json_array_foreach (list, i, e)
        if (json_equal(e, entry))
            return true;
    return false;
}

int demands_to_list(json_t *list, const struct hv_demands *d)
{
    for (size_t i = 0; i < d->n; i++) {
        _cleanup_json_ json_t *entry = demands_entry(&d->list[i]);
        if (!entry || (!demands_list_has(list, entry) && json_array_append(list, entry) < 0))
            return -ENOMEM;
    }
    return 0;
}

/* ---- Of a VM in a point -----------------------------------------------------------------------------------------------------------*/

static bool is_held(const struct vm_record *record, const char *target)
{
    for (size_t i = 0; i < record->n_disks; i++) {
        const struct vm_record_disk *d = &record->disks[i];
        if (d->target && !strcmp(d->target, target) && d->covered)
            return true;
    }
    return false;
}

/* Without the images that the point holds. */
static void drop_held(const struct vm_record *record, struct hv_demands *d)
{
    struct hv_demands dropped = { 0 };
    size_t kept = 0;

    if (!(dropped.list = calloc(d->n + 1, sizeof(*d->list))))
        return;
    for (size_t i = 0; i < d->n; i++)
        if (d->list[i].disk && is_held(record, d->list[i].disk))
            dropped.list[dropped.n++] = d->list[i];
        else
            d->list[kept++] = d->list[i];
    d->n = kept;
    hv_demands_clear(&dropped);
}

static int add_unread(json_t *list, const char *name, const struct err *why)
{
    _cleanup_free_ char *text = str_format("(%s) that cannot be read: %s", name, why->text);
    struct hv_demand d = { .danger = HV_DANGER_UNKNOWN, .kind = "definition", .text = text };
    json_t *entry = text ? demands_entry(&d) : NULL;

    return !entry || json_array_append_new(list, entry) < 0 ? -ENOMEM : 0;
}

static int demands_add_definition(const struct hv_def *def, const struct vm_record *record, json_t *list, struct err *err)
{
    struct hv_demands demands = { 0 };

    int rc = hv_definition_demands(def, &demands, err);
    if (rc >= 0) {
        drop_held(record, &demands);
        rc = demands_to_list(list, &demands) < 0 ? err_nomem(err) : 0;
    }
    hv_demands_clear(&demands);
    return rc;
}

static int demands_add_part(struct store_point *p, const struct vm_record *record, const struct vm_record_part *part, json_t *list,
                            struct err *err)
{
    const char *name = part->name;
    struct hv_def *def = NULL;
    struct err why = ERR_INIT;

    bool memory = name && !strcmp(name, VM_PART_MEMORY);
    if (!name || !part->stored_as || (!memory && strcmp(name, VM_PART_DEFINITION) && strcmp(name, VM_PART_LIVE)))
        return 0;
    int rc = memory ? demands_read_memory(p, part, &def, &why) : demands_read_part(p, part, &def, &why);
    if (rc < 0)
        return add_unread(list, name, &why) < 0 ? err_nomem(err) : 0;
    rc = demands_add_definition(def, record, list, err);
    hv_def_free(def);
    return rc;
}

int demands_of_record(struct store_point *p, const struct vm_record *record, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *list = json_array();
    int rc = list ? 0 : err_nomem(err);

    for (size_t i = 0; i < record->n_parts && i < 64 && rc >= 0; i++)
        rc = demands_add_part(p, record, &record->parts[i], list, err);
    if (rc >= 0)
        *ret = TAKE_PTR(list);
    return rc;
}

/* ---- Of a VM of this host ---------------------------------------------------------------------------------------------------------*/

static int add_xml(const char *xml, const struct vm_record *record, json_t *list, struct err *err)
{
    struct hv_def *def = NULL;

    int rc = hv_def_parse(xml, &def, err);
    if (rc >= 0)
        rc = demands_add_definition(def, record, list, err);
    hv_def_free(def);
    return rc;
}

int demands_of_domain(struct hv_domain *d, const struct vm_record *record, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *list = json_array();
    _cleanup_free_ char *live = NULL;
    struct err none = ERR_INIT; /* it has ended meanwhile, or hangs: the other definition tells what can be told */

    int rc = list ? add_xml(d->xml, record, list, err) : err_nomem(err);
    if (rc >= 0 && hv_domain_live(d, &live, &none) >= 0 && live)
        rc = add_xml(live, record, list, err);
    if (rc >= 0)
        *ret = TAKE_PTR(list);
    return rc;
}
