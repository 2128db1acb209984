/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/object/backend.h"
#include <errno.h>
#include <string.h>

int backend_supported(const char *location, struct err *err)
{
    size_t n = strcspn(location, ":/");

    /* What stands before a colon is a scheme, a host or a drive, in every notation that there is; "./a:b" is a folder. */
    if (location[n] != ':' && strncmp(location, "\\\\", 2) != 0)
        return 0;
    return err_set(err, ENOTSUP,
                   "kvss cannot store a repository in %s; only folders are supported, on a local disk or mounted (NFS, SMB, sshfs, rclone "
                   "mount ...). If it is a folder, write ./%s",
                   location, location);
}

void backend_close(struct backend *b)
{
    if (b)
        b->ops->close(b);
}

int backend_get(struct backend *b, const char *name, uint64_t off, void *p, size_t n, struct err *err)
{
    return b->ops->get(b, name, off, p, n, err);
}

int backend_put(struct backend *b, const char *name, const void *p, size_t n, enum backend_put how, struct err *err)
{
    struct iovec iov = { (void *)p, n };

    return b->ops->put(b, name, &iov, 1, how, err);
}

int backend_prepare(struct backend *b, const char *name, const void *p, size_t n, struct backend_prepared *ret, struct err *err)
{
    struct iovec iov = { (void *)p, n };

    return b->ops->prepare(b, name, &iov, 1, ret, err);
}

int backend_publish(struct backend *b, const struct backend_prepared *p, struct err *err)
{
    return b->ops->publish(b, p, err);
}

void backend_abandon(struct backend *b, const struct backend_prepared *p)
{
    b->ops->abandon(b, p);
}

int backend_list(struct backend *b, const char *folder, int (*fn)(void *priv, const char *name), void *priv, struct err *err)
{
    return b->ops->list(b, folder, fn, priv, err);
}

int backend_del(struct backend *b, const char *name, struct err *err)
{
    return b->ops->del(b, name, err);
}

int backend_stat(struct backend *b, const char *name, struct backend_stat *ret, struct err *err)
{
    return b->ops->stat(b, name, ret, err);
}

int backend_read(struct backend *b, const char *name, size_t max, struct buf *ret, struct err *err)
{
    _cleanup_buf_ struct buf buf = BUF_INIT;
    struct backend_stat st;
    int r = backend_stat(b, name, &st, err);

    if (r < 0)
        return r;
    if (st.size > max)
        return err_set(err, EFBIG, "%s is %llu bytes long, only %zu are allowed for such an object", name, (unsigned long long)st.size,
                       max);
    if (buf_reserve(&buf, (size_t)st.size + 1) < 0)
        return err_nomem(err);
    r = st.size ? backend_get(b, name, 0, buf.data, (size_t)st.size, err) : 0;
    if (r < 0)
        return r;
    buf.len = (size_t)st.size;
    buf.data[buf.len] = 0;
    buf_free(ret);
    *ret = buf;
    buf = (struct buf)BUF_INIT;
    return 0;
}
