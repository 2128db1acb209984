#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# M4d, M4e, each broken in turn on real guests: an LDM disk, a volume that spans a disk which is not backed up, a vfat data
# volume. Saved State is used and names exactly that condition; --require and --method child refuse. An EFI system partition, which
# is vfat too, is passed over. With KVSS_TEST_FULL=1 also a btrfs that grows. Behaviour 14; M4.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_conditions.sh
. "$(dirname "$0")/../lib/functions_conditions.sh"

kvss_setup
guest_define fat fs=esp,vfat tokens=off
guest_image "$IMAGES/shared.raw" 64M raw
guest_define span fs=lvm tokens=off words=kvss.vdb=lvm extra="<disk type='file' device='disk'><driver name='qemu' type='raw'
    cache='none'/><source file='$IMAGES/shared.raw'/><target dev='vdb' bus='virtio'/><shareable/></disk>"
# the guest's btrfs may grow on to a disk that is not backed up
guest_image "$IMAGES/spread.raw" 128M raw
guest_define spread fs=none,btrfs tokens=off extra="<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/>
    <source file='$IMAGES/spread.raw'/><target dev='vdc' bus='virtio'/><shareable/></disk>"
guest_start fat
guest_start span
[ -z "${KVSS_TEST_FULL:-}" ] || guest_start spread
guest_wait fat
guest_wait span
lifecycle_start

# ---- M4e: a vfat data volume; without it the EFI partition is the only vfat left
# the test guest mounts its EFI partition at /mnt/vda-esp; it belongs where systems have it
guest_sh fat 'umount /mnt/vda-esp && mkdir -p /boot/efi && mount -t vfat /dev/vda1 /boot/efi'
assert_broken fat M4e '/mnt/vdb is vfat'
guest_sh fat 'umount /mnt/vdb'
assert_child fat
kvss_json show "$POINT"
assert_eq "$(report '[.details[0].frozen[] | select(.frozen == false) | .mountpoint] | join(" ")')" /boot/efi "not frozen"
virsh -q destroy fat
guest_define ldm fs=ext4,ldm tokens=off
guest_start ldm

# ---- M4d: a volume over two disks, one of which other VMs may write and is not backed up
assert_broken span M4d 'is on disk vdb, which is not backed up'
assert_report_vm span '.not_covered | join(" ")' vdb
virsh -q destroy span

# ---- M4d: btrfs on one of two disks is proved to be on that one only; then it grows, and its agent goes on naming the first
if [ -n "${KVSS_TEST_FULL:-}" ]; then
    guest_wait spread
    assert_child spread
    assert_report_vm spread '.not_covered | join(" ")' vdc
    guest_sh spread 'btrfs device add -f /dev/vdc /mnt/vdb > /dev/null && sync'
    assert_broken spread M4d 'has 2 devices, only 1 of them on disks that are backed up; not backed up: vdc'
    virsh -q destroy spread
fi

# ---- M4d: a dynamic disk
guest_wait ldm
assert_broken ldm M4d 'vdb is a dynamic'
assert_counts ldm
