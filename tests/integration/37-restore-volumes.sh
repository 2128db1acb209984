#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Restored into a pool of LVM's: volumes are made for the disks, and the VM runs on them; a copy gets its own. One that is there is not
# taken without --overwrite, a pool that is too small is refused, and a restore that fails deletes what it made.
# Where the kernel has no device mapper, User Mode Linux has one. All is many times slower there, so that this is for KVSS_TEST_FULL=1,
# and the VM is off but for the end.
# timeout: 2400
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

modprobe -q -a dm-mod loop 2> /dev/null || :
dmsetup version > /dev/null 2>&1 || other_kernel "no device mapper, so no LVM"

kvss_setup
# nobody here waits for udev, which would make the device nodes
mkdir -p /etc/lvm
echo 'activation { udev_sync = 0 udev_rules = 0 verify_udev_operations = 1 }' > /etc/lvm/lvmlocal.conf
truncate -s 256M "$SANDBOX/group"
LOOP=$(losetup --find --show "$SANDBOX/group")
cleanup_fn losetup --detach "$LOOP"
GROUP=kvss$$
pvcreate -q "$LOOP" > /dev/null
vgcreate -q "$GROUP" "$LOOP" > /dev/null
cleanup_fn vgremove -f -q "$GROUP"
virsh -q pool-define-as fast logical --source-name "$GROUP" --target "/dev/$GROUP"
virsh -q pool-start fast
volumes() { lvs --noheadings -o lv_name "$GROUP" | tr -d ' ' | sort | tr '\n' ' '; }
assert_volumes() { assert_eq "$(volumes)" "$1" "volumes"; }
# assert_restored VM TARGET: the disk is a volume of the group and holds what the first image held
assert_restored() {
    assert_match "$(virsh -q domblklist "$1" --inactive --details)" "block +disk +$2 +/dev/$GROUP/$1-$2"
    qemu-img compare -q -f raw -F raw "$SANDBOX/$2.was" "/dev/$GROUP/$1-$2" || fail "$1-$2 is not what the image was"
}

guest_define web fs=none agent=no disks=2 format=qcow2,raw size=32M tokens=off
random() { # WANTED-BYTES FILE
    head -c "$1" /dev/urandom > "$2"
    chmod 644 "$2"
}
random 3M "$SANDBOX/data"
qemu-io -f qcow2 -c "write -q -s $SANDBOX/data 2M 3M" -c 'write -q -P 0x11 31M 1M' "$IMAGES/web-vda.qcow2"
qemu-io -f raw -c "write -q -s $SANDBOX/data 5M 3M" "$IMAGES/web-vdb.raw"
qemu-img convert -f qcow2 -O raw "$IMAGES/web-vda.qcow2" "$SANDBOX/vda.was"
cp "$IMAGES/web-vdb.raw" "$SANDBOX/vdb.was"
# what an earlier volume left on the disk must not show through
random 64M "$SANDBOX/noise"
lvcreate -q -n old -L 128M "$GROUP" > /dev/null
for at in 0 1; do dd if="$SANDBOX/noise" of="/dev/$GROUP/old" bs=64M seek=$at oflag=direct status=none; done
lvremove -q -f "$GROUP/old" > /dev/null
backup web
virsh -q pool-refresh fast
note "backed up"

# ---- told, then done
kvss_json restore --yes "$POINT" web --move --pool fast --dry-run
assert_report_vm web '.write[0].path' "/dev/$GROUP/web-vda"
assert_volumes ""
kvss_json restore --yes "$POINT" web --move --pool fast
assert_volumes "web-vda web-vdb "
assert_restored web vda
assert_restored web vdb
guest_remember_disks web
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
note "in new volumes"

# ---- in the way: the VM's own are replaced; another VM's and nobody's are not, but for --overwrite; too small; a copy has its own
backup web
qemu-io -f raw -c 'write -q -P 0x77 2M 1M' "/dev/$GROUP/web-vda"
kvss_json restore --yes "$POINT" web --move --pool fast
assert_volumes "web-vda web-vdb "
assert_restored web vda
lvcreate -q -n copy-vdb -L 8M "$GROUP" > /dev/null
virsh -q pool-refresh fast
facts_before web
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" web --name copy --pool fast
assert_match "$OUTPUT" "block device /dev/$GROUP/copy-vdb is no disk of this VM"
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" web --name copy --pool fast --overwrite
assert_match "$OUTPUT" "copy-vdb has 8388608 bytes, the image 33554432"
lvchange -q -an "$GROUP/copy-vdb" # libvirt does not see it then
virsh -q pool-refresh fast
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" web --name copy --pool fast
assert_match "$OUTPUT" 'copy-vdb.* already'
assert_volumes "copy-vdb web-vda web-vdb "
lvremove -q -f "$GROUP/copy-vdb" > /dev/null
lvcreate -q -n large -L 150M "$GROUP" > /dev/null
virsh -q pool-refresh fast
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" web --name copy --pool fast
assert_match "$OUTPUT" 'not enough space in storage pool fast'
lvremove -q -f "$GROUP/large" > /dev/null
lvcreate -q -n copy-vdb -L 32M "$GROUP" > /dev/null
dd if="$SANDBOX/noise" of="/dev/$GROUP/copy-vdb" bs=32M count=1 oflag=direct status=none
virsh -q pool-refresh fast
assert_facts_same
kvss_json restore --yes "$POINT" web --name copy --pool fast --overwrite
assert_volumes "copy-vda copy-vdb web-vda web-vdb "
assert_restored copy vda
assert_restored copy vdb
virsh -q undefine copy
lvremove -q -f "$GROUP/copy-vda" "$GROUP/copy-vdb" > /dev/null
virsh -q pool-refresh fast
note "clashes"

# ---- killed when the volumes are made: the watchdog deletes them
KVSS_TEST_FAULT=kill:made-volume:done kvss restore --yes "$POINT" web --name copy --pool fast > /dev/null 2>&1 || :
no_copy() { [ "$(volumes)" = "web-vda web-vdb " ]; }
poll 60 no_copy
kvss recover > /dev/null
note "killed"

# ---- it runs on them
kvss_json restore --yes "$POINT" web --move --pool fast --start
guest_wait web
assert_eq "$(guest_sh web 'dd if=/dev/vda bs=1M skip=2 count=3 2> /dev/null | sha256sum')" "$(sha256sum < "$SANDBOX/data")" "what the guest reads of vda"
guest_remember_disks web

# ---- and while it runs; where this kernel's own speed allows it
if [ -z "${KVSS_OTHER_KERNEL-}" ]; then
    ALLOW_CHECKPOINTS='kvss-*' backup web
    kvss_json restore --yes "$POINT" web --move --pool fast
    guest_wait web
    assert_volumes "web-vda web-vdb "
    assert_eq "$(guest_sh web 'dd if=/dev/vdb bs=1M skip=5 count=3 2> /dev/null | sha256sum')" "$(sha256sum < "$SANDBOX/data")" \
        "what the guest reads of vdb"
    KVSS_TEST_FAULT=kill:made-volume:done kvss restore --yes "$POINT" web --name copy --pool fast > /dev/null 2>&1 || :
    poll 60 no_copy
    kvss recover > /dev/null
    assert_state web running
fi
virsh -q destroy web
virsh -q undefine web --checkpoints-metadata
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
