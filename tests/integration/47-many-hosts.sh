#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# numbers need no quotes; what functions of chains set is not seen from here
# shellcheck disable=SC2086,SC2153,SC2154
# One repository, several hosts at once (each with a host name, processes and folders of its own): backups here, copies into it from
# there, a prune from elsewhere, all at the same time. No restore point is lost, whoever is waited for is named with its host, and what
# a killed host leaves is broken when it is old, or at once by `unlock --all`. Issue 3, 6.
# In `make test` 47-vault has a repository with two hosts.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_chain.sh
. "$(dirname "$0")/../lib/functions_chain.sh"

kvss_setup
fill() { # NAME SEED MIB
    head -c "$3M" < <(openssl enc -aes-128-ctr -pass "pass:$2" -nosalt < /dev/zero 2> /dev/null) > "$SANDBOX/fill-$1"
    qemu-img convert -f raw -O qcow2 "$SANDBOX/fill-$1" "$IMAGES/$1-vda.qcow2"
    qemu-img resize -q "$IMAGES/$1-vda.qcow2" 256M
    rm "$SANDBOX/fill-$1"
}
# host NAME COMMAND...: on another machine, as far as the repository can tell
host() {
    # shellcheck disable=SC2016 # of the inner shell
    unshare --uts --pid --ipc --mount --fork --kill-child --mount-proc sh -c '
        hostname "$1" && shift && mount -t tmpfs state /var/lib/kvss && mkdir -p /run/kvss && mount -t tmpfs run /run/kvss && exec "$@"
    ' sh "$@"
}
locked_by() { kvss unlock --json 2> /dev/null | jq -e --arg host "host $1," '.locks[] | select(.owner | contains($host))' > /dev/null; }
for vm in a b; do guest_define $vm fs=none agent=no tokens=off size=256M; done

# another repository, whose points come in as copies
first=$KVSS_REPOSITORY other=$SANDBOX/other
kvss init --repository "$other" > /dev/null 2>&1
fill b b0 200
for i in 1 2 3; do
    qemu-io -f qcow2 -c "write -q -P $i ${i}M 64k" "$IMAGES/b-vda.qcow2"
    KVSS_REPOSITORY=$other kvss backup b --type full > /dev/null 2>&1
    truth b$i b vda
done
mapfile -t THEIRS < <(kvss list points --repository "$other" --json | jq -r '.points[].id')
assert_eq ${#THEIRS[@]} 3

# a host that stands still amid its copy is waited for, by its name; nothing that it counts on goes
fill a a0 64
backup a
doomed=$POINT
host web02 "$KVSS" --repository "$other" copy --all --to "$first" > "$SANDBOX/copy" 2>&1 &
copier=$!
stored() { [ "$(du -sm "$first/packs" | cut -f 1)" -ge 110 ]; }
poll 60 locked_by web02
poll 120 stored
pid=$(pgrep -f "^$KVSS --repository $other copy")
kill -STOP $pid
kvss forget "$doomed" > /dev/null
kvss_json unlock
assert_eq "$(report '.locks | length')" 1
assert_match "$(report '.locks[0].owner')" 'host web02, pid [0-9]+, since 20'
kvss_json prune --now
assert_match "$(report .waits_for)" 'host web02'
assert_ge "$(report .bytes_later)" $((64 << 20)) "bytes that are left for a later prune"
assert_eq "$(report .packs_deleted)" 0 "packs deleted"
kvss_json backup a # beside it
POINT=$(report .point)
POINTS[a1]=$POINT
truth a1 a vda
kill -CONT $pid
wait $copier || fail "the copy failed: $(cat "$SANDBOX/copy")"
assert_points 4
note "a host that stood still was waited for: $(report .vms[0].name)"

# all at once: two copies, a prune again and again, backups here
forget_copies() { kvss list points --json | jq -r '.points[] | select(.vms[0].name == "b").id' | xargs -r "$KVSS" -q forget > /dev/null; }
forget_copies
(while [ ! -e "$SANDBOX/stop" ]; do host keeper "$KVSS" -q prune --now || exit 1; done) > "$SANDBOX/prunes" 2>&1 &
pruner=$!
for i in 2 3; do
    host web0$i "$KVSS" -q --repository "$other" copy "${THEIRS[i - 1]}" "${THEIRS[0]}" --to "$first" > "$SANDBOX/copy$i" 2>&1 &
    copiers[i]=$!
done
for i in 2 3 4; do
    qemu-io -f qcow2 -c "write -q -P $i ${i}M 3M" "$IMAGES/a-vda.qcow2"
    kvss_json backup a --type full
    POINTS[a$i]=$(report .point)
    truth a$i a vda
done
for i in 2 3; do wait ${copiers[i]} || fail "copy $i: $(cat "$SANDBOX/copy$i")"; done
touch "$SANDBOX/stop"
wait $pruner || fail "a prune failed: $(cat "$SANDBOX/prunes")"
kvss_json list points
assert_eq "$(report '[.points[] | select(.vms[0].name == "a")] | length')" 4 "points of a"
# both hosts copied the first one; at the same moment neither may have seen the other's copy
assert_ge "$(report '[.points[] | select(.vms[0].name == "b")] | length')" 3 "points of b"
kvss_json fsck --read-data
assert_eq "$(report .count)" 0 "findings"
for i in 1 2 3 4; do assert_restored "${POINTS[a$i]}" a$i a vda; done
note "two copies, prunes and backups side by side: nothing is lost"

# a host that dies leaves a lock; others cannot see its processes, so it counts until it is old
forget_copies
kvss_json prune --now
host web09 "$KVSS" --repository "$other" copy --all --to "$first" > "$SANDBOX/copy" 2>&1 &
copier=$!
poll 60 locked_by web09
kill -KILL "$(pgrep -f "^$KVSS --repository $other copy")"
wait $copier || :
kvss_json unlock
assert_match "$(report '.locks[0].owner')" 'host web09'
kvss_json prune --now
find "$first/locks" -type f -exec touch -d '20 minutes ago' {} +
kvss_json unlock
assert_eq "$(report .removed)" 1 "stale locks removed"
kvss_json prune --now
kvss_json fsck --read-data
assert_eq "$(report .count)" 0 "findings"
assert_eq "$(report .unused_packs)" 0 "packs that nothing uses"
host web09 "$KVSS" -q --repository "$other" copy --all --to "$first"
for i in 4 2; do assert_restored "${POINTS[a$i]}" a$i a vda; done
