# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the benchmarks share. A run sets $work (where things lie) and $results (a file) before it measures.

say() { [ "${json:-no}" = yes ] || echo "$@"; }

# The median of the numbers on stdin; null: there are none
median() { sort -n | awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2; else print "null" }'; }

# bench_image FILE: makes an ext4 image of 8 GiB with about 3 GB of /usr, unless it is there: folders in a fixed order until there is
# enough.
bench_image() {
    local stage=$1.stage dir size sum=0
    [ ! -e "$1" ] || return 0
    say "Making an image of /usr ..."
    rm -rf "$stage" && mkdir -p "$stage"
    for dir in /usr/bin /usr/sbin /usr/share /usr/include /usr/libexec /usr/lib/*/; do
        size=$(du -xsm "$dir" | cut -f 1)
        [ $((sum + size)) -le 3200 ] || continue
        sum=$((sum + size))
        mkdir -p "$stage$(dirname "$dir")"
        cp -a --one-file-system "${dir%/}" "$stage$(dirname "$dir")/"
    done
    rm -f "$1.part" && truncate -s 8G "$1.part"
    mkfs.ext4 -q -F -E lazy_itable_init=0 -d "$stage" "$1.part" && mv "$1.part" "$1"
    rm -rf "$stage"
}

# Memory that nobody has touched for a while may first have to be got from a host that took it back (free page reporting), which is
# several times as dear as writing to it. Everybody starts with memory that was just in use, then.
warm() {
    local dir=$work file
    [ "$(stat -f -c %T "$dir")" = tmpfs ] || dir=/dev/shm
    [ "$(stat -f -c %T "$dir" 2> /dev/null)" = tmpfs ] || return 0
    file=$(mktemp "$dir/kvss-warm-XXXXXX")
    dd if=/dev/zero of="$file" bs=1M count=4096 status=none
    rm "$file"
}

# measure TOOL STEP COMMAND...: one line of results. Output of the command goes to $work/out.
measure() { warm && measure_now "$@"; }
measure_now() {
    local tool=$1 step=$2
    shift 2
    /usr/bin/time -o "$work/time" -f '%e %U %S %M' "$@" > "$work/out" 2> "$work/err" ||
        { echo "$tool $step failed:" >&2 && cat "$work/err" >&2 && return 1; }
    echo "$tool $step $(tail -n 1 "$work/time")" >> "$results"
}

# number TOOL NAME NUMBER: one more line of results
number() { echo "$1 $2 $3" >> "$results"; }

bytes_of() { du -sb "$1" | cut -f 1; }

# run_zstd, run_restic: what all others are compared with, on $disk; what comes back is in $work/back.img
run_zstd() {
    measure zstd full zstd -1 -T2 -q -f "$disk" -o "$work/z"
    number zstd size "$(bytes_of "$work/z")"
    measure zstd restore zstd -d -q -f --sparse "$work/z" -o "$work/back.img"
    rm -f "$work/z"
}

run_restic() {
    export RESTIC_PASSWORD=bench RESTIC_CACHE_DIR=$work/restic-cache
    restic -q init -r "$work/repo"
    measure restic full restic -q -r "$work/repo" backup "$disk"
    number restic size "$(bytes_of "$work/repo")"
    measure restic again restic -q -r "$work/repo" backup --force "$disk"
    measure restic restore sh -c "restic -q -r '$work/repo' dump latest '$disk' > '$work/back.img'"
    rm -rf "$work/repo" "$RESTIC_CACHE_DIR"
}

# results_show: as a table, or as JSON where $json is yes
results_show() {
    if [ "${json:-no}" = yes ]; then
        python3 "$(dirname "${BASH_SOURCE[0]}")/table.py" --json "$results"
    else
        python3 "$(dirname "${BASH_SOURCE[0]}")/table.py" "$results"
    fi
}
