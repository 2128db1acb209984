#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Agents that misbehave (B2, M1, M10; behaviours 24, 26, 31, 32): a scripted one in the guest, on the real channel. It never answers,
# answers late, answers garbage, far too much, cannot freeze, freezes some file systems only, loses its answer, cannot thaw, dies
# while the guest is frozen, or the guest reboots then. Where it does not answer before anything was done, the VM is saved instead,
# and the report says why; else the set fails. The other VM of the set is unharmed, and no guest stays frozen.
# With KVSS_TEST_FULL=1 all of them, else some.
# timeout: 1800
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_agent.sh
. "$(dirname "$0")/../lib/functions_agent.sh"
# shellcheck source=tests/lib/functions_fault.sh
. "$(dirname "$0")/../lib/functions_fault.sh"

mode() { fake_mode web "$1"; }
frozen_in_guest() { guest_sh web 'cat /run/fake/frozen > /dev/null 2>&1'; }
heard() { guest_sh web 'cat /run/fake/log'; }
thawed() { ! frozen_in_guest; }

before() {
    _fault_facts web mute off > "$SANDBOX/facts.fault"
    points=$(_points)
}

# after: as before, with nothing left
after() {
    poll 90 _no_kvss
    assert_eq "$(_points)" "$points" "restore points"
    mode good
    poll 60 thawed
    _fault_facts web mute off > "$SANDBOX/facts.now"
    diff "$SANDBOX/facts.fault" "$SANDBOX/facts.now" >&2 || fail "the VMs are not as before"
    for vm in web mute; do
        poll 30 _drive_past $vm "$(_drive_last $vm)"
        assert_eq "$(guest_bootid $vm)" "$(cat "$SANDBOX/$vm.boot")" "boot id of $vm"
    done
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
    assert_eq "$(find /var/lib/kvss/sessions -mindepth 1 -maxdepth 1)" "" "sessions left"
}

# saved MODE TEXT: nothing could be learnt from the agent, so the VM is saved, and that is said; --method child is refused
saved() {
    before
    mode "$1"
    kvss_fails "$EXIT_REFUSED" backup web mute --method child --agent-timeout 2
    assert_match "$OUTPUT" "web.*integration-service" "refusal"
    assert_eq "$(_points)" "$points" "restore points"
    mode "$1"
    kvss_json backup web mute --agent-timeout 2 --fallback saved-state
    assert_report_vm web .method saved-state
    assert_match "$(report_vm web .why)" "integration-service.*$2" "why web was saved"
    assert_eq "$(heard | grep -c 'guest-fsfreeze-freeze' || :)" 0 "freezes sent"
    points=$((points + 1))
    sed -i '/^@ checkpoints/,/^@ snapshots/d' "$SANDBOX/facts.fault"
    note "$1: $(report_vm web .why | cut -c 1-150)"
    poll 30 _no_kvss
    mode good
    poll 30 guest_agent web guest-ping
}

# fails MODE TEXT OPTION...: the set fails, names VM and cause
fails() {
    local text=$2
    before
    mode "$1"
    kvss_fails "$EXIT_FAILED" backup web mute off --retries 0 "${@:3}"
    assert_match "$OUTPUT" "web" "the VM is named"
    assert_match "$OUTPUT" "$text" "the cause is named"
    assert_no_match "$OUTPUT" $'\e' "control characters"
    note "$1: $(tail -n 1 <<< "$OUTPUT" | cut -c 1-150)"
}

WEB_FS=ext4,ext4 fault_setup
printf '[vm web]\nfallback = fail\n' > /etc/kvss/kvss.conf
note "guests are up"
fake_start web
backup web mute off # it can be a good one
assert_report_vm web .method child-vm-snapshot
before
after

# another program freezes the guest between two questions: told as such at each of them, and its freeze is left alone
questions=busy
[ -z "${KVSS_TEST_FULL:-}" ] || questions="busy busy-old busy-os"
for question in $questions; do
    mode "$question"
    kvss check web --json > "$REPORT" 2> /dev/null || : # refused: fallback = fail
    assert_match "$(report_vm web '.conditions[0].why')" 'frozen by another program' "$question: M4a"
done
mode no-os # by its configuration, for good: no reason against Child VM Snapshot
kvss_json check web
assert_report_vm web .method child-vm-snapshot
fails busy-freeze 'already frozen by another program'
assert_eq "$(heard | grep -c 'guest-fsfreeze-thaw' || :)" 0 "thaws sent to a guest that somebody else holds"
after

if [ -n "${KVSS_TEST_FULL:-}" ]; then
    saved garbage '.'
    saved silent 'does not answer'
    saved late 'does not answer'
    saved huge '.'
    fails refuse 'I will not'
    after
    fails lost 'did not answer' --agent-timeout 3
    after
else
    saved garbage '.'
fi
fails partial 'only 1 of its 2'
after

# ---- it cannot thaw: the session stays, recover says so, and when the agent has come round it is thawed
before
mode stuck
fault_backup hang:session-dir:undo web mute # never reached: only for the setting
wait "$FAULT_PID" && fail "the backup succeeded"
assert_match "$(cat "$SANDBOX/stderr")" 'virsh domfsthaw web' "the remedy is named"
frozen_in_guest || fail "the guest is not frozen: nothing was proved"
poll 20 _drive_past mute "$(_drive_last mute)"
note "stuck: $(tail -n 1 "$SANDBOX/stderr" | cut -c 1-200)"
mode good
poll 60 thawed # by the watchdog, which goes on trying
after
note "thawed when the agent came round"

# ---- it dies while the guest is frozen; the real one comes later than its time limit. Where it dies while the backup job begins,
# libvirt sees it only after the job's end, which must not take 30 s (75-lost-agent.sh: where it does).
mortal() {
    before
    fails "$1" 'web' --agent-timeout 5
    poll 90 _no_kvss
    poll 30 guest_agent web guest-ping
    assert_eq "$(guest_agent web guest-fsfreeze-status)" '{"return":"thawed"}' "the guest"
    fake_start web
    after
}
mortal vanishes
if [ -n "${KVSS_TEST_FULL:-}" ]; then
    mortal dies
    fails reboots 'web' --agent-timeout 3
    poll 60 _no_kvss
    guest_wait web 120
    guest_bootid web > "$SANDBOX/web.boot"
    poll 30 guest_agent web guest-ping
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
    poll 30 _drive_past web "$(_drive_last web)"
else
    guest_sh web 'killall run; agentctl start'
    poll 30 guest_agent web guest-ping
fi
assert_recovers web mute off
assert_report_vm web .method child-vm-snapshot
note "done"
