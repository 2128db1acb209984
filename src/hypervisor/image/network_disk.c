/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images on the network that no QEMU has open: whether they can be read, as QEMU's own tools see it. */
#include "base/proc.h"
#include "hypervisor/image/image.h"
#include "hypervisor/host/host.h"
#include "hypervisor/image/tool.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ASK_AT_ONCE 32
#define BESIDE_ANSWER_MS 5000u /* no answer says little where a server may let nobody in beside the VM's QEMU */
#define INFO_MAX ((size_t)1 << 20)
#define NO_DRIVER "QEMU's tools have no driver for it on this host (Debian: qemu-block-extra)"

char *network_disk_name(const struct hv_disk *disk)
{
    return str_format("json:%s", disk->node);
}

const char *network_disk_why(char *said)
{
    const char *mark = "}': ";
    char *why = said;

    for (char *at = said; (at = strstr(at, mark)); at += strlen(mark))
        why = at + strlen(mark);
    if (strncmp(why, "Unknown driver", strlen("Unknown driver")) == 0)
        return NO_DRIVER;
    why[strcspn(why, "\n")] = '\0';
    return why[0] ? why : "no reason given";
}

static int known_failure(struct hv *hv, const char *node, unsigned limit_ms, struct err *err)
{
    SCOPED_LOCK(&hv->lock);
    for (const struct network_failure *f = hv->network_failures; f; f = f->next)
        if (strcmp(f->node, node) == 0 && (f->code != ETIMEDOUT || f->limit_ms >= limit_ms))
            return err_set(err, f->code, "%s", f->text);
    return 0;
}

/* Where there is no memory for it, it is asked for again. */
static void remember_failure(struct hv *hv, const char *node, unsigned limit_ms, const struct err *why)
{
    struct network_failure *f = calloc(1, sizeof(*f));

    if (!f || !(f->node = strdup(node)) || !(f->text = strdup(why->text))) {
        free(f ? f->node : NULL);
        free(f);
        return;
    }
    f->code = why->code;
    f->limit_ms = limit_ms;
    SCOPED_LOCK(&hv->lock);
    f->next = hv->network_failures;
    hv->network_failures = f;
}

static int disk_ask(struct hv *hv, const struct hv_disk *disk, unsigned limit_ms, struct hv_image_info *ret, struct err *err)
{
    _cleanup_free_ char *name = network_disk_name(disk);
    _cleanup_buf_ struct buf out = BUF_INIT, said = BUF_INIT;
    _cleanup_(tool_reach_clear) struct tool_reach reach = { 0 };
    struct confine confine;
    const struct proc_run run = { .argv = PROC_ARGV("qemu-img", "info", "--output=json", name),
                                  .out_max = INFO_MAX,
                                  .timeout_ms = limit_ms,
                                  .cancel = hv->cancel,
                                  .die_with_us = true,
                                  .confine = &confine };
    int status = 0;

    if (!name || tool_confine_network(disk->node, &reach, &confine) < 0)
        return err_nomem(err);
    int r = proc_run(&run, &out, &said, &status, err);
    if (r == -ETIMEDOUT)
        return err_set(err, ETIMEDOUT, "the server does not respond (%u s)", limit_ms / 1000);
    if (r < 0)
        return r;
    if (status != 0) {
        const char *why = network_disk_why((char *)said.data);
        return err_set(err, strcmp(why, NO_DRIVER) == 0 ? EOPNOTSUPP : EIO, "%s", why);
    }
    return image_json_parse(out.data ? (char *)out.data : "", out.len, ret, err);
}

static int size_of(struct hv *hv, const struct hv_disk *disk, unsigned limit_ms, uint64_t *ret, struct err *err)
{
    struct hv_image_info info = { 0 };
    struct err why = ERR_INIT;

    if (!disk->node)
        return err_set(err, EOPNOTSUPP, "%s", disk->no_node ? disk->no_node : "it is not on a network");
    int r = known_failure(hv, disk->node, limit_ms, err);
    if (r < 0)
        return r;
    r = disk_ask(hv, disk, limit_ms, &info, &why);
    if (r == 0)
        *ret = info.size;
    else if (r != -EINTR && r != -ENOMEM)
        remember_failure(hv, disk->node, limit_ms, &why);
    hv_image_info_clear(&info);
    return r < 0 ? err_move(err, &why) : 0;
}

struct disk_questions {
    struct hv_domain *d;
    const bool *which;
    unsigned limit_ms;
    struct hv_network_answer *answers;
};

static int ask_one(void *ctx, size_t i, struct err *err)
{
    struct disk_questions *q = ctx;
    struct hv_network_answer *a = &q->answers[i];

    if (!q->which[i])
        return 0;
    int r = size_of(q->d->hv, &q->d->disks[i], q->limit_ms, &a->size, &a->why);
    return r == -EINTR || r == -ENOMEM ? err_move(err, &a->why) : 0;
}

int hv_network_disks_ask(struct hv_domain *d, const bool *which, unsigned limit_ms, struct hv_network_answer **ret, struct err *err)
{
    struct disk_questions q = { .d = d, .which = which, .limit_ms = limit_ms, .answers = calloc(d->n_disks + 1, sizeof(*q.answers)) };

    if (!q.answers)
        return err_nomem(err);
    int r = par_each(d->n_disks, ASK_AT_ONCE, ask_one, &q, err);
    if (r < 0) {
        free(q.answers);
        return r;
    }
    *ret = q.answers;
    return 0;
}

/* ---- What a VM that runs has open there, and is to find again ----------------------------------------------------------------*/

/* One that lets no second client in may be there all the same, so only what says surely that it is not counts. */
static bool disk_is_gone(const struct err *why)
{
    static const char *const sure[] = { "Connection refused", "No such file or directory",
                                        "No route to host",   "Network is unreachable",
                                        "not available",      "not present",
                                        "not known" };

    for (size_t i = 0; why->code == EIO && i < ARRAY_SIZE(sure); i++)
        if (strstr(why->text, sure[i]))
            return true;
    return false;
}

static int disk_add_lost(const struct hv_domain *d, const struct hv_disk *disk, const struct err *why, char ***lacks, char ***unsure)
{
    bool drive = disk->device == HV_DEVICE_CDROM || disk->device == HV_DEVICE_FLOPPY;

    if (!disk_is_gone(why))
        return strv_addf(unsure, "it may not be possible to start the VM again: its %s %s (%s) was accessed as a test: %s",
                         drive ? "drive" : "disk", disk->target, disk->locator, why->text);
    if (!drive)
        return strv_addf(lacks, "%s, the image of disk %s, from its server: %s", disk->locator, disk->target, why->text);
    return strv_addf(lacks, "%s, the medium in drive %s, from its server: %s (virsh change-media %s %s --eject)", disk->locator,
                     disk->target, why->text, d->name, disk->target);
}

int network_disks_lost(struct hv_domain *d, char ***lacks, char ***unsure, struct err *err)
{
    _cleanup_free_ bool *which = calloc(d->n_disks + 1, sizeof(*which));
    _cleanup_free_ struct hv_network_answer *answers = NULL;

    if (!which)
        return err_nomem(err);
    for (size_t i = 0; i < d->n_disks; i++)
        which[i] = d->disks[i].source == HV_SOURCE_NETWORK && d->disks[i].node && !d->disks[i].unreadable;
    int r = hv_network_disks_ask(d, which, BESIDE_ANSWER_MS, &answers, err);
    for (size_t i = 0; r == 0 && i < d->n_disks; i++)
        if (answers[i].why.code && answers[i].why.code != EOPNOTSUPP && disk_add_lost(d, &d->disks[i], &answers[i].why, lacks, unsure) < 0)
            r = err_nomem(err);
    return r;
}
