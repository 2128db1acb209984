/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by the files of this folder only. */
#ifndef HYPERVISOR_HOST_HV_INTERNAL_H
#define HYPERVISOR_HOST_HV_INTERNAL_H

#include "base/cleanup.h"
#include "hypervisor/hypervisor.h"
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>

/* Each VM that is worked on has a connection of its own, as long as there are enough. libvirtd works on no more than five requests of one
 * connection at a time (max_client_requests), and a call to a hung guest agent is one until its deadline. And if two threads
 * begin a request within the same moment, libvirt 9.0 may send the second one only when the first has been answered: the wake-up of the
 * thread that waits at the socket is lost. A guest is then frozen, or thawed, only when the agent of another VM has answered. (libvirtd
 * works on 20 requests of all connections at a time, unless its max_workers says otherwise.) */
#define CONNECTIONS_MAX 64u
#define DOMAINS_PER_CONNECTION 1u
#define REMOTE_CONNECTIONS_MAX 4u /* to another host: each takes a login */
#define REMOTE_DOMAINS_PER_CONNECTION 4u
#define LOST_MAX 16u
#define IDLE_MAX 8u

struct patient; /* patience.c */
struct hv_loop; /* libvirt's event loop in a thread of its own (event_loop.c) */

/* What a server did not do once, it is not asked for again by the same command: a check, the backup's own look and the explanation of its
 * failure would each wait for it. What it did do may be otherwise by now, and is cheap to ask. */
struct network_failure {
    struct network_failure *next;
    char *node, *text;
    int code;
    unsigned limit_ms; /* for how long it was waited for */
};

struct hv {
    virConnectPtr conn;
    char *uri;
    char *root; /* qemu:///embed: the folder that all of libvirt's own lie in; else NULL */
    char *save_dir;
    char *state_dir; /* of kvss itself, what lasts; NULL: none */
    char *nvram_dir; /* where libvirt puts NVRAMs by itself; NULL: not known */
    bool local;      /* QEMU runs on this host */
    bool session;    /* an ordinary user's QEMU */
    const struct log *log;
    const struct par_cancel *cancel;
    struct hv_loop *loop;
    unsigned answer_ms;           /* for how long QEMU may take to answer */
    pthread_mutex_t lock;         /* of what is below */
    virConnectPtr lost[LOST_MAX]; /* earlier connections, which broke; others may be using them still */
    unsigned n_lost;
    struct {
        virConnectPtr conn; /* NULL: not opened yet; [0] is the first one */
        unsigned domains;   /* VMs that work over it */
    } pool[CONNECTIONS_MAX];
    virConnectPtr idle[IDLE_MAX]; /* for calls that may have to wait for QEMU */
    unsigned n_idle, n_left;
    struct patient **left;                    /* calls that were left behind */
    struct network_failure *network_failures; /* network_disk.c */
    struct image_kept *images;                /* image_memory.c */
    unsigned n_images;
    bool ids_known;
    uid_t qemu_uid;
    gid_t qemu_gid;
};

static inline virDomainPtr hv_handle(const struct hv_domain *d)
{
    return d->handle;
}

/* libvirt's strings come from malloc; its objects have their own release. */
static inline void virDomainFree_p(virDomainPtr *p)
{
    if (*p)
        virDomainFree(*p);
}

/* Sets err to "fmt: libvirt's last message of this thread". Returns the errno that the message stands for (see hypervisor.h).
 * Each call of libvirt forgets that message, virDomainGetName() too: none may come in between or be among the arguments. */
int hv_virt_error(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* libvirt's code for the last failure in this thread (VIR_ERR_*). */
int hv_virt_code(void);

int hv_loop_start(struct hv_loop **ret, struct err *err);
void hv_loop_stop(struct hv_loop *loop);

/* Whether a setting of libvirt's qemu.conf that is a text is unset or has its usual value; true also where there is none to be read. */
bool qemu_conf_is_usual(const struct hv *hv, const char *key, const char *usual);
/* The folder in which libvirt makes one for each VM that runs (domain_dir.c); NULL: not known. Caller frees. */
char *hv_lib_dir(const struct hv *hv);

/* What a URI tells without asking libvirt. */
struct uri_kind {
    bool local, session;
    char *root; /* of qemu:///embed; caller frees */
};
int hv_uri_kind(const char *uri, struct uri_kind *ret, struct err *err);

/* A new connection in the place of one that broke (libvirtd was restarted). 0 also where it is alive. */
int hv_reconnect(struct hv *hv, struct err *err);

/* Gives a VM that is about to be worked on a connection with room; keeps the one it has where there is none better. */
void hv_pool_enter(struct hv_domain *d);
void hv_pool_leave(struct hv_domain *d);
void hv_pool_close(struct hv *hv);

/* How closely a VM is looked at. */
enum hv_depth {
    HV_WHOLE,
    HV_GLANCE, /* no checkpoints, and of images what their begin tells: no tool is run, and no QEMU is asked */
};
/* Reads a VM; handle is taken over, also on failure. */
int hv_domain_build(struct hv *hv, virDomainPtr handle, enum hv_depth depth, struct hv_domain **ret, struct err *err);

/* The same, tried again for a while where it fails (domain_list.c). -ENOENT: the VM is gone; nothing else means that it does not count. */
int hv_domain_describe(struct hv *hv, virDomainPtr handle, enum hv_depth depth, struct hv_domain **ret, struct err *err);

/* Active definition, with secrets. -EIO if the VM is gone. Caller frees. */
int hv_live_xml(struct hv_domain *d, char **ret, struct err *err);

#endif
