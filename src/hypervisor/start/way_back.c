/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way back of a VM that was running: first as it was; then without what its host lacks by now; then without whatever may be at fault.
 * Between two attempts libvirt is asked again what there is to be started, for an attempt may have come further than its answer says. */
#include "hypervisor/xml/definition.h"
#include "hypervisor/host/host.h"
#include <errno.h>
#include <string.h>

/* One attempt: the definition, corrected in this degree. */
typedef int (*attempt_fn)(struct hv_domain *d, const char *xml, bool paused, struct err *err);

/* libvirt keeps the image, and the mark in it that says whether the VM ran. */
static int start_edited(struct hv_domain *d, const char *xml, bool paused, struct err *err)
{
    if (virDomainManagedSaveDefineXML(hv_handle(d), xml, 0) < 0)
        return hv_virt_error(err, "cannot correct the definition in the saved state of VM %s", d->name);
    return hv_start(d, paused, err);
}

static int corrected(struct hv_domain *d, const char *xml, enum def_without what, char **ret, char ***notes, struct err *err)
{
    _cleanup_(hv_def_free_p) struct hv_def *def = NULL;

    int r = hv_def_parse(xml, &def, err);
    if (r == 0)
        r = def_do_without(d->hv, def, what, notes, err);
    return r < 0 ? r : hv_def_text(def, ret, err);
}

/* xml: the definition with which the plain start failed. The state that it must be in for an attempt is `from`. */
static int try_without(struct hv_domain *d, const char *xml, enum hv_state from, attempt_fn attempt, bool paused, char ***ret_notes)
{
    _cleanup_free_ char *tried = NULL;

    for (enum def_without what = WITHOUT_MISSING; what <= WITHOUT_LAST; what++) {
        _cleanup_strv_ char **notes = NULL;
        _cleanup_free_ char *text = NULL;
        struct err why = ERR_INIT;

        if (hv_domain_wait_still(d, &why) < 0 || d->state != from || corrected(d, xml, what, &text, &notes, &why) < 0)
            return -1;
        if (!notes && what == WITHOUT_MISSING && strcmp(text, xml) == 0)
            continue; /* nothing to correct */
        if ((what == WITHOUT_DISPLAYS || what == WITHOUT_SERVERS) && strcmp(text, tried ? tried : xml) == 0)
            continue; /* it has none */
        if (attempt(d, text, paused, &why) >= 0) {
            *ret_notes = TAKE_PTR(notes);
            return 0;
        }
        log_warning(d->hv->log, "VM %s: %s", d->name, why.text);
        free(tried);
        tried = TAKE_PTR(text);
    }
    return -1;
}

void hv_tell(const struct hv_domain *d, char *const *notes)
{
    for (; notes && *notes; notes++)
        log_warning(d->hv->log, "VM %s: %s", d->name, *notes);
}

int hv_start_saved(struct hv_domain *d, bool paused, char ***ret_notes, struct err *err)
{
    struct err first = ERR_INIT;

    *ret_notes = NULL;
    int r = hv_start(d, paused, &first);
    if (r >= 0)
        return 0;
    if (r == -ETIMEDOUT || r == -EINTR) /* libvirt may be at it still */
        return err_move(err, &first);
    char *xml = virDomainManagedSaveGetXMLDesc(hv_handle(d), VIR_DOMAIN_SAVE_IMAGE_XML_SECURE);
    r = xml ? try_without(d, xml, HV_SAVED, start_edited, paused, ret_notes) : -1;
    if (r < 0 && xml && hv_domain_wait_still(d, NULL) == 0 && d->state == HV_SAVED) /* a person finds it as it was saved */
        (void)virDomainManagedSaveDefineXML(hv_handle(d), xml, 0);
    free(xml);
    return r < 0 ? err_move(err, &first) : 0;
}

int hv_start_off(struct hv_domain *d, const char *xml, bool paused, char ***ret_notes, struct err *err)
{
    struct err first = ERR_INIT;

    *ret_notes = NULL;
    int r = xml ? hv_start_as(d, xml, paused, &first) : hv_start(d, paused, &first);
    if (r >= 0)
        return 0;
    if (r == -ETIMEDOUT || r == -EINTR)
        return err_move(err, &first);
    r = try_without(d, xml ? xml : d->xml, HV_OFF, hv_start_as, paused, ret_notes);
    return r < 0 ? err_move(err, &first) : 0;
}
