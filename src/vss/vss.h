/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Volume Shadow Copy Service: coordinates requesters, writers and providers (M22-M24). Pure logic: no libvirt, no files, no
 * repository; time and the mapping of paths to volumes are handed in. The calls are IVssBackupComponents', in its order.
 *
 * One session object is one backup or one restore; it is never reused. A call out of order is refused: -EPROTO with
 * err->hresult == VSS_E_BAD_STATE, and nothing is changed. Other failures carry their VSS_E_* in err->hresult likewise.
 * A session is used from one thread. Different sessions of one service may be used from different threads.
 */
#ifndef VSS_VSS_H
#define VSS_VSS_H

#include "base/log.h"
#include <kvss/error.h>
#include <kvss/provider.h>
#include <kvss/writer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- The service: registry of writers and providers ----------------------------------------------------------------------*/
struct vss_service;

struct vss_service_config {
    uint64_t (*now_ms)(void *priv); /* monotonic clock; NULL: base/clock.h. Tests hand in their own */
    /* Volume that holds a path (mount point, or locator of a network disk). NULL: the folder "/" for everything. malloc'd. */
    int (*volume_of)(void *priv, const char *path, char **ret_volume, struct err *err);
    void *priv;
    const struct log *log; /* every writer failure leaves a line here (behaviour 43); may be NULL */
    /* One snapshot set at a time: writers are not held for two of them across each other, also not by another process. From before
     * PrepareForSnapshot until after PostSnapshot, or Abort. enter waits for its turn, for a limited time, and then fails with
     * VSS_E_SNAPSHOT_SET_IN_PROGRESS: DoSnapshotSet has then done nothing, and may be called again. brief: before an Abort outside of the
     * turn, which cannot wait for long; without a turn it is raised in the writer side_by_side alone. NULL: nothing keeps sets apart.
     * The one writer whose id is side_by_side may be in several sets at once, as it keeps its data apart by itself; a set of it alone
     * needs no turn. */
    int (*enter_set)(void *priv, bool brief, struct err *err);
    void (*leave_set)(void *priv);
    /* Writers are held from now on, for ms at most (Freeze to Thaw); 0: none is any more (after Thaw, or Abort). An error keeps them from
     * being held. NULL: nobody wants to know. */
    int (*holding)(void *priv, unsigned ms, struct err *err);
    const char *side_by_side;
    /* id of the writer whose failures name what failed ("VM web01: ..."); the name of any other is put before its own */
    const char *self_naming;
    unsigned freeze_limit_ms; /* 0: 60000; a writer's own smaller limit counts for it */
    unsigned hold_limit_ms;   /* commit of the providers, 0: 10000 */
};

int vss_service_new(const struct vss_service_config *config, struct vss_service **ret, struct err *err);
void vss_service_free(struct vss_service *s); /* sessions must be released before; NULL is fine */

/* The struct is checked (size, api, mandatory handlers) and copied; `priv` is handed to each call and must outlive the service.
 * A writer gets a fresh instance id. -EEXIST: id registered already; -EINVAL: what is missing. */
int vss_register_writer(struct vss_service *s, const struct kvss_writer *writer, void *priv, struct err *err);
/* Providers are asked in the order in which they were registered. */
int vss_register_provider(struct vss_service *s, const struct kvss_provider *provider, void *priv, struct err *err);

struct vss_provider_info {
    const char *name, *id, *version;
    enum kvss_provider_type type;
};
size_t vss_provider_count(const struct vss_service *s);
struct vss_provider_info vss_provider_get(const struct vss_service *s, size_t i);
/* Whether it is usable here: *ret_why_not is NULL, or what is missing; caller frees. */
int vss_provider_check_health(struct vss_service *s, size_t i, char **ret_why_not, struct err *err);
/* Room for shadow copies of the volume (NULL: for those that lie apart). -EOPNOTSUPP: it cannot be told. Caller frees ret->place. */
int vss_provider_free_room(struct vss_service *s, size_t i, const char *volume, struct kvss_room *ret, struct err *err);
/* The provider that would shadow it: the named one (by name or id), if that supports it; provider NULL: the first that does. -ENOENT: there
 * is no such provider; -EOPNOTSUPP: none supports it. */
int vss_find_provider(struct vss_service *s, const char *provider, const struct kvss_volume *what, struct vss_provider_info *ret,
                      struct err *err);

/* ---- A session ------------------------------------------------------------------------------------------------------------*/
struct vss_session;

int vss_session_new(struct vss_service *s, struct vss_session **ret, struct err *err); /* CreateVssBackupComponents */
/* Release: writers get BackupShutdown (a backup without BackupComplete is told as failed), non-persistent copies go. Handlers that
 * overran a limit and still run are waited for, 5 seconds at most; one that never returns goes on using its writer's `priv`. */
void vss_session_release(struct vss_session *v);
const char *vss_session_id(const struct vss_session *v);
/* Whether the writer is sent events of this session behind Identify (from PrepareForBackup on). */
bool vss_writer_takes_part(const struct vss_session *v, const char *writer_id);
/* fn is told of every event as it is sent to a writer: "PrepareForSnapshot", writer name, state after, failure code. */
typedef void vss_event_fn(void *priv, const char *event, const char *writer, enum vss_writer_state state, uint32_t hresult);
void vss_set_event_log(struct vss_session *v, vss_event_fn *fn, void *priv);

int vss_initialize_for_backup(struct vss_session *v, struct err *err);
int vss_enable_writer_class(struct vss_session *v, const char *writer_id, struct err *err); /* before gathering; then only these */
int vss_disable_writer_class(struct vss_session *v, const char *writer_id, struct err *err);
int vss_disable_writer_instance(struct vss_session *v, const char *instance_id, struct err *err);
int vss_set_context(struct vss_session *v, uint32_t context, struct err *err);
int vss_set_backup_state(struct vss_session *v, bool select_components, bool bootable_state, enum vss_backup_type type, bool partial_files,
                         struct err *err);
int vss_gather_writer_metadata(struct vss_session *v, struct err *err); /* Identify; writers that fail it are left out */

/* Metadata as gathered (read-only views, owned by the session). */
struct vss_file_set {
    enum kvss_file_kind kind;
    const char *path, *filespec, *alternate_path;
    bool recursive;
    uint32_t backup_type_mask;
    const char *vm_disk; /* as gathered, not in stored metadata: see struct kvss_md_files */
};
struct vss_dependency {
    const char *writer_id, *logical_path, *component;
};
struct vss_component_info {
    enum vss_component_type type;
    const char *logical_path, *name, *caption;
    const char *vm_name; /* NULL: no VM, or read from a document */
    bool restore_metadata, notify_on_backup_complete, selectable, selectable_for_restore;
    uint32_t flags;
    size_t n_files, n_dependencies;
    const struct vss_file_set *files;
    const struct vss_dependency *dependencies;
};
struct vss_alternate_location { /* used in a restore only */
    const char *path, *filespec, *destination;
    bool recursive;
};
struct vss_writer_info {
    const char *name, *id, *instance_id;
    enum vss_usage usage;
    enum vss_source source;
    enum vss_restore_method restore_method;
    uint32_t backup_schema;
    size_t n_components, n_excludes;
    const struct vss_component_info *components;
    const struct vss_file_set *excludes;
    const char *service; /* to be stopped for the restore; NULL: none */
    enum vss_writer_restore writer_restore;
    bool reboot;
    size_t n_locations;
    const struct vss_alternate_location *locations;
};
size_t vss_writer_count(const struct vss_session *v);
const struct vss_writer_info *vss_writer_get(const struct vss_session *v, size_t i);
const struct vss_writer_info *vss_writer_find(const struct vss_session *v, const char *writer_id); /* by class id; NULL */
/* IVssExamineWriterMetadata::SaveAsXML. Caller frees. */
int vss_writer_metadata_xml(const struct vss_session *v, size_t i, char **ret_xml, struct err *err);

/* Writers that failed Identify: they have no metadata and no status. Strings live as long as the session. */
struct vss_left_out_writer {
    const char *name, *id, *text;
};
size_t vss_left_out_count(const struct vss_session *v);
struct vss_left_out_writer vss_left_out_get(const struct vss_session *v, size_t i);
/* The type that the writer's data is backed up as: FULL where its schema lacks the one asked for (behaviour 8). UNDEFINED: no
 * such writer. */
enum vss_backup_type vss_writer_backup_type(const struct vss_session *v, const char *writer_id);

/* True if the component is not selectable and nothing above it is: who takes one component of the writer takes this one too. */
bool vss_component_is_required(const struct vss_writer_info *w, size_t component);
/* True if component `part` lies in the component set that `whole` defines (behind it in the logical path, or itself). */
bool vss_component_in_set(const struct vss_writer_info *w, size_t whole, size_t part);

/* The files of a component as of now (behaviour 4): excludes win, a wildcard may match nothing, a file named without wildcards
 * must exist (-ENOENT names it). `list` is asked for the entries of a folder and calls `entry` for each; an absent folder has none.
 * `found` is called for each file that belongs to the component, perhaps twice where file sets overlap. */
struct vss_folder {
    int (*list)(void *priv, const char *path, int (*entry)(void *arg, const char *name, bool is_folder), void *arg, struct err *err);
    void *priv;
};
typedef int vss_file_fn(void *priv, const struct vss_file_set *set, const char *folder, const char *name, struct err *err);
int vss_component_files(const struct vss_writer_info *w, size_t component, const struct vss_folder *folder, vss_file_fn *found, void *priv,
                        struct err *err);
/* Whether the file belongs to a file set of any of the writer's components, and is not excluded. name NULL: whether the folder does. Both
 * are compared as they are written: absolute, without "." and "..". */
bool vss_writer_has_file(const struct vss_writer_info *w, const char *folder, const char *name);
/* True if the pattern of * and ? matches all of the name. */
bool vss_filespec_match(const char *filespec, const char *name);

int vss_add_component(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name, struct err *err);
int vss_start_snapshot_set(struct vss_session *v, const char **ret_set_id, struct err *err);
int vss_is_volume_supported(struct vss_session *v, const char *provider_id, const char *volume, bool *ret, struct err *err);
/* For the files on the volume. provider_id (or name) NULL: the first that supports it. A volume may be in the set once for each provider:
 * one shadows the disks of VMs on it, say, and another the files of writers. *ret_snapshot_id (may be NULL) lives as the session does. */
int vss_add_to_snapshot_set(struct vss_session *v, const char *volume, const char *provider_id, const char **ret_snapshot_id,
                            struct err *err);
/* For a disk of a VM, or (target NULL) for what else a VM has on the volume. The volume is added for its provider where it is not in the
 * set for that one yet. */
int vss_add_disk_to_snapshot_set(struct vss_session *v, const struct kvss_volume *disk, const char *provider_id,
                                 const char **ret_snapshot_id, struct err *err);
int vss_set_backup_options(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name, const char *options,
                           struct err *err);
int vss_set_previous_backup_stamp(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name,
                                  const char *stamp, struct err *err);
int vss_prepare_for_backup(struct vss_session *v, struct err *err);
/* PrepareForSnapshot .. PostSnapshot. On failure err names the first writer or provider that failed; the caller then calls
 * vss_abort_backup() (the service may have raised Abort itself already; it does so on Freeze/Thaw failure and timeout). */
int vss_do_snapshot_set(struct vss_session *v, struct err *err);
size_t vss_snapshot_count(const struct vss_session *v);
int vss_get_snapshot_properties(const struct vss_session *v, size_t i, struct kvss_snapshot_properties *ret, struct err *err);
/* How to read a disk of the set; the caller frees by kvss_disk_source_free(). */
int vss_open_disk(struct vss_session *v, const char *vm_uuid, const char *target, struct kvss_disk_source *ret, struct err *err);
/* Whether the shadow copies are still what they were; -errno with the reason: what is read from them since is worthless. *ret_vm_uuid (may
 * be NULL; caller frees): the VM that was the cause, or NULL. In any state. */
int vss_check_snapshots(const struct vss_session *v, char **ret_vm_uuid, struct err *err);

struct vss_writer_status {
    const char *name, *id, *instance_id;
    enum vss_writer_state state;
    uint32_t hresult; /* VSS_S_OK or VSS_E_* */
    const char *text; /* the cause, or NULL */
};
int vss_gather_writer_status(struct vss_session *v, struct err *err);
size_t vss_writer_status_count(const struct vss_session *v);
int vss_get_writer_status(const struct vss_session *v, size_t i, struct vss_writer_status *ret, struct err *err);

/* What writers wrote into a component of the session: backup metadata, stamps, failure. NULL strings where unset. */
struct vss_component_state {
    const char *backup_metadata, *backup_stamp, *previous_stamp, *failure_text, *restore_metadata;
    uint32_t failure;
    bool backup_succeeded, selected_for_restore;
    enum vss_restore_target restore_target;
    enum vss_file_restore_status file_restore_status;
    const char *pre_restore_failure, *post_restore_failure;
};
int vss_get_component_state(const struct vss_session *v, const char *writer_id, const char *logical_path, const char *name,
                            struct vss_component_state *ret, struct err *err);

int vss_set_backup_succeeded(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name, bool succeeded,
                             struct err *err);
int vss_backup_complete(struct vss_session *v, struct err *err);
/* What BackupComplete told the writers does not hold after all, as the backup could not be published: the session is a failed one, in
 * which Abort is due, and BackupShutdown tells of no success. */
int vss_withdraw_complete(struct vss_session *v, struct err *err);
int vss_abort_backup(struct vss_session *v, struct err *err); /* idempotent */
int vss_delete_snapshots(struct vss_session *v, struct err *err);
/* The backup components document. Refused before DoSnapshotSet has ended (behaviour 13). Caller frees. */
int vss_save_as_xml(struct vss_session *v, char **ret_xml, struct err *err);

/* ---- Restore --------------------------------------------------------------------------------------------------------------
 * Order: initialize_for_restore, load_writer_metadata for each stored document, gather_writer_metadata (who lives now),
 * set_selected_for_restore..., pre_restore, files, set_file_restore_status for each selected one, post_restore, release. */
int vss_initialize_for_restore(struct vss_session *v, const char *components_xml, struct err *err);
int vss_load_writer_metadata(struct vss_session *v, const char *metadata_xml, struct err *err);
size_t vss_stored_writer_count(const struct vss_session *v);
const struct vss_writer_info *vss_stored_writer_get(const struct vss_session *v, size_t i);
/* Components explicit in the stored document, of one writer. Index into 0..count-1. */
size_t vss_stored_component_count(const struct vss_session *v, const char *writer_id);
/* The stored document and writer metadata again as they were loaded, byte for byte. Caller frees. */
int vss_stored_components_xml(const struct vss_session *v, char **ret_xml, struct err *err);
int vss_stored_metadata_xml(const struct vss_session *v, size_t i, char **ret_xml, struct err *err);
int vss_stored_component(const struct vss_session *v, const char *writer_id, size_t i, const char **ret_logical_path, const char **ret_name,
                         struct err *err);
int vss_set_selected_for_restore(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name, bool selected,
                                 struct err *err);
int vss_add_restore_subcomponent(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name,
                                 const char *sub_logical_path, const char *sub_name, struct err *err);
int vss_set_restore_options(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name, const char *options,
                            struct err *err);
int vss_add_new_target(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name,
                       const struct kvss_new_target *target, struct err *err);
/* Records that an alternate location of the stored metadata was used. -ENOENT: there is none for these files. */
int vss_add_alternative_location_mapping(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name,
                                         const struct vss_alternate_location *used, struct err *err);
int vss_set_additional_restores(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name, bool more,
                                struct err *err);
int vss_pre_restore(struct vss_session *v, struct err *err);
int vss_set_file_restore_status(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name,
                                enum vss_file_restore_status status, struct err *err);
int vss_post_restore(struct vss_session *v, struct err *err);

/* ---- Names for people and documents --------------------------------------------------------------------------------------*/
const char *vss_state_name(enum vss_writer_state state);     /* "Stable", "Waiting for completion", "Failed" as vssadmin */
const char *vss_state_symbol(enum vss_writer_state state);   /* "VSS_WS_STABLE" */
const char *vss_error_text(uint32_t hresult);                /* "No error", "Timed out", "Retryable error", ... as vssadmin */
const char *vss_error_symbol(uint32_t hresult);              /* "VSS_E_BAD_STATE" */
const char *vss_backup_type_name(enum vss_backup_type type); /* "full", "incremental", ... */

#endif
