/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What one may select, and what a selection includes. */
#include "vss/session_state.h"
#include "vss/vss_text.h"
#include <errno.h>
#include <string.h>

bool vss_component_in_set(const struct vss_writer_info *w, size_t whole, size_t part)
{
    const struct vss_component_info *a = &w->components[whole], *b = &w->components[part];

    return whole == part || text_is_ancestor(a->logical_path, a->name, b->logical_path);
}

static bool selection_has_selectable_ancestor(const struct vss_writer_info *w, size_t component)
{
    for (size_t i = 0; i < w->n_components; i++)
        if (i != component && w->components[i].selectable && vss_component_in_set(w, i, component))
            return true;
    return false;
}

bool vss_component_is_required(const struct vss_writer_info *w, size_t component)
{
    return !w->components[component].selectable && !selection_has_selectable_ancestor(w, component);
}

static bool is_explicit(const struct member *m, size_t component)
{
    const struct vss_component_info *c = &m->md->info.components[component];

    return components_find(m->bc, c->logical_path, c->name) != NULL;
}

bool selection_has(const struct member *m, size_t component)
{
    const struct vss_writer_info *w = &m->md->info;

    for (size_t i = 0; m->bc && i < m->bc->n_components; i++) {
        const struct bc_component *c = m->bc->components[i];
        int whole = metadata_find(w, c->logical_path, c->name);
        if (whole >= 0 && vss_component_in_set(w, (size_t)whole, component))
            return true;
    }
    return false;
}

int selection_may_add(const struct member *m, size_t component, struct err *err)
{
    const struct vss_writer_info *w = &m->md->info;
    const char *name = w->components[component].name;

    if (!w->components[component].selectable && selection_has_selectable_ancestor(w, component))
        return err_vss(err, VSS_E_OBJECT_NOT_FOUND, EINVAL,
                       "component '%s' of writer '%s' cannot be added separately: it comes with the selectable component above it", name,
                       w->name);
    if (selection_has(m, component))
        return err_vss(err, VSS_E_OBJECT_ALREADY_EXISTS, EEXIST, "component '%s' of writer '%s' is already in the backup", name, w->name);
    for (size_t i = 0; i < w->n_components; i++)
        if (is_explicit(m, i) && w->components[component].selectable && vss_component_in_set(w, component, i))
            return err_vss(err, VSS_E_OBJECT_ALREADY_EXISTS, EEXIST,
                           "component '%s' of writer '%s' would include '%s', which was added separately", name, w->name,
                           w->components[i].name);
    return 0;
}

static int check_required(const struct member *m, struct err *err)
{
    const struct vss_writer_info *w = &m->md->info;
    char name[256];

    for (size_t i = 0; i < w->n_components; i++)
        if (vss_component_is_required(w, i) && !selection_has(m, i))
            return err_vss(err, VSS_E_OBJECT_NOT_FOUND, EINVAL,
                           "component '%s' of writer '%s' is required: it must be added with any other component of the writer",
                           text_component(name, sizeof name, w->components[i].logical_path, w->components[i].name), w->name);
    return 0;
}

/* True if the component that the dependency names takes part. What is on another computer is that computer's business. */
static bool is_met(const struct vss_session *v, const struct vss_dependency *d)
{
    const struct member *m = session_member(v, d->writer_id);
    int i = m ? metadata_find(&m->md->info, d->logical_path, d->component) : -1;

    return strncmp(d->logical_path, "\\\\", 2) == 0 || (i >= 0 && selection_has(m, (size_t)i));
}

static int check_dependencies(const struct vss_session *v, const struct member *m, struct err *err)
{
    const struct vss_writer_info *w = &m->md->info;

    for (size_t i = 0; i < w->n_components; i++) {
        const struct vss_component_info *c = &w->components[i];
        if (!selection_has(m, i))
            continue;
        for (size_t k = 0; k < c->n_dependencies; k++)
            if (!is_met(v, &c->dependencies[k]))
                return err_vss(err, VSS_E_OBJECT_NOT_FOUND, ENOENT,
                               "component '%s' of writer '%s' depends on component '%s' of "
                               "writer %s, which is not in the backup",
                               c->name, w->name, c->dependencies[k].component, c->dependencies[k].writer_id);
    }
    return 0;
}

int selection_check(const struct vss_session *v, struct err *err)
{
    if (!v->doc->select_components)
        return 0;
    for (size_t i = 0; i < v->n_members; i++) {
        const struct member *m = v->members[i];
        if (!m->bc)
            continue;
        int r = check_required(m, err);
        if (r == 0)
            r = check_dependencies(v, m, err);
        if (r < 0)
            return r;
    }
    return 0;
}

bool selection_has_flag(const struct vss_session *v, uint32_t flag)
{
    for (size_t i = 0; i < v->n_members; i++)
        for (size_t k = 0; k < v->members[i]->md->info.n_components; k++)
            if ((v->members[i]->md->info.components[k].flags & flag) && selection_has(v->members[i], k))
                return true;
    return false;
}
