/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The head of a save image of libvirt's QEMU driver (qemu_saveimage.h): 92 bytes, then the definition, then a cookie, then zeros up to
 * where QEMU's stream begins. libvirt starts a VM from it under no other name and UUID than those in there, and offers no call to change
 * them; QEMU's stream knows neither. */
#include "base/io.h"
#include "base/num.h"
#include "base/xml.h"
#include "hypervisor/host/host.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define HEAD_SIZE 92
#define MAGIC "LibvirtQemudSave"
#define DATA_MAX ((uint32_t)16 << 20)
enum { AT_VERSION = 16, AT_DATA_LEN = 20, AT_COOKIE = 32 };

static uint32_t image_number(const uint8_t *head, size_t at, bool swapped)
{
    uint32_t n;

    memcpy(&n, head + at, sizeof n); /* in the order of the host that wrote it */
    return swapped ? __builtin_bswap32(n) : n;
}

static void put_number(uint8_t *head, size_t at, uint32_t n, bool swapped)
{
    if (swapped)
        n = __builtin_bswap32(n);
    memcpy(head + at, &n, sizeof n);
}

/* The definition without the white space between elements (so that a longer name always finds room), under its new name. */
static int renamed(const char *xml, const struct hv_def_copy *id, char **ret, struct err *err)
{
    struct hv_def_copy copy = *id;
    struct hv_def *def = NULL;
    _cleanup_strv_ char **notes = NULL;
    _cleanup_free_ char *text = NULL;

    copy.keep_mac = true; /* the guest's memory holds the MACs that it has */
    copy.same_memory = true;
    int r = hv_def_parse(xml, &def, err);
    if (r == 0)
        r = hv_def_make_copy(def, &copy, &notes, err);
    if (r == 0)
        r = hv_def_text(def, &text, err);
    hv_def_free(def);
    if (r < 0)
        return r;
    char *to = text;
    for (const char *from = text; *from;) {
        *to++ = *from++;
        size_t blank = to[-1] == '>' ? strspn(from, " \n\t") : 0;
        if (blank && from[blank] == '<')
            from += blank;
    }
    *to = '\0';
    *ret = TAKE_PTR(text);
    return 0;
}

/* data: what is between head and stream, data_len bytes and one '\0' more. */
static int rewrite(uint8_t *head, char *data, uint32_t data_len, const struct hv_def_copy *id, struct err *err)
{
    bool swapped = image_number(head, AT_VERSION, false) > 0xffff;
    uint32_t cookie_at = image_number(head, AT_COOKIE, swapped);
    _cleanup_free_ char *xml = NULL, *cookie = NULL;

    if (cookie_at && cookie_at < data_len && !(cookie = strdup(data + cookie_at)))
        return err_nomem(err);
    int r = renamed(data, id, &xml, err);
    if (r < 0)
        return r;
    size_t n = strlen(xml) + 1, m = cookie ? strlen(cookie) + 1 : 0;
    if (n + m > data_len)
        return err_set(err, EFBIG, "the header of the saved state has no room for the name %s", id->name);
    memset(data, 0, data_len);
    memcpy(data, xml, n);
    if (m)
        memcpy(data + n, cookie, m);
    put_number(head, AT_COOKIE, m ? (uint32_t)n : 0, swapped);
    return 0;
}

int hv_save_image_rename(const char *path, const struct hv_def_copy *id, struct err *err)
{
    _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    uint8_t head[HEAD_SIZE];

    if (fd < 0)
        return err_errno(err, errno, "cannot open the saved state %s", path);
    int r = io_pread(fd, head, sizeof head, 0);
    if (r < 0 || memcmp(head, MAGIC, strlen(MAGIC)) != 0)
        return err_set(err, EINVAL, "%s is not a libvirt saved state", path);
    bool swapped = image_number(head, AT_VERSION, false) > 0xffff;
    uint32_t version = image_number(head, AT_VERSION, swapped), data_len = image_number(head, AT_DATA_LEN, swapped);
    if (version < 1 || version > 2 || data_len == 0 || data_len > DATA_MAX)
        return err_set(err, EINVAL, "the saved state %s has an unknown header (version %u)", path, version);
    _cleanup_free_ char *data = calloc(1, (size_t)data_len + 1);
    if (!data)
        return err_nomem(err);
    if ((r = io_pread(fd, data, data_len, HEAD_SIZE)) < 0)
        return err_errno(err, -r, "cannot read the saved state %s", path);
    if ((r = rewrite(head, data, data_len, id, err)) < 0)
        return err_context(err, "saved state %s", path);
    if ((r = io_pwrite(fd, data, data_len, HEAD_SIZE)) < 0 || (r = io_pwrite(fd, head, sizeof head, 0)) < 0 ||
        (r = fsync(fd) < 0 ? -errno : 0) < 0)
        return err_errno(err, -r, "cannot write the saved state %s", path);
    return 0;
}

int hv_save_image_head_xml(const void *begin, size_t n, char **ret, struct err *err)
{
    const uint8_t *head = begin;

    if (n <= HEAD_SIZE || memcmp(head, MAGIC, strlen(MAGIC)) != 0)
        return err_set(err, EINVAL, "this is not a libvirt saved state");
    bool swapped = image_number(head, AT_VERSION, false) > 0xffff;
    uint32_t data_len = image_number(head, AT_DATA_LEN, swapped);
    size_t len = strnlen((const char *)head + HEAD_SIZE, data_len < n - HEAD_SIZE ? data_len : n - HEAD_SIZE);
    if (len == 0 || HEAD_SIZE + len == n)
        return err_set(err, EINVAL, "the saved state does not begin with a definition");
    *ret = strndup((const char *)head + HEAD_SIZE, len);
    return *ret ? 0 : err_nomem(err);
}
