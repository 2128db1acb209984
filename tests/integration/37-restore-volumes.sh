#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Restored into a pool of LVM's: volumes are made for the disks, and the VM runs on them; a copy gets its own. One that is there is not
# taken without --overwrite, a pool that is too small is refused, and a restore that fails deletes what it made.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

modprobe -q dm-mod 2> /dev/null || :
dmsetup version > /dev/null 2>&1 || skip "this kernel has no device mapper, so there is no LVM here"

kvss_setup
truncate -s 256M "$SANDBOX/group"
LOOP=$(losetup --find --show "$SANDBOX/group")
cleanup_fn losetup --detach "$LOOP"
GROUP=kvss$$
pvcreate -q "$LOOP" > /dev/null
vgcreate -q "$GROUP" "$LOOP" > /dev/null
cleanup_fn vgremove -f -q "$GROUP"
virsh -q pool-define-as fast logical --source-name "$GROUP" --target "/dev/$GROUP"
virsh -q pool-start fast
volumes() { lvs --noheadings -o lv_name "$GROUP" | tr -d ' ' | sort | tr '\n' ' '; }

guest_define web fs=ext4,none format=qcow2,raw size=32M tokens=off
qemu-io -f raw -c 'write -q -P 0x5a 1M 3M' "$IMAGES/web-vdb.raw"
# what an earlier volume left on the disk must not show through
dd if=/dev/urandom of="$SANDBOX/noise" bs=1M count=64 status=none
lvcreate -q -n old -L 128M "$GROUP" > /dev/null
for at in 0 1; do dd if="$SANDBOX/noise" of="/dev/$GROUP/old" bs=64M seek=$at oflag=direct status=none; done
lvremove -q -f "$GROUP/old" > /dev/null
guest_start web
guest_wait web
guest_sh web 'echo before > /mnt/vda/f; sync'
backup web
virsh -q pool-refresh fast
note "backed up"

# ---- told, then done
kvss_json restore "$POINT" web --pool fast --dry-run
assert_report_vm web '.write[0].path' "/dev/$GROUP/web-vda"
assert_eq "$(volumes)" "" "volumes after --dry-run"
kvss_json restore "$POINT" web --pool fast
guest_wait web
assert_eq "$(volumes)" "web-vda web-vdb " "volumes"
assert_eq "$(guest_sh web cat /mnt/vda/f)" before "what is on vda"
assert_match "$(virsh -q domblklist web --details)" "block +disk +vdb +/dev/$GROUP/web-vdb"
assert_match "$(qemu-io -r -U -f raw -c 'read -P 0x5a 1M 3M' "/dev/$GROUP/web-vdb")" 'read 3145728/3145728'
assert_match "$(qemu-io -r -U -f raw -c 'read -P 0 4M 28M' "/dev/$GROUP/web-vdb")" 'read 29360128/29360128'
guest_remember_disks web
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
note "in new volumes"

# ---- in the way: the VM's own are replaced, another VM's not; too small; a copy has its own
backup web
kvss_json restore "$POINT" web --pool fast
guest_wait web
assert_eq "$(volumes)" "web-vda web-vdb " "volumes"
lvcreate -q -n copy-vdb -L 8M "$GROUP" > /dev/null
virsh -q pool-refresh fast
facts_before web
kvss_fails "$EXIT_FAILED" restore "$POINT" web --name copy --pool fast
assert_match "$OUTPUT" "block device /dev/$GROUP/copy-vdb is no disk of this VM"
lvchange -q -an "$GROUP/copy-vdb" # libvirt does not see it then
virsh -q pool-refresh fast
kvss_fails "$EXIT_FAILED" restore "$POINT" web --name copy --pool fast
assert_match "$OUTPUT" 'copy-vdb.* already'
assert_eq "$(volumes)" "copy-vdb web-vda web-vdb " "volumes after a restore that failed"
lvremove -q -f "$GROUP/copy-vdb" > /dev/null
lvcreate -q -n large -L 150M "$GROUP" > /dev/null
virsh -q pool-refresh fast
kvss_fails "$EXIT_FAILED" restore "$POINT" web --name copy --pool fast
assert_match "$OUTPUT" 'not enough room in the storage pool fast'
lvremove -q -f "$GROUP/large" > /dev/null
virsh -q pool-refresh fast
assert_facts_same
kvss_json restore "$POINT" web --name copy --pool fast --no-start
assert_eq "$(volumes)" "copy-vda copy-vdb web-vda web-vdb " "volumes"
assert_match "$(virsh -q domblklist copy --inactive --details)" "block +disk +vda +/dev/$GROUP/copy-vda"
virsh -q undefine copy
lvremove -q -f "$GROUP/copy-vda" "$GROUP/copy-vdb" > /dev/null
virsh -q pool-refresh fast
note "clashes"

# ---- killed when the volumes are made: the watchdog deletes them
KVSS_TEST_FAULT=kill:made-volume:done kvss restore "$POINT" web --name copy --pool fast > /dev/null 2>&1 || :
no_copy() { [ "$(volumes)" = "web-vda web-vdb " ]; }
poll 60 no_copy
kvss recover > /dev/null
assert_state web running
virsh -q destroy web
virsh -q undefine web --checkpoints-metadata
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
