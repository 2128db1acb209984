#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The writer for systemd units that comes with kvss-guest, with a real systemd: a unit is frozen for the instant or stopped for it, goes on
# after it, and whatever goes wrong, is named, and no unit stays held, not even with everybody gone. M2, M10.
# timeout: 600
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_systemd.sh
. "$(dirname "$0")/../lib/functions_systemd.sh"
# shellcheck source=tests/lib/functions_databases.sh
. "$(dirname "$0")/../lib/functions_databases.sh"

databases_setup systemd
export KVSS_SYSTEMD_CONF=$SANDBOX/units.conf KVSS_SYSTEMCTL='systemctl --user'
systemd_start
unit() { # NAME START-COMMAND [LINE...]
    { printf '[Service]\nExecStart=%s\n' "$2" && printf '%s\n' "${@:3}"; } > "$UNITS/$1.service"
}
cat > "$SANDBOX/ticks" <<'END'
#!/bin/bash
trap 'echo ended >> "$1.end"; exit 0' TERM
while :; do n=$((n + 1)); echo $n > "$1"; sleep 0.05; done
END
cat > "$SANDBOX/stubborn" <<'END'
#!/bin/bash
trap '' TERM
while :; do sleep 0.1; done
END
chmod 755 "$SANDBOX/ticks" "$SANDBOX/stubborn"
unit ticks "$SANDBOX/ticks $FS/ticks"
unit app "$SANDBOX/ticks $FS/app"
unit idle "/bin/sleep 1000"
unit stubborn "$SANDBOX/stubborn" TimeoutStopSec=1
systemctl --user daemon-reload
systemctl --user start ticks app
printf '# as an administrator would\nfreeze ticks.service\nstop app.service\n\nstop idle.service\n' > "$KVSS_SYSTEMD_CONF"

is_now() { [ "$(is "$1" "$2")" = "$3" ]; } # UNIT PROPERTY VALUE
is() { systemctl --user show --value -p "$2" "$1"; } # UNIT PROPERTY
count() { local n=''; while [ -z "$n" ]; do n=$(cat "$FS/$1"); done; echo "$n"; } # the file is empty for a moment each time
counts() { local before; before=$(count "$1"); poll 10 eval "[ \"\$(count $1)\" != $before ]"; }
# all_run: as before a backup
all_run() {
    [ "$(is ticks FreezerState)" = running ] && [ "$(is ticks ActiveState)" = active ] && [ "$(is app ActiveState)" = active ] &&
        [ "$(is idle ActiveState)" = inactive ] && [ ! -e /run/kvss-systemd-writer ] && ! pgrep -f 'thaw -- ' > /dev/null
}
poll 10 test -s "$FS/ticks"
poll 10 test -s "$FS/app"

assert_eq "$(guest status | jq -r '.writers[] | .name + ": " + (.components | map(.caption) | join(", "))')" \
    "systemd units: freeze ticks.service, stop app.service, stop idle.service" "what is to be held"

# ---- held, and released
guest_begins
assert_eq "$(is app ActiveState) $(is ticks FreezerState)" "inactive running" "units when all is prepared"
assert_eq "$(cat "$FS/app.end")" ended "what the unit did at its end"
counts ticks
guest freeze > /dev/null
assert_eq "$(is ticks FreezerState)" frozen "the unit that is frozen"
held=$(count ticks)
sleep 0.5
assert_eq "$(count ticks)" "$held" "what a frozen unit has written"
guest_ends
assert_eq "$(told '[.completed, .broken, .failure] | join(" ")')" "true false " "report"
for ((i = 0; i < 3; i++)); do invariant 'systemd units' $i; done > "$SANDBOX/invariants"
assert_eq "$(cat "$SANDBOX/invariants")" "$(printf 'frozen\nstopped result=success\noff')" "invariants"
poll 10 all_run
counts ticks
counts app
echo "frozen and stopped, held $(told .hold_ms) ms"

# ---- a unit that somebody releases during the hold is no longer of the instant
lost() { # WHAT PATTERN COMMAND...
    guest_begins
    guest freeze > /dev/null
    "${@:3}"
    guest_ends
    assert_eq "$(told .completed)" false "$1: report"
    assert_match "$(told .failure)" "$2" "$1: failure"
    poll 10 all_run
    poll 10 no_session
    echo "$1: $(told .failure)"
}
lost "thawed" 'systemd units.*unit ticks.service was thawed by somebody else' systemctl --user thaw ticks
lost "started" 'systemd units.*unit app.service was started by somebody else' systemctl --user start app

# ---- what cannot be held is named, and what was held before it goes on
begin_refused() { # WHAT PATTERN LINE
    printf 'freeze ticks.service\nstop app.service\n%s\n' "$3" > "$KVSS_SYSTEMD_CONF"
    assert_status 1 guest begin <<< '{"protocol": 1}'
    assert_match "$OUTPUT" "$2" "$1"
    poll 10 no_session
    poll 10 all_run
}
begin_refused "no such unit" 'unit none.service: there is none' 'stop none.service'
begin_refused "an unknown word" 'neither .*freeze UNIT' 'hold idle.service'
systemctl --user start stubborn
begin_refused "a unit that does not stop" 'unit stubborn.service did not stop as it should: timeout' 'stop stubborn.service'
poll 10 is_now stubborn ActiveState active # started again, as it was

# ---- another writer refuses when all is held
printf 'freeze ticks.service\nstop app.service\nstop idle.service\n' > "$KVSS_SYSTEMD_CONF"
cat > "$GUEST_WRITERS/unwilling" <<'END'
#!/bin/sh
cat > /dev/null
case $1 in
identify)
    echo '{"api": 1, "name": "unwilling", "id": "3b0f1d5e-5a5c-4d0c-9a3e-2f6f7a1c9e55", "backup_types": ["copy"],
        "components": [{"name": "db", "files": [{"path": "/nowhere", "filespec": "*"}]}]}'
    ;;
freeze) echo "not now" >&2 && exit 1 ;;
esac
END
chmod 755 "$GUEST_WRITERS/unwilling"
guest_begins
assert_status 1 guest hook freeze
assert_match "$OUTPUT" 'unwilling.*not now' "the other's refusal"
poll 10 all_run
counts ticks
guest_ends
poll 10 no_session
rm "$GUEST_WRITERS/unwilling"

# ---- nobody is left to release it: systemd thaws
printf 'freeze ticks.service\n' > "$KVSS_SYSTEMD_CONF"
guest_begins 6000
guest freeze > /dev/null
guest_killed
assert_eq "$(is ticks FreezerState)" frozen "with everybody gone"
poll 20 is_now ticks FreezerState running
counts ticks
