#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# what functions of chains set is not seen from here
# shellcheck disable=SC2153,SC2154
# A repository on a file system that is full, nearly full or read-only, and one that belongs to somebody else: a clear error, no VM
# touched for long, everything that was there still whole and restorable, and once there is room the same command works. Prune gives room
# back after a backup that ran out of it. Issue 3: "ENOSPC and read-only targets end in a clear error and a valid repository"; B2, B4.
# In `make test` fault/73-full-disk has a full repository.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_chain.sh
. "$(dirname "$0")/../lib/functions_chain.sh"

kvss_setup
small=$SANDBOX/small
mkdir "$small"
mount -t tmpfs -o size=72m,mode=755 small "$small"
export KVSS_REPOSITORY=$small/repository
kvss init > /dev/null 2>&1
fill() { # NAME MIB: content of its own
    head -c "$2M" /dev/urandom > "$SANDBOX/fill"
    qemu-img convert -f raw -O qcow2 "$SANDBOX/fill" "$IMAGES/$1-vda.qcow2"
    qemu-img resize -q "$IMAGES/$1-vda.qcow2" 64M
}
ballast() { # KIB: leaves that much free
    local free
    rm -f "$small/ballast"
    free=$(df --output=avail -k "$small" | tail -n 1)
    [ "$free" -le "$1" ] || head -c "$((free - $1))K" /dev/zero > "$small/ballast" 2> /dev/null
}
whole() { # all that should be there is
    assert_points "$1"
    kvss_json fsck --read-data
    assert_eq "$(report .count)" 0 "findings"
    kvss verify > /dev/null
    kvss_json unlock
    assert_eq "$(report '.locks | length')" 0 "locks left"
    assert_nothing_left
}
guest_define a fs=none agent=no tokens=off size=64M
guest_define b fs=none agent=no tokens=off size=64M
guest_define live fs=ext4 tokens=off size=64M
fill a 16
fill b 60
guest_start live
guest_wait live
backup a
POINTS[a]=$POINT
truth a a vda

# it does not fit: the error says so, and a VM that runs goes on
facts_before live
for method in auto saved-state; do
    kvss_fails "$EXIT_FAILED" backup b live --method $method
    assert_match "$OUTPUT" 'no space left.*free space'
    assert_states_same
    ALLOW_CHECKPOINTS='' whole 1
done
assert_restored "${POINTS[a]}" a a vda
note "no room: $(tail -n 1 <<< "$OUTPUT")"
# what it had written already is given back
kvss_json prune --now
assert_ge "$(report .bytes_freed)" $((16 << 20)) "bytes freed after the backup that failed"
fill b 8
backup b
POINTS[b]=$POINT
truth b b vda

# nearly and quite full: a prune that must write may fail, or not; what it leaves is whole, and with room it works
fill a 12
backup a
POINTS[a2]=$POINT
truth a2 a vda
kvss forget "${POINTS[a]}" > /dev/null
for free in 0 8 64 2048; do
    ballast $free
    if ! kvss prune --now > "$SANDBOX/out" 2>&1; then
        assert_match "$(cat "$SANDBOX/out")" 'no space left.*free space'
        note "$free KiB free: $(tail -n 1 "$SANDBOX/out" | cut -c 1-120)"
    else
        note "$free KiB free: pruned"
    fi
    whole 2
done
ballast 0
kvss_fails "$EXIT_FAILED" backup live
assert_match "$OUTPUT" 'no space left'
whole 2
assert_restored "${POINTS[b]}" b b vda
rm "$small/ballast"
kvss_json prune --now
whole 2
assert_restored "${POINTS[a2]}" a2 a vda

# points can be removed where nothing can be written
ballast 0
kvss forget "${POINTS[b]}" > /dev/null
whole 1
rm -f "$small/ballast"

# read-only: everything that only reads works, the rest says so
mount -o remount,ro "$small"
for command in "backup live" "prune" "forget ${POINTS[a2]}" "key add --new-password-file $KVSS_PASSWORD_FILE" "repair index"; do
    # shellcheck disable=SC2086 # words
    kvss_fails "$EXIT_FAILED" $command
    assert_match "$OUTPUT" '[Rr]ead-only' "kvss $command"
    note "read-only: $(tail -n 1 <<< "$OUTPUT" | cut -c 1-120)"
done
assert_states_same
for command in "list points" "show latest" "verify" "fsck --read-data" "stats" "key list"; do
    # shellcheck disable=SC2086 # words
    kvss $command > "$SANDBOX/out" 2>&1 || fail "kvss $command on a read-only repository: $(cat "$SANDBOX/out")"
done
kvss_fails "$EXIT_REFUSED" check live
assert_match "$(cat "$REPORT")" 'Read-only' "kvss check"
assert_restored "${POINTS[a2]}" a2 a vda
mount -o remount,rw "$small"

# of somebody else, who lets us read
cp -r "$KVSS_REPOSITORY" /run/kvss-test/theirs
chmod -R go+rX /run/kvss-test/theirs
cp "$KVSS_PASSWORD_FILE" /run/kvss-test/password
chown 64777:64777 /run/kvss-test/password
theirs() { as_user env KVSS_REPOSITORY=/run/kvss-test/theirs KVSS_PASSWORD_FILE=/run/kvss-test/password "$KVSS" "$@"; }
theirs list points > /dev/null
theirs verify > "$SANDBOX/out" 2>&1 || fail "verify by a reader: $(cat "$SANDBOX/out")"
if theirs prune > "$SANDBOX/out" 2>&1; then fail "somebody else's repository was pruned"; fi
assert_match "$(cat "$SANDBOX/out")" 'Permission denied'
note "theirs: $(cat "$SANDBOX/out")"

backup a b live
ALLOW_CHECKPOINTS='kvss-*' whole 2
