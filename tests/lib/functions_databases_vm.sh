# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_databases_vm.sh: guests with Debian's database servers, under load (tests/guest/databases). A test sources it after
# functions_kvss.sh and functions_writers.sh.

DATABASES=$TESTS/guest/databases
USERLAND=(dash bash coreutils util-linux grep sed mawk findutils libpam-modules tzdata)
declare -A SERVERS=([db1]="redis-server redis-tools" [db2]="mariadb-server-core mariadb-client-core sqlite3")
# kvss-guest's writers, and what they are told
declare -A DB_WRITERS=([db1]="postgresql redis" [db2]="mariadb sqlite")

_pg_version() { basename "$(printf '%s\n' /usr/lib/postgresql/* | sort -V | tail -n 1)"; }

# databases_requires: the servers' packages are installed here
databases_requires() {
    local pg tool
    pg=$(_pg_version)
    [ -x "/usr/lib/postgresql/$pg/bin/postgres" ] || skip "PostgreSQL is missing: run make deps"
    SERVERS[db1]+=" postgresql-$pg postgresql-client-$pg"
    for tool in redis-server mariadbd sqlite3; do
        command -v $tool > /dev/null || skip "$tool is missing: run make deps"
    done
}

# databases_disks VM: its two disks, made by the servers here, at the places where the guest has them
databases_disks() {
    local disk
    mount -t tmpfs -o mode=755 databases /mnt
    mkdir /mnt/vda /mnt/vdb
    "$DATABASES" make "$1"
    for disk in vda vdb; do
        truncate -s 512M "$SANDBOX/raw"
        mke2fs -q -t ext4 -d "/mnt/$disk" "$SANDBOX/raw"
        qemu-img convert -f raw -O qcow2 "$SANDBOX/raw" "$IMAGES/$1-$disk.qcow2"
        rm "$SANDBOX/raw"
    done
    umount /mnt
}

# What the guest has beside the packages: $DATABASES, the configuration of its writers, and a part of the freeze hook that notes last of all
# what has been acknowledged
_databases_files() { # TREE
    mkdir -p -m 1777 "$1/tmp"
    mkdir -p "$1/usr/sbin" "$1/usr/bin" "$1/etc/kvss" "$1/etc/qemu/fsfreeze-hook.d"
    cp "$DATABASES" "$1/usr/sbin/"
    ln -s "../lib/postgresql/$(_pg_version)/bin/psql" "$1/usr/bin/psql"
    echo 'main 5432 postgres /mnt/vda/pg' > "$1/etc/kvss/postgresql-writer.conf"
    echo /run/redis/redis.sock > "$1/etc/kvss/redis-writer.conf"
    echo 'main /run/mysqld/mysqld.sock root /mnt/vda/mysql' > "$1/etc/kvss/mariadb-writer.conf"
    printf '%s\n' /mnt/vda/sqlite/a.db /mnt/vdb/sqlite/b.db > "$1/etc/kvss/sqlite-writer.conf"
    printf '#!/bin/sh\n[ "$1" != freeze ] || tail -n 1 /run/databases/acked.* > /run/databases/at-freeze\n' > "$1/etc/qemu/fsfreeze-hook.d/zz-acked"
    chmod 755 "$1/etc/qemu/fsfreeze-hook.d/zz-acked"
}

# databases_define VM: with an initramfs that has its servers, and the packages of Debian that they and the writers need
databases_define() {
    local tree=$SANDBOX/files initrd=$GUEST_DIR/initrd-$1
    # shellcheck disable=SC2086 # a list of words
    "$TESTS/guest/userland" "$SANDBOX/userland" "${USERLAND[@]}" ${SERVERS[$1]}
    _databases_files "$tree"
    (cd "$tree" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0) | cat "$GUEST_DIR/initrd" "$SANDBOX/userland" - > "$initrd"
    rm -r "$tree" "$SANDBOX/userland"
    guest_xml "$1" disks=2 mem=768 tokens=off vcpus=2 words=kvss.hook=yes | sed "s|<initrd>.*</initrd>|<initrd>$initrd</initrd>|" > "$SANDBOX/$1.xml"
    chmod 644 "$SANDBOX/$1.xml" "$initrd"
    virsh define --validate "$SANDBOX/$1.xml" > /dev/null
    guest_remember_disks "$1"
}

# databases_go VM: started, with kvss-guest and its writers, its servers, and the loads
databases_go() {
    GUEST_TIMEOUT=300 guest_sh "$1" "databases start $1"
    kvss guest install --from "$KVSS_BUILD/data/kvss-guest.tar" "$1" > /dev/null
    guest_sh "$1" "cd /usr/share/kvss-guest/writers && install -D -m 755 -t /etc/kvss/writers.d ${DB_WRITERS[$1]}"
    GUEST_TIMEOUT=300 guest_sh "$1" "databases loads $1"
    guest_sh "$1" "setsid databases tokens $1 < /dev/null > /dev/console 2>&1 &"
}

# databases_rest / databases_resume: those who write
databases_rest() { local vm; for vm; do guest_sh "$vm" 'killall -STOP databases'; done; }
databases_resume() { local vm; for vm; do guest_sh "$vm" 'killall -CONT databases'; done; }

# databases_acked VM NAME: the last number that was acknowledged until now
databases_acked() { guest_sh "$1" "tail -n 1 /run/databases/acked.$2"; }
_acked_past() { [ "$(databases_acked "$1" "$2")" -gt "$3" ]; }

# databases_at_freeze VM: those that had been acknowledged when the last freeze began, NAME NUMBER a line
databases_at_freeze() { guest_sh "$1" 'cat /run/databases/at-freeze' | sed -n '/^==>/{s|.*acked\.\([a-z]*\) .*|\1|;N;s/\n/ /p}'; }

# databases_work VM NAME N: until it has acknowledged N more
databases_work() { poll 120 _acked_past "$1" "$2" $(($(databases_acked "$1" "$2") + $3)); }

# databases_backup VM...: a backup of type application in $POINT. A machine that others use, too, may be too slow for the ten seconds that a
# guest allows: such a backup fails, everybody goes on, and it is made again. $TRIES: how often it was begun.
databases_backup() {
    local vm
    for ((TRIES = 1; ; TRIES++)); do
        ! kvss backup "$@" --require application --json > "$REPORT" 2> "$SANDBOX/stderr" || break
        grep -Eq 'did not answer in time|had thawed|took longer than' "$SANDBOX/stderr" && [ "$TRIES" -lt 8 ] ||
            fail "try $TRIES: $(tail -n 5 "$SANDBOX/stderr")"
        note "try $TRIES: $(tail -n 2 "$SANDBOX/stderr" | tr '\n' ' ' | cut -c 1-300)"
        for vm; do poll 60 guest_agent "$vm" guest-ping; done
        for vm; do poll 60 _no_session "$vm"; done
    done
    POINT=$(report .point)
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
}
_no_session() { [ "$(guest_sh "$1" 'kvss-guest status' | jq -r .phase)" = null ]; }

# databases_prove POINT VM: restored as a copy that is started beside the original; what $DATABASES finds in it is in $SANDBOX/proof.VM
databases_prove() {
    kvss_json restore --yes "$1" "$2" --name "$2-copy"
    guest_wait "$2-copy" 180
    GUEST_TIMEOUT=600 guest_sh "$2-copy" "databases prove $2" > "$SANDBOX/proof.$2" || fail "$2-copy: $(cat "$SANDBOX/proof.$2")"
    destroy_vm "$2-copy"
}

# rows VM NAME: how many rows there are in that table of the copy; last: the highest number. fact VM NAME: what follows it
rows() { awk -v name="$2" '$1 == name { print $2 }' "$SANDBOX/proof.$1"; }
last() { awk -v name="$2" '$1 == name { print $3 }' "$SANDBOX/proof.$1"; }
fact() { sed -n "s|^fact $2 ||p" "$SANDBOX/proof.$1"; }
