/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tokens.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* "KT number bootid counter checksum", then spaces up to the newline. */
#define TOKEN_BODY 46 /* bytes that the checksum covers */

static uint32_t crc32_of(const char *data, size_t len)
{
    uint32_t crc = 0xffffffffU;

    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned char)data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (0xedb88320U & (0U - (crc & 1U)));
    }
    return ~crc;
}

void token_format(char buf[TOKEN_SIZE], const struct token *t)
{
    char text[TOKEN_SIZE + 64];
    int len = snprintf(text, sizeof text, "KT %012" PRIu64 " %016" PRIx64 " %012" PRIu64 " ", t->number % 1000000000000U, t->bootid,
                       t->counter % 1000000000000U);

    len += snprintf(text + len, sizeof text - (size_t)len, "%08" PRIx32, crc32_of(text, TOKEN_BODY));
    memset(buf, ' ', TOKEN_SIZE);
    memcpy(buf, text, (size_t)len);
    buf[TOKEN_SIZE - 1] = '\n';
}

bool token_parse(const char buf[TOKEN_SIZE], struct token *t)
{
    char text[TOKEN_SIZE + 1], again[TOKEN_SIZE];
    struct token got;

    memcpy(text, buf, TOKEN_SIZE);
    text[TOKEN_SIZE] = '\0';
    if (sscanf(text, "KT %12" SCNu64 " %16" SCNx64 " %12" SCNu64, &got.number, &got.bootid, &got.counter) != 3)
        return false;
    token_format(again, &got); /* compares the checksum and every byte of padding too */
    if (memcmp(again, buf, TOKEN_SIZE) != 0)
        return false;
    *t = got;
    return true;
}

static void scan_record(struct token_scan *scan, const char *record)
{
    struct token t;

    if (scan->torn) { /* what was bad was not the end */
        scan->corrupt = true;
        scan->torn = false;
    }
    if (!token_parse(record, &t)) {
        scan->torn = true;
        return;
    }
    if (t.number <= scan->last.number)
        scan->corrupt = true;
    scan->previous = scan->last.number;
    scan->last = t;
    scan->records++;
}

int token_scan_fd(int fd, int64_t start, struct token_scan *scan)
{
    struct token_scan out = { 0 };
    char record[TOKEN_SIZE];
    off_t pos = (off_t)start;

    for (;;) {
        ssize_t n = pread(fd, record, sizeof record, pos);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        if (n < TOKEN_SIZE) {
            out.torn = true;
            break;
        }
        scan_record(&out, record);
        pos += n;
    }
    *scan = out;
    return 0;
}
