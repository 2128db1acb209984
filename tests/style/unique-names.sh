#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every external name is defined once in the whole of src/: the floors are static libraries, and two of them that use the same name
# could be linked together or not by chance.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${KVSS_BUILD:-build}

list=$(tests/lib/objects "$build") || exit 1
mapfile -t objects < <(echo "$list")
found=$(nm --print-file-name --defined-only --extern-only --format=posix "${objects[@]}" |
    awk '$2 !~ /^__/ && $2 != "main" && $3 ~ /^[A-Z]$/ {
        n = split($1, part, "/"); file = part[n - 1] "/" part[n]
        where[$2] = where[$2] " " file; count[$2]++
    }
    END { for (name in count) if (count[name] > 1) print name " is defined in" where[name] }')
[ -z "$found" ] || { echo "$found" && exit 1; }
