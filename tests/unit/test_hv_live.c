/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stands before QEMU's stream, and how the stream gets to disk. */
#include "test.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "hypervisor/live/live.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

/* ---- The head ---------------------------------------------------------------------------------------------------------------------*/

static uint32_t number_at(const struct buf *b, size_t at)
{
    uint32_t n;

    memcpy(&n, b->data + at, sizeof n);
    return n;
}

static void assert_head(const char *xml, const char *live, const char *cookie)
{
    _cleanup_buf_ struct buf head = BUF_INIT;
    _cleanup_free_ char *found = NULL;
    struct err err = ERR_INIT;

    assert_ok(live_head(xml, live, &head, &err));
    assert_int_equal(head.len % LIVE_HEAD_ALIGN, 0);
    assert_memory_equal(head.data, "LibvirtQemudSave", 16);
    assert_int_equal(number_at(&head, 16), 2);
    assert_int_equal(number_at(&head, 20), head.len - 92);
    assert_int_equal(number_at(&head, 24), 1);
    assert_int_equal(number_at(&head, 28), 0); /* not compressed */
    assert_string_equal((const char *)head.data + 92, xml);
    assert_int_equal(number_at(&head, 32), strlen(xml) + 1);
    assert_string_equal((const char *)head.data + 92 + number_at(&head, 32), cookie);
    /* who reads libvirt's finds the definition too */
    assert_ok(hv_save_image_head_xml(head.data, head.len, &found, &err));
    assert_string_equal(found, xml);
}

static void the_head_is_libvirts(void **state)
{
    (void)state;
    assert_head("<domain><name>a</name></domain>", "<domain><name>a</name></domain>", "<cookie>\n  <slirpHelper/>\n</cookie>\n");
    /* the CPU as QEMU made it, without its cells */
    assert_head("<domain><cpu mode='host-model'/></domain>",
                "<domain><cpu mode='custom'><model>Penryn</model><numa><cell/></numa></cpu></domain>",
                "<cookie>\n<cpu mode=\"custom\"><model>Penryn</model></cpu>\n  <slirpHelper/>\n</cookie>\n");
    assert_head("<domain><cpu mode='maximum'/></domain>", "<domain><cpu mode='maximum'/></domain>",
                "<cookie>\n  <slirpHelper/>\n</cookie>\n");
    assert_head("<domain/>", "<domain><devices><interface type='user'/></devices></domain>", "<cookie>\n</cookie>\n");
}

static void a_head_of_no_definition_is_none(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf head = BUF_INIT;
    struct err err = ERR_INIT;

    assert_fails(EINVAL, live_head("<domain", "<domain/>", &head, &err));
    assert_int_equal(head.len, 0);
}

/* ---- The spool --------------------------------------------------------------------------------------------------------------------*/

struct stream {
    int writer;
    struct spool *spool;
    char *path;
};

static void stream_open(struct stream *s, const char *dir, uint64_t max)
{
    struct err err = ERR_INIT;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    s->writer = pair[0];
    s->path = io_path(dir, "image");
    int fd = open(s->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_ok(spool_start(pair[1], fd, max, &s->spool, &err));
}

static void stream_close(struct stream *s)
{
    close(s->writer);
    spool_free(s->spool);
    free(s->path);
}

static struct spool_progress wait_for_end(struct spool *s)
{
    struct spool_progress p;
    uint64_t end = clock_mono_ms() + 20000;

    do
        p = spool_progress(s, 100);
    while (!p.ended && clock_mono_ms() < end);
    return p;
}

static void all_that_is_sent_is_on_disk_at_the_end(void **state)
{
    static uint8_t sent[3 * 1024 * 1024 + 17];
    _cleanup_buf_ struct buf is = BUF_INIT;
    struct stream s;
    struct err err = ERR_INIT;

    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (uint8_t)(i * 7 >> 3);
    stream_open(&s, *state, sizeof sent);
    assert_int_equal(io_write(s.writer, sent, sizeof sent), 0);
    assert_false(spool_progress(s.spool, 0).ended);
    shutdown(s.writer, SHUT_WR);
    struct spool_progress p = wait_for_end(s.spool);
    assert_true(p.ended && p.drained);
    assert_int_equal(p.error, 0);
    assert_int_equal(p.bytes, sizeof sent);
    assert_ok(io_read_file(s.path, sizeof sent + 1, &is, &err));
    assert_int_equal(is.len, sizeof sent);
    assert_memory_equal(is.data, sent, sizeof sent);
    stream_close(&s);
}

/* QEMU must not fail before it is clear: so all is taken, whatever becomes of it. */
static void more_than_there_can_be_is_told_and_thrown_away(void **state)
{
    static const uint8_t sent[1 << 20];
    struct stream s;

    stream_open(&s, *state, 65536);
    for (int i = 0; i < 8; i++)
        assert_int_equal(io_write(s.writer, sent, sizeof sent), 0);
    shutdown(s.writer, SHUT_WR);
    struct spool_progress p = wait_for_end(s.spool);
    assert_int_equal(p.error, EFBIG);
    assert_true(p.bytes <= 65536);
    stream_close(&s);
}

static void a_full_disk_is_told_and_the_rest_thrown_away(void **state)
{
    static const uint8_t sent[1 << 20];
    struct err err = ERR_INIT;
    struct spool *spool;
    int pair[2];

    (void)state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_ok(spool_start(pair[1], full, UINT64_MAX, &spool, &err));
    for (int i = 0; i < 8; i++)
        assert_int_equal(io_write(pair[0], sent, sizeof sent), 0);
    shutdown(pair[0], SHUT_WR);
    assert_int_equal(wait_for_end(spool).error, ENOSPC);
    close(pair[0]);
    spool_free(spool);
}

/* A pipe that nobody reads stands for a disk that hangs. */
static void while_a_write_hangs_the_rest_is_thrown_away(void **state)
{
    static const uint8_t sent[1 << 20];
    struct err err = ERR_INIT;
    struct spool *spool;
    int pair[2], pipes[2];

    (void)state;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_ok(spool_start(pair[1], pipes[1], UINT64_MAX, &spool, &err));
    assert_int_equal(io_write(pair[0], sent, 150000), 0); /* more than the pipe holds */
    while (spool_progress(spool, 300).bytes && spool_progress(spool, 300).bytes >= 150000)
        continue;
    spool_discard(spool);
    for (int i = 0; i < 8; i++)
        assert_int_equal(io_write(pair[0], sent, sizeof sent), 0);
    close(pair[0]);
    assert_false(spool_progress(spool, 0).ended);
    spool_free(spool);
    close(pipes[0]); /* only now the write ends */
}

/* A QEMU whose stream breaks hangs. */
static void who_writes_to_one_that_is_gone_does_not_fail(void **state)
{
    static const uint8_t sent[1 << 20];
    struct stream s;

    stream_open(&s, *state, UINT64_MAX);
    assert_int_equal(send(s.writer, sent, 4096, MSG_NOSIGNAL), 4096);
    spool_free(s.spool);
    for (int i = 0; i < 8; i++) /* more than the socket holds */
        assert_int_equal(io_write(s.writer, sent, sizeof sent), 0);
    close(s.writer);
    free(s.path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_head_is_libvirts),
        cmocka_unit_test(a_head_of_no_definition_is_none),
        test_in_dir(all_that_is_sent_is_on_disk_at_the_end),
        test_in_dir(more_than_there_can_be_is_told_and_thrown_away),
        cmocka_unit_test(a_full_disk_is_told_and_the_rest_thrown_away),
        cmocka_unit_test(while_a_write_hangs_the_rest_is_thrown_away),
        test_in_dir(who_writes_to_one_that_is_gone_does_not_fail),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
