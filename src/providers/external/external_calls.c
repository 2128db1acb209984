/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The calls of struct kvss_provider, put into JSON, and what comes back: bounded, checked, and with no key that is not known. */
#include "base/buf.h"
#include "base/io.h"
#include "base/runnable.h"
#include "base/text.h"
#include "providers/external/external_internal.h"
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int calls_bad(const struct external *x, enum external_word word, const char *what, struct err *err)
{
    return err_set(err, EBADMSG, "provider %s: %s: its answer: %s", x->name, external_words[word], what);
}

/* A text of an answer: NULL for JSON null. */
static int calls_text(const struct external *x, enum external_word word, const json_t *j, char **ret, struct err *err)
{
    const char *text = json_string_value(j);

    *ret = NULL;
    if (!j || json_is_null(j))
        return 0;
    if (!text || !*text || strlen(text) > EXTERNAL_PATH_MAX || !external_is_plain(text))
        return calls_bad(x, word, "a text is empty, too long, or has control characters", err);
    *ret = strdup(text);
    return *ret ? 0 : err_nomem(err);
}

static int calls_keys(const struct external *x, enum external_word word, json_t *answer, const char *const *known, struct err *err)
{
    const char *key;
    json_t *value;

    json_object_foreach (answer, key, value) {
        size_t i = 0;
        while (known[i] && strcmp(known[i], key))
            i++;
        if (!known[i])
            return calls_bad(x, word, "it has a key that is unknown in this call", err);
    }
    return 0;
}
#define KEYS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* ---- Questions ------------------------------------------------------------------------------------------------------------*/

static int external_check_health(void *p, char **ret_why_not, struct err *err)
{
    struct external *x = p;
    _cleanup_json_ json_t *answer = NULL;

    int r = external_call(x, EXT_CHECK_HEALTH, json_object(), &answer, err);
    if (r < 0 || (r = calls_keys(x, EXT_CHECK_HEALTH, answer, KEYS("why_not"), err)) < 0)
        return r;
    return calls_text(x, EXT_CHECK_HEALTH, json_object_get(answer, "why_not"), ret_why_not, err);
}

static int external_free_room(void *p, const char *volume, struct kvss_room *ret, struct err *err)
{
    struct external *x = p;
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_free_ char *place = NULL;
    json_int_t free_bytes = -1, total = -1;
    json_t *where = NULL;
    json_error_t e;

    int r = external_call(x, EXT_FREE_ROOM, json_pack("{s:o}", "volume", json_text(volume)), &answer, err);
    if (r < 0)
        return r;
    if (json_unpack_ex(answer, &e, 0, "{s:I, s:I, s?o!}", "free", &free_bytes, "total", &total, "place", &where) < 0 || free_bytes < 0 ||
        total < free_bytes)
        return calls_bad(x, EXT_FREE_ROOM, "free and total are not numbers of bytes", err);
    if ((r = calls_text(x, EXT_FREE_ROOM, where, &place, err)) < 0)
        return r;
    *ret = (struct kvss_room){ (uint64_t)free_bytes, (uint64_t)total, TAKE_PTR(place) };
    return 0;
}

static int external_is_volume_supported(void *p, const struct kvss_volume *v, bool *ret, struct err *err)
{
    struct external *x = p;
    _cleanup_json_ json_t *answer = NULL;
    json_error_t e;
    int yes = 0;

    int r = external_call(x, EXT_IS_VOLUME_SUPPORTED,
                          json_pack("{s:s, s:s?, s:s?, s:s?}", "volume", v->name, "vm", v->vm_uuid, "target", v->target, "path", v->path),
                          &answer, err);
    if (r < 0)
        return r;
    if (json_unpack_ex(answer, &e, 0, "{s:b!}", "supported", &yes) < 0)
        return calls_bad(x, EXT_IS_VOLUME_SUPPORTED, "it is not { \"supported\": true or false }", err);
    *ret = yes;
    return 0;
}

/* ---- The set --------------------------------------------------------------------------------------------------------------*/

static bool calls_has_begun(struct external *x, const char *set_id)
{
    SCOPED_LOCK(&x->lock);
    for (struct external_begun *b = x->begun; b; b = b->next)
        if (!strcmp(b->set_id, set_id))
            return true;
    return false;
}

/* Written down first: whoever finds us dead has it delete the set. */
static int calls_enter(struct external *x, const char *set_id, struct err *err)
{
    _cleanup_free_ char *group = str_format("provider %s", x->name);
    struct external_begun *b;

    if (!x->config.journal)
        return err_set(err, EINVAL, "provider %s: no journal given: cannot create a shadow copy", x->name);
    if (calls_has_begun(x, set_id))
        return 0;
    if (!group || !(b = calloc(1, sizeof(*b) + strlen(set_id) + 1)))
        return err_nomem(err);
    strcpy(b->set_id, set_id);
    const struct journal_arg args[] = { { "group", group },
                                        { "kind", x->kind == EXTERNAL_OBJECT ? "object" : "program" },
                                        { "file", x->path },
                                        { "set", set_id },
                                        { NULL, NULL } };
    int r = journal_begin(x->config.journal, external_verbs[0].name, args, &b->fx, err);
    if (r >= 0 && (r = journal_done(x->config.journal, b->fx)) < 0)
        err_errno(err, -r, "provider %s: a step of its snapshot set failed", x->name);
    SCOPED_LOCK(&x->lock);
    b->next = x->begun;
    x->begun = b;
    return r;
}

static void calls_leave(struct external *x, const char *set_id)
{
    SCOPED_LOCK(&x->lock);
    for (struct external_begun **at = &x->begun, *b; (b = *at);) {
        if (strcmp(b->set_id, set_id)) {
            at = &b->next;
            continue;
        }
        if (b->fx)
            journal_settled(x->config.journal, b->fx);
        *at = b->next;
        free(b);
    }
}

static int external_begin_prepare(void *p, const char *set_id, const char *snapshot_id, const char *volume, uint32_t context,
                                  struct err *err)
{
    struct external *x = p;

    int r = calls_enter(x, set_id, err);
    if (r < 0)
        return r;
    return external_call(
        x, EXT_BEGIN_PREPARE,
        json_pack("{s:s, s:s, s:s, s:I}", "set", set_id, "snapshot", snapshot_id, "volume", volume, "context", (json_int_t)context), NULL,
        err);
}

static json_t *calls_point(const struct kvss_point *point)
{
    json_t *disks = json_array();

    for (size_t i = 0; i < point->n_disks; i++) {
        const struct kvss_point_disk *d = &point->disks[i];
        json_array_append_new(disks, json_pack("{s:s, s:s?, s:s, s:b}", "target", d->target, "path", d->path, "format", d->format,
                                               "readonly", (int)d->readonly));
    }
    return json_pack("{s:s, s:s, s:s, s:b, s:o, s:s?, s:s?}", "set", point->set_id, "vm", point->vm_uuid, "vm_name", point->vm_name,
                     "active", (int)point->active, "disks", disks, "checkpoint", point->checkpoint, "since", point->since);
}

static int external_prepare_point(void *p, const struct kvss_point *point, struct err *err)
{
    return external_call(p, EXT_PREPARE_POINT, calls_point(point), NULL, err);
}

static int external_take_point(void *p, const struct kvss_point *point, struct err *err)
{
    return external_call(p, EXT_TAKE_POINT, calls_point(point), NULL, err);
}

static int calls_of_set(struct external *x, enum external_word word, const char *set_id, struct err *err)
{
    return external_call(x, word, json_pack("{s:s}", "set", set_id), NULL, err);
}

#define OF_SET(name, word)                                                   \
    static int external_##name(void *p, const char *set_id, struct err *err) \
    {                                                                        \
        return calls_of_set(p, word, set_id, err);                           \
    }
OF_SET(end_prepare, EXT_END_PREPARE)
OF_SET(pre_commit, EXT_PRE_COMMIT)
OF_SET(commit, EXT_COMMIT)
OF_SET(post_commit, EXT_POST_COMMIT)
OF_SET(pre_final_commit, EXT_PRE_FINAL_COMMIT)
OF_SET(post_final_commit, EXT_POST_FINAL_COMMIT)

static int calls_end_set(struct external *x, enum external_word word, const char *set_id, struct err *err)
{
    if (!calls_has_begun(x, set_id))
        return 0; /* it has been deleted, or it never came to be */
    int r = calls_of_set(x, word, set_id, err);
    if (r >= 0)
        calls_leave(x, set_id);
    return r;
}

static int external_abort_snapshots(void *p, const char *set_id, struct err *err)
{
    return calls_end_set(p, EXT_ABORT_SNAPSHOTS, set_id, err);
}

static int external_delete_snapshots(void *p, const char *set_id, struct err *err)
{
    return calls_end_set(p, EXT_DELETE_SNAPSHOTS, set_id, err);
}

/* ---- The copies -----------------------------------------------------------------------------------------------------------*/

static int external_snapshot_device(void *p, const char *set_id, const char *snapshot_id, char **ret_device, struct err *err)
{
    struct external *x = p;
    _cleanup_json_ json_t *answer = NULL;

    int r = external_call(x, EXT_SNAPSHOT_DEVICE, json_pack("{s:s, s:s}", "set", set_id, "snapshot", snapshot_id), &answer, err);
    if (r < 0 || (r = calls_keys(x, EXT_SNAPSHOT_DEVICE, answer, KEYS("device"), err)) < 0)
        return r;
    return calls_text(x, EXT_SNAPSHOT_DEVICE, json_object_get(answer, "device"), ret_device, err);
}

/* "raw", "qcow2": it becomes part of a command's argument. */
static bool is_good_format(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");

    return n > 0 && n <= 32 && !s[n];
}

static int calls_check_source(const struct external *x, const struct kvss_disk_source *s, struct err *err)
{
    struct stat st;

    if (!s->nbd_uri == !s->path)
        return calls_bad(x, EXT_OPEN_DISK, "it has neither nbd_uri nor path, or both", err);
    if (s->nbd_uri && strncmp(s->nbd_uri, "nbd", 3))
        return calls_bad(x, EXT_OPEN_DISK, "nbd_uri is not an NBD URI", err);
    if (s->path && (s->path[0] != '/' || !s->format || !is_good_format(s->format)))
        return calls_bad(x, EXT_OPEN_DISK, "path is not absolute, or format is missing", err);
    if (s->path && (stat(s->path, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))))
        return err_set(err, ENOENT, "provider %s: %s: its answer: %s is not a file or a block device", x->name,
                       external_words[EXT_OPEN_DISK], s->path);
    if (s->dirty_context && !s->nbd_uri)
        return calls_bad(x, EXT_OPEN_DISK, "dirty_context without nbd_uri", err);
    return 0;
}

static int external_open_disk(void *p, const char *set_id, const char *vm_uuid, const char *target, struct kvss_disk_source *ret,
                              struct err *err)
{
    struct external *x = p;
    _cleanup_json_ json_t *answer = NULL;
    struct kvss_disk_source s = { .apart = true };
    const struct {
        const char *key;
        char **to;
    } texts[] = { { "nbd_uri", &s.nbd_uri },
                  { "path", &s.path },
                  { "format", &s.format },
                  { "dirty_context", &s.dirty_context },
                  { "why_full", &s.why_full } };

    int r = external_call(x, EXT_OPEN_DISK, json_pack("{s:s, s:s, s:s}", "set", set_id, "vm", vm_uuid, "target", target), &answer, err);
    if (r >= 0)
        r = calls_keys(x, EXT_OPEN_DISK, answer, KEYS("nbd_uri", "path", "format", "dirty_context", "why_full"), err);
    for (size_t i = 0; i < ARRAY_SIZE(texts) && r >= 0; i++)
        r = calls_text(x, EXT_OPEN_DISK, json_object_get(answer, texts[i].key), texts[i].to, err);
    if (r >= 0)
        r = calls_check_source(x, &s, err);
    if (r < 0) {
        kvss_disk_source_free(&s);
        return r;
    }
    *ret = s;
    return 0;
}

static int external_check_snapshots(void *p, const char *set_id, char **ret_vm_uuid, struct err *err)
{
    struct external *x = p;
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_free_ char *lost = NULL;

    int r = external_call(x, EXT_CHECK_SNAPSHOTS, json_pack("{s:s}", "set", set_id), &answer, err);
    if (r < 0 || (r = calls_keys(x, EXT_CHECK_SNAPSHOTS, answer, KEYS("lost", "vm"), err)) < 0 ||
        (r = calls_text(x, EXT_CHECK_SNAPSHOTS, json_object_get(answer, "lost"), &lost, err)) < 0)
        return r;
    if (!lost)
        return 0;
    if ((r = calls_text(x, EXT_CHECK_SNAPSHOTS, json_object_get(answer, "vm"), ret_vm_uuid, err)) < 0)
        return r;
    return err_set(err, EIO, "provider %s lost its snapshots: %s", x->name, lost);
}

void external_fill_ops(struct external *x)
{
#define HAS(word, fn) (x->words & 1u << (word) ? (fn) : NULL)
    x->ops = (struct kvss_provider){
        .struct_size = sizeof(struct kvss_provider),
        .api = KVSS_PROVIDER_API,
        .name = x->name,
        .id = x->id,
        .version = x->version,
        .type = x->type,
        .check_health = HAS(EXT_CHECK_HEALTH, external_check_health),
        .free_room = HAS(EXT_FREE_ROOM, external_free_room),
        .is_volume_supported = external_is_volume_supported,
        .begin_prepare = external_begin_prepare,
        .prepare_point = HAS(EXT_PREPARE_POINT, external_prepare_point),
        .take_point = HAS(EXT_TAKE_POINT, external_take_point),
        .end_prepare = HAS(EXT_END_PREPARE, external_end_prepare),
        .pre_commit = HAS(EXT_PRE_COMMIT, external_pre_commit),
        .commit = external_commit,
        .post_commit = HAS(EXT_POST_COMMIT, external_post_commit),
        .pre_final_commit = HAS(EXT_PRE_FINAL_COMMIT, external_pre_final_commit),
        .snapshot_device = HAS(EXT_SNAPSHOT_DEVICE, external_snapshot_device),
        .post_final_commit = HAS(EXT_POST_FINAL_COMMIT, external_post_final_commit),
        .open_disk = HAS(EXT_OPEN_DISK, external_open_disk),
        .check_snapshots = HAS(EXT_CHECK_SNAPSHOTS, external_check_snapshots),
        .abort_snapshots = external_abort_snapshots,
        .delete_snapshots = external_delete_snapshots,
    };
#undef HAS
}

/* ---- Of a session that has died -------------------------------------------------------------------------------------------*/

/* What cannot be asked may still have the set: it is tried again, as with a VM that cannot be reached. */
static int external_undo(void *ctx, const struct journal_effect *e, struct err *err)
{
    const char *kind = journal_value(e, "kind"), *path = journal_value(e, "file"), *set = journal_value(e, "set");
    enum external_kind k = kind && !strcmp(kind, "object") ? EXTERNAL_OBJECT : EXTERNAL_PROGRAM;
    const struct external_config config = { 0 };
    _cleanup_(external_one_free_p) struct external *x = NULL;
    int file = -1;

    (void)ctx;
    if (!set || !path)
        return err_set(err, EINVAL, "the journal does not say whose snapshot set it is");
    int r = runnable_open(path, (struct runnable_kind){ .program = k == EXTERNAL_PROGRAM }, &file, err);
    if (r >= 0)
        r = external_new(&config, k, path, file, &x, err);
    return r < 0 ? r : calls_of_set(x, EXT_ABORT_SNAPSHOTS, set, err);
}

const struct journal_verb external_verbs[] = {
    { "provider-set", external_undo, .undone = "its provider has deleted the snapshots" },
    { NULL, NULL },
};
