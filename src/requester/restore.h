/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the restore job share. */
#ifndef REQUESTER_RESTORE_H
#define REQUESTER_RESTORE_H

#include "requester/files.h"
#include "requester/internal.h"
#include "requester/point.h"
#include "requester/stage.h"
#include "requester/transfer.h"

/* A disk that will be restored. */
struct restore_disk {
    json_t *record;        /* of the VM writer's; borrowed */
    const char *target, *format, *image; /* image: its name in the restore point */
    char *path;            /* where it goes */
    char *label;           /* "web01 vda" */
    struct store_image *content;
    uint64_t size, data;   /* virtual bytes; bytes that are no holes */
    bool block_device;     /* written in place; else staged */
    bool flattened;        /* had backing images, has none now */
    const char *made;      /* the staged file, the stage's */
};

/* A VM that will be restored. */
struct restore_vm {
    const char *name, *uuid; /* as of the backup */
    json_t *record;        /* owned */
    size_t n_disks;
    struct restore_disk *disks;
    char *definition;      /* path of the definition taken out of the point */
    char *memory;          /* path of the save image taken out of the point; NULL: none */
    json_t *nvram;         /* its part in the record; NULL: none */
    const char *nvram_made;
    bool files_done, files_touched; /* for the file restore status */
    bool present;          /* after PostRestore: it is defined */
    json_t *result;        /* the VM writer's restore metadata; owned */
};

/* A component of a command writer that will be restored. */
struct restore_files {
    const char *writer_id, *logical_path, *component; /* the session's */
    size_t number;
    json_t *index;
    char *group;           /* of the stage */
    bool done, touched;
};

struct restore {
    struct requester *rq;
    const struct requester_restore *job;
    struct session *s;
    struct store_point *point;
    json_t *meta;
    struct stage *stage;
    uint64_t begun_ms;
    bool turned_off;       /* PreRestore was begun */
    char *default_dir;     /* M16 */
    size_t n_vms;
    struct restore_vm *vms;
    size_t n_files;
    struct restore_files *files;
};

/* restore_plan.c: what is to be restored and where to. */
int restore_plan(struct restore *r, struct err *err);
/* restore_check.c: everything that can be known before PreRestore. */
int restore_check(struct restore *r, struct err *err);
/* restore_data.c. Definitions and memory, for the VM writer, before PreRestore. */
int restore_prepare_parts(struct restore *r, struct err *err);
/* Files beside their targets, before PreRestore too: all that is read from the point is verified on the way, and nothing that exists
 * is touched. */
int restore_stage(struct restore *r, struct err *err);
/* After PreRestore (M14): block devices are written, everything staged goes into place. */
int restore_files_in_place(struct restore *r, struct err *err);
/* restore_report.c */
json_t *restore_report(struct restore *r);

#endif
