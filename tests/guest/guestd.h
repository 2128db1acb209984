/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guestd: what runs as process 1 in a test guest once it is set up. Three children:
 *   counter   counts in memory, every 250 ms, whatever the disks do
 *   tokens    writes tokens to disk A, then disk B (tokens.h)
 *   shell     answers the serial port org.kvss.shell
 * They share one struct state, mapped from STATE_FILE so that `guestd status` can print it.
 *
 * Port org.kvss.shell, lines both ways; ID is any word chosen by the host, unique per request:
 *   host:   PING <id>                          guest: <id> P
 *   host:   RUN <id> <seconds> <command, hex>  guest: <id> O <output, hex> ...   <id> E <exit status>
 * Held before it looks at its disks (`guestd hold`, kvss.boot=held) a guest answers PING, and waits for
 *   host:   BOOT <id> <seconds since 1970> <random bytes, hex> <words>     guest: <id> B
 * Every answer starts with a newline, so that a piece lost while nobody was connected spoils nothing.
 * The status is 124 if the command did not end within its seconds.
 *
 * Port org.kvss.token, lines both ways (only with kvss.tokens=driven):
 *   host:   <n>       guest, when n is on A and on B:  <n> <counter> <boot id>
 *   host:   ?         guest: = <last on A> <last on B>
 * A number that is there already is answered at once, so the host may ask again after a lost answer.
 */
#ifndef KVSS_TESTS_GUESTD_H
#define KVSS_TESTS_GUESTD_H

#include "tokens.h"

#include <stdatomic.h>
#include <stddef.h>

#define STATE_FILE "/run/kvss/state"
#define SHELL_PORT "org.kvss.shell"
#define TOKEN_PORT "org.kvss.token"
#define LINE_MAX_BYTES 131072

struct state {
    uint64_t bootid;
    _Atomic uint64_t counter;
    uint64_t boot_a, boot_b; /* last tokens found on A and B when the guest started */
    _Atomic uint64_t last_a, last_b;
    _Atomic int write_errno; /* of the last token write that failed, 0 if none did */
};

struct options {
    const char *tokens;          /* "free", "driven" or "off" */
    const char *file_a, *file_b; /* NULL: this guest has no disk to write on */
};

/* Opens the virtio-serial port NAME, waiting until it is there. Its fd; never fails. */
int port_open(const char *name);

/* Reads a line from port FD into LINE (without its newline), waiting as long as it takes. */
void port_read_line(int fd, char *line, size_t size);

/* Writes all of DATA to FD. Errors are passed over: there is nobody to tell. */
void port_write(int fd, const char *data, size_t len);

/* The children; none returns. */
void shell_serve(void) __attribute__((noreturn));
void tokens_run(const struct options *opt, struct state *st) __attribute__((noreturn));

/* `guestd tpm [TEXT]`: writes the text (up to 31 bytes) into an NV index of the TPM, or prints what is there. Exit codes. */
int tpm_write(const char *text);
int tpm_read(void);

/* `guestd hold`: waits for BOOT, sets the clock, mixes in the random bytes, prints the words. Exit code. */
int hold(void);

/* Fills in boot_a, boot_b, last_a and last_b from the token files. */
void tokens_find_last(const struct options *opt, struct state *st);

#endif
