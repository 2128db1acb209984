/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The places where scratch files would lie: whether they can be written, whether QEMU gets there, and whether there is room. */
#include "base/io.h"
#include "base/num.h"
#include "requester/check.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define LIKELY_SHARE 10 /* of what the disks hold: so much a guest may overwrite while they are copied */

/* One file system, with all scratch files of all VMs that would lie on it. */
struct place {
    dev_t dev;
    const char *dir; /* the first folder that was found there */
    uint64_t holds;  /* what the disks take now */
    uint64_t worst;  /* all of it is overwritten */
};

struct places {
    struct check *c;
    char **dirs;     /* all folders, each once; owns what places point to */
    size_t n;
    struct place *list;
};

/* The disks that a job of the VM would have. */
static bool has_scratch(const struct check_vm *vm, size_t i)
{
    const struct hv_disk *d = &vm->dom->disks[i];

    return vm->report.disks[i].covered && !d->readonly && !d->transient && (vm->dom->state == HV_RUNNING || vm->dom->state == HV_PAUSED);
}

static uint64_t allocated(const struct hv_disk *d)
{
    struct stat st;

    if (!d->path || stat(d->path, &st) < 0)
        return d->size;
    return S_ISREG(st.st_mode) ? (uint64_t)st.st_blocks * 512 : d->size;
}

uint64_t check_allocated(const struct check_vm *vm)
{
    uint64_t sum = 0;

    for (size_t i = 0; vm->dom && i < vm->dom->n_disks && i < vm->report.n_disks; i++)
        if (vm->report.disks[i].covered)
            sum += allocated(&vm->dom->disks[i]);
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
        check_found(c, vm->findings, FOUND(FINDING_ERROR, "scratch-missing", "make the folder, or set snapshot-dir to another one"),
                    "scratch files would lie in %s, and there is no such folder", dir);
        return;
    }
    int r = check_may_write(dir);
    if (r < 0)
        check_found(c, vm->findings,
                    FOUND(FINDING_ERROR, "scratch-not-writable", "make it writable, or set snapshot-dir to another folder"),
                    "scratch files cannot be made in %s: %s", dir, strerror(-r));
    if (hv_qemu_may_enter(c->s->hv, dir, &closed, NULL) != 0)
        return;
    _cleanup_free_ char *remedy = str_format("chmod o+x %s (or give the group of that user the right), or set snapshot-dir to another "
                                             "folder", closed);
    hv_qemu_ids(c->s->hv, &uid, &gid);
    check_found(c, vm->findings, FOUND(FINDING_ERROR, "scratch-closed-to-qemu", remedy ? remedy : ""),
                "QEMU runs as user %u, group %u, and cannot reach scratch files in %s: it may not enter %s", (unsigned)uid,
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
        struct place *more = reallocarray(p->list, p->n + 1, sizeof(*more));
        if (!more)
            return -ENOMEM;
        p->list = more;
        p->list[p->n++] = (struct place){ .dev = st.st_dev, .dir = dir };
    }
    p->list[i].holds += allocated(d);
    p->list[i].worst += d->size;
    return 0;
}

static int add_disk(struct places *p, struct check_vm *vm, const struct hv_disk *d)
{
    const char *dir = p->c->rq->config.snapshot_dir;
    _cleanup_free_ char *found = NULL;
    struct err why = ERR_INIT;

    if (!dir && (!d->path || !strncmp(d->path, "/dev/", 5)))
        return 0; /* in the session's folder, which is made anew each time */
    int r = hv_scratch_dir(p->c->s->hv, d->path, dir, &found, &why);
    if (r == -EPERM)
        check_found(p->c, vm->findings,
                    FOUND(FINDING_ERROR, "scratch-exchangeable", "set snapshot-dir to a folder that only root can write to"),
                    "disk %s: %s", d->target, why.text);
    if (r < 0 && !dir && !(found = io_dirname(d->path)))
        return -ENOMEM;
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

static json_t *look_at_room(struct check *c, const struct place *p)
{
    uint64_t free_bytes = 0, total = 0;
    char have[16], must[16], holds[16], likely[16];

    if (io_space(p->dir, &free_bytes, &total, NULL) < 0)
        return json_null();
    uint64_t reserve = qemu_scratch_reserve(c->rq->config.scratch_reserve, total), expected = p->holds / LIKELY_SHARE;
    num_format_size(free_bytes, have);
    num_format_size(reserve, must);
    if (free_bytes < reserve)
        check_found(c, c->findings,
                    FOUND(FINDING_ERROR, "scratch-full",
                           "make room there, set snapshot-dir to a folder with more, or make scratch-reserve smaller"),
                    "%s has %s free, and %s must stay free beside scratch files: a backup would be given up", p->dir, have, must);
    else if (free_bytes - reserve < expected)
        check_found(c, c->findings,
                    FOUND(FINDING_WARNING, "scratch-small", "make room there, or set snapshot-dir to a folder with more"),
                    "%s has %s free for scratch files, of which %s must stay free; the disks hold %s, and a backup is given up if their "
                    "guests overwrite more than there is room for (a tenth of it, %s, is not unusual)",
                    p->dir, have, must, num_format_size(p->holds, holds), num_format_size(expected, likely));
    return json_pack("{s:o, s:I, s:I, s:I, s:I}", "dir", json_text(p->dir), "free", (json_int_t)free_bytes, "reserve",
                     (json_int_t)reserve, "disks_hold", (json_int_t)p->holds, "worst", (json_int_t)p->worst);
}

int check_scratch(struct check *c, json_t **ret, struct err *err)
{
    struct places p = { .c = c };
    json_t *list = json_array();
    int r = 0;

    for (size_t i = 0; r >= 0 && hv_is_local(c->s->hv) && i < c->n; i++)
        for (size_t k = 0; r >= 0 && k < c->vms[i].dom->n_disks; k++)
            if (has_scratch(&c->vms[i], k))
                r = add_disk(&p, &c->vms[i], &c->vms[i].dom->disks[k]);
    for (size_t i = 0; r >= 0 && i < p.n; i++)
        json_array_append_new(list, look_at_room(c, &p.list[i]));
    strv_free(p.dirs);
    free(p.list);
    if (r < 0 || !list) {
        json_decref(list);
        return err_set(err, ENOMEM, "out of memory");
    }
    *ret = list;
    return 0;
}
