/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMs one by one, or some at a time, each with a restore point of its own: what fails for one does not keep the others from theirs. Each
 * backup is a job of a requester of its own, as if the command had been called for each; only the passphrase is asked for once. */
#include "base/clock.h"
#include "base/thread.h"
#include "requester/backup/backup.h"
#include "requester/repository/repository.h"
#include <errno.h>
#include <string.h>

struct each_vm_job {
    const char *uuid;
    char *name;
    enum requester_end end;
    bool begun;
    json_t *report;
    struct err why;
};

/* Whom the passphrase is asked of, and what was answered. */
struct each_ask {
    const struct requester_config *config;
    pthread_mutex_t lock;
    char *answer;
};

struct each {
    const struct requester_config *config; /* of all */
    const struct requester_backup *job;
    struct each_vm_job *vms;
    size_t n;
};

static int each_ask_once(void *priv, const char *prompt, bool confirm, char **ret, struct err *err)
{
    struct each_ask *a = priv;
    SCOPED_LOCK(&a->lock);
    int r = a->answer ? 0 : a->config->ask(a->config->ask_priv, prompt, confirm, &a->answer, err);

    if (r < 0)
        return r;
    return (*ret = strdup(a->answer)) ? 0 : err_nomem(err);
}

static void forget_answer(struct each_ask *a)
{
    if (a->answer)
        explicit_bzero(a->answer, strlen(a->answer));
    free(a->answer);
    pthread_mutex_destroy(&a->lock);
}

/* Said when it happens, since others may take hours yet. Most texts begin with the VM. */
static void each_warn(const struct log *log, const struct each_vm_job *vm)
{
    if (strstr(vm->why.text, vm->name))
        log_warning(log, "%s", vm->why.text);
    else
        log_warning(log, "VM %s: %s", vm->name, vm->why.text);
}

static int each_one(void *ctx, size_t i, struct err *err)
{
    const struct each *e = ctx;
    struct each_vm_job *vm = &e->vms[i];
    char *const uuids[] = { (char *)(uintptr_t)vm->uuid, NULL };
    struct requester_backup job = *e->job;
    struct requester *rq = NULL;

    (void)err;
    if (par_cancelled(e->config->cancel))
        return 0;
    vm->begun = true;
    vm->end = REQUESTER_FAILED;
    job.vms = uuids;
    job.policy.tags = job.policy.states = NULL; /* they have done their work */
    job.skip_failed = false;
    int r = requester_new(e->config, &rq, &vm->why);
    if (r >= 0)
        r = requester_backup(rq, &job, &vm->report, &vm->why);
    if (rq)
        vm->end = r < 0 && rq->end == REQUESTER_DONE ? REQUESTER_FAILED : rq->end;
    if (r < 0)
        each_warn(e->config->log, vm);
    requester_free(rq);
    return 0;
}

/* ---- Which ------------------------------------------------------------------------------------------------------------------------*/

static char *each_name(const struct hv_name *list, size_t n, const char *uuid)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i].uuid, uuid))
            return strdup(list[i].name);
    return strdup(uuid);
}

static int each_choose(struct requester *rq, struct each *e, char ***uuids, json_t **left_out, struct err *err)
{
    const struct vm_selection what = policy_selection(e->job->vms, &e->job->policy);
    _cleanup_(hv_close_p) struct hv *hv = NULL;
    struct hv_name *list = NULL;
    size_t n = 0;

    int r = hv_connect(rq, &hv, err);
    if (r >= 0)
        r = select_vms(hv, &what, uuids, left_out, err);
    if (r >= 0)
        r = hv_names(hv, &list, &n, err);
    if (r >= 0 && !(e->vms = calloc(strv_len(*uuids) + 1, sizeof(*e->vms))))
        r = err_nomem(err);
    for (size_t i = 0; r >= 0 && (*uuids)[i]; i++, e->n++) {
        e->vms[i].uuid = (*uuids)[i];
        if (!(e->vms[i].name = each_name(list, n, (*uuids)[i])))
            r = err_nomem(err);
    }
    hv_names_free(list, n);
    return r;
}

/* ---- What became of them ------------------------------------------------------------------------------------------------------------*/

static const char *each_result(const struct each_vm_job *vm)
{
    if (!vm->begun)
        return "not-started";
    return vm->report ? "done" : vm->end == REQUESTER_REFUSED ? "refused" : vm->end == REQUESTER_INTERRUPTED ? "interrupted" : "failed";
}

static json_t *each_error(const struct each_vm_job *vm)
{
    return vm->why.code ? json_pack("{s:o, s:s}", "text", json_text(vm->why.text), "errno", strerrorname_np(vm->why.code)) : json_null();
}

static enum requester_end each_end(const struct each *e, size_t done)
{
    enum requester_end end = e->n ? e->vms[0].end : REQUESTER_DONE;

    if (par_cancelled(e->config->cancel) && done < e->n)
        return REQUESTER_INTERRUPTED;
    if (done == e->n)
        return REQUESTER_DONE;
    if (done)
        return REQUESTER_SOME;
    for (size_t i = 1; i < e->n; i++)
        if (e->vms[i].end != end)
            return REQUESTER_FAILED;
    return end;
}

static int each_report(struct requester *rq, struct each *e, json_t *left_out, unsigned at_once, json_t **ret, struct err *err)
{
    json_t *vms = json_array();
    size_t done = 0;

    for (size_t i = 0; i < e->n; i++) {
        struct each_vm_job *vm = &e->vms[i];
        done += vm->report != NULL;
        json_array_append_new(vms, json_pack("{s:o, s:s, s:s, s:O?, s:o}", "name", json_text(vm->name), "uuid", vm->uuid, "result",
                                             each_result(vm), "report", vm->report, "error", each_error(vm)));
        if (!vm->report)
            json_object_set_new(json_array_get(vms, i), "report", json_null());
    }
    rq->end = each_end(e, done);
    *ret = json_pack("{s:i, s:o, s:O, s:I, s:I}", "at_once", (int)at_once, "vms", vms, "vms_left_out", left_out, "done", (json_int_t)done,
                     "failed", (json_int_t)(e->n - done));
    return *ret ? 0 : err_nomem(err);
}

static void each_clear(struct each *e)
{
    for (size_t i = 0; i < e->n; i++) {
        free(e->vms[i].name);
        json_decref(e->vms[i].report);
    }
    free(e->vms);
}

int requester_backup_each(struct requester *rq, const struct requester_backup *job, unsigned at_once, json_t **ret, struct err *err)
{
    const struct requester_config given = rq->config;
    struct each_ask ask = { .config = &given, .lock = PTHREAD_MUTEX_INITIALIZER };
    _cleanup_(each_clear) struct each e = { .config = &rq->config, .job = job };
    _cleanup_strv_ char **uuids = NULL;
    _cleanup_json_ json_t *left_out = NULL;
    uint64_t begun = clock_mono_ms();

    rq->end = REQUESTER_DONE;
    if (given.ask) {
        rq->config.ask = each_ask_once;
        rq->config.ask_priv = &ask;
    }
    int r = backup_check_job(job, err);
    if (r >= 0)
        r = repository_open_for(rq, KNOWN_CHANGE, err); /* what is wrong with it is wrong for all */
    if (r >= 0)
        r = each_choose(rq, &e, &uuids, &left_out, err);
    if (r >= 0)
        r = par_each(e.n, at_once, each_one, &e, err);
    if (r >= 0)
        r = each_report(rq, &e, left_out, at_once, ret, err);
    if (r >= 0)
        json_object_set_new(*ret, "elapsed_ms", json_integer((json_int_t)(clock_mono_ms() - begun)));
    rq->config = given;
    forget_answer(&ask);
    return job_end(rq, r, err);
}
