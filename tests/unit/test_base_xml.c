/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/xml.h"
#include "test.h"

static xmlDocPtr parse(const char *text)
{
    struct err err = ERR_INIT;
    xmlDocPtr doc = NULL;

    assert_ok(xml_parse(text, strlen(text), "the test's document", &doc, &err));
    return doc;
}

static const char domain[] = "<domain type='qemu'><name>web01</name><devices>"
                             "<disk type='file'><source file='/a.qcow2'/><target dev='vda'/></disk>"
                             "<disk type='block'><source dev='/dev/x'/><target dev='vdb'/></disk>"
                             "</devices><title>a &amp; b</title></domain>";

static void elements_and_attributes_are_found(void **state)
{
    _cleanup_xml_ xmlDocPtr doc = parse(domain);
    xmlNodePtr root = xmlDocGetRootElement(doc);
    _cleanup_free_ char *name = xml_get(root, "name");
    _cleanup_free_ char *title = xml_get(root, "title");
    _cleanup_free_ char *second = xml_get(root, "devices/disk[2]/target/@dev");
    _cleanup_free_ char *type = xml_attr(root, "type");

    (void)state;
    assert_string_equal(name, "web01");
    assert_string_equal(title, "a & b");
    assert_string_equal(second, "vdb");
    assert_string_equal(type, "qemu");
    assert_null(xml_get(root, "uuid"));
    assert_null(xml_attr(root, "id"));
    assert_null(xml_find(root, "devices/interface"));
    assert_null(xml_find(NULL, "name"));
    assert_null(xml_get(NULL, "name"));
    assert_null(xml_attr(NULL, "name"));
}

static void paths_are_relative_to_the_node(void **state)
{
    _cleanup_xml_ xmlDocPtr doc = parse(domain);
    xmlNodePtr root = xmlDocGetRootElement(doc);
    _cleanup_free_ xmlNodePtr *disks = NULL;

    (void)state;
    assert_int_equal(xml_find_all(root, "devices/disk", &disks), 2);
    _cleanup_free_ char *dev = xml_get(disks[0], "target/@dev");
    assert_string_equal(dev, "vda");
    _cleanup_free_ xmlNodePtr *none = (xmlNodePtr *)1;
    assert_int_equal(xml_find_all(root, "nothing", &none), 0);
    assert_null(none);
}

static void other_results_and_bad_paths_find_nothing(void **state)
{
    _cleanup_xml_ xmlDocPtr doc = parse(domain);
    xmlNodePtr root = xmlDocGetRootElement(doc);

    (void)state;
    assert_null(xml_find(root, "count(devices/disk)"));
    assert_null(xml_find(root, "]["));
    assert_null(xml_find(root, "unknown:name"));
    assert_null(xml_find(root, "namespace::*"));
}

static void namespaces_are_known_by_their_prefixes(void **state)
{
    _cleanup_xml_ xmlDocPtr doc = parse("<w xmlns='x-schema:#W' xmlns:qemu='urn:q'><i name='a'/><qemu:arg value='v'/></w>");
    xmlNodePtr root = xmlDocGetRootElement(doc);
    _cleanup_free_ char *value = xml_get(root, "qemu:arg/@value");
    _cleanup_free_ char *name = xml_get(root, "ns:i/@name");

    (void)state;
    assert_string_equal(value, "v");
    assert_string_equal(name, "a");
    assert_null(xml_find(root, "i"));
}

static void what_is_not_xml_is_refused_and_named(void **state)
{
    static const char *const bad[] = {
        "", " ", "text", "<a>", "<a></b>", "<a/><b/>", "<a b=c/>", "<a>&undefined;</a>", "<a>\x01</a>", "<a>\xff</a>",
    };
    struct err err = ERR_INIT;
    xmlDocPtr doc = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_fails(EINVAL, xml_parse(bad[i], strlen(bad[i]), "guest's answer", &doc, &err));
        assert_memory_equal(err.text, "guest's answer", 14);
    }
    assert_fails(EINVAL, xml_parse("<a>\0</a>", 8, "x", &doc, &err));
    assert_null(doc);
}

static void entity_bombs_are_refused_unread(void **state)
{
    static const char bomb[] = "<!DOCTYPE a [<!ENTITY a \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\">"
                               "<!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\">"
                               "<!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;\"><!ENTITY e \"&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;\">"
                               "<!ENTITY f \"&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;\"><!ENTITY g \"&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;\">"
                               "]><a>&g;&g;&g;&g;&g;&g;&g;&g;&g;&g;</a>";
    struct err err = ERR_INIT;
    xmlDocPtr doc = NULL;

    (void)state;
    assert_fails(EINVAL, xml_parse(bomb, sizeof bomb - 1, "bomb", &doc, &err));
    assert_non_null(strstr(err.text, "document type"));
    assert_null(doc);
}

static void document_types_and_external_entities_are_refused(void **state)
{
    static const char *const bad[] = {
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
        "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>",
        "<!DOCTYPE a [<!ENTITY % p SYSTEM \"http://127.0.0.1:1/x\"> %p;]><a/>",
    };
    struct err err = ERR_INIT;
    xmlDocPtr doc = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_fails(EINVAL, xml_parse(bad[i], strlen(bad[i]), "x", &doc, &err));
        assert_non_null(strstr(err.text, "document type"));
    }
}

static void depth_is_bounded(void **state)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct err err = ERR_INIT;
    xmlDocPtr doc = NULL;

    (void)state;
    for (int i = 0; i < 100000; i++)
        buf_adds(&b, "<a>");
    for (int i = 0; i < 100000; i++)
        buf_adds(&b, "</a>");
    assert_fails(EINVAL, xml_parse((char *)b.data, b.len, "deep", &doc, &err));
    assert_null(doc);
}

static void length_is_bounded(void **state)
{
    _cleanup_free_ char *text = calloc(1, XML_TEXT_MAX + 1);
    struct err err = ERR_INIT;
    xmlDocPtr doc = NULL;

    (void)state;
    assert_non_null(text);
    memset(text, ' ', XML_TEXT_MAX + 1);
    memcpy(text, "<a/>", 4);
    assert_fails(EFBIG, xml_parse(text, XML_TEXT_MAX + 1, "long", &doc, &err));
    assert_ok(xml_parse(text, XML_TEXT_MAX, "long", &doc, &err));
    xmlFreeDoc(doc);
}

static void guests_names_do_not_steer_terminals_through_errors(void **state)
{
    static const char text[] = "<a><b\xc2\x9b></a>\x1b[2J";
    struct err err = ERR_INIT;
    xmlDocPtr doc = NULL;

    (void)state;
    assert_fails(EINVAL, xml_parse(text, sizeof text - 1, "x", &doc, &err));
    assert_null(strchr(err.text, '\x1b'));
}

static void writing_gives_back_what_was_read(void **state)
{
    static const char text[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a>\n  <b c=\"1\">x &amp; \xc3\xa9</b>\n</a>\n";
    _cleanup_xml_ xmlDocPtr doc = parse(text);
    _cleanup_free_ char *plain = NULL;
    _cleanup_free_ char *pretty = NULL;
    _cleanup_free_ char *node = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(xml_dump(doc, NULL, false, &plain, &err));
    assert_string_equal(plain, text);
    assert_ok(xml_dump(doc, NULL, true, &pretty, &err));
    assert_string_equal(pretty, text);
    assert_ok(xml_dump(doc, xml_find(xmlDocGetRootElement(doc), "b"), false, &node, &err));
    assert_string_equal(node, "<b c=\"1\">x &amp; \xc3\xa9</b>");
}

static void pretty_indents_by_two(void **state)
{
    _cleanup_xml_ xmlDocPtr doc = parse("<a><b><c/></b></a>");
    _cleanup_free_ char *text = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(xml_dump(doc, NULL, true, &text, &err));
    assert_string_equal(text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a>\n  <b>\n    <c/>\n  </b>\n</a>\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_and_attributes_are_found),
        cmocka_unit_test(paths_are_relative_to_the_node),
        cmocka_unit_test(other_results_and_bad_paths_find_nothing),
        cmocka_unit_test(namespaces_are_known_by_their_prefixes),
        cmocka_unit_test(what_is_not_xml_is_refused_and_named),
        cmocka_unit_test(entity_bombs_are_refused_unread),
        cmocka_unit_test(document_types_and_external_entities_are_refused),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(length_is_bounded),
        cmocka_unit_test(guests_names_do_not_steer_terminals_through_errors),
        cmocka_unit_test(writing_gives_back_what_was_read),
        cmocka_unit_test(pretty_indents_by_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
