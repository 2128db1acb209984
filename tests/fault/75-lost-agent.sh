#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The guest agent is restarted while the guest is frozen and its backup job is there, for longer than libvirt waits to take note of
# it (B2). libvirt 9 then has a connection to the agent that died, for good: the agent is well, and no thaw reaches it. The session
# saves the VM and starts it from that, which makes libvirt connect anew, and thaws it; the guest goes on with what was in its memory,
# without what its host has lost by then.
# In `make test` 71-agents has agents that die.
# only: full
# timeout: 600
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_fault.sh
. "$(dirname "$0")/../lib/functions_fault.sh"

FREEZE_LIMIT=40 # libvirt waits 30 s
thaws() { guest_sh web 'cat /run/kvss/hook.log' | grep -c '^thaw'; }

fault_setup
network_define lab
virsh -q attach-interface web network lab --mac 52:54:00:00:00:0c --model virtio --live --config
_fault_facts web mute off > "$SANDBOX/facts.fault"
id=$(virsh -q domid web)
fault_backup hang:backup-job:done web mute
poll 60 fault_happened
assert_eq "$(guest_agent web guest-fsfreeze-status)" '{"return":"frozen"}' "the guest, with its job"
before=$(thaws || :)
guest_sh web 'killall -9 qemu-ga; sleep 2; agentctl start' # asked politely it does not end while the guest is frozen
note "the agent was restarted"
virsh -q net-destroy lab > /dev/null # what a start needs and a VM that runs does not: it comes back without
virsh -q net-undefine lab > /dev/null
wait "$FAULT_PID" && fail "it did not hang"
note "the hung command has ended: $(tail -n 1 "$SANDBOX/stderr" | cut -c 1-150)"
poll 120 _no_kvss
note "QEMU of web: $id before, $(virsh -q domid web) now"
assert_eq "$(guest_agent web guest-fsfreeze-status)" '{"return":"thawed"}' "the guest"
assert_eq "$(thaws)" $((${before:-0} + 1)) "thaws"
assert_match "$(virsh -q domiflist web)" 'ethernet .*52:54:00:00:00:0c' "its network interface, whose network is gone"
assert_unharmed
assert_recovers web mute off
assert_report_vm web .method child-vm-snapshot

# ---- restarted while the disks are read: the backup is none the worse, however long libvirt takes to see the end of its job; the
# second one after it at the latest is by Child VM Snapshot again (KVSS_TEST_FULL=1: a minute)
[ -n "${KVSS_TEST_FULL:-}" ] || { note "done" && exit 0; }
kvss backup web --type full --quiet --json --bwlimit 512K > "$REPORT" 2> "$SANDBOX/stderr" &
pid=$!
has_job() { virsh -q domjobinfo web | grep -q 'Operation:.*Backup'; }
poll 60 has_job
poll 20 guest_agent web guest-ping
guest_sh web 'killall -9 qemu-ga; sleep 2; agentctl start'
wait $pid || fail "backup: $(cat "$SANDBOX/stderr")"
assert_report_vm web .method child-vm-snapshot
kvss verify "$(report .point)" > /dev/null 2> "$SANDBOX/stderr" || fail "verify: $(cat "$SANDBOX/stderr")"
note "backed up while the agent was restarted"
backup web mute off
note "then by $(report_vm web .method)"
backup web mute off
assert_report_vm web .method child-vm-snapshot
poll 30 _drive_past web "$(_drive_last web)"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
note "done"
