/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GUIDs as VSS and libvirt print them: 36 characters, lower case. */
#ifndef BASE_GUID_H
#define BASE_GUID_H

#include <stdbool.h>

#define GUID_LEN 36
struct guid {
    char text[GUID_LEN + 1];
};

/* A random (version 4) one from getrandom(2). */
struct guid guid_new(void);
/* True if s is a well-formed GUID, braces allowed, any case; then *ret (may be NULL) is set in canonical form. */
bool guid_parse(const char *s, struct guid *ret);
bool guid_equal(const char *a, const char *b); /* textually, case ignored */

#endif
