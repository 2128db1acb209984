#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2153 # POINT is set by backup()
# An index file that was removed is told by check, by the report of a backup, by fsck, verify and a restore, with the command that mends it;
# packs that lost their last bytes are written again by a prune or by kvss repair packs, after which fsck has nothing to say. No guest runs.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
qemu-img create -q -f raw "$IMAGES/vm-vda.raw" 8M
vm_xml() {
    printf '%s' "<domain type='qemu'><name>$1</name><memory unit='MiB'>48</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>" \
        "<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$2'/>" \
        "<target dev='vda' bus='virtio'/></disk></devices></domain>" > "$SANDBOX/vm.xml"
    virsh -q define "$SANDBOX/vm.xml"
}
vm_xml vm "$IMAGES/vm-vda.raw"
noise() { head -c "$1" /dev/urandom | dd of="$IMAGES/vm-vda.raw" bs=64k seek="$2" conv=notrunc status=none; }
noise 4M 0
backup vm
first=$POINT
cp "$IMAGES/vm-vda.raw" "$SANDBOX/first.raw"
find "$KVSS_REPOSITORY/index" -type f | sort > "$SANDBOX/index.first"
noise 1M 0
backup vm
second=$POINT
cp "$IMAGES/vm-vda.raw" "$SANDBOX/second.raw"
assert_out() { # POINT IMAGE
    rm -rf "$SANDBOX/out"
    kvss restore --yes "$1" vm --images-only --to "$SANDBOX/out" > /dev/null
    assert_same_file "$SANDBOX/out/vm-vda.raw" "$2"
}

# ---- the newer index file is gone
find "$KVSS_REPOSITORY/index" -type f | sort | comm -13 "$SANDBOX/index.first" - | xargs rm
kvss_json check vm
assert_match "$(report '.findings[] | select(.id == "repository-unindexed") | .level + " " + .text + ": " + .remedy')" \
    '^warning an index file .* at least 1 restore point needs them: run kvss repair index' "what check says"
kvss verify "$second" > /dev/null # the packs have it all
assert_out "$second" "$SANDBOX/second.raw"
kvss_json fsck --read-data
assert_eq "$(report '[(.problems | length), .count, (.warnings | length)] | join(" ")')" "0 0 1" "what fsck finds"
assert_match "$(report '.warnings[0]')" 'restore points need packs that no index file lists.*kvss repair index' "what it says"
kvss verify "$first" > /dev/null
noise 64k 100
backup vm
assert_gt "$(report .unindexed.points)" 0 "restore points that miss their index, as the backup reports"
kvss verify "$POINT" > /dev/null
kvss repair index > /dev/null
kvss fsck > "$SANDBOX/fsck" || fail "fsck after the repair: $(cat "$SANDBOX/fsck")"
kvss_json check vm
assert_eq "$(report '[.findings[] | select(.id == "repository-unindexed")] | length')" 0 "findings after the repair"
assert_out "$second" "$SANDBOX/second.raw"
note "an index file that was removed"

# ---- packs lose their last byte
shorten() { find "$KVSS_REPOSITORY/packs" -type f -exec truncate -s -"$1" {} \;; }
for mend in prune "repair packs" "repair packs --read-data"; do
    shorten 1
    kvss_fails "$EXIT_DAMAGED" fsck
    assert_match "$(cat "$REPORT")" 'kvss repair packs' "what fsck says"
    # shellcheck disable=SC2086 # words of a command
    kvss_json $mend
    assert_gt "$(report .packs_mended)" 0 "packs written again by $mend"
    kvss fsck --read-data > "$SANDBOX/fsck" || fail "fsck after $mend: $(cat "$SANDBOX/fsck")"
done
assert_out "$first" "$SANDBOX/first.raw"
assert_out "$second" "$SANDBOX/second.raw"
note "packs that were cut"

# ---- a real loss stays one
big=$(find "$KVSS_REPOSITORY/packs" -type f -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2-)
printf 'xxxx' | dd of="$big" bs=1 seek=5000 conv=notrunc status=none
kvss_fails "$EXIT_DAMAGED" repair packs --read-data
assert_gt "$(kvss fsck --read-data --json 2> /dev/null | jq '.damaged | length')" 0 "restore points that are damaged"
