#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A VM that starts by Secure Boot, with a TPM (as Windows 11 asks for): the firmware's keys and variables come back with it (B7), so its
# signed kernel starts again and still finds itself in Secure Boot; over the VM that runs, where nothing of it is left, and (with
# KVSS_TEST_FULL=1) in a copy.
# The variables are the VM's, not those of the template: a key that its owner enrolled is in them.
# In `make test` 62-firmware-state has NVRAM and a TPM.
# only: full
# timeout: 900
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

NVRAM=/var/lib/libvirt/qemu/nvram
VARIABLES=/sys/firmware/efi/efivars
kvss_setup
guest_define safe firmware=secure tpm=yes tokens=off words=kvss.load=efivarfs
guest_start safe
guest_wait safe 240

mounted="mount -t efivarfs none $VARIABLES 2> /dev/null; cd $VARIABLES"
secure_boot() { guest_sh "$1" "$mounted; tail -c 1 SecureBoot-* | od -An -tu1" | tr -d "[:space:]"; }
# A variable, as a key that the owner enrolls is one: not of the template. The kernel lets nobody remove those that it found.
enroll() { guest_sh "$1" "$mounted; printf '\007\000\000\000$2' > Kvss$2-5d4e7a10-0d2b-4c55-8a63-000000000001"; }
enrolled() { guest_sh "$1" "$mounted; for f in Kvss*; do tail -c +5 \$f; echo; done" | xargs; }
keys() { guest_sh "$1" "$mounted; cat PK-* KEK-* db-* | sha256sum"; }
assert_safe() { # VM
    guest_wait "$1" 240
    assert_eq "$(secure_boot "$1")" 1 "Secure Boot in $1"
    assert_eq "$(enrolled "$1")" first "what was enrolled in $1"
    assert_eq "$(keys "$1")" "$keys" "the firmware's keys in $1"
    assert_eq "$(guest_sh "$1" 'guestd tpm' | tr -d '\0')" sealed "the TPM of $1"
}

enroll safe first
guest_sh safe 'guestd tpm sealed'
keys=$(keys safe)
assert_safe safe
definition safe > "$SANDBOX/safe.before"
backup safe
note "backed up"

enroll safe second
assert_eq "$(enrolled safe)" "first second" "what was enrolled since"
guest_sh safe 'guestd tpm broken'
kvss_json restore --yes "$POINT"
assert_safe safe
note "restored over the VM"

# nothing left, and a template that is of no use
destroy_vm safe
rm -rf "${NVRAM:?}"/* /var/lib/libvirt/swtpm/*
kvss_json restore --yes "$POINT"
assert_safe safe
definition safe > "$SANDBOX/safe.after"
diff "$SANDBOX/safe.before" "$SANDBOX/safe.after" >&2 || fail "the definition differs"
note "restored where nothing was left"

[ -n "${KVSS_TEST_FULL:-}" ] || exit 0 # each of these is another start of the firmware, which is emulated
kvss_json restore --yes "$POINT" safe --name copy
assert_safe copy
assert_file $NVRAM/copy_VARS.fd $NVRAM/safe_VARS.fd
enroll copy copied
assert_eq "$(enrolled safe)" first "what was enrolled in safe, beside its copy"
destroy_vm copy

# the proof that it is the variables: without them in Secure Boot the same VM knows nothing of what was enrolled
destroy_vm safe
kvss_json restore --yes "$POINT" --no-start
rm $NVRAM/safe_VARS.fd
guest_start safe
guest_wait safe 240
assert_eq "$(guest_sh safe "$mounted; ls -d Kvss* 2> /dev/null | wc -l")" 0 "variables of the template"
