#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two guests with Debian's PostgreSQL and Redis, and MariaDB and SQLite, which commit synchronously all the time, with tables on two disks
# each, and tokens that go in turn through the tables of both: one backup with kvss-guest and the writers that come with it. Each
# restored copy is started: every transaction that was acknowledged before the freeze is there, none is torn, the databases' own checkers
# are content, the invariants in the restore point hold, and the tokens are of one instant. One round, or 30 with KVSS_TEST_FULL=1. M2, B9.
# In `make test` 17-guest-databases and 17-guest-sessions have the same writers without guests.
# only: full
# timeout: 14400
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_writers.sh
. "$(dirname "$0")/../lib/functions_writers.sh"
# shellcheck source=tests/lib/functions_databases_vm.sh
. "$(dirname "$0")/../lib/functions_databases_vm.sh"

ROUNDS=$([ -n "${KVSS_TEST_FULL:-}" ] && echo 30 || echo 1)
TOKENS=(db1/pg.a db1/pg.b db1/redis.a db2/mariadb.a db2/mariadb.b db2/sqlite.a db2/sqlite.b) # in the order of their commits

databases_requires
kvss_setup
for vm in db1 db2; do
    databases_disks $vm
    databases_define $vm
done
note "disks and guests are made"
for vm in db1 db2; do guest_start $vm; done
for vm in db1 db2; do
    guest_wait $vm 180
    poll 60 guest_agent $vm guest-ping
    databases_go $vm
done
TOKEN_PAUSE_MS=400 token_drive db1 db2
note "the databases work"
kvss_json check db1 db2
assert_eq "$(report '.vms | map(.level + ":" + (.guest.writers | map(.name) | sort | join("+"))) | join(" ")')" \
    "application:PostgreSQL+Redis application:MariaDB+SQLite" "writers"

# ---- what a copy must have

word() { sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" <<< " $2"; } # NAME INVARIANT

# invariant VM WRITER COMPONENT: in the restore point
invariant() {
    report "[.details[] | select(.vm == \"$1\")][0].guest.writers[] | select(.name == \"$2\") | .components[] | select(.name == \"$3\").invariant"
}

# number LSN: a place in PostgreSQL's log
number() { echo $(((16#${1%/*} << 32) + 16#${1#*/})); }

# assert_complete VM DATABASE: the rows are those of 1 to the last, in both tables the same, at least to what was acknowledged. While
# a writer holds the database nothing is committed: then there is at most the one that was just about to be acknowledged.
assert_complete() {
    local acked last table
    acked=$(awk -v name="$2" '$1 == name { print $2 }' "$SANDBOX/acked.$1")
    last=$(last "$1" "numbers.$2.a")
    for table in a b; do
        assert_eq "$(rows "$1" "numbers.$2.$table")" "$last" "$2: rows of table $table"
        assert_eq "$(last "$1" "numbers.$2.$table")" "$last" "$2: last row of table $table"
    done
    assert_ge "$last" "$acked" "$2: acknowledged transactions"
    [ "$2" = pg ] || assert_le "$last" $((acked + 1)) "$2: transactions during the hold"
}

# assert_token_order: from the first table to the last, the last token stays or is one less, once
assert_token_order() {
    local place name first='' before='' token vm
    for place in "${TOKENS[@]}"; do
        vm=${place%/*} name=tokens.${place#*/}
        token=$(last "$vm" "$name")
        assert_eq "$(rows "$vm" "$name")" "$token" "rows of $name"
        assert_ge "$token" "$(awk '$1 == "tokens" { print $2 }' "$SANDBOX/acked.$vm")" "$name: acknowledged tokens"
        [ -z "$before" ] || assert_le "$token" "$before" "$name: token order"
        first=${first:-$token} before=$token
    done
    assert_le "$first" $((before + 1)) "token order from the first table to the last"
    assert_ge "$(last db1 tokens.redis.a)" "$(awk '$1 == "tokens" { print $2 }' "$SANDBOX/acked.db2")" "tokens of db1 that db2 has acknowledged"
}

assert_invariants() {
    local noted file
    noted=$(invariant db1 PostgreSQL main)
    assert_ge "$(number "$(fact db1 pg.lsn)")" "$(number "$(word lsn "$noted")")" "place in PostgreSQL's log"
    assert_eq "$(fact db1 pg.system) $(fact db1 pg.timeline)" "$(word system "$noted") $(word timeline "$noted")" "PostgreSQL: $noted"
    noted=$(invariant db1 Redis /run/redis/redis.sock)
    assert_eq "keys=$(fact db1 redis.keys)" "keys=$(word keys "$noted")" "Redis: $noted"
    noted=$(invariant db2 MariaDB main)
    assert_eq "$(fact db2 mariadb.gtid)" "$(word gtid "$noted")" "MariaDB: $noted"
    assert_ge "$(fact db2 mariadb.lsn)" "$(word lsn "$noted")" "place in InnoDB's log"
    for file in /mnt/vda/sqlite/a.db /mnt/vdb/sqlite/b.db; do
        assert_eq "$(fact db2 $file)" "$(invariant db2 SQLite $file)" "SQLite: $file"
    done
}

# ---- the rounds
for ((round = 1; round <= ROUNDS; round++)); do
    for load in db1/pg db1/redis db2/mariadb db2/sqlite; do databases_work ${load%/*} ${load#*/} 10; done
    assert_tokens_flow
    databases_backup db1 db2
    for vm in db1 db2; do
        assert_report_vm $vm .consistency application
        databases_at_freeze $vm > "$SANDBOX/acked.$vm"
    done
    for load in db1/pg db1/redis db2/mariadb db2/sqlite; do databases_work ${load%/*} ${load#*/} 1; done # they go on
    assert_tokens_flow
    note "round $round: backed up"
    databases_rest db1 db2
    for vm in db1 db2; do databases_prove "$POINT" $vm; done
    databases_resume db1 db2
    kvss_json show "$POINT"
    for load in db1/pg db1/redis db2/mariadb db2/sqlite; do assert_complete ${load%/*} ${load#*/}; done
    assert_token_order
    assert_invariants
    note "round $round: $(tr '\n' ' ' < "$SANDBOX/acked.db1")$(tr '\n' ' ' < "$SANDBOX/acked.db2")acknowledged;" \
        "$(report '[.details[] | "\(.vm) held \(.guest.hold_ms | floor) ms"] | join(", ")'); try $TRIES"
done
