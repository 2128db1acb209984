/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the requester's files share: its context, and a session with its writers and providers. */
#ifndef REQUESTER_INTERNAL_H
#define REQUESTER_INTERNAL_H

#include "base/buf.h"
#include "base/keeper.h"
#include "base/strv.h"
#include "hypervisor/hypervisor.h"
#include "journal/journal.h"
#include "providers/providers.h"
#include "requester/requester.h"
#include "store/store.h"
#include "vss/vss.h"
#include "writers/command_writer.h"
#include "writers/vm/vm_writer.h"

struct requester {
    struct requester_config config;
    enum requester_end end;
    bool carries_on; /* atomic: see requester_carries_on() */
    struct store *store; /* opened by the first job that needs it */
    struct known *known; /* what this host remembers of it; NULL: it has no memory */
};

DEFINE_CLEANUP(struct hv *, hv_close)
DEFINE_CLEANUP(struct store_point *, store_point_close)
DEFINE_CLEANUP(struct store_image *, store_image_close)
DEFINE_CLEANUP(json_t *, json_decref)
#define _cleanup_json_ _cleanup_(json_decref_p)

/* ---- requester.c ----------------------------------------------------------------------------------------------------------*/
/* Says how the job ended: r < 0 is FAILED, or INTERRUPTED where it was cancelled, unless `end` was set before. Returns r. */
int job_end(struct requester *rq, int r, struct err *err);
int job_cancelled(const struct requester *rq, struct err *err); /* -EINTR once the flag is raised */

/* ---- keys.c ---------------------------------------------------------------------------------------------------------------*/
/* The passphrase from file or configuration; *ret NULL where there is none. Free with key_wipe(). */
int key_given(const struct requester *rq, char **ret, struct err *err);
/* Warns of a key file (NULL: none) that others can read. */
void key_file_look(const struct requester *rq, const char *path);
/* From whoever can be asked. -EACCES: nobody. `why` ends the sentence that says what it is for. */
int key_asked(const struct requester *rq, const char *prompt, bool confirm, char **ret, struct err *err);
void key_wipe(char *passphrase); /* NULL is fine */
DEFINE_CLEANUP(char *, key_wipe)

/* Opens rq->store if it is not open yet, and compares it with what this host remembers of it: to read from it; repository_open_for() of
 * known.h for other uses. */
int repository_open(struct requester *rq, struct err *err);
/* -EPERM, refused: it would be, or is, without encryption, and that is forbidden here. */
int repository_check_encryption(struct requester *rq, bool encrypted, const char *location, struct err *err);

/* ---- protect.c ------------------------------------------------------------------------------------------------------------*/
json_t *protection_json(const struct store_protection *p); /* { "since", "until", "by" }, or null for NULL */
/* Sets "protected" of a report about the point. */
int protection_add(struct requester *rq, const char *id, json_t *report, struct err *err);

struct policies; /* policy.h */

/* ---- session.c ------------------------------------------------------------------------------------------------------------*/
struct session_options {
    struct policies *policies; /* what is wanted of VMs; lives as long as the session; NULL: nothing in particular */
    const char *checkpoint_prefix;
    char *const *only;    /* VMs to describe; NULL: all */
    bool effects;         /* a backup: with provider and journal */
    uint64_t wait_ms;     /* how long another session that holds the writers is waited for; 0: SET_WAIT_MS */
    bool no_writers;      /* programs as writers take no part, and are not even started */
    bool restore;         /* a restore, or what else has effects but takes no point: with journal */
};

/* A connection, the service with all that is registered, and one session of it. */
struct session {
    struct requester *rq;
    struct hv *hv;
    char *dir;            /* private to us and QEMU; removed at the end */
    uint64_t fx_dir;      /* its effect; 0: none */
    struct journal *journal;
    struct journal_verb *verbs;
    struct keeper *keeper; /* of a backup's connections to QEMU */
    struct qemu_provider *provider;
    uint64_t set_wait_ms;
    struct claims *set_claim;     /* while writers are held: see enter_set of struct vss_service_config */
    uint64_t *fx_held;            /* and the effects of that; NULL: none */
    size_t n_held;
    struct files_hold *hold;      /* the copies of writers' files; of `copies` */
    struct copy_provider *copies;
    struct vm_writer *vm_writer;
    struct command_writers *commands;
    struct vss_service *service;
    struct vss_session *vss;
    bool prepared;        /* PrepareForBackup was called: Abort is due if the session fails */
    bool done;            /* the result stands: nothing is to be undone */
    bool undo_failed;     /* which has been told */
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

#define CHECKPOINT_MARK "kvss-" /* all names of kvss's checkpoints begin so */

/* ---- recover.c ------------------------------------------------------------------------------------------------------------*/
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
/* For struct vss_service_config: mount point that holds path (links followed, the path need not exist); locators, which do not
 * begin with '/', stand for themselves. */
int volume_of(void *priv, const char *path, char **ret_volume, struct err *err);
/* The pure part: text is that of /proc/self/mountinfo, path has no links. -ENOENT: no mount point holds it. */
int volume_find(const char *mountinfo, const char *path, char **ret_volume, struct err *err);

/* ---- select.c -------------------------------------------------------------------------------------------------------------*/
/* UUIDs of the VMs named, in order, each once; or (names NULL) of all but those whose name or UUID is like one of the patterns of
 * `exclude` (NULL: none), which are told in *ret_left_out: [ { "name", "uuid", "why" } ]. No VM is looked at. -ENOENT: err names the one
 * that is unknown and what is like it; or there is none. */
struct vm_selection {
    char *const *names, *const *exclude;
};
int select_vms(struct hv *hv, const struct vm_selection *what, char ***ret_uuids, json_t **ret_left_out, struct err *err);
/* Adds the patterns (NULL: none) that no VM of the host is like, each once, to *ret; caller frees. */
int select_idle_patterns(struct hv *hv, char *const *patterns, char ***ret, struct err *err);

/* ---- json.c ---------------------------------------------------------------------------------------------------------------*/
json_t *json_text(const char *s); /* string, or null for NULL or what is not UTF-8 */
json_t *json_strv(char *const *v);
/* Parsing with limits, of what writers, documents and points say. -EINVAL; `what` names it. *ret is an object. */
int json_parse_object(const char *text, size_t n, const char *what, json_t **ret, struct err *err);
const char *json_get_text(const json_t *o, const char *key); /* NULL unless a string */
uint64_t json_get_u64(const json_t *o, const char *key);     /* 0 unless a number >= 0 */
json_t *json_copy_key(json_t *to, const json_t *from, const char *key); /* returns the value; null where there is none */
int json_to_buf(const json_t *o, struct buf *ret, struct err *err);

#endif
