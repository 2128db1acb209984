/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bounds and checks of what writers, requesters and stored documents say. What passes here can be written as XML and read back. */
#ifndef VSS_VSS_TEXT_H
#define VSS_VSS_TEXT_H

#include "vss/vss_pool.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <stdint.h>

#define TEXT_NAME_MAX ((size_t)1024)        /* names, captions, stamps' and services' names */
#define TEXT_PATH_MAX ((size_t)8192)        /* paths, locators, logical paths */
#define TEXT_MESSAGE_MAX ((size_t)8192)     /* failure messages */
#define TEXT_METADATA_MAX ((size_t)1 << 20) /* backup and restore metadata, options */
#define COMPONENTS_MAX ((size_t)8192)       /* of one writer */
#define FILES_MAX ((size_t)65536)           /* file sets of a component, excludes or mappings of a writer */
#define DEPENDENCIES_MAX ((size_t)1024)
#define TARGETS_MAX ((size_t)4096) /* new targets, subcomponents, mappings of a component */
#define WRITERS_MAX ((size_t)1024)
#define SNAPSHOTS_MAX ((size_t)4096)

/* -EINVAL unless s is UTF-8 of characters that XML can carry, of at most max bytes. `what` names it. */
int text_check(const char *s, size_t max, const char *what, struct err *err);
/* As text_check(), and not empty. */
int text_check_name(const char *s, size_t max, const char *what, struct err *err);
/* Component name: not empty, no backslash. Logical path: empty, or names joined by single backslashes. */
int text_check_component(const char *logical_path, const char *name, struct err *err);

/* *ret = copy of s in p (s may be NULL: then *ret = NULL). -ENOMEM. */
int text_keep(struct pool *p, const char *s, const char **ret, struct err *err);

/* True if a is the same component (path and name) as b. NULL paths are empty. */
bool text_same_component(const char *path_a, const char *name_a, const char *path_b, const char *name_b);
/* True if component a, by its path and name, stands above the component whose logical path is given. */
bool text_is_ancestor(const char *path_a, const char *name_a, const char *logical_path);
/* "path\name" or "name", for people. In a pool-free buffer of the caller; cut if too long. */
const char *text_component(char *buf, size_t n, const char *logical_path, const char *name);

#endif
