#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# live-state, and what may happen while a VM's memory is written (B2, B8): kvss, its watchdog, or both are killed at each step; the disk is
# full, or hangs; the guest is reset or turned off; libvirtd is restarted. Each time the guest runs on (if it was let), writes, nothing is
# being written by QEMU, its capability is off, there is no restore point and nothing is left; a managed save and a start then do what they
# should. With KVSS_TEST_FULL=1 every step and each of these, else some.
# timeout: 3600
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_fault.sh
. "$(dirname "$0")/../lib/functions_fault.sh"
# shellcheck source=tests/lib/functions_live.sh
. "$(dirname "$0")/../lib/functions_live.sh"

SAVE=/var/lib/libvirt/qemu/save
grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"
live_allow
kvss_setup
for vm in web mute; do
    guest_define $vm tokens=driven agent=no
    guest_start $vm
done
for vm in web mute; do
    guest_wait $vm
    _drive $vm
    guest_bootid $vm > "$SANDBOX/$vm.boot"
done
backup web mute --method live-state
note "guests are up"

# assert_over: nothing is left of a session, and both guests run on as before
assert_over() {
    local vm
    poll 60 _no_kvss
    assert_live_over web mute
    for vm in web mute; do
        poll 20 _drive_past $vm "$(_drive_last $vm)"
        assert_eq "$(guest_bootid $vm)" "$(cat "$SANDBOX/$vm.boot")" "boot id of $vm"
    done
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
    assert_eq "$(find $SAVE -name '.kvss-*')" "" "memories left"
    assert_eq "$(_points)" "$POINTS" "restore points"
}

# cell ACTION VERB WHEN: a backup of both in which that happens
cell() {
    local status=0
    POINTS=$(_points)
    fault_backup "$1:$2:$3" web mute --method live-state
    wait "$FAULT_PID" || status=$?
    fault_happened || fail "the step $3 $2 was not reached (status $status): $(cat "$SANDBOX/stderr")"
    [[ $status =~ ^$(_wanted_status "$1" "$3" "$2")$ ]] || fail "$*: status $status: $(cat "$SANDBOX/stderr")"
    if [ "$1" = killall ]; then kvss recover > "$SANDBOX/recover" 2>&1 || fail "recover: $(cat "$SANDBOX/recover")"; fi
    [ "$1" != killdog ] || POINTS=$(_points) # only who would have helped was killed
    assert_over
    note "$*"
}

# meanwhile COMMAND...: a backup that stops at the step $STEP while the command is run, and then goes on
STEP=live-arm:begin
meanwhile() {
    POINTS=$(_points)
    fault_backup "wait:$STEP" "${VMS[@]}" --method live-state
    poll 60 fault_happened
    "$@"
    touch "$FAULT_LOG.go"
}
fails_then() { # REASON
    local status=0
    wait "$FAULT_PID" || status=$?
    [ $status = 1 ] || fail "status $status: $(cat "$SANDBOX/stderr")"
    assert_match "$(cat "$SANDBOX/stderr")" "$1" "why it failed"
}
VMS=(web mute)

# ---- killed at each step
steps="live-memory:done live-arm:done pause-vm:done"
[ -z "${KVSS_TEST_FULL:-}" ] || steps+=" live-memory:begin live-arm:begin part-file:begin part-file:done pause-vm:begin pause-vm:settled pause-vm:after live-memory:settled live-memory:after backup-job:begin backup-job:done"
for step in $steps; do
    actions="kill"
    case $step in live-arm:done) actions="killall" ;; esac
    [ -z "${KVSS_TEST_FULL:-}" ] || actions="kill killall killdog fail"
    for action in $actions; do
        case $action:$step in fail:*:settled | fail:*:after) continue ;; esac
        cell "$action" "${step%:*}" "${step#*:}"
    done
done
assert_saves_and_starts mute
guest_bootid mute > "$SANDBOX/mute.boot"

# ---- kvss, its watchdog and who keeps its connections die at once, in the middle of the stream: QEMU (7.2) hangs then, with its guest
all_at_once() {
    POINTS=$(_points)
    broken() { grep -c 'Broken pipe' /var/log/libvirt/qemu/mute.log || :; }
    for _ in 1 2 3 4; do # until it was in the middle
        fault_backup hang:live-memory:done mute --method live-state
        poll 60 fault_happened
        mapfile -t helpers < <(pgrep -f "$KVSS.* (watchdog|keeper)")
        kill -9 "$FAULT_PID" "${helpers[@]}"
        wait "$FAULT_PID" 2> /dev/null || :
        kvss recover > "$SANDBOX/recover" 2>&1 || fail "recover: $(cat "$SANDBOX/recover")"
        assert_over
        [ "$(broken)" = 0 ] || break
    done
    assert_saves_and_starts mute
    guest_bootid mute > "$SANDBOX/mute.boot"
    note "all killed at once: $(broken) streams broke"
}
[ -z "${KVSS_TEST_FULL:-}" ] || all_at_once

# ---- the capability was left on, and no journal knows of it any more: the mark does
qmp mute migrate-set-capabilities '{"capabilities":[{"capability":"background-snapshot","state":true}]}' > /dev/null
assert_eq "$(live_capability mute)" on "background-snapshot of mute"
backup mute
assert_report_vm mute .method saved-state
assert_state mute running
assert_counts mute
note "left on"

# ---- somebody lets a VM run that kvss has paused: its memory would be of later than its disks
resumes() { virsh -q resume mute > /dev/null; }
if [ -n "${KVSS_TEST_FULL:-}" ]; then
    VMS=(mute)
    meanwhile resumes
    fails_then 'VM mute: someone else has changed its state \(it is running now\): run the backup again'
    assert_over
    VMS=(web mute)
    note "resumed by somebody else"
fi

# ---- the disk that the memory is written to hangs
truncate -s 600M "$SANDBOX/small.img"
mkfs.ext4 -q "$SANDBOX/small.img"
mount -o loop "$SANDBOX/small.img" $SAVE
cleanup_fn sh -c "(fsfreeze -u $SAVE; umount -l $SAVE) 2> /dev/null"
chmod 750 $SAVE
chown libvirt-qemu:libvirt-qemu $SAVE
hangs() { fsfreeze -f $SAVE; }
meanwhile hangs
began=$SECONDS
off_and_runs() { [ "$(vm_state mute) $(vm_state web) $(live_capability mute) $(live_capability web)" = "running running off off" ]; }
sleep 2 # until both have begun
poll 40 off_and_runs
note "hung disk: guests run, the capability is off after $((SECONDS - began)) s"
for vm in web mute; do assert_counts $vm; done
fsfreeze -u $SAVE
fails_then 'nothing of its memory could be written'
assert_over

# ---- ... or is full
fill() { fallocate -l "$(($(df --output=avail -m $SAVE | tail -n 1) - 70))M" "$SAVE/filler"; } # less is left soon than others need
meanwhile fill
fails_then 'cannot write its memory'
rm $SAVE/filler
assert_over
umount -l $SAVE
note "full disk"

# ---- the undo of an older session comes about while a VM's memory is written: it leaves that alone, and is tried again later
STEP=live-memory:done VMS=(mute)
older() {
    local dir=/var/lib/kvss/sessions id older
    id=$(basename "$(find $dir -mindepth 1 -maxdepth 1 -type d)")
    older=$dir/${id:0:-4}0000
    mkdir -m 700 "$older"
    touch "$older/lock"
    grep -m 1 '"live-memory"' "$dir/$id/effects" | sed 's/^{"effect":[0-9]*/{"effect":1/' > "$older/effects"
    ! kvss recover > "$SANDBOX/recover" 2>&1 || fail "recover has undone it: $(cat "$SANDBOX/recover")"
    assert_match "$(cat "$SANDBOX/recover")" 'its memory is being written by another session' "why nothing was undone"
}
meanwhile older
wait "$FAULT_PID" || fail "beside an undo: $(cat "$SANDBOX/stderr")"
kvss verify "$(report .point)" > /dev/null
kvss recover > "$SANDBOX/recover" 2>&1 || fail "recover: $(cat "$SANDBOX/recover")"
POINTS=$(_points)
assert_over
note "older session"

# ---- somebody else turns the guest off, or resets it; its QEMU dies; libvirtd is restarted
off() { virsh -q destroy mute > /dev/null; }
dies() { kill -9 "$(cat /run/libvirt/qemu/mute.pid)"; }
ends=off
[ -z "${KVSS_TEST_FULL:-}" ] || ends+=" dies"
for end in $ends; do
    meanwhile "$end"
    fails_then 'mute|stopped responding' # a busy host is slow to end it, and the session stands still for this test meanwhile
    poll 60 _no_kvss
    assert_state mute "shut off"
    assert_live_over web
    guest_start mute
    guest_wait mute
    guest_bootid mute > "$SANDBOX/mute.boot"
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
    note "the guest ended: $end"
done

if [ -n "${KVSS_TEST_FULL:-}" ]; then
    reset() { virsh -q reset mute; }
    meanwhile reset
    wait "$FAULT_PID" || fail "after a reset: $(cat "$SANDBOX/stderr")"
    guest_wait mute
    guest_bootid mute > "$SANDBOX/mute.boot"
    POINTS=$(_points)
    assert_over
    note "reset"

    meanwhile libvirtd_restart KILL
    wait "$FAULT_PID" || :
    poll 60 _no_kvss
    kvss recover > "$SANDBOX/recover" 2>&1 || fail "recover: $(cat "$SANDBOX/recover")"
    POINTS=$(_points)
    assert_over
    note "libvirtd restarted"
fi
assert_saves_and_starts web mute
