/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HYPERVISOR_DOMAIN_DOMAIN_DIR_H
#define HYPERVISOR_DOMAIN_DOMAIN_DIR_H

#include <kvss/error.h>

/* The folder "domain-ID-NAME" of a VM in `parent`, NAME perhaps cut short; caller frees. A host that crashed leaves folders of VMs that
 * ran with the same ID, so the longest name counts. -ENOENT: none. */
int domain_dir_find(const char *parent, int id, const char *name, char **ret, struct err *err);
/* A name for a socket in it that nobody uses; caller frees. As long as that of libvirt's own socket there, so that it fits wherever the
 * VM could be started. -ENAMETOOLONG all the same. */
int domain_dir_socket(const char *dir, char **ret, struct err *err);

#endif
