#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Restore points of the version that kept one definition of a VM (tests/golden/repository): they are listed, verified and restored, also
# one that its own version could not restore, and more is written beside them. What that version looks for in a restore point is in new
# ones, too; with KVSS_TEST_FULL=1 it is built from this repository's history, and reads and restores them.
# timeout: 1800
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

LAST=97abcf1 # of the versions that kept one definition
UUID=66666666-7777-4888-8999-aaaaaaaaaaaa
DOCUMENT=$KVSS_BUILD/tests/tools/document

holds() { # IMAGE BYTE OFFSET LENGTH
    assert_match "$(qemu-io -U -r -f qcow2 -c "read -P $2 $3 $4" "$1")" 'read [0-9]*/[0-9]* bytes' "what $1 holds"
    assert_no_match "$(qemu-io -U -r -f qcow2 -c "read -P $2 $3 $4" "$1")" 'verification failed' "what $1 holds"
}
holds_all() { holds "$1-vda.qcow2" 0x41 64k 128k && holds "$1-vdb.qcow2" 0x42 256k 64k; }
unpack() { mkdir -m 700 "$SANDBOX/$1" && tar -C "$SANDBOX/$1" -xf "$TESTS/golden/repository/$1.tar"; }
point_of() { kvss list points --json | jq -r '.points[-1].id'; }

# assert_ran: VM old runs with both disks, and will start with one
assert_ran() {
    assert_state old running
    assert_eq "$(virsh -q domblklist old | awk '{ print $1 }' | tr '\n' ' ')" "vda vdb " "disks that it has"
    assert_eq "$(virsh -q domblklist old --inactive | awk '{ print $1 }' | tr '\n' ' ')" "vda " "disks for its next start"
    holds_all "$IMAGES/old"
}
lose() {
    virsh -q destroy old > /dev/null
    virsh -q undefine old --checkpoints-metadata
    rm "$IMAGES"/old-vd?.qcow2
}

unpack plain
unpack encrypted
export KVSS_CONNECT=qemu:///system KVSS_REPOSITORY=$SANDBOX/plain
old=$(point_of)
kvss show "$old" > /dev/null
kvss fsck > /dev/null
kvss_json verify
assert_eq "$(report .count)" 0 "problems"
assert_match "$(report '.notes[].what')" '^disk vdb is missing from the stored definition.*this version of kvss can restore the VM, earlier versions cannot' "what verify says"
kvss restore --yes "$old" --images-only --to "$SANDBOX/out" > /dev/null
holds_all "$SANDBOX/out/old"
kvss_json restore --yes "$old"
assert_ran
lose
kvss_json restore --yes "$old" --discard-memory
assert_ran
note "restored, with its memory and without"

# ---- one whose record tells of no memory either: what is known of the disk is enough
lose
"$DOCUMENT" get "$KVSS_REPOSITORY" "" "$old" vm/$UUID/vm.json > "$SANDBOX/old.json"
jq '.parts |= map(select(.name != "memory"))' "$SANDBOX/old.json" > "$SANDBOX/no-memory.json"
point=$("$DOCUMENT" put "$KVSS_REPOSITORY" "" "$old" vm/$UUID/vm.json "$SANDBOX/no-memory.json")
kvss_json restore --yes "$point"
assert_ran
assert_match "$(report_vm old '.warnings | join("; ")')" 'disk vdb: the restore point lacks the definition that the VM was running with' "warnings"
note "restored without its memory's definition"

# ---- encrypted
export KVSS_REPOSITORY=$SANDBOX/encrypted KVSS_PASSWORD_FILE=$SANDBOX/password
(umask 077 && echo 'only a test' > "$KVSS_PASSWORD_FILE")
kvss verify > /dev/null
kvss_json restore --yes "$(point_of)"
assert_state off 'shut off'
holds "$IMAGES/off-vda.qcow2" 0x41 64k 128k
unset KVSS_PASSWORD_FILE
note "encrypted"

# ---- a new point beside the old one: it has every field that was there, and both are sound
export KVSS_REPOSITORY=$SANDBOX/plain
guest_remember_disks off
rm -f "$SANDBOX/disks/old"
kvss_json backup old off
new=$(report .point)
kvss verify > /dev/null
# a field that is null has no type
fields_of() {
    jq -r 'paths as $p | ($p | map(if type == "number" then "N" else . end) | join(".")) + " " +
        (getpath($p) | type | if . == "null" then "" else . end)' | sort -u
}
assert_has_fields() { # WHAT COMMAND...: prints the JSON of the point whose id comes last
    "${@:2}" "$new" | fields_of > "$SANDBOX/new.fields"
    assert_gt "$("${@:2}" "$old" | fields_of | wc -l)" 20 "fields of $1"
    assert_eq "$("${@:2}" "$old" | fields_of | comm -23 - "$SANDBOX/new.fields")" "" "fields of $1 that new points lack"
}
record_of() { "$DOCUMENT" get "$KVSS_REPOSITORY" "" "$1" vm/$UUID/vm.json; }
listed() { kvss list points --json | jq --arg id "$1" '.points[] | select(.id == $id)'; }
assert_has_fields "the listing" listed
assert_has_fields "a VM's record" record_of
note "a new point has all fields"

# ---- that version itself
[ -n "${KVSS_TEST_FULL:-}" ] || exit 0
mkdir "$SANDBOX/source"
git -C "$TESTS/.." archive $LAST 2> /dev/null | tar -x -C "$SANDBOX/source" 2> /dev/null || skip "the last part: no commit $LAST here to build that version of"
(cd "$SANDBOX/source" && meson setup build && ninja -C build src/cli/kvss) > "$SANDBOX/build.log" 2>&1 ||
    fail "that version cannot be built here: $(grep -m 1 -i error "$SANDBOX/build.log")"
note "built"
old_kvss() { "$SANDBOX/source/build/src/cli/kvss" "$@" > "$SANDBOX/old.log" 2>&1 || fail "the old version: kvss $*: $(cat "$SANDBOX/old.log")"; }
for point in "$old" "$new"; do
    old_kvss show "$point"
    old_kvss verify "$point"
done
assert_eq "$("$SANDBOX/source/build/src/cli/kvss" list points --json | jq '.points | length')" 3 "points that it lists"
old_kvss restore "$new" off --images-only --to "$SANDBOX/out"
holds "$SANDBOX/out/off-vda.qcow2" 0x41 64k 128k
# with its memory, and the document that is new among the parts
guest_start off
kvss_json backup off
assert_match "$(kvss show "$(report .point)")" 'definition-live' "what the new point holds"
old_lost() {
    virsh -q destroy off > /dev/null
    virsh -q undefine off --checkpoints-metadata
    rm "$IMAGES/off-vda.qcow2"
}
old_lost
old_kvss restore "$(report .point)"
assert_state off running
holds "$IMAGES/off-vda.qcow2" 0x41 64k 128k
# encrypted, and an increment of the old version on top of a full backup of the new one
export KVSS_REPOSITORY=$SANDBOX/encrypted KVSS_PASSWORD_FILE=$SANDBOX/password
kvss_json backup off
old_kvss backup off
kvss verify > /dev/null
old_kvss verify
old_lost
kvss_json restore --yes latest
holds "$IMAGES/off-vda.qcow2" 0x41 64k 128k
note "the old version reads and restores new points, and each goes on where the other was"
