/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images, with the real qemu-img and qemu-nbd. */
#include "base/clock.h"
#include "hypervisor/host/host.h"
#include "hypervisor/image/image.h"
#include "test_hv.h"
#include "test_image.h"
#include <fcntl.h>
#include <libnbd.h>
#include <sys/stat.h>

struct lab {
    char *dir, *base, *mid, *top;
};

static int setup(void **state)
{
    struct lab *lab = calloc(1, sizeof *lab);
    struct err err = ERR_INIT;

    assert_int_equal(io_private_dir("test", &lab->dir, &err), 0);
    lab->base = io_path(lab->dir, "base, one.raw");
    lab->mid = io_path(lab->dir, "mid:two.qcow2");
    lab->top = io_path(lab->dir, "top.qcow2");
    *state = lab;
    return 0;
}

static int teardown(void **state)
{
    struct lab *lab = *state;

    io_remove_tree(lab->dir, NULL);
    free(lab->dir);
    free(lab->base);
    free(lab->mid);
    free(lab->top);
    free(lab);
    return 0;
}

static void create(const char *path, const char *format, const char *options, const char *backing, const char *backing_format)
{
    test_image_create(path, format, 4 << 20, options, backing, backing_format);
}

static void make_chain(const struct lab *lab)
{
    create(lab->base, "raw", NULL, NULL, NULL);
    create(lab->mid, "qcow2", "cluster_size=4096", lab->base, "raw");
    create(lab->top, "qcow2", "compat=0.10", "./mid:two.qcow2", "qcow2"); /* ./ since QEMU takes "mid:" for a protocol */
}

static void writes_are_there_after_stop(const char *path, const char *format, uint64_t off, uint8_t byte)
{
    struct hv_export *e = NULL;
    struct err err = ERR_INIT;
    uint8_t data[4096], got[4096];

    memset(data, byte, sizeof data);
    if (hv_export_start(NULL, path, format, HV_EXPORT_WRITE, &e, &err) < 0)
        fail_msg("%s", err.text);
    struct nbd_handle *h = nbd_create();
    assert_int_equal(nbd_connect_uri(h, hv_export_uri(e)), 0);
    assert_int_equal(nbd_pwrite(h, data, sizeof data, off, 0), 0);
    nbd_close(h);
    assert_int_equal(hv_export_stop(e, &err), 0);
    assert_int_equal(hv_image_peek(NULL, path, format, off, got, sizeof got, &err), 0);
    assert_memory_equal(got, data, sizeof data);
}

static void m17_info_tells_how_to_make_it_again(void **state)
{
    const struct lab *lab = *state;
    struct hv_image_info i;

    make_chain(lab);
    assert_int_equal(hv_image_info(NULL, lab->mid, "qcow2", false, &i, NULL), 0);
    assert_string_equal(i.format, "qcow2");
    assert_int_equal(i.size, 4 << 20);
    assert_int_equal(i.cluster_size, 4096);
    assert_string_equal(i.backing, lab->base);
    assert_string_equal(i.backing_format, "raw");
    assert_string_equal(i.compat, "1.1");
    assert_string_equal(i.preallocation, "off");
    hv_image_info_clear(&i);
    assert_int_equal(hv_image_info(NULL, lab->top, NULL, true, &i, NULL), 0);
    assert_string_equal(i.compat, "0.10");
    hv_image_info_clear(&i);
}

static void chains_are_read_and_written_through(void **state)
{
    const struct lab *lab = *state;
    _cleanup_chain_ struct image_chain c = { 0 };
    uint8_t got[4096], wanted[4096];

    make_chain(lab);
    writes_are_there_after_stop(lab->base, "raw", 0, 0xaa);
    writes_are_there_after_stop(lab->mid, "qcow2", 4096, 0xbb);
    writes_are_there_after_stop(lab->top, "qcow2", 8192, 0xcc);
    for (unsigned i = 0; i < 3; i++) {
        memset(wanted, 0xaa + 0x11 * (int)i, sizeof wanted);
        assert_int_equal(hv_image_peek(NULL, lab->top, "qcow2", 4096 * i, got, sizeof got, NULL), 0);
        assert_memory_equal(got, wanted, sizeof got);
    }
    assert_int_equal(image_chain_read(NULL, lab->top, "qcow2", &c, NULL), 0);
    assert_int_equal(c.n, 3);
    assert_string_equal(c.layers[2].path, lab->base);
    assert_string_equal(c.layers[2].format, "raw");
}

/* A guest writes the header of a qcow2 image into its raw disk, naming a file of the host as the backing one. */
static void a_raw_image_is_never_taken_for_another_format(void **state)
{
    const struct lab *lab = *state;
    _cleanup_free_ char *secret = io_path(lab->dir, "secret"), *trap = io_path(lab->dir, "trap");
    _cleanup_chain_ struct image_chain c = { 0 };
    _cleanup_buf_ struct buf header = BUF_INIT;
    char got[6] = "";

    create(secret, "raw", NULL, NULL, NULL);
    writes_are_there_after_stop(secret, "raw", 0, 'S');
    create(trap, "qcow2", NULL, secret, "raw");
    assert_int_equal(io_read_file(trap, 1 << 20, &header, NULL), 0);
    assert_int_equal(io_replace_file(lab->base, header.data, header.len, 0600, NULL), 0);
    assert_int_equal(hv_image_peek(NULL, lab->base, "raw", 0, got, 3, NULL), 0);
    assert_memory_equal(got, "QFI", 3);
    /* As a backing image of which no format is recorded, too. */
    create(lab->mid, "qcow2", NULL, lab->base, "raw");
    assert_int_equal(image_chain_read(NULL, lab->mid, "qcow2", &c, NULL), 0);
    assert_int_equal(c.n, 2);
    c.layers[1].format_recorded = false; /* what older tools leave behind */
    _cleanup_free_ char *options = NULL;
    assert_int_equal(image_options(&c, 3, IMAGE_READ_ONLY | IMAGE_SHARE, &options, NULL), 0);
    assert_non_null(strstr(options, ",backing.driver=raw"));
}

/* As qemu-img create -b without -F did before QEMU 6.1: the header extension that names the format becomes an unknown one. */
static void forget_format(const char *path)
{
    uint8_t b[4096];
    FILE *f = fopen(path, "r+b");

    assert_non_null(f);
    size_t n = fread(b, 1, sizeof b, f), at = b[7] == 2 ? 72 : (size_t)b[102] << 8 | b[103];
    for (uint32_t type = 1; type && at + 8 <= n;) {
        type = (uint32_t)b[at] << 24 | (uint32_t)b[at + 1] << 16 | (uint32_t)b[at + 2] << 8 | b[at + 3];
        if (type == 0xE2792ACA) {
            assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
            assert_int_equal(fwrite("\x12\x34\x56\x78", 1, 4, f), 4);
            assert_int_equal(fclose(f), 0);
            return;
        }
        at += 8 + (((size_t)b[at + 6] << 8 | b[at + 7]) + 7) / 8 * 8;
    }
    fail_msg("%s records no backing format", path);
}

/* libvirt's rule; at any depth. */
static void a_backing_format_that_is_not_recorded_is_told_by_the_content(void **state)
{
    const struct lab *lab = *state;
    uint8_t got[4096], wanted[4096];

    create(lab->base, "qcow2", NULL, NULL, NULL);
    create(lab->mid, "qcow2", NULL, lab->base, "qcow2");
    create(lab->top, "qcow2", NULL, "./mid:two.qcow2", "qcow2");
    writes_are_there_after_stop(lab->base, "qcow2", 1 << 20, 0xaa);
    forget_format(lab->mid);
    memset(wanted, 0xaa, sizeof wanted);
    assert_int_equal(hv_image_peek(NULL, lab->mid, "qcow2", 1 << 20, got, sizeof got, NULL), 0);
    assert_memory_equal(got, wanted, sizeof got);
    assert_int_equal(hv_image_peek(NULL, lab->top, "qcow2", 1 << 20, got, sizeof got, NULL), 0);
    assert_memory_equal(got, wanted, sizeof got);
    /* raw is what has no header */
    assert_int_equal(unlink(lab->base), 0);
    create(lab->base, "raw", NULL, NULL, NULL);
    writes_are_there_after_stop(lab->base, "raw", 1 << 20, 0xaa);
    assert_int_equal(hv_image_peek(NULL, lab->top, "qcow2", 1 << 20, got, sizeof got, NULL), 0);
    assert_memory_equal(got, wanted, sizeof got);
}

/* The content may be a guest's: it must not lead to other files. libvirt does not start a VM with such a chain either. */
static void a_format_that_was_looked_for_leads_nowhere(void **state)
{
    const struct lab *lab = *state;
    _cleanup_free_ char *data = io_path(lab->dir, "data"), *option = str_format("data_file=%s", data);
    _cleanup_chain_ struct image_chain c = { 0 };
    struct err err = ERR_INIT;
    uint8_t got[512];

    make_chain(lab);
    forget_format(lab->top);
    assert_int_equal(image_chain_read(NULL, lab->top, "qcow2", &c, &err), -EINVAL);
    assert_non_null(strstr(err.text, "does not record the format"));
    assert_true(hv_image_peek(NULL, lab->top, "qcow2", 0, got, sizeof got, NULL) < 0);
    assert_int_equal(unlink(lab->mid), 0);
    create(lab->mid, "qcow2", option, NULL, NULL);
    assert_int_equal(image_chain_read(NULL, lab->top, "qcow2", &c, &err), -EINVAL);
    assert_non_null(strstr(err.text, "stores its data in another file"));
    assert_int_equal(unlink(lab->mid), 0);
    assert_true(image_chain_read(NULL, lab->top, "qcow2", &c, &err) < 0);
}

static void options_are_safe_for_every_path(void **state)
{
    struct image_layer layers[] = { { -1, -1, (char *)"/a,b/file.driver=x", (char *)"qcow2", NULL, true },
                                    { -1, -1, (char *)"/b", (char *)"qcow2", NULL, true },
                                    { -1, -1, (char *)"/c", (char *)"raw", NULL, false } };
    struct image_chain c = { 3, layers };
    _cleanup_free_ char *read = NULL, *shared = NULL, *write = NULL;

    (void)state;
    assert_int_equal(image_options(&c, 3, IMAGE_READ_ONLY, &read, NULL), 0);
    assert_int_equal(image_options(&c, 3, IMAGE_READ_ONLY | IMAGE_SHARE, &shared, NULL), 0);
    assert_int_equal(image_options(&c, 3, 0, &write, NULL), 0);
    assert_string_equal(read, "driver=qcow2,file.filename=/a,,b/file.driver=x,read-only=on,backing.backing.driver=raw");
    assert_string_equal(shared, "driver=qcow2,file.filename=/a,,b/file.driver=x,read-only=on,force-share=on,backing.backing.driver=raw");
    assert_string_equal(write,
                        "driver=qcow2,file.filename=/a,,b/file.driver=x,discard=unmap,detect-zeroes=unmap,backing.backing.driver=raw");
}

static void an_image_being_written_is_busy(void **state)
{
    const struct lab *lab = *state;
    struct hv_export *writer = NULL, *other = NULL;
    struct err err = ERR_INIT;
    char got[16];

    create(lab->top, "qcow2", NULL, NULL, NULL);
    assert_int_equal(hv_export_start(NULL, lab->top, "qcow2", HV_EXPORT_WRITE, &writer, &err), 0);
    assert_int_equal(hv_export_start(NULL, lab->top, "qcow2", HV_EXPORT_READ, &other, &err), -EBUSY);
    assert_non_null(strstr(err.text, lab->top));
    assert_int_equal(hv_export_start(NULL, lab->top, "qcow2", HV_EXPORT_WRITE, &other, &err), -EBUSY);
    assert_int_equal(hv_image_peek(NULL, lab->top, "qcow2", 0, got, sizeof got, &err), 0);
    assert_null(other);
    assert_int_equal(hv_export_stop(writer, &err), 0);
    assert_int_equal(hv_export_start(NULL, lab->top, "qcow2", HV_EXPORT_READ, &writer, &err), 0);
    assert_int_equal(hv_export_start(NULL, lab->top, "qcow2", HV_EXPORT_READ, &other, &err), 0); /* readers do not exclude readers */
    assert_int_equal(hv_export_stop(writer, &err), 0);
    assert_int_equal(hv_export_stop(other, &err), 0);
    assert_int_equal(hv_export_stop(NULL, &err), 0);
}

static void what_cannot_be_served_is_told(void **state)
{
    const struct lab *lab = *state;
    struct hv_export *e = NULL;
    struct err err = ERR_INIT;
    char got[16];

    assert_int_equal(hv_export_start(NULL, lab->top, "qcow2", HV_EXPORT_READ, &e, &err), -EIO);
    assert_non_null(strstr(err.text, lab->top));
    create(lab->base, "raw", NULL, NULL, NULL);
    assert_int_equal(hv_export_start(NULL, lab->base, "qcow2", HV_EXPORT_READ, &e, &err), -EIO);
    assert_non_null(strstr(err.text, "not in qcow2 format"));
    assert_int_equal(hv_image_peek(NULL, lab->base, "raw", (4 << 20) - 8, got, sizeof got, &err), -ENODATA);
    assert_null(e);
}

/* ---- Heads, read without QEMU ---------------------------------------------------------------------------------------------------*/

static void heads_tell_what_qemu_img_tells(void **state)
{
    const struct lab *lab = *state;
    _cleanup_strv_ char **chain = NULL;
    struct image_head head = { 0 };
    struct hv_image_info info = { 0 };

    make_chain(lab);
    assert_int_equal(hv_image_info(NULL, lab->top, "qcow2", false, &info, NULL), 0);
    assert_int_equal(image_head_read(lab->top, "qcow2", &head), 0);
    assert_int_equal(head.size, info.size);
    assert_string_equal(head.backing, info.backing);
    free(head.backing);
    hv_image_info_clear(&info);
    assert_int_equal(image_head_read(lab->base, "raw", &head), 0);
    assert_int_equal(head.size, 4 << 20);
    assert_int_equal(image_head_chain(lab->top, "qcow2", &chain), 0);
    assert_int_equal(strv_len(chain), 2);
    assert_true(strv_has(chain, lab->base));
    assert_int_equal(image_head_read(lab->base, "vmdk", &head), -EOPNOTSUPP);
}

/* Bytes at an offset of an image, whatever they do to it. */
static void spoil(const char *path, off_t at, const void *bytes, size_t n)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), (ssize_t)n);
}

static void heads_of_any_bytes_do_no_harm(void **state)
{
    static const uint8_t far[8] = { 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, zero[8] = { 0 };
    const struct lab *lab = *state;
    _cleanup_strv_ char **chain = NULL;
    struct image_head head = { 0 };

    make_chain(lab);
    assert_int_equal(image_head_read(lab->base, "qcow2", &head), -EUCLEAN);
    spoil(lab->top, 16, far, 4); /* the length of the backing file's name */
    assert_int_equal(image_head_read(lab->top, "qcow2", &head), -EUCLEAN);
    spoil(lab->top, 8, far, 8); /* where it is */
    assert_int_equal(image_head_read(lab->top, "qcow2", &head), -EUCLEAN);
    spoil(lab->top, 8, zero, 8);
    assert_int_equal(image_head_read(lab->top, "qcow2", &head), 0);
    assert_null(head.backing);
    assert_int_equal(truncate(lab->top, 20), 0);
    assert_int_equal(image_head_read(lab->top, "qcow2", &head), -EUCLEAN);
    assert_int_equal(unlink(lab->top), 0);
    assert_int_equal(image_head_read(lab->top, "qcow2", &head), -ENOENT);
    assert_int_equal(mkfifo(lab->top, 0600), 0); /* is not waited for */
    assert_int_equal(image_head_read(lab->top, "raw", &head), -EINVAL);

    /* One that stands on itself ends. */
    assert_int_equal(unlink(lab->top), 0);
    create(lab->top, "qcow2", NULL, lab->mid, "qcow2");
    assert_int_equal(unlink(lab->mid), 0);
    assert_int_equal(rename(lab->top, lab->mid), 0);
    assert_int_equal(image_head_chain(lab->mid, "qcow2", &chain), 0);
    assert_in_range(strv_len(chain), 1, 200);
}

static void descriptions_without_sense(void **state)
{
    static const char *const texts[] = { "",
                                         "{}",
                                         "[]",
                                         "{\"format\":\"raw\"}",
                                         "{\"format\":\"raw\",\"virtual-size\":-1}",
                                         "{\"format\":7,\"virtual-size\":1}",
                                         "{\"format\":\"raw\",\"virtual-size\":\"1\"}",
                                         "{\"format\":\"raw\",\"virtual-size\":1" };
    struct hv_image_info i = { .size = 77 };

    (void)state;
    for (size_t t = 0; t < ARRAY_SIZE(texts); t++)
        assert_int_equal(image_json_parse(texts[t], strlen(texts[t]), &i, NULL), -EBADMSG);
    assert_int_equal(i.size, 77);
}

static void what_is_on_a_network_is_known_by_its_name(void **state)
{
    static const char *const remote[] = {
        "nbd:localhost:10809",
        "nbd+unix:///?socket=/s",
        "https://h/x.img",
        "rbd:pool/image",
        "gluster+tcp://h/v/f",
        "nfs://h/d/f",
        "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"nbd\",\"server.type\":\"unix\"}}",
        "json:{\"file.driver\":\"ssh\"}",
        "json:{\"driver\":\"qcow2\",\"backing\":{\"file\":[{\"driver\":\"iscsi\"}]}}",
    };
    static const char *const local[] = {
        "/images/a.qcow2",
        "base.raw",
        "./nbd:x",
        "file:/images/a",
        "host_device:/dev/sda",
        "json:{\"driver\":\"file\",\"filename\":\"/a\"}",
        "json:{",
        "json:{\"driver\":7}",
        "nbdx:h",
        "",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(remote); i++)
        if (!image_is_remote(remote[i]))
            fail_msg("%s", remote[i]);
    for (size_t i = 0; i < ARRAY_SIZE(local); i++)
        if (image_is_remote(local[i]))
            fail_msg("%s", local[i]);
}

/* ---- What is remembered ---------------------------------------------------------------------------------------------------------*/

static int info_without_tool(struct hv *hv, const char *path, const char *format, struct hv_image_info *ret)
{
    _cleanup_free_ char *was = strdup(getenv("PATH"));

    setenv("PATH", "/nowhere", 1); /* whoever runs qemu-img fails now */
    int r = hv_image_info(hv, path, format, true, ret, NULL);
    setenv("PATH", was, 1);
    return r;
}

static void an_image_that_does_not_change_is_asked_about_once(void **state)
{
    const struct lab *lab = *state;
    struct hv hv = { .lock = PTHREAD_MUTEX_INITIALIZER };
    struct hv_image_info first = { 0 }, again = { 0 };

    make_chain(lab);
    assert_int_equal(hv_image_info(&hv, lab->mid, "qcow2", true, &first, NULL), 0);
    hv_image_info_clear(&first);
    assert_true(info_without_tool(&hv, lab->mid, "qcow2", &again) < 0); /* it was written a moment ago, and may be again */
    clock_sleep_ms(3100);
    assert_int_equal(hv_image_info(&hv, lab->mid, "qcow2", true, &first, NULL), 0);
    assert_int_equal(info_without_tool(&hv, lab->mid, "qcow2", &again), 0);
    assert_string_equal(again.format, "qcow2");
    assert_string_equal(again.backing, first.backing);
    assert_int_equal(again.cluster_size, 4096);
    hv_image_info_clear(&again);
    assert_true(info_without_tool(&hv, lab->mid, "raw", &again) < 0);    /* another question */
    assert_true(info_without_tool(NULL, lab->mid, "qcow2", &again) < 0); /* nobody who remembers */
    writes_are_there_after_stop(lab->mid, "qcow2", 65536, 0x5a);
    assert_true(info_without_tool(&hv, lab->mid, "qcow2", &again) < 0);
    hv_image_info_clear(&first);
    image_memory_free(&hv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(m17_info_tells_how_to_make_it_again, setup, teardown),
        cmocka_unit_test_setup_teardown(chains_are_read_and_written_through, setup, teardown),
        cmocka_unit_test_setup_teardown(a_backing_format_that_is_not_recorded_is_told_by_the_content, setup, teardown),
        cmocka_unit_test_setup_teardown(a_format_that_was_looked_for_leads_nowhere, setup, teardown),
        cmocka_unit_test_setup_teardown(a_raw_image_is_never_taken_for_another_format, setup, teardown),
        cmocka_unit_test(options_are_safe_for_every_path),
        cmocka_unit_test_setup_teardown(an_image_being_written_is_busy, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_served_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(heads_tell_what_qemu_img_tells, setup, teardown),
        cmocka_unit_test_setup_teardown(heads_of_any_bytes_do_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(an_image_that_does_not_change_is_asked_about_once, setup, teardown),
        cmocka_unit_test(descriptions_without_sense),
        cmocka_unit_test(what_is_on_a_network_is_known_by_its_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
