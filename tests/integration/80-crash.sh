#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Points in time of the disks alone, for those who want no freeze and no memory: only on request, by method, fallback or kvss.conf; said
# plainly, and refused where more is asked for. All disks are of one instant all the same: to a single VM nothing happens, several are paused
# while their points are taken. M1, B1, B3.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_conditions.sh
. "$(dirname "$0")/../lib/functions_conditions.sh"

kvss_setup
guest_define web disks=2 tokens=driven words=kvss.hook=yes
guest_define mute disks=2 tokens=driven agent=no
guest_start web
guest_start mute
guest_wait web
guest_wait mute
TOKEN_PAUSE_MS=$TOKENS_OFTEN token_drive web mute
poll 20 _token_past 20
boot=$(guest_bootid web)
lifecycle_start
guest_sh web ': > /run/kvss/hook.log'

# ---- by method: to one VM nothing happens
assert_refuses mute 'crash' --method crash --require saved-state
kvss_json check mute --method crash
assert_report_vm mute .method crash
assert_report_vm mute .level crash
backup web --method crash
assert_report_vm web .down_ms 0
assert_untouched web mute
assert_match "$(kvss show "$POINT")" 'crash consistent.*guest paused: not at all' "kvss show, for people"

# ---- several are paused until the points of all have been taken
before=$(token_acked)
backup web mute --method crash
after=$(token_acked)
for vm in web mute; do
    assert_report_vm $vm .method crash
    assert_report_vm $vm .consistency crash
    assert_report_vm $vm .why 'crash consistency was requested'
    assert_report_vm $vm .frozen_ms null
    assert_report_vm $vm '.down_ms > 0' true
    note "$vm: paused for $(report_vm $vm .down_ms) ms"
    assert_match "$(lifecycle $vm | tr '\n' ' ')" 'Suspended.*Resumed' "what happened to $vm"
    assert_report_vm $vm .policy.method crash
done
assert_eq "$(guest_sh web cat /run/kvss/hook.log)" "" "what the guest's agent was told"
crashed=$POINT
assert_match "$(kvss show "$POINT")" 'crash consistent' "kvss show, for people"
kvss_json show "$POINT"
assert_eq "$(report '[.details[] | .parts[].name] | unique | join(" ")')" "definition definition-live" "parts: no memory"
note "by method"

# ---- what is paused runs again though kvss is killed or fails
points=$(kvss list points --json | jq '.points | length')
both_run() { [ "$(vm_state web) $(vm_state mute)" = "running running" ] && [ -z "$(pgrep -x kvss)" ]; }
faults="kill"
[ -z "${KVSS_TEST_FULL:-}" ] || faults="kill fail"
for fault in $faults; do
    (KVSS_TEST_FAULT=$fault:pause-vm:done "$KVSS" backup web mute --method crash > /dev/null 2>&1) && fail "$fault: there is a backup"
    poll 60 both_run
    assert_tokens_flow
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
    assert_points "$points"
done
note "killed and failed while they were paused"

# ---- an increment, by kvss.conf of one VM
printf '[vm mute]\nmethod = crash\n' > /etc/kvss/kvss.conf
backup web mute
assert_report_vm web .method child-vm-snapshot
assert_report_vm mute .method crash
assert_report_vm mute .type incremental
rm /etc/kvss/kvss.conf
note "by kvss.conf"

# ---- by fallback, known beforehand; never unless asked for
assert_refuses mute 'integration-service' --fallback crash --require saved-state
backup web mute --fallback crash
assert_report_vm web .method child-vm-snapshot
assert_report_vm mute .method crash
assert_match "$(report_vm mute .why)" 'integration-service' "why of mute"
kvss_json check mute
assert_report_vm mute .method saved-state
virsh -q suspend mute # stands still: to be saved costs it nothing
kvss_json check mute --fallback crash
assert_report_vm mute .method saved-state
virsh -q resume mute

# ---- ... and found out at the instant
guest_sh web "printf '#!/bin/sh\n[ \$1 != freeze ] || exit 1\n' > /etc/qemu/fsfreeze-hook.d/no && chmod +x /etc/qemu/fsfreeze-hook.d/no"
backup web --fallback crash
assert_report_vm web .method crash
assert_match "$(report_vm web .not_quiesced)" 'cannot freeze the file systems' "why web was not quiesced"
assert_match "$(cat "$SANDBOX/stderr")" 'retrying with crash consistency for web' "the warning"
assert_match "$(kvss show "$POINT")" 'restarted with this VM left running' "kvss show, for people"
assert_tokens_flow
assert_eq "$(guest_bootid web)" "$boot" "boot id of web"
note "by fallback"

# ---- restored: they boot as after a power failure, and all disks are of the one instant
token_drive_stop
destroy_vm web mute
kvss_json restore --yes "$crashed" web mute
guest_wait web
guest_wait mute
web=$(guest_tokens web) mute=$(guest_tokens mute)
assert_set_order "$web" "$mute"
assert_ge "$(field b "$mute")" "$before" "last token of mute"
assert_le "$(field a "$web")" "$after" "last token of web"
assert_ne "$(guest_bootid web)" "$boot" "boot id of web"
note "restored"
