/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All that the author of a writer needs (M22). The manner is CVssWriter's: the service calls, the writer answers.
 *
 * A writer is one struct kvss_writer at the end of one file, fields by name; what is unset has the default behaviour. Order of
 * calls in a backup (each at most once, but Identify as often as anyone asks, from any session):
 *
 *   identify  prepare_backup  prepare_snapshot  freeze  thaw  post_snapshot  backup_complete  backup_shutdown
 *
 * `abort` may come at any point after prepare_backup, more than once, also while another handler of the same session still
 * runs (in another thread): it puts everything back as it was before the session. In a restore: pre_restore, post_restore.
 * A handler that cannot do its part calls kvss_set_writer_failure() and returns false.
 */
#ifndef KVSS_WRITER_H
#define KVSS_WRITER_H

#include <kvss/error.h>
#include <kvss/provider.h>
#include <kvss/vss_codes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KVSS_WRITER_API 1

struct kvss_metadata;  /* the writer metadata document under construction (IVssCreateWriterMetadata); only in identify */
struct kvss_event;     /* one event of one session: its facts and the writer's components in it (IVssWriterComponents) */
struct kvss_component; /* one component of that session (IVssComponent); owned by the event */

struct kvss_writer {
    size_t struct_size; /* sizeof(struct kvss_writer) */
    unsigned api;       /* KVSS_WRITER_API */
    const char *name;   /* "Microsoft Hyper-V VSS Writer" */
    const char *id;     /* class GUID, fixed for all time */
    enum vss_usage usage;
    enum vss_source source;
    unsigned freeze_limit_ms; /* longest time between freeze and thaw, 0: 60000 (CVssWriter::Initialize dwTimeoutFreeze) */

    /* Mandatory. Describes the components; changes nothing, deterministic. 0 or -errno: then the writer is left out. */
    int (*identify)(void *writer, struct kvss_metadata *md, struct err *err);
    bool (*prepare_backup)(void *writer, struct kvss_event *ev);   /* default: true */
    bool (*prepare_snapshot)(void *writer, struct kvss_event *ev); /* mandatory */
    bool (*freeze)(void *writer, struct kvss_event *ev);           /* mandatory; the last chance to veto */
    bool (*thaw)(void *writer, struct kvss_event *ev);             /* mandatory */
    bool (*post_snapshot)(void *writer, struct kvss_event *ev);    /* default: true */
    bool (*backup_complete)(void *writer, struct kvss_event *ev);  /* default: true */
    bool (*backup_shutdown)(void *writer, struct kvss_event *ev);  /* default: true; frees what the writer keeps for the session */
    bool (*abort)(void *writer, struct kvss_event *ev);            /* mandatory; idempotent */
    bool (*pre_restore)(void *writer, struct kvss_event *ev);      /* default: true */
    bool (*post_restore)(void *writer, struct kvss_event *ev);     /* default: true */
};

/* ---- Identify: IVssCreateWriterMetadata ----------------------------------------------------------------------------------
 * Strings are copied. All return 0 or -errno with err set; an identify handler passes that on. */
int kvss_md_set_restore_method(struct kvss_metadata *md, enum vss_restore_method method, const char *service,
                               enum vss_writer_restore writer_restore, bool reboot, struct err *err);
int kvss_md_set_backup_schema(struct kvss_metadata *md, uint32_t schema, struct err *err); /* VSS_BS_*; 0: FULL only */
int kvss_md_add_exclude(struct kvss_metadata *md, const char *path, const char *filespec, bool recursive, struct err *err);
int kvss_md_add_alternate_location(struct kvss_metadata *md, const char *path, const char *filespec, bool recursive,
                                   const char *destination, struct err *err);

struct kvss_md_component {
    enum vss_component_type type;
    const char *logical_path; /* "" or NULL: none; '\'-separated as in VSS */
    const char *name;         /* unique with logical_path among all components of all writers */
    const char *caption;      /* what a person reads */
    bool restore_metadata, notify_on_backup_complete, selectable, selectable_for_restore;
    uint32_t flags;      /* VSS_CF_* */
    const char *vm_name; /* of the VM whose UUID is its name; not in documents; NULL: no VM */
};
int kvss_md_add_component(struct kvss_metadata *md, const struct kvss_md_component *c, struct err *err);

enum kvss_file_kind { KVSS_FILES_GROUP, KVSS_FILES_DATABASE, KVSS_FILES_DATABASE_LOG };
struct kvss_md_files {
    enum kvss_file_kind kind;
    const char *path;     /* folder, or an NBD/RBD-like locator of a network disk */
    const char *filespec; /* name, wildcards * and ? allowed */
    bool recursive;
    const char *alternate_path; /* NULL: none */
    uint32_t backup_type_mask;  /* VSS_FSBT_*; 0: VSS_FSBT_DEFAULT */
    const char *vm_disk;        /* it is the image of this disk ("vda") of the VM whose UUID is the component's name; NULL: files */
};
int kvss_md_add_files(struct kvss_metadata *md, const char *logical_path, const char *component, const struct kvss_md_files *files,
                      struct err *err);
int kvss_md_add_dependency(struct kvss_metadata *md, const char *logical_path, const char *component, const char *on_writer_id,
                           const char *on_logical_path, const char *on_component, struct err *err);

/* ---- Facts of the session, for every handler but identify ----------------------------------------------------------------*/
const char *kvss_event_session_id(const struct kvss_event *ev);           /* GUID of the requester's session */
const char *kvss_event_set_id(const struct kvss_event *ev);               /* GUID of the snapshot set; "" before StartSnapshotSet */
enum vss_backup_type kvss_event_backup_type(const struct kvss_event *ev); /* this writer's: FULL where its schema lacks the asked */
uint32_t kvss_event_context(const struct kvss_event *ev);                 /* VSS_CTX_* | VSS_VOLSNAP_ATTR_* */
bool kvss_event_bootable_state(const struct kvss_event *ev);
bool kvss_event_components_selected(const struct kvss_event *ev);
bool kvss_event_path_affected(const struct kvss_event *ev, const char *path); /* its volume is in the snapshot set */
bool kvss_event_succeeded(const struct kvss_event *ev);       /* in backup_shutdown: BackupComplete had come before, and holds */
int64_t kvss_event_time_left_ms(const struct kvss_event *ev); /* freeze, thaw: until the service aborts; else -1 */
/* The shadow copies, from PostSnapshot on, as long as they exist. Strings live as long as the session. */
size_t kvss_event_snapshot_count(const struct kvss_event *ev);
struct kvss_snapshot_properties kvss_event_snapshot(const struct kvss_event *ev, size_t i);
/* GetSnapshotDeviceName: where the shadow copy of the volume's files is; NULL: there is none, or none with a place. */
const char *kvss_event_snapshot_device(const struct kvss_event *ev, const char *volume);
/* For the writer of VMs: the points in time of a VM's disks, by the providers that shadow them. The calls are the providers', in the
 * caller's thread; several VMs at once. */
int kvss_event_prepare_point(struct kvss_event *ev, const struct kvss_point *point, struct err *err);
int kvss_event_take_point(struct kvss_event *ev, const struct kvss_point *point, struct err *err);
/* What the writer keeps for this session; NULL until set. The service never touches it. */
void *kvss_event_data(const struct kvss_event *ev);
void kvss_event_set_data(struct kvss_event *ev, void *data);

/* The session's components of this writer, explicitly added (or, in a restore, selected). */
size_t kvss_event_component_count(const struct kvss_event *ev);
struct kvss_component *kvss_event_component(struct kvss_event *ev, size_t i);

/* VSS_E_WRITERERROR_*; text names what failed and why. Not in identify. The first failure of an event counts. */
void kvss_set_writer_failure(struct kvss_event *ev, uint32_t hresult, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- One component: IVssComponent. Strings returned live as long as the event; NULL where none was set. -------------------*/
const char *kvss_component_name(const struct kvss_component *c);
const char *kvss_component_logical_path(const struct kvss_component *c);
bool kvss_component_backup_succeeded(const struct kvss_component *c);
const char *kvss_component_backup_options(const struct kvss_component *c);
const char *kvss_component_previous_stamp(const struct kvss_component *c);
const char *kvss_component_backup_stamp(const struct kvss_component *c);
const char *kvss_component_backup_metadata(const struct kvss_component *c);
/* Up to PostSnapshot: when BackupComplete comes they are written. */
int kvss_component_set_backup_stamp(struct kvss_component *c, const char *stamp, struct err *err);
int kvss_component_set_backup_metadata(struct kvss_component *c, const char *text, struct err *err);
/* IVssComponentEx2::SetFailure: an error of this component alone, beside the writer's failure. */
int kvss_component_set_failure(struct kvss_component *c, uint32_t hresult, const char *text, struct err *err);
/* Restore. */
bool kvss_component_selected_for_restore(const struct kvss_component *c);
const char *kvss_component_restore_options(const struct kvss_component *c);
bool kvss_component_additional_restores(const struct kvss_component *c);
enum vss_file_restore_status kvss_component_file_restore_status(const struct kvss_component *c);
enum vss_restore_target kvss_component_restore_target(const struct kvss_component *c);
int kvss_component_set_restore_target(struct kvss_component *c, enum vss_restore_target target, struct err *err);
const char *kvss_component_restore_metadata(const struct kvss_component *c);
int kvss_component_set_restore_metadata(struct kvss_component *c, const char *text, struct err *err);
int kvss_component_set_pre_restore_failure(struct kvss_component *c, const char *text, struct err *err);
int kvss_component_set_post_restore_failure(struct kvss_component *c, const char *text, struct err *err);
struct kvss_new_target {
    const char *path, *filespec; /* as in the stored file set */
    bool recursive;
    const char *new_path; /* where it was restored to: folder, or folder/file where a single file was renamed */
};
/* Alternate locations that were used for files of the component, for PostRestore. */
struct kvss_alternate_location {
    const char *path, *filespec; /* as the writer declared it */
    bool recursive;
    const char *destination;
};
size_t kvss_component_alternate_location_count(const struct kvss_component *c);
struct kvss_alternate_location kvss_component_alternate_location(const struct kvss_component *c, size_t i);
size_t kvss_component_new_target_count(const struct kvss_component *c);
struct kvss_new_target kvss_component_new_target(const struct kvss_component *c, size_t i);

#endif
