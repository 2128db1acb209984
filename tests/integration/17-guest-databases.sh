#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The writers for PostgreSQL and Redis that come with kvss-guest, with the real servers under load on a file system that is frozen and copied
# as a host would: what is started from the copy has every transaction that was acknowledged before the instant, is clean by the databases' own
# checkers, and its invariant holds; the originals go on. Two rounds, or 30 with KVSS_TEST_FULL=1. M2, B9.
# timeout: 1800
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_databases.sh
. "$(dirname "$0")/../lib/functions_databases.sh"

PG=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
[ -x "$PG/postgres" ] || skip "PostgreSQL is missing: run make deps"
command -v redis-server > /dev/null || skip "Redis is missing: run make deps"
databases_setup postgresql redis

# ---- the servers
mkdir -p /run/postgresql
chown postgres /run/postgresql
install -d -o postgres -m 700 "$FS/pg" "$FS/redis"
runuser -u postgres -- "$PG/initdb" -D "$FS/pg" --auth=peer --data-checksums -E UTF8 --locale=C > "$SANDBOX/initdb" 2>&1 ||
    fail "initdb: $(cat "$SANDBOX/initdb")"
export KVSS_POSTGRESQL_CONF=$SANDBOX/postgresql.conf KVSS_REDIS_CONF=$SANDBOX/redis.conf KVSS_REDIS_DIR=$FS/redis
echo "main 5433 postgres $FS/pg" > "$KVSS_POSTGRESQL_CONF"
echo "$SANDBOX/redis.sock" > "$KVSS_REDIS_CONF"
pg_start() { # DATA PORT
    runuser -u postgres -- "$PG/pg_ctl" -D "$1" -w -t 120 -l "/run/postgresql/log.$2" -o "-p $2 -c listen_addresses= -c max_connections=20" start \
        > "$SANDBOX/pg_ctl" 2>&1 || fail "PostgreSQL on $1: $(cat "$SANDBOX/pg_ctl" "/run/postgresql/log.$2")"
}
pg_stop() { runuser -u postgres -- "$PG/pg_ctl" -D "$1" -m immediate stop > /dev/null 2>&1 || :; }
pg_sql() { runuser -u postgres -- psql -XAtq -p "$1" -d postgres -c "$2"; } # PORT QUERY
redis_start() { # DIR SOCKET LOG
    redis-server --port 0 --unixsocket "$2" --dir "$1" --appendonly yes --appendfsync always --save '' --daemonize yes --logfile "$3" \
        > /dev/null
    poll 60 eval "[ \"\$(redis-cli -s '$2' ping)\" = PONG ]"
}
redis_stop() { redis-cli -s "$1" shutdown nosave > /dev/null 2>&1 || :; }
pg_start "$FS/pg" 5433
cleanup_fn pg_stop "$FS/pg"
redis_start "$FS/redis" "$SANDBOX/redis.sock" "$SANDBOX/redis.log"
cleanup_fn redis_stop "$SANDBOX/redis.sock"

# ---- the load: a number after the other, each written down, elsewhere, when it has been acknowledged
pg_sql 5433 'create table numbers (n bigint primary key, filler text)'
cat > "$SANDBOX/load-pg" <<'END'
import os, subprocess, sys, time
p = subprocess.Popen(["runuser", "-u", "postgres", "--", "psql", "-XAtq", "-p", "5433", "-d", "postgres"], stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE, text=True, bufsize=1)
n = 0
while True:
    n += 1
    p.stdin.write(f"insert into numbers values ({n}, repeat('x', 500)) returning n;\n")
    p.stdin.flush()
    if int(p.stdout.readline()) != n:
        sys.exit("lost")
    with open(sys.argv[-1], "w") as f:
        f.write(str(n))
    time.sleep(0 if os.environ.get("KVSS_TEST_FULL") else 0.002)
END
cat > "$SANDBOX/load-redis" <<'END'
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
n = 0
while True:
    n += 1
    s.sendall(f"SET k:{n} {n}\r\n".encode())
    if s.recv(100) != b"+OK\r\n":
        sys.exit("lost")
    with open(sys.argv[-1], "w") as f:
        f.write(str(n))
    time.sleep(0 if os.environ.get("KVSS_TEST_FULL") else 0.002)
END
load pg python3 "$SANDBOX/load-pg"
load redis python3 "$SANDBOX/load-redis" "$SANDBOX/redis.sock"
cleanup_fn loads_stop

assert_eq "$(guest status | jq -r '.writers | map(.name + ":" + .components[0].name) | join(" ")')" \
    "PostgreSQL:main Redis:$SANDBOX/redis.sock" "writers"

for ((round = 1; round <= ROUNDS; round++)); do
    poll 60 beyond pg $(($(acked pg) + 50))
    backed_up pg redis
    after=$(acked redis)
    poll 30 beyond redis "$after" # they go on
    poll 30 beyond pg "${BEFORE[pg]}"

    mount -o loop "$FS.copy" "$SANDBOX/copy"
    rm -f "$SANDBOX/copy/pg/postmaster.pid" # it would name a process of the original
    pg_start "$SANDBOX/copy/pg" 5434
    pg=$(invariant PostgreSQL) redis=$(invariant Redis)
    assert_eq "$(pg_sql 5434 "select count(*) from numbers where n <= ${BEFORE[pg]}")" "${BEFORE[pg]}" "round $round: acknowledged rows"
    assert_eq "$(pg_sql 5434 'select count(*) - max(n) from numbers')" 0 "round $round: gaps"
    assert_eq "$(pg_sql 5434 "select pg_current_wal_insert_lsn() >= '$(word lsn "$pg")'")" t "round $round: place in the log, $pg"
    assert_eq "$(pg_sql 5434 'select system_identifier from pg_control_system()')" "$(word system "$pg")" "round $round: system"
    pg_sql 5434 'create extension if not exists amcheck' 2> /dev/null || :
    runuser -u postgres -- "$PG/pg_amcheck" -p 5434 --heapallindexed -d postgres > "$SANDBOX/amcheck" 2>&1 || fail "amcheck: $(cat "$SANDBOX/amcheck")"
    pg_stop "$SANDBOX/copy/pg"
    redis_start "$SANDBOX/copy/redis" "$SANDBOX/copy.sock" "$SANDBOX/copy.log"
    assert_eq "$(redis-cli -s "$SANDBOX/copy.sock" dbsize)" "$(word keys "$redis")" "round $round: keys, $redis"
    assert_ge "$(word keys "$redis")" "${BEFORE[redis]}" "round $round: acknowledged keys"
    assert_eq "$(redis-cli -s "$SANDBOX/copy.sock" get "k:${BEFORE[redis]}")" "${BEFORE[redis]}" "round $round: the last acknowledged key"
    redis_stop "$SANDBOX/copy.sock"
    umount "$SANDBOX/copy"
    echo "round $round: ${BEFORE[pg]} rows, ${BEFORE[redis]} keys; held $(jq .hold_ms "$SANDBOX/report") ms; $pg; $redis"
done

# ---- what would not be in the backup is refused: a tablespace on another kind of file system
mkdir -p /run/elsewhere
mount -t tmpfs none /run/elsewhere
install -d -o postgres -m 700 /run/elsewhere/space
pg_sql 5433 "create tablespace elsewhere location '/run/elsewhere/space'"
assert_status 1 guest begin <<< '{"protocol": 1}'
assert_match "$OUTPUT" 'PostgreSQL.*tablespace /run/elsewhere/space is not on a disk' "refusal"
pg_sql 5433 'drop tablespace elsewhere'

# ---- a server that does not answer is not passed over
redis_stop "$SANDBOX/redis.sock"
assert_status 1 guest begin <<< '{"protocol": 1}'
assert_match "$OUTPUT" 'Redis' "a server that is off"
