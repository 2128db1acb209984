/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All that the author of a shadow copy provider needs (M22). Calls come in the order of VSS's provider protocol:
 *
 *   begin_prepare (per volume)  prepare_point (per VM)  take_point (per VM, the VM held still)
 *   end_prepare  pre_commit  commit  post_commit  pre_final_commit  post_final_commit
 *   open_disk ...  delete_snapshots
 *
 * `abort_snapshots` may come at any point and more than once; it leaves nothing of the set behind. All return 0 or -errno with
 * err set. take_point of several VMs run at once, in several threads, and must be quick: guests are frozen.
 */
#ifndef KVSS_PROVIDER_H
#define KVSS_PROVIDER_H

#include <kvss/error.h>
#include <kvss/vss_codes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KVSS_PROVIDER_API 1

enum kvss_provider_type { KVSS_PROV_SYSTEM = 1, KVSS_PROV_SOFTWARE = 2, KVSS_PROV_HARDWARE = 3 }; /* VSS_PROVIDER_TYPE */

/* One disk whose point in time is wanted. */
struct kvss_point_disk {
    const char *target; /* "vda", unique in the VM */
    const char *path;   /* file or block device of the active image; NULL: it is on the network, and the VM's definition tells where */
    const char *format; /* "qcow2", "raw", ... */
    bool readonly;      /* the VM cannot write it: it may be read beside the VM */
};

/* The point in time of one VM's disks. Valid during the call only. */
struct kvss_point {
    const char *set_id;    /* GUID of the snapshot set */
    const char *vm_uuid, *vm_name;
    bool active;           /* a QEMU process has the disks open (running or paused); false: off or saved */
    size_t n_disks;
    const struct kvss_point_disk *disks;
    const char *checkpoint; /* name for the checkpoint to be made with the point; NULL: make none */
    const char *since;      /* checkpoint whose dirty blocks are wanted, also of a VM that is off; NULL: everything will be read */
};

/* How to read one disk of a shadow copy. Strings are malloc'd, the caller frees them with kvss_disk_source_free(). */
struct kvss_disk_source {
    char *nbd_uri;       /* of a read-only NBD export */
    char *dirty_context; /* NBD meta context whose set extents changed since `since`; NULL: read everything */
    char *why_full;      /* where `since` was asked but cannot be honoured: the reason; else NULL */
    bool apart;          /* a process of its own serves it, not the VM's QEMU: a reader may leave it while reads are under way */
};
void kvss_disk_source_free(struct kvss_disk_source *s);

struct kvss_snapshot_properties { /* VSS_SNAPSHOT_PROP; strings owned by the service */
    const char *snapshot_id, *set_id, *volume, *provider_id;
    uint32_t attributes;
    int64_t created_us; /* wall clock */
};

struct kvss_provider {
    size_t struct_size; /* sizeof(struct kvss_provider) */
    unsigned api;       /* KVSS_PROVIDER_API */
    const char *name;   /* "qemu" */
    const char *id;     /* GUID */
    const char *version;
    enum kvss_provider_type type;

    /* Whether it can shadow the volume (mount point of a host file system, device of a volume group, or locator of a network disk). */
    int (*is_volume_supported)(void *p, const char *volume, bool *ret, struct err *err);
    int (*begin_prepare)(void *p, const char *set_id, const char *snapshot_id, const char *volume, uint32_t context,
                         struct err *err);
    /* Slow preparations of a VM's point, nothing held yet; and the point itself. Optional: NULL where commit takes the point. */
    int (*prepare_point)(void *p, const struct kvss_point *point, struct err *err);
    int (*take_point)(void *p, const struct kvss_point *point, struct err *err);
    int (*end_prepare)(void *p, const char *set_id, struct err *err);        /* optional, as the four below */
    int (*pre_commit)(void *p, const char *set_id, struct err *err);
    int (*commit)(void *p, const char *set_id, struct err *err);             /* mandatory; writers are frozen: seconds at most */
    int (*post_commit)(void *p, const char *set_id, struct err *err);
    int (*pre_final_commit)(void *p, const char *set_id, struct err *err);
    int (*post_final_commit)(void *p, const char *set_id, struct err *err);
    /* After the snapshot set is complete. */
    int (*open_disk)(void *p, const char *set_id, const char *vm_uuid, const char *target, struct kvss_disk_source *ret,
                     struct err *err);
    int (*abort_snapshots)(void *p, const char *set_id, struct err *err);    /* mandatory; idempotent */
    int (*delete_snapshots)(void *p, const char *set_id, struct err *err);   /* mandatory; idempotent; checkpoints stay */
};

#endif
