/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The shadow copy providers of a session: the built-in ones, each a file of this folder. None is known by name elsewhere: which one shadows
 * what is found out through the service (is_volume_supported), and what they need is handed to all of them alike. */
#ifndef PROVIDERS_PROVIDERS_H
#define PROVIDERS_PROVIDERS_H

#include "base/log.h"
#include "hypervisor/hypervisor.h"
#include "journal/journal.h"
#include "vss/vss.h"
#include <kvss/error.h>
#include <kvss/provider.h>

/* How files that belong to other writers are copied while they are held, where no provider shadows their volume. */
struct provider_files {
    int (*take)(void *priv, struct err *err); /* makes the copies; must end soon after its time, or `stop`. NULL: there is nothing */
    void (*stop)(void *priv);                 /* any thread; may be NULL */
    void (*free)(void *priv);                 /* may be NULL */
    void *priv;
    const char *dir; /* where the copies lie */
};

/* What a session hands to each of them. Strings and objects outlive the providers. */
struct provider_context {
    struct hv *hv;
    struct journal *journal;  /* its verbs include provider_verbs(); NULL: only questions */
    const char *snapshot_dir; /* for snapshot and scratch files; NULL: beside each image */
    const char *session_dir;  /* for sockets: goes with the session; NULL: the run-time folder */
    /* Bytes that have to stay free where scratch files lie: when less are, all that is under way is given up (B2: a full disk never stops
     * a guest). 0: a twentieth of the file system, at most 1 GiB. */
    uint64_t scratch_reserve;
    bool keep_copies;       /* of disks whose format records no changes, until the next backup */
    uint64_t scratch_limit; /* bytes that the scratch files of one VM may take, else all is given up too. 0: no limit */
    struct provider_files
        files; /* taken over, whatever happens: freed with the provider, or later, by a take that did not return in time */
    const char *programs_dir, *objects_dir; /* providers of third parties: programs, shared objects; NULL: none */
    unsigned held_ms;                       /* for what third parties do while guests or writers are held; 0: 10 seconds */
    const struct log *log;
};

struct providers;
int providers_open(const struct provider_context *context, struct providers **ret, struct err *err);
/* With the service, in the order in which they are asked. The service must be gone before they are closed. */
int providers_register(struct providers *p, struct vss_service *service, struct err *err);
void providers_close(struct providers *p); /* NULL is fine */

/* Id of the provider that copies files (provider_context.files). */
const char *providers_copying_files(void);
/* Whether what is on a volume is found in the device of its shadow copy, under the same path below it. */
bool providers_files_in_device(const char *id);
/* The file of a provider by its id; NULL: it is built in. */
const char *providers_file(const struct providers *p, const char *id);
/* File i that is not used, and why not; false: there are no more. */
bool providers_refused(const struct providers *p, size_t i, const char **ret_file, const char **ret_why);
/* The process of a provider that is a shared object: its life. */
int provider_host_run(int fd_object, int fd_calls, struct err *err);

/* How effects of theirs are undone: table i, which ends with { NULL, NULL }; ctx is the struct hv *. NULL: there are no more. */
const struct journal_verb *provider_verbs(size_t i);

/* -ENOSPC with reason and remedy: there is too little room for scratch files in the folder. What cannot be looked at is no failure. */
int provider_scratch_room(const char *dir, uint64_t reserve_wanted, struct err *err);
/* What has to stay free on a file system of that size. */
uint64_t provider_scratch_reserve(uint64_t wanted, uint64_t total);

#endif
