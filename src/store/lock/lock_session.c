/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A lock of our own: put, refreshed by a thread, removed. */
#include "store/lock/lock_session.h"
#include "base/clock.h"
#include "store/lock/lock.h"
#include "base/thread.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

struct lock_session {
    struct env *env;
    struct object_name name;
    char path[OBJECT_PATH_SIZE];
    struct buf text;
    pthread_t refresher;
    bool refreshing;
    pthread_mutex_t lock; /* below */
    pthread_cond_t wake;
    bool stop, lost;
    uint64_t fresh_s; /* when it was put last, by the clock that counts suspended time too */
};

static uint64_t boot_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec;
}

static int put(struct lock_session *s, enum backend_put how, struct err *err)
{
    int r = backend_put(s->env->backend, s->path, s->text.data, s->text.len, how, err);

    if (r == 0)
        s->fresh_s = boot_s();
    return r;
}

/* Whether the lock may be gone: others may have broken it once it was not refreshed for LOCK_STALE_S. It is never put back. */
static bool session_is_lost(struct lock_session *s)
{
    struct backend_stat st;

    if (!s->lost && (boot_s() - s->fresh_s > LOCK_LOST_S || backend_stat(s->env->backend, s->path, &st, NULL) == -ENOENT))
        s->lost = true;
    return s->lost;
}

static void *refresh(void *priv)
{
    struct lock_session *s = priv;

    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        uint64_t until = clock_mono_ms() + LOCK_REFRESH_S * 1000;
        while (!s->stop && thread_cond_wait_until(&s->wake, &s->lock, until))
            ;
        struct err err = ERR_INIT;
        if (!s->stop && !session_is_lost(s) && put(s, BACKEND_REPLACE, &err) < 0)
            log_warning(s->env->log, "cannot refresh the lock of the repository: %s", err.text);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static int session_start(struct lock_session *s, struct err *err)
{
    thread_cond_init(&s->wake);
    s->refreshing = thread_start(&s->refresher, "kvss-lock", refresh, s) == 0;
    return s->refreshing ? 0 : err_set(err, EAGAIN, "cannot start the thread that keeps the repository locked");
}

int64_t session_now(struct lock_session *s)
{
    struct backend_stat st;

    SCOPED_LOCK(&s->lock);
    if (backend_stat(s->env->backend, s->path, &st, NULL) < 0)
        return 0;
    return st.mtime_us + (int64_t)(boot_s() - s->fresh_s) * 1000000;
}

int session_others(struct lock_session *s, struct lock **ret, size_t *ret_n, struct err *err)
{
    struct lock *list;
    size_t n, used = 0;
    char path[OBJECT_PATH_SIZE], owner[192];
    int r = lock_list(s->env, session_now(s), &list, &n, err);

    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&list[i].name, &s->name, sizeof s->name) == 0)
            continue;
        if (list[i].stale) {
            lock_owner(&list[i], owner, sizeof owner);
            log_info(s->env->log, "removing the stale lock of %s", owner);
            (void)backend_del(s->env->backend, object_name_path("locks", &list[i].name, path), NULL);
            continue;
        }
        list[used++] = list[i];
    }
    *ret = list;
    *ret_n = used;
    return 0;
}

/* Whether a lock of that kind cannot stand beside a live one. */
static bool in_the_way(const struct lock *l, enum lock_kind kind)
{
    if (kind == LOCK_EXCLUSIVE)
        return true;
    if (kind == LOCK_MAINTENANCE)
        return !l->readable || l->text.kind != LOCK_SESSION;
    return l->readable && l->text.kind == LOCK_EXCLUSIVE;
}

static int check_way(const struct lock *others, size_t n, enum lock_kind kind, struct err *err)
{
    char owner[192];

    for (size_t i = 0; i < n; i++) {
        if (!in_the_way(&others[i], kind))
            continue;
        lock_owner(&others[i], owner, sizeof owner);
        return err_set(err, EBUSY, "the repository is locked by %s; try again when it has finished", owner);
    }
    return 0;
}

/* Removes stale locks; fails if a live one stands in the way of `kind`. Both of two that begin at once see the other. */
static int look_around(struct lock_session *s, enum lock_kind kind, struct err *err)
{
    _cleanup_free_ struct lock *others = NULL;
    size_t n;
    int r = session_others(s, &others, &n, err);

    return r < 0 ? r : check_way(others, n, kind, err);
}

int session_look(struct env *env, enum lock_kind kind, struct lock **ret, size_t *ret_n, struct err *err)
{
    _cleanup_free_ struct lock *list = NULL;
    size_t n = 0, used = 0;
    int r = lock_list(env, clock_wall_us(), &list, &n, err);

    for (size_t i = 0; r == 0 && i < n; i++)
        if (!list[i].stale)
            list[used++] = list[i];
    if (r == 0)
        r = check_way(list, used, kind, err);
    if (r < 0 || !ret)
        return r;
    *ret = TAKE_PTR(list);
    *ret_n = used;
    return 0;
}

int session_begin(struct env *env, enum lock_kind kind, const char *purpose, struct lock_session **ret, struct err *err)
{
    struct lock_session *s = calloc(1, sizeof *s);
    struct lock_text text;

    if (!s)
        return err_nomem(err);
    s->env = env;
    pthread_mutex_init(&s->lock, NULL);
    lock_text_own(&text, kind, purpose);
    int r = crypt_random(&s->name, sizeof s->name);
    object_name_path("locks", &s->name, s->path);
    if (r == 0)
        r = lock_make(env->crypt, &text, &s->text);
    r = r < 0 ? err_errno(err, -r, "cannot lock the repository") : put(s, BACKEND_REPLACE, err);
    if (r == 0)
        r = session_start(s, err);
    if (r == 0)
        r = look_around(s, kind, err);
    if (r < 0) {
        session_end(s);
        return r;
    }
    backend_dir_tidy(env->backend, TIDY_AFTER_S * 1000000LL);
    *ret = s;
    return 0;
}

int session_still_ours(struct lock_session *s, struct err *err)
{
    if (!s)
        return 0;
    SCOPED_LOCK(&s->lock);
    return session_is_lost(s) ? err_set(err, ESTALE,
                                        "the lock of the repository was lost: it was not refreshed in time (was this host suspended?) or "
                                        "was removed; run the command again")
                              : 0;
}

const struct object_name *session_name(const struct lock_session *s)
{
    return &s->name;
}

void session_end(struct lock_session *s)
{
    if (!s)
        return;
    if (s->refreshing) {
        pthread_mutex_lock(&s->lock);
        s->stop = true;
        pthread_cond_broadcast(&s->wake);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->refresher, NULL);
        pthread_cond_destroy(&s->wake);
    }
    (void)backend_del(s->env->backend, s->path, NULL);
    pthread_mutex_destroy(&s->lock);
    buf_free(&s->text);
    free(s);
}
