#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# VMs of a cluster are replaced through the cluster (M19, M13-M16, behaviour 41): it stops the VM, images and definition are replaced, the memory
# in which its agent would have it run on is set aside, and it starts the VM again, from its disks or from the memory of the backup. No failure
# is counted, nothing fails over, no other resource is touched; where one would be, the restore is refused. What fails, or is killed, is undone:
# the cluster runs the old VM again, on its own images and definition.
# With KVSS_TEST_FULL=1 it is killed at each step.
# timeout: 2400
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$TESTS/lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_cluster.sh
. "$TESTS/lib/functions_cluster.sh"

grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"
mkdir -p "$SHARED/save"
cluster_vm one "snapshot=$SHARED/save"
cluster_vm two -- agent=no
cluster_vm other node=n2 -- agent=no
# shellcheck disable=SC2034 # functions_cluster.sh
MORE_RESOURCES='<primitive id="service" class="ocf" provider="pacemaker" type="Dummy"/>'
# shellcheck disable=SC2034
MORE_CONSTRAINTS='<rsc_order id="after-one" first="vm-one" then="service"/>'
cluster_setup
kvss_setup
for vm in one two; do
    resource_wait "$vm" role Started
    guest_wait "$vm"
done
note "complete"

mark() { guest_sh "$1" "echo $2 > /mnt/vda/mark; sync"; }
marked() { guest_sh "$1" cat /mnt/vda/mark; }
restore() { kvss restore --yes "$@" > "$SANDBOX/restore.log" 2>&1 || fail "restore: $(cat "$SANDBOX/restore.log")"; }

mark one first
mark two first
backup one two
boot_two=$(guest_bootid two)
mark one second
mark two second

# ---- what it would touch beside the VM
kvss_fails "$EXIT_REFUSED" restore --yes latest one
assert_match "$OUTPUT" 'cluster would also .*service' "why"
assert_eq "$(marked one)" second "what is on it"
on n1 cibadmin --delete -X '<rsc_order id="after-one"/>'
NODE=n2 kvss_fails "$EXIT_REFUSED" restore --yes latest one
assert_match "$OUTPUT" 'node n1: run kvss restore there' "why"
note "refused"

# ---- from its disks
cluster_before one two other
restore latest one
assert_cluster_calm one
guest_wait one
assert_eq "$(marked one)" first "what is on it"
assert_no_file "$SHARED/save/one.state"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
mark one third
note "from its disks"

# ---- from its memory
cluster_before one two other
restore latest two
assert_cluster_calm two
guest_wait two
assert_eq "$(guest_bootid two)" "$boot_two" "boot id: it runs on"
assert_eq "$(marked two)" first "what is on it"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
mark two third
note "from its memory"

# ---- what fails, or is killed
FAULT_LOG=$SANDBOX/fault.log
_no_kvss() { [ -z "$(pgrep -x kvss)" ]; }
cells=("fail done cluster-start one" "killall done cluster-definition one")
if [ -n "${KVSS_TEST_FULL:-}" ]; then
    cells=()
    for verb in cluster-stop cluster-definition cluster-start; do
        for at in begin "done"; do
            for action in fail kill killall; do cells+=("$action $at $verb one" "$action $at $verb two"); done
        done
    done
fi
for cell in "${cells[@]}"; do
    read -r action at verb vm <<< "$cell"
    rm -f "$FAULT_LOG"
    cluster_before one two other
    definition=$(sha256sum < "$SHARED/$vm.xml")
    status=0
    KVSS_TEST_FAULT=$action:$verb:$at KVSS_TEST_FAULT_LOG=$FAULT_LOG kvss restore --yes latest "$vm" > "$REPORT" 2> "$SANDBOX/stderr" || status=$?
    grep -q ^fault "$FAULT_LOG" || fail "$cell was not reached (status $status): $(cat "$SANDBOX/stderr")"
    assert_ne "$status" 0 "status"
    poll 120 _no_kvss
    [ "$action" != killall ] || kvss recover > "$SANDBOX/recover" 2>&1 || fail "recover: $(cat "$SANDBOX/recover")"
    assert_cluster_calm "$vm"
    guest_wait "$vm"
    assert_eq "$(marked "$vm")" third "what is on it after $cell"
    assert_eq "$(sha256sum < "$SHARED/$vm.xml")" "$definition" "its definition after $cell"
    assert_no_file "$SHARED/save/$vm.state"
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
    note "$cell"
done

# ---- and backed up again
backup one two
note "done"
