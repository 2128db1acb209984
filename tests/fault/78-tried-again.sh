#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A VM that cannot be given back its state for a moment, since another program has its image: the backup fails, and the VM runs again as soon
# as that program has ended, though nobody does anything about it (B2).
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_fault.sh
. "$(dirname "$0")/../lib/functions_fault.sh"

grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"
kvss_setup
guest_define mute agent=no tokens=off size=8M
guest_start mute
runs() { [ "$(vm_state mute)" = running ]; }

fault_backup "wait:save-vm:done" mute
poll 60 _fault_or_end
fault_happened || fail "the step was not reached: $(cat "$SANDBOX/stderr")"
unlocked() { qemu-io -c quit "$IMAGES/mute-vda.qcow2" > /dev/null 2>&1; }
poll 60 unlocked # the VM's own QEMU may still be about to end
qemu-io -c 'sleep 1200000' "$IMAGES/mute-vda.qcow2" > /dev/null 2>&1 &
locker=$!
locked() { grep -q ":$(stat -c %i "$IMAGES/mute-vda.qcow2") " /proc/locks; } # a look with qemu-io could be what refuses the locker its lock
poll 60 locked
kill -0 $locker || fail "the locker did not get the lock"
touch "$FAULT_LOG.go"
status=0
wait "$FAULT_PID" || status=$?
assert_eq "$status" "$EXIT_FAILED" "status"
runs && fail "it runs"
assert_match "$(cat "$SANDBOX/stderr")" 'keeps trying' "what becomes of it: $(cat "$SANDBOX/stderr")"
note "the VM is $(vm_state mute)"
kill $locker
wait $locker || :
poll 60 runs
poll 40 _no_kvss
assert_nothing_left
assert_points 0
backup mute
