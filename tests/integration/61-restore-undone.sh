#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A restore that fails after PreRestore gives back VMs in every state: paused, saved (the memory goes on where it was), off with internal
# snapshots, running on an external snapshot, transient. Definition, snapshots with the current one, autostart and images are the same.
# A restore over VMs with snapshots that succeeds is right: what is gone and what stays lying about is told. Issue 5, "Never worse off".
# In `make test` 60-restore-killed has restores that fail, 19-states the states.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"

kvss_setup
all=(paused saved off ext fleeting)
for vm in "${all[@]}"; do
    guest_define "$vm" agent=no tokens=off fs=none size=24M
    qemu-io -c 'write -q -P 0x11 0 8M' "$IMAGES/$vm-vda.qcow2"
done
kvss_json backup "${all[@]}"
POINT=$(report .point)
for vm in "${all[@]}"; do qemu-io -c 'write -q -P 0x22 4M 8M' "$IMAGES/$vm-vda.qcow2"; done

guest_start saved
virsh -q start paused --paused > /dev/null
virsh -q autostart off > /dev/null
for name in one two; do virsh -q snapshot-create-as off $name > /dev/null; done
virsh -q snapshot-revert off one
guest_start ext
virsh -q snapshot-create-as ext outside --disk-only > /dev/null
virsh -q dumpxml fleeting --inactive > "$SANDBOX/fleeting.xml"
virsh -q undefine fleeting
virsh -q create "$SANDBOX/fleeting.xml" > /dev/null
guest_wait saved
boot=$(guest_bootid saved)
guest_sh saved 'echo kept > /run/in-memory'
virsh -q managedsave saved > /dev/null
ls "$IMAGES" > "$SANDBOX/images"

more_facts() { # NAME
    local disk
    assert_ne "$(vm_state "$1")" gone "state of $1"
    virsh -q domstate "$1"
    virsh -q dumpxml "$1" --inactive | sed 's/domain-[0-9]*-/domain-N-/' | sha256sum
    virsh -q snapshot-current "$1" --name 2> /dev/null || :
    virsh -q dominfo "$1" | grep -E 'Autostart|Persistent'
    for disk in $(virsh -q domblklist "$1" | awk '{ print $2 }'); do
        image_raw "$disk" "$SANDBOX/raw"
        sha256sum < "$SANDBOX/raw"
        qemu-img snapshot -U -l "$disk" | awk 'NR > 2 { print $2 }'
    done
}
before() {
    local vm
    facts_before paused saved off ext # what is transient has its socket paths, with the number of its QEMU, in its definition
    for vm in "${all[@]}"; do more_facts "$vm"; done > "$SANDBOX/more"
}
same() {
    local vm
    assert_states_same
    for vm in "${all[@]}"; do more_facts "$vm"; done > "$SANDBOX/more.now"
    diff "$SANDBOX/more" "$SANDBOX/more.now" >&2 || fail "the VMs are not as before"
}
before
for vm in "${all[@]}"; do
    status=0
    KVSS_TEST_FAULT=fail:register-vm:done "$KVSS" restore --yes "$POINT" "$vm" > "$SANDBOX/out" 2> "$SANDBOX/stderr" || status=$?
    assert_eq "$status" "$EXIT_FAILED" "status ($vm): $(cat "$SANDBOX/stderr")"
    assert_match "$(cat "$SANDBOX/stderr")" 'Everything that was not restored is unchanged'
    same
    note "$vm: as before"
done
diff "$SANDBOX/images" <(ls "$IMAGES") >&2 || fail "other files than before"
assert_eq "$(ls -A /var/lib/libvirt/qemu/save)" saved.save "saved states"
guest_start saved
guest_wait saved
assert_eq "$(guest_bootid saved)" "$boot" "boot id of saved"
assert_eq "$(guest_sh saved 'cat /run/in-memory')" kept "memory of saved"

# ---- and without a fault
kvss_json restore --yes "$POINT" off ext
for vm in off ext; do
    assert_state "$vm" "shut off"
    assert_eq "$(virsh -q snapshot-list "$vm" --name)" "" "snapshots of $vm"
    assert_match "$(qemu-io -r -c 'read -P 0x11 0 8M' -c 'read -P 0 8M 16M' "$IMAGES/$vm-vda.qcow2")" '16777216/16777216'
    assert_match "$(report_vm "$vm" '.warnings[]')" 'its .* snapshot'
done
assert_eq "$(virsh -q domblklist ext | awk '{ print $2 }')" "$IMAGES/ext-vda.qcow2" "disk of ext"
assert_match "$(report_vm ext '.warnings[]')" 'ext-vda.outside.*was kept'
assert_file "$IMAGES/ext-vda.outside"

# ---- a signal in the last moment in which the VM can be spared: it runs on
guest_define spared agent=no tokens=off size=8M
guest_start spared
kvss_json backup spared
qemu=$(cat /run/libvirt/qemu/spared.pid)
rm -f "$SANDBOX/fault.log"*
KVSS_TEST_FAULT=wait:turn-off-vm:begin KVSS_TEST_FAULT_LOG=$SANDBOX/fault.log env --default-signal=INT \
    "$KVSS" restore --yes latest spared > "$SANDBOX/out" 2>&1 &
pid=$!
poll 40 grep -q ^fault "$SANDBOX/fault.log"
kill -INT $pid
touch "$SANDBOX/fault.log.go"
status=0
wait $pid || status=$?
assert_eq "$status" "$EXIT_INTERRUPTED" "status of a restore that was interrupted: $(cat "$SANDBOX/out")"
assert_match "$(cat "$SANDBOX/out")" 'interrupted before it was turned off'
assert_eq "$(cat /run/libvirt/qemu/spared.pid)" "$qemu" "QEMU of the VM that was to be replaced"
assert_state spared running
note "interrupted in time"
