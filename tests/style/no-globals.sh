#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# No writable global or static data in our objects: nothing in .data, .bss or common. (.data.rel.ro and .preinit_array are constant
# once the program runs.)
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${KVSS_BUILD:-build}

# OBJECT:SYMBOL that may be writable, each with its reason.
allowed='host_event_loop\.c\.o:registered' # libvirt has one event implementation per process; this is its pthread_once_t

list=$(tests/lib/objects "$build") || exit 1
mapfile -t objects < <(echo "$list")
found=$(nm --print-file-name --format=sysv "${objects[@]}" | awk -F'|' '
    { gsub(/ +/, "", $0); split($0, f, "|") }
    f[3] ~ /^[bBdDcCgGsS]$/ && f[7] !~ /^\.(data\.rel\.ro|preinit_array)/ && f[1] !~ /__(asan|ubsan|sancov)/ { print f[1] " in " f[7] }' |
    grep -Ev "/($allowed)(\.[0-9]+)? in ")
[ -z "$found" ] || { echo "$found" && exit 1; }
