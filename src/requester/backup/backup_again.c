/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* After an attempt that failed, and all of whose effects were put back: whether the set is tried once more. VMs whose guests could not
 * be quiesced get their fallback then, where their policy has one; what passes by itself is tried again a few times (behaviour 32). */
#include "base/clock.h"
#include "requester/backup/backup.h"
#include <errno.h>
#include <string.h>

#define WAIT_MS 2000u /* before the first time; twice as long before each one after it */
#define WAIT_STEP_MS 50u

/* What the writer said of the component, if its guest was not quiesced; else NULL. *ret_guest: its writers were the reason. */
static const char *not_quiesced(const struct backup *b, const struct backup_component *c, bool *ret_guest)
{
    struct vss_component_state st;

    if (!c->vm || vss_get_component_state(b->s->vss, c->writer_id, c->logical_path, c->name, &st, NULL) < 0)
        return NULL;
    *ret_guest = st.failure == VM_WRITER_GUEST_REFUSED;
    return *ret_guest || st.failure == VM_WRITER_NOT_QUIESCED ? st.failure_text : NULL;
}

const char *backup_vm_name(const struct backup_component *c)
{
    return c->info->vm_name ? c->info->vm_name : c->name;
}

/* Most often it is the same with each. */
static void note_next(struct backup *b, enum vm_fallback f)
{
    const char *method = f == VM_FALLBACK_CRASH         ? "crash consistency"
                         : f == VM_FALLBACK_FILE_SYSTEM ? "file-system consistency"
                                                        : "Saved State";

    b->next_method = !b->next_method || !strcmp(b->next_method, method) ? method : "the fallbacks";
}

void backup_look_back(struct backup *b)
{
    json_t *vms = json_array();
    bool all = true;

    for (size_t i = 0; b->s && i < b->n; i++) {
        const struct backup_component *c = &b->components[i];
        bool guest = false;
        const char *why = not_quiesced(b, c, &guest);
        if (!why)
            continue;
        struct vm_policy p = policies_find(b->policies, backup_vm_name(c), c->name);
        if (!policy_may_fall_back(&p, guest) || policies_learn(b->policies, c->name, why, NULL) < 0)
            all = false;
        else
            json_array_append_new(vms, json_text(backup_vm_name(c)));
        note_next(b, p.fallback);
    }
    b->fall_back = all && json_array_size(vms) > 0;
    b->unquiet = vms;
}

static bool passes_by_itself(const struct err *why)
{
    return why->hresult == VSS_E_WRITERERROR_RETRYABLE || why->hresult == VSS_E_WRITERERROR_TIMEOUT;
}

static int wait_for_it(struct requester *rq, unsigned ms, struct err *err)
{
    for (uint64_t end = clock_mono_ms() + ms; clock_mono_ms() < end; clock_sleep_ms(WAIT_STEP_MS)) {
        int r = job_cancelled(rq, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* "web01, db01" */
static char *again_names(const json_t *list)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    size_t i;
    json_t *name;

    json_array_foreach (list, i, name)
        buf_addf(&b, "%s%s", i ? ", " : "", json_string_value(name));
    return buf_take_str(&b);
}

int backup_again(struct backup_tries *t, struct backup *b, bool undone, struct err *err)
{
    const struct log *log = b->rq->config.log;
    _cleanup_free_ char *unquiet = again_names(b->unquiet);
    bool retry = !b->fall_back && passes_by_itself(err) && t->retried < b->job->retries;

    if (!undone || par_cancelled(b->rq->config.cancel))
        return 0;
    if (b->rq->end != REQUESTER_DONE || (!b->fall_back && !retry)) { /* refused, or failed for good: the others may do without */
        if (!backup_skip(t, b))
            return 0;
        err_clear(err);
        return 1;
    }
    char hresult[16];
    snprintf(hresult, sizeof(hresult), "0x%08x", err->hresult);
    json_array_append_new(t->attempts, json_pack("{s:o, s:s, s:O}", "why", json_text(err->text), "hresult", hresult, "vms", b->unquiet));
    if (b->fall_back) {
        log_warning(log, "%s. All changes were rolled back; retrying with %s for %s", err->text, b->next_method, unquiet ? unquiet : "it");
    } else {
        log_warning(log, "%s. All changes were rolled back; this may be temporary, retrying (%u of %u)", err->text, t->retried + 1,
                    b->job->retries);
        int r = wait_for_it(b->rq, WAIT_MS << (t->retried < 4 ? t->retried : 4), err);
        if (r < 0)
            return r;
        t->retried++;
    }
    err_clear(err);
    return 1;
}
