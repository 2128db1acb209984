/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text that others chose (names in a guest, a definition, a repository, the messages of other programs), before people see it. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes it harmless, in place: control characters (C0, DEL, C1), those that turn the direction of writing or have no width, line and
 * paragraph separators, and bytes that are no UTF-8 become a '?' each, so that no terminal obeys it and it looks like what it is. Newlines
 * stay if asked for; tabs always. */
void text_clean(char *s, bool keep_newlines);
/* Whether a code point is one of these; newlines and tabs are. */
bool text_is_unsafe(uint32_t code_point);

/* s as one word for a shell, in quotes where it needs them: what a person may copy from a message must not run anything. NULL: out of
 * memory. Caller frees. */
char *text_shell_word(const char *s);

/* The candidate that looks most like `name`, or NULL if none does: "did you mean". */
const char *text_similar(const char *name, const char *const *candidates, size_t n);

#endif
