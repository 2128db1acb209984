/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the host is told of the session. */
#include "guest/guest_session.h"
#include <errno.h>
#include <string.h>

#define NOTE_MAX 65536u /* of what a writer notes of a component */

static json_t *note_of(const char *text)
{
    return text && strlen(text) <= NOTE_MAX ? json_text(text) : json_null();
}

static json_t *report_components(const struct guest_session *s, const struct vss_writer_info *w)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < w->n_components; i++) {
        const struct vss_component_info *c = &w->components[i];
        struct vss_component_state state = { 0 };
        if (vss_get_component_state(s->vss, w->id, c->logical_path, c->name, &state, NULL) < 0)
            continue; /* it came in by another one */
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o, s:o}", "name", json_text(c->name), "logical_path",
                                              json_text(c->logical_path), "caption", json_text(c->caption), "invariant",
                                              note_of(state.backup_metadata), "stamp", note_of(state.backup_stamp)));
    }
    return list;
}

static json_t *report_writer(const struct guest_session *s, const struct vss_writer_status *status)
{
    const struct vss_writer_info *w = vss_writer_find(s->vss, status->id);

    if (!w)
        return NULL;
    return json_pack("{s:o, s:o, s:s, s:I, s:o, s:b, s:o}", "name", json_text(w->name), "id", json_text(w->id), "state",
                     vss_state_symbol(status->state), "hresult", (json_int_t)status->hresult, "error", json_text(status->text), "held",
                     (int)command_writer_held(s->programs, w->id), "components", report_components(s, w));
}

int guest_note_writers(struct guest_session *s, struct err *err)
{
    _cleanup_json_ json_t *list = json_array();
    int r = list ? vss_gather_writer_status(s->vss, err) : err_nomem(err);

    for (size_t i = 0; r >= 0 && i < vss_writer_status_count(s->vss); i++) {
        struct vss_writer_status status;
        r = vss_get_writer_status(s->vss, i, &status, err);
        if (r < 0 || !vss_writer_takes_part(s->vss, status.id))
            continue;
        if (json_array_append_new(list, report_writer(s, &status)) < 0)
            r = err_nomem(err);
    }
    if (r < 0)
        return r;
    SCOPED_LOCK(&s->lock);
    json_decref(s->writers);
    s->writers = TAKE_PTR(list);
    return 0;
}

static json_t *report_ms(uint64_t from_us, uint64_t to_us)
{
    return from_us && to_us >= from_us ? json_real((double)(to_us - from_us) / 1000.0) : json_null();
}

static json_t *report_events(const struct guest_session *s)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < s->n_events; i++) {
        const struct guest_event *e = &s->events[i];
        json_array_append_new(list, json_pack("{s:s, s:o, s:s, s:I, s:o}", "event", e->event, "writer", json_text(e->writer), "state",
                                              e->state, "hresult", (json_int_t)e->hresult, "ms", report_ms(s->begun_us, e->at_us)));
    }
    return list;
}

json_t *guest_session_report(struct guest_session *s)
{
    SCOPED_LOCK(&s->lock);
    json_t *writers = s->writers ? json_deep_copy(s->writers) : json_array();
    json_t *failure = s->failed.code ? json_text(s->failed.text) : json_null();

    return json_pack("{s:i, s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:o, s:I, s:o, s:o, s:o, s:o, s:I}", "protocol", GUEST_PROTOCOL, "version",
                     KVSS_VERSION, "session", s->id.text, "phase", guest_phase_name(s->phase), "hook", (int)s->config.hook, "by_hook",
                     (int)s->by_hook, "completed", (int)s->completed, "broken", (int)guest_switch_fired(s->config.sw), "failure", failure,
                     "hresult", (json_int_t)s->failed.hresult, "prepare_ms", report_ms(s->begun_us, s->prepared_us), "hold_ms",
                     report_ms(s->freeze_us, s->thawed_us), "writers", writers, "events", report_events(s), "mounts",
                     (json_int_t)guest_switch_mounts(s->config.sw));
}
