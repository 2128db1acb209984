/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The phases of it, and their undo. */
#include "base/clock.h"
#include "base/io.h"
#include "base/io_at.h"
#include "base/num.h"
#include "hypervisor/domain/domain_storage.h"
#include "hypervisor/live/live.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#define STALLED_MS 10000u
#define BEGIN_LIMIT_MS 60000u /* to protect the memory of the largest VM takes seconds */
#define BEGIN_ASK_MS 200u
#define STATUS_LIMIT_MS 30000u
#define LOOK_MS 100u
#define UNDO_LIMIT_MS 60000u /* without any progress */
#define UNDO_STEP_MS 20u
#define UNDO_LOOKS 3u /* a call of a process that was killed may come about late */
#define DEVICES_MAX (256 * MIB)
#define STREAM_BUFFER (4 << 20)

struct hv_live {
    struct hv_domain *d;
    struct spool *spool;
    char *dir; /* of the image */
    char *xml; /* the definition in its head */
    int lock;  /* of the mark; -1: none */
    unsigned stalled_ms;
};

void hv_live_free(struct hv_live *l)
{
    if (!l)
        return;
    spool_free(l->spool);
    cleanup_close_p(&l->lock);
    free(l->dir);
    free(l->xml);
    free(l);
}
DEFINE_CLEANUP(struct hv_live *, hv_live_free)

/* dir: where its image is. NULL: out of memory. */
static struct hv_live *live_new(struct hv_domain *d, const char *dir, unsigned stalled_ms)
{
    struct hv_live *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    *l = (struct hv_live){ .d = d, .dir = strdup(dir), .lock = -1, .stalled_ms = stalled_ms };
    if (!l->dir)
        hv_live_free(TAKE_PTR(l));
    return l;
}

/* ---- Before the VM is held ----------------------------------------------------------------------------------------------------------*/

/* As libvirt's own save takes it. Caller frees. */
static int definition_to_save(struct hv_domain *d, char **ret, struct err *err)
{
    *ret = virDomainGetXMLDesc(hv_handle(d), VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_MIGRATABLE);
    return *ret ? 0 : hv_virt_error(err, "cannot read the definition of VM %s", d->name);
}

/* *ret_fd is behind the head. */
static int make_live_image(struct hv_live *l, const char *path, int *ret_fd, struct err *err)
{
    _cleanup_free_ char *live = NULL, *name = NULL;
    _cleanup_buf_ struct buf head = BUF_INIT;
    _cleanup_close_ int dir = -1, fd = -1;

    int r = definition_to_save(l->d, &l->xml, err);
    if (r >= 0)
        r = hv_live_xml(l->d, &live, err);
    if (r >= 0)
        r = live_head(l->xml, live, &head, err);
    if (r >= 0)
        r = io_open_parent(path, &dir, &name, err);
    if (r < 0)
        return r;
    fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, errno, "cannot create %s", path);
    r = io_write(fd, head.data, head.len);
    if (r < 0)
        return err_errno(err, -r, "cannot write %s", path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* What QEMU would refuse at the instant is refused now. */
static int try_capability(struct hv_live *l, struct err *err)
{
    int r = live_mark(l->d, &l->lock, err);
    if (r >= 0)
        r = live_set_capability(l->d, true, err);
    return r < 0 ? r : live_set_capability(l->d, false, err);
}

/* The one end is QEMU's, the other one the spool's, and the keeper's: should this process die, that takes what still comes. */
static int connect_stream(struct hv_live *l, struct keeper *keeper, int image, uint64_t max_bytes, struct err *err)
{
    _cleanup_close_ int ours = image, theirs = -1, from = -1;
    int pair[2], size = STREAM_BUFFER;
    uint32_t id = 0;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(err, errno, "cannot create a stream for the memory");
    from = pair[0];
    theirs = pair[1];
    (void)setsockopt(theirs, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* as much of it as the host allows */
    int r = keeper_hold(keeper, from, &id, err);
    if (r >= 0)
        r = keeper_established(keeper, id, err);
    json_t *arguments = r >= 0 ? json_pack("{s:s}", "fdname", STREAM_NAME) : NULL;
    if (r >= 0)
        r = arguments ? monitor_command(l->d, "getfd", arguments, theirs, NULL, err) : err_nomem(err);
    return r < 0 ? r : spool_start(TAKE_FD(from), TAKE_FD(ours), max_bytes, &l->spool, err);
}

int hv_live_prepare(struct hv_domain *d, const struct hv_live_image *image, struct hv_live **ret, struct err *err)
{
    _cleanup_free_ char *dir = io_dirname(image->path);
    _cleanup_(hv_live_free_p) struct hv_live *l = dir ? live_new(d, dir, image->stalled_ms ? image->stalled_ms : STALLED_MS) : NULL;
    uint64_t most = d->memory_bytes + d->memory_bytes / 64 + saved_size_beside_memory(d) + DEVICES_MAX; /* 8 bytes go before each page */
    int fd = -1;

    if (!l)
        return err_nomem(err);
    int r = try_capability(l, err);
    if (r >= 0)
        r = make_live_image(l, image->path, &fd, err);
    if (r >= 0)
        r = connect_stream(l, image->keeper, fd, image->max_bytes ? image->max_bytes : most, err);
    if (r < 0)
        return err_context(err, "its memory cannot be written while it runs");
    hv_domain_ready(d);
    *ret = TAKE_PTR(l);
    return 0;
}

/* ---- At the instant, and after it -----------------------------------------------------------------------------------------------------*/

int hv_live_arm(struct hv_live *l, struct err *err)
{
    return live_set_capability(l->d, true, err);
}

/* Asks libvirt alone, often; QEMU only now and then. */
static int wait_running(struct hv_domain *d, struct err *err)
{
    uint64_t begun = clock_mono_ms(), asked = begun;
    struct live_progress qemu = { .status = LIVE_ACTIVE };

    for (;;) {
        int r = hv_domain_refresh_state(d, err);
        if (r < 0 || d->state == HV_RUNNING)
            return r;
        uint64_t now = clock_mono_ms();
        if (d->state != HV_PAUSED)
            return err_set(err, EAGAIN, "it is %s now", hv_state_name(d->state));
        if (now - asked >= BEGIN_ASK_MS) {
            if ((r = live_migration_progress(d, &qemu, err)) < 0)
                return r;
            asked = now;
        }
        if (qemu.status == LIVE_FAILED)
            return err_set(err, EIO, "QEMU could not write its memory while it runs: %s", *qemu.why ? qemu.why : "no reason given");
        if (now - begun > BEGIN_LIMIT_MS)
            return err_set(err, ETIMEDOUT, "QEMU has not let it run again for %u s", BEGIN_LIMIT_MS / 1000);
        clock_sleep_ms(1);
    }
}

/* If it was let run by someone else, its disks are as they were at the pause, and its memory no more. */
static int check_paused(struct hv_domain *d, struct err *err)
{
    int r = hv_domain_refresh_state(d, err);

    return r < 0 || d->state == HV_PAUSED
               ? r
               : err_set(err, EAGAIN, "someone else has changed its state (it is %s now): run the backup again", hv_state_name(d->state));
}

static int live_begin(struct hv_live *l, struct err *err)
{
    json_t *arguments = json_pack("{s:s}", "uri", "fd:" STREAM_NAME);

    int r = arguments ? monitor_command(l->d, "migrate", arguments, -1, NULL, err) : err_nomem(err);
    return r < 0 ? r : wait_running(l->d, err);
}

int hv_live_begin(struct hv_live *l, struct err *err)
{
    int r = check_paused(l->d, err);

    return r < 0 ? r : live_begin(l, err);
}

static int spool_failed(const struct hv_live *l, int error, struct err *err)
{
    if (error == EFBIG)
        return err_set(err, EFBIG, "QEMU sends more than the memory of the VM");
    return err_errno(err, error, "cannot write its memory to %s", l->dir);
}

/* Until all of it is on disk. */
static int drain_spool(struct hv_live *l, const struct hv_live_stop *stop, struct err *err)
{
    uint64_t since = clock_mono_ms(), bytes = 0;

    for (;;) {
        struct spool_progress p = spool_progress(l->spool, LOOK_MS);
        uint64_t now = clock_mono_ms();
        if (p.error)
            return spool_failed(l, p.error, err);
        if (p.ended)
            return 0;
        int r = stop ? stop->fn(stop->priv, err) : 0;
        if (r < 0)
            return r;
        if (p.bytes != bytes || p.drained)
            since = now;
        bytes = p.bytes;
        if (now - since > l->stalled_ms)
            return err_set(err, ETIMEDOUT, "nothing of its memory could be written to %s for %u s", l->dir, l->stalled_ms / 1000);
    }
}

/* The end of the stream is the end of QEMU's writing, or of QEMU. */
static int check_completed(struct hv_domain *d, struct err *err)
{
    for (uint64_t end = clock_mono_ms() + STATUS_LIMIT_MS;;) {
        struct live_progress now;
        int r = live_migration_progress(d, &now, err);
        if (r < 0)
            return err_context(err, "its memory was not written to the end");
        if (now.status == LIVE_COMPLETED)
            return 0;
        if (now.status != LIVE_ACTIVE || clock_mono_ms() > end)
            return err_set(err, EIO, "QEMU has not written its memory to the end%s%s", *now.why ? ": " : "", now.why);
        clock_sleep_ms(UNDO_STEP_MS);
    }
}

/* A device that was plugged in between would be in QEMU's stream and not in the head. */
static int check_unchanged(struct hv_live *l, struct err *err)
{
    _cleanup_free_ char *now = NULL;

    int r = definition_to_save(l->d, &now, err);
    if (r < 0 || !strcmp(now, l->xml))
        return r;
    return err_set(err, EAGAIN, "its devices changed during the backup");
}

int hv_live_finish(struct hv_live *l, const struct hv_live_stop *stop, struct err *err)
{
    int r = drain_spool(l, stop, err);
    if (r >= 0)
        r = check_completed(l->d, err);
    if (r >= 0)
        r = live_set_capability(l->d, false, err);
    if (r >= 0)
        r = check_unchanged(l, err);
    return r;
}

int hv_live_give_up(struct hv_live *l, struct err *err)
{
    spool_discard(l->spool);
    return hv_live_undo(l->d, err);
}

/* ---- Undo -----------------------------------------------------------------------------------------------------------------------------*/

/* QEMU (7.2) does not give its memory free after a stream that failed (bg_migration_completion() is the only one that does), and cannot be
 * saved or migrated any more. One that comes to its end puts that right; what it writes is for nobody. */
static int heal(struct hv_domain *d, struct err *err)
{
    _cleanup_close_ int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    _cleanup_(hv_live_free_p) struct hv_live *l = live_new(d, "/dev/null", UNDO_LIMIT_MS);
    struct err ignored = ERR_INIT;

    if (!l || null < 0)
        return l ? err_errno(err, errno, "cannot open /dev/null") : err_nomem(err);
    live_release(d, true);
    int r = hv_domain_refresh_state(d, err);
    if (r >= 0 && d->state != HV_RUNNING) /* it would be started */
        r = err_set(err, EAGAIN, "it is %s", hv_state_name(d->state));
    if (r >= 0)
        r = connect_stream(l, NULL, TAKE_FD(null), UINT64_MAX, err);
    if (r >= 0)
        r = live_set_capability(d, true, err);
    if (r >= 0)
        r = live_begin(l, err);
    if (r >= 0)
        r = drain_spool(l, NULL, err);
    if (r >= 0)
        r = check_completed(d, err);
    int off = live_set_capability(d, false, r < 0 ? &ignored : err);
    return r < 0 ? r : off;
}

/* 1: it is off, and nothing of it runs. A stream that is under way is waited for: somebody takes it (the keeper, where its reader died),
 * and to cancel it would leave QEMU as a failure does. */
static int undo_step(struct hv_domain *d, struct live_progress *now, struct err *err)
{
    struct live_capabilities c = { 0 };

    int r = live_capabilities(d, &c, err);
    free(c.clash);
    if (r < 0 || !c.on) /* a migration that runs without it is someone else's */
        return r < 0 ? r : 1;
    if ((r = live_migration_progress(d, now, err)) < 0 || now->status == LIVE_ACTIVE)
        return r;
    r = live_set_capability(d, false, err);
    return r == -EPROTO ? 0 : r; /* one may have begun in between */
}

static int wait_off(struct hv_domain *d, struct err *err)
{
    struct live_progress now = { 0 }, before = { 0 };
    uint64_t since = clock_mono_ms();

    for (unsigned off = 0; off < UNDO_LOOKS;) {
        int r = undo_step(d, &now, err);
        if (r < 0)
            return r;
        off = r ? off + 1 : 0;
        if (now.bytes != before.bytes || now.status != before.status)
            since = clock_mono_ms();
        before = now;
        if (clock_mono_ms() - since > UNDO_LIMIT_MS)
            return err_set(err, ETIMEDOUT, "its memory is still being written, and nobody takes it");
        clock_sleep_ms(UNDO_STEP_MS);
    }
    return 0;
}

static int undo_running(struct hv_domain *d, struct err *err)
{
    /* Before QEMU is asked anything: it may hang until then. */
    _cleanup_(live_release_end_p) struct releaser *releaser = live_release_begin(d);
    struct live_progress now = { 0 };
    struct err unknown = ERR_INIT;

    int r = wait_off(d, err);
    json_t *arguments = r >= 0 ? json_pack("{s:s}", "fdname", STREAM_NAME) : NULL;
    if (arguments) /* that there is none is a refusal */
        (void)monitor_command(d, "closefd", arguments, -1, NULL, &unknown);
    if (r < 0 || (r = live_migration_progress(d, &now, err)) < 0 || now.status != LIVE_FAILED || !live_is_protected(d))
        return r;
    live_release_end(TAKE_PTR(releaser));
    r = heal(d, err);
    return r < 0 ? err_context(err, "its QEMU cannot be saved or migrated until it is turned off and started again") : 0;
}

int hv_live_undo(struct hv_domain *d, struct err *err)
{
    struct err why = ERR_INIT;

    if (virDomainIsActive(hv_handle(d)) == 0)
        return 0; /* it went with QEMU */
    int r = live_check_lock(d, err);
    if (r < 0)
        return r;
    r = undo_running(d, &why);
    if (r >= 0 || virDomainIsActive(hv_handle(d)) == 0)
        return 0;
    err_move(err, &why);
    return err_context(err, "VM %s: " CAPABILITY " may be on", d->name);
}

int hv_live_make_sure(struct hv_domain *d, struct err *err)
{
    int r = live_is_marked(d, err);

    return r > 0 ? hv_live_undo(d, err) : r;
}
