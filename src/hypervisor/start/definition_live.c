/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM that runs has two definitions: the one that QEMU was started with and that was changed since (live), and the one for its next
 * start. They differ wherever somebody plugged in a device for now only, or changed something for later only. A disk is recognised in
 * each by its image, since a change that is pending may be one of its target. */
#include "hypervisor/xml/definition.h"
#include "hypervisor/host/host.h"
#include <errno.h>
#include <string.h>

/* ---- Disks ------------------------------------------------------------------------------------------------------------------*/

/* Whether the image of the disk is the one that was at `was`. A volume of a pool that is not here says no more than its name. */
static bool has_image(const struct domain_xml_env *env, const struct def_disk *disk, const char *was, bool by_target)
{
    struct hv_disk seen = { 0 };

    if (disk_xml_parse(disk->node, env, &seen, NULL) < 0)
        return false;
    bool same = seen.locator && (strcmp(seen.locator, was) == 0 || (by_target && strncmp(seen.locator, "volume:", 7) == 0));
    hv_disk_clear(&seen);
    return same;
}

const char *hv_def_find_image(struct hv *hv, const struct hv_def *def, const char *target, const char *was)
{
    struct domain_xml_env env = { 0 };
    const char *found = NULL;

    if (hv)
        env = host_env(hv);
    for (size_t i = 0; i < def->n_disks; i++) {
        const struct def_disk *disk = &def->disks[i];
        bool by_target = strcmp(disk->target, target) == 0;
        if (!was || !has_image(hv ? &env : NULL, disk, was, by_target)) {
            if (by_target && !was)
                return disk->target;
            continue;
        }
        if (by_target)
            return disk->target;
        if (!found)
            found = disk->target;
    }
    return found;
}

bool hv_def_has_disk(const struct hv_def *def, const char *target)
{
    for (size_t i = 0; i < def->n_disks; i++)
        if (strcmp(def->disks[i].target, target) == 0)
            return true;
    return false;
}

/* The bus of the disks that are called alike; libvirt knows one for every name by itself, but for "sd" it takes SCSI. */
static char *bus_of(const struct hv_def *def, const char *target)
{
    for (size_t i = 0; i < def->n_disks; i++)
        if (strncmp(def->disks[i].target, target, 2) == 0)
            return xml_get(def->disks[i].node, "target/@bus");
    return NULL;
}

int hv_def_add_disk(struct hv_def *def, const char *target, const char *path, const char *format, struct err *err)
{
    xmlNodePtr devices = xml_find(def->root, "devices");
    xmlNodePtr after = def->n_disks ? def->disks[def->n_disks - 1].node->next : NULL;
    _cleanup_free_ char *bus = bus_of(def, target);
    struct def_disk *more = realloc(def->disks, (def->n_disks + 1) * sizeof *more);

    if (!more)
        return err_nomem(err);
    def->disks = more;
    if (!devices)
        devices = def_insert_node(def->root, NULL, "devices");
    xmlNodePtr node = devices ? def_insert_node(devices, after ? after : xmlFirstElementChild(devices), "disk") : NULL;
    xmlNodePtr driver = node ? xmlNewChild(node, NULL, BAD_CAST "driver", NULL) : NULL;
    xmlNodePtr at = driver ? xmlNewChild(node, NULL, BAD_CAST "target", NULL) : NULL;
    struct def_disk disk = { .node = node, .target = strdup(target) };
    if (!at || !disk.target) {
        free(disk.target);
        return err_nomem(err);
    }
    xmlSetProp(node, BAD_CAST "device", BAD_CAST "disk");
    xmlSetProp(driver, BAD_CAST "name", BAD_CAST "qemu");
    xmlSetProp(at, BAD_CAST "dev", BAD_CAST target);
    if (bus)
        xmlSetProp(at, BAD_CAST "bus", BAD_CAST bus);
    def->disks[def->n_disks++] = disk;
    return hv_def_set_disk(def, target, path, format, err);
}

/* ---- What libvirt only spelled out --------------------------------------------------------------------------------------------*/

static bool live_same_text(xmlNodePtr a, xmlNodePtr b, const char *xpath)
{
    _cleanup_free_ char *x = xml_get(a, xpath), *y = xml_get(b, xpath);

    return x && y ? strcmp(x, y) == 0 : !x && !y;
}

/* The parts of both, as text, but for white space. NULL nodes are equal to each other. */
static bool same_node(xmlNodePtr a, xmlNodePtr b)
{
    _cleanup_free_ char *x = NULL, *y = NULL;

    if (!a || !b)
        return !a && !b;
    return xml_dump(a->doc, a, false, &x, NULL) >= 0 && xml_dump(b->doc, b, false, &y, NULL) >= 0 && strcmp(x, y) == 0;
}

/* A CPU like the host's, or of a named model, is told of a running VM with each of its features. */
static bool is_expanded_cpu(xmlNodePtr live, xmlNodePtr next)
{
    _cleanup_free_ char *mode = next ? xml_attr(next, "mode") : NULL;

    if (!live || !next || !mode)
        return false;
    if (!same_node(xml_find(live, "numa"), xml_find(next, "numa")) || !same_node(xml_find(live, "topology"), xml_find(next, "topology")))
        return false;
    return strcmp(mode, "host-model") == 0 || (live_same_text(live, next, "@mode") && live_same_text(live, next, "model"));
}

/* Which firmware was chosen, and where the NVRAM was put. */
static bool is_expanded_os(xmlNodePtr live, xmlNodePtr next)
{
    xmlNodePtr a = live ? xmlDocCopyNode(live, live->doc, 1) : NULL, b = next ? xmlDocCopyNode(next, next->doc, 1) : NULL;
    bool chosen = next && xml_find(next, "@firmware | loader | nvram") != NULL;
    bool same = a && b && chosen && (!xml_find(next, "loader") || live_same_text(live, next, "loader")) &&
                (!xml_find(next, "nvram") || live_same_text(live, next, "nvram"));

    if (same) {
        for (int i = 0; i < 2; i++) {
            def_remove_child(i ? b : a, "loader | nvram | firmware");
            def_drop_attribute(i ? b : a, "firmware");
        }
        same = same_node(a, b);
    }
    xmlFreeNode(a);
    xmlFreeNode(b);
    return same;
}

static int live_take_over(struct hv_def *live, xmlNodePtr old, xmlNodePtr from, struct err *err)
{
    xmlNodePtr copy = xmlDocCopyNode(from, live->doc, 1);

    if (!copy)
        return err_nomem(err);
    xmlReplaceNode(old, copy);
    xmlFreeNode(old);
    return 0;
}

/* ---- Whether they differ --------------------------------------------------------------------------------------------------------*/

static void drop_blanks(xmlNodePtr node)
{
    for (xmlNodePtr child = node->children, next; child; child = next) {
        next = child->next;
        if (child->type == XML_TEXT_NODE && xmlIsBlankNode(child) && (child->next || child->prev)) {
            xmlUnlinkNode(child);
            xmlFreeNode(child);
        } else if (child->type == XML_ELEMENT_NODE) {
            drop_blanks(child);
        }
    }
}

/* What one of the two says and the other leaves out, though they mean the same; and what a ballooned guest has at the moment. */
static void drop_implied(xmlNodePtr root)
{
    static const char *const implied[] = {
        "cpu",
        "currentMemory",
        "resource",
        "seclabel[@type='dynamic']",
        "iothreadids",
        "vcpus",
        "devices/emulator",
        "devices/controller[@type='usb' and @index='0' and @model='piix3-uhci']",
        "devices/controller[@type='pci' and (@model='pci-root' or @model='pcie-root')]",
        "devices/input[@bus='ps2']",
        "devices/audio[@type='none']",
        "devices/disk/backingStore",
    };
    _cleanup_free_ xmlNodePtr *nodes = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(implied); i++)
        def_remove_child(root, implied[i]);
    int n = xml_find_all(root, ".//alias[not(starts-with(@name, 'ua-'))]", &nodes);
    for (int i = 0; i < n; i++)
        def_remove_node(nodes[i]);
}

static int live_add_texts(xmlNodePtr parent, char ***ret)
{
    for (xmlNodePtr child = parent->children; child; child = child->next) {
        _cleanup_free_ char *text = NULL;
        if (child->type != XML_ELEMENT_NODE)
            continue;
        if (xmlStrEqual(child->name, BAD_CAST "devices")) {
            if (live_add_texts(child, ret) < 0)
                return -ENOMEM;
            continue;
        }
        if (xml_dump(child->doc, child, false, &text, NULL) < 0 || strv_add(ret, text) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* All that a definition says, in an order that does not depend on who wrote it. NULL: out of memory. */
static char *meaning(const struct hv_def *def)
{
    _cleanup_xml_ xmlDocPtr doc = xmlCopyDoc(def->doc, 1);
    _cleanup_strv_ char **texts = NULL;
    xmlNodePtr root = doc ? xmlDocGetRootElement(doc) : NULL;

    if (!root)
        return NULL;
    drop_implied(root);
    drop_blanks(root);
    if (live_add_texts(root, &texts) < 0 || !texts)
        return NULL;
    strv_sort(texts);
    return strv_join(texts, "\n");
}

int hv_def_settle_live(struct hv_def *live, const struct hv_def *next, bool *ret_differs, struct err *err)
{
    xmlNodePtr cpu = xml_find(live->root, "cpu"), next_cpu = xml_find(next->root, "cpu");
    xmlNodePtr os = xml_find(live->root, "os"), next_os = xml_find(next->root, "os");
    bool same_cpu = is_expanded_cpu(cpu, next_cpu) || (!next_cpu && cpu);
    int r = same_cpu && next_cpu ? live_take_over(live, cpu, next_cpu, err) : 0;

    if (r == 0 && is_expanded_os(os, next_os))
        r = live_take_over(live, os, next_os, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *a = meaning(live), *b = meaning(next);
    if (!a || !b)
        return err_nomem(err);
    *ret_differs = strcmp(a, b) != 0 || (next_cpu && !same_cpu);
    return 0;
}
