#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Files up to 600 lines (500 is the aim), functions up to 60, six parameters besides the error, lines up to 140 columns.
set -u
cd "$(dirname "$0")/../.." || exit 1

# shellcheck disable=SC2016 # the dollar signs are awk's
git ls-files -- '*.[ch]' | xargs awk '
function bad(line, why) { printf "%s:%d: %s\n", FILENAME, line, why; failed = 1 }
function end_of_file() {
    if (lines > 600) { printf "%s: %d lines, 600 are allowed\n", file, lines; failed = 1 }
    else if (lines > 500) printf "%s: %d lines: aim at 500\n", file, lines
}
FNR == 1 { end_of_file(); file = FILENAME; files++; head = "" }
{ lines = FNR }
length($0) > 140 { bad(FNR, "line of " length($0) " columns, 140 are allowed") }
# K&R: the brace that opens a function stands alone in the first column, and so does the one that closes it.
/^\{/ {
    start = FNR
    name = head
    sub(/\(.*/, "", name)
    sub(/^.*[ *]/, "", name)
    count_parameters(head)
}
/^\}/ && start {
    functions++
    if (FNR - start + 1 > 62) bad(start, "function " name " has " FNR - start - 1 " lines, 60 are allowed")
    start = 0
    head = ""
}
# What stands before the brace since the last line that ended something.
!start && !/^\{/ { head = /[;}]$|^#|^$|\*\/$/ ? "" : head " " $0 }
function count_parameters(h,    depth, i, c, n) {
    n = h ~ /struct err \*err\)/ ? 0 : 1
    for (i = index(h, "("); i <= length(h); i++) {
        c = substr(h, i, 1)
        if (c == "(") depth++
        if (c == ")" && --depth == 0) break
        if (c == "," && depth == 1) n++
    }
    if (n > 6) bad(FNR, "function " name " has " n " parameters besides the error, 6 are allowed")
}
END {
    end_of_file()
    if (files < 20 || functions < 50) { print "the source was not read: " files " files, " functions " functions"; failed = 1 }
    exit failed
}'
