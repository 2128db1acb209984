/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In the place of libFuzzer: gives each file named, or each in a folder named, to the fuzzer's entry. */
#include "base/io.h"
#include "fuzz.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX ((size_t)64 << 20)

static int replay(const char *path)
{
    _cleanup_buf_ struct buf input = BUF_INIT;
    _cleanup_free_ uint8_t *exact = NULL;
    struct err err = ERR_INIT;

    if (io_read_file(path, INPUT_MAX, &input, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    /* As libFuzzer does: of exactly this size, so that ASan sees a read past the end; no terminator to lean on. */
    exact = malloc(input.len ? input.len : 1);
    if (!exact)
        return 1;
    memcpy(exact, input.data, input.len);
    printf("%s\n", path);
    fflush(stdout); /* the last line names the input that crashes */
    LLVMFuzzerTestOneInput(exact, input.len);
    return 0;
}

static int replay_dir(const char *path)
{
    _cleanup_closedir_ DIR *d = opendir(path);
    int failed = 0, seen = 0;

    if (!d)
        return 1;
    for (struct dirent *e; (e = readdir(d));) {
        _cleanup_free_ char *file = io_path(path, e->d_name);
        if (e->d_name[0] == '.' || !file)
            continue;
        failed |= replay(file);
        seen++;
    }
    return failed || seen == 0; /* a corpus that is not there tests nothing */
}

int main(int argc, char **argv)
{
    int failed = argc < 2;

    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) < 0) {
            fprintf(stderr, "%s is not there\n", argv[i]);
            failed = 1;
        } else {
            failed |= S_ISDIR(st.st_mode) ? replay_dir(argv[i]) : replay(argv[i]);
        }
    }
    return failed;
}
