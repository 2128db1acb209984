/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "base/clock.h"
#include "transfer/transfer.h"
#include <errno.h>
#include <sched.h>

#define LOOK_AROUND_MS 100
#define SILENT_MS 30000u /* a QEMU that hangs sends nothing; nor does one whose storage is slow, so it is asked then */

int nbd_failed(struct err *err, const char *doing)
{
    int code = nbd_get_errno();

    return err_set(err, code ? code : EIO, "%s: %s", doing, nbd_get_error() ? nbd_get_error() : "no reason given");
}

int nbd_wait(struct nbd_handle *h, const struct nbd_patience *p, uint64_t *last, struct err *err)
{
    int n = nbd_poll(h, LOOK_AROUND_MS);

    if (n < 0)
        return nbd_failed(err, "the connection broke");
    if (p->stopped && p->stopped(p->priv))
        return err_set(err, EINTR, "interrupted");
    uint64_t now = clock_mono_ms();
    if (n > 0)
        *last = now;
    if (p->give_up_ms && now - *last >= p->give_up_ms)
        return err_set(err, ETIMEDOUT, "the server has not answered for %u s", p->give_up_ms / 1000);
    if (!p->answers || now - *last < SILENT_MS)
        return 0;
    int r = p->answers(p->answers_priv, err);
    *last = clock_mono_ms();
    return r;
}

/* As nbd_connect_uri(), but that the keeper gets the socket while the server has yet to answer its first byte. */
static int connect_kept(struct nbd_handle *h, const char *uri, struct keeper *keeper, const struct nbd_patience *p, struct err *err)
{
    uint64_t last = clock_mono_ms();
    uint32_t id = 0;

    if (nbd_aio_connect_uri(h, uri) < 0)
        return nbd_failed(err, "cannot connect to the NBD export");
    int r = keeper_hold(keeper, nbd_aio_get_fd(h), &id, err);
    while (r >= 0 && nbd_aio_is_connecting(h))
        if ((r = nbd_wait(h, p, &last, err)) < 0)
            err_context(err, "cannot connect to the NBD export");
    if (r < 0)
        return r;
    return nbd_aio_is_ready(h) ? keeper_established(keeper, id, err) : nbd_failed(err, "cannot connect to the NBD export");
}

int nbd_open(const char *uri, const char *dirty_context, struct keeper *keeper, const struct nbd_patience *p, struct nbd_handle **ret,
             struct err *err)
{
    _cleanup_(nbd_close_p) struct nbd_handle *h = nbd_create();

    if (!h)
        return nbd_failed(err, "cannot create an NBD handle");
    if (nbd_add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 || (dirty_context && nbd_add_meta_context(h, dirty_context) < 0) ||
        nbd_set_pread_initialize(h, false) < 0)
        return nbd_failed(err, "cannot prepare an NBD connection");
    int r = connect_kept(h, uri, keeper, p, err);
    if (r >= 0)
        *ret = TAKE_PTR(h);
    return r;
}

/* libnbd's private value of a handle: whether a reply is still to come for memory that is gone. */
#define GIVEN_UP 1u

bool nbd_given_up(struct nbd_handle *h)
{
    return nbd_get_private_data(h) == GIVEN_UP;
}

int nbd_finish(struct nbd_handle *h, int64_t cookie, const struct nbd_patience *p, struct err *err)
{
    uint64_t last = clock_mono_ms();

    if (cookie < 0)
        return nbd_failed(err, "cannot query the NBD server");
    for (;;) {
        int done = nbd_aio_command_completed(h, (uint64_t)cookie);
        if (done != 0)
            return done < 0 ? nbd_failed(err, "the NBD server refused") : 0;
        int r = nbd_wait(h, p, &last, err);
        if (r < 0) {
            nbd_set_private_data(h, GIVEN_UP);
            return r;
        }
    }
}

size_t transfer_threads(void)
{
    cpu_set_t cpus;

    if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0 || CPU_COUNT(&cpus) < 2)
        return 2;
    return (size_t)CPU_COUNT(&cpus);
}
