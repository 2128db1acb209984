/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which restore point a VM's backup stands on (B4): the chain of checkpoints that this repository's restore points left on the VM.
 * A restore point needs no other to be read; the chain only tells what need not be read from the VM again. */
#ifndef REQUESTER_BACKUP_CHAIN_H
#define REQUESTER_BACKUP_CHAIN_H

#include "requester/session/session.h"

#define CHAIN_PREFIX_MAX 16 /* "kvss-" and the first 8 digits of the repository's GUID, with the NUL */

struct chain_vm {
    char *uuid;
    enum vss_backup_type type; /* what the VM gets, as far as is known before its disks are looked at */
    char *why;                 /* why that is not what was asked for; NULL where it is */
    char *point;               /* what stands wherever nothing changed; NULL: everything is read */
    char *checkpoint;          /* of that restore point, on the VM */
    struct vm_record record;   /* what that restore point recorded of the VM */
    char *last;                /* newest checkpoint that a restore point left on the VM: for later incrementals */
    char *full;                /* that of the newest full restore point, where differentials are in use; both NULL: none */
};

struct chain {
    size_t n;
    struct chain_vm *vms;
};

/* How checkpoints of this repository are named: PREFIX-... */
void chain_prefix(const struct store *store, char ret[static CHAIN_PREFIX_MAX]);
/* Finds, for each VM, what the type asked for ("auto", "full", "incremental", "differential", "copy") can stand on. */
int chain_find(struct requester *rq, struct hv *hv, const char *asked, char *const *uuids, struct chain *ret, struct err *err);
void chain_clear(struct chain *c);
/* The type of the whole session: incremental or differential if any VM gets that. -EINVAL: no such type. */
int chain_type(const struct chain *c, const char *asked, enum vss_backup_type *ret, struct err *err);
const struct chain_vm *chain_of(const struct chain *c, const char *uuid); /* NULL: none */

/* Records of the disk which files it consists of. */
int chain_record_files(struct vm_record_disk *disk, struct err *err);
/* The image of the parent that a disk (with its files recorded) can stand on; borrowed. NULL: none, and *ret_why (malloc'd). */
const char *chain_image(const struct chain_vm *vm, const struct vm_record_disk *disk, char **ret_why);

/* Removes this repository's checkpoints that nothing needs any more, after a backup of that type which made that checkpoint (NULL:
 * none). What cannot be removed is a warning. */
void chain_drop_old(struct session *s, const struct chain_vm *vm, enum vss_backup_type type, const char *made);

#endif
