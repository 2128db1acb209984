#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# SIGKILL at various moments of a backup. The watchdog, which outlives the requester, puts everything back; where the watchdog is
# killed too, `kvss recover` or the next command does. Guests go on as before, nothing is left behind, nothing is in the
# repository, and the next backup works. With KVSS_TEST_FULL=1 all moments, else some. B2; behaviour 29.
# In `make test` fault/70-matrix kills backups.
# only: full
# timeout: 1500
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"
kvss_setup
head -c 300M /dev/urandom > "$SANDBOX/content"
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

# facts without what a start from the saved state changes
facts() { _facts web mute off | sed '/^Id:/d'; }
has_session() { compgen -G "/var/lib/kvss/sessions/*/watched" > /dev/null; }
no_kvss() { [ -z "$(pgrep -x kvss)" ]; }
reading() { [ "$(du -sm "$KVSS_REPOSITORY" | cut -f 1)" -ge $((start + 20)) ]; }
at_fault() { grep -q ^fault "$SANDBOX/fault.log"; } # it is there for so short a time that the command must be made to stay
has_job() { virsh -q domjobinfo "$1" | grep -q 'Operation:.*Backup'; }

# kill_at requester|both DESCRIPTION CONDITION...: as soon as the condition holds
kill_at() {
    local whom=$1 what=$2 pid
    shift 2
    facts > "$SANDBOX/facts"
    rm -f "$SANDBOX/fault.log"
    env ${FAULT:+"KVSS_TEST_FAULT=$FAULT"} "KVSS_TEST_FAULT_LOG=$SANDBOX/fault.log" \
        "$KVSS" backup web mute off > "$SANDBOX/out" 2> "$SANDBOX/stderr" &
    pid=$!
    while ! "$@" > /dev/null 2>&1; do
        kill -0 $pid 2> /dev/null || fail "the backup ended before the moment came: $what: $(cat "$SANDBOX/stderr")"
        sleep 0.01
    done
    if [ "$whom" = both ]; then pkill -KILL -x kvss; else kill -KILL $pid; fi
    wait $pid 2> /dev/null || :
    local killed
    killed=$(date +%s%N)
    poll 60 no_kvss
    [ "$whom" = requester ] || recover_after "$what"
    note "$whom killed $what: all put back after $((($(date +%s%N) - killed) / 1000000)) ms"
    facts > "$SANDBOX/facts.now"
    diff "$SANDBOX/facts" "$SANDBOX/facts.now" >&2 || fail "the VMs are not as before, after: $what"
    assert_tokens_flow
    assert_eq "$(guest_bootid mute)" "$boot" "boot id of mute"
    assert_counts mute
    assert_nothing_left
    [ ! -d /var/lib/kvss/sessions ] || assert_eq "$(ls /var/lib/kvss/sessions)" "" "sessions left"
    assert_points 0
}

recover_after() {
    kvss recover > "$SANDBOX/recover" 2>&1 || fail "kvss recover after $1: $(cat "$SANDBOX/recover")"
}

saved() { FAULT=hang:save-vm:done kill_at "$1" "while a VM is off with its state saved" at_fault; }
frozen() { FAULT=hang:freeze-guest:done kill_at "$1" "while the guest is frozen" at_fault; }
copied() {
    start=$(du -sm "$KVSS_REPOSITORY" | cut -f 1)
    kill_at "$1" "while disks are copied" reading
}
saved requester
frozen both
copied both
if [ -n "${KVSS_TEST_FULL:-}" ]; then
    frozen requester
    copied requester
    saved both
    for whom in requester both; do
        kill_at $whom "once it has begun" has_session
        FAULT=hang:pause-vm:done kill_at $whom "while a VM is paused" at_fault
        kill_at $whom "once a backup job runs" has_job mute
    done
fi

backup web mute off
assert_points 1
assert_tokens_flow
