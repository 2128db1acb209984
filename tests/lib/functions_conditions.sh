# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_conditions.sh: what must be seen of a VM that meets the conditions of Child VM Snapshot (M4), or not.

EXTRA=() # options for every command below

_agent_gone() { ! guest_agent "$1" guest-ping; }

# assert_refuses NAME TEXT OPTION...: the backup is refused, says so, and nothing whatsoever happens to the VM
assert_refuses() {
    local name=$1 text=$2 points before=''
    shift 2
    points=$(point_count)
    before=$(lifecycle "$name")
    kvss_fails "$EXIT_REFUSED" backup "$name" "${EXTRA[@]}" "$@"
    assert_match "$OUTPUT" "$name" "message of kvss backup $*"
    assert_match "$OUTPUT" "$text" "message of kvss backup $*"
    assert_eq "$(lifecycle "$name")" "$before" "what kvss backup $* did to $name"
    assert_points "$points"
}

# assert_child NAME: check and backup use Child VM Snapshot, all five conditions hold
assert_child() {
    kvss_json check "$1" "${EXTRA[@]}"
    assert_report_vm "$1" .method child-vm-snapshot
    assert_report_vm "$1" '[.conditions[] | select(.ok) | .clause] | join(" ")' "M4a M4b M4c M4d M4e"
    backup "$1" "${EXTRA[@]}"
    assert_report_vm "$1" .method child-vm-snapshot
    assert_report_vm "$1" .consistency file-system
    note "$1: child, frozen for $(report_vm "$1" .frozen_ms) ms"
}

# assert_broken NAME CLAUSE TEXT: exactly that condition is broken and named with the text; refused where more is asked for; the
# backup is a Saved State one, and the VM is as before
assert_broken() {
    local name=$1 state why condition
    state=$(vm_state "$name")
    kvss_json check "$name" "${EXTRA[@]}"
    assert_report_vm "$name" .method saved-state
    assert_report_vm "$name" '[.conditions[] | select(.ok == false) | .clause] | join(" ")' "$2"
    why=$(report_vm "$name" '.conditions[] | select(.ok == false) | .why')
    assert_match "$why" "$3" "reason of $2"
    condition=$(report_vm "$name" '.conditions[] | select(.ok == false) | .name')
    facts_before "$name"
    assert_refuses "$name" "$condition" --require application
    assert_refuses "$name" "$condition" --require file-system
    assert_refuses "$name" "$condition" --method child
    assert_facts_same
    backup "$name" "${EXTRA[@]}"
    assert_report_vm "$name" .method saved-state
    assert_report_vm "$name" .consistency saved-state
    assert_match "$(report_vm "$name" .why)" "$condition" "why of the backup"
    assert_state "$name" "$state"
    note "$name: $2: $why"
}
