/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The QEMU guest agent, through libvirt.
 *
 * Deadlines. libvirt counts whole seconds, so a deadline is rounded up to the next; no call is ever made without one. The
 * limit that bounds libvirt's own calls (freeze, guest info) is a property of the domain that everybody's calls share and nobody
 * can read: it is set anew before each call and given back its default (none) when the agent is left alone again; after a
 * freeze that is the thaw. What libvirt's limit does not cover: a call of another program that holds the agent. libvirt waits
 * 30 s for its end; then it is -EBUSY.
 *
 * A hung agent. libvirt sends a guest-sync before a command only when it has lost step with the agent; otherwise the command goes
 * out at once and lies in the channel of an agent that does not read. So a freeze may be carried out long after we gave up on it.
 * What is done about that: (1) hv_agent_freeze() first asks for guest-fsfreeze-status, so that a freeze is not sent to an agent
 * that hung before; (2) when the freeze itself is not answered, a thaw is tried with a short deadline. libvirt puts a guest-sync
 * before it and drops the thaw when that is not answered; so (3) nobody can promise that no late freeze comes: the error is
 * -ETIMEDOUT, and whoever called keeps trying hv_agent_thaw(), which asks again until its own deadline and fails unless the agent
 * has answered. Answers that come late are told apart by guest-sync's number and thrown away by libvirt.
 *
 * A lost agent. When the guest closes the channel while a backup job runs (the agent dies or is restarted), libvirt waits 30 s for the
 * end of the job and then forgets the news; when the agent is back it finds itself connected already, and fails every call at once until
 * the agent or libvirtd is restarted (seen with 9.0: the event asks for a kind of job that its backup job does not let in). Told from
 * a hung agent by failing at once although the channel is open. */
#include "hypervisor/agent/agent.h"
#include "base/clock.h"
#include "base/xml.h"
#include <errno.h>
#include <libvirt/libvirt-qemu.h>
#include <string.h>

#define RESCUE_TIMEOUT_MS 3000u /* for the thaw after a freeze that was not answered */
#define AT_ONCE_MS 500u         /* libvirt counts seconds: an agent that was asked and does not answer takes longer */
#define LOST_MS 4000u           /* libvirt's news of the channel may be on their way for so long */
#define PROBE_STEP_MS 5000u     /* for the question whether the agent answers at all */

/* Whole seconds until the deadline, at least one. */
static int seconds_left(uint64_t deadline)
{
    uint64_t now = clock_mono_ms();
    uint64_t left = deadline > now ? deadline - now : 0;

    return left > 3600000 ? 3600 : left <= 1000 ? 1 : (int)((left + 999) / 1000);
}

/* The guest's end of the channel, by the active definition: 1 open, 0 closed, -1 there is no channel or no telling. */
static int channel_open(struct hv_domain *d)
{
    _cleanup_free_ char *xml = NULL;
    _cleanup_xml_ xmlDocPtr doc = NULL;

    if (hv_live_xml(d, &xml, NULL) < 0 || xml_parse(xml, strlen(xml), "the VM's definition", &doc, NULL) < 0)
        return -1;
    xmlNodePtr target = xml_find(xmlDocGetRootElement(doc), "devices/channel/target[@type='virtio' and @name='org.qemu.guest_agent.0']");
    d->agent_channel = target;
    _cleanup_free_ char *state = target ? xml_attr(target, "state") : NULL;
    d->agent_connected = state && strcmp(state, "connected") == 0;
    return target ? d->agent_connected : -1;
}

int agent_error(struct hv_domain *d, struct err *err, const char *what)
{
    int code = hv_virt_code();
    int r = hv_virt_error(err, "cannot %s in VM %s", what, d->name);

    if (code != VIR_ERR_AGENT_UNRESPONSIVE && code != VIR_ERR_AGENT_UNSYNCED)
        return r;
    if (virDomainIsActive(hv_handle(d)) != 1)
        return err_set(err, ENOTCONN, "cannot %s in VM %s: it is off", what, d->name);
    if (channel_open(d) != 1)
        return err_set(err, ENOTCONN, "cannot %s in VM %s: the guest agent is not running", what, d->name);
    return err_set(err, ETIMEDOUT, "cannot %s in VM %s: the guest agent did not answer in time", what, d->name);
}

int agent_set_timeout(struct hv_domain *d, uint64_t deadline, struct err *err)
{
    if (virDomainAgentSetResponseTimeout(hv_handle(d), seconds_left(deadline), 0) < 0)
        return hv_virt_error(err, "cannot set a time limit for the guest agent of VM %s", d->name);
    return 0;
}

static void reset_timeout(struct hv_domain *d)
{
    (void)virDomainAgentSetResponseTimeout(hv_handle(d), VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK, 0);
}

int agent_command(struct hv_domain *d, const char *json, uint64_t deadline, char **ret, struct err *err)
{
    /* The limit counts for the guest-sync that libvirt may send first. */
    int r = agent_set_timeout(d, deadline, err);
    if (r < 0)
        return r;
    char *reply = virDomainQemuAgentCommand(hv_handle(d), json, seconds_left(deadline), 0);
    if (!reply)
        return agent_error(d, err, "query the guest agent");
    *ret = reply;
    return 0;
}

static void fs_list_free(struct hv_guest_fs *fs, size_t n)
{
    for (size_t f = 0; f < n; f++) {
        free(fs[f].mountpoint);
        free(fs[f].type);
        free(fs[f].device);
        strv_free(fs[f].targets);
    }
    free(fs);
}

void hv_agent_info_clear(struct hv_agent_info *i)
{
    fs_list_free(i->fs, i->n_fs);
    fs_list_free(i->elsewhere, i->n_elsewhere);
    free(i->why);
    free(i->version);
    free(i->os_id);
    free(i->os_name);
    *i = (struct hv_agent_info){ 0 };
}

static int set_status(struct hv_agent_info *info, enum hv_agent_status status, const char *why)
{
    free(info->why);
    info->status = status;
    info->why = strdup(why);
    return info->why ? 0 : -ENOMEM;
}

/* A failed call as a status. */
static int set_failure(struct hv_agent_info *info, int r, const struct err *why)
{
    if (r == -EBUSY)
        return set_status(info, HV_AGENT_FAILED,
                          "the guest's file systems are frozen by another program: wait for it, or thaw them (virsh domfsthaw)");
    if (r == -ENOTCONN)
        return set_status(info, HV_AGENT_NOT_CONNECTED,
                          "the guest agent is not running in the guest: install and start the package qemu-guest-agent there");
    if (r == -ETIMEDOUT)
        return set_status(info, HV_AGENT_NOT_RESPONDING,
                          "the guest agent does not answer: restart the service qemu-guest-agent in the guest");
    return set_status(info, HV_AGENT_FAILED, why->text);
}

static int is_frozen(struct hv_domain *d, uint64_t deadline, bool *ret, struct err *err)
{
    _cleanup_free_ char *reply = NULL;

    int r = agent_command(d, "{\"execute\":\"guest-fsfreeze-status\"}", deadline, &reply, err);
    return r < 0 ? r : agent_json_frozen(reply, ret, err);
}

/* Another program may freeze the guest between two of our questions: whichever question then fails, the answer is -EBUSY. Only agents
 * since QEMU 6.2 say that they refuse because the guest is frozen; older ones use the words that they also have for a command which their
 * configuration forbids, so they are asked. */
static int frozen_or(struct hv_domain *d, uint64_t deadline, int r, const struct err *why)
{
    bool frozen = false;

    if (r >= 0 || r == -ETIMEDOUT || r == -ENOTCONN || r == -ENOMEM)
        return r;
    if (strstr(why->text, "frozen state"))
        return -EBUSY;
    return is_frozen(d, deadline, &frozen, NULL) == 0 && frozen ? -EBUSY : r;
}

/* Agent there and able to freeze? Sets info->status and version. */
static int probe_commands(struct hv_domain *d, uint64_t deadline, struct hv_agent_info *info)
{
    struct agent_commands c = { 0 };
    struct err why = ERR_INIT;
    _cleanup_free_ char *reply = NULL;

    int r = agent_command(d, "{\"execute\":\"guest-info\"}", deadline, &reply, &why);
    if (r == 0)
        r = agent_json_commands(reply, &c, &why);
    if (r < 0)
        return set_failure(info, frozen_or(d, deadline, r, &why), &why);
    info->version = c.version;
    info->can_read_files = c.files;
    info->can_write_files = c.file_write;
    info->can_exec = c.exec;
    bool frozen = false; /* then an agent takes nothing but the thaw */
    if (!c.freeze && c.thaw && c.status && is_frozen(d, deadline, &frozen, NULL) == 0 && frozen)
        return set_failure(info, -EBUSY, NULL);
    if (!c.freeze || !c.thaw || !c.status)
        return set_status(
            info, HV_AGENT_NO_FREEZE,
            c.freeze_disabled
                ? "the guest agent is not allowed to freeze file systems: allow guest-fsfreeze-* in its configuration in the guest"
                : "the guest agent cannot freeze file systems: update qemu-guest-agent in the guest");
    if (!c.fsinfo)
        return set_status(info, HV_AGENT_FAILED,
                          "the guest agent does not list file systems: allow guest-get-fsinfo in its configuration in the guest");
    return 0;
}

/* What libvirt makes of the agent's answer to one kind of question; -EBUSY if the guest's file systems are frozen. */
static int ask_guest(struct hv_domain *d, uint64_t deadline, unsigned types, const char *what, struct hv_agent_info *found, struct err *why)
{
    virTypedParameterPtr params = NULL;
    int n = 0;

    int r = agent_set_timeout(d, deadline, why);
    if (r == 0 && virDomainGetGuestInfo(hv_handle(d), types, &params, &n, 0) < 0)
        r = agent_error(d, why, what);
    if (r == 0)
        r = agent_params_parse(params, n, found, why);
    virTypedParamsFree(params, n);
    return frozen_or(d, deadline, r, why);
}

/* Takes the file systems over into info. */
static int probe_guest(struct hv_domain *d, uint64_t deadline, struct hv_agent_info *info)
{
    struct hv_agent_info found = { 0 };
    struct err why = ERR_INIT;

    int r = ask_guest(d, deadline, VIR_DOMAIN_GUEST_INFO_FILESYSTEM, "list the file systems", &found, &why);
    if (r < 0)
        return set_failure(info, r, &why);
    info->fs = found.fs;
    info->n_fs = found.n_fs;
    return 0;
}

/* Old agents cannot tell the OS: that is no failure. But one that would not answer while it is frozen has not told either, and what it
 * tells after the thaw would be judged as if it were Linux. */
static int probe_os(struct hv_domain *d, uint64_t deadline, struct hv_agent_info *info)
{
    struct hv_agent_info found = { 0 };
    struct err why = ERR_INIT;

    int r = ask_guest(d, deadline, VIR_DOMAIN_GUEST_INFO_OS, "determine the operating system", &found, &why);
    if (r < 0)
        return r == -EBUSY ? set_failure(info, -EBUSY, &why) : 0;
    info->os_id = TAKE_PTR(found.os_id);
    info->os_name = TAKE_PTR(found.os_name);
    info->windows = found.windows;
    hv_agent_info_clear(&found);
    return 0;
}

/* What else is mounted, where the agent lets us look. */
static int probe_elsewhere(struct hv_domain *d, uint64_t deadline, struct hv_agent_info *info)
{
    struct err why = ERR_INIT;

    if (info->windows || !info->can_read_files)
        return 0;
    int r = frozen_or(d, deadline, agent_mounts_read(d, deadline, info, &why), &why);
    return r == -EBUSY ? set_failure(info, r, &why) : r == -ENOMEM ? r : 0;
}

static int probe_open(struct hv_domain *d, uint64_t deadline, struct hv_agent_info *info)
{
    uint64_t first = clock_mono_ms() + PROBE_STEP_MS;

    int r = probe_commands(d, first < deadline ? first : deadline, info);
    if (r < 0 || info->status != HV_AGENT_OK)
        return r;
    r = probe_os(d, deadline, info);
    if (r == 0 && info->status == HV_AGENT_OK)
        r = probe_guest(d, deadline, info);
    if (r == 0 && info->status == HV_AGENT_OK)
        r = probe_elsewhere(d, deadline, info);
    return r;
}

static int probe(struct hv_domain *d, uint64_t deadline, struct hv_agent_info *info)
{
    if (d->state != HV_RUNNING)
        return set_status(info, HV_AGENT_NOT_CONNECTED, "the VM is not running");
    int open = channel_open(d);
    if (open < 0)
        return set_status(info, HV_AGENT_NO_CHANNEL,
                          "the VM has no channel for the guest agent: add <channel type='unix'><target type='virtio' "
                          "name='org.qemu.guest_agent.0'/></channel> to its definition and install qemu-guest-agent in the guest");
    if (open == 0)
        return set_failure(info, -ENOTCONN, NULL);
    int r = probe_open(d, deadline, info);
    reset_timeout(d);
    return r;
}

int hv_agent_probe(struct hv_domain *d, unsigned timeout_ms, struct hv_agent_info *ret, struct err *err)
{
    struct hv_agent_info info = { .status = HV_AGENT_OK };

    hv_pool_enter(d);
    int r = hv_domain_refresh_state(d, err);
    if (r < 0)
        return r;
    r = probe(d, clock_mono_ms() + timeout_ms, &info);
    if (r < 0) {
        hv_agent_info_clear(&info);
        return err_errno(err, -r, "cannot examine the guest agent of VM %s", d->name);
    }
    *ret = info;
    return 0;
}

int hv_agent_probe_again(struct hv_domain *d, unsigned timeout_ms, struct hv_agent_info *ret, struct err *err)
{
    struct hv_agent_info info = { .status = HV_AGENT_OK };
    struct err why = ERR_INIT;
    bool frozen = false;

    hv_pool_enter(d);
    int r = is_frozen(d, clock_mono_ms() + timeout_ms, &frozen, &why);
    reset_timeout(d);
    if (r == 0 && frozen)
        r = -EBUSY;
    if (r < 0 && set_failure(&info, r, &why) < 0)
        return err_nomem(err);
    *ret = info;
    return 0;
}

bool hv_fs_freezable(const char *type, bool windows)
{
    /* Linux: file systems whose super block has freeze_fs or whose freezing the VFS does alone, with a device below. */
    static const char *const linux_types[] = { "ext2", "ext3",   "ext4",     "xfs",  "btrfs",   "f2fs",
                                               "jfs",  "nilfs2", "reiserfs", "gfs2", "bcachefs" };
    static const char *const windows_types[] = { "NTFS", "ReFS", "CSVFS" };
    const char *const *types = windows ? windows_types : linux_types;
    size_t n = windows ? ARRAY_SIZE(windows_types) : ARRAY_SIZE(linux_types);

    for (size_t i = 0; i < n; i++)
        if (strcasecmp(types[i], type) == 0)
            return true;
    return false;
}

int hv_agent_frozen(struct hv_domain *d, unsigned timeout_ms, bool *ret, struct err *err)
{
    int r = is_frozen(d, clock_mono_ms() + timeout_ms, ret, err);

    reset_timeout(d);
    return r;
}

/* After a freeze that failed: sees to it that nothing stays frozen, as far as the agent answers. Keeps the failure in err. */
static void agent_undo_freeze(struct hv_domain *d, struct err *err)
{
    struct err why = ERR_INIT;
    bool frozen = true;

    if (is_frozen(d, clock_mono_ms() + RESCUE_TIMEOUT_MS, &frozen, NULL) == 0 && !frozen)
        return;
    if (hv_agent_thaw(d, RESCUE_TIMEOUT_MS, NULL, &why) < 0 && err)
        err_set(err, err->code, "%s; the thaw attempted afterwards failed too: the guest may still be frozen or freeze later (%s)",
                err->text, why.text);
}

/* The cause alone, without what was asked of the agent of which VM: the caller names the VM. */
static void keep_cause(const struct hv_domain *d, const char *what, struct err *err)
{
    char lead[KVSS_ERR_TEXT_MAX];

    int n = err ? snprintf(lead, sizeof(lead), "cannot %s in VM %s: ", what, d->name) : 0;
    if (n > 0 && (size_t)n < sizeof(lead) && !strncmp(err->text, lead, (size_t)n))
        memmove(err->text, err->text + n, strlen(err->text + n) + 1);
}

static int freeze(struct hv_domain *d, char *const *mountpoints, uint64_t deadline, unsigned *ret_n, struct err *err)
{
    bool frozen = false;

    int r = is_frozen(d, deadline, &frozen, err);
    if (r == -ETIMEDOUT) { /* unlike a freeze that was not answered, this one was not sent and does not come late */
        r = -EHOSTUNREACH;
        if (err)
            err->code = EHOSTUNREACH;
    }
    if (r == 0 && frozen)
        r = err_set(err, EBUSY, "the file systems are already frozen by another program");
    if (r == 0)
        r = agent_set_timeout(d, deadline, err);
    if (r < 0) {
        keep_cause(d, "query the guest agent", err);
        err_context(err, "cannot freeze the file systems");
        return r;
    }
    int n = virDomainFSFreeze(hv_handle(d), (const char **)(uintptr_t)mountpoints, (unsigned)strv_len(mountpoints), 0);
    if (n < 0) {
        struct err why = ERR_INIT;
        r = agent_error(d, &why, "freeze the file systems");
        /* Refused by an agent that is frozen: another program was quicker, and its freeze is not ours to undo. */
        bool refused = strstr(why.text, "frozen state") || strstr(why.text, "has been disabled");
        if (refused && frozen_or(d, deadline, r, &why) == -EBUSY)
            return err_set(err, EBUSY, "cannot freeze the file systems: they are already frozen by another program");
        keep_cause(d, "freeze the file systems", &why);
        err_context(&why, "cannot freeze the file systems");
        if (err)
            *err = why;
        agent_undo_freeze(d, err);
        return r;
    }
    if (ret_n)
        *ret_n = (unsigned)n;
    return 0;
}

int hv_agent_freeze(struct hv_domain *d, char *const *mountpoints, unsigned timeout_ms, unsigned *ret_n, struct err *err)
{
    int r = freeze(d, mountpoints, clock_mono_ms() + timeout_ms, ret_n, err);

    if (r < 0)
        reset_timeout(d); /* else nothing more is done while the guest is frozen; the thaw follows */
    return r;
}

/* Since when libvirt has failed calls at once although the channel is open; 0: it does not. */
static uint64_t lost_since(const struct hv_domain *d, int r, uint64_t asked, uint64_t since)
{
    bool at_once = r == -ETIMEDOUT && d->agent_connected && clock_mono_ms() - asked < AT_ONCE_MS;

    return !at_once ? 0 : since ? since : asked;
}

/* An agent that hangs or is being restarted may come back: asked again until the deadline. */
static int thaw(struct hv_domain *d, uint64_t deadline, unsigned *ret_n, struct err *err)
{
    uint64_t lost = 0;

    for (;;) {
        uint64_t asked = clock_mono_ms();
        int r = agent_set_timeout(d, deadline, err);
        if (r < 0)
            return r;
        int n = virDomainFSThaw(hv_handle(d), NULL, 0, 0);
        if (n >= 0) {
            if (ret_n)
                *ret_n = (unsigned)n;
            return 0;
        }
        r = agent_error(d, err, "thaw the file systems");
        lost = lost_since(d, r, asked, lost);
        bool again = (r == -ETIMEDOUT || r == -ENOTCONN) && virDomainIsActive(hv_handle(d)) == 1;
        if (again && clock_mono_ms() < deadline) {
            clock_sleep_ms(100);
            continue;
        }
        if (lost && clock_mono_ms() - lost >= LOST_MS)
            return err_set(err, ENOLINK, "cannot thaw the file systems in VM %s: libvirt has lost its guest agent", d->name);
        return r;
    }
}

int hv_agent_thaw(struct hv_domain *d, unsigned timeout_ms, unsigned *ret_n, struct err *err)
{
    int r = thaw(d, clock_mono_ms() + timeout_ms, ret_n, err);

    reset_timeout(d);
    return r;
}

int hv_agent_reconnect(struct hv_domain *d, struct err *err)
{
    _cleanup_strv_ char **notes = NULL;
    bool busy = true;

    int r = hv_domain_busy(d, &busy, NULL, err);
    if (r >= 0 && busy)
        r = err_set(err, EBUSY, "a job of VM %s is still running", d->name);
    if (r >= 0)
        r = hv_live_make_sure(d, err);
    if (r >= 0)
        r = hv_managed_save(d, true, err);
    if (r >= 0)
        r = hv_start_saved(d, false, &notes, err);
    hv_tell(d, notes);
    return r < 0 ? err_context(err, "cannot reconnect libvirt to the guest agent of VM %s", d->name) : 0;
}
