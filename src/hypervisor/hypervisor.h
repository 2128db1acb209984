/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything kvss needs of libvirt and QEMU. Knows no VSS and no repository; the only folder that includes libvirt's headers.
 *
 * A struct hv_domain is a snapshot of what was found plus a handle to act on it; it does not follow changes by itself
 * (hv_domain_refresh_state). All calls are thread-safe as long as one hv_domain is used by one thread at a time.
 * Errors: 0 or -errno; -ENOENT no such domain, -ETIMEDOUT the agent did not answer in time, -ENOTCONN the agent is not
 * there, -EBUSY another job holds the VM, -EIO what libvirt says otherwise (its message is in the text).
 */
#ifndef HYPERVISOR_HYPERVISOR_H
#define HYPERVISOR_HYPERVISOR_H

#include "base/buf.h"
#include "base/log.h"
#include "base/par.h"
#include "base/strv.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- Connection -----------------------------------------------------------------------------------------------------------*/
struct hv;

struct hv_config {
    const char *uri;      /* NULL: libvirt's default for this user */
    const char *save_dir; /* where managed-save images lie; NULL: found out from the URI */
    const struct par_cancel *cancel; /* raised: QEMUs that do not answer are waited for no longer; may be NULL */
    const struct log *log;
};
int hv_open(const struct hv_config *config, struct hv **ret, struct err *err);
void hv_close(struct hv *hv); /* all domains must be freed before; NULL is fine */
/* How long calls wait for a QEMU, in ms, from now on (HV_ANSWER_MS unless set). Returns what it was. */
#define HV_ANSWER_MS 30000u /* as long as libvirt itself waits for who holds a VM */
unsigned hv_set_answer_limit(struct hv *hv, unsigned ms);
const char *hv_uri(const struct hv *hv);
const char *hv_save_dir(const struct hv *hv);   /* NULL where unknown (remote) */
/* Whether this VM may be resumed while a backup job runs. QEMU before 9.0 aborts then, and the guest with it, where a disk has an
 * iothread and a limit (qemu_mutex_unlock_impl: Operation not permitted; seen with 7.2). */
struct hv_domain;
bool hv_may_resume_in_job(const struct hv_domain *d);
/* Waits until the VM's state stays as it is, and tells it in d->state: what a process that died had asked libvirt for (to save it, to
 * start it) goes on without it. -ETIMEDOUT. */
int hv_domain_wait_still(struct hv_domain *d, struct err *err);
bool hv_is_local(const struct hv *hv);          /* QEMU runs on this host: images can be opened by path */
/* Who QEMU runs as (capabilities, DAC base label); our own ids for a session URI. */
void hv_qemu_ids(const struct hv *hv, uid_t *ret_uid, gid_t *ret_gid);
/* Whether QEMU's user can pass through all folders of an absolute path and enter the last: 1 yes; 0 no, and *ret_closed is the first
 * that it cannot (caller frees); -errno: cannot be told, e.g. -ENOENT. By owner, mode and access lists alone; a security module may
 * forbid more. */
int hv_qemu_may_enter(struct hv *hv, const char *dir, char **ret_closed, struct err *err);
/* Folder of the storage pool "default", else libvirt's image folder for this kind of connection (M16). Caller frees. */
int hv_default_image_dir(struct hv *hv, char **ret, struct err *err);
/* Where the images of an active storage pool lie: its folder; of a pool of LVM's (*ret_volumes) the folder of its volumes' devices,
 * called as the volumes are. -ENOENT, -EAGAIN (not active), -EOPNOTSUPP (of another kind). Caller frees. */
int hv_pool_dir(struct hv *hv, const char *name, char **ret, bool *ret_volumes, struct err *err);
/* Bytes that new volumes may take. -ENOENT: no such pool. */
int hv_pool_free(struct hv *hv, const char *name, uint64_t *ret, struct err *err);
/* Where active storage pools keep images: folders (dir, fs, netfs; of LVM's that of its volumes' devices), and single devices of other
 * kinds. Where there is no pool "default", libvirt's own folder for images is one of them. Added to *ret; caller frees, also on failure. */
int hv_pool_places(struct hv *hv, char ***ret, struct err *err);
/* A new volume of at least so many bytes, not wiped; *ret_path is its device, *ret_key what no other volume has (LVM's own identifier;
 * caller frees both). -EEXIST: there is one of that name. */
int hv_volume_make(struct hv *hv, const char *pool, const char *name, uint64_t size, char **ret_path, char **ret_key, struct err *err);
/* Deletes the volume if it is still the one of that key. Fine if it is gone already. 1: it is another, or without a key (NULL) nobody can
 * tell; it is left alone, as err says. -ENOENT: no such pool. */
int hv_volume_delete(struct hv *hv, const char *pool, const char *name, const char *key, struct err *err);
bool hv_pool_is_active(struct hv *hv, const char *name);
int hv_pool_start(struct hv *hv, const char *name, struct err *err); /* active already is fine. -ENOENT */
int hv_pool_refresh(struct hv *hv, const char *name, struct err *err);
/* Name of a pool that is not active and whose images, by its definition, lie where path is; NULL: there is none. Caller frees. */
char *hv_pool_inactive_at(struct hv *hv, const char *path);
/* Where libvirt puts NVRAMs by itself; NULL: not known. */
const char *hv_nvram_dir(const struct hv *hv);
/* Whether path is the NVRAM that libvirt takes for a VM of that name whose definition says firmware='efi' and nothing more. */
bool hv_nvram_is_implied(struct hv *hv, const char *name, const char *path);
/* Where libvirt keeps the state of the emulated TPM of a VM with that UUID (need not exist). -EOPNOTSUPP: on another host. Caller frees. */
int hv_tpm_dir(const struct hv *hv, const char *uuid, char **ret, struct err *err);
/* A unique name, for a folder that lasts as long as a session, in /run/kvss (root) or the user's run-time folder. It can be written down
 * before the folder is there. Caller frees. */
int hv_session_dir_name(const char *prefix, char **ret, struct err *err);
/* Makes it for this user alone (0700): for all that kvss reads again and believes. -EEXIST: never takes one that is there. */
int hv_private_dir_make(const char *path, struct err *err);
/* Makes it for QEMU's user alone where this is root (0700, its members of the group kept out), else as above. */
int hv_shared_dir_make(struct hv *hv, const char *path, struct err *err);

/* ---- Domains --------------------------------------------------------------------------------------------------------------*/
enum hv_state {
    HV_OFF,     /* shut off, no saved state */
    HV_RUNNING,
    HV_PAUSED,  /* QEMU runs, CPUs stopped by a person or program */
    HV_SAVED,   /* shut off with a managed-save image */
    HV_OTHER,   /* shutting down, crashed, suspended by the guest, paused on an I/O error: hv_domain.state_detail says which */
};
const char *hv_state_name(enum hv_state s); /* "off", "running", "paused", "saved", "other" */

enum hv_disk_device { HV_DEVICE_DISK, HV_DEVICE_CDROM, HV_DEVICE_FLOPPY, HV_DEVICE_LUN };
enum hv_disk_source { HV_SOURCE_NONE, HV_SOURCE_FILE, HV_SOURCE_BLOCK, HV_SOURCE_NETWORK, HV_SOURCE_OTHER };

struct hv_disk {
    char *target;               /* "vda" */
    enum hv_disk_device device;
    enum hv_disk_source source; /* a storage-pool volume is resolved to FILE, BLOCK or NETWORK */
    char *protocol;             /* NETWORK: "rbd", "iscsi", "nbd" ... else NULL */
    char *path;                 /* FILE, BLOCK: absolute path of the active image; else NULL */
    char *node;                 /* NETWORK: the image as a block node of QEMU's, in JSON, for hv_export_start_disk(); NULL: none, as ... */
    char *no_node;              /* ... this says: why the definition does not tell how to read it without a QEMU that has it open */
    char *locator;              /* for people and file sets: the path, "rbd:pool/image", "" for an empty drive */
    char *format;               /* "qcow2", "raw", ...; never NULL ("raw" where libvirt says nothing) */
    bool readonly, shareable;
    bool transient;             /* what the guest writes ends with it; path is the image that stays as it is */
    bool slice;                 /* only a part of path (FILE, BLOCK) is the disk's image */
    bool encrypted;             /* by QEMU, with a secret of libvirt's: the disk, or an image behind it */
    /* Why its image cannot be read, with the remedy: of a VM that is off or saved, since what is declared is not what lies there; of any,
     * since it is a volume that libvirt does not find. NULL: nothing is known to be wrong. */
    char *unreadable;
    const char *unsaveable;     /* format of it, or of an image behind it, with which QEMU cannot save a VM; NULL: none such */
    uint64_t size;              /* virtual bytes; 0: not known */
    char **backing;             /* paths of backing images, nearest first; NULL: none */
};

struct hv_nic {
    char *mac, *alias;
    char *type;    /* "network", "bridge", "direct", "user", "ethernet", ... */
    char *source;  /* network or bridge name; NULL */
    char *target;  /* tap device of a running VM; NULL */
    char *virtualport; /* "openvswitch", ... or NULL */
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
    char *name;            /* path or argument, for people */
};

struct hv_domain {
    char *name, *uuid, *title;
    enum hv_state state;
    char *state_detail;       /* libvirt's reason, for people; never NULL */
    bool io_error;            /* QEMU stopped it since a disk could not be written: resumed, it tries again, and the guest knows nothing */
    bool persistent, autostart;
    char *xml;                /* the definition for the next start, with secrets (VIR_DOMAIN_XML_SECURE|INACTIVE) */
    uint64_t memory_bytes;
    size_t n_disks;
    struct hv_disk *disks;    /* of the live definition where QEMU runs, of the one in its saved state where it has one, else of xml */
    size_t n_later;
    struct hv_disk *later;    /* disks that only xml has, by their images: the VM gets them at its next start; none where disks are xml's */
    size_t n_nics;
    struct hv_nic *nics;
    char **passthrough;       /* host devices that carry storage, e.g. "scsi host 2:0:0:0", "pci 0000:01:00.0"; NULL: none (M11) */
    size_t n_beside;
    struct hv_beside_item *beside;
    char **unsaveable;        /* devices with which QEMU cannot save it, for people; NULL: none. Formats of images: see disks */
    bool memory_in_files;     /* its memory is that of files, whose pages are no part of QEMU's own */
    char *nvram;              /* path or NULL */
    char *nvram_template, *loader, *kernel, *initrd; /* or NULL */
    bool tpm;                 /* an emulated TPM (swtpm) */
    bool throttled_thread;    /* a disk that has an iothread and a limit of its rate (iotune) */
    bool agent_channel;       /* org.qemu.guest_agent.0 is in the definition */
    bool agent_connected;     /* and its guest side is open */
    size_t n_checkpoints;
    char **checkpoints;       /* names, parents first; NULL: none */
    void *handle;             /* virDomainPtr */
    bool pooled;              /* private: has a place on one of the connections that work is spread over */
    void *line;               /* private: struct patient_line (patience.h) */
    struct hv *hv;
};

/* Names and UUIDs of all VMs, sorted by name. None is looked at, so none can be missing or be waited for. */
struct hv_name {
    char *name, *uuid;
};
int hv_names(struct hv *hv, struct hv_name **ret, size_t *ret_n, struct err *err);
void hv_names_free(struct hv_name *list, size_t n);
/* All domains, sorted by name, at a glance: without checkpoints, and of their images what the begin of each tells (of formats other than
 * qcow2 and raw the size is 0). No tool is run for it and no QEMU is asked, so that none has to be waited for. One that is undefined
 * meanwhile is not among them; one that cannot be read is tried again for a while, and then the whole fails, for nothing is to be done
 * without it in silence. */
int hv_list(struct hv *hv, struct hv_domain ***ret, size_t *ret_n, struct err *err);
void hv_list_free(struct hv_domain **list, size_t n);
/* By name or UUID. -ENOENT. Where the connection broke, it is made anew; libvirtd may take a minute to come back. */
int hv_domain_get(struct hv *hv, const char *name_or_uuid, struct hv_domain **ret, struct err *err);
/* The same with name, UUID, persistent and state only, so nothing but libvirt is needed (no image is looked at): to undo. */
int hv_domain_find(struct hv *hv, const char *name_or_uuid, struct hv_domain **ret, struct err *err);
/* The definition that QEMU runs with, or that is in the saved state, with secrets and in the form that a start takes; d->xml is that for
 * the next start. *ret is NULL where there are no two: the VM is off or transient, or its saved state cannot be read. Caller frees. */
int hv_domain_live(struct hv_domain *d, char **ret, struct err *err);
void hv_domain_free(struct hv_domain *d);
#define DEFINE_HV_CLEANUP 1
static inline void hv_domain_free_p(struct hv_domain **d) { if (*d) hv_domain_free(*d); }
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

/* ---- Guest agent: every call ends by its deadline --------------------------------------------------------------------------*/
enum hv_agent_status {
    HV_AGENT_OK,
    HV_AGENT_NO_CHANNEL,     /* not in the definition */
    HV_AGENT_NOT_CONNECTED,  /* not installed or not running in the guest */
    HV_AGENT_NOT_RESPONDING, /* hung */
    HV_AGENT_NO_FREEZE,      /* answers, but guest-fsfreeze-* is missing or disabled */
    HV_AGENT_FAILED,         /* anything else: why says what */
};
struct hv_guest_fs {
    char *mountpoint, *type;  /* "/", "ext4" */
    char *device;             /* "/dev/vda1", "dm-0"; or NULL */
    char **targets;           /* disks of the VM it lies on ("vda"); NULL: none could be told */
    /* Part of it lies on a disk that is none of the VM's (iSCSI or the like in the guest), or on one that libvirt cannot match to
     * the VM's by its address (USB). */
    bool unknown_disk;
    bool read_only;           /* where it can be told */
};
struct hv_agent_info {
    enum hv_agent_status status;
    char *why;                /* for people, with the remedy; NULL when OK */
    char *version, *os_id, *os_name; /* may be NULL */
    bool windows;
    bool can_read_files;      /* guest-file-* are allowed */
    size_t n_fs;
    struct hv_guest_fs *fs;
    /* Mounted in a Linux guest, but not on a block device, so that the agent neither lists nor freezes it: network and FUSE file systems,
     * overlays, ZFS, bcachefs. `device` is the mount's source. Only where mounts_known: the agent let us look. */
    bool mounts_known;
    size_t n_elsewhere;
    struct hv_guest_fs *elsewhere;
};
/* Never fails for reasons of the agent: those are in status. */
int hv_agent_probe(struct hv_domain *d, unsigned timeout_ms, struct hv_agent_info *ret, struct err *err);
void hv_agent_info_clear(struct hv_agent_info *i);
/* Whether a file system of this type can be frozen by the guest's kernel (Linux: ext*, xfs, btrfs, f2fs ...; Windows: NTFS, ReFS). */
bool hv_fs_freezable(const char *type, bool windows);
/* Freezes all (mountpoints NULL) or the named; *ret_n: how many were frozen. -EBUSY: frozen already, by someone else, or another
 * program's call holds the agent; -EHOSTUNREACH: it did not answer a question: nothing was done in either case. After other failures
 * the agent has thawed or was told to; but after -ETIMEDOUT it may not have heard: a freeze can be carried out late, so keep trying
 * hv_agent_thaw() until that succeeds (B2). */
int hv_agent_freeze(struct hv_domain *d, char *const *mountpoints, unsigned timeout_ms, unsigned *ret_n, struct err *err);
/* *ret_n (may be NULL): how many were thawed. -ENOTCONN: no agent runs in the guest; -ETIMEDOUT: it does not answer; -ENOLINK: one may
 * run, but libvirt has lost it and does not even ask (see hv_agent_reconnect). */
int hv_agent_thaw(struct hv_domain *d, unsigned timeout_ms, unsigned *ret_n, struct err *err);
/* Makes libvirt connect to the agent anew, by the only way there is short of restarting either: the VM is saved and started from that,
 * so it stands still meanwhile, and a process that dies in between leaves it saved. For a guest that is frozen already. -EBUSY: it has a
 * job; other codes: it cannot be saved, or not be started. */
int hv_agent_reconnect(struct hv_domain *d, struct err *err);
int hv_agent_frozen(struct hv_domain *d, unsigned timeout_ms, bool *ret, struct err *err);

/* ---- State ----------------------------------------------------------------------------------------------------------------*/
/* Each ends by a limit, or soon after the command was told to end: -ETIMEDOUT, -EINTR. Then libvirt may be at it still. */
int hv_pause(struct hv_domain *d, struct err *err);   /* of a running one; already paused is fine */
int hv_resume(struct hv_domain *d, struct err *err);  /* of a paused one; already running is fine */
/* Managed save. The image remembers `running`: the state that a plain start brings back. */
int hv_managed_save(struct hv_domain *d, bool running, struct err *err);
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
 * net-start lab)". *ret is NULL where it lacks nothing that can be told of, and where the VM is off. *unsure (may be NULL): sentences about
 * what nothing can be told of. replaced (may be NULL): paths of images of its disks that do not count. Caller frees. */
int hv_start_lacks(struct hv_domain *d, char *const *replaced, char ***ret, char ***unsure, struct err *err);
/* Brings a VM back from its managed-save image, whatever its host lacks by now, as long as the guest can go on without: what is missing
 * (a medium, a network, a kernel, a folder for a log or socket) is taken out of the definition in the image, not out of the VM's own;
 * where that does not help, what may be at fault. Each line of *notes (NULL: nothing was corrected; caller frees) tells of one
 * correction. The failure that is told is the first one. */
int hv_start_saved(struct hv_domain *d, bool paused, char ***notes, struct err *err);
/* Writes such notes to the connection's log; NULL is fine. */
void hv_tell(const struct hv_domain *d, char *const *notes);
/* The same for a VM that is off: started under xml (NULL: its own definition), and under what can be had of it if that fails. */
int hv_start_off(struct hv_domain *d, const char *xml, bool paused, char ***notes, struct err *err);
/* Starts a defined VM that is off under another definition, until it is turned off; its own stays that for the next start. */
int hv_start_as(struct hv_domain *d, const char *xml, bool paused, struct err *err);
int hv_destroy(struct hv_domain *d, struct err *err);  /* turns off at once; off is fine */
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

/* ---- Points in time by pull backup job --------------------------------------------------------------------------------------*/
struct hv_backup_disk {
    const char *target;
    /* New file that QEMU keeps overwritten blocks in, in a folder that QEMU may write. hv_backup_prepare() makes it (two requests
     * may name the same one), hv_backup_end() removes it; who prepares a job and does not begin it removes it himself. */
    const char *scratch;
    const char *since;        /* checkpoint for the dirty bitmap of this disk, NULL: none */
    bool made;                /* it was made for an earlier request of this job */
    bool checkpoint;          /* take part in the new checkpoint (only formats with bitmaps: qcow2) */
};
/* The folder for the scratch file of an image: wanted (snapshot-dir), or beside the image, or the nearest folder above it on its volume;
 * one where nobody but root and QEMU's user can exchange it. -EPERM: there is none, or wanted is not so. Caller frees. */
int hv_scratch_dir(struct hv *hv, const char *image, const char *wanted, char **ret, struct err *err);
/* A name for the job's socket in libvirt's own folder of the VM, where every security driver lets QEMU make one: AppArmor's profiles, as
 * libvirt writes them, know no other place that could be used. The folder is another one each time the VM is started, and gone when it
 * ends. Caller frees. -ENOENT: it does not run, or has no such folder; -EACCES: the folder is closed to this user; -ENAMETOOLONG. */
int hv_backup_socket(struct hv_domain *d, char **ret, struct err *err);
/* Removes what QEMU left of it; a folder that is gone, and whatever is no socket, is left alone. */
int hv_backup_socket_remove(const char *path, struct err *err);
/* What confines the VM's QEMU beyond its user. Caller frees both. *ret_model: "apparmor", "selinux" or another model; NULL: nothing.
 * *ret_label: profile or context. */
int hv_confinement(struct hv_domain *d, char **ret_model, char **ret_label, struct err *err);
/* Whether the kernel's AppArmor lets a profile read, write and make the file, socket or folder at path. 1 yes, 0 no, -errno: the kernel
 * cannot be asked. */
int hv_apparmor_allows(const char *profile, const char *path);
#define HV_BACKUP_MARK "kvss" /* must be somewhere in the socket's path: so hv_backup_end() knows our jobs from others' */
struct hv_backup {
    const char *socket;       /* UNIX socket of the NBD server, not existing yet: hv_backup_socket(), or where else QEMU may write */
    const char *checkpoint;   /* NULL: none */
    size_t n_disks;
    const struct hv_backup_disk *disks; /* disks of the VM that are not listed take no part */
};
struct hv_backup_request;     /* XML made ready beforehand, so that nothing slow is left while the guest is frozen */
int hv_backup_prepare(struct hv_domain *d, const struct hv_backup *b, struct hv_backup_request **ret, struct err *err);
void hv_backup_request_free(struct hv_backup_request *r);
/* The point in time: all disks at once. The exports are named after the targets. -EEXIST the checkpoint is there already. -ETIMEDOUT,
 * -EINTR: QEMU does not answer, and the job may begin late; *r is NULL then, else it can be used again. */
int hv_backup_begin(struct hv_domain *d, struct hv_backup_request **r, struct err *err);
/* Ends the job if one of ours runs (none is fine); the checkpoint stays. Waits until QEMU has let go of scratch and socket. */
int hv_backup_end(struct hv_domain *d, struct err *err);
/* To be called before, where whoever read from the job may have died with reads under way: QEMU that has replies to be rid of cannot end a
 * job, and hangs for ever (seen with 7.2). They are taken by others (base/keeper.h) in a moment, which is waited for: 2 s, where
 * there is a connection. */
void hv_backup_settle(struct hv_domain *d);
/* "nbd+unix:///vda?socket=PATH"; caller frees. */
char *hv_nbd_uri(const char *socket, const char *export_name);
/* Dirty context name of a target in such an export: "qemu:dirty-bitmap:backup-vda"; caller frees. */
char *hv_dirty_context(const char *target);

int hv_checkpoint_delete(struct hv_domain *d, const char *name, bool metadata_only, struct err *err); /* absent is fine */
/* Deletes every checkpoint of the VM whose name begins with `prefix`; of a VM that is off also the bitmaps of that name which libvirt
 * knows nothing of. Each that went is added to *dropped (caller frees, also after a failure). */
int hv_checkpoints_drop(struct hv_domain *d, const char *prefix, char ***dropped, struct err *err);
/* Adds to *ret the bitmaps of that prefix in its qcow2 images of which libvirt knows no checkpoint, as far as the images can be read: QEMU
 * goes on recording in them, and does not go back to a snapshot inside the image beside them. -ENOMEM. Caller frees. */
int hv_forgotten_bitmaps(const struct hv_domain *d, const char *prefix, char ***ret);
/* How many snapshots inside its images libvirt knows of. */
int hv_internal_snapshots(struct hv_domain *d, size_t *ret, struct err *err);
/* Targets of the disks that take part in it; NULL: none. */
int hv_checkpoint_disks(struct hv_domain *d, const char *name, char ***ret, struct err *err);
int hv_checkpoint_xml(struct hv_domain *d, const char *name, char **ret, struct err *err);
/* validate: against the bitmaps, which only a VM that runs can do. */
int hv_checkpoint_redefine(struct hv_domain *d, const char *xml, bool validate, struct err *err);
/* Makes a checkpoint of a running VM known to libvirt again, of these disks; fails unless all of their bitmaps are there, sound. */
int hv_checkpoint_revive(struct hv_domain *d, const char *name, int64_t created_s, char *const *targets, struct err *err);

/* What libvirt knows of a VM beside its definition, and forgets when it is undefined. */
struct hv_kept {
    char **snapshots, **checkpoints; /* as XML, parents first; NULL: none */
    size_t current;                  /* number (from 1) of the current snapshot; 0: none */
};
int hv_keep_metadata(struct hv_domain *d, struct hv_kept *ret, struct err *err);
void hv_kept_clear(struct hv_kept *k);
/* Makes all of it known again for the VM, which is off; nothing in an image changes, and nothing is compared with them. */
int hv_restore_metadata(struct hv_domain *d, const struct hv_kept *k, struct err *err);

/* ---- Images without a running QEMU -------------------------------------------------------------------------------------------*/
struct hv_bitmap {
    char *name;
    bool in_use;              /* a QEMU has it open, or was killed: what it holds then is not to be trusted */
    bool recording;           /* every QEMU that opens the image for writing goes on recording in it */
};
struct hv_image_info {
    char *format;
    uint64_t size;            /* virtual: whole sectors of 512 bytes */
    uint64_t file_size;       /* of a regular file, else 0: a raw image may end within a sector, the rest of which reads as zeros */
    uint64_t cluster_size;    /* 0: none */
    char *backing, *backing_format; /* as written in the image; NULL */
    char *data_file;          /* another file that holds the data (qcow2), as written in the image; NULL: none */
    char *compat;             /* qcow2: "0.10" or "1.1" */
    bool lazy_refcounts, extended_l2, encrypted;
    char *compression;        /* qcow2: of clusters that are compressed, "zlib" or "zstd"; NULL */
    unsigned refcount_bits;   /* qcow2; 0: not known */
    /* As far as sizes tell: "off", "metadata", "falloc" (nothing is left to be allocated: also an image that was filled). NULL: unknown */
    char *preallocation;
    size_t n_snapshots;       /* inside the image */
    size_t n_bitmaps;         /* persistent dirty bitmaps of a qcow2 image; of one that is open: as of when it was opened */
    struct hv_bitmap *bitmaps;
};
/* qemu-img info; format NULL: probed (only where the definition does not say). share: also while a VM has it open. */
int hv_image_info(const char *path, const char *format, bool share, struct hv_image_info *ret, struct err *err);
void hv_image_info_clear(struct hv_image_info *i);
/* qemu-img create, of the new, empty, open file fd; path is for errors. options: "cluster_size=65536,compat=1.1" or NULL. */
int hv_image_make(int fd, const char *path, const char *format, uint64_t size, const char *options, struct err *err);

/* QEMU's tools run confined (base/confine.h). *ret: what they go without on this host, in words; NULL: nothing. Caller frees. */
int hv_tools_lack(char **ret, struct err *err);

struct hv_export;             /* a qemu-nbd that dies with us */
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

/* ---- Networks (M18) ----------------------------------------------------------------------------------------------------------*/
enum hv_switch {
    HV_SWITCH_ACTIVE,
    HV_SWITCH_INACTIVE,
    HV_SWITCH_ABSENT,
    HV_SWITCH_UNREACHABLE, /* a bridge of Open vSwitch, which does not answer: nothing can be connected to it */
};
/* Whether the virtual switch that a NIC names exists: libvirt network, host bridge, Open vSwitch bridge. NICs that need none
 * (user, ethernet ...) are ACTIVE. */
int hv_switch_state(struct hv *hv, const struct hv_nic *nic, enum hv_switch *ret, struct err *err);
int hv_network_start(struct hv *hv, const char *name, struct err *err);
/* What a name means to `--network`: a libvirt network, else an Open vSwitch bridge, else a bridge of the kernel. Fills type, source and
 * virtualport (constants and `name` itself: nothing is to be freed). -ENOENT. */
int hv_switch_find(struct hv *hv, const char *name, struct hv_nic *ret, struct err *err);

/* ---- Definitions as text: corrections before a restored VM is registered (M17, M18) -----------------------------------------*/
struct hv_def;
int hv_def_parse(const char *xml, struct hv_def **ret, struct err *err);
void hv_def_free(struct hv_def *def);
int hv_def_text(const struct hv_def *def, char **ret, struct err *err);
/* Whether both are definitions of one VM: its name, its UUID, and the files and devices of its disks. Text that is none is of no VM. */
bool hv_def_alike(const char *xml, const char *other);
const char *hv_def_name(const struct hv_def *def);
const char *hv_def_uuid(const struct hv_def *def);
/* Path and format of a disk, NULL where it has none; owned by def. -ENOENT: no such target. */
int hv_def_disk(const struct hv_def *def, const char *target, const char **ret_path, const char **ret_format, struct err *err);
/* Points a disk to path (file or block device, told by what it is); drops a recorded backingStore. format NULL: unchanged. */
int hv_def_set_disk(struct hv_def *def, const char *target, const char *path, const char *format, struct err *err);
/* Whether the disk is a volume of a storage pool that is the file or device at path: then nothing is to be corrected. */
bool hv_def_is_volume_at(struct hv *hv, const struct hv_def *def, const char *target, const char *path);
bool hv_def_has_disk(const struct hv_def *def, const char *target);
/* The disk (by its target) whose image was at `was`: a path, or what hv_disk.locator is. The one called `target` is preferred; it may have
 * another name, where a change is pending. A volume of a pool that is not known here is taken by its target. was NULL: by target. NULL:
 * there is none. hv NULL: volumes are not looked up. */
const char *hv_def_find_image(struct hv *hv, const struct hv_def *def, const char *target, const char *was);
/* A disk that the definition lacks, with the bus that its name stands for. */
int hv_def_add_disk(struct hv_def *def, const char *target, const char *path, const char *format, struct err *err);
/* live: of hv_domain_live(), next: the definition for the next start. What libvirt only spelled out when it started the VM (the CPU's
 * features, which firmware) becomes in live what it is in next. *ret_differs: a VM started with one is not what it is with the other. */
int hv_def_settle_live(struct hv_def *live, const struct hv_def *next, bool *ret_differs, struct err *err);
const char *hv_def_nvram(const struct hv_def *def);
int hv_def_set_nvram(struct hv_def *def, const char *path, struct err *err);
size_t hv_def_nic_count(const struct hv_def *def);
/* View of NIC i; strings owned by def. */
int hv_def_nic(const struct hv_def *def, size_t i, struct hv_nic *ret, struct err *err);
/* A new port: port ids, interface ids (Open vSwitch), and the tap names and aliases that libvirt generated for the old one are
 * dropped; names that a user chose stay. */
int hv_def_nic_new_port(struct hv_def *def, size_t i, struct err *err);
int hv_def_nic_link(struct hv_def *def, size_t i, bool up, struct err *err);
/* The switch is gone: the NIC keeps model, MAC and address, but is plugged into nothing (a tap of its own where we are root,
 * else user networking) with its link down, so that the VM can start all the same. */
int hv_def_nic_unplug(struct hv_def *def, size_t i, bool root, struct err *err);
/* Plugs the NIC into another switch (type, source, virtualport of `into`, see hv_switch_find()), link up. */
int hv_def_nic_plug(struct hv_def *def, size_t i, const struct hv_nic *into, struct err *err);
/* Makes the definition that of another VM, which can run beside the first: name, UUID, generation id, MACs; tap names, fixed ports of
 * displays and vsock go; sockets and log files of its own get the new name; NVDIMMs, host devices, shared folders and whatever else only
 * one VM can have are left out. *ret_notes: what the user should know, or NULL; caller frees. -EBUSY: same_memory, and the guest's memory
 * expects what must be left out. */
struct hv_def_copy {
    const char *name, *uuid;
    bool keep_mac;
    bool same_memory; /* the guest goes on in its memory: what it has seen of the machine stays (generation id) */
};
int hv_def_make_copy(struct hv_def *def, const struct hv_def_copy *copy, char ***ret_notes, struct err *err);
/* Of a copy: the disks that are not among the restored ones (targets in this definition) are the original's, and go; media that are only
 * read stay. What is told is added to *notes. -EBUSY as above. */
int hv_def_leave_disks(struct hv_def *def, char *const *restored, bool same_memory, char ***notes, struct err *err);
/* What it names, that is not the VM's own and that this host lacks: "kernel /boot/vmlinuz", "secret UUID"; NULL: nothing. Without hv
 * only files are looked at. Caller frees. */
int hv_def_missing(struct hv *hv, const struct hv_def *def, char ***ret, struct err *err);
/* Whether this host has a QEMU for its machine: without one libvirt does not take the definition. -EINVAL, -EOPNOTSUPP ... if not. libvirt
 * runs an emulator to learn what it can: the one that the definition names is only asked about if libvirt lists it, or `trusted`. */
int hv_def_check_machine(struct hv *hv, const struct hv_def *def, bool trusted, struct err *err);
/* The emulator that it names, if that is not on this host; else NULL. Caller frees. */
char *hv_def_missing_emulator(const struct hv_def *def);
/* libvirt will use the one of this host. */
void hv_def_drop_emulator(struct hv_def *def);
/* Whether libvirt itself lists the program as an emulator of this host. false also where it cannot be asked. */
bool hv_emulator_is_listed(struct hv *hv, const char *path);
/* Takes the medium out of every CD-ROM and floppy drive whose file is not there (a start would fail); *ret: their targets, or
 * NULL. Caller frees. */
int hv_def_eject_missing(struct hv_def *def, char ***ret, struct err *err);

/* ---- What a definition takes from its host -------------------------------------------------------------------------------------*/
enum hv_danger {
    HV_DANGER_RESOURCE, /* a network, a port, a share of something: nothing of the host's is read, written or run */
    HV_DANGER_HOST,     /* opens a file, folder, socket or device of the host */
    HV_DANGER_CODE,     /* has the host run something, or QEMU with other rights or options than libvirt would give it */
    HV_DANGER_UNKNOWN,  /* kvss does not know what it means */
};
const char *hv_danger_name(enum hv_danger d); /* "resource", "host", "code", "unknown" */

struct hv_demand {
    enum hv_danger danger;
    const char *kind; /* constant: "emulator", "script", "host device" ... */
    char *text;       /* which: a path, an argument; it came with the definition */
    char *path;       /* of the host; NULL: none, or it is none that is absolute */
    char *disk;       /* target of the disk whose source this is, which hv_def_set_disk() replaces; NULL: of none */
};
struct hv_demands {
    size_t n;
    struct hv_demand *list;
};
/* All of it, in the order of the definition, bounded; what is not known to be harmless is in it. Nothing is looked at but the definition.
 * -ENOMEM. */
int hv_definition_demands(const struct hv_def *def, struct hv_demands *ret, struct err *err);
void hv_demands_clear(struct hv_demands *d);
/* Whether they ask for the same. */
bool hv_demand_equal(const struct hv_demand *a, const struct hv_demand *b);

#endif
