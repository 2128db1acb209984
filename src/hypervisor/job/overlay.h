/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HYPERVISOR_JOB_OVERLAY_H
#define HYPERVISOR_JOB_OVERLAY_H

#include "hypervisor/hypervisor.h"

/* Whether the new overlay can be marked as committed where it lies: without that none is brought back, so it is asked before it is used. */
int overlay_check_marks(const char *path, struct err *err);

#endif
