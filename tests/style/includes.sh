#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every #include in src/ and include/ is allowed by the table in docs/architecture.md ("Who may include whom").
set -u
cd "$(dirname "$0")/../.." || exit 1

# Headers of C, POSIX and Linux: no layer owns them.
system='^(arpa|asm|linux|net|netinet|sys)/|^(assert|ctype|dirent|endian|errno|fcntl|fnmatch|getopt|glob|inttypes|langinfo|libgen|limits|locale|malloc|math|mntent|poll|pthread|pwd|grp|sched|semaphore|setjmp|signal|spawn|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|string|strings|syslog|termios|time|unistd|wchar)\.h$'

git ls-files -- 'src/*.[ch]' 'include/*.[ch]' | xargs grep -Hn '^[[:space:]]*#[[:space:]]*include' |
    sed -E 's/^([^:]*):([0-9]*):[[:space:]]*#[[:space:]]*include[[:space:]]*([<"])([^>"]*).*/\1 \2 \3 \4/' |
    awk -v system_re="$system" '
function trim(s) { gsub(/^ +| +$/, "", s); return s }
function folder_of(path) { sub(/\/[^\/]*$/, "", path); return path }
function bad(why) { printf "%s:%s: %s%s: %s\n", $1, $2, $3, $4, why; failed = 1 }
# The first input is the document; its table has a header line beginning "| folder | header |".
FILENAME == "docs/architecture.md" {
    if ($0 ~ /^\| folder \| header \|/) { in_table = 1; next }
    if ($0 !~ /^\|/) in_table = 0
    if (!in_table || $0 ~ /^\|-/) next
    split($0, cell, "|")
    folder = trim(cell[2])
    rows++
    header[folder] = trim(cell[3])
    n = split(trim(cell[4]), list, " ")
    for (i = 1; i <= n; i++) may[folder, list[i]] = 1
    n = split(trim(cell[5]), list, " ")
    for (i = 1; i <= n; i++) library[folder, list[i]] = 1
    next
}
{
    seen++
    from = folder_of($1)
    if (!(from in header)) { bad("the folder " from " has no row in the table"); next }
    if ($3 == "\"") to = "src/" folder_of($4)
    else if ($4 ~ /^kvss\//) to = "include/kvss"
    else {
        if ($4 ~ system_re) next
        part = $4
        sub(/[.\/].*/, "", part)
        if (!((from, part) in library)) bad("the folder may not use the library " part)
        next
    }
    if (to == from) next
    name = $4
    sub(/^.*\//, "", name)
    if (!((from, to) in may)) bad("the folder may not use " to)
    else if (header[to] == "any" ? name ~ /_internal\.h$/ : name != header[to]) bad("not the header of " to " that others include")
}
END {
    if (rows < 5 || seen < 20) { print "the table or the source was not read: " rows " rows, " seen " includes"; failed = 1 }
    exit failed
}' docs/architecture.md -
