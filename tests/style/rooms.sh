#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The folders of src/ call each other in one direction: by the objects' symbols, each calls only folders that stand above it in the table of
# docs/architecture.md ("Who may include whom"), so there is no circle.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${KVSS_BUILD:-build}

tests/lib/objects "$build" > /dev/null || exit 1
objects=$(mktemp) || exit 1
trap 'rm -f "$objects"' EXIT
ninja -C "$build" -t compdb c_COMPILER | jq -r '.[] | [.directory + "/" + .output, .file] | @tsv' | sed -E 's|\t(\.\./)*|\t|' |
    grep -P '\tsrc/' > "$objects"
cut -f 1 "$objects" | xargs nm --print-file-name --format=posix | awk '
function folder_of(path) { sub(/\/[^\/]*$/, "", path); return path }
FILENAME == "docs/architecture.md" {
    if ($0 ~ /^\| folder \| header \|/) { in_table = 1; next }
    if ($0 !~ /^\|/) in_table = 0
    if (in_table && $0 !~ /^\|-/) { split($0, cell, "|"); gsub(/ /, "", cell[2]); row[cell[2]] = ++rows }
    next
}
FILENAME != "-" { source[$1] = $2; files++; next }
{ file = source[substr($1, 1, length($1) - 1)] }
$3 ~ /^[TDBRVW]$/ { at[$2] = file; next }
$3 == "U" { n++; user[n] = file; used[n] = $2 }
END {
    for (i = 1; i <= n; i++) {
        if (!(used[i] in at)) continue
        from = folder_of(user[i]); to = folder_of(at[used[i]])
        if (from == to) continue
        if (!(from in row)) { print "the folder " from " has no row in the table"; failed = 1; continue }
        calls++
        if (row[to] >= row[from]) { print user[i] " uses " used[i] " of " at[used[i]] ", which is not above it"; failed = 1 }
    }
    if (files < 100 || calls < 500) { print "the objects were not read: " files " files, " calls " calls"; failed = 1 }
    exit failed
}' docs/architecture.md "$objects" -
