#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2030,SC2031,SC2153 # POINT is set by backup(); what subshells set is for them alone
# What this host remembers of a repository holds against the storage and against other hosts (B3, B4): one that was put in its place,
# encrypted or not, one that was rolled back, restore points that vanish or come back, and one of another host that lays claim to a
# checkpoint. What people do on purpose goes on: a repository moved, replaced, restored from a copy, used by two hosts.
# In `make test` 88-catalogue and 23-mutant-repositories have repositories that others have changed.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

KNOWN=/var/lib/kvss/known

# define NAME SIZE: a VM without an operating system
define() {
    qemu-img create -q -f qcow2 "$IMAGES/$1.qcow2" "$2"
    qemu-io -c "write -q -P 0x5a 1M 3M" "$IMAGES/$1.qcow2"
    virsh -q define /dev/stdin << END
<domain type='$GUEST_TYPE'><name>$1</name><memory unit='MiB'>32</memory><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$IMAGES/$1.qcow2'/><target dev='vda' bus='virtio'/></disk>
</devices></domain>
END
}

# point_file ID: where it is; points_hidden: where a storage hides them
point_file() { echo "$KVSS_REPOSITORY/points/$1"; }
hide() { mv "$(point_file "$1")" "$SANDBOX/$1"; }
unhide() { mv "$SANDBOX/$1" "$(point_file "$1")"; }
change_disk() { qemu-io -c "write -q -P $1 $2 64k" "$IMAGES/off.qcow2"; }

kvss_setup
define off 8M
backup off
first=$POINT
change_disk 1 4M
backup off
second=$POINT

note "only this user can read what is remembered"
assert_eq "$(stat -c %a $KNOWN)" 700 "mode of the folder"
assert_eq "$(stat -c %a $KNOWN/* | sort -u)" 600 "mode of the files"
master=$(grep -rlF "$(cat "$KVSS_PASSWORD_FILE")" $KNOWN || :)
assert_eq "$master" "" "files with the passphrase"

note "the newest is hidden: what writes is refused, what reads warns and goes on, and afterwards all is well"
hide "$second"
kvss_json list points
assert_eq "$(report '.missing[]')" "$second" "what list reports"
assert_match "$(cat "$SANDBOX/stderr")" "rolled back.*--accept-rollback" "what list warns of"
kvss_fails "$EXIT_REFUSED" check off --json
assert_match "$(report '.findings[] | select(.id == "repository-rolled-back").level')" error "what check finds"
kvss_fails "$EXIT_DAMAGED" fsck
assert_match "$(cat "$REPORT")" "MISSING: restore point ${second:0:12}" "what fsck reports"
kvss_fails "$EXIT_DAMAGED" verify
assert_match "$(cat "$REPORT")" "MISSING: restore point ${second:0:12}" "what verify reports"
kvss -q verify "$first" > /dev/null 2>&1 # that one is all there
for job in "backup off" "forget $first" prune; do
    # shellcheck disable=SC2086 # words
    kvss_fails "$EXIT_REFUSED" $job
    assert_match "$OUTPUT" "${second:0:12}.*--accept-rollback" "why $job is refused"
done
kvss restore --yes "$first" off --images-only --to "$SANDBOX/out" > /dev/null 2> "$SANDBOX/stderr"
assert_match "$(cat "$SANDBOX/stderr")" "rolled back" "what restore warns of"
unhide "$second"
kvss_json list points
assert_eq "$(report '.missing | length') $(cat "$SANDBOX/stderr")" "0 " "missing when it is back"

note "an older one is hidden: somebody else may have forgotten it; backups report it once"
hide "$first"
change_disk 2 4M
kvss backup off > "$SANDBOX/out1" 2> "$SANDBOX/stderr"
assert_match "$(cat "$SANDBOX/stderr")" "no longer in the repository .*${first:0:12}" "what the backup warns of"
kvss -q backup off > "$SANDBOX/out1" 2> "$SANDBOX/stderr"
kvss backup off 2>&1 > "$SANDBOX/out1" | { grep kvss: || :; } > "$SANDBOX/stderr"
assert_eq "$(cat "$SANDBOX/stderr")" "" "what the next one warns of"
kvss_fails "$EXIT_DAMAGED" verify --json # hosts have signed for it, and none for removing it
assert_eq "$(report '.missing[]')" "$first" "what verify reports"
unhide "$first"

note "a point that was forgotten is put back"
cp "$(point_file "$second")" "$SANDBOX/copy"
kvss forget "$second" > /dev/null
cp "$SANDBOX/copy" "$(point_file "$second")"
kvss_json list points
assert_eq "$(report '.returned[]')" "$second" "what list reports"
kvss --accept-rollback list points > /dev/null
kvss_json list points
assert_eq "$(report '.returned | length')" 0 "reported when it was accepted"

note "the whole repository is rolled back, and the administrator says that this is right"
cp -a "$KVSS_REPOSITORY" "$SANDBOX/older"
change_disk 3 4M
backup off
rm -rf "${KVSS_REPOSITORY:?}" && mv "$SANDBOX/older" "$KVSS_REPOSITORY"
kvss_fails "$EXIT_REFUSED" backup off
kvss --accept-rollback backup off > /dev/null
backup off

note "another host works in the repository too: nothing is refused, and what it forgets is reported"
mkdir "$SANDBOX/other-host"
# shellcheck disable=SC2016 # of the inner shell
as_other_host() { unshare --mount sh -c 'mount --bind "$0" /var/lib/kvss && "$@"' "$SANDBOX/other-host" "$@"; }
as_other_host "$KVSS" backup off 2>&1 > /dev/null | { grep kvss: || :; } > "$SANDBOX/stderr"
assert_eq "$(cat "$SANDBOX/stderr")" "" "what the other host warns of"
theirs=$(kvss list points --json | jq -r '.points[-1].id')
backup off
as_other_host "$KVSS" forget "$theirs" > /dev/null
backup off

note "another repository is put in its place"
mv "$KVSS_REPOSITORY" "$SANDBOX/true"
for option in --no-encryption ""; do
    # shellcheck disable=SC2086 # none
    (cd / && KVSS_REPOSITORY=$SANDBOX/fake as_other_host "$KVSS" init $option > /dev/null)
    mv "$SANDBOX/fake" "$KVSS_REPOSITORY"
    password=$KVSS_PASSWORD_FILE
    [ -z "$option" ] || unset KVSS_PASSWORD_FILE
    for job in "backup off" prune "restore --yes $first off --images-only --to $SANDBOX/out2"; do
        # shellcheck disable=SC2086 # words
        kvss_fails "$EXIT_REFUSED" $job
        assert_match "$OUTPUT" "not the repository that this host knows.*--accept-new-repository" "why $job is refused"
    done
    kvss list points > /dev/null 2> "$SANDBOX/stderr" # reading goes on
    assert_match "$(cat "$SANDBOX/stderr")" "not the repository" "what list warns of"
    export KVSS_PASSWORD_FILE=$password
    rm -rf "${KVSS_REPOSITORY:?}"
done
mv "$SANDBOX/true" "$SANDBOX/moved"
KVSS_REPOSITORY=$SANDBOX/moved kvss backup off > /dev/null # a known one may be anywhere
mv "$SANDBOX/moved" "$KVSS_REPOSITORY"
backup off

if [ "${KVSS_TEST_FULL:-}" = 1 ]; then
note "with its GUID, but without encryption, and with other keys"
cp -a "$KVSS_REPOSITORY" "$SANDBOX/true"
guid=$(sed -n 's/^guid=//p' "$KVSS_REPOSITORY/config")
(cd / && KVSS_REPOSITORY=$SANDBOX/plain as_other_host "$KVSS" init --no-encryption > /dev/null)
sed -i "s/^guid=.*/guid=$guid/;/^mac=/d" "$SANDBOX/plain/config"
echo "mac=$(sha256sum < "$SANDBOX/plain/config" | cut -d ' ' -f 1)" >> "$SANDBOX/plain/config"
rm -rf "${KVSS_REPOSITORY:?}" && mv "$SANDBOX/plain" "$KVSS_REPOSITORY"
(unset KVSS_PASSWORD_FILE && kvss_fails "$EXIT_REFUSED" backup off && assert_match "$OUTPUT" "it was encrypted" "why")
rm -rf "${KVSS_REPOSITORY:?}" && mv "$SANDBOX/true" "$KVSS_REPOSITORY"
backup off

note "a new repository in the place of the old one is a matter of one word, and of kvss init by itself"
rm -rf "${KVSS_REPOSITORY:?}"
(cd / && KVSS_REPOSITORY=$SANDBOX/new as_other_host "$KVSS" init > /dev/null && mv "$SANDBOX/new" "$KVSS_REPOSITORY")
kvss --accept-new-repository backup off > /dev/null
backup off
rm -rf "${KVSS_REPOSITORY:?}"
kvss init > /dev/null 2>&1
backup off

fi

note "encryption = required"
printf 'encryption = required\n' > "$SANDBOX/kvss.conf"
kvss --config "$SANDBOX/kvss.conf" backup off > /dev/null
(unset KVSS_PASSWORD_FILE
    KVSS_REPOSITORY=$SANDBOX/clear kvss init --no-encryption > /dev/null
    export KVSS_REPOSITORY=$SANDBOX/clear
    kvss_fails "$EXIT_REFUSED" --config "$SANDBOX/kvss.conf" backup off
    assert_match "$OUTPUT" "not encrypted.*encryption = required" "why"
    kvss_fails "$EXIT_REFUSED" --config "$SANDBOX/kvss.conf" list points
    export KVSS_REPOSITORY=$SANDBOX/clear2
    kvss_fails "$EXIT_REFUSED" --config "$SANDBOX/kvss.conf" init --no-encryption
    [ ! -e "$SANDBOX/clear2" ] || fail "a repository was made")

note "another host makes a point that names a checkpoint of this host's VM"
define live 16M
virsh -q start live
backup live
backup live
assert_report_vm live .type incremental
forged=$("$KVSS_BUILD/tests/tools/forgepoint" "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "$POINT" 8388608 102)
kvss_json backup live
assert_report_vm live .type full
assert_match "$(report_vm live .why_type)" "${forged:0:12}.*forged" "why it is full"
POINT=$(report .point)
kvss restore --yes "$POINT" live --images-only --to "$SANDBOX/out3" > /dev/null
image_raw "$SANDBOX/out3/live.qcow2" "$SANDBOX/live.raw"
assert_eq "$(dd if="$SANDBOX/live.raw" bs=64k skip=128 count=1 status=none | tr -d '\0' | wc -c)" 0 "bytes of the forgery in the new point"
kvss forget "$forged" > /dev/null
backup live
assert_report_vm live .type incremental

note "a host without a memory trusts what it finds, unless two lay claim to one checkpoint"
rm -rf $KNOWN
backup live
assert_report_vm live .type incremental
rm -rf $KNOWN
"$KVSS_BUILD/tests/tools/forgepoint" "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "$POINT" 8388608 102 > /dev/null
"$KVSS_BUILD/tests/tools/forgepoint" "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "$POINT" 8388608 103 > /dev/null
kvss_json backup live
assert_match "$(report_vm live '.type + " " + .why_type')" "^full .*was created by another host" "the next backup"

note "killed between the publishing and the note of it: the point counts as made by this host"
(KVSS_TEST_FAULT=kill:publish-point:done "$KVSS" backup live > /dev/null 2>&1) || :
backup live
kvss_json show latest
assert_eq "$(report '.vms[0].type')" incremental "the backup after it"

note "a file that is damaged: nothing is written, reading goes on, and removing it is the way on"
echo '{"known": 1, "points": {"x": 1}}' > "$KNOWN/$(sed -n 's/^guid=//p' "$KVSS_REPOSITORY/config")"
kvss_fails "$EXIT_FAILED" backup off
assert_match "$OUTPUT" "remove the file" "what it says"
kvss list points > /dev/null 2>&1
rm -rf "$KNOWN"
backup off
virsh -q destroy live
