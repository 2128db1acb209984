/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* guestctl: the host's end of a test guest's serial ports (tests/guest/guestd.h has the protocol). */
#ifndef KVSS_TESTS_GUESTCTL_H
#define KVSS_TESTS_GUESTCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORT_LINE_MAX 65536

/* A connection to one port, made anew when the VM's QEMU was replaced. */
struct port {
    const char *pattern; /* of the socket's path: libvirt puts the VM's changing id into it */
    int fd;              /* -1: not connected */
    size_t used;         /* bytes in buf */
    char buf[PORT_LINE_MAX];
};

/* Milliseconds since some fixed time. */
int64_t clock_ms(void);

/* Connects to the first socket that matches and answers. False if none does (now). */
bool port_connect(struct port *p);

/* Closes the connection and forgets what was read. */
void port_close(struct port *p);

/* Sends TEXT before DEADLINE (clock_ms). False, and closed, on failure. */
bool port_send(struct port *p, const char *text, int64_t deadline);

/*
 * Reads one line into LINE (PORT_LINE_MAX bytes; without its newline). 1: done. 0: DEADLINE passed.
 * -1: the connection broke and was closed.
 */
int port_line(struct port *p, char *line, int64_t deadline);

/*
 * Sends tokens 1, 2, ... (or on from what the guests have) to all of PORTS, each to the first, then
 * the second and so on, the next only when the one before has answered. COUNT 0: until killed.
 * LOG gets a line per answer: <ms since 1970> <port, from 0> <token> <counter> <boot id>. Exit status.
 */
int drive(struct port **ports, int nports, const char *log, unsigned pause_ms, uint64_t count);

#endif
