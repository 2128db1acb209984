#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every number that comments, tests and pages cite, (M4c), (B2), behaviours 15-18 and 29, has an entry in docs/clauses.md, and each entry is there
# once.
set -u
cd "$(dirname "$0")/../.." || exit 1
page=docs/clauses.md

mapfile -t files < <(git ls-files -- src include tests docs examples | grep -vE "^($page|tests/(fuzz/corpus|golden)/.*)\$")
# cited: "FILE:LINE: NUMBER" for each citation, ranges written out; a number of its own is a behaviour's
cited() {
    grep -InoE '\b[MB][0-9]+[a-z]?\b' "${files[@]}" | sed -E 's/:([MB])/: \1/'
    grep -InoiE 'behaviou?rs? [0-9]+([-, ]+(and )?[0-9]+)*' "${files[@]}" | awk -F: '{
        list = tolower($3)
        gsub(/behaviou?rs?|and|,/, " ", list)
        n = split(list, part, " ")
        for (i = 1; i <= n; i++) {
            from = to = part[i]
            sub(/-.*/, "", from); sub(/.*-/, "", to)
            for (k = from + 0; k <= to + 0; k++) print $1 ":" $2 ": " k
        }
    }'
}
entries=$(sed -nE 's/^\| ([MB]?[0-9]+[a-z]?) \| .*/\1/p' "$page")
[ -z "$(sort <<< "$entries" | uniq -d)" ] || { echo "$page has more than one entry for $(sort <<< "$entries" | uniq -d | paste -sd ' ')" && exit 1; }
all=$(cited)
[ "$(wc -l <<< "$all")" -ge 400 ] || { echo "the tree was not read: $(wc -l <<< "$all") citations" && exit 1; }
awk -v entries="$entries" -v page="$page" '
    BEGIN { n = split(entries, list, "\n"); for (i = 1; i <= n; i++) known[list[i]] = 1 }
    !($NF in known) { print $1 " " $NF " has no entry in " page; failed = 1 }
    END { exit failed }' <<< "$all"
