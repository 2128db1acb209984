#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What happens around a backup while it goes on (B2, M10; behaviours 24, 29): libvirtd is restarted, a VM's QEMU is killed, its guest
# shuts down, VMs are undefined or renamed; each at a step where the backup is stopped for it. The event itself is all that is
# different after it; the other VMs are as before, nothing is left, and the next backup works. With KVSS_TEST_FULL=1 at more steps.
# timeout: 1800
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_fault.sh
. "$(dirname "$0")/../lib/functions_fault.sh"

# at WHEN VERB VM...: starts a backup and stops it there
at() {
    points=$(_points)
    fault_backup "wait:$2:$1" "${@:3}"
    poll 90 _fault_or_end
    fault_happened || fail "the step was not reached: $(cat "$SANDBOX/stderr")"
}
# goes_on WHAT: lets it go; $STATUS
goes_on() {
    STATUS=0
    touch "$FAULT_LOG.go"
    wait "$FAULT_PID" || STATUS=$?
    poll 90 _no_kvss
    note "$1: status $STATUS: $(tail -n 1 "$SANDBOX/stderr" | cut -c 1-160)"
}
fails() {
    assert_eq "$STATUS" "$EXIT_FAILED" "status"
    assert_eq "$(_points)" "$points" "restore points"
}

# All disks are read when the job is undone: then there is a restore point and no failure, or a failure and none, whichever the end of
# QEMU is noticed in. Before that the backup fails and names the VM.
ends_at() { # WHEN VM
    if [ "$1" = undo ] && [ "$STATUS" = 0 ]; then
        assert_eq "$(_points)" $((points + 1)) "restore points"
    else
        fails
        assert_match "$(cat "$SANDBOX/stderr")" "$2" "the VM is named"
    fi
}

# The steps; a guest that is frozen at one must be let go in time though libvirtd is away.
libvirtd_at() {
    _fault_facts web mute off > "$SANDBOX/facts.fault"
    at "$@"
    libvirtd_restart
    goes_on "libvirtd restarted at $1 $2"
    [ "$(_points)" != "$points" ] || fails
    [ "$STATUS" = 0 ] || [ "$STATUS" = 1 ] || fail "status $STATUS"
    FACTS_FILTER='/^@ checkpoints/,/^@ snapshots/d' assert_unharmed
    assert_recovers web mute off
}

# web is off after it, by what happened to it
revive() {
    assert_state web "shut off"
    guest_start web
    guest_wait web
    guest_bootid web > "$SANDBOX/web.boot"
    FACTS_FILTER='/^@ checkpoints/,/^@ snapshots/d' assert_unharmed
    assert_recovers web mute off
}
kill_qemu_at() {
    _fault_facts web mute off > "$SANDBOX/facts.fault"
    at "$@"
    kill -KILL "$(cat /run/libvirt/qemu/web.pid)"
    goes_on "QEMU of web killed at $1 $2"
    ends_at "$1" web
    revive
}
# libvirt learns of it up to a minute later if a backup job runs: it first waits 30 s with the news of each channel that has closed
shut_down_at() {
    local pid
    _fault_facts web mute off > "$SANDBOX/facts.fault"
    at "$@"
    pid=$(cat /run/libvirt/qemu/web.pid)
    guest_sh web '(sleep 0.2; shutdown) > /dev/null 2>&1 &'
    poll 30 _ended "$pid"
    goes_on "guest shut down at $1 $2"
    ends_at "$1" web
    revive
}
_ended() { ! kill -0 "$1" 2> /dev/null; }
undefine_at() {
    _fault_facts web mute off > "$SANDBOX/facts.fault"
    definition web > "$SANDBOX/web.defined"
    at "$@"
    virsh -q undefine web --checkpoints-metadata 2> /dev/null || virsh -q undefine web # it runs on, as a transient one
    goes_on "web undefined at $1 $2"
    virsh -q define "$SANDBOX/web.defined" > /dev/null
    FACTS_FILTER='/^@ checkpoints/,/^@ snapshots/d' assert_unharmed
    assert_recovers web mute off
}
rename_at() {
    _fault_facts web mute off > "$SANDBOX/facts.fault"
    at "$@" off
    virsh -q domrename off moved > /dev/null
    goes_on "off renamed at $1 $2"
    virsh -q domrename moved off > /dev/null
    assert_unharmed
    assert_recovers off
}

fault_setup
note "guests are up"
libvirtd_at "done" backup-job web off
rename_at "done" part-file
kill_qemu_at "done" freeze-guest web mute
if [ -n "${KVSS_TEST_FULL:-}" ]; then
    undefine_at undo backup-job web off
    libvirtd_at "done" save-vm mute
    shut_down_at "done" scratch-file web mute
    libvirtd_at "done" freeze-guest web mute
    libvirtd_at "done" pause-vm mute off
    libvirtd_at undo backup-job web mute
    kill_qemu_at "done" scratch-file web mute
    kill_qemu_at "done" backup-job web mute off
    kill_qemu_at undo backup-job web
    shut_down_at "done" backup-job web mute off
    shut_down_at undo backup-job web off
    undefine_at "done" freeze-guest web mute
    rename_at begin part-file
fi
longest=$(fault_frozen_longest)
note "frozen longest: $((longest * 10)) ms (limit $FREEZE_LIMIT s)"
