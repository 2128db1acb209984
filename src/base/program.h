/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs that take part: one word as argument, one JSON object on stdin, perhaps one on stdout; exit status 0 done, 1 failed (text on
 * stderr), 2 not handled. What they say is bounded, and they are killed, with all that they started, when their time is over. */
#ifndef BASE_PROGRAM_H
#define BASE_PROGRAM_H

#include <jansson.h>
#include <kvss/error.h>
#include <stddef.h>

struct program_call {
    const char *what, *noun; /* for errors: "writer program", "event" */
    const char *path, *word;
    int file;         /* open, as of runnable_open_file(): it is what is run, whatever has the path now */
    char *const *env; /* added to ours; may be NULL */
    json_t *input;    /* borrowed */
    unsigned timeout_ms;
    size_t out_max;
};
enum program_verdict { PROGRAM_OK, PROGRAM_FAILED, PROGRAM_NOT_HANDLED };
struct program_result {
    enum program_verdict verdict;
    json_t *answer;  /* the object it printed, or NULL; the caller's */
    char text[1024]; /* what it wrote to stderr: the end of it, one line, printable */
};

/* Runs it once. Fails where it says nothing that counts: not startable, killed after timeout_ms (-ETIMEDOUT), an exit code that has no
 * meaning, no JSON object, too long. */
int program_run(const struct program_call *call, struct program_result *ret, struct err *err);

#endif
