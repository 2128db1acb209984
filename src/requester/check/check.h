/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of `kvss check` share. Each looks at something for real, touches nothing, and adds findings: a name for programs,
 * how bad it is, what was found, and the remedy. */
#ifndef REQUESTER_CHECK_CHECK_H
#define REQUESTER_CHECK_CHECK_H

#include "requester/session/session.h"

enum finding_level {
    FINDING_ERROR,   /* a backup would fail or be given up */
    FINDING_WARNING, /* it may, or something costs room or time for nothing */
    FINDING_NOTE,
};

struct check {
    struct requester *rq;
    struct session *s;
    struct claims *claims; /* where something is done to the VMs */
    struct policies *policies;
    json_t *left_out; /* VMs that are excluded, as of these patterns (NULL: none): */
    char *const *exclude;
    const char *provider; /* of disks, by name; NULL: none is asked for */
    bool try_freeze;
    json_t *findings;             /* of the host, the repository, the settings */
    json_t *scratch, *repository; /* for the report; NULL: not looked at */
    size_t n_errors;
    size_t n;
    struct check_vm {
        const struct vm_report *report; /* borrowed from the VM writer, as the next */
        struct hv_domain *dom;
        json_t *findings;
        char *confined_by; /* "apparmor", "selinux"; NULL: nothing, or QEMU does not run */
    } * vms;
    /* Of the repository, once it is open: its restore points, oldest first. */
    size_t n_points;
    struct store_point_info *points;
    json_t **metas; /* NULL: not made by a backup */
};

struct finding {
    enum finding_level level;
    const char *id, *remedy;
};
#define FOUND(level, id, remedy) ((struct finding){ level, id, remedy })
/* list: that of the check or of one VM. An error counts. */
__attribute__((format(printf, 4, 5))) void check_found(struct check *c, json_t *list, struct finding f, const char *fmt, ...);

/* int check_NAME(struct check *c, struct err *err), of check_NAME.c, for each NAME in the list of meson.build, in that order. What is
 * found is no failure. */
#define CHECK(name) int check_##name(struct check *c, struct err *err);
#include "requester/check/checks.h"
#undef CHECK

/* check_place.c: whether the repository shares a file system with images. */
void check_place_of_repository(struct check *c, const char *path);
/* Whether a file can be made in the folder: 0 or -errno. Tried with one that has no name, so that nothing is ever seen of it. Lack of
 * room is another matter. */
int check_may_write(const char *dir);
/* Bytes that the VM's disks take on the host. */
uint64_t check_allocated(const struct check_vm *vm);
/* Newest restore point that holds the VM; NULL: none. *ret_id (may be NULL): its id. Borrowed. */
const json_t *check_last_point(const struct check *c, const char *uuid, const char **ret_id);

#endif
