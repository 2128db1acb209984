/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which provider shadows what: asked in order, for volumes and for disks of VMs; and what the session does through those chosen. */
#include "vss_world.h"

#define DISKS_ID "99999999-2222-4333-8444-555555555501"
#define FILES_ID "99999999-2222-4333-8444-555555555502"
#define WEB "web01"

/* A provider of one volume. */
struct shelf {
    struct trace *trace;
    const char *name, *id, *volume, *device, *why_not, *lost;
    bool disks; /* it takes points */
    bool lies;
    bool fails;
};

static int shelf_supported(void *p, const struct kvss_volume *volume, bool *ret, struct err *err)
{
    const struct shelf *s = p;
    char *line = str_format("asks %s %s %s", volume->name, volume->vm_uuid ? volume->vm_uuid : "-", volume->target ? volume->target : "-");

    trace_add(s->trace, s->name, line);
    free(line);
    if (s->fails)
        return err_set(err, EIO, "the disk array does not answer");
    *ret = !strcmp(s->volume, volume->name);
    return 0;
}

static int shelf_begin(void *p, const char *set_id, const char *snapshot_id, const char *volume, uint32_t context, struct err *err)
{
    const struct shelf *s = p;

    (void)set_id, (void)snapshot_id, (void)volume, (void)context, (void)err;
    trace_add(s->trace, s->name, "begin");
    return 0;
}

static int shelf_step(void *p, const char *set_id, struct err *err)
{
    (void)p, (void)set_id, (void)err;
    return 0;
}

static int shelf_point(struct shelf *s, const char *what, const struct kvss_point *point)
{
    struct buf b = BUF_INIT;

    buf_addf(&b, "%s", what);
    for (size_t i = 0; i < point->n_disks; i++)
        buf_addf(&b, " %s", point->disks[i].target);
    char *line = buf_take_str(&b);
    trace_add(s->trace, s->name, line);
    free(line);
    return 0;
}

static int shelf_prepare_point(void *p, const struct kvss_point *point, struct err *err)
{
    (void)err;
    return shelf_point(p, "prepare", point);
}

static int shelf_take_point(void *p, const struct kvss_point *point, struct err *err)
{
    (void)err;
    return shelf_point(p, "take", point);
}

static int shelf_open(void *p, const char *set_id, const char *vm_uuid, const char *target, struct kvss_disk_source *ret, struct err *err)
{
    const struct shelf *s = p;

    (void)set_id, (void)err;
    ret->path = str_format("/copies/%s/%s", vm_uuid, target);
    ret->format = s->lies ? NULL : strdup("raw");
    return 0;
}

static int shelf_device(void *p, const char *set_id, const char *snapshot_id, char **ret, struct err *err)
{
    const struct shelf *s = p;

    (void)set_id, (void)snapshot_id, (void)err;
    *ret = s->device ? strdup(s->device) : NULL;
    return 0;
}

static int shelf_health(void *p, char **ret_why_not, struct err *err)
{
    const struct shelf *s = p;

    (void)err;
    *ret_why_not = s->why_not ? strdup(s->why_not) : NULL;
    return 0;
}

static int shelf_room(void *p, const char *volume, struct kvss_room *ret, struct err *err)
{
    (void)p, (void)err;
    *ret = (struct kvss_room){ .free_bytes = 5, .total_bytes = 7, .place = strdup(volume ? volume : "/pool") };
    return 0;
}

static int shelf_check(void *p, const char *set_id, char **ret_vm_uuid, struct err *err)
{
    const struct shelf *s = p;

    (void)set_id;
    if (!s->lost)
        return 0;
    *ret_vm_uuid = *s->lost ? strdup(s->lost) : NULL;
    return err_set(err, ENOSPC, "the pool of %s is full", s->name);
}

static void shelf_register(struct world *w, struct shelf *s)
{
    struct err err = ERR_INIT;
    struct kvss_provider p = {
        .struct_size = sizeof(p),
        .api = KVSS_PROVIDER_API,
        .name = s->name,
        .id = s->id,
        .type = KVSS_PROV_HARDWARE,
        .check_health = shelf_health,
        .free_room = shelf_room,
        .is_volume_supported = shelf_supported,
        .begin_prepare = shelf_begin,
        .prepare_point = s->disks ? shelf_prepare_point : NULL,
        .take_point = s->disks ? shelf_take_point : NULL,
        .commit = shelf_step,
        .snapshot_device = shelf_device,
        .open_disk = s->disks ? shelf_open : NULL,
        .check_snapshots = shelf_check,
        .abort_snapshots = shelf_step,
        .delete_snapshots = shelf_step,
    };

    s->trace = &w->trace;
    assert_ok(vss_register_provider(w->service, &p, s, &err));
}

/* A service with two of them, of volumes a (disks too) and b, and two writers; a service's own provider would support all. */
static struct vss_session *begin_with(struct world *w, struct shelf *a, struct shelf *b)
{
    struct vss_service_config config = { .now_ms = world_now, .volume_of = world_volume_of, .priv = w, .log = &w->log_object };
    struct vss_session *v;
    struct err err = ERR_INIT;

    vss_service_free(w->service);
    assert_ok(vss_service_new(&config, &w->service, &err));
    shelf_register(w, a);
    shelf_register(w, b);
    world_register(w, &w->vm);
    v = session_gathered(w);
    assert_ok(vss_add_component(v, VM_WRITER_ID, "", WEB, &err));
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    return v;
}

static struct shelf disks_shelf(void)
{
    return (struct shelf){ .name = "array", .id = DISKS_ID, .volume = "/vol/a", .disks = true };
}

static struct shelf files_shelf(void)
{
    return (struct shelf){ .name = "copies", .id = FILES_ID, .volume = "/vol/b" };
}

static const struct kvss_volume disk_a = { "/vol/a", WEB, "vda", "/vol/a/images/web01.qcow2" };

/* ---- Choosing -------------------------------------------------------------------------------------------------------------*/

static void the_first_that_supports_it_is_taken(void **state)
{
    struct world *w = *state;
    struct shelf a = disks_shelf(), b = files_shelf();
    struct vss_session *v = begin_with(w, &a, &b);
    struct kvss_snapshot_properties p;
    struct vss_provider_info info;
    struct err err = ERR_INIT;
    size_t before = trace_len(&w->trace);

    b.volume = "/vol/a"; /* both would */
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
    _cleanup_free_ char *asked = trace_text(&w->trace, before);
    assert_string_equal(asked, "array:asks /vol/a - - array:begin");
    b.volume = "/vol/b"; /* the first does not: the next is asked */
    before = trace_len(&w->trace);
    assert_ok(vss_add_to_snapshot_set(v, "/vol/b", NULL, NULL, &err));
    _cleanup_free_ char *then = trace_text(&w->trace, before);
    assert_string_equal(then, "array:asks /vol/b - - copies:asks /vol/b - - copies:begin");
    assert_ok(vss_prepare_for_backup(v, &err));
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_ok(vss_get_snapshot_properties(v, 0, &p, &err));
    assert_string_equal(p.provider_id, DISKS_ID);
    assert_ok(vss_get_snapshot_properties(v, 1, &p, &err));
    assert_string_equal(p.provider_id, FILES_ID);
    vss_session_release(v);
    assert_ok(vss_find_provider(w->service, NULL, &(struct kvss_volume){ .name = "/vol/b" }, &info, &err));
    assert_string_equal(info.name, "copies");
    assert_fails(EOPNOTSUPP, vss_find_provider(w->service, NULL, &(struct kvss_volume){ .name = "/vol/c" }, &info, &err));
}

static void who_is_named_is_asked_alone(void **state)
{
    struct world *w = *state;
    struct shelf a = disks_shelf(), b = files_shelf();
    struct vss_session *v = begin_with(w, &a, &b);
    struct err err = ERR_INIT;
    size_t before = trace_len(&w->trace);

    b.volume = "/vol/a";
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", "copies", NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", DISKS_ID, NULL, &err)); /* once for each */
    _cleanup_free_ char *asked = trace_text(&w->trace, before);
    assert_string_equal(asked, "copies:asks /vol/a - - copies:begin array:asks /vol/a - - array:begin");
    assert_fails(EEXIST, vss_add_to_snapshot_set(v, "/vol/a", "copies", NULL, &err));
    assert_fails(EOPNOTSUPP, vss_add_to_snapshot_set(v, "/vol/b", DISKS_ID, NULL, &err));
    assert_int_equal(err.hresult, VSS_E_VOLUME_NOT_SUPPORTED);
    assert_fails(ENOENT, vss_add_to_snapshot_set(v, "/vol/b", "tapes", NULL, &err));
    assert_int_equal(err.hresult, VSS_E_PROVIDER_NOT_REGISTERED);
    vss_session_release(v);
}

static void where_none_does_the_volume_is_refused(void **state)
{
    struct world *w = *state;
    struct shelf a = disks_shelf(), b = files_shelf();
    struct vss_session *v = begin_with(w, &a, &b);
    const struct kvss_volume disk = { "/vol/b", WEB, "vda", "/vol/b/x" };
    struct err err = ERR_INIT;

    assert_fails(EOPNOTSUPP, vss_add_to_snapshot_set(v, "/vol/c", NULL, NULL, &err));
    assert_int_equal(err.hresult, VSS_E_VOLUME_NOT_SUPPORTED);
    size_t before = trace_len(&w->trace);
    assert_fails(EOPNOTSUPP, vss_add_disk_to_snapshot_set(v, &disk, NULL, NULL, &err)); /* `copies` takes no points */
    assert_non_null(strstr(err.text, "disk vda on volume '/vol/b'"));
    _cleanup_free_ char *asked = trace_text(&w->trace, before);
    assert_string_equal(asked, "array:asks /vol/b web01 vda");
    assert_int_equal(vss_snapshot_count(v), 0);
    a.fails = true;
    assert_fails(EIO, vss_add_to_snapshot_set(v, "/vol/b", NULL, NULL, &err));
    assert_non_null(strstr(err.text, "provider 'array'"));
    vss_session_release(v);
}

/* ---- Disks ----------------------------------------------------------------------------------------------------------------*/

static void a_disk_is_read_from_who_shadows_it(void **state)
{
    struct world *w = *state;
    struct shelf a = disks_shelf(), b = files_shelf();
    struct vss_session *v = begin_with(w, &a, &b);
    const struct kvss_volume rest = { "/vol/a", WEB, NULL, NULL };
    struct kvss_disk_source source = { 0 };
    struct err err = ERR_INIT;

    assert_ok(vss_add_disk_to_snapshot_set(v, &disk_a, NULL, NULL, &err));
    assert_ok(vss_add_disk_to_snapshot_set(v, &disk_a, NULL, NULL, &err)); /* it is there */
    size_t before = trace_len(&w->trace);
    assert_ok(vss_add_disk_to_snapshot_set(v, &rest, NULL, NULL, &err));
    assert_int_equal(trace_len(&w->trace), before); /* what else the VM has there is in the set with its disk: nobody is asked */
    assert_int_equal(vss_snapshot_count(v), 1);
    assert_fails(EPROTO, vss_open_disk(v, WEB, "vda", &source, &err));
    assert_ok(vss_prepare_for_backup(v, &err));
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_ok(vss_open_disk(v, WEB, "vda", &source, &err));
    assert_string_equal(source.path, "/copies/web01/vda");
    kvss_disk_source_free(&source);
    assert_fails(ENOENT, vss_open_disk(v, WEB, "vdb", &source, &err));
    assert_int_equal(err.hresult, VSS_E_OBJECT_NOT_FOUND);
    a.lies = true; /* neither an export nor an image that could be read */
    assert_fails(EPROTO, vss_open_disk(v, WEB, "vda", &source, &err));
    assert_non_null(strstr(err.text, "provider 'array'"));
    assert_ok(vss_delete_snapshots(v, &err));
    assert_fails(ENOENT, vss_open_disk(v, WEB, "vda", &source, &err));
    vss_session_release(v);
}

/* The VM writer of this test takes points as its PrepareForSnapshot does it. */
static bool takes_points(void *writer, struct kvss_event *ev)
{
    static const struct kvss_point_disk disks[] = { { "vda", "/a", "raw", false },
                                                    { "vdb", "/b", "raw", false },
                                                    { "vdc", "/c", "raw", false } };
    const struct kvss_point point = { .set_id = kvss_event_set_id(ev), .vm_uuid = WEB, .vm_name = WEB, .n_disks = 3, .disks = disks };
    const struct kvss_point other = { .set_id = kvss_event_set_id(ev), .vm_uuid = "db01", .vm_name = "db01", .n_disks = 1, .disks = disks };
    struct err err = ERR_INIT;

    (void)writer;
    if (kvss_event_prepare_point(ev, &point, &err) < 0 || kvss_event_take_point(ev, &point, &err) < 0)
        kvss_set_writer_failure(ev, VSS_E_WRITERERROR_NONRETRYABLE, "%s", err.text);
    else if (kvss_event_take_point(ev, &other, &err) != -EAGAIN)
        kvss_set_writer_failure(ev, VSS_E_WRITERERROR_NONRETRYABLE, "a disk that nobody shadows has a point");
    else
        return true;
    return false;
}

static void each_provider_gets_the_points_of_its_disks(void **state)
{
    struct world *w = *state;
    struct shelf a = disks_shelf(), b = files_shelf();
    struct err err = ERR_INIT;

    b.disks = true;
    struct vss_session *v = begin_with(w, &a, &b);
    vss_session_release(v);
    struct kvss_writer s = fake_writer_struct(&w->db);
    s.prepare_snapshot = takes_points;
    assert_ok(vss_register_writer(w->service, &s, &w->db, &err));
    v = session_gathered(w);
    assert_ok(vss_add_component(v, DB_WRITER_ID, NULL, "orders", &err));
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
    assert_ok(vss_add_disk_to_snapshot_set(v, &disk_a, NULL, NULL, &err));
    assert_ok(vss_add_disk_to_snapshot_set(v, &(struct kvss_volume){ "/vol/b", WEB, "vdb", "/b" }, NULL, NULL, &err));
    assert_ok(vss_add_disk_to_snapshot_set(v, &(struct kvss_volume){ "/vol/a", WEB, "vdc", "/c" }, NULL, NULL, &err));
    assert_ok(vss_prepare_for_backup(v, &err));
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_int_equal(trace_count(&w->trace, "array:prepare vda vdc"), 1);
    assert_int_equal(trace_count(&w->trace, "array:take vda vdc"), 1);
    assert_int_equal(trace_count(&w->trace, "copies:prepare vdb"), 1);
    assert_int_equal(trace_count(&w->trace, "copies:take vdb"), 1);
    vss_session_release(v);
}

/* ---- Where the copies are -------------------------------------------------------------------------------------------------*/

static bool hears(struct fake_writer *w, const char *event, struct kvss_event *ev)
{
    const char *device = kvss_event_snapshot_device(ev, "/vol/a"), *none = kvss_event_snapshot_device(ev, "/vol/b");
    char *line = str_format("%zu %s%s", kvss_event_snapshot_count(ev), device ? device : "-", none ? " and b" : "");

    trace_add(w->trace, event, line);
    free(line);
    return true;
}
#define HEARS(name)                                          \
    static bool hears_##name(void *p, struct kvss_event *ev) \
    {                                                        \
        return hears(p, #name, ev);                          \
    }
HEARS(prepare)
HEARS(freeze)
HEARS(thaw)
HEARS(post)
HEARS(complete)
HEARS(shutdown)
HEARS(abort)

/* With a writer of its own that hears. */
static struct vss_session *begin_hearing(struct world *w, struct shelf *a, struct shelf *b)
{
    struct kvss_writer s = fake_writer_struct(&w->db);
    struct err err = ERR_INIT;

    vss_session_release(begin_with(w, a, b));
    s.prepare_snapshot = hears_prepare, s.freeze = hears_freeze, s.thaw = hears_thaw, s.post_snapshot = hears_post;
    s.backup_complete = hears_complete, s.backup_shutdown = hears_shutdown, s.abort = hears_abort;
    assert_ok(vss_register_writer(w->service, &s, &w->db, &err));
    struct vss_session *v = session_gathered(w);
    assert_ok(vss_add_component(v, DB_WRITER_ID, NULL, "orders", &err));
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/b", NULL, NULL, &err));
    assert_ok(vss_prepare_for_backup(v, &err));
    return v;
}

static void writers_are_told_where_the_copy_is(void **state)
{
    struct world *w = *state;
    struct shelf a = disks_shelf(), b = files_shelf();
    struct kvss_snapshot_properties p;
    struct err err = ERR_INIT;

    a.device = "/run/copies/7/a";
    struct vss_session *v = begin_hearing(w, &a, &b);
    size_t before = trace_len(&w->trace);
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_ok(vss_get_snapshot_properties(v, 0, &p, &err));
    assert_string_equal(p.device, "/run/copies/7/a");
    assert_ok(vss_get_snapshot_properties(v, 1, &p, &err));
    assert_null(p.device);
    assert_ok(vss_set_backup_succeeded(v, DB_WRITER_ID, NULL, "orders", true, &err));
    assert_ok(vss_backup_complete(v, &err));
    vss_session_release(v);
    _cleanup_free_ char *told = trace_text(&w->trace, before);
    assert_string_equal(told, "prepare:0 - freeze:0 - thaw:0 - post:2 /run/copies/7/a complete:2 /run/copies/7/a "
                              "shutdown:2 /run/copies/7/a");

    /* Once they are deleted they are nowhere. */
    v = begin_hearing(w, &a, &b);
    assert_ok(vss_do_snapshot_set(v, &err));
    assert_ok(vss_delete_snapshots(v, &err));
    before = trace_len(&w->trace);
    assert_ok(vss_backup_complete(v, &err));
    vss_session_release(v);
    _cleanup_free_ char *then = trace_text(&w->trace, before);
    assert_string_equal(then, "complete:0 - shutdown:0 -");
}

static void a_copy_in_no_real_place_fails_the_set(void **state)
{
    struct world *w = *state;
    struct shelf a = disks_shelf(), b = files_shelf();
    struct err err = ERR_INIT;

    a.device = "copies/a";
    struct vss_session *v = begin_hearing(w, &a, &b);
    size_t before = trace_len(&w->trace);
    assert_fails(EINVAL, vss_do_snapshot_set(v, &err));
    assert_non_null(strstr(err.text, "provider 'array'"));
    assert_non_null(strstr(err.text, "'copies/a' is not an absolute path"));
    _cleanup_free_ char *told = trace_text(&w->trace, before);
    assert_string_equal(told, "prepare:0 - freeze:0 - thaw:0 - abort:0 -");
    vss_session_release(v);
}

/* ---- What else is asked ---------------------------------------------------------------------------------------------------*/

static void health_room_and_loss_are_asked_for(void **state)
{
    struct world *w = *state;
    struct shelf a = disks_shelf(), b = files_shelf();
    struct vss_session *v = begin_with(w, &a, &b);
    _cleanup_free_ char *why = NULL, *vm = NULL;
    struct kvss_room room = { 0 };
    struct err err = ERR_INIT;

    assert_ok(vss_provider_check_health(w->service, 0, &why, &err));
    assert_null(why);
    a.why_not = "the array's tool is not installed";
    assert_ok(vss_provider_check_health(w->service, 0, &why, &err));
    assert_string_equal(why, a.why_not);
    assert_ok(vss_provider_free_room(w->service, 0, "/vol/a", &room, &err));
    assert_int_equal(room.free_bytes, 5);
    assert_string_equal(room.place, "/vol/a");
    free(room.place);

    assert_ok(vss_check_snapshots(v, &vm, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/b", NULL, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/vol/a", NULL, NULL, &err));
    assert_ok(vss_check_snapshots(v, &vm, &err));
    b.lost = "";
    assert_fails(ENOSPC, vss_check_snapshots(v, &vm, &err));
    assert_null(vm);
    a.lost = WEB; /* who knows for which VM is heard */
    assert_fails(ENOSPC, vss_check_snapshots(v, &vm, &err));
    assert_string_equal(vm, WEB);
    assert_non_null(strstr(err.text, "array"));
    assert_fails(ENOSPC, vss_check_snapshots(v, NULL, &err));
    vss_session_release(v);
}

static void half_of_points_is_not_registered(void **state)
{
    struct world *w = *state;
    struct kvss_provider p = fake_provider_struct();
    struct err err = ERR_INIT;

    p.id = DISKS_ID;
    p.take_point = shelf_take_point;
    assert_fails(EINVAL, vss_register_provider(w->service, &p, NULL, &err));
    assert_non_null(strstr(err.text, "open_disk"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(the_first_that_supports_it_is_taken),        world_test(who_is_named_is_asked_alone),
        world_test(where_none_does_the_volume_is_refused),      world_test(a_disk_is_read_from_who_shadows_it),
        world_test(each_provider_gets_the_points_of_its_disks), world_test(writers_are_told_where_the_copy_is),
        world_test(a_copy_in_no_real_place_fails_the_set),      world_test(health_room_and_loss_are_asked_for),
        world_test(half_of_points_is_not_registered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
