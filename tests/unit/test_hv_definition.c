/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Corrections before a restored VM is registered (M17, M18): what is asked for changes, nothing else does. */
#include "hypervisor/xml/definition.h"
#include "hypervisor/xml/places_xml.h"
#include "test_hv.h"

static struct hv_def *load(const char *name)
{
    _cleanup_free_ char *xml = golden_read(name, "xml");
    struct hv_def *def = NULL;
    struct err err = ERR_INIT;

    if (hv_def_parse(xml, &def, &err) < 0)
        fail_msg("%s", err.text);
    return def;
}

static char *text_of(const struct hv_def *def)
{
    char *text = NULL;

    assert_int_equal(hv_def_text(def, &text, NULL), 0);
    return text;
}

/* Quoting is libxml2's own: " where libvirt writes '. Apart from that and newlines at the end the text is the same. */
static void normalise(char *s)
{
    size_t n = strlen(s);

    while (n && s[n - 1] == '\n')
        s[--n] = '\0';
    for (; *s; s++)
        if (*s == '\'')
            *s = '"';
}

static void untouched_is_unchanged(void **state)
{
    static const char *const names[] = { "disks", "hardware", "live-efi-chain", "inactive-efi", "minimal" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_(hv_def_free_p) struct hv_def *def = load(names[i]);
        _cleanup_free_ char *text = text_of(def), *was = golden_read(names[i], "xml");
        normalise(text);
        normalise(was);
        assert_string_equal(text, was);
    }
}

static void set_disk(struct hv_def *def, const char *target, const char *path, const char *format)
{
    struct err err = ERR_INIT;
    const char *got_path, *got_format;

    if (hv_def_set_disk(def, target, path, format, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(hv_def_disk(def, target, &got_path, &got_format, &err), 0);
    assert_string_equal(got_path, path);
    if (format)
        assert_string_equal(got_format, format);
}

static void m17_disks_are_corrected(void **state)
{
    _cleanup_(hv_def_free_p) struct hv_def *def = load("disks");

    (void)state;
    set_disk(def, "vda", "/new/a & b.qcow2", NULL);
    set_disk(def, "vdb", "/new/was-block.raw", "raw");
    set_disk(def, "vde", "/new/was-rbd.raw", NULL);
    set_disk(def, "vdf", "/new/was-iscsi.qcow2", "qcow2");
    set_disk(def, "vdi", "/new/was-volume.qcow2", NULL);
    set_disk(def, "vdn", "/new/flat.qcow2", NULL);
    set_disk(def, "sdb", "/new/had-no-driver.qcow2", "qcow2");
    set_disk(def, "hdb", "/new/put-in.iso", NULL);
    _cleanup_free_ char *text = text_of(def);
    golden_check("disks", "corrected", text);
}

static void m17_block_devices_are_told_by_what_they_are(void **state)
{
    _cleanup_(hv_def_free_p) struct hv_def *def = load("disks");
    _cleanup_free_ char *text = NULL;

    (void)state;
    if (!io_exists("/dev/vda") && !io_exists("/dev/loop0"))
        skip();
    const char *device = io_exists("/dev/vda") ? "/dev/vda" : "/dev/loop0";
    set_disk(def, "vda", device, "raw");
    text = text_of(def);
    _cleanup_free_ char *wanted = str_format("<source dev=\"%s\"/>", device);
    assert_non_null(strstr(text, wanted));
    assert_non_null(strstr(text, "<disk type=\"block\" device=\"disk\">\n      <driver name=\"qemu\" type=\"raw\" cache=\"none\""));
}

static void disks_that_are_not_there(void **state)
{
    _cleanup_(hv_def_free_p) struct hv_def *def = load("disks");
    const char *path = "kept", *format = "kept";
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(hv_def_disk(def, "vdz", &path, &format, &err), -ENOENT);
    assert_string_equal(path, "kept");
    assert_int_equal(hv_def_set_disk(def, "vdz", "/x", NULL, &err), -ENOENT);
    assert_int_equal(hv_def_disk(def, "vde", &path, &format, NULL), 0); /* on the network */
    assert_null(path);
    assert_string_equal(format, "raw");
    assert_string_equal(hv_def_name(def), "disks");
    assert_string_equal(hv_def_uuid(def), "3f0c7c9e-3c61-4d1f-9f6e-0b0f2f2a7a01");
}

static void b7_nvram_is_corrected(void **state)
{
    static const struct {
        const char *name, *was, *wanted;
    } cases[] = {
        { "live-efi-chain", "/var/lib/libvirt/qemu/nvram/live_VARS.fd",
          "<nvram template=\"/usr/share/OVMF/OVMF_VARS_4M.fd\">/n &amp; m</nvram>" },
        { "hardware", "/var/lib/libvirt/qemu/nvram/hardware_VARS.fd", "<source file=\"/n &amp; m\"/>" },
        { "minimal", NULL, "<os><type>hvm</type><nvram>/n &amp; m</nvram></os>" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(hv_def_free_p) struct hv_def *def = load(cases[i].name);
        if (cases[i].was)
            assert_string_equal(hv_def_nvram(def), cases[i].was);
        else
            assert_null(hv_def_nvram(def));
        assert_int_equal(hv_def_set_nvram(def, "/n & m", NULL), 0);
        assert_string_equal(hv_def_nvram(def), "/n & m");
        _cleanup_free_ char *text = text_of(def);
        assert_non_null(strstr(text, cases[i].wanted));
    }
}

static void m18_new_ports(void **state)
{
    _cleanup_(hv_def_free_p) struct hv_def *def = load("hardware");
    struct hv_nic nic;

    (void)state;
    assert_int_equal(hv_def_nic_count(def), 5);
    assert_int_equal(hv_def_nic(def, 1, &nic, NULL), 0);
    assert_string_equal(nic.interface_id, "09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f");
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(hv_def_nic_new_port(def, i, NULL), 0);
    assert_int_equal(hv_def_nic_link(def, 0, false, NULL), 0);
    assert_int_equal(hv_def_nic_link(def, 1, true, NULL), 0);
    assert_int_equal(hv_def_nic_link(def, 3, true, NULL), 0);
    assert_int_equal(hv_def_nic(def, 0, &nic, NULL), 0);
    assert_true(nic.link_down);
    assert_null(nic.target);
    assert_int_equal(hv_def_nic(def, 1, &nic, NULL), 0);
    assert_false(nic.link_down);
    assert_null(nic.interface_id);
    assert_string_equal(nic.target, "tap-web"); /* chosen by the user, not by libvirt */
    _cleanup_free_ char *text = text_of(def);
    golden_check("hardware", "ports", text);
}

static void nics_that_are_not_there(void **state)
{
    _cleanup_(hv_def_free_p) struct hv_def *def = load("minimal");
    struct hv_nic nic = { .mac = NULL };

    (void)state;
    assert_int_equal(hv_def_nic_count(def), 0);
    assert_int_equal(hv_def_nic(def, 0, &nic, NULL), -ENOENT);
    assert_int_equal(hv_def_nic_new_port(def, 0, NULL), -ENOENT);
    assert_int_equal(hv_def_nic_link(def, SIZE_MAX, true, NULL), -ENOENT);
}

static void nonsense_is_refused(void **state)
{
    struct hv_def *def = NULL;

    (void)state;
    assert_int_equal(hv_def_parse("<domain", &def, NULL), -EINVAL);
    assert_int_equal(hv_def_parse("<pool/>", &def, NULL), -EINVAL);
    assert_int_equal(hv_def_parse("<domain><devices><disk/></devices></domain>", &def, NULL), -EINVAL);
    assert_null(def);
    assert_int_equal(hv_def_parse("<domain><name>x</name></domain>", &def, NULL), 0);
    assert_int_equal(hv_def_set_nvram(def, "/x", NULL), -EINVAL); /* no <os> to put it in */
    hv_def_free(def);
    hv_def_free(NULL);
}

/* ---- Two definitions of one VM ------------------------------------------------------------------------------------------------*/

#define HEAD "<domain type='kvm'><name>t</name><memory>1</memory>"
#define DISK(path, target) "<disk type='file' device='disk'><source file='" path "'/><target dev='" target "' bus='virtio'/></disk>"

static struct hv_def *parse(const char *xml)
{
    struct hv_def *def = NULL;
    struct err err = ERR_INIT;

    if (hv_def_parse(xml, &def, &err) < 0)
        fail_msg("%s", err.text);
    return def;
}

static bool differ(const char *live, const char *next)
{
    _cleanup_(hv_def_free_p) struct hv_def *a = parse(live), *b = parse(next);
    bool differs = false;

    assert_int_equal(hv_def_settle_live(a, b, &differs, NULL), 0);
    return differs;
}

static void what_libvirt_spells_out_is_no_difference(void **state)
{
    static const char next[] =
        HEAD "<os firmware='efi'><type>hvm</type></os><cpu mode='host-model'/><devices><emulator>/q</emulator>\n  "
             "<controller type='usb' index='0' model='piix3-uhci'/><input type='mouse' bus='ps2'/>" DISK("/a", "vda") "</devices></domain>";
    static const char live[] = HEAD "<currentMemory>1</currentMemory><os firmware='efi'><type>hvm</type><loader type='pflash'>/c</loader>"
                                    "<nvram template='/t'>/n</nvram></os><cpu mode='custom' check='full'><model>X</model></cpu>"
                                    "<devices>" DISK("/a", "vda") "</devices><seclabel type='dynamic' model='dac'/></domain>";
    _cleanup_(hv_def_free_p) struct hv_def *a = parse(live), *b = parse(next);
    _cleanup_free_ char *text = NULL;
    bool differs = true;

    (void)state;
    assert_int_equal(hv_def_settle_live(a, b, &differs, NULL), 0);
    assert_false(differs);
    text = text_of(a);
    assert_null(strstr(text, "custom"));
    assert_null(strstr(text, "/c<"));
}

static void everything_else_is_one(void **state)
{
    static const char *const pairs[][2] = {
        { DISK("/a", "vda") DISK("/b", "vdb"), DISK("/a", "vda") },
        { DISK("/a", "vda"), DISK("/a", "vdb") },
        { DISK("/a", "vda"), DISK("/b", "vda") },
        { "<rng model='virtio'/>", "" },
        { "", "<rng model='virtio'/>" },
        { "<interface type='network'><source network='a'/></interface>", "<interface type='network'><source network='b'/></interface>" },
        { "<hostdev mode='subsystem' type='usb'/>", "" },
        { DISK("/a", "vda") DISK("/a", "vda"), DISK("/a", "vda") },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        _cleanup_free_ char *live = str_format(HEAD "<devices>%s</devices></domain>", pairs[i][0]);
        _cleanup_free_ char *next = str_format(HEAD "<devices>%s</devices></domain>", pairs[i][1]);
        assert_true(differ(live, next));
        assert_false(differ(live, live));
    }
    assert_true(differ(HEAD "<vcpu>1</vcpu></domain>", HEAD "<vcpu>2</vcpu></domain>"));
    assert_true(
        differ(HEAD "<cpu mode='custom'><model>A</model></cpu></domain>", HEAD "<cpu mode='custom'><model>B</model></cpu></domain>"));
}

static void a_disk_is_found_by_its_image(void **state)
{
    _cleanup_(hv_def_free_p) struct hv_def *def = parse(HEAD "<devices>" DISK("/b", "vda") DISK(
        "/a", "vdb") "<disk type='volume' device='disk'><source pool='p' volume='v'/><target dev='vdc'/></disk></devices></domain>");

    (void)state;
    assert_string_equal(hv_def_find_image(NULL, def, "vda", "/a"), "vdb"); /* a change of names is pending */
    assert_string_equal(hv_def_find_image(NULL, def, "vda", "/b"), "vda");
    assert_null(hv_def_find_image(NULL, def, "vda", "/c"));
    assert_null(hv_def_find_image(NULL, def, "vdd", "/c"));
    assert_string_equal(hv_def_find_image(NULL, def, "vdc", "/pool/v"), "vdc"); /* where the pool is not known */
    assert_string_equal(hv_def_find_image(NULL, def, "vda", NULL), "vda");
}

static void a_disk_is_added(void **state)
{
    _cleanup_(hv_def_free_p) struct hv_def *def = parse(HEAD "<devices>" DISK("/b", "vda") "<rng/></devices></domain>");
    _cleanup_(hv_def_free_p) struct hv_def *bare = parse(HEAD "</domain>");
    _cleanup_free_ char *text = NULL, *none = NULL;

    (void)state;
    assert_int_equal(hv_def_add_disk(def, "vdb", "/n", "qcow2", NULL), 0);
    assert_true(hv_def_has_disk(def, "vdb"));
    text = text_of(def);
    assert_non_null(strstr(text, "<source file=\"/n\"/><target dev=\"vdb\" bus=\"virtio\"/>"));
    assert_int_equal(hv_def_add_disk(bare, "sda", "/n", "raw", NULL), 0);
    none = text_of(bare);
    assert_non_null(strstr(none, "dev=\"sda\""));
}

/* ---- What a VM can do without --------------------------------------------------------------------------------------------------*/

static const char lacking[] = HEAD
    "<sysinfo type='fwcfg'><entry name='opt/a'>stays</entry><entry name='opt/b' file='/gone/entry'/></sysinfo>"
    "<os><type>hvm</type><kernel>/gone/kernel</kernel><cmdline>x</cmdline><acpi><table type='slic'>/gone/table</table></acpi></os>"
    "<devices>" DISK(
        "/gone/image",
        "vda") "<rng model='virtio'><backend model='egd' type='unix'><source mode='connect' path='/gone/egd'/></backend></rng>"
               "<rng model='virtio'><backend model='egd' type='tcp'><source mode='connect' host='egd.far' service='7'/></backend></rng>"
               "<redirdev bus='usb' type='tcp'><source mode='connect' host='usb.far' service='7'/><protocol type='raw'/></redirdev>"
               "<redirdev bus='usb' type='tcp'><source mode='bind' host='usb.near' service='4000'/><protocol type='raw'/></redirdev>"
               "<redirdev bus='usb' type='unix'><source mode='connect' path='/away/usb'/></redirdev>"
               "<redirdev bus='usb' type='spicevmc'/>"
               "<smartcard mode='passthrough' type='unix'><source mode='connect' path='/gone/card'/></smartcard>"
               "<disk type='file' device='cdrom'><source file='/gone/cd.iso'/><target dev='hda' bus='ide'/></disk>"
               "<disk type='file' device='cdrom'><source file='/dev/null'/><backingStore type='file'><format type='qcow2'/>"
               "<source file='/dev/null'/><backingStore type='block'><format type='raw'/><source "
               "dev='/gone/base'/></backingStore></backingStore>"
               "<target dev='hdb'/></disk>"
               "<disk type='network' device='cdrom'><source protocol='nbd' name='far'/><target dev='hdc'/></disk>"
               "<disk type='file' device='floppy'><source file='/dev/null'/><target dev='fda'/></disk>"
               "<serial type='file'><source path='/gone/log'/><target port='0'/></serial>"
               "<serial type='pty'><log file='/gone/too'/></serial>"
               "<serial type='tcp'><source mode='connect' host='log.far' service='7'/></serial><graphics type='vnc' port='7' "
               "listen='vnc.host'/>"
               "<channel type='unix'><source mode='bind' path='/var/lib/libvirt/qemu/channel/target/domain-1-x/org.x'/></channel>"
               "<graphics type='vnc' port='5900'><listen type='socket' socket='/gone/vnc'/></graphics>"
               "<rng model='virtio'><backend model='random'>/gone/random</backend></rng>"
               "<hostdev mode='subsystem' type='usb'><source startupPolicy='mandatory'><vendor id='0x1'/><product "
               "id='0x2'/></source></hostdev>"
               "<hostdev mode='subsystem' type='usb'><source><address bus='1' device='3'/></source></hostdev>"
               "<interface type='network'><mac address='52:54:00:00:00:01'/><source network='lab'/><target dev='fixed'/><filterref "
               "filter='f'/>"
               "<port isolated='yes'/></interface></devices></domain>";

static char *without(enum def_without what, size_t *ret_notes)
{
    _cleanup_(hv_def_free_p) struct hv_def *def = parse(lacking);
    _cleanup_strv_ char **notes = NULL;
    struct err err = ERR_INIT;

    assert_int_equal(def_do_without(NULL, def, what, &notes, &err), 0);
    *ret_notes = strv_len(notes);
    return text_of(def);
}

static void b2_what_is_missing_goes_and_nothing_else(void **state)
{
    static const char *const stays[] = { "/gone/image",
                                         "/dev/null",
                                         "domain-1-x",
                                         "<source network=\"lab\"/>",
                                         "/dev/urandom",
                                         "<source startupPolicy=\"optional\"><vendor",
                                         "<source startupPolicy=\"optional\"><address",
                                         "isolated",
                                         "opt/a",
                                         "egd.far",
                                         "usb.far",
                                         "spicevmc",
                                         "service=\"4000\"",
                                         "<source mode=\"connect\" path=\"/away/usb\"><reconnect enabled=\"yes\" timeout=\"10\"/></source>",
                                         "<smartcard mode=\"passthrough\" type=\"null\"/>",
                                         "<serial type=\"null\">",
                                         "<listen type=\"none\"/>" };
    static const char *const goes[] = { "/gone/kernel", "cmdline",      "/gone/cd.iso", "/gone/log", "/gone/too",
                                        "/gone/vnc",    "/gone/random", "5900",         "mandatory", "/gone/base",
                                        "/gone/entry",  "/gone/table",  "/gone/egd",    "/gone/card" };
    size_t n;
    _cleanup_free_ char *text = without(WITHOUT_MISSING, &n);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(stays); i++)
        assert_non_null(strstr(text, stays[i]));
    for (size_t i = 0; i < ARRAY_SIZE(goes); i++)
        assert_null(strstr(text, goes[i]));
    assert_int_equal(n, 12); /* kernel, two media, port, log, display, random numbers twice, fw_cfg, ACPI table, smart card, USB */
}

static void b2_then_what_may_be_at_fault_goes(void **state)
{
    size_t n;
    _cleanup_free_ char *displays = without(WITHOUT_DISPLAYS, &n), *servers = without(WITHOUT_SERVERS, &n);
    _cleanup_free_ char *ports = without(WITHOUT_PORTS, &n), *media = without(WITHOUT_MEDIA, &n), *all = without(WITHOUT_NETWORK, &n);

    (void)state;
    assert_null(strstr(displays, "vnc.host"));
    assert_non_null(strstr(displays, "egd.far"));
    assert_non_null(strstr(displays, "log.far"));
    assert_non_null(strstr(servers, "vnc.host"));
    assert_non_null(strstr(servers, "domain-1-x"));
    assert_null(strstr(servers, "egd.far"));
    assert_null(strstr(servers, "log.far"));
    assert_null(strstr(ports, "vnc.host"));
    assert_null(strstr(ports, "domain-1-x"));
    assert_null(strstr(ports, "egd"));
    assert_non_null(strstr(ports, "host=\"usb.far\" service=\"7\"><reconnect enabled=\"yes\" timeout=\"10\"/></source>"));
    assert_non_null(strstr(ports, "host=\"usb.near\" service=\"0\""));
    assert_non_null(strstr(ports, "spicevmc"));
    assert_non_null(strstr(ports, "/dev/null"));
    assert_null(strstr(media, "/dev/null"));
    assert_non_null(strstr(ports, "name=\"far\""));
    assert_null(strstr(media, "name=\"far\""));
    assert_non_null(strstr(media, "lab"));
    assert_null(strstr(all, "lab"));
    assert_null(strstr(all, "fixed")); /* another's by now, perhaps */
    assert_null(strstr(all, "filterref"));
    assert_null(strstr(all, "isolated")); /* libvirt takes it with bridges only */
    assert_non_null(strstr(all, "52:54:00:00:00:01"));
    assert_non_null(strstr(all, "<link state=\"down\"/>"));
    assert_non_null(strstr(all, "/gone/image")); /* there is no going without */
}

static void what_a_start_chooses_anew_is_told(void **state)
{
    static const char before[] = "<domain><devices><graphics type='vnc' port='5900' autoport='yes'/><graphics type='vnc' port='7' "
                                 "autoport='no'/><interface type='user'><mac address='m'/><target dev='vnet0'/></interface>"
                                 "<serial type='pty'><source path='/dev/pts/1'/></serial>"
                                 "<disk device='cdrom'><source file='/a.iso' startupPolicy='optional'/><target dev='hda'/></disk>"
                                 "<disk device='cdrom'><source file='/b.iso'/><target dev='hdb'/></disk>"
                                 "<hostdev type='usb'><source startupPolicy='optional'><vendor id='0x1'/><product id='0x2'/></source>"
                                 "</hostdev></devices></domain>";
    static const char after[] = "<domain><devices><graphics type='vnc' port='5901' autoport='yes'/>"
                                "<graphics type='vnc' port='8' autoport='no'/>"
                                "<interface type='user'><mac address='m'/><target dev='vnet0'/></interface>"
                                "<disk device='cdrom'><target dev='hda'/></disk><disk device='cdrom'><target dev='hdb'/></disk>"
                                "<hostdev type='usb'><source startupPolicy='optional' missing='yes'><vendor id='0x1'/><product id='0x2'/>"
                                "</source></hostdev></devices></domain>";
    _cleanup_(hv_def_free_p) struct hv_def *a = NULL, *b = NULL;
    _cleanup_strv_ char **was = NULL, **is = NULL, **notes = NULL;

    (void)state;
    assert_int_equal(hv_def_parse(before, &a, NULL), 0);
    assert_int_equal(hv_def_parse(after, &b, NULL), 0);
    assert_int_equal(traits_xml_list(a->root, &was), 0);
    assert_int_equal(traits_xml_list(b->root, &is), 0);
    assert_int_equal(hv_traits_changed(was, is, &notes), 0);
    assert_int_equal(strv_len(notes), 3);
    assert_string_equal(notes[0], "the port of its VNC display is now 5901, was 5900");
    assert_string_equal(notes[1], "the medium in its drive hda no longer exists: /a.iso");
    assert_string_equal(notes[2], "the USB device of product 0x2 no longer exists: 0x1");
}

#define ARG(value) "<q:arg value='" value "'/>"
/* libvirt passes on what it does not know; what QEMU makes by itself need not be there. */
static void b2_files_of_the_command_line_are_needed(void **state)
{
    _cleanup_(hv_def_free_p) struct hv_def *def = parse(
        "<domain type='kvm' xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><name>t</name><devices/><q:commandline>" ARG("-fw_cfg")
            ARG("name=opt/a,file=/gone/a,,b") ARG("--smbios") ARG("file=/gone/smbios") ARG("-fw_cfg") ARG("name=opt/b,file=/dev/null") ARG(
                "-nodefaults") ARG("-object") ARG("filter-dump,id=f,file=/gone/made") ARG("-object") ARG("secret,id=s,file=/gone/secret")
                ARG("-chardev") ARG("file,id=c,path=/gone/made") ARG("-drive") ARG("file=nbd:far") ARG("-device") ARG(
                    "x,notromfile=/gone/made") ARG("-fw_cfg") ARG("") ARG("-fw_cfg") ARG("file=") ARG("-fw_cfg") ARG(",,,=") ARG("-bios")
                    ARG("/gone/bios") ARG("/gone/nothing") ARG("-") "<q:arg/>" ARG("-fw_cfg") ARG("-blockdev") ARG(
                        "{&quot;driver&quot;:&quot;qcow2&quot;,&quot;file&quot;:{&quot;driver&quot;:&quot;file&quot;,"
                        "&quot;filename&quot;:&quot;/gone/json&quot;},&quot;backing&quot;:null}") ARG("-blockdev")
                        ARG("{&quot;driver&quot;:&quot;nbd&quot;,&quot;server&quot;:{&quot;type&quot;:&quot;unix&quot;,"
                            "&quot;path&quot;:&quot;/gone/socket&quot;}}") ARG("-device")
                            ARG("{&quot;driver&quot;:&quot;e1000&quot;,&quot;romfile&quot;:&quot;/gone/rom&quot;}") ARG("-object")
                                ARG("{&apos;qom-type&apos;:&apos;secret&apos;,&apos;file&apos;:&apos;/gone/apos&apos;}") ARG("-object") ARG(
                                    "{&quot;qom-type&quot;:&quot;filter-dump&quot;,&quot;file&quot;:&quot;/gone/made&quot;}") ARG("-drive")
                                    ARG("file=json:{&quot;driver&quot;:&quot;file&quot;,,&quot;filename&quot;:&quot;/gone/pseudo&quot;}")
                                        ARG("-blockdev") ARG("{&quot;filename&quot;:&quot;/dev/null&quot;}") ARG("-blockdev")
                                            ARG("{&quot;filename") ARG("-drive")
                                                ARG("file=file:/gone/prefix,if=none") "</q:commandline></domain>");
    _cleanup_strv_ char **missing = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(hv_def_missing(NULL, def, &missing, &err), 0);
    static const char *const json[] = { "/gone/json (of -blockdev", "/gone/socket (of -blockdev", "/gone/rom (of -device",
                                        "/gone/apos (of -object",   "/gone/pseudo (of -drive",    "/gone/prefix (of -drive" };
    assert_int_equal(strv_len(missing), 4 + ARRAY_SIZE(json));
    for (size_t i = 0; i < ARRAY_SIZE(json); i++)
        assert_non_null(strstr(missing[4 + i], json[i]));
    assert_string_equal(missing[0], "file /gone/a,b (of -fw_cfg on QEMU's command line)");
    assert_string_equal(missing[1], "file /gone/smbios (of -smbios on QEMU's command line)");
    assert_string_equal(missing[2], "file /gone/secret (of -object on QEMU's command line)");
    assert_string_equal(missing[3], "file /gone/bios (of -bios on QEMU's command line)");
    _cleanup_strv_ char **notes = NULL, **rest = NULL;
    assert_int_equal(arguments_xml_without(def->root, &notes), 0);
    assert_int_equal(strv_len(notes), 2); /* of the setting and the table; there is no going without the rest */
    assert_int_equal(arguments_xml_missing(def->root, &rest), 0);
    assert_int_equal(strv_len(rest), 2 + ARRAY_SIZE(json));
    assert_string_equal(rest[0], missing[2]);
}

/* By what an undo tells the VM that it made from one that somebody defined since (B2). */
static void definitions_of_one_vm_are_alike(void **state)
{
#define VM(name, uuid, disks) "<domain type='qemu'><name>" name "</name><uuid>" uuid "</uuid><devices>" disks "</devices></domain>"
    static const char one[] = VM("web", "5d4e7a10-0d2b-4c55-8a63-000000000001", DISK("/a", "vda") DISK("/b", "vdb"));
    static const char *const others[] = {
        VM("web", "5d4e7a10-0d2b-4c55-8a63-000000000002", DISK("/a", "vda") DISK("/b", "vdb")),
        VM("web2", "5d4e7a10-0d2b-4c55-8a63-000000000001", DISK("/a", "vda") DISK("/b", "vdb")),
        VM("web", "5d4e7a10-0d2b-4c55-8a63-000000000001", DISK("/a", "vda") DISK("/c", "vdb")),
        VM("web", "5d4e7a10-0d2b-4c55-8a63-000000000001", DISK("/a", "vda")),
        "<domain",
        "",
    };

    (void)state;
    assert_true(hv_def_alike(one, one));
    assert_true(hv_def_alike(one, VM("web", "5D4E7A10-0D2B-4C55-8A63-000000000001", DISK("/b", "vdb") DISK("/a", "vda") "<tpm/>")));
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        assert_false(hv_def_alike(one, others[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(untouched_is_unchanged),
        cmocka_unit_test(m17_disks_are_corrected),
        cmocka_unit_test(m17_block_devices_are_told_by_what_they_are),
        cmocka_unit_test(disks_that_are_not_there),
        cmocka_unit_test(b7_nvram_is_corrected),
        cmocka_unit_test(m18_new_ports),
        cmocka_unit_test(nics_that_are_not_there),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(what_libvirt_spells_out_is_no_difference),
        cmocka_unit_test(everything_else_is_one),
        cmocka_unit_test(a_disk_is_found_by_its_image),
        cmocka_unit_test(a_disk_is_added),
        cmocka_unit_test(b2_what_is_missing_goes_and_nothing_else),
        cmocka_unit_test(b2_files_of_the_command_line_are_needed),
        cmocka_unit_test(b2_then_what_may_be_at_fault_goes),
        cmocka_unit_test(what_a_start_chooses_anew_is_told),
        cmocka_unit_test(definitions_of_one_vm_are_alike),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
