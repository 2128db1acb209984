#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Block devices that fail while they are written. One that is no disk of the VM is written before anything is turned off: the VM runs
# on. One that is, is written when the VM is off, and what it held is lost: the VM is registered again as it was and left off, which is
# said, and the next restore brings it back.
# In `make test` 22-restore-refused and 60-restore-killed have restores that fail.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

DATA='0x5a 1M 16M' # what the disk holds
kvss_setup
guest_define web fs=ext4,none format=qcow2,raw size=32M tokens=off
qemu-io -f raw -c "write -q -P $DATA" "$IMAGES/web-vdb.raw"
guest_start web
guest_wait web
backup web
first=$POINT
boot=$(guest_bootid web)

# without room the device takes writes, and fails when they are to last
mkdir "$SANDBOX/small"
mount -t tmpfs -o size=24M small "$SANDBOX/small"
truncate -s 32M "$SANDBOX/small/device"
fill() { head -c 100M /dev/zero > "$SANDBOX/small/filler" 2> /dev/null || :; }
fill
LOOP=$(losetup --find --show "$SANDBOX/small/device")
cleanup_fn losetup --detach "$LOOP"

# ---- no disk of the VM's
facts_before web
kvss_fails "$EXIT_FAILED" restore --yes "$first" web --move --disk "vdb=$LOOP" --overwrite
assert_match "$OUTPUT" 'no VM was changed, but block devices were written to.*VM web, disk vdb'
assert_facts_same
assert_eq "$(guest_bootid web)" "$boot" "boot id"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
note "not turned off"

# ---- with room it works, and the device is the VM's
rm "$SANDBOX/small/filler"
kvss_json restore --yes "$first" web --move --disk "vdb=$LOOP" --overwrite
guest_wait web
assert_match "$(virsh -q domblklist web --details)" "block +disk +vdb +$LOOP"
assert_match "$(qemu-io -r -U -f raw -c "read -P $DATA" "$LOOP")" 'read 16777216/16777216'
guest_remember_disks web
backup web

# ---- the VM's own
definition web > "$SANDBOX/web.before"
fallocate --punch-hole --offset 1M --length 16M "$SANDBOX/small/device"
fill
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" web
assert_match "$OUTPUT" 'disk vdb.*old definition and images and are off, and a block device may be partly overwritten'
assert_state web "shut off"
assert_definition web "$SANDBOX/web.before"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
note "left off"

rm "$SANDBOX/small/filler"
kvss_json restore --yes "$POINT" web --start
guest_wait web
assert_match "$(qemu-io -r -U -f raw -c "read -P $DATA" "$LOOP")" 'read 16777216/16777216'
assert_definition web "$SANDBOX/web.before"
guest_remember_disks web
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
