#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What a VM's firmware and its TPM remember comes back with it (B7): a variable that the guest wrote into the NVRAM, and an NV index
# that it wrote into the emulated TPM; by Child VM Snapshot and by Saved State, over a VM that runs (the one without NVRAM), where nothing of it
# is left (the one with NVRAM), and with KVSS_TEST_FULL=1 both in both ways and in copies.
# timeout: 900
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
requires command -v swtpm
requires command -v swtpm_setup

kvss_setup
guest_define uefi firmware=efi tpm=yes tokens=off words=kvss.load=efivarfs
guest_define chip tpm=yes agent=no tokens=off
guest_start uefi
guest_start chip

variables=/sys/firmware/efi/efivars
# a variable of that name in the NVRAM (the kernel makes those that are there immutable), and a text in the TPM
remember() { # VM TEXT
    guest_sh "$1" "guestd tpm $2"
    [ "$1" = chip ] || guest_sh uefi "mount -t efivarfs none $variables 2> /dev/null; printf '\007\000\000\000$2' > $variables/Kvss$2-5d4e7a10-0d2b-4c55-8a63-000000000001"
}
assert_remembers() { # VM TEXT [VARIABLES]
    assert_eq "$(guest_sh "$1" 'guestd tpm' | tr -d '\0')" "$2" "the TPM of $1"
    [ "$1" = chip ] || assert_eq "$(guest_sh uefi "mount -t efivarfs none $variables 2> /dev/null; cd $variables; for f in Kvss*; do tail -c +5 \$f; done; ls -d Kvss*" |
        sed 's/-.*//' | xargs)" "${3:-firstKvssfirst}" "the NVRAM of uefi"
}
state_of() { echo "/var/lib/libvirt/swtpm/$(virsh domuuid "$1")/tpm2"; }
owners() { stat -c '%U:%G %a %n' "$(state_of "$1")" "$(state_of "$1")/tpm2-00.permall"; }

for vm in uefi chip; do
    guest_wait $vm 240
    remember $vm first
    owners $vm > "$SANDBOX/$vm.owners"
    virsh dumpxml $vm > "$SANDBOX/$vm.definition"
done
backup uefi chip
assert_report_vm uefi .method child-vm-snapshot
assert_report_vm chip .method saved-state
note "backed up"

# ---- lost while they run: told beforehand
for vm in uefi chip; do
    mv "$(state_of $vm)" "$SANDBOX/lost"
    kvss check $vm --json > "$REPORT" 2> /dev/null && fail "check says that all is well, and the TPM of $vm has no state"
    assert_match "$(report_vm $vm .refused)" 'its TPM has no state in .*/swtpm/' "what check says of $vm"
    kvss_fails "$EXIT_REFUSED" backup $vm --quiet
    assert_match "$OUTPUT" "VM $vm: its TPM has no state" "what the backup says"
    mv "$SANDBOX/lost" "$(state_of $vm)"
done
note "a lost TPM is told of"
boot=$(guest_bootid chip)

# ---- over VMs that run
over=chip lost=uefi copies=''
[ -z "${KVSS_TEST_FULL:-}" ] || over="uefi chip" lost="uefi chip" copies="uefi chip"
for vm in $over; do
    remember "$vm" second
    assert_remembers "$vm" second firstsecondKvssfirst\ Kvsssecond
done
# shellcheck disable=SC2086 # words
kvss_json restore --yes "$POINT" $over
for vm in $over; do
    guest_wait "$vm" 240
    assert_remembers "$vm" first
done
assert_eq "$(guest_bootid chip)" "$boot" "boot id of chip"
note "restored over VMs that run"

# ---- where nothing of them is left; chip is booted cold then, so that its memory cannot be what remembers
folder=$(dirname "$(state_of chip)")
for vm in $lost; do
    destroy_vm "$vm"
    rm -rf "/var/lib/libvirt/swtpm/$(sed -n 's|^.*<uuid>\(.*\)</uuid>.*|\1|p' "$SANDBOX/$vm.definition")"
done
# shellcheck disable=SC2086 # words
kvss_json restore --yes "$POINT" $lost
if [ -n "${KVSS_TEST_FULL:-}" ]; then
    assert_file "$folder/tpm2/tpm2-00.permall"
    virsh -q destroy chip > /dev/null
    guest_start chip
fi
for vm in $lost; do
    guest_wait "$vm" 240
    assert_remembers "$vm" first
    diff "$SANDBOX/$vm.owners" <(owners "$vm") >&2 || fail "other owners of the TPM of $vm"
done
note "restored where nothing was left"

# ---- as copies: TPMs of their own, by their own UUIDs, that hold the same; also where the copy goes on in the original's memory
for vm in $copies; do
    remember "$vm" second
    kvss_json restore --yes "$POINT" "$vm" --name "$vm-copy" --dry-run
    assert_match "$(report_vm "$vm" '.write[] | select(.what == "TPM") | .path')" '/swtpm/[0-9a-f-]+/tpm2/tpm2-00.permall'
    kvss_json restore --yes "$POINT" "$vm" --name "$vm-copy"
    guest_wait "$vm-copy" 240
    assert_eq "$(guest_sh "$vm-copy" 'guestd tpm' | tr -d '\0')" first "the TPM of $vm-copy"
    assert_eq "$(guest_sh "$vm" 'guestd tpm' | tr -d '\0')" second "the TPM of $vm beside its copy"
    assert_file "$(state_of "$vm-copy")/tpm2-00.permall"
    assert_eq "$(report_vm "$vm" '.files[] | select(.what == "TPM") | .path')" "$(state_of "$vm-copy")/tpm2-00.permall"
    destroy_vm "$vm-copy"
done
note "copies"

# ---- files alone
kvss_json restore --yes "$POINT" chip --images-only --to "$SANDBOX/files"
assert_eq "$(report_vm chip '.files[] | select(.what == "TPM") | .path')" "$SANDBOX/files/chip.tpm/tpm2/tpm2-00.permall"
assert_file "$SANDBOX/files/chip.tpm/tpm2/tpm2-00.permall"
[ -z "$copies" ] || ! cmp "$SANDBOX/files/chip.tpm/tpm2/tpm2-00.permall" "$(state_of chip)/tpm2-00.permall" || fail "that is what the TPM is now"

# ---- a restore that fails leaves the TPM as it is, and no folder of one that was not there
if grep -q KVSS_TEST_FAULT "$KVSS"; then
    remember chip third
    KVSS_TEST_FAULT=fail:register-vm:done kvss_fails "$EXIT_FAILED" restore --yes "$POINT" chip
    guest_wait chip 240
    assert_remembers chip third
    destroy_vm chip
    rm -rf "$folder"
    KVSS_TEST_FAULT=fail:register-vm:done kvss_fails "$EXIT_FAILED" restore --yes "$POINT" chip
    assert_no_file "$folder" "$IMAGES/chip-vda.qcow2"
    assert_eq "$(vm_state chip)" gone
fi
