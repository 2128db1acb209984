/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process of a shared object: loads it and makes the calls that come, each in a thread of its own. The other end is in
 * external_object.c. */
#include "base/clock.h"
#include "base/thread.h"
#include "providers/external/external_internal.h"
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define CALLS_END_MS 1000u
#define DISKS_MAX ((size_t)1024)

struct hosted {
    const struct kvss_provider *ops; /* NULL: it could not be loaded, `failed` says why */
    void *p;
    struct err failed;
    pthread_mutex_t lock;
    pthread_cond_t idle;
    unsigned running; /* under the lock */
};

/* ---- Loading --------------------------------------------------------------------------------------------------------------*/

static bool host_lacks(const struct kvss_provider *ops)
{
    return !ops->is_volume_supported || !ops->begin_prepare || !ops->commit || !ops->abort_snapshots || !ops->delete_snapshots;
}

static void host_load(struct hosted *h, int fd)
{
    const struct kvss_provider_host host = { sizeof(host), KVSS_PROVIDER_API, KVSS_VERSION };
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        err_set(&h->failed, ENOEXEC, "cannot load it: %s", dlerror());
        return;
    }
    kvss_provider_entry_fn *entry;
    void *symbol = dlsym(object, KVSS_PROVIDER_ENTRY);
    memcpy(&entry, &symbol, sizeof(symbol)); /* as POSIX has it: C knows no way from an object's address to a function's */
    const struct kvss_provider *ops = symbol ? entry(KVSS_PROVIDER_API) : NULL;
    if (!symbol)
        err_set(&h->failed, ENOEXEC, "it has no %s", KVSS_PROVIDER_ENTRY);
    else if (!ops || ops->api != KVSS_PROVIDER_API || ops->struct_size < sizeof(*ops))
        err_set(&h->failed, ENOEXEC, "it does not support interface %d: build it against the headers of kvss %s", KVSS_PROVIDER_API,
                KVSS_VERSION);
    else if (host_lacks(ops))
        err_set(&h->failed, ENOEXEC, "it lacks a mandatory call");
    else if (!ops->open || ops->open(&host, &h->p, &h->failed) >= 0)
        h->ops = ops;
    else if (!h->failed.code)
        err_set(&h->failed, EIO, "it cannot be opened: no reason given");
}

/* ---- The calls ------------------------------------------------------------------------------------------------------------*/

static const char *host_text(const json_t *in, const char *key)
{
    const char *text = json_get_text(in, key);

    return text ? text : "";
}

/* Which calls it has. */
static json_t *host_calls(const struct kvss_provider *o)
{
    const struct {
        enum external_word word;
        bool has;
    } all[] = {
        { EXT_CHECK_HEALTH, o->check_health },
        { EXT_FREE_ROOM, o->free_room },
        { EXT_PREPARE_POINT, o->prepare_point },
        { EXT_TAKE_POINT, o->take_point },
        { EXT_END_PREPARE, o->end_prepare },
        { EXT_PRE_COMMIT, o->pre_commit },
        { EXT_POST_COMMIT, o->post_commit },
        { EXT_PRE_FINAL_COMMIT, o->pre_final_commit },
        { EXT_OPEN_DISK, o->open_disk },
        { EXT_SNAPSHOT_DEVICE, o->snapshot_device },
        { EXT_CHECK_SNAPSHOTS, o->check_snapshots },
        { EXT_POST_FINAL_COMMIT, o->post_final_commit },
    };
    json_t *list = json_array();

    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (all[i].has)
            json_array_append_new(list, json_string(external_words[all[i].word]));
    return list;
}

static int host_identify(const struct hosted *h, json_t **ret)
{
    static const char *const types[] = { "", "system", "software", "hardware" };
    const struct kvss_provider *o = h->ops;

    *ret =
        json_pack("{s:i, s:o, s:o, s:s, s:s, s:o}", "api", KVSS_PROVIDER_API, "name", json_text(o->name), "id", json_text(o->id), "version",
                  o->version ? o->version : "", "type", (size_t)o->type < ARRAY_SIZE(types) ? types[o->type] : "", "calls", host_calls(o));
    return 0;
}

static int host_question(const struct hosted *h, enum external_word word, const json_t *in, json_t **ret, struct err *err)
{
    const struct kvss_volume v = { host_text(in, "volume"), json_get_text(in, "vm"), json_get_text(in, "target"),
                                   json_get_text(in, "path") };
    _cleanup_free_ char *why_not = NULL;
    struct kvss_room room = { 0 };
    bool yes = false;
    int r;

    if (word == EXT_IS_VOLUME_SUPPORTED) {
        r = h->ops->is_volume_supported(h->p, &v, &yes, err);
        *ret = json_pack("{s:b}", "supported", (int)yes);
        return r;
    }
    if (word == EXT_CHECK_HEALTH) {
        r = h->ops->check_health(h->p, &why_not, err);
        *ret = json_pack("{s:o}", "why_not", json_text(why_not));
        return r;
    }
    r = h->ops->free_room(h->p, json_get_text(in, "volume"), &room, err);
    *ret = json_pack("{s:I, s:I, s:o}", "free", (json_int_t)room.free_bytes, "total", (json_int_t)room.total_bytes, "place",
                     json_text(room.place));
    free(room.place);
    return r;
}

static int host_point(const struct hosted *h, enum external_word word, const json_t *in, struct err *err)
{
    const json_t *list = json_object_get(in, "disks");
    size_t n = json_array_size(list);
    _cleanup_free_ struct kvss_point_disk *disks = n <= DISKS_MAX ? calloc(n + 1, sizeof(*disks)) : NULL;

    if (!disks)
        return err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        const json_t *d = json_array_get(list, i);
        disks[i] = (struct kvss_point_disk){ host_text(d, "target"), json_get_text(d, "path"), host_text(d, "format"),
                                             json_is_true(json_object_get(d, "readonly")) };
    }
    const struct kvss_point point = {
        .set_id = host_text(in, "set"),
        .vm_uuid = host_text(in, "vm"),
        .vm_name = host_text(in, "vm_name"),
        .active = json_is_true(json_object_get(in, "active")),
        .n_disks = n,
        .disks = disks,
        .checkpoint = json_get_text(in, "checkpoint"),
        .since = json_get_text(in, "since"),
    };
    return (word == EXT_TAKE_POINT ? h->ops->take_point : h->ops->prepare_point)(h->p, &point, err);
}

typedef int host_set_fn(void *p, const char *set_id, struct err *err);

static host_set_fn *host_of_set(const struct kvss_provider *o, enum external_word word)
{
    switch (word) {
    case EXT_END_PREPARE: return o->end_prepare;
    case EXT_PRE_COMMIT: return o->pre_commit;
    case EXT_COMMIT: return o->commit;
    case EXT_POST_COMMIT: return o->post_commit;
    case EXT_PRE_FINAL_COMMIT: return o->pre_final_commit;
    case EXT_POST_FINAL_COMMIT: return o->post_final_commit;
    case EXT_ABORT_SNAPSHOTS: return o->abort_snapshots;
    case EXT_DELETE_SNAPSHOTS: return o->delete_snapshots;
    default: return NULL;
    }
}

static int host_copy(const struct hosted *h, enum external_word word, const json_t *in, json_t **ret, struct err *err)
{
    const char *set = host_text(in, "set");
    struct kvss_disk_source s = { 0 };
    _cleanup_free_ char *text = NULL;
    struct err lost = ERR_INIT;
    int r;

    if (word == EXT_SNAPSHOT_DEVICE) {
        r = h->ops->snapshot_device(h->p, set, host_text(in, "snapshot"), &text, err);
        *ret = json_pack("{s:o}", "device", json_text(text));
        return r;
    }
    if (word == EXT_CHECK_SNAPSHOTS) {
        r = h->ops->check_snapshots(h->p, set, &text, &lost);
        *ret = r < 0 ? json_pack("{s:s, s:o}", "lost", lost.code ? lost.text : "no reason given", "vm", json_text(text)) : json_object();
        return 0;
    }
    r = h->ops->open_disk(h->p, set, host_text(in, "vm"), host_text(in, "target"), &s, err);
    *ret = json_pack("{s:o, s:o, s:o, s:o, s:o}", "nbd_uri", json_text(s.nbd_uri), "path", json_text(s.path), "format", json_text(s.format),
                     "dirty_context", json_text(s.dirty_context), "why_full", json_text(s.why_full));
    kvss_disk_source_free(&s);
    return r;
}

static int host_call(const struct hosted *h, const json_t *in, json_t **ret, struct err *err)
{
    int word = external_find_word(host_text(in, "call"));
    json_int_t context = json_integer_value(json_object_get(in, "context"));
    const char *set = host_text(in, "set");

    if (!h->ops)
        return err_move(err, &h->failed);
    switch (word) {
    case EXT_IDENTIFY: return host_identify(h, ret);
    case EXT_CHECK_HEALTH:
    case EXT_FREE_ROOM:
    case EXT_IS_VOLUME_SUPPORTED: return host_question(h, (enum external_word)word, in, ret, err);
    case EXT_BEGIN_PREPARE:
        return h->ops->begin_prepare(h->p, set, host_text(in, "snapshot"), host_text(in, "volume"), (uint32_t)context, err);
    case EXT_PREPARE_POINT:
    case EXT_TAKE_POINT: return host_point(h, (enum external_word)word, in, err);
    case EXT_SNAPSHOT_DEVICE:
    case EXT_OPEN_DISK:
    case EXT_CHECK_SNAPSHOTS: return host_copy(h, (enum external_word)word, in, ret, err);
    default: break;
    }
    host_set_fn *fn = word < 0 ? NULL : host_of_set(h->ops, (enum external_word)word);
    return fn ? fn(h->p, set, err) : err_set(err, ENOSYS, "there is no such call");
}

/* ---- Serving --------------------------------------------------------------------------------------------------------------*/

struct host_task {
    struct hosted *h;
    int fd;
};

static void host_answer(const struct hosted *h, int fd, const struct buf *request)
{
    _cleanup_json_ json_t *in = NULL, *answer = NULL, *out = NULL;
    struct err err = ERR_INIT;

    int r = json_parse_object((const char *)request->data, request->len, "the request", &in, &err);
    if (r >= 0)
        r = host_call(h, in, &answer, &err);
    if (r >= 0)
        out = json_pack("{s:o}", "answer", answer ? json_incref(answer) : json_object());
    else
        out = json_pack("{s:i, s:I, s:o}", "code", -r, "hresult", (json_int_t)err.hresult, "text", json_text(err.code ? err.text : ""));
    _cleanup_free_ char *text = out ? json_dumps(out, JSON_COMPACT) : NULL;
    for (size_t at = 0, n = text ? strlen(text) : 0; at < n;) {
        ssize_t sent = send(fd, text + at, n - at, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return;
        at += sent > 0 ? (size_t)sent : 0;
    }
}

static void *host_serve(void *arg)
{
    struct host_task *t = arg;
    struct hosted *h = t->h;
    _cleanup_buf_ struct buf request = BUF_INIT;
    char piece[4096];
    ssize_t n;

    while ((n = recv(t->fd, piece, sizeof(piece), 0)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0 && buf_add(&request, piece, (size_t)n) < 0)
            break;
    if (n == 0)
        host_answer(h, t->fd, &request);
    close(t->fd);
    free(t);
    SCOPED_LOCK(&h->lock);
    if (--h->running == 0)
        pthread_cond_broadcast(&h->idle);
    return NULL;
}

/* -1: the other end is closed. */
static int host_next(int fd_calls)
{
    char byte;
    struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room) };
    ssize_t n;
    int fd;

    while ((n = recvmsg(fd_calls, &h, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&h) : NULL;
    if (!c || c->cmsg_type != SCM_RIGHTS)
        return -1;
    memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

static void host_start(struct hosted *h, int fd)
{
    struct host_task *t = calloc(1, sizeof(*t));

    if (!t) {
        close(fd);
        return;
    }
    *t = (struct host_task){ h, fd };
    pthread_mutex_lock(&h->lock);
    h->running++;
    pthread_mutex_unlock(&h->lock);
    if (thread_start(NULL, "kvss-call", host_serve, t) < 0)
        host_serve(t);
}

int external_host_run(int fd_object, int fd_calls, struct err *err)
{
    struct hosted h = { 0 };
    int fd;

    pthread_mutex_init(&h.lock, NULL);
    thread_cond_init(&h.idle);
    host_load(&h, fd_object);
    while ((fd = host_next(fd_calls)) >= 0)
        host_start(&h, fd);
    uint64_t end = clock_mono_ms() + CALLS_END_MS;
    pthread_mutex_lock(&h.lock);
    while (h.running && thread_cond_wait_until(&h.idle, &h.lock, end))
        ;
    bool idle = h.running == 0;
    pthread_mutex_unlock(&h.lock);
    if (idle && h.ops && h.ops->close)
        h.ops->close(h.p);
    (void)err;
    return 0;
}
