#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The files of a writer are those of the moment at which it held them, whatever it does to them before and after: copied where blocks
# cannot be shared, within a limit, else refused before anything is touched; and a writer can be left out (M22, M23, M10). No guest is booted.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define v disks=1 fs=none size=16M agent=no tokens=off
mkdir -p "$WRITERS"
# writer NAME FOLDER: a program of that name, whose files are in the folder; hooks are appended to .NAME.conf
writer() {
    mkdir -p "$2"
    cat > "$WRITERS/$1" <<END
#!/bin/bash
cat > /dev/null
echo "\$1" >> "$SANDBOX/$1.log"
F=$2
[ "\$1" != identify ] || { echo '{"api":1,"name":"Writer $1","id":"'$(uuidgen -n @dns -N "$1" --sha1)'","components":[{"name":"$1",
    "files":[{"path":"$2","filespec":"*","recursive":true}]}]}'; exit 0; }
. "$WRITERS/.$1.conf"
END
    chmod 755 "$WRITERS/$1"
}
component() { report ".writers[] | select(.name == \"Writer $1\") | .components[0].$2"; }

# ---- every kind of change between the events: content, size, a new file, one that goes, a link, a hole
store=$SANDBOX/orders
writer orders "$store"
cat > "$WRITERS/.orders.conf" <<'END'
case $1 in
freeze) echo held > $F/data; head -c 300000 /dev/zero | tr '\0' h > $F/big; truncate -s 5M $F/sparse; printf end >> $F/sparse
    ln -sfn held $F/link; echo new > $F/made; rm -f $F/gone; sha256sum $F/data $F/big $F/sparse $F/made > $F/../sums ;;
thaw) echo thawed > $F/data; head -c 900000 /dev/zero | tr '\0' t > $F/big; ln -sfn thawed $F/link; echo x > $F/late; truncate -s 0 $F/sparse ;;
post-snapshot) echo later > $F/data; rm -f $F/made ;;
esac
END
echo before > "$store/data"
echo gone > "$store/gone"
backup v
assert_eq "$(component orders level)" application "level of what its writer held"
assert_eq "$(jq -r '.points[0].writers[0].components[0].level' <(kvss list points --json))" application "level in the list"
assert_match "$(kvss list points)" 'Writer orders: orders .application' "list points"
assert_match "$(kvss show "$POINT")" 'Writer orders.*application' "show"
held=$(component orders held)
rm -rf "${store:?}"/*
kvss_json restore --yes "$POINT"
sha256sum --quiet -c "$SANDBOX/sums" || fail "the files are not those of the freeze"
assert_eq "$(readlink "$store/link") $(cat "$store/data")" "held held" "link and content as of the freeze"
assert_eq "$(find "$store" -name late -o -name gone | wc -l)" 0 "files that were not there then"
note "held, $held"

# ---- one that has no freeze is told of
writer idle "$SANDBOX/idle"
echo 'exit 2' > "$WRITERS/.idle.conf"
echo here > "$SANDBOX/idle/file"
backup v --writer idle
assert_eq "$(component idle level)" not-held "level of a writer without a freeze"
assert_eq "$(report '.left_out | join(",")')" "Writer orders" "writers left out"

# ---- too much: refused before any writer hears of it
: > "$SANDBOX/orders.log"
truncate -s 3G "$store/large"
kvss_fails "$EXIT_REFUSED" backup v
assert_match "$OUTPUT" 'Writer orders, component orders.*3.0 GiB.*2.0 GiB.*--no-writers' "what is too much, and the remedy"
assert_eq "$(grep -vc identify "$SANDBOX/orders.log" || :)" 0 "events of a backup that was refused"
backup v --writer "writer IDLE"
kvss_fails "$EXIT_REFUSED" backup v --writer orders --writer-copy-limit 1GiB
kvss_fails "$EXIT_FAILED" backup v --writer ordres
assert_match "$OUTPUT" "unknown writer 'ordres'" "a writer that there is not"
kvss_fails "$EXIT_USAGE" backup v --writer orders --no-writers
: > "$SANDBOX/orders.log"
backup v --no-writers
assert_eq "$(report '.writers | length') $(wc -l < "$SANDBOX/orders.log")" "0 0" "writers, and events of them"
assert_eq "$(report '.left_out | sort | join(",")')" "idle,orders" "programs left out"
rm "$store/large"

# ---- a name that cannot be stored: refused before any writer hears of it, and check says so
name=$store/$(printf 'a\xff\xfe')
touch "$name"
: > "$SANDBOX/orders.log"
kvss_fails "$EXIT_REFUSED" backup v
assert_match "$OUTPUT" 'Writer orders, component orders.*/a.xff.xfe is not UTF-8.*rename it.*--no-writers' "the name, and the remedy"
kvss_fails "$EXIT_REFUSED" check v --json
assert_match "$(report '.findings[] | select(.id == "writer-files") | .text')" '/a.xff.xfe is not UTF-8.*--no-writers' "what check says"
rm "$name"
ln -s "$(printf '\xff')" "$store/odd"
kvss_fails "$EXIT_REFUSED" backup v
assert_match "$OUTPUT" '/odd: .*.xff is not UTF-8' "the link"
rm "$store/odd"
assert_eq "$(grep -vc identify "$SANDBOX/orders.log" || :)" 0 "events of backups that were refused"
kvss_json check v
ALLOW_CHECKPOINTS='' assert_nothing_left

# ---- what has no content is left out, with a word
mkfifo "$store/b" "$store/c"
mknod "$store/d" c 1 3
backup v --writer orders
assert_match "$(component orders 'warnings | join("; ")')" "^3 files were skipped.*$store/b and others" "what was left out"
assert_match "$(kvss show "$POINT")" 'warning: 3 files were skipped' "show"
rm "$store/b" "$store/c" "$store/d"
backup v --writer orders
assert_eq "$(component orders 'warnings | length')" 0 "warnings where nothing is left out"

# ---- it grows while it is held: the backup fails, the writer is let go
# shellcheck disable=SC2016 # for the writer
echo '[ $1 != freeze ] || truncate -s 3G $F/large; [ $1 != abort ] || rm $F/large' > "$WRITERS/.orders.conf"
kvss_fails "$EXIT_FAILED" backup v --writer orders
assert_match "$OUTPUT" 'Writer orders.*3.0 GiB' "what became too much"
assert_match "$(tr '\n' ' ' < "$SANDBOX/orders.log")" 'freeze .*abort' "events"
ALLOW_CHECKPOINTS='' assert_nothing_left

# ---- from a snapshot of the volume, or shared, where the file system can, whatever the size
mkdir "$SANDBOX/btrfs"
truncate -s 200M "$SANDBOX/btrfs.img"
if mkfs.btrfs -q "$SANDBOX/btrfs.img" > /dev/null 2>&1 && mount -o loop "$SANDBOX/btrfs.img" "$SANDBOX/btrfs" 2> /dev/null; then
    volume=$SANDBOX/btrfs
    writer shared "$volume/files"
    # shellcheck disable=SC2016 # for the writer
    echo 'case $1 in freeze) echo held > $F/data ;; thaw) echo thawed > $F/data ;; post-snapshot) echo later > $F/data ;; esac' > "$WRITERS/.shared.conf"
    head -c 4M /dev/urandom > "$volume/files/large"
    sha256sum "$volume/files/large" > "$SANDBOX/sums"
    left_on_volume() { assert_eq "$(find "$volume" -name '.kvss-*')" "" "left on the volume"; }
    # comes_back DATA HOW: a backup of it, and a restore after all is lost
    comes_back() {
        backup v --writer shared --writer-copy-limit 1MiB
        assert_eq "$(component shared held)" "$2" "how it was held"
        left_on_volume
        find "$volume/files" -type f -delete
        kvss_json restore --yes "$POINT"
        assert_eq "$(cat "$volume/files/data")" "$1" "content"
        sha256sum --quiet -c "$SANDBOX/sums" || fail "the large file is not what it was"
    }
    comes_back held snapshot
    assert_eq "$(report '.files | length')" 1 "components restored"
    backup v --writer shared
    assert_eq "$(report '.shadow_copies[] | select(.device).provider')" btrfs "provider of the volume"
    # a writer that puts its files in order in the snapshot (auto-recovery): that is what is stored
    # shellcheck disable=SC2016 # for the writer
    sed -i 's/^cat > .*/input=$(cat)/' "$WRITERS/shared"
    cat >> "$WRITERS/.shared.conf" <<'END'
[ $1 != post-snapshot ] || echo recovered > "$(jq -r '.snapshots[] | select(.device).device' <<< "$input")/files/data"
END
    comes_back recovered snapshot
    # killed with the snapshot made: recover removes it
    if grep -q KVSS_TEST_FAULT "$KVSS"; then
        KVSS_TEST_FAULT=killall:volume-copy:done KVSS_TEST_FAULT_LOG=$SANDBOX/fault.log kvss backup v --writer shared > /dev/null 2>&1 || :
        assert_match "$(find "$volume" -maxdepth 1 -name '.kvss-*')" kvss "the snapshot of a session that was killed"
        kvss recover > /dev/null
        left_on_volume
    fi
    # what is in a subvolume of its own is in no snapshot of this one
    sed -i '/recovered/d' "$WRITERS/.shared.conf"
    btrfs -q subvolume create "$volume/files/own"
    echo own > "$volume/files/own/file"
    comes_back held shared
    btrfs -q subvolume delete "$volume/files/own"
    # nor is a volume used in whose folder others could put something else
    chmod 777 "$volume"
    comes_back held shared
    umount "$volume"
    note "from snapshots, and blocks are shared"
else
    note "no btrfs here: snapshots and sharing blocks were not tried"
fi
