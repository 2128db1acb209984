#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Below src/cli/ nothing prints and nothing ends the process: no object of ours calls what does. (abort() is for a kernel without
# random numbers, in base/guid.c; _exit() ends a forked child that could not become a program.)
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${KVSS_BUILD:-build}

banned='^(__)?(printf|vprintf|puts|putchar|putc|perror|psignal|error|error_at_line|err|errx|warn|warnx|vwarn|syslog|exit|quick_exit|abort|__assert_fail|stdout|stderr|system|popen)(_chk)?$'
allowed='guid.c.o abort'

list=$(tests/lib/objects "$build") || exit 1
mapfile -t objects < <(echo "$list" | grep -v /cli/)
found=$(nm --print-file-name --undefined-only --format=posix "${objects[@]}" |
    sed -E 's/^(.*):? ([^ ]+) U.*$/\1 \2/; s/@.*//; s/: / /' |
    awk -v banned="$banned" -v allowed="^($allowed)$" '
        { n = split($1, part, "/"); name = part[n]; sub(/:$/, "", name) }
        $2 ~ banned && (name " " $2) !~ allowed { print name " uses " $2 }')
[ -z "$found" ] || { echo "$found" && exit 1; }
