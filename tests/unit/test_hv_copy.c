/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM restored under another name: what identifies the original does not come twice, neither in the definition nor in the definition
 * that a saved state carries; nothing else changes. */
#include "test_hv.h"

#include <fcntl.h>
#include <unistd.h>

#define UUID "11111111-2222-4333-8444-555555555555"

static const char original[] =
    "<domain type='qemu'>\n  <name>web</name>\n  <uuid>3f0c7c9e-3c61-4d1f-9f6e-0b0f2f2a7a01</uuid>\n"
    "  <genid>aaaaaaaa-3c61-4d1f-9f6e-0b0f2f2a7a01</genid>\n  <title>web is kept</title>\n"
    "  <sysinfo type='smbios'><system><entry name='uuid'>3f0c7c9e-3c61-4d1f-9f6e-0b0f2f2a7a01</entry>"
    "<entry name='serial'>kept</entry></system></sysinfo>\n"
    "  <os><type>hvm</type><kernel>/not-there/vmlinuz</kernel><initrd>/dev/null</initrd></os>\n"
    "  <devices>\n"
    "    <interface type='bridge'>\n      <mac address='52:54:00:00:00:01'/>\n      <source bridge='br0'/>\n"
    "      <vlan><tag id='7'/></vlan>\n      <virtualport type='openvswitch'><parameters interfaceid='"
    "09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport>\n      <target dev='mytap'/>\n      <model type='virtio'/>\n    </interface>\n"
    "    <serial type='file'><source path='/var/log/web.log'/><log file='/var/log/all'/></serial>\n"
    "    <channel type='unix'><source mode='bind' path='/run/web.sock'/><target type='virtio' name='x'/></channel>\n"
    "    <channel type='unix'><source mode='connect' path='/run/web-server.sock'/><target type='virtio' name='y'/></channel>\n"
    "    <graphics type='vnc' port='5901' autoport='no' websocket='5700'/>\n"
    "    <vsock model='virtio'><cid auto='no' address='3'/></vsock>\n"
    "  </devices>\n</domain>\n";

static struct hv_def *load(const char *xml)
{
    struct hv_def *def = NULL;
    struct err err = ERR_INIT;

    if (hv_def_parse(xml, &def, &err) < 0)
        fail_msg("%s", err.text);
    return def;
}

static char *copied(const struct hv_def_copy *copy, size_t *ret_notes)
{
    struct hv_def *def = load(original);
    struct err err = ERR_INIT;
    char **notes = NULL, *text = NULL;

    if (hv_def_make_copy(def, copy, &notes, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(hv_def_name(def), copy->name);
    assert_string_equal(hv_def_uuid(def), copy->uuid);
    assert_int_equal(hv_def_text(def, &text, NULL), 0);
    *ret_notes = strv_len(notes);
    strv_free(notes);
    hv_def_free(def);
    return text;
}

static void has(const char *text, const char *what, bool wanted)
{
    if ((strstr(text, what) != NULL) != wanted)
        fail_msg("%s %s: %s", what, wanted ? "is missing" : "is there", text);
}

static void a_copy_has_its_own_identity(void **state)
{
    const struct hv_def_copy copy = { .name = "web-2", .uuid = UUID };
    size_t notes;
    _cleanup_free_ char *text = copied(&copy, &notes);

    (void)state;
    has(text, "<name>web-2</name>", true);
    has(text, "<uuid>" UUID "</uuid>", true);
    has(text, "<entry name=\"uuid\">" UUID "</entry><entry name=\"serial\">kept</entry>", true);
    has(text, "aaaaaaaa-3c61", false); /* generation id */
    has(text, "3f0c7c9e-3c61", false);
    has(text, "52:54:00:00:00:01", false);
    has(text, "<mac address=\"52:54:00:", true);
    has(text, "<title>web is kept</title>", true);
    has(text, "mytap", false);
    has(text, "path=\"/var/log/web-2.log\"", true);
    has(text, "file=\"/var/log/all-web-2\"", true);
    has(text, "path=\"/run/web-2.sock\"", true);
    has(text, "/run/web-server.sock", false); /* of another program, which serves the original there */
    has(text, "5901", false);
    has(text, "5700", false);
    has(text, "autoport=\"yes\"", true);
    has(text, "<cid auto=\"yes\"/>", true);
    assert_int_equal(notes, 3);
}

static void macs_and_generation_may_be_kept(void **state)
{
    const struct hv_def_copy copy = { .name = "w", .uuid = UUID, .keep_mac = true, .same_memory = true };
    size_t notes;
    _cleanup_free_ char *text = copied(&copy, &notes);

    (void)state;
    has(text, "<mac address=\"52:54:00:00:00:01\"/>", true);
    has(text, "aaaaaaaa-3c61", true);
}

static void a_nic_is_plugged_in_elsewhere(void **state)
{
    struct hv_nic net = { .type = (char *)(uintptr_t) "network", .source = (char *)(uintptr_t) "lab" };
    struct hv_nic ovs = { .type = (char *)(uintptr_t) "bridge",
                          .source = (char *)(uintptr_t) "ovs1",
                          .virtualport = (char *)(uintptr_t) "openvswitch" };
    struct hv_def *def = load(original);
    struct err err = ERR_INIT;
    struct hv_nic nic;

    (void)state;
    assert_int_equal(hv_def_nic_plug(def, 0, &net, &err), 0);
    assert_int_equal(hv_def_nic(def, 0, &nic, &err), 0);
    assert_string_equal(nic.type, "network");
    assert_string_equal(nic.source, "lab");
    assert_string_equal(nic.mac, "52:54:00:00:00:01");
    assert_string_equal(nic.target, "mytap"); /* a user's own name */
    assert_null(nic.virtualport);
    assert_int_equal(hv_def_nic_link(def, 0, false, &err), 0);
    assert_int_equal(hv_def_nic_plug(def, 0, &ovs, &err), 0);
    assert_int_equal(hv_def_nic(def, 0, &nic, &err), 0);
    assert_string_equal(nic.source, "ovs1");
    assert_string_equal(nic.virtualport, "openvswitch");
    assert_null(nic.interface_id);
    assert_false(nic.link_down);
    _cleanup_free_ char *text = NULL;
    assert_int_equal(hv_def_text(def, &text, NULL), 0);
    has(text, "<vlan>", false);
    assert_int_equal(hv_def_nic_plug(def, 1, &net, &err), -ENOENT);
    hv_def_free(def);
}

static void files_of_the_host_that_are_missing_are_named(void **state)
{
    struct hv_def *def = load(original);
    struct err err = ERR_INIT;
    char **missing = NULL;

    (void)state;
    assert_int_equal(hv_def_missing(NULL, def, &missing, &err), 0);
    assert_int_equal(strv_len(missing), 2);
    assert_string_equal(missing[0], "kernel /not-there/vmlinuz");
    assert_string_equal(missing[1], "socket of a port /run/web-server.sock");
    strv_free(missing);
    hv_def_free(def);
}

/* ---- Saved states -----------------------------------------------------------------------------------------------------------*/

#define STREAM "QEVM and what QEMU wrote"

struct head {
    char magic[16];
    uint32_t version, data_len, was_running, compressed, cookie;
    uint32_t unused[14];
};

static void make_save(const char *path, const char *xml, const char *cookie, uint32_t data_len)
{
    struct head h = { .version = 2, .data_len = data_len, .was_running = 1, .cookie = cookie ? (uint32_t)strlen(xml) + 1 : 0 };
    char *data = calloc(1, data_len);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_non_null(data);
    assert_true(fd >= 0);
    memcpy(h.magic, "LibvirtQemudSave", 16);
    memcpy(data, xml, strlen(xml) + 1);
    if (cookie)
        memcpy(data + h.cookie, cookie, strlen(cookie) + 1);
    assert_int_equal(io_write(fd, &h, sizeof h), 0);
    assert_int_equal(io_write(fd, data, data_len), 0);
    assert_int_equal(io_write(fd, STREAM, strlen(STREAM)), 0);
    close(fd);
    free(data);
}

static const struct hv_def_copy longer = { .name = "a-much-longer-name-than-it-had-before", .uuid = UUID };

static void a_saved_state_is_renamed_in_place(void **state)
{
    uint32_t tight = (uint32_t)(sizeof original + sizeof "<cookie/>");
    _cleanup_free_ char *path = str_format("%s/web.save", (char *)*state);
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct err err = ERR_INIT;
    struct head h;

    make_save(path, original, "<cookie/>", tight);
    if (hv_save_image_rename(path, &longer, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(io_read_file(path, GOLDEN_MAX, &b, &err), 0);
    assert_int_equal(b.len, sizeof h + tight + strlen(STREAM));
    memcpy(&h, b.data, sizeof h);
    assert_int_equal(h.data_len, tight);
    assert_int_equal(h.was_running, 1);
    const char *xml = (const char *)b.data + sizeof h;
    assert_int_equal(h.cookie, strlen(xml) + 1);
    assert_string_equal(xml + h.cookie, "<cookie/>");
    has(xml, "<name>a-much-longer-name-than-it-had-before</name><uuid>" UUID "</uuid>", true);
    has(xml, "52:54:00:00:00:01", true); /* the guest's memory holds it */
    assert_memory_equal(xml + tight, STREAM, strlen(STREAM));
}

static void what_is_no_saved_state_is_left_alone(void **state)
{
    _cleanup_free_ char *path = str_format("%s/bad.save", (char *)*state);
    _cleanup_buf_ struct buf before = BUF_INIT, after = BUF_INIT;
    struct err err = ERR_INIT;

    assert_true(hv_save_image_rename(path, &longer, &err) < 0); /* not there */
    assert_int_equal(io_replace_file(path, "LibvirtQemudSave", 16, 0600, &err), 0);
    assert_true(hv_save_image_rename(path, &longer, &err) < 0); /* too short */
    make_save(path, "<domain><name>x</name>", NULL, 100);       /* not well-formed */
    assert_true(hv_save_image_rename(path, &longer, &err) < 0);
    make_save(path, "<domain><name>x</name></domain>", NULL, 40); /* no room for the name */
    assert_int_equal(io_read_file(path, GOLDEN_MAX, &before, &err), 0);
    assert_true(hv_save_image_rename(path, &longer, &err) < 0);
    assert_int_equal(io_read_file(path, GOLDEN_MAX, &after, &err), 0);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
}

static int make_dir(void **state)
{
    char *dir = strdup("/tmp/kvss-test-XXXXXX");

    *state = dir ? mkdtemp(dir) : NULL;
    return *state ? 0 : -1;
}

static int remove_dir(void **state)
{
    int r = io_remove_tree(*state, NULL);

    free(*state);
    return r;
}

/* Each names "OURS" something of the host that only one VM can have. seen: the guest's memory knows whether it is there. */
static const struct {
    const char *element;
    bool seen;
} shared[] = {
    { "<memory model='nvdimm' access='shared'><source><path>/OURS</path></source><target><size>1</size></target></memory>", true },
    { "<memory model='virtio-pmem'><source><path>/OURS</path></source><target><size>1</size></target></memory>", true },
    { "<filesystem type='mount'><source dir='/OURS'/><target dir='tag'/></filesystem>", true },
    { "<filesystem type='mount'><driver type='virtiofs'/><source socket='/OURS'/><target dir='tag'/></filesystem>", true },
    { "<hostdev mode='subsystem' type='mdev'><source><address uuid='OURS'/></source></hostdev>", true },
    { "<shmem name='OURS'><model type='ivshmem-plain'/></shmem>", true },
    { "<tpm model='tpm-tis'><backend type='passthrough'><device path='/OURS'/></backend></tpm>", true },
    { "<tpm model='tpm-tis'><backend type='external'><source type='unix' mode='connect' path='/OURS'/></backend></tpm>", true },
    { "<input type='passthrough' bus='virtio'><source evdev='/OURS'/></input>", true },
    { "<input type='evdev'><source dev='/OURS'/></input>", false },
    { "<lease><lockspace>l</lockspace><key>OURS</key><target path='/x'/></lease>", false },
    { "<serial type='dev'><source path='/OURS'/></serial>", false },
    { "<serial type='tcp'><source mode='bind' host='0.0.0.0' service='OURS'/><protocol type='telnet'/></serial>", false },
    { "<channel type='unix'><source mode='connect' path='/OURS'/><target type='virtio' name='x'/></channel>", false },
    { "<parallel type='pipe'><source path='/OURS'/></parallel>", false },
    { "<console type='udp'><source mode='bind' service='OURS'/></console>", false },
    { "<redirdev bus='usb' type='tcp'><source mode='connect' host='h' service='OURS'/></redirdev>", true },
    { "<rng model='virtio'><backend model='egd' type='unix'><source mode='connect' path='/OURS'/></backend></rng>", false },
    { "<interface type='vhostuser'><mac address='52:54:00:00:00:09'/><source type='unix' path='/OURS' mode='server'/></interface>", true },
    { "<interface type='vdpa'><mac address='52:54:00:00:00:09'/><source dev='/OURS'/></interface>", true },
    { "<interface type='direct'><mac address='52:54:00:00:00:09'/><source dev='OURS' mode='passthrough'/></interface>", false },
    { "<graphics type='vnc' port='-1' autoport='yes' websocket='OURS'/>", false },
    { "<graphics type='dbus' address='unix:path=/OURS'/>", false },
    { "<disk type='file' device='disk'><source file='/OURS'/><target dev='vdz'/></disk>", true },
    { "<disk type='file' device='disk'><source file='/OURS'/><target dev='vdz'/><shareable/></disk>", true },
    { "<disk type='block' device='lun'><source dev='/OURS'/><target dev='sdz'/></disk>", true },
    { "<disk type='vhostuser' device='disk'><source type='unix' path='/OURS'/><target dev='vdz'/></disk>", true },
    { "<disk type='block' device='cdrom'><source dev='/OURS'/><target dev='sdz'/><readonly/></disk>", false },
    { "<disk type='file' device='floppy'><source file='/OURS'/><target dev='fda'/></disk>", false },
};
static const char *const lines[] = {
    "<q:arg value='-drive'/><q:arg value='file=/OURS,if=virtio'/>",
    "<q:arg value='-chardev'/><q:arg value='socket,id=c,path=/OURS'/>",
    "<q:arg value='-device'/><q:arg value='vfio-pci,host=OURS'/>",
    "<q:arg value='-qmp'/><q:arg value='tcp:OURS'/>",
};

/* Status of the copy; its text (or "") in *ret. */
static int share(const char *element, const char *after, bool same_memory, char **ret)
{
    static const char *const restored[] = { "vda", NULL };
    const struct hv_def_copy copy = { .name = "w2", .uuid = UUID, .same_memory = same_memory };
    _cleanup_free_ char *xml = str_format("<domain xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><name>w</name><os/><devices>"
                                          "<disk><source file='/x'/><target dev='vda'/></disk>%s</devices>%s</domain>",
                                          element, after);
    _cleanup_strv_ char **notes = NULL, **more = NULL;
    struct hv_def *def = load(xml);
    struct err err = ERR_INIT;

    int r = hv_def_make_copy(def, &copy, &notes, &err);
    if (r == 0)
        r = hv_def_leave_disks(def, (char *const *)(uintptr_t)restored, same_memory, &more, &err);
    *ret = r == 0 ? NULL : strdup("");
    if (r == 0)
        assert_int_equal(hv_def_text(def, ret, NULL), 0);
    if (r == 0 && !notes && !more)
        fail_msg("nothing is told of %s", element);
    if (r < 0 && !strstr(err.text, "--discard-memory"))
        fail_msg("%s", err.text);
    hv_def_free(def);
    return r;
}

static void nothing_is_shared_with_the_original(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(shared); i++) {
        _cleanup_free_ char *boots = NULL, *goes_on = NULL;
        assert_int_equal(share(shared[i].element, "", false, &boots), 0);
        has(boots, "OURS", false);
        has(boots, "vda", true);
        assert_int_equal(share(shared[i].element, "", true, &goes_on), shared[i].seen ? -EBUSY : 0);
        has(goes_on, "OURS", false);
    }
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        _cleanup_free_ char *after = str_format("<q:commandline>%s</q:commandline>", lines[i]), *boots = NULL, *goes_on = NULL;
        assert_int_equal(share("", after, false, &boots), 0);
        has(boots, "OURS", false);
        assert_int_equal(share("", after, true, &goes_on), -EBUSY);
    }
}

static void what_is_only_read_or_names_nothing_stays(void **state)
{
    static const char *const stay[] = {
        "<disk type='file' device='cdrom'><source file='/KEPT'/><target dev='sda'/><readonly/></disk>",
        "<filesystem type='mount'><source dir='/KEPT'/><target dir='t'/><readonly/></filesystem>",
        "<serial type='pty'><target type='KEPT'/></serial>",
        "<interface type='network'><mac address='52:54:00:00:00:09'/><source network='KEPT'/></interface>",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(stay); i++) {
        _cleanup_free_ char *element = str_format("%s<serial type='dev'><source path='/dev/x'/></serial>", stay[i]), *text = NULL;
        assert_int_equal(
            share(element, "<q:commandline><q:arg value='-global'/><q:arg value='ICH9-LPC.KEPT2=0'/></q:commandline>", true, &text), 0);
        has(text, "KEPT", true);
        has(text, "KEPT2", true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_has_its_own_identity),
        cmocka_unit_test(macs_and_generation_may_be_kept),
        cmocka_unit_test(nothing_is_shared_with_the_original),
        cmocka_unit_test(what_is_only_read_or_names_nothing_stays),
        cmocka_unit_test(a_nic_is_plugged_in_elsewhere),
        cmocka_unit_test(files_of_the_host_that_are_missing_are_named),
        cmocka_unit_test_setup_teardown(a_saved_state_is_renamed_in_place, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(what_is_no_saved_state_is_left_alone, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
