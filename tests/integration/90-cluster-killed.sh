#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A node of a cluster dies in the middle of a backup or restore (M19, B2): its VM then runs exactly once, on the other node, as after any crash
# of its host, from the moment when the lease has ended; a restore that was not over leaves it stopped, until the node is back and has undone it.
# `kvss recover` on the node that is back cleans up, and does not start what the cluster has started. A sample of this, with processes that are
# killed and not nodes, is in 90-cluster-saved and 90-cluster-restore.
# only: full
# timeout: 2400
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$TESTS/lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_cluster.sh
. "$TESTS/lib/functions_cluster.sh"

grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"
cluster_vm one -- agent=no
cluster_setup
kvss_setup
resource_wait one role Started
guest_wait one
guest_sh one 'echo first > /mnt/vda/mark; sync'
backup one
note "complete"

# dies VERB WHEN COMMAND...: n1 dies when kvss has come to this step
dies() {
    local log=$SANDBOX/fault.log
    rm -f "$log"
    (KVSS_TEST_FAULT=hang:$1:$2 KVSS_TEST_FAULT_LOG=$log kvss "${@:3}" > "$SANDBOX/out" 2>&1 || :) &
    poll 90 grep -q ^fault "$log"
    node_kill n1
    wait $! || :
}

# back: n1 starts again, and has nothing to do but to clean up
back() {
    node_start n1
    poll 90 test -e "$SANDBOX/n1/ready"
    NODE=n1
    poll 90 _cluster_complete
}

for at in cluster-lease save-vm-to; do
    NODE=n1
    dies $at "done" backup one
    NODE=n2
    resource_wait one node n2 200
    resource_wait one role Started
    guest_wait one
    assert_eq "$(guest_sh one cat /mnt/vda/mark)" first "what is on it"
    boot=$(guest_bootid one)
    note "$at: it runs on the other node"
    back
    kvss recover > "$SANDBOX/recover" 2>&1 || fail "recover: $(cat "$SANDBOX/recover")"
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
    NODE=n2
    assert_eq "$(guest_bootid one)" "$boot" "boot id"
    assert_eq "$(vm_runs one)" n2 "hosts that run it"
    assert_eq "$(on n2 cibadmin -Q | grep -c kvss-lease || :)" 0 "leases"
    on n2 crm_resource --move -r vm-one --node n1 > /dev/null 2>&1
    resource_wait one node n1 120
    on n2 crm_resource --clear -r vm-one > /dev/null 2>&1
    on n2 crm_resource --cleanup -r vm-one > /dev/null 2>&1
    NODE=n1
    guest_wait one
    note "$at: and is back"
done

# ---- a restore
guest_sh one 'echo second > /mnt/vda/mark; sync'
dies cluster-definition "done" restore --yes latest one --discard-memory
NODE=n2
sleep 20 # nobody starts half a VM
assert_eq "$(resource one role)" Stopped "role while the node is down"
note "restore: nobody starts it"
back
kvss recover > "$SANDBOX/recover" 2>&1 || fail "recover: $(cat "$SANDBOX/recover")"
resource_wait one role Started 120
NODE=$(resource one node)
guest_wait one
assert_eq "$(guest_sh one cat /mnt/vda/mark)" second "what is on it"
assert_eq "$(vm_runs one | wc -w)" 1 "hosts that run it"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
note "restore: undone"
