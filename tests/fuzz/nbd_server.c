/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nbd_server.h"
#include "base/io.h"
#include "base/num.h"
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define OPTION_MAX 4096u
#define HONEST_MAX ((uint64_t)2 << 20) /* size up to which a script that has ended is answered */
#define COMMANDS_MAX 2000u

enum { OPT_GO = 7, OPT_STRUCTURED = 8, OPT_SET_META = 10 };
enum { REP_ACK = 1, REP_INFO = 3, REP_META = 4 };
#define REP_UNSUP 0x80000001u
enum { CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH, CMD_TRIM, CMD_CACHE, CMD_ZEROES, CMD_STATUS };
enum { CHUNK_NONE, CHUNK_DATA, CHUNK_HOLE, CHUNK_STATUS = 5, CHUNK_ERROR = 0x8001 };

struct lying_server {
    const uint8_t *script;
    size_t left;
    unsigned able;
    uint64_t size;
    int listener;
    pthread_t thread;
    char path[64], uri[96];
};

struct command {
    uint32_t magic;
    uint16_t flags, type;
    uint64_t handle, off;
    uint32_t len;
} __attribute__((packed));

struct chunk {
    uint32_t magic;
    uint16_t flags, type;
    uint64_t handle;
    uint32_t len;
} __attribute__((packed));

static unsigned take(struct lying_server *s)
{
    return s->left ? (s->left--, *s->script++) : 0;
}

static int get(int fd, void *p, size_t n)
{
    return n == 0 || recv(fd, p, n, MSG_WAITALL) == (ssize_t)n ? 0 : -EPIPE; /* of nothing it would wait for something */
}

static int put(int fd, const void *p, size_t n)
{
    for (const char *at = p; n;) {
        ssize_t w = send(fd, at, n, MSG_NOSIGNAL);
        if (w <= 0)
            return -EPIPE;
        at += w;
        n -= (size_t)w;
    }
    return 0;
}

/* ---- The greeting: honest ----------------------------------------------------------------------------------------------------------*/

static int reply(int fd, uint32_t option, uint32_t type, const void *p, uint32_t n)
{
    struct {
        uint64_t magic;
        uint32_t option, type, len;
    } __attribute__((packed)) head = { htobe64(0x3e889045565a9), htobe32(option), htobe32(type), htobe32(n) };
    int r = put(fd, &head, sizeof head);

    return r == 0 ? put(fd, p, n) : r;
}

static int reply_meta(int fd, uint32_t id, const char *name)
{
    char data[64];
    uint32_t be = htobe32(id);

    memcpy(data, &be, sizeof be);
    memcpy(data + sizeof be, name, strlen(name));
    return reply(fd, OPT_SET_META, REP_META, data, (uint32_t)(sizeof be + strlen(name)));
}

static int answer_option(struct lying_server *s, int fd, uint32_t option)
{
    struct {
        uint16_t type;
        uint64_t size;
        uint16_t flags;
    } __attribute__((packed)) info = { 0, htobe64(s->size), htobe16((uint16_t)(1 | (s->able & 4 ? 1 << 7 : 0))) };

    if (option == OPT_STRUCTURED && s->able & 1)
        return reply(fd, option, REP_ACK, NULL, 0);
    if (option == OPT_SET_META && s->able & 1) {
        int r = s->able & 8 ? 0 : reply_meta(fd, 1, "base:allocation");
        if (r == 0 && s->able & 2)
            r = reply_meta(fd, 2, LYING_DIRTY);
        return r == 0 ? reply(fd, option, REP_ACK, NULL, 0) : r;
    }
    if (option != OPT_GO)
        return reply(fd, option, REP_UNSUP, NULL, 0);
    int r = reply(fd, option, REP_INFO, &info, sizeof info);
    return r == 0 ? reply(fd, option, REP_ACK, NULL, 0) : r;
}

static int greet(struct lying_server *s, int fd)
{
    struct {
        uint64_t magic;
        uint32_t option, len;
    } __attribute__((packed)) head;
    char data[OPTION_MAX];
    uint32_t flags;

    int r = put(fd, "NBDMAGICIHAVEOPT\0\3", 18);
    if (r == 0)
        r = get(fd, &flags, sizeof flags);
    do {
        if (r == 0)
            r = get(fd, &head, sizeof head);
        if (r == 0 && be32toh(head.len) > sizeof data)
            r = -EPIPE;
        if (r == 0)
            r = get(fd, data, be32toh(head.len));
        if (r == 0)
            r = answer_option(s, fd, be32toh(head.option));
    } while (r == 0 && be32toh(head.option) != OPT_GO);
    return r;
}

/* ---- Answers -----------------------------------------------------------------------------------------------------------------------*/

static int put_chunk(int fd, const struct command *c, uint16_t flags, uint16_t type, const void *p, uint32_t n)
{
    struct chunk head = { htobe32(0x668e33ef), htobe16(flags), htobe16(type), c->handle, htobe32(n) };
    int r = put(fd, &head, sizeof head);

    return r == 0 ? put(fd, p, n) : r;
}

static uint32_t length(struct lying_server *s, uint32_t asked)
{
    unsigned how = take(s), n = take(s);

    switch (how % 8) {
    case 0: return asked;
    case 1: return UINT32_MAX;
    case 2: return 0;
    case 3: return n;
    case 4: return asked + n;
    default: return n << 12;
    }
}

/* Extents of one context, as the script has them. */
static int put_extents(struct lying_server *s, int fd, const struct command *c, uint32_t id, bool last)
{
    uint32_t data[1 + 2 * 16];
    size_t n = take(s) % 17;

    data[0] = htobe32(take(s) % 16 ? id : 7);
    for (size_t i = 0; i < n; i++) {
        data[1 + 2 * i] = htobe32(length(s, be32toh(c->len)));
        data[2 + 2 * i] = htobe32(take(s) % 4);
    }
    size_t odd = take(s) % 16 == 15 ? 4 : 0;
    return put_chunk(fd, c, last, CHUNK_STATUS, data, (uint32_t)(4 + 8 * n - (n ? odd : 0)));
}

/* All of it is data that has changed. */
static int put_plain_extents(int fd, const struct command *c, uint32_t id, bool last)
{
    const uint32_t data[3] = { htobe32(id), c->len, htobe32(id == 2) };

    return put_chunk(fd, c, last, CHUNK_STATUS, data, sizeof data);
}

static int answer_status(struct lying_server *s, int fd, const struct command *c)
{
    bool alloc = !(s->able & 8), dirty = s->able & 2;
    unsigned how = s->left ? take(s) : 0;
    int r = 0;

    if (how % 8 == 7)
        return put_chunk(fd, c, 1, CHUNK_ERROR, "\0\0\0\5\0", 6);
    if (how % 8 == 6)
        return put_chunk(fd, c, 1, CHUNK_NONE, NULL, 0); /* nothing at all */
    bool plain = how % 8 == 0;
    if (alloc)
        r = plain ? put_plain_extents(fd, c, 1, !dirty) : put_extents(s, fd, c, 1, !dirty);
    if (r == 0 && dirty)
        r = plain ? put_plain_extents(fd, c, 2, true) : put_extents(s, fd, c, 2, true);
    return r;
}

static int put_data(int fd, const struct command *c, uint64_t off, uint32_t n, bool last)
{
    _cleanup_free_ uint8_t *data = calloc(1, n + 8u);
    uint64_t be = htobe64(off);

    if (!data)
        return -ENOMEM;
    memcpy(data, &be, sizeof be);
    return put_chunk(fd, c, last, CHUNK_DATA, data, n + 8);
}

static int put_simple(int fd, const struct command *c, uint32_t error, uint32_t n)
{
    struct {
        uint32_t magic, error;
        uint64_t handle;
    } __attribute__((packed)) head = { htobe32(0x67446698), htobe32(error), c->handle };
    _cleanup_free_ uint8_t *data = calloc(1, n + 1u);
    int r = data ? put(fd, &head, sizeof head) : -ENOMEM;

    return r == 0 && !error ? put(fd, data, n) : r;
}

static int put_hole(int fd, const struct command *c, uint64_t off, uint32_t n)
{
    struct {
        uint64_t off;
        uint32_t len;
    } __attribute__((packed)) hole = { htobe64(off), htobe32(n) };

    return put_chunk(fd, c, 1, CHUNK_HOLE, &hole, sizeof hole);
}

static int answer_read(struct lying_server *s, int fd, const struct command *c)
{
    uint64_t off = be64toh(c->off);
    uint32_t n = be32toh(c->len);
    unsigned how = s->left ? take(s) : 0;

    if (!(s->able & 1))
        return put_simple(fd, c, how % 8 == 7 ? 5 : 0, how % 8 == 6 ? n / 2 : n);
    switch (how % 16) {
    case 1: return put_hole(fd, c, off, n);
    case 2: return put_hole(fd, c, off - take(s), n + take(s)); /* not what was asked for */
    case 3: return put_data(fd, c, off + take(s), n, true);
    case 4: return put_data(fd, c, off, n / 2, true); /* half of it */
    case 5: return put_data(fd, c, off, n + take(s), true);
    case 6: return put_chunk(fd, c, 1, CHUNK_NONE, NULL, 0);
    case 7: return put_chunk(fd, c, 1, CHUNK_ERROR, "\0\0\0\5\0", 6);
    case 8: return put_chunk(fd, c, 1, (uint16_t)take(s), "01234567", take(s) % 9);
    case 9: return put_data(fd, c, off, n, false) < 0 ? -EPIPE : put_data(fd, c, off, n, true); /* twice */
    case 10: return put_extents(s, fd, c, 1, true);
    default: return put_data(fd, c, off, n, true);
    }
}

/* Bytes of the script as they are, and then the end. */
static int put_raw(struct lying_server *s, int fd)
{
    size_t n = s->left < 64 ? s->left : 64;

    (void)put(fd, s->script, n);
    return -EPIPE;
}

static int answer(struct lying_server *s, int fd, struct command *c)
{
    unsigned how = s->left ? take(s) : 0;

    if (s->left == 0 && s->size > HONEST_MAX)
        return -EPIPE;
    if (how % 32 == 31)
        return put_raw(s, fd);
    if (how % 32 == 30)
        c->handle ^= how;
    if (be16toh(c->type) == CMD_READ)
        return answer_read(s, fd, c);
    return be16toh(c->type) == CMD_STATUS ? answer_status(s, fd, c) : -EPIPE;
}

static void *serve(void *arg)
{
    struct lying_server *s = arg;
    _cleanup_close_ int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    struct command c;

    close(s->listener); /* whoever else connects is turned away */
    s->listener = -1;
    /* A client that still waits for an answer, as to a command of another handle, is not waited for. */
    const struct timeval patience = { .tv_usec = 300000 };
    int r = fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ? -EPIPE : greet(s, fd);
    for (unsigned n = 0; r == 0 && n < COMMANDS_MAX; n++)
        if ((r = get(fd, &c, sizeof c)) == 0)
            r = answer(s, fd, &c);
    return NULL;
}

/* ---- The server --------------------------------------------------------------------------------------------------------------------*/

static uint64_t size_of(unsigned shape, unsigned n)
{
    return shape % 8 == 0 ? (uint64_t)1 << (n % 64) : shape % 8 == 1 ? UINT64_MAX >> (n % 64) : (uint64_t)n * 16384 + shape / 8 * 16;
}

static int listen_at(struct lying_server *s)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };

    snprintf(s->path, sizeof s->path, "/tmp/kvss-fuzz-nbd-%d", getpid());
    snprintf(s->uri, sizeof s->uri, "nbd+unix:///?socket=%s", s->path);
    memcpy(at.sun_path, s->path, strlen(s->path) + 1);
    unlink(s->path);
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(s->listener, 1) < 0)
        return -errno;
    return 0;
}

struct lying_server *lying_server_start(const uint8_t *script, size_t n)
{
    struct lying_server *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    *s = (struct lying_server){ .script = script, .left = n, .listener = -1 };
    (void)take(s);
    s->able = take(s);
    unsigned shape = take(s);
    s->size = size_of(shape, take(s));
    if (listen_at(s) == 0 && pthread_create(&s->thread, NULL, serve, s) == 0)
        return s;
    close(s->listener);
    free(s);
    return NULL;
}

const char *lying_server_uri(const struct lying_server *s)
{
    return s->uri;
}

uint64_t lying_server_size(const struct lying_server *s)
{
    return s->size;
}

void lying_server_stop(struct lying_server *s)
{
    if (!s)
        return;
    pthread_join(s->thread, NULL);
    unlink(s->path);
    free(s);
}
