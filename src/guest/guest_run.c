/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's VSS backup, of type copy: nothing of it is kept here, and no log may be truncated for it (M7). */
#include "base/clock.h"
#include "guest/guest_session.h"
#include <errno.h>
#include <string.h>

#define HANG_MS 500u
#define VOLUME "/" /* the one volume that the guest consists of, whatever is mounted where */

static void run_note_event(void *priv, const char *event, const char *writer, enum vss_writer_state state, uint32_t hresult)
{
    struct guest_session *s = priv;

    SCOPED_LOCK(&s->lock);
    if (!strcmp(event, "Thaw") || (s->held_us && !s->thawed_us && !strcmp(event, "Abort")))
        s->thawed_us = clock_mono_us();
    if (s->n_events < GUEST_EVENTS_MAX)
        s->events[s->n_events++] = (struct guest_event){ event, strdup(writer), vss_state_symbol(state), hresult, clock_mono_us() };
}

/* ---- Who takes part -------------------------------------------------------------------------------------------------------*/

/* A program that is there and cannot be used is a failure: its application would not be held, and nobody would know. */
static int run_load_writers(struct guest_session *s, struct err *err)
{
    /* The session itself ends the hold when the time is over (guest_session_wait_thaw()); these are for handlers that hang. */
    const unsigned limit = s->config.hold_ms + HANG_MS;
    const struct vss_service_config config = { .log = &s->log, .freeze_limit_ms = limit, .hold_limit_ms = limit };

    int r = vss_service_new(&config, &s->service, err);
    if (r >= 0)
        r = guest_register_host(s, err);
    if (r >= 0)
        r = command_writers_load(s->config.guest->writers_dir, &s->log, &s->programs, err);
    if (r >= 0)
        r = command_writers_register(s->programs, s->service, err);
    if (r >= 0 && *s->skipped)
        r = err_set(err, EINVAL, "%s", s->skipped);
    return r;
}

static int run_identify(struct guest_session *s, struct err *err)
{
    struct vss_session *v = s->vss;

    int r = vss_initialize_for_backup(v, err);
    if (r >= 0)
        r = vss_set_backup_state(v, true, false, VSS_BT_COPY, false, err);
    if (r >= 0)
        r = vss_gather_writer_metadata(v, err);
    if (r < 0)
        return r;
    if (vss_left_out_count(v)) {
        struct vss_left_out_writer w = vss_left_out_get(v, 0);
        return err_set(err, EIO, "writer %s failed to identify itself: %s", w.name, w.text ? w.text : "no reason given");
    }
    for (size_t i = 0; i < vss_writer_count(v); i++) {
        const struct vss_writer_info *w = vss_writer_get(v, i);
        if (w->n_components && vss_writer_backup_type(v, w->id) != VSS_BT_COPY)
            return err_set(
                err, EOPNOTSUPP,
                "writer %s does not support backups of the type copy, and any other might truncate its logs: add \"copy\" to its "
                "backup_types",
                w->name);
    }
    return 0;
}

/* Behind another selectable component, a component comes in by itself. */
static bool run_comes_by_itself(const struct vss_writer_info *w, size_t i)
{
    for (size_t k = 0; k < w->n_components; k++)
        if (k != i && w->components[k].selectable && vss_component_in_set(w, k, i))
            return true;
    return false;
}

/* *ret_n: how many there are. */
static int run_select(struct guest_session *s, size_t *ret_n, struct err *err)
{
    int r = 0;

    for (size_t i = 0; i < vss_writer_count(s->vss) && r >= 0; i++) {
        const struct vss_writer_info *w = vss_writer_get(s->vss, i);
        for (size_t c = 0; c < w->n_components && r >= 0; c++) {
            if (run_comes_by_itself(w, c))
                continue;
            r = vss_add_component(s->vss, w->id, w->components[c].logical_path, w->components[c].name, err);
            ++*ret_n;
        }
    }
    return r;
}

/* ---- The sequence ---------------------------------------------------------------------------------------------------------*/

static int run_snapshot(struct guest_session *s, struct err *err)
{
    int r = vss_start_snapshot_set(s->vss, NULL, err);

    if (r >= 0)
        r = vss_add_to_snapshot_set(s->vss, VOLUME, NULL, NULL, err);
    if (r >= 0)
        r = vss_prepare_for_backup(s->vss, err);
    if (r >= 0)
        r = guest_note_writers(s, err);
    if (r >= 0)
        r = vss_do_snapshot_set(s->vss, err); /* waits for the host before Freeze and before Thaw (guest_host.c) */
    return r;
}

static int run_succeeded(struct guest_session *s, struct err *err)
{
    int r = 0;

    for (size_t i = 0; i < vss_writer_count(s->vss) && r >= 0; i++) {
        const struct vss_writer_info *w = vss_writer_get(s->vss, i);
        for (size_t c = 0; c < w->n_components && r >= 0; c++)
            if (!run_comes_by_itself(w, c))
                r = vss_set_backup_succeeded(s->vss, w->id, w->components[c].logical_path, w->components[c].name, true, err);
    }
    return r;
}

/* A writer may refuse one of its components without failing an event. */
static int run_check_components(struct guest_session *s, struct err *err)
{
    for (size_t i = 0; i < vss_writer_count(s->vss); i++) {
        const struct vss_writer_info *w = vss_writer_get(s->vss, i);
        for (size_t c = 0; c < w->n_components; c++) {
            struct vss_component_state state = { 0 };
            if (run_comes_by_itself(w, c) ||
                vss_get_component_state(s->vss, w->id, w->components[c].logical_path, w->components[c].name, &state, NULL) < 0)
                continue;
            if (state.failure != VSS_S_OK)
                return err_vss(err, state.failure, EIO, "writer %s, component %s: %s", w->name, w->components[c].name,
                               state.failure_text ? state.failure_text : vss_error_text(state.failure));
        }
    }
    return 0;
}

static int run_backup(struct guest_session *s, size_t *ret_n, struct err *err)
{
    int r = run_load_writers(s, err);

    if (r >= 0)
        r = vss_session_new(s->service, &s->vss, err);
    if (r < 0)
        return r;
    vss_set_event_log(s->vss, run_note_event, s);
    pthread_mutex_lock(&s->lock);
    guid_parse(vss_session_id(s->vss), &s->id);
    pthread_mutex_unlock(&s->lock);
    guest_switch_name(s->config.sw, vss_session_id(s->vss));
    r = run_identify(s, err);
    if (r >= 0)
        r = run_select(s, ret_n, err);
    if (r < 0 || !*ret_n)
        return r;
    r = run_snapshot(s, err);
    if (r >= 0) {
        guest_session_enter(s, GUEST_DONE);
        r = guest_session_wait_end(s, err);
    }
    if (r >= 0)
        r = run_succeeded(s, err);
    if (r >= 0)
        r = vss_backup_complete(s->vss, err);
    return r < 0 ? r : run_check_components(s, err);
}

void *guest_run(void *session)
{
    struct guest_session *s = session;
    struct err err = ERR_INIT, ignored = ERR_INIT;
    size_t n = 0;
    int r = run_backup(s, &n, &err);

    if (r < 0) {
        guest_session_fail(s, &err);
        if (s->vss && n)
            (void)vss_abort_backup(s->vss, &ignored);
    }
    if (s->vss && n)
        (void)guest_note_writers(s, &ignored);
    vss_session_release(s->vss); /* BackupShutdown */
    guest_switch_released(s->config.sw);
    vss_service_free(s->service);
    if (s->programs)
        command_writers_free(s->programs);
    pthread_mutex_lock(&s->lock);
    s->completed = r >= 0 && n;
    s->nothing = r >= 0 && !n;
    pthread_mutex_unlock(&s->lock);
    guest_session_enter(s, GUEST_ENDED);
    return NULL;
}
