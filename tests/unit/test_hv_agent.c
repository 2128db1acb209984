/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What guests say through their agent, sense and nonsense (M4a, M4d, M4e). */
#include "hypervisor/agent.h"
#include "test_hv.h"

static void m4a_freeze_commands(void **state)
{
    static const struct {
        const char *list;
        bool freeze, disabled, thaw;
    } cases[] = {
        { "{\"name\":\"guest-fsfreeze-freeze\",\"enabled\":true},{\"name\":\"guest-fsfreeze-thaw\",\"enabled\":true}", true, false, true },
        { "{\"name\":\"guest-fsfreeze-freeze\",\"enabled\":false},{\"name\":\"guest-fsfreeze-thaw\",\"enabled\":true}", false, true, true },
        { "{\"name\":\"guest-ping\",\"enabled\":true}", false, false, false },
        { "{\"name\":\"guest-fsfreeze-freeze\"}", true, false, false }, /* agents that do not say */
        { "{\"name\":7},[],null,\"guest-fsfreeze-freeze\",{}", false, false, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *json = str_format("{\"return\":{\"version\":\"7.2\",\"supported_commands\":[%s]}}", cases[i].list);
        struct agent_commands c = { 0 };
        assert_int_equal(agent_json_commands(json, &c, NULL), 0);
        assert_int_equal(c.freeze, cases[i].freeze);
        assert_int_equal(c.freeze_disabled, cases[i].disabled);
        assert_int_equal(c.thaw, cases[i].thaw);
        assert_string_equal(c.version, "7.2");
        free(c.version);
    }
}

static void answers_without_sense(void **state)
{
    static const char *const texts[] = {
        "", "{", "[]", "null", "{\"return\":{}}", "{\"return\":[]}", "{\"return\":{\"supported_commands\":{}}}",
        "{\"return\":\"FROZEN\"}", "{\"return\":1}", "{\"return\":\"frozen\",\"return\":\"thawed\"}",
    };
    struct agent_commands c = { 0 };
    bool frozen = true;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        assert_int_equal(agent_json_commands(texts[i], &c, NULL), -EBADMSG);
        assert_int_equal(agent_json_frozen(texts[i], &frozen, NULL), -EBADMSG);
        assert_true(frozen);
    }
    assert_int_equal(agent_json_frozen("{\"return\":\"thawed\"}", &frozen, NULL), 0);
    assert_false(frozen);
    assert_int_equal(agent_json_frozen("{\"return\":\"frozen\"}", &frozen, NULL), 0);
    assert_true(frozen);
}

static void too_many_commands(void **state)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct agent_commands c = { 0 };

    (void)state;
    buf_adds(&b, "{\"return\":{\"supported_commands\":[0");
    for (unsigned i = 0; i < AGENT_COMMANDS_MAX; i++)
        buf_adds(&b, ",0");
    buf_adds(&b, "]}}");
    assert_int_equal(agent_json_commands((char *)b.data, &c, NULL), -EBADMSG);
}

struct params {
    virTypedParameterPtr list;
    int n, max;
};

static void params_clear(struct params *p)
{
    virTypedParamsFree(p->list, p->n);
}

static void add(struct params *p, const char *name, const char *value)
{
    assert_int_equal(virTypedParamsAddString(&p->list, &p->n, &p->max, name, value), 0);
}

static void add_count(struct params *p, const char *name, unsigned value)
{
    assert_int_equal(virTypedParamsAddUInt(&p->list, &p->n, &p->max, name, value), 0);
}

static void add_fs(struct params *p, unsigned i, const char *name, const char *mountpoint, const char *type)
{
    char key[64];

    snprintf(key, sizeof key, "fs.%u.name", i);
    add(p, key, name);
    snprintf(key, sizeof key, "fs.%u.mountpoint", i);
    add(p, key, mountpoint);
    snprintf(key, sizeof key, "fs.%u.fstype", i);
    add(p, key, type);
}

/* LVM over two disks; a disk that is not the VM's; nothing known; a CD. */
static void m4d_disks_under_file_systems(void **state)
{
    _cleanup_(params_clear) struct params p = { 0 };
    struct hv_agent_info info;

    (void)state;
    add(&p, "os.id", "debian");
    add(&p, "os.pretty-name", "Debian GNU/Linux 12 (bookworm)");
    add_count(&p, "fs.count", 4);
    add_fs(&p, 0, "dm-0", "/", "ext4");
    add_count(&p, "fs.0.disk.count", 3);
    add(&p, "fs.0.disk.0.alias", "vda");
    add(&p, "fs.0.disk.1.alias", "vdb");
    add(&p, "fs.0.disk.2.alias", "vda");
    add_fs(&p, 1, "sdb1", "/san", "xfs");
    add_count(&p, "fs.1.disk.count", 1);
    add(&p, "fs.1.disk.0.device", "/dev/sdb");
    add_fs(&p, 2, "dm-1", "/odd", "ext4");
    add_fs(&p, 3, "sr0", "/cd", "iso9660");
    assert_int_equal(agent_params_parse(p.list, p.n, &info, NULL), 0);
    assert_string_equal(info.os_id, "debian");
    assert_string_equal(info.os_name, "Debian GNU/Linux 12 (bookworm)");
    assert_false(info.windows);
    assert_int_equal(info.n_fs, 4);
    assert_int_equal(strv_len(info.fs[0].targets), 2);
    assert_false(info.fs[0].unknown_disk);
    assert_string_equal(info.fs[0].device, "dm-0");
    assert_true(info.fs[1].unknown_disk);
    assert_null(info.fs[1].targets);
    assert_string_equal(info.fs[1].device, "/dev/sdb1");
    assert_false(info.fs[2].unknown_disk);
    assert_null(info.fs[2].targets);
    assert_true(info.fs[3].read_only);
    hv_agent_info_clear(&info);
}

static void windows_is_told(void **state)
{
    _cleanup_(params_clear) struct params p = { 0 };
    struct hv_agent_info info;

    (void)state;
    add(&p, "os.id", "mswindows");
    add(&p, "os.name", "Microsoft Windows");
    add_count(&p, "fs.count", 1);
    add_fs(&p, 0, "\\\\?\\Volume{00000000-0000-0000-0000-100000000000}\\", "C:\\", "NTFS");
    assert_int_equal(agent_params_parse(p.list, p.n, &info, NULL), 0);
    assert_true(info.windows);
    assert_string_equal(info.fs[0].device, "\\\\?\\Volume{00000000-0000-0000-0000-100000000000}\\");
    hv_agent_info_clear(&info);
}

static void guests_that_lie_are_refused(void **state)
{
    struct hv_agent_info info = { .n_fs = 77 };

    (void)state;
    {
        _cleanup_(params_clear) struct params p = { 0 };
        add_count(&p, "fs.count", GUEST_FS_MAX + 1);
        assert_int_equal(agent_params_parse(p.list, p.n, &info, NULL), -EBADMSG);
    }
    {
        _cleanup_(params_clear) struct params p = { 0 };
        add_count(&p, "fs.count", 2);
        add_fs(&p, 0, "vda1", "/", "ext4");
        assert_int_equal(agent_params_parse(p.list, p.n, &info, NULL), -EBADMSG); /* fs.1 is missing */
    }
    {
        _cleanup_(params_clear) struct params p = { 0 };
        add_count(&p, "fs.count", 1);
        add_fs(&p, 0, "vda1", "/", "ext4");
        add_count(&p, "fs.0.disk.count", UINT32_MAX);
        assert_int_equal(agent_params_parse(p.list, p.n, &info, NULL), -EBADMSG);
    }
    assert_int_equal(info.n_fs, 77);
    {
        _cleanup_(params_clear) struct params p = { 0 };
        add(&p, "fs.count", "2"); /* of another type: as if it were not there */
        assert_int_equal(agent_params_parse(p.list, p.n, &info, NULL), 0);
        assert_int_equal(info.n_fs, 0);
        hv_agent_info_clear(&info);
    }
}

static void m4e_file_systems_that_can_be_frozen(void **state)
{
    static const char *const yes[] = { "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "XFS" };
    static const char *const no[] = { "vfat", "exfat", "ntfs", "ntfs3", "iso9660", "tmpfs", "zfs", "fuseblk", "", "ext" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
        assert_true(hv_fs_freezable(yes[i], false));
    for (size_t i = 0; i < ARRAY_SIZE(no); i++)
        assert_false(hv_fs_freezable(no[i], false));
    assert_true(hv_fs_freezable("NTFS", true));
    assert_true(hv_fs_freezable("ReFS", true));
    assert_false(hv_fs_freezable("FAT32", true));
    assert_false(hv_fs_freezable("ext4", true));
}

static void ignore_error(void *priv, virErrorPtr error)
{
    (void)priv, (void)error;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(m4a_freeze_commands),
        cmocka_unit_test(answers_without_sense),
        cmocka_unit_test(too_many_commands),
        cmocka_unit_test(m4d_disks_under_file_systems),
        cmocka_unit_test(windows_is_told),
        cmocka_unit_test(guests_that_lie_are_refused),
        cmocka_unit_test(m4e_file_systems_that_can_be_frozen),
    };

    virInitialize(); /* typed parameters need libvirt's error object of the thread */
    virSetErrorFunc(NULL, ignore_error);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
