/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The places where scratch files would lie: whether they can be written, whether QEMU gets there, and whether there is room. */
#include "base/io.h"
#include "base/num.h"
#include "requester/check/check.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define LIKELY_SHARE 10 /* of what the disks hold: so much a guest may overwrite while they are copied */

/* One file system, with all scratch files of all VMs that would lie on it. */
struct scratch_place {
    dev_t dev;
    const char *dir; /* the first folder that was found there */
    uint64_t holds;  /* what the disks take now */
    uint64_t worst;  /* all of it is overwritten */
};

struct places {
    struct check *c;
    char **dirs; /* all folders, each once; owns what places point to */
    size_t n;
    struct scratch_place *list;
};

static uint64_t scratch_allocated(const struct hv_disk *d)
{
    struct stat st;

    if (!d->path || stat(d->path, &st) < 0)
        return d->size;
    return S_ISREG(st.st_mode) ? (uint64_t)st.st_blocks * 512 : d->size;
}

uint64_t check_allocated(const struct check_vm *vm)
{
    uint64_t sum = 0;

    for (size_t i = 0; vm->dom && i < vm->dom->n_disks && i < vm->report->n_disks; i++)
        if (vm->report->disks[i].covered)
            sum += scratch_allocated(&vm->dom->disks[i]);
    return sum;
}

int check_may_write(const char *dir)
{
    _cleanup_close_ int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    int e = fd >= 0 ? 0 : errno;

    if (e == EOPNOTSUPP || e == EISDIR || e == ENOENT) /* the file system has no such files */
        e = faccessat(AT_FDCWD, dir, W_OK, AT_EACCESS) < 0 ? errno : 0;
    return e == ENOSPC || e == EDQUOT ? 0 : -e;
}

static void look_at_folder(struct check *c, struct check_vm *vm, const char *dir)
{
    _cleanup_free_ char *closed = NULL;
    struct stat st;
    uid_t uid;
    gid_t gid;

    if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode)) {
        check_found(c, vm->findings, FOUND(FINDING_ERROR, "scratch-missing", "create the folder, or set snapshot-dir to another one"),
                    "the folder for scratch files, %s, does not exist", dir);
        return;
    }
    int r = check_may_write(dir);
    if (r < 0)
        check_found(c, vm->findings,
                    FOUND(FINDING_ERROR, "scratch-not-writable", "make it writable, or set snapshot-dir to another folder"),
                    "cannot create scratch files in %s: %s", dir, strerror(-r));
    if (hv_qemu_may_enter(c->s->hv, dir, &closed, NULL) != 0)
        return;
    _cleanup_free_ char *remedy =
        str_format("chmod o+x %s (or give that user's group access), or set snapshot-dir to another folder", closed);
    hv_qemu_ids(c->s->hv, &uid, &gid);
    check_found(c, vm->findings, FOUND(FINDING_ERROR, "scratch-closed-to-qemu", remedy ? remedy : ""),
                "QEMU runs as user %u, group %u, and cannot access scratch files in %s: no search permission on %s", (unsigned)uid,
                (unsigned)gid, dir, closed);
}

static int add_room(struct places *p, const char *dir, const struct hv_disk *d)
{
    struct stat st;
    size_t i = 0;

    if (stat(dir, &st) < 0)
        return 0;
    while (i < p->n && p->list[i].dev != st.st_dev)
        i++;
    if (i == p->n) {
        struct scratch_place *more = reallocarray(p->list, p->n + 1, sizeof(*more));
        if (!more)
            return -ENOMEM;
        p->list = more;
        p->list[p->n++] = (struct scratch_place){ .dev = st.st_dev, .dir = dir };
    }
    p->list[i].holds += scratch_allocated(d);
    p->list[i].worst += d->size;
    return 0;
}

static int scratch_add_disk(struct places *p, struct check_vm *vm, const struct hv_disk *d)
{
    const char *dir = p->c->rq->config.snapshot_dir;
    _cleanup_free_ char *found = NULL;
    struct err why = ERR_INIT;

    int r = hv_scratch_dir(p->c->s->hv, d->path, dir, &found, &why);
    if (r == -EPERM)
        check_found(p->c, vm->findings,
                    FOUND(FINDING_ERROR, "scratch-exchangeable", "set snapshot-dir to a folder that only root can write to"), "disk %s: %s",
                    d->target, why.text);
    else if (r < 0 && !dir)
        check_found(p->c, vm->findings, FOUND(FINDING_ERROR, "scratch-missing", "set snapshot-dir to a folder for scratch files"),
                    "disk %s: %s", d->target, why.text);
    if (!found && !dir) /* else in the session's folder, which is made anew each time */
        return r == -ENOMEM ? r : 0;
    dir = dir ? dir : found;
    if (!strv_has(p->dirs, dir)) {
        if (strv_add(&p->dirs, dir) < 0)
            return -ENOMEM;
        look_at_folder(p->c, vm, dir);
    }
    for (char **own = p->dirs; *own; own++)
        if (!strcmp(*own, dir))
            dir = *own;
    return add_room(p, dir, d);
}

static json_t *look_at_room(struct check *c, const struct scratch_place *p)
{
    uint64_t free_bytes = 0, total = 0;
    char have[16], must[16], holds[16], likely[16];

    if (io_space(p->dir, &free_bytes, &total, NULL) < 0)
        return json_null();
    uint64_t reserve = provider_scratch_reserve(c->rq->config.scratch_reserve, total), expected = p->holds / LIKELY_SHARE;
    num_format_size(free_bytes, have);
    num_format_size(reserve, must);
    if (free_bytes < reserve)
        check_found(c, c->findings,
                    FOUND(FINDING_ERROR, "scratch-full",
                          "free space there, set snapshot-dir to a folder with more space, or lower scratch-reserve"),
                    "%s has %s free, but %s must be left free next to scratch files: a backup would be abandoned", p->dir, have, must);
    else if (free_bytes - reserve < expected)
        check_found(c, c->findings,
                    FOUND(FINDING_WARNING, "scratch-small", "free space there, or set snapshot-dir to a folder with more space"),
                    "%s has %s free for scratch files, of which %s must be left free; the disks hold %s. A backup is abandoned if the "
                    "guests overwrite more than fits (a tenth, %s, is not unusual)",
                    p->dir, have, must, num_format_size(p->holds, holds), num_format_size(expected, likely));
    return json_pack("{s:o, s:I, s:I, s:I, s:I}", "dir", json_text(p->dir), "free", (json_int_t)free_bytes, "reserve", (json_int_t)reserve,
                     "disks_hold", (json_int_t)p->holds, "worst", (json_int_t)p->worst);
}

int check_scratch(struct check *c, struct err *err)
{
    struct places p = { .c = c };
    json_t *list = json_array();
    int r = 0;

    for (size_t i = 0; r >= 0 && hv_is_local(c->s->hv) && i < c->n; i++)
        for (size_t k = 0; r >= 0 && k < c->vms[i].dom->n_disks; k++)
            if (vm_needs_scratch(c->vms[i].report, c->vms[i].dom, k))
                r = scratch_add_disk(&p, &c->vms[i], &c->vms[i].dom->disks[k]);
    for (size_t i = 0; r >= 0 && i < p.n; i++)
        json_array_append_new(list, look_at_room(c, &p.list[i]));
    strv_free(p.dirs);
    free(p.list);
    if (r < 0 || !list) {
        json_decref(list);
        return err_nomem(err);
    }
    c->scratch = list;
    return 0;
}
