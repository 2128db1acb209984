/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vss/registry.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/guid.h"
#include "vss/vss_names.h"
#include "vss/vss_pool.h"
#include "vss/vss_text.h"
#include <errno.h>
#include <string.h>

#define DEFAULT_FREEZE_LIMIT_MS 60000u
#define DEFAULT_HOLD_LIMIT_MS 10000u

int vss_service_new(const struct vss_service_config *config, struct vss_service **ret, struct err *err)
{
    struct vss_service *s = calloc(1, sizeof *s);

    if (!s)
        return err_nomem(err);
    if (config)
        s->config = *config;
    s->own_clock = s->config.now_ms != NULL;
    if (s->config.freeze_limit_ms == 0)
        s->config.freeze_limit_ms = DEFAULT_FREEZE_LIMIT_MS;
    if (s->config.hold_limit_ms == 0)
        s->config.hold_limit_ms = DEFAULT_HOLD_LIMIT_MS;
    s->refs = 1;
    pthread_mutex_init(&s->lock, NULL);
    *ret = s;
    return 0;
}

static void writer_entry_free(struct writer_entry *e)
{
    free((char *)(uintptr_t)e->writer.name);
    free((char *)(uintptr_t)e->writer.id);
    free(e->instance_id);
    free(e);
}
DEFINE_CLEANUP(struct writer_entry *, writer_entry_free)

static void provider_entry_free(struct provider_entry *e)
{
    free((char *)(uintptr_t)e->provider.name);
    free((char *)(uintptr_t)e->provider.id);
    free((char *)(uintptr_t)e->provider.version);
    free(e);
}
DEFINE_CLEANUP(struct provider_entry *, provider_entry_free)

void service_ref(struct vss_service *s)
{
    pthread_mutex_lock(&s->lock);
    s->refs++;
    pthread_mutex_unlock(&s->lock);
}

void service_unref(struct vss_service *s)
{
    pthread_mutex_lock(&s->lock);
    bool last = --s->refs == 0;
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    for (size_t i = 0; i < s->n_writers; i++)
        writer_entry_free(s->writers[i]);
    for (size_t i = 0; i < s->n_providers; i++)
        provider_entry_free(s->providers[i]);
    free(s->writers);
    free(s->providers);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void vss_service_free(struct vss_service *s)
{
    if (s)
        service_unref(s);
}

uint64_t service_now_ms(const struct vss_service *s)
{
    return s->own_clock ? s->config.now_ms(s->config.priv) : clock_mono_ms();
}

int service_volume_of(const struct vss_service *s, const char *path, char **ret, struct err *err)
{
    if (s->config.volume_of)
        return s->config.volume_of(s->config.priv, path, ret, err);
    char *root = strdup("/");
    if (!root)
        return err_nomem(err);
    *ret = root;
    return 0;
}

int service_writers(struct vss_service *s, struct writer_entry ***ret, size_t *ret_n, struct err *err)
{
    SCOPED_LOCK(&s->lock);
    struct writer_entry **list = calloc(s->n_writers + 1, sizeof *list);

    if (!list)
        return err_nomem(err);
    for (size_t i = 0; i < s->n_writers; i++)
        list[i] = s->writers[i];
    *ret = list;
    *ret_n = s->n_writers;
    return 0;
}

struct provider_entry *service_provider(struct vss_service *s, size_t i)
{
    SCOPED_LOCK(&s->lock);
    return i < s->n_providers ? s->providers[i] : NULL;
}

struct provider_entry *service_find_provider(struct vss_service *s, const char *id)
{
    SCOPED_LOCK(&s->lock);
    for (size_t i = 0; i < s->n_providers; i++)
        if (guid_equal(s->providers[i]->provider.id, id) || !strcmp(s->providers[i]->provider.name, id))
            return s->providers[i];
    return NULL;
}

/* ---- Registering ----------------------------------------------------------------------------------------------------------*/

static int check_struct(const char *kind, size_t size, size_t known, unsigned api, unsigned our_api, struct err *err)
{
    if (api != our_api)
        return err_set(err, EINVAL, "a %s uses interface %u; only %u is supported: rebuild it", kind, api, our_api);
    if (size < known)
        return err_set(err, EINVAL, "the struct of a %s has %zu bytes, too few for interface %u", kind, size, api);
    return 0;
}

static int registry_check_names(const char *kind, const char *name, const char *id, struct err *err)
{
    int r = text_check_name(name, TEXT_NAME_MAX, "name", err);

    if (r < 0) {
        err_context(err, "cannot register a %s", kind);
        return r;
    }
    if (!guid_parse(id, NULL))
        return err_set(err, EINVAL, "cannot register %s '%s': its id '%s' is not a GUID", kind, name, id ? id : "");
    return 0;
}

static int registry_missing(const char *kind, const char *name, const char *handler, struct err *err)
{
    return err_set(err, EINVAL, "cannot register %s '%s': it has no %s", kind, name, handler);
}

static int check_writer(const struct kvss_writer *w, struct err *err)
{
    int r = check_struct("writer", w->struct_size, sizeof *w, w->api, KVSS_WRITER_API, err);

    if (r < 0 || (r = registry_check_names("writer", w->name, w->id, err)) < 0)
        return r;
    if (!words_get(&words_usage, w->usage) || !words_get(&words_source, w->source))
        return err_set(err, EINVAL, "cannot register writer '%s': its usage or source type is not a VSS value", w->name);
    if (!w->identify)
        return registry_missing("writer", w->name, "identify", err);
    if (!w->prepare_snapshot)
        return registry_missing("writer", w->name, "prepare_snapshot", err);
    if (!w->freeze)
        return registry_missing("writer", w->name, "freeze", err);
    if (!w->thaw)
        return registry_missing("writer", w->name, "thaw", err);
    if (!w->abort)
        return registry_missing("writer", w->name, "abort", err);
    return 0;
}

static char *copy_guid(const char *id)
{
    struct guid g;

    return guid_parse(id, &g) ? strdup(g.text) : NULL;
}

static struct writer_entry *writer_entry_new(const struct kvss_writer *w, void *priv)
{
    _cleanup_(writer_entry_free_p) struct writer_entry *e = calloc(1, sizeof *e);

    if (!e)
        return NULL;
    e->writer = *w;
    e->writer.name = strdup(w->name);
    e->writer.id = copy_guid(w->id);
    e->priv = priv;
    struct guid instance = guid_new();
    e->instance_id = strdup(instance.text);
    if (!e->writer.name || !e->writer.id || !e->instance_id)
        return NULL;
    return TAKE_PTR(e);
}

int vss_register_writer(struct vss_service *s, const struct kvss_writer *writer, void *priv, struct err *err)
{
    int r = check_writer(writer, err);

    if (r < 0)
        return r;
    _cleanup_(writer_entry_free_p) struct writer_entry *e = writer_entry_new(writer, priv);
    if (!e)
        return err_nomem(err);
    SCOPED_LOCK(&s->lock);
    for (size_t i = 0; i < s->n_writers; i++)
        if (guid_equal(s->writers[i]->writer.id, e->writer.id))
            return err_vss(err, VSS_E_OBJECT_ALREADY_EXISTS, EEXIST, "cannot register writer '%s': '%s' has its id %s", writer->name,
                           s->writers[i]->writer.name, e->writer.id);
    if (s->n_writers >= WRITERS_MAX)
        return err_set(err, E2BIG, "cannot register writer '%s': there are %zu already", writer->name, WRITERS_MAX);
    if (!ARRAY_GROW(s->writers, s->n_writers))
        return err_nomem(err);
    s->writers[s->n_writers++] = TAKE_PTR(e);
    return 0;
}

static int check_provider(const struct kvss_provider *p, struct err *err)
{
    int r = check_struct("provider", p->struct_size, sizeof *p, p->api, KVSS_PROVIDER_API, err);

    if (r < 0 || (r = registry_check_names("provider", p->name, p->id, err)) < 0)
        return r;
    if (!p->is_volume_supported)
        return registry_missing("provider", p->name, "is_volume_supported", err);
    if (!p->begin_prepare)
        return registry_missing("provider", p->name, "begin_prepare", err);
    if (!p->commit)
        return registry_missing("provider", p->name, "commit", err);
    if (!p->abort_snapshots)
        return registry_missing("provider", p->name, "abort_snapshots", err);
    if (!p->delete_snapshots)
        return registry_missing("provider", p->name, "delete_snapshots", err);
    if (!p->take_point != !p->open_disk)
        return registry_missing("provider", p->name, p->take_point ? "open_disk to go with take_point" : "take_point to go with open_disk",
                                err);
    return 0;
}

static struct provider_entry *provider_entry_new(const struct kvss_provider *p, void *priv)
{
    _cleanup_(provider_entry_free_p) struct provider_entry *e = calloc(1, sizeof *e);

    if (!e)
        return NULL;
    e->provider = *p;
    e->provider.name = strdup(p->name);
    e->provider.id = copy_guid(p->id);
    e->provider.version = strdup(p->version ? p->version : "");
    e->priv = priv;
    if (!e->provider.name || !e->provider.id || !e->provider.version)
        return NULL;
    return TAKE_PTR(e);
}

int vss_register_provider(struct vss_service *s, const struct kvss_provider *provider, void *priv, struct err *err)
{
    int r = check_provider(provider, err);

    if (r < 0)
        return r;
    _cleanup_(provider_entry_free_p) struct provider_entry *e = provider_entry_new(provider, priv);
    if (!e)
        return err_nomem(err);
    if (service_find_provider(s, e->provider.id))
        return err_vss(err, VSS_E_PROVIDER_ALREADY_REGISTERED, EEXIST, "cannot register provider '%s': its id %s is taken", provider->name,
                       e->provider.id);
    SCOPED_LOCK(&s->lock);
    if (!ARRAY_GROW(s->providers, s->n_providers))
        return err_nomem(err);
    s->providers[s->n_providers++] = TAKE_PTR(e);
    return 0;
}

static pthread_mutex_t *lock_of(const struct vss_service *s)
{
    return (pthread_mutex_t *)(uintptr_t)&s->lock;
}

size_t vss_provider_count(const struct vss_service *s)
{
    SCOPED_LOCK(lock_of(s));
    return s->n_providers;
}
