/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* States, names and URIs. */
#include "hypervisor/domain/domain_state.h"
#include "hypervisor/host/hv_internal.h"
#include "test_hv.h"

static void states(void **state)
{
    static const struct {
        int state, reason;
        bool saved;
        enum hv_state wanted;
        const char *detail;
    } cases[] = {
        { VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED, false, HV_RUNNING, "running" },
        { VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_POSTCOPY, false, HV_OTHER, "migrating" },
        { VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER, false, HV_PAUSED, "paused on request" },
        /* what libvirt says after a start from a saved state, paused */
        { VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_MIGRATION, false, HV_PAUSED, "paused, restored or migrating" },
        { VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR, false, HV_OTHER, "paused by a disk I/O error" },
        { VIR_DOMAIN_PAUSED, 999, false, HV_OTHER, "paused for an unknown reason" },
        { VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_SHUTDOWN, false, HV_OFF, "shut down" },
        { VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_SAVED, true, HV_SAVED, "off with its state saved" },
        { VIR_DOMAIN_SHUTOFF, 999, false, HV_OFF, "off" },
        { VIR_DOMAIN_SHUTOFF, -1, false, HV_OFF, "off" },
        { VIR_DOMAIN_SHUTDOWN, 0, false, HV_OTHER, "shutting down" },
        { VIR_DOMAIN_CRASHED, 0, false, HV_OTHER, "crashed" },
        { VIR_DOMAIN_PMSUSPENDED, 0, false, HV_OTHER, "suspended by the guest" },
        { VIR_DOMAIN_NOSTATE, 0, false, HV_OTHER, "in an unknown state" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *detail;
        assert_int_equal(domain_state_from(cases[i].state, cases[i].reason, cases[i].saved, &detail), cases[i].wanted);
        assert_string_equal(detail, cases[i].detail);
    }
    assert_string_equal(hv_state_name(HV_SAVED), "saved");
    assert_string_equal(hv_state_name((enum hv_state)99), "other");
}

static void nbd_names(void **state)
{
    _cleanup_free_ char *plain = hv_nbd_uri("/run/kvss/nbd-1/socket", "vda");
    _cleanup_free_ char *odd = hv_nbd_uri("/a b/c&d#e?%", "x/y z");
    _cleanup_free_ char *context = hv_dirty_context("vda");

    (void)state;
    assert_string_equal(plain, "nbd+unix:///vda?socket=/run/kvss/nbd-1/socket");
    assert_string_equal(odd, "nbd+unix:///x/y%20z?socket=/a%20b/c%26d%23e%3F%25");
    assert_string_equal(context, "qemu:dirty-bitmap:backup-vda");
}

static void uris(void **state)
{
    static const struct {
        const char *uri;
        bool local, session;
        const char *root;
    } cases[] = {
        { "qemu:///system", true, false, NULL },
        { "qemu:///session", true, true, NULL },
        { "qemu+unix:///system?socket=/run/x", true, false, NULL },
        { "qemu+ssh://root@host/system", false, false, NULL },
        { "qemu+ssh:///session", false, true, NULL },
        { "qemu://host:16514/system", false, false, NULL },
        { "qemu+libssh2://u@h/system?known_hosts=/a", false, false, NULL },
        { "qemu:///embed?root=/srv/a%20b", true, false, "/srv/a b" },
        { "qemu:///embed?x=1&root=/r%2", true, false, "/r%2" },
        { "qemu:///embed?root=", true, false, NULL },
        { "qemu:///embed", true, false, NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct uri_kind k;
        assert_int_equal(hv_uri_kind(cases[i].uri, &k, NULL), 0);
        assert_int_equal(k.local, cases[i].local);
        assert_int_equal(k.session, cases[i].session);
        if (cases[i].root)
            assert_string_equal(k.root, cases[i].root);
        else
            assert_null(k.root);
        free(k.root);
    }
    struct uri_kind k;
    assert_int_equal(hv_uri_kind("system", &k, NULL), -EINVAL);
}

/* libvirt's test driver stands in for a hypervisor that is none of ours. */
static void only_qemu_is_driven(void **state)
{
    struct hv_config config = { .uri = "test:///default" };
    struct err err = ERR_INIT;
    struct hv *hv = NULL;

    (void)state;
    assert_int_equal(hv_open(&config, &hv, &err), -EOPNOTSUPP);
    assert_null(hv);
    assert_non_null(strstr(err.text, "test:///default"));
    config.uri = "qemu+unix:///system?socket=/nowhere/libvirt-sock";
    assert_int_equal(hv_open(&config, &hv, &err), -ECONNREFUSED);
    assert_int_equal(err.code, ECONNREFUSED);
    assert_null(hv);
    hv_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states),
        cmocka_unit_test(nbd_names),
        cmocka_unit_test(uris),
        cmocka_unit_test(only_qemu_is_driven),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
