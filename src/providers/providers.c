/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "providers/providers_internal.h"
#include "base/cleanup.h"
#include "providers/builtin_providers.h" /* made by meson: BUILTIN_PROVIDERS, the names of its list */
#include "providers/external/external.h"
#include <strings.h>

#define FIRST_PRIORITY 1000 /* of third parties */

#define BUILTIN(name) extern const struct builtin_provider name;
BUILTIN_PROVIDERS
#undef BUILTIN

#define BUILTIN(name) &name,
static const struct builtin_provider *const builtin[] = { BUILTIN_PROVIDERS };
#undef BUILTIN

/* One that is there for a session. */
struct provider_open {
    const struct kvss_provider *ops;
    void *p;
    void (*free)(void *p); /* NULL: it belongs to `external` */
    const char *file;      /* NULL: it is built in */
    int priority;
};

struct providers {
    struct external_set *external;
    size_t n;
    struct provider_open *list; /* in the order in which they are asked */
};

void providers_close(struct providers *p)
{
    for (size_t i = 0; p && i < p->n; i++)
        if (p->list[i].free)
            p->list[i].free(p->list[i].p);
    if (p) {
        external_free(p->external);
        free(p->list);
    }
    free(p);
}
DEFINE_CLEANUP(struct providers *, providers_close)

/* Behind those that are asked before it. */
static int providers_insert(struct providers *p, const struct provider_open *o, struct err *err)
{
    struct provider_open *more = reallocarray(p->list, p->n + 1, sizeof(*more));

    if (!more) {
        if (o->free)
            o->free(o->p);
        return err_nomem(err);
    }
    p->list = more;
    size_t at = p->n++;
    for (; at > 0 && more[at - 1].priority < o->priority; at--)
        more[at] = more[at - 1];
    more[at] = *o;
    return 0;
}

static int open_builtin(struct providers *p, const struct builtin_provider *b, const struct provider_context *context, struct err *err)
{
    struct provider_open o = { .ops = b->ops, .free = b->free, .priority = b->priority };

    int r = b->make(context, &o.p, err);
    return r < 0 ? r : providers_insert(p, &o, err);
}

/* An administrator has put them there to be used: they are asked first, those of hardware before others, as VSS does. */
static int open_external(struct providers *p, const struct provider_context *context, struct err *err)
{
    const struct external_config config = {
        .programs_dir = context->programs_dir,
        .objects_dir = context->objects_dir,
        .journal = context->journal,
        .held_ms = context->held_ms,
        .log = context->log,
    };

    int r = external_load(&config, &p->external, err);
    for (size_t i = 0; r >= 0 && i < external_count(p->external); i++) {
        const struct kvss_provider *ops = external_ops(p->external, i);
        const struct provider_open o = {
            .ops = ops,
            .p = external_priv(p->external, i),
            .file = external_path(p->external, i),
            .priority = FIRST_PRIORITY + (int)ops->type,
        };
        r = providers_insert(p, &o, err);
    }
    return r;
}

int providers_open(const struct provider_context *context, struct providers **ret, struct err *err)
{
    _cleanup_(providers_close_p) struct providers *p = calloc(1, sizeof(*p));
    const struct provider_files *files = &context->files;
    bool taken = false;
    int r = p ? open_external(p, context, err) : err_nomem(err);

    for (size_t i = 0; i < ARRAY_SIZE(builtin) && r >= 0; i++) {
        r = open_builtin(p, builtin[i], context, err);
        taken |= r >= 0 && builtin[i]->owns_files;
    }
    if (!taken && files->free)
        files->free(files->priv);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(p);
    return 0;
}

const struct journal_verb *provider_verbs(size_t i)
{
    for (size_t k = 0; k < ARRAY_SIZE(builtin); k++)
        if (builtin[k]->verbs && i-- == 0)
            return builtin[k]->verbs;
    return i == 0 ? external_verbs : NULL;
}

/* One that the service would not have is not there; a built-in one always is. */
int providers_register(struct providers *p, struct vss_service *service, struct err *err)
{
    int r = 0;

    for (size_t i = 0; i < p->n && r >= 0; i++) {
        const struct provider_open *o = &p->list[i];
        struct err why = ERR_INIT;
        r = vss_register_provider(service, o->ops, o->p, &why);
        if (r < 0)
            r = o->file ? external_refuse(p->external, o->file, &why, err) : err_move(err, &why);
    }
    return r < 0 ? r : 0;
}

const char *providers_copying_files(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(builtin); i++)
        if (builtin[i]->owns_files)
            return builtin[i]->ops->id;
    return NULL;
}

bool providers_files_in_device(const char *id)
{
    for (size_t i = 0; i < ARRAY_SIZE(builtin); i++)
        if (builtin[i]->files_in_device && !strcasecmp(builtin[i]->ops->id, id))
            return true;
    return false;
}

const char *providers_file(const struct providers *p, const char *id)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->list[i].file && !strcasecmp(p->list[i].ops->id, id))
            return p->list[i].file;
    return NULL;
}

bool providers_refused(const struct providers *p, size_t i, const char **ret_file, const char **ret_why)
{
    if (i >= external_refused_count(p->external))
        return false;
    const struct external_refused *r = external_refused(p->external, i);
    *ret_file = r->path;
    *ret_why = r->why;
    return true;
}

int provider_host_run(int fd_object, int fd_calls, struct err *err)
{
    return external_host_run(fd_object, fd_calls, err);
}
