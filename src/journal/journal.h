/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of effects of a session: every side effect on a VM, guest or file is entered before it is done and knows its undo
 * by name. Abort, failure and recovery run the same undo. It knows no VM: the undo verbs are handed in. Clause B2.
 *
 * An effect is a verb and up to a few named text values, so that it can be written down and undone by another process. The life
 * of an effect: journal_begin() -> (the effect is done) -> journal_done() -> ... -> journal_settled() when it has been reversed
 * or has become part of the result. Undo of an effect that was only begun, or has been undone already, must be harmless:
 * verbs are idempotent.
 */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include "base/log.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct journal;
struct journal_effect;

/* Name and value; a list of them ends with { NULL, NULL }. */
struct journal_arg {
    const char *name, *value;
};

#define JOURNAL_PLACES_MAX 2

/* One kind of effect. `undo` gets the effect's values (journal_value()) and makes it as if it had never been. It acts on what it can
 * prove to be this session's, and on nothing else. 0; -errno: it could not be done, or not be found out, and is tried again later; 1:
 * there is somebody else's in its place, which is left alone: err has what people are told. */
struct journal_verb {
    const char *name; /* "freeze-guest" */
    int (*undo)(void *ctx, const struct journal_effect *effect, struct err *err);
    /* After journal_commit(): does away with what was only kept for the undo. As idempotent as undo. NULL: there is nothing. */
    int (*finish)(void *ctx, const struct journal_effect *effect, struct err *err);
    /* Not undone while something that came after it in its group could not be: that would be done to what is in use. */
    bool in_order;
    /* What is true after the undo, for people: "it is not paused any more". NULL: the file or folder "path" is removed. */
    const char *undone;
    /* Names of the values that are paths of what the effect makes or replaces, at most JOURNAL_PLACES_MAX. journal_begin() writes down
     * which folder each is in ("path_dir"), and fails where that cannot be reached; journal_done() what was made ("path_id"). */
    const char *places[JOURNAL_PLACES_MAX];
    /* The effect is part of the session's result: journal_settle_lasting(). */
    bool lasting;
    /* The session itself has another way to reverse it, and settles it then: only who takes over from a dead one undoes it. */
    bool for_heirs;
    /* A VM is not as it was until this is undone: where that fails, the watchdog tries again and again. */
    bool holds;
};

/* verbs: ends with { NULL, NULL }; ctx is handed to every undo. Both, and log, must outlive the journal.
 *
 * dir: folder for the sessions of this user (made if absent, 0700). The list is then written to dir/SESSION/effects, a line of
 * JSON for each step, on disk before journal_begin() returns; the folder is owned by the process that holds the lock on its file
 * `lock`. NULL: the list is kept in memory only. */
int journal_new(const char *dir, const char *session_id, const struct journal_verb *verbs, void *ctx, const struct log *log,
                struct journal **ret, struct err *err);
/* NULL is fine; undoes nothing. The session's folder is removed if no effect is open; else it stays for journal_recover(). */
void journal_free(struct journal *j);

/* One session that was found dead, after its undo was tried. */
struct journal_recovered {
    const char *session_id;
    size_t effects;      /* that were open */
    size_t left;         /* that could not be undone: the session stays for the next time */
    const char *text;    /* the first reason, or NULL */
    char *const *undone; /* what is true now, a line for each effect that was undone; NULL: none */
};
/* Undoes what dead sessions below dir left, one after the other; sessions whose owner lives are not touched. fn (may be NULL) is
 * told of each. 0 also where some could not be undone; -errno where the folder could not be read. An absent folder is fine. */
int journal_recover(const char *dir, const struct journal_verb *verbs, void *ctx, const struct log *log,
                    void (*fn)(void *priv, const struct journal_recovered *r), void *priv, struct err *err);

/* Waits, for at most ms, until no watchdog is at a session whose owner has died. -EBUSY: one still is, and err names its session. */
int journal_wait_for_watchdogs(const char *dir, unsigned ms, struct err *err);

/* Tells of the dead sessions that have open effects, or cannot be read (text); nothing is undone: left is effects. */
int journal_survey(const char *dir, const struct journal_verb *verbs, void (*fn)(void *priv, const struct journal_recovered *r), void *priv,
                   struct err *err);

/* 1: a session that has died, and is just being put back by someone, has open effects of the group; 0: none. */
int journal_group_held(const char *dir, const struct journal_verb *verbs, const char *group, struct err *err);

/* Enters an effect that is about to happen. *ret_id names it from now on. -EINVAL: no such verb. Thread-safe, as all below. The
 * effect must not be brought about if this fails. */
int journal_begin(struct journal *j, const char *verb, const struct journal_arg *args, uint64_t *ret_id, struct err *err);
/* Adds a value to one that was entered. 0; -errno: it is not on disk. */
int journal_note(struct journal *j, uint64_t id, const char *name, const char *value, struct err *err);
/* Writes down what is in the effect's places now: this session's (NAME_id). journal_done() does, where it was not done before. */
int journal_made(struct journal *j, uint64_t id, struct err *err);
/* It has happened. 0; -EIO only where a test wants it to be taken as failed (fault.c; never in a build that is shipped). */
int journal_done(struct journal *j, uint64_t id);
/* It has been reversed in the ordinary course (guest thawed, VM resumed), or is meant to stay: no undo any more. */
void journal_settled(struct journal *j, uint64_t id);

/* Undoes one effect, or all that are not settled, last first. Effects whose values "group" differ are independent of each
 * other: groups are undone side by side, so that one hung guest does not keep the others waiting; those without a group come
 * last. Goes on after failures; the first one is returned, each is logged. What was undone is settled; what could not be undone
 * stays open, so that undo can be tried again. One undo runs at a time; a second caller waits for the first. */
int journal_undo(struct journal *j, uint64_t id, struct err *err);
int journal_undo_all(struct journal *j, struct err *err);

/* The session's result stands: of what is still open, the kinds that last are meant to stay. All else stays in the list until it is
 * really gone. */
void journal_settle_lasting(struct journal *j);

/* The result of one group stands, all at once, from the moment that this is on disk: whoever would have undone its open effects
 * finishes them instead (journal_undo() and its like too). Effects that are entered afterwards are not meant. If it fails, all are as
 * before. */
int journal_commit(struct journal *j, const char *group, struct err *err);

/* A step that is no effect, for tests: they may have the process end, or the step fail, at its begin and once it is done (fault.c).
 * Nothing is written; 0 in a build that is shipped. */
int journal_step_begins(struct journal *j, const char *name, struct err *err);
int journal_step_done(struct journal *j, const char *name, struct err *err);

size_t journal_open_effects(struct journal *j); /* how many are not settled */
/* Something that holds a VM could not be undone: the watchdog goes on trying. NULL: no. */
bool journal_tries_on(struct journal *j);

/* ---- The watchdog ---------------------------------------------------------------------------------------------------------
 * A process apart that outlives the owner of a session: when the owner is gone without a word it undoes what is open, and when a
 * deadline passes it undoes the effects of one kind (guests that are frozen), though the owner lives. */
struct journal_watch;

/* Starts argv (which must end up in journal_watch_run() with its stdin as fd) for a journal on disk, and waits until it is ready.
 * log_path as in proc_start_apart(). The journal owns the watchdog: journal_free() tells it that all is well, unless effects are
 * open, which it then undoes; that is waited for, but only for seconds, as it may go on trying for minutes. */
int journal_watch_start(struct journal *j, char *const *argv, const char *log_path, struct err *err);

/* Who is held: each has a time of its own, and the one that ends first counts. */
enum journal_held { JOURNAL_HELD_VMS, JOURNAL_HELD_WRITERS, JOURNAL_HELD_MEMORY, JOURNAL_HELD_MAX };

/* From now on the watchdog waits ms and then undoes; 0: it does not wait for these any more. An owner that does not go on within
 * seconds after that, and has not begun to undo, gets SIGALRM, on which it should end at once, and then SIGKILL. -EPIPE: there is no
 * watchdog left to do so. Without a watchdog: 0, and nothing happens. Thread-safe; writes and allocates nothing but the message. */
int journal_deadline(struct journal *j, enum journal_held who, unsigned ms, struct err *err);

struct journal_watch_config {
    int fd; /* where the owner's messages come from */
    const char *dir, *session_id;
    const char *held_verb; /* kind of effect that the deadline is about */
    unsigned grace_ms;     /* for an owner that hangs, twice: until it is asked to end, and until it is killed; 0: 5000 */
    unsigned persist_ms;   /* for how long it tries to let go what is held, where that fails; 0: 600000 */
    const struct journal_verb *verbs;
    void *ctx;
    const struct log *log;
};
/* The watchdog's whole life. Returns when the owner has said good-bye or its effects have been undone. */
int journal_watch_run(const struct journal_watch_config *config, struct err *err);

/* Whether it was known to have happened: an effect that was only begun may come about late, by a call that is still under way. */
bool journal_is_done(const struct journal_effect *e);
/* Whether it was another process that brought it about, which is dead or hangs: what it was at just then is under way still. */
bool journal_is_inherited(const struct journal_effect *e);
const char *journal_verb_name(const struct journal_effect *e);
const char *journal_value(const struct journal_effect *e, const char *name); /* NULL: no such value */

/* ---- For undo and finish: files by what they are ----------------------------------------------------------------------------------*/

/* The folder of a place, open, and proven to be the one of journal_begin(). */
struct journal_place {
    int dir;
    char *path, *name; /* of the value; its last part */
    bool proven;       /* false: the list was written by a version that did not say which folder it was */
};
void journal_place_close(struct journal_place *p);
/* value: one of verb->places. 1; 0: it went with the memory of a host that was started anew; -errno: it cannot be reached, or another
 * folder is there now (-ESTALE). ret is to be closed in every case. */
int journal_place_open(const struct journal_effect *e, const char *value, struct journal_place *ret, struct err *err);

enum journal_found {
    JOURNAL_ABSENT,
    JOURNAL_SAME,    /* what was recorded */
    JOURNAL_OTHERS,  /* something else */
    JOURNAL_UNKNOWN, /* something; nothing was recorded to compare it with */
};
/* What is in the folder under that name. id: as io_id_at() gave it, or NULL. -errno: it cannot be told. */
int journal_find(const struct journal_place *p, const char *name, const char *id, struct err *err);
/* Both for the name of the place itself, compared with what journal_made() wrote down. ret is to be closed in every case. JOURNAL_ABSENT
 * also where it went with the memory of a host that was started anew. */
int journal_place_find(const struct journal_effect *e, const char *value, struct journal_place *ret, struct err *err);
/* Removes the file or tree in a place if it is what the effect made (as verb->undo). A name that nobody else would have come upon is
 * proof enough where the effect was only begun: own_name. */
int journal_remove_made(const struct journal_effect *e, const char *value, bool own_name, struct err *err);
/* "PATH is not what this session made: it is left alone". 1. */
int journal_left_alone(const char *path, struct err *err);

#endif
