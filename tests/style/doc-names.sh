#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What docs/*.md and the papers beside them name exists: paths below src, include, tests, docs ..., files named without a path, functions.
set -u
cd "$(dirname "$0")/../.." || exit 1

failed=0
seen=0
complain() { echo "$1" && failed=1; }
names=$(git ls-files | sed 's|.*/||' | sort -u)
functions=$(git ls-files -- src include | grep '\.[ch]$' | xargs cat | grep -E '^[a-z#]' | grep -oE '\b[a-z_][a-z0-9_]+\(' | sort -u)
# names_in PAGE: what it says is a path, a file or a function; not in code that it shows
# shellcheck disable=SC2016 # the quotes are Markdown's
names_in() {
    local top='(src|include|tests|docs|bench|examples|data|tools|demo)'
    grep -v '^    ' "$1" | grep -oE '`[^` ]+`|\b'"$top"'/[A-Za-z0-9_./*-]*[A-Za-z0-9_/*]' | tr -d '`' |
        grep -E "^$top"'/[A-Za-z0-9_./*-]+$|^[a-z0-9_]+\.[ch]$|^[a-z_][a-z0-9_]+\(\)$' | sort -u
}

for page in docs/*.md *.md examples/*.md; do
    while read -r name; do
        seen=$((seen + 1))
        case $name in
        *[*]* | *NN-* | *NAME* | *MODULE* | *X.c) continue ;; # patterns
        *'()') grep -qxF -- "${name%)}" <<< "$functions" || complain "$page: there is no function $name" ;;
        */*) [ -e "$name" ] || [ -e "src/$name" ] || complain "$page: there is no $name" ;;
        *) grep -qxF -- "$name" <<< "$names" || complain "$page: there is no file $name" ;;
        esac
    done < <(names_in "$page")
done
[ $seen -ge 100 ] || complain "the pages were not read: $seen names"
exit $failed
