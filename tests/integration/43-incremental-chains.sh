#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# numbers need no quotes; what chain functions set is not seen from here
# shellcheck disable=SC2086,SC2153,SC2154
# Two repositories and copies do not disturb each other: each has its own chain on a VM. Old checkpoints go, others' stay. A VM that
# is saved keeps its record of changes. What is not possible is replaced by the next best, and the reason told (B4). And the
# figures: after 1 MiB of changes no more than four times of it is read, less than 1 MiB and a half stored, within seconds even here.
# In `make test` 40-incremental has a chain.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_chain.sh
. "$(dirname "$0")/../lib/functions_chain.sh"

kvss_setup
first=$KVSS_REPOSITORY second=$SANDBOX/second
kvss init --repository "$second" > /dev/null 2>&1
guest_define web fs=ext4,none tokens=off size=64M
guest_define mute fs=none agent=no tokens=off
guest_start web
guest_start mute
guest_wait web
guest_wait mute
guest_write web vdb 1M 0 10
guest_write mute vda 1M 0 10
in_first() { KVSS_REPOSITORY=$first backup "$@"; }
in_second() { KVSS_REPOSITORY=$second backup "$@"; }

# what was asked and cannot be
in_first web mute --type differential
assert_eq "$(report .type)" differential
assert_type web full 'no earlier restore point'
assert_report_vm web .asked differential
# a checkpoint of somebody else, between
echo "<domaincheckpoint><name>kvss-ffffffff-1-x</name><disks><disk name='vdb' checkpoint='bitmap'/></disks></domaincheckpoint>" \
    > "$SANDBOX/foreign.xml"
chmod 644 "$SANDBOX/foreign.xml"
virsh -q checkpoint-create web "$SANDBOX/foreign.xml" > /dev/null
in_second web mute
assert_type web full 'no earlier restore point'

guest_write web vdb 64k 200 1
guest_write mute vda 64k 200 1
in_first web mute
assert_type web incremental
assert_type mute incremental
assert_report_vm mute .method saved-state
assert_le "$(report_vm mute .dirty)" 131072 "bytes changed of mute"
assert_checkpoints web 3
assert_checkpoints mute 2
guest_write web vdb 64k 300 1
in_second web mute --copy
assert_type web copy
assert_report_vm web .checkpoint null
assert_checkpoints web 3
in_second web mute
assert_type web incremental
assert_type mute incremental
assert_ge "$(report_vm web .dirty)" $((2 * 65536)) "bytes changed since the first backup of the second repository"
POINTS[second]=$POINT
truth second web vdb
truth second mute vda
assert_checkpoints web 3
assert_match "$(checkpoints web)" 'kvss-ffffffff-1-x'
in_second web --type differential
assert_type web incremental 'newest full restore point'
note "two repositories"

# saved by a person: its record of changes outlives that
guest_write mute vda 64k 400 1
virsh -q managedsave mute > /dev/null
ALLOW_SAVED=mute in_first mute
assert_type mute incremental
assert_report_vm mute .method offline
guest_start mute
guest_wait mute
guest_write mute vda 64k 401 1
in_first mute
assert_type mute incremental
assert_ge "$(report_vm mute .dirty)" $((2 * 65536)) "bytes changed"
POINTS[first]=$POINT
truth first mute vda
note "saved and started"

# 1 MiB of changes
guest_sh web 'dd if=/dev/urandom of=/mnt/vda/changes bs=1M count=1 2> /dev/null; sync'
in_first web
assert_type web incremental
note "1 MiB of changes: $(report_vm web '"\(.dirty) changed, \(.read) read, \(.stored) stored"'), $(report .elapsed_ms) ms"
assert_ge "$(report_vm web .dirty)" $((1 << 20)) "bytes changed"
assert_le "$(report_vm web .read)" $((4 * $(report_vm web .dirty))) "bytes read"
assert_le "$(report_vm web .stored)" $((1300 * 1024)) "bytes stored, of 1 MiB that does not compress"
in_first web
assert_le "$(report_vm web .stored)" 65536 "bytes stored when nothing changed"
# text compresses
guest_sh web 'yes "all work and no play" | head -c 1048576 > /mnt/vda/text; sync'
in_first web
assert_le "$(report_vm web .stored)" $((256 * 1024)) "bytes stored of text"

KVSS_REPOSITORY=$second assert_points_true web vdb second
KVSS_REPOSITORY=$second assert_points_true mute vda second
KVSS_REPOSITORY=$first assert_points_true mute vda first
KVSS_REPOSITORY=$second kvss verify > /dev/null
