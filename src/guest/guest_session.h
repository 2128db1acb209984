/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The session as its files see it. The thread of guest_run.c is the requester's; those of the server wait on `changed`. */
#ifndef GUEST_GUEST_SESSION_H
#define GUEST_GUEST_SESSION_H

#include "base/log.h"
#include "guest/guest.h"
#include "vss/vss.h"
#include "writers/command_writer.h"
#include <pthread.h>

#define GUEST_EVENTS_MAX 1024u

struct guest_event { /* as it was sent to one writer */
    const char *event;
    char *writer;
    const char *state;
    uint32_t hresult;
    uint64_t at_us; /* monotonic */
};

struct guest_session {
    struct guest_session_config config;
    struct log log;

    /* Of the requester's thread alone while it runs. */
    struct vss_service *service;
    struct command_writers *programs;
    struct vss_session *vss;

    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    enum guest_phase phase;
    bool nothing; /* no writer has anything to do */
    bool freeze_asked, thaw_asked, end_asked, abort_asked;
    bool by_hook;       /* the freeze was asked for by the agent's hook */
    bool completed;     /* BackupComplete was sent, and nobody refused */
    struct err failed;  /* the first failure; no code: none */
    struct guid id;     /* the VSS session's; "": not yet */
    char skipped[1024]; /* why a program in the folder is no writer; "": all are */
    /* Monotonic microseconds; 0: has not happened. */
    uint64_t begun_us, prepared_us, freeze_us, held_us, thaw_us, thawed_us;
    json_t *writers; /* of those that take part, as last seen; NULL: not yet */
    struct guest_event events[GUEST_EVENTS_MAX];
    size_t n_events;
};

/* guest_run.c: the requester's thread. */
void *guest_run(void *session);
/* guest_session.c: what it waits for. */
int guest_session_wait_freeze(struct guest_session *s, struct err *err);
int guest_session_wait_thaw(struct guest_session *s, struct err *err);
int guest_session_wait_end(struct guest_session *s, struct err *err);
void guest_session_enter(struct guest_session *s, enum guest_phase phase);
void guest_session_fail(struct guest_session *s, const struct err *why);
/* guest_host.c: the host's provider, as the service sees it: what is committed between Freeze and Thaw is the host's instant. */
int guest_register_host(struct guest_session *s, struct err *err);
/* guest_report.c: the writers' states and what they noted, kept for the report. */
int guest_note_writers(struct guest_session *s, struct err *err);

#endif
