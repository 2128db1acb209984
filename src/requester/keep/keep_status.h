/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef REQUESTER_KEEP_KEEP_STATUS_H
#define REQUESTER_KEEP_KEEP_STATUS_H

#include "requester/point/stored_point.h"
#include "requester/repository/repository.h"
#include "requester/session/session.h"

enum status_level { STATUS_WARNING, STATUS_CRITICAL };

struct state_of_backups {
    struct requester *rq;
    const struct requester_status *job;
    int64_t now_us;
    struct store_point_info *points; /* oldest first */
    size_t n_points, n_bad;
    json_t **metas; /* per point; NULL: not one of ours */
    struct store_protection *protections;
    size_t n_protections;
    struct err libvirt; /* why the VMs of this host are not known */
    json_t *vms;        /* of the report */
    json_t *problems;   /* of the report: [ { "level", "text" } ] */
};

__attribute__((format(printf, 3, 4))) void status_problem(struct state_of_backups *s, enum status_level level, const char *fmt, ...);
/* keep_status_vms.c: fills s->vms, and says of those that this host has what is wrong with their backups. */
int status_vms(struct state_of_backups *s, struct err *err);

#endif
