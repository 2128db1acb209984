/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A program that reads what strangers have written is kept to what it was handed: its open files. Set up in the child, before it runs. */
#ifndef BASE_CONFINE_H
#define BASE_CONFINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What a program goes without, where the kernel or a container refuses it. */
enum confine_lack {
    CONFINE_ROOT = 1 << 0,     /* a root folder of its own, without the files of the host */
    CONFINE_NET = 1 << 1,      /* an empty network of its own */
    CONFINE_IPC = 1 << 2,      /* IPC and host name of its own */
    CONFINE_USER = 1 << 3,     /* another user, and no capability that it does not need */
    CONFINE_SECCOMP = 1 << 4,  /* system calls that such a program has no use for are refused */
    CONFINE_LANDLOCK = 1 << 5, /* the kernel's own list of files */
};

/* It always gets no core file, no new privileges and no other descriptors; the rest as far as it can be had. A program that does not start
 * because it is kept from a file is started without: a backup does not fail for it. */
struct confine {
    uid_t uid; /* who it runs as, if root starts it and this user can open the descriptors; 0: root, without its rights */
    gid_t gid;
    bool write;               /* its descriptors are opened for writing, too */
    bool network;             /* it may use the host's network, and has what looking up names takes */
    const char *const *reach; /* files and sockets of the host that it may also use, by their paths; ends with NULL; NULL: none */
    uint64_t memory_max;      /* bytes of address space; 0: as we have it */
    unsigned *ret_lacks;      /* enum confine_lack, once it has been started; NULL: nobody wants to know */
};

#endif
