#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The folders of src/ call each other in one direction: by the objects' symbols, each calls only folders that stand above it in the table of
# docs/architecture.md ("Who may include whom"), so there is no circle.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${KVSS_BUILD:-build}

tests/lib/objects "$build" > /dev/null || exit 1
ninja -C "$build" -t compdb c_COMPILER | jq -r '.[] | [.file, .directory + "/" + .output] | @tsv' | sed -E 's|^[^\t]*\.\./||' |
    grep '^src/' | while IFS=$'\t' read -r source object; do
    echo "source $source"
    nm --format=posix "$object"
done | awk '
function folder_of(path) { sub(/\/[^\/]*$/, "", path); return path }
FILENAME == "docs/architecture.md" {
    if ($0 ~ /^\| folder \| header \|/) { in_table = 1; next }
    if ($0 !~ /^\|/) in_table = 0
    if (in_table && $0 !~ /^\|-/) { split($0, cell, "|"); gsub(/ /, "", cell[2]); row[cell[2]] = ++rows }
    next
}
$1 == "source" { file = $2; files++; next }
$2 ~ /^[TDBRVW]$/ { at[$1] = file; next }
$2 == "U" { n++; user[n] = file; used[n] = $1 }
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
}' docs/architecture.md -
