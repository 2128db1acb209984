/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The writers in a Windows guest, as its vssadmin lists them (M2, B3). What the guest says is untrusted: bounded and cleaned. */
#ifndef WRITERS_VM_WINDOWS_WRITERS_H
#define WRITERS_VM_WINDOWS_WRITERS_H

#include "writers/vm/vm_internal.h"

/* Output of `vssadmin list writers`, in any language: name, id, instance, state ("[1] Stable") and, where it has not come through, error of
 * each writer. `failure` is set where that cannot be told for the language. *ret, to be cleared by the caller, is untouched after a
 * failure: -EBADMSG: it is no such output; -EFBIG: too many writers. */
int vm_windows_parse(const char *output, struct vm_record_guest *ret, struct err *err);
/* Output of `reg query KEY /v VssOption`: the type of backup that the agent requests, "full" unless it says another. */
const char *vm_windows_backup_type(const char *output);

/* Asks the guest. *ret is empty before, and after a failure; the caller clears it. -ENOENT: the agent may not start vssadmin. */
int vm_windows_ask(struct hv_domain *d, const struct par_cancel *cancel, struct vm_record_guest *ret, struct err *err);
/* In PostSnapshot, when nothing is held any more: of a Windows guest, the verdict is in vm->guest and vm->unproven; others are left alone.
 * Fails only where application consistency is required. */
int vm_windows_end(struct vm *vm, struct err *err);

#endif
