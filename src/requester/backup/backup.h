/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the backup job share. */
#ifndef REQUESTER_BACKUP_BACKUP_H
#define REQUESTER_BACKUP_BACKUP_H

#include "requester/backup/chain.h"
#include "requester/session/session.h"
#include "requester/files/files.h"
#include "requester/point/stored_point.h"
#include "transfer/transfer.h"

/* Who serves the disks of a VM that is active: its QEMU. */
struct backup_server {
    struct hv *hv;
    const char *uuid;
    pthread_mutex_t *asking; /* several readers may miss its answers at once: one asks */
};

/* A component that takes part. */
struct backup_component {
    char *writer_id, *writer_name, *logical_path, *name;
    const struct vss_component_info *info; /* the session's */
    const struct vss_writer_info *writer;  /* the session's */
    bool vm;                               /* of the VM writer: name is the VM's UUID */
    const struct chain_vm *chain;          /* VM: what it stands on */
    enum vss_backup_type done;             /* VM: what it got in the end */
    struct backup_server server;           /* VM that is active */
    struct vm_record record;               /* VM: what the writer recorded, and what is found out here; empty before */
    json_t *report;                        /* writer that is a program: the entry in the listing */
    uint64_t read, stored;                 /* the same */
};

/* What is transferred, and for whom. */
struct backup_item {
    struct backup_component *component;
    struct vm_record_disk *disk; /* in the component's record; NULL: it is no disk */
    struct vm_record_part *part; /* the same */
};

struct backup {
    struct requester *rq;
    pthread_mutex_t *asking;
    const struct requester_backup *job;
    struct session *s;
    struct store_writer *w;
    const char *asked;         /* type: "auto", "full" ... */
    enum vss_backup_type type; /* of the session */
    struct chain chain;
    const char *set_id;
    const char *provider; /* of disks; NULL: for each the first that supports it */
    char *const *uuids;   /* of the VMs of this attempt; NULL: not chosen yet */
    struct policies *policies;
    struct backup_tries *tries;
    const json_t *attempts;  /* that failed before this one, for the report */
    json_t *unquiet;         /* after a failure: names of the VMs that get their fallback the next time; owned */
    json_t *failures;        /* after a failure: all that failed, see backup_failures.c; owned; NULL: not known */
    const char *next_method; /* what the next attempt does with those, for people */
    bool fall_back;          /* the attempt failed for those alone, and their policies let them fall back */
    uint64_t begun_ms;
    size_t n;
    struct backup_component *components;
    /* The transfer: disks and large parts of all VMs. */
    size_t n_items;
    struct transfer_in *items;
    struct backup_item *item_of; /* per item */
    char **strings;              /* owns what the items point to */
    struct kvss_range **changes; /* lists that the items point to */
    size_t n_changes;
    struct hv_export **exports; /* of images in shadow copies that are read by themselves */
    size_t n_exports;
    size_t n_files;        /* components with files, numbered as they come */
    json_t *shadow_copies; /* for the report; owned */
    json_t *left_out;      /* names of writers that take no part; owned */
    json_t *vms_left_out;  /* VMs that are excluded; owned */
};

/* What the attempts of one run have in common. */
struct backup_tries {
    unsigned retried;
    json_t *attempts;      /* owned */
    json_t *skipped;       /* VMs that failed and are left out, as in vms_left_out; NULL: none; owned */
    struct claims *claims; /* on the VMs, from the first attempt to the end of the last */
};

/* What can be wrong with a job before anything is looked at: -EINVAL. */
int backup_check_job(const struct requester_backup *job, struct err *err);
/* "web01", of a component of the VM writer. */
const char *backup_vm_name(const struct backup_component *c);
/* backup_again.c. Of an attempt that failed, before its session is closed: whose guests could not be quiesced. */
void backup_look_back(struct backup *b);
/* Once its session is closed. undone: all is as before. 1: try again, with err cleared; 0: the failure in err stands. -EINTR. */
int backup_again(struct backup_tries *t, struct backup *b, bool undone, struct err *err);

/* backup_failures.c: what failed in an attempt. Said where it is found out: that it was this VM. The first cause of each stays. */
void backup_blame(struct backup *b, const char *uuid, const struct err *why);
/* Before the session of an attempt that failed is closed: what the writers, the provider and the reading say of it. */
void backup_find_failures(struct backup *b, const struct err *why);
/* Makes the error name all of them, where any are known. */
void backup_tell_failures(const struct backup *b, struct err *err);
bool failures_have(const json_t *list, const char *uuid);
/* backup_skip.c: VMs for which an attempt failed. */
/* Whether to go on without those that are to blame: asked for, and others are left. They are in t->skipped then. */
bool backup_skip(struct backup_tries *t, struct backup *b);
/* Takes those that are skipped out of uuids, and names them in b->vms_left_out. -EPERM: none is left. */
int backup_leave_skipped(struct backup *b, char **uuids, struct err *err);

/* backup_select.c: which components take part, and the volumes of their files. */
int backup_select(struct backup *b, char *const *uuids, struct err *err);
/* Of a writer that is a program: whether the component is taken for itself, not with another. */
bool backup_takes_component(const struct vss_writer_info *w, size_t component);
/* Whether there is room for the scratch files of VMs that run; -ENOSPC, and the job is refused. */
int backup_check_room(struct backup *b, char *const *uuids, struct err *err);
int backup_add_volumes(struct backup *b, struct err *err);
/* backup_writers.c: of the writers that are programs; before they are gathered. */
int backup_choose_writers(struct backup *b, struct err *err);
/* backup_read.c: everything from the shadow copies into the restore point. */
int backup_read(struct backup *b, struct err *err);
/* Nothing is open in a shadow copy any more. */
void backup_read_end(struct backup *b);
int backup_documents(struct backup *b, struct err *err);
/* backup_memory.c: the part VM_PART_MEMORY, of which name, path, size and stored_as are known. */
int backup_memory(struct backup *b, const struct transfer *t, struct backup_component *c, struct vm_record_part *part, struct err *err);
/* backup_files.c: the files of command writers' components, which are copied while the writers are held. Before anything is touched:
 * -EFBIG, -ENOSPC and refused, if they cannot be. */
int backup_announce_files(struct backup *b, struct err *err);
/* And then stored. */
int backup_files(struct backup *b, struct backup_component *c, struct err *err);
/* backup_report.c. Takes down where the shadow copies are, for the report: they are gone when it is made. */
int backup_note_copies(struct backup *b, struct err *err);
int backup_report(struct backup *b, json_t **ret, struct err *err);

#endif
