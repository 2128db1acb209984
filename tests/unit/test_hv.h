/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of tests/golden/hv, and what the tests of src/hypervisor include. */
#ifndef TESTS_UNIT_TEST_HV_H
#define TESTS_UNIT_TEST_HV_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "hypervisor/hypervisor.h"

#define GOLDEN_MAX ((size_t)1 << 20)

static inline char *golden_path(const char *name, const char *ending)
{
    char *path = str_format("%s/hv/%s.%s", KVSS_GOLDEN_DIR, name, ending);

    assert_non_null(path);
    return path;
}

/* Caller frees. */
static inline char *golden_read(const char *name, const char *ending)
{
    _cleanup_free_ char *path = golden_path(name, ending);
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct err err = ERR_INIT;

    if (io_read_file(path, GOLDEN_MAX, &b, &err) < 0)
        fail_msg("%s", err.text);
    return buf_take_str(&b);
}

/* The text must be what the file says; with KVSS_UPDATE_GOLDEN set the file is made so. */
static inline void golden_check(const char *name, const char *ending, const char *text)
{
    if (getenv("KVSS_UPDATE_GOLDEN")) {
        _cleanup_free_ char *path = golden_path(name, ending);
        assert_int_equal(io_replace_file(path, text, strlen(text), 0644, NULL), 0);
        return;
    }
    _cleanup_free_ char *wanted = golden_read(name, ending);
    assert_string_equal(text, wanted);
}

#endif
