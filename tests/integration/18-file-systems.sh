#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# ext4, XFS, btrfs and LVM over two disks: the guest's freeze makes each one consistent. Restored, no repair is needed, what was
# synced before is there, and the token order holds over the disks. M4, M7, behaviours 20, 22, 23.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define fs fs=xfs,btrfs,ext4 tokens=driven
guest_define span fs=lvm,lvm tokens=driven
guest_start fs
guest_start span
guest_wait fs
guest_wait span
TOKEN_PAUSE_MS=$TOKENS_OFTEN token_drive fs span
poll 20 _token_past 20
for dir in /mnt/vda /mnt/vdb /mnt/vdc; do guest_sh fs "seq 1 5000 > $dir/before && sync && sha256sum < $dir/before"; done > "$SANDBOX/sums"
guest_sh span 'seq 1 5000 > /mnt/lvm/before && sync'

before=$(token_acked)
backup fs span
after=$(token_acked)
for vm in fs span; do
    assert_report_vm $vm .method child-vm-snapshot
    assert_report_vm $vm .consistency file-system
done
kvss_json show "$POINT"
assert_eq "$(report '[.details[] | select(.vm == "fs") | .frozen[] | select(.frozen) | .type] | sort | join(" ")')" "btrfs ext4 xfs" "frozen in fs"
assert_eq "$(report '[.details[] | select(.vm == "span") | .frozen[] | .mountpoint] | join(" ")')" /mnt/lvm "frozen in span"
note "backed up: frozen for $(report_vm fs .frozen_ms) and $(report_vm span .frozen_ms) ms"
# the live disks have every later write (22)
assert_tokens_flow
token_drive_stop
assert_gt "$(guest_status fs a)" "$before" "token of the live VM"

destroy_vm fs span
kvss_json restore --yes "$POINT"
guest_wait fs
guest_wait span
note "restored, and the guests run"
# 23: one instant over all disks of both VMs; 20: what was acknowledged before is there
fs=$(guest_tokens fs) span=$(guest_tokens span)
assert_set_order "$fs" "$span"
assert_ge "$(field b "$span")" "$before" "last token"
assert_le "$(field a "$fs")" "$after" "last token"
for dir in /mnt/vda /mnt/vdb /mnt/vdc; do guest_sh fs "sha256sum < $dir/before"; done | diff "$SANDBOX/sums" - || fail "a file is not as it was synced"
assert_eq "$(guest_sh span 'wc -l < /mnt/lvm/before')" 5000 "lines of a file on LVM"
# 20: frozen file systems need no repair. XFS always finds its log dirty after a freeze, and says so.
for vm in fs span; do
    log=$(guest_sh $vm dmesg)
    assert_no_match "$log" '(EXT4-fs|BTRFS).*([Rr]ecover|[Ee]rror|orphan|corrupt|log replay)' "$vm: kernel log"
    assert_no_match "$log" 'XFS.*([Ee]rror|[Cc]orrupt)' "$vm: kernel log"
done
guest_sh fs 'umount /mnt/vda && xfs_repair -n /dev/vda' > "$SANDBOX/out" 2>&1 || fail "xfs_repair: $(cat "$SANDBOX/out")"
guest_sh fs 'umount /mnt/vdb && btrfs check /dev/vdb' > "$SANDBOX/out" 2>&1 || fail "btrfs check: $(cat "$SANDBOX/out")"
guest_sh fs 'umount /mnt/vdc && e2fsck -fn /dev/vdc' > "$SANDBOX/out" 2>&1 || fail "e2fsck: $(cat "$SANDBOX/out")"
guest_sh span 'umount /mnt/lvm && e2fsck -fn /dev/kvss/data' > "$SANDBOX/out" 2>&1 || fail "e2fsck: $(cat "$SANDBOX/out")"
