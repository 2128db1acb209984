#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A passphrase in the environment is in nobody's environment any more once kvss runs: not in its own, not in that of the processes it starts
# (writers, qemu-nbd, watchdog, keeper). No other process of the same user may look into it. B4.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
secret="only a test" # kvss_setup's
guest_define off agent=no tokens=off size=8M
writer_install looker << END
tr '\0' '\n' < /proc/self/environ > $SANDBOX/environ.writer
if [ \$event = freeze ]; then touch $SANDBOX/frozen; while [ ! -e $SANDBOX/go ]; do sleep 0.1; done; fi
END
echo data > "$SANDBOX/files-looker/file"

(unset KVSS_PASSWORD_FILE; KVSS_PASSWORD=$secret exec "$KVSS" backup off --json) > "$REPORT" 2> "$SANDBOX/stderr" &
pid=$!
poll 40 test -e "$SANDBOX/frozen"
looked=0
for p in $(pgrep -x kvss) $(pgrep -x kvss-keeper) $(pgrep -x qemu-nbd); do
    tr '\0' '\n' < "/proc/$p/environ" > "$SANDBOX/environ" 2> /dev/null || continue
    looked=$((looked + 1))
    assert_no_match "$(cat "$SANDBOX/environ")" "$secret" "environment of $(cat "/proc/$p/comm")"
done
assert_ge "$looked" 3 "processes looked at"
touch "$SANDBOX/go"
status=0
wait $pid || status=$?
assert_eq "$status" 0 "backup: $(cat "$SANDBOX/stderr")"
assert_no_match "$(cat "$SANDBOX/environ.writer")" 'KVSS_PASSWORD' "environment of a writer"
assert_no_match "$(cat "$REPORT" "$SANDBOX/stderr")" "$secret" "report"
note "not in $looked processes"

# ---- nobody but root looks into a process of kvss
mkfifo "$SANDBOX/fifo"
exec 9<> "$SANDBOX/fifo"
as_user "$KVSS" keeper < "$SANDBOX/fifo" &
poll 20 pgrep -x kvss-keeper
p=$(pgrep -x kvss-keeper)
as_user test -r "/proc/$p/status"
if as_user cat "/proc/$p/environ" > /dev/null 2>&1; then fail "another process of the same user reads its environment"; fi
kill -KILL "$p"
