/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The service: who is registered. Registrations and the service are counted, because a handler that hangs may outlive both. */
#ifndef VSS_REGISTRY_H
#define VSS_REGISTRY_H

#include "vss/vss.h"
#include <pthread.h>

struct writer_entry {
    struct kvss_writer writer; /* name and id are copies of ours */
    void *priv;
    char *instance_id;
};

struct provider_entry {
    struct kvss_provider provider; /* name, id and version are copies of ours */
    void *priv;
};

struct vss_service {
    struct vss_service_config config; /* defaults filled in */
    bool own_clock;                   /* now_ms was handed in: real time is watched beside it */
    pthread_mutex_t lock;
    unsigned refs;
    /* Entries stay where they are until the service goes. */
    struct writer_entry **writers;
    size_t n_writers;
    struct provider_entry **providers;
    size_t n_providers;
};

void service_ref(struct vss_service *s);
void service_unref(struct vss_service *s);
uint64_t service_now_ms(const struct vss_service *s);
/* Volume that holds path; caller frees. */
int service_volume_of(const struct vss_service *s, const char *path, char **ret, struct err *err);
/* The entries as of now; *ret: caller frees the array. */
int service_writers(struct vss_service *s, struct writer_entry ***ret, size_t *ret_n, struct err *err);
struct provider_entry *service_provider(struct vss_service *s, size_t i);            /* NULL: no more */
struct provider_entry *service_find_provider(struct vss_service *s, const char *id); /* by id or name; NULL: none */

/* ---- provider_choice.c ----------------------------------------------------------------------------------------------------*/
/* The provider that shadows it: the named one, if that supports it; provider_id NULL: the first that does. *ret is left as it is where none
 * does. -ENOENT: there is no such provider. */
int provider_choose(struct vss_service *s, const char *provider_id, const struct kvss_volume *what, struct provider_entry **ret,
                    struct err *err);
/* Nobody supports it; provider_id: the one that was asked for, or NULL. */
int provider_unsupported(struct vss_service *s, const char *provider_id, const struct kvss_volume *what, struct err *err);

#endif
