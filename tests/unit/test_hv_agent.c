/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What guests say through their agent, sense and nonsense (M4a, M4d, M4e). */
#include "hypervisor/agent/agent.h"
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
        "",
        "{",
        "[]",
        "null",
        "{\"return\":{}}",
        "{\"return\":[]}",
        "{\"return\":{\"supported_commands\":{}}}",
        "{\"return\":\"FROZEN\"}",
        "{\"return\":1}",
        "{\"return\":\"frozen\",\"return\":\"thawed\"}",
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

/* What a guest has mounted and its agent does not list. */
static void mounts_without_a_block_device(void **state)
{
    static const char text[] = "24 1 254:2 / / rw,relatime shared:1 - ext4 /dev/vda2 rw,errors=remount-ro\n"
                               "25 24 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw,size=480064k\n"
                               "28 24 0:26 / /run rw,nosuid,nodev shared:5 - tmpfs tmpfs rw,size=98404k\n"
                               "60 24 0:33 /home /home rw,relatime shared:30 - btrfs /dev/vda3 rw,subvol=/home\n"
                               "91 24 0:44 / /srv/a\\040b rw,relatime shared:50 - nfs4 fs.example:/export rw,vers=4.2\n"
                               "92 24 0:45 / /tank rw,noatime - zfs tank rw,xattr,noacl\n"
                               "93 24 0:46 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw,lowerdir=/l,upperdir=/u\n"
                               "94 24 0:47 / /mnt/pool rw master:3 propagate_from:2 - fuse.mergerfs /a:/b rw,user_id=0\n"
                               "95 24 0:48 / /run/lxcfs rw - fuse.lxcfs lxcfs rw\n";
    struct hv_guest_fs listed[] = { { .mountpoint = (char *)(uintptr_t) "/" }, { .mountpoint = (char *)(uintptr_t) "/home" } };
    struct hv_agent_info info = { .fs = listed, .n_fs = 2 };

    (void)state;
    assert_int_equal(agent_mounts_parse(text, &info, NULL), 0);
    assert_true(info.mounts_known);
    assert_int_equal(info.n_elsewhere, 4);
    assert_string_equal(info.elsewhere[0].mountpoint, "/srv/a b");
    assert_string_equal(info.elsewhere[0].type, "nfs4");
    assert_string_equal(info.elsewhere[0].device, "fs.example:/export");
    assert_string_equal(info.elsewhere[1].type, "zfs");
    assert_string_equal(info.elsewhere[2].type, "overlay");
    assert_string_equal(info.elsewhere[3].type, "fuse.mergerfs");
    info.fs = NULL;
    info.n_fs = 0;
    hv_agent_info_clear(&info);
}

static void mounts_without_sense(void **state)
{
    static const char *const texts[] = {
        "nonsense",
        "24 1 254:2 / / rw",
        "24 1 254:2 / - ext4",
        "24 1 254:2 / / rw - ext4",
        "24 1 none / / rw - ext4 /dev/vda2",
        "24 1 0:2 / relative rw - nfs x rw",
        " - ",
        "1 - 2 - 3",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct hv_agent_info info = { 0 };
        assert_int_equal(agent_mounts_parse(texts[i], &info, NULL), -EBADMSG);
        assert_false(info.mounts_known);
        hv_agent_info_clear(&info);
    }
}

static void files_of_the_guest(void **state)
{
    static const char *const bad[] = {
        "{\"return\":{}}",
        "{\"return\":{\"buf-b64\":\"a\",\"eof\":true}}",
        "{\"return\":{\"buf-b64\":\"a===\",\"eof\":true}}",
        "{\"return\":{\"buf-b64\":\"ab=c\",\"eof\":true}}",
        "{\"return\":{\"buf-b64\":\"aGV!\",\"eof\":true}}",
        "{\"return\":{\"buf-b64\":\"aGVs\"}}",
        "{\"return\":{\"buf-b64\":\"=AAA\",\"eof\":true}}",
    };
    _cleanup_buf_ struct buf b = BUF_INIT;
    bool eof = true;

    (void)state;
    assert_int_equal(agent_json_file("{\"return\":{\"count\":4,\"buf-b64\":\"aGVsbA==\",\"eof\":false}}", &b, &eof, NULL), 0);
    assert_false(eof);
    assert_int_equal(agent_json_file("{\"return\":{\"count\":1,\"buf-b64\":\"bw==\",\"eof\":true}}", &b, &eof, NULL), 0);
    assert_true(eof);
    assert_int_equal(b.len, 5);
    assert_memory_equal(b.data, "hello", 5);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(agent_json_file(bad[i], &b, &eof, NULL), -EBADMSG);
}

static void ignore_error(void *priv, virErrorPtr error)
{
    (void)priv, (void)error;
}

static void programs_in_the_guest(void **state)
{
    static const char *const bad[] = {
        "",
        "{\"return\":{}}",
        "{\"return\":{\"exited\":1,\"exitcode\":0}}",
        "{\"return\":{\"exited\":true}}",
        "{\"return\":{\"exited\":true,\"exitcode\":\"0\"}}",
        "{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"a\"}}",
        "{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"*aaa\"}}",
    };
    _cleanup_buf_ struct buf b = BUF_INIT;
    bool ended = true;
    int status = -1;
    int64_t pid = 0;

    (void)state;
    assert_int_equal(agent_json_exec("{\"return\":{\"pid\":4711}}", &pid, NULL), 0);
    assert_int_equal(pid, 4711);
    assert_int_equal(agent_json_exec("{\"return\":{\"pid\":\"1\"}}", &pid, NULL), -EBADMSG);
    assert_int_equal(agent_json_exec_status("{\"return\":{\"exited\":false}}", &b, &ended, &status, NULL), 0);
    assert_false(ended);
    assert_int_equal(
        agent_json_exec_status("{\"return\":{\"exited\":true,\"exitcode\":1,\"out-data\":\"aGVsbG8=\"}}", &b, &ended, &status, NULL), 0);
    assert_true(ended);
    assert_int_equal(status, 1);
    assert_string_equal((const char *)b.data, "hello");
    assert_int_equal(agent_json_exec_status("{\"return\":{\"exited\":true,\"signal\":9}}", &b, &ended, &status, NULL), 0);
    assert_int_equal(status, 137);
    assert_int_equal(
        agent_json_exec_status("{\"return\":{\"exited\":true,\"exitcode\":0,\"out-truncated\":true}}", &b, &ended, &status, NULL),
        -EMSGSIZE);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(agent_json_exec_status(bad[i], &b, &ended, &status, NULL), -EBADMSG);
}

/* What a program is told is what it reads: of every length, every byte. */
static void base64_there_and_back(void **state)
{
    uint8_t bytes[256];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 167 + 13);
    for (size_t n = 0; n <= sizeof(bytes); n++) {
        _cleanup_free_ char *text = agent_base64(bytes, n);
        _cleanup_free_ char *json = str_format("{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"%s\"}}", text);
        _cleanup_buf_ struct buf b = BUF_INIT;
        bool ended = false;
        int status = -1;
        assert_int_equal(agent_json_exec_status(json, &b, &ended, &status, NULL), 0);
        assert_int_equal(b.len, n);
        if (n)
            assert_memory_equal(b.data, bytes, n);
    }
}

static void programs_may_be_forbidden(void **state)
{
    static const struct {
        const char *list;
        bool exec;
    } cases[] = {
        { "{\"name\":\"guest-exec\",\"enabled\":true},{\"name\":\"guest-exec-status\",\"enabled\":true}", true },
        { "{\"name\":\"guest-exec\",\"enabled\":false},{\"name\":\"guest-exec-status\",\"enabled\":true}", false },
        { "{\"name\":\"guest-exec\",\"enabled\":true}", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *json = str_format("{\"return\":{\"version\":\"7.2\",\"supported_commands\":[%s]}}", cases[i].list);
        struct agent_commands c = { 0 };
        assert_int_equal(agent_json_commands(json, &c, NULL), 0);
        assert_int_equal(c.exec, cases[i].exec);
        free(c.version);
    }
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
        cmocka_unit_test(mounts_without_a_block_device),
        cmocka_unit_test(mounts_without_sense),
        cmocka_unit_test(files_of_the_guest),
        cmocka_unit_test(programs_in_the_guest),
        cmocka_unit_test(base64_there_and_back),
        cmocka_unit_test(programs_may_be_forbidden),
    };

    virInitialize(); /* typed parameters need libvirt's error object of the thread */
    virSetErrorFunc(NULL, ignore_error);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
