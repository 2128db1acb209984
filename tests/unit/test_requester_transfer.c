/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The data path, through real NBD servers and a real repository: what comes out is what went in, byte for byte, and holes stay holes. */
#include "test.h"
#include "test_image.h"

#include "base/num.h"
#include "base/proc.h"
#include "hypervisor/hypervisor.h"
#include "transfer/transfer.h"
#include "requester/context/context.h"
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#define SIZE (24 * MIB)

/* A sparse file with data in odd places, also across what the blocks of the transfer are. */
static void make_disk(const char *path)
{
    static const struct {
        uint64_t off, len;
    } data[] = {
        { 0, 512 }, { MIB - 100, 300 }, { 3 * MIB, 2 * MIB + 4096 }, { 17 * MIB + 12345, 65536 }, { SIZE - 512, 512 },
    };
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    _cleanup_free_ uint8_t *bytes = malloc(3 * MIB);

    assert_true(fd >= 0 && bytes);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++) {
        for (size_t at = 0; at < data[i].len; at += 256)
            assert_true(getrandom(bytes + at, num_min(256, data[i].len - at), 0) > 0);
        assert_int_equal(io_pwrite(fd, bytes, data[i].len, data[i].off), 0);
    }
}

struct world {
    struct store *store;
    struct store_point *point;
    char *disk, *out;
};

static void world_new(struct world *w, const char *dir)
{
    _cleanup_free_ char *location = io_path(dir, "repository");
    struct store_init init = { .no_encryption = true };
    struct store_open options = { 0 };
    struct err err = ERR_INIT;

    assert_ok(store_create(location, &init, &err));
    assert_ok(store_open(location, &options, &w->store, &err));
    w->disk = io_path(dir, "disk");
    w->out = io_path(dir, "out");
    make_disk(w->disk);
}

static void world_clear(struct world *w)
{
    store_point_close(w->point);
    store_close(w->store);
    free(w->disk);
    free(w->out);
}

static void read_items(struct world *w, struct transfer_in *items, size_t n)
{
    struct transfer t = { 0 };
    struct store_writer *sw = NULL;
    char id[STORE_ID_LEN + 1];
    struct err err = ERR_INIT;

    assert_ok(store_write_begin(w->store, &sw, &err));
    assert_ok(transfer_read(&t, w->store, sw, items, n, &err));
    assert_ok(store_write_commit(sw, "{}", id, &err));
    assert_ok(store_point_open(w->store, id, &w->point, &err));
}

static void assert_image_is(struct world *w, const char *name, const char *path)
{
    _cleanup_(store_image_close_p) struct store_image *image = NULL;
    _cleanup_buf_ struct buf wanted = BUF_INIT;
    struct err err = ERR_INIT;

    assert_ok(io_read_file(path, SIZE, &wanted, &err));
    _cleanup_free_ uint8_t *got = malloc(SIZE);
    assert_non_null(got);
    assert_ok(store_image_open(w->point, name, &image, &err));
    assert_int_equal(store_image_size(image), SIZE);
    assert_ok(store_image_read(image, 0, got, SIZE, &err));
    assert_memory_equal(got, wanted.data, SIZE);
}

static void disks_and_files_arrive_whole(void **state)
{
    _cleanup_(world_clear) struct world w = { 0 };
    struct hv_export *e = NULL;
    struct err err = ERR_INIT;

    world_new(&w, *state);
    assert_ok(hv_export_start(NULL, w.disk, "raw", HV_EXPORT_READ, &e, &err));
    struct transfer_in items[] = {
        { .label = "vm vda", .nbd_uri = hv_export_uri(e), .image = "nbd" },
        { .label = "vm memory", .path = w.disk, .image = "file" },
    };
    read_items(&w, items, 2);
    assert_ok(hv_export_stop(e, &err));
    assert_image_is(&w, "nbd", w.disk);
    assert_image_is(&w, "file", w.disk);
    for (size_t i = 0; i < 2; i++) { /* holes were not read */
        assert_int_equal(items[i].size, SIZE);
        assert_true(items[i].bytes_read > 2 * MIB && items[i].bytes_read < SIZE / 2);
    }
}

static void an_image_is_written_as_qcow2_and_stays_sparse(void **state)
{
    _cleanup_(world_clear) struct world w = { 0 };
    _cleanup_(store_image_close_p) struct store_image *image = NULL;
    struct transfer_in item = { .label = "vm vda", .image = "disk" };
    struct transfer t = { 0 };
    struct hv_export *e = NULL;
    struct stat st;
    struct err err = ERR_INIT;

    world_new(&w, *state);
    item.path = w.disk;
    read_items(&w, &item, 1);
    assert_ok(store_image_open(w.point, "disk", &image, &err));
    test_image_create(w.out, "qcow2", SIZE, "cluster_size=65536", NULL, NULL);
    assert_ok(hv_export_start(NULL, w.out, "qcow2", HV_EXPORT_WRITE, &e, &err));
    struct transfer_out out = { .label = "vm vda", .image = image, .nbd_uri = hv_export_uri(e), .fd = -1, .fresh = true };
    assert_ok(transfer_write(&t, &out, &err));
    assert_ok(hv_export_stop(e, &err));
    assert_int_equal(stat(w.out, &st), 0);
    assert_true((uint64_t)st.st_size < 4 * MIB); /* 2.1 MiB of data, in clusters */

    _cleanup_buf_ struct buf wanted = BUF_INIT;
    assert_ok(io_read_file(w.disk, SIZE, &wanted, &err));
    _cleanup_free_ uint8_t *got = malloc(SIZE);
    assert_non_null(got);
    assert_ok(hv_image_peek(NULL, w.out, "qcow2", 0, got, SIZE, &err));
    assert_memory_equal(got, wanted.data, SIZE);
}

static void a_raw_file_is_written_sparse(void **state)
{
    _cleanup_(world_clear) struct world w = { 0 };
    _cleanup_(store_image_close_p) struct store_image *image = NULL;
    struct transfer_in item = { .label = "vm vda", .image = "disk" };
    struct transfer t = { 0 };
    struct stat st;
    struct err err = ERR_INIT;

    world_new(&w, *state);
    item.path = w.disk;
    read_items(&w, &item, 1);
    assert_ok(store_image_open(w.point, "disk", &image, &err));
    _cleanup_close_ int fd = open(w.out, O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    struct transfer_out out = { .label = "vm vda", .image = image, .fd = fd, .fresh = true };
    assert_ok(transfer_write(&t, &out, &err));
    assert_int_equal(fstat(fd, &st), 0);
    assert_true((uint64_t)st.st_blocks * 512 < 4 * MIB);
    _cleanup_buf_ struct buf wanted = BUF_INIT, got = BUF_INIT;
    assert_ok(io_read_file(w.disk, SIZE, &wanted, &err));
    assert_ok(io_read_file(w.out, SIZE, &got, &err));
    assert_memory_equal(got.data, wanted.data, SIZE);
}

/* A target that holds something else already (a block device): what was a hole must read as zeros. */
static void old_data_under_holes_is_gone(void **state)
{
    _cleanup_(world_clear) struct world w = { 0 };
    _cleanup_(store_image_close_p) struct store_image *image = NULL;
    struct transfer_in item = { .label = "vm vda", .image = "disk" };
    struct transfer t = { 0 };
    struct hv_export *e = NULL;
    struct err err = ERR_INIT;

    world_new(&w, *state);
    item.path = w.disk;
    read_items(&w, &item, 1);
    _cleanup_buf_ struct buf old = BUF_INIT;
    assert_int_equal(buf_reserve(&old, SIZE), 0);
    memset(old.data, 0xee, SIZE);
    assert_ok(io_replace_file(w.out, old.data, SIZE, 0600, &err));
    assert_ok(store_image_open(w.point, "disk", &image, &err));
    assert_ok(hv_export_start(NULL, w.out, "raw", HV_EXPORT_WRITE, &e, &err));
    struct transfer_out out = { .label = "vm vda", .image = image, .nbd_uri = hv_export_uri(e), .fd = -1, .fresh = false };
    assert_ok(transfer_write(&t, &out, &err));
    assert_ok(hv_export_stop(e, &err));
    _cleanup_buf_ struct buf wanted = BUF_INIT, got = BUF_INIT;
    assert_ok(io_read_file(w.disk, SIZE, &wanted, &err));
    assert_ok(io_read_file(w.out, SIZE, &got, &err));
    assert_memory_equal(got.data, wanted.data, SIZE);
}

static void failures_name_the_disk_and_end_everything(void **state)
{
    _cleanup_(world_clear) struct world w = { 0 };
    struct transfer t = { 0 };
    struct store_writer *sw = NULL;
    struct err err = ERR_INIT;

    world_new(&w, *state);
    struct transfer_in items[] = {
        { .label = "vm vda", .path = w.disk, .image = "good" },
        { .label = "vm vdb", .nbd_uri = "nbd+unix:///x?socket=/nonexistent/socket", .image = "bad" },
    };
    assert_ok(store_write_begin(w.store, &sw, &err));
    assert_true(transfer_read(&t, w.store, sw, items, 2, &err) < 0);
    assert_non_null(strstr(err.text, "vm vdb"));
    store_write_abort(sw);
}

/* A block is read in parts, and one of them cannot be: the others are waited for. */
static void a_part_of_a_block_that_cannot_be_read_is_a_failure(void **state)
{
    _cleanup_(world_clear) struct world w = { 0 };
    _cleanup_free_ char *image = io_path(*state, "damaged.qcow2");
    char *argv[] = { (char *)"qemu-img", (char *)"convert", (char *)"-c", (char *)"-f", (char *)"raw",
                     (char *)"-O",       (char *)"qcow2",   NULL,         image,        NULL };
    struct transfer t = { 0 };
    struct store_writer *sw = NULL;
    struct hv_export *e = NULL;
    struct err err = ERR_INIT;
    uint8_t junk[256];
    int status = -1;

    world_new(&w, *state);
    argv[7] = w.disk;
    struct proc_run run = { .argv = argv, .timeout_ms = 60000 };
    assert_ok(proc_run(&run, NULL, NULL, &status, &err));
    assert_int_equal(status, 0);
    _cleanup_close_ int fd = open(image, O_RDWR | O_CLOEXEC);
    memset(junk, 0xff, sizeof junk);
    assert_int_equal(io_pwrite(fd, junk, sizeof junk, 0x50000), 0); /* the first cluster, compressed */
    assert_ok(hv_export_start(NULL, image, "qcow2", HV_EXPORT_READ, &e, &err));
    struct transfer_in item = { .label = "vm vda", .nbd_uri = hv_export_uri(e), .image = "disk" };
    assert_ok(store_write_begin(w.store, &sw, &err));
    assert_fails(EIO, transfer_read(&t, w.store, sw, &item, 1, &err));
    assert_non_null(strstr(err.text, "vm vda"));
    store_write_abort(sw);
    assert_ok(hv_export_stop(e, &err));
}

static void a_raised_flag_interrupts(void **state)
{
    _cleanup_(world_clear) struct world w = { 0 };
    struct par_cancel cancel = { 1 };
    struct transfer t = { .cancel = &cancel };
    struct store_writer *sw = NULL;
    struct err err = ERR_INIT;

    world_new(&w, *state);
    struct transfer_in item = { .label = "vm vda", .path = w.disk, .image = "disk" };
    assert_ok(store_write_begin(w.store, &sw, &err));
    assert_fails(EINTR, transfer_read(&t, w.store, sw, &item, 1, &err));
    store_write_abort(sw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(disks_and_files_arrive_whole),
        test_in_dir(an_image_is_written_as_qcow2_and_stays_sparse),
        test_in_dir(a_raw_file_is_written_sparse),
        test_in_dir(old_data_under_holes_is_gone),
        test_in_dir(failures_name_the_disk_and_end_everything),
        test_in_dir(a_part_of_a_block_that_cannot_be_read_is_a_failure),
        test_in_dir(a_raised_flag_interrupts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
