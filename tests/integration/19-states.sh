#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every state is what it was, after the backup and after the restore: a VM that a person has paused stays paused, one that was saved
# already stays saved and is not started; their memory is in the point. M3, behaviour 15, B7 (definition, memory, NVRAM).
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define held
guest_define saved
guest_define efi firmware=efi agent=no tokens=off
guest_start held
guest_start saved
guest_wait held
guest_wait saved
guest_start efi # it need not come up: its NVRAM is made when it starts
boot_held=$(guest_bootid held) boot_saved=$(guest_bootid saved)
count_saved=$(guest_counter saved)
count_held=$(guest_counter held)
virsh -q managedsave saved > /dev/null
virsh -q suspend held
virsh -q destroy efi
nvram=/var/lib/libvirt/qemu/nvram/efi_VARS.fd # libvirt chose it; the definition of a VM that is off does not say so
assert_file "$nvram"
nvram_sum=$(sha256sum < "$nvram")
save=$(find /var/lib/libvirt/qemu/save -name saved.save)
save_sum=$(sha256sum < "$save")
lifecycle_start

ALLOW_SAVED=saved ALLOW_PAUSED=held backup held saved efi
assert_state held paused
assert_state saved "shut off, saved"
assert_state efi "shut off"
assert_eq "$(sha256sum < "$save")" "$save_sum" "saved state of saved"
assert_untouched saved efi
assert_no_match "$(lifecycle held | awk '{ print $3 }' | tr '\n' ' ')" Resumed "what happened to held"
assert_report_vm held .state paused
assert_report_vm held .method saved-state
assert_report_vm saved .state saved
assert_report_vm saved .method offline
kvss_json show "$POINT"
parts() { report "[.details[] | select(.vm == \"$1\") | .parts[].name] | sort | join(\" \")"; }
assert_eq "$(parts held)" "definition definition-live memory" "parts of held"
assert_eq "$(parts saved)" "definition definition-live memory" "parts of saved"
assert_eq "$(parts efi)" "definition nvram" "parts of efi"
# and both would have gone on from there
virsh -q resume held
assert_eq "$(guest_bootid held)" "$boot_held" "boot id of held"
guest_start saved
assert_eq "$(guest_bootid saved)" "$boot_saved" "boot id of saved"
note "backed up"

for vm in held saved efi; do definition $vm > "$SANDBOX/$vm.before"; done
destroy_vm held saved efi
rm -f "$nvram"
kvss_json restore --yes "$POINT"
assert_state held paused
assert_state saved "shut off, saved"
assert_state efi "shut off"
assert_eq "$(sha256sum < "$nvram")" "$nvram_sum" "NVRAM"
for vm in held saved efi; do assert_definition $vm "$SANDBOX/$vm.before"; done
virsh -q resume held
guest_wait held
assert_eq "$(guest_bootid held)" "$boot_held" "boot id of held after the restore"
count=$(guest_counter held)
assert_ge "$count" "$count_held" "counter of held"
guest_start saved
guest_wait saved
assert_eq "$(guest_bootid saved)" "$boot_saved" "boot id of saved after the restore"
assert_ge "$(guest_counter saved)" "$count_saved" "counter of saved"
assert_match "$(guest_tokens held)" 'order=ok'
assert_match "$(guest_tokens saved)" 'order=ok'
