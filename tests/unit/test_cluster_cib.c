/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which VM a Pacemaker cluster manages, by its configuration (M19, behaviour 41). */
#include "base/io.h"
#include "base/strv.h"
#include "cluster/cluster.h"
#include "test.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(m19_a_vm_is_found_by_the_file_that_its_resource_names, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_cluster_nothing_is_managed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_configuration_that_cannot_be_read_is_an_error, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
