/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HYPERVISOR_DOMAIN_DOMAIN_PROCESS_H
#define HYPERVISOR_DOMAIN_DOMAIN_PROCESS_H

#include <stdint.h>

struct hv;

/* The number of the process that is the QEMU of the VM of that name; 0: not known, or QEMU is not on this host. */
uint64_t domain_process_id(const struct hv *hv, const char *name);
/* Processor time in ms that has been used so that the VM of that name runs: by its QEMU, the guest included, and by the programs that
 * libvirt runs before and after it starts one (virt-aa-helper, apparmor_parser, swtpm_setup, hooks), of other VMs too. 0: not known. */
uint64_t domain_start_cpu_ms(const struct hv *hv, const char *name);

#endif
