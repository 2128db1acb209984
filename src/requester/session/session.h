/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A session with its writers and providers. */
#ifndef REQUESTER_SESSION_SESSION_H
#define REQUESTER_SESSION_SESSION_H

#include "base/keeper.h"
#include "hypervisor/hypervisor.h"
#include "journal/journal.h"
#include "providers/providers.h"
#include "requester/context/context.h"
#include "vss/vss.h"
#include "writers/command_writer.h"
#include "writers/vm/vm_writer.h"

DEFINE_CLEANUP(struct hv *, hv_close)

struct policies; /* policy.h */

struct session_options {
    struct policies *policies; /* what is wanted of VMs; lives as long as the session; NULL: nothing in particular */
    const char *checkpoint_prefix;
    char *const *only; /* VMs to describe; NULL: all */
    bool effects;      /* a backup: with points in time and journal */
    uint64_t wait_ms;  /* how long another session that holds the writers is waited for; 0: SET_WAIT_MS */
    bool no_writers;   /* programs as writers take no part, and are not even started */
    bool restore;      /* a restore, or what else has effects but takes no point: with journal */
};

/* A connection, the service with all that is registered, and one session of it. */
struct session {
    struct requester *rq;
    struct hv *hv;
    char *dir;       /* private to us and QEMU; removed at the end */
    uint64_t fx_dir; /* its effect; 0: none */
    struct journal *journal;
    struct journal_verb *verbs;
    struct keeper *keeper; /* of a backup's connections to QEMU */
    struct providers *providers;
    uint64_t set_wait_ms;
    struct claims *set_claim; /* while writers are held: see enter_set of struct vss_service_config */
    uint64_t *fx_held;        /* and the effects of that; NULL: none */
    size_t n_held;
    struct files_hold *hold; /* the copies of writers' files; the providers' */
    struct vm_writer *vm_writer;
    struct command_writers *commands;
    struct vss_service *service;
    struct vss_session *vss;
    bool prepared;    /* PrepareForBackup was called: Abort is due if the session fails */
    bool done;        /* the result stands: nothing is to be undone */
    bool undo_failed; /* which has been told */
};

int session_open(struct requester *rq, const struct session_options *options, struct session **ret, struct err *err);
/* One that only has effects on files: a journal and a folder, no libvirt, no service, no watchdog. */
int session_open_files(struct requester *rq, struct session **ret, struct err *err);
/* Ends the session. Unless it is `done`: Abort, and everything undone. The first failure of undoing is added to err's text
 * (err may hold the failure that led here). 0, or -EIO: something could not be put back yet, and the watchdog is still at it. */
int session_close(struct session *s, struct err *err);
/* Fails with the first failed writer's name, event, code and text. `doing` names the step. */
int session_check_status(struct session *s, const char *doing, struct err *err);
int hv_connect(struct requester *rq, struct hv **ret, struct err *err);
/* The id of the provider of that name; NULL for NULL and "auto": each disk gets the first that supports it. -ENOENT: err lists them. */
int session_provider(const struct session *s, const char *name, const char **ret_id, struct err *err);

#define CHECKPOINT_MARK "kvss-" /* all names of kvss's checkpoints begin so */

/* ---- session_recover.c ------------------------------------------------------------------------------------------------------------*/
/* Where the journals of sessions are kept. Caller frees. */
int sessions_dir(char **ret, struct err *err);
/* All verbs of the parts in one table. Caller frees. */
int session_verbs(struct journal_verb **ret, struct err *err);
/* Undoes what dead sessions left; what cannot be undone is logged and does not fail. */
int recover_dead_sessions(struct requester *rq, struct hv *hv, struct err *err);
/* Starts the watchdog of a session; and the keeper of its connections. */
int session_watch(struct requester *rq, struct journal *journal, const char *session_id, struct hv *hv, struct err *err);
int session_keep(struct keeper **ret, struct err *err);

/* ---- volume.c -------------------------------------------------------------------------------------------------------------*/
/* For struct vss_service_config: mount point that holds path (links followed, the path need not exist), of btrfs the folder of its
 * subvolume; block devices, and locators, which do not begin with '/', stand for themselves. */
int volume_of(void *priv, const char *path, char **ret_volume, struct err *err);
/* Whether something is mounted anywhere below the folder, which has no links. */
int volume_mounts_below(const char *path, bool *ret, struct err *err);
/* The pure part: text is that of /proc/self/mountinfo, path has no links. -ENOENT: no mount point holds it. */
int volume_find(const char *mountinfo, const char *path, char **ret_volume, struct err *err);

/* ---- select.c -------------------------------------------------------------------------------------------------------------*/
/* UUIDs of the VMs that are meant, each once: first those that `names` has by name or UUID, then those whose names are like a pattern
 * (fnmatch(3)) in it, and those with one of the tags; or (neither given) all. Of what is not named itself, VMs whose name or UUID is
 * like one of the patterns of `exclude`, and those in none of the states (hv_state_name(); NULL: any), are left out, which is told in
 * *ret_left_out: [ { "name", "uuid", "why" } ]. -ENOENT: err names the one that is unknown and what is like it, or the pattern or tag
 * that no VM has; or there is none. */
struct vm_selection {
    char *const *names, *const *exclude, *const *tags, *const *states;
};
/* Whether it consists of VMs that are named themselves. */
bool select_is_exact(const struct vm_selection *what);
int select_vms(struct hv *hv, const struct vm_selection *what, char ***ret_uuids, json_t **ret_left_out, struct err *err);
/* Adds the patterns (NULL: none) that no VM of the host is like, each once, to *ret; caller frees. */
int select_idle_patterns(struct hv *hv, char *const *patterns, char ***ret, struct err *err);

/* ---- each_vm.c ------------------------------------------------------------------------------------------------------------*/
struct vm_job {
    const char *what; /* for others who want the VM meanwhile: "checkpoint drop" */
    /* Adds an entry of the report to vms. -errno: the rest is not done. */
    int (*fn)(struct hv *hv, const char *uuid, void *arg, json_t *vms, struct err *err);
    void *arg;
};
/* The whole job, and its end: *ret { "vms": [...] }, the caller's. REQUESTER_REFUSED where another session has one of them: then none was
 * begun. */
int session_each_vm(struct requester *rq, char *const *names, const struct vm_job *job, json_t **ret, struct err *err);

/* The rest of what other folders see of this one. */
#include "requester/session/claim.h"
#include "requester/session/policy.h"

#endif
