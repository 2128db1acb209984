#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# One name, one thing: below src/ no two files have one name (but NAME.c and NAME.h in one folder), no two structs one tag, and no two
# static functions one name, so that an object, a backtrace or a log line says which is meant.
set -u
cd "$(dirname "$0")/../.." || exit 1

failed=0
report() { # WHAT: of lines "NAME PLACE", each pair once, names that have several places
    local found
    found=$(sort -u | awk -v what="$1" '{ n[$1]++; at[$1] = at[$1] " " $2 } END { for (x in n) if (n[x] > 1) print what " " x ":" at[x]; exit NR < 50 }')
    # shellcheck disable=SC2181 # the status of the pipe is meant
    [ $? = 0 ] || { echo "$1: the source was not read" && failed=1; }
    [ -z "$found" ] || { echo "$found" && failed=1; }
}

report "file" < <(git ls-files -- 'src/*.[ch]' | sed -E 's|^(.*)/([^/]*)\.[ch]$|\2 \1|')
report "struct" < <(git grep -nE '^(static )?(const )?struct [a-z_0-9]+ \{' -- 'src/*.[ch]' |
    sed -E 's/^([^:]*):([0-9]+):.*struct ([a-z_0-9]+) \{.*/\3 \1:\2/')
report "static function" < <(git grep -E '^static [a-z].*[ *][a-z_0-9]+\(.*' -- 'src/*.c' |
    grep -vE '= |;$|__attribute__' | sed -E 's/^([^:]*):static [^(]*[ *]([a-z_0-9]+)\(.*/\2 \1/')
exit $failed
