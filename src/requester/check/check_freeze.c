/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether guests can be frozen is only known by freezing them: hooks in the guest may refuse, file systems may not take part. Done on
 * demand only, one guest after the other, with everything that looks after a frozen guest in a backup. */
#include "requester/check/check.h"
#include <errno.h>

static bool falls_back(const struct vm_policy *p)
{
    if (p->fallback == VM_FALLBACK_CRASH)
        return p->method != VM_METHOD_CHILD && p->require <= VM_LEVEL_CRASH;
    return p->method != VM_METHOD_CHILD && p->fallback == VM_FALLBACK_SAVED && p->require <= VM_LEVEL_SAVED_STATE;
}

static void try_freeze(struct check *c, struct check_vm *vm)
{
    struct err why = ERR_INIT;
    double ms = 0;

    if (vm_writer_try_freeze(c->s->vm_writer, vm->report->uuid, &ms, &why) >= 0) {
        check_found(c, vm->findings, FOUND(FINDING_NOTE, "freeze-works", NULL),
                    "the test freeze succeeded: the guest was frozen for %.0f ms", ms);
        return;
    }
    check_found(c, vm->findings,
                FOUND(falls_back(&vm->report->policy) ? FINDING_WARNING : FINDING_ERROR, "freeze-failed",
                      "check the agent's log and the scripts of its fsfreeze hook in the guest"),
                "the test freeze failed: %s", why.text);
}

int check_freeze(struct check *c, struct err *err)
{
    for (size_t i = 0; c->try_freeze && i < c->n; i++) {
        int r = job_cancelled(c->rq, err);
        if (r < 0)
            return r;
        if (c->vms[i].report->state == HV_RUNNING && c->vms[i].report->agent == HV_AGENT_OK)
            try_freeze(c, &c->vms[i]);
    }
    return 0;
}
