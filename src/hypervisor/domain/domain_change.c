/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pausing, saving, starting, removing. What waits for QEMU has a limit and can be interrupted (patience.h); then libvirt may still be at
 * it, which the undo of each finds out by hv_domain_wait_still(). */
#include "base/io.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/xml.h"
#include "hypervisor/domain/busy.h"
#include "hypervisor/domain/domain_process.h"
#include "hypervisor/host/host.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define QEMU_9 9000000ul
#define STILL_LOOKS 3u
#define STILL_LOOK_MS 50u
#define STILL_TIMEOUT_MS 600000u /* to save or start a VM takes as long as its memory is large */
#define START_EXTRA_MS 30000u
#define START_BYTES_PER_MS (20 * MIB / 1000) /* a slow disk, or a host that is short of memory */
#define START_EXTRA_MAX_MS 3600000u
#define UNKNOWN_MEMORY_BYTES (4096 * MIB)
#define DESTROY_EXTRA_MS 30000u

static bool left_behind(int r)
{
    return r == -ETIMEDOUT || r == -EINTR;
}

/* The state is read again after a success, and after a failure too: 0 if the VM is in the wanted one all the same. */
static int state_after(struct hv_domain *d, int r, enum hv_state wanted, struct err *err)
{
    if (r >= 0)
        return hv_domain_refresh_state(d, err);
    return !left_behind(r) && hv_domain_refresh_state(d, NULL) == 0 && d->state == wanted ? 0 : r;
}

static int suspend(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    (void)conn, (void)arg;
    return virDomainSuspend(dom) < 0 ? hv_virt_error(err, "libvirt") : 0;
}

int hv_pause(struct hv_domain *d, struct err *err)
{
    int r = patiently_do(d, suspend, true, err);

    return state_after(d, left_behind(r) || r >= 0 ? r : err_context(err, "cannot pause VM %s", d->name), HV_PAUSED, err);
}

/* 1: yes; 0; -ETIMEDOUT, -EINTR: nobody can tell, for its QEMU does not answer. */
static int changes_state(struct hv_domain *d, struct err *err)
{
    int operation = 0;
    int r = busy_operation(d, &operation, err);

    if (left_behind(r))
        return r;
    return r > 0 && (operation == VIR_DOMAIN_JOB_OPERATION_SAVE || operation == VIR_DOMAIN_JOB_OPERATION_START ||
                     operation == VIR_DOMAIN_JOB_OPERATION_RESTORE);
}

int hv_domain_wait_still(struct hv_domain *d, struct err *err)
{
    uint64_t end = clock_mono_ms() + STILL_TIMEOUT_MS;
    enum hv_state before = HV_OTHER;

    for (unsigned same = 0; same < STILL_LOOKS;) {
        int changes = changes_state(d, err);
        if (changes < 0)
            return changes;
        int r = hv_domain_refresh_state(d, err);
        if (r < 0)
            return r;
        same = changes ? 0 : d->state == before ? same + 1 : 1;
        before = d->state;
        if (clock_mono_ms() > end)
            return err_set(err, ETIMEDOUT, "VM %s does not become idle", d->name);
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

static int resume(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    (void)conn, (void)arg;
    return virDomainResume(dom) < 0 ? hv_virt_error(err, "libvirt") : 0;
}

int hv_resume(struct hv_domain *d, struct err *err)
{
    int r = patiently_do(d, resume, true, err);

    return state_after(d, left_behind(r) || r >= 0 ? r : err_context(err, "cannot resume VM %s", d->name), HV_RUNNING, err);
}

/* ---- Saving ---------------------------------------------------------------------------------------------------------------*/

static int change_save(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    (void)conn;
    return virDomainManagedSave(dom, *(unsigned *)arg) < 0 ? hv_virt_error(err, "libvirt") : 0;
}

static int stop_save(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    (void)conn, (void)arg;
    return virDomainAbortJob(dom) < 0 ? hv_virt_error(err, "cannot abort the save") : 0;
}

int hv_managed_save(struct hv_domain *d, bool running, struct err *err)
{
    const struct patient_call call = { .fn = change_save, .free_arg = free, .insists = true, .long_job = true, .stop = stop_save };
    _cleanup_free_ unsigned *flags = malloc(sizeof(*flags));
    bool undoing = par_cancelled(d->hv->cancel);

    if (!flags)
        return err_nomem(err);
    *flags = running ? VIR_DOMAIN_SAVE_RUNNING : VIR_DOMAIN_SAVE_PAUSED;
    int r = patiently(d, &call, (void **)&flags, err);
    if (r < 0 && !left_behind(r) && !undoing && par_cancelled(d->hv->cancel))
        return err_set(err, EINTR, "VM %s: interrupted while it was being saved", d->name);
    return r < 0 ? err_context(err, "cannot save the state of VM %s", d->name) : hv_domain_refresh_state(d, err);
}

struct save_to {
    char *path;
    unsigned flags;
};

static void save_to_free(void *arg)
{
    struct save_to *s = arg;

    if (s)
        free(s->path);
    free(s);
}

static int change_save_to(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    const struct save_to *s = arg;

    (void)conn;
    return virDomainSaveFlags(dom, s->path, NULL, s->flags) < 0 ? hv_virt_error(err, "libvirt") : 0;
}

int hv_save_to(struct hv_domain *d, const char *path, bool running, struct err *err)
{
    const struct patient_call call = {
        .fn = change_save_to, .free_arg = save_to_free, .insists = true, .long_job = true, .stop = stop_save
    };
    struct save_to *s = calloc(1, sizeof(*s));
    bool undoing = par_cancelled(d->hv->cancel);

    if (!s || !(s->path = strdup(path))) {
        save_to_free(s);
        return err_nomem(err);
    }
    s->flags = running ? VIR_DOMAIN_SAVE_RUNNING : VIR_DOMAIN_SAVE_PAUSED;
    int r = patiently(d, &call, (void **)&s, err);
    save_to_free(s);
    if (r < 0 && !left_behind(r) && !undoing && par_cancelled(d->hv->cancel))
        return err_set(err, EINTR, "VM %s: interrupted while it was being saved", d->name);
    if (r < 0)
        return err_context(err, "cannot save the state of VM %s", d->name);
    d->state = HV_OFF;
    return 0;
}

int hv_managed_save_path(struct hv_domain *d, char **ret, struct err *err)
{
    if (!d->hv->local || !d->hv->save_dir)
        return err_set(err, EOPNOTSUPP, "the saved state of VM %s is on another host (%s)", d->name, d->hv->uri);
    char *path = str_format("%s/%s.save", d->hv->save_dir, d->name);
    if (!path)
        return err_nomem(err);
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

/* ---- Starting and turning off ---------------------------------------------------------------------------------------------*/

/* How a VM is started: by its definition or saved state, or by what is given. */
struct start {
    char *xml, *path; /* or NULL */
    const struct hv *hv;
    char *vm;              /* its name; NULL: not known */
    uint64_t memory_bytes; /* of a VM that libvirt does not know yet */
    bool paused;
};

static void start_free(void *arg)
{
    struct start *s = arg;

    if (!s)
        return;
    free(s->xml);
    free(s->path);
    free(s->vm);
    free(s);
}

static int start_defined(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    const struct start *s = arg;

    (void)conn;
    return virDomainCreateWithFlags(dom, s->paused ? VIR_DOMAIN_START_PAUSED : 0) < 0 ? hv_virt_error(err, "libvirt") : 0;
}

static int start_given(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    const struct start *s = arg;
    _cleanup_(virDomainFree_p) virDomainPtr made = virDomainCreateXML(conn, s->xml, s->paused ? VIR_DOMAIN_START_PAUSED : 0);

    (void)dom;
    return made ? 0 : hv_virt_error(err, "libvirt");
}

static int start_memory(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    const struct start *s = arg;

    (void)dom;
    return virDomainRestoreFlags(conn, s->path, s->xml, s->paused ? VIR_DOMAIN_SAVE_PAUSED : 0) < 0 ? hv_virt_error(err, "libvirt") : 0;
}

static unsigned start_extra_ms(uint64_t memory_bytes)
{
    return START_EXTRA_MS + (unsigned)num_min(memory_bytes / START_BYTES_PER_MS, START_EXTRA_MAX_MS);
}

static char *name_in(const char *xml)
{
    _cleanup_xml_ xmlDocPtr doc = NULL;

    return xml && xml_parse(xml, strlen(xml), "the VM's definition", &doc, NULL) >= 0 ? xml_get(xmlDocGetRootElement(doc), "name") : NULL;
}

/* A QEMU that libvirt has begun to start may have the memory to read; with AppArmor its profile is made first; the host may be busy. */
static uint64_t start_work(const void *arg)
{
    const struct start *s = arg;

    return s->vm ? domain_start_cpu_ms(s->hv, s->vm) : 0;
}

/* d, or what libvirt does not know yet: named so. */
static int change_start(struct hv *hv, struct hv_domain *d, const char *name, patient_fn *fn, const struct start *how, struct err *err)
{
    uint64_t memory = d ? (uint64_t)virDomainGetMaxMemory(hv_handle(d)) * KIB : how->memory_bytes;
    const struct patient_call call = {
        .fn = fn, .free_arg = start_free, .insists = true, .extra_ms = start_extra_ms(memory), .work = start_work
    };
    struct start *s = calloc(1, sizeof(*s));

    if (!s || (how->xml && !(s->xml = strdup(how->xml))) || (how->path && !(s->path = strdup(how->path)))) {
        start_free(s);
        return err_nomem(err);
    }
    s->paused = how->paused;
    s->hv = hv;
    s->vm = d ? strdup(d->name) : name_in(how->xml);
    int r = d ? patiently(d, &call, (void **)&s, err) : patiently_at(hv, name, &call, (void **)&s, err);
    start_free(s);
    return r < 0 && !left_behind(r) ? err_context(err, "cannot start %s", name) : r;
}

static int start_domain(struct hv_domain *d, patient_fn *fn, const struct start *how, struct err *err)
{
    _cleanup_free_ char *name = str_format("VM %s%s", d->name, d->state == HV_SAVED ? " from its saved state" : "");

    if (!name)
        return err_nomem(err);
    int r = change_start(d->hv, d, name, fn, how, err);
    return r < 0 ? r : hv_domain_refresh_state(d, err);
}

int hv_start(struct hv_domain *d, bool paused, struct err *err)
{
    int r = check_saved(d, err);

    return r < 0 ? r : start_domain(d, start_defined, &(struct start){ .paused = paused }, err);
}

/* The definition that there is stays, for the next start. */
int hv_start_as(struct hv_domain *d, const char *xml, bool paused, struct err *err)
{
    return start_domain(d, start_given, &(struct start){ .xml = (char *)(uintptr_t)xml, .paused = paused }, err);
}

int hv_create_transient(struct hv *hv, const char *xml, bool paused, struct err *err)
{
    const struct start how = { .xml = (char *)(uintptr_t)xml, .memory_bytes = UNKNOWN_MEMORY_BYTES, .paused = paused };

    return change_start(hv, NULL, "the VM", start_given, &how, err);
}

int hv_start_from(struct hv *hv, const char *path, const char *xml, bool paused, struct err *err)
{
    struct stat st;
    const struct start how = {
        .xml = (char *)(uintptr_t)xml,
        .path = (char *)(uintptr_t)path,
        .paused = paused,
        .memory_bytes = stat(path, &st) == 0 ? (uint64_t)st.st_size : UNKNOWN_MEMORY_BYTES,
    };
    _cleanup_free_ char *name = str_format("a VM from the saved state %s", path);

    return name ? change_start(hv, NULL, name, start_memory, &how, err) : err_nomem(err);
}

/* libvirt ends a QEMU that does not listen after half a minute. */
static int destroy(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    struct err why = ERR_INIT;

    (void)conn, (void)arg;
    if (virDomainDestroy(dom) == 0)
        return 0;
    hv_virt_error(&why, "libvirt");
    return virDomainIsActive(dom) == 0 ? 0 : err_move(err, &why);
}

int hv_destroy(struct hv_domain *d, struct err *err)
{
    const struct patient_call call = { .fn = destroy, .insists = true, .extra_ms = DESTROY_EXTRA_MS, .about_hung = true };
    void *none = NULL;

    if (virDomainIsActive(hv_handle(d)) == 0)
        return 0;
    int r = patiently(d, &call, &none, err);
    if (r < 0)
        return left_behind(r) ? r : err_context(err, "cannot turn off VM %s", d->name);
    /* A transient VM is gone with that. */
    return d->persistent ? hv_domain_refresh_state(d, err) : 0;
}

/* ---- Definitions ----------------------------------------------------------------------------------------------------------*/

int hv_undefine(struct hv_domain *d, bool keep_nvram, struct err *err)
{
    unsigned flags = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA;

    /* The TPM's state is firmware state as the NVRAM is, and goes or stays with it. */
    flags |=
        keep_nvram ? VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | VIR_DOMAIN_UNDEFINE_KEEP_TPM : VIR_DOMAIN_UNDEFINE_NVRAM | VIR_DOMAIN_UNDEFINE_TPM;
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

int hv_set_autostart(struct hv_domain *d, bool on, struct err *err)
{
    if (virDomainSetAutostart(hv_handle(d), on) < 0)
        return hv_virt_error(err, "cannot turn autostart of VM %s %s", d->name, on ? "on" : "off");
    d->autostart = on;
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
