# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_fault.sh: a backup with a fault in it (src/journal/fault.c), and what must be true after it. A test sources it after
# functions_kvss.sh. Its guests, booted once: web (agent; WEB_FS: its disks), mute (none: it is saved) and off.

FAULT_LOG=$SANDBOX/fault.log
FREEZE_LIMIT=4 # seconds; what is frozen for longer is let go
FROZEN=0       # the longest that web was frozen so far, in hundredths of a second, by its own clock

fault_setup() {
    local vm
    grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"
    kvss_setup
    head -c 6M /dev/urandom > "$SANDBOX/content"
    for vm in web mute off; do qemu-img convert -f raw -O qcow2 "$SANDBOX/content" "$IMAGES/$vm-vdb.qcow2"; done
    [ -z "${WEB_FS:-}" ] || rm "$IMAGES/web-vdb.qcow2"
    guest_define web tokens=driven fs="${WEB_FS:-ext4,none}" words=kvss.hook=yes
    guest_define mute tokens=driven fs=ext4,none agent=no
    guest_define off fs=ext4,none agent=no
    guest_start web
    guest_start mute
    guest_wait web
    guest_wait mute
    _drive web
    _drive mute
    for vm in web mute; do guest_bootid $vm > "$SANDBOX/$vm.boot"; done
    backup web mute off
}

# Each guest is driven by itself, so that one that is down does not hold up the other. Slowly: without KVM each token costs much.
_drive() {
    "$(_guestctl_path)" -p 250 -l "$SANDBOX/$1.drive" drive "$(guest_port "$1" token)" &
    cleanup_fn kill $!
    poll 20 test -s "$SANDBOX/$1.drive"
}
_drive_last() { tail -n 1 "$SANDBOX/$1.drive" | awk '{ print $3 + 0 }'; }
_drive_past() { [ "$(_drive_last "$1")" -gt "$2" ]; }

# fault_backup SPEC VM...: starts a backup with the fault in the background; $FAULT_PID
fault_backup() {
    rm -f "$FAULT_LOG" "$FAULT_LOG.go" # an earlier fault that waits has one, and this one would not wait
    KVSS_TEST_FAULT=$1 KVSS_TEST_FAULT_LOG=$FAULT_LOG setsid env --default-signal=INT "$KVSS" backup "${@:2}" --json \
        --freeze-limit "$FREEZE_LIMIT" --agent-timeout 5 --retries 0 > "$REPORT" 2> "$SANDBOX/stderr" &
    FAULT_PID=$!
}
fault_happened() { grep -q ^fault "$FAULT_LOG" 2> /dev/null; }
_fault_ended() { ! kill -0 "$FAULT_PID" 2> /dev/null; }
_fault_or_end() { fault_happened || _fault_ended; }
# fault_passed WHEN VERB: the session came to this step
fault_passed() { grep -qx "$1 $2" "$FAULT_LOG"; }

_no_kvss() { [ -z "$(pgrep -x kvss)" ]; }
_points() { find "$KVSS_REPOSITORY/points" -type f | wc -l; }

# What must be as before, of each VM; but which QEMU it is: one that was saved has another.
_fault_facts() { _facts "$@" | sed '/^Id:/d'; }

# assert_unharmed: all VMs are as the facts in $SANDBOX/facts.fault say, the guests run on and write, and nothing is left of the
# session, neither on the VMs nor on the host nor in the repository
assert_unharmed() {
    local vm
    poll 60 _no_kvss
    _fault_facts web mute off > "$SANDBOX/facts.now"
    diff <(sed "${FACTS_FILTER:-}" "$SANDBOX/facts.fault") <(sed "${FACTS_FILTER:-}" "$SANDBOX/facts.now") >&2 ||
        fail "the VMs are not as before"
    for vm in web mute; do
        poll 20 _drive_past $vm "$(_drive_last $vm)"
        assert_eq "$(guest_bootid $vm)" "$(cat "$SANDBOX/$vm.boot")" "boot id of $vm"
    done
    guest_agent web guest-ping > /dev/null
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
    assert_eq "$(find /var/lib/kvss/sessions -mindepth 1 -type d)" "" "sessions left"
    assert_eq "$(find /var/lib/libvirt/qemu/save -name '.kvss-*')" "" "saved states left"
    [ ! -d /var/lib/kvss/vms ] || assert_eq "$(ls /var/lib/kvss/vms)" "" "claims left"
    fault_frozen
}

# assert_recovers VM...: the very next backup works and leaves nothing, also in the repository; what it holds is what was there.
# LOCKS=/nonexistent: locks may be there, as of another boot only their age tells that nobody has them.
assert_recovers() {
    local vm
    kvss_json backup "$@"
    POINT=$(report .point)
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
    assert_eq "$(find "$KVSS_REPOSITORY/tmp" "${LOCKS:-$KVSS_REPOSITORY/locks}" -type f 2> /dev/null)" "" "left in the repository"
    kvss verify "$POINT" > /dev/null 2> "$SANDBOX/stderr" || fail "verify: $(cat "$SANDBOX/stderr")"
    for vm in web mute; do assert_le "$(virsh -q checkpoint-list $vm --name | grep -c .)" 1 "checkpoints of $vm"; done
    if [[ " $* " == *" off "* ]]; then assert_restores "$POINT" off; fi
}

# assert_restores POINT VM...: the second disk, which nobody writes, comes back byte by byte; of guests that write, the first
# disk's file system is whole and its tokens are in order
assert_restores() {
    local vm point=$1
    shift
    kvss restore --yes "$point" "$@" --quiet > "$SANDBOX/restore.log" 2>&1 || fail "restore: $(cat "$SANDBOX/restore.log")"
    for vm; do
        [ "$(vm_state "$vm")" != running ] || virsh -q suspend "$vm" > /dev/null # it goes on where it was, and writes
        image_raw "$IMAGES/$vm-vdb.qcow2" "$SANDBOX/now.raw"
        cmp "$SANDBOX/now.raw" "$SANDBOX/content" || fail "vdb of $vm is not what it was"
        [ "$vm" = off ] || assert_match "$(image_tokens "$IMAGES/$vm-vda.qcow2")" 'order=ok' "tokens of $vm"
    done
}

# fault_frozen: keeps the longest that web was frozen, from the log of its agent's hook
fault_frozen() {
    local longest
    longest=$(guest_sh web 'cat /run/kvss/hook.log; : > /run/kvss/hook.log' |
        awk '$1 == "freeze" { at = $2 } $1 == "thaw" && at { if ($2 - at > max) max = $2 - at; at = 0 } END { printf "%d", max * 100 }')
    echo "$longest" >> "$SANDBOX/frozen"
}
fault_frozen_longest() { sort -n "$SANDBOX/frozen" | tail -n 1; }

# fault_trace VM...: the steps of a backup that goes well, "WHEN VERB", each once
fault_trace() {
    rm -f "$FAULT_LOG"
    KVSS_TEST_FAULT_LOG=$FAULT_LOG kvss backup "$@" > /dev/null 2> "$SANDBOX/stderr" || fail "backup: $(cat "$SANDBOX/stderr")"
    grep -v ^verb "$FAULT_LOG" | sort -u
}

# ---- one cell of the matrix -----------------------------------------------------------------------------

# Whether guests are held at the step.
_held_at() { # VERB WHEN
    case "$2 $1" in
    "done freeze-guest" | "settled freeze-guest" | "after freeze-guest" | "done pause-vm") return 0 ;;
    "done checkpoint" | "done backup-job" | "done overlay") fault_passed "done" freeze-guest ;;
    *) return 1 ;;
    esac
}

# Ends a command that hangs. While guests are held its watchdog does so; else only a person can: asked once it does not notice, asked
# again it ends. Until then it lives, and nobody else touches what it did.
_end_hanging() { # VERB WHEN
    poll 60 _fault_or_end
    kvss recover > "$SANDBOX/recover" 2>&1 || fail "recover while a session lives: $(cat "$SANDBOX/recover")"
    assert_match "$(cat "$SANDBOX/recover")" 'Nothing to recover' "what recover says of a session that lives"
    assert_eq "$(find /var/lib/kvss/sessions -mindepth 1 -maxdepth 1 | wc -l)" 1 "sessions"
    if _held_at "$1" "$2"; then
        poll $((FREEZE_LIMIT + 30)) _fault_ended
        assert_match "$(cat "$SANDBOX/stderr")" 'freeze limit expired' "message"
        return
    fi
    kill -INT "$FAULT_PID"
    sleep 1.5
    kill -0 "$FAULT_PID" || fail "it did not hang"
    kill -INT "$FAULT_PID"
}

# The exit codes that are right after each action. A step that fails may be of no consequence for the result.
_wanted_status() { # ACTION WHEN VERB
    case $1 in
    kill | killall) echo 137 ;;
    fail) case "$2 $3" in "done commit") echo 0 ;; begin* | done*) echo 1 ;; *) echo '(0|1)' ;; esac ;;
    int | term) echo '(0|130)' ;;
    killdog) echo '(0|1)' ;;
    hang) echo '(1|130)' ;;
    esac
}

# fault_cell ACTION VERB WHEN VM...: fails unless all is as it should be after it
fault_cell() {
    local action=$1 verb=$2 when=$3 status=0 before
    shift 3
    _fault_facts web mute off > "$SANDBOX/facts.fault"
    before=$(_points)
    fault_backup "$action:$verb:$when" "$@"
    [ "$action" != hang ] || _end_hanging "$verb" "$when"
    wait "$FAULT_PID" || status=$?
    fault_happened || fail "the step was not reached (status $status): $(cat "$SANDBOX/stderr")"
    [[ $status =~ ^$(_wanted_status "$action" "$when" "$verb")$ ]] || fail "status $status: $(cat "$SANDBOX/stderr")"
    if [ "$action" = killall ]; then
        kvss recover > "$SANDBOX/recover" 2>&1 || fail "recover: $(cat "$SANDBOX/recover")"
    fi
    if [ "$(_points)" != "$before" ]; then
        # the point was committed: what follows is only tidying up, so it stands, and a new checkpoint may too
        assert_eq "$(_points)" $((before + 1)) "restore points"
        [ "$status" != 1 ] || fail "it says that it failed, but made a restore point: $(cat "$SANDBOX/stderr")"
        FACTS_FILTER='/^@ checkpoints/,/^@ snapshots/d' assert_unharmed
    else
        [ "$status" != 0 ] || fail "it says that it succeeded, but there is no restore point"
        assert_unharmed
    fi
    assert_recovers "$@"
}
