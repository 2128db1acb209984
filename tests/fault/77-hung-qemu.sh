#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A QEMU that hangs in the middle of a backup (B2, M10): the command ends by itself, or soon after the first signal, says which VM it was, and
# has put back all others; when QEMU goes on, that VM is put back too, by the watchdog or by kvss recover, though what libvirt was asked for
# has come about late. A QEMU that is slow but works does not count as hung. With KVSS_TEST_FULL=1 at more steps.
# timeout: 2400
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_fault.sh
. "$(dirname "$0")/../lib/functions_fault.sh"

SILENT='QEMU does not respond|interrupted|cannot freeze|freeze limit expired'
STOPPED=

stop_qemu() {
    STOPPED=$(cat "/run/libvirt/qemu/$1.pid")
    kill -STOP "$STOPPED"
}
go_on() { [ -z "$STOPPED" ] || kill -CONT "$STOPPED" 2> /dev/null || :; }
cleanup_fn go_on

_begin() { # starts to watch a cell
    _fault_facts web mute off > "$SANDBOX/facts.fault"
    points=$(_points)
}

# ends WITHIN SIGNAL WHAT: the command, which runs, gets the signal (-: none) and ends in so many seconds, without a restore point;
# $STATUS
ends() {
    local began=$SECONDS
    if [ "$2" != - ]; then
        sleep 3
        kill "-$2" "$FAULT_PID"
    fi
    poll "$1" _fault_ended
    STATUS=0
    wait "$FAULT_PID" || STATUS=$?
    note "$3, signal $2: status $STATUS after $((SECONDS - began)) s: $(tail -n 1 "$SANDBOX/stderr" | cut -c 1-200)"
    assert_eq "$(_points)" "$points" "restore points"
    [ "$2" = KILL ] || assert_match "$(cat "$SANDBOX/stderr")" "$SILENT" "what it says"
}

# hang_at WHEN VERB HUNG SIGNAL VM...: the QEMU of HUNG hangs from that step on
hang_at() {
    local hung=$3
    _begin
    fault_backup "wait:$2:$1" "${@:5}"
    poll 90 _fault_or_end
    fault_happened || fail "the step was not reached: $(cat "$SANDBOX/stderr")"
    stop_qemu "$hung"
    touch "$FAULT_LOG.go"
    ends 75 "$4" "$hung hangs at $1 $2"
    if [ "$hung" = mute ] && [[ " ${*:5} " == *" web "* ]]; then
        poll 10 web_lives
    fi
    if [ -n "${RECOVER:-}" ]; then
        timeout 90 "$KVSS" recover > "$SANDBOX/recover" 2>&1 && fail "kvss recover succeeds: $(cat "$SANDBOX/recover")"
        assert_match "$(cat "$SANDBOX/recover")" "$hung: QEMU does not respond|undoing its changes" "what kvss recover says"
        note "kvss recover: $(tail -n 1 "$SANDBOX/recover" | cut -c 1-150)"
    fi
    go_on
    poll 90 _no_kvss
    FACTS_FILTER='/^@ checkpoints/,/^@ snapshots/d' assert_unharmed
    assert_recovers "${@:5}"
}
web_lives() { [ "$(vm_state web)" = running ] && guest_agent web guest-ping > /dev/null && [ -z "$(_left_frozen web 2> /dev/null)" ]; }

# hang_reading HUNG SIGNAL AFTER: while its disks are read
hang_reading() {
    _begin
    setsid env --default-signal=INT "$KVSS" backup "$1" --json --type full --bwlimit 1M > "$REPORT" 2> "$SANDBOX/stderr" &
    FAULT_PID=$!
    poll 60 reading "$1"
    sleep "$3" # it connects, greets, or reads
    stop_qemu "$1"
    ends 110 "$2" "$1 hangs while it is read"
    go_on
    poll 90 _no_kvss
    FACTS_FILTER='/^@ checkpoints/,/^@ snapshots/d' assert_unharmed
    assert_recovers "$1"
}
# slow_start DOES: mute's next start from its saved state takes 75 s in which the process of its QEMU does that; then it goes on
slow_start() {
    cat > "$SANDBOX/emulator" <<END
#!/bin/bash
end=\$((SECONDS + 75))
case "\$*" in
*" -incoming "*) while [ \$SECONDS -lt \$end ]; do $1; done ;;
esac
exec /usr/bin/qemu-system-x86_64 "\$@"
END
    chmod 755 "$SANDBOX/emulator"
    virsh -q destroy mute
    virsh dumpxml --inactive mute | sed "s|<emulator>.*</emulator>|<emulator>$SANDBOX/emulator</emulator>|" > "$SANDBOX/slow.xml"
    virsh -q define "$SANDBOX/slow.xml" > /dev/null
    guest_start mute
    guest_wait mute
}
# slow_hook DOES: before mute's next start a hook of libvirt's takes 75 s in which it does that
slow_hook() {
    mkdir -p /etc/libvirt/hooks
    cat > /etc/libvirt/hooks/qemu <<END
#!/bin/bash
end=\$((SECONDS + 75))
case "\$1 \$2" in
"mute prepare") rm "$SANDBOX/slow" 2> /dev/null && while [ \$SECONDS -lt \$end ]; do $1; done ;;
esac
exit 0
END
    chmod 755 /etc/libvirt/hooks/qemu
    libvirtd_restart
    touch "$SANDBOX/slow"
}
reading() { _fault_ended || virsh domjobinfo "$1" 2> /dev/null | grep -q 'Operation: *Backup'; }

fault_setup
note "guests are up"
FREEZE_LIMIT=50 # longer than QEMU has to answer
hang_at begin pause-vm mute - web mute
hang_reading web INT 1
if [ -n "${KVSS_TEST_FULL:-}" ]; then
    hang_at "done" pause-vm mute INT mute
    hang_reading web - 1
    hang_reading web TERM 0.2
    hang_reading web KILL 0.3
    hang_reading web KILL 0.4
    hang_at "done" pause-vm mute - web mute
    hang_at begin pause-vm mute TERM web mute
    hang_at begin backup-job web - web mute
    hang_at begin backup-job web TERM web
    FREEZE_LIMIT=4
    RECOVER=yes hang_at begin pause-vm mute - web mute
    hang_at "done" freeze-guest web - web mute
    hang_at begin backup-job web - web mute

    # ---- slow is not hung: a QEMU that works is waited for beyond the minute that a start has; one that stands still is not
    slow_start :
    backup mute
    note "a QEMU that took 75 s to start was waited for"
    slow_hook :
    backup mute
    note "and so was a hook that took as long before it"
    rm /etc/libvirt/hooks/qemu
    slow_start 'sleep 1'
    kvss_fails "$EXIT_FAILED" backup mute
    assert_match "$OUTPUT" 'VM mute: cannot start it from its saved state: .*QEMU does not respond' "what it says"
    poll 90 _no_kvss
    assert_state mute running
    note "and one that stood still as long was left to the watchdog"
fi
longest=$(fault_frozen_longest)
note "frozen longest: $((longest * 10)) ms"
