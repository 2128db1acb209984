#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# All or nothing (M10, B1; behaviours 24, 27): one VM of three cannot be saved, or no point can be taken of it, in several real ways.
# Each time: the exit code is not 0, VM and cause are named, the repository holds nothing, all three VMs are as before and go on,
# nothing is left behind. Then an ordinary backup works.
# In `make test` 13-fails-in-freeze has one VM of three that fails.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define one tokens=driven
guest_define two tokens=driven disks=2
guest_define mute tokens=driven agent=no
guest_define odd tokens=off agent=no
# QEMU (7.2) cannot save a VM with such a device, and kvss does not see it coming in these words (14-saveable: in others it does)
device="<qemu:commandline><qemu:arg value='-device'/><qemu:arg value='driver=nvme,serial=odd,addr=0x1e'/></qemu:commandline>"
definition odd | sed -e "s|<domain |&xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' |" -e "s|</domain>|$device&|" > "$SANDBOX/odd.xml"
virsh -q define "$SANDBOX/odd.xml"
guest_start odd
for vm in one two mute; do guest_start $vm; done
for vm in one two mute; do guest_wait $vm; done
token_drive one two mute
boot=$(guest_bootid mute)

# ---- the VM cannot be saved at all
facts_before one mute odd
assert_all_or_nothing odd 'nvme'
assert_state odd running
virsh -q destroy odd > /dev/null

# ---- there is no room for the saved state, though there are bytes enough
facts_before one two mute
mount -t tmpfs -o nr_inodes=1,mode=770,uid="$(id -u libvirt-qemu)",gid="$(id -g libvirt-qemu)" tmpfs /var/lib/libvirt/qemu/save
assert_all_or_nothing mute 'VM mute: cannot save the state: libvirt: '
umount /var/lib/libvirt/qemu/save

# ---- the place for scratch files cannot be written
mkdir -m 711 "$SANDBOX/scratch"
mount --bind "$SANDBOX/scratch" "$SANDBOX/scratch"
mount -o remount,bind,ro "$SANDBOX/scratch"
cleanup_fn umount -l "$SANDBOX/scratch"
assert_all_or_nothing '(one|two|mute)' 'Read-only' --snapshot-dir "$SANDBOX/scratch"

# ---- another program's job holds one of them: known beforehand, so it is refused
install -d -m 770 -g libvirt-qemu "$SANDBOX/job"
echo "<domainbackup mode='pull'><server transport='unix' socket='$SANDBOX/job/socket'/></domainbackup>" > "$SANDBOX/job.xml"
virsh -q backup-begin two "$SANDBOX/job.xml" > /dev/null
facts_before one mute
kvss_fails "$EXIT_REFUSED" backup one two mute
assert_match "$OUTPUT" 'two.*job'
assert_facts_same
assert_points 0
virsh -q domjobabort two

assert_eq "$(guest_bootid mute)" "$boot" "boot id of mute"
backup one two mute
assert_tokens_flow
assert_points 1
