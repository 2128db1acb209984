#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the host cannot see or must not copy is left out, listed with its reason, and stays in the definition; the rest comes back.
# M11, behaviour 19: pass-through (lun, hostdev) and iSCSI disks; also CD-ROM, floppy, shareable, encrypted, a part of a file, a folder
# as a disk. A read-only disk and a volume of a pool are backed up.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup

# assert_not_covered NAME TARGET TEXT: named by check (with the reason), by the backup and by show
assert_not_covered() {
    local why
    kvss_json check "$1"
    why=$(report_vm "$1" ".disks[] | select(.target == \"$2\") | if .covered then \"covered\" else .why end")
    assert_match "$why" "$3" "why $2 of $1 is not covered"
}

random_file() { # PATH MIB
    head -c "$2M" /dev/urandom > "$1"
}

# ---- a VM that is off, with what only a definition can hold on this machine
random_file "$SANDBOX/lun" 1
loop=$(losetup --find --show "$SANDBOX/lun")
cleanup_fn losetup --detach "$loop"
random_file "$IMAGES/whole.raw" 4
guest_define off agent=no extra="
    <disk type='block' device='lun'><driver name='qemu' type='raw'/><source dev='$loop'/><target dev='sda' bus='scsi'/></disk>
    <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='iscsi' name='iqn.2001-04.com.example:disk/1'>
      <host name='192.0.2.1' port='3260'/></source><target dev='vdb' bus='virtio'/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$IMAGES/whole.raw'><slices>
      <slice type='storage' offset='1048576' size='1048576'/></slices></source><target dev='vdc' bus='virtio'/></disk>
    <disk type='dir' device='disk'><driver name='qemu' type='fat'/><source dir='$IMAGES'/><target dev='vdd' bus='virtio'/><readonly/></disk>
    <hostdev mode='subsystem' type='scsi' managed='no'><source><adapter name='scsi_host7'/><address bus='0' target='0' unit='0'/>
      </source></hostdev>
    <controller type='scsi' model='virtio-scsi'/>"
qemu-io -c 'write -q -P 0x5a 1M 8M' "$IMAGES/off-vda.qcow2" > /dev/null
definition off > "$SANDBOX/off.xml"
virsh -q define "$SANDBOX/off.xml" > /dev/null # libvirt orders what it has not ordered itself
definition off > "$SANDBOX/off.before"
note "defined"

assert_not_covered off sda 'pass-through disk: not visible to the host; back it up from inside the guest'
assert_not_covered off vdb 'iSCSI disk: not visible to the host; back it up from inside the guest or on the target'
assert_not_covered off vdc 'part of a file'
assert_not_covered off vdd 'folder of the host'
assert_not_covered off hostdev 'pass-through device: not visible to the host'
clauses() { report "[$1.disks[] | select(.covered | not) | .target + \"=\" + (.clause // \"none\")] | sort | join(\" \")"; }
NOT_COVERED='hostdev=M11 sda=M11 vdb=M11 vdc=none vdd=none' # by the clause, or for reasons of our own
kvss_json check off
assert_eq "$(clauses '.vms[0]')" "$NOT_COVERED" "clauses, in the check"
kvss check off > "$SANDBOX/out" # for people it says the same
assert_no_match "$(cat "$SANDBOX/out")" 'M11' "kvss check for people"
for word in sda vdb hostdev 'not visible to the host'; do assert_match "$(cat "$SANDBOX/out")" "$word" "kvss check for people"; done

backup off
assert_report_vm off '.not_covered | sort | join(" ")' "hostdev sda vdb vdc vdd"
assert_report_vm off .disks 1
kvss_json show "$POINT"
assert_match "$(report '.details[0].disks[] | select(.target == "vdb") | .why')" iSCSI "why, in the point"
assert_eq "$(clauses '.details[0]')" "$NOT_COVERED" "clauses, in the point"
assert_match "$(kvss show "$POINT")" 'iSCSI' "kvss show for people"

lun_sum=$(sha256sum < "$SANDBOX/lun")
cp "$IMAGES/whole.raw" "$SANDBOX/whole.raw"
destroy_vm off
cp "$SANDBOX/whole.raw" "$IMAGES/whole.raw"
kvss_json restore --yes "$POINT" off
assert_definition off "$SANDBOX/off.before"
assert_match "$(qemu-io -r -c 'read -P 0x5a 1M 8M' "$IMAGES/off-vda.qcow2")" 'read 8388608/8388608' "content of vda"
assert_eq "$(sha256sum < "$SANDBOX/lun")" "$lun_sum" "content of the pass-through disk"
assert_same_file "$IMAGES/whole.raw" "$SANDBOX/whole.raw"
note "off VM done"

# ---- a VM that runs, with media, a shareable and a read-only disk
random_file "$IMAGES/cd.iso" 1
random_file "$IMAGES/floppy.img" 1
random_file "$IMAGES/shared.raw" 4
random_file "$IMAGES/lib.raw" 4
SECRET=11111111-2222-4333-8444-555555555555
printf "<secret ephemeral='no' private='no'><uuid>%s</uuid></secret>" $SECRET > "$SANDBOX/secret.xml"
virsh -q secret-define "$SANDBOX/secret.xml" > /dev/null
printf locked > "$SANDBOX/secret"
virsh -q secret-set-value $SECRET --plain --file "$SANDBOX/secret" > /dev/null
for i in qcow2 luks; do image_encrypted "$IMAGES/locked.$i" $i "$SANDBOX/secret"; done
encryption="<encryption format='luks'><secret type='passphrase' uuid='$SECRET'/></encryption>"
mkdir "$SANDBOX/pool"
virsh -q pool-define-as data dir --target "$SANDBOX/pool"
virsh -q pool-start data
virsh -q vol-create-as data four.qcow2 16M --format qcow2 # of the old version, as libvirt makes them
guest_define on agent=no extra="
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$IMAGES/locked.qcow2'>$encryption</source>
      <target dev='vdd' bus='virtio'/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$IMAGES/locked.luks'>$encryption</source>
      <target dev='vde' bus='virtio'/></disk>
    <disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source pool='data' volume='four.qcow2'/>
      <target dev='vdf' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><source file='$IMAGES/cd.iso'/><target dev='hda' bus='ide'/><readonly/></disk>
    <disk type='file' device='cdrom'><target dev='hdb' bus='ide'/><readonly/></disk>
    <disk type='file' device='floppy'><source file='$IMAGES/floppy.img'/><target dev='fda' bus='fdc'/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/><source file='$IMAGES/shared.raw'/>
      <target dev='vdb' bus='virtio'/><shareable/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$IMAGES/lib.raw'/>
      <target dev='vdc' bus='virtio'/><readonly/></disk>"
guest_start on
guest_wait on
assert_not_covered on hda 'CD-ROM'
assert_not_covered on hdb 'CD-ROM'
assert_not_covered on fda 'floppy'
assert_not_covered on vdb 'shareable'
assert_not_covered on vdd 'encrypted'
assert_not_covered on vde 'encrypted'
for i in vdd vde vdf; do guest_sh on "dd if=/dev/urandom of=/dev/$i bs=64k seek=30 count=16 conv=fsync" > /dev/null; done
volumes_sum() { guest_sh on 'cat /dev/vdd /dev/vde /dev/vdf | md5sum'; }
volumes=$(volumes_sum)
assert_ne "$volumes" "$(guest_sh on 'md5sum < /dev/null')" "what is compared"
kvss_json check on
assert_report_vm on '.disks[] | select(.target == "vdc") | .covered' true
backup on
assert_report_vm on '.not_covered | sort | join(" ")' "fda hda hdb vdb vdd vde"
assert_match "$(report_vm on '.warnings | join(" ")')" 'disk vdb, vdd, vde is not.*--discard-memory' "the warning"
backup on
assert_match "$(report_vm on '.whole[] | select(.target == "vdf") | .why')" 'old qcow2 version.*compat=1.1' "why vdf is read whole"
lib_sum=$(sha256sum < "$IMAGES/lib.raw")
shared_sum=$(sha256sum < "$IMAGES/shared.raw")
boot=$(guest_bootid on)

virsh -q destroy on
virsh -q undefine on --checkpoints-metadata
rm "$IMAGES/on-vda.qcow2" "$IMAGES/lib.raw" "$IMAGES/floppy.img" "$SANDBOX/pool/four.qcow2"
kvss_json restore --yes "$POINT" on
assert_eq "$(sha256sum < "$IMAGES/lib.raw")" "$lib_sum" "read-only disk"
assert_eq "$(sha256sum < "$IMAGES/shared.raw")" "$shared_sum" "shareable disk, which is not the backup's to touch"
guest_wait on
assert_eq "$(guest_bootid on)" "$boot" "boot id of on"
assert_match "$(definition on)" '<shareable/>'
assert_match "$(definition on)" "pool='data' volume='four.qcow2'" "the volume in the definition"
assert_eq "$(volumes_sum)" "$volumes" "encrypted disks, which were left alone, and the volume"
