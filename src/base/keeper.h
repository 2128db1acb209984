/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connections that must not break when we die. QEMU before 9.0 aborts, and the guest with it, when a client of the export of a disk
 * that has an iothread goes away while the export lives (blockdev-nbd.c, nbd_blockdev_client_closed). A process apart shares every
 * such connection until the server closes it, so the server never sees a client go, whoever is killed (B2). */
#ifndef BASE_KEEPER_H
#define BASE_KEEPER_H

#include "base/cleanup.h"
#include <kvss/error.h>
#include <stdint.h>
#include <sys/types.h>

struct keeper;

/* Starts argv, which must end up in keeper_run() with its stdin as fd. It outlives us. */
int keeper_start(char *const *argv, struct keeper **ret, struct err *err);
pid_t keeper_pid(const struct keeper *k);
/* From now on the connection lives until its other end closes it; closing fd is the caller's as before. k NULL: nothing happens.
 * -EPIPE: the keeper is gone. *ret_id names it. Thread-safe, as the next one. */
int keeper_hold(struct keeper *k, int fd, uint32_t *ret_id, struct err *err);
/* The greetings of NBD are over. Before that a server waits for what its client has to say, and as soon as the job is to be ended QEMU's
 * whole main loop does, and with it the guest (seen with 7.2): if we die then, the keeper says that nothing more will come. */
int keeper_established(struct keeper *k, uint32_t id, struct err *err);
/* Nobody reads from what it holds any more: it takes what still comes, until the other ends close. No more can be held from now on. k NULL:
 * nothing happens. */
void keeper_discard(struct keeper *k);
/* Nothing more will come. Waits a moment for the keeper to end, which it does when all connections are closed; one that is not
 * lives on. NULL is fine. */
void keeper_free(struct keeper *k);
DEFINE_CLEANUP(struct keeper *, keeper_free)

/* The keeper's whole life: ends when its owner is gone and all that it was given is closed by the other ends. */
int keeper_run(int fd, struct err *err);

#endif
