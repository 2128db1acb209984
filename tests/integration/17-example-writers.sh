#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The writers of examples/ take part in a backup and a restore as their comments say (M22, M23): the dump is made, stored and deleted;
# two SQLite databases that are being written have one instant, and are writable again.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
[ -x /usr/bin/python3 ] || skip "python3 is missing"
/usr/bin/python3 -c 'import sqlite3' || skip "python3 has no sqlite3"

kvss_setup
guest_define off agent=no disks=1 size=1M # the VM matters little here, and does not run
install -D -m 755 "$TESTS/../examples/writers/packages" "$WRITERS/packages"
install -m 755 "$TESTS/../examples/writers/sqlite" "$WRITERS/sqlite"
db=$SANDBOX/db
mkdir "$db"
printf '%s\n' "# databases" "$db/a.db" "$db/b.db" > /etc/kvss/sqlite-writer.conf

# ---- an application: writes the same number into a, which has a write-ahead log, and into b, which has none, again and again
cat > "$SANDBOX/application" <<END
import sqlite3, sys, time
a, b = (sqlite3.connect("$db/" + name, timeout=60, isolation_level=None) for name in ("a.db", "b.db"))
a.execute("PRAGMA journal_mode = WAL")
for c in (a, b):
    c.execute("CREATE TABLE IF NOT EXISTS numbers (n INTEGER, filler TEXT)")
n = a.execute("SELECT max(n) FROM numbers").fetchone()[0] or 0
while True:
    n += 1
    for c in (a, b):
        c.execute("INSERT INTO numbers VALUES (?, ?)", (n, "x" * 2000))
END
application_start() { /usr/bin/python3 "$SANDBOX/application" & application=$!; }
newest() { /usr/bin/python3 -c 'import sqlite3, sys; print(sqlite3.connect(sys.argv[1], timeout=60).execute("SELECT coalesce(max(n), 0) FROM numbers").fetchone()[0])' "$db/$1.db" 2> /dev/null || echo 0; }
application_start
poll 60 eval '[ $(newest b) -ge 20 ]'

kvss_json list writers
assert_eq "$(report '[.writers[].name] | map(select(test("SQLite|Package"))) | sort | join(", ")')" "Package list, SQLite databases" "writers"
backup off
component() { report ".writers[] | select(.name == \"$1\") | .components | map($2) | join(\" \")"; }
assert_eq "$(component "SQLite databases" .name)" "$db/a.db $db/b.db" "databases"
assert_eq "$(component "SQLite databases" .level)" "application application" "databases that were held"
assert_eq "$(component "Package list" .level)" "not-held" "a dump needs no freeze"
assert_eq "$(component "Package list" .files)" 1 "the dump was stored"
assert_eq "$(ls /var/lib/kvss-packages)" "" "the dump was deleted"
assert_eq "$(ls /run/kvss-sqlite-writer)" "" "nothing holds the databases"
before=$(newest b)
poll 30 eval "[ \$(newest b) -gt $before ]" # they can be written again
note "the application goes on at number $(newest b)"

# ---- a hold that nobody ends is over when the time is: the helper does not need kvss for that
held() { # EVENT TIME
    "$WRITERS/sqlite" "$1" <<< '{"session": "lost", "time_left_ms": '"$2"', "components": [{"name": "'"$db"'/b.db"}]}'
}
held freeze 60000
held thaw 60000
held freeze 100
poll 30 eval '[ -z "$(ls /run/kvss-sqlite-writer)" ]'
status=0
held thaw 100 2> "$SANDBOX/late" || status=$?
assert_eq "$status" 1 "a thaw after the time"
assert_match "$(cat "$SANDBOX/late")" 'time was over' "reason"
held abort -1

# ---- the disaster, and the restore
last=$(newest b)
kill "$application"
wait "$application" || :
# a crash in the middle of a transaction: a journal that would be rolled back, if it stayed beside the restored database
cat > "$SANDBOX/crash" <<END
import os, sqlite3
b = sqlite3.connect("$db/b.db", timeout=60, isolation_level=None)
b.execute("PRAGMA cache_size = 1")
b.execute("BEGIN IMMEDIATE")
b.execute("UPDATE numbers SET filler = 'y'")
os._exit(0)
END
/usr/bin/python3 "$SANDBOX/crash"
[ -s "$db/b.db-journal" ] || fail "the crash has left no journal"
rm "$db/b.db"
kvss_json restore --yes "$POINT"
a=$(newest a) b=$(newest b)
{ [ "$b" -gt 0 ] && [ "$b" -le "$last" ]; } || fail "b is restored to number $b of $last"
[ "$a" = "$b" ] || [ "$a" = $((b + 1)) ] || fail "the databases are of two instants: $a and $b"
assert_eq "$(sqlite_check() { /usr/bin/python3 -c 'import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute("PRAGMA integrity_check").fetchone()[0])' "$1"; }; sqlite_check "$db/a.db")" ok "integrity of a"
dpkg --get-selections | diff - /var/lib/kvss-packages/selections >&2 || fail "the package list is another one"
application_start
poll 60 eval "[ \$(newest b) -gt $b ]"
kill "$application"
note "both are restored as of number $b"
