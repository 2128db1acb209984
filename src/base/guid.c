/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/guid.h"
#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

struct guid guid_new(void)
{
    uint8_t b[16];
    struct guid g;

    /* For this size it can only be interrupted, or be missing from the kernel: then there is no safe identity to give. */
    while (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
        if (errno != EINTR)
            abort();
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(g.text, sizeof g.text, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3], b[4],
             b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
    return g;
}

bool guid_parse(const char *s, struct guid *ret)
{
    struct guid g = { { 0 } };

    if (!s)
        return false;
    size_t n = strlen(s);
    if (n == GUID_LEN + 2 && s[0] == '{' && s[n - 1] == '}')
        s++;
    else if (n != GUID_LEN)
        return false;
    for (size_t i = 0; i < GUID_LEN; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        unsigned char c = (unsigned char)s[i];
        if (dash ? c != '-' : !isxdigit(c))
            return false;
        g.text[i] = (char)tolower(c);
    }
    if (ret)
        *ret = g;
    return true;
}

bool guid_equal(const char *a, const char *b)
{
    return a && b && strcasecmp(a, b) == 0;
}
