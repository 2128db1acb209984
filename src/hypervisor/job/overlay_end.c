/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Differencing disks: the end. What the guest has written since must get back into the image, whatever has happened meanwhile: the VM
 * may run on, be off or saved, on the overlay or not. So first it is looked at where it stands. */
#include "base/io.h"
#include "base/io_at.h"
#include "base/xml.h"
#include "base/clock.h"
#include "base/num.h"
#include "hypervisor/domain/domain_storage.h"
#include "hypervisor/host/host.h"
#include "hypervisor/image/image.h"
#include "hypervisor/job/overlay.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define COMMIT_LOOK_MS 5u
#define ROOM_BESIDE (64 * MIB) /* tables, and what the guest writes meanwhile */
#define LOOKS_MAX 4u           /* one that was started, or saved, in the middle of it */

/* Where an overlay stands in the chain of a disk. */
enum stands { STANDS_NOWHERE, STANDS_ON_TOP, STANDS_BELOW };

static xmlNodePtr find_target(xmlNodePtr domain, const char *target)
{
    _cleanup_free_ xmlNodePtr *disks = NULL;
    int n = xml_find_all(domain, "devices/disk", &disks);

    for (int i = 0; i < n; i++) {
        _cleanup_free_ char *name = xml_get(disks[i], "target/@dev");
        if (name && !strcmp(name, target))
            return disks[i];
    }
    return NULL;
}

/* xml: a definition. */
static int look_in(const char *xml, const struct hv_overlay *o, enum stands *ret, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = NULL;
    int r = xml_parse(xml, strlen(xml), "the definition", &doc, err);
    xmlNodePtr node = r < 0 ? NULL : find_target(xmlDocGetRootElement(doc), o->target);

    *ret = STANDS_NOWHERE;
    for (unsigned depth = 0; node && *ret == STANDS_NOWHERE; depth++, node = xml_find(node, "backingStore")) {
        _cleanup_free_ char *path = xml_get(node, "source/@file");
        if (path && !strcmp(path, o->path))
            *ret = depth ? STANDS_BELOW : STANDS_ON_TOP;
    }
    return r < 0 ? r : 0;
}

/* ---- What is known of it ----------------------------------------------------------------------------------------------------*/

/* An overlay that no definition names was committed, or was never used; or somebody has taken it away from the VM, and it alone has what
 * the VM wrote last. So it is marked when what it holds is in the image: before and after the pivot of a VM that runs; after the commit of
 * one that does not, with its state at that time. Only root can mark it. */
#define MARK "trusted.kvss.committed"
#define MARK_PIVOT "pivot"     /* if no definition of the VM names it any more, it went that way */
#define MARK_PIVOTED "pivoted" /* for certain */
#define MARK_MAX 128

static int overlay_state(const char *path, char *ret)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return -errno;
    snprintf(ret, MARK_MAX, "%lld %lld.%09ld", (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return 0;
}

/* what: NULL, its state. */
static int overlay_mark(const char *path, const char *what, struct err *err)
{
    _cleanup_close_ int fd = io_open_entry(path, O_RDONLY, err);
    char state[MARK_MAX];

    if (fd < 0)
        return fd;
    int r = what ? 0 : overlay_state(path, state);
    if (r >= 0 && fsetxattr(fd, MARK, what ? what : state, strlen(what ? what : state), 0) < 0)
        r = -errno;
    return r < 0 ? err_errno(err, -r, "cannot mark overlay %s as committed", path) : 0;
}

/* "" : it is not marked. */
static void overlay_marked(const char *path, char *ret)
{
    _cleanup_close_ int fd = io_open_entry(path, O_RDONLY, NULL);
    ssize_t n = fd < 0 ? -1 : fgetxattr(fd, MARK, ret, MARK_MAX - 1);

    ret[n < 0 ? 0 : n] = '\0';
}

/* All of it is in the image for certain: it was pivoted away, or committed while the VM was off, and nobody has written into it since. To
 * commit it again would undo what was written into the image after that. */
static bool is_committed(const struct hv_overlay *o)
{
    char mark[MARK_MAX], now[MARK_MAX];

    overlay_marked(o->path, mark);
    return !strcmp(mark, MARK_PIVOTED) || (*mark && overlay_state(o->path, now) == 0 && !strcmp(mark, now));
}

int overlay_check_marks(const char *path, struct err *err)
{
    int r = overlay_mark(path, MARK_PIVOT, err);
    _cleanup_close_ int fd = r < 0 ? -1 : io_open_entry(path, O_RDONLY, err);

    if (r >= 0 && (fd < 0 || fremovexattr(fd, MARK) < 0))
        r = err_errno(err, errno, "cannot unmark overlay %s", path);
    return r < 0 ? err_context(err, "the file system must store extended attributes (trusted.*)") : 0;
}

/* ---- Of a VM that runs ------------------------------------------------------------------------------------------------------*/

struct commit {
    char *path, *target, *top, *base; /* top, base: NULL where the overlay is the active image */
    uint64_t done;                    /* bytes, for who waits; atomic */
};

static void commit_free(void *arg)
{
    struct commit *c = arg;

    if (!c)
        return;
    free(c->path);
    free(c->target);
    free(c->top);
    free(c->base);
    free(c);
}

/* One that an earlier attempt has begun is gone on with. */
static int commit_start(virDomainPtr dom, const struct commit *c, struct err *err)
{
    unsigned flags = c->top ? 0 : VIR_DOMAIN_BLOCK_COMMIT_ACTIVE | VIR_DOMAIN_BLOCK_COMMIT_SHALLOW;
    int wanted = c->top ? VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT : VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT;
    virDomainBlockJobInfo info;

    int n = virDomainGetBlockJobInfo(dom, c->target, &info, 0);
    if (n < 0)
        return hv_virt_error(err, "libvirt");
    if (n > 0)
        return info.type == wanted ? 0 : err_set(err, EBUSY, "the disk has another block job");
    return virDomainBlockCommit(dom, c->target, c->base, c->top, 0, flags) < 0 ? hv_virt_error(err, "libvirt") : 0;
}

/* 1: go on waiting. */
static int commit_step(virDomainPtr dom, struct commit *c, struct err *err)
{
    virDomainBlockJobInfo info;

    int n = virDomainGetBlockJobInfo(dom, c->target, &info, 0);
    if (n <= 0)
        return n < 0 ? hv_virt_error(err, "libvirt") : 0; /* it has ended; how, the definition tells */
    __atomic_store_n(&c->done, info.cur, __ATOMIC_RELAXED);
    if (c->top || !info.end || info.cur != info.end)
        return 1;
    int r = overlay_mark(c->path, MARK_PIVOT, err);
    if (r < 0)
        return r;
    if (virDomainBlockJobAbort(dom, c->target, VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT) == 0)
        return overlay_mark(c->path, MARK_PIVOTED, err);
    return hv_virt_code() == VIR_ERR_BLOCK_COPY_ACTIVE ? 1 : hv_virt_error(err, "libvirt"); /* not quite ready */
}

static int commit_run(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    int r = commit_start(dom, arg, err);

    (void)conn;
    while (r >= 0 && (r = commit_step(dom, arg, err)) > 0)
        clock_sleep_ms(COMMIT_LOOK_MS);
    return r;
}

/* A guest that writes without end is no reason to give up: as long as something is done, it is waited for. */
static uint64_t commit_done(const void *arg)
{
    return __atomic_load_n(&((const struct commit *)arg)->done, __ATOMIC_RELAXED) >> 20;
}

/* A commit that runs out of room spoils the bitmaps in the image as QEMU (7.2) has them, and none succeeds after that until the VM is
 * started anew (seen). So it is not begun before there is enough. In an undo, room may just have been made: btrfs tells of it before it can
 * be used, which takes until all is synchronised. */
static int check_room(const struct hv_overlay *o, struct err *err)
{
    _cleanup_free_ char *dir = io_dirname(o->base);
    char have[16], need[16];
    uint64_t room, total;
    struct stat st, base;

    if (stat(o->base, &base) == 0 && S_ISBLK(base.st_mode))
        return 0; /* all of it is there, or a thin pool has it */
    _cleanup_close_ int fd = o->undo && dir ? io_open_file(dir, O_RDONLY | O_DIRECTORY, NULL) : -1;
    if (fd >= 0)
        (void)syncfs(fd);
    if (!dir || stat(o->path, &st) < 0 || io_space(dir, &room, &total, NULL) < 0)
        return 0;
    uint64_t wanted = (uint64_t)st.st_blocks * 512 + num_min(ROOM_BESIDE, total / 64);
    if (room >= wanted)
        return 0;
    return err_set(err, ENOSPC, "%s are free in %s, and writing it back may take %s: free space, then run: kvss recover",
                   num_format_size(room, have), dir, num_format_size(wanted, need));
}

static int commit_live(struct hv_domain *d, const struct hv_overlay *o, enum stands stands, struct err *err)
{
    const struct patient_call call = { .fn = commit_run, .free_arg = commit_free, .insists = true, .long_job = true, .work = commit_done };
    struct commit *c = calloc(1, sizeof(*c));

    if (c) {
        c->path = strdup(o->path);
        c->target = strdup(o->target);
        c->top = stands == STANDS_BELOW ? strdup(o->path) : NULL;
        c->base = stands == STANDS_BELOW ? strdup(o->base) : NULL;
    }
    if (!c || !c->path || !c->target || (stands == STANDS_BELOW && (!c->top || !c->base))) {
        commit_free(c);
        return err_nomem(err);
    }
    int r = patiently(d, &call, (void **)&c, err);
    commit_free(c);
    return r;
}

/* ---- Of one that does not -----------------------------------------------------------------------------------------------------*/

static int point_back(const char *xml, const struct hv_overlay *o, char **ret, struct err *err)
{
    struct hv_def *def = NULL;

    int r = hv_def_parse(xml, &def, err);
    if (r >= 0)
        r = hv_def_set_disk(def, o->target, o->base, o->format, err);
    if (r >= 0)
        r = hv_def_text(def, ret, err);
    hv_def_free(def);
    return r;
}

/* The definition for the next start, where it names the overlay. */
static int redefine_off(struct hv_domain *d, const struct hv_overlay *o, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *defined = NULL;
    _cleanup_free_ char *xml = NULL;
    enum stands stands;

    int r = look_in(d->xml, o, &stands, err);
    if (r < 0 || stands == STANDS_NOWHERE)
        return r;
    r = point_back(d->xml, o, &xml, err);
    return r < 0 ? r : hv_define(d->hv, xml, &defined, err);
}

static int redefine_saved(struct hv_domain *d, const char *saved, const struct hv_overlay *o, struct err *err)
{
    _cleanup_free_ char *xml = NULL;

    int r = point_back(saved, o, &xml, err);
    if (r >= 0 && virDomainManagedSaveDefineXML(hv_handle(d), xml, 0) < 0)
        r = hv_virt_error(err, "cannot correct the definition in the saved state of VM %s", d->name);
    return r;
}

static int further_overlay(const struct hv_overlay *o, struct err *err)
{
    return err_set(err, EBUSY, "another overlay was put on %s, which is kvss's own: start the VM, and run: kvss recover", o->path);
}

/* Where the overlay stands in each definition of a VM. */
struct standing {
    enum stands live, next, saved;
    char *saved_xml;
    bool active;
};

static void standing_clear(struct standing *s)
{
    free(s->saved_xml);
}

static int stand(struct hv_domain *d, const struct hv_overlay *o, struct standing *s, struct err *err)
{
    _cleanup_free_ char *live = NULL;

    s->active = d->state != HV_OFF && d->state != HV_SAVED;
    int r = look_in(d->xml, o, &s->next, err);
    if (r >= 0 && s->active && (r = hv_live_xml(d, &live, err)) >= 0)
        r = look_in(live, o, &s->live, err);
    if (r >= 0 && d->state == HV_SAVED && !(s->saved_xml = virDomainManagedSaveGetXMLDesc(hv_handle(d), VIR_DOMAIN_SAVE_IMAGE_XML_SECURE)))
        r = hv_virt_error(err, "cannot read the saved state of VM %s", d->name);
    return r >= 0 && s->saved_xml ? look_in(s->saved_xml, o, &s->saved, err) : r;
}

/* First the data, then the definitions, so that it can be done again at any point. */
static int end_off(struct hv_domain *d, const struct hv_overlay *o, const struct standing *s, struct err *err)
{
    if (s->next == STANDS_BELOW || s->saved == STANDS_BELOW)
        return further_overlay(o, err);
    int r = is_committed(o) ? 0 : image_commit(o->path, o->base, o->format, err);
    if (r >= 0)
        r = overlay_mark(o->path, NULL, err);
    if (r >= 0 && s->saved == STANDS_ON_TOP)
        r = redefine_saved(d, s->saved_xml, o, err);
    return r < 0 ? r : redefine_off(d, o, err);
}

/* ---- Both -------------------------------------------------------------------------------------------------------------------*/

/* 1: it is left alone. */
static int last_writes(const struct hv_overlay *o, struct err *err)
{
    err_set(err, ESTALE,
            "disk %s was taken off its overlay by someone else: %s contains its last writes, may not have been committed into %s, and was "
            "left alone; to commit it, with the VM off and only if the image has not been used since: qemu-img commit",
            o->target, o->path, o->base);
    return 1;
}

/* In no definition (any more). 0: it is not needed; 1: it is all there is of what the VM wrote last, and is left alone. */
static int end_nowhere(const struct hv_overlay *o, struct err *err)
{
    char mark[MARK_MAX];
    bool data = false;

    if (!io_exists(o->path))
        return 0;
    if (image_is_written(o->path))
        return err_set(err, EBUSY, "%s is in use, although no definition of the VM names it", o->path);
    overlay_marked(o->path, mark);
    struct err why = ERR_INIT;
    int r = *mark ? 0 : image_holds_data(o->path, &data, &why);
    if (r < 0 && !o->half_made)
        return err_move(err, &why);
    return data ? last_writes(o, err) : 0;
}

/* Whoever defines the VM anew will have the image; unless it is another one by now. */
static int end_gone(const struct hv_overlay *o, struct err *err)
{
    _cleanup_close_ int dir = -1;
    _cleanup_free_ char *name = NULL;
    struct io_id now;
    char mark[MARK_MAX];

    if (!io_exists(o->path))
        return 0;
    if (is_committed(o))
        return 0;
    overlay_marked(o->path, mark);
    if (!strcmp(mark, MARK_PIVOT)) /* the VM may have had the image since, or the overlay until it ended */
        return last_writes(o, err);
    int r = io_open_parent(o->base, &dir, &name, err);
    if (r >= 0 && (r = io_id_at(dir, name, &now)) < 0)
        err_errno(err, -r, "cannot access image %s", o->base);
    if (r >= 0 && (!o->base_id || !io_id_same(o->base_id, now.text)))
        r = err_set(err, ESTALE, "the VM no longer exists, and %s is not the image that it had; its last writes are in %s", o->base,
                    o->path);
    if (r >= 0)
        r = image_commit(o->path, o->base, o->format, err);
    return r < 0 ? r : overlay_mark(o->path, NULL, err);
}

/* One that stands still because its overlay could not grow. */
static int go_on(struct hv_domain *d, struct err *err)
{
    if (d->state == HV_OFF || d->state == HV_SAVED)
        return 0;
    int r = hv_domain_refresh_state(d, err);
    return r >= 0 && d->io_error ? hv_resume(d, err) : r;
}

/* Of one that was under another: there is no pivot, and once it has gone from the chain it has been committed. */
static int mark_below(struct hv_domain *d, const struct hv_overlay *o, struct err *err)
{
    _cleanup_free_ char *live = NULL;
    enum stands stands;

    int r = hv_live_xml(d, &live, err);
    if (r >= 0)
        r = look_in(live, o, &stands, err);
    return r < 0 || stands != STANDS_NOWHERE ? r : overlay_mark(o->path, MARK_PIVOTED, err);
}

/* One look, and what follows from it. 1: look again. */
static int end_step(struct hv_domain *d, const struct hv_overlay *o, struct err *err)
{
    _cleanup_(standing_clear) struct standing s = { 0 };

    int r = stand(d, o, &s, err);
    if (r < 0 || (s.live == STANDS_NOWHERE && s.next == STANDS_NOWHERE && s.saved == STANDS_NOWHERE))
        return r < 0 ? r : 0;
    if (!s.active)
        r = end_off(d, o, &s, err);
    else
        r = s.live == STANDS_NOWHERE ? redefine_off(d, o, err) : check_room(o, err);
    if (r >= 0 && s.live != STANDS_NOWHERE)
        r = commit_live(d, o, s.live, err);
    if (r >= 0 && s.live == STANDS_BELOW)
        r = mark_below(d, o, err);
    return r < 0 ? r : 1;
}

/* As it is now: a call of a process that has died may still be under way. */
static int overlay_domain(struct hv *hv, const char *uuid, bool inherited, struct hv_domain **ret, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;

    int r = inherited ? hv_domain_find(hv, uuid, &d, err) : 0;
    if (r >= 0 && inherited)
        r = hv_domain_wait_still(d, err);
    return r < 0 ? r : hv_domain_glance(hv, uuid, ret, err);
}

int hv_overlay_end(struct hv *hv, const char *uuid, const struct hv_overlay *o, struct err *err)
{
    struct err why = ERR_INIT;
    int r = 1;

    for (unsigned i = 0; i < LOOKS_MAX && r > 0; i++) {
        _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
        r = overlay_domain(hv, uuid, o->inherited, &d, &why);
        if (r == -ENOENT)
            return end_gone(o, err);
        if (r >= 0)
            r = end_step(d, o, &why);
        if (r == 0)
            r = go_on(d, &why);
        if (r == 0)
            return end_nowhere(o, err);
    }
    if (r > 0)
        r = err_set(&why, EIO, "QEMU could not write it back into %s; if that happens again, shut the VM down and run: kvss recover",
                    o->base);
    err_move(err, &why);
    return err_context(err, "disk %s of VM %s still writes into %s", o->target, uuid, o->path);
}
