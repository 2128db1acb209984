/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of this folder share. */
#ifndef PROVIDERS_EXTERNAL_EXTERNAL_INTERNAL_H
#define PROVIDERS_EXTERNAL_EXTERNAL_INTERNAL_H

#include "base/cleanup.h"
#include "base/json.h"
#include "providers/external/external.h"
#include <pthread.h>

#define EXTERNAL_QUESTION_MS 10000u /* questions change nothing and look little up */
#define EXTERNAL_TIMEOUT_MS 60000u  /* any other call, unless the program asks for another time */
#define EXTERNAL_TIMEOUT_MAX_MS 3600000u
#define EXTERNAL_ANSWER_MAX ((size_t)1 << 20)
#define EXTERNAL_PATH_MAX ((size_t)8192)

enum external_kind { EXTERNAL_PROGRAM, EXTERNAL_OBJECT };

enum external_word { /* in the order of their names in external_words[] */
                     EXT_IDENTIFY,
                     EXT_CHECK_HEALTH,
                     EXT_FREE_ROOM,
                     EXT_IS_VOLUME_SUPPORTED,
                     EXT_BEGIN_PREPARE,
                     EXT_PREPARE_POINT,
                     EXT_TAKE_POINT,
                     EXT_END_PREPARE,
                     EXT_PRE_COMMIT,
                     EXT_COMMIT,
                     EXT_POST_COMMIT,
                     EXT_PRE_FINAL_COMMIT,
                     EXT_SNAPSHOT_DEVICE,
                     EXT_POST_FINAL_COMMIT,
                     EXT_OPEN_DISK,
                     EXT_CHECK_SNAPSHOTS,
                     EXT_ABORT_SNAPSHOTS,
                     EXT_DELETE_SNAPSHOTS,
                     EXT_WORDS
};
extern const char *const external_words[EXT_WORDS + 1]; /* "identify" ... NULL */
int external_find_word(const char *word);               /* -1: none */

/* A set that it has begun. */
struct external_begun {
    struct external_begun *next;
    uint64_t fx;
    char set_id[];
};

struct external { /* one provider */
    struct external_config config;
    enum external_kind kind;
    char *path;
    int file; /* open; -1: none */
    char *name, *id, *version;
    enum kvss_provider_type type;
    unsigned timeout_ms;
    unsigned words; /* bits of enum external_word: the calls that it has */
    struct kvss_provider ops;
    pthread_mutex_t lock; /* of what follows */
    struct external_begun *begun;
    struct proc *host; /* of an object; NULL: not started */
    int calls;         /* what it is called through; -1: none */
    int ended;         /* how the last one ended: exit status, 128 + signal; -1: it did not by itself */
};

bool external_is_plain(const char *text); /* no control characters */

/* external_one.c */
int external_new(const struct external_config *config, enum external_kind kind, const char *path, int file, struct external **ret,
                 struct err *err);
void external_one_free(struct external *x);
DEFINE_CLEANUP(struct external *, external_one_free)
/* Asks who it is, and fills in the rest. */
int external_identify(struct external *x, struct err *err);

/* One call. *ret (NULL: no answer is expected, and none may come) is the object that it answered, perhaps an empty one. input is taken
 * over. Every error names the provider. */
int external_call(struct external *x, enum external_word word, json_t *input, json_t **ret, struct err *err);
/* external_object.c: the same of a shared object's process, which is started where there is none. */
int external_object_call(struct external *x, const char *word, json_t *input, unsigned timeout_ms, json_t **ret, struct err *err);
void external_object_end(struct external *x);

/* external_calls.c: the calls of struct kvss_provider. */
void external_fill_ops(struct external *x);

#endif
