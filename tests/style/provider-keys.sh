#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every call and key of the protocol of providers, as the source writes and reads them, is in kvss-provider(7); and every call in
# docs/providers.md.
set -u
cd "$(dirname "$0")/../.." || exit 1

# Literals that are no part of the protocol: what the journal and messages call things.
passed_over='^(call|file|group|kind|nbd|object|program|provider-set|raw|the)$'
words=$(grep -hoE '"[a-z][a-z_-]*"' src/providers/external/external_one.c src/providers/external/external_calls.c | tr -d '"' | sort -u | grep -vE "$passed_over")
[ "$(wc -w <<< "$words")" -ge 45 ] || { echo "the source was not read: $words" && exit 1; }
failed=0
for word in $words; do
    grep -qE "(^|[\`*\" |(])${word}([\`*\",. |;)]|$)" docs/man/kvss-provider.rst || { echo "docs/man/kvss-provider.rst lacks $word" && failed=1; }
done
# shellcheck disable=SC2013 # they are words
for call in $(sed -n 's/^    \[EXT_[A-Z_]*\] = "\([a-z-]*\)",$/\1/p' src/providers/external/external_one.c | grep -v -e identify -e check -e free-room -e end-prepare); do
    grep -qF "${call//-/_}" docs/providers.md || { echo "docs/providers.md lacks $call" && failed=1; }
done
exit $failed
