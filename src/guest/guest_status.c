/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who would take part, without doing anything: Identify alone. */
#include "guest/guest.h"
#include "vss/vss.h"
#include "writers/command_writer.h"
#include <errno.h>

#define ASK_MS 2000u

struct status {
    struct log log;
    json_t *skipped; /* texts */
    struct command_writers *programs;
    struct vss_service *service;
    struct vss_session *vss;
};

static void status_note(void *priv, enum log_level level, const char *line)
{
    struct status *s = priv;

    if (level <= LOG_LEVEL_WARNING)
        json_array_append_new(s->skipped, json_text(line));
}

static void status_done(struct status *s)
{
    vss_session_release(s->vss);
    vss_service_free(s->service);
    if (s->programs)
        command_writers_free(s->programs);
    json_decref(s->skipped);
}

static int status_gather(struct status *s, const struct guest *g, struct err *err)
{
    const struct vss_service_config config = { .log = &s->log };

    int r = vss_service_new(&config, &s->service, err);
    if (r >= 0)
        r = command_writers_load(g->writers_dir, &s->log, &s->programs, err);
    if (r >= 0)
        r = command_writers_register(s->programs, s->service, err);
    if (r >= 0)
        r = vss_session_new(s->service, &s->vss, err);
    if (r >= 0)
        r = vss_initialize_for_backup(s->vss, err);
    if (r >= 0)
        r = vss_set_backup_state(s->vss, true, false, VSS_BT_COPY, false, err);
    return r < 0 ? r : vss_gather_writer_metadata(s->vss, err);
}

static json_t *status_components(const struct vss_writer_info *w)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < w->n_components; i++)
        json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "name", json_text(w->components[i].name), "logical_path",
                                              json_text(w->components[i].logical_path), "caption", json_text(w->components[i].caption)));
    return list;
}

static json_t *status_writers(const struct status *s)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < vss_writer_count(s->vss); i++) {
        const struct vss_writer_info *w = vss_writer_get(s->vss, i);
        json_array_append_new(list, json_pack("{s:o, s:o, s:b, s:o}", "name", json_text(w->name), "id", json_text(w->id), "copy",
                                              vss_writer_backup_type(s->vss, w->id) == VSS_BT_COPY, "components", status_components(w)));
    }
    return list;
}

static void note_left_out(struct status *s)
{
    for (size_t i = 0; i < vss_left_out_count(s->vss); i++) {
        struct vss_left_out_writer w = vss_left_out_get(s->vss, i);
        _cleanup_free_ char *text = str_format("writer %s failed to identify itself: %s", w.name, w.text ? w.text : "no reason given");
        json_array_append_new(s->skipped, json_text(text));
    }
}

/* The phase of a session that runs. */
static json_t *status_session(const struct guest *g)
{
    _cleanup_json_ json_t *request = json_pack("{s:s}", "do", "status"), *answer = NULL;

    if (!request || guest_socket_ask(g, request, ASK_MS, &answer, NULL) < 0)
        return json_null();
    return json_text(json_get_text(answer, "phase"));
}

int guest_status(const struct guest *g, json_t **ret_answer, struct err *err)
{
    _cleanup_(status_done) struct status s = { .skipped = json_array() };

    s.log = (struct log){ .write = status_note, .priv = &s, .max = LOG_LEVEL_WARNING };
    int r = s.skipped ? status_gather(&s, g, err) : err_nomem(err);
    if (r < 0)
        return r;
    note_left_out(&s);
    *ret_answer = json_pack("{s:i, s:s, s:b, s:o, s:o, s:O}", "protocol", GUEST_PROTOCOL, "version", KVSS_VERSION, "hook",
                            (int)guest_hook_is_used(), "phase", status_session(g), "writers", status_writers(&s), "skipped", s.skipped);
    return *ret_answer ? 0 : err_nomem(err);
}
