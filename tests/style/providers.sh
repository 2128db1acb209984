#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# No provider is known by name outside of src/providers/: nothing there is used elsewhere but what is about all of them (provider_...,
# providers_...), by the objects' symbols, and the built-in ones, as src/providers/meson.build lists them, are named nowhere else. Each of
# them is a file of that name: with its name in the list that is all it takes to add one.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${KVSS_BUILD:-build}
failed=0

list=$(sed -n "s/^builtin_providers = \[\(.*\)\]$/\1/p" src/providers/meson.build | tr -d "',")
[ -n "$list" ] || { echo "src/providers/meson.build has no list builtin_providers" && exit 1; }
for name in $list; do
    grep -q "^const struct builtin_provider $name = {" "src/providers/$name.c" || { echo "src/providers/$name.c does not define $name" && failed=1; }
    found=$(git grep -nE "\b$name" -- 'src/*' 'include/*' ':!src/providers')
    [ -z "$found" ] || { echo "$found" && failed=1; }
done

objects=$(tests/lib/objects "$build") || exit 1
found=$(echo "$objects" | xargs nm --print-file-name --format=posix | sed -E 's/^([^ ]*): /\1 /' | awk '
    { inside = $1 ~ /src\/providers\/[^\/]*\.p\/|src\/providers\/.*\/lib/ }
    inside && $3 ~ /^[TDBR]$/ { ours[$2] = 1 }
    !inside && $3 == "U" && $1 ~ /src\// { n++; user[n] = $1; used[n] = $2 }
    END {
        for (i = 1; i <= n; i++)
            if (used[i] in ours) {
                seen++
                if (used[i] !~ /^providers?_/) { sub(/.*\//, "", user[i]); print user[i] " uses " used[i] }
            }
        if (seen < 3) print "the objects were not read: " seen " uses"
    }')
[ -z "$found" ] || { echo "$found" && failed=1; }
exit $failed
