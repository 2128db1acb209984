/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of writers that are programs, as they are now: whether a backup would take them. Identify is the only event they get. */
#include "base/num.h"
#include "requester/backup/backup.h"
#include "requester/check/check.h"
#include "requester/files/files.h"
#include <errno.h>

/* The VMs were looked at already. */
static int writers_gather(struct check *c, struct err *err)
{
    int r = vss_initialize_for_backup(c->s->vss, err);

    if (r >= 0)
        r = vss_set_backup_state(c->s->vss, true, false, VSS_BT_COPY, false, err);
    if (r >= 0)
        r = vss_disable_writer_class(c->s->vss, VM_WRITER_ID, err);
    return r < 0 ? r : vss_gather_writer_metadata(c->s->vss, err);
}

static int writers_add_files(struct check *c, const struct vss_writer_info *w, struct err *err)
{
    int r = 0;

    for (size_t i = 0; i < w->n_components && r >= 0; i++)
        if (backup_takes_component(w, i))
            r = files_hold_add(c->s->hold, w, i, MIB, err);
    return r;
}

int check_writers(struct check *c, struct err *err)
{
    struct err why = ERR_INIT;

    if (!command_writers_count(c->s->commands))
        return 0;
    int r = writers_gather(c, err);
    for (size_t i = 0; r >= 0 && i < vss_writer_count(c->s->vss); i++)
        r = writers_add_files(c, vss_writer_get(c->s->vss, i), err);
    if (r < 0 || (r = files_hold_check(c->s->hold, &why)) >= 0)
        return r;
    if (r == -EINTR || r == -ENOMEM)
        return err_move(err, &why);
    check_found(c, c->findings,
                FOUND(FINDING_ERROR, "writer-files", "follow the message, or use kvss backup --no-writers to back up without them"), "%s",
                why.text);
    return 0;
}
