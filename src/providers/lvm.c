/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LVM's own command does everything: its library is no longer kept up, and only the command takes part in LVM's locks. */
#include "base/buf.h"
#include "base/io.h"
#include "base/json.h"
#include "base/proc.h"
#include "providers/lvm_internal.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define REPORT_MAX ((size_t)1 << 20)
#define ID_READ_MAX ((size_t)4096)
#define LOOK_MS 60000u
#define ID_PREFIX "LVM-"
#define ID_LEN (sizeof(ID_PREFIX) - 1 + 64) /* the two UUIDs without hyphens; what LVM uses within has a suffix */
#define FIELDS                                                                                                              \
    "lv_name,lv_uuid,lv_path,vg_name,vg_uuid,pool_lv,lv_tags,lv_size,vg_extent_size,vg_free,data_percent,metadata_percent," \
    "lv_snapshot_invalid,segtype,lv_role"

void lvm_volume_clear(struct lvm_volume *v)
{
    free(v->name);
    free(v->uuid);
    free(v->path);
    free(v->vg);
    free(v->vg_uuid);
    free(v->pool);
    free(v->tags);
    free(v->kind);
    free(v->role);
    *v = (struct lvm_volume){ 0 };
}

/* ---- The kernel ---------------------------------------------------------------------------------------------------------------*/

char *lvm_device_id(dev_t dev)
{
    _cleanup_free_ char *path = str_format("/sys/dev/block/%u:%u/dm/uuid", major(dev), minor(dev));
    _cleanup_buf_ struct buf text = BUF_INIT;

    if (!path || io_read_file(path, ID_READ_MAX, &text, NULL) < 0 || !text.data)
        return NULL;
    size_t n = strcspn((const char *)text.data, "\n");
    return n == ID_LEN && !strncmp((const char *)text.data, ID_PREFIX, sizeof(ID_PREFIX) - 1) ? strndup((const char *)text.data, n) : NULL;
}

bool lvm_is_volume(dev_t dev)
{
    _cleanup_free_ char *id = lvm_device_id(dev);

    return id != NULL;
}

/* ---- The command --------------------------------------------------------------------------------------------------------------*/

static void one_line(struct buf *tail)
{
    char *s = (char *)tail->data;

    for (size_t i = 0; i < tail->len; i++)
        if (!isprint((unsigned char)s[i]))
            s[i] = ' ';
    while (tail->len && s[tail->len - 1] == ' ')
        s[--tail->len] = '\0';
}

/* With our end it gets SIGTERM. While it changes something it has its locks, and blocks all signals; before that it has done nothing. What
 * changes something (out: NULL) is never killed for the same reason, so there is no limit to its time, nor to what it says. */
static int run_lvm(char *const *argv, struct buf *out, struct err *err)
{
    static const char *const env[] = { "LC_ALL=C", "LVM_SUPPRESS_FD_WARNINGS=1", NULL };
    _cleanup_buf_ struct buf said = BUF_INIT;
    struct proc_run run = {
        .argv = argv, .env = (char *const *)env, .out_max = out ? REPORT_MAX : 0, .timeout_ms = out ? LOOK_MS : 0, .die_with_us = true
    };
    int status = 0;

    int r = proc_run(&run, out, &said, &status, err);
    if (r < 0)
        return err_context(err, "cannot run %s (package lvm2)", argv[0]);
    one_line(&said);
    return status ? err_set(err, EIO, "lvm %s failed: %s", argv[1],
                            said.len ? (const char *)said.data + strspn((const char *)said.data, " ") : "no reason given")
                  : 0;
}

/* root's PATH in a cron job may lack the folder. */
static const char *program(void)
{
    return access("/usr/sbin/lvm", X_OK) == 0 ? "/usr/sbin/lvm" : access("/sbin/lvm", X_OK) == 0 ? "/sbin/lvm" : "lvm";
}

static unsigned percent(const json_t *o, const char *key)
{
    const char *s = json_get_text(o, key);

    return s ? (unsigned)strtoul(s, NULL, 10) : 0;
}

static uint64_t bytes(const json_t *o, const char *key)
{
    const char *s = json_get_text(o, key);

    return s ? strtoull(s, NULL, 10) : 0;
}

static char *text_of(const json_t *o, const char *key)
{
    const char *s = json_get_text(o, key);

    return strdup(s ? s : "");
}

int lvm_parse(const char *text, size_t n, struct lvm_volume *ret, struct err *err)
{
    _cleanup_json_ json_t *doc = NULL;

    int r = json_parse_object(text, n, "the report of lvm", &doc, err);
    if (r < 0)
        return r;
    const json_t *list = json_object_get(json_array_get(json_object_get(doc, "report"), 0), "lv");
    if (!json_is_array(list))
        return err_set(err, EBADMSG, "the report of lvm lists no logical volumes");
    const json_t *o = json_array_get(list, 0);
    if (!o)
        return err_set(err, ENOENT, "lvm knows no such logical volume");
    if (json_array_size(list) > 1)
        return err_set(err, EBADMSG, "the report of lvm lists %zu logical volumes instead of one", json_array_size(list));
    const char *invalid = json_get_text(o, "lv_snapshot_invalid");
    *ret = (struct lvm_volume){
        .name = text_of(o, "lv_name"),
        .uuid = text_of(o, "lv_uuid"),
        .path = text_of(o, "lv_path"),
        .vg = text_of(o, "vg_name"),
        .vg_uuid = text_of(o, "vg_uuid"),
        .pool = text_of(o, "pool_lv"),
        .tags = text_of(o, "lv_tags"),
        .kind = text_of(o, "segtype"),
        .role = text_of(o, "lv_role"),
        .size = bytes(o, "lv_size"),
        .extent = bytes(o, "vg_extent_size"),
        .vg_free = bytes(o, "vg_free"),
        .full = percent(o, "data_percent"),
        .metadata_full = percent(o, "metadata_percent"),
        .invalid = invalid && !strcmp(invalid, "1"),
    };
    if (!ret->name || !ret->uuid || !ret->path || !ret->vg || !ret->vg_uuid || !ret->pool || !ret->tags || !ret->kind || !ret->role)
        return err_nomem(err);
    return *ret->name && *ret->uuid && *ret->vg && *ret->vg_uuid ? 0 : err_set(err, EBADMSG, "the report of lvm lacks names");
}

int lvm_find(const char *select, struct lvm_volume *ret, struct err *err)
{
    _cleanup_buf_ struct buf out = BUF_INIT;

    *ret = (struct lvm_volume){ 0 };
    int r = run_lvm(PROC_ARGV(program(), "lvs", "--reportformat", "json", "--units", "b", "--nosuffix", "--binary", "--all", "--select",
                              select, "--options", FIELDS),
                    &out, err);
    return r < 0 ? r : lvm_parse(out.data ? (const char *)out.data : "", out.len, ret, err);
}

int lvm_of_device(dev_t dev, struct lvm_volume *ret, struct err *err)
{
    _cleanup_free_ char *select = str_format("lv_kernel_major=%u && lv_kernel_minor=%u", major(dev), minor(dev));

    *ret = (struct lvm_volume){ 0 };
    return select ? lvm_find(select, ret, err) : err_nomem(err);
}

int lvm_named(const char *vg_uuid, const char *name, struct lvm_volume *ret, struct err *err)
{
    _cleanup_free_ char *select = str_format("vg_uuid=%s && lv_name=%s", vg_uuid, name);

    *ret = (struct lvm_volume){ 0 };
    return select ? lvm_find(select, ret, err) : err_nomem(err);
}

int lvm_group(const char *select, bool *ret, struct err *err)
{
    _cleanup_buf_ struct buf out = BUF_INIT;

    int r = run_lvm(PROC_ARGV(program(), "vgs", "--noheadings", "--select", select, "--options", "vg_uuid"), &out, err);
    *ret = r >= 0 && out.len > 0;
    return r;
}

bool lvm_is_thin(const struct lvm_volume *v)
{
    return !strcmp(v->kind, "thin");
}

/* Those of other kinds (cache, VDO, snapshots of snapshots ...) lvcreate would refuse, or want more to be said. */
bool lvm_is_classic(const struct lvm_volume *v)
{
    static const char *const kinds[] = { "linear", "striped", "mirror", "raid1", "raid4", "raid5", "raid6", "raid10" };
    bool known = false;

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        known = known || !strcmp(v->kind, kinds[i]);
    return known && !strstr(v->role, "snapshot");
}

int lvm_tagged(const char *vg_uuid, const char *tag, struct lvm_volume *ret, struct err *err)
{
    _cleanup_free_ char *select = str_format("vg_uuid=%s && lv_tags={\"%s\"}", vg_uuid, tag);

    *ret = (struct lvm_volume){ 0 };
    return select ? lvm_find(select, ret, err) : err_nomem(err);
}

int lvm_snapshot(const struct lvm_volume *v, const struct lvm_wish *wish, struct err *err)
{
    _cleanup_free_ char *origin = str_format("%s/%s", v->vg, v->name), *size = str_format("%llub", (unsigned long long)wish->size);
    const char *argv[20] = {
        program(),
        "lvcreate",
        "--snapshot",
        "--yes",
        "--quiet",
        "--name",
        wish->name,
        "--addtag",
        wish->tag,
        "--ignoreactivationskip", /* it is active now, but a thin one not after a restart of the host */
        "--permission",
        wish->read_only ? "r" : "rw",
        wish->thin ? origin : "--size",
        wish->thin ? NULL : size,
        wish->thin ? NULL : origin,
    };

    if (!origin || !size)
        return err_nomem(err);
    int r = run_lvm((char *const *)argv, NULL, err);
    return r < 0 ? err_context(err, "cannot create a snapshot of logical volume %s", origin) : 0;
}

int lvm_remove(const char *uuid, struct err *err)
{
    _cleanup_free_ char *select = str_format("lv_uuid=%s", uuid);

    if (!select)
        return err_nomem(err);
    return run_lvm(PROC_ARGV(program(), "lvremove", "--yes", "--quiet", "--select", select), NULL, err);
}
