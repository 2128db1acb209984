/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is told of a VM's record in short: in the listing of its restore point, and of one that a backup would make. */
#include "base/buf.h"
#include "base/json.h"
#include "writers/vm/vm_record.h"
#include "writers/vm/vm_record_keys.h"
#include <stdlib.h>
#include <string.h>

static json_t *disks_named(const struct vm_record *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->n_disks; i++)
        if (!r->disks[i].covered)
            json_array_append_new(list, json_text(r->disks[i].target));
    return list;
}

/* Those that were left out as asked for, which are among the others too. */
static json_t *disks_excluded(const struct vm_record *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->n_disks; i++)
        if (r->disks[i].excluded_by)
            json_array_append_new(list,
                                  json_pack("{s:o, s:o}", KEY_TARGET, json_text(r->disks[i].target), KEY_WHY, json_text(r->disks[i].why)));
    return list;
}

static json_t *disks_read_whole(const struct vm_record *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->n_disks; i++)
        if (r->disks[i].why_whole)
            json_array_append_new(
                list, json_pack("{s:o, s:o}", KEY_TARGET, json_text(r->disks[i].target), KEY_WHY, json_text(r->disks[i].why_whole)));
    return list;
}

/* A record may say anything: what is beyond all sizes only makes a wrong sum. */
struct vm_record_sums vm_record_sums(const struct vm_record *r)
{
    struct vm_record_sums s = { 0 };

    for (size_t i = 0; i < r->n_disks; i++) {
        const struct vm_record_disk *d = &r->disks[i];
        s.disks += d->covered;
        s.size += d->image_size.value;
        s.read += d->read.value;
        s.stored += d->stored.value;
    }
    for (size_t i = 0; i < r->n_parts; i++) {
        const struct vm_record_part *p = &r->parts[i];
        s.size += p->kind == VM_PART_IMAGE || p->kind == VM_PART_PAGES ? p->size : 0;
        s.read += p->read.value;
        s.stored += p->stored.value;
    }
    return s;
}

json_t *vm_record_summary(const struct vm_record *r)
{
    static const char *const as_recorded[] = { KEY_UUID,     KEY_STATE,   KEY_METHOD,     KEY_WHY,      KEY_CONSISTENCY, KEY_FROZEN_MS,
                                               KEY_DOWN_MS,  KEY_INSTANT, KEY_CHECKPOINT, KEY_WARNINGS, KEY_ASKED,       KEY_TYPE,
                                               KEY_WHY_TYPE, KEY_SINCE,   KEY_DIRTY,      KEY_POLICY,   KEY_NOT_QUIESCED };
    _cleanup_json_ json_t *all = vm_record_to_json(r), *o = json_object();
    const struct vm_record_sums s = vm_record_sums(r);

    if (!all || !o)
        return NULL;
    int rc = json_object_set_new(o, KEY_NAME, json_text(r->name));
    for (size_t i = 0; i < ARRAY_SIZE(as_recorded); i++)
        rc |= json_object_set(o, as_recorded[i], json_object_get(all, as_recorded[i]));
    if (r->clause) /* earlier listings have none */
        rc |= json_object_set(o, KEY_CLAUSE, json_object_get(all, KEY_CLAUSE));
    rc |= json_object_set_new(o, KEY_NOT_COVERED, disks_named(r));
    _cleanup_json_ json_t *excluded = disks_excluded(r);
    if (json_array_size(excluded)) /* earlier listings have none */
        rc |= json_object_set(o, KEY_EXCLUDED_DISKS, excluded);
    rc |= json_object_set_new(o, KEY_WHOLE, disks_read_whole(r));
    rc |= json_object_set_new(o, KEY_DISKS, json_integer((json_int_t)s.disks));
    rc |= json_object_set_new(o, KEY_SIZE, json_integer((json_int_t)s.size));
    rc |= json_object_set_new(o, KEY_READ, json_integer((json_int_t)s.read));
    rc |= json_object_set_new(o, KEY_STORED, json_integer((json_int_t)s.stored));
    return rc < 0 ? NULL : TAKE_PTR(o);
}

/* What records of kvss before it wrote a version do not say in each detail: sums of what was read are not in them. */
static bool is_in_old_records(const char *key)
{
    static const char *const keys[] = { KEY_NAME,       KEY_UUID, KEY_STATE, KEY_METHOD, KEY_CONSISTENCY, KEY_INSTANT,
                                        KEY_CHECKPOINT, KEY_TYPE, KEY_SINCE, KEY_DISKS,  KEY_NOT_COVERED };
    bool found = false;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        found |= !strcmp(keys[i], key);
    return found;
}

/* "state": "off" in ... */
static char *difference(const char *key, const json_t *was, const json_t *is)
{
    _cleanup_free_ char *listed = was ? json_dumps(was, JSON_COMPACT | JSON_ENCODE_ANY) : strdup("nothing");
    _cleanup_free_ char *recorded = json_dumps(is, JSON_COMPACT | JSON_ENCODE_ANY);

    return str_format("%s: %.200s in the summary, %.200s in the record", key, listed ? listed : "?", recorded ? recorded : "?");
}

int vm_record_summary_differs(const struct vm_record *r, const json_t *entry, char **ret, struct err *err)
{
    _cleanup_json_ json_t *derived = vm_record_summary(r);
    const char *key;
    json_t *is;

    if (!derived)
        return err_nomem(err);
    json_object_foreach (derived, key, is) {
        const json_t *was = json_object_get(entry, key);
        if ((was && json_equal(is, was)) || (r->version == 0 && (!was || !is_in_old_records(key))))
            continue;
        return (*ret = difference(key, was, is)) ? 1 : err_nomem(err);
    }
    return 0;
}

struct vm_record_listed vm_record_listed(const json_t *entry)
{
    return (struct vm_record_listed){
        .name = json_get_text(entry, KEY_NAME),
        .uuid = json_get_text(entry, KEY_UUID),
        .type = json_get_text(entry, KEY_TYPE),
        .instant = json_get_text(entry, KEY_INSTANT),
        .checkpoint = json_get_text(entry, KEY_CHECKPOINT),
        .method = json_get_text(entry, KEY_METHOD),
        .consistency = json_get_text(entry, KEY_CONSISTENCY),
        .not_quiesced = json_get_text(entry, KEY_NOT_QUIESCED),
    };
}

static json_t *preview_disks(const json_t *all)
{
    static const char *const told[] = { KEY_TARGET, KEY_PATH, KEY_FORMAT, KEY_COVERED, KEY_WHY, KEY_CLAUSE };
    json_t *list = json_array(), *disk;
    size_t i;

    json_array_foreach (json_object_get(all, KEY_DISKS), i, disk) {
        json_t *o = json_object();
        for (size_t k = 0; k < ARRAY_SIZE(told); k++)
            json_copy_key(o, disk, told[k]);
        json_array_append_new(list, o);
    }
    return list;
}

json_t *vm_record_preview(const struct vm_record *r)
{
    static const char *const as_recorded[] = { KEY_UUID, KEY_STATE, KEY_METHOD, KEY_CONDITIONS, KEY_WARNINGS };
    _cleanup_json_ json_t *all = vm_record_to_json(r), *o = json_object();

    if (!all || !o)
        return NULL;
    int rc = json_object_set_new(o, KEY_NAME, json_text(r->name));
    for (size_t i = 0; i < ARRAY_SIZE(as_recorded); i++)
        rc |= json_object_set(o, as_recorded[i], json_object_get(all, as_recorded[i]));
    if (r->guest.known)
        rc |= json_object_set(o, KEY_GUEST, json_object_get(all, KEY_GUEST));
    rc |= json_object_set_new(o, KEY_LEVEL, json_text(vm_level_name(r->consistency)));
    rc |= json_object_set_new(o, KEY_DISKS, preview_disks(all));
    return rc < 0 ? NULL : TAKE_PTR(o);
}
