/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image for a test, by the real qemu-img. */
#ifndef TESTS_UNIT_TEST_IMAGE_H
#define TESTS_UNIT_TEST_IMAGE_H

#include "base/buf.h"
#include "base/proc.h"

/* options, and backing with its format: NULL for none. */
static inline void test_image_create(const char *path, const char *format, uint64_t size, const char *options, const char *backing,
                                     const char *backing_format)
{
    _cleanup_free_ char *bytes = str_format("%llu", (unsigned long long)size);
    _cleanup_buf_ struct buf said = BUF_INIT;
    const char *argv[16] = { "qemu-img", "create", "-q", "-f", format };
    struct err err = ERR_INIT;
    size_t n = 5;
    int status = 0;

    if (options) {
        argv[n++] = "-o";
        argv[n++] = options;
    }
    if (backing) {
        argv[n++] = "-b";
        argv[n++] = backing;
        argv[n++] = "-F";
        argv[n++] = backing_format;
    }
    argv[n++] = path;
    argv[n++] = bytes;
    const struct proc_run run = { .argv = (char *const *)argv, .timeout_ms = 60000 };
    if (proc_run(&run, NULL, &said, &status, &err) < 0 || status != 0)
        fail_msg("%s: %s%s", path, err.text, said.data ? (char *)said.data : "");
}

#endif
