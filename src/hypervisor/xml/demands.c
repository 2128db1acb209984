/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a definition takes from its host, for whoever gets one from a stranger. What is known to be harmless is passed over, never what is
 * not known: every element is looked at, and every text that begins like a path is a path of the host unless it is known to be none. */
#include "hypervisor/xml/demands.h"
#include "base/buf.h"
#include "base/strv.h"
#include "hypervisor/xml/definition.h"
#include <ctype.h>
#include <errno.h>
#include <string.h>

#define QEMU_NAMESPACE "http://libvirt.org/schemas/domain/qemu/1.0"

void hv_demands_clear(struct hv_demands *d)
{
    for (size_t i = 0; i < d->n; i++) {
        free(d->list[i].text);
        free(d->list[i].path);
        free(d->list[i].disk);
    }
    free(d->list);
    *d = (struct hv_demands){ 0 };
}

const char *hv_danger_name(enum hv_danger d)
{
    static const char *const names[] = { "resource", "host", "code", "unknown" };

    return names[d];
}

static bool demands_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool hv_demand_equal(const struct hv_demand *a, const struct hv_demand *b)
{
    return strcmp(a->kind, b->kind) == 0 && strcmp(a->text, b->text) == 0 && demands_same(a->path, b->path);
}

static bool listed(const struct hv_demands *list, const struct hv_demand *d)
{
    for (size_t i = 0; i < list->n; i++)
        if (hv_demand_equal(&list->list[i], d) && demands_same(list->list[i].disk, d->disk) && list->list[i].danger == d->danger)
            return true;
    return false;
}

static int demands_append(struct hv_demands *list, const struct hv_demand *d)
{
    struct hv_demand copy = { .danger = d->danger, .kind = d->kind, .text = strdup(d->text) };

    if (listed(list, d)) { /* a device that is told twice, as a console that is a serial port, is one */
        free(copy.text);
        return 0;
    }
    copy.path = d->path ? strdup(d->path) : NULL;
    copy.disk = d->disk ? strdup(d->disk) : NULL;
    struct hv_demand *more = reallocarray(list->list, list->n + 1, sizeof(*more));
    if (more)
        list->list = more;
    if (!more || !copy.text || (d->path && !copy.path) || (d->disk && !copy.disk)) {
        free(copy.text);
        free(copy.path);
        free(copy.disk);
        return -ENOMEM;
    }
    list->list[list->n++] = copy;
    return 0;
}

/* What is too much or too long to be read is not known to anybody. */
int demands_add(struct demands_walk *w, enum hv_danger danger, const char *kind, const char *path, char *text)
{
    static const char much[] = "more than can be listed", longer[] = "a text too long to be listed";
    struct hv_demand d = { danger, kind, text, (char *)path, w->disk };
    bool full = w->list->n >= DEMANDS_MAX;

    if (!text)
        return -ENOMEM;
    if (full || strlen(text) > DEMAND_TEXT_MAX)
        d = (struct hv_demand){ .danger = HV_DANGER_UNKNOWN, .kind = "definition", .text = (char *)(full ? much : longer) };
    int r = demands_append(w->list, &d);
    free(text);
    return r;
}

bool demands_is(xmlNodePtr node, const char *parent, const char *name)
{
    return xmlStrEqual(node->name, BAD_CAST name) && (!parent || (node->parent && xmlStrEqual(node->parent->name, BAD_CAST parent)));
}

/* ---- The namespace of libvirt's QEMU driver ---------------------------------------------------------------------------------------*/

/* Each option with the value that follows it. */
static int demands_add_arguments(struct demands_walk *w, xmlNodePtr commandline)
{
    _cleanup_free_ char *option = NULL;
    int r = 0;

    for (xmlNodePtr n = commandline->children; n && r == 0; n = n->next) {
        _cleanup_free_ char *value = n->type == XML_ELEMENT_NODE && demands_is(n, NULL, "arg") ? xml_attr(n, "value") : NULL;
        if (!value)
            continue;
        bool begins = value[0] == '-';
        if (option)
            r = demands_add(w, HV_DANGER_CODE, "argument (qemu:commandline)", NULL,
                            begins ? strdup(option) : str_format("%s %s", option, value));
        else if (!begins)
            r = demands_add(w, HV_DANGER_CODE, "argument (qemu:commandline)", NULL, strdup(value));
        free(option);
        option = begins ? TAKE_PTR(value) : NULL;
    }
    return r < 0 || !option ? r : demands_add(w, HV_DANGER_CODE, "argument (qemu:commandline)", NULL, TAKE_PTR(option));
}

static int add_of_qemu(struct demands_walk *w, xmlNodePtr node)
{
    _cleanup_free_ char *name = xml_attr(node, "name"), *value = xml_attr(node, "value");
    _cleanup_free_ char *capability = xml_attr(node, "capability"), *type = xml_attr(node, "type");

    if (demands_is(node, NULL, "commandline"))
        return demands_add_arguments(w, node);
    if (demands_is(node, "commandline", "env"))
        return demands_add(w, HV_DANGER_CODE, "environment (qemu:commandline)", NULL,
                           str_format("%s=%s", name ? name : "", value ? value : ""));
    if (demands_is(node, "frontend", "property"))
        return demands_add(w, HV_DANGER_CODE, "property of a device", NULL,
                           str_format("%s=%s (%s)", name ? name : "", value ? value : "", type ? type : "no type"));
    if (demands_is(node, "capabilities", "add") || demands_is(node, "capabilities", "del"))
        return demands_add(w, HV_DANGER_CODE, "QEMU capability", NULL,
                           str_format("%s %s", (const char *)node->name, capability ? capability : ""));
    return 0;
}

/* ---- The walk -----------------------------------------------------------------------------------------------------------------------*/

/* The element's own text, without that of elements in it. NULL: out of memory. */
static char *own_text(xmlNodePtr node)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    for (xmlNodePtr n = node->children; n; n = n->next)
        if ((n->type == XML_TEXT_NODE || n->type == XML_CDATA_SECTION_NODE) && n->content &&
            buf_addf(&b, "%s", (const char *)n->content) < 0)
            return NULL;
    char *s = b.len ? buf_take_str(&b) : strdup("");
    size_t skip = 0, n = s ? strlen(s) : 0;
    while (n && isspace((unsigned char)s[n - 1]))
        s[--n] = '\0';
    while (s && isspace((unsigned char)s[skip]))
        skip++;
    if (s)
        memmove(s, s + skip, n - (skip < n ? skip : n) + 1);
    return s;
}

static int values_of(struct demands_walk *w, xmlNodePtr node)
{
    _cleanup_free_ char *text = own_text(node);
    int r = text ? 0 : -ENOMEM;

    if (r == 0)
        r = demands_of_value(w, node, NULL, text);
    for (xmlAttrPtr a = node->properties; a && r == 0; a = a->next) {
        xmlChar *content = xmlNodeGetContent((xmlNodePtr)a);
        if (content)
            r = demands_of_value(w, node, (const char *)a->name, (const char *)content);
        xmlFree(content);
    }
    return r;
}

static int demands_unknown(struct demands_walk *w, xmlNodePtr node)
{
    const char *parent = node->parent && node->parent->type == XML_ELEMENT_NODE ? (const char *)node->parent->name : "";
    bool foreign = node->ns && node->ns->href && !xmlStrEqual(node->ns->href, BAD_CAST QEMU_NAMESPACE);

    if (foreign)
        return demands_add(w, HV_DANGER_UNKNOWN, "element", NULL,
                           str_format("%s/%s of %s", parent, (const char *)node->name, (const char *)node->ns->href));
    if (!demands_element_is_known((const char *)node->name))
        return demands_add(w, HV_DANGER_UNKNOWN, "element", NULL, str_format("%s/%s", parent, (const char *)node->name));
    return 0;
}

/* The disk whose image an element is about: its first one of that name, which is the one that a restore replaces. */
static int enter_disk(struct demands_walk *w, xmlNodePtr node)
{
    _cleanup_free_ char *target = demands_is(node, "devices", "disk") ? xml_get(node, "target/@dev") : NULL;

    if (!target || strv_has(w->seen, target))
        return 0;
    if (strv_add(&w->seen, target) < 0)
        return -ENOMEM;
    w->disk = TAKE_PTR(target);
    return 0;
}

/* What becomes of a disk's source when its image is replaced is in hv_def_set_disk(): other parts of the disk stay. */
static bool is_replaced_with_image(xmlNodePtr node)
{
    return demands_is(node, "disk", "source") || demands_is(node, "disk", "backingStore") || demands_is(node, "disk", "mirror");
}

static int hypervisor_demands_walk(struct demands_walk *w, xmlNodePtr node)
{
    /* What programs keep with a definition; libvirt does nothing with it. */
    if (demands_is(node, "domain", "metadata"))
        return 0;
    int r = demands_unknown(w, node);
    if (r == 0)
        r = node->ns && xmlStrEqual(node->ns->href, BAD_CAST QEMU_NAMESPACE) ? add_of_qemu(w, node) : demands_of_element(w, node);
    if (r == 0)
        r = values_of(w, node);
    for (xmlNodePtr n = node->children; n && r == 0; n = n->next) {
        if (n->type != XML_ELEMENT_NODE)
            continue;
        if ((r = enter_disk(w, n)) < 0)
            break;
        char *disk = w->disk;
        bool outside = disk && demands_is(node, "devices", "disk") && !is_replaced_with_image(n);
        w->disk = outside ? NULL : disk;
        r = hypervisor_demands_walk(w, n);
        w->disk = disk;
        if (demands_is(n, "devices", "disk")) {
            free(w->disk);
            w->disk = NULL;
        }
    }
    return r;
}

int hv_definition_demands(const struct hv_def *def, struct hv_demands *ret, struct err *err)
{
    struct hv_demands list = { 0 };
    struct demands_walk w = { .list = &list };

    int r = hypervisor_demands_walk(&w, def->root);
    strv_free(w.seen);
    free(w.disk);
    if (r < 0) {
        hv_demands_clear(&list);
        return err_errno(err, -r, "cannot list what the definition needs from the host");
    }
    *ret = list;
    return 0;
}
