/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The documents of a session as XML. Apart from all else, so that a program without documents (kvss-guest) is linked without libxml2. */
#include "base/cleanup.h"
#include "vss/session_state.h"
#include <errno.h>

int vss_writer_metadata_xml(const struct vss_session *v, size_t i, char **ret_xml, struct err *err)
{
    if (i >= v->n_members)
        return err_vss(err, VSS_E_OBJECT_NOT_FOUND, ENOENT, "there is no writer number %zu", i);
    return metadata_format(v->members[i]->md, ret_xml, err);
}

int vss_save_as_xml(struct vss_session *v, char **ret_xml, struct err *err)
{
    int r = session_check(v, CALL_SAVE_AS_XML, err);

    if (r < 0)
        return r;
    SCOPED_LOCK(&v->lock);
    return components_format(v->doc, ret_xml, err);
}
