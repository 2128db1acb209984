/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The context of all jobs: what the requester was given, how the job goes, and where its passphrase comes from. */
#ifndef REQUESTER_CONTEXT_CONTEXT_H
#define REQUESTER_CONTEXT_CONTEXT_H

#include "base/buf.h"
#include "base/json.h"
#include "base/strv.h"
#include "base/text.h"
#include "requester/requester.h"
#include "store/store.h"

struct requester {
    struct requester_config config;
    enum requester_end end;
    bool carries_on;     /* atomic: see requester_carries_on() */
    int met;             /* how strictly the repository was met so far: see repository_open_for() */
    struct store *store; /* opened by the first job that needs it */
    json_t *failures;    /* requester_failures(); owned; NULL: none */
    struct known *known; /* what this host remembers of it; NULL: it has no memory */
};

DEFINE_CLEANUP(struct store_point *, store_point_close)
DEFINE_CLEANUP(struct store_image *, store_image_close)

/* ---- job.c ----------------------------------------------------------------------------------------------------------*/
/* Says how the job ended: r < 0 is FAILED, or INTERRUPTED where it was cancelled, unless `end` was set before. Returns r. */
int job_end(struct requester *rq, int r, struct err *err);
int job_cancelled(const struct requester *rq, struct err *err); /* -EINTR once the flag is raised */

/* ---- passphrase.c ---------------------------------------------------------------------------------------------------------------*/
/* The passphrase from file or configuration; *ret NULL where there is none. Free with key_wipe(). */
int key_given(const struct requester *rq, char **ret, struct err *err);
/* Warns of a key file (NULL: none) that others can read. */
void key_file_look(const struct requester *rq, const char *path);
/* From whoever can be asked. -EACCES: nobody. `why` ends the sentence that says what it is for. */
int key_asked(const struct requester *rq, const char *prompt, bool confirm, char **ret, struct err *err);
void key_wipe(char *passphrase); /* NULL is fine */
DEFINE_CLEANUP(char *, key_wipe)

#endif
