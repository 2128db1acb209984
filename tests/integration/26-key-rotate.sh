#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2153 # POINT is set by backup()
# A key that was removed opens nothing, whatever the storage puts back; a new master key keeps what is stored and shuts out whoever has the
# old one; another host goes on with the new passphrase; and a repository of version 1 is usable until it is upgraded, and after. B3, B4.
# No guest is needed.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

KNOWN=/var/lib/kvss/known
kvss_setup
head -c 3M /dev/urandom > "$IMAGES/off.raw"
virsh -q define /dev/stdin << END1
<domain type='$GUEST_TYPE'><name>off</name><memory unit='MiB'>32</memory><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$IMAGES/off.raw'/><target dev='vda' bus='virtio'/></disk>
</devices></domain>
END1
(umask 077 && echo second > "$SANDBOX/second" && echo third > "$SANDBOX/third" && echo 'only a test' > "$SANDBOX/first")
first=$KVSS_PASSWORD_FILE

# holds POINT FILE: the point's disk is that file, byte for byte
holds() {
    rm -rf "$SANDBOX/out"
    kvss restore --yes "$1" off --images-only --to "$SANDBOX/out" > "$SANDBOX/log" 2>&1 || fail "$(cat "$SANDBOX/log")"
    cmp "$SANDBOX/out/off.raw" "$2" || fail "restore point $1 holds something else"
}
change() { dd if=/dev/urandom of="$IMAGES/off.raw" bs=64k seek="$1" count=2 conv=notrunc status=none; }

backup off
one=$POINT
cp "$IMAGES/off.raw" "$SANDBOX/one.raw"

note "a key that was removed opens nothing, put back or not"
mkdir "$SANDBOX/keys"
kvss key add --new-password-file "$SANDBOX/second" > /dev/null
kvss --password-file "$SANDBOX/second" list points > /dev/null
cp "$KVSS_REPOSITORY"/keys/* "$SANDBOX/keys"
cp "$KVSS_REPOSITORY/config" "$SANDBOX/config"
kvss_json --password-file "$SANDBOX/second" key list
kvss key remove "$(report '.keys[] | select(.current).id')" > /dev/null
kvss_fails "$EXIT_FAILED" --password-file "$SANDBOX/second" list points
cp "$SANDBOX"/keys/* "$KVSS_REPOSITORY/keys"
kvss_fails "$EXIT_FAILED" --password-file "$SANDBOX/second" list points
assert_match "$OUTPUT" 'does not match any of its keys \(key objects not tried because they were removed.*: 1' "what is said"
kvss_json key list
assert_eq "$(report '[.keys[] | .removed] | sort | map(tostring) | join(" ")')" "false true" "keys that count"

note "an older list of keys that is put back is noticed by this host"
cp "$KVSS_REPOSITORY/config" "$SANDBOX/newer"
cp "$SANDBOX/config" "$KVSS_REPOSITORY/config"
kvss_fails "$EXIT_REFUSED" backup off
assert_match "$OUTPUT" 'list of keys was replaced by an older one' "what is said"
cp "$SANDBOX/newer" "$KVSS_REPOSITORY/config"
backup off

note "a new master key: refused where others' keys would go, and while a backup runs"
kvss key add --new-password-file "$SANDBOX/second" > /dev/null
kvss_fails "$EXIT_REFUSED" key rotate --new-password-file "$SANDBOX/third"
assert_match "$OUTPUT" '1 other key .*--remove-other-keys' "what is said"
cp -a "$KVSS_REPOSITORY" "$SANDBOX/old-repository"
cp -a "$KNOWN" "$SANDBOX/other-host"
KVSS_TEST_FAULT=hang:publish-point:begin "$KVSS" backup off > "$SANDBOX/log" 2>&1 &
backup=$!
poll 60 compgen -G "$KVSS_REPOSITORY/tmp/*" > /dev/null
kvss_fails "$EXIT_FAILED" key rotate --new-password-file "$SANDBOX/third" --remove-other-keys
assert_match "$OUTPUT" 'locked by backup' "what is said"
pkill -KILL -x kvss || :
wait $backup || :
kvss recover > /dev/null 2>&1 || :

note "rotated: old restore points read, new ones are made, increments go on, the old keys open nothing"
kvss_json key rotate --new-password-file "$SANDBOX/third" --remove-other-keys
assert_eq "$(report '.removed_keys | length')" 2 "keys removed"
export KVSS_PASSWORD_FILE=$SANDBOX/third
for key in "$first" "$SANDBOX/second"; do kvss_fails "$EXIT_FAILED" --password-file "$key" list points; done
cp "$SANDBOX"/keys/* "$KVSS_REPOSITORY/keys"
for key in "$first" "$SANDBOX/second"; do kvss_fails "$EXIT_FAILED" --password-file "$key" list points; done
holds "$one" "$SANDBOX/one.raw"
backup off
assert_le "$(report '[.vms[].disks[]?.stored // 0] | add')" 65536 "bytes stored of what was there before"
change 7
backup off
two=$POINT
holds "$two" "$IMAGES/off.raw"
kvss verify > /dev/null
kvss fsck > /dev/null
kvss forget "$one" > /dev/null
kvss prune --now > /dev/null
holds "$two" "$IMAGES/off.raw"
kvss verify > /dev/null

note "the other host, which knows the old master key, goes on with the new passphrase"
mv "$KNOWN" "$SANDBOX/this-host"
mv "$SANDBOX/other-host" "$KNOWN"
kvss list points > /dev/null 2> "$SANDBOX/stderr"
assert_no_match "$(cat "$SANDBOX/stderr")" 'not the repository' "what it says"
backup off
rm -rf "$KNOWN"
mv "$SANDBOX/this-host" "$KNOWN"

note "the repository of before the rotation is put in its place: refused"
mv "$KVSS_REPOSITORY" "$SANDBOX/true-repository"
cp -a "$SANDBOX/old-repository" "$KVSS_REPOSITORY"
kvss_fails "$EXIT_REFUSED" --password-file "$first" backup off
assert_match "$OUTPUT" 'its master key has changed' "what is said"
rm -rf "$KVSS_REPOSITORY"
mv "$SANDBOX/true-repository" "$KVSS_REPOSITORY"

note "version 1: usable as it is, warns of what it cannot do, and is upgraded"
mkdir -m 700 "$SANDBOX/encrypted"
tar -C "$SANDBOX/encrypted" -xf "$TESTS/golden/repository/encrypted.tar"
export KVSS_REPOSITORY=$SANDBOX/encrypted KVSS_PASSWORD_FILE=$SANDBOX/first
backup off
three=$POINT
kvss_fails "$EXIT_FAILED" key rotate --new-password-file "$SANDBOX/third"
assert_match "$OUTPUT" 'kvss upgrade' "why it is not rotated"
kvss key change --new-password-file "$SANDBOX/second" > /dev/null 2> "$SANDBOX/stderr"
assert_match "$(cat "$SANDBOX/stderr")" 'version 1.*opens the repository again' "what a change warns of"
export KVSS_PASSWORD_FILE=$SANDBOX/second
assert_match "$(head -n 2 "$KVSS_REPOSITORY/config" | tail -n 1)" '^version=1$' "the version"
kvss_json upgrade
assert_eq "$(report '"\(.version) \(.upgraded) \(.keys | length)"')" "2 true 1" "the upgrade"
kvss_json upgrade
assert_eq "$(report .upgraded)" false "a second one"
kvss key rotate --new-password-file "$SANDBOX/third" > /dev/null
export KVSS_PASSWORD_FILE=$SANDBOX/third
holds "$three" "$IMAGES/off.raw"
kvss verify > /dev/null
backup off
kvss fsck > /dev/null
