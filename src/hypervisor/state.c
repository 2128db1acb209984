/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pausing, saving, starting, removing. */
#include "base/io.h"
#include "base/clock.h"
#include "hypervisor/busy.h"
#include "hypervisor/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define QEMU_9 9000000ul
#define STILL_LOOKS 3u
#define STILL_LOOK_MS 50u
#define STILL_TIMEOUT_MS 600000u /* to save or start a VM takes as long as its memory is large */

int hv_pause(struct hv_domain *d, struct err *err)
{
    if (virDomainSuspend(hv_handle(d)) < 0) {
        int r = hv_virt_error(err, "cannot pause VM %s", d->name);
        return hv_domain_refresh_state(d, NULL) == 0 && d->state == HV_PAUSED ? 0 : r;
    }
    return hv_domain_refresh_state(d, err);
}

static bool changes_state(struct hv_domain *d)
{
    int operation = 0;

    return busy_operation(d, &operation, NULL) > 0 &&
           (operation == VIR_DOMAIN_JOB_OPERATION_SAVE || operation == VIR_DOMAIN_JOB_OPERATION_START ||
            operation == VIR_DOMAIN_JOB_OPERATION_RESTORE);
}

int hv_domain_wait_still(struct hv_domain *d, struct err *err)
{
    uint64_t end = clock_mono_ms() + STILL_TIMEOUT_MS;
    enum hv_state before = HV_OTHER;

    for (unsigned same = 0; same < STILL_LOOKS;) {
        bool changes = changes_state(d);
        int r = hv_domain_refresh_state(d, err);
        if (r < 0)
            return r;
        same = changes ? 0 : d->state == before ? same + 1 : 1;
        before = d->state;
        if (clock_mono_ms() > end)
            return err_set(err, ETIMEDOUT, "VM %s does not come to rest", d->name);
        if (same < STILL_LOOKS)
            clock_sleep_ms(STILL_LOOK_MS);
    }
    return 0;
}

bool hv_may_resume_in_job(const struct hv_domain *d)
{
    unsigned long version = 0;

    return !d->throttled_thread || (virConnectGetVersion(virDomainGetConnect(hv_handle(d)), &version) == 0 && version >= QEMU_9);
}

int hv_resume(struct hv_domain *d, struct err *err)
{
    if (virDomainResume(hv_handle(d)) < 0) {
        int r = hv_virt_error(err, "cannot resume VM %s", d->name);
        return hv_domain_refresh_state(d, NULL) == 0 && d->state == HV_RUNNING ? 0 : r;
    }
    return hv_domain_refresh_state(d, err);
}

int hv_managed_save(struct hv_domain *d, bool running, struct err *err)
{
    unsigned flags = running ? VIR_DOMAIN_SAVE_RUNNING : VIR_DOMAIN_SAVE_PAUSED;

    if (virDomainManagedSave(hv_handle(d), flags) < 0)
        return hv_virt_error(err, "cannot save the state of VM %s", d->name);
    return hv_domain_refresh_state(d, err);
}

int hv_managed_save_path(struct hv_domain *d, char **ret, struct err *err)
{
    if (!d->hv->local || !d->hv->save_dir)
        return err_set(err, EOPNOTSUPP, "the saved state of VM %s lies on another host (%s)", d->name, d->hv->uri);
    char *path = str_format("%s/%s.save", d->hv->save_dir, d->name);
    if (!path)
        return err_errno(err, ENOMEM, "cannot tell where the saved state of VM %s lies", d->name);
    *ret = path;
    return 0;
}

int hv_managed_save_drop(struct hv_domain *d, struct err *err)
{
    int there = virDomainHasManagedSaveImage(hv_handle(d), 0);

    if (there == 0)
        return 0;
    if (there < 0 || virDomainManagedSaveRemove(hv_handle(d), 0) < 0)
        return hv_virt_error(err, "cannot remove the saved state of VM %s", d->name);
    return hv_domain_refresh_state(d, err);
}

/* A save image that was never finished libvirt deletes without a word, and boots the VM afresh. */
static int check_saved(struct hv_domain *d, struct err *err)
{
    if (virDomainHasManagedSaveImage(hv_handle(d), 0) != 1)
        return 0;
    _cleanup_free_ char *xml = virDomainManagedSaveGetXMLDesc(hv_handle(d), 0);
    if (!xml)
        return hv_virt_error(err, "cannot start VM %s: its saved state cannot be read", d->name);
    return 0;
}

int hv_start(struct hv_domain *d, bool paused, struct err *err)
{
    int r = check_saved(d, err);

    if (r < 0)
        return r;
    if (virDomainCreateWithFlags(hv_handle(d), paused ? VIR_DOMAIN_START_PAUSED : 0) < 0)
        return hv_virt_error(err, "cannot start VM %s", d->name);
    return hv_domain_refresh_state(d, err);
}

int hv_destroy(struct hv_domain *d, struct err *err)
{
    if (virDomainIsActive(hv_handle(d)) == 0)
        return 0;
    if (virDomainDestroy(hv_handle(d)) < 0 && virDomainIsActive(hv_handle(d)) != 0)
        return hv_virt_error(err, "cannot turn off VM %s", d->name);
    /* A transient VM is gone with that. */
    return d->persistent ? hv_domain_refresh_state(d, err) : 0;
}

int hv_undefine(struct hv_domain *d, bool keep_nvram, struct err *err)
{
    unsigned flags = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                     VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA;

    /* The TPM's state is firmware state as the NVRAM is, and goes or stays with it. */
    flags |= keep_nvram ? VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | VIR_DOMAIN_UNDEFINE_KEEP_TPM :
                          VIR_DOMAIN_UNDEFINE_NVRAM | VIR_DOMAIN_UNDEFINE_TPM;
    if (virDomainIsActive(hv_handle(d)) == 1)
        return err_set(err, EBUSY, "cannot remove the definition of VM %s: it is not off", d->name);
    if (virDomainUndefineFlags(hv_handle(d), flags) < 0)
        return hv_virt_error(err, "cannot remove the definition of VM %s", d->name);
    return 0;
}

int hv_define(struct hv *hv, const char *xml, struct hv_domain **ret, struct err *err)
{
    virDomainPtr handle = virDomainDefineXMLFlags(hv->conn, xml, 0);

    if (!handle)
        return hv_virt_error(err, "cannot define the VM at %s", hv->uri);
    return hv_domain_build(hv, handle, HV_WHOLE, ret, err);
}

int hv_create_transient(struct hv *hv, const char *xml, bool paused, struct err *err)
{
    _cleanup_(virDomainFree_p) virDomainPtr handle = virDomainCreateXML(hv->conn, xml, paused ? VIR_DOMAIN_START_PAUSED : 0);

    return handle ? 0 : hv_virt_error(err, "cannot start the VM at %s", hv->uri);
}

int hv_start_as(struct hv_domain *d, const char *xml, bool paused, struct err *err)
{
    int r = hv_create_transient(d->hv, xml, paused, err); /* the definition that there is stays, for the next start */

    return r < 0 ? r : hv_domain_refresh_state(d, err);
}

int hv_set_autostart(struct hv_domain *d, bool on, struct err *err)
{
    if (virDomainSetAutostart(hv_handle(d), on) < 0)
        return hv_virt_error(err, "cannot turn autostart of VM %s %s", d->name, on ? "on" : "off");
    d->autostart = on;
    return 0;
}

int hv_start_from(struct hv *hv, const char *path, const char *xml, bool paused, struct err *err)
{
    if (virDomainRestoreFlags(hv->conn, path, xml, paused ? VIR_DOMAIN_SAVE_PAUSED : 0) < 0)
        return hv_virt_error(err, "cannot start a VM from the saved state %s", path);
    return 0;
}

/* The begin of libvirt's save image, in the byte order of the host: magic, version, length of the definition, was_running. */
#define SAVE_MAGIC "LibvirtQemudSave"
#define SAVE_MAGIC_BYTES 16

int hv_save_image_runs(const char *path, bool *ret, struct err *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    unsigned char head[SAVE_MAGIC_BYTES + 3 * sizeof(uint32_t)];
    uint32_t was_running;

    if (fd < 0)
        return err_errno(err, errno, "cannot read the saved state %s", path);
    int r = io_read(fd, head, sizeof(head));
    if (r < 0)
        return err_errno(err, -r, "cannot read the saved state %s", path);
    if (memcmp(head, SAVE_MAGIC, SAVE_MAGIC_BYTES) != 0)
        return err_set(err, EUCLEAN, "%s is not a saved state, or one that was never finished", path);
    memcpy(&was_running, head + SAVE_MAGIC_BYTES + 2 * sizeof(uint32_t), sizeof(was_running));
    *ret = was_running != 0;
    return 0;
}

int hv_save_image_xml(struct hv *hv, const char *path, char **ret, struct err *err)
{
    char *xml = virDomainSaveImageGetXMLDesc(hv->conn, path, VIR_DOMAIN_SAVE_IMAGE_XML_SECURE);

    if (!xml)
        return hv_virt_error(err, "cannot read the definition in the saved state %s", path);
    *ret = xml;
    return 0;
}
