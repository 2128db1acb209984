/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reports of the requester in words. Each takes the JSON that requester.h describes. */
#ifndef CLI_RENDER_H
#define CLI_RENDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

void render_init(FILE *f, const json_t *report, bool verbose);
void render_writers(FILE *f, const json_t *report, bool verbose);
void render_providers(FILE *f, const json_t *report, bool verbose);
void render_vms(FILE *f, const json_t *report, bool verbose);
void render_hosts(FILE *f, const json_t *report, bool verbose);
void render_points(FILE *f, const json_t *report, bool verbose);
void render_check(FILE *f, const json_t *report, bool verbose);
/* The writers in a VM's guest: of a report's VM, or a restore point's record; nothing where it has none. */
void render_guest(FILE *f, const json_t *guest);
void render_backup(FILE *f, const json_t *report, bool verbose);
void render_each(FILE *f, const json_t *report, bool verbose);
/* What is worth knowing of a backup beside its table: degraded methods, warnings. */
void render_backup_notes(FILE *f, const json_t *report);
/* What the backup found missing in the repository; nothing if all is there, or report is NULL. */
void render_repository_notes(FILE *f, const json_t *report);
void render_show(FILE *f, const json_t *report, bool verbose);
void render_restore(FILE *f, const json_t *report, bool verbose);
void render_restore_plan(FILE *f, const json_t *report, bool verbose);
/* The same plan, for a person who is to agree to it, and what will be lost. */
void render_restore_question(FILE *f, const json_t *plan);
bool render_is_replaced(const json_t *vm); /* a VM of the plan */
void render_verify(FILE *f, const json_t *report, bool verbose);

void render_protect(FILE *f, const json_t *report, bool verbose);
/* A line about a point's protection; nothing where it has none. */
void render_protection(FILE *f, const json_t *protection);
void render_forget(FILE *f, const json_t *report, bool verbose);
void render_prune(FILE *f, const json_t *report, bool verbose);
void render_fsck(FILE *f, const json_t *report, bool verbose);
void render_repair(FILE *f, const json_t *report, bool verbose);
void render_status(FILE *f, const json_t *report, bool verbose);
void render_status_line(FILE *f, const json_t *report, bool verbose);
void render_stats(FILE *f, const json_t *report, bool verbose);
void render_copy(FILE *f, const json_t *report, bool verbose);
void render_key(FILE *f, const json_t *report, bool verbose);
void render_upgrade(FILE *f, const json_t *report, bool verbose);
void render_unlock(FILE *f, const json_t *report, bool verbose);

/* What is damaged, one line each. */
/* Problems, and which restore points and VMs they touch, and which not. */
void render_findings(FILE *f, const json_t *report);
/* Restore points that are "missing", or "returned", by what this host remembers; nothing if there are none. */
void render_known(FILE *f, const json_t *report);
/* What a definition takes from its host, and what of it a restore refuses. */
void render_demands(FILE *f, const json_t *demands);
/* What a restore refuses, and the options that make it do so all the same. */
void render_refused(FILE *f, const json_t *report);
/* VMs that are excluded, of a backup or a check. */
void render_left_out(FILE *f, const json_t *report);
/* "Child VM Snapshot" for "child-vm-snapshot"; unknown names as they are. */
const char *render_method(const char *method);
/* "file-system consistent"; "as it lay (off)". */
const char *render_level(const char *level);

#endif
