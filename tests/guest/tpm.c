/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A TPM 2.0 by raw commands on /dev/tpm0 (TCG: "TPM 2.0 Library", part 3): one NV index of the owner, with a text in it. */
#include "guestd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OWNER 0x40000001u
#define PASSWORD 0x40000009u
#define INDEX 0x01500001u
#define TEXT_BYTES 32u
#define TPM_RC_NV_DEFINED 0x14cu

struct message {
    unsigned char b[512];
    size_t n;
};

static void add(struct message *m, unsigned value, unsigned bytes)
{
    while (bytes-- > 0)
        m->b[m->n++] = (unsigned char)(value >> (8 * bytes));
}

static unsigned get(const struct message *m, size_t at, unsigned bytes)
{
    unsigned value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | m->b[at + i];
    return value;
}

/* Tag (with a session), size (filled in by send), code, handles, and the owner's empty password. */
static void begin(struct message *m, unsigned code, int with_index)
{
    m->n = 0;
    add(m, 0x8002, 2);
    add(m, 0, 4);
    add(m, code, 4);
    add(m, OWNER, 4);
    if (with_index)
        add(m, INDEX, 4);
    add(m, 9, 4);
    add(m, PASSWORD, 4);
    add(m, 0, 2);
    add(m, 0, 1);
    add(m, 0, 2);
}

/* The response code, and the response in m. */
static unsigned send_command(struct message *m)
{
    struct message size = { .n = 0 };
    int fd = open("/dev/tpm0", O_RDWR | O_CLOEXEC);

    add(&size, (unsigned)m->n, 4);
    memcpy(m->b + 2, size.b, 4);
    ssize_t n = fd >= 0 && write(fd, m->b, m->n) == (ssize_t)m->n ? read(fd, m->b, sizeof m->b) : -1;
    if (fd >= 0)
        close(fd);
    if (n < 10) {
        perror("guestd: /dev/tpm0");
        return ~0u;
    }
    m->n = (size_t)n;
    return get(m, 6, 4);
}

static int failed(const char *what, unsigned code)
{
    fprintf(stderr, "guestd: tpm: %s: 0x%x\n", what, code);
    return 1;
}

int tpm_write(const char *text)
{
    struct message m;
    char padded[TEXT_BYTES] = "";

    begin(&m, 0x12a, 0);
    add(&m, 0, 2); /* no authorisation value */
    add(&m, 14, 2);
    add(&m, INDEX, 4);
    add(&m, 0x000b, 2);     /* SHA-256 */
    add(&m, 0x00060006, 4); /* the owner and the index's own password may read and write */
    add(&m, 0, 2);
    add(&m, TEXT_BYTES, 2);
    unsigned code = send_command(&m);
    if (code != 0 && code != TPM_RC_NV_DEFINED)
        return failed("NV_DefineSpace", code);

    snprintf(padded, sizeof padded, "%s", text);
    begin(&m, 0x137, 1);
    add(&m, TEXT_BYTES, 2);
    memcpy(m.b + m.n, padded, TEXT_BYTES);
    m.n += TEXT_BYTES;
    add(&m, 0, 2);
    code = send_command(&m);
    return code == 0 ? 0 : failed("NV_Write", code);
}

int tpm_read(void)
{
    struct message m;

    begin(&m, 0x14e, 1);
    add(&m, TEXT_BYTES, 2);
    add(&m, 0, 2);
    unsigned code = send_command(&m);
    if (code != 0)
        return failed("NV_Read", code);
    printf("%.*s\n", (int)TEXT_BYTES, (const char *)m.b + 16); /* head 10, size of parameters 4, size of data 2 */
    return 0;
}
