/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "requester/transfer.h"
#include <errno.h>
#include <sched.h>

int nbd_failed(struct err *err, const char *doing)
{
    int code = nbd_get_errno();

    return err_set(err, code ? code : EIO, "%s: %s", doing, nbd_get_error() ? nbd_get_error() : "no reason given");
}

/* As nbd_connect_uri(), but that the keeper gets the socket while the server has yet to answer its first byte. */
static int connect_kept(struct nbd_handle *h, const char *uri, struct keeper *keeper, struct err *err)
{
    if (nbd_aio_connect_uri(h, uri) < 0)
        return nbd_failed(err, "cannot connect to the NBD export");
    int r = keeper_hold(keeper, nbd_aio_get_fd(h), err);
    if (r < 0)
        return r;
    while (nbd_aio_is_connecting(h))
        if (nbd_poll(h, -1) < 0)
            return nbd_failed(err, "cannot connect to the NBD export");
    return nbd_aio_is_ready(h) ? 0 : nbd_failed(err, "cannot connect to the NBD export");
}

int nbd_open(const char *uri, const char *dirty_context, struct keeper *keeper, struct nbd_handle **ret, struct err *err)
{
    _cleanup_(nbd_close_p) struct nbd_handle *h = nbd_create();

    if (!h)
        return nbd_failed(err, "cannot make an NBD handle");
    if (nbd_add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 ||
        (dirty_context && nbd_add_meta_context(h, dirty_context) < 0) || nbd_set_pread_initialize(h, false) < 0)
        return nbd_failed(err, "cannot prepare an NBD connection");
    int r = connect_kept(h, uri, keeper, err);
    if (r >= 0)
        *ret = TAKE_PTR(h);
    return r;
}

size_t transfer_threads(void)
{
    cpu_set_t cpus;

    if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0 || CPU_COUNT(&cpus) < 2)
        return 2;
    return (size_t)CPU_COUNT(&cpus);
}

int transfer_data_bytes(struct store_image *image, uint64_t *ret, struct err *err)
{
    uint64_t size = store_image_size(image), sum = 0;

    for (uint64_t off = 0, len; off < size; off += len) {
        bool hole;
        int r = store_image_extent(image, off, &len, &hole, err);
        if (r < 0)
            return r;
        if (len == 0 || len > size - off)
            return err_set(err, EUCLEAN, "an extent of the image is impossible");
        sum += hole ? 0 : len;
    }
    *ret = sum;
    return 0;
}
