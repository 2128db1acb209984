/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A definition made into that of another VM, which runs beside the first: what identifies the first one must not come twice. And NICs
 * that are plugged in somewhere else. */
#include "base/guid.h"
#include "hypervisor/xml/definition.h"
#include "base/cleanup.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- Identity -----------------------------------------------------------------------------------------------------------------*/

static int copy_set_text(struct hv_def *def, const char *element, char **keep, const char *value, struct err *err)
{
    xmlNodePtr node = xml_find(def->root, element);
    char *copy = strdup(value);

    if (!node)
        node = def_insert_node(def->root, xmlFirstElementChild(def->root), element);
    if (!node || !copy) {
        free(copy);
        return err_nomem(err);
    }
    xmlNodeSetContent(node, BAD_CAST "");
    xmlNodeAddContent(node, BAD_CAST value);
    free(*keep);
    *keep = copy;
    return 0;
}

/* What firmware tells the guest of its UUID must be the VM's own: libvirt refuses anything else. */
static void set_smbios_uuid(struct hv_def *def, const char *uuid)
{
    xmlNodePtr entry = xml_find(def->root, "sysinfo/system/entry[@name='uuid']");

    if (!entry)
        return;
    xmlNodeSetContent(entry, BAD_CAST "");
    xmlNodeAddContent(entry, BAD_CAST uuid);
}

/* A number that is the copy's own and the same each time it is asked for: both definitions of a copy get the same MACs. */
static struct guid derived(const struct hv_def_copy *copy, const char *of)
{
    uint64_t part[2];
    struct guid id;

    for (unsigned k = 0; k < 2; k++) {
        part[k] = 0xcbf29ce484222325u + k; /* FNV-1a */
        for (const char *const *s = (const char *const[]){ copy->uuid, of, NULL }; *s; s++)
            for (const char *c = *s; *c; c++)
                part[k] = (part[k] ^ (unsigned char)*c) * 0x100000001b3u;
        part[k] ^= part[k] >> 29;
    }
    snprintf(id.text, sizeof id.text, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)(part[0] >> 32), (unsigned)(part[0] >> 16) & 0xffff,
             (unsigned)part[0] & 0xfff, (unsigned)(part[1] >> 48) & 0xfff, (unsigned long long)part[1] & 0xffffffffffffull);
    return id;
}

/* The generation id is there to tell a guest that it was copied. */
static void set_generation(struct hv_def *def, const struct hv_def_copy *copy)
{
    xmlNodePtr node = xml_find(def->root, "genid");
    struct guid id = derived(copy, "genid");

    if (node && node->children)
        xmlNodeSetContent(node, BAD_CAST id.text);
}

static int set_macs(struct hv_def *def, const struct hv_def_copy *copy, struct err *err)
{
    for (size_t i = 0; i < def->n_nics; i++) {
        xmlNodePtr mac = xml_find(def->nic_nodes[i], "mac");
        _cleanup_free_ char *was = mac ? xml_attr(mac, "address") : NULL;
        struct guid id = was ? derived(copy, was) : guid_new();
        _cleanup_free_ char *text = str_format("52:54:00:%.2s:%.2s:%.2s", id.text, id.text + 2, id.text + 4);
        if (!mac)
            mac = def_insert_node(def->nic_nodes[i], xmlFirstElementChild(def->nic_nodes[i]), "mac");
        if (!mac || !text)
            return err_nomem(err);
        xmlSetProp(mac, BAD_CAST "address", BAD_CAST text);
        int r = def_reload_nic(def, i, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- Files, ports and names on the host that two VMs cannot share ---------------------------------------------------------------*/

/* "/var/log/web.log" is "/var/log/web2.log" for the copy web2; where the old name is not in the file's name: "/var/log/x-web2". */
static char *path_of_copy(const char *path, const char *old, const char *name)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *at = *old ? strstr(base, old) : NULL;

    if (!at)
        return str_format("%s-%s", path, name);
    return str_format("%.*s%s%s", (int)(at - path), path, name, at + strlen(old));
}

static int move_attribute(xmlNodePtr node, const char *attribute, const char *old, const char *name)
{
    _cleanup_free_ char *path = xml_attr(node, attribute), *moved = path ? path_of_copy(path, old, name) : NULL;

    if (path && !moved)
        return -ENOMEM;
    if (moved)
        xmlSetProp(node, BAD_CAST attribute, BAD_CAST moved);
    return 0;
}

/* Sockets that QEMU listens on and files that it writes, of consoles, serial ports and channels. */
static int move_devices(struct hv_def *def, const char *old, const char *name, struct err *err)
{
    static const struct {
        const char *xpath, *attribute;
    } places[] = {
        { "devices/*/log[@file]", "file" },
        { "devices/*[@type='unix']/source[@mode='bind'][@path]", "path" },
        { "devices/*[@type='file'][self::serial or self::console or self::parallel or self::channel]/source[@path]", "path" },
        { "devices/graphics/listen[@socket]", "socket" },
        { "devices/graphics[@socket]", "socket" },
        { "devices/audio[@type='file'][@path]", "path" },
        { "devices/interface/backend[@logFile]", "logFile" },
        { "os/nvram/source[@file]", "file" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        _cleanup_free_ xmlNodePtr *nodes = NULL;
        int n = xml_find_all(def->root, places[i].xpath, &nodes);
        for (int k = 0; k < n; k++)
            if (move_attribute(nodes[k], places[i].attribute, old, name) < 0)
                return err_nomem(err);
        if (n < 0)
            return err_nomem(err);
    }
    return 0;
}

/* One that is not restored is made anew, from its template. */
static int move_nvram(struct hv_def *def, const char *old, const char *name, struct err *err)
{
    xmlNodePtr nvram = xml_find(def->root, "os/nvram[not(source)]");
    _cleanup_free_ char *path = nvram ? xml_get(nvram, ".") : NULL, *moved = NULL;

    if (!path || path[0] != '/')
        return 0;
    if (!(moved = path_of_copy(path, old, name)))
        return err_nomem(err);
    xmlNodeSetContent(nvram, BAD_CAST "");
    xmlNodeAddContent(nvram, BAD_CAST moved);
    free(def->nvram);
    def->nvram = TAKE_PTR(moved);
    return 0;
}

/* Displays and vsock get a free number each time the VM starts. */
static int free_numbers(struct hv_def *def, char ***notes)
{
    xmlNodePtr node;

    while ((node = xml_find(def->root, "devices/graphics[@autoport='no']"))) {
        def_drop_attribute(node, "port");
        def_drop_attribute(node, "tlsPort");
        def_drop_attribute(node, "websocket");
        xmlSetProp(node, BAD_CAST "autoport", BAD_CAST "yes");
        if (strv_add(notes, "a display had a fixed port; the copy uses a free port at each start") < 0)
            return -ENOMEM;
    }
    while ((node = xml_find(def->root, "devices/vsock/cid[@auto='no']"))) {
        def_drop_attribute(node, "address");
        xmlSetProp(node, BAD_CAST "auto", BAD_CAST "yes");
        if (strv_add(notes, "its vsock had a fixed CID; the copy uses a free one at each start") < 0)
            return -ENOMEM;
    }
    return 0;
}

static int drop_taps(struct hv_def *def, struct err *err)
{
    for (size_t i = 0; i < def->n_nics; i++) {
        def_remove_child(def->nic_nodes[i], "target");
        int r = def_reload_nic(def, i, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int hv_def_make_copy(struct hv_def *def, const struct hv_def_copy *copy, char ***ret_notes, struct err *err)
{
    _cleanup_free_ char *old = strdup(def->name ? def->name : "");
    _cleanup_strv_ char **notes = NULL;
    int r = old ? 0 : err_nomem(err);

    if (r == 0)
        r = copy_set_text(def, "name", &def->name, copy->name, err);
    if (r == 0)
        r = copy_set_text(def, "uuid", &def->uuid, copy->uuid, err);
    if (r < 0)
        return r;
    set_smbios_uuid(def, copy->uuid);
    if (!copy->same_memory)
        set_generation(def, copy);
    r = copy->keep_mac ? 0 : set_macs(def, copy, err);
    if (r == 0)
        r = drop_taps(def, err);
    if (r == 0)
        r = move_devices(def, old, copy->name, err);
    if (r < 0)
        return r;
    if (free_numbers(def, &notes) < 0)
        return err_nomem(err);
    if ((r = move_nvram(def, old, copy->name, err)) < 0 || (r = def_leave_shared(def, copy->same_memory, &notes, err)) < 0)
        return r;
    *ret_notes = TAKE_PTR(notes);
    return 0;
}

/* ---- NICs elsewhere -------------------------------------------------------------------------------------------------------------*/

int hv_def_nic_plug(struct hv_def *def, size_t i, const struct hv_nic *into, struct err *err)
{
    int r = hv_def_nic_new_port(def, i, err);

    if (r < 0)
        return r;
    xmlNodePtr node = def->nic_nodes[i];
    def_remove_child(node, "source");
    def_remove_child(node, "virtualport"); /* these two are of the old switch's kind */
    def_remove_child(node, "vlan");
    xmlNodePtr after = xml_find(node, "mac"), source = def_insert_node(node, after ? after->next : NULL, "source");
    if (!source)
        return err_nomem(err);
    xmlSetProp(node, BAD_CAST "type", BAD_CAST into->type);
    xmlSetProp(source, BAD_CAST(strcmp(into->type, "network") == 0 ? "network" : "bridge"), BAD_CAST into->source);
    if (into->virtualport) {
        xmlNodePtr port = def_insert_node(node, xml_find(node, "model"), "virtualport");
        if (!port)
            return err_nomem(err);
        xmlSetProp(port, BAD_CAST "type", BAD_CAST into->virtualport);
    }
    r = hv_def_nic_link(def, i, true, err);
    return r < 0 ? r : def_reload_nic(def, i, err);
}
