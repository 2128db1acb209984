/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An NBD server that greets as QEMU's does and answers what a script says. */
#ifndef FUZZ_NBD_SERVER_H
#define FUZZ_NBD_SERVER_H

#include <stddef.h>
#include <stdint.h>

#define LYING_DIRTY "qemu:dirty-bitmap:kvss"

struct lying_server;

/* Takes one connection, in a thread. The script (it lives as long as the server): byte 0 is not the server's, byte 1 says what it is
 * able to do, 2 and 3 the size of the export; then a byte for each command, how it is answered, and what that takes. Where the script
 * has ended the answers are honest, as long as the export is small. NULL: it cannot be started. */
struct lying_server *lying_server_start(const uint8_t *script, size_t n);
const char *lying_server_uri(const struct lying_server *s);
uint64_t lying_server_size(const struct lying_server *s); /* of the export, as told */
void lying_server_stop(struct lying_server *s);           /* waits for its thread; NULL is fine */

#endif
