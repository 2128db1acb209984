/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The repository of a job, opened once, and compared with what this host remembers of it. */
#ifndef REQUESTER_REPOSITORY_REPOSITORY_H
#define REQUESTER_REPOSITORY_REPOSITORY_H

#include "requester/context/context.h"

/* Opens rq->store if it is not open yet, and compares it with what this host remembers of it: to read from it; repository_open_for() of
 * known.h for other uses. */
int repository_open(struct requester *rq, struct err *err);
/* -EPERM, refused: it would be, or is, without encryption, and that is forbidden here. */
int repository_check_encryption(struct requester *rq, bool encrypted, const char *location, struct err *err);

/* The rest of what other folders see of this one. */
#include "requester/repository/known.h"

#endif
