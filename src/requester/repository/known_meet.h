/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A repository being met again: what the files of that share. */
#ifndef REQUESTER_REPOSITORY_KNOWN_MEET_H
#define REQUESTER_REPOSITORY_KNOWN_MEET_H

#include "requester/repository/known.h"

struct meeting {
    struct requester *rq;
    enum known_use use;
    struct known *k;
    json_t *doc, *addresses;
    char *address;
    char key[STORE_ID_LEN + 1]; /* fingerprint */
    struct store_id *ids;       /* of the points that are there, sorted */
    size_t n;
    bool fresh;     /* nothing is remembered */
    bool moved;     /* the address is a new one */
    bool not_begun; /* nobody has signed the catalogue yet */
};

/* Ends the job as refused; err is set. Returns -EPERM. */
int meeting_refuse(struct meeting *m, struct err *err);
/* known_report.c: warns of what was found, unless the caller reports it himself; or refuses to write. */
int meeting_tell(struct meeting *m, struct err *err);
/* known_hosts.c: reads the catalogue, if the repository has one; decides which hosts to believe, and what is missing of their chains. */
int meeting_hosts(struct meeting *m, struct err *err);
/* known_points.c: what is remembered and signed, against what is there. */
int meeting_points(struct meeting *m, struct err *err);

#endif
