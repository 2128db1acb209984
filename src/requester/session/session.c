/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A session: connection to libvirt, the service with its writers and providers, and the list of effects. What it did to VMs,
 * guests and files is undone at its end unless the result stands (M10, B2). */
#include "base/clock.h"
#include "base/guid.h"
#include "base/io.h"
#include "requester/session/claim.h"
#include "requester/stage/stage.h"
#include "requester/files/files.h"
#include "requester/session/session.h"
#include "requester/session/policy.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define FREEZE_LIMIT_MS 60000u
#define SET_WAIT_MS 600000u /* as VSS tells its requesters to wait */
#define SET_WAIT_BRIEF_MS 10000u
#define HOLD_GRACE_MS 10000u
#define TURN_RECOVERY_MS 60000u /* a writer may take as long to give up */
#define TURN_LOOK_MS 50u
#define HELD_WRITERS "writers"     /* put back beside the VMs, whose QEMUs may hang */
#define WRITER_COPY_DIR "/var/tmp" /* where copies of writers' files lie, unless a folder is set */

int hv_connect(struct requester *rq, struct hv **ret, struct err *err)
{
    _cleanup_free_ char *sessions = NULL, *state = NULL;
    struct err none = ERR_INIT; /* then there is no such place */
    struct hv_config c = { .uri = rq->config.uri, .save_dir = rq->config.save_dir, .cancel = rq->config.cancel, .log = rq->config.log };

    if (sessions_dir(&sessions, &none) >= 0)
        c.state_dir = state = io_dirname(sessions);
    return hv_open(&c, ret, err);
}

static void log_event(void *priv, const char *event, const char *writer, enum vss_writer_state state, uint32_t hresult)
{
    const struct requester *rq = priv;

    log_info(rq->config.log, "event %s: %s: [%d] %s, %s", event, writer, (int)state, vss_state_name(state), vss_error_text(hresult));
}

/* What dead sessions left is put back first; from then on a session that has effects is written down and watched. */
static int open_journal(struct session *s, const char *dir, const char *id, struct err *err)
{
    struct requester *rq = s->rq;

    int r = dir ? recover_dead_sessions(rq, s->hv, err) : 0;
    if (r >= 0)
        r = session_verbs(&s->verbs, err);
    if (r >= 0)
        r = journal_new(dir, id, s->verbs, s->hv, rq->config.log, &s->journal, err);
    return r < 0 || !dir ? r : session_watch(rq, s->journal, id, s->hv, err);
}

static void tell_what_tools_lack(const struct requester *rq)
{
    _cleanup_free_ char *lack = NULL;

    if (rq->config.log && rq->config.log->max >= LOG_LEVEL_INFO && hv_tools_lack(&lack, NULL) == 0 && lack)
        log_info(rq->config.log, "qemu-img and qemu-nbd run here without %s", lack);
}

static int session_open_effects(struct session *s, const struct session_options *o, struct err *err)
{
    _cleanup_free_ char *dir = NULL;
    struct guid id = guid_new();

    if (o->effects || o->restore)
        tell_what_tools_lack(s->rq);
    int r = o->effects || o->restore ? sessions_dir(&dir, err) : 0;
    if (r >= 0)
        r = open_journal(s, dir, id.text, err);
    if (r >= 0)
        r = hv_session_dir_name("session", &s->dir, err);
    if (r < 0)
        return r;
    const struct journal_arg args[] = { { "path", s->dir }, { NULL, NULL } };
    r = journal_begin(s->journal, VERB_SESSION_DIR, args, &s->fx_dir, err);
    if (r < 0 || (r = hv_private_dir_make(s->dir, err)) < 0)
        return r;
    r = journal_done(s->journal, s->fx_dir);
    if (r < 0)
        return err_errno(err, -r, "cannot create the session folder %s", s->dir);
    return o->effects ? session_keep(&s->keeper, err) : 0;
}

static int open_vm_writer(struct session *s, const struct session_options *o, struct err *err)
{
    const struct requester_config *c = &s->rq->config;
    struct vm_writer_config wc = {
        .hv = s->hv,
        .points = o->effects,
        .journal = s->journal,
        .session_dir = s->dir,
        .snapshot_dir = c->snapshot_dir,
        .policy = o->policies ? policies_find : NULL,
        .excluded = o->policies ? policies_excluded : NULL,
        .policy_priv = o->policies,
        .checkpoint_prefix = o->checkpoint_prefix,
        .agent_timeout_ms = c->agent_timeout_ms,
        .hold_limit_ms = c->freeze_limit_ms,
        .only = o->only,
        .keeper = s->keeper,
        .cancel = c->cancel,
        .carries_on = &s->rq->carries_on,
        .log = c->log,
    };
    return vm_writer_new(&wc, &s->vm_writer, err);
}

/* The copies take the most of the time for which writers may be held, as Freeze and Thaw need little of it. */
static int open_hold(struct session *s, unsigned freeze_limit_ms, struct provider_files *ret, struct err *err)
{
    const struct requester_config *c = &s->rq->config;
    struct files_hold_config hc = {
        .max_bytes = c->writer_copy_limit,
        .dir = c->snapshot_dir ? c->snapshot_dir : WRITER_COPY_DIR,
        .max_ms = freeze_limit_ms - freeze_limit_ms / 4,
        .cancel = c->cancel,
    };
    uint64_t free_bytes, total;

    if (io_space(hc.dir, &free_bytes, &total, NULL) >= 0)
        hc.reserve = provider_scratch_reserve(c->scratch_reserve, total);
    int r = files_hold_new(&hc, &s->hold, err);
    if (r >= 0)
        *ret = (struct provider_files){
            .take = files_hold_take, .stop = files_hold_stop, .free = files_hold_free, .priv = s->hold, .dir = hc.dir
        };
    return r;
}

static int open_providers(struct session *s, unsigned freeze_limit_ms, struct err *err)
{
    const struct requester_config *c = &s->rq->config;
    struct provider_context pc = {
        .hv = s->hv,
        .journal = s->journal,
        .snapshot_dir = c->snapshot_dir,
        .session_dir = s->dir,
        .scratch_reserve = c->scratch_reserve,
        .scratch_limit = c->scratch_limit,
        .keep_copies = c->keep_copies,
        .programs_dir = c->providers_dir ? c->providers_dir : REQUESTER_PROVIDERS_DIR,
        .objects_dir = c->provider_objects_dir ? c->provider_objects_dir : KVSS_PROVIDER_OBJECTS_DIR,
        .held_ms = freeze_limit_ms - freeze_limit_ms / 10, /* ended in time for the rest to be let go in order */
        .log = c->log,
    };

    int r = open_hold(s, freeze_limit_ms, &pc.files, err);
    if (r >= 0)
        r = providers_open(&pc, &s->providers, err);
    return r < 0 ? r : providers_register(s->providers, s->service, err);
}

static int open_commands(struct session *s, const struct session_options *o, struct err *err)
{
    const struct requester_config *c = &s->rq->config;
    const char *dir = o->no_writers ? "/nonexistent" : c->writers_dir ? c->writers_dir : REQUESTER_WRITERS_DIR;

    int r = command_writers_load(dir, c->log, &s->commands, err);
    return r < 0 ? r : command_writers_register(s->commands, s->service, err);
}

/* ---- One snapshot set at a time -------------------------------------------------------------------------------------------*/

static void settle_writers(struct session *s)
{
    for (size_t i = 0; i < s->n_held; i++)
        journal_settled(s->journal, s->fx_held[i]);
    free(TAKE_PTR(s->fx_held));
    s->n_held = 0;
}

/* If we die now, nobody but them knows that they hold their applications. */
static int enter_writers(struct session *s, struct err *err)
{
    size_t n = command_writers_count(s->commands);
    int r = 0;

    if (!s->journal || !(s->fx_held = calloc(n + 1, sizeof(*s->fx_held))))
        return s->journal ? err_nomem(err) : 0;
    for (size_t i = 0; i < n && r >= 0; i++) {
        const struct command_writer_info w = command_writer_get(s->commands, i);
        const struct journal_arg args[] = {
            { "group", HELD_WRITERS }, { "program", w.path }, { "name", w.name }, { "session", vss_session_id(s->vss) }, { NULL, NULL },
        };
        if (!vss_writer_takes_part(s->vss, w.id))
            continue;
        r = journal_begin(s->journal, VERB_HOLD_WRITER, args, &s->fx_held[s->n_held], err);
        s->n_held += r >= 0;
    }
    return r;
}

/* Whoever had the turn may have died in it: its writers are told so before they hear of us. */
static int recover_last_turn(struct session *s, struct err *err)
{
    uint64_t end = clock_mono_ms() + TURN_RECOVERY_MS;
    _cleanup_free_ char *dir = NULL;

    int r = sessions_dir(&dir, err);
    if (r < 0)
        return r;
    while ((r = journal_group_held(dir, s->verbs, HELD_WRITERS, err)) > 0 && clock_mono_ms() < end)
        clock_sleep_ms(TURN_LOOK_MS);
    if (r > 0)
        return err_set(err, EBUSY, "a session that crashed in its snapshot set is still being rolled back: run the backup again later");
    return r < 0 ? r : recover_dead_sessions(s->rq, s->hv, err);
}

/* The sets of all sessions on this host: in none of them a program is frozen and thawed across another. */
static int enter_set(void *priv, bool brief, struct err *err)
{
    struct session *s = priv;
    struct patience patience = patience_begin(brief ? SET_WAIT_BRIEF_MS : s->set_wait_ms);

    patience.stubborn = brief;
    int r = claims_take_writers(s->rq, &patience, &s->set_claim, err);
    if (r >= 0 && !brief)
        r = recover_last_turn(s, err);
    if (r >= 0 && !brief)
        r = enter_writers(s, err);
    if (r < 0) {
        settle_writers(s);
        claims_free(TAKE_PTR(s->set_claim));
    }
    return r;
}

static void leave_set(void *priv)
{
    struct session *s = priv;

    settle_writers(s);
    claims_free(TAKE_PTR(s->set_claim));
}

/* Beyond the limit, in which everyone is let go by the service itself, comes the time that an Abort may take. If that does not happen, this
 * process hangs, or was stopped. */
static int holding(void *priv, unsigned ms, struct err *err)
{
    struct session *s = priv;

    if (!s->journal || (ms && !s->n_held)) /* VMs alone: their writer does the same, to the limit */
        return 0;
    return journal_deadline(s->journal, JOURNAL_HELD_WRITERS, ms ? ms + HOLD_GRACE_MS : 0, err);
}

static int service_volume_of(void *priv, const char *path, char **ret_volume, struct err *err)
{
    (void)priv;
    return volume_of(NULL, path, ret_volume, err);
}

static int open_service(struct session *s, const struct session_options *o, struct err *err)
{
    const struct requester_config *c = &s->rq->config;
    unsigned limit = c->freeze_limit_ms ? c->freeze_limit_ms : FREEZE_LIMIT_MS;
    struct vss_service_config sc = {
        .volume_of = service_volume_of,
        .enter_set = enter_set,
        .leave_set = leave_set,
        .holding = holding,
        .priv = s,
        .side_by_side = VM_WRITER_ID,
        .self_naming = VM_WRITER_ID,
        .freeze_limit_ms = limit,
        .hold_limit_ms = limit,
        .log = c->log,
    };

    s->set_wait_ms = o->wait_ms ? o->wait_ms : SET_WAIT_MS;

    int r = vss_service_new(&sc, &s->service, err);
    if (r >= 0)
        r = open_providers(s, limit, err);
    if (r >= 0)
        r = vss_register_writer(s->service, &vm_writer_ops, s->vm_writer, err);
    if (r >= 0)
        r = open_commands(s, o, err);
    if (r >= 0)
        r = vss_session_new(s->service, &s->vss, err);
    if (r >= 0)
        vss_set_event_log(s->vss, log_event, s->rq);
    return r;
}

int session_open(struct requester *rq, const struct session_options *options, struct session **ret, struct err *err)
{
    struct session *s = calloc(1, sizeof(*s));
    if (!s)
        return err_nomem(err);
    s->rq = rq;
    int r = hv_connect(rq, &s->hv, err);
    if (r >= 0)
        r = session_open_effects(s, options, err);
    if (r >= 0)
        r = open_vm_writer(s, options, err);
    if (r >= 0)
        r = open_service(s, options, err);
    if (r < 0) {
        s->done = true; /* nothing was done */
        session_close(s, err);
        return r;
    }
    *ret = s;
    return 0;
}

/* What is left when it dies is undone by the next command that reaches libvirt, or by kvss recover. */
int session_open_files(struct requester *rq, struct session **ret, struct err *err)
{
    _cleanup_free_ char *dir = NULL;
    struct session *s = calloc(1, sizeof(*s));
    struct guid id = guid_new();

    if (!s)
        return err_nomem(err);
    s->rq = rq;
    int r = sessions_dir(&dir, err);
    if (r >= 0)
        r = session_verbs(&s->verbs, err);
    if (r >= 0)
        r = journal_new(dir, id.text, s->verbs, NULL, rq->config.log, &s->journal, err);
    if (r >= 0)
        r = io_private_dir("files", &s->dir, err);
    if (r >= 0) {
        const struct journal_arg args[] = { { "path", s->dir }, { NULL, NULL } };
        r = journal_begin(s->journal, VERB_SESSION_DIR, args, &s->fx_dir, err);
    }
    if (r >= 0 && (r = journal_done(s->journal, s->fx_dir)) < 0)
        err_errno(err, -r, "cannot create the session folder %s", s->dir);
    if (r < 0) {
        s->done = true;
        session_close(s, err);
        return r;
    }
    *ret = s;
    return 0;
}

/* Adds what went wrong while undoing to the failure that led here, once, and what becomes of it. */
static void also_failed(struct session *s, struct err *err, const struct err *why)
{
    const char *next =
        journal_tries_on(s->journal) ? "kvss keeps trying for ten minutes; after that, run: kvss recover" : "run: kvss recover";

    log_error(s->rq->config.log, "%s", why->text);
    if (s->undo_failed)
        return;
    s->undo_failed = true;
    if (!err || !err->code) {
        err_move(err, why);
        return;
    }
    struct err both = *err;
    err_set(err, both.code, "%s. Undoing the changes failed too: %s; %s", both.text, why->text, next);
    err->hresult = both.hresult;
}

static void undo(struct session *s, struct err *err)
{
    struct err writers = ERR_INIT, why = ERR_INIT;

    if (s->prepared)
        (void)vss_withdraw_complete(s->vss, NULL); /* refused unless BackupComplete had been sent */
    bool failed = s->prepared && vss_abort_backup(s->vss, &writers) < 0 && writers.hresult != VSS_E_BAD_STATE;
    if (s->journal && journal_undo_all(s->journal, &why) < 0)
        also_failed(s, err, &why); /* in plainer words than a writer's */
    else if (failed)
        also_failed(s, err, &writers);
}

int session_close(struct session *s, struct err *err)
{
    struct err why = ERR_INIT;

    if (!s)
        return 0;
    if (!s->done)
        undo(s, err);
    if (s->vss)
        vss_session_release(s->vss);
    vss_service_free(s->service);
    command_writers_free(s->commands);
    vm_writer_free(s->vm_writer);
    providers_close(s->providers); /* and `hold` */
    /* The release may have had effects of its own to reverse. */
    if (s->journal && journal_open_effects(s->journal) && journal_undo_all(s->journal, &why) < 0)
        also_failed(s, err, &why);
    if (s->dir && io_remove_tree(s->dir, &why) < 0)
        log_warning(s->rq->config.log, "%s", why.text);
    else if (s->journal)
        journal_settled(s->journal, s->fx_dir);
    keeper_free(s->keeper); /* after the jobs have ended, which closes what it holds */
    int r = s->journal && journal_open_effects(s->journal) ? -EIO : 0;
    journal_free(s->journal);
    free(s->verbs);
    hv_close(s->hv);
    free(s->dir);
    free(s);
    return r;
}

int session_check_status(struct session *s, const char *doing, struct err *err)
{
    int r = vss_gather_writer_status(s->vss, err);

    for (size_t i = 0; r >= 0 && i < vss_writer_status_count(s->vss); i++) {
        struct vss_writer_status st;
        r = vss_get_writer_status(s->vss, i, &st, err);
        if (r < 0 || st.hresult == VSS_S_OK)
            continue;
        log_info(s->rq->config.log, "%s: writer '%s': %s, %s (0x%08" PRIx32 ")", doing, st.name, vss_state_name(st.state),
                 vss_error_text(st.hresult), st.hresult);
        const char *why = st.text ? st.text : vss_error_text(st.hresult);
        return guid_equal(st.id, VM_WRITER_ID) ? err_vss(err, st.hresult, EIO, "%s", why) /* it names the VM */
                                               : err_vss(err, st.hresult, EIO, "writer %s: %s", st.name, why);
    }
    return r;
}

int session_provider(const struct session *s, const char *name, const char **ret_id, struct err *err)
{
    _cleanup_buf_ struct buf all = BUF_INIT;

    *ret_id = NULL;
    if (!name || !strcmp(name, "auto"))
        return 0;
    for (size_t i = 0; i < vss_provider_count(s->service); i++) {
        const struct vss_provider_info p = vss_provider_get(s->service, i);
        if (!strcasecmp(p.name, name)) {
            *ret_id = p.id;
            return 0;
        }
        buf_addf(&all, ", %s", p.name);
    }
    return err_set(err, ENOENT, "unknown provider '%s': use auto%s", name, all.data ? (const char *)all.data : "");
}
