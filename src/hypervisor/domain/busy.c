/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs: what holds a VM. */
#include "hypervisor/domain/busy.h"
#include "hypervisor/host/host.h"
#include <errno.h>
#include <string.h>

static const char *const operations[] = {
    [VIR_DOMAIN_JOB_OPERATION_UNKNOWN] = "a job",
    [VIR_DOMAIN_JOB_OPERATION_START] = "a start",
    [VIR_DOMAIN_JOB_OPERATION_SAVE] = "a save of its state",
    [VIR_DOMAIN_JOB_OPERATION_RESTORE] = "a start from its saved state",
    [VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN] = "a migration to this host",
    [VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT] = "a migration to another host",
    [VIR_DOMAIN_JOB_OPERATION_SNAPSHOT] = "a snapshot",
    [VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_REVERT] = "a revert to a snapshot",
    [VIR_DOMAIN_JOB_OPERATION_DUMP] = "a dump of its memory",
    [VIR_DOMAIN_JOB_OPERATION_BACKUP] = "a backup",
    [VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_DELETE] = "a removal of a snapshot",
};

struct job {
    int type, operation;
    bool probe; /* whether QEMU answers is asked too */
};

static int ask_job(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    struct job *job = arg;
    virTypedParameterPtr params = NULL;
    int n = 0;

    if (virDomainGetJobStats(dom, &job->type, &params, &n, 0) < 0)
        return hv_virt_error(err, "cannot determine which jobs the VM has");
    virTypedParamsGetInt(params, n, VIR_DOMAIN_JOB_OPERATION, &job->operation);
    virTypedParamsFree(params, n);
    return job->probe && job->type == VIR_DOMAIN_JOB_NONE ? patience_ask_qemu(conn, dom, NULL, err) : 0;
}

static int operation_of(struct hv_domain *d, bool undoing, int *ret, struct err *err)
{
    const struct patient_call call = { .fn = ask_job, .free_arg = free, .insists = undoing };
    _cleanup_free_ struct job *job = calloc(1, sizeof(*job));

    if (!job)
        return err_nomem(err);
    job->probe = !undoing;
    int r = patiently(d, &call, (void **)&job, err);
    if (r < 0 || job->type == VIR_DOMAIN_JOB_NONE)
        return r;
    *ret = job->operation;
    return 1;
}

int busy_operation(struct hv_domain *d, int *ret, struct err *err)
{
    return operation_of(d, true, ret, err);
}

/* Block commit, copy, pull: QEMU has one of them for a disk. 1: yes. */
static int ask_block_jobs(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    char **targets = arg;
    virDomainBlockJobInfo info;

    (void)conn, (void)err;
    for (size_t i = 0; targets[i]; i++)
        if (virDomainGetBlockJobInfo(dom, targets[i], &info, 0) == 1)
            return (int)i + 1;
    return 0;
}

static void busy_free_targets(void *arg)
{
    strv_free(arg);
}

/* *ret_target is a disk that has one. Caller frees. */
static int block_job(struct hv_domain *d, char **ret_target, struct err *err)
{
    const struct patient_call call = { .fn = ask_block_jobs, .free_arg = busy_free_targets };
    _cleanup_strv_ char **targets = NULL;

    for (size_t i = 0; i < d->n_disks; i++)
        if (d->disks[i].source != HV_SOURCE_NONE && strv_add(&targets, d->disks[i].target) < 0)
            return err_nomem(err);
    int r = targets ? patiently(d, &call, (void **)&targets, err) : 0;
    if (r > 0 && !(*ret_target = strdup(targets[r - 1])))
        return err_nomem(err);
    return r;
}

static char *name_job(int operation)
{
    return strdup((size_t)operation < ARRAY_SIZE(operations) ? operations[operation] : operations[0]);
}

int hv_domain_busy(struct hv_domain *d, bool *ret, char **ret_what, struct err *err)
{
    _cleanup_free_ char *what = NULL, *target = NULL;
    int operation = 0;

    *ret = false;
    if (virDomainIsActive(hv_handle(d)) != 1)
        return 0;
    int r = operation_of(d, false, &operation, err);
    if (r > 0)
        what = name_job(operation);
    else if (r == 0 && (r = block_job(d, &target, err)) > 0)
        what = str_format("a block job on disk %s", target);
    if (r <= 0)
        return r;
    if (!what)
        return err_nomem(err);
    *ret = true;
    if (ret_what)
        *ret_what = TAKE_PTR(what);
    return 0;
}
