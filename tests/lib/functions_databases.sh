# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_databases.sh: the writers that come with kvss-guest, with real servers on a file system that is frozen and copied as a host would.
# A test sources it after functions.sh.

PROGRAM=$KVSS_BUILD/src/guest/kvss-guest
[ -x "$PROGRAM" ] || skip "$PROGRAM is not built"
FS=$SANDBOX/fs GUEST_WRITERS=$SANDBOX/guest-writers
# shellcheck disable=SC2034 # for the tests
ROUNDS=$([ -n "${KVSS_TEST_FULL:-}" ] && echo 30 || echo 2)

# databases_setup WRITER...: the file system $FS, and a guest with these writers
databases_setup() {
    chmod 755 "$SANDBOX"
    mkdir "$FS" "$SANDBOX/copy" "$GUEST_WRITERS"
    truncate -s 400M "$FS.img"
    mkfs.ext4 -q "$FS.img"
    mount -o loop "$FS.img" "$FS" 2> "$SANDBOX/stderr" || skip "no loop devices: $(cat "$SANDBOX/stderr")"
    cleanup_fn umount -l "$FS"
    cleanup_fn databases_unfreeze
    local writer
    for writer; do install -m 755 "$TESTS/../data/guest/writers/$writer" "$GUEST_WRITERS/"; done
}
databases_unfreeze() { fsfreeze -u "$FS" 2> /dev/null || :; }
guest() { "$PROGRAM" --run-dir "$SANDBOX/guest-run" --writers-dir "$GUEST_WRITERS" "$@"; }
# guest_begins [MILLISECONDS]: that the guest may hold
# shellcheck disable=SC2119,SC2120 # tests pass it
guest_begins() { guest begin <<< '{"protocol": 1, "hold_ms": '"${1:-10000}"'}' > "$SANDBOX/begun" || fail "begin: $(cat "$SANDBOX/begun")"; }
guest_ends() { guest end > "$SANDBOX/report"; }
# guest_killed: all of kvss-guest at once; stopped first, or those killed last would see the others die, and release what is held
guest_killed() {
    pkill -STOP -f "run-dir $SANDBOX/guest-run"
    pkill -KILL -f "run-dir $SANDBOX/guest-run"
}
told() { jq -r "$1" "$SANDBOX/report"; } # of the last report
no_session() { [ "$(guest status | jq -r .phase)" = null ]; }

# backed_up NAME...: a backup of $FS in $FS.copy, its report in $SANDBOX/report; what the loads of these names had acknowledged right before
# the instant is in BEFORE[NAME]
declare -A BEFORE=()
backed_up() {
    local name
    # shellcheck disable=SC2119
    guest_begins
    guest hook freeze
    # shellcheck disable=SC2034 # for the tests
    for name; do BEFORE[$name]=$(acked "$name"); done
    fsfreeze -f "$FS"
    cp --sparse=always "$FS.img" "$FS.copy"
    fsfreeze -u "$FS"
    guest hook thaw
    guest_ends
    assert_eq "$(told '[.completed, .broken, .failure] | join(" ")')" "true false " "report"
}

# invariant WRITER [COMPONENT]: in the last report. word NAME INVARIANT: its value there
invariant() { jq -r --arg w "$1" --argjson c "${2:-0}" '.writers[] | select(.name == $w) | .components[$c].invariant' "$SANDBOX/report"; }
word() { sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" <<< "$2"; }

# load NAME COMMAND...: runs until the test ends, and writes each number into $SANDBOX/acked.NAME when it has been acknowledged
loads=()
load() {
    local name=$1
    shift
    "$@" "$SANDBOX/acked.$name" 2> /dev/null &
    loads+=($!)
    poll 60 test -s "$SANDBOX/acked.$name"
}
loads_stop() { kill "${loads[@]}" 2> /dev/null || :; }
# acked NAME: the last number; the file is empty for a moment each time
acked() { local n=''; while [ -z "$n" ]; do n=$(cat "$SANDBOX/acked.$1"); done; echo "$n"; }
beyond() { [ "$(acked "$1")" -gt "$2" ]; }
