/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image served by qemu-nbd on a private socket. */
#include "base/clock.h"
#include "base/io.h"
#include "base/io_at.h"
#include "base/proc.h"
#include "hypervisor/image/image.h"
#include "hypervisor/host/host.h"
#include "hypervisor/image/tool.h"
#include <errno.h>
#include <fcntl.h>
#include <libnbd.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define READY_TIMEOUT_MS 30000u
#define FLUSH_TIMEOUT_MS 600000u
#define LOG_MAX ((size_t)64 << 10)
/* Connections that qemu-nbd lets in at once: a worker pool opens several to one image. */
#define CLIENTS "16"
#define BACKLOG 64    /* no less than these */
#define FIRST_IMAGE 4 /* after the socket */

struct hv_export {
    char *dir, *socket, *log_path, *uri, *image, *bitmap, *dirty_context;
    bool network;                    /* image is the name of a disk on the network, for people */
    const struct par_cancel *cancel; /* for as long as it starts; NULL: none */
    enum hv_export_mode mode;
    int fd; /* the image, of one that is written; -1: none */
    struct image_chain chain;
    struct proc *proc;
};

static void export_free(struct hv_export *e)
{
    if (!e)
        return;
    proc_stop(e->proc, 2000);
    if (e->dir)
        io_remove_tree(e->dir, NULL);
    cleanup_close_p(&e->fd);
    image_chain_clear(&e->chain);
    free(e->dir);
    free(e->socket);
    free(e->log_path);
    free(e->uri);
    free(e->image);
    free(e->bitmap);
    free(e->dirty_context);
    free(e);
}
DEFINE_CLEANUP(struct hv_export *, export_free)

static int export_make_dir(const char *parent, char **ret, struct err *err)
{
    if (!parent)
        return io_private_dir("nbd", ret, err);
    _cleanup_free_ char *path = str_format("%s/nbd-XXXXXX", parent);
    if (!path || !mkdtemp(path))
        return err_errno(err, path ? errno : ENOMEM, "cannot create a folder in %s", parent);
    *ret = TAKE_PTR(path);
    return 0;
}

static int export_new(const char *dir, const char *path, enum hv_export_mode mode, struct hv_export **ret, struct err *err)
{
    _cleanup_(export_free_p) struct hv_export *e = calloc(1, sizeof *e);

    if (!e)
        return err_nomem(err);
    e->mode = mode;
    e->fd = -1;
    int r = export_make_dir(dir, &e->dir, err);
    if (r < 0)
        return r;
    e->socket = io_path(e->dir, "socket");
    e->log_path = io_path(e->dir, "log");
    e->image = strdup(path);
    e->uri = e->socket ? hv_nbd_uri(e->socket, "") : NULL;
    if (!e->log_path || !e->image || !e->uri)
        return err_nomem(err);
    *ret = TAKE_PTR(e);
    return 0;
}

/* qemu-nbd is handed the socket, listening, so it needs no folder of the host to put it in. */
static int listen_at(const char *path, int *ret, struct err *err)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un at = { .sun_family = AF_UNIX };

    if (fd < 0)
        return err_errno(err, errno, "cannot create a socket");
    if (strlen(path) >= sizeof(at.sun_path))
        return err_errno(err, ENAMETOOLONG, "cannot create socket %s", path);
    strcpy(at.sun_path, path);
    if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, BACKLOG) < 0)
        return err_errno(err, errno, "cannot create socket %s", path);
    *ret = TAKE_FD(fd);
    return 0;
}

/* argv: of the server. Descriptor 3 is the socket; then come the images. */
static int export_launch(struct hv_export *e, char *const *argv, const struct confine *confine, struct err *err)
{
    /* It takes a buffer for every request. glibc would get each from the kernel, page by page, and give it back: that is two thirds of
     * its CPU time (measured). */
    char *env[] = { (char *)"MALLOC_MMAP_THRESHOLD_=33554432", (char *)"MALLOC_TRIM_THRESHOLD_=268435456", (char *)"LISTEN_FDS=1",
                    (char *)PROC_LISTEN_PID_ROOM, NULL };
    _cleanup_free_ int *fds = calloc(2 * e->chain.n + 1, sizeof(*fds));
    _cleanup_close_ int socket_fd = -1;

    if (!fds)
        return err_nomem(err);
    int r = listen_at(e->socket, &socket_fd, err);
    if (r < 0)
        return r;
    fds[0] = socket_fd;
    const struct proc_pass pass = { .fds = fds, .n = 1 + image_chain_fds(&e->chain, fds + 1), .confine = confine };
    return proc_start_with(argv, env, e->log_path, &pass, &e->proc, err);
}

/* what: options of the image, or the name of a disk's node. */
static int start_server(struct hv_export *e, const char *what, const struct confine *confine, struct err *err)
{
    _cleanup_free_ char *bitmap = e->bitmap ? str_format("--bitmap=%s", e->bitmap) : NULL;
    /* The page cache is used: O_DIRECT is refused by some file systems (tmpfs). What was written is flushed when it ends. */
    char *argv[12] = { (char *)"qemu-nbd", (char *)"--persistent", (char *)"--shared=" CLIENTS, (char *)"--cache=writeback",
                       (char *)"--aio=threads" };
    size_t n = 5;

    if (e->bitmap && !bitmap)
        return err_nomem(err);
    if (bitmap)
        argv[n++] = bitmap;
    if (e->mode != HV_EXPORT_WRITE)
        argv[n++] = (char *)"--read-only";
    if (!e->network)
        argv[n++] = (char *)"--image-opts";
    argv[n++] = (char *)what;
    return export_launch(e, argv, confine, err);
}

/* Why qemu-nbd ended, from its log. */
static int export_explain(const struct hv_export *e, struct err *err)
{
    _cleanup_buf_ struct buf log = BUF_INIT;
    char *text = (char *)"";

    if (io_read_file(e->log_path, LOG_MAX, &log, NULL) == 0 && log.len)
        text = (char *)log.data;
    if (e->network)
        return err_set(err, EIO, "cannot read %s from the network: %s", e->image, log.len ? network_disk_why(text) : "no reason given");
    int len = (int)strcspn(text, "\n");
    if (strstr(text, "lock") && strstr(text, "another process"))
        return err_set(err, EBUSY, "image %s is in use by a VM or another program: %.*s", e->image, len, text);
    return err_set(err, EIO, "qemu-nbd cannot serve image %s: %.*s", e->image, len, len ? text : "no reason given");
}

static void nbd_close_p(struct nbd_handle **h)
{
    nbd_close(*h); /* NULL is fine */
}

/* The socket listens before the image is open, so only a finished handshake tells that it is served. 1 yes, 0 not yet. */
static int try_handshake(struct hv_export *e, uint64_t deadline, struct err *err)
{
    _cleanup_(nbd_close_p) struct nbd_handle *h = nbd_create();

    if (!h)
        return err_set(err, ENOMEM, "cannot serve image %s: %s", e->image, nbd_get_error());
    if (nbd_aio_connect_uri(h, e->uri) < 0)
        return 0;
    while (nbd_aio_is_connecting(h) == 1 && proc_alive(e->proc, NULL) && clock_mono_ms() < deadline && !par_cancelled(e->cancel))
        if (nbd_poll(h, 20) < 0)
            break;
    return nbd_aio_is_ready(h) == 1;
}

static int wait_ready(struct hv_export *e, struct err *err)
{
    uint64_t deadline = clock_mono_ms() + READY_TIMEOUT_MS;

    for (unsigned pause = 1;; pause = pause < 20 ? pause * 2 : 20) {
        int r = try_handshake(e, deadline, err);
        if (r != 0)
            return r < 0 ? r : 0;
        if (!proc_alive(e->proc, NULL))
            return export_explain(e, err);
        if (par_cancelled(e->cancel))
            return err_set(err, EINTR, "interrupted");
        if (clock_mono_ms() > deadline && e->network)
            return err_set(err, ETIMEDOUT, "cannot read %s from the network: the server does not respond (%u s)", e->image,
                           READY_TIMEOUT_MS / 1000);
        if (clock_mono_ms() > deadline)
            return err_set(err, ETIMEDOUT, "qemu-nbd did not serve image %s within %u s", e->image, READY_TIMEOUT_MS / 1000);
        clock_sleep_ms(pause);
    }
}

/* One that is written is opened for good, so that it can be made durable in the end. */
static int open_images(struct hv_export *e, struct err *err)
{
    if (e->mode == HV_EXPORT_WRITE && e->fd < 0 && (e->fd = io_open_file(e->image, O_RDONLY, err)) < 0)
        return e->fd;
    return image_chain_open(&e->chain, e->fd, err);
}

static int serve(struct hv_export *e, const char *format, struct err *err)
{
    const struct confine confine = tool_confine(e->mode == HV_EXPORT_WRITE);
    const unsigned flags = (e->mode != HV_EXPORT_WRITE ? IMAGE_READ_ONLY : 0) | (e->mode == HV_EXPORT_READ_SHARED ? IMAGE_SHARE : 0);
    _cleanup_free_ char *options = NULL;

    int r = e->fd >= 0 ? image_chain_one(e->image, format, &e->chain, err) : image_chain_read(NULL, e->image, format, &e->chain, err);
    if (r == 0)
        r = open_images(e, err);
    if (r == 0)
        r = image_options(&e->chain, FIRST_IMAGE, flags, &options, err);
    if (r == 0)
        r = start_server(e, options, &confine, err);
    return r < 0 ? r : wait_ready(e, err);
}

int hv_export_start(const char *dir, const char *path, const char *format, enum hv_export_mode mode, struct hv_export **ret,
                    struct err *err)
{
    _cleanup_(export_free_p) struct hv_export *e = NULL;

    int r = export_new(dir, path, mode, &e, err);
    if (r == 0)
        r = serve(e, format, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(e);
    return 0;
}

int hv_export_start_new(const char *dir, int fd, const char *path, const char *format, struct hv_export **ret, struct err *err)
{
    _cleanup_(export_free_p) struct hv_export *e = NULL;

    int r = export_new(dir, path, HV_EXPORT_WRITE, &e, err);
    if (r < 0)
        return r;
    if ((e->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0)
        return err_errno(err, errno, "cannot serve image %s", path);
    if ((r = serve(e, format, err)) < 0)
        return r;
    *ret = TAKE_PTR(e);
    return 0;
}

int hv_export_start_disk(struct hv_domain *d, const char *dir, const struct hv_disk *disk, struct hv_export **ret, struct err *err)
{
    _cleanup_(export_free_p) struct hv_export *e = NULL;
    _cleanup_(tool_reach_clear) struct tool_reach reach = { 0 };
    _cleanup_free_ char *name = disk->node ? network_disk_name(disk) : NULL;
    struct confine confine;

    if (!name)
        return err_set(err, disk->node ? ENOMEM : EOPNOTSUPP, "cannot read %s from the network: %s", disk->locator,
                       disk->node      ? "out of memory"
                       : disk->no_node ? disk->no_node
                                       : "it does not exist");
    int r = export_new(dir, disk->locator, HV_EXPORT_READ, &e, err);
    if (r < 0)
        return r;
    e->network = true;
    e->cancel = d->hv->cancel;
    if (tool_confine_network(disk->node, &reach, &confine) < 0)
        return err_nomem(err);
    r = start_server(e, name, &confine, err);
    if (r == 0)
        r = wait_ready(e, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(e);
    return 0;
}

int hv_export_start_dirty(const char *dir, const char *path, const char *format, const char *bitmap, struct hv_export **ret,
                          struct err *err)
{
    _cleanup_(export_free_p) struct hv_export *e = NULL;

    int r = export_new(dir, path, HV_EXPORT_READ, &e, err);
    if (r < 0)
        return r;
    e->bitmap = strdup(bitmap);
    e->dirty_context = str_format("qemu:dirty-bitmap:%s", bitmap);
    if (!e->bitmap || !e->dirty_context)
        return err_nomem(err);
    r = serve(e, format, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(e);
    return 0;
}

const char *hv_export_dirty_context(const struct hv_export *e)
{
    return e->dirty_context;
}

const char *hv_export_uri(const struct hv_export *e)
{
    return e->uri;
}

/* Asked to end, qemu-nbd writes all back and closes the image; only then are the data safe from us. */
static int end_writer(struct hv_export *e, struct err *err)
{
    uint64_t deadline = clock_mono_ms() + FLUSH_TIMEOUT_MS;
    int status = 0;

    if (proc_alive(e->proc, &status) && kill(proc_pid(e->proc), SIGTERM) < 0)
        return err_errno(err, errno, "cannot stop qemu-nbd for %s", e->image);
    while (proc_alive(e->proc, &status)) {
        if (clock_mono_ms() > deadline)
            return err_set(err, ETIMEDOUT, "qemu-nbd did not finish writing %s within %u s", e->image, FLUSH_TIMEOUT_MS / 1000);
        clock_sleep_ms(5);
    }
    if (status != 0)
        return export_explain(e, err);
    if (fsync(e->fd) < 0)
        return err_errno(err, errno, "cannot flush %s to disk", e->image);
    return 0;
}

int hv_export_stop(struct hv_export *e, struct err *err)
{
    if (!e)
        return 0;
    int r = e->mode == HV_EXPORT_WRITE ? end_writer(e, err) : 0;
    export_free(e);
    return r;
}

static int nbd_failed(const char *path, struct err *err)
{
    int code = nbd_get_errno();

    return err_set(err, code > 0 ? code : EIO, "cannot read image %s: %s", path, nbd_get_error());
}

static int peek_export(const struct hv_export *e, uint64_t off, void *p, size_t n, struct err *err)
{
    _cleanup_(nbd_close_p) struct nbd_handle *h = nbd_create();

    if (!h || nbd_connect_uri(h, e->uri) < 0)
        return nbd_failed(e->image, err);
    int64_t size = nbd_get_size(h);
    if (size < 0)
        return nbd_failed(e->image, err);
    if (off > (uint64_t)size || n > (uint64_t)size - off)
        return err_errno(err, ENODATA, "cannot read %zu bytes at %llu of image %s", n, (unsigned long long)off, e->image);
    for (uint8_t *at = p; n > 0;) {
        size_t piece = n < ((size_t)1 << 20) ? n : (size_t)1 << 20;
        if (nbd_pread(h, at, piece, off, 0) < 0)
            return nbd_failed(e->image, err);
        at += piece;
        off += piece;
        n -= piece;
    }
    return 0;
}

static int peek_raw(const char *path, uint64_t off, void *p, size_t n, struct err *err)
{
    _cleanup_close_ int fd = io_open_file(path, O_RDONLY, err);

    if (fd < 0)
        return fd;
    int r = io_pread(fd, p, n, off);
    return r < 0 ? err_errno(err, -r, "cannot read %zu bytes at %llu of image %s", n, (unsigned long long)off, path) : 0;
}

int hv_image_peek(const char *dir, const char *path, const char *format, uint64_t off, void *p, size_t n, struct err *err)
{
    _cleanup_(export_free_p) struct hv_export *e = NULL;

    if (format && strcmp(format, "raw") == 0)
        return peek_raw(path, off, p, n, err);
    int r = hv_export_start(dir, path, format, HV_EXPORT_READ_SHARED, &e, err);
    return r < 0 ? r : peek_export(e, off, p, n, err);
}
