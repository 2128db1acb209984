#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two backups at once that share a writer: it is in one snapshot set at a time. The second waits for the first; what does not get its turn
# is refused, and lets nothing go that the first holds; a backup without programs does not wait (M22, M23). No guest is booted.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
for vm in a b; do guest_define $vm disks=1 fs=none size=16M agent=no tokens=off; done
files=$SANDBOX/files log=$SANDBOX/events
mkdir -p "$files"
echo content > "$files/one"
install -D -m 755 "$TESTS/writers/recorder" "$WRITERS/recorder"
# The writer is held for as long as the file `hold` is there. Its own log has an event only when the configuration was read.
cat > "$WRITERS/.recorder.conf" <<END
LOG=$SANDBOX/recorder.log
FILES=$files
echo "\$1" >> "$log"
case \$1 in
freeze) touch "$SANDBOX/held"; for i in \$(seq 1 2000); do [ -e "$SANDBOX/hold" ] || break; sleep 0.1; done ;;
thaw | abort) rm -f "$SANDBOX/held" ;;
esac
END
held() { [ -e "$SANDBOX/held" ]; }
waits() { grep -q 'snapshot set of the writers.*waiting' "$SANDBOX/second"; }
events() { grep -E 'freeze|thaw|abort' "$log" | tr '\n' ' '; }
# first VM: a backup that holds the writer when this returns
first() {
    : > "$log"
    touch "$SANDBOX/hold"
    "$KVSS" backup "$1" --freeze-limit 300 > "$SANDBOX/first" 2>&1 &
    first=$!
    until held; do kill -0 $first 2> /dev/null || fail "the first backup ended early: $(cat "$SANDBOX/first")"; sleep 0.1; done
}
let_go() {
    rm "$SANDBOX/hold"
    wait $first || fail "the first backup failed: $(cat "$SANDBOX/first")"
}

# ---- the second waits, without being asked to
first a
"$KVSS" backup b > "$SANDBOX/second" 2>&1 &
second=$!
poll 120 waits
assert_eq "$(events)" "freeze " "events while the second waits"
let_go
wait $second || fail "the second backup failed: $(cat "$SANDBOX/second")"
assert_eq "$(events)" "freeze thaw freeze thaw " "events of both"
assert_points 2
note "one after the other"

# ---- its turn does not come: refused, and the writer stays held; one without programs is not in the way
first a
kvss_json backup b --no-writers
kvss_fails "$EXIT_REFUSED" backup b --wait=1 --json
assert_match "$OUTPUT" "snapshot set of the writers is in use.*pid $first" "who has it"
assert_eq "$(report .error.hresult)" 0x80042316 "VSS_E_SNAPSHOT_SET_IN_PROGRESS"
held || fail "the writer was let go under the hands of the first backup"
assert_eq "$(events)" "freeze " "events beside the first"
let_go
assert_eq "$(events)" "freeze thaw " "events of the first"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
assert_points 4
note "refused"

# ---- the first is killed while it holds the writer: the turn ends with it
first a
kill -KILL $first
wait $first 2> /dev/null || :
rm -f "$SANDBOX/hold"
backup b
note "after a kill"

# ---- at any moment
: > "$log"
for _ in 1 2; do
    "$KVSS" backup a > "$SANDBOX/first" 2>&1 &
    first=$!
    kvss backup b > /dev/null 2> "$SANDBOX/stderr" || fail "the second backup failed: $(cat "$SANDBOX/stderr")"
    wait $first || fail "the first backup failed: $(cat "$SANDBOX/first")"
done
assert_eq "$(events)" "$(printf 'freeze thaw %.0s' 1 2 3 4)" "events of four backups, two at a time"
