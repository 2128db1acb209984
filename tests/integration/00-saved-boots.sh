#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Guests that go on from the memory of one that was saved (tests/lib/functions_boot.sh) are as good as booted: each has a boot id, random
# numbers, disks and words of its own, and the time of day. What does not go on boots. With KVSS_TEST_FULL=1 also when they start again.
# In `make test` all other scripts start such guests.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"

[ "$GUEST_TYPE" = qemu ] || skip "with KVM all guests boot"
SAVED_BOOTS=$SANDBOX/saved
boots() { # NAME: how it starts
    guest_start "$1" 2> "$SANDBOX/said"
    guest_wait "$1"
    sed -n 's/^[^ ]* boots: //p' "$SANDBOX/said" | cut -d ' ' -f 1-2
}

guest_define one words=kvss.hook=yes
guest_define two fs=none size=32M agent=silent tokens=off
guest_define odd agent=no extra="<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
mkdir "$SAVED_BOOTS"
assert_eq "$(boots one)" "there is" "how a guest starts for which there is no memory"
virsh -q destroy one

guest_define held words=kvss.boot=held
guest_save_boot held
assert_eq "$(find "$SAVED_BOOTS" -name memory | wc -l)" 1 "memories"
virsh -q undefine held

# ---- two from one memory; the third has devices of another kind
rm "$IMAGES/one-vda.qcow2"
guest_image "$IMAGES/one-vda.qcow2" 64M
for vm in one two odd; do assert_eq "$(boots $vm)" "" "how $vm starts"; done
assert_ne "$(guest_bootid one)" "$(guest_bootid two)" "boot id"
assert_ne "$(guest_sh one cat /proc/sys/kernel/random/uuid)" "$(guest_sh two cat /proc/sys/kernel/random/uuid)" "random numbers"
assert_le "$(($(guest_sh one date +%s) - $(date +%s)))" 2 "seconds that the clock is fast"
assert_ge "$(($(guest_sh two date +%s) - $(date +%s)))" -5 "seconds that the clock is slow"
assert_eq "$(guest_sh one 'cat /sys/block/vda/size')" $((64 << 11)) "sectors of one"
assert_eq "$(guest_sh two 'cat /sys/block/vda/size')" $((32 << 11)) "sectors of two"
assert_match "$(guest_sh one cat /proc/mounts)" '/dev/vda /mnt/vda ext4' "mounts of one"
assert_no_match "$(guest_sh two cat /proc/mounts)" '/dev/vda' "mounts of two"
assert_match "$(guest_sh one cat /run/kvss/agent.conf)" 'agent_hook=yes' "agent of one"
guest_agent one guest-ping > /dev/null
GUEST_TIMEOUT=2 assert_status 1 guest_agent two guest-ping
for vm in one two odd; do assert_eq "$(virsh -q domstate $vm)" running; done
assert_match "$(tr '\000' ' ' < "/proc/$(cat /run/libvirt/qemu/one.pid)/cmdline")" incoming "QEMU of one"
assert_no_match "$(tr '\000' ' ' < "/proc/$(cat /run/libvirt/qemu/odd.pid)/cmdline")" incoming "QEMU of odd"
assert_nothing_left

[ -n "${KVSS_TEST_FULL:-}" ] || exit 0
# ---- it starts again: from the beginning by itself, and from that memory with its disks as they are now
guest_sh one 'echo kept > /mnt/vda/kept; sync'
boot=$(guest_bootid one)
virsh -q reset one
poll 60 guest_sh one true
guest_wait one
assert_ne "$(guest_bootid one)" "$boot" "boot id after a reset"
assert_match "$(guest_sh one cat /proc/cmdline)" 'kvss.hook=yes' "command line after a reset"
assert_eq "$(guest_sh one cat /mnt/vda/kept)" kept
guest_stop one
assert_eq "$(boots one)" "" "how one starts"
assert_eq "$(guest_sh one cat /mnt/vda/kept)" kept
virsh -q destroy one

# ---- memory that is no good
for memory in "$SAVED_BOOTS"/*/memory; do truncate -s 1M "$memory"; done
assert_eq "$(boots one)" "it does" "how one starts"
assert_eq "$(guest_sh one cat /mnt/vda/kept)" kept
assert_nothing_left
