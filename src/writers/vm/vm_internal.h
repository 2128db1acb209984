/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the VM writer share. */
#ifndef WRITERS_VM_VM_INTERNAL_H
#define WRITERS_VM_VM_INTERNAL_H

#include "base/cleanup.h"
#include "base/guid.h"
#include "writers/vm/vm_writer.h"
#include <jansson.h>

#define AGENT_QUESTION_MS 5000
#define AGENT_FREEZE_MS 10000
#define HOLD_LIMIT_MS 60000

/* A VM as this session examined it, once, before the instant. Kept until the writer is freed. */
struct vm_known {
    struct vm_known *next;
    struct hv_domain *dom;
    struct vm_report report;
};

/* What PostSnapshot recorded, until the requester takes it. */
struct vm_recorded {
    struct vm_recorded *next;
    struct vm_record record;
};

struct vm_writer {
    struct vm_writer_config config;
    pthread_mutex_t lock;
    struct vm_known *known;
    struct vm_recorded *recorded;
};

/* One VM in one backup session. Used by one thread at a time. */
struct vm {
    struct vm_writer *writer;
    struct kvss_event *ev;          /* of the snapshot set, while its handler runs */
    struct hv_domain *dom;          /* as it was examined, borrowed from vm_known ... */
    const struct vm_report *report; /* ... and so is this */
    enum hv_state before;           /* state when it was examined: the one that it must have again in the end */
    char *set_id;
    char *checkpoint; /* name of the checkpoint to be made, NULL: none */
    char *since;      /* checkpoint of the previous restore point, NULL: none */
    struct kvss_point_disk *disks;
    size_t n_disks;
    char *definition, *live, *memory, *nvram; /* paths of the parts, NULL: none */
    char **tpm;                               /* copies of the TPM's files, and */
    char **tpm_files;                         /* their names below its folder, "tpm2/tpm2-00.permall" */
    /* Times: monotonic microseconds, 0: did not happen. */
    uint64_t frozen_us, thawed_us, paused_us, resumed_us;
    bool in_company; /* not the only VM of the set */
    unsigned n_frozen;
    int64_t instant_us;                    /* wall clock */
    uint64_t fx_freeze, fx_pause, fx_save; /* effects; 0: none */
    uint64_t fx_live;
    /* Of a VM of a cluster that is saved: the lease, NULL: none; what libvirt forgets of the VM. */
    char *lease;
    uint64_t fx_lease;
    struct cluster_keep *keep; /* renews the lease; NULL: there is none, or it is not to be renewed */
    bool was_watched;          /* by its cluster, which has a monitor for it */
    struct hv_kept kept;
    struct hv_live *live_memory; /* live-state: from PrepareForSnapshot until its memory is written; NULL: none */
    char **traits;               /* before it was saved (hv_traits) */
    char **warnings;
    uint64_t fx_guest;            /* the session in the guest, as an effect; 0: there is none */
    struct vm_record_guest guest; /* what came of it */
    char *not_quiesced;           /* why the guest could not be frozen, or not for long enough; NULL: it could */
    bool guest_refused;           /* it was for the writers in it */
    bool unproven;                /* application consistency was to be had, but what the writers in the guest did is no evidence */
    struct err failed;            /* why the set failed at this VM; no code: it did not */
};

/* The writer's data of one session (kvss_event_data). */
struct vm_session {
    struct vm_writer *writer;
    size_t n;
    struct vm *vms;
    struct par_barrier *ready, *held, *taken; /* between the phases of PrepareForSnapshot */
    unsigned n_held;                          /* guests frozen or about to be; atomic */
    struct par_cancel broken;                 /* a VM has failed: the others stop at the next step */
    int64_t instant_us;
    pthread_mutex_t lock; /* of `first` */
    struct err first;     /* the failure that broke the set, not those that it drew after it */
};

/* Verbs of the writer's effects; all have the values "group" (the VM's UUID) and "vm" (its name). */
#define VERB_FREEZE VM_WRITER_HELD_VERB
#define VERB_PAUSE "pause-vm"   /* paused by us, or started paused by us: undo lets it run */
#define VERB_SAVE "save-vm"     /* "state": running or paused; undo starts it from its saved state */
#define VERB_LIVE "live-memory" /* its memory is written while it runs: a stream and a capability of QEMU's, or about to be */
#define VERB_PART "part-file"   /* "path" */
/* Of a VM of a cluster: "resource", "lease": the cluster leaves it alone; undo ends that. Begun after it, and so undone before it: "path",
 * "state", "resource", "lease": saved to a file; undo starts it from there, unless the cluster may have started it. */
#define VERB_LEASE "cluster-lease"
#define VERB_SAVE_TO "save-vm-to"
/* In a restore of such a VM (restore_cluster.c): "resource", "lease", "in_place": its cluster has stopped it; undo and finish end that.
 * "path", "kept": its new definition. "resource", "lease": its cluster starts it again; undo has it stopped again. */
#define VERB_STOP "cluster-stop"
#define VERB_CONFIG "cluster-definition"
#define VERB_START "cluster-start"
#define VERB_GUEST "guest-session" /* kvss-guest's, in the guest: undo aborts it. It ends by itself, later */
/* In a restore (restore_old.c, restore_register.c; undo in restore_undo.c): */
/* "uuid", "state" to come back in, "runs": what its saved state comes back in, "live": the definition to come back with, if not its own */
#define VERB_TURN_OFF "turn-off-vm"
#define VERB_KEEP_SAVED "keep-saved-state" /* "path", "kept": a second name of the old VM's saved state */
/* "uuid", "definition", "autostart", "metadata" of snapshots and checkpoints, "transient": the state of a VM that is not persistent */
#define VERB_DELETE "delete-vm"
/* "uuid", "definition" of the new VM; "nvram", "tpm": what its start will make, where there is none */
#define VERB_REGISTER "register-vm"
/* "path"; "target", "old_id": of the link that was there; "made": the new one's name beside it at first; "new_id" */
#define VERB_LINK "default-link"

/* Entering an effect of a VM; name/value is one more value or NULL. */
int vm_effect(const struct vm *vm, const char *verb, const char *name, const char *value, uint64_t *ret_id, struct err *err);
/* It has happened; as journal_done(). */
int vm_effect_done(const struct vm *vm, uint64_t id, struct err *err);
void vm_effect_settled(const struct vm *vm, uint64_t *id);
/* hv_start_saved() where there is nobody to report to: what was corrected goes to the log. */
int vm_start_again(struct hv_domain *d, bool paused, struct err *err);

/* The VSS_E_WRITERERROR_* of a failure (behaviour 32): what passes by itself is RETRYABLE (or TIMEOUT), a lack of room or memory
 * OUTOFRESOURCES, all else NONRETRYABLE. */
uint32_t vm_hresult(const struct err *err);

/* method.c: the report on a VM, from a domain that was just read. Only vm_known_get() calls this. */
int vm_examine(struct vm_writer *w, struct hv_domain *d, struct vm_report *ret, struct err *err);

/* vm_known.c. The VM as it was examined, which is done now if it was not. Borrowed until vm_writer_free(). Any thread, for one VM one at a
 * time. -ENOENT: there is none. */
int vm_known_get(struct vm_writer *w, const char *name_or_uuid, const struct vm_known **ret, struct err *err);
/* The same of one that was examined; NULL: it was not. */
const struct vm_known *vm_known_find(struct vm_writer *w, const char *uuid);
void vm_known_free(struct vm_known *list);
/* Right before the instant, with nothing held: whether it still is what was examined, as far as that decides about its backup (state, jobs,
 * disks, agent). Retryable failures. The definition is kept as it is by now. */
int vm_known_still(struct vm *vm, struct err *err);
/* "M4a integration-service: ...; M4e ...": the conditions that failed. NULL: none, or out of memory. Caller frees. */
char *vm_failed_conditions(const struct vm_report *r);

/* Whether the guest can change what is backed up of the disk. */
static inline bool vm_disk_is_written(const struct hv_disk *d)
{
    return !d->readonly && !d->transient;
}

/* Why a disk is not backed up; NULL: it is. */
const char *vm_disk_not_covered(const struct hv_disk *d);

/* parts.c: why the state of its emulated TPM could not be backed up, lost as it is while the VM runs or is saved; NULL: it could. Caller
 * frees. */
char *vm_lost_tpm(const struct hv_domain *d);

/* network_disks.c: those that will be read without the VM's QEMU are tried as the backup will do it: their sizes, or why they are
 * unreadable. -EINTR, -ENOMEM. */
int vm_look_at_network(struct hv_domain *d, struct err *err);

/* saveable.c: why a VM that is to be saved cannot be, or would not come back; NULL: it can, as far as is known. why: why it is to be saved.
 * Adds warnings to the report. Caller frees. */
char *vm_cannot_save(const struct vm_writer *w, struct hv_domain *d, struct vm_report *r, const char *why);

/* With what QEMU cannot save the VM; NULL: it can, as far as is known. Caller frees. */
char *vm_unsaveable(const struct hv_domain *d, const struct vm_report *r);

/* live_state.c: whether it is to be used where Saved State would be; why it cannot be (caller frees), NULL: it can. */
bool vm_wants_live(const struct vm_policy *p);
char *vm_cannot_live(const struct vm_writer *w, struct hv_domain *d, const struct vm_report *r);

/* conditions.c: each condition of M4 is looked at for real. */
void vm_check_conditions(struct vm_writer *w, struct hv_domain *d, struct vm_report *r);
/* They are not looked at, and why. */
void vm_leave_conditions(struct vm_report *r, const char *why);

/* Whether a file system that has no block device lies on the guest's disks all the same (ZFS, bcachefs). */
bool vm_fs_on_disk(const struct hv_guest_fs *fs);
#define VM_MOUNTS_NAMED 5 /* of those that are told, so that a host of containers fills no report */

/* volumes.c: the M4d of file systems that lie on several devices by themselves, of which the agent names one. Why a volume of the guest
 * may be on a disk that is not backed up, with the remedy; NULL: on none, as far as can be found out. Caller frees. -ENOMEM only. */
int vm_volumes_whole(const struct vm_writer *w, const struct hv_domain *d, const struct vm_report *r, char **ret_why);

/* superblock.c: what the start of a file system says of devices beside its own. Bounded, any bytes are fine. */
#define VM_SUPER_BYTES (68u * 1024)
struct vm_super {
    const char *type;    /* "btrfs", "ext4", "xfs", "f2fs", "ext4 journal"; NULL: none of these */
    uint8_t id[16];      /* of the file system; of a journal: its own */
    uint64_t device;     /* number of this device in it (btrfs) */
    uint64_t n_devices;  /* how many it has, this one counted; 2 where there is an outside journal or the like */
    uint8_t journal[16]; /* ext4: of the journal that lies outside */
};
void vm_super_parse(const uint8_t *start, size_t n, struct vm_super *ret);

/* partition.c: where the partitions begin (bytes), as far as the start of the disk tells: at most max; [0] is number 1, 0 where there is
 * no such one. Logical ones of an MBR are not looked for. */
size_t vm_partition_starts(const uint8_t *start, size_t n, uint64_t *ret, size_t max);
/* partition.c: whether the start of a disk says that it is a dynamic (LDM) disk. Bounded, any bytes are fine. */
bool vm_partition_is_dynamic(const uint8_t *start, size_t n);
#define VM_PARTITION_BYTES (40u * 1024)

/* identify.c */
int vm_identify(struct vm_writer *w, struct kvss_metadata *md, struct err *err);

/* session.c */
int vm_session_new(struct vm_writer *w, size_t n, struct vm_session **ret, struct err *err);
void vm_session_free(struct vm_session *s);
DEFINE_CLEANUP(struct vm_session *, vm_session_free)
/* Settles what will be done with a VM, from what Identify found. */
int vm_load(struct vm_writer *w, struct vm *vm, const char *uuid, const char *previous_checkpoint, struct err *err);
void vm_clear(struct vm *vm);

/* snapshot.c: PrepareForSnapshot of all VMs. post_snapshot.c: PostSnapshot. */
int vm_session_prepare_snapshot(struct vm_session *s, const char *set_id, struct err *err);
int vm_session_post_snapshot(struct vm_session *s, struct err *err);
/* Puts back everything of the session that is not settled. */
int vm_session_undo(struct vm_session *s, struct err *err);

/* child_snapshot.c, saved_state.c: what the phases do with one VM. */
/* The guest could not be quiesced, for this reason: not a failure like others, for the VM could still be saved
 * (VM_WRITER_NOT_QUIESCED). Returns the reason's -errno. */
int vm_not_quiesced(struct vm *vm, const struct err *why);
int vm_freeze(struct vm *vm, struct err *err);
int vm_thaw(struct vm *vm, struct err *err);
int vm_pause(struct vm *vm, struct err *err);
int vm_unpause(struct vm *vm, struct err *err); /* what vm_pause() did, at the end of the instant */
int vm_save(struct vm *vm, struct err *err);
int vm_bring_back(struct vm *vm, struct err *err);
/* Another name (or copy) of the saved state before the start removes it. */
int vm_keep_memory(struct vm *vm, struct err *err);
/* clustered.c. What the cluster would say to Saved State: 1 and the resource that has the VM; *ret_why: why it cannot be saved now, NULL:
 * it can. 0: no cluster has it. Caller frees both. */
int vm_cluster_way(const struct hv_domain *d, char **ret_resource, char **ret_why, struct err *err);
int vm_cluster_begin(struct vm *vm, struct err *err); /* before anything is held */
int vm_cluster_announce_save(struct vm *vm, struct err *err);
int vm_cluster_save(struct vm *vm, struct err *err);
int vm_cluster_start(struct vm *vm, struct err *err); /* paused */
int vm_cluster_end(struct vm *vm, struct err *err);
int vm_undo_lease(void *ctx, const struct journal_effect *e, struct err *err);
int vm_undo_save_to(void *ctx, const struct journal_effect *e, struct err *err);
/* live_state.c */
int vm_prepare_live(struct vm *vm, struct err *err);
int vm_begin_live(struct vm *vm, struct err *err); /* of a paused one, whose point was taken; it runs then */
int vm_finish_live(struct vm *vm, const struct hv_live_stop *stop, struct err *err);
void vm_release_paused(struct vm *vm); /* after a failure: one that was not to be saved runs again */
int vm_prepare_point(struct vm *vm, bool active, struct err *err);
int vm_take_point(struct vm *vm, bool active, struct err *err);

/* guest_writers.c: the session in the guest, by kvss-guest (docs/guests.md). */
/* Whether the guest has writers that would take part: report->guest, the level, and why not. -ENOMEM. */
int vm_guest_ask(struct vm_writer *w, struct hv_domain *d, struct vm_report *report);
/* Why the guest's writers could not take part as they are to; NULL: they could, or there are none. Caller frees. */
char *vm_guest_refusal(const struct vm_writer *w, const struct vm_report *report);
/* Up to PrepareForSnapshot of the guest's writers; nothing is done where none takes part. A writer that fails is named, and the guest
 * counts as one that could not be quiesced, here and below. */
int vm_guest_begin(struct vm *vm, struct err *err);
int vm_guest_hold(struct vm *vm, struct err *err);   /* where no hook of the agent does it */
int vm_guest_end(struct vm *vm, struct err *err);    /* after the thaw: the verdict is in vm->guest */
int vm_guest_failed(struct vm *vm, struct err *err); /* for that reason, the guest counts as one that could not be quiesced */
/* After a freeze that failed: it is ended, and if a writer in the guest was the cause, the error says so instead of what the agent said. */
void vm_guest_explain(struct vm *vm, struct err *err);
int vm_guest_undo(void *ctx, const struct journal_effect *e, struct err *err);

/* parts.c: definition and the firmware's state (NVRAM, emulated TPM), copied into the session's folder. */
int vm_keep_definition(struct vm *vm, struct err *err);
int vm_keep_firmware(struct vm *vm, struct err *err);

/* vm_record_make.c. ret is all zero before, and the caller's to clear also where it fails. */
int vm_make_record(const struct vm *vm, struct vm_record *ret, struct err *err);
/* The component's backup metadata, as vm_writer.h describes them. Caller frees; NULL: out of memory. */
char *vm_backup_reference(const struct vm_record *r);

/* One VM that is being restored, as the components document and the requester's options tell it (vm_writer.h). */
struct vm_restore {
    struct vm_writer *writer;
    struct kvss_component *component;
    const char *uuid;         /* of the component */
    char *name;               /* as of the backup; owned */
    json_t *options;          /* set by the requester; owned; NULL before PostRestore */
    struct hv_def *def;       /* the definition, being corrected */
    json_t *steps, *warnings; /* owned; what was done, in order, and what the user must know */
    bool replaces;            /* a VM of that UUID was here before PreRestore */
    char *lease;              /* with which its cluster keeps it stopped; owned; NULL: no cluster has it, or PreRestore is not over */
    bool cluster_off;         /* it was off before, as its cluster wants it */
    uint64_t fx_register;     /* 0: not registered yet, or there is no journal */
};
int vm_restore_read(struct vm_restore *r, struct vm_writer *w, struct kvss_component *c, struct err *err);
void vm_restore_clear(struct vm_restore *r);
/* step: which of the sequence it is, "turn off", "register" ... (VM_STEP_*) */
__attribute__((format(printf, 3, 4))) void vm_restore_step(struct vm_restore *r, const char *step, const char *fmt, ...);
__attribute__((format(printf, 2, 3))) void vm_restore_warn(struct vm_restore *r, const char *fmt, ...);

/* Entering an effect: values ends with { NULL, NULL }, values that are NULL are left out. Without a journal nothing is entered. */
int vm_restore_effect(struct vm_restore *r, const char *verb, const char *vm, const struct journal_arg *values, uint64_t *ret_id,
                      struct err *err);
int vm_restore_effect_done(struct vm_restore *r, uint64_t id, struct err *err);

/* restore_old.c: the VM that is on this host now is turned off and deleted (M13), to be had again by the undo. */
int vm_delete_old(struct vm_restore *r, const char *name, struct err *err);
int vm_turn_off(struct vm_restore *r, struct hv_domain *d, struct err *err); /* only that; its saved state is kept */
/* A second name beside it for a saved state that is about to go, for the undo. 1; 0: there is none. */
int vm_keep_second_name(struct vm_restore *r, const char *vm, const char *path, struct err *err);
/* The last moment in which a VM can be spared: -EINTR. */
int vm_last_moment(struct vm_restore *r, const char *vm, struct err *err);
/* restore_cluster.c: 0 and no r->lease where no cluster has the VM. */
int vm_cluster_offline(struct vm_restore *r, struct err *err);
int vm_cluster_register(struct vm_restore *r, const char *xml, struct err *err);
int vm_cluster_online(struct vm_restore *r, struct err *err);
int vm_finish_stop(void *ctx, const struct journal_effect *e, struct err *err);
int vm_undo_stop(void *ctx, const struct journal_effect *e, struct err *err);
int vm_undo_start(void *ctx, const struct journal_effect *e, struct err *err);
int vm_undo_config(void *ctx, const struct journal_effect *e, struct err *err);
int vm_finish_config(void *ctx, const struct journal_effect *e, struct err *err);
/* restore_undo.c */
int vm_undo_register(void *ctx, const struct journal_effect *e, struct err *err);
int vm_undo_link(void *ctx, const struct journal_effect *e, struct err *err);
int vm_undo_delete(void *ctx, const struct journal_effect *e, struct err *err);
int vm_undo_keep_saved(void *ctx, const struct journal_effect *e, struct err *err);
int vm_finish_keep_saved(void *ctx, const struct journal_effect *e, struct err *err);
int vm_undo_turn_off(void *ctx, const struct journal_effect *e, struct err *err);
/* restore_copy.c: a VM restored under another name, and what the options say. Strings are the options'; NULL: not said. */
const char *vm_restore_option(const struct vm_restore *r, const char *name);
bool vm_is_copy(const struct vm_restore *r);
const char *vm_restored_name(const struct vm_restore *r);
/* The definition must be the VM's; it becomes that of the copy. */
int vm_correct_identity(struct vm_restore *r, struct hv_def *def, bool tell, struct err *err);
int vm_rename_memory(struct vm_restore *r, const char *memory, struct err *err);
/* A copy that goes on in the original's memory has its addresses too: links down, unless they were to be kept. */
int vm_quiet_memory_nics(struct vm_restore *r, struct hv_def *def, struct err *err);

/* restore_part.c: single disks of a VM that stays defined. */
bool vm_is_part(const struct vm_restore *r);
/* The definition that a VM runs with, where that is not what a start would give it: devices that were plugged in for now only come back
 * too. *ret stays NULL where there is nothing to be kept. Caller frees. */
int vm_live_text(struct hv_domain *d, char **ret, struct err *err);
int vm_part_pre_restore(struct vm_restore *r, struct err *err);
int vm_part_post_restore(struct vm_restore *r, struct err *err);

/* restore_register.c: definition corrected, registered, linked, brought to the state it had (M16-M18). */
int vm_register(struct vm_restore *r, struct err *err);
int vm_bring_to_state(struct vm_restore *r, struct err *err); /* after it */
int vm_start_from_memory(struct vm_restore *r, const char *memory, const char *state, struct err *err);
/* network.c: a new port on every switch that still exists; the others' links are down (M18). live: the definition that it ran with. */
int vm_correct_networks(struct vm_restore *r, struct hv_def *def, bool live, bool tell, struct err *err);

/* restore.c */
bool vm_pre_restore(void *writer, struct kvss_event *ev);
bool vm_post_restore(void *writer, struct kvss_event *ev);

#endif
