/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a copy of a VM must not have in common with its original: files that a guest writes, sockets, ports, devices and names of the
 * host. What the guest cannot tell is replaced or left out. What it can tell is left out of a copy that boots; one that goes on in the
 * original's memory expects it, and cannot be made. */
#include "base/buf.h"
#include "hypervisor/xml/definition.h"
#include "base/cleanup.h"
#include <errno.h>
#include <string.h>

/* The list that is being made of it, and what stands in the way. */
struct leave {
    struct hv_def *def;
    bool same_memory;
    char ***notes;
    char **kept; /* what the guest's memory expects */
};

static int shared_note(struct leave *l, const char *what, const char *name, const char *then)
{
    const char *of = name ? name : "";

    return strv_addf(l->notes, "%s%s%s belongs to the original: the copy %s", what, *of ? " " : "", of, then);
}

/* 1: it can be changed; 0: it is one more reason against the copy. */
static int may_change(struct leave *l, const char *what, const char *name)
{
    if (!l->same_memory)
        return 1;
    return strv_addf(&l->kept, "%s%s%s", what, name ? " " : "", name ? name : "");
}

/* ---- Devices that are left out --------------------------------------------------------------------------------------------------*/

struct shared_rule {
    const char *what, *xpath, *name; /* name: XPath of what it is called, below the node */
    bool unseen;                     /* the guest does not notice whether it is there */
};

static const struct shared_rule rules[] = {
    { "NVDIMM or persistent memory", "devices/memory[source/path]", "source/path", false },
    { "shared folder", "devices/filesystem[not(readonly) or source/@socket]", "source/@dir | source/@socket | source/@file | source/@dev",
      false },
    { "device of the host", "devices/hostdev", "@type", false },
    { "shared memory", "devices/shmem", "@name", false },
    { "TPM", "devices/tpm[backend/@type='passthrough' or backend/@type='external']", "backend/device/@path | backend/source/@path", false },
    { "input device", "devices/input[@type='passthrough']", "source/@evdev", false },
    { "input device", "devices/input[@type='evdev']", "source/@dev", true },
    { "smart card of the host", "devices/smartcard[@mode='host']", "@mode", false },
    { "connection", "devices/smartcard[@mode='passthrough'][@type='dev' or @type='tcp' or @type='udp' or @type='unix' or @type='pipe']",
      "source/@path | source/@service", false },
    { "connection", "devices/redirdev[@type='dev' or @type='tcp' or @type='udp' or @type='unix' or @type='pipe']",
      "source/@path | source/@service", false },
    { "lease", "devices/lease", "key", true },
    { "NVRAM", "os/nvram[source/@dev or source/@protocol]", "source/@dev | source/@name", true },
};

static int shared_leave_out(struct leave *l, const struct shared_rule *rule)
{
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    int n = xml_find_all(l->def->root, rule->xpath, &nodes);

    for (int i = 0; i < n; i++) {
        _cleanup_free_ char *name = xml_get(nodes[i], rule->name);
        int may = rule->unseen ? 1 : may_change(l, rule->what, name);
        if (may < 0 || (may && shared_note(l, rule->what, name, "does not have it") < 0))
            return -ENOMEM;
        if (may)
            def_remove_node(nodes[i]);
    }
    return n < 0 ? n : 0;
}

/* ---- Backends that are replaced: the guest has the same device -------------------------------------------------------------------*/

/* Serial ports, consoles and channels that speak to a device, a port, a pipe, or a socket of somebody else's. */
static int silence(struct leave *l)
{
    static const char *const xpath =
        "devices/*[self::serial or self::parallel or self::console or self::channel]"
        "[@type='dev' or @type='pipe' or @type='tcp' or @type='udp' or (@type='unix' and source/@path and not(source/@mode='bind'))]";
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    int n = xml_find_all(l->def->root, xpath, &nodes);

    for (int i = 0; i < n; i++) {
        _cleanup_free_ char *name = xml_get(nodes[i], "source/@path | source/@service");
        if (shared_note(l, (const char *)nodes[i]->name, name, "is not connected") < 0)
            return -ENOMEM;
        def_remove_child(nodes[i], "source | protocol");
        xmlSetProp(nodes[i], BAD_CAST "type", BAD_CAST "null");
    }
    return n < 0 ? n : 0;
}

static int own_random(struct leave *l)
{
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    int n = xml_find_all(l->def->root, "devices/rng/backend[@model='egd']", &nodes);

    for (int i = 0; i < n; i++) {
        if (shared_note(l, "random number source", NULL, "uses /dev/urandom") < 0)
            return -ENOMEM;
        def_remove_child(nodes[i], "*");
        def_drop_attribute(nodes[i], "type");
        xmlSetProp(nodes[i], BAD_CAST "model", BAD_CAST "random");
        xmlNodeSetContent(nodes[i], BAD_CAST "/dev/urandom");
    }
    return n < 0 ? n : 0;
}

static int attributes(struct leave *l)
{
    xmlNodePtr node;

    while ((node = xml_find(l->def->root, "devices/graphics[@websocket and @websocket!='-1']"))) {
        xmlSetProp(node, BAD_CAST "websocket", BAD_CAST "-1");
        if (shared_note(l, "port of a display's websocket", NULL, "uses a free one at each start") < 0)
            return -ENOMEM;
    }
    while ((node = xml_find(l->def->root, "devices/graphics[@type='dbus'][@address]"))) {
        def_drop_attribute(node, "address");
        if (shared_note(l, "message bus of a display", NULL, "uses one of its own") < 0)
            return -ENOMEM;
    }
    while ((node = xml_find(l->def->root, "os/loader[@readonly='no']"))) {
        xmlSetProp(node, BAD_CAST "readonly", BAD_CAST "yes");
        if (shared_note(l, "firmware that can be written", NULL, "uses it read-only") < 0)
            return -ENOMEM;
    }
    while ((node = xml_find(l->def->root, "devices/tpm/backend[@type='emulator']/source | devices/interface/portForward")))
        def_remove_node(node);
    return 0;
}

/* ---- NICs ------------------------------------------------------------------------------------------------------------------------*/

/* On a device, a socket or a port that only one can use: it keeps its model and MAC, and is plugged into nothing. */
static int shared_unplug(struct leave *l, struct err *err)
{
    for (size_t i = 0; i < l->def->n_nics; i++) {
        const struct hv_nic *nic = &l->def->nics[i];
        _cleanup_free_ char *mode = xml_get(l->def->nic_nodes[i], "source/@mode");
        bool device = !strcmp(nic->type, "hostdev") || !strcmp(nic->type, "vdpa") || !strcmp(nic->type, "vhostuser");
        bool port = !strcmp(nic->type, "server") || !strcmp(nic->type, "client") || !strcmp(nic->type, "udp") ||
                    (!strcmp(nic->type, "direct") && mode && !strcmp(mode, "passthrough"));
        if (!device && !port)
            continue;
        int may = device ? may_change(l, "NIC on", nic->source ? nic->source : nic->type) : 1;
        if (may < 0 || (may && shared_note(l, "network device of a NIC", nic->source, "has it disconnected") < 0))
            return err_nomem(err);
        if (!may)
            continue;
        def_remove_child(l->def->nic_nodes[i], "driver | backend");
        int r = hv_def_nic_unplug(l->def, i, geteuid() == 0, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- QEMU's command line -----------------------------------------------------------------------------------------------------------*/

/* Whether an argument is of a kind that names nothing of the host. */
static bool shared_is_harmless(const char *option, const char *value)
{
    static const char *const options[] = { "global",  "set", "cpu",  "machine", "M",      "smp",        "m",      "rtc",
                                           "no-hpet", "msg", "boot", "smbios",  "icount", "overcommit", "action", "watchdog-action",
                                           "device" };
    static const char *const parts[] = { "/",    "drive=", "chardev=", "netdev=", "memdev=",  "host",
                                         "vfio", "fd=",    "file=",    "socket",  "audiodev=" };

    option += option[0] == '-' ? 1 + (option[1] == '-') : 0;
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        if (strcmp(option, options[i]))
            continue;
        for (size_t k = 0; value && k < ARRAY_SIZE(parts); k++)
            if (strstr(value, parts[k]))
                return false;
        return true;
    }
    return false;
}

static int command_line(struct leave *l)
{
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    _cleanup_free_ char *option = NULL;
    int n = xml_find_all(l->def->root, "*[local-name()='commandline']/*[local-name()='arg']", &nodes);

    for (int i = 0; i <= n; i++) {
        _cleanup_free_ char *value = i < n ? xml_attr(nodes[i], "value") : NULL;
        bool next = i == n || !value || value[0] == '-';
        if (option && !shared_is_harmless(option, next ? NULL : value)) {
            int may = may_change(l, "QEMU's command line", option);
            if (may > 0 && shared_note(l, "resource named on QEMU's command line", option, "does without that argument") < 0)
                return -ENOMEM;
            if (may > 0)
                def_remove_child(l->def->root, "*[local-name()='commandline']");
            return may < 0 ? may : 0;
        }
        free(option);
        option = next && value ? TAKE_PTR(value) : NULL;
    }
    return n < 0 ? n : 0;
}

/* ---- All of it ---------------------------------------------------------------------------------------------------------------------*/

static int shared_refuse(const struct leave *l, struct err *err)
{
    _cleanup_free_ char *list = strv_join(l->kept, ", ");

    return err_set(err, EBUSY,
                   "a copy cannot resume with the memory of the original, which uses resources that belong to the original: %s. With "
                   "--discard-memory the copy boots without them",
                   list ? list : l->kept[0]);
}

int def_leave_shared(struct hv_def *def, bool same_memory, char ***notes, struct err *err)
{
    struct leave l = { .def = def, .same_memory = same_memory, .notes = notes };
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(rules) && r == 0; i++)
        r = shared_leave_out(&l, &rules[i]);
    if (r == 0)
        r = silence(&l);
    if (r == 0)
        r = own_random(&l);
    if (r == 0)
        r = attributes(&l);
    if (r == 0)
        r = command_line(&l);
    if (r < 0)
        r = err_errno(err, -r, "cannot create a copy of the definition");
    if (r == 0)
        r = shared_unplug(&l, err);
    if (r == 0 && l.kept)
        r = shared_refuse(&l, err);
    strv_free(l.kept);
    return r;
}

static int leave_disk(struct leave *l, const struct def_disk *disk, bool *ret_drop)
{
    _cleanup_free_ char *device = xml_attr(disk->node, "device"), *type = xml_attr(disk->node, "type");
    bool medium = device && (strcmp(device, "cdrom") == 0 || strcmp(device, "floppy") == 0);
    bool image = type && strcmp(type, "block") != 0; /* a drive of the host can only be one's */
    bool lun = device && strcmp(device, "lun") == 0;
    xmlNodePtr source = xml_find(disk->node, "source");

    if (!source || (!lun && image && (xml_find(disk->node, "readonly") || (device && strcmp(device, "cdrom") == 0))))
        return 0; /* it is only read */
    char *path = disk->path ? strdup(disk->path) : xml_get(source, "@*");
    int may = medium ? 1 : may_change(l, "disk", disk->target), r = may < 0 ? may : 0;
    if (may > 0)
        r = strv_addf(l->notes, "disk %s (%s) is not restored and belongs to the original: the copy %s", disk->target, path ? path : "?",
                      medium ? "has an empty drive" : "does not have it");
    free(path);
    if (r == 0 && may > 0 && medium)
        def_remove_child(disk->node, "source | backingStore");
    *ret_drop = may > 0 && !medium;
    return r;
}

int hv_def_leave_disks(struct hv_def *def, char *const *restored, bool same_memory, char ***notes, struct err *err)
{
    struct leave l = { .def = def, .same_memory = same_memory, .notes = notes };
    size_t kept = 0;
    int r = 0;

    for (size_t i = 0; i < def->n_disks; i++) {
        struct def_disk *disk = &def->disks[i];
        bool drop = false;
        if (r == 0 && !strv_has(restored, disk->target))
            r = leave_disk(&l, disk, &drop);
        if (!drop) {
            def->disks[kept++] = *disk;
            continue;
        }
        def_remove_node(disk->node);
        free(disk->target);
        free(disk->path);
        free(disk->format);
    }
    def->n_disks = kept;
    if (r < 0)
        r = err_errno(err, -r, "cannot create a copy of the definition");
    if (r == 0 && l.kept)
        r = shared_refuse(&l, err);
    strv_free(l.kept);
    return r;
}
