/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks on the network as block nodes of QEMU's: what is translated says exactly what the definition says; the rest says why not. */
#include "hypervisor/xml/domain_xml.h"
#include "test_hv.h"

#define OF(protocol, more, inside) "<source protocol='" protocol "' " more ">" inside "</source>"
#define HOST "<host name='h'/>"
#define RAW(file) "{\"driver\":\"raw\",\"file\":{" file "},\"read-only\":true}"
#define PORT "<host name='h' port='7'/>"

/* Of a disk with this format and content. Caller clears. */
static struct hv_disk parse(const char *format, const char *inside)
{
    _cleanup_free_ char *xml = str_format("<disk type='network'><driver type='%s'/>%s<target dev='vda'/></disk>", format, inside);
    _cleanup_xml_ xmlDocPtr doc = NULL;
    struct hv_disk disk = { 0 };
    struct err err = ERR_INIT;

    if (xml_parse(xml, strlen(xml), "a disk", &doc, &err) < 0 || disk_xml_parse(xmlDocGetRootElement(doc), NULL, &disk, &err) < 0)
        fail_msg("%s: %s", xml, err.text);
    assert_true(!disk.node != !disk.no_node);
    return disk;
}

static void b3_what_is_sure_is_translated(void **state)
{
    static const struct {
        const char *format, *inside, *node;
    } cases[] = {
        { "raw", OF("nbd", "name='x'", HOST),
          RAW("\"driver\":\"nbd\",\"export\":\"x\",\"server\":{\"host\":\"h\",\"port\":\"10809\",\"type\":\"inet\"}") },
        { "raw", OF("nbd", "tls='no' index='1'", "<host name='::1' port='7' transport='tcp'/><reconnect delay='9'/>"),
          RAW("\"driver\":\"nbd\",\"server\":{\"host\":\"::1\",\"port\":\"7\",\"type\":\"inet\"}") },
        { "raw", OF("nbd", "name='a,b&quot;c\\d&#10;e=f}'", "<host transport='unix' socket='/s,t&quot;u'/>") "<backingStore/>",
          RAW("\"driver\":\"nbd\",\"export\":\"a,b\\\"c\\\\d\\ne=f}\",\"server\":{\"path\":\"/s,t\\\"u\",\"type\":\"unix\"}") },
        { "raw", OF("https", "name='/a/b.img' query='k=v&amp;l=w'", HOST "<ssl verify='no'/><timeout seconds='6'/>"),
          RAW("\"driver\":\"https\",\"sslverify\":false,\"url\":\"https://h:443/a/b.img?k=v&l=w\"") },
        { "raw", OF("ftp", "name='b.img'", "<host name='fe80::1' port='2121'/>"),
          RAW("\"driver\":\"ftp\",\"url\":\"ftp://[fe80::1]:2121/b.img\"") },
        { "raw", OF("rbd", "name='p/i'", PORT "<host name='k' port='8'/><snapshot name='s'/><config file='/c'/>"),
          RAW("\"conf\":\"/c\",\"driver\":\"rbd\",\"image\":\"i\",\"pool\":\"p\",\"server\":[{\"host\":\"h\",\"port\":"
              "\"7\"},{\"host\":\"k\",\"port\":\"8\"}],\"snapshot\":\"s\"") },
        { "raw", OF("rbd", "name='p/i'", ""), RAW("\"driver\":\"rbd\",\"image\":\"i\",\"pool\":\"p\"") },
        { "raw", OF("gluster", "name='v/d/f'", HOST),
          RAW("\"driver\":\"gluster\",\"path\":\"d/f\",\"server\":[{\"host\":\"h\",\"port\":\"24007\",\"type\":"
              "\"inet\"}],\"volume\":\"v\"") },
        { "raw", OF("nfs", "name='/d/f'", HOST),
          RAW("\"driver\":\"nfs\",\"path\":\"/d/f\",\"server\":{\"host\":\"h\",\"type\":\"inet\"}") },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct hv_disk disk = parse(cases[i].format, cases[i].inside);
        if (!disk.node)
            fail_msg("%s: %s", cases[i].inside, disk.no_node);
        assert_string_equal(disk.node, cases[i].node);
        hv_disk_clear(&disk);
    }
}

static void b3_what_is_not_sure_says_why(void **state)
{
    static const struct {
        const char *format, *inside, *why;
    } cases[] = {
        { "qcow2", OF("nbd", "", HOST), "its format is qcow2" },
        { "raw", OF("nbd", "tls='yes'", HOST), "encrypted (TLS)" },
        { "raw", OF("nbd", "tls='maybe'", HOST), "encrypted (TLS)" },
        { "raw", OF("nbd", "", ""), "no server" },
        { "raw", OF("nbd", "", HOST HOST), "more than one" },
        { "raw", OF("nbd", "", "<host name='h' transport='rdma'/>"), "transport" },
        { "raw", OF("nbd", "", "<host transport='unix'/>"), "socket" },
        { "raw", OF("nbd", "", "<host transport='unix' socket='s'/>"), "socket" },
        { "raw", OF("nbd", "", "<host port='7'/>"), "name of its server" },
        { "raw", OF("nbd", "", "<host name='a b'/>"), "name of its server" },
        { "raw", OF("nbd", "", "<host name='h,x=y'/>"), "name of its server" },
        { "raw", OF("nbd", "", "<host name='h' port='65536'/>"), "port" },
        { "raw", OF("nbd", "", "<host name='h' port='7,x'/>"), "port" },
        { "raw", OF("nbd", "later='1'", HOST), "later" },
        { "raw", OF("nbd", "query='x'", HOST), "query" },
        { "raw", OF("nbd", "", HOST "<later/>"), "<later>" },
        { "raw", OF("nbd", "", HOST "<snapshot name='s'/>"), "<snapshot>" },
        { "raw", OF("nbd", "", HOST) "<backingStore type='file'><source file='/f'/></backingStore>", "backing image" },
        { "vmdk", OF("nbd", "", HOST), "vmdk" },
        { "raw", OF("rbd", "name='p/i'", PORT "<auth username='u'><secret type='ceph' uuid='x'/></auth>"), "secret" },
        { "raw", OF("rbd", "name='p/i'", PORT) "<auth username='u'/>", "secret" },
        { "raw", OF("rbd", "name='p/i'", HOST), "port" },
        { "raw", OF("rbd", "name='p/n/i'", PORT), "POOL/IMAGE" },
        { "raw", OF("rbd", "", PORT), "POOL/IMAGE" },
        { "raw", OF("https", "name='a'", HOST "<cookies><cookie name='c'>v</cookie></cookies>"), "secret" },
        { "raw", OF("https", "name='a b'", HOST), "characters" },
        { "raw", OF("https", "name='a?b'", HOST), "characters" },
        { "raw", OF("https", "name='a' query='b c'", HOST), "characters" },
        { "raw", OF("https", "", HOST), "characters" },
        { "raw", OF("http", "name='a'", "<host transport='unix' socket='/s'/>"), "transport" },
        { "raw", OF("http", "name='a'", HOST "<ssl verify='no'/>"), "<ssl>" },
        { "raw", OF("gluster", "name='v'", HOST), "volume" },
        { "raw", OF("gluster", "name='v/f'", ""), "server" },
        { "raw", OF("nfs", "name='f'", HOST), "file" },
        { "raw", OF("nfs", "name='/f'", HOST "<identity user='u' group='g'/>"), "<identity>" },
        { "raw", OF("ssh", "name='/f'", HOST), "ssh" },
        { "raw", OF("sheepdog", "name='f'", HOST), "sheepdog" },
        { "raw", "<source name='f'>" HOST "</source>", "unknown" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct hv_disk disk = parse(cases[i].format, cases[i].inside);
        if (!disk.no_node || !strstr(disk.no_node, cases[i].why))
            fail_msg("%s: not '%s', but %s", cases[i].inside, cases[i].why, disk.no_node ? disk.no_node : disk.node);
        hv_disk_clear(&disk);
    }
}

static void b3_names_are_bounded(void **state)
{
    _cleanup_free_ char *name = malloc(4098), *socket = malloc(109), *inside = NULL;
    struct hv_disk disk;

    (void)state;
    memset(name, 'n', 4097);
    memset(socket, '/', 108);
    name[4097] = socket[108] = '\0';
    inside = str_format("<source protocol='nbd' name='%s'>" HOST "</source>", name);
    disk = parse("raw", inside);
    assert_non_null(strstr(disk.no_node, "too long"));
    hv_disk_clear(&disk);
    free(inside);
    inside = str_format("<source protocol='nbd'><host transport='unix' socket='%s'/></source>", socket);
    disk = parse("raw", inside);
    assert_non_null(strstr(disk.no_node, "too long"));
    hv_disk_clear(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(b3_what_is_sure_is_translated),
        cmocka_unit_test(b3_what_is_not_sure_says_why),
        cmocka_unit_test(b3_names_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
