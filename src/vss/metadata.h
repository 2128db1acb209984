/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The writer metadata document: built by a writer in Identify through kvss_md_*(), or by reading a stored one, which goes through
 * the same calls and so through the same checks. Immutable once Identify has returned. */
#ifndef VSS_METADATA_H
#define VSS_METADATA_H

#include "base/cleanup.h"
#include "vss/vss_pool.h"
#include "vss/vss.h"

struct metadata_lists { /* what the component of the same index owns */
    struct vss_file_set *files;
    struct vss_dependency *dependencies;
};

struct kvss_metadata {
    struct vss_writer_info info; /* what others see; its arrays are the ones below */
    struct vss_component_info *components;
    struct metadata_lists *lists;
    struct vss_file_set *excludes;
    struct vss_alternate_location *locations;
    struct pool strings;
};

int metadata_new(const char *name, const char *id, const char *instance_id, enum vss_usage usage, enum vss_source source,
                 struct kvss_metadata **ret, struct err *err);
void metadata_free(struct kvss_metadata *md);
DEFINE_CLEANUP(struct kvss_metadata *, metadata_free)
#define _cleanup_metadata_ _cleanup_(metadata_free_p)

/* Index of the component; -1: none such. */
int metadata_find(const struct vss_writer_info *w, const char *logical_path, const char *name);
/* kvss_md_add_files() and kvss_md_add_dependency() for the component of the index. */
int metadata_add_files(struct kvss_metadata *md, size_t component, const struct kvss_md_files *files, struct err *err);
int metadata_add_dependency(struct kvss_metadata *md, size_t component, const struct vss_dependency *on, struct err *err);
/* What a writer owes in Identify: a restore method. -EINVAL. */
int metadata_check(const struct kvss_metadata *md, struct err *err);

/* metadata_xml.c. Reading: VSS_E_INVALID_XML_DOCUMENT (no XML), VSS_E_CORRUPT_XML_DOCUMENT (no such document). */
int metadata_format(const struct kvss_metadata *md, char **ret_xml, struct err *err);
int metadata_parse(const char *xml, struct kvss_metadata **ret, struct err *err);

#endif
