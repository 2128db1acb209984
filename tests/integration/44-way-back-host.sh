#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# More that a VM in a saved state comes back without, or with again (B2, M3), as 44-way-back.sh: storage pools that were stopped are
# started; a network interface whose filter is gone is not connected without it; a USB device that the host has no more is left
# out; a tap whose name is another's gets another one; and at the last, whatever keeps its network interfaces from being made, it runs without them.
# In `make test` 44-way-back has others of these.
# only: full
# timeout: 300
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"

# The host has a bus for USB with nothing on it, also where its kernel knows none: libvirt looks there.
mkdir -p "$SANDBOX/bus" /run/sys
mount -t sysfs sysfs /run/sys
for bus in /run/sys/bus/*; do ln -s "$bus" "$SANDBOX/bus/"; done
rm -f "$SANDBOX/bus/usb"
mkdir -p "$SANDBOX/bus/usb/devices"
mount --bind "$SANDBOX/bus" /sys/bus

kvss_setup
network_define lab
things() {
    [ -e "$SANDBOX/cd.iso" ] || head -c 1M /dev/zero > "$SANDBOX/cd.iso"
    virsh -q pool-start shelf > /dev/null 2>&1 || :
    virsh -q nwfilter-define "$SANDBOX/filter.xml" > /dev/null 2>&1 || :
    virsh -q pool-start depot > /dev/null 2>&1 || :
    ip link del vtap-away 2> /dev/null || :
}
mkdir -m 755 "$SANDBOX/shelf"
virsh -q pool-define-as shelf dir --target "$SANDBOX/shelf" > /dev/null
# A pool that is mounted, and an image there that the VM names by its path, as virt-manager does
truncate -s 16M "$SANDBOX/depot.img"
mke2fs -q -t ext4 "$SANDBOX/depot.img"
loop=$(losetup --find --show "$SANDBOX/depot.img")
cleanup_fn losetup -d "$loop"
virsh -q pool-define-as depot fs --source-dev "$loop" --target "$SANDBOX/depot" > /dev/null
virsh -q pool-build depot > /dev/null
echo "<filter name='quiet' chain='root'><rule action='accept' direction='inout' priority='500'><all/></rule></filter>" > "$SANDBOX/filter.xml"
things
virsh -q vol-create-as shelf books 8M --format qcow2 > /dev/null
virsh -q vol-create-as depot goods 4M --format raw > /dev/null
chmod 755 "$SANDBOX/depot"
guest_xml away agent=no tokens=off extra="
    <disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source pool='shelf' volume='books'/><target dev='vdb' bus='virtio'/>
    </disk>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$SANDBOX/depot/goods'/><target dev='vdc' bus='virtio'/></disk>
    <interface type='network'><mac address='52:54:00:00:00:0a'/><source network='lab'/><target dev='vtap-away'/><model type='virtio'/></interface>
    <interface type='network'><mac address='52:54:00:00:00:0b'/><source network='lab'/><model type='virtio'/><filterref filter='quiet'/><port isolated='yes'/>
    </interface>
    <disk type='file' device='cdrom'><source file='$SANDBOX/cd.iso' startupPolicy='optional'/><target dev='hda' bus='ide'/><readonly/></disk>
    <hostdev mode='subsystem' type='usb'><source startupPolicy='optional'><vendor id='0x1d6b'/><product id='0x7777'/></source></hostdev>
    <graphics type='vnc' autoport='yes'/>" |
    sed "s|<controller type=\"usb\" model=\"none\"/>||" > "$SANDBOX/away.xml"
chmod 644 "$SANDBOX/away.xml"
virsh define --validate "$SANDBOX/away.xml" > /dev/null
guest_remember_disks away
definition away > "$SANDBOX/definition"
guest_start away
guest_wait away
boot=$(guest_bootid away)
note "the guest is up"

# same (EMPTY=yes: its drive is empty now): it runs, in the memory that it had, and nothing is left; its definition is what it was
same() {
    assert_state away running
    guest_wait away
    assert_eq "$(guest_bootid away)" "$boot" "boot id"
    assert_definition away "$SANDBOX/definition"
    [ -z "${EMPTY:-}" ] || sed -i 's|^ hda .*| hda   -|' "$SANDBOX/disks/away"
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
}
# told PATTERN...: among the warnings of the report
told() {
    local pattern
    for pattern; do assert_match "$(report_vm away '.warnings | join("; ")')" "$pattern" "warnings of the report"; done
}
not_told() { assert_no_match "$(report_vm away '.warnings | join("; ")')" "$1" "warnings of the report"; }
# wait_saved: a backup that waits where the VM is saved. goes_on: it brings the VM back
wait_saved() {
    rm -f "$SANDBOX/fault.log" "$SANDBOX/fault.log.go"
    KVSS_TEST_FAULT=wait:save-vm:done KVSS_TEST_FAULT_LOG=$SANDBOX/fault.log \
        "$KVSS" backup away --json > "$REPORT" 2> "$SANDBOX/stderr" &
    backup_pid=$!
    poll 60 grep -q ^fault "$SANDBOX/fault.log"
}
goes_on() {
    touch "$SANDBOX/fault.log.go"
    wait $backup_pid || fail "the backup failed: $(cat "$SANDBOX/stderr")"
    same
}

# ---- what libvirt itself leaves out, without a word
wait_saved
rm "$SANDBOX/cd.iso"
EMPTY=yes goes_on
told "the medium in its drive hda no longer exists: $SANDBOX/cd.iso"
not_told 'not connected|display is no longer available'
note "a medium that may be left out"

# ---- what is started or left out
wait_saved
virsh -q pool-destroy shelf > /dev/null
virsh -q pool-destroy depot > /dev/null
assert_no_file "$SANDBOX/depot/goods"
ip link add vtap-away type bridge
virsh -q nwfilter-undefine quiet > /dev/null
# The device was there when the VM was started, and the VM is not to be started without it: libvirt says so only of one that is there.
virsh -q managedsave-dumpxml away --security-info | sed "s|startupPolicy='optional'|startupPolicy='mandatory'|" > "$SANDBOX/saved.xml"
virsh -q managedsave-define away "$SANDBOX/saved.xml" > /dev/null
assert_match "$(virsh -q managedsave-dumpxml away)" mandatory "its saved state"
assert_status 1 virsh -q start away
goes_on
told 'storage pool shelf was started' 'storage pool depot was started' '52:54:00:00:00:0b is not connected' 'USB device 1d6b:7777' \
    '52:54:00:00:00:0a uses another host device .* vtap-away is taken'
not_told '52:54:00:00:00:0a is not connected|display is no longer available'
assert_match "$(virsh -q domblklist away)" 'vdb +books' "its disks"
assert_match "$(virsh -q domiflist away)" 'vnet[0-9]+ +network +lab +virtio +52:54:00:00:00:0a' "the interface without a filter"
assert_match "$(virsh -q domiflist away)" 'ethernet .*52:54:00:00:00:0b' "the interface whose filter is gone"
note "pools, a filter, a USB device, the name of a tap"

virsh -q destroy away
guest_remember_disks away
things
guest_start away
guest_wait away
boot=$(guest_bootid away)

# ---- what libvirt itself does not know: the bridge of its network is gone. Found out by trying; the last way is to run without networks.
wait_saved
ip link del "$(virsh -q net-info lab | awk '$1 == "Bridge:" { print $2 }')"
EMPTY=yes goes_on
told 'drive hda is empty now' '52:54:00:00:00:0a is not connected' '52:54:00:00:00:0b is not connected' 'display is no longer available'
assert_eq "$(virsh -q domiflist away | grep -c ethernet)" 2 "interfaces without a network"
assert_match "$(virsh -q domif-getlink away 52:54:00:00:00:0a)" down "the link"
note "without networks"
