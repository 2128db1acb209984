/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "Did you mean": the name that looks most like another. */
#include "base/text.h"
#include <ctype.h>
#include <string.h>

#define NAME_MAX_COMPARED 64

/* Levenshtein distance, case ignored, of the first NAME_MAX_COMPARED characters. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strnlen(b, NAME_MAX_COMPARED), row[NAME_MAX_COMPARED + 1];

    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i] && i < NAME_MAX_COMPARED; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            bool same = tolower((unsigned char)a[i]) == tolower((unsigned char)b[j]);
            size_t cost = diagonal + !same;
            diagonal = row[j + 1];
            if (row[j] + 1 < cost)
                cost = row[j] + 1;
            if (row[j + 1] + 1 < cost)
                cost = row[j + 1] + 1;
            row[j + 1] = cost;
        }
    }
    return row[n];
}

const char *text_similar(const char *name, const char *const *candidates, size_t n)
{
    size_t best = strlen(name) / 3 + 1; /* about a third of the letters may be wrong */
    const char *ret = NULL;

    for (size_t i = 0; i < n; i++) {
        size_t d = distance(name, candidates[i]);
        if (d < best || (d == best && !ret)) {
            best = d;
            ret = candidates[i];
        }
    }
    return ret;
}
