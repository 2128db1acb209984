/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What QEMU writes goes to disk at once, by a thread that does nothing else: whatever the guest is about to change waits for it. Where that
 * cannot be, it is thrown away until QEMU has been told to end: a stream that broke would be the end of the guest (live_release.c). */
#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "base/thread.h"
#include "hypervisor/live/live.h"
#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define BLOCK (1 * MIB)
#define LOOK_BYTES (16 * MIB)
#define ROOM_KEPT (64 * MIB) /* of the file system: others write there too */

/* Shared by its owner and the thread; who leaves last frees it. */
struct spool {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned users;
    int from, to;
    uint64_t max_bytes;
    struct spool_progress now;
    bool regular;  /* it goes to a file */
    bool discards; /* what comes is thrown away */
    uint8_t *block;
};

static void spool_leave(struct spool *s)
{
    pthread_mutex_lock(&s->lock);
    bool last = --s->users == 0;
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    cleanup_close_p(&s->from);
    cleanup_close_p(&s->to);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s->block);
    free(s);
}

static void spool_note(struct spool *s, uint64_t more, bool drained, bool ended, int error)
{
    SCOPED_LOCK(&s->lock);
    s->now.bytes += more;
    s->now.drained |= drained;
    s->now.ended |= ended;
    if (error && !s->now.error)
        s->now.error = error;
    pthread_cond_signal(&s->changed);
}

static bool spool_keeps(struct spool *s)
{
    SCOPED_LOCK(&s->lock);
    return !s->discards && !s->now.error;
}

/* Looked at by the thread that may hang for it anyway. */
static int check_room_left(const struct spool *s)
{
    struct statvfs st;

    if (!s->regular || fstatvfs(s->to, &st) < 0 || (uint64_t)st.f_bavail * st.f_frsize >= ROOM_KEPT)
        return 0;
    return -ENOSPC;
}

static int spool_write(struct spool *s, size_t n)
{
    if (n > s->max_bytes - s->now.bytes) /* only this thread changes it */
        return -EFBIG;
    int r = s->now.bytes / LOOK_BYTES != (s->now.bytes + n) / LOOK_BYTES ? check_room_left(s) : 0;
    return r < 0 ? r : io_write(s->to, s->block, n);
}

/* 1: some was taken; 0: there is no more; -errno. What cannot be written is taken all the same: QEMU must not fail before it is clear. */
static int spool_some(struct spool *s)
{
    ssize_t n;

    do
        n = recv(s->from, s->block, BLOCK, 0);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n < 0 ? -errno : 0;
    bool keeps = spool_keeps(s);
    int r = keeps ? spool_write(s, (size_t)n) : 0;
    spool_note(s, keeps && r >= 0 ? (uint64_t)n : 0, false, false, -r);
    return 1;
}

static void *spool_main(void *arg)
{
    struct spool *s = arg;
    int r;

    do
        r = spool_some(s);
    while (r > 0);
    spool_note(s, 0, true, false, -r);
    if (r == 0 && s->regular && spool_keeps(s) && fdatasync(s->to) < 0)
        r = -errno;
    spool_note(s, 0, true, true, -r);
    spool_leave(s);
    return NULL;
}

int spool_start(int from, int to, uint64_t max_bytes, struct spool **ret, struct err *err)
{
    struct spool *s = calloc(1, sizeof(*s));
    struct stat st;

    if (!s || !(s->block = malloc(BLOCK))) {
        cleanup_close_p(&from);
        cleanup_close_p(&to);
        free(s);
        return err_nomem(err);
    }
    pthread_mutex_init(&s->lock, NULL);
    thread_cond_init(&s->changed);
    s->users = 2;
    s->from = from;
    s->to = to;
    s->max_bytes = max_bytes;
    s->regular = fstat(to, &st) == 0 && S_ISREG(st.st_mode);
    int r = thread_start(NULL, "kvss-spool", spool_main, s);
    if (r < 0) {
        s->users = 1;
        spool_leave(s);
        return err_errno(err, -r, "cannot start a thread");
    }
    *ret = s;
    return 0;
}

struct spool_progress spool_progress(struct spool *s, unsigned wait_ms)
{
    uint64_t until = clock_mono_ms() + wait_ms;

    SCOPED_LOCK(&s->lock);
    for (uint64_t before = s->now.bytes; !s->now.ended && !s->now.error && s->now.bytes == before;)
        if (!thread_cond_wait_until(&s->changed, &s->lock, until))
            break;
    return s->now;
}

/* Where the other thread hangs in its write. */
static void *discard_main(void *arg)
{
    struct spool *s = arg;
    uint8_t block[65536];
    ssize_t n;

    do
        n = recv(s->from, block, sizeof(block), 0);
    while (n > 0 || (n < 0 && errno == EINTR));
    spool_leave(s);
    return NULL;
}

void spool_discard(struct spool *s)
{
    pthread_mutex_lock(&s->lock);
    bool already = s->discards;
    s->discards = true;
    s->users += !already;
    pthread_mutex_unlock(&s->lock);
    if (!already && thread_start(NULL, "kvss-discard", discard_main, s) < 0)
        spool_leave(s);
}

void spool_free(struct spool *s)
{
    if (!s)
        return;
    if (!spool_progress(s, 0).drained)
        spool_discard(s);
    spool_leave(s);
}
