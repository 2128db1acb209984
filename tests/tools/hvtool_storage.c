/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hvtool: points in time, checkpoints, images, the connection, networks. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "hvtool.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DISKS_MAX 16

struct job {
    struct hv_backup backup;
    struct hv_backup_disk disks[DISKS_MAX];
};

/* All disks that have an image; those of qcow2 take part in the checkpoint. DIR [CHECKPOINT [SINCE]] are arguments 1 to 3. */
static void describe(struct call *c, const struct hv_domain *d, struct job *job)
{
    job->backup = (struct hv_backup){ .socket = str_format("%s/socket", c->argv[1]), .disks = job->disks };
    job->backup.checkpoint = argument(c, 2, "-")[0] == '-' ? NULL : c->argv[2];
    for (size_t i = 0; i < d->n_disks && job->backup.n_disks < DISKS_MAX; i++) {
        const struct hv_disk *disk = &d->disks[i];
        if (disk->source == HV_SOURCE_NONE || disk->readonly || disk->device != HV_DEVICE_DISK)
            continue;
        bool qcow2 = strcmp(disk->format, "qcow2") == 0;
        job->disks[job->backup.n_disks++] = (struct hv_backup_disk){
            .target = disk->target,
            .scratch = str_format("%s/%s.scratch", c->argv[1], disk->target),
            .since = qcow2 ? argument(c, 3, NULL) : NULL,
            .checkpoint = qcow2 && job->backup.checkpoint,
        };
    }
}

static void clear(struct job *job)
{
    free((char *)(uintptr_t)job->backup.socket);
    for (size_t i = 0; i < job->backup.n_disks; i++)
        free((char *)(uintptr_t)job->disks[i].scratch);
}

static int begin(struct call *c, struct hv_domain *d, struct err *err)
{
    struct job job = { 0 };
    struct hv_backup_request *request = NULL;
    uint64_t t0 = clock_mono_us();

    describe(c, d, &job);
    int r = hv_backup_prepare(d, &job.backup, &request, err);
    uint64_t t1 = clock_mono_us();
    if (r == 0)
        r = hv_backup_begin(d, &request, err);
    uint64_t t2 = clock_mono_us();
    if (r == 0)
        printf("prepare_us=%llu\nbegin_us=%llu\n", (unsigned long long)(t1 - t0), (unsigned long long)(t2 - t1));
    for (size_t i = 0; r == 0 && i < job.backup.n_disks; i++) {
        _cleanup_free_ char *uri = hv_nbd_uri(job.backup.socket, job.disks[i].target);
        _cleanup_free_ char *context = hv_dirty_context(job.disks[i].target);
        printf("export=%s context=%s\n", uri, context);
    }
    hv_backup_request_free(request);
    clear(&job);
    return r;
}

static int cmd_begin(struct call *c, struct err *err)
{
    return with_domain(c, begin, err);
}

static int end(struct call *c, struct hv_domain *d, struct err *err)
{
    (void)c;
    return hv_backup_end(d, err);
}

static int cmd_end(struct call *c, struct err *err)
{
    return with_domain(c, end, err);
}

/* The frozen time: from the reply to freeze to the reply to thaw, the point taken in between. */
static int point(struct call *c, struct hv_domain *d, struct err *err)
{
    struct job job = { 0 };
    struct hv_backup_request *request = NULL;
    struct err why = ERR_INIT;

    describe(c, d, &job);
    int r = hv_backup_prepare(d, &job.backup, &request, err);
    uint64_t t0 = clock_mono_us();
    if (r == 0)
        r = hv_agent_freeze(d, NULL, 10000, NULL, err);
    uint64_t t1 = clock_mono_us();
    if (r == 0) {
        r = hv_backup_begin(d, &request, err);
        uint64_t t2 = clock_mono_us();
        int t = hv_agent_thaw(d, 10000, NULL, &why);
        uint64_t t3 = clock_mono_us();
        printf("freeze_us=%llu\nbegin_us=%llu\nthaw_us=%llu\nfrozen_us=%llu\n", (unsigned long long)(t1 - t0),
               (unsigned long long)(t2 - t1), (unsigned long long)(t3 - t2), (unsigned long long)(t3 - t1));
        if (r == 0 && t < 0)
            r = err_move(err, &why);
    }
    hv_backup_request_free(request);
    clear(&job);
    return r;
}

static int cmd_point(struct call *c, struct err *err)
{
    return with_domain(c, point, err);
}

static int checkpoint_delete(struct call *c, struct hv_domain *d, struct err *err)
{
    return hv_checkpoint_delete(d, c->argv[1], c->argc > 2, err);
}

static int cmd_checkpoint_delete(struct call *c, struct err *err)
{
    return with_domain(c, checkpoint_delete, err);
}

static int checkpoint_xml(struct call *c, struct hv_domain *d, struct err *err)
{
    _cleanup_free_ char *xml = NULL;

    int r = hv_checkpoint_xml(d, c->argv[1], &xml, err);
    if (r == 0)
        printf("%s", xml);
    return r;
}

static int cmd_checkpoint_xml(struct call *c, struct err *err)
{
    return with_domain(c, checkpoint_xml, err);
}

static int checkpoint_redefine(struct call *c, struct hv_domain *d, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    int r = io_read_file(c->argv[1], 1 << 20, &b, err);
    return r < 0 ? r : hv_checkpoint_redefine(d, (char *)b.data, true, err);
}

static int cmd_checkpoint_redefine(struct call *c, struct err *err)
{
    return with_domain(c, checkpoint_redefine, err);
}

static int cmd_image_info(struct call *c, struct err *err)
{
    struct hv_image_info i;

    int r = hv_image_info(NULL, c->argv[0], argument(c, 1, NULL), c->argc > 2, &i, err);
    if (r < 0)
        return r;
    printf("format=%s\nsize=%llu\ncluster=%llu\nbacking=%s\nbacking_format=%s\ncompat=%s\npreallocation=%s\n", i.format,
           (unsigned long long)i.size, (unsigned long long)i.cluster_size, i.backing ? i.backing : "-",
           i.backing_format ? i.backing_format : "-", i.compat ? i.compat : "-", i.preallocation ? i.preallocation : "-");
    printf("lazy=%d extended_l2=%d encrypted=%d\n", i.lazy_refcounts, i.extended_l2, i.encrypted);
    hv_image_info_clear(&i);
    return 0;
}

/* Serves the image while the command given runs, which finds the URI in $uri. */
static int cmd_export(struct call *c, struct err *err)
{
    enum hv_export_mode mode = strcmp(c->argv[2], "read") == 0     ? HV_EXPORT_READ
                               : strcmp(c->argv[2], "shared") == 0 ? HV_EXPORT_READ_SHARED
                                                                   : HV_EXPORT_WRITE;
    struct hv_export *e;

    int r = hv_export_start(NULL, c->argv[0], c->argv[1], mode, &e, err);
    if (r < 0)
        return r;
    printf("uri=%s\n", hv_export_uri(e));
    setenv("uri", hv_export_uri(e), 1);
    int status = c->argc > 3 ? system(c->argv[3]) : 0; /* a test's own words */
    r = hv_export_stop(e, err);
    return r < 0 || status == 0 ? r : err_set(err, EIO, "the command ended with %d", status);
}

static int cmd_peek(struct call *c, struct err *err)
{
    size_t n = (size_t)atoi(c->argv[3]);
    _cleanup_free_ char *p = calloc(1, n + 1);

    int r = hv_image_peek(NULL, c->argv[0], c->argv[1], strtoull(c->argv[2], NULL, 10), p, n, err);
    if (r == 0)
        fwrite(p, 1, n, stdout);
    return r;
}

static int cmd_connection(struct call *c, struct err *err)
{
    _cleanup_free_ char *images = NULL;
    uid_t uid;
    gid_t gid;

    hv_qemu_ids(c->hv, &uid, &gid);
    const char *save = hv_save_dir(c->hv);
    printf("uri=%s\nlocal=%d\nsave_dir=%s\nuid=%u\ngid=%u\n", hv_uri(c->hv), hv_is_local(c->hv), save ? save : "-", uid, gid);
    int r = hv_default_image_dir(c->hv, &images, err);
    if (r == 0)
        printf("images=%s\n", images);
    return r;
}

/* Makes a shared folder and leaves it. */
static int cmd_shared_dir(struct call *c, struct err *err)
{
    _cleanup_free_ char *dir = NULL;

    int r = hv_session_dir_name("job", &dir, err);
    if (r == 0)
        r = hv_shared_dir_make(c->hv, dir, err);
    if (r == 0)
        printf("%s\n", dir);
    return r;
}

static int cmd_switch(struct call *c, struct err *err)
{
    static const char *const names[] = { "active", "inactive", "absent" };
    struct hv_nic nic = { .type = c->argv[0], .source = c->argv[1], .virtualport = c->argc > 2 ? c->argv[2] : NULL };
    enum hv_switch s;

    int r = hv_switch_state(c->hv, &nic, &s, err);
    if (r == 0)
        printf("%s\n", names[s]);
    return r;
}

static int cmd_network_start(struct call *c, struct err *err)
{
    return hv_network_start(c->hv, c->argv[0], err);
}

/* Tells of one that is left alone. */
static int cmd_volume_delete(struct call *c, struct err *err)
{
    struct err why = ERR_INIT;

    int r = hv_volume_delete(c->hv, c->argv[0], c->argv[1], argument(c, 2, NULL), &why);
    if (r > 0)
        printf("%s\n", why.text);
    return r < 0 ? err_move(err, &why) : 0;
}

const struct command hvtool_storage_commands[] = {
    { "begin", "VM DIR [CHECKPOINT|- [SINCE]]", 2, false, cmd_begin },
    { "end", "VM", 1, false, cmd_end },
    { "point", "VM DIR [CHECKPOINT|- [SINCE]]", 2, false, cmd_point },
    { "checkpoint-delete", "VM NAME [metadata]", 2, false, cmd_checkpoint_delete },
    { "checkpoint-xml", "VM NAME", 2, false, cmd_checkpoint_xml },
    { "checkpoint-redefine", "VM FILE", 2, false, cmd_checkpoint_redefine },
    { "image-info", "PATH [FORMAT [share]]", 1, true, cmd_image_info },
    { "export", "PATH FORMAT read|shared|write [COMMAND]", 3, true, cmd_export },
    { "peek", "PATH FORMAT OFFSET COUNT", 4, true, cmd_peek },
    { "connection", "", 0, false, cmd_connection },
    { "shared-dir", "", 0, false, cmd_shared_dir },
    { "switch", "TYPE SOURCE [VIRTUALPORT]", 2, false, cmd_switch },
    { "network-start", "NAME", 1, false, cmd_network_start },
    { "volume-delete", "POOL NAME [KEY]", 2, false, cmd_volume_delete },
    { NULL, NULL, 0, false, NULL },
};
