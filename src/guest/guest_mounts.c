/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest/guest_mounts.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

#define MOUNTINFO "/proc/self/mountinfo"
#define MOUNTINFO_MAX ((size_t)1 << 20)
#define MOUNTS_MAX 4096u
#define THAWS_MAX 8 /* a freeze by a user does not nest; this is for whoever froze it in the kernel as well */

/* One line: "36 35 8:1 / /data rw,noatime master:1 - ext4 /dev/sda1 rw". *id ("8:1") tells file systems apart. False: nothing that an
 * agent freezes. */
static bool mount_of_line(char *line, char **id, char **place)
{
    char *field[5], *save = NULL, *dash = strstr(line, " - ");

    if (!dash)
        return false;
    *dash = 0;
    for (int i = 0; i < 5; i++)
        if (!(field[i] = strtok_r(i ? NULL : line, " ", &save)))
            return false;
    char *type = strtok_r(dash + 3, " ", &save), *source = type ? strtok_r(NULL, " ", &save) : NULL;
    *id = field[2];
    *place = field[4];
    io_unescape_mount(*place);
    if (!source)
        return false;
    return strncmp(*id, "0:", 2) != 0 || (!strcmp(type, "btrfs") && !strncmp(source, "/dev/", 5));
}

static int guest_mount_add(struct guest_mounts *m, const char *place)
{
    int *more = reallocarray(m->fds, m->n + 1, sizeof *more);
    if (!more)
        return -ENOMEM;
    m->fds = more;
    int fd = open(place, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return 0;
    m->fds[m->n++] = fd;
    return 1;
}

static int mounts_of_text(char *text, struct guest_mounts *m)
{
    _cleanup_strv_ char **seen = NULL;
    char *save = NULL, *id = NULL, *place = NULL;

    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (!mount_of_line(line, &id, &place) || strv_has(seen, id))
            continue;
        int r = m->n < MOUNTS_MAX ? guest_mount_add(m, place) : -EFBIG;
        if (r > 0)
            r = strv_add(&seen, id);
        if (r < 0)
            return r;
    }
    return 0;
}

int guest_mounts_open(struct guest_mounts *ret, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct guest_mounts m = { 0 };
    int r = io_read_file(MOUNTINFO, MOUNTINFO_MAX, &b, err);

    if (r < 0)
        return r;
    r = mounts_of_text((char *)b.data, &m);
    if (r < 0) {
        guest_mounts_close(&m);
        return err_errno(err, -r, "cannot open the mounted file systems");
    }
    *ret = m;
    return 0;
}

void guest_mounts_close(struct guest_mounts *m)
{
    for (size_t i = 0; i < m->n; i++)
        close(m->fds[i]);
    free(m->fds);
    *m = (struct guest_mounts){ 0 };
}

unsigned guest_mounts_thaw(const struct guest_mounts *m)
{
    unsigned n = 0;

    for (size_t i = 0; i < m->n; i++)
        for (int k = 0; k < THAWS_MAX && ioctl(m->fds[i], FITHAW, 0) == 0; k++)
            n += k == 0;
    return n;
}
