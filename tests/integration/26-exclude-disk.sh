#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Disks that are left out on purpose: by option and by kvss.conf, for all VMs of a pattern or for one. Every report has them, a guest whose
# file system is on one is backed up by Child VM Snapshot all the same, and one that cannot even be read is no hindrance. A restore says what
# is missing: an image that is here stays as it is, without it the VM comes back without the disk, a copy never has it. M4, M11, M17.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define web fs=ext4,ext4 tokens=off
guest_start web
guest_wait web

backup web --exclude-disk 'w*:vdb'
assert_report_vm web .method child-vm-snapshot
assert_report_vm web .consistency file-system
assert_report_vm web '.excluded_disks[0].target + ": " + .excluded_disks[0].why' "vdb: excluded by w*:vdb"
assert_report_vm web '.not_covered | join(" ")' vdb
assert_report_vm web .disks 1
assert_match "$(kvss list points)" 'web \(file-system, without vdb\)' "kvss list points"
assert_match "$(kvss show "$POINT")" 'disk vdb: .*NOT in this restore point: excluded by w\*:vdb' "kvss show"
assert_match "$(kvss check web --exclude-disk web:vd[b-z])" 'disk vdb .*NOT backed up: excluded by web:vd\[b-z\]' "kvss check"
text=$(kvss backup web --exclude-disk web:vdb)
assert_match "$text" 'skipped: web: disk vdb: excluded by web:vdb' "kvss backup for people"
! grep -q 'not backed up' <<< "$text" || fail "a warning of what was asked for: $text"
kvss_json check web --exclude-disk web:vdx --exclude-disk nobody:vda --exclude-disk web:vdb
assert_eq "$(report '[.findings[] | select(.id == "exclude-matches-nothing") | .text | split(" ")[0]] | join(" ")')" "web:vdx nobody:vda" "patterns that match nothing"
kvss_fails "$EXIT_USAGE" backup web --exclude-disk vdb
backup web # with it again: nothing is known of its changes
assert_report_vm web '.type' incremental
assert_report_vm web '.whole | map(.target + ": " + .why) | join("; ")' "vdb: it was not backed up in the earlier restore point"
kvss verify "$POINT" > /dev/null
backup web
assert_report_vm web '.whole | length' 0
backup web --method saved-state --exclude-disk web:vdb
with_memory=$POINT
virsh -q destroy web
note "a guest whose second disk is left out"

# ---- kvss.conf, and a disk that cannot be read
rm "$IMAGES/web-vdb.qcow2"
kvss_fails "$EXIT_REFUSED" backup web
printf '[vm web]\nexclude-disk = vdx vdb\n' > /etc/kvss/kvss.conf
backup web
assert_report_vm web '.excluded_disks[0].why' "excluded by web:vdb"
printf 'exclude-disk = db*:vdb w?b:vd[bc]\n' > /etc/kvss/kvss.conf
backup web
assert_report_vm web '.excluded_disks[0].why' "excluded by w?b:vd[bc]"
printf 'exclude-disk = vdb\n' > /etc/kvss/kvss.conf
kvss_fails "$EXIT_USAGE" backup web
rm /etc/kvss/kvss.conf
note "kvss.conf"

# ---- a restore where the image is here
qemu-img create -q -f qcow2 "$IMAGES/web-vdb.qcow2" 64M
qemu-io -f qcow2 -c 'write -q -P 0x77 0 1M' "$IMAGES/web-vdb.qcow2"
before=$(sha256sum < "$IMAGES/web-vdb.qcow2")
kvss_json restore "$POINT" web --dry-run
assert_match "$(report '.vms[0].warnings | join("; ")')" 'disk vdb is not in the restore point .excluded by .*stays as it is now' "the plan"
assert_eq "$(report '.vms[0].stays | length')" 0 "images that the plan says are used no longer"
kvss_json restore "$POINT" web --yes
assert_match "$(report '.vms[0].warnings | join("; ")')" 'disk vdb is not in the restore point' "the report"
assert_eq "$(virsh -q domblklist web | awk '{ print $1 }' | tr '\n' ' ')" "vda vdb " "disks of the VM"
assert_eq "$(sha256sum < "$IMAGES/web-vdb.qcow2")" "$before" "the image that was left out"

# ---- memory that has file systems of that image as they were would damage it
kvss_fails "$EXIT_FAILED" restore "$with_memory" web --yes
assert_match "$OUTPUT" 'disk vdb was left out of the backup .*could damage what its image .* holds now: use --discard-memory' "why it is refused"
kvss_fails "$EXIT_FAILED" restore "$with_memory" web --yes --no-start
assert_eq "$(sha256sum < "$IMAGES/web-vdb.qcow2")" "$before" "the image that was left out"
kvss_json restore "$with_memory" web --yes --discard-memory --no-start
assert_match "$(report '.vms[0].warnings | join("; ")')" 'disk vdb is not in the restore point' "the report"

# ---- a copy has nothing of the original's
kvss_json restore "$POINT" web --name copy --to "$SANDBOX/copy"
assert_eq "$(virsh -q domblklist copy | awk '{ print $1 }' | tr '\n' ' ')" "vda " "disks of the copy"

# ---- and where it is not: the VM starts without
destroy_vm web
kvss_json restore "$POINT" web --dry-run
assert_match "$(report '.vms[0].warnings | join("; ")')" 'disk vdb .*does not exist on this host: the VM is restored without' "the plan"
kvss_json restore "$POINT" web --start
assert_eq "$(virsh -q domblklist web | awk '{ print $1 }' | tr '\n' ' ')" "vda " "disks of the VM"
assert_state web running
note "restored with it, as a copy, and without"
