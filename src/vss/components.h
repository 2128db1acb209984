/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backup components document: what is in the backup, and what requester and writers tell each other about it. */
#ifndef VSS_COMPONENTS_H
#define VSS_COMPONENTS_H

#include "base/cleanup.h"
#include "vss/vss_pool.h"
#include "vss/vss.h"

struct bc_subcomponent {
    const char *logical_path, *name;
};

struct bc_component { /* strings: NULL where unset; all in the document's pool */
    enum vss_component_type type;
    const char *logical_path, *name;
    bool backup_succeeded;
    const char *backup_options, *backup_stamp, *previous_stamp, *backup_metadata;
    uint32_t failure; /* VSS_S_OK: none */
    const char *failure_text;
    bool selected_for_restore, additional_restores;
    const char *restore_options, *restore_metadata;
    enum vss_restore_target restore_target; /* UNDEFINED: not set, which means ORIGINAL */
    enum vss_file_restore_status file_restore_status;
    const char *pre_restore_failure, *post_restore_failure;
    size_t n_mappings, n_subcomponents, n_targets;
    struct vss_alternate_location *mappings; /* alternate locations that were used */
    struct bc_subcomponent *subcomponents;   /* implicit ones selected for restore */
    struct kvss_new_target *targets;
};

struct bc_writer {
    const char *id, *instance_id;
    enum vss_backup_type backup_type; /* FULL where its schema lacks the document's */
    size_t n_components;
    struct bc_component **components; /* each allocated, so that its address lasts */
};

struct bc_snapshot {
    const char *id, *volume, *provider_id;
    uint32_t attributes;
    int64_t created_us;
    const char *device; /* where it is while it exists, which no document says; NULL: nowhere */
};

struct bc_document {
    bool select_components, bootable_state, partial_files;
    enum vss_backup_type backup_type;
    uint32_t context;
    const char *set_id; /* NULL: no snapshot set */
    size_t n_snapshots, n_writers;
    struct bc_snapshot *snapshots;
    struct bc_writer **writers; /* as above */
    struct pool strings;
};

int components_new(struct bc_document **ret, struct err *err);
void components_free(struct bc_document *doc);
DEFINE_CLEANUP(struct bc_document *, components_free)
#define _cleanup_components_ _cleanup_(components_free_p)

struct bc_writer *components_writer(const struct bc_document *doc, const char *writer_id); /* NULL: none */
struct bc_component *components_find(const struct bc_writer *w, const char *logical_path, const char *name);
int components_add_writer(struct bc_document *doc, const char *id, const char *instance_id, struct bc_writer **ret, struct err *err);
int components_add(struct bc_document *doc, struct bc_writer *w, enum vss_component_type type, const char *logical_path, const char *name,
                   struct bc_component **ret, struct err *err);
/* Checks and copies; `target` and the others may be freed afterwards. */
int components_add_target(struct bc_document *doc, struct bc_component *c, const struct kvss_new_target *target, struct err *err);
int components_add_subcomponent(struct bc_document *doc, struct bc_component *c, const struct bc_subcomponent *sub, struct err *err);
int components_add_mapping(struct bc_document *doc, struct bc_component *c, const struct vss_alternate_location *mapping, struct err *err);
int components_add_snapshot(struct bc_document *doc, const struct bc_snapshot *s, struct err *err);
/* Checks `text` (NULL clears) against max and sets *field to a copy. */
int components_set_text(struct bc_document *doc, const char **field, const char *text, size_t max, const char *what, struct err *err);

/* components_xml.c; errors as for writer metadata. */
int components_format(const struct bc_document *doc, char **ret_xml, struct err *err);
int components_parse(const char *xml, struct bc_document **ret, struct err *err);

#endif
