/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a definition takes from its host: all of it is listed, by what it can do. */
#include "test_hv.h"

static char *listing(const char *xml)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct hv_demands list = { 0 };
    struct hv_def *def = NULL;
    struct err err = ERR_INIT;

    if (hv_def_parse(xml, &def, &err) < 0 || hv_definition_demands(def, &list, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < list.n; i++) {
        const struct hv_demand *d = &list.list[i];
        assert_true(!d->path || d->path[0] == '/');
        assert_int_equal(buf_addf(&b, "%s: %s %s%s%s\n", hv_danger_name(d->danger), d->kind, d->text, d->disk ? " of disk " : "",
                                  d->disk ? d->disk : ""),
                         0);
    }
    hv_demands_clear(&list);
    assert_int_equal(list.n, 0);
    hv_def_free(def);
    return b.len ? buf_take_str(&b) : strdup("");
}

static void check_golden(const char *name)
{
    _cleanup_free_ char *xml = golden_read(name, "xml"), *text = listing(xml);

    golden_check(name, "txt", text);
}

static void an_ordinary_definition(void **state)
{
    (void)state;
    check_golden("demands-ordinary");
}

static void a_hostile_definition(void **state)
{
    (void)state;
    check_golden("demands-hostile");
}

static void expect(const char *inside, const char *wanted)
{
    _cleanup_free_ char *xml = str_format("<domain><name>t</name>%s</domain>", inside);
    _cleanup_free_ char *text = listing(xml);

    if (strcmp(text, wanted) != 0)
        fail_msg("%s: \"%s\", not \"%s\"", inside, text, wanted);
}

/* Elements in a namespace of their own mean to libvirt what those without mean, where it reads them by name. */
static void in_disguise(void **state)
{
    (void)state;
    expect("<x:devices xmlns:x='urn:x'><x:emulator>/e</x:emulator></x:devices>",
           "unknown: element domain/devices of urn:x\nunknown: element devices/emulator of urn:x\ncode: emulator /e\n");
    expect("<devices><disk type='file'><source xmlns:x='urn:x' x:file='/etc/x'/><target dev='vda'/></disk></devices>",
           "host: disk image /etc/x (vda) of disk vda\n");
    expect("<devices><emulator>/e<!-- -->mulator</emulator></devices>", "code: emulator /emulator\n");
    expect("<devices><serial><kernel>/x</kernel></serial></devices>", "host: path /x (kernel)\n");
    expect("<metadata><a path='/x'/></metadata><devices><metadata path='/y'/></devices>", "host: path /y (metadata)\n");
}

/* Nobody reads a list without end. */
static void too_many(void **state)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct hv_demands list = { 0 };
    struct hv_def *def = NULL;

    (void)state;
    assert_int_equal(buf_addf(&b, "<domain>"), 0);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(buf_addf(&b, "<kernel%d/>", i), 0);
    assert_int_equal(buf_addf(&b, "</domain>"), 0);
    _cleanup_free_ char *xml = buf_take_str(&b);
    assert_int_equal(hv_def_parse(xml, &def, NULL), 0);
    assert_int_equal(hv_definition_demands(def, &list, NULL), 0);
    assert_in_range(list.n, 100, 1000);
    assert_string_equal(list.list[list.n - 1].text, "more than can be listed");
    assert_int_equal(list.list[list.n - 1].danger, HV_DANGER_UNKNOWN);
    hv_demands_clear(&list);
    hv_def_free(def);
}

/* Nor a text without end; texts within texts do not multiply. */
static void too_long(void **state)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct hv_demands list = { 0 };
    struct hv_def *def = NULL;

    (void)state;
    assert_int_equal(buf_addf(&b, "<domain>"), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(buf_addf(&b, "<seclabel><label>"), 0);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(buf_addf(&b, "/long"), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(buf_addf(&b, "</label></seclabel>"), 0);
    assert_int_equal(buf_addf(&b, "</domain>"), 0);
    _cleanup_free_ char *xml = buf_take_str(&b);
    assert_int_equal(hv_def_parse(xml, &def, NULL), 0);
    assert_int_equal(hv_definition_demands(def, &list, NULL), 0);
    assert_int_equal(list.n, 1);
    assert_int_equal(list.list[0].danger, HV_DANGER_UNKNOWN);
    hv_demands_clear(&list);
    hv_def_free(def);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ordinary_definition),
        cmocka_unit_test(a_hostile_definition),
        cmocka_unit_test(in_disguise),
        cmocka_unit_test(too_many),
        cmocka_unit_test(too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
