/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The data path: bytes between NBD exports or files and images of the repository. Knows no VM and no service.
 *
 * Reading (transfer_read.c): readers ask for the status of each disk's ranges, keep many reads in flight and hand full blocks to
 * workers, which give them to the store (hashing, compression). All disks of all VMs share the readers, the workers and the
 * blocks. Writing (transfer_write.c): workers read and verify blocks of an image, one writer per image keeps many writes in
 * flight. */
#ifndef TRANSFER_TRANSFER_H
#define TRANSFER_TRANSFER_H

#include "base/keeper.h"
#include "base/log.h"
#include "base/par.h"
#include "base/progress.h"
#include "store/store.h"
#include <kvss/error.h>
#include <kvss/range.h>
#include <libnbd.h>
#include <stdbool.h>
#include <stdint.h>

struct transfer {
    struct progress *progress;
    const struct par_cancel *cancel;
    const struct log *log;
    struct keeper *keeper; /* holds the connections of transfer_read(); NULL: nobody does */
    uint64_t bytes_per_s;  /* reading: of all items together; 0: no limit */
};

/* ---- Into the repository --------------------------------------------------------------------------------------------------*/
struct transfer_in {
    const char *label;                /* "web01 vda": for progress and errors */
    const char *nbd_uri;              /* either this ... */
    const char *path;                 /* ... or an ordinary file */
    const char *dirty_context;        /* NBD meta context of changed ranges; NULL: everything is to be read, or: */
    bool changes_known;               /* what is not in `changed`, and not zeros, has not changed */
    const struct kvss_range *changed; /* in order, without overlaps */
    size_t n_changed;
    bool apart;        /* nbd_uri is not served by a VM's QEMU: may be left with reads under way */
    const char *image; /* its name in the restore point */
    /* Asked where nothing has come over nbd_uri for half a minute: 0, whoever serves it lives, and is waited for; else the reading fails
     * so. Called from several threads. NULL: there is nobody to ask. */
    int (*answers)(void *priv, struct err *err);
    void *answers_priv;
    const char *parent_point, *parent_image; /* what stands wherever nothing has changed; NULL: nothing */
    /* Set by the transfer. */
    uint64_t size, bytes_read;
    uint64_t dirty;      /* bytes that are said to have changed */
    bool failed;         /* it was this one that could not be read: */
    char failure[512];   /* why */
    char why_whole[256]; /* why it was read whole although it has a parent; else "" */
    struct store_stats stats;
};
/* Reads all of them; each becomes one finished image of the restore point. On failure none of it counts. */
int transfer_read(const struct transfer *t, struct store *store, struct store_writer *w, struct transfer_in *items, size_t n,
                  struct err *err);

/* ---- Out of the repository ------------------------------------------------------------------------------------------------*/
struct transfer_out {
    const char *label;
    struct store_image *image; /* opened, not shared with another item */
    const char *nbd_uri;       /* a writable export of at least the image's size, or ... */
    int fd;                    /* ... with nbd_uri NULL, an ordinary new file, empty or of zeros */
    bool fresh;                /* the target reads as zeros already: holes need not be written */
    uint64_t bytes_written;    /* set by the transfer */
};
/* Writes one image and flushes it. Several may run at once. */
int transfer_write(const struct transfer *t, struct transfer_out *item, struct err *err);

/* ---- nbd.c ----------------------------------------------------------------------------------------------------------------*/
/* For how long a server that sends nothing is waited for. */
struct nbd_patience {
    bool (*stopped)(void *priv); /* no longer than until this; may be NULL */
    void *priv;
    int (*answers)(void *priv, struct err *err); /* as in struct transfer_in */
    void *answers_priv;
    unsigned give_up_ms; /* where there is nobody to ask: for so long it may send nothing; 0: for ever */
};
/* Waits a moment for the server. *last: when it sent something, by clock_mono_ms(). 0; -EINTR: stopped; -ETIMEDOUT: given up;
 * or what `answers` said. */
int nbd_wait(struct nbd_handle *h, const struct nbd_patience *p, uint64_t *last, struct err *err);
/* Waits until a command (nbd_aio_...; < 0: it could not be sent) is done. Where it fails without a reply, the handle is given up: polled
 * again, it may write to the command's memory. */
int nbd_finish(struct nbd_handle *h, int64_t cookie, const struct nbd_patience *p, struct err *err);
bool nbd_given_up(struct nbd_handle *h);
/* Connects, asking for base:allocation and dirty_context (may be NULL). The keeper (may be NULL) holds the connection before the
 * server can know of it. */
int nbd_open(const char *uri, const char *dirty_context, struct keeper *keeper, const struct nbd_patience *p, struct nbd_handle **ret,
             struct err *err);
static inline void nbd_close_p(struct nbd_handle **h)
{
    nbd_close(*h);
}
/* err from libnbd's own, per thread; `doing` is what was tried. */
int nbd_failed(struct err *err, const char *doing);

/* Workers to use: one per core that this process may use, at least 2. */
size_t transfer_threads(void);

#endif
