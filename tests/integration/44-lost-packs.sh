#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2153,SC2154 # POINT is set by backup(), 'again' is a key
# A storage that loses packs, cuts them short, or has an old index put back (B4): fsck names the points that are touched, and no other,
# without reading packs back; check and the reports of backups warn; the next backup, full or incremental, stores again what is missing
# and comes back byte for byte, of a VM that runs.
# In `make test` 44-mended has a repository that lacks something.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_chain.sh
. "$(dirname "$0")/../lib/functions_chain.sh"

# packs_since LIST: the packs that are there now and not in the list, the largest first
packs() { find "$KVSS_REPOSITORY/packs" -type f | sort; }
packs_since() { packs | comm -13 "$1" - | xargs -d '\n' stat -c '%s %n' | sort -rn | cut -d ' ' -f 2-; }

# assert_touched POINT...: fsck finds damage in these points and in no other, and says so in words too
assert_touched() {
    local id
    kvss_fails "$EXIT_DAMAGED" fsck --json
    assert_eq "$(report '.packs_read')" 0 "packs read back"
    assert_eq "$(report '.damaged[].id' | sort | tr '\n' ' ')" "$(printf '%s\n' "$@" | sort | tr '\n' ' ')" "points that fsck names"
    kvss_fails "$EXIT_DAMAGED" fsck
    for id; do assert_match "$OUTPUT$(cat "$REPORT")" "DAMAGED: restore point ${id:0:12}" "what fsck says"; done
}
assert_sound() { kvss fsck > "$SANDBOX/fsck" || fail "fsck: $(cat "$SANDBOX/fsck")"; }

# assert_warned MISSING CUT: what check says of the repository
assert_warned() {
    kvss_json check one
    assert_match "$(report '.findings[] | select(.id == "repository-lost-packs") | .level + " " + .text')" \
        "^warning the repository is damaged: files missing: $1, truncated: $2, for example packs/" "what check says"
}
# assert_told MISSING CUT: what the report of the backup says, and that something was stored again
assert_told() {
    assert_eq "$(report '.lost | "\(.missing) \(.cut)"')" "$1 $2" "packs missing and cut short"
    assert_gt "$(report .lost.stored_again)" 0 "chunks stored again"
}

# assert_out POINT LABEL: the image that comes out of the point is what the disk held then, byte for byte; the VM runs on
assert_out() {
    kvss restore --yes "$1" one --images-only --to "$SANDBOX/out" --overwrite > /dev/null
    image_raw "$SANDBOX/out/one-vda.qcow2" "$SANDBOX/now.raw"
    assert_same_file "$SANDBOX/now.raw" "$SANDBOX/$2-one-vda.truth"
}

kvss_setup
guest_define one fs=none tokens=off
guest_define two tokens=off agent=no
qemu-io -c 'write -q -P 0x44 2M 2M' "$IMAGES/two-vda.qcow2"
guest_start one
guest_wait one
backup two
other=$POINT
packs > "$SANDBOX/packs.two"
guest_write one vda 1M 1 6
backup one
POINTS[first]=$POINT
truth first one vda
assert_sound
lost=$(packs_since "$SANDBOX/packs.two" | head -n 1)
note "backed up"

# ---- a pack is gone: an increment does not stand on what was in it. Where the guest has not written since, the older point is healed too
rm "$lost"
assert_touched "${POINTS[first]}"
assert_warned 1 0
guest_write one vda 64k 200 2
truth gone one vda
backup one
POINTS[gone]=$POINT
assert_told 1 0
assert_match "$(report_vm one '[.whole[] | .target + ": " + .why] | join("; ")')" 'vda: .*missing' "what is read whole"
kvss verify "$POINT" > /dev/null
assert_sound
assert_out "$POINT" gone
note "gone: $(report .lost.stored_again) chunks were stored again"

# ---- one that is used is cut short: a full backup
cut=$(packs_since "$SANDBOX/packs.two" | head -n 1)
truncate -s $(($(stat -c %s "$cut") / 2)) "$cut"
assert_touched "${POINTS[first]}" "${POINTS[gone]}"
assert_warned 1 1
truth cut one vda
backup one --type full
POINTS[cut]=$POINT
assert_told 1 1
assert_sound
assert_out "${POINTS[first]}" first
assert_out "$POINT" cut
kvss backup one > "$SANDBOX/text"
assert_match "$(cat "$SANDBOX/text")" 'warning: the repository is damaged: files missing: 1, truncated: 1, for example packs/' "what is printed"
kvss prune --now > /dev/null
kvss_json check one
assert_eq "$(report '[.findings[] | select(.id == "repository-lost-packs")] | length')" 0 "warnings after a prune"
note "cut short: stored again, and tidied up"

# ---- index files from before two prunes are put back (the second does not know of them any more): what they name is gone
guest_sh one 'dd if=/dev/vda of=/kept bs=1M skip=1 count=6 2> /dev/null'
cp -a "$KVSS_REPOSITORY/index" "$SANDBOX/index"
for round in 1 2; do
    guest_write one vda 1M $((8 * round)) 2
    guest_write one vda 1M 1 6 /dev/zero
    backup one --type full
    kvss list points --json | jq -r '.points[].id' | grep -vxF -e "$POINT" -e "$other" | xargs "$KVSS" forget > /dev/null
    kvss prune --now --max-unused 1 > /dev/null 2>&1
done
POINTS[index]=$POINT
truth index one vda
packs > "$SANDBOX/packs.index"
cp -an "$SANDBOX/index/." "$KVSS_REPOSITORY/index/"
kvss_json check one
assert_match "$(report '.findings[] | select(.id == "repository-lost-packs") | .text')" 'files missing: [1-9]' "what check says"
# no point is touched: a warning, and no damage
for command in fsck "fsck --read-data" verify; do
    # shellcheck disable=SC2086 # words of a command
    kvss_json $command
    assert_eq "$(report '[(.damaged | length), (.problems | length), .count, (.warnings | length)] | join(" ")')" "0 0 0 1" "kvss $command"
    assert_match "$(report '.warnings[0]')" 'missing \([1-9][0-9]*\) or truncated \(0\), packs/.*no restore point needs.*kvss prune' "what it says"
done
assert_match "$(kvss fsck)" 'warning: packs .*OK: no damage found' "what is printed"
guest_write one vda 1M 1 6 /kept # the old index has all of it
truth again one vda
backup one
POINTS[again]=$POINT
assert_type one incremental
assert_gt "$(report .lost.stored_again)" 0 "chunks stored again"
note "an old index: $(report .lost.stored_again) chunks were stored again"
for point in "${POINTS[index]}" "$POINT" "$other"; do kvss verify "$point" > /dev/null; done
# damage elsewhere is damage still, whatever the old index names besides
hurt=$(packs_since "$SANDBOX/packs.index" | head -n 1)
mv "$hurt" "$SANDBOX/hurt"
assert_touched "$POINT"
assert_eq "$(kvss fsck --json 2> /dev/null | jq '.warnings | length')" 0 "warnings beside damage"
mv "$SANDBOX/hurt" "$hurt"

kvss prune --now > /dev/null
kvss_json fsck
assert_eq "$(report '.warnings | length')" 0 "warnings after a prune"

# ---- all of it comes back
assert_out "${POINTS[index]}" index
assert_restored "$POINT" again one vda
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
