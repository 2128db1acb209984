/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the journal share. */
#ifndef JOURNAL_JOURNAL_INTERNAL_H
#define JOURNAL_JOURNAL_INTERNAL_H

#include "base/cleanup.h"
#include "journal/journal.h"
#include <stdbool.h>
#include <sys/types.h>

enum effect_state { EFFECT_BEGUN, EFFECT_DONE, EFFECT_SETTLED };

struct journal_effect {
    uint64_t id;
    const struct journal_verb *verb;
    enum effect_state state;
    bool committed;
    bool inherited;           /* read from the list of another process */
    int failed;               /* how its last undo failed: -errno */
    char *told;               /* and why, which is logged once */
    struct journal_arg *args; /* names and values owned; ends with { NULL, NULL } */
    char *note;               /* what its undo found instead of what it made; NULL: nothing */
};

struct journal {
    char *session_id;
    const struct journal_verb *verbs;
    void *ctx;
    const struct log *log;
    struct journal_file *file;       /* NULL: in memory only */
    struct journal_watch *watch;     /* NULL: none */
    struct journal_fault *fault;     /* NULL: none, as always in a build that is not for tests */
    pthread_mutex_t lock;            /* effects, their states, and the file */
    pthread_mutex_t undo_lock;       /* one undo at a time */
    struct journal_effect **effects; /* in order of journal_begin(); id is index + 1 */
    size_t n, cap;
};

/* A journal in memory. */
int journal_make(const char *session_id, const struct journal_verb *verbs, void *ctx, const struct log *log, struct journal **ret,
                 struct err *err);

/* ---- journal_entry.c: the list in memory */
/* The effect, not entered yet. look: its places are looked at. -EINVAL: no such verb. */
int journal_entry_make(struct journal *j, const char *verb, const struct journal_arg *args, bool look, struct journal_effect **ret,
                       struct err *err);
void journal_entry_free(struct journal_effect *e);
DEFINE_CLEANUP(struct journal_effect *, journal_entry_free)
/* Puts the effect in the list, which owns it then. Called with the lock held. */
int journal_entry_append(struct journal *j, struct journal_effect *e, struct err *err);
int journal_entry_add_value(struct journal_effect *e, const char *name, const char *value); /* -ENOMEM */
/* What the file said: as journal_begin() and the like, but nothing is looked at. */
int journal_enter_loaded(struct journal *j, const char *verb, const struct journal_arg *args, struct err *err);
void journal_state_loaded(struct journal *j, uint64_t id, enum effect_state state);
void journal_settle_all(struct journal *j);

/* ---- journal_file.c: the list on disk. One line of JSON a step:
 *   {"effect":1,"verb":"freeze-guest","time":"2026-11-22T21:13:05.123Z","values":{"vm":"web01",...}}
 *   {"effect":1,"values":{"path_id":...}}
 *   {"effect":1,"state":"done"}   {"effect":1,"state":"settled"}   {"settled":"all"}   {"committed":GROUP}
 * ("settled":"all" is of earlier versions.)
 */
struct journal_file;

/* Makes and locks dir/session. -EEXIST: the session is there already. */
int journal_file_create(const char *dir, const char *session_id, struct journal_file **ret, struct err *err);
/* Takes over dir/session if its owner is dead. -EBUSY: it lives. -ENOENT: it has gone meanwhile. */
int journal_file_take(const char *dir, const char *session_id, struct journal_file **ret, struct err *err);
const char *journal_file_path(const struct journal_file *f); /* the session's folder */
/* An empty file in the session's folder, which goes with it. Where that fails, whoever looks for it finds none. */
void journal_file_mark(const struct journal_file *f, const char *name);
/* On disk when it returns. */
int journal_file_begin(struct journal_file *f, const struct journal_effect *e, struct err *err);
int journal_file_state(struct journal_file *f, uint64_t id, enum effect_state state, bool durable, struct err *err);
int journal_file_commit(struct journal_file *f, const char *group, struct err *err);
int journal_file_note(struct journal_file *f, uint64_t id, const char *name, const char *value, struct err *err);
/* Reads what was written into a journal that is empty so far. A last line that was cut off is left out. -EUCLEAN: damaged. */
int journal_file_load(struct journal_file *f, struct journal *j, struct err *err);
int journal_load_text(struct journal *j, const char *text, size_t n, struct err *err); /* the same, of what is in memory */
/* A look at the list of a session whose owner lives: nothing is locked, nothing can be written through it. */
int journal_file_peek(const char *dir, const char *session_id, struct journal_file **ret, struct err *err);
/* Lets go of the session; remove: its folder goes. NULL is fine. */
void journal_file_close(struct journal_file *f, bool remove);

/* ---- journal_place.c: adds to args, which has room for them, the folders of the places. *n of them are there; the values are the
 * caller's to free. */
int journal_add_folders(const struct journal_verb *verb, struct journal_arg *args, size_t *n, struct err *err);

/* As journal_settled(); durable: on disk when it returns. */
void journal_settle(struct journal *j, uint64_t id, bool durable);

/* ---- undo.c */
/* Some of the effects. */
struct journal_filter {
    const char *verb; /* those of this kind */
    bool holds;       /* and those of kinds that hold a VM */
};
/* As journal_undo_all(), for some of them (NULL: all), and the watchdog is not told. */
int journal_undo_some(struct journal *j, const struct journal_filter *which, struct err *err);

/* ---- recover.c */
/* Names of all sessions, sorted; an absent folder has none. */
int journal_list_sessions(const char *dir, char ***ret, struct err *err);
/* Takes over and undoes one dead session, or only some of its effects (NULL: all). *ret_left: how many of the deadline's kind are open, or
 * hold a VM and could not be undone: worth to be tried again soon. -EBUSY: its owner lives; -ENOENT: it is gone. */
int journal_recover_session(const struct journal_watch_config *c, const struct journal_filter *which, size_t *ret_left, struct err *err);
/* How many of the kind `verb` (may be NULL) are open, or of a kind that holds a VM and could not be undone. */
size_t journal_worth_again(struct journal *j, const char *verb);

/* ---- watchdog.c */
/* A file in the session's folder: its owner is known to be dead, and who has the session puts back what it did. */
#define JOURNAL_ORPHAN "orphan"
void journal_watch_end(struct journal_watch *w, bool wait); /* says good-bye, and waits for its end; NULL is fine */
/* The owner is at it: from now on its watchdog does not take it for one that hangs. */
void journal_watch_undoing(struct journal *j);
pid_t journal_watch_pid(const struct journal_watch *w); /* 0 for NULL */

/* ---- fault.c: what tests ask for */
enum fault_when { FAULT_BEGIN, FAULT_DONE, FAULT_UNDO, FAULT_SETTLED, FAULT_AFTER };
#ifdef KVSS_FAULT_POINTS
int journal_fault_arm(struct journal *j, struct err *err); /* -EINVAL: the environment asks for what there is not */
void journal_fault_free(struct journal_fault *f);
/* An effect of this kind is at this step. 0, or the failure that is to be taken as the step's. */
int journal_fault(struct journal *j, const struct journal_verb *verb, enum fault_when when, struct err *err);
#else
static inline int journal_fault_arm(struct journal *j, struct err *err)
{
    return (void)j, (void)err, 0;
}
static inline void journal_fault_free(struct journal_fault *f)
{
    (void)f;
}
static inline int journal_fault(struct journal *j, const struct journal_verb *verb, enum fault_when when, struct err *err)
{
    return (void)j, (void)verb, (void)when, (void)err, 0;
}
#endif

#endif
