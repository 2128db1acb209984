/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vss/components.h"
#include "base/guid.h"
#include "vss/vss_names.h"
#include "vss/vss_text.h"
#include <errno.h>

int components_new(struct bc_document **ret, struct err *err)
{
    struct bc_document *doc = calloc(1, sizeof *doc);

    if (!doc)
        return err_nomem(err);
    doc->select_components = true;
    doc->backup_type = VSS_BT_FULL;
    *ret = doc;
    return 0;
}

static void component_free(struct bc_component *c)
{
    free(c->mappings);
    free(c->subcomponents);
    free(c->targets);
    free(c);
}

static void components_writer_free(struct bc_writer *w)
{
    for (size_t i = 0; i < w->n_components; i++)
        component_free(w->components[i]);
    free(w->components);
    free(w);
}

void components_free(struct bc_document *doc)
{
    if (!doc)
        return;
    for (size_t i = 0; i < doc->n_writers; i++)
        components_writer_free(doc->writers[i]);
    free(doc->writers);
    free(doc->snapshots);
    pool_free(&doc->strings);
    free(doc);
}

struct bc_writer *components_writer(const struct bc_document *doc, const char *writer_id)
{
    for (size_t i = 0; i < doc->n_writers; i++)
        if (guid_equal(doc->writers[i]->id, writer_id))
            return doc->writers[i];
    return NULL;
}

struct bc_component *components_find(const struct bc_writer *w, const char *logical_path, const char *name)
{
    for (size_t i = 0; w && name && i < w->n_components; i++)
        if (text_same_component(w->components[i]->logical_path, w->components[i]->name, logical_path, name))
            return w->components[i];
    return NULL;
}

int components_add_writer(struct bc_document *doc, const char *id, const char *instance_id, struct bc_writer **ret, struct err *err)
{
    if (components_writer(doc, id))
        return err_vss(err, VSS_E_OBJECT_ALREADY_EXISTS, EEXIST, "writer %s is already in the document", id);
    if (doc->n_writers >= WRITERS_MAX)
        return err_set(err, E2BIG, "more than %zu writers in one backup", WRITERS_MAX);
    _cleanup_free_ struct bc_writer *w = calloc(1, sizeof *w);
    if (!w)
        return err_nomem(err);
    w->backup_type = doc->backup_type;
    int r = text_keep(&doc->strings, id, &w->id, err);
    if (r < 0 || (r = text_keep(&doc->strings, instance_id, &w->instance_id, err)) < 0)
        return r;
    if (!ARRAY_GROW(doc->writers, doc->n_writers))
        return err_nomem(err);
    *ret = doc->writers[doc->n_writers++] = TAKE_PTR(w);
    return 0;
}

static int components_check_component(const struct bc_writer *w, enum vss_component_type type, const char *logical_path, const char *name,
                                      struct err *err)
{
    int r = text_check_component(logical_path, name, err);

    if (r < 0)
        return r;
    if (!words_get(&words_component_type, type))
        return err_set(err, EINVAL, "component '%s' is neither a database nor a file group", name);
    if (components_find(w, logical_path, name))
        return err_vss(err, VSS_E_OBJECT_ALREADY_EXISTS, EEXIST, "component '%s' was already added", name);
    if (w->n_components >= COMPONENTS_MAX)
        return err_set(err, E2BIG, "more than %zu components of one writer", COMPONENTS_MAX);
    return 0;
}

int components_add(struct bc_document *doc, struct bc_writer *w, enum vss_component_type type, const char *logical_path, const char *name,
                   struct bc_component **ret, struct err *err)
{
    int r = components_check_component(w, type, logical_path, name, err);

    if (r < 0)
        return r;
    _cleanup_free_ struct bc_component *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(err);
    c->type = type;
    if ((r = text_keep(&doc->strings, logical_path ? logical_path : "", &c->logical_path, err)) < 0 ||
        (r = text_keep(&doc->strings, name, &c->name, err)) < 0)
        return r;
    if (!ARRAY_GROW(w->components, w->n_components))
        return err_nomem(err);
    *ret = w->components[w->n_components++] = TAKE_PTR(c);
    return 0;
}

static int components_too_many(const struct bc_component *c, const char *what, struct err *err)
{
    return err_set(err, E2BIG, "component '%s' has more than %zu %s", c->name, TARGETS_MAX, what);
}

int components_add_target(struct bc_document *doc, struct bc_component *c, const struct kvss_new_target *target, struct err *err)
{
    struct kvss_new_target t = { .recursive = target->recursive };
    int r;

    if (c->n_targets >= TARGETS_MAX)
        return components_too_many(c, "new targets", err);
    if ((r = text_check_name(target->path, TEXT_PATH_MAX, "path of a new target", err)) < 0 ||
        (r = text_check_name(target->filespec, TEXT_NAME_MAX, "file specification of a new target", err)) < 0 ||
        (r = text_check_name(target->new_path, TEXT_PATH_MAX, "new path of a new target", err)) < 0 ||
        (r = text_keep(&doc->strings, target->path, &t.path, err)) < 0 ||
        (r = text_keep(&doc->strings, target->filespec, &t.filespec, err)) < 0 ||
        (r = text_keep(&doc->strings, target->new_path, &t.new_path, err)) < 0)
        return r;
    if (!ARRAY_GROW(c->targets, c->n_targets))
        return err_nomem(err);
    c->targets[c->n_targets++] = t;
    return 0;
}

int components_add_subcomponent(struct bc_document *doc, struct bc_component *c, const struct bc_subcomponent *sub, struct err *err)
{
    struct bc_subcomponent s = { 0 };
    int r = text_check_component(sub->logical_path, sub->name, err);

    if (r < 0)
        return r;
    if (c->n_subcomponents >= TARGETS_MAX)
        return components_too_many(c, "subcomponents", err);
    for (size_t i = 0; i < c->n_subcomponents; i++)
        if (text_same_component(c->subcomponents[i].logical_path, c->subcomponents[i].name, sub->logical_path, sub->name))
            return err_vss(err, VSS_E_OBJECT_ALREADY_EXISTS, EEXIST, "subcomponent '%s' was already added", sub->name);
    if ((r = text_keep(&doc->strings, sub->logical_path ? sub->logical_path : "", &s.logical_path, err)) < 0 ||
        (r = text_keep(&doc->strings, sub->name, &s.name, err)) < 0)
        return r;
    if (!ARRAY_GROW(c->subcomponents, c->n_subcomponents))
        return err_nomem(err);
    c->subcomponents[c->n_subcomponents++] = s;
    return 0;
}

int components_add_mapping(struct bc_document *doc, struct bc_component *c, const struct vss_alternate_location *mapping, struct err *err)
{
    struct vss_alternate_location m = { .recursive = mapping->recursive };
    int r;

    if (c->n_mappings >= TARGETS_MAX)
        return components_too_many(c, "alternate locations", err);
    if ((r = text_check_name(mapping->path, TEXT_PATH_MAX, "path of an alternate location", err)) < 0 ||
        (r = text_check_name(mapping->filespec, TEXT_NAME_MAX, "file specification of an alternate location", err)) < 0 ||
        (r = text_check_name(mapping->destination, TEXT_PATH_MAX, "destination of an alternate location", err)) < 0 ||
        (r = text_keep(&doc->strings, mapping->path, &m.path, err)) < 0 ||
        (r = text_keep(&doc->strings, mapping->filespec, &m.filespec, err)) < 0 ||
        (r = text_keep(&doc->strings, mapping->destination, &m.destination, err)) < 0)
        return r;
    if (!ARRAY_GROW(c->mappings, c->n_mappings))
        return err_nomem(err);
    c->mappings[c->n_mappings++] = m;
    return 0;
}

int components_add_snapshot(struct bc_document *doc, const struct bc_snapshot *s, struct err *err)
{
    struct bc_snapshot copy = *s;
    int r;

    if (doc->n_snapshots >= SNAPSHOTS_MAX)
        return err_set(err, E2BIG, "more than %zu volumes in one snapshot set", SNAPSHOTS_MAX);
    if ((r = text_check_name(s->volume, TEXT_PATH_MAX, "volume", err)) < 0 || (r = text_keep(&doc->strings, s->id, &copy.id, err)) < 0 ||
        (r = text_keep(&doc->strings, s->volume, &copy.volume, err)) < 0 ||
        (r = text_keep(&doc->strings, s->provider_id, &copy.provider_id, err)) < 0)
        return r;
    if (!ARRAY_GROW(doc->snapshots, doc->n_snapshots))
        return err_nomem(err);
    doc->snapshots[doc->n_snapshots++] = copy;
    return 0;
}

int components_set_text(struct bc_document *doc, const char **field, const char *text, size_t max, const char *what, struct err *err)
{
    int r = text ? text_check(text, max, what, err) : 0;

    return r < 0 ? r : text_keep(&doc->strings, text, field, err);
}
