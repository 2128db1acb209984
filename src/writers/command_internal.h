/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the command writer share. */
#ifndef WRITERS_COMMAND_INTERNAL_H
#define WRITERS_COMMAND_INTERNAL_H

#include "base/cleanup.h"
#include "base/log.h"
#include <jansson.h>
#include <kvss/writer.h>
#include <stdatomic.h>

#define COMMAND_API 1
#define COMMAND_IDENTIFY_MS 10000u /* identify changes nothing and looks little up: it must be quick */
#define COMMAND_TIMEOUT_MS 60000u  /* any other event, unless the program asks for another time */
#define COMMAND_TIMEOUT_MAX_MS 3600000u
#define COMMAND_OUT_MAX ((size_t)8 << 20)

static inline void json_decref_p(json_t **j)
{
    json_decref(*j); /* NULL is fine */
}
#define _cleanup_json_ _cleanup_(json_decref_p)

struct command_writer { /* one program */
    char *path;
    int file; /* open: what was looked at, and is run; -1: none */
    char *name, *id;
    enum vss_usage usage;
    enum vss_source source;
    unsigned freeze_limit_ms, timeout_ms;
    atomic_bool held; /* it had something to do in its last Freeze */
};

enum command_exit { COMMAND_OK, COMMAND_FAILED, COMMAND_NOT_HANDLED };

/* ---- command_run.c --------------------------------------------------------------------------------------------------------*/
struct command_call {
    const char *path, *event;
    int file;      /* open: what is run, whatever has the path now */
    json_t *input; /* borrowed */
    unsigned timeout_ms;
};
struct command_result {
    enum command_exit verdict;
    json_t *answer;  /* the object it printed, or NULL; the caller's */
    char text[1024]; /* what it wrote to stderr: the end of it, one line, printable */
};
static inline void command_result_done(struct command_result *r)
{
    json_decref(r->answer);
}
#define _cleanup_result_ _cleanup_(command_result_done)

/* Runs the program for one event. Fails where it says nothing that counts: not startable, killed after timeout_ms (-ETIMEDOUT), an
 * exit code that has no meaning, no JSON object, too long. */
int command_run(const struct command_call *call, struct command_result *ret, struct err *err);

/* ---- command_identify.c ---------------------------------------------------------------------------------------------------*/
/* Identity out of the answer to identify. Strings of *ret belong to the caller. */
int command_parse_identity(json_t *answer, struct command_writer *ret, struct err *err);
/* Components and what else makes up the metadata. */
int command_parse_metadata(json_t *answer, struct kvss_metadata *md, struct err *err);
/* Runs identify. *ret: caller decrefs. */
int command_identify(const struct command_writer *w, json_t **ret, struct err *err);

/* ---- command_event.c ------------------------------------------------------------------------------------------------------*/
/* The whole of one event: what the program is told, what it answers. */
bool command_event(struct command_writer *w, struct kvss_event *ev, const char *event);

#endif
