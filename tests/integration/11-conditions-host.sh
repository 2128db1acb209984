#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# M4a, M4b, M4c, each broken in turn on real guests: check and backup use Saved State and name exactly that condition; --require
# and --method child refuse before anything is touched; mended, it is Child VM Snapshot again. Some formats that cannot be saved
# only with KVSS_TEST_FULL=1. Behaviours 14, 26; M1, B3.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_conditions.sh
. "$(dirname "$0")/../lib/functions_conditions.sh"

kvss_setup
guest_define good tokens=off
guest_define mute tokens=off agent=no
guest_start good
guest_start mute
guest_wait good
guest_wait mute
lifecycle_start

# ---- all five hold
assert_child good
# qemu-ga on Linux tells no application, and that is not claimed (B3)
facts_before good
assert_refuses good 'would only be file-system' --require application
assert_facts_same

# ---- M4a: no channel; then an agent that is not there, and one that hangs
assert_broken mute M4a 'no channel'
guest_sh good agentctl stop
poll 10 _agent_gone good
assert_broken good M4a 'is not running'
guest_sh good agentctl start
poll 20 guest_agent good guest-ping
guest_sh good agentctl hang
note "M4a: a hung agent"
kvss_json check good
assert_report_vm good .method saved-state
assert_match "$(report_vm good '.conditions[0].why')" 'does not answer'
guest_sh good agentctl resume
poll 20 guest_agent good guest-ping

# ---- M4b: paused by a person, and it stays so
note "M4b: a paused VM"
virsh -q suspend good
ALLOW_PAUSED=good assert_broken good M4b 'paused'
assert_state good paused
virsh -q resume good

# ---- M4c: snapshot files on another volume
note "M4c: another volume"
mkdir "$SANDBOX/volume"
mount -t tmpfs -o size=64m,mode=711 tmpfs "$SANDBOX/volume"
cleanup_fn umount -l "$SANDBOX/volume"
EXTRA=(--snapshot-dir "$SANDBOX/volume")
assert_broken good M4c 'another volume'
EXTRA=()

# ---- M4c: an image behind a link is where the link leads, and all subvolumes of one btrfs are one volume
place() { # ok|FAILED NAME OPTION...
    kvss_json check "${@:2}"
    assert_report_vm "$2" '.conditions[2] | if .ok then "ok" else "FAILED" end' "$1"
}
truncate -s 128M "$SANDBOX/btrfs.img"
mkfs.btrfs -q "$SANDBOX/btrfs.img"
mkdir "$SANDBOX/btrfs"
mount -o loop "$SANDBOX/btrfs.img" "$SANDBOX/btrfs"
cleanup_fn umount -l "$SANDBOX/btrfs"
btrfs -q subvolume create "$SANDBOX/btrfs/images"
btrfs -q subvolume create "$SANDBOX/btrfs/snapshots"
qemu-img create -q -f qcow2 "$SANDBOX/btrfs/images/linked.qcow2" 16M
ln -s "$SANDBOX/btrfs/images/linked.qcow2" "$IMAGES/linked.qcow2"
guest_define linked agent=no images="$IMAGES/linked.qcow2"
place ok linked
place ok linked --snapshot-dir "$SANDBOX/btrfs/snapshots"
place ok linked --snapshot-dir "$SANDBOX/btrfs"
place FAILED linked --snapshot-dir "$IMAGES"
place FAILED linked --snapshot-dir "$SANDBOX/volume"
virsh -q undefine linked
note "M4c: links and subvolumes"

assert_child good
assert_state good running
assert_counts good

# ---- images with which QEMU can save no VM, found out before anybody is touched
note "formats that cannot be saved"
disk() { # FORMAT FILE
    echo "<disk type='file' device='disk'><driver name='qemu' type='$1'/><source file='$2'/><target dev='vdb' bus='virtio'/></disk>"
}
assert_cannot_be_saved() { # PATTERN
    kvss_fails "$EXIT_REFUSED" backup old good
    assert_match "$OUTPUT" "old.*cannot save.*$1"
    kvss_fails "$EXIT_REFUSED" check old
    assert_state old running
    virsh -q destroy old
}
qemu-img create -q -f vdi "$IMAGES/old.vdi" 16M
qemu-img create -q -f qcow2 -b "$IMAGES/old.vdi" -F vdi "$IMAGES/over.qcow2"
guest_define old agent=no extra="$(disk vdi "$IMAGES/old.vdi")"
guest_start old
assert_cannot_be_saved 'format vdi \(disk vdb.*qemu-img convert'
[ -n "${KVSS_TEST_FULL:-}" ] || exit 0
definition old | sed "s|type='vdi'|type='qcow2'|; s|old.vdi|over.qcow2|" > "$SANDBOX/over.xml"
virsh -q define "$SANDBOX/over.xml"
guest_remember_disks old
guest_start old
assert_cannot_be_saved 'format vdi \(disk vdb.*qemu-img convert'
qemu-img create -q -f qcow2 "$IMAGES/tr.qcow2" 16M
sed "s|over.qcow2|tr.qcow2|; s|<target dev='vdb'|<transient/>&|" "$SANDBOX/over.xml" > "$SANDBOX/tr.xml"
virsh -q define "$SANDBOX/tr.xml"
guest_remember_disks old
guest_start old
assert_cannot_be_saved 'transient disk \(vdb\)'
assert_child good
backup old # off: copied as it lies
assert_report_vm old .method offline
