/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lock objects: reading them, and telling whether their owner is still there. */
#include "base/clock.h"
#include "base/io.h"
#include "base/process_stat.h"
#include "store/object/object.h"
#include "store/lock/lock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TITLE "kvss lock 1"

static const char *const kinds[] = { [LOCK_SESSION] = "session", [LOCK_MAINTENANCE] = "maintenance", [LOCK_EXCLUSIVE] = "exclusive" };

/* Start time of a process in clock ticks since boot; 0: there is none. */
static uint64_t start_of(uint64_t pid)
{
    struct process_stat st;

    return process_stat(pid, &st) < 0 ? 0 : st.start;
}

void lock_text_own(struct lock_text *ret, enum lock_kind kind, const char *purpose)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct stat st;

    *ret = (struct lock_text){ .kind = kind, .pid = (uint64_t)getpid() };
    ret->start = start_of(ret->pid);
    ret->pidns = stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
    snprintf(ret->purpose, sizeof ret->purpose, "%s", purpose);
    (void)gethostname(ret->host, sizeof ret->host - 1);
    if (io_read_file("/proc/sys/kernel/random/boot_id", 64, &b, NULL) == 0)
        snprintf(ret->boot, sizeof ret->boot, "%.36s", (char *)b.data);
    clock_format(clock_wall_us(), ret->since);
}

int lock_make(struct crypt *crypt, const struct lock_text *t, struct buf *ret)
{
    buf_reset(ret);
    int r = buf_adds(ret, TITLE "\n");
    if (r == 0)
        r = lines_add(ret, "kind", kinds[t->kind]);
    if (r == 0)
        r = lines_add(ret, "purpose", t->purpose);
    if (r == 0)
        r = lines_add(ret, "host", t->host);
    if (r == 0)
        r = lines_add(ret, "boot", t->boot);
    if (r == 0)
        r = lines_addf(ret, "pid", "%llu", (unsigned long long)t->pid);
    if (r == 0)
        r = lines_addf(ret, "start", "%llu", (unsigned long long)t->start);
    if (r == 0)
        r = lines_addf(ret, "pidns", "%llu", (unsigned long long)t->pidns);
    if (r == 0)
        r = lines_add(ret, "since", t->since);
    return r < 0 ? r : signed_end(crypt, ret);
}

static bool get_text(const struct lines *l, const char *name, char *ret, size_t n)
{
    const char *v = lines_get(l, name);

    return v && (size_t)snprintf(ret, n, "%s", v) < n;
}

int lock_parse(const void *p, size_t n, struct lock_text *ret, struct err *err)
{
    _cleanup_lines_ struct lines l = { 0 };
    struct lock_text t = { 0 };
    char kind[16];
    int r = n > LOCK_BYTES_MAX ? -EBADMSG : lines_parse(p, n, TITLE, "the lock", &l, err);

    if (r == -ENOMEM)
        return r;
    if (r < 0 || !get_text(&l, "kind", kind, sizeof kind) || !get_text(&l, "purpose", t.purpose, sizeof t.purpose) ||
        !get_text(&l, "host", t.host, sizeof t.host) || !get_text(&l, "boot", t.boot, sizeof t.boot) ||
        !get_text(&l, "since", t.since, sizeof t.since) || lines_get_u64(&l, "pid", 1, INT32_MAX, &t.pid) < 0 ||
        lines_get_u64(&l, "start", 0, UINT64_MAX, &t.start) < 0 || lines_get_u64(&l, "pidns", 0, UINT64_MAX, &t.pidns) < 0)
        return err_set(err, EBADMSG, "the lock is damaged");
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (strcmp(kind, kinds[i]) == 0)
            t.kind = (enum lock_kind)i;
    *ret = t;
    return 0;
}

void lock_owner(const struct lock *l, char *ret, size_t n)
{
    char local[40];
    int64_t us;

    if (l->readable)
        snprintf(ret, n, "%s, host %s, pid %llu, since %s", l->text.purpose, l->text.host, (unsigned long long)l->text.pid,
                 clock_parse(l->text.since, &us, NULL) == 0 ? clock_format_local(us, local) : l->text.since);
    else
        snprintf(ret, n, "unknown (the lock cannot be read)");
}

/* One that was put in the future, by the clock of the storage itself. Whoever holds a lock puts it again every minute, and it is sealed: so
 * one that cannot be read is nobody's, and for the others what they say of their begin counts. That breaks one of a running session only
 * if the storage's clock was set back within this minute, and that session then fails. */
static bool is_ahead_stale(const struct lock *l)
{
    int64_t since;

    return !l->readable || (clock_parse(l->text.since, &since, NULL) == 0 && clock_wall_us() - since > LOCK_STALE_S * 1000000LL);
}

/* Processes that we can see are asked for; the age decides about all others. */
static bool is_stale(const struct lock *l, const struct lock_text *own, int64_t age_us)
{
    bool near = l->readable && own->boot[0] && strcmp(l->text.boot, own->boot) == 0 && l->text.pidns == own->pidns;

    if (near && l->text.start)
        return start_of(l->text.pid) != l->text.start;
    if (age_us < -LOCK_AHEAD_S * 1000000LL)
        return is_ahead_stale(l);
    return age_us > LOCK_STALE_S * 1000000LL;
}

struct lock_listing {
    struct env *env;
    int64_t now_us; /* by the backend's clock; 0: not known */
    bool asked;     /* for it */
    struct lock_text own;
    struct lock *list;
    size_t n;
};

static int add_lock(void *priv, const char *name)
{
    struct lock_listing *x = priv;
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct backend_stat st;
    char path[OBJECT_PATH_SIZE];
    struct lock l = { 0 };

    if (!crypt_unhex(name, l.name.b, sizeof l.name.b))
        return 0;
    if (x->n >= LOCKS_MAX)
        return -E2BIG;
    object_name_path("locks", &l.name, path);
    int r = backend_stat(x->env->backend, path, &st, NULL);
    if (r == 0)
        r = backend_read(x->env->backend, path, LOCK_BYTES_MAX, &b, NULL);
    if (r == -ENOENT)
        return 0; /* released meanwhile */
    if (r == -ENOMEM)
        return r;
    size_t covered;
    l.readable = r == 0 && signed_check(x->env->crypt, b.data, b.len, &covered) == 0 && lock_parse(b.data, b.len, &l.text, NULL) == 0;
    if (x->now_us == 0 && !x->asked) {
        x->now_us = backend_dir_now(x->env->backend);
        x->asked = true;
    }
    l.stale = is_stale(&l, &x->own, r == 0 && x->now_us ? x->now_us - st.mtime_us : 0);
    struct lock *list = reallocarray(x->list, x->n + 1, sizeof *list);
    if (!list)
        return -ENOMEM;
    x->list = list;
    list[x->n++] = l;
    return 0;
}

int lock_list(struct env *env, int64_t now_us, struct lock **ret, size_t *ret_n, struct err *err)
{
    struct lock_listing x = { .env = env, .now_us = now_us };

    lock_text_own(&x.own, LOCK_SESSION, "");
    int r = backend_list(env->backend, "locks", add_lock, &x, err);
    if (r < 0) {
        free(x.list);
        return r;
    }
    *ret = x.list;
    *ret_n = x.n;
    return 0;
}
