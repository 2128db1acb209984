#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A VM that is off is copied and stays off (behaviour 15). A start during the copy is refused, and the message names the image;
# the copy is right, and the VM starts afterwards. M3, M10.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define off agent=no format=raw,qcow2 disks=2 size=64M
guest_define nodisk disks=0 agent=no tokens=off
size=300M # what takes long enough to be met while it is copied
[ -z "${KVSS_TEST_FULL:-}" ] || size=600M
for disk in vda.raw vdb.qcow2; do
    head -c $size /dev/urandom > "$SANDBOX/content"
    qemu-img convert -f raw -O "${disk#*.}" "$SANDBOX/content" "$IMAGES/off-$disk"
done
rm "$SANDBOX/content"
raw_sum=$(sha256sum < "$IMAGES/off-vda.raw")
cp "$IMAGES/off-vdb.qcow2" "$SANDBOX/vdb.qcow2"
definition off > "$SANDBOX/off.before"
note "twice $size of disks"

lifecycle_start
kvss backup off nodisk --bwlimit 60M --json > "$REPORT" 2> "$SANDBOX/stderr" &
pid=$!
reading() { awk '$6 == "03" { print $8 }' /proc/net/unix | grep -q '/nbd-.*/socket$'; }
poll 60 reading
# The copy is held where it is, however fast it would be: qemu-nbd keeps the image open meanwhile.
kill -STOP $pid
# It listens before it opens the image, and on a busy machine a start could come in between.
locked() { grep -qE ":($(stat -c %i "$IMAGES/off-vda.raw")|$(stat -c %i "$IMAGES/off-vdb.qcow2")) " /proc/locks; }
poll 30 locked
log=/var/log/libvirt/qemu/off.log
refused() { { cat "$SANDBOX/start" && tail -c +$((seen + 1)) $log; } > "$SANDBOX/out"; grep -q 'Failed to get .* lock' "$SANDBOX/out"; }
for i in 1 2 3; do
    seen=$(stat -c %s $log 2> /dev/null || echo 0)
    virsh start off > "$SANDBOX/start" 2>&1 && fail "the VM was started while its images were being copied"
    # QEMU says why; libvirt repeats it, unless QEMU has ended before libvirt came to talk to it. The log has QEMU's command line too.
    poll 5 refused
    assert_match "$(cat "$SANDBOX/out")" 'Failed to get .* lock' "message of the refused start"
    assert_match "$(cat "$SANDBOX/out")" 'using the image \[[^]]*off-vd[ab]' "the image is named"
    [ $i = 3 ] || { kill -CONT $pid && sleep 0.1 && kill -STOP $pid; }
    pgrep -x qemu-nbd > /dev/null || fail "the copy was over after start number $i"
done
kill -CONT $pid
note "the start was refused: $(grep -m 1 'Failed to get' "$SANDBOX/out" | cut -c 1-150)"
wait $pid || fail "the backup failed: $(cat "$SANDBOX/stderr")"
assert_state off "shut off"
assert_report_vm off .state off
assert_report_vm off .method offline
assert_report_vm off .consistency offline
assert_report_vm off .frozen_ms null
assert_report_vm off .down_ms null
assert_eq "$(lifecycle nodisk)" "" "what happened to nodisk"
POINT=$(report .point)
assert_definition off "$SANDBOX/off.before"
assert_nothing_left

# it starts now, and writes; the restore takes that back
guest_start off
assert_state off running
virsh -q destroy off
printf changed | dd of="$IMAGES/off-vda.raw" conv=notrunc bs=1M seek=3 status=none
assert_ne "$(sha256sum < "$IMAGES/off-vda.raw")" "$raw_sum" "sum of the changed image"
kvss_json restore --yes "$POINT" off
assert_state off "shut off"
assert_eq "$(sha256sum < "$IMAGES/off-vda.raw")" "$raw_sum" "sum of the restored image"
qemu-img compare "$SANDBOX/vdb.qcow2" "$IMAGES/off-vdb.qcow2"
assert_definition off "$SANDBOX/off.before"
guest_start off
