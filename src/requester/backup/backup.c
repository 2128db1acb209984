/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backup job: VSS's sequence from InitializeForBackup to the release (M23), and a restore point that appears last. What fails
 * or is interrupted leaves every VM as it was and nothing in the repository (M10). */
#include "requester/backup/backup.h"
#include "base/clock.h"
#include "requester/repository/repository.h"
#include <errno.h>
#include <string.h>

#define LISTED_TRIES 5

/* ---- Initialisation, discovery, preparation --------------------------------------------------------------------------------*/

static int backup_gather(struct backup *b, struct err *err)
{
    struct vss_session *v = b->s->vss;

    int r = vss_initialize_for_backup(v, err);
    if (r >= 0)
        r = vss_set_context(v, VSS_CTX_BACKUP | (b->job->no_auto_recovery ? VSS_VOLSNAP_ATTR_NO_AUTORECOVERY : 0), err);
    if (r >= 0)
        r = vss_set_backup_state(v, true, false, b->type, false, err);
    if (r >= 0)
        r = backup_choose_writers(b, err);
    return r < 0 ? r : vss_gather_writer_metadata(v, err);
}

/* Which of its checkpoints each VM is asked to tell the changes since. */
static int stamp(struct backup *b, struct err *err)
{
    int r = 0;

    for (size_t i = 0; i < b->n && r >= 0; i++) {
        struct backup_component *c = &b->components[i];
        c->chain = c->vm ? chain_of(&b->chain, c->name) : NULL;
        if (c->chain && c->chain->checkpoint)
            r = vss_set_previous_backup_stamp(b->s->vss, c->writer_id, c->logical_path, c->name, c->chain->checkpoint, err);
    }
    return r;
}

static int select_and_prepare(struct backup *b, char *const *uuids, struct err *err)
{
    struct vss_session *v = b->s->vss;

    int r = backup_select(b, uuids, err);
    if (r >= 0)
        r = vss_start_snapshot_set(v, &b->set_id, err);
    if (r >= 0)
        r = backup_add_volumes(b, err);
    if (r >= 0)
        r = stamp(b, err);
    if (r >= 0)
        r = backup_check_room(b, uuids, err);
    if (r >= 0)
        r = backup_announce_files(b, err);
    if (r >= 0)
        r = job_cancelled(b->rq, err);
    if (r < 0)
        return r;
    b->s->prepared = true;
    r = vss_prepare_for_backup(v, err);
    return r < 0 ? r : session_check_status(b->s, "PrepareForBackup", err);
}

/* Nothing was touched when PrepareForBackup failed. If the VM writer refuses by policy, its full reasons, VM by VM, say more than
 * the first failure. What may pass by itself is no refusal yet. */
static void explain_refusal(struct backup *b, char *const *uuids, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_free_ uint64_t *bytes = calloc(strv_len(uuids) + 1, sizeof(*bytes));
    struct err room = ERR_INIT;

    if (par_cancelled(b->rq->config.cancel) || err->hresult == VSS_E_WRITERERROR_RETRYABLE)
        return;
    for (size_t i = 0; uuids[i]; i++) {
        const struct vm_report *report = NULL;
        struct err ignored = ERR_INIT;
        if (vm_writer_check(b->s->vm_writer, uuids[i], &report, NULL, &ignored) < 0)
            continue;
        if (bytes)
            bytes[i] = report->save_bytes;
        if (report->refused) {
            err_set(&ignored, EPERM, "%s", report->refused);
            backup_blame(b, uuids[i], &ignored);
            buf_addf(&text, "%sVM %s: %s", text.len ? "\n" : "", report->name, report->refused);
        }
    }
    if (b->job->no_auto_recovery && err->hresult == VSS_E_WRITERERROR_NONRETRYABLE)
        b->rq->end = REQUESTER_REFUSED;
    if (!text.len && bytes && vm_writer_check_room(b->s->vm_writer, bytes, strv_len(uuids), &room) < 0)
        buf_addf(&text, "%s", room.text);
    if (!text.len)
        return;
    b->rq->end = REQUESTER_REFUSED;
    err_set(err, EPERM, "%s", (const char *)text.data);
}

/* ---- Snapshot, completion --------------------------------------------------------------------------------------------------*/

static int snapshot(struct backup *b, struct err *err)
{
    int r = vss_do_snapshot_set(b->s->vss, err);

    if (r < 0 && err && err->hresult == VSS_E_SNAPSHOT_SET_IN_PROGRESS)
        b->rq->end = REQUESTER_REFUSED;
    if (r >= 0)
        r = session_check_status(b->s, "DoSnapshotSet", err);
    return r < 0 ? r : backup_note_copies(b, err);
}

/* All that writers have to be asked for comes before BackupComplete, so that nothing is left that could fail but the publishing. The
 * shadow copies go too: what they cost the VMs ends, and if they could not be ended the backup has failed. */
static int backup_finish(struct backup *b, json_t **ret_report, struct err *err)
{
    struct vss_session *v = b->s->vss;
    int r = 0;

    for (size_t i = 0; i < b->n && r >= 0; i++) {
        const struct backup_component *c = &b->components[i];
        r = vss_set_backup_succeeded(v, c->writer_id, c->logical_path, c->name, true, err);
    }
    if (r >= 0)
        r = backup_documents(b, err);
    if (r >= 0)
        r = vss_delete_snapshots(v, err);
    if (r >= 0)
        r = vss_check_snapshots(v, NULL, err);
    return r < 0 ? r : backup_report(b, ret_report, err);
}

/* The restore point becomes durable, and is seen by nobody. */
static int backup_prepare_point(struct backup *b, const json_t *report, char id[static STORE_ID_LEN + 1], struct err *err)
{
    _cleanup_buf_ struct buf meta = BUF_INIT;

    int r = json_to_buf(report, &meta, err);
    if (r >= 0)
        r = job_cancelled(b->rq, err);
    if (r >= 0)
        r = journal_step_begins(b->s->journal, "prepare-point", err);
    if (r >= 0)
        r = store_write_prepare(b->w, (const char *)meta.data, id, err);
    if (r >= 0)
        known_note_prepared(b->rq, id, report);
    if (r >= 0)
        r = journal_step_done(b->s->journal, "prepare-point", err);
    return r;
}

/* Writers may drop what they know to be in the backup as soon as they are told that it is complete, so it has to be by then, but for
 * the one step that makes it a restore point. Whatever comes in between, there is none, and BackupShutdown says so. */
static int complete(struct backup *b, struct err *err)
{
    int r = job_cancelled(b->rq, err);

    if (r >= 0)
        r = vss_backup_complete(b->s->vss, err);
    if (r >= 0)
        r = session_check_status(b->s, "BackupComplete", err);
    return r < 0 ? r : job_cancelled(b->rq, err);
}

static int backup_publish(struct backup *b, struct err *err)
{
    int r = journal_step_begins(b->s->journal, "publish-point", err);

    if (r >= 0)
        r = store_write_publish(TAKE_PTR(b->w), err);
    if (r < 0)
        return r;
    /* From here on the result stands: the new checkpoints stay. Files and folders are in the journal until the session has removed them. */
    b->s->done = true;
    (void)journal_step_done(b->s->journal, "publish-point", NULL);
    journal_settle_lasting(b->s->journal);
    return 0;
}

static int backup_commit(struct backup *b, json_t **ret_report, struct err *err)
{
    _cleanup_json_ json_t *report = NULL;
    char id[STORE_ID_LEN + 1];

    int r = backup_finish(b, &report, err);
    if (r >= 0)
        r = backup_prepare_point(b, report, id, err);
    if (r >= 0)
        r = complete(b, err);
    if (r >= 0)
        r = backup_publish(b, err);
    if (r < 0)
        return r;
    known_note_made(b->rq, id);
    (void)known_sign(b->rq, STORE_ENTRY_COMMIT, NULL);
    json_object_set_new(report, "point", json_string(id));
    *ret_report = TAKE_PTR(report);
    return 0;
}

/* The checkpoints of this repository's earlier restore points that have no use any more. A copy is no link of the chain. */
static void drop_old_checkpoints(struct backup *b)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct backup_component *c = &b->components[i];
        if (c->chain && b->type != VSS_BT_COPY)
            chain_drop_old(b->s, c->chain, c->done, c->record.checkpoint);
    }
}

/* Writers in guests may now truncate what is in the backup. That it is stored does not depend on what they say. */
static int tell_guest(void *ctx, size_t i, struct err *err)
{
    const struct backup *b = ctx;
    const struct backup_component *c = &b->components[i];
    struct err why = ERR_INIT;
    (void)err;

    if (c->vm && vm_writer_tell_committed(b->s->vm_writer, c->name, &c->record.guest, &why) < 0)
        log_warning(b->rq->config.log, "writers in a guest were not notified that the backup is stored: %s", why.text);
    return 0;
}

/* ---- The job --------------------------------------------------------------------------------------------------------------*/

static int backup_run(struct backup *b, char *const *uuids, json_t **ret, struct err *err)
{
    int r = chain_find(b->rq, b->s->hv, b->asked, uuids, &b->chain, err);

    if (r >= 0)
        r = chain_type(&b->chain, b->asked, &b->type, err);
    if (r >= 0)
        r = backup_gather(b, err);

    if (r >= 0) {
        r = select_and_prepare(b, uuids, err);
        if (r < 0 && b->s->prepared)
            explain_refusal(b, uuids, err);
    }
    if (r >= 0)
        r = store_write_begin(b->rq->store, &b->w, err);
    if (r >= 0)
        r = snapshot(b, err);
    if (r >= 0)
        r = backup_read(b, err);
    if (r >= 0)
        r = job_cancelled(b->rq, err);
    if (r >= 0)
        r = backup_commit(b, ret, err);
    if (r >= 0)
        drop_old_checkpoints(b);
    if (r >= 0)
        (void)par_each(b->n, 32, tell_guest, b, NULL);
    return r;
}

/* Refused, not failed: nothing was touched. */
static int backup_claim(struct backup *b, struct hv *hv, char *const *uuids, struct err *err)
{
    struct patience patience = patience_begin(b->job->wait_ms);

    if (b->tries->claims)
        return 0;
    int r = claims_take(b->rq, hv, uuids, &(struct claim_for){ .what = "backup" }, &patience, &b->tries->claims, err);
    if (r == -EBUSY)
        b->rq->end = REQUESTER_REFUSED;
    return r;
}

/* Which VMs, and nobody else has them. Of all VMs, one may have been undefined since they were listed: then the list is made anew. */
static int choose_vms(struct backup *b, struct hv *hv, char ***ret_uuids, struct err *err)
{
    const struct vm_selection what = policy_selection(b->job->vms, &b->job->policy);

    for (int i = 0;; i++) {
        _cleanup_strv_ char **uuids = NULL;
        struct err why = ERR_INIT;
        json_decref(TAKE_PTR(b->vms_left_out));
        int r = select_vms(hv, &what, &uuids, &b->vms_left_out, &why);
        bool listed = r >= 0;
        if (listed)
            r = backup_leave_skipped(b, uuids, &why);
        if (r >= 0)
            r = backup_claim(b, hv, uuids, &why);
        if (r >= 0)
            *ret_uuids = TAKE_PTR(uuids);
        if (r >= 0 || !listed || r != -ENOENT || select_is_exact(&what) || i == LISTED_TRIES)
            return r < 0 ? err_move(err, &why) : r;
        log_info(b->rq->config.log, "%s: the VMs are listed again", why.text);
    }
}

/* Each VM's QEMU is asked something before anything is touched: what hangs then would hang with a guest frozen. */
struct hearing {
    struct hv *hv;
    char *const *uuids;
    struct err *of; /* what went wrong with each */
};

static int hear_one(void *ctx, size_t i, struct err *err)
{
    struct hearing *h = ctx;
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    bool busy;

    int r = hv_domain_find(h->hv, h->uuids[i], &d, err);
    if (r >= 0 && (d->state == HV_RUNNING || d->state == HV_PAUSED))
        (void)hv_domain_busy(d, &busy, NULL, &h->of[i]);
    return r;
}

/* Refused, with all that do not answer. Anything else that goes wrong here will be told where it matters. */
static int hear_all(struct backup *b, struct hv *hv, char *const *uuids, struct err *err)
{
    _cleanup_free_ struct err *of = calloc(strv_len(uuids) + 1, sizeof(*of));
    struct hearing h = { hv, uuids, of };
    _cleanup_buf_ struct buf text = BUF_INIT;

    int r = of ? par_each(strv_len(uuids), 32, hear_one, &h, err) : err_nomem(err);
    if (r < 0 || (r = job_cancelled(b->rq, err)) < 0)
        return r;
    for (size_t i = 0; uuids[i]; i++) {
        if (of[i].code != ETIMEDOUT)
            continue;
        backup_blame(b, uuids[i], &of[i]);
        if (buf_addf(&text, "%s%s", text.len ? "\n" : "", of[i].text) < 0)
            return err_nomem(err);
    }
    if (!text.len)
        return 0;
    b->rq->end = REQUESTER_REFUSED;
    return err_set(err, EPERM, "%s: nothing was changed; find out what it is waiting for, turn the VM off, or skip it",
                   (const char *)text.data);
}

static int backup_open_session(struct backup *b, const char *prefix, char ***ret_uuids, struct err *err)
{
    struct session_options o = {
        .effects = true,
        .policies = b->policies,
        .no_writers = b->job->no_writers,
        .wait_ms = b->job->wait_ms,
    };
    _cleanup_(hv_close_p) struct hv *hv = NULL;

    o.checkpoint_prefix = b->type == VSS_BT_COPY ? NULL : prefix; /* a copy leaves none */
    int r = hv_connect(b->rq, &hv, err);
    if (r >= 0)
        r = choose_vms(b, hv, ret_uuids, err);
    if (r >= 0)
        r = hear_all(b, hv, *ret_uuids, err);
    o.only = *ret_uuids;
    return r < 0 ? r : session_open(b->rq, &o, &b->s, err);
}

/* As session_close(). */
static int backup_release(struct backup *b, struct err *err)
{
    store_write_abort(b->w);
    backup_read_end(b);
    int r = session_close(b->s, err);
    for (size_t i = 0; i < b->n; i++) {
        struct backup_component *c = &b->components[i];
        free(c->writer_id);
        free(c->writer_name);
        free(c->logical_path);
        free(c->name);
        vm_record_clear(&c->record);
        json_decref(c->report);
    }
    free(b->components);
    json_decref(b->shadow_copies);
    json_decref(b->left_out);
    json_decref(b->vms_left_out);
    chain_clear(&b->chain);
    free(b->items);
    free(b->item_of);
    strv_free(b->strings);
    for (size_t i = 0; i < b->n_changes; i++)
        free(b->changes[i]);
    free(b->changes);
    return r;
}

/* One attempt. 0, -errno, or 1: it failed, all was put back, and it is worth another. */
static int attempt(struct backup b, struct backup_tries *tries, json_t **ret, struct err *err)
{
    _cleanup_strv_ char **uuids = NULL;
    char prefix[CHAIN_PREFIX_MAX];

    b.tries = tries;
    b.attempts = tries->attempts;
    b.rq->end = REQUESTER_DONE;
    chain_prefix(b.rq->store, prefix);
    int r = backup_open_session(&b, prefix, &uuids, err);
    b.uuids = uuids;
    if (r >= 0)
        r = backup_run(&b, uuids, ret, err);
    if (r < 0 && b.s)
        (void)vss_check_snapshots(b.s->vss, NULL, err); /* says more than the broken connection to its exports */
    if (r < 0) {
        backup_look_back(&b);
        backup_find_failures(&b, err);
        backup_tell_failures(&b, err);
    }
    bool undone = backup_release(&b, r < 0 ? err : NULL) >= 0;
    int again = r < 0 ? backup_again(tries, &b, undone, err) : 0;
    json_decref(b.unquiet);
    if (r < 0 && !again) {
        json_decref(b.rq->failures);
        b.rq->failures = TAKE_PTR(b.failures);
    }
    json_decref(b.failures);
    return again ? again : r;
}

int backup_check_job(const struct requester_backup *job, struct err *err)
{
    const char *label = job->label;
    _cleanup_json_ json_t *text = json_text(label);

    if (!label)
        return 0;
    for (const char *c = label; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return err_set(err, EINVAL, "the label contains control characters");
    if (!*label || strlen(label) > REQUESTER_LABEL_MAX || !json_is_string(text))
        return err_set(err, EINVAL, "the label must be 1 to %d bytes of UTF-8", REQUESTER_LABEL_MAX);
    return 0;
}

int requester_backup(struct requester *rq, const struct requester_backup *job, json_t **ret, struct err *err)
{
    _cleanup_(policies_clear) struct policies policies = { 0 };
    pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER;
    struct backup b = { .rq = rq, .asking = &asking, .job = job, .asked = job->type ? job->type : "auto", .policies = &policies };
    struct backup_tries tries = { 0 };

    rq->end = REQUESTER_DONE;
    b.begun_ms = clock_mono_ms();
    int r = backup_check_job(job, err);
    if (r >= 0)
        r = chain_type(&b.chain, b.asked, &b.type, err);
    if (r >= 0)
        r = policies_parse(&job->policy, &policies, err);
    if (r >= 0)
        r = repository_open_for(rq, KNOWN_CHANGE, err); /* before anything is touched */
    if (r >= 0 && !(tries.attempts = json_array()))
        r = err_nomem(err);
    if (r >= 0)
        while ((r = attempt(b, &tries, ret, err)) > 0)
            ;
    if (r >= 0 && tries.skipped)
        rq->end = REQUESTER_PARTLY;
    claims_free(tries.claims);
    json_decref(tries.attempts);
    json_decref(tries.skipped);
    return job_end(rq, r, err);
}
