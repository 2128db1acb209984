#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# When QEMU was killed, the checkpoint was deleted or the VM restored, there is no record of changes to believe: the next backup is
# full by itself, says why, and its restore is right (B4). Where libvirt only forgot the checkpoint, the bitmaps in the images serve.
# Nothing of what is broken piles up.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_chain.sh
. "$(dirname "$0")/../lib/functions_chain.sh"

kvss_setup
guest_define one fs=none disks=2 tokens=off size=48M
guest_start one
guest_wait one
for disk in vda vdb; do guest_write one $disk 1M 0 20; done
chain_fresh one vda vdb
assert_type one full 'no earlier restore point'
bitmaps() { # of all disks of the running VM
    virsh qemu-monitor-command one '{"execute":"query-named-block-nodes","arguments":{"flat":true}}' |
        jq -r '.return[] | select(.drv == "qcow2") | ."dirty-bitmaps" // [] | .[].name'
}

# libvirt's list of checkpoints is lost, as when a VM is undefined and defined again
virsh checkpoint-delete one "$CHECKPOINT" --metadata > /dev/null
guest_write one vdb 64k 3 1
assert_doubted forgotten one incremental '' "vda vdb" ""
assert_checkpoints one 1
assert_eq "$(bitmaps | sort -u)" "$(checkpoints one)" "bitmaps"

# killed; the records were never written to the images
vm_kill one
assert_doubted killed one full 'not in the image' "vda vdb" "vda vdb"
guest_start one
guest_wait one
assert_doubted restarted one full 'missing or broken' "vda vdb" "vda vdb"
assert_checkpoints one 1
guest_write one vda 64k 7 1
assert_doubted again one incremental '' "vda vdb" ""

# killed; the images hold records which are older than what they tell of
virsh -q managedsave one > /dev/null
guest_start one
guest_wait one
guest_write one vdb 1M 5 2
vm_kill one
assert_doubted saved one full 'is inconsistent' "vda vdb" "vda vdb"
assert_points_true one "vda vdb" killed saved

# the restore made new images
assert_doubted restored one full 'no longer has a checkpoint' "vda vdb" ""
guest_start one
guest_wait one
chain_fresh one vda vdb

# the checkpoint is deleted, with its bitmaps
virsh checkpoint-delete one "$CHECKPOINT" > /dev/null
guest_write one vdb 64k 4 1
assert_doubted deleted one full 'no longer has a checkpoint' "vda vdb" ""
guest_write one vdb 64k 5 1
assert_doubted after one incremental '' "vda vdb" ""
assert_checkpoints one 1
assert_eq "$(bitmaps | sort -u)" "$(checkpoints one)" "bitmaps"
virsh -q destroy one
assert_points_true one "vda vdb" forgotten again deleted after
