/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMs: what they are made of, and changing what they do. */
#ifndef HYPERVISOR_HV_DOMAIN_H
#define HYPERVISOR_HV_DOMAIN_H

#include "hypervisor/hv_host.h"

/* ---- Domains --------------------------------------------------------------------------------------------------------------*/
enum hv_state {
    HV_OFF, /* shut off, no saved state */
    HV_RUNNING,
    HV_PAUSED, /* QEMU runs, CPUs stopped by a person or program */
    HV_SAVED,  /* shut off with a managed-save image */
    HV_OTHER,  /* shutting down, crashed, suspended by the guest, paused on an I/O error: hv_domain.state_detail says which */
};
const char *hv_state_name(enum hv_state s); /* "off", "running", "paused", "saved", "other" */

enum hv_disk_device { HV_DEVICE_DISK, HV_DEVICE_CDROM, HV_DEVICE_FLOPPY, HV_DEVICE_LUN };
enum hv_disk_source { HV_SOURCE_NONE, HV_SOURCE_FILE, HV_SOURCE_BLOCK, HV_SOURCE_NETWORK, HV_SOURCE_OTHER };

struct hv_disk {
    char *target; /* "vda" */
    enum hv_disk_device device;
    enum hv_disk_source source; /* a storage-pool volume is resolved to FILE, BLOCK or NETWORK */
    char *protocol;             /* NETWORK: "rbd", "iscsi", "nbd" ... else NULL */
    char *path;                 /* FILE, BLOCK: absolute path of the active image; else NULL */
    char *node;                 /* NETWORK: the image as a block node of QEMU's, in JSON, for hv_export_start_disk(); NULL: none, as ... */
    char *no_node;              /* ... this says: why the definition does not tell how to read it without a QEMU that has it open */
    char *locator;              /* for people and file sets: the path, "rbd:pool/image", "" for an empty drive */
    char *format;               /* "qcow2", "raw", ...; never NULL ("raw" where libvirt says nothing) */
    bool readonly, shareable;
    bool transient; /* what the guest writes ends with it; path is the image that stays as it is */
    bool slice;     /* only a part of path (FILE, BLOCK) is the disk's image */
    bool encrypted; /* by QEMU, with a secret of libvirt's: the disk, or an image behind it */
    /* Why its image cannot be read, with the remedy: of a VM that is off or saved, since what is declared is not what lies there; of any,
     * since it is a volume that libvirt does not find. NULL: nothing is known to be wrong. */
    char *unreadable;
    const char *excluded;   /* by what it is left out of the backup, noted by who makes that; borrowed. NULL: it is not */
    const char *unsaveable; /* format of it, or of an image behind it, with which QEMU cannot save a VM; NULL: none such */
    uint64_t size;          /* virtual bytes; 0: not known */
    char **backing;         /* paths of backing images, nearest first; NULL: none */
};

struct hv_nic {
    char *mac, *alias;
    char *type;         /* "network", "bridge", "direct", "user", "ethernet", ... */
    char *source;       /* network or bridge name; NULL */
    char *target;       /* tap device of a running VM; NULL */
    char *virtualport;  /* "openvswitch", ... or NULL */
    char *interface_id; /* Open vSwitch interface id or NULL */
    bool link_down;
};

/* What a VM has of the host beside disks and host devices, which is in no backup (M11). */
enum hv_beside {
    HV_BESIDE_PMEM,        /* the file or device of an NVDIMM or of persistent memory */
    HV_BESIDE_FOLDER,      /* a folder of the host (9p, virtiofs) */
    HV_BESIDE_FIRMWARE,    /* firmware that the guest can write, or its NVRAM, where that is no file */
    HV_BESIDE_TPM,         /* a TPM of the host, or one that another program emulates */
    HV_BESIDE_COMMANDLINE, /* storage that only QEMU's command line knows */
};
struct hv_beside_item {
    enum hv_beside kind;
    char *name; /* path or argument, for people */
};

struct hv_domain {
    char *name, *uuid, *title;
    enum hv_state state;
    char *state_detail; /* libvirt's reason, for people; never NULL */
    bool io_error;      /* QEMU stopped it since a disk could not be written: resumed, it tries again, and the guest knows nothing */
    bool persistent, autostart;
    char *xml; /* the definition for the next start, with secrets (VIR_DOMAIN_XML_SECURE|INACTIVE) */
    uint64_t memory_bytes;
    size_t n_disks;
    struct hv_disk *disks; /* of the live definition where QEMU runs, of the one in its saved state where it has one, else of xml */
    size_t n_later;
    struct hv_disk *later; /* disks that only xml has, by their images: the VM gets them at its next start; none where disks are xml's */
    size_t n_nics;
    struct hv_nic *nics;
    char **passthrough; /* host devices that carry storage, e.g. "scsi host 2:0:0:0", "pci 0000:01:00.0"; NULL: none (M11) */
    size_t n_beside;
    struct hv_beside_item *beside;
    char **unsaveable;    /* devices with which QEMU cannot save it, for people; NULL: none. Formats of images: see disks */
    bool memory_in_files; /* its memory is that of files, whose pages are no part of QEMU's own */
    char *nvram;          /* path or NULL */
    char *nvram_template, *loader, *kernel, *initrd; /* or NULL */
    bool tpm;                                        /* an emulated TPM (swtpm) */
    bool throttled_thread;                           /* a disk that has an iothread and a limit of its rate (iotune) */
    bool agent_channel;                              /* org.qemu.guest_agent.0 is in the definition */
    bool agent_connected;                            /* and its guest side is open */
    size_t n_checkpoints;
    char **checkpoints; /* names, parents first; NULL: none */
    void *handle;       /* virDomainPtr */
    bool pooled;        /* private: has a place on one of the connections that work is spread over */
    void *line;         /* private: struct patient_line (patience.h) */
    struct hv *hv;
};

/* Names and UUIDs of all VMs, sorted by name. None is looked at, so none can be missing or be waited for. */
struct hv_name {
    char *name, *uuid;
};
int hv_names(struct hv *hv, struct hv_name **ret, size_t *ret_n, struct err *err);
void hv_names_free(struct hv_name *list, size_t n);
/* What the VM does by now, of which nothing else is looked at. -ENOENT. */
int hv_state_now(struct hv *hv, const char *uuid, enum hv_state *ret, struct err *err);

/* Words in a VM's metadata, in a namespace of kvss's, of the definition that it runs with and of that for its next start: sorted, each
 * once, NULL for none; caller frees. -ENOENT: there is no such VM. */
#define HV_TAGS_URI "urn:kvss:tags"
#define HV_TAGS_MAX 64
#define HV_TAG_MAX 64 /* bytes */
int hv_tags(struct hv *hv, const char *uuid, char ***ret, struct err *err);
/* These instead of those that it has, in both definitions. -EINVAL: one of them is not valid. */
int hv_tags_set(struct hv *hv, const char *uuid, char *const *tags, struct err *err);
/* Letters, digits and some signs of ASCII. */
bool hv_tag_is_valid(const char *tag);
/* All domains, sorted by name, at a glance: without checkpoints, and of their images what the begin of each tells (of formats other than
 * qcow2 and raw the size is 0). No tool is run for it and no QEMU is asked, so that none has to be waited for. One that is undefined
 * meanwhile is not among them; one that cannot be read is tried again for a while, and then the whole fails, for nothing is to be done
 * without it in silence. */
int hv_list(struct hv *hv, struct hv_domain ***ret, size_t *ret_n, struct err *err);
void hv_list_free(struct hv_domain **list, size_t n);
/* By name or UUID. -ENOENT. Where the connection broke, it is made anew; libvirtd may take a minute to come back. */
int hv_domain_get(struct hv *hv, const char *name_or_uuid, struct hv_domain **ret, struct err *err);
/* The same at a glance, as hv_list() reads it: no tool is run, no QEMU is asked, and there are no checkpoints. */
int hv_domain_glance(struct hv *hv, const char *name_or_uuid, struct hv_domain **ret, struct err *err);
/* Fills in the checkpoints of one that was found or read at a glance. */
int hv_domain_read_checkpoints(struct hv_domain *d, struct err *err);
/* The same with name, UUID, persistent and state only, so nothing but libvirt is needed (no image is looked at): to undo. */
int hv_domain_find(struct hv *hv, const char *name_or_uuid, struct hv_domain **ret, struct err *err);
/* The definition that QEMU runs with, or that is in the saved state, with secrets and in the form that a start takes; d->xml is that for
 * the next start. *ret is NULL where there are no two: the VM is off or transient, or its saved state cannot be read. Caller frees. */
int hv_domain_live(struct hv_domain *d, char **ret, struct err *err);
void hv_domain_free(struct hv_domain *d);
#define DEFINE_HV_CLEANUP 1
static inline void hv_domain_free_p(struct hv_domain **d)
{
    if (*d)
        hv_domain_free(*d);
}
/* Re-reads state, state_detail and io_error. */
int hv_domain_refresh_state(struct hv_domain *d, struct err *err);
/* True if a job (backup, migration, block job ...) runs on it; *ret_what (may be NULL) names it, caller frees. Where none does, QEMU is
 * asked whether it answers. -ETIMEDOUT: it does not, within 30 s; -EINTR: it did not, and the command was told to end. */
int hv_domain_busy(struct hv_domain *d, bool *ret, char **ret_what, struct err *err);
/* 0: its QEMU answers, or has ended. -ETIMEDOUT, -EINTR: as above. */
int hv_domain_answers(struct hv_domain *d, struct err *err);
/* Whether the process of its QEMU has certainly ended, which libvirt 9 may not see as long as a backup job runs. Asks nobody. */
bool hv_domain_process_gone(const struct hv_domain *d);
/* Whether an earlier call of this process to its QEMU has not been answered yet. Asks nobody. */
bool hv_domain_hangs(struct hv_domain *d);
/* Before a moment in which VMs are held: what the next call that changes this one needs is opened. Failures show in that call. */
void hv_domain_ready(struct hv_domain *d);

/* ---- State ----------------------------------------------------------------------------------------------------------------*/
/* Each ends by a limit, or soon after the command was told to end: -ETIMEDOUT, -EINTR. Then libvirt may be at it still. */
int hv_pause(struct hv_domain *d, struct err *err);  /* of a running one; already paused is fine */
int hv_resume(struct hv_domain *d, struct err *err); /* of a paused one; already running is fine */
/* Managed save. The image remembers `running`: the state that a plain start brings back. */
int hv_managed_save(struct hv_domain *d, bool running, struct err *err);
/* Saves it to the file, which must not exist. Libvirt does not know one that is transient then; d's state is that of one that is off. */
int hv_save_to(struct hv_domain *d, const char *path, bool running, struct err *err);
/* Path of the managed-save image (need not exist). -EOPNOTSUPP where the save folder is not on this host. Caller frees. */
int hv_managed_save_path(struct hv_domain *d, char **ret, struct err *err);
int hv_managed_save_drop(struct hv_domain *d, struct err *err); /* none is fine */
/* Starts it (from its managed-save image if there is one). paused: CPUs do not run until hv_resume(). */
int hv_start(struct hv_domain *d, bool paused, struct err *err);
/* What libvirt chose when the VM was started and will choose anew: ports of displays, taps, terminals. "WHAT\tVALUE" each; caller frees. */
int hv_traits(struct hv_domain *d, char ***ret, struct err *err);
/* Adds to *notes a line for each that has another value now, or that libvirt has left out. -ENOMEM. */
int hv_traits_changed(char *const *before, char *const *after, char ***notes);
/* The most that its saved state will take, in bytes; 0: not known (it does not run, or libvirt compresses it). */
uint64_t hv_save_bytes(struct hv_domain *d);
/* What a start of the VM as it runs now (or is saved) would not find on this host, one text each: "network lab, which is not active (virsh
 * net-start lab)". *ret is NULL where it lacks nothing that can be told of, and where the VM is off. *ret_unsure (may be NULL): sentences
 * about what nothing can be told of. replaced (may be NULL): paths of images of its disks that do not count. Caller frees. */
int hv_start_lacks(struct hv_domain *d, char *const *replaced, char ***ret, char ***ret_unsure, struct err *err);
/* Brings a VM back from its managed-save image, whatever its host lacks by now, as long as the guest can go on without: what is missing
 * (a medium, a network, a kernel, a folder for a log or socket) is taken out of the definition in the image, not out of the VM's own;
 * where that does not help, what may be at fault. Each line of *ret_notes (NULL: nothing was corrected; caller frees) tells of one
 * correction. The failure that is told is the first one. */
int hv_start_saved(struct hv_domain *d, bool paused, char ***ret_notes, struct err *err);
/* Writes such notes to the connection's log; NULL is fine. */
void hv_tell(const struct hv_domain *d, char *const *notes);
/* The same for a VM that is off: started under xml (NULL: its own definition), and under what can be had of it if that fails. */
int hv_start_off(struct hv_domain *d, const char *xml, bool paused, char ***ret_notes, struct err *err);
/* Starts a defined VM that is off under another definition, until it is turned off; its own stays that for the next start. */
int hv_start_as(struct hv_domain *d, const char *xml, bool paused, struct err *err);
int hv_destroy(struct hv_domain *d, struct err *err); /* turns off at once; off is fine */
/* Removes the definition with managed save, NVRAM (keep_nvram: not), checkpoint and snapshot metadata. Must be off. */
int hv_undefine(struct hv_domain *d, bool keep_nvram, struct err *err);
int hv_define(struct hv *hv, const char *xml, struct hv_domain **ret, struct err *err);
/* A VM that is gone when it is turned off: started, and nothing kept. */
int hv_create_transient(struct hv *hv, const char *xml, bool paused, struct err *err);
int hv_set_autostart(struct hv_domain *d, bool on, struct err *err);
/* Starts a defined VM from a save image at path, under the given definition (NULL: the image's own). paused as in hv_start(). */
int hv_start_from(struct hv *hv, const char *path, const char *xml, bool paused, struct err *err);
/* Whether a plain start from the save image lets the VM run, or leaves it paused: as it was when it was saved. */
int hv_save_image_runs(const char *path, bool *ret, struct err *err);
/* The definition inside a save image. Caller frees. */
int hv_save_image_xml(struct hv *hv, const char *path, char **ret, struct err *err);
/* The same from the first n bytes of a save image, wherever it lies. -EINVAL: they are none, or the definition is longer. */
int hv_save_image_head_xml(const void *begin, size_t n, char **ret, struct err *err);
struct hv_def_copy;
/* Makes the save image one of the VM's copy, in place, as hv_def_make_copy() does the definition; the MACs stay, since the guest's memory
 * holds them. Needs no libvirt. */
int hv_save_image_rename(const char *path, const struct hv_def_copy *id, struct err *err);

#endif
