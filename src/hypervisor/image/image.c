/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images through qemu-img: QEMU's own tool is the one that always agrees with QEMU. */
#include "hypervisor/image/image.h"
#include "base/io.h"
#include "base/io_at.h"
#include "base/proc.h"
#include "hypervisor/xml/definition.h"
#include "hypervisor/host/host.h"
#include "hypervisor/image/tool.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#define INFO_MAX ((size_t)1 << 20)
#define TOOL_TIMEOUT_MS 60000u
#define WRITE_LOCK_BYTE 101 /* RAW_LOCK_PERM_BASE + the number of BLK_PERM_WRITE, in QEMU's block/file-posix.c */

char *image_file_name(const char *path)
{
    return path[0] == '/' ? strdup(path) : str_format("./%s", path);
}

/* What the tool said last, without the newline, its own name, and the name of the file, which the message has already:
 * "qemu-img: PATH: Could not create 'PATH': Permission denied". */
static const char *tail(struct buf *b, const char *path)
{
    char *s = (char *)b->data;

    while (b->len && (s[b->len - 1] == '\n' || s[b->len - 1] == ' '))
        s[--b->len] = '\0';
    if (!b->len)
        return "no reason given";
    if (!strncmp(s, "qemu-img: ", 10))
        s += 10;
    size_t n = strlen(path);
    return !strncmp(s, path, n) && !strncmp(s + n, ": ", 2) ? s + n + 2 : s;
}

/* What qemu-img is to do, on which image: descriptors, which it knows as 3, 4 ... */
struct tool_call {
    char *const *argv;
    const int *fds;
    size_t n_fds;
    bool write;
    const char *what, *path; /* for people: "examine image", and which */
    unsigned timeout_ms;     /* 0: none */
};

/* Runs it, confined to its images. A non-zero exit is a failure that says `what`. */
static int run_tool(const struct tool_call *c, struct buf *out, struct err *err)
{
    const struct confine confine = tool_confine(c->write);
    _cleanup_buf_ struct buf said = BUF_INIT;
    struct proc_run run = { .argv = c->argv,
                            .name = "it",
                            .out_max = INFO_MAX,
                            .timeout_ms = c->timeout_ms,
                            .pass = c->fds,
                            .n_pass = c->n_fds,
                            .confine = &confine };
    int status = 0;

    int r = proc_run(&run, out, &said, &status, err);
    if (r < 0)
        return err_context(err, "cannot %s %s with qemu-img", c->what, c->path);
    if (status == 0)
        return 0;
    const char *why = tail(&said, c->path);
    return err_set(err, strstr(why, "lock") ? EBUSY : EIO, "cannot %s %s: %s", c->what, c->path, why);
}

static int run_on(char *const *argv, int fd, bool write, const char *what, const char *path, struct buf *out, struct err *err)
{
    const struct tool_call call = { argv, &fd, fd >= 0, write, what, path, TOOL_TIMEOUT_MS };

    return run_tool(&call, out, err);
}

/* A thin image that a guest has filled looks like one that was allocated beforehand, and may as well be allocated again. */
static const char *guess_preallocation(const struct stat *st, const struct hv_image_info *info)
{
    uint64_t stored = (uint64_t)st->st_blocks * 512;

    if (info->size == 0)
        return NULL;
    if (stored >= info->size)
        return strcmp(info->format, "qcow2") == 0 || strcmp(info->format, "raw") == 0 ? "falloc" : NULL;
    if (strcmp(info->format, "qcow2") == 0 && (uint64_t)st->st_size >= info->size)
        return "metadata";
    return "off";
}

static void look_at_file(int fd, struct hv_image_info *info)
{
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    const char *preallocation = guess_preallocation(&st, info);
    info->preallocation = preallocation ? strdup(preallocation) : NULL;
    info->file_size = (uint64_t)st.st_size;
}

int hv_image_info(struct hv *hv, const char *path, const char *format, bool share, struct hv_image_info *ret, struct err *err)
{
    _cleanup_close_ int fd = path[0] == '/' ? io_open_file(path, O_PATH, err) : -1;
    _cleanup_free_ char *name = fd < 0 ? image_file_name(path) : strdup(IMAGE_TOOL_FD);
    _cleanup_buf_ struct buf out = BUF_INIT;
    char *argv[8] = { (char *)"qemu-img", (char *)"info", (char *)"--output=json" };
    size_t n = 3;

    if (share)
        argv[n++] = (char *)"--force-share";
    if (format) {
        argv[n++] = (char *)"-f";
        argv[n++] = (char *)format;
    }
    argv[n++] = name;
    if (path[0] == '/' && fd < 0)
        return fd;
    if (!name)
        return err_nomem(err);
    const struct image_state state = image_state_of(fd);
    if (share && image_memory_find(hv, &state, format, ret))
        return 0;
    int r = run_on(argv, fd, false, "examine image", path, &out, err);
    if (r < 0)
        return r;
    struct hv_image_info info = { 0 };
    r = image_json_parse(out.data ? (char *)out.data : "", out.len, &info, err);
    if (r < 0)
        return err_context(err, "cannot examine image %s", path);
    look_at_file(fd, &info);
    image_memory_keep(hv, &state, format, &info);
    *ret = info;
    return 0;
}

bool image_is_written(const char *path)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = WRITE_LOCK_BYTE, .l_len = 1 };
    _cleanup_close_ int fd = io_open_file(path, O_RDONLY, NULL);

    return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int hv_image_make(int fd, const char *path, const char *format, uint64_t size, const char *options, struct err *err)
{
    _cleanup_free_ char *bytes = str_format("%llu", (unsigned long long)size);
    _cleanup_buf_ struct buf out = BUF_INIT;
    char *argv[12] = { (char *)"qemu-img", (char *)"create", (char *)"-q", (char *)"-f", (char *)(uintptr_t)format };
    size_t n = 5;

    if (!bytes)
        return err_nomem(err);
    if (options && options[0]) {
        argv[n++] = (char *)"-o";
        argv[n++] = (char *)(uintptr_t)options;
    }
    argv[n++] = (char *)IMAGE_TOOL_FD;
    argv[n++] = bytes;
    return run_on(argv, fd, true, "create image", path, &out, err);
}

int image_make_overlay(int fd, const char *path, const char *backing, const char *backing_format, uint64_t size, struct err *err)
{
    _cleanup_free_ char *bytes = str_format("%llu", (unsigned long long)size);
    _cleanup_buf_ struct buf out = BUF_INIT;
    /* -u: the backing image is not opened; a guest is writing it */
    char *argv[] = { (char *)"qemu-img",
                     (char *)"create",
                     (char *)"-q",
                     (char *)"-u",
                     (char *)"-f",
                     (char *)"qcow2",
                     (char *)"-b",
                     (char *)(uintptr_t)backing,
                     (char *)"-F",
                     (char *)(uintptr_t)backing_format,
                     (char *)IMAGE_TOOL_FD,
                     bytes,
                     NULL };

    if (backing[0] != '/')
        return err_set(err, EINVAL, "%s is not an absolute path", backing);
    return bytes ? run_on(argv, fd, true, "create image", path, &out, err) : err_nomem(err);
}

/* Which images are meant is told by the caller, not by what the overlay records: a guest that has broken out of its QEMU could have written
 * that. */
int image_commit(const char *overlay, const char *base, const char *base_format, struct err *err)
{
    _cleanup_chain_ struct image_chain below = { 0 }, chain = { 0 };
    _cleanup_free_ char *options = NULL;
    _cleanup_free_ int *fds = NULL;
    _cleanup_buf_ struct buf out = BUF_INIT;

    int r = image_chain_one(overlay, "qcow2", &chain, err);
    if (r == 0)
        r = image_chain_read(NULL, base, base_format, &below, err);
    if (r == 0 && below.layers[0].data)
        r = err_set(err, EPERM, "image %s keeps its data in another file, which is not written", base);
    if (r == 0)
        r = image_chain_append(&chain, &below, err);
    if (r == 0)
        r = image_chain_open(&chain, -1, err);
    if (r == 0)
        r = image_options(&chain, IMAGE_FIRST_FD, 0, &options, err);
    if (r == 0 && !(fds = calloc(2 * chain.n, sizeof(*fds))))
        r = err_nomem(err);
    if (r < 0)
        return r;
    char *argv[] = { (char *)"qemu-img", (char *)"commit", (char *)"-q", (char *)"-d", (char *)"--image-opts", options, NULL };
    const struct tool_call call = { argv, fds, image_chain_fds(&chain, fds), true, "commit overlay", overlay, 0 };
    return run_tool(&call, &out, err);
}

/* The image alone: what is behind it is not opened, and its data file only as the open file 4. */
static char *alone(bool data_file)
{
    return str_format("json:{\"driver\":\"qcow2\",\"file\":{\"filename\":\"" IMAGE_TOOL_FD "\"},\"backing\":null%s}",
                      data_file ? ",\"data-file\":{\"filename\":\"/proc/self/fd/4\"}" : "");
}

int image_holds_data(const char *path, bool *ret, struct err *err)
{
    _cleanup_close_ int fd = io_open_file(path, O_PATH, err);
    _cleanup_free_ char *name = alone(false);
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct stat st;

    if (fd < 0)
        return fd;
    if (!name)
        return err_nomem(err);
    if (fstat(fd, &st) == 0 && st.st_size == 0) {
        *ret = false;
        return 0;
    }
    char *argv[] = { (char *)"qemu-img", (char *)"check", (char *)"--output=json", name, NULL };
    int r = run_on(argv, fd, false, "examine image", path, &out, err);
    if (r < 0)
        return r;
    json_auto_t *told = json_loads(out.data ? (char *)out.data : "", 0, NULL);
    *ret = json_integer_value(json_object_get(told, "allocated-clusters")) > 0;
    return told ? 0 : err_set(err, EBADMSG, "cannot examine image %s", path);
}

int image_bitmap_remove(const char *path, const char *bitmap, struct err *err)
{
    _cleanup_chain_ struct image_chain chain = { 0 };
    _cleanup_free_ char *name = NULL;
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct err why = ERR_INIT;

    if (bitmap[0] == '-')
        return err_errno(err, EINVAL, "cannot remove bitmap %s of %s", bitmap, path);
    int r = image_chain_top(path, "qcow2", &chain, err);
    if (r == 0)
        r = image_chain_open(&chain, -1, err);
    if (r < 0)
        return r;
    int fds[2];
    size_t n_fds = image_chain_fds(&chain, fds);
    if (!(name = alone(n_fds > 1)))
        return err_nomem(err);
    char *argv[] = { (char *)"qemu-img", (char *)"bitmap", (char *)"--remove", name, (char *)(uintptr_t)bitmap, NULL };
    const struct tool_call call = { argv, fds, n_fds, true, "remove a bitmap of", path, TOOL_TIMEOUT_MS };
    r = run_tool(&call, &out, &why);
    if (r == -EIO && strstr(why.text, "not found"))
        return 0;
    return r < 0 ? err_move(err, &why) : 0;
}
