/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a restore point looks like inside: names of its documents and images, and the JSON that lists it.
 *
 *   bcd.xml                     backup components document
 *   wmd/NUMBER.xml              writer metadata documents, as gathered
 *   vm/UUID/vm.json             the VM's record (writers/vm/vm_record.h), the only one: the listing's entry is derived from it
 *   vm/UUID/disk/TARGET         image: content of a disk
 *   vm/UUID/part/NAME           definition, definition-live, nvram: documents; memory, and what else is large: images
 *   vm/UUID/part/memory.pages   image: pages of the memory; then vm/UUID/part/memory is only the frame that they were in (memory/memory.h)
 *   files/NUMBER/index.json     files of a command writer's component
 *   files/NUMBER/data           image: their contents, each from a chunk's begin
 */
#ifndef REQUESTER_POINT_STORED_POINT_H
#define REQUESTER_POINT_STORED_POINT_H

#include "base/cleanup.h"
#include "store/store.h"
#include "writers/vm/vm_writer.h"
#include <jansson.h>
#include <kvss/error.h>

#define POINT_BCD "bcd.xml"
#define POINT_WMD_PREFIX "wmd/"
#define POINT_VM_PREFIX "vm/"
#define POINT_FILES_PREFIX "files/"
#define POINT_DOCUMENT_MAX ((uint64_t)32 << 20) /* parts longer than this become images */

/* Caller frees; NULL: out of memory. */
char *point_wmd_name(size_t i);
char *point_vm_name(const char *uuid, const char *rest);
char *point_files_name(size_t i, const char *rest);

/* The point's listing: its meta, checked to be an object with an array "vms". */
int point_meta(const char *meta, json_t **ret, struct err *err);
/* Its VMs, each an entry for vm_record_listed(); borrowed. NULL: there are none, or meta is NULL. Also of a backup's report. */
json_t *point_vms(const json_t *meta);
/* Reads a document as a JSON object. */
int point_read_json(struct store_point *p, const char *name, json_t **ret, struct err *err);
/* "vm/UUID/vm.json". *ret is cleared first. */
int point_read_vm(struct store_point *p, const char *uuid, struct vm_record *ret, struct err *err);
/* Reads the frame of a part of the kind VM_PART_PAGES. -EUCLEAN: it is none, or of a saved state of another size than the record says. */
int point_read_frame(struct store_point *p, const struct vm_record_part *part, struct buf *ret, struct err *err);
/* The listing's entry of a VM by name or UUID; borrowed. NULL: not in it. */
json_t *point_find_vm(const json_t *meta, const char *name_or_uuid);
/* Whether each of the VMs (NULL: none are named) is in one of the listings (those that are NULL are passed over). -ENOENT: the first
 * that is in none, and what is like it. */
int point_check_vms(json_t *const *metas, size_t n, char *const *vms, struct err *err);

#endif
