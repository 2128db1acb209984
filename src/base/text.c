/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/text.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

bool text_is_unsafe(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } unsafe[] = {
        { 0x00, 0x1f },       { 0x7f, 0x9f },                         /* C0, DEL, C1 */
        { 0xad, 0xad },                                               /* soft hyphen */
        { 0x061c, 0x061c },   { 0x180e, 0x180e }, { 0x200b, 0x200f }, /* zero width; marks of direction */
        { 0x2028, 0x202e },                                           /* separators; embeddings and overrides of direction */
        { 0x2060, 0x206f },                                           /* invisible operators; isolates */
        { 0xfeff, 0xfeff },   { 0xfff9, 0xfffb },                     /* byte-order mark; annotations */
        { 0xe0000, 0xe007f },                                         /* tags */
    };

    for (size_t i = 0; i < sizeof(unsafe) / sizeof(unsafe[0]); i++)
        if (c >= unsafe[i].first && c <= unsafe[i].last)
            return true;
    return c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff);
}

/* The code point that s begins with; its length. 0: it is none, or spelled longer than need be. */
static size_t text_decode(const unsigned char *s, uint32_t *ret)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 && s[0] < 0xf8 ? 4 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xc0 && s[0] < 0xe0 ? 2 : 0;
    uint32_t c = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));

    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) /* also at the end of the text */
            return 0;
        c = c << 6 | (s[i] & 0x3fu);
    }
    *ret = c;
    return n && c >= least[n] ? n : 0;
}

void text_clean(char *s, bool keep_newlines)
{
    const unsigned char *from = (const unsigned char *)s;
    unsigned char *to = (unsigned char *)s;

    while (*from) {
        uint32_t c = 0;
        size_t n = text_decode(from, &c);
        bool fine = n && (!text_is_unsafe(c) || c == '\t' || (c == '\n' && keep_newlines));
        if (!fine)
            *to++ = '?';
        for (size_t i = 0; fine && i < n; i++)
            *to++ = from[i];
        from += n ? n : 1;
    }
    *to = '\0';
}

char *text_shell_word(const char *s)
{
    static const char harmless[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,+@%=";
    size_t n = strlen(s);

    if (n && strspn(s, harmless) == n)
        return strdup(s);
    char *ret = n <= (SIZE_MAX - 3) / 4 ? malloc(4 * n + 3) : NULL, *to = ret;
    if (!ret)
        return NULL;
    *to++ = '\'';
    for (; *s; s++) {
        if (*s == '\'') { /* ends the quotes, stands for itself, and begins them again */
            memcpy(to, "'\\'", 3);
            to += 3;
        }
        *to++ = *s;
    }
    *to++ = '\'';
    *to = '\0';
    return ret;
}
