#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Faults drawn by seed: a writer in the guest fails, hangs, crashes, loses its session, answers late or lies, in any event; and on the host kvss
# is killed, with its watchdog or without, libvirtd restarts, QEMU stops, or the guest's agent is killed. Whatever it was: no restore point is
# wrongly called application consistent, the guest can write again and its writers are released, also without the host, and nothing is left.
# KVSS_CELLS=FROM-TO and KVSS_SEED choose the cells: each is the same in every run with that seed, so a long run can be divided and gone on
# with. 4 of them, or 300 with KVSS_TEST_FULL=1. B2, B3, M2, M10.
# timeout: 7200
# shellcheck disable=SC2016 # the guest expands it
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_fault.sh
. "$(dirname "$0")/../lib/functions_fault.sh"
# shellcheck source=tests/lib/functions_writers.sh
. "$(dirname "$0")/../lib/functions_writers.sh"
grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"

seed=${KVSS_SEED:-13}
cells=${KVSS_CELLS:-1-$([ -n "${KVSS_TEST_FULL:-}" ] && echo 300 || echo 4)}
vss_events=(prepare-backup prepare-snapshot freeze thaw post-snapshot backup-complete backup-shutdown)
faults=(fails hangs crashes loses-session late lies none none a-little-late)
FREEZE_LIMIT=8 # a busy machine must hold for less; a writer has 5 s for other events
declare -A does=([fails]='echo "it does not want to" >&2; exit 1' [hangs]='sleep 100' [crashes]='kill -9 $$'
    [loses-session]='kill -9 $PPID' [late]='sleep 10' [a-little-late]='sleep 1' [lies]='echo "{\"components\": [{\"name\": \"nobody\"}]}"; exit 0' [none]='')
hosts=(none none none none none none none none none none kill:guest-session:done kill:freeze-guest:done kill:backup-job:done kill:guest-session:settled
    killall:freeze-guest:done killall:guest-session:done killall:backup-job:done
    agent:guest-session:done agent:freeze-guest:done agent:backup-job:done
    qemu:guest-session:done qemu:freeze-guest:done libvirtd:guest-session:done libvirtd:backup-job:done)

# draw CELL N: a number below N that depends on nothing else
draw() { echo $((0x$(sha256sum <<< "$seed $1" | cut -c 1-7) % $2)); }

kvss_setup
guest_define web words=kvss.hook=yes
guest_start web
guest_wait web
poll 60 guest_agent web guest-ping
guest_install web
guest_writer web orders 3b0f1d5e-5a5c-4d0c-9a3e-2f6f7a1c9e55 5000
guest_writer web stock 7c1d2e3f-0a1b-4c5d-8e9f-a0b1c2d3e4f5 5000
boot=$(guest_bootid web)

writes() { guest_sh web 'echo x > /mnt/vda/written && sync'; }
# Every hold has its end: by thaw, or by abort, which may also come to a writer that holds nothing.
_released() {
    guest_sh web "awk '\$2 == \"freeze\" { held[\$1] = 1 } \$2 == \"thaw\" || \$2 == \"abort\" { held[\$1] = 0 }
        END { for (w in held) if (held[w]) exit 1 }' $EVENTS"
}
agent_restart() {
    guest_sh web 'killall -9 qemu-ga; rm -f /run/qemu-ga.pid; sleep 1; agentctl start' || :
}
qemu_stops() {
    local pid
    pid=$(pgrep -o -f 'guest=web,')
    kill -STOP "$pid"
    sleep 3
    kill -CONT "$pid"
}

# host_fault HOST: carried out by kvss itself, or while it waits at that step
host_fault() {
    local what=${1%%:*} step=${1#*:}
    case $what in
    none) fault_backup none:none:done web ;;
    kill | killall) fault_backup "$1" web ;;
    *)
        fault_backup "wait:$step" web
        poll 120 _fault_or_end
        if fault_happened; then
            case $what in
            agent) agent_restart ;;
            qemu) qemu_stops ;;
            libvirtd) libvirtd_restart KILL ;;
            esac
            : > "$FAULT_LOG.go"
        fi
        ;;
    esac
    poll 180 _fault_ended
    wait "$FAULT_PID" 2> /dev/null || :
}

declare -A count=()
for ((cell = ${cells%-*}; cell <= ${cells#*-}; cell++)); do
    writer=$([ "$(draw "$cell writer" 2)" = 0 ] && echo orders || echo stock)
    event=${vss_events[$(draw "$cell event" ${#vss_events[@]})]}
    fault=${faults[$(draw "$cell fault" ${#faults[@]})]}
    host=${hosts[$(draw "$cell host" ${#hosts[@]})]}
    guest_forget web
    guest_does web "$writer" "$event" "${does[$fault]}"
    host_fault "$host" 2> /dev/null
    guest_does web "$writer" "$event"

    harmless=no
    [ "$fault" != none ] && [ "$fault" != a-little-late ] && [ "$event" != backup-shutdown ] || harmless=yes
    # ---- no wrong claim, and no claim less than what is due
    result=none
    if [ -s "$REPORT" ] && [ "$(report '.point // empty')" != "" ]; then result=$(report_vm web .consistency); fi
    case $result in
    application)
        [ $harmless = yes ] ||
            fail "cell $cell: $writer $fault in $event, host $host: called application consistent; $(guest_sh web cat "$EVENTS")"
        for w in orders stock; do
            assert_match "$(guest_events web $w)" '^prepare-backup prepare-snapshot freeze thaw post-snapshot backup-complete backup-shutdown ' \
                "cell $cell: events of $w in an application consistent backup"
        done
        ;;
    none | file-system | saved-state)
        case $host:$fault in
        none:none | none:a-little-late) fail "cell $cell: $writer $fault in $event and nothing else: $result; $(cat "$SANDBOX/stderr")" ;;
        esac
        ;;
    *) fail "cell $cell: consistency $result" ;;
    esac
    # ---- nobody stays blocked, whether the host lives or not
    poll 20 writes
    poll 20 _released
    kvss recover > "$SANDBOX/recover" 2>&1 || fail "cell $cell: recover: $(cat "$SANDBOX/recover")"
    poll 60 _no_kvss
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
    assert_eq "$(guest_bootid web)" "$boot" "cell $cell: boot id"
    poll 60 guest_agent web guest-ping
    count[$result]=$((${count[$result]:-0} + 1))
    note "cell $cell: $writer $fault in $event, host $host: $result"
done
for result in "${!count[@]}"; do echo "${count[$result]} $result"; done
# after all that, an ordinary backup
guest_forget web
backup web --require application
assert_report_vm web .consistency application
