/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libvirt chooses anew each time a VM is started, and people and programs outside may have taken note of; what it leaves out. */
#include "hypervisor/xml/definition.h"
#include "hypervisor/host/host.h"
#include <errno.h>
#include <string.h>

static const struct trait {
    const char *xpath;
    const char *id; /* which of them; NULL: its number */
    const char *value;
    const char *what;
    bool may_go; /* libvirt starts the VM without it, and says nothing */
} traits[] = {
    { "devices/graphics[@type='vnc' and @autoport='yes']", NULL, "@port", "port of its VNC display" },
    { "devices/graphics[@type='vnc']", NULL, "@websocket", "WebSocket port of its VNC display" },
    { "devices/graphics[@type='spice' and @autoport='yes']", NULL, "@port", "port of its SPICE display" },
    { "devices/graphics[@type='spice' and @autoport='yes']", NULL, "@tlsPort", "TLS port of its SPICE display" },
    { "devices/interface[mac/@address]", "mac/@address", "target/@dev", "host's device of its network interface" },
    { "devices/serial[@type='pty']", NULL, "source/@path", "terminal of its serial port" },
    { "devices/console[@type='pty' and target/@type!='serial']", NULL, "source/@path", "terminal of its console" },
    { "devices/parallel[@type='pty']", NULL, "source/@path", "terminal of its parallel port" },
    { "devices/channel[@type='pty']", "target/@name", "source/@path", "terminal of its channel" },
    { "devices/disk[@device='cdrom' or @device='floppy'][source/@startupPolicy]", "target/@dev", "source/@file", "medium in its drive",
      true },
    { "devices/hostdev[@type='usb'][source[@startupPolicy and not(@missing)]]", "source/product/@id", "source/vendor/@id",
      "USB device of product", true },
};

/* "the port of its VNC display\t5901" */
static int add_trait(xmlNodePtr node, const struct trait *t, int number, char ***list)
{
    _cleanup_free_ char *value = xml_get(node, t->value), *id = t->id ? xml_get(node, t->id) : NULL;

    if (!value || (t->id && !id))
        return 0;
    if (id)
        return strv_addf(list, "the %s %s\t%s", t->what, id, value);
    return number == 0 ? strv_addf(list, "the %s\t%s", t->what, value) : strv_addf(list, "the %s (%d)\t%s", t->what, number + 1, value);
}

int traits_xml_list(xmlNodePtr domain, char ***list)
{
    for (size_t i = 0; i < ARRAY_SIZE(traits); i++) {
        _cleanup_free_ xmlNodePtr *nodes = NULL;
        int n = xml_find_all(domain, traits[i].xpath, &nodes), r = n < 0 ? n : 0;
        for (int k = 0; k < n && r == 0; k++)
            r = add_trait(nodes[k], &traits[i], k, list);
        if (r < 0)
            return r;
    }
    return 0;
}

int hv_traits(struct hv_domain *d, char ***ret, struct err *err)
{
    _cleanup_free_ char *xml = NULL;
    _cleanup_strv_ char **list = NULL;
    _cleanup_xml_ xmlDocPtr doc = NULL;

    int r = hv_live_xml(d, &xml, err);
    if (r >= 0)
        r = xml_parse(xml, strlen(xml), "the VM's definition", &doc, err);
    if (r >= 0 && (r = traits_xml_list(xmlDocGetRootElement(doc), &list)) < 0)
        r = err_nomem(err);
    if (r >= 0)
        *ret = TAKE_PTR(list);
    return r;
}

/* The value of the trait whose name is the first n characters of `named`; NULL: it is not in the list. */
static const char *traits_xml_value_of(char *const *list, const char *named, size_t n)
{
    for (; list && *list; list++)
        if (strncmp(*list, named, n + 1) == 0) /* the tab too */
            return *list + n + 1;
    return NULL;
}

/* Whether a line of the list is of a trait that may go. */
static bool traits_xml_may_go(const char *line)
{
    for (size_t i = 0; i < ARRAY_SIZE(traits); i++)
        if (traits[i].may_go && strncmp(line, "the ", 4) == 0 && strncmp(line + 4, traits[i].what, strlen(traits[i].what)) == 0)
            return true;
    return false;
}

int hv_traits_changed(char *const *before, char *const *after, char ***notes)
{
    for (; before && *before; before++) {
        size_t n = strcspn(*before, "\t");
        const char *was = *before + n + 1, *now = traits_xml_value_of(after, *before, n);
        if (!now && traits_xml_may_go(*before) && strv_addf(notes, "%.*s no longer exists: %s", (int)n, *before, was) < 0)
            return -ENOMEM;
        if (now && strcmp(was, now) != 0 && strv_addf(notes, "%.*s is now %s, was %s", (int)n, *before, now, was) < 0)
            return -ENOMEM;
    }
    return 0;
}
