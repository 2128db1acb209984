#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Backups and snapshots inside images (M10, M11, B4): after a backup virsh snapshot-revert works as before. QEMU refuses it beside a
# checkpoint and leaves the VM off, so a VM with such snapshots gets none, an old one goes, check warns where the snapshot came later, and
# kvss checkpoint drop is the way out, while the VM runs and while it is off. What is left of a checkpoint that libvirt has forgotten counts too.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_chain.sh
. "$(dirname "$0")/../lib/functions_chain.sh"

kvss_setup
guest_image "$IMAGES/rev.qcow2" 32M
cat > "$SANDBOX/rev.xml" <<END
<domain type='$GUEST_TYPE'><name>rev</name><memory unit='MiB'>48</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$IMAGES/rev.qcow2'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>
END
virsh -q define "$SANDBOX/rev.xml"
guest_start rev
snapshot() { virsh -q snapshot-create-as rev "$1" > /dev/null; }
bitmaps() { qemu-img info -U --output=json "$IMAGES/rev.qcow2" | jq '[.["format-specific"].data.bitmaps // [] | .[].name | select(startswith("kvss-"))] | length'; }
reverts() { # SNAPSHOT
    virsh -q snapshot-revert rev "$1" 2> "$SANDBOX/revert" || fail "$1: $(cat "$SANDBOX/revert")"
    assert_state rev running
}
findings() { report_vm rev '[.findings[].id] | join(" ")'; }

# ---- it has a snapshot when it is backed up
snapshot one
kvss_json backup rev
assert_checkpoints rev 0
assert_match "$(report_vm rev '.warnings | join("; ")')" '1 snapshot inside its images.*could not revert.*no checkpoint' "warnings of the report"
reverts one
kvss_json backup rev
assert_eq "$(report_vm rev .type)" full "type of the next one"
note "no checkpoint beside a snapshot"

# ---- it gets one after the backup: that does block the way back, which is why
virsh -q snapshot-delete rev one
kvss_json backup rev
assert_checkpoints rev 1
kvss_json check rev
assert_no_match "$(findings)" revert-blocked
snapshot two
kvss_json check rev
assert_match "$(findings)" revert-blocked
assert_match "$(report_vm rev '.findings[] | select(.id == "revert-blocked") | .remedy')" 'kvss checkpoint drop rev' "the remedy"
kvss_json checkpoint drop rev
assert_eq "$(report '.vms[0].dropped | length')" 1 "checkpoints that were dropped"
assert_checkpoints rev 0
assert_eq "$(bitmaps)" 0 "bitmaps in the image"
reverts two
kvss_json checkpoint drop rev
assert_eq "$(report '.vms[0].dropped | length')" 0 "checkpoints that were dropped"
note "dropped while it runs"

# ---- ... while it is off, with a bitmap that libvirt has forgotten, and one of another program
virsh -q snapshot-delete rev two
kvss_json backup rev
snapshot three
if virsh -q snapshot-revert rev three 2> /dev/null; then
    note "this QEMU reverts beside a checkpoint"
    virsh -q destroy rev
else
    assert_state rev "shut off"
fi
qemu-img bitmap --add "$IMAGES/rev.qcow2" kvss-forgotten
qemu-img bitmap --add "$IMAGES/rev.qcow2" others
kvss checkpoint drop rev > "$SANDBOX/out"
assert_match "$(cat "$SANDBOX/out")" 'rev: checkpoints deleted; the next backup reads all disks in full'
assert_match "$(cat "$SANDBOX/out")" 'kvss-forgotten'
assert_checkpoints rev 0
assert_eq "$(bitmaps)" 0 "bitmaps in the image"
qemu-img info "$IMAGES/rev.qcow2" | grep -q 'name: others' || fail "another program's bitmap is gone"
qemu-img bitmap --remove "$IMAGES/rev.qcow2" others
reverts three
note "dropped while it is off"

# ---- the next backup takes the old one away
virsh -q snapshot-delete rev three
kvss_json backup rev
assert_checkpoints rev 1
snapshot four
kvss_json backup rev
assert_checkpoints rev 0
reverts four

# ---- an image that was put back from an older copy has the bitmap of a checkpoint that libvirt does not know: it blocks as well
virsh -q snapshot-delete rev four
kvss_json backup rev
virsh -q destroy rev
cp "$IMAGES/rev.qcow2" "$SANDBOX/older"
guest_start rev
kvss_json backup rev
virsh -q destroy rev
cp "$SANDBOX/older" "$IMAGES/rev.qcow2"
guest_start rev
kvss_json backup rev
assert_eq "$(report_vm rev .type)" full "type of the backup after the image was put back"
kvss_json check rev
assert_match "$(findings)" bitmap-stale
assert_no_match "$(findings)" revert-blocked
assert_match "$(report_vm rev '.findings[] | select(.id == "bitmap-stale") | .remedy')" 'off: kvss checkpoint drop rev' "the remedy"
snapshot five
kvss_json backup rev
assert_checkpoints rev 0
assert_match "$(report_vm rev '.warnings | join("; ")')" 'snapshot-revert would fail.*kvss checkpoint drop rev' "warnings of the report"
kvss_json check rev
assert_match "$(findings)" revert-blocked
virsh -q destroy rev
kvss_json check rev
assert_match "$(findings)" revert-blocked
assert_match "$(report_vm rev '.findings[] | select(.id == "revert-blocked") | .remedy')" 'VM off: kvss checkpoint drop rev' "the remedy"
kvss_json backup rev
assert_match "$(report_vm rev '.warnings | join("; ")')" 'snapshot-revert would fail.*kvss checkpoint drop rev' "warnings, while it is off"
kvss_json checkpoint drop rev
assert_eq "$(bitmaps)" 0 "bitmaps in the image"
kvss_json check rev
assert_no_match "$(findings)" 'revert-blocked|bitmap-stale'
reverts five
note "a bitmap that libvirt has forgotten"
kvss_fails "$EXIT_USAGE" checkpoint list rev
kvss_fails "$EXIT_FAILED" checkpoint drop nobody
assert_match "$OUTPUT" "no VM 'nobody'"
note "done"
