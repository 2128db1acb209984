/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requester/backup/chain.h"
#include "base/buf.h"
#include "requester/repository/repository.h"
#include "requester/point/stored_point.h"
#include <errno.h>
#include <string.h>

#define PREFIX_DIGITS 8

void chain_prefix(const struct store *store, char ret[static CHAIN_PREFIX_MAX])
{
    snprintf(ret, CHAIN_PREFIX_MAX, "kvss-%.*s", PREFIX_DIGITS, store_guid(store));
}

static void chain_vm_clear(struct chain_vm *vm)
{
    free(vm->uuid);
    free(vm->why);
    free(vm->point);
    free(vm->checkpoint);
    vm_record_clear(&vm->record);
    free(vm->last);
    free(vm->full);
}

void chain_clear(struct chain *c)
{
    for (size_t i = 0; i < c->n; i++)
        chain_vm_clear(&c->vms[i]);
    free(c->vms);
    *c = (struct chain){ 0 };
}

const struct chain_vm *chain_of(const struct chain *c, const char *uuid)
{
    for (size_t i = 0; i < c->n; i++)
        if (!strcmp(c->vms[i].uuid, uuid))
            return &c->vms[i];
    return NULL;
}

/* ---- The restore points of a VM -------------------------------------------------------------------------------------------*/

/* What one restore point says of the VM; borrowed from `search`. */
struct link {
    const char *point, *checkpoint, *type;
    bool copied; /* from another repository */
};

struct links {
    struct link *list;
    size_t n;
    char *const *on_vm; /* checkpoints that the VM has */
};

struct search {
    struct requester *rq;
    struct hv *hv;
    const char *asked;
    char prefix[CHAIN_PREFIX_MAX];
    struct store_point_info *points;
    json_t **metas; /* of each point; NULL: not made by a backup */
    size_t n_points;
    struct chain *chain;
};

static void search_clear(struct search *s)
{
    for (size_t i = 0; s->metas && i < s->n_points; i++)
        json_decref(s->metas[i]);
    free(s->metas);
    store_list_free(s->points, s->n_points);
}

static int search_load(struct search *s, struct err *err)
{
    int r = store_list(s->rq->store, &s->points, &s->n_points, NULL, err);
    if (r < 0)
        return r;
    s->metas = calloc(s->n_points + 1, sizeof(*s->metas));
    if (!s->metas)
        return err_nomem(err);
    for (size_t i = 0; i < s->n_points; i++)
        (void)point_meta(s->points[i].meta, &s->metas[i], NULL);
    return 0;
}

/* The points that hold the VM, newest first. Points older than the types of single VMs have one type for all. */
static int links_of(const struct search *s, const char *uuid, struct link **ret, size_t *ret_n, struct err *err)
{
    struct link *links = calloc(s->n_points + 1, sizeof(*links));
    size_t n = 0;

    if (!links)
        return err_nomem(err);
    for (size_t i = s->n_points; i-- > 0;) {
        const json_t *vm = s->metas[i] ? point_find_vm(s->metas[i], uuid) : NULL;
        const struct vm_record_listed l = vm_record_listed(vm);
        if (!l.uuid || strcmp(l.uuid, uuid))
            continue;
        links[n++] = (struct link){ s->points[i].id, l.checkpoint, l.type ? l.type : "full", s->points[i].origin[0] != 0 };
    }
    *ret = links;
    *ret_n = n;
    return 0;
}

/* Whether it left a checkpoint; one of another repository, from which the restore point was copied, is not ours. */
static bool left_checkpoint(const struct search *s, const struct link *l)
{
    size_t len = strlen(s->prefix);

    return l->checkpoint && !strncmp(l->checkpoint, s->prefix, len) && l->checkpoint[len] == '-';
}

/* Whoever can write to the repository can make a restore point that names a checkpoint of this VM, with other data in it. So only the one
 * that this host made with that checkpoint is believed. Where nobody knows, one that has no rival. */
enum owned { OWNED, OWNED_BY_OTHER, OWNED_UNKNOWN };

static enum owned owns(const struct search *s, const char *uuid, const struct link *links, size_t n, const struct link *l)
{
    int r = known_owns(s->rq, l->point, uuid, l->checkpoint);

    if (r >= 0 || !known_nothing(s->rq))
        return r > 0 ? OWNED : r == 0 ? OWNED_BY_OTHER : OWNED_UNKNOWN;
    for (size_t i = 0; i < n; i++)
        if (&links[i] != l && !links[i].copied && links[i].checkpoint && !strcmp(links[i].checkpoint, l->checkpoint))
            return OWNED_BY_OTHER;
    return OWNED;
}

/* The newest that left a checkpoint which the VM still has, and is so owned; of full ones only, if asked. A copy that was brought back from
 * another repository names one that belongs to its original. */
static const struct link *chain_newest(const struct search *s, const char *uuid, const struct links *of, enum owned owned, bool full)
{
    for (size_t i = 0; i < of->n; i++) {
        const struct link *l = &of->list[i];
        if (left_checkpoint(s, l) && !l->copied && strv_has(of->on_vm, l->checkpoint) && (!full || !strcmp(l->type, "full")) &&
            owns(s, uuid, of->list, of->n, l) == owned)
            return l;
    }
    return NULL;
}

static bool has_type(const struct link *links, size_t n, const char *type)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(links[i].type, type))
            return true;
    return false;
}

/* ---- What a VM gets -------------------------------------------------------------------------------------------------------*/

static int stand_on(struct search *s, struct chain_vm *vm, const struct link *l, enum vss_backup_type type, struct err *err)
{
    _cleanup_(store_point_close_p) struct store_point *p = NULL;

    int r = store_point_open(s->rq->store, l->point, &p, err);
    if (r >= 0)
        r = point_read_vm(p, vm->uuid, &vm->record, err);
    if (r < 0)
        return r;
    vm->point = strdup(l->point);
    vm->checkpoint = strdup(l->checkpoint);
    vm->type = type;
    return vm->point && vm->checkpoint ? 0 : err_nomem(err);
}

/* Nothing to stand on: why. */
static char *why_full(const struct link *links, size_t n, const struct link *unknown)
{
    if (n == 0)
        return strdup("the repository has no earlier restore point of the VM");
    if (unknown)
        return str_format("restore point %.12s, which uses checkpoint %s of the VM, was created by another host", unknown->point,
                          unknown->checkpoint);
    for (size_t i = 0; i < n; i++)
        if (links[i].checkpoint)
            return str_format("the VM no longer has a checkpoint of an earlier restore point (the last one was %s)", links[i].checkpoint);
    return strdup("no earlier restore point left a checkpoint on the VM");
}

static int chain_choose(struct search *s, struct chain_vm *vm, const struct link *last, const struct link *full, struct err *err)
{
    bool differential = !strcmp(s->asked, "differential");
    struct err why = ERR_INIT;
    int r = 0;

    if (differential && full)
        r = stand_on(s, vm, full, VSS_BT_DIFFERENTIAL, &why);
    else if (last)
        r = stand_on(s, vm, last, VSS_BT_INCREMENTAL, &why);
    if (r == -ENOENT || r == -EUCLEAN) { /* the increment is lost, not the backup */
        free(vm->why);
        vm->why = str_format("the earlier restore point cannot be read: %s", why.text);
        return vm->why ? 0 : err_nomem(err);
    }
    if (r >= 0 && differential && !full && last &&
        !(vm->why = strdup("the VM no longer has the checkpoint of its newest full restore point; reading the changes since its newest "
                           "restore point instead")))
        return err_nomem(err);
    return r < 0 ? err_move(err, &why) : 0;
}

/* libvirt forgets checkpoints when a VM is undefined; the images keep the bitmaps. Not a failure where that does not help. */
static void revive(struct search *s, struct hv_domain *d, const struct link *links, size_t n)
{
    _cleanup_(store_point_close_p) struct store_point *p = NULL;
    _cleanup_vm_record_ struct vm_record record = { 0 };
    _cleanup_strv_ char **targets = NULL;
    struct err why = ERR_INIT;
    size_t i = 0;

    while (i < n && (!left_checkpoint(s, &links[i]) || links[i].copied || owns(s, d->uuid, links, n, &links[i]) != OWNED))
        i++;
    if (i == n || strv_has(d->checkpoints, links[i].checkpoint) || (d->state != HV_RUNNING && d->state != HV_PAUSED))
        return;
    if (store_point_open(s->rq->store, links[i].point, &p, &why) < 0 || point_read_vm(p, d->uuid, &record, &why) < 0)
        return;
    for (size_t k = 0; k < record.n_disks; k++) {
        const struct vm_record_disk *was = &record.disks[k];
        if (was->stored_as && was->format && was->target && !strcmp(was->format, "qcow2") && !was->readonly &&
            strv_add(&targets, was->target) < 0)
            return;
    }
    if (!targets) /* no image keeps bitmaps: libvirt would make a checkpoint of nothing */
        return;
    _cleanup_(hv_domain_free_p) struct hv_domain *whole = NULL; /* with its disks */
    if (hv_domain_glance(s->hv, d->uuid, &whole, &why) >= 0 &&
        hv_checkpoint_revive(whole, links[i].checkpoint, store_point_time(p) / 1000000, targets, &why) >= 0)
        (void)strv_add(&d->checkpoints, links[i].checkpoint);
}

/* Whether libvirt does not know the newest checkpoint that it would know if the VM had images with bitmaps. */
static bool lacks_newest(const struct search *s, const struct hv_domain *d, const struct link *links, size_t n)
{
    size_t i = 0;

    while (i < n && (!left_checkpoint(s, &links[i]) || links[i].copied))
        i++;
    return i < n && !strv_has(d->checkpoints, links[i].checkpoint);
}

/* Checkpoints that the VM has: those that libvirt knows, and those of which only copies of its images are kept. */
static int checkpoints_on(struct search *s, const struct hv_domain *d, bool kept, char ***ret, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *whole = NULL;
    struct err why = ERR_INIT;
    int r = 0;

    for (char **c = d->checkpoints; c && *c; c++)
        if (strv_add(ret, *c) < 0)
            return err_nomem(err);
    if (kept && hv_is_local(s->hv))
        r = hv_domain_glance(s->hv, d->uuid, &whole, &why);
    if (whole)
        r = hv_kept_copies(whole, s->prefix, ret, &why);
    if (r < 0 && r != -ENOMEM)
        log_debug(s->rq->config.log, "VM %s: cannot look for kept copies of its disks: %s", d->name, why.text);
    return r == -ENOMEM ? err_move(err, &why) : 0;
}

/* Somebody wants backups to be built on something else: nothing is built on anything. */
static int distrust(struct search *s, struct chain_vm *vm, const struct link *rival, struct err *err)
{
    vm->why = str_format("restore point %.12s uses checkpoint %s of the VM, which belongs to another restore point: it may be forged; find "
                         "out who created it, and remove it with kvss forget %.12s",
                         rival->point, rival->checkpoint, rival->point);
    if (!vm->why)
        return err_nomem(err);
    log_warning(s->rq->config.log, "%s", vm->why);
    return 0;
}

static int chain_find_vm(struct search *s, struct chain_vm *vm, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    _cleanup_free_ struct link *links = NULL;
    _cleanup_strv_ char **on_vm = NULL;
    size_t n = 0;

    int r = links_of(s, vm->uuid, &links, &n, err);
    if (r < 0)
        return r;
    if (n > 0 && ((r = hv_domain_find(s->hv, vm->uuid, &d, err)) < 0 || (r = hv_domain_read_checkpoints(d, err)) < 0))
        return r;
    if (d)
        revive(s, d, links, n);
    if (d && (r = checkpoints_on(s, d, lacks_newest(s, d, links, n), &on_vm, err)) < 0)
        return r;
    const struct links of = { links, n, on_vm };
    const struct link *last = chain_newest(s, vm->uuid, &of, OWNED, false), *full = chain_newest(s, vm->uuid, &of, OWNED, true);
    const struct link *rival = chain_newest(s, vm->uuid, &of, OWNED_BY_OTHER, false);
    bool fresh = !strcmp(s->asked, "full"), differentials = !strcmp(s->asked, "differential") || has_type(links, n, "differential");

    if (!fresh && rival)
        r = distrust(s, vm, rival, err);
    else if (!fresh)
        r = chain_choose(s, vm, last, full, err);
    if (r >= 0 && !fresh && !vm->point && !vm->why && !(vm->why = why_full(links, n, chain_newest(s, vm->uuid, &of, OWNED_UNKNOWN, false))))
        r = err_nomem(err);
    if (r < 0)
        return r;
    vm->last = last ? strdup(last->checkpoint) : NULL;
    vm->full = full && differentials ? strdup(full->checkpoint) : NULL;
    return (vm->last || !last) && (vm->full || !full || !differentials) ? 0 : err_nomem(err);
}

static int find_one(void *ctx, size_t i, struct err *err)
{
    struct search *s = ctx;

    return chain_find_vm(s, &s->chain->vms[i], err);
}

int chain_find(struct requester *rq, struct hv *hv, const char *asked, char *const *uuids, struct chain *ret, struct err *err)
{
    bool copy = !strcmp(asked, "copy");
    size_t n = strv_len(uuids);
    _cleanup_(chain_clear) struct chain c = { .vms = calloc(n + 1, sizeof(*c.vms)) };
    _cleanup_(search_clear) struct search s = { .rq = rq, .hv = hv, .asked = asked, .chain = &c };

    if (!c.vms)
        return err_nomem(err);
    for (; c.n < n; c.n++) {
        c.vms[c.n] = (struct chain_vm){ .uuid = strdup(uuids[c.n]), .type = copy ? VSS_BT_COPY : VSS_BT_FULL };
        if (!c.vms[c.n].uuid)
            return err_nomem(err);
    }
    chain_prefix(rq->store, s.prefix);
    int r = copy ? 0 : search_load(&s, err);
    if (r >= 0 && !copy)
        r = par_each(n, 8, find_one, &s, err);
    if (r < 0)
        return r;
    *ret = c;
    c = (struct chain){ 0 };
    return 0;
}

int chain_type(const struct chain *c, const char *asked, enum vss_backup_type *ret, struct err *err)
{
    static const struct {
        const char *name;
        enum vss_backup_type type;
    } types[] = {
        { "auto", VSS_BT_FULL }, { "full", VSS_BT_FULL }, { "incremental", VSS_BT_INCREMENTAL }, { "differential", VSS_BT_DIFFERENTIAL },
        { "copy", VSS_BT_COPY },
    };
    size_t i = 0;

    while (i < ARRAY_SIZE(types) && strcmp(types[i].name, asked))
        i++;
    if (i == ARRAY_SIZE(types))
        return err_set(err, EINVAL, "unknown backup type '%s': use auto, full, incremental, differential or copy", asked);
    *ret = types[i].type;
    for (size_t k = 0; i == 0 && k < c->n; k++)
        if (c->vms[k].point)
            *ret = VSS_BT_INCREMENTAL;
    return 0;
}

/* ---- Afterwards -----------------------------------------------------------------------------------------------------------*/

void chain_drop_old(struct session *s, const struct chain_vm *vm, enum vss_backup_type type, const char *made)
{
    bool begins_anew = made && type == VSS_BT_FULL;
    const char *keep[] = { made ? made : vm->last, begins_anew ? NULL : vm->full, NULL };
    struct err err = ERR_INIT;

    if (!keep[0])
        keep[0] = keep[1], keep[1] = NULL;
    if (vm_writer_drop_checkpoints(s->vm_writer, vm->uuid, (char *const *)(uintptr_t)keep, &err) < 0)
        log_warning(s->rq->config.log, "cannot delete an old checkpoint: %s", err.text);
}
