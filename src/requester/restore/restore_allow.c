/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where files go is what the restore point says, and a restore point may come from anybody: without a further word it may only write
 * to storage pools, to libvirt's own folders for NVRAM and TPMs, to what the VM has on this host now, and to places that a person has
 * named. */
#include "base/io.h"
#include "base/text.h"
#include "requester/trust/trust.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <string.h>

/* ---- What is allowed ----------------------------------------------------------------------------------------------------------------*/

static int add_libvirts(struct restore *r, char ***places, struct err *err)
{
    _cleanup_strv_ char **pools = NULL;

    int rc = hv_pool_places(r->s->hv, &pools, err);
    if (rc < 0)
        return rc;
    return allow_add_all(places, pools) < 0 || allow_add(places, hv_nvram_dir(r->s->hv)) < 0 ? err_nomem(err) : 0;
}

static int common_places(struct restore *r, char ***places, struct err *err)
{
    int rc = r->s->hv ? add_libvirts(r, places, err) : 0;

    if (rc < 0)
        return rc;
    return allow_add(places, r->to_dir) < 0 || allow_add_all(places, r->job->allow) < 0 || allow_add_all(places, r->job->allow_always) < 0
               ? err_nomem(err)
               : 0;
}

/* Its images and its NVRAM as they are now; for a copy, which goes beside them, their folders: the names in there are not the point's. */
static int add_own(const struct restore_vm *vm, char ***places)
{
    const struct hv_domain *now = vm->now;
    int rc = 0;

    for (size_t i = 0; now && i < now->n_disks && rc >= 0; i++) {
        const struct hv_disk *d = &now->disks[i];
        if (!d->path || d->device != HV_DEVICE_DISK || d->readonly || d->shareable)
            continue;
        _cleanup_free_ char *dir = vm->as_uuid ? io_dirname(d->path) : NULL;
        rc = allow_add(places, d->path);
        if (rc >= 0 && dir && d->source == HV_SOURCE_FILE)
            rc = allow_add(places, dir);
    }
    _cleanup_free_ char *dir = now && now->nvram && vm->as_uuid ? io_dirname(now->nvram) : NULL;
    return rc < 0 || !now || !now->nvram ? rc : allow_add(places, now->nvram) < 0 || allow_add(places, dir) < 0 ? -ENOMEM : 0;
}

/* libvirt's folder of the VM's TPM, whose name is the UUID. */
static int allow_add_tpm(const struct restore *r, const struct restore_vm *vm, char ***places)
{
    _cleanup_free_ char *dir = NULL;

    if (!r->s->hv || hv_tpm_dir(r->s->hv, vm->as_uuid ? vm->as_uuid : vm->uuid, &dir, NULL) < 0)
        return 0; /* nothing is restored there then */
    _cleanup_free_ char *all = io_dirname(dir);
    return all ? allow_add(places, all) : -ENOMEM;
}

static int places_of(const struct restore *r, const struct restore_vm *vm, char *const *common, char ***places, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc >= 0 && common && common[i]; i++)
        rc = strv_add(places, common[i]);
    if (rc >= 0)
        rc = add_own(vm, places);
    if (rc >= 0)
        rc = allow_add_tpm(r, vm, places);
    return rc < 0 ? err_nomem(err) : 0;
}

/* ---- What is written ----------------------------------------------------------------------------------------------------------------*/

int restore_refuse_place(struct restore *r, const char *of, const char *path, struct err *err)
{
    _cleanup_free_ char *real = allow_real_place(path), *word = real ? text_shell_word(real) : NULL;
    _cleanup_free_ char *option = word ? str_format("--allow-path %s", word) : NULL;
    bool elsewhere = real && strcmp(real, path) != 0;
    _cleanup_free_ char *what = option ? str_format("%s would be written to %s%s%s%s", of, path, elsewhere ? " (actual path " : "",
                                                    elsewhere ? real : "", elsewhere ? ")" : "")
                                       : NULL;
    return what ? restore_refuse(r, what, option, err) : err_nomem(err);
}

static int allow_judge(struct restore *r, const struct restore_vm *vm, const char *what, const char *path, char *const *places,
                       struct err *err)
{
    int allowed = allow_has(places, path);

    if (allowed)
        return allowed < 0 ? err_nomem(err) : 0;
    _cleanup_free_ char *of = str_format("VM %s, %s", vm->name, what);
    return of ? restore_refuse_place(r, of, path, err) : err_nomem(err);
}

static bool allow_is_named(const struct restore *r, const struct restore_disk *d)
{
    size_t n = strlen(d->target);

    for (size_t i = 0; r->job->disks && r->job->disks[i]; i++)
        if (!strncmp(r->job->disks[i], d->target, n) && r->job->disks[i][n] == '=')
            return true;
    return false;
}

static int judge_disks(struct restore *r, const struct restore_vm *vm, char *const *places, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < vm->n_disks && rc >= 0; i++) {
        const struct restore_disk *d = &vm->disks[i];
        if (d->new_volume || allow_is_named(r, d))
            continue;
        _cleanup_free_ char *what = str_format("disk %s", d->target);
        rc = what ? allow_judge(r, vm, what, d->path, places, err) : err_nomem(err);
    }
    return rc;
}

static int judge_tpm(struct restore *r, const struct restore_vm *vm, char *const *places, struct err *err)
{
    for (size_t i = 0; i < vm->record.n_parts; i++) {
        const struct vm_record_part *part = &vm->record.parts[i];
        _cleanup_free_ char *path = NULL;
        int rc = restore_tpm_target(r, vm, part, &path, err);
        if (rc > 0)
            rc = allow_judge(r, vm, "TPM", path, places, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int restore_judge_places(struct restore *r, struct err *err)
{
    _cleanup_strv_ char **common = NULL;
    int rc = common_places(r, &common, err);

    for (size_t i = 0; i < r->n_vms && rc >= 0; i++) {
        const struct restore_vm *vm = &r->vms[i];
        _cleanup_strv_ char **places = NULL;
        rc = places_of(r, vm, common, &places, err);
        if (rc >= 0)
            rc = judge_disks(r, vm, places, err);
        if (rc >= 0 && vm->nvram_path)
            rc = allow_judge(r, vm, "NVRAM", vm->nvram_path, places, err);
        if (rc >= 0)
            rc = judge_tpm(r, vm, places, err);
    }
    return rc;
}

/* ---- What is refused ------------------------------------------------------------------------------------------------------------------*/

int restore_refuse(struct restore *r, const char *what, const char *option, struct err *err)
{
    if (!r->refused && !(r->refused = json_array()))
        return err_nomem(err);
    json_t *o = json_pack("{s:o, s:o}", "what", json_text(what), "option", json_text(option));
    return !o || json_array_append_new(r->refused, o) < 0 ? err_nomem(err) : 0;
}

/* Options to go on with, each once. Caller frees. */
static char *options(const json_t *refused)
{
    _cleanup_strv_ char **list = NULL;
    size_t i;
    json_t *e;

    json_array_foreach (refused, i, e) {
        const char *option = json_get_text(e, "option");
        if (option && !strv_has(list, option) && strv_len(list) < 8 && strv_add(&list, option) < 0)
            return NULL;
    }
    return strv_join(list, " ");
}

#define TOLD_MAX 1100 /* of KVSS_ERR_TEXT_MAX */

int restore_check_refused(struct restore *r, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    size_t i, n = json_array_size(r->refused), told = 0;
    json_t *e;

    if (n == 0)
        return 0;
    json_array_foreach (r->refused, i, e)
        if (b.len < TOLD_MAX && (told = i + 1) && buf_addf(&b, "%s%.160s", i ? "; " : "", json_get_text(e, "what")) < 0)
            return err_nomem(err);
    if (n > told && buf_addf(&b, "; and %zu more (listed by --dry-run)", n - told) < 0)
        return err_nomem(err);
    _cleanup_free_ char *with = options(r->refused);
    r->rq->end = REQUESTER_REFUSED;
    return err_set(err, EPERM, "restore point %.12s requires more than a restore is allowed by default: %s. To allow it, add %s",
                   store_point_id(r->point), (const char *)b.data, with ? with : "--allow-path");
}
