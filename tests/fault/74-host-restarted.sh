#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The host goes down in the middle of a backup and comes up again (B2, behaviour 29; unit kvss-recover.service): kvss, its watchdog,
# libvirtd and all QEMUs are killed, and the kernel is another one. `kvss recover` says in words what it has done. A VM that ran is
# off, as after any crash, and is not started; one that the backup had saved is brought back from its saved state, with its memory.
# In `make test` 70-matrix has kvss and its watchdog killed, 87-recover-unit the unit that recovers then.
# only: full
# timeout: 1200
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_fault.sh
. "$(dirname "$0")/../lib/functions_fault.sh"

# crash WHEN VERB VM...: the host goes down at that step
crash() {
    local pids pid status=0
    fault_backup "killall:$2:$1" "${@:3}"
    wait "$FAULT_PID" || status=$?
    assert_eq "$status" 137 "status"
    pkill -KILL -x kvss || : # what else lives of it
    pids=$(awk 1 /run/libvirtd.pid /run/virtlogd.pid /run/libvirt/qemu/*.pid) # the files end without a newline
    # shellcheck disable=SC2086 # a list
    kill -KILL $pids
    for pid in $pids; do while kill -0 "$pid" 2> /dev/null; do sleep 0.05; done; done
    rm -rf /run/libvirt /run/libvirtd.pid /run/virtlogd.pid /run/kvss # /run is empty at boot
    cat /proc/sys/kernel/random/uuid > "$SANDBOX/bootid"
    mount --bind "$SANDBOX/bootid" /proc/sys/kernel/random/boot_id
    virtlogd --daemon --pid-file /run/virtlogd.pid
    libvirtd --daemon --pid-file /run/libvirtd.pid
    poll 20 virsh -q uri
    [ -n "$(ls /var/lib/kvss/sessions)" ] || fail "no session was left: nothing was proved"
}
# recovered TEXT...: says each of these
recovered() {
    local text
    kvss recover > "$SANDBOX/recover" 2>&1 || fail "recover: $(cat "$SANDBOX/recover")"
    for text; do assert_match "$(cat "$SANDBOX/recover")" "$text" "what recover says"; done
    sed 's/^/        /' "$SANDBOX/recover"
    assert_match "$(kvss recover)" 'Nothing to recover' "a second recover"
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
    assert_eq "$(ls /var/lib/kvss/sessions)" "" "sessions left"
    assert_eq "$(find /var/lib/libvirt/qemu/save -name '.kvss-*')" "" "saved states left"
}

fault_setup
note "guests are up"

# ---- web frozen with its job; nothing of it is left but the disks
crash "done" backup-job web off
recovered 'VM web: its guest is not frozen' 'VM web: its backup job has ended' 'VM web: its checkpoint is deleted \(kvss-' 'removed \(.*scratch'
assert_state web "shut off"
assert_state mute "shut off"
guest_start mute
guest_wait mute
guest_bootid mute > "$SANDBOX/mute.boot"
note "frozen with a job"

# ---- mute saved: it is brought back, and its guest does not know
crash "done" save-vm mute off
assert_state mute "shut off, saved"
recovered 'VM mute: it is not in a saved state'
assert_state mute running
assert_eq "$(guest_bootid mute)" "$(cat "$SANDBOX/mute.boot")" "boot id of mute"
poll 30 _drive_past mute "$(_drive_last mute)"
note "saved"

# ---- mute paused: its memory is lost
crash "done" pause-vm mute
recovered 'VM mute: it is not paused'
assert_state mute "shut off"
note "paused"

for vm in web mute; do guest_start $vm; done
for vm in web mute; do guest_wait $vm; done
LOCKS=/nonexistent assert_recovers web mute off
