#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A backup ends in the middle of its reading, by Ctrl-C and by SIGKILL, with many replies of QEMU's under way and the guest writing as
# fast as it can: QEMU must not be left with replies that nobody takes, for it would wait for ever, and its guest with it. B2.
# In `make test` 16-interrupt ends a backup while it reads, fault/70-matrix kills backups.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
head -c 400M /dev/urandom > "$SANDBOX/content"
qemu-img convert -f raw -O qcow2 "$SANDBOX/content" "$IMAGES/web-vdb.qcow2"
head -c 64M "$SANDBOX/content" > "$SANDBOX/written"
qemu-img convert -f raw -O qcow2 "$SANDBOX/written" "$IMAGES/web-vdc.qcow2"
rm "$SANDBOX/content" "$SANDBOX/written"
guest_define web fs=ext4,none,none tokens=driven
guest_start web
guest_wait web
token_drive web
guest_sh web '(while :; do dd if=/dev/zero of=/dev/vdc bs=64k oflag=direct; done > /dev/null 2>&1 &)'
boot=$(guest_bootid web)
reading() { [ "$(du -sm "$KVSS_REPOSITORY" | cut -f 1)" -ge $((start + 20)) ]; }
no_kvss() { [ -z "$(pgrep -x 'kvss|kvss-keeper')" ]; }

for signal in INT INT KILL KILL; do
    start=$(du -sm "$KVSS_REPOSITORY" | cut -f 1)
    env --default-signal=INT "$KVSS" backup web --quiet --type copy > "$SANDBOX/out" 2>&1 &
    pid=$!
    until reading; do kill -0 $pid 2> /dev/null || fail "the backup ended early: $(cat "$SANDBOX/out")"; sleep 0.05; done
    kill -s $signal $pid
    poll 60 no_kvss
    wait $pid && fail "the backup came to an end"
    poll 20 virsh -q domjobinfo web
    assert_state web running
    assert_tokens_flow
    assert_nothing_left
    note "$signal: the guest goes on"
done
assert_eq "$(guest_bootid web)" "$boot" "boot id of web"
assert_points 0

# ---- QEMU itself ends: that is what is said, not what became of a connection
start=$(du -sm "$KVSS_REPOSITORY" | cut -f 1)
"$KVSS" backup web --quiet --type copy > "$SANDBOX/out" 2>&1 &
pid=$!
until reading; do kill -0 $pid 2> /dev/null || fail "the backup ended early: $(cat "$SANDBOX/out")"; sleep 0.05; done
pkill -9 -f 'guest=web,'
wait $pid && fail "the backup came to an end"
poll 60 no_kvss
assert_match "$(cat "$SANDBOX/out")" 'VM web was turned off or its QEMU ended while its disks were being read \(now (off|not running)' "what is said"
assert_no_match "$(cat "$SANDBOX/out")" 'DEAD' "what is said"
assert_state web "shut off"
assert_nothing_left
assert_points 0
note "QEMU's end is told"
