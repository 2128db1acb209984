/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hvtool: VMs, their state and their agents. */
#include "base/buf.h"
#include "base/io.h"
#include "hvtool.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)1 << 20)

static void print_strv(const char *name, char *const *v)
{
    for (; v && *v; v++)
        printf("%s=%s\n", name, *v);
}

static void print_disk(const struct hv_disk *d)
{
    static const char *const devices[] = { "disk", "cdrom", "floppy", "lun" };
    static const char *const sources[] = { "none", "file", "block", "network", "other" };

    printf("disk=%s device=%s source=%s format=%s size=%llu locator=%s%s%s%s\n", d->target, devices[d->device], sources[d->source],
           d->format, (unsigned long long)d->size, d->locator, d->readonly ? " readonly" : "", d->shareable ? " shareable" : "",
           d->transient ? " transient" : "");
    print_strv("backing", d->backing);
}

static const char *or_none(const char *s)
{
    return s ? s : "-";
}

static int info(struct call *c, struct hv_domain *d, struct err *err)
{
    (void)c, (void)err;
    printf("name=%s\nuuid=%s\nstate=%s\ndetail=%s\n", d->name, d->uuid, hv_state_name(d->state), d->state_detail);
    printf("persistent=%d\nautostart=%d\nmemory=%llu\n", d->persistent, d->autostart, (unsigned long long)d->memory_bytes);
    printf("nvram=%s\nloader=%s\nkernel=%s\ntpm=%d\n", or_none(d->nvram), or_none(d->loader), or_none(d->kernel), d->tpm);
    printf("channel=%d\nconnected=%d\n", d->agent_channel, d->agent_connected);
    for (size_t i = 0; i < d->n_disks; i++)
        print_disk(&d->disks[i]);
    for (size_t i = 0; i < d->n_nics; i++)
        printf("nic=%s type=%s source=%s target=%s\n", or_none(d->nics[i].mac), d->nics[i].type, or_none(d->nics[i].source),
               or_none(d->nics[i].target));
    print_strv("passthrough", d->passthrough);
    print_strv("checkpoint", d->checkpoints);
    return 0;
}

static int cmd_info(struct call *c, struct err *err)
{
    return with_domain(c, info, err);
}

static int cmd_list(struct call *c, struct err *err)
{
    struct hv_domain **list;
    size_t n;

    int r = hv_list(c->hv, &list, &n, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++)
        printf("%s %s\n", list[i]->name, hv_state_name(list[i]->state));
    hv_list_free(list, n);
    return 0;
}

static int agent(struct call *c, struct hv_domain *d, struct err *err)
{
    static const char *const names[] = { "ok", "no-channel", "not-connected", "not-responding", "no-freeze", "failed" };
    struct hv_agent_info i;

    int r = hv_agent_probe(d, (unsigned)atoi(argument(c, 1, "10000")), &i, err);
    if (r < 0)
        return r;
    printf("agent=%s\nwhy=%s\nversion=%s\nos=%s\nwindows=%d\n", names[i.status], or_none(i.why), or_none(i.version), or_none(i.os_id),
           i.windows);
    for (size_t f = 0; f < i.n_fs; f++) {
        _cleanup_free_ char *targets = strv_join(i.fs[f].targets, ",");
        printf("fs=%s type=%s device=%s targets=%s unknown_disk=%d freezable=%d\n", i.fs[f].mountpoint, i.fs[f].type,
               or_none(i.fs[f].device), targets, i.fs[f].unknown_disk, hv_fs_freezable(i.fs[f].type, i.windows));
    }
    hv_agent_info_clear(&i);
    return 0;
}

static int cmd_agent(struct call *c, struct err *err)
{
    return with_domain(c, agent, err);
}

static int freeze(struct call *c, struct hv_domain *d, struct err *err)
{
    char **mountpoints = c->argc > 2 ? c->argv + 2 : NULL;
    unsigned n = 0;

    int r = hv_agent_freeze(d, mountpoints, (unsigned)atoi(argument(c, 1, "10000")), &n, err);
    if (r == 0)
        printf("frozen=%u\n", n);
    return r;
}

static int cmd_freeze(struct call *c, struct err *err)
{
    return with_domain(c, freeze, err);
}

static int thaw(struct call *c, struct hv_domain *d, struct err *err)
{
    unsigned n = 0;

    int r = hv_agent_thaw(d, (unsigned)atoi(argument(c, 1, "10000")), &n, err);
    if (r == 0)
        printf("thawed=%u\n", n);
    return r;
}

static int cmd_thaw(struct call *c, struct err *err)
{
    return with_domain(c, thaw, err);
}

static int frozen(struct call *c, struct hv_domain *d, struct err *err)
{
    bool is;

    int r = hv_agent_frozen(d, (unsigned)atoi(argument(c, 1, "10000")), &is, err);
    if (r == 0)
        printf("frozen=%d\n", is);
    return r;
}

static int cmd_frozen(struct call *c, struct err *err)
{
    return with_domain(c, frozen, err);
}

/* Calls that change the state: what it is afterwards is printed. */
static int change(struct call *c, struct hv_domain *d, struct err *err)
{
    const char *what = argument(c, 1, "");
    int r;

    if (strcmp(what, "pause") == 0)
        r = hv_pause(d, err);
    else if (strcmp(what, "resume") == 0)
        r = hv_resume(d, err);
    else if (strcmp(what, "save-running") == 0)
        r = hv_managed_save(d, true, err);
    else if (strcmp(what, "save-paused") == 0)
        r = hv_managed_save(d, false, err);
    else if (strcmp(what, "drop") == 0)
        r = hv_managed_save_drop(d, err);
    else if (strcmp(what, "start") == 0)
        r = hv_start(d, false, err);
    else if (strcmp(what, "start-paused") == 0)
        r = hv_start(d, true, err);
    else
        r = hv_destroy(d, err);
    if (r == 0)
        printf("state=%s\n", hv_state_name(d->state));
    return r;
}

static int cmd_change(struct call *c, struct err *err)
{
    return with_domain(c, change, err);
}

static int undefine(struct call *c, struct hv_domain *d, struct err *err)
{
    return hv_undefine(d, c->argc > 1, err);
}

static int cmd_undefine(struct call *c, struct err *err)
{
    return with_domain(c, undefine, err);
}

static int read_text(const char *path, char **ret, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    int r = io_read_file(path, FILE_MAX, &b, err);
    if (r == 0)
        *ret = buf_take_str(&b);
    return r;
}

static int cmd_define(struct call *c, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    _cleanup_free_ char *xml = NULL;

    int r = read_text(c->argv[0], &xml, err);
    if (r == 0)
        r = hv_define(c->hv, xml, &d, err);
    return r < 0 ? r : info(c, d, err);
}

static int cmd_start_from(struct call *c, struct err *err)
{
    return hv_start_from(c->hv, c->argv[0], NULL, c->argc > 1, err);
}

static int save_path(struct call *c, struct hv_domain *d, struct err *err)
{
    _cleanup_free_ char *path = NULL, *xml = NULL;

    int r = hv_managed_save_path(d, &path, err);
    if (r == 0)
        printf("path=%s\n", path);
    if (r == 0 && io_exists(path))
        r = hv_save_image_xml(c->hv, path, &xml, err);
    if (xml)
        printf("saved-xml=%zu\n", strlen(xml));
    return r;
}

static int cmd_save_path(struct call *c, struct err *err)
{
    return with_domain(c, save_path, err);
}

static int save_bytes(struct call *c, struct hv_domain *d, struct err *err)
{
    (void)c;
    (void)err;
    printf("%llu\n", (unsigned long long)hv_save_bytes(d));
    return 0;
}

static int cmd_save_bytes(struct call *c, struct err *err)
{
    return with_domain(c, save_bytes, err);
}

static int autostart(struct call *c, struct hv_domain *d, struct err *err)
{
    return hv_set_autostart(d, strcmp(argument(c, 1, "on"), "on") == 0, err);
}

static int cmd_autostart(struct call *c, struct err *err)
{
    return with_domain(c, autostart, err);
}

static int busy(struct call *c, struct hv_domain *d, struct err *err)
{
    _cleanup_free_ char *what = NULL;
    bool is;

    (void)c;
    int r = hv_domain_busy(d, &is, &what, err);
    if (r == 0)
        printf("busy=%d\nwhat=%s\n", is, or_none(what));
    return r;
}

static int cmd_busy(struct call *c, struct err *err)
{
    return with_domain(c, busy, err);
}

#define COPIES_MAX 64

/* So many objects of one VM, each worked on: they share the connections. */
static int cmd_pool(struct call *c, struct err *err)
{
    struct hv_domain *copies[COPIES_MAX] = { NULL };
    int n = atoi(c->argv[1]), r = 0;

    for (int i = 0; i < n && i < COPIES_MAX && r == 0; i++) {
        struct hv_agent_info info = { 0 };
        r = hv_domain_get(c->hv, c->argv[0], &copies[i], err);
        if (r == 0)
            r = hv_agent_probe(copies[i], 5000, &info, err);
        if (r == 0 && info.status != HV_AGENT_OK)
            r = err_set(err, EIO, "copy %d: %s", i, info.why);
        hv_agent_info_clear(&info);
    }
    if (r == 0 && argument(c, 2, NULL))
        r = system(c->argv[2]) == 0 ? 0 : err_set(err, EIO, "%s failed", c->argv[2]); /* a test's own words */
    for (int i = 0; i < COPIES_MAX; i++)
        hv_domain_free(copies[i]);
    return r;
}

const struct command hvtool_domain_commands[] = {
    { "list", "", 0, false, cmd_list },
    { "info", "VM", 1, false, cmd_info },
    { "agent", "VM [MS]", 1, false, cmd_agent },
    { "freeze", "VM [MS [MOUNTPOINT...]]", 1, false, cmd_freeze },
    { "thaw", "VM [MS]", 1, false, cmd_thaw },
    { "frozen", "VM [MS]", 1, false, cmd_frozen },
    { "change", "VM pause|resume|save-running|save-paused|drop|start|start-paused|destroy", 2, false, cmd_change },
    { "undefine", "VM [keep]", 1, false, cmd_undefine },
    { "define", "FILE", 1, false, cmd_define },
    { "start-from", "SAVE-IMAGE [paused]", 1, false, cmd_start_from },
    { "save-path", "VM", 1, false, cmd_save_path },
    { "save-bytes", "VM", 1, false, cmd_save_bytes },
    { "autostart", "VM on|off", 2, false, cmd_autostart },
    { "busy", "VM", 1, false, cmd_busy },
    { "pool", "VM COUNT [COMMAND]", 2, false, cmd_pool },
    { NULL, NULL, 0, false, NULL },
};
