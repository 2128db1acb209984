/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words of the published vocabulary for the numbers of <kvss/vss_codes.h>, as documents carry them. */
#ifndef VSS_VSS_NAMES_H
#define VSS_VSS_NAMES_H

#include <stddef.h>

struct words {
    const char *what; /* names the vocabulary in errors */
    size_t n;
    const char *const *list; /* list[value]; NULL where the value has no word */
};

extern const struct words words_bool, words_backup_type, words_usage, words_source, words_restore_method, words_writer_restore,
    words_component_type, words_restore_target, words_file_restore_status;

const char *words_get(const struct words *w, size_t value); /* NULL: no such value */
int words_find(const struct words *w, const char *word);    /* -ENOENT */

#endif
