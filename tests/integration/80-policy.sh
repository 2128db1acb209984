#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is done with a VM whose guest cannot be quiesced: known beforehand, or found out at the instant, when all is put back and the
# whole set begins anew with that VM saved, or fails, per run and per VM; and what passes by itself is tried again. Told in the report
# and in the restore point. B1, B3, M10; behaviours 26, 32.
# timeout: 1200
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_conditions.sh
. "$(dirname "$0")/../lib/functions_conditions.sh"

kvss_setup
guest_define one tokens=driven
guest_define two tokens=driven words=kvss.hook=yes
guest_start one
guest_start two
guest_wait one
guest_wait two
token_drive one two
boot=$(guest_bootid two)
lifecycle_start

# assert_fell_back TEXT: two was saved in a second attempt for that reason, one was frozen, both of one instant; the point says so
assert_fell_back() {
    assert_report_vm one .method child-vm-snapshot
    assert_report_vm one .not_quiesced null
    assert_report_vm two .method saved-state
    assert_report_vm two .consistency saved-state
    assert_match "$(report_vm two .not_quiesced)" "$1" "why two was not quiesced"
    assert_match "$(report_vm two .why)" "$1" "why two was saved"
    assert_report_vm two .policy.fallback saved-state
    assert_eq "$(report '[.attempts[].vms | join(" ")] | join("; ")')" two "whom the attempts failed for"
    assert_eq "$(report_vm one .instant | cut -c 1-18)" "$(report_vm two .instant | cut -c 1-18)" "instants, but for some seconds"
    cp "$REPORT" "$SANDBOX/backup.json"
    kvss_json show "$POINT"
    diff <(jq -S '.vms, .attempts' "$SANDBOX/backup.json") <(jq -S '.vms, .attempts' "$REPORT") >&2 || fail "the point says something else"
    assert_match "$(report '.details[] | select(.vm == "two") | .not_quiesced')" "$1" "what the point records"
    assert_match "$(kvss show "$POINT")" "attempt 1 failed.*$1" "kvss show, for people"
    assert_tokens_flow
    assert_eq "$(guest_bootid two)" "$boot" "boot id of two"
}

# ---- known beforehand: nothing is touched
guest_sh two agentctl stop
poll 10 _agent_gone two
assert_refuses two 'fallback fail: the guest cannot be quiesced: integration-service' --fallback fail
kvss_fails "$EXIT_REFUSED" check two --fallback fail
kvss_json check two
assert_report_vm two .method saved-state
assert_report_vm two .agent not-connected
virsh -q suspend two # stands still, so there is nothing to quiesce
kvss_json check two --fallback fail
virsh -q resume two
guest_sh two agentctl start
poll 20 guest_agent two guest-ping
note "known beforehand"

# ---- the agent stops after it was asked: before the VM writer prepares, which reads the disk right after its question ...
hang="'$(guestctl_path)' sh '$(guest_port two shell)' 'agentctl hang'"
before_export() {
    # shellcheck disable=SC1091 # what between() wrote
    case $(readlink "/proc/$1"/fd/*) in *two*) mkdir "$SANDBOX/asked" 2> /dev/null && . "$SANDBOX/between" ;; esac
}
tool_watch qemu-nbd before_export
between() { # WHAT COMMAND [ARG...]: with WHAT done in between
    echo "$1" > "$SANDBOX/between"
    PATH=$SANDBOX/bin:$PATH "${@:2}"
    [ -d "$SANDBOX/asked" ] || fail "two was left alone"
    rmdir "$SANDBOX/asked"
}
hung() { # COMMAND [ARG...]: with the agent of two hung in between; it goes on afterwards
    between "$hang" "$@"
    guest_sh two 'agentctl resume'
    poll 30 guest_agent two guest-ping
}
hung backup one two --agent-timeout 10 --fallback saved-state --retries 0
assert_fell_back 'integration-service: the guest agent does not answer'
facts_before one two
hung kvss_fails "$EXIT_FAILED" backup one two --agent-timeout 10 --fallback fail --retries 0
assert_match "$(cat "$SANDBOX/stderr")" 'two: the guest can no longer be quiesced: integration-service' "the reason"
assert_facts_same
note "the agent hung before anything was touched: saved instead"

# ---- ... or between that and the freeze (or while it is asked: writers prepare side by side)
at_the_instant() {
    writer_install saboteur <<END
[ "\$event" != prepare-backup ] || $hang
END
    backup one two --agent-timeout 10 --fallback saved-state --retries 0
    rm "$WRITERS/saboteur"
    guest_sh two 'agentctl resume'
    poll 30 guest_agent two guest-ping
    assert_fell_back 'd(id|oes) not answer'
    note "the agent hung at the instant: saved instead"
}
[ -z "${KVSS_TEST_FULL:-}" ] || at_the_instant

# ---- the guest's hook refuses
guest_sh two "printf '#!/bin/sh\n[ \$1 != freeze ] || exit 1\n' > /etc/qemu/fsfreeze-hook.d/no && chmod +x /etc/qemu/fsfreeze-hook.d/no"
facts_before one two
assert_all_or_nothing two 'cannot freeze the file systems'
backup one two --fallback saved-state
assert_fell_back 'cannot freeze the file systems'
facts_before one two
assert_all_or_nothing two 'cannot freeze the file systems' --fallback fail
if [ -n "${KVSS_TEST_FULL:-}" ]; then
    assert_all_or_nothing two 'cannot freeze the file systems' --require file-system
    assert_all_or_nothing two 'cannot freeze the file systems' --method child
fi
# per VM, by kvss.conf; and an option goes before it
printf '[vm two]\nfallback = fail\n' > /etc/kvss/kvss.conf
if [ -n "${KVSS_TEST_FULL:-}" ]; then
    assert_all_or_nothing two 'cannot freeze the file systems'
    backup one two --fallback saved-state
    assert_report_vm two .method saved-state
fi
kvss_fails "$EXIT_FAILED" backup two --retries 1 # the section counts; a hook that refuses is final
printf '[vm %s]\nmethod = saved-state\nrequire = saved-state\n' "$(virsh -q domuuid two)" > /etc/kvss/kvss.conf
backup one two
assert_report_vm two .method saved-state
assert_report_vm two .not_quiesced null
assert_report_vm two '.policy | .method + " " + .require' "saved-state saved-state"
assert_report_vm one .method child-vm-snapshot
rm /etc/kvss/kvss.conf
guest_sh two 'rm /etc/qemu/fsfreeze-hook.d/no'
note "per VM"

# ---- another program's freeze came in between: that passes by itself, and is not kvss's to thaw. Before the VM writer prepares ...
writer_install saboteur <<< '[ "$event" != abort ] || virsh -q -c qemu:///system domfsthaw two'
between 'virsh -q -c qemu:///system domfsfreeze two >&2' backup one two --fallback fail --retries 2
rm "$WRITERS/saboteur"
assert_report_vm two .method child-vm-snapshot
assert_eq "$(report '[.attempts[] | .vms | length] | join(" ")')" 0 "attempts that failed, and VMs that had to be saved"
assert_match "$(report '.attempts[0].why')" 'two: the guest can no longer be quiesced: integration-service.*frozen' "why it was tried again"

[ -n "${KVSS_TEST_FULL:-}" ] || exit 0
# ---- ... or between that and the freeze
writer_install saboteur <<END
case \$event in
prepare-backup) [ -e $SANDBOX/once ] || virsh -q -c qemu:///system domfsfreeze two ;;
abort)
    [ -e $SANDBOX/once ] || virsh -q -c qemu:///system qemu-agent-command two '{"execute":"guest-fsfreeze-status"}' > $SANDBOX/once
    virsh -q -c qemu:///system domfsthaw two
    ;;
esac
END
facts_before one two
assert_all_or_nothing two 'frozen by another program' --fallback fail
rm "$SANDBOX/once"
backup one two --fallback fail --retries 2
rm "$WRITERS/saboteur"
assert_match "$(cat "$SANDBOX/once")" frozen "the other program's freeze"
assert_report_vm two .method child-vm-snapshot
assert_eq "$(report '.attempts | length')" 1 "attempts that failed"
assert_eq "$(report '.attempts[0].vms | length')" 0 "VMs that had to be saved"
assert_match "$(report '.attempts[0].why')" 'another program' "why it was tried again"
assert_eq "$(report '.attempts[0].hresult')" 0x800423f3 "why it was tried again: retryable"
assert_match "$(cat "$SANDBOX/stderr")" 'retrying \(1 of 2\)' "the warning"
kvss verify > /dev/null
