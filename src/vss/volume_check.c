/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vss/session_state.h"
#include "vss/vss_text.h"
#include <errno.h>
#include <string.h>

static bool in_set(const struct vss_session *v, const char *volume)
{
    for (size_t i = 0; i < v->doc->n_snapshots; i++)
        if (strcmp(v->doc->snapshots[i].volume, volume) == 0)
            return true;
    return false;
}

bool volumes_has_path(const struct vss_session *v, const char *path)
{
    _cleanup_free_ char *volume = NULL;

    return service_volume_of(v->service, path, &volume, NULL) == 0 && in_set(v, volume);
}

/* The bit of a file set's mask that asks for a shadow copy in a backup of this type. */
static uint32_t snapshot_bit(enum vss_backup_type type)
{
    switch (type) {
    case VSS_BT_DIFFERENTIAL: return VSS_FSBT_DIFFERENTIAL_BACKUP_REQUIRED << 8;
    case VSS_BT_INCREMENTAL: return VSS_FSBT_INCREMENTAL_BACKUP_REQUIRED << 8;
    case VSS_BT_LOG: return VSS_FSBT_LOG_BACKUP_REQUIRED << 8;
    default: return VSS_FSBT_FULL_BACKUP_REQUIRED << 8;
    }
}

static int volume_check_files(const struct vss_session *v, const struct member *m, const struct vss_component_info *c, struct err *err)
{
    for (size_t i = 0; i < c->n_files; i++) {
        const struct vss_file_set *f = &c->files[i];
        const char *path = f->alternate_path ? f->alternate_path : f->path;
        _cleanup_free_ char *volume = NULL;
        if (!(f->backup_type_mask & snapshot_bit(m->bc->backup_type)))
            continue;
        int r = service_volume_of(v->service, path, &volume, err);
        if (r < 0) {
            err_context(err, "component '%s' of writer '%s'", c->name, m->entry->writer.name);
            return r;
        }
        if (!in_set(v, volume))
            return err_vss(err, VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT, EINVAL,
                           "component '%s' of writer '%s' needs volume '%s' "
                           "(for '%s'), which is not in the snapshot set: add it",
                           c->name, m->entry->writer.name, volume, path);
    }
    return 0;
}

int volumes_check(struct vss_session *v, struct err *err)
{
    struct err local = ERR_INIT;

    for (size_t i = 0; i < v->n_members; i++) {
        struct member *m = v->members[i];
        const struct vss_writer_info *w = &m->md->info;
        for (size_t k = 0; m->takes_part && m->bc && k < w->n_components; k++) {
            int r = selection_has(m, k) ? volume_check_files(v, m, &w->components[k], &local) : 0;
            if (r == 0)
                continue;
            uint32_t hresult = local.hresult ? local.hresult : VSS_E_WRITERERROR_NONRETRYABLE;
            member_fail(v, m, "PrepareForSnapshot", VSS_WS_FAILED_AT_PREPARE_SNAPSHOT, hresult, local.text);
            return err_move(err, &local);
        }
    }
    return 0;
}
