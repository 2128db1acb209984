#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# numbers need no quotes; what chain functions set is not seen from here
# shellcheck disable=SC2086,SC2153,SC2154
# Keeping a repository: forget by name and by rules per VM, prune, fsck, repair, stats, copy to another repository, keys, locks.
# What stays comes back byte for byte, also when what it once was read from is gone (B4).
# In `make test` 45-protected, 44-mended and 47-vault have forget, prune, fsck, repair and copies.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_chain.sh
. "$(dirname "$0")/../lib/functions_chain.sh"

kvss_setup
guest_define a fs=none agent=no tokens=off size=64M
guest_define b fs=none agent=no tokens=off size=64M
fill() { # NAME SEED: 24 MiB of its own, and 8 MiB that both have
    head -c 24M < <(openssl enc -aes-128-ctr -pass "pass:$2" -nosalt < /dev/zero 2> /dev/null) > "$SANDBOX/fill"
    head -c 8M < <(openssl enc -aes-128-ctr -pass pass:both -nosalt < /dev/zero 2> /dev/null) >> "$SANDBOX/fill"
    qemu-img convert -f raw -O qcow2 "$SANDBOX/fill" "$IMAGES/$1-vda.qcow2"
    qemu-img resize -q "$IMAGES/$1-vda.qcow2" 64M
}
keep_as() { # LABEL NAME...
    backup "${@:2}"
    POINTS[$1]=$POINT
    for name in "${@:2}"; do truth "$1" "$name" vda; done
}
repository_bytes() { du -sb "$KVSS_REPOSITORY" | cut -f 1; }
fill a one
fill b two
keep_as both1 a b
fill a three
keep_as a2 a
fill a four
keep_as a3 a
keep_as both2 a b
note "$(repository_bytes) bytes"

# stats: what both have is neither's own
kvss_json stats
assert_eq "$(report '[.vms[].name] | sort | join(" ")')" "a b"
assert_eq "$(report '.vms[] | select(.name == "b") | .points')" 2
assert_eq "$(report .total.points)" 4
assert_ge "$(report '.vms[] | select(.name == "a") | .exclusive')" $((72 << 20)) "bytes of a's own"
assert_le "$(report '.vms[] | select(.name == "b") | .exclusive')" $((25 << 20)) "bytes of b's own"
assert_ge "$(report '.vms[] | select(.name == "b") | .unique')" $((32 << 20)) "different bytes of b"
assert_le "$(report .total.stored)" "$(repository_bytes)" "bytes stored"
assert_match "$(kvss stats)" 'TOTAL +4 '

# rules: refused without any; a dry run changes nothing; a point stays as long as one of its VMs needs it
kvss_fails $EXIT_USAGE forget
kvss_fails $EXIT_USAGE forget --keep-last 0
kvss_fails $EXIT_USAGE forget --keep-last 1 "${POINTS[a2]}"
kvss_json forget --keep-last 1 --dry-run
assert_eq "$(report '[.removed[].id] | length')" 3
assert_points 4
kvss_json forget --keep-last 2 --vm b
assert_eq "$(report '.removed | length')" 0 "points removed of b alone"
kvss_json forget --keep-last 2
assert_eq "$(report '.removed[].id')" "${POINTS[a2]}"
assert_eq "$(report '[.kept[] | select(.why == null)] | length')" 0 "points kept for no reason"
assert_points 3
kvss_json forget --keep-daily 5 --vm a
assert_eq "$(report '.removed[].id')" "${POINTS[a3]}"
before=$(repository_bytes)
kvss_json prune --dry-run
assert_eq "$(repository_bytes)" "$before" "bytes after a dry run"
kvss_json prune --now
assert_ge "$(report .bytes_freed)" $((20 << 20)) "bytes freed"
assert_le "$(repository_bytes)" $((before - (20 << 20))) "bytes after the prune"
kvss_json forget "${POINTS[both1]:0:12}" --prune --now
assert_ge "$(report .prune.bytes_freed)" $((20 << 20)) "bytes freed"
kvss_fails $EXIT_FAILED forget "${POINTS[both1]}"
assert_points 1
kvss_json fsck --read-data
assert_eq "$(report .count)" 0 "findings"
assert_eq "$(report .packs_read)" "$(report .packs)" "packs read"
for name in a b; do assert_restored "${POINTS[both2]}" both2 $name vda; done
note "forgotten and pruned; the rest is restored"

# another repository
second=$SANDBOX/second
(umask 077 && echo 'another one' > "$SANDBOX/second.password")
kvss init --repository "$second" --password-file "$SANDBOX/second.password" > /dev/null 2>&1
kvss init --repository "$SANDBOX/open" --no-encryption > /dev/null 2>&1
kvss_fails $EXIT_FAILED copy latest --to "$second"
assert_match "$OUTPUT" '--to-password-file'
kvss_fails $EXIT_FAILED copy latest --to "$SANDBOX/open"
assert_match "$OUTPUT" '--to-no-encryption'
kvss_fails $EXIT_FAILED copy latest --to "$KVSS_REPOSITORY"
kvss_fails $EXIT_USAGE copy latest
kvss_json copy --all --to "$second" --to-password-file "$SANDBOX/second.password"
assert_eq "$(report '.points[] | .copied')" true
copy=$(report '.points[0].copy')
kvss_json copy latest --to "$second" --to-password-file "$SANDBOX/second.password"
assert_eq "$(report '.points[] | .copied')" false
rm -r "$KVSS_REPOSITORY"
first_password=$KVSS_PASSWORD_FILE
export KVSS_REPOSITORY=$second KVSS_PASSWORD_FILE=$SANDBOX/second.password
kvss verify > /dev/null
for name in a b; do assert_restored "$copy" both2 $name vda; done
backup a b # what is there as a copy is no chain of this repository's
assert_type a full
note "copied; the copy is restored"

# keys
kvss_json key list
assert_eq "$(report '.keys | length')" 1
(umask 077 && echo changed > "$SANDBOX/new.password" && head -c 64 /dev/urandom > "$SANDBOX/key")
kvss_json key add --new-key-file "$SANDBOX/key"
added=$(report .added)
env -u KVSS_PASSWORD_FILE "$KVSS" --key-file "$SANDBOX/key" list points > /dev/null
kvss_json key change --new-password-file "$SANDBOX/new.password"
kvss_fails $EXIT_FAILED list points
export KVSS_PASSWORD_FILE=$SANDBOX/new.password
kvss_json key list
assert_eq "$(report '[.keys[] | .kind] | sort | join(", ")')" "key file, passphrase"
kvss_json key remove "${added:0:8}"
kvss_fails $EXIT_FAILED key remove "$(kvss key list --json | jq -r '.keys[0].id')"
assert_match "$OUTPUT" 'only'
kvss verify > /dev/null
KVSS_PASSWORD_FILE=$first_password kvss_fails $EXIT_FAILED list points

# damage: told with the VM that it touches; the index made anew
cp -r "$KVSS_REPOSITORY" "$SANDBOX/sound"
rm "$KVSS_REPOSITORY"/index/*
assert_restored latest both2 a vda # whoever needs it now need not mend it first
kvss_json fsck
assert_match "$(report '.warnings[0]')" 'kvss repair index' "what fsck says of an index that is gone"
kvss_json repair index
assert_eq "$(kvss fsck --json | jq '.warnings | length')" 0 "warnings after the repair"
kvss_json fsck --read-data
assert_restored latest both2 a vda
pack=$(find "$KVSS_REPOSITORY/packs" -type f -size +1M | head -n 1)
printf 'XXXXXXXX' | dd of="$pack" bs=1 seek=500000 conv=notrunc status=none
kvss fsck > /dev/null # the structure is sound
kvss_fails $EXIT_DAMAGED fsck --read-data --json
assert_ge "$(report '[.problems[] | select(.vm == "a" or .vm == "b")] | length')" 1 "findings that name a VM"
kvss_fails $EXIT_DAMAGED repair index --read-data
kvss_fails $EXIT_DAMAGED fsck
backup a b --type full # what the VMs still have heals it
kvss_json fsck --read-data
kvss verify > /dev/null
kvss_json unlock
assert_eq "$(report '.locks | length')" 0
