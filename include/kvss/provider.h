/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All that the author of a shadow copy provider needs (M22). Calls come in the order of VSS's provider protocol:
 *
 *   is_volume_supported  begin_prepare (per volume)  prepare_point (per VM)  take_point (per VM, the VM held still)
 *   end_prepare  pre_commit  commit  post_commit  pre_final_commit  snapshot_device (per volume)  post_final_commit
 *   open_disk ...  delete_snapshots
 *
 * What is asked for is a volume (the files on it) or one disk of a VM; of the providers that support it the first is taken. A provider
 * without take_point and open_disk is asked for volumes alone. The points of VMs in a saved state come last, between pre_final_commit
 * and post_final_commit. Between these two a shadow copy may be written to (by writers, auto-recovery); afterwards it is read-only.
 *
 * All calls return 0 or -errno with err set. take_point of several VMs run at once, in several threads, and must be quick, as commit:
 * guests or writers are held. `abort_snapshots` may come at any point and more than once, and leaves nothing of the set behind; it and
 * `delete_snapshots` may come in another process than the one that made the set, which has died: the set's id is then all that is known.
 *
 * Built-in providers and shared objects use this header; the protocol of programs (docs/providers.md) has the same calls. New calls and
 * fields are only ever added at the end.
 */
#ifndef KVSS_PROVIDER_H
#define KVSS_PROVIDER_H

#include <kvss/error.h>
#include <kvss/range.h>
#include <kvss/vss_codes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KVSS_PROVIDER_API 1

enum kvss_provider_type { KVSS_PROV_SYSTEM = 1, KVSS_PROV_SOFTWARE = 2, KVSS_PROV_HARDWARE = 3 }; /* VSS_PROVIDER_TYPE */

/* What is to be shadowed. */
struct kvss_volume {
    /* Mount point of a host file system (of btrfs: the folder of a subvolume), block device, or locator of a network disk. */
    const char *name;
    const char *vm_uuid; /* only what this VM has on the volume; NULL: the files on it */
    const char *target;  /* only this disk of the VM, "vda"; NULL: what else the VM has there, which its writer itself keeps */
    const char *path;    /* of the disk: file, block device or locator of the active image; else NULL */
};

/* One disk whose point in time is wanted. */
struct kvss_point_disk {
    const char *target; /* "vda", unique in the VM */
    const char *path;   /* file or block device of the active image; NULL: it is on the network, and the VM's definition tells where */
    const char *format; /* "qcow2", "raw", ... */
    bool readonly;      /* the VM cannot write it: it may be read beside the VM */
};

/* The point in time of one VM's disks: those of them that the provider shadows. Valid during the call only. */
struct kvss_point {
    const char *set_id; /* GUID of the snapshot set */
    const char *vm_uuid, *vm_name;
    bool active; /* a QEMU process has the disks open (running or paused); false: off or saved */
    size_t n_disks;
    const struct kvss_point_disk *disks;
    const char *checkpoint; /* name for the checkpoint to be made with the point; NULL: make none */
    const char *since;      /* checkpoint whose dirty blocks are wanted, also of a VM that is off; NULL: everything will be read */
};

/* How to read one disk of a shadow copy: an export, or an image that kvss reads by itself. Strings are malloc'd, the caller frees them
 * with kvss_disk_source_free(). Zero before the call. */
struct kvss_disk_source {
    char *nbd_uri;       /* of a read-only NBD export; or: */
    char *path, *format; /* of the image in the shadow copy ("raw", "qcow2" ...), which nobody writes any more */
    char *dirty_context; /* NBD meta context whose set extents changed since `since`; NULL: read everything */
    char *why_full;      /* where `since` was asked but cannot be honoured: the reason; else NULL */
    bool apart;          /* a process of its own serves nbd_uri, not the VM's QEMU: a reader may leave it while reads are under way */
    /* Of built-in providers, where path is given: what changed since `since`, in order, without overlaps, malloc'd. What reads as zeros now
     * need not be in it. */
    bool changes_known;
    struct kvss_range *changed;
    size_t n_changed;
};
void kvss_disk_source_free(struct kvss_disk_source *s);

struct kvss_snapshot_properties { /* VSS_SNAPSHOT_PROP; strings owned by the service */
    const char *snapshot_id, *set_id, *volume, *provider_id;
    uint32_t attributes;
    int64_t created_us; /* wall clock */
    const char *device; /* where the shadow copy is: folder or block device; NULL: it has no such place (exports of disks alone) */
};

/* Room for shadow copies. */
struct kvss_room {
    uint64_t free_bytes, total_bytes;
    char *place; /* where: malloc'd */
};

/* What kvss tells a shared object when it opens it. */
struct kvss_provider_host {
    size_t struct_size; /* sizeof(struct kvss_provider_host) of kvss */
    unsigned api;       /* KVSS_PROVIDER_API of kvss */
    const char *version;
};

struct kvss_provider {
    size_t struct_size; /* sizeof(struct kvss_provider) */
    unsigned api;       /* KVSS_PROVIDER_API */
    const char *name;   /* "qemu" */
    const char *id;     /* GUID */
    const char *version;
    enum kvss_provider_type type;

    /* Of a shared object only: *ret_p is handed to all other calls. Optional: p is then NULL. */
    int (*open)(const struct kvss_provider_host *host, void **ret_p, struct err *err);
    void (*close)(void *p);

    /* Questions, which change nothing. */
    /* Whether it can be used on this host: *ret_why_not (malloc'd) is what is missing and the remedy, NULL if nothing is. Optional. */
    int (*check_health)(void *p, char **ret_why_not, struct err *err);
    /* Room for shadow copies of the volume; NULL: for those that do not lie beside what they shadow. -EOPNOTSUPP: it cannot be told.
     * Optional. */
    int (*free_room)(void *p, const char *volume, struct kvss_room *ret, struct err *err);
    /* Whether it can shadow this: mandatory. Quick; of a volume or disk that it does not know the answer is no. */
    int (*is_volume_supported)(void *p, const struct kvss_volume *volume, bool *ret, struct err *err);

    int (*begin_prepare)(void *p, const char *set_id, const char *snapshot_id, const char *volume, uint32_t context,
                         struct err *err); /* mandatory; may refuse */
    /* Slow preparations of a VM's point, nothing held yet; and the point itself. Of a VM in a saved state both come after commit. */
    int (*prepare_point)(void *p, const struct kvss_point *point, struct err *err);
    int (*take_point)(void *p, const struct kvss_point *point, struct err *err);
    int (*end_prepare)(void *p, const char *set_id, struct err *err); /* optional, as pre_commit and the three after commit */
    int (*pre_commit)(void *p, const char *set_id, struct err *err);
    int (*commit)(void *p, const char *set_id, struct err *err); /* mandatory; writers are frozen: seconds at most */
    int (*post_commit)(void *p, const char *set_id, struct err *err);
    int (*pre_final_commit)(void *p, const char *set_id, struct err *err);
    int (*post_final_commit)(void *p, const char *set_id, struct err *err);
    /* Where the shadow copy is, after pre_final_commit: an absolute path, malloc'd; NULL: it has none. Optional. */
    int (*snapshot_device)(void *p, const char *set_id, const char *snapshot_id, char **ret_device, struct err *err);
    /* After the snapshot set is complete; with take_point. */
    int (*open_disk)(void *p, const char *set_id, const char *vm_uuid, const char *target, struct kvss_disk_source *ret, struct err *err);
    /* Whether the shadow copies are still what they were: -errno with the reason once they are not, and what was read since is worthless.
     * *ret_vm_uuid (may be NULL; malloc'd): the VM for which they were lost, or NULL. Any thread. Optional. */
    int (*check_snapshots)(void *p, const char *set_id, char **ret_vm_uuid, struct err *err);
    int (*abort_snapshots)(void *p, const char *set_id, struct err *err);  /* mandatory; idempotent */
    int (*delete_snapshots)(void *p, const char *set_id, struct err *err); /* mandatory; idempotent; checkpoints stay */
};

/* The one symbol that a shared object has for kvss; host_api is what kvss speaks. Returns NULL where it does not speak that. */
#define KVSS_PROVIDER_ENTRY "kvss_provider_entry"
typedef const struct kvss_provider *kvss_provider_entry_fn(unsigned host_api);

#endif
