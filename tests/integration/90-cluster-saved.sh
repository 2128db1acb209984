#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# VMs of a cluster are backed up without the cluster noticing more than that it was asked to leave one alone (M19, M3, M4, B1, B2, behaviour 41):
# by Child VM Snapshot, and by Saved State through the cluster, both together, increments too. No failure is counted, nothing fails over,
# no other resource is touched, and the cluster's configuration is as before. If kvss is killed while a VM is saved, its watchdog or
# `kvss recover` starts the VM from there; if nobody comes, the cluster does when the lease is over, and nobody starts it again then.
# With KVSS_TEST_FULL=1 it is killed at each step, and the same is done twenty times.
# timeout: 2400
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$TESTS/lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_cluster.sh
. "$TESTS/lib/functions_cluster.sh"

grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"
cluster_vm one -- tokens=driven
cluster_vm two -- tokens=driven agent=no
cluster_vm other node=n2 -- agent=no
cluster_setup
kvss_setup
for vm in one two; do
    resource_wait "$vm" role Started
    guest_wait "$vm"
done
resource_wait other role Started
note "complete"
# shellcheck disable=SC2034 # runs_on
boot_one=$(guest_bootid one) boot_two=$(guest_bootid two)

# runs_on VM...: the guest that was there is there, and was not started afresh
runs_on() {
    local vm boot
    for vm; do
        boot=boot_$vm
        guest_wait "$vm"
        assert_eq "$(guest_bootid "$vm")" "${!boot}" "boot id of $vm"
    done
}

# ---- what is said
kvss_json check two
[ "$(report_vm two .refused)" = null ] || fail "check: $(report_vm two .refused)"
assert_report_vm two .method saved-state
assert_match "$(report_vm two '[.findings[].text] | join(" ")')" 'resource vm-two' "what check says"

# ---- on a node that does not run it
NODE=n2 kvss_fails "$EXIT_FAILED" backup two
assert_match "$OUTPUT" 'VM two runs on node n1 of the cluster' "what the other node says"
virsh -q dumpxml two > "$SANDBOX/stray.xml"
on n2 virsh -q define "$SANDBOX/stray.xml" # an old definition, as a person may have left it
NODE=n2 kvss_json backup --all
assert_eq "$(report '[.vms[].name] | join(" ")')" other "VMs of the other node"
on n2 virsh -q undefine two

# ---- both methods, one instant
token_drive one two
cluster_before one two other
backup one two
assert_report_vm one .method child-vm-snapshot
assert_report_vm two .method saved-state
assert_cluster_calm
runs_on one two
assert_tokens_flow
note "full"
backup one two
assert_report_vm one .type incremental
assert_report_vm two .type incremental
assert_cluster_calm
assert_tokens_flow
token_drive_stop
runs_on one two
mkdir "$SANDBOX/out"
kvss restore "$POINT" one two --images-only --to "$SANDBOX/out" > /dev/null 2> "$SANDBOX/stderr" || fail "images: $(cat "$SANDBOX/stderr")"
assert_set_order "$(image_tokens "$(find "$SANDBOX/out" -name 'one-vda*')")" "$(image_tokens "$(find "$SANDBOX/out" -name 'two-vda*')")"
note "one instant"

# ---- its memory is of the instant of its disks: a copy runs on from there
kvss restore "$POINT" two --name copy --to "$SHARED/copy" --yes > /dev/null 2> "$SANDBOX/stderr" || fail "copy: $(cat "$SANDBOX/stderr")"
guest_wait copy
assert_eq "$(guest_bootid copy)" "$boot_two" "boot id of the copy"
assert_counts copy
virsh -q destroy copy
virsh -q undefine copy --checkpoints-metadata
assert_cluster_calm
note "a copy runs on from its memory"

# ---- killed
FAULT_LOG=$SANDBOX/fault.log
_no_kvss() { [ -z "$(pgrep -x kvss)" ]; }
# killed ACTION VERB WHEN
killed() {
    local status=0
    rm -f "$FAULT_LOG"
    cluster_before one two other
    KVSS_TEST_FAULT=$1:$2:$3 KVSS_TEST_FAULT_LOG=$FAULT_LOG kvss backup two > "$REPORT" 2> "$SANDBOX/stderr" || status=$?
    grep -q ^fault "$FAULT_LOG" || fail "$1 $2 $3 was not reached (status $status): $(cat "$SANDBOX/stderr")"
}
steps=("kill done save-vm-to" "killall done save-vm-to" "fail done cluster-lease")
if [ -n "${KVSS_TEST_FULL:-}" ]; then
    steps=()
    for verb in cluster-lease pause-vm save-vm-to; do
        for at in begin "done" settled; do
            for action in kill killall fail; do steps+=("$action $at $verb"); done
        done
    done
fi
for step in "${steps[@]}"; do
    read -r action at verb <<< "$step"
    killed "$action" "$verb" "$at"
    poll 60 _no_kvss
    [ "$action" != killall ] || kvss recover > "$SANDBOX/recover" 2>&1 || fail "recover: $(cat "$SANDBOX/recover")"
    assert_cluster_calm
    runs_on two
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
    note "$step"
done
backup two
assert_cluster_calm

# ---- nobody comes: the lease ends by itself, and what was saved is not started over what the cluster has started
killed killall save-vm-to "done"
lease=$(on n1 cibadmin -Q | _xpath 'string(//meta_attributes[starts-with(@id, "kvss-lease")]/@id)')
assert_match "$lease" '^kvss-lease-' "the lease"
assert_eq "$(vm_runs two)" "" "hosts that run it"
end=$(date -u -d '+3 seconds' '+%Y-%m-%d %H:%M:%SZ')
on n1 cibadmin --modify -o resources -X "<primitive id=\"vm-two\"><meta_attributes id=\"$lease\"><rule id=\"$lease-rule\">
<date_expression id=\"$lease-until\" operation=\"lt\" end=\"$end\"/></rule></meta_attributes></primitive>"
poll 60 _resource_is two managed true
resource_wait two role Started
guest_wait two
assert_ne "$(guest_bootid two)" "$boot_two" "boot id of two: the cluster has started it"
boot_two=$(guest_bootid two)
kvss recover > "$SANDBOX/recover" 2>&1 || fail "recover: $(cat "$SANDBOX/recover")"
runs_on two
assert_eq "$(vm_runs two)" n1 "hosts that run it"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
on n1 crm_resource --cleanup -r vm-two > /dev/null 2>&1
resource_wait two fails 0
poll 30 _cluster_idle
cluster_before one two other
backup two
assert_cluster_calm
note "the lease ended by itself"

for ((i = 0; i < ${KVSS_TEST_FULL:+20}0 / 10; i++)); do
    backup one two
    assert_cluster_calm
done

# ---- the cluster does not answer: that is not "no cluster"
on n1 pkill -KILL pacemaker
kvss_fails "$EXIT_REFUSED" backup two
assert_match "$OUTPUT" 'Pacemaker manages VM two \(resource vm-two\): the cluster does not answer' "why"
note "done"
