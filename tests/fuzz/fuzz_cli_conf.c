/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kvss.conf: whatever the bytes are, each line is counted once, and what is handed out holds no line's end and no blanks at its ends. */
#include "cli/conf.h"
#include "fuzz.h"
#include <stdlib.h>
#include <string.h>

struct seen {
    size_t lines;
};

static void trimmed(const char *s)
{
    size_t n = strlen(s);

    FUZZ_REQUIRE(!strchr(s, '\n'));
    FUZZ_REQUIRE(!n || (!strchr(" \t\r\v\f", s[0]) && !strchr(" \t\r\v\f", s[n - 1])));
}

static int take(void *priv, const char *section, const char *name, const char *value, struct err *err)
{
    struct seen *s = priv;

    (void)err;
    s->lines++;
    FUZZ_REQUIRE(!strchr(section, '\n'));
    FUZZ_REQUIRE(!name == !value);
    if (name) {
        FUZZ_REQUIRE(*name && !strpbrk(name, "=:") && !strchr("#;[", *name));
        trimmed(name);
        trimmed(value);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen seen = { 0 };
    struct err err = { 0 };
    char *text = malloc(size ? size : 1);
    size_t line = 0, ends = 0;

    if (!text)
        return 0;
    memcpy(text, data, size);
    for (size_t i = 0; i < size; i++)
        ends += data[i] == '\n';
    int r = conf_parse(text, size, take, &seen, &line, &err);
    FUZZ_REQUIRE(line >= 1 && line <= ends + 2 && seen.lines <= ends + 1);
    FUZZ_REQUIRE((r < 0) == (err.code != 0));
    free(text);
    return 0;
}
