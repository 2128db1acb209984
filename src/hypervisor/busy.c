/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs: what holds a VM. */
#include "hypervisor/busy.h"
#include "hypervisor/internal.h"
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
    [VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_REVERT] = "a return to a snapshot",
    [VIR_DOMAIN_JOB_OPERATION_DUMP] = "a dump of its memory",
    [VIR_DOMAIN_JOB_OPERATION_BACKUP] = "a backup",
    [VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_DELETE] = "a removal of a snapshot",
};

int busy_operation(struct hv_domain *d, int *ret, struct err *err)
{
    virTypedParameterPtr params = NULL;
    int n = 0, type = VIR_DOMAIN_JOB_NONE, operation = VIR_DOMAIN_JOB_OPERATION_UNKNOWN;

    if (virDomainGetJobStats(hv_handle(d), &type, &params, &n, 0) < 0)
        return hv_virt_error(err, "cannot tell what jobs VM %s has", d->name);
    virTypedParamsGetInt(params, n, VIR_DOMAIN_JOB_OPERATION, &operation);
    virTypedParamsFree(params, n);
    if (type == VIR_DOMAIN_JOB_NONE)
        return 0;
    *ret = operation;
    return 1;
}

/* Block commit, copy, pull: QEMU has one of them for a disk. 1: yes. */
static int block_job(struct hv_domain *d, const struct hv_disk *disk)
{
    virDomainBlockJobInfo info;

    return disk->source == HV_SOURCE_NONE ? 0 : virDomainGetBlockJobInfo(hv_handle(d), disk->target, &info, 0);
}

static char *find_what(struct hv_domain *d, bool *ret, int operation, int job)
{
    *ret = true;
    if (job > 0)
        return strdup((size_t)operation < ARRAY_SIZE(operations) ? operations[operation] : operations[0]);
    for (size_t i = 0; i < d->n_disks; i++)
        if (block_job(d, &d->disks[i]) == 1)
            return str_format("a block job on disk %s", d->disks[i].target);
    *ret = false;
    return NULL;
}

int hv_domain_busy(struct hv_domain *d, bool *ret, char **ret_what, struct err *err)
{
    int operation = 0, job = 0;
    bool busy = false;
    char *what = NULL;

    if (virDomainIsActive(hv_handle(d)) == 1) {
        job = busy_operation(d, &operation, err);
        if (job < 0)
            return job;
        what = find_what(d, &busy, operation, job);
        if (busy && !what)
            return err_errno(err, ENOMEM, "cannot tell what jobs VM %s has", d->name);
    }
    *ret = busy;
    if (ret_what)
        *ret_what = what;
    else
        free(what);
    return 0;
}
