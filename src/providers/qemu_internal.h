/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the `qemu` provider share. */
#ifndef PROVIDERS_QEMU_INTERNAL_H
#define PROVIDERS_QEMU_INTERNAL_H

#include "base/cleanup.h"
#include "providers/providers_internal.h"

/* One disk of a point. */
struct qemu_disk {
    char *target, *path, *format;
    bool readonly;            /* read through an export of its own, beside the VM */
    bool bitmap;              /* the image can keep a checkpoint's bitmap */
    char *scratch;            /* overwritten blocks go here while the job runs; NULL: takes no part in the job */
    bool made;                /* the scratch file is there */
    char *since;              /* checkpoint whose bitmap is asked for; NULL: none */
    char *why_full;           /* a checkpoint was asked for, but this is why there is none */
    struct hv_export *export; /* of a VM that is off, or of a disk that the VM cannot write */
};

/* The point in time of one VM. */
struct qemu_point {
    struct qemu_point *next;
    char *set_id, *vm_uuid, *vm_name, *checkpoint;
    bool active;
    struct hv_domain *dom;
    size_t n_disks;
    struct qemu_disk *disks;
    char *dir;                         /* for scratch files that have no other place; NULL without a job */
    char *socket;                      /* of the NBD server; NULL without a job */
    struct hv_backup_request *request; /* NULL without a job */
    bool begun;
    /* Effects, in the order of the journal; 0: none */
    uint64_t fx_dir, fx_closed, fx_socket, fx_job, fx_checkpoint;
    uint64_t *fx_scratch; /* per disk */
};

struct qemu_provider {
    struct provider_context config;
    pthread_mutex_t lock; /* of the list and the guard; a point is used by one thread at a time */
    struct qemu_point *points;
    struct qemu_guard *guard; /* made with the first point that has a job; NULL: none */
};

/* qemu_guard.c: watches the scratch space. Adding fails with -ENOSPC where there is too little to begin with; from qemu_guard_begun()
 * to qemu_guard_gone() the job is watched. g may be NULL in the last three. */
struct qemu_guard;
int qemu_guard_new(const struct provider_context *config, struct qemu_guard **ret, struct err *err);
void qemu_guard_free(struct qemu_guard *g);
int qemu_guard_add(struct qemu_guard *g, const struct qemu_point *pt, struct err *err);
void qemu_guard_begun(struct qemu_guard *g, const struct qemu_point *pt);
void qemu_guard_gone(struct qemu_guard *g, const struct qemu_point *pt);
/* Whether the jobs were given up: what is read from them since is worthless. */
int qemu_check_snapshots(void *priv, const char *set_id, char **ret_vm_uuid, struct err *err);

/* Effects have these values: "group" (the VM's UUID), "vm" (its name), and what the verb needs. */
#define VERB_SHADOW_DIR "shadow-dir"    /* "path" */
#define VERB_CLOSED_DIR "closed-folder" /* "path", "mode": what it was, octal */
#define VERB_SOCKET "nbd-socket"        /* "path" */
#define VERB_SCRATCH "scratch-file"     /* "path", or "remote" where QEMU is elsewhere */
#define VERB_BACKUP_JOB "backup-job"
/* and VERB_CHECKPOINT */

extern const struct journal_verb qemu_provider_verbs[]; /* ctx is the struct hv * */
/* Enters an effect with values group, vm and (if name is not NULL) one more. */
int qemu_effect(struct qemu_provider *p, const struct qemu_point *pt, const char *verb, const char *name, const char *value,
                uint64_t *ret_id, struct err *err);

/* qemu_closed.c: keeps QEMU's group out of the folder of the point's socket, until the effect is undone. */
int qemu_close_folder(struct qemu_provider *p, struct qemu_point *pt, struct err *err);
int qemu_undo_closed(void *ctx, const struct journal_effect *e, struct err *err);

int qemu_point_new(const struct kvss_point *from, struct hv *hv, struct qemu_point **ret, struct err *err);
void qemu_point_free(struct qemu_point *pt); /* stops exports; ends no job */
DEFINE_CLEANUP(struct qemu_point *, qemu_point_free)

/* Whether its image is of qcow2's version 2, which keeps no bitmaps (libvirt makes such volumes unless told otherwise). */
bool qemu_is_old_qcow2(const struct qemu_disk *d);
/* qemu_since.c. A disk that cannot tell what changed since the checkpoint gets why_full; that is no failure.
 * What is asked of a disk: */
int qemu_since_ask(struct qemu_point *pt, struct qemu_disk *d, const char *since, struct err *err);
/* Whether the checkpoint is there, and the disks in it: */
int qemu_since_check(struct qemu_point *pt, struct err *err);
/* Starts the export of an image that no QEMU has open, if it can tell. Without export there is why_full. */
int qemu_since_export(struct qemu_disk *d, const char *dir, struct err *err);
/* The job was refused. 0: a disk fewer asks now, try again; else it was not for that, and err is why. */
int qemu_since_refused(struct qemu_point *pt, const struct err *why, struct err *err);

/* Everything slow: exports, folder, scratch files' names, the job's XML. */
int qemu_point_prepare(struct qemu_provider *p, struct qemu_point *pt, struct err *err);
/* The instant. */
int qemu_point_take(struct qemu_provider *p, struct qemu_point *pt, struct err *err);
/* Ends job and exports, removes scratch files and folder. The checkpoint stays. Goes on after failures; the first is returned. */
int qemu_point_release(struct qemu_provider *p, struct qemu_point *pt, struct err *err);

#endif
