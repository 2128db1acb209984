/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the restore job share. */
#ifndef REQUESTER_RESTORE_RESTORE_H
#define REQUESTER_RESTORE_RESTORE_H

#include "base/io_at.h"
#include "requester/files/files.h"
#include "requester/session/session.h"
#include "requester/point/stored_point.h"
#include "requester/stage/stage.h"
#include "transfer/transfer.h"

/* A disk that will be restored. */
struct restore_disk {
    const struct vm_record_disk *record; /* borrowed */
    const char *target, *image;          /* image: its name in the restore point */
    const char *format;                  /* that it is written in: as of the backup, but raw on a block device that was not its own */
    const char *was;                     /* where it was: a path, or what names it on the network; NULL: not known */
    char *path;                          /* where it goes */
    char *real;                          /* the place that path leads to by links; NULL: it is the place itself */
    char *label;                         /* "web01 vda" */
    struct store_image *content;
    uint64_t size, data; /* virtual bytes; bytes that are no holes */
    bool block_device;   /* else staged as a file */
    bool in_place;       /* a block device that the VM has now: written when it is off. Others are written before */
    bool new_volume;     /* the block device is a volume of --pool that will be made */
    bool own;            /* what is at path is this VM's own disk, to be replaced without further questions */
    bool flattened;      /* had backing images, has none now */
    const char *made;    /* the staged file, the stage's */
};

/* An image of the VM that is replaced, which is deleted once the new one stands (--move). */
struct restore_old {
    char *path;
    struct io_id folder, id;
};

/* A VM that will be restored. */
struct restore_vm {
    const char *name, *uuid; /* as of the backup */
    char *as_uuid;           /* of the copy; NULL: it is no copy. Its name is job->name */
    struct vm_record record; /* what the point says of it */
    struct hv_def *def;      /* the stored definition, for its next start; NULL: only with images_only, where it cannot be read */
    struct hv_def *live;     /* the one that it ran with, or was saved with; NULL: none is known */
    bool live_differs;       /* ... and a VM started with it is not what it is with def */
    bool both;               /* the point holds both: a disk is not looked for in def by its name alone */
    struct hv_domain *now;   /* the VM as it is on this host; NULL: it is not */
    bool part;               /* only disks of it, into the VM that stays defined */
    const char *state;       /* to come back in */
    bool with_memory;
    size_t n_disks;
    struct restore_disk *disks;
    json_t *nics;      /* what the user wants: number of the NIC to a name or null; owned; NULL: nothing in particular */
    json_t *nics_live; /* the same of the NICs in live */
    json_t *shared;    /* of a copy: what it will not have, since it is the original's; texts for the plan */
    char **copy_lacks; /* of a copy: what it will not find on this host; NULL: nothing */
    json_t *demands;   /* what its definition takes from this host, for the plan; owned; NULL: not looked for */
    json_t *notes;     /* what the user must know, found before anything is done: a list of texts; owned; NULL: nothing */
    json_t *absent;    /* disks that it comes back without: target to the path of the image that is not here; owned; NULL: none */
    char *definition;  /* path of the definition taken out of the point */
    char *live_path;   /* path of the definition that it comes back with until it is turned off; NULL: none, it is started as defined */
    char *memory;      /* path of the save image taken out of the point; NULL: none */
    const struct vm_record_part *nvram; /* its part in the record; NULL: none */
    char *nvram_path;                   /* where it goes */
    const char *nvram_made;
    size_t n_old;
    struct restore_old *old;
    bool files_done, files_touched; /* for the file restore status */
    bool present;                   /* after PostRestore: it is defined */
    size_t steps_before;            /* how many steps PreRestore told */
    json_t *told;                   /* the VM writer's restore metadata; owned */
};

/* A component of a command writer that will be restored. */
struct restore_files {
    const char *writer_id, *logical_path, *component; /* the session's */
    const char *writer;                               /* its name, or its id where the point does not tell it */
    size_t number;
    json_t *index;
    json_t *set_ids;                      /* files_job */
    char *group;                          /* of the stage, and of the journal */
    const struct vss_writer_info *stored; /* its writer, as of the backup; NULL with --files-to */
    bool moved;                           /* to alternate locations, which `index` has already */
    json_t *alternates;                   /* these: texts; NULL where it is not */
    bool restarts;                        /* its service ran, and is started with the new files */
    char *to, *real; /* --files-to: the folder of the component, and where links lead from there; NULL: it is the place itself */
    bool done, touched;
};

struct restore {
    struct requester *rq;
    const struct requester_restore *job;
    struct session *s;
    struct store_point *point;
    json_t *meta;
    struct stage *stage;
    struct claims *claims;
    uint64_t begun_ms;
    bool turned_off;      /* PreRestore was begun */
    char *default_dir;    /* M16 */
    char *to_dir;         /* of --to or --pool; NULL: neither */
    bool to_volumes;      /* ... whose images are block devices in that folder */
    json_t *refused;      /* what it may not do without a further word: [ { "what", "option": that is it } ]; NULL: nothing */
    bool devices_touched; /* block devices that were no VM's were begun to be written */
    size_t n_vms;
    struct restore_vm *vms;
    size_t n_files;
    struct restore_files *files;
};

/* restore.c: frees all that restore_plan() and what follows it made of VMs. */
void restore_clear_vms(struct restore *r);
/* restore_point.c: opens the point named, or the newest that holds the VMs. */
int restore_choose_point(struct restore *r, struct err *err);
/* The instant that the point opened is of. */
int64_t restore_instant(const struct restore *r);
/* Adds "instant" and "age_s" of the point (requester_restore()) to a report; does nothing if that is NULL. */
void restore_tell_point(const struct restore *r, json_t *report);
/* restore_plan.c: what is to be restored. */
int restore_plan(struct restore *r, struct err *err);
/* A part that the point holds, by name; NULL: it does not. Borrowed. */
const struct vm_record_part *restore_find_part(const struct restore_vm *vm, const char *name);
/* The name it will have. */
const char *restore_name(const struct restore *r, const struct restore_vm *vm);
/* restore_definition.c: the stored definitions, and what they lack of the disks that are planned. */
int restore_read_definitions(struct restore *r, struct restore_vm *vm, struct err *err);
/* The definition that the VM will come back with: borrowed. */
const struct hv_def *restore_definition(const struct restore_vm *vm);
/* The target that a disk has in one of the two; NULL: it is not in it. Borrowed. */
const char *restore_disk_in(const struct restore_vm *vm, const struct hv_def *def, const struct restore_disk *d);
/* After restore_place(): notes the disks that the VM will not have, though their images are restored. */
/* restore_without.c: tells of disks that were left out of the backup on purpose, and takes those out of the definitions whose images are
 * not here. -ENOENT: its memory expects one. */
int restore_note_excluded(const struct restore *r, struct restore_vm *vm, struct err *err);
int restore_note_disks(const struct restore *r, struct restore_vm *vm, struct err *err);
__attribute__((format(printf, 2, 3))) int restore_note(struct restore_vm *vm, const char *fmt, ...);
/* restore_place.c: where each file goes, what is there of the VM now, the state it comes back in. */
int restore_place(struct restore *r, struct err *err);
/* restore_shared.c: finds what a copy would share with its original. -EBUSY: it cannot go on in its memory without that. */
int restore_check_shared(struct restore_vm *vm, const struct restore *r, struct err *err);
/* restore_move.c: a place given for a VM that is here is refused unless --move says that it is moved; then its old images are found. */
int restore_plan_move(struct restore *r, struct err *err);
/* Whether the image will be deleted. */
bool restore_deletes(const struct restore_vm *vm, const char *path);
/* Enters its old images as effects of the VM: they go when it is committed. */
int restore_enter_old(struct restore *r, const struct restore_vm *vm, struct err *err);
/* restore_allow.c: notes what would be written outside of the places that a restore may write to by itself. */
int restore_judge_places(struct restore *r, struct err *err);
/* Notes what is not done unless that option is given; of: "VM web, disk vda". */
int restore_refuse(struct restore *r, const char *what, const char *option, struct err *err);
int restore_refuse_place(struct restore *r, const char *of, const char *path, struct err *err);
/* -EPERM, and REQUESTER_REFUSED, if anything was noted. */
int restore_check_refused(struct restore *r, struct err *err);
/* restore_writers.c: notes files of writers that the writer installed here does not have where they would go. After the metadata of those
 * were gathered. */
int restore_judge_files(struct restore *r, struct err *err);
/* The same of a component that is moved to alternate locations, after PreRestore. */
int restore_judge_moved(struct restore *r, const struct restore_files *f, struct err *err);
/* restore_methods.c: whether the writers' files can be restored as they want it, as far as that is known before PreRestore. Refused. */
int restore_judge_methods(struct restore *r, struct err *err);
/* After PreRestore: where their files go now. The first that cannot be restored as its writer wants is the failure. */
int restore_follow_writers(struct restore *r, struct err *err);
/* The service that is stopped for it, if it runs; NULL: none. */
const char *restore_service(const struct restore_files *f);
int restore_stop_services(struct restore *r, struct err *err);
int restore_start_services(struct restore *r, struct err *err);
/* restore_replace.c: 0: all files of an index could be replaced; -EBUSY names one. now: none is in use either. */
int restore_can_replace(const json_t *index, bool now, struct err *err);
/* restore_trust.c: lists what the stored definitions take from this host, and notes what runs code, or opens what the VM did not have
 * here before. -EUCLEAN: a definition is of another VM. */
int restore_judge_definitions(struct restore *r, struct err *err);
/* restore_network.c: `--network`, resolved to NICs. */
int restore_map_networks(struct restore *r, struct err *err);
/* restore_clash.c: two files in one place, and files of others in the way. */
int restore_check_clashes(const struct restore *r, struct err *err);
bool restore_same_file(const char *a, const char *b);
/* restore_way_back.c: whether the VM that is here could be started again, should the restore fail. -EPERM (refused), with the remedy. */
int restore_check_old(const struct restore *r, struct restore_vm *vm, struct err *err);
/* restore_real.c: finds the real places of the disks. -EPERM: a link on the way is somebody else's, or leads to somebody else's file. */
int restore_real_places(struct restore *r, struct restore_vm *vm, struct err *err);
/* restore_check.c: everything that can be known before PreRestore. */
int restore_check(struct restore *r, struct err *err);
/* ... once it is known where the files of writers go: folders that can be written to, with room. */
int restore_check_places(struct restore *r, struct err *err);
/* Whether the file or device is the disk's, or one of its backing images. */
bool restore_disk_uses(const struct hv_disk *d, const char *path);
/* restore_options.c: what the VM writer is told, and the new targets. */
int restore_set_options(struct restore *r, struct restore_vm *vm, struct err *err);
/* restore_data.c. Definitions and memory, for the VM writer, before PreRestore. */
int restore_prepare_parts(struct restore *r, struct err *err);
/* Files beside their targets, before PreRestore too: all that is read from the point is verified on the way, and nothing that exists
 * is touched. Then new volumes, and block devices that are no disk of the VM, over what they hold. */
int restore_stage(struct restore *r, struct err *err);
int restore_stage_component(struct restore *r, struct restore_files *f, struct err *err);
/* restore_memory.c: a part of the kind VM_PART_PAGES into the new, empty file fd. -EUCLEAN: what is stored of it does not fit together. */
int restore_memory(struct restore *r, const char *label, const struct vm_record_part *part, int fd, struct err *err);
/* One more file of the VM's, of a part (its label is what errors call it). */
int restore_stage_part(struct restore *r, struct restore_vm *vm, const struct vm_record_part *part, const char *target,
                       const char **ret_made, struct err *err);
/* restore_owner.c: owner and mode of a new file (of a TPM's) that will be at target, as far as the record is to be obeyed. */
int restore_give_away(const struct restore *r, int fd, const struct owner *recorded, const char *target, bool tpm, struct err *err);
/* After PreRestore (M14): block devices of the VM are written, everything staged goes into place. */
int restore_devices_in_place(struct restore *r, struct err *err);
int restore_files_in_place(struct restore *r, struct err *err);
/* restore_images.c: all of it where there is no libvirt. */
int restore_images_only(struct restore *r, struct err *err);
/* restore_files_to.c: files of writers into a folder; nothing of VMs. */
int restore_files_to(struct restore *r, struct err *err);
/* Of the stage and the journal. NULL: out of memory. Caller frees. */
char *restore_files_group(const struct restore_files *f);
/* restore.c: what is in place stands, component by component; owners of the folders that were made. The first failure is returned. */
int restore_settle_files(struct restore *r, struct err *err);
/* restore_confirm.c: refused (-ECANCELED; -ESTALE: the plan has changed) unless what the plan replaces was agreed to. */
int restore_confirm(struct restore *r, struct err *err);
/* Before PreRestore: refused if a VM runs, or has become another, since it was agreed to. */
int restore_look_again(struct restore *r, struct err *err);
bool restore_plan_asks(const json_t *plan);
/* restore_dry.c: the plan. */
int restore_dry_report(struct restore *r, json_t **ret, struct err *err);
/* restore_tpm.c: the state of an emulated TPM, staged for the UUID that the VM will have. _target: where a part of the VM belongs that
 * is a file of its TPM: 1 and the path (caller frees); 0: it is none, or stays as it is. */
int restore_tpm_target(const struct restore *r, const struct restore_vm *vm, const struct vm_record_part *part, char **ret,
                       struct err *err);
int restore_stage_tpm(struct restore *r, struct restore_vm *vm, struct err *err);
/* restore_report.c */
json_t *restore_report(struct restore *r);
json_t *restore_files_report(const struct restore *r); /* of the command writers' components */

#endif
