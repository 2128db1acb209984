/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/restore_first.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/strv.h"
#include "cli/policy_options.h"
#include "cli/render.h"
#include <errno.h>
#include <string.h>

#define DAY_US (INT64_C(86400) * 1000000)

static int first_protect(struct cli *cli, const char *id, unsigned days, json_t *ret, struct err *err)
{
    char *const points[] = { (char *)(uintptr_t)id, NULL };
    char until[32];
    const struct requester_protect job = { .points = points, .until = clock_format(clock_wall_us() + days * DAY_US, until) };
    json_t *report = NULL;

    int r = requester_protect(cli->rq, &job, &report, err);
    json_decref(report);
    if (r >= 0)
        json_object_set_new(ret, "until", json_string(until));
    return cli_code(cli, r);
}

static int first_backup(struct cli *cli, char *const *uuids, const char *of, unsigned days, json_t *ret, struct err *err)
{
    _cleanup_(policy_choice_clear) struct policy_choice choice = { 0 };
    _cleanup_free_ char *label = str_format("%s%.12s", RESTORE_FIRST_LABEL, of);
    json_t *report = NULL;

    if (!label)
        return err_nomem(err), EXIT_FAILED;
    if (policy_of_settings(cli, &choice, err) < 0)
        return EXIT_FAILED;
    const struct requester_backup job = { .vms = uuids, .policy = choice.policy, .label = label, .no_writers = true };
    int r = requester_backup(cli->rq, &job, &report, err);
    if (r < 0) {
        err_context(err, "nothing was restored: the backup that was to be made first failed");
        return cli_code(cli, r);
    }
    json_object_set(ret, "point", json_object_get(report, "point"));
    json_decref(report);
    return days ? first_protect(cli, json_string_value(json_object_get(ret, "point")), days, ret, err) : EXIT_OK;
}

/* Of a plan, the VMs that it replaces, or disks of. -EPERM: it replaces images of a VM that is no longer defined. */
static int first_vms(const json_t *plan, char ***uuids, json_t *names, struct err *err)
{
    size_t i;
    json_t *vm;

    json_array_foreach (json_object_get(plan, "vms"), i, vm) {
        if (json_is_string(json_object_get(vm, "as")) || !render_is_replaced(vm))
            continue;
        if (!json_is_string(json_object_get(vm, "here")))
            return err_set(err, EPERM,
                           "nothing was restored: VM %s is not on this host, but files that the restore would replace are, and only VMs "
                           "can be backed up first: move the files away, or leave out --backup-first",
                           json_string_value(json_object_get(vm, "name")));
        if (strv_add(uuids, json_string_value(json_object_get(vm, "uuid"))) < 0 ||
            json_array_append(names, json_object_get(vm, "name")) < 0)
            return err_nomem(err);
    }
    return 0;
}

/* Of a restore of single disks these, else null. */
static json_t *first_disks(const struct requester_restore *job)
{
    bool parts = job->disks && *job->disks && !strchr(*job->disks, '=');
    json_t *list = parts ? json_array() : json_null();

    for (char *const *d = job->disks; parts && *d; d++)
        json_array_append_new(list, json_string(*d));
    return list;
}

int restore_backup_first(struct cli *cli, struct requester_restore *job, unsigned days, char **ret_point, json_t **ret, struct err *err)
{
    struct requester_restore rehearsal = *job;
    _cleanup_strv_ char **uuids = NULL;
    json_t *plan = NULL, *names = json_array(), *done = NULL;

    rehearsal.dry_run = true;
    int r = requester_restore(cli->rq, &rehearsal, &plan, err), code = cli_code(cli, r);
    bool goes = code == EXIT_OK && (job->yes || job->agreed || !json_is_true(json_object_get(plan, "asks")));
    if (r >= 0 && !goes)
        code = EXIT_OK; /* the restore itself says why not */
    if (goes) {
        *ret_point = strdup(json_string_value(json_object_get(plan, "point")));
        job->point = *ret_point;
        r = *ret_point && names ? first_vms(plan, &uuids, names, err) : err_nomem(err);
        code = r == -EPERM ? EXIT_REFUSED : r < 0 ? EXIT_FAILED : EXIT_OK;
    }
    if (code == EXIT_OK && uuids) {
        done = json_pack("{s:n, s:n, s:O, s:o}", "point", "until", "vms", names, "disks", first_disks(job));
        code = done ? first_backup(cli, uuids, *ret_point, days, done, err) : EXIT_FAILED;
    }
    if (code == EXIT_OK)
        *ret = done;
    else
        json_decref(done);
    json_decref(names);
    json_decref(plan);
    return code;
}

/* A listing came from a repository: it may lack what it should have. */
static bool first_has(const json_t *vm, const char *key, const char *word)
{
    const char *text = json_get_text(vm, key);

    return text && !strcmp(text, word);
}

static bool first_holds(const json_t *point, char *const *vms)
{
    size_t i;
    json_t *vm;

    for (; *vms; vms++) {
        bool found = false;
        json_array_foreach (json_object_get(point, "vms"), i, vm)
            found |= first_has(vm, "name", *vms) || first_has(vm, "uuid", *vms);
        if (!found)
            return false;
    }
    return true;
}

int restore_find_undo(struct cli *cli, char *const *vms, char **ret_point, struct err *err)
{
    json_t *report = NULL, *point;
    size_t i;

    int r = requester_list_points(cli->rq, NULL, RESTORE_FIRST_LABEL "*", &report, err);
    json_array_foreach (json_object_get(report, "points"), i, point) { /* oldest first */
        const char *id = json_get_text(point, "id");
        bool ours = false;
        if (r < 0 || !id || !first_holds(point, vms) || (r = requester_made_point(cli->rq, id, &ours, err)) < 0 || !ours)
            continue;
        free(*ret_point);
        if (!(*ret_point = strdup(id)))
            r = err_nomem(err);
    }
    json_decref(report);
    if (r < 0)
        return cli_code(cli, r);
    if (*ret_point)
        return EXIT_OK;
    _cleanup_free_ char *names = strv_join(vms, ", ");
    err_set(err, ENOENT, "no restore made with --backup-first on this host holds %s: there is nothing to undo", names ? names : *vms);
    return EXIT_FAILED;
}
