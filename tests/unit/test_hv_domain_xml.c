/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions of many shapes: what is read out of NAME.xml is in NAME.txt. KVSS_UPDATE_GOLDEN=1 writes the latter anew. */
#include "base/io.h"
#include "hypervisor/domain/domain_storage.h"
#include "hypervisor/xml/domain_xml.h"
#include "test_hv.h"
#include <sys/stat.h>

static int resolve_volume(void *ctx, const char *pool, const char *volume, struct hv_disk *disk)
{
    (void)ctx;
    if (strcmp(pool, "fast") != 0)
        return -ENOENT;
    disk->source = HV_SOURCE_FILE;
    disk->path = str_format("/pools/fast/%s", volume);
    disk->locator = strdup(disk->path);
    return 0;
}

static int pci_is_storage(void *ctx, const char *address)
{
    (void)ctx;
    return strcmp(address, "0000:01:00.0") == 0 ? 1 : strcmp(address, "0000:02:00.0") == 0 ? 0 : -1;
}

static char *default_nvram(void *ctx, const char *name)
{
    (void)ctx;
    return str_format("/nvram/%s_VARS.fd", name);
}

static int usb_is_storage(void *ctx, const char *vendor, const char *product)
{
    (void)ctx, (void)product;
    return strcmp(vendor, "0x0951") == 0;
}

static int usb_at_is_storage(void *ctx, const char *bus, const char *device)
{
    (void)ctx;
    return strcmp(bus, "9") == 0 ? -1 : strcmp(device, "3") == 0;
}

static const struct domain_xml_env host = {
    .resolve_volume = resolve_volume,
    .default_nvram = default_nvram,
    .pci_is_storage = pci_is_storage,
    .usb_is_storage = usb_is_storage,
    .usb_at_is_storage = usb_at_is_storage,
};

static void add_line(struct buf *b, const char *name, const char *value)
{
    if (value)
        assert_int_equal(buf_addf(b, "%s: %s\n", name, value), 0);
}

static void add_strv(struct buf *b, const char *name, char *const *v)
{
    for (; v && *v; v++)
        add_line(b, name, *v);
}

static void add_disk(struct buf *b, const struct hv_disk *d)
{
    static const char *const devices[] = { "disk", "cdrom", "floppy", "lun" };
    static const char *const sources[] = { "none", "file", "block", "network", "other" };

    buf_addf(b, "disk: %s %s %s %s [%s]%s%s%s%s%s%s%s%s%s\n", d->target, devices[d->device], sources[d->source], d->format, d->locator,
             d->readonly ? " readonly" : "", d->shareable ? " shareable" : "", d->transient ? " transient" : "", d->slice ? " slice" : "",
             d->encrypted ? " encrypted" : "", d->unsaveable ? " unsaveable=" : "", d->unsaveable ? d->unsaveable : "",
             d->protocol ? " protocol=" : "", d->protocol ? d->protocol : "");
    add_line(b, "  path", d->path);
    add_line(b, "  node", d->node);
    add_line(b, "  no node", d->no_node);
    add_strv(b, "  backing", d->backing);
}

static void add_nic(struct buf *b, const struct hv_nic *n)
{
    buf_addf(b, "nic: %s%s\n", n->type, n->link_down ? " down" : "");
    add_line(b, "  mac", n->mac);
    add_line(b, "  alias", n->alias);
    add_line(b, "  source", n->source);
    add_line(b, "  target", n->target);
    add_line(b, "  virtualport", n->virtualport);
    add_line(b, "  interface_id", n->interface_id);
}

static void describe(const struct hv_domain *d, struct buf *b)
{
    add_line(b, "title", d->title);
    buf_addf(b, "memory: %llu\n", (unsigned long long)d->memory_bytes);
    add_line(b, "nvram", d->nvram);
    add_line(b, "template", d->nvram_template);
    add_line(b, "loader", d->loader);
    add_line(b, "kernel", d->kernel);
    add_line(b, "initrd", d->initrd);
    buf_addf(b, "tpm: %d\nchannel: %d\nconnected: %d\n", d->tpm, d->agent_channel, d->agent_connected);
    for (size_t i = 0; i < d->n_disks; i++)
        add_disk(b, &d->disks[i]);
    for (size_t i = 0; i < d->n_nics; i++)
        add_nic(b, &d->nics[i]);
    add_strv(b, "passthrough", d->passthrough);
}

static void check_golden(const char *name)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = calloc(1, sizeof *d);
    _cleanup_free_ char *xml = golden_read(name, "xml");
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct err err = ERR_INIT;

    assert_int_equal(domain_xml_parse(xml, &host, d, &err), 0);
    describe(d, &b);
    golden_check(name, "txt", (char *)b.data);
}

static void m11_disks_of_every_kind(void **state)
{
    (void)state;
    check_golden("disks");
}

static void m11_host_devices_with_storage_are_told(void **state)
{
    (void)state;
    check_golden("hardware");
}

static void real_definitions(void **state)
{
    (void)state;
    check_golden("live-efi-chain");
    check_golden("inactive-efi");
    check_golden("minimal");
}

/* A transient disk is what lies behind libvirt's overlay, and only where that is libvirt's. */
static void m11_disks_of_which_the_image_is_another_or_a_part(void **state)
{
    (void)state;
    check_golden("live-odd-disks");
}

static int parse(const char *xml, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = calloc(1, sizeof *d);

    return domain_xml_parse(xml, NULL, d, err);
}

/* libvirt's active definition has the path, its inactive one has not: both must lead to the NVRAM. */
static void b7_nvram_without_a_path(void **state)
{
    static const struct {
        const char *os, *wanted;
    } cases[] = {
        { "<os firmware='efi'/>", "/nvram/x_VARS.fd" },
        { "<os firmware='bios'/>", NULL },
        { "<os><loader type='pflash'>/code.fd</loader></os>", "/nvram/x_VARS.fd" },
        { "<os><loader type='pflash' stateless='yes'>/code.fd</loader></os>", NULL },
        { "<os><loader type='rom'>/bios</loader></os>", NULL },
        { "<os firmware='efi'><nvram>/own.fd</nvram></os>", "/own.fd" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(hv_domain_free_p) struct hv_domain *d = calloc(1, sizeof *d);
        _cleanup_free_ char *xml = str_format("<domain><name>x</name>%s</domain>", cases[i].os);
        assert_int_equal(domain_xml_parse(xml, &host, d, NULL), 0);
        if (cases[i].wanted)
            assert_string_equal(d->nvram, cases[i].wanted);
        else
            assert_null(d->nvram);
    }
}

static void nonsense_is_refused(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(parse("", &err), -EINVAL);
    assert_int_equal(parse("<domain>", &err), -EINVAL);
    assert_int_equal(parse("<network/>", &err), -EINVAL);
    assert_non_null(strstr(err.text, "<network>"));
    assert_int_equal(parse("<domain><devices><disk type='file'><source file='/x'/></disk></devices></domain>", &err), -EINVAL);
    assert_non_null(strstr(err.text, "no target"));
    assert_int_equal(parse("<domain><devices><disk><target dev=''/></disk></devices></domain>", &err), -EINVAL);
    assert_int_equal(parse("<domain><devices><interface/></devices></domain>", &err), -EINVAL);
    assert_int_equal(parse("<!DOCTYPE domain [<!ENTITY a 'b'>]><domain><title>&a;</title></domain>", &err), -EINVAL);
}

/* A relative path would be looked for in our working folder. */
static void relative_paths_are_no_files(void **state)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = calloc(1, sizeof *d);

    (void)state;
    assert_int_equal(domain_xml_parse("<domain><os><nvram>vars.fd</nvram></os><devices><disk type='file'><source file='a.img'/>"
                                      "<target dev='vda'/></disk></devices></domain>",
                                      NULL, d, NULL),
                     0);
    assert_int_equal(d->disks[0].source, HV_SOURCE_OTHER);
    assert_null(d->disks[0].path);
    assert_string_equal(d->disks[0].locator, "file:a.img");
    assert_null(d->nvram);
}

static void too_many_disks_are_refused(void **state)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct err err = ERR_INIT;

    (void)state;
    buf_adds(&b, "<domain><devices>");
    for (unsigned i = 0; i <= DISKS_MAX; i++)
        buf_addf(&b, "<disk><target dev='vd%u'/></disk>", i);
    buf_adds(&b, "</devices></domain>");
    assert_int_equal(parse((char *)b.data, &err), -E2BIG);
}

/* What libvirt calls no disk, but holds data of the guest's all the same. */
static void m11_what_is_beside_disks_is_told(void **state)
{
    static const char xml[] =
        "<domain type='kvm' xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><name>b</name><os><loader readonly='no'>/fw</loader>"
        "<nvram type='block'><source dev='/dev/nv'/></nvram></os><devices>"
        "<memory model='nvdimm'><source><path>/nv.img</path></source></memory><memory model='dimm'/>"
        "<memory model='virtio-pmem'><source><path>/dev/pmem0</path></source></memory>"
        "<filesystem type='mount'><driver type='virtiofs'/><source dir='/srv'/><target dir='s'/></filesystem>"
        "<filesystem type='mount'><source dir='/opt'/><target dir='o'/><readonly/></filesystem>"
        "<filesystem type='mount'><driver type='virtiofs'/><source socket='/vfsd'/><target dir='e'/></filesystem>"
        "<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>"
        "<tpm model='tpm-tis'><backend type='emulator'/></tpm></devices>"
        "<q:commandline><q:arg value='-drive'/><q:arg value='file=/a.img,if=none,id=a'/><q:arg value='-device'/>"
        "<q:arg value='virtio-blk-pci,drive=a'/><q:arg value='-global'/><q:arg value='x.drive=1'/><q:arg value='--hdb'/>"
        "<q:arg value='/b.img'/><q:arg value='-object'/><q:arg value='memory-backend-file,id=m,mem-path=/m'/><q:arg value='-S'/>"
        "</q:commandline></domain>";
    static const struct hv_beside_item wanted[] = {
        { HV_BESIDE_PMEM, (char *)(uintptr_t) "/nv.img" },
        { HV_BESIDE_PMEM, (char *)(uintptr_t) "/dev/pmem0" },
        { HV_BESIDE_FOLDER, (char *)(uintptr_t) "/srv" },
        { HV_BESIDE_FOLDER, (char *)(uintptr_t) "/opt" },
        { HV_BESIDE_FOLDER, (char *)(uintptr_t) "/vfsd" },
        { HV_BESIDE_FIRMWARE, (char *)(uintptr_t) "/fw" },
        { HV_BESIDE_FIRMWARE, (char *)(uintptr_t) "/dev/nv" },
        { HV_BESIDE_TPM, (char *)(uintptr_t) "/dev/tpm0" },
        { HV_BESIDE_COMMANDLINE, (char *)(uintptr_t) "-drive file=/a.img,if=none,id=a" },
        { HV_BESIDE_COMMANDLINE, (char *)(uintptr_t) "--hdb /b.img" },
        { HV_BESIDE_COMMANDLINE, (char *)(uintptr_t) "-object memory-backend-file,id=m,mem-path=/m" },
    };
    _cleanup_(hv_domain_free_p) struct hv_domain *d = calloc(1, sizeof *d);
    struct err err = ERR_INIT;

    (void)state;
    if (domain_xml_parse(xml, &host, d, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(d->n_beside, ARRAY_SIZE(wanted));
    for (size_t i = 0; i < d->n_beside; i++) {
        assert_int_equal(d->beside[i].kind, wanted[i].kind);
        assert_string_equal(d->beside[i].name, wanted[i].name);
    }
}

/* By their place on the host as by their ids; in doubt, and where the device is not there, they are told. */
static void m11_usb_devices_by_address(void **state)
{
    static const char xml[] =
        "<domain type='kvm'><name>u</name><devices>"
        "<hostdev mode='subsystem' type='usb'><source><address bus='1' device='3'/></source></hostdev>"
        "<hostdev mode='subsystem' type='usb'><source><address bus='1' device='4'/></source></hostdev>"
        "<hostdev mode='subsystem' type='usb'><source><address bus='9' device='4'/></source></hostdev></devices></domain>";
    _cleanup_(hv_domain_free_p) struct hv_domain *d = calloc(1, sizeof *d);
    struct err err = ERR_INIT;

    (void)state;
    if (domain_xml_parse(xml, &host, d, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(strv_len(d->passthrough), 2);
    assert_string_equal(d->passthrough[0], "usb bus 1 device 3");
    assert_string_equal(d->passthrough[1], "usb bus 9 device 4 (whether it carries storage is not known)");
}

static void memory_that_does_not_fit_is_unknown(void **state)
{
    static const struct {
        const char *xml;
        uint64_t bytes;
    } cases[] = {
        { "<memory>5</memory>", 5120 },
        { "<memory unit='b'>5</memory>", 5 },
        { "<memory unit='TiB'>2</memory>", 2199023255552 },
        { "<memory unit='TiB'>99999999999</memory>", 0 },
        { "<memory>-5</memory>", 0 },
        { "", 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(hv_domain_free_p) struct hv_domain *d = calloc(1, sizeof *d);
        _cleanup_free_ char *xml = str_format("<domain>%s</domain>", cases[i].xml);
        assert_int_equal(domain_xml_parse(xml, NULL, d, NULL), 0);
        assert_int_equal(d->memory_bytes, cases[i].bytes);
    }
}

/* Of which pages of QEMU's process the saved state will be made (B2): those of files are no part of what it holds itself. */
static void memory_in_files_is_told(void **state)
{
    static const struct {
        const char *xml;
        bool in_files;
    } cases[] = {
        { "", false },
        { "<memoryBacking><source type='file'/></memoryBacking>", true },
        { "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>", false },
        { "<memoryBacking><source type='anonymous'/></memoryBacking>", false },
        { "<memoryBacking><access mode='shared'/></memoryBacking>", true },
        { "<memoryBacking><access mode='private'/></memoryBacking>", false },
        { "<memoryBacking><hugepages/><access mode='shared'/></memoryBacking>", false },
        { "<cpu><numa><cell id='0' memory='9'/><cell id='1' memory='9' memAccess='shared'/></numa></cpu>", true },
        { "<memoryBacking><hugepages/></memoryBacking><cpu><numa><cell id='0' memory='9' memAccess='shared'/></numa></cpu>", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(hv_domain_free_p) struct hv_domain *d = calloc(1, sizeof *d);
        _cleanup_free_ char *xml = str_format("<domain>%s</domain>", cases[i].xml);
        assert_int_equal(domain_xml_parse(xml, NULL, d, NULL), 0);
        if (d->memory_in_files != cases[i].in_files)
            fail_msg("%s: %s", cases[i].xml, d->memory_in_files ? "in files" : "not in files");
    }
}

/* What QEMU saves beside the guest's memory counts too where room for it is looked for (B2). */
static void video_memory_and_flash_are_saved_too(void **state)
{
#define MIB_OF(n) ((uint64_t)(n) << 20)
    static const struct {
        const char *devices;
        uint64_t bytes;
    } cases[] = {
        { "", MIB_OF(4) },
        { "<video><model type='none'/></video>", MIB_OF(4) },
        { "<video><model type='virtio'/></video>", MIB_OF(20) },
        { "<video><model type='vga' vram='65536'/></video>", MIB_OF(68) },
        { "<video><model type='qxl' ram='65536' vram='65536' vgamem='16384'/></video><video><model type='qxl' ram='x' vram='-1'/></video>",
          MIB_OF(148) },
    };
    static char image[] = "/proc/self/exe";

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *xml = str_format("<domain><devices>%s</devices></domain>", cases[i].devices);
        struct hv_domain d = { .xml = xml };
        assert_int_equal(saved_size_beside_memory(&d), cases[i].bytes);
        d.loader = d.nvram = image;
        struct stat st;
        assert_int_equal(stat(image, &st), 0);
        assert_int_equal(saved_size_beside_memory(&d), cases[i].bytes + 2 * (uint64_t)st.st_size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(m11_disks_of_every_kind),
        cmocka_unit_test(memory_in_files_is_told),
        cmocka_unit_test(video_memory_and_flash_are_saved_too),
        cmocka_unit_test(m11_host_devices_with_storage_are_told),
        cmocka_unit_test(real_definitions),
        cmocka_unit_test(m11_disks_of_which_the_image_is_another_or_a_part),
        cmocka_unit_test(b7_nvram_without_a_path),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(relative_paths_are_no_files),
        cmocka_unit_test(too_many_disks_are_refused),
        cmocka_unit_test(memory_that_does_not_fit_is_unknown),
        cmocka_unit_test(m11_what_is_beside_disks_is_told),
        cmocka_unit_test(m11_usb_devices_by_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
