#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# numbers need no quotes; what chain functions set is not seen from here
# shellcheck disable=SC2086,SC2153,SC2154
# A chain full, incremental, incremental (of a VM that is off), incremental, differential: each restore point comes back byte for
# byte, in any order, whatever the guest wrote in between: over data, zeros, holes, in pieces of blocks, with a failed backup and a
# restart in between. Only what changed is read (B4). A raw disk is read whole and stored once.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_chain.sh
. "$(dirname "$0")/../lib/functions_chain.sh"

kvss_setup
guest_define one fs=ext4,none,none format=qcow2,qcow2,raw tokens=off
guest_start one
guest_wait one

guest_write one vdb 1M 3 12
guest_write one vdc 1M 0 8
backup one
POINTS[full]=$POINT
assert_type one full 'no earlier restore point'
assert_report_vm one .asked auto
truth full one vdb vdc
note "full: $(report_vm one '"\(.read) read"')"

# over data, beyond it, in pieces of blocks and across their ends
guest_write one vdb 1000 5001 3
guest_write one vdb 64k 400 2
guest_write one vdb 1M 4 1 /dev/zero
guest_write one vdc 1M 6 1
backup one
POINTS[inc1]=$POINT
assert_type one incremental 'vdc: .*raw'
assert_report_vm one .since "${POINTS[full]}"
truth inc1 one vdb vdc
read=$(report_vm one .read) dirty=$(report_vm one .dirty)
kvss_json show "${POINTS[inc1]}"
assert_le "$(report '.details[0].disks[] | select(.target == "vdb") | .read')" $((4 * 1572864)) "bytes read of vdb"
assert_ge "$(report '.details[0].disks[] | select(.target == "vdb") | .dirty')" $((1048576 + 131072)) "bytes changed of vdb"
assert_le "$(report '.details[0].disks[] | select(.target == "vdc") | .stored')" $((1200 * 1024)) "bytes stored of vdc"
assert_match "$(kvss show "${POINTS[inc1]}")" 'type: incremental, changes since restore point'
note "incremental: $read read, $dirty changed"

# a backup that fails when its checkpoint is made already takes nothing from the chain
guest_write one vdb 64k 100 3
writer_install veto <<< "[ \$event != backup-complete ]"
kvss_fails $EXIT_FAILED backup one
rm "$WRITERS/veto"
assert_checkpoints one 1
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left

# off: QEMU's tools record what they change too
guest_write one vdb 4k 9000 5
guest_stop one
qemu-io -f qcow2 -c 'write -q -z -u 5M 2M' -c 'write -q -P 0x5a 20M 100k' "$IMAGES/one-vdb.qcow2"
backup one
POINTS[off]=$POINT
assert_type one incremental
assert_report_vm one .checkpoint null
assert_le "$(report_vm one .dirty)" $((8 << 20)) "bytes changed"
truth off one vdb vdc
guest_start one
guest_wait one
guest_write one vdb 1M 60 2
backup one
POINTS[inc2]=$POINT
assert_type one incremental
assert_report_vm one .since "${POINTS[inc1]}"
truth inc2 one vdb vdc

# what changed since the full one; first its checkpoint must be kept
guest_write one vdb 64k 7 1
backup one --type full
POINTS[full2]=$POINT
assert_type one full
assert_checkpoints one 1
guest_write one vdb 64k 8 1
backup one --type differential
POINTS[diff1]=$POINT
assert_type one differential
assert_report_vm one .since "${POINTS[full2]}"
assert_checkpoints one 2
guest_write one vdb 64k 9 1
backup one
assert_type one incremental
assert_report_vm one .since "${POINTS[diff1]}"
guest_write one vdb 64k 700 1
backup one --type differential
POINTS[diff2]=$POINT
assert_report_vm one .since "${POINTS[full2]}"
assert_ge "$(report_vm one .dirty)" $((3 * 65536)) "bytes changed since the full one"
assert_checkpoints one 2
truth diff2 one vdb vdc
note "all made"

for label in inc2 full diff2 off inc1; do assert_restored "${POINTS[$label]}" $label one vdb vdc; done
note "all restored"

# a VM that was restored has no record of changes: full, by itself
backup one
assert_type one full 'no longer has a checkpoint'
kvss verify > /dev/null
