/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that QEMU reads because its command line, which the definition may add to, says so. libvirt knows nothing of them. */
#include "base/strv.h"
#include "hypervisor/xml/definition.h"
#include "hypervisor/xml/places_xml.h"
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#define NODES_DEEP 32u

/* What is only read. What QEMU may make itself (logs, sockets, dumps) is not held against the host. */
static const struct xml_rule {
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

static bool arguments_xml_starts(const char *s, const char *with)
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
static char *arguments_xml_value_of(const char *options, const char *key)
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

/* ---- JSON: of -blockdev, -device and -object, and of images named "json:{...}" --------------------*/

/* The first file that is named and is not there, and the kind of it. Of a block node: its own and those of the nodes below it. */
static const char *missing_in_node(const json_t *node, unsigned depth)
{
    static const char *const keys[] = { "filename", "path" }; /* the latter of {"type": "unix"}, a server's socket */
    const char *key, *found = NULL;
    json_t *value;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const char *type = json_string_value(json_object_get(node, "type")), *path = json_string_value(json_object_get(node, keys[i]));
        if (path && path[0] == '/' && (i == 0 || (type && strcmp(type, "unix") == 0)) && access(path, F_OK) < 0)
            return path;
    }
    if (depth < NODES_DEEP)
        json_object_foreach ((json_t *)(uintptr_t)node, key, value) {
            if (!found && json_is_object(value))
                found = missing_in_node(value, depth + 1);
        }
    return found;
}

static const char *missing_in_json(const char *option, const json_t *value)
{
    const char *kind = json_string_value(json_object_get(value, "qom-type"));

    if (strcmp(option, "blockdev") == 0 || strcmp(option, "drive") == 0)
        return missing_in_node(value, 0);
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        const char *path = rules[i].key ? json_string_value(json_object_get(value, rules[i].key)) : NULL;
        if (strcmp(option, rules[i].option) == 0 && arguments_xml_starts(kind ? kind : "", rules[i].begin) && path && path[0] == '/' &&
            access(path, F_OK) < 0)
            return path;
    }
    return NULL;
}

/* ---- All of it ------------------------------------------------------------------------------------------------------------------*/

/* QEMU takes strings in single quotes, too. */
static json_t *arguments_xml_parse(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    _cleanup_free_ char *other = json || strchr(text, '"') ? NULL : strdup(text);

    for (char *c = other; c && *c; c++)
        if (*c == '\'')
            *c = '"';
    return other ? json_loads(other, 0, NULL) : json;
}

/* The path of a file that a value names, if that is not there; *ret is NULL if it is. Caller frees. */
static int missing_of_value(const char *option, const char *value, char **ret)
{
    const char *text = arguments_xml_starts(value, "json:") ? value + strlen("json:") : value;
    json_auto_t *json = text[0] == '{' ? arguments_xml_parse(text) : NULL;
    const char *path = json ? missing_in_json(option, json) : NULL;

    return path && !(*ret = strdup(path)) ? -ENOMEM : 0;
}

static int missing_of_rule(const struct xml_rule *rule, const char *value, char **ret)
{
    _cleanup_free_ char *path = rule->key ? arguments_xml_value_of(value, rule->key) : strdup(value);
    const char *file = path && arguments_xml_starts(path, "file:") ? path + strlen("file:") : path;

    if (file && arguments_xml_starts(file, "json:"))
        return missing_of_value(rule->option, file, ret);
    return file && file[0] == '/' && access(file, F_OK) < 0 && !(*ret = strdup(file)) ? -ENOMEM : 0;
}

/* option: without its dashes. */
static int missing_of(const char *option, const char *value, char **ret)
{
    int r = value[0] == '{' ? missing_of_value(option, value, ret) : 0;

    for (size_t i = 0; i < ARRAY_SIZE(rules) && r == 0 && !*ret; i++)
        if (strcmp(option, rules[i].option) == 0 && arguments_xml_starts(value, rules[i].begin))
            r = missing_of_rule(&rules[i], value, ret);
    return r;
}

static const char *without_dashes(const char *option)
{
    return option + 1 + (option[1] == '-');
}

struct argument {
    xmlNodePtr option_node, value_node;
    char *option, *value, *missing; /* missing: the file that is not there */
};

static void argument_clear(struct argument *a)
{
    free(a->option);
    free(a->value);
    free(a->missing);
    memset(a, 0, sizeof(*a));
}

/* fn is called for each option whose value names a file that is not there. */
static int each_missing(xmlNodePtr domain, int (*fn)(const struct argument *a, char ***texts), char ***texts)
{
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    _cleanup_(argument_clear) struct argument a = { 0 };
    /* The prefix of the namespace is whatever the definition says. */
    int n = xml_find_all(domain, "*[local-name()='commandline']/*[local-name()='arg']", &nodes), r = n < 0 ? n : 0;

    for (int i = 0; i < n && r == 0; i++) {
        _cleanup_free_ char *text = xml_attr(nodes[i], "value");
        if (text && text[0] == '-') {
            argument_clear(&a);
            a.option = TAKE_PTR(text);
            a.option_node = nodes[i];
            continue;
        }
        a.value = TAKE_PTR(text);
        a.value_node = nodes[i];
        if (a.value && a.option)
            r = missing_of(without_dashes(a.option), a.value, &a.missing);
        if (r == 0 && a.missing)
            r = fn(&a, texts);
        argument_clear(&a);
    }
    return r;
}

static int arguments_xml_tell(const struct argument *a, char ***texts)
{
    return strv_addf(texts, "file %s (of -%s on QEMU's command line)", a->missing, without_dashes(a->option));
}

int arguments_xml_missing(xmlNodePtr domain, char ***missing)
{
    return each_missing(domain, arguments_xml_tell, missing);
}

/* What the guest has read when it booted: its devices are the same without. */
static int arguments_xml_leave_out(const struct argument *a, char ***notes)
{
    static const char *const options[] = { "fw_cfg", "acpitable", "smbios" };

    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        if (strcmp(without_dashes(a->option), options[i]) == 0) {
            xmlNodePtr option = a->option_node, value = a->value_node;
            def_remove_node(option);
            def_remove_node(value);
            return strv_addf(notes,
                             "the guest continues without a file it read when it booted, and boots without it if it reboots before it is "
                             "turned off: %s is missing (-%s on QEMU's command line)",
                             a->missing, options[i]);
        }
    return 0;
}

int arguments_xml_without(xmlNodePtr domain, char ***notes)
{
    return each_missing(domain, arguments_xml_leave_out, notes);
}
