/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Providers of third parties: programs, started for each call, and shared objects, each in a process of its own (`kvss provider-host`), so
 * that one that crashes, hangs or writes where it should not takes nothing with it. Only files are loaded that root owns and that nobody
 * else can change, or exchange by way of a folder above; they are opened once, and what was opened is what runs. M22. */
#ifndef PROVIDERS_EXTERNAL_EXTERNAL_H
#define PROVIDERS_EXTERNAL_EXTERNAL_H

#include "base/log.h"
#include "journal/journal.h"
#include <kvss/error.h>
#include <kvss/provider.h>

struct external_config {
    const char *programs_dir, *objects_dir; /* NULL: none; absent folders are empty ones */
    struct journal *journal;                /* its verbs include external_verbs; NULL: only questions */
    unsigned held_ms;                       /* for calls that come while guests or writers are held; 0: EXTERNAL_HELD_MS */
    const struct log *log;
};
#define EXTERNAL_HELD_MS 10000u

/* A file that is not used, and why. */
struct external_refused {
    char *path, *why;
};

struct external_set;
/* What is not usable is no failure: it is a provider that is not there, the log says why, and the set lists it. */
int external_load(const struct external_config *config, struct external_set **ret, struct err *err);
void external_free(struct external_set *s); /* NULL is fine */
size_t external_count(const struct external_set *s);
/* To be registered with priv; both live as long as the set. */
const struct kvss_provider *external_ops(const struct external_set *s, size_t i);
void *external_priv(const struct external_set *s, size_t i);
const char *external_path(const struct external_set *s, size_t i);
/* One that the service would not have. */
int external_refuse(struct external_set *s, const char *path, const struct err *why, struct err *err);
size_t external_refused_count(const struct external_set *s);
const struct external_refused *external_refused(const struct external_set *s, size_t i);

/* Snapshot sets that a session began, deleted by whoever finds it dead. */
extern const struct journal_verb external_verbs[];

/* The process of a shared object: its file is open as fd_object, and calls come as sockets through fd_calls. Ends when that is closed. */
int external_host_run(int fd_object, int fd_calls, struct err *err);

#endif
