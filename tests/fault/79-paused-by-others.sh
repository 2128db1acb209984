#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Somebody else pauses a VM while it is backed up (B2, M9, M10). Before kvss does: it stays paused, and the backup fails. While kvss has it
# paused, which libvirt lets pass and nobody can tell from kvss's own pause: it goes on. While its guest is frozen: it is thawed as soon as it
# runs again, though the backup that froze it has failed by then.
# In `make test` 72-events and 81-live-state have others who interfere.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_fault.sh
. "$(dirname "$0")/../lib/functions_fault.sh"

grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"
kvss_setup
guest_define mute agent=no tokens=off size=8M
guest_define quiet tokens=off size=8M
guest_start mute
guest_start quiet
guest_wait quiet

# paused_at STEP VM: the backup waits there, the VM is paused, the backup goes on; its end is in $status
paused_at() {
    fault_backup "wait:$1" "$2"
    poll 60 _fault_or_end
    fault_happened || fail "the step was not reached: $(cat "$SANDBOX/stderr")"
    virsh -q suspend "$2"
    touch "$FAULT_LOG.go"
    status=0
    wait "$FAULT_PID" || status=$?
}

# ---- before kvss pauses it
paused_at pause-vm:begin mute
assert_eq "$status" "$EXIT_FAILED" "status"
assert_match "$(cat "$SANDBOX/stderr")" 'was running and is paused now: run the backup again' "why"
poll 40 _no_kvss
assert_state mute paused
assert_points 0
kvss recover > /dev/null
assert_state mute paused
virsh -q resume mute
assert_nothing_left
note "it stays paused"

# ---- while kvss has it paused
paused_at pause-vm:done mute
assert_eq "$status" 0 "status: $(cat "$SANDBOX/stderr")"
assert_state mute running
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
assert_points 1
note "it goes on"

# ---- while its guest is frozen
paused_at freeze-guest:done quiet
assert_eq "$status" "$EXIT_FAILED" "status: $(cat "$SANDBOX/stderr")"
assert_match "$(cat "$SANDBOX/stderr")" 'may still be frozen' "what becomes of it"
assert_state quiet paused
virsh -q resume quiet
thawed() { [ "$(virsh -q qemu-agent-command quiet '{"execute":"guest-fsfreeze-status"}' | jq -r .return)" = thawed ]; }
poll 60 thawed
poll 40 _no_kvss
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
ALLOW_CHECKPOINTS='kvss-*' backup quiet
note "it is thawed when it runs again"
