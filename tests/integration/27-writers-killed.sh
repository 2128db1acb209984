#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A backup that dies while a writer holds its application: the writer is told abort, by the watchdog, by kvss recover if that died too, or by
# the next session before its own turn. B2, M22, M23.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define off agent=no tokens=off size=8M
guest_define other agent=no tokens=off size=8M
E=$SANDBOX/events
writer_install app << END
[ \$event = identify ] || echo \$event >> $E
if [ \$event = freeze ] && mkdir $SANDBOX/hold 2> /dev/null; then touch $SANDBOX/frozen; while [ ! -e $SANDBOX/go ]; do sleep 0.05; done; fi
END
writer_install bystander <<< "[ \$event = identify ] || echo bystander-\$event >> $E"
echo data > "$SANDBOX/files-app/file"

holds() { # starts a backup that is in the writer's freeze; $pid
    rm -rf "$E" "$SANDBOX/hold" "$SANDBOX/frozen" "$SANDBOX/go"
    env --default-signal=INT "$KVSS" backup off --writer 'kvss test app' > "$SANDBOX/out" 2> "$SANDBOX/stderr" &
    pid=$!
    poll 40 test -e "$SANDBOX/frozen"
}
events() { tr '\n' ' ' < "$E"; }
told() { grep -qx abort "$E"; }
gone() { [ -z "$(pgrep -x kvss)" ] && [ -z "$(ls /var/lib/kvss/sessions)" ]; }
BEGUN="prepare-backup prepare-snapshot freeze"

# ---- killed: the watchdog
holds
kill -KILL $pid
wait $pid 2> /dev/null || :
poll 30 told
poll 30 gone
assert_eq "$(events)" "$BEGUN abort " "events after the kill"
assert_nothing_left
note "told by the watchdog"

# ---- killed with its watchdog: kvss recover
holds
pkill -KILL -x kvss
wait $pid 2> /dev/null || :
sleep 1
assert_eq "$(events)" "$BEGUN " "events before kvss recover"
kvss recover > "$SANDBOX/recover" 2>&1
assert_match "$(cat "$SANDBOX/recover")" 'writer was sent an abort .*kvss test app' "what kvss recover says"
assert_eq "$(events)" "$BEGUN abort " "events after kvss recover"
assert_match "$(kvss recover)" 'Nothing to recover' "a second recover"
note "told by kvss recover"

# ---- another session waits for its turn: it comes after the abort
holds
"$KVSS" backup other --writer 'kvss test app' > "$SANDBOX/out2" 2> "$SANDBOX/stderr2" &
second=$!
poll 30 grep -q waiting "$SANDBOX/stderr2"
kill -KILL $pid
wait $pid 2> /dev/null || :
wait $second || fail "the second backup: $(cat "$SANDBOX/stderr2")"
assert_eq "$(events | sed 's/prepare-backup //g')" \
    "prepare-snapshot freeze abort prepare-snapshot freeze thaw post-snapshot backup-complete backup-shutdown " "events of both sessions"
poll 30 gone
note "told before the turn of the next"

# ---- stopped, which nothing in it notices: ended by the watchdog, though no VM is held
sed -i 's/"api": 1,/"api": 1, "freeze_limit_ms": 4000,/' "$WRITERS/app"
holds
kill -STOP $pid
frozen=$SECONDS
touch "$SANDBOX/go"
poll 60 told
wait $pid 2> /dev/null || :
assert_le "$((SECONDS - frozen))" 40 "seconds until the writer of a stopped kvss was told"
poll 30 gone
assert_eq "$(events)" "$BEGUN abort " "events of a stopped kvss"
assert_nothing_left
sed -i 's/"freeze_limit_ms": 4000,//' "$WRITERS/app"
note "told when kvss was stopped"

# ---- what the session itself aborts, nobody else does
holds
kill -INT $pid
touch "$SANDBOX/go"
status=0
wait $pid || status=$?
assert_eq "$status" "$EXIT_INTERRUPTED" "status: $(cat "$SANDBOX/stderr")"
assert_le "$(grep -cx abort "$E")" 2 "aborts: $(events)" # the service raises it, and so does kvss when it gives up
note "interrupted: $(events)"
poll 30 gone
backup off --writer 'kvss test app'
