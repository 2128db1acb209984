#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The writers for MariaDB and SQLite that come with kvss-guest, which hold a session across the instant, with real databases under load on a
# file system that is frozen and copied as a host would. What is opened from the copy has every transaction that was acknowledged before the
# instant, is clean by the databases' own checkers, and its invariant holds; writes are blocked during the hold and go on after it. A session
# that is lost breaks the hold, and with everybody gone it ends by itself. Two rounds, or 30 with KVSS_TEST_FULL=1. M2, B9.
# timeout: 1800
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_databases.sh
. "$(dirname "$0")/../lib/functions_databases.sh"

command -v mariadbd > /dev/null || skip "MariaDB is missing: run make deps"
command -v sqlite3 > /dev/null || skip "sqlite3 is missing: run make deps"
databases_setup mariadb sqlite
export KVSS_MARIADB_CONF=$SANDBOX/mariadb.conf KVSS_SQLITE_CONF=$SANDBOX/sqlite.conf

# ---- the databases
install -d -o mysql -m 700 "$FS/mariadb"
install -d -o daemon -m 755 "$FS/sqlite"
echo "main $FS/mariadb/s root $FS/mariadb" > "$KVSS_MARIADB_CONF"
LIVE=$FS/sqlite/live.db OTHER="$FS/sqlite/an other.db"
printf '# as an administrator would\n%s\n\n%s\n' "$LIVE" "$OTHER" > "$KVSS_SQLITE_CONF"

db() { mariadb --no-defaults --socket="$1/s" -N -B -e "$2"; } # DATA SQL
mariadb_start() { # DATA
    mariadbd --no-defaults --user=mysql --datadir="$1" --socket="$1/s" --pid-file="$1/pid" --skip-networking --server-id=1 \
        --log-bin=bin --sync-binlog=1 --innodb-buffer-pool-size=32M --innodb-log-file-size=16M > "$SANDBOX/mariadbd" 2>&1 &
    poll 120 db "$1" 'select 1'
}
mariadb_stop() { mariadb-admin --no-defaults --socket="$1/s" shutdown > /dev/null 2>&1 || :; }
mariadb-install-db --no-defaults --user=mysql --datadir="$FS/mariadb" --auth-root-authentication-method=socket --skip-test-db \
    --innodb-log-file-size=16M > "$SANDBOX/install" 2>&1 || fail "mariadb-install-db: $(cat "$SANDBOX/install")"
mariadb_start "$FS/mariadb"
cleanup_fn mariadb_stop "$FS/mariadb"
db "$FS/mariadb" "create database app; create user app@localhost; grant all on app.* to app@localhost;
    create table app.numbers (n bigint primary key, filler text) engine=InnoDB;
    create table app.plain (n bigint primary key, filler text) engine=Aria; create table app.old (n bigint primary key) engine=MyISAM"

lite() { sqlite3 -batch -bail "$@"; }
as_daemon() { runuser -u daemon -- sqlite3 -batch -bail "$@"; }
as_daemon "$LIVE" 'pragma journal_mode=wal; create table numbers (n integer primary key, filler text)' > /dev/null
as_daemon "$OTHER" 'create table things (n); insert into things values (1), (2)'

# ---- the load: a number after the other, each written down, elsewhere, when it has been acknowledged
cat > "$SANDBOX/load-mariadb" <<'END'
import os, subprocess, sys, time
p = subprocess.Popen(["mariadb", "--no-defaults", "-u", "app", "--socket", sys.argv[1], "-N", "-B", "-n", "app"], stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE, text=True, bufsize=1)
n = 0
while True:
    n += 1
    p.stdin.write(f"insert into numbers values ({n}, repeat('x', 500)); insert into plain values ({n}, repeat('y', 500)); "
                  f"insert into old values ({n}); select {n};\n")
    p.stdin.flush()
    if int(p.stdout.readline()) != n:
        sys.exit("lost")
    with open(sys.argv[-1], "w") as f:
        f.write(str(n))
    time.sleep(0 if os.environ.get("KVSS_TEST_FULL") else 0.002)
END
cat > "$SANDBOX/load-sqlite" <<'END'
import os, pwd, sqlite3, sys, time
acked = open(sys.argv[-1], "w")
os.setgid(pwd.getpwnam("daemon").pw_gid)
os.setuid(pwd.getpwnam("daemon").pw_uid)
db = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
db.execute("pragma synchronous=full")
n = 0
while True:
    n += 1
    db.execute("insert into numbers values (?, ?)", (n, "z" * 500))
    acked.seek(0)
    acked.write(str(n))
    acked.flush()
    time.sleep(0 if os.environ.get("KVSS_TEST_FULL") else 0.002)
END
cleanup_fn loads_stop
load mariadb python3 "$SANDBOX/load-mariadb" "$FS/mariadb/s"
load sqlite python3 "$SANDBOX/load-sqlite" "$LIVE"

assert_eq "$(guest status | jq -r '.writers | map(.name + ":" + (.components | map(.name) | join("+"))) | join(" ")')" \
    "MariaDB:main SQLite:$LIVE+$OTHER" "writers"

# nothing_left: no session of the writers, nor anything that waits for its end, nor a file
nothing_left() {
    [ "$(db "$FS/mariadb" "select count(*) from information_schema.processlist where user = 'root'")" = 1 ] && ! pgrep -x sqlite3 > /dev/null &&
        ! pgrep -f -- '--skip-reconnect' > /dev/null && ! pgrep -x sleep > /dev/null && [ ! -e /run/kvss-mariadb-writer ] &&
        [ ! -e /run/kvss-sqlite-writer ]
}

for ((round = 1; round <= ROUNDS; round++)); do
    poll 60 beyond mariadb $(($(acked mariadb) + 50))
    backed_up mariadb sqlite
    after=$(acked sqlite)
    poll 30 beyond sqlite "$after" # they go on
    poll 30 beyond mariadb "${BEFORE[mariadb]}"
    poll 10 nothing_left

    mount -o loop "$FS.copy" "$SANDBOX/copy"
    copy=$SANDBOX/copy/mariadb noted=$(invariant MariaDB)
    mariadb_start "$copy"
    # BLOCK_COMMIT: not one transaction lies between what the writer noted and the instant
    assert_eq "$(db "$copy" 'select @@gtid_binlog_pos')" "$(word gtid "$noted")" "round $round: last transaction, $noted"
    assert_ge "$(db "$copy" "select variable_value from information_schema.global_status where variable_name = 'innodb_lsn_current'")" \
        "$(word lsn "$noted")" "round $round: place in InnoDB's log, $noted"
    for table in numbers plain old; do
        assert_eq "$(db "$copy" "select count(*) from app.$table where n <= ${BEFORE[mariadb]}")" "${BEFORE[mariadb]}" \
            "round $round: acknowledged rows in $table"
        assert_eq "$(db "$copy" "select count(*) - max(n) from app.$table")" 0 "round $round: gaps in $table"
    done
    mariadb-check --no-defaults --socket="$copy/s" --all-databases --extended > "$SANDBOX/check" 2>&1 || fail "mariadb-check: $(cat "$SANDBOX/check")"
    assert_eq "$(grep -v ' OK$' "$SANDBOX/check" || :)" "" "round $round: what mariadb-check found"
    mariadb_stop "$copy"
    wait %"mariadbd" 2> /dev/null || :

    noted=$(invariant SQLite) live=$SANDBOX/copy/sqlite/live.db
    assert_eq "$(lite "$live" 'pragma integrity_check')" ok "round $round: SQLite's integrity"
    assert_eq "$(lite "$live" "select count(*) from numbers where n <= ${BEFORE[sqlite]}")" "${BEFORE[sqlite]}" "round $round: acknowledged rows"
    assert_eq "$(lite "$live" 'select count(*) - max(n) from numbers')" 0 "round $round: gaps"
    assert_eq "$(lite "$live" 'pragma page_count; pragma schema_version' | tr '\n' ' ')" "$(word pages "$noted") $(word schema "$noted") " \
        "round $round: invariant, $noted"
    assert_eq "$(lite "$SANDBOX/copy/sqlite/an other.db" 'select sum(n) from things')" 3 "round $round: the other database"
    assert_match "$(invariant SQLite 1)" '^pages=2 free=0 schema=1 version=0 check=ok$' "invariant of the other database"
    poll 20 umount "$SANDBOX/copy"
    echo "round $round: ${BEFORE[mariadb]} and ${BEFORE[sqlite]} rows; held $(told .hold_ms) ms, of which freezing $(told '.events | (map(select(.event == "Freeze").ms) | max) -
        (map(select(.event == "PrepareForSnapshot").ms) | max) | floor') ms from the end of the preparation; $(invariant MariaDB); $noted"
done
assert_eq "$(find "$FS/sqlite" -not -user daemon)" "" "files beside the databases that are not the owner's"

# ---- what is blocked during the hold, and only then. Nobody waits here: it is refused at once
insert_mariadb() { db "$FS/mariadb" "set lock_wait_timeout = 0; insert into app.$1 values (0${2:-})" > "$SANDBOX/said" 2>&1; }
create_table() { db "$FS/mariadb" "set lock_wait_timeout = 0; create table app.more (n int)" > "$SANDBOX/said" 2>&1; }
insert_sqlite() { as_daemon "$1" "insert into $2 values (0${3:-})" > "$SANDBOX/said" 2>&1; }
refused() { # PATTERN COMMAND...
    ! "${@:2}" || fail "${*:2} is possible during the hold"
    assert_match "$(cat "$SANDBOX/said")" "$1" "${*:2} during the hold"
}
released() { insert_mariadb numbers ",''" && db "$FS/mariadb" 'delete from app.numbers where n = 0'; }
released_sqlite() { insert_sqlite "$OTHER" things && as_daemon "$OTHER" 'delete from things where n = 0'; }
guest_begins
released # preparation blocks nobody
released_sqlite
guest freeze > /dev/null
refused 'Lock wait timeout' insert_mariadb numbers ",''"
refused 'Lock wait timeout' insert_mariadb plain ",''"
refused 'Lock wait timeout' insert_mariadb old
refused 'Lock wait timeout' create_table
refused 'database is locked' insert_sqlite "$OTHER" things
assert_eq "$(as_daemon "$OTHER" 'select count(*) from things')" 2 "readers during the hold"
assert_eq "$(db "$FS/mariadb" 'select count(*) from app.numbers where n = 1')" 1 "readers of MariaDB during the hold"
guest_ends
assert_eq "$(told '[.completed, .broken] | join(" ")')" "true false" "report"
released
released_sqlite
poll 10 nothing_left
echo "writes are blocked during the hold"

# ---- a session that is lost during the hold breaks it, whoever ends it, and the others are released
lost() { # WHAT PATTERN COMMAND...
    guest_begins
    guest freeze > /dev/null
    "${@:3}"
    guest_ends
    assert_eq "$(told .completed)" false "$1: report"
    assert_match "$(told .failure)" "$2" "$1: failure"
    poll 10 released
    poll 10 released_sqlite
    poll 10 no_session
    poll 10 nothing_left
    echo "$1: $(told .failure)"
}
kill_by_server() {
    db "$FS/mariadb" "kill $(db "$FS/mariadb" "select id from information_schema.processlist where user = 'root' and id <> connection_id()")"
}
lost "a session that the server ends" 'MariaDB.*server main: ERROR 20(06|13)' kill_by_server
lost "a client that is killed" 'MariaDB.*server main: its session was lost' pkill -KILL -f -- '--skip-reconnect'
lost "a lock of SQLite that is lost" 'SQLite.*live.db: its session was lost' pkill -KILL -x sqlite3

# ---- what does not let itself be held is named, and nobody stays held for it
mkfifo "$SANDBOX/in"
install -d -o daemon "$SANDBOX/daemon"
runuser -u daemon -- sqlite3 -batch "$OTHER" <> "$SANDBOX/in" > "$SANDBOX/out" 2>&1 &
busy=$!
printf 'begin exclusive;\n.system touch %s\n' "$SANDBOX/daemon/has-it" > "$SANDBOX/in"
poll 30 test -e "$SANDBOX/daemon/has-it"
assert_status 1 guest begin <<< '{"protocol": 1}'
assert_match "$OUTPUT" 'SQLite.*an other.db: .*locked' "a database that is in use while it is examined"
echo .quit > "$SANDBOX/in"
wait $busy
poll 10 no_session
poll 10 nothing_left
poll 10 released
echo "a database that is in use is named"

# ---- the deadline of the guest
guest_begins 1500
guest freeze > /dev/null
poll 15 released
poll 15 released_sqlite
guest_ends
assert_eq "$(told '[.completed, .broken] | join(" ")')" "false true" "report of a hold that was too long"
poll 10 no_session
poll 10 nothing_left
echo "released at the guest's deadline"

# ---- nobody is left to release it
guest_begins 6000
guest freeze > /dev/null
guest_killed
refused 'Lock wait timeout' insert_mariadb numbers ",''"
poll 20 released
poll 20 released_sqlite
# nor where the last of them dies while it releases
for delay in $(seq 0.002 "$([ -n "${KVSS_TEST_FULL:-}" ] && echo 0.0007 || echo 0.01)" 0.03); do
    guest_begins 700
    guest freeze > /dev/null
    pkill -KILL -o -f "run-dir $SANDBOX/guest-run"
    sleep "$delay"
    pkill -KILL -f "run-dir $SANDBOX/guest-run" || :
    poll 15 released
    poll 15 released_sqlite
done
echo "with all of kvss-guest killed, the sessions end by themselves"

# ---- what would not be in the backup, or is not as it should be, is refused by name
begin_refused() { # WHAT PATTERN
    assert_status 1 guest begin <<< '{"protocol": 1}'
    assert_match "$OUTPUT" "$2" "$1"
    poll 10 no_session
}
mkdir -p /run/elsewhere
mount -t tmpfs none /run/elsewhere
install -d -o mysql /run/elsewhere/app
db "$FS/mariadb" "create table app.away (n int) engine=InnoDB data directory='/run/elsewhere/app'"
begin_refused "a table elsewhere" 'MariaDB.*/run/elsewhere/app.* is not on a disk'
db "$FS/mariadb" 'drop table app.away'
db "$FS/mariadb" "create table app.away (n int) engine=MyISAM data directory='/run/elsewhere/app'"
begin_refused "a table of MyISAM elsewhere" 'MariaDB.*/run/elsewhere/app.* is not on a disk'
db "$FS/mariadb" 'drop table app.away'
echo /run/elsewhere/x.db > "$KVSS_SQLITE_CONF"
begin_refused "a database that is not there" 'SQLite.*/run/elsewhere/x.db does not exist'
lite /run/elsewhere/x.db 'create table t (n)'
begin_refused "a database elsewhere" 'SQLite.*/run/elsewhere/x.db is not on a disk'
lite "$FS/broken.db" 'create table t (n); create index i on t (n); insert into t select value from generate_series(1, 3000)' 2> /dev/null ||
    lite "$FS/broken.db" 'create table t (n); create index i on t (n); with recursive c(x) as (select 1 union all select x + 1 from c where x < 3000)
        insert into t select x from c'
dd if=/dev/urandom of="$FS/broken.db" bs=4096 seek=3 count=2 conv=notrunc status=none
echo "$FS/broken.db" > "$KVSS_SQLITE_CONF"
begin_refused "a database that is damaged" 'SQLite.*broken.db(: .*malformed| is damaged)'
rm "$GUEST_WRITERS/sqlite"
mariadb_stop "$FS/mariadb"
begin_refused "a server that is off" "MariaDB.*server main: .*Can't connect"
