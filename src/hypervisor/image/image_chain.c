/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io_at.h"
#include "hypervisor/xml/definition.h"
#include "hypervisor/image/image.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

void image_chain_clear(struct image_chain *c)
{
    for (size_t i = 0; i < c->n; i++) {
        cleanup_close_p(&c->layers[i].fd);
        cleanup_close_p(&c->layers[i].data_fd);
        free(c->layers[i].data);
        free(c->layers[i].path);
        free(c->layers[i].format);
    }
    free(c->layers);
    *c = (struct image_chain){ 0 };
}

/* "json:{...}", "nbd://..." and "rbd:..." are no files. */
static bool is_file(const char *s)
{
    return s[strcspn(s, ":/")] != ':';
}

static bool names_network(const char *driver, size_t n)
{
    static const char *const names[] = { "nbd",  "http", "https",   "ftp", "ftps",     "ssh", "iscsi",
                                         "iser", "rbd",  "gluster", "nfs", "sheepdog", "vxhs" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strlen(names[i]) == n && strncmp(names[i], driver, n) == 0)
            return true;
    return false;
}

/* Whether a driver of the network is named anywhere in it, as "driver" or "file.driver". Bounded by jansson's own depth. */
static bool json_names_network(const json_t *node)
{
    const char *key;
    json_t *v;
    size_t i;

    json_object_foreach ((json_t *)(uintptr_t)node, key, v) {
        const char *last = strrchr(key, '.');
        const char *driver = strcmp(last ? last + 1 : key, "driver") == 0 ? json_string_value(v) : NULL;
        if ((driver && names_network(driver, strlen(driver))) || json_names_network(v))
            return true;
    }
    json_array_foreach (node, i, v)
        if (json_names_network(v))
            return true;
    return false;
}

bool image_is_remote(const char *spec)
{
    if (is_file(spec))
        return false;
    if (strncmp(spec, "json:", 5) != 0)
        return names_network(spec, strcspn(spec, ":+"));
    json_auto_t *node = json_loads(spec + 5, 0, NULL);
    return node && json_names_network(node);
}

/* A path written in an image is relative to the folder of that image. NULL: out of memory. */
static char *chain_resolve(const char *image, const char *backing)
{
    const char *slash = strrchr(image, '/');

    if (backing[0] == '/' || !slash || !is_file(backing))
        return strdup(backing);
    return str_format("%.*s/%s", (int)(slash - image), image, backing);
}

/* path is taken over. recorded: the image above says so; else what was found by looking. */
static int chain_push(struct image_chain *c, char *path, const char *format, bool recorded)
{
    struct image_layer *layers = path ? realloc(c->layers, (c->n + 1) * sizeof *layers) : NULL;

    if (layers)
        c->layers = layers;
    char *copy = strdup(format);
    if (!layers || !copy) {
        free(path);
        free(copy);
        return -ENOMEM;
    }
    layers[c->n++] = (struct image_layer){ .fd = -1, .data_fd = -1, .path = path, .format = copy, .format_recorded = recorded };
    return 0;
}

/* libvirt's rule for an image whose format nobody has recorded: it is what its content says, unless it would lead on to further files;
 * then libvirt does not start the VM. A guest may have written that content. */
static int look_for_format(struct hv *hv, const char *image, const char *backing, char **ret, struct err *err)
{
    struct hv_image_info info = { 0 };
    const char *why = "is not a file on this host";

    int r = is_file(backing) ? hv_image_info(hv, backing, NULL, true, &info, err) : 1;
    if (r < 0)
        return r;
    if (r == 0) {
        why = info.backing ? "has a backing image of its own" : info.data_file ? "stores its data in another file" : NULL;
        *ret = why ? NULL : TAKE_PTR(info.format);
        hv_image_info_clear(&info);
    }
    if (!why)
        return 0;
    return err_set(err, EINVAL,
                   "image %s does not record the format of its backing image %s, which %s: record it, with the VM off: qemu-img rebase -u "
                   "-b BACKING -F FORMAT %s",
                   image, backing, why, image);
}

/* A missing image is the commonest fault, and a raw one is not looked into: asked for first, and told without QEMU's words. */
static int check_there(const struct image_chain *c, const struct image_layer *top, struct err *err)
{
    const char *what = c->n > 1 ? "the backing image" : "the image";

    if (!is_file(top->path) || access(top->path, R_OK) == 0)
        return 0;
    if (errno == ENOENT || errno == ENOTDIR)
        return err_set(err, EIO, "%s %s does not exist: restore it, or mount the file system it is on", what, top->path);
    return err_errno(err, errno, "%s %s cannot be read", what, top->path);
}

/* Adds what the last layer is backed by. 1: there was something. */
static int extend(struct hv *hv, struct image_chain *c, struct err *err)
{
    struct image_layer *top = &c->layers[c->n - 1];
    struct hv_image_info info = { 0 };
    _cleanup_free_ char *backing = NULL, *format = NULL;

    int r = check_there(c, top, err);
    if (r < 0 || strcmp(top->format, "raw") == 0 || !is_file(top->path))
        return r;
    r = hv_image_info(hv, top->path, top->format, true, &info, err);
    if (r < 0)
        return r;
    bool more = info.backing, recorded = info.backing_format;
    backing = more ? chain_resolve(top->path, info.backing) : NULL;
    format = TAKE_PTR(info.backing_format);
    top->data = TAKE_PTR(info.data_file);
    hv_image_info_clear(&info);
    if (!more)
        return 0;
    r = !backing ? err_nomem(err) : 0;
    if (r == 0 && !recorded)
        r = look_for_format(hv, top->path, backing, &format, err);
    if (r == 0 && chain_push(c, TAKE_PTR(backing), format, recorded) < 0)
        r = err_nomem(err);
    return r < 0 ? r : 1;
}

int image_recorded_backing(struct hv *hv, const char *path, const char *format, char **ret, char **ret_format)
{
    struct hv_image_info info = { 0 };

    int r = strcmp(format, "raw") == 0 ? 0 : hv_image_info(hv, path, format, true, &info, NULL);
    bool some = r == 0 && info.backing;
    *ret = some ? chain_resolve(path, info.backing) : NULL;
    *ret_format = some ? TAKE_PTR(info.backing_format) : NULL;
    hv_image_info_clear(&info);
    if (*ret && !*ret_format)
        (void)look_for_format(hv, path, *ret, ret_format, NULL);
    return some && !*ret ? -ENOMEM : r;
}

int image_chain_read(struct hv *hv, const char *path, const char *format, struct image_chain *ret, struct err *err)
{
    _cleanup_chain_ struct image_chain c = { 0 };

    if (chain_push(&c, strdup(path), format ? format : "raw", format) < 0)
        return err_nomem(err);
    for (int r = 1; r > 0;)
        if ((r = c.n > CHAIN_MAX ? err_errno(err, ELOOP, "cannot follow the backing images of %s", path) : extend(hv, &c, err)) < 0)
            return r;
    *ret = c;
    c = (struct image_chain){ 0 };
    return 0;
}

int image_chain_one(const char *path, const char *format, struct image_chain *ret, struct err *err)
{
    _cleanup_chain_ struct image_chain c = { 0 };

    if (chain_push(&c, strdup(path), format, true) < 0)
        return err_nomem(err);
    *ret = c;
    c = (struct image_chain){ 0 };
    return 0;
}

int image_chain_append(struct image_chain *c, struct image_chain *more, struct err *err)
{
    struct image_layer *layers = reallocarray(c->layers, c->n + more->n, sizeof(*layers));

    if (!layers)
        return err_nomem(err);
    memcpy(layers + c->n, more->layers, more->n * sizeof(*layers));
    c->layers = layers;
    c->n += more->n;
    free(more->layers);
    *more = (struct image_chain){ 0 };
    return 0;
}

int image_chain_top(const char *path, const char *format, struct image_chain *ret, struct err *err)
{
    struct hv_image_info info = { 0 };

    int r = hv_image_info(NULL, path, format, true, &info, err);
    if (r == 0)
        r = image_chain_one(path, format, ret, err);
    if (r == 0)
        ret->layers[0].data = TAKE_PTR(info.data_file);
    hv_image_info_clear(&info);
    return r;
}

int image_chain_open(struct image_chain *c, int fd, struct err *err)
{
    for (size_t i = 0; i < c->n; i++) {
        struct image_layer *l = &c->layers[i];
        if (i == 0 && fd >= 0 && (l->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0)
            return err_errno(err, errno, "cannot open image %s", l->path);
        if (l->fd < 0 && l->path[0] == '/' && (l->fd = io_open_file(l->path, O_PATH, err)) < 0)
            return l->fd;
        if (l->data && l->data[0] == '/' && (l->data_fd = io_open_file(l->data, O_PATH, err)) < 0)
            return l->data_fd;
    }
    return 0;
}

size_t image_chain_fds(const struct image_chain *chain, int *fds)
{
    size_t n = 0;

    for (size_t i = 0; i < chain->n; i++) {
        if (chain->layers[i].fd >= 0)
            fds[n++] = chain->layers[i].fd;
        if (chain->layers[i].data_fd >= 0)
            fds[n++] = chain->layers[i].data_fd;
    }
    return n;
}

/* Value of an option: a comma ends it unless doubled. */
static int chain_add_value(struct buf *b, const char *s)
{
    int r = 0;

    for (; *s && r == 0; s++)
        r = buf_add(b, *s == ',' ? ",," : s, *s == ',' ? 2 : 1);
    return r;
}

/* Where its files are; the path alone lets QEMU tell a file from a block device. */
static int chain_add_files(struct buf *b, const char *prefix, const struct image_layer *l, unsigned *number)
{
    int r = buf_addf(b, ",%sfile.filename=/proc/self/fd/%u", prefix, (*number)++);

    return r < 0 || l->data_fd < 0 ? r : buf_addf(b, ",%sdata-file.filename=/proc/self/fd/%u", prefix, (*number)++);
}

/* Older versions of qemu-img recorded the protocol as the format of what is raw. */
static int add_layer(struct buf *b, const char *prefix, const struct image_layer *l, unsigned *number)
{
    bool raw = !strcmp(l->format, "file") || !strcmp(l->format, "host_device");

    int r = buf_addf(b, ",%sdriver=%s", prefix, raw ? "raw" : l->format);
    return r < 0 ? r : chain_add_files(b, prefix, l, number);
}

static int chain_add_backing(struct buf *b, const struct image_chain *chain, unsigned number)
{
    _cleanup_buf_ struct buf prefix = BUF_INIT;
    int r = 0;

    for (size_t i = 1; i < chain->n && r == 0; i++) {
        const struct image_layer *l = &chain->layers[i];
        r = buf_adds(&prefix, "backing.");
        if (r == 0 && l->fd >= 0)
            r = add_layer(b, (char *)prefix.data, l, &number);
        else if (r == 0 && !l->format_recorded)
            r = buf_addf(b, ",%sdriver=%s", (char *)prefix.data, l->format);
    }
    return r;
}

/* By its name where it is not open. */
static int chain_add_name(struct buf *b, const char *path)
{
    _cleanup_free_ char *name = image_file_name(path);
    int r = name ? buf_adds(b, ",file.filename=") : -ENOMEM;

    return r < 0 ? r : chain_add_value(b, name);
}

int image_options(const struct image_chain *chain, unsigned first, unsigned flags, char **ret, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    const struct image_layer *top = &chain->layers[0];

    int r = buf_adds(&b, "driver=");
    if (r == 0)
        r = chain_add_value(&b, top->format);
    if (r == 0)
        r = top->fd >= 0 ? chain_add_files(&b, "", top, &first) : chain_add_name(&b, top->path);
    if (r == 0)
        r = buf_adds(&b, flags & IMAGE_READ_ONLY ? ",read-only=on" : ",discard=unmap,detect-zeroes=unmap");
    if (r == 0 && flags & IMAGE_SHARE)
        r = buf_adds(&b, ",force-share=on");
    if (r == 0)
        r = chain_add_backing(&b, chain, first);
    if (r < 0)
        return err_errno(err, -r, "cannot open image %s", top->path);
    *ret = buf_take_str(&b);
    return *ret ? 0 : err_nomem(err);
}

int image_head_chain(const char *path, const char *format, char ***v)
{
    _cleanup_free_ char *at = strdup(path);
    int r = at ? 0 : -ENOMEM;

    for (unsigned depth = 0; r == 0 && depth < CHAIN_MAX && is_file(at); depth++) {
        struct image_head head = { 0 };
        if (image_head_read(at, depth ? "qcow2" : format, &head) < 0 || !head.backing)
            return 0;
        char *next = chain_resolve(at, head.backing);
        free(head.backing);
        free(at);
        at = next;
        r = at ? strv_add(v, at) : -ENOMEM;
    }
    return r;
}
