/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one error object of kvss.
 *
 * A function that can fail returns 0 or a negative errno and takes a `struct err *` as its last parameter. The place where the
 * failure is known calls err_set(); callers on the way up may add what they were doing with err_context(); the command prints
 * the text once. Nothing is allocated, so an error can be made while guests are frozen. Every function here accepts err == NULL.
 */
#ifndef KVSS_ERROR_H
#define KVSS_ERROR_H

#include <stdint.h>

#define KVSS_ERR_TEXT_MAX 2048

struct err {
    int code;                     /* positive errno value; 0: no error */
    uint32_t hresult;             /* VSS_E_* of <kvss/vss_codes.h> where the failure is one of the service's; else 0 */
    char text[KVSS_ERR_TEXT_MAX]; /* "what was tried, on what: cause; what to do", NUL-terminated, perhaps cut at the end */
};

/* clang-format off */
#define ERR_INIT { 0 }
/* clang-format on */

/* Sets code and text, replacing what was there. Returns -code, so that `return err_set(err, EINVAL, "...")` reads well. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As err_set(), with the cause strerror(code) appended as ": cause". */
int err_errno(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* "out of memory", ENOMEM: the one way to say so. */
int err_nomem(struct err *err);

/* As err_set(), and records a VSS_E_* code beside the errno. */
int err_vss(struct err *err, uint32_t hresult, int code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Puts "fmt: " before the text, unless it begins so already, and keeps the codes; " of VM x" goes from the text if fmt names VM x.
 * Returns -err->code (-EIO if none was set or err is NULL). */
int err_context(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Copies src over dst (either may be NULL). Returns -src->code. */
int err_move(struct err *dst, const struct err *src);

void err_clear(struct err *err);

#endif
