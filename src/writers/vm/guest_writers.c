/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writers inside the guest: kvss-guest runs a VSS backup with them that lies inside the host's PrepareForSnapshot (M7). It is asked over
 * its own channel or through the guest agent; the protocol is in docs/guests.md. What the guest says is untrusted: bounded, read by the
 * record's table, and believed in one thing alone, that its own applications were held. */
#include "base/json.h"
#include "base/num.h"
#include "base/strv.h"
#include "writers/vm/vm_internal.h"
#include "writers/vm/windows_writers.h"
#include <errno.h>
#include <string.h>

#define PROGRAM "/usr/sbin/kvss-guest"
#define PROTOCOL 1
#define ANSWER_MAX ((size_t)4 << 20)
#define STATUS_MS 30000u    /* Identify of all writers */
#define PREPARE_MS 3600000u /* as long as a writer may ask for */
#define HOLD_MS 10000u      /* the longest that the guest's dead-man's switch allows */
#define WAIT_MS 600000u     /* until the others of the set are prepared */
#define END_MS 90000u
#define ABORT_MS 40000u
#define COMMITTED_MS 60000u

/* ---- Asking ---------------------------------------------------------------------------------------------------------------*/

struct guest_call {
    const char *word, *input;
    unsigned timeout_ms;
    const struct par_cancel *cancel;
};

static int answer_failed(const json_t *answer, struct err *err)
{
    const json_t *e = json_object_get(answer, "error");
    const char *text = json_get_text(e, "text");
    uint64_t code = json_get_u64(e, "code"), hresult = json_get_u64(e, "hresult");

    if (!json_is_object(e))
        return 0;
    return err_vss(err, hresult <= UINT32_MAX ? (uint32_t)hresult : 0, code && code < 4096 ? (int)code : EIO, "%.1024s",
                   text ? text : "no reason given");
}

/* *ret: the answer, of a protocol that we speak; caller's. -ENOENT: there is no kvss-guest that could be started. */
static int guest_call(struct hv_domain *d, const struct guest_call *c, json_t **ret, struct err *err)
{
    const struct hv_agent_run run = { .path = PROGRAM,
                                      .word = c->word,
                                      .input = c->input ? c->input : "",
                                      .out_max = ANSWER_MAX,
                                      .timeout_ms = c->timeout_ms,
                                      .cancel = c->cancel };
    _cleanup_free_ char *out = NULL;
    _cleanup_json_ json_t *answer = NULL;
    int status = 0;

    int r = hv_guest_run(d, &run, &out, &status, err);
    if (r >= 0 && json_parse_object(out, strlen(out), "answer of kvss-guest", &answer, err) < 0)
        r = status ? err_set(err, EBADMSG, PROGRAM " %s ended in the guest with exit code %d", c->word, status) : -EINVAL;
    if (r >= 0 && json_get_u64(answer, "protocol") != PROTOCOL)
        r = err_set(err, EPROTONOSUPPORT, "kvss-guest in the guest uses another protocol: install the version that comes with this kvss");
    if (r >= 0)
        r = answer_failed(answer, err);
    if (r >= 0)
        *ret = TAKE_PTR(answer);
    return r;
}

/* ---- Before a backup ------------------------------------------------------------------------------------------------------*/

static int say_no(struct vm_report *report, const char *why)
{
    free(report->no_application);
    report->no_application =
        str_format(report->windows ? "the agent runs a VSS backup in the guest, but it is not known whether its writers "
                                     "succeeded (%s)"
                                   : "the agent freezes file systems but does not notify applications in the guest (%s)",
                   why);
    return report->no_application ? 0 : -ENOMEM;
}

/* Writers without components have nothing that could be held. */
static bool any_component(const struct vm_record_guest *g)
{
    for (size_t i = 0; i < g->n_writers; i++)
        if (g->writers[i].n_components)
            return true;
    return false;
}

/* Whether the session in the guest is to be had, or is under way. */
static bool takes_part(const struct vm_report *r)
{
    return r->guest.known && any_component(&r->guest) && !r->policy.not_quiesced;
}

/* A program that cannot be used would have refused; where the policy goes on without it, it does so without the others, too, since who is
 * missing cannot have agreed. Otherwise it is for vm_guest_refusal(). */
static int fall_back(struct vm_report *report)
{
    struct vm_policy *p = &report->policy;

    bool another = p->method == VM_METHOD_AUTO && (p->fallback == VM_FALLBACK_SAVED || p->fallback == VM_FALLBACK_CRASH);

    if (p->fallback != VM_FALLBACK_FILE_SYSTEM && !another)
        return 0;
    p->not_quiesced = str_format("a writer in the guest cannot be used: %s", report->guest.skipped[0]);
    if (!p->not_quiesced || strv_addf(&report->warnings, "writers in the guest do not take part: %s", p->not_quiesced) < 0)
        return -ENOMEM;
    return say_no(report, p->not_quiesced);
}

/* *ret is to be cleared. */
static int ask_status(struct hv_domain *d, const struct par_cancel *cancel, struct vm_record_guest *ret, struct err *err)
{
    const struct guest_call call = { .word = "status", .timeout_ms = STATUS_MS, .cancel = cancel };
    _cleanup_json_ json_t *answer = NULL;

    int r = guest_call(d, &call, &answer, err);
    return r < 0 ? r : vm_record_guest_from_json(answer, ret, err);
}

/* Writers that an earlier backup in the guest has left in a failed state may do better in the next. */
static int ask_windows(struct vm_writer *w, struct hv_domain *d, struct vm_report *report)
{
    struct vm_record_guest *g = &report->guest;
    struct err why = ERR_INIT;

    if (!report->can_exec)
        return say_no(report, "the guest agent does not allow guest-exec");
    int r = vm_windows_ask(d, w->config.cancel, g, &why);
    if (r == -ENOMEM)
        return r;
    if (r < 0 || g->failure) {
        const char *text = r < 0 ? why.text : g->failure;
        bool said = r == -ENOENT || strv_addf(&report->warnings, "the writers in the guest cannot be queried: %s", text) >= 0;
        return said ? say_no(report, text) : -ENOMEM;
    }
    for (size_t i = 0; i < g->n_writers; i++)
        if (g->writers[i].error && strv_addf(&report->warnings, "a writer in the guest failed in an earlier backup: %s: %s",
                                             g->writers[i].name, g->writers[i].error) < 0)
            return -ENOMEM;
    report->level = VM_LEVEL_APPLICATION;
    return 0;
}

int vm_guest_ask(struct vm_writer *w, struct hv_domain *d, struct vm_report *report)
{
    struct err why = ERR_INIT;

    if (report->policy.not_quiesced)
        return say_no(report, report->policy.not_quiesced);
    if (report->windows)
        return ask_windows(w, d, report);
    if (!report->can_exec && !hv_guest_has_channel(d))
        return say_no(report, "the guest agent does not allow guest-exec, and there is no channel org.kvss.guest.0");
    int r = ask_status(d, w->config.cancel, &report->guest, &why);
    if (r == -ENOENT)
        return say_no(report, "kvss-guest is not installed in the guest");
    if (r < 0)
        return r == -ENOMEM || strv_addf(&report->warnings, "writers in the guest do not take part: %s", why.text) < 0
                   ? -ENOMEM
                   : say_no(report, why.text);
    if (report->guest.skipped)
        return fall_back(report);
    if (!any_component(&report->guest))
        return say_no(report, "kvss-guest has no writer in the guest");
    report->level = VM_LEVEL_APPLICATION;
    return 0;
}

static bool is_windows(struct hv_domain *d)
{
    struct hv_agent_info info = { 0 };

    bool windows = hv_agent_probe(d, AGENT_QUESTION_MS, &info, NULL) >= 0 && info.windows;
    hv_agent_info_clear(&info);
    return windows;
}

int vm_writer_guest_status(struct hv_domain *d, const struct par_cancel *cancel, json_t **ret, struct err *err)
{
    struct vm_record_guest guest = { 0 };

    int r = ask_status(d, cancel, &guest, err);
    if (r == -ENOENT && is_windows(d)) {
        err_clear(err);
        r = vm_windows_ask(d, cancel, &guest, err);
    }
    if (r >= 0)
        r = vm_record_guest_to_json(&guest, ret, err);
    vm_record_guest_clear(&guest);
    return r;
}

/* A limit that nobody has set is 60 s for the host and, in this guest, what it allows. */
char *vm_guest_refusal(const struct vm_writer *w, const struct vm_report *report)
{
    if (report->guest.skipped && !report->policy.not_quiesced)
        return str_format("a writer in the guest cannot be used: %s", report->guest.skipped[0]);
    if (takes_part(report) && w->config.hold_limit_ms > HOLD_MS)
        return str_format("the freeze limit is %u s, but kvss-guest in the guest thaws it after %u s at most: set --freeze-limit or "
                          "freeze-limit to %u or less, or leave it unset",
                          w->config.hold_limit_ms / 1000, HOLD_MS / 1000, HOLD_MS / 1000);
    return NULL;
}

/* ---- In a backup ----------------------------------------------------------------------------------------------------------*/

int vm_guest_failed(struct vm *vm, struct err *err)
{
    err_context(err, "writers in the guest");
    vm->guest_refused = true;
    return vm_not_quiesced(vm, err);
}

int vm_guest_begin(struct vm *vm, struct err *err)
{
    const struct vm_writer_config *c = &vm->writer->config;
    unsigned hold = c->hold_limit_ms ? (unsigned)num_min(c->hold_limit_ms, HOLD_MS) : HOLD_MS;
    _cleanup_free_ char *input = str_format("{\"protocol\":%d,\"hold_ms\":%u,\"wait_ms\":%u}", PROTOCOL, hold, WAIT_MS);
    const struct guest_call call = { .word = "begin", .input = input, .timeout_ms = PREPARE_MS, .cancel = c->cancel };
    _cleanup_json_ json_t *answer = NULL;

    if (!takes_part(vm->report))
        return 0;
    int r = input ? vm_effect(vm, VERB_GUEST, NULL, NULL, &vm->fx_guest, err) : err_nomem(err);
    if (r < 0)
        return r;
    r = guest_call(vm->dom, &call, &answer, err);
    if (r >= 0)
        r = vm_record_guest_from_json(answer, &vm->guest, err);
    if (r >= 0)
        return vm_effect_done(vm, vm->fx_guest, err);
    return r == -EINTR || r == -ENOMEM ? r : vm_guest_failed(vm, err);
}

/* By the agent's hook the writers are held for a shorter time: then this is its business. */
int vm_guest_hold(struct vm *vm, struct err *err)
{
    const struct guest_call call = { .word = "freeze", .timeout_ms = HOLD_MS };
    _cleanup_json_ json_t *answer = NULL;

    if (!takes_part(vm->report) || (vm->guest.hook.known && vm->guest.hook.value))
        return 0;
    int r = guest_call(vm->dom, &call, &answer, err);
    return r < 0 ? vm_guest_failed(vm, err) : 0;
}

/* Application consistency is what the guest's requester says that it has proved; that and nothing less. */
static int verdict(const struct vm_record_guest *g, struct err *err)
{
    if (g->failure)
        return err_vss(err, VSS_E_WRITERERROR_NONRETRYABLE, EIO, "%.1024s", g->failure);
    if (!g->completed.known || !g->completed.value || !g->broken.known || g->broken.value || !any_component(g))
        return err_vss(err, VSS_E_WRITERERROR_NONRETRYABLE, EIO, "they did not confirm that they were frozen at the instant");
    for (size_t i = 0; i < g->n_writers; i++)
        if (g->writers[i].error)
            return err_vss(err, VSS_E_WRITERERROR_NONRETRYABLE, EIO, "%.64s: %.1024s", g->writers[i].name ? g->writers[i].name : "?",
                           g->writers[i].error);
    return 0;
}

static bool any_failed(const struct vm_record_guest *g)
{
    for (size_t i = 0; i < g->n_writers; i++)
        if (g->writers[i].error)
            return true;
    return false;
}

void vm_guest_explain(struct vm *vm, struct err *err)
{
    const struct guest_call call = { .word = "abort", .timeout_ms = ABORT_MS };
    _cleanup_json_ json_t *answer = NULL;
    struct err why = ERR_INIT;

    if (!takes_part(vm->report) || !vm->fx_guest || guest_call(vm->dom, &call, &answer, NULL) < 0 ||
        vm_record_guest_from_json(answer, &vm->guest, NULL) < 0)
        return;
    vm_effect_settled(vm, &vm->fx_guest);
    if (any_failed(&vm->guest) && vm->guest.failure) {
        (void)verdict(&vm->guest, &why);
        (void)err_move(err, &why);
        (void)vm_guest_failed(vm, err);
    }
}

int vm_guest_end(struct vm *vm, struct err *err)
{
    const struct guest_call call = { .word = "end", .timeout_ms = END_MS };
    _cleanup_json_ json_t *answer = NULL;

    if (!takes_part(vm->report))
        return 0;
    int r = guest_call(vm->dom, &call, &answer, err);
    if (r >= 0)
        r = vm_record_guest_from_json(answer, &vm->guest, err);
    if (r >= 0)
        r = verdict(&vm->guest, err);
    if (r < 0)
        return r == -ENOMEM ? r : vm_guest_failed(vm, err);
    vm_effect_settled(vm, &vm->fx_guest);
    return 0;
}

/* A guest that cannot be told ends the session by itself: nothing stays frozen for want of this, so nobody waits for it. */
int vm_guest_undo(void *ctx, const struct journal_effect *e, struct err *err)
{
    const struct guest_call call = { .word = "abort", .timeout_ms = ABORT_MS };
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    _cleanup_json_ json_t *answer = NULL;

    int r = hv_domain_find(ctx, journal_value(e, "group"), &d, err);
    if (r == -ENOENT || (r >= 0 && (d->state != HV_RUNNING || hv_domain_hangs(d)))) {
        err_clear(err);
        return 0;
    }
    if (r >= 0)
        (void)guest_call(d, &call, &answer, NULL);
    return r;
}

/* ---- After the backup -----------------------------------------------------------------------------------------------------*/

int vm_writer_tell_committed(struct vm_writer *w, const char *uuid, const struct vm_record_guest *guest, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    _cleanup_json_ json_t *request = NULL, *answer = NULL;
    _cleanup_free_ char *input = NULL;

    if (!guest->completed.known || !guest->completed.value || !guest->session)
        return 0;
    int r = hv_domain_find(w->config.hv, uuid, &d, err);
    if (r < 0 || d->state != HV_RUNNING)
        return r;
    request = json_pack("{s:i, s:s}", "protocol", PROTOCOL, "session", guest->session);
    if (!request || !(input = json_dumps(request, JSON_COMPACT)))
        return err_nomem(err);
    const struct guest_call call = { .word = "committed", .input = input, .timeout_ms = COMMITTED_MS, .cancel = w->config.cancel };
    r = guest_call(d, &call, &answer, err);
    const char *failed = json_string_value(json_array_get(json_object_get(answer, "failed"), 0));
    if (r >= 0 && failed)
        r = err_set(err, EIO, "%.1024s", failed);
    return r < 0 ? err_context(err, "VM %s", d->name) : 0;
}
