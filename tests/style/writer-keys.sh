#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every key and word of the protocol of writer programs, as the source reads and writes them, is in docs/writers.md and kvss-writer(7).
set -u
cd "$(dirname "$0")/../.." || exit 1

# Literals that are no part of the protocol: what messages call things.
passed_over='^(alternate location|component|component type|dependency|exclude|files|identity|kind|restore method|usage)$'
words=$(grep -hoE '"[a-z][a-z_-]*"' src/writers/command_identify.c src/writers/command_event.c | tr -d '"' | sort -u | grep -vE "$passed_over")
[ "$(wc -w <<< "$words")" -ge 60 ] || { echo "the source was not read: $words" && exit 1; }
failed=0
for page in docs/writers.md docs/man/kvss-writer.rst; do
    for word in $words; do
        grep -qE "[\`*\" |]${word}[\`*\",. |;]" "$page" || { echo "$page lacks $word" && failed=1; }
    done
done
exit $failed
