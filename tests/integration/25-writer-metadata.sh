#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the VM writer writes about real VMs into its metadata document is as in a golden file, field by field (behaviours 2, 3, 13): one that
# is frozen, one that is saved, one that is off, with a disk that is not covered, one with NVRAM. And the stored document governs a restore,
# however the VM has changed since (34).
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

GOLDEN=$TESTS/golden/vss
kvss_setup
guest_define app tokens=off
# another KIND of VM, NAME UUID XML-OF-DEVICES [XML-OF-OS]
machine() {
    virsh -q define /dev/stdin << END
<domain type='qemu'><name>$1</name><uuid>$2</uuid><memory unit='MiB'>32</memory><os><type arch='x86_64' machine='pc'>hvm</type>${4:-}</os><features><acpi/></features>
<devices>$3</devices></domain>
END
}
image() { # FILE FORMAT
    qemu-img create -q -f "$2" "$IMAGES/$1" 4M
    chmod 644 "$IMAGES/$1"
}
disk() { echo "<disk type='file' device='disk'><driver name='qemu' type='$2'/><source file='$IMAGES/$1'/><target dev='$3' bus='virtio'/>${4:-}</disk>"; }
image mute-a.qcow2 qcow2
image mute-b.raw raw
image off-a.qcow2 qcow2
image off-shared.raw raw
image firm.qcow2 qcow2
machine mute 00000000-0000-4000-8000-000000000001 "$(disk mute-a.qcow2 qcow2 vda)$(disk mute-b.raw raw sdb)"
machine 'off+more' 00000000-0000-4000-8000-000000000002 "$(disk off-a.qcow2 qcow2 vda)$(disk off-shared.raw raw vdb '<transient/>')
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>"
NVRAM=/var/lib/libvirt/qemu/nvram/firm_VARS.fd
mkdir -p "${NVRAM%/*}"
head -c 64K /dev/zero > "$NVRAM"
machine firm 00000000-0000-4000-8000-000000000003 "$(disk firm.qcow2 qcow2 vda)" \
    "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader><nvram>$NVRAM</nvram>"
guest_start app
virsh -q start mute
guest_wait app

# the document, without what differs each time
document() {
    local name
    name=$("$KVSS_BUILD/tests/tools/document" list "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "$POINT" | grep '^wmd/' | head -n 1)
    "$KVSS_BUILD/tests/tools/document" get "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "$POINT" "$name" |
        sed "s/$(virsh -q domuuid app | tr -d '\n')/UUID-OF-APP/g; s/instanceId=\"[^\"]*\"/instanceId=\"INSTANCE\"/"
}
kvss_json backup --all
POINT=$(report .point)
document > "$SANDBOX/first.xml"
diff -u "$GOLDEN/vm_writer_metadata.xml" "$SANDBOX/first.xml" || fail "the writer metadata document is not as in $GOLDEN/vm_writer_metadata.xml"

# ---- what governs a restore is the stored document: not where the VM has its disks now
definition firm > "$SANDBOX/before.xml"
qemu-io -f qcow2 -c 'write -q -P 0x44 0 1M' "$IMAGES/firm.qcow2"
kvss_json backup firm
POINT=$(report .point)
image other.qcow2 qcow2
virsh -q dumpxml firm --inactive --security-info | sed 's/firm.qcow2/other.qcow2/' > "$SANDBOX/other.xml"
virsh -q define "$SANDBOX/other.xml"
qemu-io -f qcow2 -c 'write -q -P 0x55 0 1M' "$IMAGES/firm.qcow2"
other=$(sha256sum < "$IMAGES/other.qcow2")
echo changed > "$NVRAM"
kvss_json restore --yes "$POINT" firm
diff "$SANDBOX/before.xml" <(definition firm) || fail "the definition is not the stored one"
qemu-io -r -f qcow2 -c 'read -q -P 0x44 0 1M' "$IMAGES/firm.qcow2" | grep -v '^$' && fail "the image is not the stored one"
assert_eq "$(sha256sum < "$IMAGES/other.qcow2")" "$other" "an image that the VM has now, and did not have then"
assert_eq "$(stat -c %s "$NVRAM")" 65536 "size of the NVRAM"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
