#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kvss-guest by itself, on a file system that is really frozen: the events of a session come in VSS's order, a veto is named, nothing that is
# malformed is accepted, and the dead-man's switch thaws and releases: at its deadline, also when a freeze comes late, and at once when the
# session is killed. M2, M7, B2.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"

PROGRAM=$KVSS_BUILD/src/guest/kvss-guest
[ -x "$PROGRAM" ] || skip "$PROGRAM is not built"
command -v jq > /dev/null || skip "jq is missing: run make deps"
fs=$SANDBOX/fs LOG=$SANDBOX/guest.log writers=$SANDBOX/guest-writers
mkdir "$fs" "$writers"
truncate -s 16M "$fs.img"
mkfs.ext4 -q "$fs.img"
mount -o loop "$fs.img" "$fs" 2> "$SANDBOX/stderr" || skip "no loop devices: $(cat "$SANDBOX/stderr")"
unfreeze() { fsfreeze -u "$fs" 2> /dev/null || :; }
cleanup_fn umount -l "$fs"
cleanup_fn unfreeze

guest() { "$PROGRAM" --run-dir "$SANDBOX/guest-run" --writers-dir "$writers" "$@"; }
begin() { guest begin <<< '{"protocol": 1, "hold_ms": '"${1:-5000}"'}' > "$SANDBOX/begun"; }
writes() { echo x > "$fs/$1" && sync -f "$fs/$1"; } # waits for the thaw
frozen() { ! fsfreeze -f "$fs" 2> /dev/null; }      # again
no_session() { [ "$(guest status | jq -r .phase)" = null ]; }
events() { tr '\n' ' ' < "$LOG"; }
end() { guest end > "$SANDBOX/report"; }
told() { jq -r "$1" "$SANDBOX/report"; }

# A writer that notes each event, and does what the file EVENT.sh beside the log says.
cat > "$writers/orders" << END
#!/bin/sh
cat > /dev/null
[ "\$1" != identify ] || {
    echo '{"api": 1, "name": "orders", "id": "3b0f1d5e-5a5c-4d0c-9a3e-2f6f7a1c9e55", "backup_types": ["copy"],
        "components": [{"name": "db", "files": [{"path": "/nowhere", "filespec": "*"}]}]}'
    exit
}
echo "\$1" >> "$LOG"
[ ! -e "$LOG.\$1" ] || . "$LOG.\$1"
END
chmod 755 "$writers/orders"

# ---- it needs nothing of the guest, of whatever version
if ! nm "$PROGRAM" | grep -q __asan_init; then
    readelf -d "$PROGRAM" | grep NEEDED && fail "it needs libraries"
    readelf --program-headers "$PROGRAM" | grep INTERP && fail "it needs the guest's loader"
fi

# ---- a whole session; what the agent does comes between the hooks
assert_eq "$(guest status | jq -r '.writers | map(.name) | join(" ")')" orders "writers of the guest"
echo "echo '{\"components\": [{\"name\": \"db\", \"backup_metadata\": \"position 42\"}]}'" > "$LOG.thaw"
begin
assert_eq "$(events)" "prepare-backup prepare-snapshot " "events before the freeze"
assert_eq "$(jq -r .phase "$SANDBOX/begun")" prepared "phase"
guest hook freeze
fsfreeze -f "$fs"
frozen || fail "the test's file system is not frozen"
fsfreeze -u "$fs"
guest hook thaw
end
assert_eq "$(events)" "prepare-backup prepare-snapshot freeze thaw post-snapshot backup-complete backup-shutdown " "events"
assert_eq "$(told '[.completed, .broken, .by_hook, .failure] | join(" ")')" "true false true " "report"
assert_eq "$(told '.events | map(.event) | join(" ")')" \
    "Identify PrepareForBackup PrepareForSnapshot Freeze Thaw PostSnapshot BackupComplete BackupShutdown" "events in the report"
assert_eq "$(told '.writers[0] | [.name, .held, .components[0].invariant] | join(" ")')" "orders true position 42" "the writer in the report"
poll 5 no_session
rm "$LOG.thaw"

# ---- without a hook the host asks for the hold; end thaws
: > "$LOG"
begin
guest freeze > /dev/null
end
assert_eq "$(events)" "prepare-backup prepare-snapshot freeze thaw post-snapshot backup-complete backup-shutdown " "events without a hook"
assert_eq "$(told '[.completed, .by_hook] | join(" ")')" "true false" "report without a hook"

# ---- a freeze that the hook was never asked for is none
: > "$LOG"
begin
end
assert_eq "$(events | sed 's/abort .*/abort/')" "prepare-backup prepare-snapshot abort" "events when nothing was held"
assert_eq "$(told .completed)" false "report when nothing was held"

# ---- the notice after the host's commit
: > "$LOG"
guest committed <<< '{"protocol": 1, "session": "3b0f1d5e-5a5c-4d0c-9a3e-2f6f7a1c9e55"}' > /dev/null
assert_eq "$(events)" "committed " "events of the notice"
assert_status 1 guest committed <<< '{"protocol": 1, "session": "x"}'

# ---- vetoes: in Freeze, in PrepareForSnapshot; both are named and the guest is as before
: > "$LOG"
echo 'echo "the database is busy" >&2; exit 1' > "$LOG.freeze"
begin
assert_status 1 guest hook freeze
assert_match "$OUTPUT" 'orders.*the database is busy' "what the hook says"
guest hook thaw
poll 5 guest hook freeze # the session is over though nobody has asked about it yet: this freeze is another program's
guest hook thaw
end
assert_match "$(told .failure)" 'orders.*the database is busy' "failure in the report"
assert_eq "$(told '.writers[0].state')" VSS_WS_FAILED_AT_FREEZE "state of the writer that refused"
mv "$LOG.freeze" "$LOG.prepare-snapshot"
poll 5 no_session
assert_status 1 begin
assert_match "$(jq -r .error.text "$SANDBOX/begun")" 'orders.*the database is busy' "refused while preparing"
rm "$LOG.prepare-snapshot"
poll 5 no_session
guest hook freeze # no session: another program's freeze is not ours to refuse
guest hook thaw

# ---- what cannot be used is not passed over
printf '#!/bin/sh\nexit 1\n' > "$writers/broken"
chmod 755 "$writers/broken"
assert_status 1 begin
assert_match "$(jq -r .error.text "$SANDBOX/begun")" 'broken' "a program that does not identify itself"
assert_match "$(guest status | jq -r '.skipped | join(" ")')" 'broken' "the same in status"
rm "$writers/broken"
sed -i 's/"copy"//' "$writers/orders"
assert_status 1 begin
assert_match "$(jq -r .error.text "$SANDBOX/begun")" 'orders does not support.*copy' "a writer that would be told full"
sed -i 's/"backup_types": \[\]/"backup_types": ["copy"]/' "$writers/orders"

# ---- malformed requests
for request in '' '[]' '{}' '{"protocol": 2}' '{"protocol": 1, "hold_ms": 10001}' '{"protocol": 1, "hold_ms": -1}' '{"protocol": 1, "hold_ms": "x"}' \
    "{\"protocol\": 1, \"x\": \"$(head -c 70000 /dev/zero | tr '\0' x)\"}"; do
    assert_status 1 guest begin <<< "$request"
    assert_match "$OUTPUT" '"error"' "answer to ${request:0:40}"
done
assert_status 2 guest nothing
poll 5 no_session # none of these has started one

# ---- docs/guests.md knows every key of its answers
guest status > "$SANDBOX/answers"
guest begin <<< '{"protocol": 1, "x": }' >> "$SANDBOX/answers" || :
cat "$SANDBOX/begun" "$SANDBOX/report" >> "$SANDBOX/answers"
guest committed <<< '{"protocol": 1, "session": "3b0f1d5e-5a5c-4d0c-9a3e-2f6f7a1c9e55"}' >> "$SANDBOX/answers"
keys=$(jq -r 'paths | last | strings' "$SANDBOX/answers" | sort -u)
assert_ge "$(wc -l <<< "$keys")" 30 "keys of all answers"
for key in $keys; do
    grep -q "[\`\"]${key}[\`\"]" "$TESTS/../docs/guests.md" || fail "docs/guests.md does not describe the key $key of kvss-guest's answers"
done

# ---- the deadline: the host is gone while all is frozen, and so is the session's processor time
: > "$LOG"
begin 1500
guest hook freeze
fsfreeze -f "$fs"
start=${EPOCHREALTIME/[.,]/}
poll 5 writes after-deadline
note_ms=$(((${EPOCHREALTIME/[.,]/} - start) / 1000))
assert_le "$note_ms" 6000 "milliseconds until the guest had thawed itself"
echo "thawed by itself after $note_ms ms"
poll 5 grep -q abort "$LOG"
end
assert_eq "$(told '[.completed, .broken] | join(" ")')" "false true" "report of a broken hold"
assert_match "$(told .failure)" 'thawed automatically' "failure of a broken hold"

# ---- a session that hangs is not waited for, and a freeze that comes after the deadline is undone, too
poll 5 no_session
: > "$LOG"
begin 1000
guest hook freeze
session=$(pgrep -o -f "run-dir $SANDBOX/guest-run")
kill -STOP "$session"
sleep 1.5
fsfreeze -f "$fs"
poll 5 writes after-late-freeze
poll 8 grep -q abort "$LOG"
kill -CONT "$session"
end
assert_eq "$(told '[.completed, .broken] | join(" ")')" "false true" "report of a session that hung"

# ---- a session that is killed: at once
poll 5 no_session
: > "$LOG"
begin 10000
guest hook freeze
fsfreeze -f "$fs"
start=${EPOCHREALTIME/[.,]/}
kill -KILL "$(pgrep -o -f "run-dir $SANDBOX/guest-run")"
poll 5 writes after-kill
assert_le $(((${EPOCHREALTIME/[.,]/} - start) / 1000)) 6000 "milliseconds until the guest had thawed after the kill"
poll 5 grep -q abort "$LOG"
assert_status 1 end
begin # nothing is in its way
guest abort > /dev/null

# ---- aborted while all is frozen, by a host that is not seen again: thawed at once, and no longer afterwards
poll 5 no_session
: > "$LOG"
begin 10000
guest hook freeze
fsfreeze -f "$fs"
guest abort > "$SANDBOX/report"
assert_match "$(told .failure)" 'aborted by the host' "failure of an aborted hold"
poll 5 no_session
fsfreeze -u "$fs" 2> /dev/null && fail "an abort left the file system frozen"
assert_match "$(events)" 'freeze abort' "events of an aborted hold"
fsfreeze -f "$fs"
sleep 1
fsfreeze -u "$fs" || fail "a freeze after the backup was undone"

# ---- a session that was left behind gives way
: > "$LOG"
begin
begin
assert_eq "$(events)" "$(events | sed 's/backup-shutdown prepare-backup/&/')" "events"
assert_match "$(events)" 'abort.*backup-shutdown prepare-backup prepare-snapshot $' "the first was aborted before the second began"
guest abort > /dev/null
