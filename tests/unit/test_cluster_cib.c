/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which VM a Pacemaker cluster manages, by its configuration (M19, behaviour 41). */
#include "base/io.h"
#include "base/strv.h"
#include "cluster/cluster_internal.h"
#include "base/clock.h"
#include "test.h"
#include <errno.h>
#include <string.h>

#define UUID "5e2a5c1e-7a53-4a0d-9b4b-5f6f2c0d7a11"

static const char cib[] =
    "<cib validate-with='pacemaker-3.9' epoch='7' num_updates='0' admin_epoch='0'><configuration><crm_config/><nodes/><resources>"
    "<template id='vms' class='ocf' provider='heartbeat' type='VirtualDomain'><instance_attributes id='a'>"
    "<nvpair id='a1' name='hypervisor' value='qemu:///system'/><nvpair id='a2' name='config' value='%s/mail.xml'/></instance_attributes>"
    "</template>"
    "<group id='g'><primitive id='disk' class='ocf' provider='heartbeat' type='Filesystem'><instance_attributes id='b'>"
    "<nvpair id='b1' name='config' value='%s/other.xml'/></instance_attributes></primitive>"
    "<primitive id='vm-web' class='ocf' provider='heartbeat' type='VirtualDomain'><instance_attributes id='c'>"
    "<nvpair id='c1' name='config' value='%s/first.xml'/></instance_attributes></primitive></group>"
    "<primitive id='vm-mail' template='vms'/>"
    "<primitive id='vm-db' template='vms'><instance_attributes id='d'><nvpair id='d1' name='config' value='%s/db.xml'/>"
    "</instance_attributes></primitive></resources><constraints/></configuration><status/></cib>";

struct dir {
    char path[64];
};

static void put(const struct dir *d, const char *name, const char *text)
{
    _cleanup_free_ char *path = io_path(d->path, name);
    struct err err = ERR_INIT;

    assert_int_equal(io_replace_file(path, text, strlen(text), 0644, &err), 0);
}

static int setup(void **state)
{
    struct dir *d = calloc(1, sizeof(*d));

    assert_non_null(d);
    strcpy(d->path, "/tmp/kvss-cib.XXXXXX");
    assert_non_null(mkdtemp(d->path));
    _cleanup_free_ char *text = str_format(cib, d->path, d->path, d->path, d->path);
    put(d, "cib.xml", text);
    put(d, "first.xml", "<domain><name>web</name><uuid>" UUID "</uuid></domain>"); /* called otherwise than its VM */
    put(d, "other.xml", "<domain><name>none</name></domain>");
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    struct dir *d = *state;

    io_remove_tree(d->path, NULL);
    free(d);
    return 0;
}

static void asks(const struct dir *d, const char *file, const char *name, const char *uuid, const char *expected)
{
    _cleanup_free_ char *path = io_path(d->path, file), *resource = NULL;
    struct err err = ERR_INIT;

    assert_int_equal(cluster_resource_in(path, name, uuid, &resource, &err), 0);
    if (expected)
        assert_string_equal(resource, expected);
    else
        assert_null(resource);
}

#define NOBODY "00000000-0000-0000-0000-000000000001"

static void m19_a_vm_is_found_by_the_file_that_its_resource_names(void **state)
{
    asks(*state, "cib.xml", "web", NOBODY, "vm-web");
    asks(*state, "cib.xml", "renamed", UUID, "vm-web");
    asks(*state, "cib.xml", "db", NOBODY, "vm-db");     /* its file is not here: by the name of the file */
    asks(*state, "cib.xml", "mail", NOBODY, "vm-mail"); /* by the template's */
    asks(*state, "cib.xml", "first", NOBODY, NULL);
    asks(*state, "cib.xml", "none", NOBODY, NULL); /* no VirtualDomain */
}

static void without_a_cluster_nothing_is_managed(void **state)
{
    asks(*state, "absent.xml", "web", UUID, NULL);
    asks(*state, "cib.xml/below", "web", UUID, NULL);
}

static void a_configuration_that_cannot_be_read_is_an_error(void **state)
{
    const struct dir *d = *state;
    _cleanup_free_ char *path = io_path(d->path, "bad.xml"), *resource = NULL;
    struct err err = ERR_INIT;

    put(d, "bad.xml", "<cib><resources>");
    assert_true(cluster_resource_in(path, "web", UUID, &resource, &err) < 0);
    assert_non_null(strstr(err.text, "whether a cluster manages VM web"));
    assert_null(resource);
    put(d, "bad.xml", "");
    assert_true(cluster_resource_in(path, "web", UUID, &resource, &err) < 0);
}

/* ---- What crm_mon says (Pacemaker 2.1.5, shortened) ---- */

#define NODES(unclean)                                                                                          \
    "<nodes><node name='n1' id='1' online='true' unclean='false' pending='false' is_dc='false' type='member'/>" \
    "<node name='n2' id='2' online='true' unclean='" unclean "' pending='false' is_dc='true' type='member'/></nodes>"
#define HISTORY(interval)                                                                                                         \
    "<node_history><node name='n1'><resource_history id='vm-one' orphan='false' migration-threshold='2'>"                         \
    "<operation_history call='10' task='start' rc='0' rc_text='ok' exec-time='3714ms' queue-time='0ms'/>"                         \
    "<operation_history call='11' task='monitor' rc='0' rc_text='ok' " interval " exec-time='1245ms'/></resource_history></node>" \
    "<node name='n2'><resource_history id='vm-one-more'><operation_history call='3' task='monitor' interval='2000ms'/>"           \
    "</resource_history></node></node_history>"
#define RESOURCE(attributes, nodes)                                                                      \
    "<resource id='vm-one' resource_agent='ocf:heartbeat:VirtualDomain' active='true' orphaned='false' " \
    "failure_ignored='false' " attributes ">" nodes "</resource>"
#define SAID(resources, history, unclean)                                                                                   \
    "<pacemaker-result api-version='2.25' request='crm_mon'>" NODES(unclean) "<resources>" resources "</resources>" history \
                                                                             "<status code='0' message='OK'/></pacemaker-result>"

static const char started[] =
    SAID(RESOURCE("role='Started' managed='true' failed='false' blocked='false'", "<node name='n1' id='1' cached='true'/>"),
         HISTORY("interval='2000ms'"), "false");
static const char left_alone[] =
    SAID("<group id='g'>" RESOURCE("role='Started' managed='false' failed='false' blocked='false'", "<node name='n1' id='1'/>") "</group>",
         HISTORY(""), "false");
static const char stopped[] =
    SAID(RESOURCE("role='Stopped' managed='true' failed='false' blocked='false'", ""), HISTORY("interval='2000ms'"), "false");
static const char stopping[] = SAID(
    RESOURCE("role='Started' managed='true' failed='false' blocked='false' pending='Stopping'", "<node name='n1' id='1'/>"), "", "false");
static const char failed[] =
    SAID(RESOURCE("role='Started' managed='true' failed='true' blocked='true'", "<node name='n1' id='1'/>"), "", "true");
static const char twice[] = SAID("<clone id='c'><resource id='vm-one:0' role='Started' managed='true'><node name='n1'/></resource>"
                                 "<resource id='vm-one:1' role='Started' managed='true'><node name='n2'/></resource></clone>",
                                 "", "false");

static struct cluster_vm status(const char *text)
{
    struct cluster_vm v = { .resource = strdup("vm-one"), .here = strdup("n1") };
    struct err err = ERR_INIT;

    assert_int_equal(cluster_read_status(text, strlen(text), &v, &err), 0);
    return v;
}

static void m19_a_started_resource_is_told_from_one_that_is_left_alone(void **state)
{
    (void)state;
    _cleanup_(cluster_vm_clear) struct cluster_vm v = status(started);
    assert_string_equal(v.node, "n1");
    assert_true(cluster_is_in_charge(&v) && !cluster_is_idle_hand(&v) && !cluster_is_stopped(&v));
    assert_null(v.disagree);

    _cleanup_(cluster_vm_clear) struct cluster_vm alone = status(left_alone); /* the monitor is no longer in the history */
    assert_true(cluster_is_idle_hand(&alone) && !cluster_is_in_charge(&alone));
}

static void m19_stopped_is_only_what_is_stopped_everywhere(void **state)
{
    (void)state;
    _cleanup_(cluster_vm_clear) struct cluster_vm v = status(stopped), still = status(stopping), broken = status(failed);
    _cleanup_(cluster_vm_clear) struct cluster_vm two = status(twice);

    assert_true(cluster_is_stopped(&v));
    assert_null(v.node);
    assert_true(still.pending && !cluster_is_stopped(&still) && !cluster_is_in_charge(&still) && !cluster_is_idle_hand(&still));
    assert_true(broken.failed && broken.blocked && !cluster_is_stopped(&broken) && !cluster_is_in_charge(&broken));
    assert_string_equal(broken.disagree, "n2");
    assert_int_equal(two.n_active, 2);
}

static void a_second_look_forgets_the_first(void **state)
{
    (void)state;
    _cleanup_(cluster_vm_clear) struct cluster_vm v = status(failed);
    struct err err = ERR_INIT;

    assert_int_equal(cluster_read_status(stopped, strlen(stopped), &v, &err), 0);
    assert_true(cluster_is_stopped(&v) && !v.disagree && !v.n_active);
}

static void a_status_that_says_nothing_of_the_vm_is_an_error(void **state)
{
    static const char none[] = SAID("<resource id='vm-one-more' role='Started'/>", "", "false"),
                      no_role[] = SAID(RESOURCE("", ""), "", "false");
    const struct {
        const char *text;
        int code;
    } cases[] = { { none, -ENOENT }, { no_role, -EBADMSG }, { "<pacemaker-result/>", -EBADMSG }, { "", -EINVAL }, { "<a", -EINVAL } };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_(cluster_vm_clear) struct cluster_vm v = { .resource = strdup("vm-one") };
        struct err err = ERR_INIT;
        assert_int_equal(cluster_read_status(cases[i].text, strlen(cases[i].text), &v, &err), cases[i].code);
    }
}

/* ---- Leases ---- */

static void m19_what_the_cluster_would_do_is_read_whole(void **state)
{
    static const char plan[] =
        "<pacemaker-result><actions><rsc_action action='stop' resource='vm-one' node='n1' reason='node availability'/>"
        "<rsc_action action='move' resource='service' source='n1' dest='n2'/><node_action task='fence' "
        "node='n2'/></actions></pacemaker-result>";
    _cleanup_strv_ char **actions = NULL, **resources = NULL, **none = NULL, **none_of = NULL;
    static const char empty[] = "<pacemaker-result><actions/></pacemaker-result>", missing[] = "<pacemaker-result/>";
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(cluster_read_actions(plan, strlen(plan), &actions, &resources, &err), 0);
    assert_int_equal(strv_len(actions), 3);
    assert_string_equal(actions[0], "stop vm-one on node n1");
    assert_string_equal(resources[1], "service");
    assert_string_equal(actions[2], "node_action  on node n2");
    assert_int_equal(cluster_read_actions(empty, strlen(empty), &none, &none_of, &err), 0);
    assert_null(none);
    assert_int_equal(cluster_read_actions(missing, strlen(missing), &none, &none_of, &err), -EBADMSG); /* never taken for "nothing" */
}

static void m19_a_lease_says_when_it_ends(void **state)
{
    const struct cluster_lease l = { "vm-one", "kvss-lease-1", CLUSTER_HANDS_OFF, 90 },
                               forever = { "vm-one", "kvss-stop-1", CLUSTER_STOP, 0 };
    _cleanup_xml_ xmlDocPtr doc = NULL;
    _cleanup_free_ char *text = NULL;
    static const char cib_text[] = "<cib><resources><primitive id='vm-one'/></resources></cib>";
    int64_t end = 0, now = clock_wall_us();
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(xml_parse(cib_text, strlen(cib_text), "it", &doc, &err), 0);
    xmlNodePtr root = xmlDocGetRootElement(doc), primitive = cib_primitive(root, "vm-one");
    assert_null(cib_primitive(root, "vm"));
    assert_non_null(lease_add(primitive, &l));
    assert_non_null(lease_add(primitive, &forever));
    assert_int_equal(lease_end(root, "kvss-lease-1", &end, &err), 0);
    assert_true(end > now + 80 * 1000000LL && end < now + 100 * 1000000LL);
    assert_int_equal(lease_end(root, "kvss-stop-1", &end, &err), 0);
    assert_int_equal(end, 0);
    assert_int_equal(lease_end(root, "another", &end, &err), 0);
    assert_int_equal(end, 0);
    assert_int_equal(xml_dump(doc, NULL, false, &text, &err), 0);
    assert_non_null(strstr(text, "name=\"maintenance\" value=\"true\""));
    assert_non_null(strstr(text, "name=\"target-role\" value=\"Stopped\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(m19_a_vm_is_found_by_the_file_that_its_resource_names, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_cluster_nothing_is_managed, setup, teardown),
        cmocka_unit_test(m19_a_started_resource_is_told_from_one_that_is_left_alone),
        cmocka_unit_test(m19_stopped_is_only_what_is_stopped_everywhere),
        cmocka_unit_test(a_second_look_forgets_the_first),
        cmocka_unit_test(a_status_that_says_nothing_of_the_vm_is_an_error),
        cmocka_unit_test(m19_what_the_cluster_would_do_is_read_whole),
        cmocka_unit_test(m19_a_lease_says_when_it_ends),
        cmocka_unit_test_setup_teardown(a_configuration_that_cannot_be_read_is_an_error, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
