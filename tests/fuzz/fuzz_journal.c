/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A dead session's list of effects: whatever it says, undo is called at most once for each effect and never without its verb. */
#include "fuzz.h"
#include "journal/journal_internal.h"
#include <string.h>

static int undo(void *ctx, const struct journal_effect *e, struct err *err)
{
    size_t *n = ctx;
    (void)err;
    FUZZ_REQUIRE(!strcmp(journal_verb_name(e), "note"));
    __atomic_add_fetch(n, 1, __ATOMIC_SEQ_CST); /* groups are undone side by side */
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct journal_verb verbs[] = { { "note", undo }, { NULL, NULL } };
    struct journal *j = NULL;
    size_t undone = 0;

    if (journal_make("fuzz", verbs, &undone, NULL, &j, NULL) < 0)
        return 0;
    (void)journal_load_text(j, (const char *)data, size, NULL);
    size_t open = journal_open_effects(j);
    (void)journal_undo_all(j, NULL);
    FUZZ_REQUIRE(undone == open && journal_open_effects(j) == 0);
    journal_free(j);
    return 0;
}
