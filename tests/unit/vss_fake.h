/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A small world for tests of the service: writers that own pretended VMs, a provider, a clock, and one trace of all that was
 * called, in order. What writers do to their VMs is recorded in the VMs, so that tests can ask how they were left. */
#ifndef VSS_FAKE_H
#define VSS_FAKE_H

#include "base/clock.h"
#include "base/log.h"
#include "test.h"
#include "vss/vss.h"
#include <pthread.h>

#define FAKE_VMS 4
#define FAKE_WRITERS 3
#define VM_WRITER_ID "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de"
#define DB_WRITER_ID "11111111-2222-4333-8444-555555555555"
#define LOG_WRITER_ID "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
#define PROVIDER_ID "99999999-2222-4333-8444-555555555555"
#define NO_SUCH_ID "00000000-0000-4000-8000-000000000000"
#define SLOW_ID "77777777-2222-4333-8444-555555555555"

/* ---- Trace ----------------------------------------------------------------------------------------------------------------*/
struct trace {
    pthread_mutex_t lock;
    char *lines[1024];
    size_t n;
};

static inline void trace_add(struct trace *t, const char *who, const char *what)
{
    pthread_mutex_lock(&t->lock);
    if (t->n < ARRAY_SIZE(t->lines))
        t->lines[t->n++] = str_format("%s%s%s", who, *who ? ":" : "", what);
    pthread_mutex_unlock(&t->lock);
}

static inline size_t trace_len(struct trace *t)
{
    pthread_mutex_lock(&t->lock);
    size_t n = t->n;
    pthread_mutex_unlock(&t->lock);
    return n;
}

static inline size_t trace_count(struct trace *t, const char *line)
{
    size_t n = 0;

    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < t->n; i++)
        n += strcmp(t->lines[i], line) == 0;
    pthread_mutex_unlock(&t->lock);
    return n;
}

static inline void trace_clear(struct trace *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->lines[i]);
    t->n = 0;
}

/* The lines from `from` on, joined by blanks. Caller frees. */
static inline char *trace_text(struct trace *t, size_t from)
{
    struct buf b = BUF_INIT;

    pthread_mutex_lock(&t->lock);
    for (size_t i = from; i < t->n; i++)
        buf_addf(&b, "%s%s", i > from ? " " : "", t->lines[i]);
    pthread_mutex_unlock(&t->lock);
    return buf_take_str(&b);
}

/* ---- Writers --------------------------------------------------------------------------------------------------------------*/
enum fake_power { FAKE_RUNNING, FAKE_PAUSED, FAKE_OFF, FAKE_SAVED };
struct fake_vm {
    const char *name;
    enum fake_power power, before; /* before: as the writer found it */
    bool child;                    /* method: child snapshot; else saved state */
    bool frozen, touched;          /* touched: the writer did something that it has yet to undo */
    bool defined, good;            /* good: PostRestore registered it */
    bool fails;                    /* it cannot be snapshotted */
    bool rolled_back;              /* its image in the shadow copy was rolled back */
    int changes;                   /* times its power state was changed */
};

struct fake_writer {
    const char *name, *id; /* of the struct registered */
    struct trace *trace;
    uint64_t *clock;
    uint32_t schema;
    struct fake_vm vms[FAKE_VMS];
    size_t n_vms;
    const char *volume; /* folder of its files */
    bool required;      /* its first VM is not selectable */
    unsigned freeze_limit_ms;
    int (*identify)(struct fake_writer *w, struct kvss_metadata *md, struct err *err); /* instead of the VMs */
    /* Script. */
    const char *fail_at; /* event in which it fails */
    uint32_t fail_code;  /* 0: false without a reason; else set, and the handler returns fail_returns */
    bool fail_returns;
    const char *late_at; /* event that takes late_ms of the handed-in clock */
    uint64_t late_ms;
    const char *hang_at; /* event that does not return until `let_go` */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool let_go, hanging;
    int aborts;
    bool stamp;                      /* PostSnapshot sets stamps and metadata */
    bool told_success, told_failure; /* by BackupShutdown */
    char *last_set_id;
    uint32_t context;
    enum vss_backup_type type;
    enum vss_file_restore_status seen_status[FAKE_VMS];
    char *seen_restore[FAKE_VMS]; /* metadata + new target as PostRestore saw them */
    int64_t time_left;            /* in Freeze */
};

static inline bool is_event(const char *asked, const char *event)
{
    return asked && strcmp(asked, event) == 0;
}

/* What the script says for this event. True: go on; false: *ret is the handler's answer. */
static inline bool fake_script(struct fake_writer *w, struct kvss_event *ev, const char *event, bool *ret)
{
    trace_add(w->trace, w->name, event);
    if (is_event(w->late_at, event))
        __atomic_add_fetch(w->clock, w->late_ms, __ATOMIC_SEQ_CST);
    if (is_event(w->hang_at, event)) {
        pthread_mutex_lock(&w->lock);
        w->hanging = true;
        while (!w->let_go)
            pthread_cond_wait(&w->changed, &w->lock);
        w->hanging = false;
        pthread_cond_broadcast(&w->changed);
        pthread_mutex_unlock(&w->lock);
    }
    if (!is_event(w->fail_at, event))
        return true;
    if (w->fail_code)
        kvss_set_writer_failure(ev, w->fail_code, "%s was told to fail in %s", w->name, event);
    *ret = w->fail_returns;
    return false;
}

static inline void fake_let_go(struct fake_writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->let_go = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static inline bool fake_is_hanging(struct fake_writer *w)
{
    pthread_mutex_lock(&w->lock);
    bool hanging = w->hanging;
    pthread_mutex_unlock(&w->lock);
    return hanging;
}

static inline struct fake_vm *fake_vm(struct fake_writer *w, const struct kvss_component *c)
{
    for (size_t i = 0; i < w->n_vms; i++)
        if (strcmp(w->vms[i].name, kvss_component_name(c)) == 0)
            return &w->vms[i];
    return NULL;
}

static inline int fake_identify(void *priv, struct kvss_metadata *md, struct err *err)
{
    struct fake_writer *w = priv;
    int r;

    trace_add(w->trace, w->name, "Identify");
    if (is_event(w->fail_at, "Identify"))
        return err_set(err, EIO, "%s was told to fail in Identify", w->name);
    if (w->identify)
        return w->identify(w, md, err);
    if ((r = kvss_md_set_restore_method(md, VSS_RME_CUSTOM, NULL, VSS_WRE_ALWAYS, false, err)) < 0 ||
        (r = kvss_md_set_backup_schema(md, w->schema, err)) < 0)
        return r;
    for (size_t i = 0; i < w->n_vms; i++) {
        char caption[128];
        snprintf(caption, sizeof caption, "Backup Using %s\\%s", w->vms[i].child ? "Child Partition Snapshot" : "Saved State",
                 w->vms[i].name);
        struct kvss_md_component c = {
            .type = VSS_CT_FILEGROUP,
            .name = w->vms[i].name,
            .caption = caption,
            .vm_name = w->vms[i].name,
            .selectable = !(w->required && i == 0),
            .selectable_for_restore = true,
            .restore_metadata = true,
            .notify_on_backup_complete = true,
            .flags = VSS_CF_BACKUP_RECOVERY,
        };
        struct kvss_md_files f = { .kind = KVSS_FILES_GROUP, .path = w->volume, .filespec = "*.qcow2", .recursive = false };
        if ((r = kvss_md_add_component(md, &c, err)) < 0 || (r = kvss_md_add_files(md, NULL, c.name, &f, err)) < 0)
            return r;
    }
    return 0;
}

static inline void fake_set_power(struct fake_vm *vm, enum fake_power power)
{
    if (vm->power == power)
        return;
    vm->power = power;
    vm->changes++;
}

/* Everything that was done to the VMs is undone. */
static inline void fake_undo(struct fake_writer *w)
{
    for (size_t i = 0; i < w->n_vms; i++) {
        struct fake_vm *vm = &w->vms[i];
        vm->frozen = false;
        if (vm->touched)
            fake_set_power(vm, vm->before);
        vm->touched = false;
    }
}

static inline bool fake_prepare_backup(void *priv, struct kvss_event *ev)
{
    struct fake_writer *w = priv;
    bool ret = true;

    /* Sessions that prepare side by side meet here. */
    free(__atomic_exchange_n(&w->last_set_id, strdup(kvss_event_set_id(ev)), __ATOMIC_SEQ_CST));
    w->context = kvss_event_context(ev);
    w->type = kvss_event_backup_type(ev);
    if (!fake_script(w, ev, "PrepareForBackup", &ret))
        return ret;
    for (size_t i = 0; i < kvss_event_component_count(ev); i++) {
        struct fake_vm *vm = fake_vm(w, kvss_event_component(ev, i));
        if (vm && vm->child && (w->context & VSS_VOLSNAP_ATTR_NO_AUTORECOVERY)) {
            kvss_set_writer_failure(ev, VSS_E_WRITERERROR_NONRETRYABLE, "VM '%s': its images could not be rolled back", vm->name);
            return false;
        }
    }
    return true;
}

static inline bool fake_prepare_snapshot(void *priv, struct kvss_event *ev)
{
    struct fake_writer *w = priv;
    bool ret = true, ok = true;

    if (!fake_script(w, ev, "PrepareForSnapshot", &ret))
        return ret;
    for (size_t i = 0; i < kvss_event_component_count(ev); i++) {
        struct fake_vm *vm = fake_vm(w, kvss_event_component(ev, i));
        if (!vm)
            continue;
        vm->before = vm->power;
        vm->touched = true;
        if (vm->child)
            vm->frozen = true;
        else if (vm->power == FAKE_RUNNING)
            fake_set_power(vm, FAKE_SAVED);
        if (vm->fails) {
            kvss_set_writer_failure(ev, VSS_E_WRITERERROR_RETRYABLE, "VM '%s' cannot be snapshotted", vm->name);
            ok = false; /* the others are left as they are: Abort has to find them */
        } else {
            vm->frozen = false;
        }
    }
    return ok;
}

static inline bool fake_freeze(void *priv, struct kvss_event *ev)
{
    struct fake_writer *w = priv;
    bool ret = true;

    w->time_left = kvss_event_time_left_ms(ev);
    return fake_script(w, ev, "Freeze", &ret) ? true : ret;
}

static inline bool fake_thaw(void *priv, struct kvss_event *ev)
{
    bool ret = true;

    return fake_script(priv, ev, "Thaw", &ret) ? true : ret;
}

static inline bool fake_post_snapshot(void *priv, struct kvss_event *ev)
{
    struct fake_writer *w = priv;
    struct err err = ERR_INIT;
    bool ret = true;

    if (!fake_script(w, ev, "PostSnapshot", &ret))
        return ret;
    fake_undo(w);
    for (size_t i = 0; i < kvss_event_component_count(ev); i++) {
        struct kvss_component *c = kvss_event_component(ev, i);
        struct fake_vm *vm = fake_vm(w, c);
        if (vm && vm->child)
            vm->rolled_back = true;
        if (!w->stamp)
            continue;
        if (kvss_component_set_backup_stamp(c, "stamp 1", &err) < 0 ||
            kvss_component_set_backup_metadata(c, "{\"vm\":\n\t\"<&'>\"}", &err) < 0)
            return false;
    }
    return true;
}

static inline bool fake_backup_complete(void *priv, struct kvss_event *ev)
{
    bool ret = true;

    return fake_script(priv, ev, "BackupComplete", &ret) ? true : ret;
}

static inline bool fake_backup_shutdown(void *priv, struct kvss_event *ev)
{
    struct fake_writer *w = priv;
    bool ret = true;

    w->told_success |= kvss_event_succeeded(ev);
    w->told_failure |= !kvss_event_succeeded(ev);
    if (!kvss_event_succeeded(ev))
        fake_undo(w);
    return fake_script(w, ev, "BackupShutdown", &ret) ? true : ret;
}

static inline bool fake_abort(void *priv, struct kvss_event *ev)
{
    struct fake_writer *w = priv;
    bool ret = true;

    w->aborts++;
    if (!fake_script(w, ev, "Abort", &ret))
        return ret;
    if (!is_event(w->hang_at, "PrepareForSnapshot"))
        fake_undo(w);
    return true;
}

static inline bool fake_pre_restore(void *priv, struct kvss_event *ev)
{
    struct fake_writer *w = priv;
    struct err err = ERR_INIT;
    bool ret = true;

    if (!fake_script(w, ev, "PreRestore", &ret))
        return ret;
    for (size_t i = 0; i < kvss_event_component_count(ev); i++) {
        struct kvss_component *c = kvss_event_component(ev, i);
        struct fake_vm *vm = fake_vm(w, c);
        if (kvss_component_set_restore_metadata(c, "turned off", &err) < 0)
            return false;
        if (!vm)
            continue; /* not known on this host: PostRestore makes it */
        fake_set_power(vm, FAKE_OFF);
        vm->defined = false;
        vm->good = false;
    }
    return true;
}

static inline bool fake_post_restore(void *priv, struct kvss_event *ev)
{
    struct fake_writer *w = priv;
    bool ret = true, ok = true;

    if (!fake_script(w, ev, "PostRestore", &ret))
        return ret;
    for (size_t i = 0; i < kvss_event_component_count(ev); i++) {
        struct kvss_component *c = kvss_event_component(ev, i);
        struct kvss_new_target target = kvss_component_new_target(c, 0);
        struct fake_vm *vm = fake_vm(w, c);
        enum vss_file_restore_status status = kvss_component_file_restore_status(c);
        if (!vm && w->n_vms < FAKE_VMS) {
            vm = &w->vms[w->n_vms++];
            *vm = (struct fake_vm){ .name = kvss_component_name(c), .power = FAKE_OFF };
        }
        if (!vm)
            return false;
        w->seen_status[vm - w->vms] = status;
        free(w->seen_restore[vm - w->vms]);
        const char *backup = kvss_component_backup_metadata(c), *restore = kvss_component_restore_metadata(c);
        w->seen_restore[vm - w->vms] =
            str_format("%s|%s|%s", backup ? backup : "", restore ? restore : "", target.new_path ? target.new_path : "");
        if (status == VSS_RS_ALL) {
            vm->defined = vm->good = true;
        } else {
            kvss_set_writer_failure(ev, VSS_E_WRITERERROR_NONRETRYABLE, "VM '%s': its files were not all restored", vm->name);
            ok = false;
        }
    }
    return ok;
}

static inline struct kvss_writer fake_writer_struct(const struct fake_writer *w)
{
    return (struct kvss_writer){
        .struct_size = sizeof(struct kvss_writer),
        .api = KVSS_WRITER_API,
        .name = w->name,
        .id = w->id,
        .usage = VSS_UT_SYSTEMSERVICE,
        .source = VSS_ST_OTHER,
        .freeze_limit_ms = w->freeze_limit_ms,
        .identify = fake_identify,
        .prepare_backup = fake_prepare_backup,
        .prepare_snapshot = fake_prepare_snapshot,
        .freeze = fake_freeze,
        .thaw = fake_thaw,
        .post_snapshot = fake_post_snapshot,
        .backup_complete = fake_backup_complete,
        .backup_shutdown = fake_backup_shutdown,
        .abort = fake_abort,
        .pre_restore = fake_pre_restore,
        .post_restore = fake_post_restore,
    };
}

/* ---- Provider -------------------------------------------------------------------------------------------------------------*/
struct fake_provider {
    struct trace *trace;
    uint64_t *clock;
    const char *fail_at, *late_at, *hang_at;
    uint64_t late_ms;
    uint32_t fail_code;
    int copies; /* shadow copies that exist */
    int aborted, deleted;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool let_go;
};

static inline int fake_provider_step(struct fake_provider *p, const char *call, struct err *err)
{
    trace_add(p->trace, "provider", call);
    if (is_event(p->late_at, call))
        __atomic_add_fetch(p->clock, p->late_ms, __ATOMIC_SEQ_CST);
    if (is_event(p->hang_at, call)) {
        pthread_mutex_lock(&p->lock);
        while (!p->let_go)
            pthread_cond_wait(&p->changed, &p->lock);
        pthread_mutex_unlock(&p->lock);
    }
    if (!is_event(p->fail_at, call))
        return 0;
    return p->fail_code ? err_vss(err, p->fail_code, ENOSPC, "told to fail in %s", call) : -EIO;
}

static inline void fake_provider_let_go(struct fake_provider *p)
{
    pthread_mutex_lock(&p->lock);
    p->let_go = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static inline int fake_supported(void *p, const struct kvss_volume *volume, bool *ret, struct err *err)
{
    (void)p, (void)err;
    *ret = strncmp(volume->name, "/unsupported", 12) != 0;
    return 0;
}

static inline int fake_begin_prepare(void *priv, const char *set_id, const char *snapshot_id, const char *volume, uint32_t context,
                                     struct err *err)
{
    struct fake_provider *p = priv;

    (void)context;
    if (!*set_id || !*snapshot_id || !*volume)
        return -EINVAL;
    int r = fake_provider_step(p, "begin_prepare", err);
    __atomic_add_fetch(&p->copies, r == 0, __ATOMIC_SEQ_CST);
    return r;
}

#define FAKE_PROVIDER_CALL(name)                                                   \
    static inline int fake_##name(void *priv, const char *set_id, struct err *err) \
    {                                                                              \
        return *set_id ? fake_provider_step(priv, #name, err) : -EINVAL;           \
    }
FAKE_PROVIDER_CALL(end_prepare)
FAKE_PROVIDER_CALL(pre_commit)
FAKE_PROVIDER_CALL(commit)
FAKE_PROVIDER_CALL(post_commit)
FAKE_PROVIDER_CALL(pre_final_commit)
FAKE_PROVIDER_CALL(post_final_commit)

static inline int fake_abort_snapshots(void *priv, const char *set_id, struct err *err)
{
    struct fake_provider *p = priv;

    (void)set_id;
    __atomic_store_n(&p->copies, 0, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&p->aborted, 1, __ATOMIC_SEQ_CST);
    return fake_provider_step(p, "abort_snapshots", err);
}

static inline int fake_delete_snapshots(void *priv, const char *set_id, struct err *err)
{
    struct fake_provider *p = priv;

    (void)set_id;
    __atomic_store_n(&p->copies, 0, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&p->deleted, 1, __ATOMIC_SEQ_CST);
    return fake_provider_step(p, "delete_snapshots", err);
}

static inline struct kvss_provider fake_provider_struct(void)
{
    return (struct kvss_provider){
        .struct_size = sizeof(struct kvss_provider),
        .api = KVSS_PROVIDER_API,
        .name = "fake",
        .id = PROVIDER_ID,
        .version = "1",
        .type = KVSS_PROV_SOFTWARE,
        .is_volume_supported = fake_supported,
        .begin_prepare = fake_begin_prepare,
        .end_prepare = fake_end_prepare,
        .pre_commit = fake_pre_commit,
        .commit = fake_commit,
        .post_commit = fake_post_commit,
        .pre_final_commit = fake_pre_final_commit,
        .post_final_commit = fake_post_final_commit,
        .abort_snapshots = fake_abort_snapshots,
        .delete_snapshots = fake_delete_snapshots,
    };
}

#endif
