#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Single disks restored into a VM that stays defined: it is turned off for that and comes back as it was, its other disks are the same
# byte for byte, its definition is too. What would not go well is refused while the VM runs on. The next backups work.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define web fs=ext4,ext4 tokens=off
guest_start web
guest_wait web
guest_sh web 'echo before > /mnt/vda/f; echo before > /mnt/vdb/f; sync'
backup web
first=$POINT
guest_sh web 'echo after > /mnt/vda/f; echo after > /mnt/vdb/f; sync'
boot=$(guest_bootid web)
definition web > "$SANDBOX/web.before"
inode=$(stat -c %i "$IMAGES/web-vda.qcow2")
note "backed up"

# ---- told, refused
kvss_json restore --yes "$first" web --disk vdb --dry-run
assert_report_vm web .part true
assert_report_vm web .turn_off true
assert_report_vm web .delete false
assert_report_vm web .register false
assert_report_vm web '.write | map(.what) | join(" ")' vdb
facts_before web
kvss_fails "$EXIT_FAILED" restore --yes "$first" web --disk vdc
assert_match "$OUTPUT" 'no such disk'
kvss_fails "$EXIT_FAILED" restore --yes "$first" --disk vdb --disk vdb
assert_match "$OUTPUT" 'given twice'
kvss_fails "$EXIT_USAGE" restore --yes "$first" web --disk vdb --to "$SANDBOX"
kvss_fails "$EXIT_USAGE" restore --yes "$first" web --disk vdb --start
assert_facts_same
assert_eq "$(guest_bootid web)" "$boot" "boot id"

# ---- done, over the running VM
lifecycle_start
kvss_json restore --yes "$first" web --disk vdb
guest_wait web
assert_eq "$(lifecycle web | awk '{ print $3 }' | grep -cE 'Undefined|Defined')" 0 "definitions that came or went"
assert_ne "$(guest_bootid web)" "$boot" "boot id"
assert_eq "$(guest_sh web cat /mnt/vda/f)" after "what is on vda"
assert_eq "$(guest_sh web cat /mnt/vdb/f)" before "what is on vdb"
assert_eq "$(stat -c %i "$IMAGES/web-vda.qcow2")" "$inode" "inode of vda"
assert_definition web "$SANDBOX/web.before"
steps=$(report_vm web '.steps[].step' | uniq | tr '\n' ' ')
assert_eq "$steps" "turn off restore status start " "steps"
assert_match "$(report_vm web '.steps[0].text')" 'VM web was running'
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
note "vdb alone"

# ---- the next backup: vdb is read whole, as its image is another one; then all goes on
backup web
assert_report_vm web '.whole | map(.target) | join(" ")' vdb
guest_sh web 'echo third > /mnt/vdb/f; sync'
backup web
assert_report_vm web .type incremental

# ---- into a VM that is off: the other disk byte for byte; it stays off
guest_stop web
sum=$(sha256sum < "$IMAGES/web-vda.qcow2")
kvss_json restore --yes "$first" web --disk vdb
assert_state web "shut off"
assert_eq "$(sha256sum < "$IMAGES/web-vda.qcow2")" "$sum" "vda"

# ---- in a saved state: refused, unless it is given up; then off, and only when the disk is in place
guest_start web
guest_wait web
virsh -q managedsave web > /dev/null
kvss_fails "$EXIT_FAILED" restore --yes "$first" web --disk vdb
assert_match "$OUTPUT" 'saved state'
assert_state web "shut off, saved"
kvss_json restore --yes "$first" web --disk vdb --discard-memory
assert_state web "shut off"
assert_match "$(report_vm web '[.steps[] | "\(.step): \(.text)"] | join("; ")')" 'discard: its saved state'

# ---- a writer vetoes after the VM is off: the disk is as it was, and the VM runs
guest_start web
guest_wait web
guest_sh web 'echo later > /mnt/vdb/f; sync'
writer_install doubter <<END
[ ! -e "$SANDBOX/veto-\$event" ]
END
definition web > "$SANDBOX/web.before"
mv "$IMAGES/web-vdb.qcow2" "$IMAGES/kept" # the image goes: the new one cannot be swapped in over a folder
mkdir "$IMAGES/web-vdb.qcow2"
kvss_fails "$EXIT_FAILED" restore --yes "$first" web --disk vdb
rmdir "$IMAGES/web-vdb.qcow2"
mv "$IMAGES/kept" "$IMAGES/web-vdb.qcow2"
assert_eq "$(guest_sh web cat /mnt/vdb/f)" later "what is on vdb"
assert_definition web "$SANDBOX/web.before"

# ---- a VM that has snapshots: they are of other disks then
guest_define snap agent=no tokens=off
backup snap
virsh -q snapshot-create-as snap one > /dev/null
kvss_json backup snap
assert_match "$(report_vm snap '.warnings | join("; ")')" 'disk vda: the 1 snapshot inside its image is not backed up'
kvss_json check snap
assert_match "$(report_vm snap '.findings[] | select(.id == "snapshots-inside") | .remedy')" 'qemu-img convert -l NAME'
kvss_json restore --yes "$POINT" snap --disk vda
assert_match "$(report_vm snap '.warnings | join("; ")')" 'its snapshots no longer match the restored disks.*virsh snapshot-list snap'
assert_eq "$(virsh -q snapshot-list snap --name)" one "snapshots that libvirt lists"

# ---- a VM that is gone, or has not this disk any more
virsh -q destroy web > /dev/null
virsh -q detach-disk web vdb --config > /dev/null
kvss_fails "$EXIT_FAILED" restore --yes "$first" web --disk vdb
assert_match "$OUTPUT" 'has no disk vdb'
virsh -q undefine web --checkpoints-metadata
kvss_fails "$EXIT_FAILED" restore --yes "$first" web --disk vdb
assert_match "$OUTPUT" 'not on this host'
