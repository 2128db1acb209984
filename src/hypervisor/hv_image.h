/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images without a running QEMU. */
#ifndef HYPERVISOR_HV_IMAGE_H
#define HYPERVISOR_HV_IMAGE_H

#include "hypervisor/hv_domain.h"

struct hv_bitmap {
    char *name;
    bool in_use;    /* a QEMU has it open, or was killed: what it holds then is not to be trusted */
    bool recording; /* every QEMU that opens the image for writing goes on recording in it */
};
struct hv_image_info {
    char *format;
    uint64_t size;                  /* virtual: whole sectors of 512 bytes */
    uint64_t file_size;             /* of a regular file, else 0: a raw image may end within a sector, the rest of which reads as zeros */
    uint64_t cluster_size;          /* 0: none */
    char *backing, *backing_format; /* as written in the image; NULL */
    char *data_file;                /* another file that holds the data (qcow2), as written in the image; NULL: none */
    char *compat;                   /* qcow2: "0.10" or "1.1" */
    bool lazy_refcounts, extended_l2, encrypted;
    char *compression;      /* qcow2: of clusters that are compressed, "zlib" or "zstd"; NULL */
    unsigned refcount_bits; /* qcow2; 0: not known */
    /* As far as sizes tell: "off", "metadata", "falloc" (nothing is left to be allocated: also an image that was filled). NULL: unknown */
    char *preallocation;
    size_t n_snapshots; /* inside the image */
    size_t n_bitmaps;   /* persistent dirty bitmaps of a qcow2 image; of one that is open: as of when it was opened */
    struct hv_bitmap *bitmaps;
};
/* qemu-img info; format NULL: probed (only where the definition does not say). share: also while a VM has it open. hv (may be NULL)
 * remembers the answer as long as the file does not change. */
int hv_image_info(struct hv *hv, const char *path, const char *format, bool share, struct hv_image_info *ret, struct err *err);
void hv_image_info_clear(struct hv_image_info *i);
/* qemu-img create, of the new, empty, open file fd; path is for errors. options: "cluster_size=65536,compat=1.1" or NULL. */
int hv_image_make(int fd, const char *path, const char *format, uint64_t size, const char *options, struct err *err);

/* QEMU's tools run confined (base/confine.h). *ret: what they go without on this host, in words; NULL: nothing. Caller frees. */
int hv_tools_lack(char **ret, struct err *err);

struct hv_export; /* a qemu-nbd that dies with us */
enum hv_export_mode { HV_EXPORT_READ, HV_EXPORT_READ_SHARED, HV_EXPORT_WRITE };
/* Serves the image (its whole chain) on a private UNIX socket. READ holds QEMU's image lock: a VM that wants to write the image
 * cannot start meanwhile, and the image cannot be in use by one (-EBUSY). READ_SHARED takes no lock (peeking). WRITE: exclusive.
 * dir: where the socket's own folder is made (NULL: the run-time folder), so that who removes dir removes that too. */
int hv_export_start(const char *dir, const char *path, const char *format, enum hv_export_mode mode, struct hv_export **ret,
                    struct err *err);
/* WRITE, of the open image that hv_image_make() has just made; path is for errors. */
int hv_export_start_new(const char *dir, int fd, const char *path, const char *format, struct hv_export **ret, struct err *err);
/* READ, of a disk on the network (it must have a node), which no lock keeps others from writing. -ETIMEDOUT: its server does not answer
 * (30 s); -EINTR: told to end. d: the VM whose disk it is. */
int hv_export_start_disk(struct hv_domain *d, const char *dir, const struct hv_disk *disk, struct hv_export **ret, struct err *err);
/* Whether disks (which[i]: disk i, on the network) could be read so: their servers are asked, side by side, and their heads read. An answer
 * per disk, in the order of d->disks; caller frees. A failure is kept until hv is closed, so that nobody waits for one server twice:
 * ETIMEDOUT, no answer for limit_ms; EOPNOTSUPP, it is not read this way, or QEMU's tools lack the driver; EIO, its server. -EINTR. */
#define HV_NETWORK_ANSWER_MS 30000u
struct hv_network_answer {
    uint64_t size;  /* of the disk */
    struct err why; /* code 0: it can be read, or it was not asked for */
};
int hv_network_disks_ask(struct hv_domain *d, const bool *which, unsigned limit_ms, struct hv_network_answer **ret, struct err *err);
/* READ, and the image's persistent dirty bitmap is told too, as the NBD meta context hv_export_dirty_context(). */
int hv_export_start_dirty(const char *dir, const char *path, const char *format, const char *bitmap, struct hv_export **ret,
                          struct err *err);
const char *hv_export_dirty_context(const struct hv_export *e); /* NULL: none */
const char *hv_export_uri(const struct hv_export *e);
int hv_export_stop(struct hv_export *e, struct err *err); /* waits until all is flushed; frees; NULL is fine */
/* Reads n bytes of the image's content at off, also while a VM has it open. For partition tables: not for data. */
int hv_image_peek(const char *dir, const char *path, const char *format, uint64_t off, void *p, size_t n, struct err *err);

#endif
