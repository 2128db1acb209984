/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* newrepo FOLDER PASSWORD-FILE: a repository as `kvss init` makes it, but whose passphrase is tried fast: a test runs the command
 * dozens of times, and each would cost half a second. `kvss init` has tests of its own. */
#include "store/store.h"
#include <stdio.h>
#include <string.h>

#define FAST_LOG_N 10

int main(int argc, char **argv)
{
    char line[256];
    struct err err = ERR_INIT;
    FILE *f = argc == 3 ? fopen(argv[2], "re") : NULL;

    if (!f || !fgets(line, sizeof line, f)) {
        fputs("Usage: newrepo FOLDER PASSWORD-FILE\n", stderr);
        return 2;
    }
    fclose(f);
    line[strcspn(line, "\n")] = 0;
    struct store_init init = { .key.passphrase = line, .scrypt_log_n = FAST_LOG_N };
    if (store_create(argv[1], &init, &err) < 0) {
        fprintf(stderr, "newrepo: %s\n", err.text);
        return 1;
    }
    return 0;
}
