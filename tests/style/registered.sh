#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# No test is left out by oversight: every unit test and fuzzer in the tree has been built, and every fuzzer has a corpus.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${KVSS_BUILD:-build}

failed=0
seen=0
while read -r source; do
    [ -e "$source" ] || continue
    seen=$((seen + 1))
    name=$(basename "$source" .c)
    folder=$(dirname "$source")
    [ -x "$build/$folder/$name" ] || { echo "$source is not built: is it in $folder/meson.build?" && failed=1; }
    [ "$folder" != tests/fuzz ] || compgen -G "tests/fuzz/corpus/${name#fuzz_}/*" > /dev/null ||
        { echo "$source has no corpus in tests/fuzz/corpus/${name#fuzz_}/" && failed=1; }
done < <(git ls-files 'tests/unit/test_*.c' 'tests/fuzz/fuzz_*.c')
[ $seen -ge 20 ] || { echo "only $seen tests were found" && failed=1; }
while read -r name; do
    [ -e "tests/unit/test_$name.c" ] || { echo "tests/unit/meson.build lists $name, and there is no test_$name.c" && failed=1; }
done < <(sed -n "s/^  \['\([a-z0-9_]*\)', \[.*/\1/p" tests/unit/meson.build)
for script in tests/integration/[0-9]*.sh tests/fault/[0-9]*.sh; do
    [ -x "$script" ] || { echo "$script cannot be executed" && failed=1; }
done
exit $failed
