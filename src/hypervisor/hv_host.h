/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This host: the connection to libvirt, storage pools, folders, networks. */
#ifndef HYPERVISOR_HV_HOST_H
#define HYPERVISOR_HV_HOST_H

#include "base/buf.h"
#include "base/log.h"
#include "base/par.h"
#include "base/strv.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct hv;
struct hv_domain;
struct hv_nic;

/* ---- Connection -----------------------------------------------------------------------------------------------------------*/
struct hv_config {
    const char *uri;                 /* NULL: libvirt's default for this user */
    const char *save_dir;            /* where managed-save images lie; NULL: found out from the URI */
    const char *state_dir;           /* where what lasts is kept (marks of live-state); NULL: nowhere */
    const struct par_cancel *cancel; /* raised: QEMUs that do not answer are waited for no longer; may be NULL */
    const struct log *log;
};
int hv_open(const struct hv_config *config, struct hv **ret, struct err *err);
void hv_close(struct hv *hv); /* all domains must be freed before; NULL is fine */
/* How long calls wait for a QEMU, in ms, from now on (HV_ANSWER_MS unless set). Returns what it was. */
#define HV_ANSWER_MS 30000u /* as long as libvirt itself waits for who holds a VM */
unsigned hv_set_answer_limit(struct hv *hv, unsigned ms);
const char *hv_uri(const struct hv *hv);
const char *hv_save_dir(const struct hv *hv); /* NULL where unknown (remote) */
/* Whether this VM may be resumed while a backup job runs. QEMU before 9.0 aborts then, and the guest with it, where a disk has an
 * iothread and a limit (qemu_mutex_unlock_impl: Operation not permitted; seen with 7.2). */
bool hv_may_resume_in_job(const struct hv_domain *d);
/* Waits until the VM's state stays as it is, and tells it in d->state: what a process that died had asked libvirt for (to save it, to
 * start it) goes on without it. -ETIMEDOUT. */
int hv_domain_wait_still(struct hv_domain *d, struct err *err);
bool hv_is_local(const struct hv *hv); /* QEMU runs on this host: images can be opened by path */
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

#endif
