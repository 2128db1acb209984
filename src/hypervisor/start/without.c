/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a VM can do without. A VM that ran must run again (B2): better with an empty drive than not at all. */
#include "hypervisor/xml/definition.h"
#include "hypervisor/host/host.h"
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

static int without_media(struct hv_def *def, bool all, char ***notes)
{
    for (size_t i = 0; i < def->n_disks; i++) {
        struct def_disk *disk = &def->disks[i];
        _cleanup_free_ char *gone = NULL, *locator = NULL;
        if (!def_is_removable(disk) || !xml_find(disk->node, "source"))
            continue;
        if (def_gone_image(disk, &gone) < 0)
            return -ENOMEM;
        if (!all && !gone)
            continue;
        bool beneath = gone && disk->path && strcmp(gone, disk->path) != 0;
        locator = disk->path ? strdup(disk->path) : xml_get(disk->node, "source/@name | source/@volume");
        if (strv_addf(notes, "drive %s is empty now: its medium%s%s %s%s", disk->target, locator ? " " : "", locator ? locator : "",
                      !gone     ? "was removed"
                      : beneath ? "is based on a missing image: "
                                : "is missing",
                      beneath ? gone : "") < 0)
            return -ENOMEM;
        def_eject(disk);
    }
    return 0;
}

/* Volumes are found by libvirt only while their pool is active; images that are named by their paths may be on what a pool mounts. */
static int start_pools(struct hv *hv, const struct hv_def *def, char ***notes)
{
    for (size_t i = 0; hv && i < def->n_disks; i++) {
        _cleanup_free_ char *pool = xml_get(def->disks[i].node, "source/@pool"), *gone = NULL;
        if (def_gone_image(&def->disks[i], &gone) < 0)
            return -ENOMEM;
        if (!pool && gone)
            pool = hv_pool_inactive_at(hv, gone);
        if (pool && !hv_pool_is_active(hv, pool) && hv_pool_start(hv, pool, NULL) >= 0 &&
            strv_addf(notes, "storage pool %s was started", pool) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int without_boot_files(struct hv_def *def, char ***notes)
{
    static const char *const files[] = { "os/kernel", "os/initrd", "os/dtb" };

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        _cleanup_free_ char *path = xml_get(def->root, files[i]);
        if (!path || path[0] != '/' || access(path, F_OK) == 0)
            continue;
        def_remove_child(def->root, "os/kernel | os/initrd | os/dtb | os/cmdline");
        return strv_addf(
            notes, "%s is missing: the guest continues without it, and boots from its disk if it reboots before it is turned off", path);
    }
    return 0;
}

/* ---- Network interfaces -------------------------------------------------------------------------------------------------------*/

static int start_network(struct hv *hv, const struct hv_nic *nic, bool *ret_there, char ***notes)
{
    *ret_there = hv_network_start(hv, nic->source, NULL) >= 0;
    return *ret_there ? strv_addf(notes, "network %s was started", nic->source) : 0;
}

static bool place_is_missing(const struct hv_def *def, xmlNodePtr nic)
{
    struct place_xml *places = NULL;
    int n = places_xml_list(def->root, &places);
    bool missing = false;

    for (int i = 0; i < n; i++)
        missing |= places[i].node == nic && !place_is_there(&places[i]);
    if (n >= 0)
        places_xml_free(places, (size_t)n);
    return missing;
}

static int can_be_plugged(struct hv *hv, const struct hv_def *def, size_t i, bool *ret, char ***notes)
{
    const struct hv_nic *nic = &def->nics[i];
    enum hv_switch state = HV_SWITCH_ACTIVE;
    bool network = strcmp(nic->type, "network") == 0;

    *ret = !hv;
    if (!hv || hv_switch_state(hv, nic, &state, NULL) < 0 || state == HV_SWITCH_ABSENT || state == HV_SWITCH_UNREACHABLE ||
        needs_filter_missing(hv, def->nic_nodes[i], NULL) || place_is_missing(def, def->nic_nodes[i]))
        return 0;
    if (network && state == HV_SWITCH_INACTIVE)
        return start_network(hv, nic, ret, notes);
    *ret = true;
    return 0;
}

static int without_unplug(const struct hv *hv, struct hv_def *def, size_t i, char ***notes, struct err *err)
{
    _cleanup_free_ char *was = str_format("%s %s", def->nics[i].type, def->nics[i].source ? def->nics[i].source : "");

    def_remove_child(def->nic_nodes[i], "script | downscript | filterref | port | target");
    int r = hv_def_nic_unplug(def, i, hv && !hv->session, err);
    if (r < 0)
        return r;
    if (!was || strv_addf(notes,
                          "network interface %s is not connected and its link is down: it could not be connected to %s; once that is "
                          "available again, use virsh update-device, or turn the VM off and on",
                          def->nics[i].mac, was) < 0)
        return err_nomem(err);
    return 0;
}

/* libvirt makes the device of a name that the definition gives, and fails where another has it by now. */
static int without_tap_name(const struct hv *hv, xmlNodePtr nic, char ***notes)
{
    _cleanup_free_ char *name = xml_get(nic, "target/@dev"), *managed = xml_get(nic, "target/@managed");
    _cleanup_free_ char *mac = xml_get(nic, "mac/@address");

    if (!hv || !hv->local || !name || (managed && strcmp(managed, "no") == 0) || if_nametoindex(name) == 0)
        return 0;
    def_remove_child(nic, "target");
    return strv_addf(notes, "network interface %s uses another host device now: the name %s is taken", mac ? mac : "", name);
}

static int without_networks(struct hv *hv, struct hv_def *def, bool all, char ***notes, struct err *err)
{
    for (size_t i = 0; i < def->n_nics; i++) {
        bool plugged = false, needs_none = strcmp(def->nics[i].type, "user") == 0 || strcmp(def->nics[i].type, "hostdev") == 0;
        int r = all ? 0 : can_be_plugged(hv, def, i, &plugged, notes);
        if (r == 0 && plugged)
            r = without_tap_name(hv, def->nic_nodes[i], notes);
        if (r < 0)
            return err_errno(err, -r, "cannot examine the networks");
        if (!plugged && !needs_none && (r = without_unplug(hv, def, i, notes, err)) < 0)
            return r;
    }
    return 0;
}

/* ---- Ports, displays, devices of the host --------------------------------------------------------------------------------------*/

static int lead_nowhere(xmlNodePtr port)
{
    xmlSetProp(port, BAD_CAST "type", BAD_CAST "null");
    def_drop_attribute(port, "tty");
    def_remove_child(port, "source | protocol | log");
    return 0;
}

/* libvirt takes no other type for the port of a USB redirection. QEMU starts without a server that it is to go on looking for; what it
 * offers itself, it can offer at a port that the host chooses. */
static int redirect_later(xmlNodePtr port)
{
    xmlNodePtr source = xml_find(port, "source"), again = xml_find(port, "source/reconnect");

    if (xml_find(port, "source[@mode='connect']")) {
        if (!again && !(again = def_insert_node(source, xmlFirstElementChild(source), "reconnect")))
            return -ENOMEM;
        xmlSetProp(again, BAD_CAST "enabled", BAD_CAST "yes");
        xmlSetProp(again, BAD_CAST "timeout", BAD_CAST "10"); /* seconds */
    } else if (xml_find(port, "self::*[@type='tcp']/source")) {
        xmlSetProp(source, BAD_CAST "service", BAD_CAST "0");
    }
    return 0;
}

static int listen_nowhere(xmlNodePtr display)
{
    static const char *const attributes[] = { "port", "tlsPort", "websocket", "autoport", "listen", "socket" };

    for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
        def_drop_attribute(display, attributes[i]);
    def_remove_child(display, "listen");
    xmlNodePtr none = def_insert_node(display, xmlFirstElementChild(display), "listen");
    if (!none)
        return -ENOMEM;
    xmlSetProp(none, BAD_CAST "type", BAD_CAST "none");
    return 0;
}

static int take_urandom(xmlNodePtr rng)
{
    xmlNodePtr backend = xml_find(rng, "backend");

    xmlSetProp(backend, BAD_CAST "model", BAD_CAST "random");
    def_drop_attribute(backend, "type");
    xmlNodeSetContent(backend, BAD_CAST "/dev/urandom");
    return 0;
}

static int do_without_place(const struct place_xml *place, char ***notes)
{
    switch (place->remedy) {
    case PLACE_NULL_PORT:
        (void)lead_nowhere(place->node);
        return strv_addf(notes, "a port is no longer connected: %s is missing", place->text);
    case PLACE_TRIED_AGAIN:
        return redirect_later(place->node) < 0 ? -ENOMEM
                                               : strv_addf(notes, "QEMU tries to connect every ten seconds: %s is missing", place->text);
    case PLACE_NO_LOG: def_remove_node(place->node); return strv_addf(notes, "a log is no longer written: %s is missing", place->text);
    case PLACE_NO_DISPLAY:
        if (listen_nowhere(place->node) < 0)
            return -ENOMEM;
        return strv_addf(notes, "a display is no longer available: %s is missing", place->text);
    case PLACE_DROPPED:
        def_remove_node(place->node);
        return strv_addf(notes,
                         "the guest continues without a file it read when it booted, and boots without it if it reboots before it is "
                         "turned off: %s is missing",
                         place->text);
    case PLACE_OTHER_ROM:
        def_drop_attribute(place->node, "file");
        return strv_addf(notes, "a device uses QEMU's own option ROM from its next boot: %s is missing", place->text);
    case PLACE_URANDOM:
        (void)take_urandom(place->node);
        return strv_addf(notes, "random numbers now come from /dev/urandom: %s is missing", place->text);
    default: return 0;
    }
}

/* The first at a time: to do without one may release the elements of others. Each of them is done without once. */
static int without_places(struct hv_def *def, char ***notes)
{
    bool again = true;

    for (unsigned round = 0; again && round < PLACES_MAX; round++) {
        struct place_xml *places = NULL;
        int n = places_xml_list(def->root, &places), r = n < 0 ? n : 0;
        again = false;
        for (int i = 0; i < n && r == 0 && !again; i++) {
            bool last_resort = places[i].remedy == PLACE_URANDOM && strcmp(places[i].path, "/dev/urandom") == 0;
            if (place_is_there(&places[i]) || places[i].remedy == PLACE_NEEDED || places[i].remedy == PLACE_NO_NIC || last_resort)
                continue;
            r = do_without_place(&places[i], notes);
            again = true;
        }
        if (n >= 0)
            places_xml_free(places, (size_t)n);
        if (r < 0)
            return r;
    }
    return 0;
}

static int without_ports_of(struct hv_def *def, const char *xpath, int (*make_harmless)(xmlNodePtr node), const char *note, char ***notes)
{
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    int n = xml_find_all(def->root, xpath, &nodes), r = n < 0 ? n : 0;

    for (int i = 0; i < n && r == 0; i++)
        r = make_harmless(nodes[i]);
    return r == 0 && n > 0 ? strv_add(notes, note) : r;
}

/* Whatever else keeps them from being made: an address that the host has no more, a port that somebody has taken, a server that is away. */
static int without_displays(struct hv_def *def, char ***notes)
{
    return without_ports_of(def, "devices/graphics[@type='vnc' or @type='spice']", listen_nowhere, "its display is no longer available",
                            notes);
}

#define PORTS "devices/*[self::serial or self::parallel or self::console or self::channel or self::smartcard]"

static int without_servers(struct hv_def *def, char ***notes)
{
    int r = without_ports_of(def, PORTS "[@type='tcp' or @type='udp']", lead_nowhere, "its network ports are no longer connected", notes);

    if (r == 0)
        r = without_ports_of(def, "devices/redirdev[@type='tcp' or @type='unix']", redirect_later,
                             "its USB redirections keep trying to connect to their servers, or listen on another port now", notes);
    if (r == 0)
        r = without_ports_of(def, "devices/rng[backend/@model='egd']", take_urandom,
                             "its random numbers now come from /dev/urandom instead of a server", notes);
    return r;
}

static int without_ports(struct hv_def *def, char ***notes)
{
    return without_ports_of(def, PORTS "[@type='file' or @type='pipe' or @type='dev' or (@type='unix' and source/@path)]", lead_nowhere,
                            "its ports to files, sockets and devices of the host are no longer connected", notes);
}

static int without_what_may_be_taken(struct hv_def *def, enum def_without what, char ***notes)
{
    int r = what == WITHOUT_DISPLAYS || what >= WITHOUT_PORTS ? without_displays(def, notes) : 0;

    if (r == 0 && what >= WITHOUT_SERVERS)
        r = without_servers(def, notes);
    return r == 0 && what >= WITHOUT_PORTS ? without_ports(def, notes) : r;
}

/* libvirt leaves out a USB device that is not there, if it may. */
static int without_usb(struct hv *hv, const struct hv_def *def, char ***notes)
{
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    int n = xml_find_all(def->root, "devices/hostdev[@type='usb']/source", &nodes), r = n < 0 ? n : 0;

    for (int i = 0; i < n && r == 0; i++) {
        _cleanup_free_ char *gone = hv ? host_usb_gone(hv, nodes[i]) : NULL;
        xmlSetProp(nodes[i], BAD_CAST "startupPolicy", BAD_CAST "optional");
        if (gone)
            r = strv_addf(notes, "USB device %s was left out: this host does not have it now", gone);
    }
    return r;
}

int def_do_without(struct hv *hv, struct hv_def *def, enum def_without what, char ***notes, struct err *err)
{
    _cleanup_free_ char *emulator = hv_def_missing_emulator(def);
    int r = 0;

    if (emulator) {
        hv_def_drop_emulator(def);
        r = strv_addf(notes, "its emulator %s is missing: the VM uses this host's emulator", emulator);
    }
    if (r < 0 || without_usb(hv, def, notes) < 0 || start_pools(hv, def, notes) < 0 ||
        without_media(def, what >= WITHOUT_MEDIA, notes) < 0 || without_boot_files(def, notes) < 0 || without_places(def, notes) < 0 ||
        arguments_xml_without(def->root, notes) < 0 || without_what_may_be_taken(def, what, notes) < 0)
        return err_nomem(err);
    return without_networks(hv, def, what >= WITHOUT_NETWORK, notes, err);
}
