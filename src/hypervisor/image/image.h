/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HYPERVISOR_IMAGE_IMAGE_H
#define HYPERVISOR_IMAGE_IMAGE_H

#include "hypervisor/hypervisor.h"

/* What `qemu-img info --output=json` printed. -EBADMSG: not that. */
int image_json_parse(const char *text, size_t n, struct hv_image_info *ret, struct err *err);

/* Removes a persistent bitmap of a qcow2 image that nobody has open; one that is not there is fine. */
int image_bitmap_remove(const char *path, const char *bitmap, struct err *err);

/* qemu-img create, of the new, empty, open file fd: an overlay of `size` bytes on an image, which is not looked at. path is for errors. */
int image_make_overlay(int fd, const char *path, const char *backing, const char *backing_format, uint64_t size, struct err *err);
/* Writes what a qcow2 overlay holds into the image below it; neither is open anywhere (-EBUSY). Takes as long as it takes; the overlay
 * stays as it is, so that it can be done again. */
int image_commit(const char *overlay, const char *base, const char *base_format, struct err *err);

/* Whether anything was ever written into a qcow2 overlay that nobody has open. */
int image_holds_data(const char *path, bool *ret, struct err *err);

/* Of a qcow2 or raw image, from its begin. -EOPNOTSUPP: of another format; -EUCLEAN: not what it should be. */
struct image_head {
    uint64_t size; /* virtual: whole sectors of 512 bytes */
    char *backing; /* as written in the image; NULL: none; caller frees */
};
int image_head_read(const char *path, const char *format, struct image_head *ret);
/* Adds the paths of what it is backed by, nearest first, as far as heads tell; an image whose format is not recorded counts as qcow2 if it
 * begins so. Ends at what cannot be read or is no file. */
int image_head_chain(const char *path, const char *format, char ***v);

/* Whether another program has the image open for writing, as QEMU and its tools mark it (a lock on one byte, for each permission). Takes
 * no lock itself. */
bool image_is_written(const char *path);

#define IMAGE_TOOL_FD "/proc/self/fd/3" /* the first descriptor that a tool of QEMU's is handed */
#define IMAGE_FIRST_FD 3u

struct image_layer {
    int fd;      /* of the file, for a tool of QEMU's to open it by; -1: none */
    int data_fd; /* of the file that holds its data; -1: they are in the image itself */
    char *path;  /* or the URI of what is no file */
    char *format;
    char *data;           /* the path of the file that holds its data, as recorded; NULL: none */
    bool format_recorded; /* false: found by its content, as libvirt does it where the image above records none; QEMU must be told */
};
struct image_chain {
    size_t n;
    struct image_layer *layers; /* [0] is the image itself */
};
/* The image and what it is backed by. Each is opened as the format that is recorded for it: a guest can write any header into a raw
 * image. Where none is recorded libvirt's rule holds: the content tells it, unless that leads on to further files (-EINVAL: libvirt
 * does not start such a VM). Ends at what is no file; fails at a file that cannot be opened; -ELOOP: more than 200 images. hv: as of
 * hv_image_info(). */
int image_chain_read(struct hv *hv, const char *path, const char *format, struct image_chain *ret, struct err *err);
/* The image alone: one that was just made has nothing behind it. */
int image_chain_one(const char *path, const char *format, struct image_chain *ret, struct err *err);
/* The image and the file that holds its data, without what it is backed by. */
int image_chain_top(const char *path, const char *format, struct image_chain *ret, struct err *err);
/* Puts the layers of `more` below those of c; `more` is empty then. */
int image_chain_append(struct image_chain *c, struct image_chain *more, struct err *err);
/* Opens all of them that are files of this host, so that the tools open what was found. The image itself: a duplicate of fd, if that is not
 * negative. */
int image_chain_open(struct image_chain *c, int fd, struct err *err);
void image_chain_clear(struct image_chain *c);
/* Whether what is no file of this host is on a network: of "nbd+unix://...", "json:{...}" and the like. */
bool image_is_remote(const char *spec);
/* What an image records that it is backed by; both NULL: nothing. *ret is a path, or the URI of what is no file; of what records no format
 * *ret_format is what image_chain_read() would take, NULL if that fails. Caller frees. */
int image_recorded_backing(struct hv *hv, const char *path, const char *format, char **ret, char **ret_format);
#define _cleanup_chain_ _cleanup_(image_chain_clear)

/* Path in a form that QEMU takes for a file name and not for "protocol:...". NULL: out of memory. Caller frees. */
char *image_file_name(const char *path);

/* Of a disk's node, which stands as "json:{...}" in what QEMU's tools say: the part of the text that tells what is wrong, in one line, and
 * where Debian has the driver if that is what is missing. said is changed. Never NULL. */
const char *network_disk_why(char *said);
/* The node as a file name. NULL: out of memory. Caller frees. */
char *network_disk_name(const struct hv_disk *disk);
/* Of a VM that runs: adds to *lacks what its next start would not find on the network, to *unsure that of which nothing can be told. */
int network_disks_lost(struct hv_domain *d, char ***lacks, char ***unsure, struct err *err);

/* --image-opts for QEMU's tools: everything explicit, commas doubled. What is open is handed over as the descriptors that
 * image_chain_fds() lists, the first of them as number `first`. Caller frees. */
enum { IMAGE_READ_ONLY = 1 << 0, IMAGE_SHARE = 1 << 1 };
int image_options(const struct image_chain *chain, unsigned first, unsigned flags, char **ret, struct err *err);
/* Writes at most 2 * chain->n descriptors; how many. They stay the chain's. */
size_t image_chain_fds(const struct image_chain *chain, int *fds);

/* The rest of what other folders see of this one. */
#include "hypervisor/image/tool.h"

#endif
