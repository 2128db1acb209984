#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# AppArmor enforcing, with the profiles that Debian's packages ship and no rule added, on Debian's own kernel: the backup of a VM that
# runs. The VM runs its firmware only: what is tried is what its QEMU may do. Where that kernel is emulated it takes a minute or two. With
# KVSS_TEST_FULL=1 also check, the restore after everything was lost, increments, overlays, backups of a VM that is paused, saved and off, a
# VM with NVRAM and a TPM, and one with a name in other letters. Then it is broken on purpose: under a profile without the rule check says what backup
# finds, and a socket elsewhere is refused.
# timeout: 2400
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
[ -n "${KVSS_CONFINED:-}" ] || KVSS_CONFINED=yes exec "$TESTS/lib/confined" "$TESTS/lib/sandbox" "$0"
# shellcheck source=tests/lib/functions_kvss.sh
. "$TESTS/lib/functions_kvss.sh"

# tiny NAME BYTE [DEVICES] [LOADER]: a VM with a small disk that has data
tiny() {
    local disk=$IMAGES/$1.qcow2
    guest_image "$disk" 4M
    qemu-io -c "write -q -P $2 1M 256k" "$disk"
    cat > "$SANDBOX/$1.xml" <<XML
<domain type="qemu"><name>$1</name><memory unit="MiB">${MEM:-16}</memory><vcpu>1</vcpu>
<os ${4:-}><type arch="x86_64" machine="${MACHINE:-pc}">hvm</type></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type="file" device="disk"><driver name="qemu" type="qcow2"/><source file="$disk"/><target dev="vda" bus="virtio"/></disk>
<controller type="usb" model="none"/><memballoon model="none"/>${3:-}</devices></domain>
XML
    virsh -q define "$SANDBOX/$1.xml" > /dev/null
    guest_remember_disks "$1"
}
denied() { dmesg | grep 'apparmor="DENIED"' | grep 'profile="libvirt-' || :; }
# kvss's or an image's path in a denial
ours() { denied | grep -E 'kvss|/images/|name="/var/lib/libvirt/qemu/(domain-|save)' || :; }
has_data() { assert_match "$(qemu-io -r -f qcow2 -c "read -P $2 1M 256k" "$IMAGES/$1.qcow2")" 'read 262144/262144' "data of $1"; }
confined() { assert_match "$(cat "/proc/$(cat "/run/libvirt/qemu/$1.pid")/attr/current")" '^libvirt-.*\(enforce\)$' "profile of $1"; }

# cycle NAME BYTE: every state, an increment, the disaster, and back
cycle() {
    local vm=$1 first
    guest_start "$vm"
    confined "$vm"
    note "$vm: runs under $(cat "/proc/$(cat "/run/libvirt/qemu/$vm.pid")/attr/current")"
    if [ -n "${KVSS_TEST_FULL:-}" ]; then
        kvss_json check "$vm"
        assert_report_vm "$vm" .confined_by apparmor
        assert_eq "$(report '[.findings[], .vms[].findings[] | select(.level == "error") | .id] | join(" ")')" "" "errors found"
    fi
    if [ -n "${KVSS_TEST_FULL:-}" ]; then
        backup "$vm"
        assert_report_vm "$vm" .method saved-state
    else # the same job and socket, and QEMU need not start again, which takes half a minute there
        backup "$vm" --method crash
    fi
    first=$POINT
    assert_state "$vm" running
    assert_eq "$(ours)" "" "what AppArmor refused"
    note "$vm: backed up, running"
    [ -n "${KVSS_TEST_FULL:-}" ] || return 0
    virsh -q suspend "$vm" > /dev/null
    ALLOW_PAUSED=$vm backup "$vm"
    assert_state "$vm" paused
    assert_report_vm "$vm" .type incremental
    note "$vm: backed up, paused, an increment"
    virsh -q managedsave "$vm" > /dev/null
    ALLOW_SAVED=$vm backup "$vm"
    assert_state "$vm" "shut off, saved"
    virsh -q managedsave-remove "$vm" > /dev/null
    backup "$vm"
    assert_state "$vm" "shut off"
    note "$vm: backed up, saved and off"
    destroy_vm "$vm"
    kvss_json restore --yes "$first"
    assert_state "$vm" running
    confined "$vm"
    virsh -q destroy "$vm" > /dev/null
    has_data "$vm" "$2"
    assert_eq "$(ours)" "" "what AppArmor refused"
    note "$vm: restored"
}

kvss_setup
note "up: $(cat /sys/kernel/security/lsm)"
assert_eq "$(cat /etc/apparmor.d/local/* /etc/apparmor.d/local/*/* 2> /dev/null | grep -v '^ *\(#.*\)\?$' || :)" "" "rules that were added here"
vm=a-name-of-more-than-twenty-letters
tiny $vm 0x41
cycle $vm 0x41
[ -n "${KVSS_TEST_FULL:-}" ] || exit 0
MACHINE=q35 MEM=64 tiny efi 0x42 '<tpm model="tpm-crb"><backend type="emulator" version="2.0"/></tpm>' 'firmware="efi"'
cycle efi 0x42
tiny unterstützungsrechner-für-münchen 0x43
cycle unterstützungsrechner-für-münchen 0x43

# ---- disks on overlays, which are committed back (libvirt has to give QEMU a new file, and its image for writing again)
volume_make xfs "$IMAGES/volume" 400M
IMAGES=$IMAGES/volume tiny overlaid 0x44
for _ in 1 2; do
    guest_start overlaid
    confined overlaid
    backup overlaid --method crash --provider reflink
    assert_eq "$(report '.shadow_copies | map(select(.volume | endswith("volume")).provider) | unique | join(" ")')" reflink "provider"
    assert_state overlaid running
    virsh -q destroy overlaid
done
assert_eq "$(ours)" "" "what AppArmor refused of overlays"
rm "$IMAGES/volume/overlaid.qcow2"
virsh -q undefine overlaid --checkpoints-metadata
kvss_json restore --yes "$POINT"
confined overlaid
virsh -q destroy overlaid
IMAGES=$IMAGES/volume has_data overlaid 0x44
note "overlays: taken, committed back, restored"

# ---- the control: without the place, or without the rule, it does not work
mkdir -p /etc/apparmor.d/local/abstractions
echo "deny /var/lib/libvirt/qemu/domain-*/kvss-* rw," > /etc/apparmor.d/local/abstractions/libvirt-qemu
guest_start $vm
kvss_fails "$EXIT_REFUSED" check $vm
assert_match "$(cat "$REPORT")" 'AppArmor does not allow .*/var/lib/libvirt/qemu/domain-' "what check says"
note "found by check under a profile without the rule"
mkdir -m 777 /run/elsewhere
cat > "$SANDBOX/job.xml" <<XML
<domainbackup mode="pull"><server transport="unix" socket="/run/elsewhere/nbd.sock"/>
<disks><disk name="vda" backup="yes" type="file"><scratch file="$IMAGES/scratch"/></disk></disks></domainbackup>
XML
assert_status 1 virsh -q backup-begin $vm "$SANDBOX/job.xml"
assert_match "$OUTPUT" 'Permission denied' "a socket elsewhere"
assert_match "$(denied)" 'name="/run/elsewhere/nbd.sock"' "what AppArmor refused"
rm -f "$IMAGES/scratch"
note "a socket elsewhere is refused"
kvss_fails "$EXIT_FAILED" backup $vm
assert_match "$OUTPUT" "$vm.*Permission denied" "what backup says"
assert_state $vm running
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
note "refused under a profile without the rule"
