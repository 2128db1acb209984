#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The cluster that tests use is a real one (M19): two nodes of their own, a VM that the cluster starts, and that fails over when its host dies
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$TESTS/lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_cluster.sh
. "$TESTS/lib/functions_cluster.sh"

cluster_vm one
cluster_setup
note "complete"
resource_wait one role Started
guest_wait one
note "one runs on $(resource one node)"
assert_eq "$(vm_runs one)" n1 "hosts that run it"
assert_ne "$(on n1 virsh capabilities | _xpath 'string(//host/uuid)')" "$(on n2 virsh capabilities | _xpath 'string(//host/uuid)')" "host UUID"
assert_match "$(virsh dominfo one)" 'Persistent: +no' "the agent makes VMs that are transient"
cluster_before one
assert_cluster_calm

# behind its back: once, as the control for what the other tests show
boot=$(guest_bootid one)
virsh -q save one "$SANDBOX/behind"
poll 60 _resource_is one fails 1
resource_wait one role Started
guest_wait one
assert_ne "$(guest_bootid one)" "$boot" "boot id: the cluster took it for a failure"
note "behind its back: it was started again"
virsh -q destroy one
resource_wait one node n2
NODE=n2
guest_wait one
assert_eq "$(vm_runs one)" n2 "hosts that run it"
note "the second time: it failed over"
on n2 crm_resource --cleanup -r vm-one > /dev/null 2>&1
resource_wait one fails 0
