#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# SIGINT and SIGTERM at various moments of a backup: it ends with its own exit code, every VM is as before and goes on, nothing is in
# the repository, nothing is left behind, and the next backup works. B2, M10; behaviours 27, 30.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
head -c 200M /dev/urandom > "$SANDBOX/content"
for vm in web mute; do qemu-img convert -f raw -O qcow2 "$SANDBOX/content" "$IMAGES/$vm-vdb.qcow2"; done
rm "$SANDBOX/content"
guest_define web tokens=driven fs=ext4,none size=64M
guest_define mute tokens=driven fs=ext4,none agent=no
guest_define off disks=1 agent=no
guest_start web
guest_start mute
guest_wait web
guest_wait mute
token_drive web mute
boot=$(guest_bootid mute)

# interrupt SIGNAL DESCRIPTION CONDITION...: as soon as the condition holds
interrupt() {
    local signal=$1 what=$2 status=0
    shift 2
    facts_before web mute off
    rm -f "$SANDBOX/fault.log" "$SANDBOX/fault.log.go"
    # what a shell starts in the background ignores SIGINT, and so would kvss
    env --default-signal=INT ${FAULT:+"KVSS_TEST_FAULT=$FAULT"} "KVSS_TEST_FAULT_LOG=$SANDBOX/fault.log" "$KVSS" backup web mute off > "$SANDBOX/out" 2> "$SANDBOX/stderr" &
    pid=$!
    while ! "$@" > /dev/null 2>&1; do
        kill -0 $pid 2> /dev/null || fail "the backup ended before the moment came: $what: $(cat "$SANDBOX/stderr")"
        sleep 0.02
    done
    kill -"$signal" $pid
    touch "$SANDBOX/fault.log.go"
    local sent
    sent=$(date +%s%N)
    wait $pid || status=$?
    assert_eq "$status" "$EXIT_INTERRUPTED" "status after $signal $what: $(cat "$SANDBOX/stderr")"
    note "$signal $what: ended after $((($(date +%s%N) - sent) / 1000000)) ms: $(tail -n 1 "$SANDBOX/stderr")"
    assert_match "$(cat "$SANDBOX/stderr")" '[Ii]nterrupted' "message"
    assert_states_same
    assert_tokens_flow
    assert_eq "$(guest_bootid mute)" "$boot" "boot id of mute"
    assert_nothing_left
    assert_points 0
}
# it waits for signals from then on: before, it would just die of them
is_kvss() { grep -qx kvss "/proc/$pid/comm" && [ $((0x$(awk '$1 == "SigBlk:" { print $2 }' "/proc/$pid/status") & 2)) != 0 ]; }
# a moment so short that the command must be made to wait there, if it has fault points
saved() { if grep -q KVSS_TEST_FAULT "$KVSS"; then grep -q ^fault "$SANDBOX/fault.log"; else mute_state 'shut off'; fi; }
mute_state() { virsh -q domstate mute | grep -qx "$1"; }
has_job() { virsh -q domjobinfo "$1" | grep -q 'Operation:.*Backup'; }
reading() { [ "$(du -sm "$KVSS_REPOSITORY" | cut -f 1)" -ge $((start + 30)) ]; }

start=$(du -sm "$KVSS_REPOSITORY" | cut -f 1)
interrupt INT "at once" is_kvss
interrupt INT "while a VM is saved" mute_state paused
FAULT=wait:save-vm:done interrupt TERM "while a VM is off with its state saved" saved
interrupt TERM "once a backup job runs" has_job web
start=$(du -sm "$KVSS_REPOSITORY" | cut -f 1)
interrupt INT "while disks are copied" reading

backup web mute off
assert_points 1
assert_tokens_flow
