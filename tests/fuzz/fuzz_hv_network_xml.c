/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names in the definition of a disk on the network, five, each ended by a zero byte: protocol, name, host, port, socket. Whatever is in
 * them, they arrive in QEMU's options as they are, or there are none. */
#include "fuzz.h"
#include "hypervisor/xml/domain_xml.h"
#include <jansson.h>
#include <string.h>

#define FIELDS 5

static const char *text_at(json_t *node, const char *key)
{
    return json_string_value(json_object_get(node, key));
}

static void check_nbd(json_t *file, char *const *f)
{
    json_t *server = json_object_get(file, "server");
    const char *export = text_at(file, "export");

    FUZZ_REQUIRE(export ? !strcmp(export, f[1]) : !f[1][0]);
    if (f[4][0])
        FUZZ_REQUIRE(!strcmp(text_at(server, "type"), "unix") && !strcmp(text_at(server, "path"), f[4]) && json_object_size(server) == 2);
    else
        FUZZ_REQUIRE(!strcmp(text_at(server, "host"), f[2]) && strspn(text_at(server, "port"), "0123456789") <= 5 &&
                     json_object_size(server) == 3);
    FUZZ_REQUIRE(json_object_size(file) == (export ? 3 : 2));
}

static void check_node(const char *text, char *const *f)
{
    json_auto_t *node = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    json_t *file = json_object_get(node, "file");

    FUZZ_REQUIRE(json_is_object(file) && json_object_size(node) == 3 && !strcmp(text_at(node, "driver"), "raw"));
    FUZZ_REQUIRE(!strcmp(text_at(file, "driver"), f[0]) && json_is_true(json_object_get(node, "read-only")));
    if (!strcmp(f[0], "nbd"))
        check_nbd(file, f);
    for (const char *p = text; *p; p++)
        FUZZ_REQUIRE(*p >= ' '); /* neither control characters nor what is not ASCII */
}

static void try(char *const *f)
{
    _cleanup_xml_ xmlDocPtr doc = xmlNewDoc(BAD_CAST "1.0");
    xmlNodePtr disk = doc ? xmlNewNode(NULL, BAD_CAST "disk") : NULL;
    struct network_node found = { 0 };

    if (!disk)
        return;
    xmlDocSetRootElement(doc, disk);
    xmlNodePtr source = xmlNewChild(disk, NULL, BAD_CAST "source", NULL), host = xmlNewChild(source, NULL, BAD_CAST "host", NULL);
    xmlNewProp(source, BAD_CAST "protocol", BAD_CAST f[0]);
    xmlNewProp(source, BAD_CAST "name", BAD_CAST f[1]);
    xmlNewProp(host, BAD_CAST "name", BAD_CAST f[2]);
    if (f[3][0])
        xmlNewProp(host, BAD_CAST "port", BAD_CAST f[3]);
    if (f[4][0])
        xmlNewProp(host, BAD_CAST "transport", BAD_CAST "unix");
    if (f[4][0])
        xmlNewProp(host, BAD_CAST "socket", BAD_CAST f[4]);
    if (network_xml_node(disk, f[0], "raw", &found) == 0) {
        FUZZ_REQUIRE(!found.text != !found.why_none);
        if (found.text)
            check_node(found.text, f);
    }
    free(found.text);
    free(found.why_none);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *text = size < 65536 ? malloc(size + FIELDS) : NULL;
    char *fields[FIELDS], *at = text;
    bool good = true;

    if (!text)
        return 0;
    memcpy(text, data, size);
    memset(text + size, 0, FIELDS); /* there are as many ends as fields, if not more */
    for (size_t i = 0; i < FIELDS; i++) {
        fields[i] = at;
        at += strlen(at) + 1;
        good = good && xmlCheckUTF8(BAD_CAST fields[i]);
    }
    if (good)
        try(fields);
    return 0;
}
