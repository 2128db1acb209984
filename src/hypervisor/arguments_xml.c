/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that QEMU reads because its command line, which the definition may add to, says so. libvirt knows nothing of them. */
#include "base/strv.h"
#include "hypervisor/places_xml.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* What is only read. What QEMU may make itself (logs, sockets, dumps) is not held against the host. */
static const struct rule {
    const char *option;
    const char *begin; /* of the value */
    const char *key;   /* NULL: the whole value is a path */
} rules[] = {
    { "fw_cfg", "", "file" },
    { "acpitable", "", "file" },
    { "acpitable", "", "data" },
    { "smbios", "", "file" },
    { "device", "", "romfile" },
    { "drive", "", "file" },
    { "drive", "", "file.filename" },
    { "blockdev", "", "filename" },
    { "blockdev", "", "file.filename" },
    { "fsdev", "", "path" },
    { "virtfs", "", "path" },
    { "object", "rng-random", "filename" },
    { "object", "secret", "file" },
    { "object", "input-linux", "evdev" },
    { "kernel", "", NULL },
    { "initrd", "", NULL },
    { "dtb", "", NULL },
    { "bios", "", NULL },
    { "pflash", "", NULL },
    { "cdrom", "", NULL },
    { "hda", "", NULL },
    { "hdb", "", NULL },
    { "hdc", "", NULL },
    { "hdd", "", NULL },
    { "fda", "", NULL },
    { "fdb", "", NULL },
    { "sd", "", NULL },
    { "mtdblock", "", NULL },
};

static bool starts(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

/* The length of an element of "key=value,key=value": a comma ends it unless doubled. */
static size_t element_length(const char *s)
{
    size_t n = 0;

    while (s[n] && (s[n] != ',' || s[n + 1] == ','))
        n += s[n] == ',' ? 2 : 1;
    return n;
}

/* Value of the key, its commas single. NULL: it has none, or out of memory. */
static char *value_of(const char *options, const char *key)
{
    size_t length = strlen(key), n;

    for (const char *s = options; *s; s += n + (s[n] == ',')) {
        n = element_length(s);
        if (n <= length || strncmp(s, key, length) != 0 || s[length] != '=')
            continue;
        char *value = calloc(n - length, 1);
        size_t end = 0;
        for (size_t i = length + 1; value && i < n; i += s[i] == ',' ? 2 : 1)
            value[end++] = s[i];
        return value;
    }
    return NULL;
}

static int add_missing(const char *option, const char *value, char ***missing)
{
    int r = 0;

    option += 1 + (option[1] == '-');
    for (size_t i = 0; i < ARRAY_SIZE(rules) && r == 0; i++) {
        if (strcmp(option, rules[i].option) != 0 || !starts(value, rules[i].begin))
            continue;
        _cleanup_free_ char *path = rules[i].key ? value_of(value, rules[i].key) : strdup(value);
        if (path && path[0] == '/' && access(path, F_OK) < 0)
            r = strv_addf(missing, "file %s (of -%s on QEMU's command line)", path, option);
    }
    return r;
}

int arguments_xml_missing(xmlNodePtr domain, char ***missing)
{
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    _cleanup_free_ char *option = NULL;
    /* The prefix of the namespace is whatever the definition says. */
    int n = xml_find_all(domain, "*[local-name()='commandline']/*[local-name()='arg']", &nodes), r = n < 0 ? n : 0;

    for (int i = 0; i < n && r == 0; i++) {
        _cleanup_free_ char *value = xml_attr(nodes[i], "value");
        if (value && option && value[0] != '-')
            r = add_missing(option, value, missing);
        free(option);
        option = value && value[0] == '-' ? TAKE_PTR(value) : NULL;
    }
    return r;
}
