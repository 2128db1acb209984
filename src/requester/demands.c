/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requester/demands.h"
#include "requester/internal.h"
#include <errno.h>
#include <string.h>

#define HEAD_MAX (1u << 20) /* of a saved state: its definition is in there */
#define TEXT_SHOWN 400

static int no_memory(struct err *err)
{
    return err_set(err, ENOMEM, "out of memory");
}

int demands_read_part(struct store_point *p, const json_t *part, struct hv_def **ret, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    if (!part || !json_get_text(part, "stored_as"))
        return err_set(err, ENOENT, "the restore point holds none");
    int rc = store_read_document(p, json_get_text(part, "stored_as"), &b, err);
    if (rc >= 0 && (!b.len || memchr(b.data, '\0', b.len) || buf_add(&b, "", 1) < 0))
        rc = err_set(err, EUCLEAN, "it is not text");
    return rc < 0 ? rc : hv_def_parse((const char *)b.data, ret, err);
}

int demands_read_memory(struct store_point *p, const json_t *part, struct hv_def **ret, struct err *err)
{
    _cleanup_(store_image_close_p) struct store_image *image = NULL;
    _cleanup_free_ char *head = NULL, *xml = NULL;

    int rc = store_image_open(p, json_get_text(part, "stored_as"), &image, err);
    if (rc < 0)
        return rc;
    uint64_t size = store_image_size(image);
    size_t n = size < HEAD_MAX ? (size_t)size : HEAD_MAX;
    if (!(head = malloc(n + 1)))
        return no_memory(err);
    if ((rc = store_image_read(image, 0, head, n, err)) >= 0)
        rc = hv_save_image_head_xml(head, n, &xml, err);
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

static bool list_has(const json_t *list, const json_t *entry)
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
        if (!entry || (!list_has(list, entry) && json_array_append(list, entry) < 0))
            return -ENOMEM;
    }
    return 0;
}

/* ---- Of a VM in a point -----------------------------------------------------------------------------------------------------------*/

static bool is_held(const json_t *record, const char *target)
{
    size_t i;
    json_t *d;

    json_array_foreach (json_object_get(record, "disks"), i, d) {
        const char *t = json_get_text(d, "target");
        if (t && !strcmp(t, target) && json_is_true(json_object_get(d, "covered")))
            return true;
    }
    return false;
}

/* Without the images that the point holds. */
static void drop_held(const json_t *record, struct hv_demands *d)
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

static int add_definition(const struct hv_def *def, const json_t *record, json_t *list, struct err *err)
{
    struct hv_demands demands = { 0 };

    int rc = hv_definition_demands(def, &demands, err);
    if (rc >= 0) {
        drop_held(record, &demands);
        rc = demands_to_list(list, &demands) < 0 ? no_memory(err) : 0;
    }
    hv_demands_clear(&demands);
    return rc;
}

static int add_part(struct store_point *p, const json_t *record, const json_t *part, json_t *list, struct err *err)
{
    const char *name = json_get_text(part, "name");
    struct hv_def *def = NULL;
    struct err why = ERR_INIT;

    bool memory = name && !strcmp(name, "memory");
    if (!name || !json_get_text(part, "stored_as") || (!memory && strcmp(name, "definition") && strcmp(name, VM_PART_LIVE)))
        return 0;
    int rc = memory ? demands_read_memory(p, part, &def, &why) : demands_read_part(p, part, &def, &why);
    if (rc < 0)
        return add_unread(list, name, &why) < 0 ? no_memory(err) : 0;
    rc = add_definition(def, record, list, err);
    hv_def_free(def);
    return rc;
}

int demands_of_record(struct store_point *p, const json_t *record, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *list = json_array();
    size_t i;
    json_t *part;
    int rc = list ? 0 : no_memory(err);

    json_array_foreach (json_object_get(record, "parts"), i, part)
        if (rc >= 0 && i < 64)
            rc = add_part(p, record, part, list, err);
    if (rc >= 0)
        *ret = TAKE_PTR(list);
    return rc;
}

/* ---- Of a VM of this host ---------------------------------------------------------------------------------------------------------*/

static int add_xml(const char *xml, const json_t *record, json_t *list, struct err *err)
{
    struct hv_def *def = NULL;

    int rc = hv_def_parse(xml, &def, err);
    if (rc >= 0)
        rc = add_definition(def, record, list, err);
    hv_def_free(def);
    return rc;
}

int demands_of_domain(struct hv_domain *d, const json_t *record, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *list = json_array();
    _cleanup_free_ char *live = NULL;
    struct err none = ERR_INIT; /* it has ended meanwhile, or hangs: the other definition tells what can be told */

    int rc = list ? add_xml(d->xml, record, list, err) : no_memory(err);
    if (rc >= 0 && hv_domain_live(d, &live, &none) >= 0 && live)
        rc = add_xml(live, record, list, err);
    if (rc >= 0)
        *ret = TAKE_PTR(list);
    return rc;
}
