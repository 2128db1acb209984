/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions as text. */
#ifndef HYPERVISOR_HV_DEFINITION_H
#define HYPERVISOR_HV_DEFINITION_H

#include "hypervisor/hv_domain.h"

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
/* The disk goes; that there is none of that name is fine. */
void hv_def_drop_disk(struct hv_def *def, const char *target);
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
