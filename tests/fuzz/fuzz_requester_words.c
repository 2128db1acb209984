/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* password-command: whatever the text is, there is a program, and the words are no longer than the text. */
#include "base/strv.h"
#include "fuzz.h"
#include "requester/context/passphrase_command.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[4096], **words = NULL;
    size_t sum = 0;

    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (keys_command_split(text, &words, NULL) < 0)
        return 0;
    FUZZ_REQUIRE(words && words[0] && *words[0]);
    for (char **w = words; *w; w++)
        sum += strlen(*w);
    FUZZ_REQUIRE(sum <= strlen(text));
    strv_free(words);
    return 0;
}
