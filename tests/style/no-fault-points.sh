#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is shipped has no fault points: nothing in src/ but src/journal/fault.c reads the environment for them, that file is only
# compiled on request, and the rest of the journal, compiled as it is shipped, refers to nothing of it.
set -u
cd "$(dirname "$0")/../.." || exit 1

failed=0
grep -rln KVSS_TEST_ src include | grep -v '^src/journal/fault\.c$' && failed=1
grep -q "^option('fault_points', type: 'boolean', value: false," meson_options.txt || { echo "fault_points is not off by default" && failed=1; }
grep -q -- '-Dfault_points=false' Makefile || { echo "make install keeps the fault points" && failed=1; }

dir=$(mktemp -d) || exit 1
trap 'rm -r "$dir"' EXIT
for file in src/journal/*.c; do
    [ "$file" != src/journal/fault.c ] || continue
    ${CC:-gcc} -std=gnu17 -O1 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Iinclude -Isrc -c "$file" -o "$dir/object.o" || exit 1
    if nm "$dir/object.o" | grep -E ' [UT] journal_fault' || strings "$dir/object.o" | grep KVSS_TEST_; then
        echo "$file has fault points" && failed=1
    fi
done
exit $failed
