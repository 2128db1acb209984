/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Corrections in a definition: only what is asked for changes, all else stays as it was written (M17, M18). */
#include "hypervisor/xml/definition.h"
#include "base/guid.h"
#include "base/cleanup.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void hv_def_free(struct hv_def *def)
{
    if (!def)
        return;
    for (size_t i = 0; i < def->n_disks; i++) {
        free(def->disks[i].target);
        free(def->disks[i].path);
        free(def->disks[i].format);
    }
    for (size_t i = 0; i < def->n_nics; i++)
        hv_nic_clear(&def->nics[i]);
    free(def->disks);
    free(def->nics);
    free(def->nic_nodes);
    free(def->name);
    free(def->uuid);
    free(def->nvram);
    if (def->doc)
        xmlFreeDoc(def->doc);
    free(def);
}

/* File or device of a <disk>; NULL where it has none, or one that is no path. */
static char *local_path(xmlNodePtr disk)
{
    char *path = xml_get(disk, "source/@file");

    if (!path)
        path = xml_get(disk, "source/@dev");
    if (path && path[0] == '/')
        return path;
    free(path);
    return NULL;
}

static int load_disks(struct hv_def *def, struct err *err)
{
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    int n = xml_find_all(def->root, "devices/disk", &nodes);

    if (n < 0 || n > (int)DISKS_MAX)
        return err_errno(err, n < 0 ? -n : E2BIG, "cannot read the disks of the definition");
    def->disks = calloc((size_t)n + 1, sizeof *def->disks);
    if (!def->disks)
        return err_nomem(err);
    for (int i = 0; i < n; i++) {
        def->disks[i] = (struct def_disk){
            .node = nodes[i],
            .target = xml_get(nodes[i], "target/@dev"),
            .path = local_path(nodes[i]),
            .format = xml_get(nodes[i], "driver/@type"),
        };
        def->n_disks++;
        if (!def->disks[i].target)
            return err_set(err, EINVAL, "a disk of the definition has no target");
    }
    return 0;
}

static int load_nics(struct hv_def *def, struct err *err)
{
    int n = xml_find_all(def->root, "devices/interface", &def->nic_nodes);

    if (n < 0 || n > (int)NICS_MAX)
        return err_errno(err, n < 0 ? -n : E2BIG, "cannot read the network interfaces of the definition");
    def->nics = calloc((size_t)n + 1, sizeof *def->nics);
    if (!def->nics)
        return err_nomem(err);
    for (int i = 0; i < n; i++) {
        int r = nic_xml_parse(def->nic_nodes[i], &def->nics[i], err);
        if (r < 0)
            return r;
        def->n_nics++;
    }
    return 0;
}

/* The element whose text or attribute "file" is the path of the NVRAM. NULL: none. */
static char *read_nvram(xmlNodePtr root)
{
    char *path = xml_get(root, "os/nvram/source/@file");

    if (!path)
        path = xml_get(root, "os/nvram[not(source)]");
    if (path && path[0] == '/')
        return path;
    free(path);
    return NULL;
}

int hv_def_parse(const char *xml, struct hv_def **ret, struct err *err)
{
    _cleanup_(hv_def_free_p) struct hv_def *def = calloc(1, sizeof *def);

    if (!def)
        return err_nomem(err);
    int r = xml_parse(xml, strlen(xml), "the VM's definition", &def->doc, err);
    if (r < 0)
        return r;
    def->root = xmlDocGetRootElement(def->doc);
    if (!xmlStrEqual(def->root->name, BAD_CAST "domain"))
        return err_set(err, EINVAL, "the VM's definition is not a <domain> but a <%s>", (const char *)def->root->name);
    def->name = xml_get(def->root, "name");
    def->uuid = xml_get(def->root, "uuid");
    def->nvram = read_nvram(def->root);
    r = load_disks(def, err);
    if (r == 0)
        r = load_nics(def, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(def);
    return 0;
}

int hv_def_text(const struct hv_def *def, char **ret, struct err *err)
{
    return xml_dump(def->doc, def->root, false, ret, err);
}

const char *hv_def_name(const struct hv_def *def)
{
    return def->name;
}

const char *hv_def_uuid(const struct hv_def *def)
{
    return def->uuid;
}

const char *hv_def_nvram(const struct hv_def *def)
{
    return def->nvram;
}

static struct def_disk *definition_find_disk(const struct hv_def *def, const char *target)
{
    for (size_t i = 0; i < def->n_disks; i++)
        if (strcmp(def->disks[i].target, target) == 0)
            return &def->disks[i];
    return NULL;
}

int hv_def_disk(const struct hv_def *def, const char *target, const char **ret_path, const char **ret_format, struct err *err)
{
    const struct def_disk *disk = definition_find_disk(def, target);

    if (!disk)
        return err_set(err, ENOENT, "VM %s has no disk %s", def->name ? def->name : "", target);
    *ret_path = disk->path;
    *ret_format = disk->format;
    return 0;
}

/* Removes a node with the white space that led to it, so that no empty line stays. */
void def_remove_node(xmlNodePtr node)
{
    xmlNodePtr before = node->prev;

    if (before && before->type == XML_TEXT_NODE && xmlIsBlankNode(before)) {
        xmlUnlinkNode(before);
        xmlFreeNode(before);
    }
    xmlUnlinkNode(node);
    xmlFreeNode(node);
}

void def_remove_child(xmlNodePtr parent, const char *xpath)
{
    xmlNodePtr node;

    while ((node = xml_find(parent, xpath)))
        def_remove_node(node);
}

void def_drop_attribute(xmlNodePtr node, const char *name)
{
    xmlUnsetProp(node, BAD_CAST name);
}

static xmlNodePtr blank_before(xmlNodePtr node)
{
    return node && node->prev && xmlIsBlankNode(node->prev) ? xmlCopyNode(node->prev, 1) : NULL;
}

/* A new element before `sibling`, or after the last one where that is NULL; indented as its neighbour is. NULL: out of memory. */
xmlNodePtr def_insert_node(xmlNodePtr parent, xmlNodePtr sibling, const char *name)
{
    xmlNodePtr node = xmlNewDocNode(parent->doc, parent->ns, BAD_CAST name, NULL), last = xmlLastElementChild(parent);
    xmlNodePtr blank = blank_before(sibling ? sibling : last);

    if (!node || !parent->children || (!sibling && !last))
        return node ? xmlAddChild(parent, node) : NULL;
    if (sibling) {
        xmlAddPrevSibling(sibling, node);
        if (blank)
            xmlAddPrevSibling(sibling, blank);
    } else {
        xmlAddNextSibling(last, node);
        if (blank)
            xmlAddPrevSibling(node, blank);
    }
    return node;
}

/* Makes <source> one of a plain path. What belongs to the kind of source that it was goes; seclabel and encryption, which are
 * about the image's contents and who may read it, stay. */
static void clean_source(xmlNodePtr source)
{
    static const char *const attributes[] = { "file",  "dev", "dir",  "pool",      "volume",  "mode",  "protocol", "name",
                                              "query", "tls", "type", "namespace", "managed", "index", "fdgroup",  "tlsHostname" };

    for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
        def_drop_attribute(source, attributes[i]);
    def_remove_child(source, "*[not(self::seclabel or self::encryption)]");
    if (!xmlFirstElementChild(source))
        xmlNodeSetContent(source, BAD_CAST ""); /* the white space between what was there */
}

void hv_def_drop_disk(struct hv_def *def, const char *target)
{
    struct def_disk *disk = definition_find_disk(def, target);

    if (!disk)
        return;
    def_remove_node(disk->node);
    free(disk->target);
    free(disk->path);
    free(disk->format);
    size_t i = (size_t)(disk - def->disks);
    memmove(disk, disk + 1, (def->n_disks - i - 1) * sizeof(*disk));
    def->n_disks--;
}

int hv_def_set_disk(struct hv_def *def, const char *target, const char *path, const char *format, struct err *err)
{
    struct def_disk *disk = definition_find_disk(def, target);
    struct stat st;

    if (!disk)
        return err_set(err, ENOENT, "VM %s has no disk %s", def->name ? def->name : "", target);
    bool block = stat(path, &st) == 0 && S_ISBLK(st.st_mode);
    _cleanup_free_ char *new_path = strdup(path), *new_format = format ? strdup(format) : NULL;
    xmlNodePtr source = xml_find(disk->node, "source"), driver = xml_find(disk->node, "driver");
    if (!source)
        source = def_insert_node(disk->node, xml_find(disk->node, "target"), "source");
    if (format && !driver)
        driver = def_insert_node(disk->node, source, "driver");
    if (!new_path || (format && (!new_format || !driver)) || !source)
        return err_nomem(err);
    clean_source(source);
    xmlSetProp(source, BAD_CAST(block ? "dev" : "file"), BAD_CAST path);
    xmlSetProp(disk->node, BAD_CAST "type", BAD_CAST(block ? "block" : "file"));
    if (format)
        xmlSetProp(driver, BAD_CAST "type", BAD_CAST format);
    def_remove_child(disk->node, "backingStore");
    def_remove_child(disk->node, "mirror");
    def_remove_child(disk->node, "auth"); /* to the server of a network disk */
    free(disk->path);
    disk->path = TAKE_PTR(new_path);
    if (format) {
        free(disk->format);
        disk->format = TAKE_PTR(new_format);
    }
    return 0;
}

int hv_def_set_nvram(struct hv_def *def, const char *path, struct err *err)
{
    xmlNodePtr os = xml_find(def->root, "os"), nvram = xml_find(def->root, "os/nvram");
    _cleanup_free_ char *copy = strdup(path);

    if (!os)
        return err_set(err, EINVAL, "the definition of VM %s has no <os>", def->name ? def->name : "");
    if (!nvram)
        nvram = def_insert_node(os, xml_find(os, "boot"), "nvram");
    if (!nvram || !copy)
        return err_nomem(err);
    xmlNodePtr source = xml_find(nvram, "source");
    if (source) {
        clean_source(source);
        xmlSetProp(source, BAD_CAST "file", BAD_CAST path);
        xmlSetProp(nvram, BAD_CAST "type", BAD_CAST "file");
    } else {
        xmlNodeSetContent(nvram, BAD_CAST "");
        xmlNodeAddContent(nvram, BAD_CAST path);
    }
    free(def->nvram);
    def->nvram = TAKE_PTR(copy);
    return 0;
}

static bool definition_same_text(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static bool definition_same_disks(const struct hv_def *a, const struct hv_def *b)
{
    if (a->n_disks != b->n_disks)
        return false;
    for (size_t i = 0; i < a->n_disks; i++) {
        const struct def_disk *other = definition_find_disk(b, a->disks[i].target);
        if (!other || !definition_same_text(a->disks[i].path, other->path))
            return false;
    }
    return true;
}

bool hv_def_alike(const char *xml, const char *other)
{
    struct hv_def *a = NULL, *b = NULL;
    bool alike = false;

    if (hv_def_parse(xml, &a, NULL) >= 0 && hv_def_parse(other, &b, NULL) >= 0)
        alike = definition_same_text(a->name, b->name) && a->uuid && b->uuid && guid_equal(a->uuid, b->uuid) && definition_same_disks(a, b);
    hv_def_free(a);
    hv_def_free(b);
    return alike;
}

size_t hv_def_nic_count(const struct hv_def *def)
{
    return def->n_nics;
}

int def_check_nic(const struct hv_def *def, size_t i, struct err *err)
{
    if (i >= def->n_nics)
        return err_set(err, ENOENT, "VM %s has no network interface %zu", def->name ? def->name : "", i);
    return 0;
}

int hv_def_nic(const struct hv_def *def, size_t i, struct hv_nic *ret, struct err *err)
{
    int r = def_check_nic(def, i, err);

    if (r == 0)
        *ret = def->nics[i];
    return r;
}

int def_reload_nic(struct hv_def *def, size_t i, struct err *err)
{
    struct hv_nic nic;
    int r = nic_xml_parse(def->nic_nodes[i], &nic, err);

    if (r < 0)
        return r;
    hv_nic_clear(&def->nics[i]);
    def->nics[i] = nic;
    return 0;
}

/* libvirt gives the tap device a name when the VM starts, unless the definition has one of its own: that one stays. */
static bool is_generated_tap(const char *name)
{
    static const char *const prefixes[] = { "vnet", "macvtap", "macvlan", "vif" };

    for (size_t i = 0; name && i < ARRAY_SIZE(prefixes); i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

int hv_def_nic_new_port(struct hv_def *def, size_t i, struct err *err)
{
    int r = def_check_nic(def, i, err);

    if (r < 0)
        return r;
    xmlNodePtr node = def->nic_nodes[i], source = xml_find(node, "source");
    xmlNodePtr parameters = xml_find(node, "virtualport/parameters");
    if (source && xmlHasProp(source, BAD_CAST "network")) {
        def_drop_attribute(source, "portid");
        def_drop_attribute(source, "bridge"); /* of a running VM: what the network is made of */
    }
    if (parameters) {
        def_drop_attribute(parameters, "interfaceid");
        def_drop_attribute(parameters, "instanceid");
        if (!parameters->properties)
            def_remove_node(parameters);
    }
    if (is_generated_tap(def->nics[i].target))
        def_remove_child(node, "target");
    if (def->nics[i].alias && strncmp(def->nics[i].alias, "ua-", 3) != 0) /* "ua-": a user's own, part of the definition */
        def_remove_child(node, "alias");
    return def_reload_nic(def, i, err);
}

int hv_def_nic_link(struct hv_def *def, size_t i, bool up, struct err *err)
{
    int r = def_check_nic(def, i, err);

    if (r < 0)
        return r;
    xmlNodePtr node = def->nic_nodes[i], link = xml_find(node, "link");
    if (!link && up)
        return 0;
    if (!link)
        link = def_insert_node(node, xml_find(node, "address"), "link");
    if (!link)
        return err_nomem(err);
    xmlSetProp(link, BAD_CAST "state", BAD_CAST(up ? "up" : "down"));
    return def_reload_nic(def, i, err);
}

int hv_def_nic_unplug(struct hv_def *def, size_t i, bool root, struct err *err)
{
    int r = hv_def_nic_new_port(def, i, err);

    if (r < 0)
        return r;
    xmlNodePtr node = def->nic_nodes[i];
    def_remove_child(node, "source");
    def_remove_child(node, "virtualport");
    def_remove_child(node, "vlan");
    xmlSetProp(node, BAD_CAST "type", BAD_CAST(root ? "ethernet" : "user"));
    return hv_def_nic_link(def, i, false, err);
}

bool def_is_removable(const struct def_disk *disk)
{
    _cleanup_free_ char *device = xml_attr(disk->node, "device");

    return device && (strcmp(device, "cdrom") == 0 || strcmp(device, "floppy") == 0);
}

void def_eject(struct def_disk *disk)
{
    def_remove_child(disk->node, "source");
    def_remove_child(disk->node, "backingStore");
    free(disk->path);
    disk->path = NULL;
}
