/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "writers/vm/vm_record.h"
#include "writers/vm/vm_record_keys.h"
#include "base/json.h"
#include <errno.h>
#include <string.h>

#define NAME_LEN 4096 /* names and paths */
#define TEXT_LEN 65536
#define CONDITIONS_MAX 64
#define FILES_MAX 1024 /* of a disk: the longest backing chain */
#define FROZEN_MAX 4096
#define WARNINGS_MAX 4096
#define GUEST_WRITERS_MAX 256
#define GUEST_COMPONENTS_MAX 1024
#define GUEST_EVENTS_MAX 4096

static const char *const states[] = {
    [HV_OFF] = "off", [HV_RUNNING] = "running", [HV_PAUSED] = "paused", [HV_SAVED] = "saved", [HV_OTHER] = "other",
};
static const char *const methods[] = {
    [VM_METHOD_AUTO] = "auto",       [VM_METHOD_CHILD] = "child-vm-snapshot", [VM_METHOD_SAVED] = "saved-state",
    [VM_METHOD_OFFLINE] = "offline", [VM_METHOD_LIVE] = "live-state",         [VM_METHOD_CRASH] = "crash",
};
static const char *const methods_asked[] = {
    [VM_METHOD_AUTO] = "auto",       [VM_METHOD_CHILD] = "child", [VM_METHOD_SAVED] = "saved-state",
    [VM_METHOD_LIVE] = "live-state", [VM_METHOD_CRASH] = "crash",
};
static const char *const levels[] = {
    [VM_LEVEL_CRASH] = "crash",
    [VM_LEVEL_SAVED_STATE] = "saved-state",
    [VM_LEVEL_FILE_SYSTEM] = "file-system",
    [VM_LEVEL_APPLICATION] = "application",
    [VM_LEVEL_OFFLINE] = "offline",
};
/* Nothing in particular is null. */
static const char *const levels_asked[] = {
    [VM_LEVEL_SAVED_STATE] = "saved-state",
    [VM_LEVEL_FILE_SYSTEM] = "file-system",
    [VM_LEVEL_APPLICATION] = "application",
    [VM_LEVEL_OFFLINE] = "offline",
};
static const char *const fallbacks[] = {
    [VM_FALLBACK_AUTO] = "auto",   [VM_FALLBACK_SAVED] = "saved-state",       [VM_FALLBACK_FAIL] = "fail",
    [VM_FALLBACK_CRASH] = "crash", [VM_FALLBACK_FILE_SYSTEM] = "file-system",
};
static const char *const kinds[] = { [VM_PART_DOCUMENT] = "document", [VM_PART_IMAGE] = "image", [VM_PART_PAGES] = "pages" };

const char *vm_method_name(enum vm_method m)
{
    return (size_t)m < ARRAY_SIZE(methods) ? methods[m] : "unknown";
}

const char *vm_level_name(enum vm_level l)
{
    return (size_t)l < ARRAY_SIZE(levels) ? levels[l] : "unknown";
}

const char *vm_fallback_name(enum vm_fallback f)
{
    return (size_t)f < ARRAY_SIZE(fallbacks) ? fallbacks[f] : "unknown";
}

/* ---- The members, in the order of vm_record.h ------------------------------------------------------------------------------*/

#define AT(member) .at = offsetof(struct STRUCT, member)
#define TEXT(k, member, len)                                     \
    {                                                            \
        .key = (k), .kind = FIELD_TEXT, AT(member), .max = (len) \
    }
#define TEXT_OR_NONE(k, member, len)                                           \
    {                                                                          \
        .key = (k), .kind = FIELD_TEXT, AT(member), .max = (len), .omit = true \
    }
#define PLAIN(k, member, what)                 \
    {                                          \
        .key = (k), .kind = (what), AT(member) \
    }
#define OR_NONE(k, member, what)                             \
    {                                                        \
        .key = (k), .kind = (what), AT(member), .omit = true \
    }
#define NAMED(k, member, list, any_other)                                                                              \
    {                                                                                                                  \
        .key = (k), .kind = FIELD_ENUM, AT(member), .names = (list), .n_names = ARRAY_SIZE(list), .other = (any_other) \
    }
#define OBJECT(k, member, shape)                                     \
    {                                                                \
        .key = (k), .kind = FIELD_OBJECT, AT(member), .of = &(shape) \
    }
#define LIST(k, member, shape, most, all)                                                                                       \
    {                                                                                                                           \
        .key = (k), .kind = FIELD_LIST, AT(member), .of = &(shape), .n_at = offsetof(struct STRUCT, n_##member), .max = (most), \
        .whole = (all)                                                                                                          \
    }
#define LIST_OR_NONE(k, member, shape, most)                                                                                    \
    {                                                                                                                           \
        .key = (k), .kind = FIELD_LIST, AT(member), .of = &(shape), .n_at = offsetof(struct STRUCT, n_##member), .max = (most), \
        .omit = true                                                                                                            \
    }
#define OBJECT_OR_NONE(k, member, shape)                                           \
    {                                                                              \
        .key = (k), .kind = FIELD_OBJECT, AT(member), .of = &(shape), .omit = true \
    }
#define OWNER(member)                   \
    {                                   \
        .kind = FIELD_OWNER, AT(member) \
    }
#define SHAPE(list)                                                            \
    {                                                                          \
        .size = sizeof(struct STRUCT), .n = ARRAY_SIZE(list), .fields = (list) \
    }

#define STRUCT vm_record_condition
static const struct vm_field condition_fields[] = {
    TEXT(KEY_CLAUSE, clause, NAME_LEN),
    TEXT(KEY_NAME, name, NAME_LEN),
    PLAIN(KEY_OK, ok, FIELD_OPT_BOOL),
    TEXT(KEY_WHY, why, TEXT_LEN),
};
static const struct vm_shape condition_shape = SHAPE(condition_fields);
#undef STRUCT

#define STRUCT vm_record_policy
static const struct vm_field policy_fields[] = {
    NAMED(KEY_METHOD, method, methods_asked, VM_METHOD_AUTO),
    NAMED(KEY_REQUIRE, require, levels_asked, VM_LEVEL_CRASH),
    NAMED(KEY_FALLBACK, fallback, fallbacks, VM_FALLBACK_AUTO),
};
static const struct vm_shape policy_shape = SHAPE(policy_fields);
#undef STRUCT

#define STRUCT vm_record_fs
static const struct vm_field fs_fields[] = {
    TEXT(KEY_MOUNTPOINT, mountpoint, NAME_LEN),
    TEXT(KEY_TYPE, type, NAME_LEN),
    PLAIN(KEY_FROZEN, frozen, FIELD_BOOL),
    TEXT(KEY_WHY, why, TEXT_LEN),
};
static const struct vm_shape fs_shape = SHAPE(fs_fields);
#undef STRUCT

#define STRUCT vm_record_image
static const struct vm_field image_fields[] = {
    PLAIN(KEY_CLUSTER_SIZE, cluster_size, FIELD_U64),      TEXT(KEY_COMPAT, compat, NAME_LEN),
    PLAIN(KEY_LAZY_REFCOUNTS, lazy_refcounts, FIELD_BOOL), PLAIN(KEY_EXTENDED_L2, extended_l2, FIELD_BOOL),
    TEXT(KEY_PREALLOCATION, preallocation, NAME_LEN),      TEXT(KEY_COMPRESSION, compression, NAME_LEN),
    PLAIN(KEY_REFCOUNT_BITS, refcount_bits, FIELD_U64),    PLAIN(KEY_SNAPSHOTS, snapshots, FIELD_U64),
    OR_NONE(KEY_FILE_SIZE, file_size, FIELD_OPT_U64),
};
static const struct vm_shape image_shape = SHAPE(image_fields);
#undef STRUCT

#define STRUCT vm_record_file
static const struct vm_field file_fields[] = {
    TEXT(KEY_PATH, path, NAME_LEN),           OR_NONE(KEY_INODE, inode, FIELD_OPT_INT),       OR_NONE(KEY_SIZE, size, FIELD_OPT_INT),
    OR_NONE(KEY_MTIME, mtime, FIELD_OPT_INT), OR_NONE(KEY_MTIME_NS, mtime_ns, FIELD_OPT_INT),
};
static const struct vm_shape file_shape = SHAPE(file_fields);
#undef STRUCT

#define STRUCT vm_record_disk
static const struct vm_field disk_fields[] = {
    TEXT(KEY_TARGET, target, NAME_LEN),
    TEXT(KEY_PATH, path, NAME_LEN),
    TEXT(KEY_FORMAT, format, NAME_LEN),
    PLAIN(KEY_SIZE, size, FIELD_U64),
    PLAIN(KEY_COVERED, covered, FIELD_BOOL),
    TEXT(KEY_WHY, why, TEXT_LEN),
    TEXT_OR_NONE(KEY_CLAUSE, clause, NAME_LEN),
    TEXT_OR_NONE(KEY_EXCLUDED_BY, excluded_by, NAME_LEN),
    PLAIN(KEY_READONLY, readonly, FIELD_BOOL),
    PLAIN(KEY_SHAREABLE, shareable, FIELD_BOOL),
    { .key = KEY_BACKING, .kind = FIELD_TEXTS, AT(backing), .max = FILES_MAX, .within = KEY_PATH },
    OBJECT(KEY_IMAGE, image, image_shape),
    TEXT_OR_NONE(KEY_STORED_AS, stored_as, NAME_LEN),
    TEXT_OR_NONE(KEY_WHY_WHOLE, why_whole, TEXT_LEN),
    LIST_OR_NONE(KEY_FILES, files, file_shape, FILES_MAX),
    OR_NONE(KEY_IMAGE_SIZE, image_size, FIELD_OPT_U64),
    OR_NONE(KEY_READ, read, FIELD_OPT_U64),
    PLAIN(KEY_DIRTY, dirty, FIELD_OPT_U64),
    OR_NONE(KEY_STORED, stored, FIELD_OPT_U64),
    OWNER(owner),
};
static const struct vm_shape disk_shape = SHAPE(disk_fields);
#undef STRUCT

#define STRUCT vm_record_part
static const struct vm_field part_fields[] = {
    TEXT(KEY_NAME, name, NAME_LEN),
    TEXT(KEY_PATH, path, NAME_LEN),
    TEXT(KEY_RESTORE_PATH, restore_path, NAME_LEN),
    TEXT_OR_NONE(KEY_TPM, tpm, NAME_LEN),
    TEXT_OR_NONE(KEY_STORED_AS, stored_as, NAME_LEN),
    TEXT_OR_NONE(KEY_PAGES_AS, pages_as, NAME_LEN),
    NAMED(KEY_KIND, kind, kinds, VM_PART_UNKNOWN),
    PLAIN(KEY_SIZE, size, FIELD_U64),
    OR_NONE(KEY_READ, read, FIELD_OPT_U64),
    OR_NONE(KEY_STORED, stored, FIELD_OPT_U64),
    OWNER(owner),
};
static const struct vm_shape part_shape = SHAPE(part_fields);
#undef STRUCT

#define STRUCT vm_record_guest_component
static const struct vm_field guest_component_fields[] = {
    TEXT(KEY_NAME, name, NAME_LEN),
    TEXT_OR_NONE(KEY_LOGICAL_PATH, logical_path, NAME_LEN),
    TEXT_OR_NONE(KEY_CAPTION, caption, NAME_LEN),
    TEXT_OR_NONE(KEY_INVARIANT, invariant, TEXT_LEN),
    TEXT_OR_NONE(KEY_STAMP, stamp, TEXT_LEN),
};
static const struct vm_shape guest_component_shape = SHAPE(guest_component_fields);
#undef STRUCT

#define STRUCT vm_record_guest_writer
static const struct vm_field guest_writer_fields[] = {
    TEXT(KEY_NAME, name, NAME_LEN),
    TEXT(KEY_ID, id, NAME_LEN),
    TEXT_OR_NONE(KEY_INSTANCE, instance, NAME_LEN),
    TEXT_OR_NONE(KEY_STATE, state, NAME_LEN),
    TEXT_OR_NONE(KEY_ERROR, error, TEXT_LEN),
    OR_NONE(KEY_HELD, held, FIELD_OPT_BOOL),
    LIST(KEY_COMPONENTS, components, guest_component_shape, GUEST_COMPONENTS_MAX, false),
};
static const struct vm_shape guest_writer_shape = SHAPE(guest_writer_fields);
#undef STRUCT

#define STRUCT vm_record_guest_event
static const struct vm_field guest_event_fields[] = {
    TEXT(KEY_EVENT, event, NAME_LEN),
    TEXT(KEY_WRITER, writer, NAME_LEN),
    PLAIN(KEY_MS, ms, FIELD_MS),
};
static const struct vm_shape guest_event_shape = SHAPE(guest_event_fields);
#undef STRUCT

#define STRUCT vm_record_guest
static const struct vm_field guest_fields[] = {
    TEXT(KEY_VERSION, version, NAME_LEN),
    TEXT_OR_NONE(KEY_BACKUP_TYPE, backup_type, NAME_LEN),
    TEXT_OR_NONE(KEY_SESSION, session, NAME_LEN),
    OR_NONE(KEY_HOOK, hook, FIELD_OPT_BOOL),
    OR_NONE(KEY_BY_HOOK, by_hook, FIELD_OPT_BOOL),
    OR_NONE(KEY_COMPLETED, completed, FIELD_OPT_BOOL),
    OR_NONE(KEY_BROKEN, broken, FIELD_OPT_BOOL),
    TEXT_OR_NONE(KEY_FAILURE, failure, TEXT_LEN),
    OR_NONE(KEY_PREPARE_MS, prepare_ms, FIELD_MS),
    OR_NONE(KEY_HOLD_MS, hold_ms, FIELD_MS),
    { .key = KEY_SKIPPED, .kind = FIELD_TEXTS, AT(skipped), .max = WARNINGS_MAX },
    LIST(KEY_WRITERS, writers, guest_writer_shape, GUEST_WRITERS_MAX, false),
    LIST_OR_NONE(KEY_EVENTS, events, guest_event_shape, GUEST_EVENTS_MAX),
};
static const struct vm_shape guest_shape = SHAPE(guest_fields);
#undef STRUCT

#define STRUCT vm_record
static const struct vm_field record_fields[] = {
    TEXT(KEY_VM, name, NAME_LEN),
    TEXT(KEY_UUID, uuid, NAME_LEN),
    NAMED(KEY_STATE, state, states, HV_OTHER),
    PLAIN(KEY_AUTOSTART, autostart, FIELD_BOOL),
    PLAIN(KEY_PERSISTENT, persistent, FIELD_BOOL),
    NAMED(KEY_METHOD, method, methods, VM_METHOD_AUTO),
    TEXT(KEY_WHY, why, TEXT_LEN),
    TEXT_OR_NONE(KEY_CLAUSE, clause, NAME_LEN),
    LIST(KEY_CONDITIONS, conditions, condition_shape, CONDITIONS_MAX, false),
    OBJECT(KEY_POLICY, policy, policy_shape),
    TEXT(KEY_NOT_QUIESCED, not_quiesced, TEXT_LEN),
    NAMED(KEY_CONSISTENCY, consistency, levels, VM_LEVEL_CRASH),
    LIST(KEY_FROZEN, frozen, fs_shape, FROZEN_MAX, false),
    PLAIN(KEY_FROZEN_MS, frozen_ms, FIELD_MS),
    PLAIN(KEY_DOWN_MS, down_ms, FIELD_MS),
    OBJECT_OR_NONE(KEY_GUEST, guest, guest_shape),
    TEXT(KEY_INSTANT, instant, NAME_LEN),
    LIST(KEY_DISKS, disks, disk_shape, VM_RECORD_DISKS_MAX, true),
    LIST(KEY_PARTS, parts, part_shape, VM_RECORD_PARTS_MAX, true),
    TEXT(KEY_CHECKPOINT, checkpoint, NAME_LEN),
    { .key = KEY_WARNINGS, .kind = FIELD_TEXTS, AT(warnings), .max = WARNINGS_MAX },
    TEXT(KEY_ASKED, asked, NAME_LEN),
    TEXT(KEY_TYPE, type, NAME_LEN),
    TEXT(KEY_WHY_TYPE, why_type, TEXT_LEN),
    TEXT(KEY_SINCE, since, NAME_LEN),
    PLAIN(KEY_DIRTY, dirty, FIELD_OPT_U64),
};
static const struct vm_shape record_shape = SHAPE(record_fields);
#undef STRUCT

/* ---- The record -------------------------------------------------------------------------------------------------------------*/

void vm_record_clear(struct vm_record *r)
{
    vm_fields_clear(&record_shape, r);
}

json_t *vm_record_to_json(const struct vm_record *r)
{
    _cleanup_json_ json_t *o = json_object();

    if (!o || vm_fields_to_json(&record_shape, r, o) < 0)
        return NULL;
    if (r->version && json_object_set_new(o, KEY_VERSION, json_integer(r->version)) < 0)
        return NULL;
    return TAKE_PTR(o);
}

static int version_from(const json_t *o, unsigned *ret, struct err *err)
{
    const json_t *v = json_object_get(o, KEY_VERSION);
    json_int_t version = json_integer_value(v);

    *ret = 0;
    if (!v)
        return 0;
    if (!json_is_integer(v) || version < 1)
        return err_set(err, EUCLEAN, "the VM's record is damaged: its version is not a number above 0");
    if (version > VM_RECORD_VERSION)
        return err_set(
            err, EUCLEAN,
            "the VM's record has version %lld, but this kvss only reads versions up to %d: use the kvss that created it, or a newer one",
            (long long)version, VM_RECORD_VERSION);
    *ret = (unsigned)version;
    return 0;
}

int vm_record_from_json(const json_t *o, struct vm_record *ret, struct err *err)
{
    unsigned version;
    struct err why = ERR_INIT;

    vm_record_clear(ret);
    int r = version_from(o, &version, err);
    if (r < 0)
        return r;
    r = vm_fields_from_json(&record_shape, o, ret, &why);
    if (r < 0) {
        vm_record_clear(ret);
        return r == -ENOMEM ? err_move(err, &why) : err_set(err, EUCLEAN, "the VM's record is damaged: %s", why.text);
    }
    ret->version = version;
    return 0;
}

void vm_record_guest_clear(struct vm_record_guest *g)
{
    vm_fields_clear(&guest_shape, g);
}

int vm_record_guest_from_json(const json_t *o, struct vm_record_guest *ret, struct err *err)
{
    vm_record_guest_clear(ret);
    int r = vm_fields_from_json(&guest_shape, o, ret, err);
    if (r < 0)
        vm_record_guest_clear(ret);
    else
        ret->known = true;
    return r;
}

int vm_record_guest_to_json(const struct vm_record_guest *g, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *o = json_object();

    if (!o || vm_fields_to_json(&guest_shape, g, o) < 0)
        return err_nomem(err);
    *ret = TAKE_PTR(o);
    return 0;
}

int vm_record_guest_copy(const struct vm_record_guest *from, struct vm_record_guest *ret, struct err *err)
{
    _cleanup_json_ json_t *o = NULL;

    vm_record_guest_clear(ret);
    if (!from->known)
        return 0;
    int r = vm_record_guest_to_json(from, &o, err);
    return r < 0 ? r : vm_record_guest_from_json(o, ret, err);
}

const struct vm_record_part *vm_record_find_part(const struct vm_record *r, const char *name)
{
    for (size_t i = 0; i < r->n_parts; i++)
        if (r->parts[i].name && r->parts[i].stored_as && !strcmp(r->parts[i].name, name))
            return &r->parts[i];
    return NULL;
}

const struct vm_record_disk *vm_record_find_disk(const struct vm_record *r, const char *target)
{
    for (size_t i = 0; i < r->n_disks; i++)
        if (r->disks[i].target && !strcmp(r->disks[i].target, target))
            return &r->disks[i];
    return NULL;
}
