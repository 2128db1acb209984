/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Several sessions of one service at once (behaviour 12), writers of one event at once, and Identify in the middle of a backup.
 * Worth running under ThreadSanitizer too. */
#include "base/par.h"
#include "vss_world.h"

/* A writer that many sessions may use at once: it keeps what it knows with the session. */
struct shared_writer {
    int identified, prepared, shut_down, at_once, most_at_once, wrong;
    unsigned work_ms;
    const char *component;
};

struct kept { /* for one session */
    char session[40];
    int events;
};

static int shared_identify(void *priv, struct kvss_metadata *md, struct err *err)
{
    struct shared_writer *w = priv;
    struct kvss_md_component c = { .type = VSS_CT_FILEGROUP, .name = w->component, .selectable = true };
    struct kvss_md_files f = { .path = "/vol/a/data", .filespec = "*" };
    int r = kvss_md_set_restore_method(md, VSS_RME_CUSTOM, NULL, VSS_WRE_ALWAYS, false, err);

    __atomic_add_fetch(&w->identified, 1, __ATOMIC_SEQ_CST);
    if (r == 0)
        r = kvss_md_add_component(md, &c, err);
    return r < 0 ? r : kvss_md_add_files(md, NULL, w->component, &f, err);
}

static bool shared_prepare(void *priv, struct kvss_event *ev)
{
    struct shared_writer *w = priv;
    struct kept *k = calloc(1, sizeof *k);

    if (!k || kvss_event_data(ev))
        return false;
    snprintf(k->session, sizeof k->session, "%s", kvss_event_session_id(ev));
    kvss_event_set_data(ev, k);
    __atomic_add_fetch(&w->prepared, 1, __ATOMIC_SEQ_CST);
    return true;
}

static bool shared_event(void *priv, struct kvss_event *ev)
{
    struct shared_writer *w = priv;
    struct kept *k = kvss_event_data(ev);
    struct err err = ERR_INIT;
    char stamp[64];

    if (!k || strcmp(k->session, kvss_event_session_id(ev)) != 0) {
        __atomic_add_fetch(&w->wrong, 1, __ATOMIC_SEQ_CST);
        return false;
    }
    k->events++;
    int now = __atomic_add_fetch(&w->at_once, 1, __ATOMIC_SEQ_CST);
    int most = __atomic_load_n(&w->most_at_once, __ATOMIC_SEQ_CST);
    while (now > most && !__atomic_compare_exchange_n(&w->most_at_once, &most, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
    clock_sleep_ms(w->work_ms);
    __atomic_sub_fetch(&w->at_once, 1, __ATOMIC_SEQ_CST);
    snprintf(stamp, sizeof stamp, "%s %d", k->session, k->events);
    return kvss_component_set_backup_stamp(kvss_event_component(ev, 0), stamp, &err) == 0;
}

static bool shared_shutdown(void *priv, struct kvss_event *ev)
{
    struct shared_writer *w = priv;

    free(kvss_event_data(ev));
    kvss_event_set_data(ev, NULL);
    __atomic_add_fetch(&w->shut_down, 1, __ATOMIC_SEQ_CST);
    return true;
}

static struct kvss_writer shared_struct(const char *name, const char *id)
{
    return (struct kvss_writer){
        .struct_size = sizeof(struct kvss_writer),
        .api = KVSS_WRITER_API,
        .name = name,
        .id = id,
        .usage = VSS_UT_USERDATA,
        .source = VSS_ST_OTHER,
        .identify = shared_identify,
        .prepare_backup = shared_prepare,
        .prepare_snapshot = shared_event,
        .freeze = shared_event,
        .thaw = shared_event,
        .post_snapshot = shared_event,
        .abort = shared_event,
        .backup_shutdown = shared_shutdown,
    };
}

struct crowd {
    struct vss_service *service;
    struct shared_writer writer;
    struct trace trace;
    uint64_t clock;
    struct fake_provider provider;
    int rounds;
};

/* A whole backup; every third is aborted after the snapshot set. */
static int one_backup(void *ctx, size_t i, struct err *err)
{
    struct crowd *c = ctx;
    struct vss_session *v = NULL;
    struct vss_component_state s;
    char expected[64];
    int r = vss_session_new(c->service, &v, err);

    if (r < 0)
        return r;
    if ((r = vss_initialize_for_backup(v, err)) == 0 && (r = vss_gather_writer_metadata(v, err)) == 0 &&
        (r = vss_add_component(v, VM_WRITER_ID, NULL, "data", err)) == 0 && (r = vss_start_snapshot_set(v, NULL, err)) == 0 &&
        (r = vss_add_to_snapshot_set(v, "/", NULL, NULL, err)) == 0 && (r = vss_prepare_for_backup(v, err)) == 0 &&
        (r = vss_do_snapshot_set(v, err)) == 0 && (r = vss_get_component_state(v, VM_WRITER_ID, NULL, "data", &s, err)) == 0) {
        snprintf(expected, sizeof expected, "%s 4", vss_session_id(v));
        if (strcmp(s.backup_stamp, expected) != 0)
            r = err_set(err, EIO, "'%s' is not '%s'", s.backup_stamp, expected);
        else
            r = i % 3 == 0 ? vss_abort_backup(v, err) : vss_backup_complete(v, err);
    }
    vss_session_release(v);
    return r;
}

static int many_backups(void *ctx, size_t i, struct err *err)
{
    struct crowd *c = ctx;
    int r = 0;

    for (int k = 0; r == 0 && k < c->rounds; k++)
        r = one_backup(ctx, i, err);
    return r;
}

static void crowd_begin(struct crowd *c)
{
    struct kvss_writer s = shared_struct("shared", VM_WRITER_ID);
    struct kvss_provider p = fake_provider_struct();
    struct err err = ERR_INIT;

    *c = (struct crowd){ .rounds = 5, .writer.component = "data" };
    pthread_mutex_init(&c->trace.lock, NULL);
    pthread_mutex_init(&c->provider.lock, NULL);
    pthread_cond_init(&c->provider.changed, NULL);
    c->provider.trace = &c->trace;
    c->provider.clock = &c->clock;
    /* The fake provider counts copies for one session; here only its calls matter. */
    assert_ok(vss_service_new(NULL, &c->service, &err));
    assert_ok(vss_register_writer(c->service, &s, &c->writer, &err));
    p.begin_prepare = fake_begin_prepare;
    assert_ok(vss_register_provider(c->service, &p, &c->provider, &err));
}

static void crowd_end(struct crowd *c)
{
    vss_service_free(c->service);
    trace_clear(&c->trace);
}

static void behaviour_12_sessions_do_not_meet(void **state)
{
    struct crowd c;
    struct err err = ERR_INIT;

    (void)state;
    crowd_begin(&c);
    assert_ok(par_each(6, 0, many_backups, &c, &err));
    assert_int_equal(c.writer.wrong, 0);
    assert_int_equal(c.writer.prepared, 30);
    assert_int_equal(c.writer.shut_down, 30);
    crowd_end(&c);
}

static int hold_and_identify(void *ctx, size_t i, struct err *err)
{
    struct crowd *c = ctx;
    struct vss_session *v = NULL;

    if (i == 0)
        return many_backups(ctx, 1, err);
    for (int k = 0; k < 20; k++) {
        int r = vss_session_new(c->service, &v, err);
        if (r == 0)
            r = vss_initialize_for_backup(v, err);
        if (r == 0)
            r = vss_gather_writer_metadata(v, err);
        if (r == 0)
            r = vss_gather_writer_status(v, err);
        vss_session_release(v);
        if (r < 0)
            return r;
    }
    return 0;
}

static void behaviour_12_identify_in_the_middle_of_a_backup(void **state)
{
    struct crowd c;
    struct err err = ERR_INIT;

    (void)state;
    crowd_begin(&c);
    c.rounds = 3;
    c.writer.work_ms = 2;
    assert_ok(par_each(2, 0, hold_and_identify, &c, &err));
    assert_int_equal(c.writer.identified, 23);
    assert_int_equal(c.writer.wrong, 0);
    crowd_end(&c);
}

/* Two writers whose handlers wait for each other: that ends only if they run at the same time. */
struct pair {
    struct par_barrier *barrier;
    int met;
};

static bool meet(void *priv, struct kvss_event *ev)
{
    struct pair *p = priv;

    (void)ev;
    if (par_barrier_wait(p->barrier))
        __atomic_add_fetch(&p->met, 1, __ATOMIC_SEQ_CST);
    return true;
}

static int identify_nothing(void *priv, struct kvss_metadata *md, struct err *err)
{
    (void)priv;
    return kvss_md_set_restore_method(md, VSS_RME_CUSTOM, NULL, VSS_WRE_ALWAYS, false, err);
}

static void writers_of_one_event_work_at_once(void **state)
{
    struct crowd c;
    struct pair p = { 0 };
    struct kvss_writer a = shared_struct("first", DB_WRITER_ID), b = shared_struct("second", LOG_WRITER_ID);
    struct vss_session *v = NULL;
    struct err err = ERR_INIT;

    (void)state;
    crowd_begin(&c);
    assert_ok(par_barrier_new(2, &p.barrier, &err));
    a.identify = b.identify = identify_nothing;
    a.prepare_snapshot = a.freeze = a.thaw = a.post_snapshot = a.abort = meet;
    b.prepare_snapshot = b.freeze = b.thaw = b.post_snapshot = b.abort = meet;
    a.prepare_backup = b.prepare_backup = a.backup_shutdown = b.backup_shutdown = NULL;
    assert_ok(vss_register_writer(c.service, &a, &p, &err));
    assert_ok(vss_register_writer(c.service, &b, &p, &err));
    assert_ok(vss_session_new(c.service, &v, &err));
    assert_ok(vss_initialize_for_backup(v, &err));
    assert_ok(vss_disable_writer_class(v, VM_WRITER_ID, &err));
    assert_ok(vss_set_backup_state(v, false, false, VSS_BT_FULL, false, &err));
    assert_ok(vss_gather_writer_metadata(v, &err));
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/", NULL, NULL, &err));
    assert_ok(vss_prepare_for_backup(v, &err));
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_ok(vss_abort_backup(v, &err));
    assert_int_equal(p.met, 10);
    vss_session_release(v);
    par_barrier_free(p.barrier);
    crowd_end(&c);
}

/* Registering goes on while sessions come and go. */
static int register_or_list(void *ctx, size_t i, struct err *err)
{
    struct crowd *c = ctx;
    char id[40];

    if (i == 0)
        return many_backups(ctx, 1, err);
    for (int k = 0; k < 20; k++) {
        struct kvss_provider p = fake_provider_struct();
        snprintf(id, sizeof id, "99999999-0000-4000-8000-0000000%02zu%03d", i, k);
        p.id = id;
        int r = vss_register_provider(c->service, &p, &c->provider, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static void registering_beside_sessions(void **state)
{
    struct crowd c;
    struct err err = ERR_INIT;

    (void)state;
    crowd_begin(&c);
    assert_ok(par_each(3, 0, register_or_list, &c, &err));
    assert_int_equal(vss_provider_count(c.service), 41);
    crowd_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behaviour_12_sessions_do_not_meet),
        cmocka_unit_test(behaviour_12_identify_in_the_middle_of_a_backup),
        cmocka_unit_test(writers_of_one_event_work_at_once),
        cmocka_unit_test(registering_beside_sessions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
