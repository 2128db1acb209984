/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hypervisor/xml/domain_xml.h"
#include "base/num.h"
#include <errno.h>
#include <string.h>

static const struct {
    const char *name;
    uint64_t bytes;
} units[] = {
    { "b", 1 },     { "bytes", 1 }, { "KB", 1000 }, { "MB", 1000000 }, { "GB", 1000000000 }, { "TB", 1000000000000 }, { "k", KIB },
    { "KiB", KIB }, { "M", MIB },   { "MiB", MIB }, { "G", GIB },      { "GiB", GIB },       { "T", GIB << 10 },      { "TiB", GIB << 10 },
};

/* <memory unit='KiB'>; 0 where it makes no sense. */
static uint64_t parse_memory(xmlNodePtr domain)
{
    _cleanup_free_ char *text = xml_get(domain, "memory");
    _cleanup_free_ char *unit = xml_get(domain, "memory/@unit");
    uint64_t n, factor = KIB, bytes;

    for (size_t i = 0; unit && i < ARRAY_SIZE(units); i++)
        if (strcmp(unit, units[i].name) == 0)
            factor = units[i].bytes;
    if (!text || num_parse_u64(text, 0, UINT64_MAX, &n, NULL) < 0 || !num_mul(n, factor, &bytes))
        return 0;
    return bytes;
}

/* Nodes of xpath, at most max. *ret is malloc'd. */
static int find_bounded(xmlNodePtr domain, const char *xpath, unsigned max, xmlNodePtr **ret, struct err *err)
{
    int n = xml_find_all(domain, xpath, ret);

    if (n < 0)
        return err_errno(err, -n, "cannot read the definition");
    if ((unsigned)n > max) {
        free(*ret);
        *ret = NULL;
        return err_set(err, E2BIG, "the definition has %d of %s, more than the %u a VM can have", n, xpath, max);
    }
    return n;
}

static int parse_disks(xmlNodePtr domain, const struct domain_xml_env *env, struct hv_domain *d, struct err *err)
{
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    int n = find_bounded(domain, "devices/disk", DISKS_MAX, &nodes, err);

    if (n <= 0)
        return n;
    d->disks = calloc((size_t)n, sizeof *d->disks);
    if (!d->disks)
        return err_nomem(err);
    for (int i = 0; i < n; i++) {
        int r = disk_xml_parse(nodes[i], env, &d->disks[i], err);
        if (r < 0)
            return r;
        d->n_disks++;
    }
    return 0;
}

static int parse_nics(xmlNodePtr domain, struct hv_domain *d, struct err *err)
{
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    int n = find_bounded(domain, "devices/interface", NICS_MAX, &nodes, err);

    if (n <= 0)
        return n;
    d->nics = calloc((size_t)n, sizeof *d->nics);
    if (!d->nics)
        return err_nomem(err);
    for (int i = 0; i < n; i++) {
        int r = nic_xml_parse(nodes[i], &d->nics[i], err);
        if (r < 0)
            return r;
        d->n_nics++;
    }
    return 0;
}

/* Text, or NULL for none and for an empty one. */
static char *get_nonempty(xmlNodePtr node, const char *xpath)
{
    char *s = xml_get(node, xpath);

    if (s && !s[0]) {
        free(s);
        return NULL;
    }
    return s;
}

/* libvirt 9.0 writes the NVRAM that it chose for firmware='efi' into the active definition only. */
static char *implied_nvram(xmlNodePtr domain, const struct domain_xml_env *env)
{
    _cleanup_free_ char *name = xml_get(domain, "name");
    bool efi = xml_find(domain, "os[@firmware='efi']") || xml_find(domain, "os/loader[@type='pflash' and not(@stateless='yes')]");

    return efi && name && env && env->default_nvram ? env->default_nvram(env->ctx, name) : NULL;
}

static void parse_boot(xmlNodePtr domain, const struct domain_xml_env *env, struct hv_domain *d)
{
    d->loader = get_nonempty(domain, "os/loader");
    d->kernel = get_nonempty(domain, "os/kernel");
    d->initrd = get_nonempty(domain, "os/initrd");
    d->nvram_template = get_nonempty(domain, "os/nvram/@template");
    d->nvram = get_nonempty(domain, "os/nvram/source/@file"); /* libvirt 8.5 and later: <nvram type='file'> */
    if (!d->nvram)
        d->nvram = get_nonempty(domain, "os/nvram[not(source)]");
    if (d->nvram && d->nvram[0] != '/')
        free(TAKE_PTR(d->nvram));
    else if (!d->nvram)
        d->nvram = implied_nvram(domain, env);
}

static void parse_agent(xmlNodePtr domain, struct hv_domain *d)
{
    xmlNodePtr target = xml_find(domain, "devices/channel/target[@type='virtio' and @name='org.qemu.guest_agent.0']");
    _cleanup_free_ char *state = target ? xml_attr(target, "state") : NULL;

    d->agent_channel = target;
    d->agent_connected = state && strcmp(state, "connected") == 0;
}

/* A SCSI disk has the iothread of its controller. */
static bool has_throttled_thread(xmlNodePtr domain)
{
    return xml_find(domain, "devices/disk[driver/@iothread and iotune/*[number(.) > 0]]") ||
           (xml_find(domain, "devices/controller[@type='scsi' and driver/@iothread]") &&
            xml_find(domain, "devices/disk[target/@bus='scsi' and iotune/*[number(.) > 0]]"));
}

/* Memory that is shared lies in files too (memory_backing_dir), unless it has huge pages or no name (memfd). */
static bool has_memory_in_files(xmlNodePtr domain)
{
    return xml_find(domain, "memoryBacking/source[@type='file']") ||
           xml_find(domain, "self::*[memoryBacking/access[@mode='shared'] or cpu/numa/cell[@memAccess='shared']]"
                            "[not(memoryBacking/source[@type='memfd']) and not(memoryBacking/hugepages)]");
}

int domain_xml_parse(const char *xml, const struct domain_xml_env *env, struct hv_domain *d, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = NULL;

    int r = xml_parse(xml, strlen(xml), "the VM's definition", &doc, err);
    if (r < 0)
        return r;
    xmlNodePtr domain = xmlDocGetRootElement(doc);
    if (!xmlStrEqual(domain->name, BAD_CAST "domain"))
        return err_set(err, EINVAL, "the VM's definition is not a <domain> but a <%s>", (const char *)domain->name);
    d->title = get_nonempty(domain, "title");
    d->memory_bytes = parse_memory(domain);
    parse_boot(domain, env, d);
    parse_agent(domain, d);
    d->throttled_thread = has_throttled_thread(domain);
    d->tpm = xml_find(domain, "devices/tpm/backend[@type='emulator']");
    d->memory_in_files = has_memory_in_files(domain);
    r = parse_disks(domain, env, d, err);
    if (r == 0)
        r = parse_nics(domain, d, err);
    if (r == 0)
        r = hostdev_xml_list(domain, env, &d->passthrough, err);
    if (r == 0)
        r = beside_xml_list(domain, d, err);
    if (r == 0 && unsaveable_xml_list(domain, &d->unsaveable) < 0)
        r = err_nomem(err);
    return r;
}

static bool domain_xml_has_now(const struct hv_domain *d, const struct hv_disk *later)
{
    for (size_t i = 0; i < d->n_disks; i++)
        if (strcmp(d->disks[i].locator, later->locator) == 0)
            return true;
    return false;
}

int domain_xml_later(const char *xml, const struct domain_xml_env *env, struct hv_domain *d, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = NULL;
    _cleanup_free_ xmlNodePtr *nodes = NULL;

    int r = xml_parse(xml, strlen(xml), "the VM's definition", &doc, err);
    if (r < 0)
        return r;
    int n = find_bounded(xmlDocGetRootElement(doc), "devices/disk[source]", DISKS_MAX, &nodes, err);
    if (n <= 0)
        return n;
    d->later = calloc((size_t)n, sizeof *d->later);
    if (!d->later)
        return err_nomem(err);
    for (int i = 0; i < n; i++) {
        struct hv_disk *disk = &d->later[d->n_later];
        r = disk_xml_parse(nodes[i], env, disk, err);
        if (r < 0)
            return r;
        bool counts = disk->source != HV_SOURCE_NONE && (disk->device == HV_DEVICE_DISK || disk->device == HV_DEVICE_LUN);
        if (counts && !domain_xml_has_now(d, disk))
            d->n_later++;
        else
            hv_disk_clear(disk);
    }
    return 0;
}
