/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The memory of one instant of a VM that runs on meanwhile: QEMU's capability background-snapshot, which libvirt does not know. So it is
 * used through monitor commands, which taint the domain, and by nobody who was not asked to. Clauses M3, B2, B7, B8.
 *
 * QEMU stops the VM, writes the state of its devices, has the kernel protect its memory (userfaultfd), lets the VM run and writes its
 * memory; what the guest is about to change is written first. A VM that is paused is started by that too, so only VMs that ran before
 * they were paused for it are for this. Left on, the capability would make a managed save one that starts the VM again: therefore each
 * VM that it was turned on for has a durable mark, which tells who comes later to look.
 */
#ifndef HYPERVISOR_HV_LIVE_H
#define HYPERVISOR_HV_LIVE_H

#include "base/keeper.h"
#include "hypervisor/hv_domain.h"

/* Why it cannot be done with this VM, with the remedy where there is one; NULL: nothing is known against it. Everything that is known
 * without QEMU comes first, and only then QEMU is asked what it offers, with a monitor command. -ENOMEM, or what asking came to. Caller
 * frees. */
int hv_live_lacks(struct hv_domain *d, char **ret_why, struct err *err);
/* The part of it that is about this host alone, and asks nobody: whether QEMU's user may use userfaultfd. Caller frees. */
int hv_live_host_lacks(char **ret_why, struct err *err);

struct hv_live;
struct hv_live_image {
    const char *path;      /* the save image to be made, in a folder of root's (new: -EEXIST) */
    struct keeper *keeper; /* takes what still comes, should this process die; NULL: nobody does */
    uint64_t max_bytes;    /* beyond this it fails; 0: by the VM's memory */
    unsigned stalled_ms;   /* so long nothing may be written before it fails, for then the guest may be waiting; 0: 10000 */
};
/* While the VM runs: makes the image with libvirt's head, gives QEMU the one end of the stream, and finds out whether it would take the
 * capability, which is off again afterwards. Enters no effect: hv_live_undo() is the undo of this and what follows. */
int hv_live_prepare(struct hv_domain *d, const struct hv_live_image *image, struct hv_live **ret, struct err *err);
/* Of a VM that was just paused: from now on the capability is on. */
int hv_live_arm(struct hv_live *l, struct err *err);
/* Its memory is as it is now. Returns when it runs again. After a failure it may be paused still. */
int hv_live_begin(struct hv_live *l, struct err *err);
/* Asked again and again: 0, or a reason to stop. */
struct hv_live_stop {
    int (*fn)(void *priv, struct err *err);
    void *priv;
};
/* Waits until the memory is written, on disk, and the capability is off. The VM runs on, whatever becomes of it. -ENOSPC, -ETIMEDOUT (the
 * image was not written fast enough), -EFBIG, -EAGAIN (the VM's devices changed meanwhile), or what stop (may be NULL) said. */
int hv_live_finish(struct hv_live *l, const struct hv_live_stop *stop, struct err *err);
/* After a failure: what still comes is thrown away, and hv_live_undo(). */
int hv_live_give_up(struct hv_live *l, struct err *err);
void hv_live_free(struct hv_live *l); /* NULL is fine. What QEMU still writes is taken, and thrown away */

/* Ends what hv_live_*() began, whoever did. A stream that is under way is waited for, as long as somebody takes it; the capability is
 * turned off; and a QEMU whose stream failed is made one that can be saved again. Harmless where there is nothing. Does not let a VM run
 * that is paused. -EBUSY: another process does it with this VM now, and nothing was touched. */
int hv_live_undo(struct hv_domain *d, struct err *err);
/* Where the VM has the mark, the same; else it costs nothing. The mark of a QEMU that has ended is removed. */
int hv_live_make_sure(struct hv_domain *d, struct err *err);

#endif
