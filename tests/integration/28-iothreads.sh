#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Disks with threads of their own. QEMU before 9.0 aborts when a client of such a disk's export goes away while the backup job lives,
# and takes the guest with it. A VM is backed up by both methods and goes on; so it does when the requester is killed while it
# reads, alone or with the watchdog, and the next backup works (B2).
# In `make test` fault/70-matrix kills a backup at each step.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define web disks=2 tokens=driven
definition web | sed -e "s|<vcpu |<iothreads>1</iothreads>&|" -e "s|<driver name='qemu' type='qcow2'|& iothread='1'|" > "$SANDBOX/web.xml"
virsh -q define "$SANDBOX/web.xml" > /dev/null
assert_match "$(virsh -q dumpxml web)" "iothread='1'"
guest_start web
guest_wait web
token_drive web
boot=$(guest_bootid web)

for method in child saved-state; do
    backup web --method $method
    assert_eq "$(guest_bootid web)" "$boot" "boot id of web after --method $method"
    assert_tokens_flow
done
assert_report_vm web .method saved-state

# killed WHO [AFTER]: while it reads, or so many seconds after its first connection
killed() {
    "$KVSS" backup web --type full --bwlimit 64K > "$SANDBOX/out" 2> "$SANDBOX/stderr" &
    local pid=$! tries=0
    # Its connections to the exports: the keeper shares them. Stopped a moment later, it dies while it reads.
    until [ "$(connections)" -gt 0 ]; do
        tries=$((tries + 1))
        kill -0 $pid 2> /dev/null || fail "the backup ended before it was seen to read: $(cat "$SANDBOX/stderr")"
    done
    sleep "${2:-1}"
    kill -0 $pid 2> /dev/null || fail "the backup ended before it was stopped: $(cat "$SANDBOX/stderr")"
    kill -STOP $pid
    if [ "$1" = both ]; then pkill -KILL -x kvss; else kill -KILL $pid; fi
    wait $pid 2> /dev/null || :
    poll 60 no_kvss
    assert_state web running
    [ "$1" = requester ] || kvss recover > "$SANDBOX/recover" 2>&1 || fail "kvss recover: $(cat "$SANDBOX/recover")"
    poll 20 no_keeper
    assert_eq "$(guest_bootid web)" "$boot" "boot id of web after $1 killed"
    assert_tokens_flow
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
    note "$1 killed: the guest runs on"
}
no_kvss() { [ -z "$(pgrep -x kvss)" ]; }
no_keeper() { [ -z "$(pgrep -x kvss-keeper)" ]; }
# Established connections to the socket of a backup job
connections() { awk '$6 == "03" && $8 ~ /\/kvss-[0-9a-f]+$/' /proc/net/unix | wc -l; }
killed requester
[ -z "${KVSS_TEST_FULL:-}" ] || killed both
# in the middle of the greetings, when QEMU waits for the client and would go on waiting
rounds=1
[ -z "${KVSS_TEST_FULL:-}" ] || rounds=20
for ((i = 0; i < rounds; i++)); do killed requester "0.00$((i % 10))"; done
killed both 0
backup web

# ---- with a limit of its rate: QEMU before 9.0 would abort in the resumption that belongs to Saved State, and only there
limit() { virsh -q blkdeviotune web vda --total-bytes-sec "$1" --live --config; }
limit 100000000
backup web
assert_report_vm web .method child-vm-snapshot
points=$(point_count)
if [ "$(qemu-system-x86_64 --version | sed -n 's/.*version \([0-9]*\).*/\1/p')" -lt 9 ]; then
    kvss_fails "$EXIT_REFUSED" backup web --method saved-state
    assert_match "$OUTPUT" 'web.*iothread and a limit.*blkdeviotune' "the reason and the remedy"
    kvss_fails "$EXIT_REFUSED" check web --method saved-state
    limit 0
fi
backup web --method saved-state
assert_points $((points + 1))
assert_eq "$(guest_bootid web)" "$boot" "boot id of web"
assert_tokens_flow
