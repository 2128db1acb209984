/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The small world of vss_fake.h put together: a service with two writers and a provider, and a session at each of its stations. */
#ifndef VSS_WORLD_H
#define VSS_WORLD_H

#include "vss_fake.h"

/* ---- The world ------------------------------------------------------------------------------------------------------------*/
struct world {
    struct trace trace;  /* what handlers were called */
    struct trace events; /* the session's event log: "writer:Event" */
    struct trace log;    /* log lines */
    struct log log_object;
    uint64_t clock;
    struct vss_service *service;
    struct fake_writer vm, db, other; /* registered in this order, `other` only by tests that do so */
    struct fake_provider provider;
};

static inline uint64_t world_now(void *priv)
{
    return __atomic_load_n(&((struct world *)priv)->clock, __ATOMIC_SEQ_CST);
}

/* "/vol/x/..." is on volume "/vol/x". */
static inline int world_volume_of(void *priv, const char *path, char **ret, struct err *err)
{
    const char *end = strncmp(path, "/vol/", 5) == 0 ? strchr(path + 5, '/') : NULL;

    (void)priv;
    if (strncmp(path, "/vol/", 5) != 0)
        return err_set(err, ENOENT, "no volume holds '%s'", path);
    *ret = strndup(path, end ? (size_t)(end - path) : strlen(path));
    return *ret ? 0 : -ENOMEM;
}

static inline void world_log(void *priv, enum log_level level, const char *line)
{
    (void)level;
    trace_add(&((struct world *)priv)->log, "", line);
}

static inline void world_event(void *priv, const char *event, const char *writer, enum vss_writer_state state, uint32_t hresult)
{
    (void)state, (void)hresult;
    trace_add(&((struct world *)priv)->events, writer, event);
}

static inline void fake_writer_init(struct world *w, struct fake_writer *f, const char *name, const char *id)
{
    *f = (struct fake_writer){ .name = name, .id = id, .trace = &w->trace, .clock = &w->clock, .volume = "/vol/a/images" };
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    f->n_vms = 2;
}

static inline void fake_writer_clear(struct fake_writer *f)
{
    free(f->last_set_id);
    for (size_t i = 0; i < FAKE_VMS; i++)
        free(f->seen_restore[i]);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
}

static inline struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof *w);
    struct err err = ERR_INIT;

    assert_non_null(w);
    pthread_mutex_init(&w->trace.lock, NULL);
    pthread_mutex_init(&w->events.lock, NULL);
    pthread_mutex_init(&w->log.lock, NULL);
    w->log_object = (struct log){ .write = world_log, .priv = w, .max = LOG_LEVEL_DEBUG };
    fake_writer_init(w, &w->vm, "vm writer", VM_WRITER_ID);
    fake_writer_init(w, &w->db, "db writer", DB_WRITER_ID);
    fake_writer_init(w, &w->other, "other writer", LOG_WRITER_ID);
    w->vm.vms[0] = (struct fake_vm){ .name = "web01", .power = FAKE_RUNNING, .child = true, .defined = true };
    w->vm.vms[1] = (struct fake_vm){ .name = "db01", .power = FAKE_RUNNING, .defined = true };
    w->db.vms[0] = (struct fake_vm){ .name = "orders", .power = FAKE_OFF, .defined = true };
    w->db.n_vms = 1;
    w->other.vms[0] = (struct fake_vm){ .name = "audit", .power = FAKE_OFF, .defined = true };
    w->other.n_vms = 1;
    w->provider.trace = &w->trace;
    w->provider.clock = &w->clock;
    pthread_mutex_init(&w->provider.lock, NULL);
    pthread_cond_init(&w->provider.changed, NULL);
    struct vss_service_config config = {
        .now_ms = world_now,
        .volume_of = world_volume_of,
        .priv = w,
        .log = &w->log_object,
    };
    assert_ok(vss_service_new(&config, &w->service, &err));
    struct kvss_provider p = fake_provider_struct();
    assert_ok(vss_register_provider(w->service, &p, &w->provider, &err));
    return w;
}

static inline void world_register(struct world *w, struct fake_writer *f)
{
    struct kvss_writer s = fake_writer_struct(f);
    struct err err = ERR_INIT;

    assert_ok(vss_register_writer(w->service, &s, f, &err));
}

/* VM writer and database writer. */
static inline int world_setup(void **state)
{
    struct world *w = world_new();

    world_register(w, &w->vm);
    world_register(w, &w->db);
    *state = w;
    return 0;
}

/* A service with other limits than the default, same writers. */
static inline void world_limits(struct world *w, unsigned freeze_ms, unsigned hold_ms, bool real_clock)
{
    struct vss_service_config config = {
        .now_ms = real_clock ? NULL : world_now,
        .volume_of = world_volume_of,
        .priv = w,
        .log = &w->log_object,
        .freeze_limit_ms = freeze_ms,
        .hold_limit_ms = hold_ms,
    };
    struct kvss_provider p = fake_provider_struct();
    struct err err = ERR_INIT;

    vss_service_free(w->service);
    assert_ok(vss_service_new(&config, &w->service, &err));
    assert_ok(vss_register_provider(w->service, &p, &w->provider, &err));
    world_register(w, &w->vm);
    world_register(w, &w->db);
}

static inline int world_teardown(void **state)
{
    struct world *w = *state;

    /* A test that failed may have left somebody hanging. */
    fake_let_go(&w->vm);
    fake_let_go(&w->db);
    fake_let_go(&w->other);
    fake_provider_let_go(&w->provider);
    clock_sleep_ms(1);
    vss_service_free(w->service);
    fake_writer_clear(&w->vm);
    fake_writer_clear(&w->db);
    fake_writer_clear(&w->other);
    trace_clear(&w->trace);
    trace_clear(&w->events);
    trace_clear(&w->log);
    free(w);
    return 0;
}

#define world_test(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

/* ---- Steps of a session ---------------------------------------------------------------------------------------------------*/
static inline struct vss_session *session_begin(struct world *w)
{
    struct vss_session *v = NULL;
    struct err err = ERR_INIT;

    assert_ok(vss_session_new(w->service, &v, &err));
    vss_set_event_log(v, world_event, w);
    return v;
}

static inline struct vss_session *session_gathered(struct world *w)
{
    struct vss_session *v = session_begin(w);
    struct err err = ERR_INIT;

    assert_ok(vss_initialize_for_backup(v, &err));
    assert_ok(vss_gather_writer_metadata(v, &err));
    return v;
}

/* Both VMs and the database, volumes added. */
static inline struct vss_session *session_set(struct world *w)
{
    struct vss_session *v = session_gathered(w);
    struct err err = ERR_INIT;
    const char *id = NULL;

    assert_ok(vss_add_component(v, VM_WRITER_ID, "", "web01", &err));
    assert_ok(vss_add_component(v, VM_WRITER_ID, NULL, "db01", &err));
    assert_ok(vss_add_component(v, DB_WRITER_ID, NULL, "orders", &err));
    assert_ok(vss_start_snapshot_set(v, &id, &err));
    assert_int_equal(strlen(id), 36);
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
    return v;
}

static inline struct vss_session *session_prepared(struct world *w)
{
    struct vss_session *v = session_set(w);
    struct err err = ERR_INIT;

    assert_ok(vss_prepare_for_backup(v, &err));
    return v;
}

static inline struct vss_session *session_snapped(struct world *w)
{
    struct vss_session *v = session_prepared(w);
    struct err err = ERR_INIT;

    assert_ok(vss_do_snapshot_set(v, &err));
    return v;
}

static inline struct vss_session *session_complete(struct world *w)
{
    struct vss_session *v = session_snapped(w);
    struct err err = ERR_INIT;

    assert_ok(vss_set_backup_succeeded(v, VM_WRITER_ID, NULL, "web01", true, &err));
    assert_ok(vss_set_backup_succeeded(v, VM_WRITER_ID, NULL, "db01", true, &err));
    assert_ok(vss_set_backup_succeeded(v, DB_WRITER_ID, NULL, "orders", true, &err));
    assert_ok(vss_backup_complete(v, &err));
    return v;
}

/* The documents of a good backup; caller frees all three. */
struct documents {
    char *components, *vm, *db;
};

static inline void documents_free(struct documents *d)
{
    free(d->components);
    free(d->vm);
    free(d->db);
}

static inline struct documents documents_of_backup(struct world *w)
{
    struct vss_session *v = session_complete(w);
    struct documents d = { 0 };
    struct err err = ERR_INIT;

    assert_ok(vss_save_as_xml(v, &d.components, &err));
    assert_ok(vss_writer_metadata_xml(v, 0, &d.vm, &err));
    assert_ok(vss_writer_metadata_xml(v, 1, &d.db, &err));
    vss_session_release(v);
    return d;
}

/* A restore with documents loaded and writers gathered. */
static inline struct vss_session *session_restore(struct world *w, const struct documents *d)
{
    struct vss_session *v = session_begin(w);
    struct err err = ERR_INIT;

    assert_ok(vss_initialize_for_restore(v, d->components, &err));
    assert_ok(vss_load_writer_metadata(v, d->vm, &err));
    assert_ok(vss_load_writer_metadata(v, d->db, &err));
    assert_ok(vss_gather_writer_metadata(v, &err));
    return v;
}

static inline struct vss_writer_status status_of(struct vss_session *v, const char *id)
{
    struct vss_writer_status s = { 0 };
    struct err err = ERR_INIT;

    assert_ok(vss_gather_writer_status(v, &err));
    for (size_t i = 0; i < vss_writer_status_count(v); i++) {
        assert_ok(vss_get_writer_status(v, i, &s, &err));
        if (strcmp(s.id, id) == 0)
            return s;
    }
    fail_msg("writer %s has no status", id);
    return s;
}

#endif
