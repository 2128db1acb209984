#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# what chain functions set is not seen from here
# shellcheck disable=SC2016,SC2086,SC2153,SC2154
# Increments of raw disks, which cannot store dirty bitmaps: with keep-copies a copy that shares the image's blocks stays from one backup to
# the next, and only what lies elsewhere since is read (B4). Byte for byte, in any order: over data, holes, zeros, discards, an image whose
# content is exchanged in its place by clones of an older one. A copy that was changed, is missing, or not wanted any more is read past, and
# says so. An image of a format whose offsets are not the disk's (vdi) is read whole. Nothing stays that is not wanted, whoever is killed.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
export KVSS_TEST_PROVIDER=${KVSS_TEST_PROVIDER:-btrfs}
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_chain.sh
. "$(dirname "$0")/../lib/functions_chain.sh"

kvss_setup
echo 'keep-copies = yes' >> /etc/kvss/kvss.conf
guest_define one fs=ext4,none,none,none format=qcow2,raw,raw,vdi size=256M tokens=off
guest_start one
guest_wait one
kept() { find "$IMAGES" -name '.kvss-kept-*' | wc -l; }
whole() { report_vm one '[.whole[].target] | join(" ")'; }
disk_was() { report ".details[0].disks[] | select(.target == \"$1\") | .$2"; } # TARGET KEY: after kvss_json show

# incremental LABEL [WHOLE]: the next backup is one, and reads no disk in full but these
incremental() {
    truth $1 one vdb vdc vdd
    backup one
    POINTS[$1]=$POINT
    assert_type one incremental
    assert_eq "$(whole)" "${2:+$2 }vdd" "disks read whole ($1)"
    kvss_json show "$POINT"
}

GUEST_TIMEOUT=60
guest_write one vdb 1M 3 120
guest_write one vdc 1M 0 60
guest_write one vdd 1M 0 8
truth full one vdb vdc vdd
backup one
POINTS[full]=$POINT
assert_type one full 'no earlier restore point'
assert_eq "$(kept)" 2 "copies that are kept"

guest_write one vdb 1000 5001 3
guest_write one vdb 64k 400 2
guest_write one vdb 1M 200 3 # into a hole
guest_write one vdb 1M 40 4 /dev/zero
guest_sh one "blkdiscard -o 100M -l 10M /dev/vdb 2> /dev/null || :"
incremental inc1
assert_le "$(disk_was vdb read)" $((48 << 20)) "bytes read of vdb, of 256 MiB"
assert_ge "$(disk_was vdb dirty)" $((7 << 20)) "bytes changed of vdb"
assert_le "$(disk_was vdc read)" $((2 << 20)) "bytes read of vdc, which nobody wrote" # samples
assert_eq "$(kept)" 2 "copies that are kept"
note "$KVSS_TEST_PROVIDER: $(disk_was vdb read) read of vdb, $(disk_was vdc read) of vdc"

# ---- the content of an image is exchanged in its place, for an older one of the same file system: its blocks are older than the copy
cp --reflink=always "$IMAGES/one-vdc.raw" "$IMAGES/one-old"
guest_write one vdc 1M 10 20
incremental inc2
guest_stop one
cp --reflink=always "$IMAGES/one-old" "$IMAGES/one-vdc.raw"
guest_start one
guest_wait one
guest_write one vdb 64k 7 1
incremental inc3
note "after an older image was put back: $(disk_was vdc read) read of vdc"

# ---- off: read by what was kept, and the chain stays where it was
guest_write one vdb 64k 9 5
guest_write one vdd 64k 9 5 # into blocks that the image has
guest_stop one
qemu-io -f raw -c 'write -q -P 0x5a 20M 100k' "$IMAGES/one-vdb.raw"
incremental off
assert_report_vm one .checkpoint null
assert_le "$(disk_was vdb read)" $((16 << 20)) "bytes read of vdb while it is off"
guest_start one
guest_wait one

# ---- killed, with its watchdog, while copies are made, and when they are; or the backup fails then: they are removed
guest_write one vdb 64k 11 5
for step in kill:kept-copy:begin killall:kept-copy:done kill:prepare-point:begin killall:publish-point:begin fail:publish-point:begin; do
    KVSS_TEST_FAULT=$step kvss backup one > /dev/null 2> "$SANDBOX/stderr" && fail "it went well: $step"
    kvss recover > /dev/null 2>> "$SANDBOX/stderr" || fail "recover: $(cat "$SANDBOX/stderr")"
    assert_eq "$(kept)" 2 "copies that are kept ($step)"
done
incremental killed
assert_eq "$(kept)" 2 "copies that are kept"

# ---- differential: the copy of the full one stays
guest_write one vdb 64k 13 1
backup one --type full
POINTS[full2]=$POINT
truth full2 one vdb vdc vdd
guest_write one vdb 64k 14 1
backup one --type differential
assert_type one differential
guest_write one vdb 64k 15 1
truth diff one vdb vdc vdd
backup one --type differential
POINTS[diff]=$POINT
assert_type one differential
assert_report_vm one .since "${POINTS[full2]}"
assert_eq "$(whole)" "vdd" "disks read whole"
assert_eq "$(kept)" 4 "copies that are kept"
backup one --type copy
assert_eq "$(kept)" 4 "copies that are kept after a copy"

# ---- a copy that somebody wrote to, and one that is missing
for damage in 'chmod u+w $copy; printf x | dd of=$copy bs=1 seek=99 conv=notrunc status=none; chmod u-w $copy' 'rm $copy'; do
    backup one
    copy=$(find "$IMAGES" -name ".kvss-kept-*-vdb-$(report_vm one .checkpoint)")
    eval "$damage"
    guest_write one vdb 64k 17 1
    incremental damaged vdb
    note "$(report '.details[0].disks[] | select(.target == "vdb") | .why_whole')"
done

for label in inc2 full off inc1 inc3 killed diff damaged; do assert_restored "${POINTS[$label]}" $label one vdb vdc vdd; done

# ---- the images are others now; and nothing is kept once that is not wanted
guest_start one 2> /dev/null || :
guest_wait one
guest_write one vdb 64k 19 1
truth restored one vdb vdc vdd
backup one # in full, or by the copy, to which an image that has an inode number again is compared as any other is
POINTS[restored]=$POINT
sed -i '/keep-copies/d' /etc/kvss/kvss.conf
kvss_json backup one # what was kept is used once more; that of the full one waits for a differential
assert_eq "$(whole)" "vdd" "disks read whole by the copies of the backup before"
backup one --type full
assert_eq "$(kept)" 0 "copies that are kept"
backup one
assert_eq "$(whole)" "vdb vdc vdd" "disks read whole without copies"
assert_match "$(report_vm one '.whole[0].why')" 'raw cannot store dirty bitmaps.*keep-copies' "why"
echo 'keep-copies = yes' >> /etc/kvss/kvss.conf
backup one
others=$(find "$IMAGES" -name '.kvss-kept-*-vdb-*' | head -n 1 | sed 's/-vdb-/-vdz-/')
echo "of somebody else" > "$others"
kvss checkpoint drop one > /dev/null
assert_eq "$(find "$IMAGES" -name '.kvss-kept-*')" "$others" "copies after kvss checkpoint drop, and a file of such a name that is not kvss's"
rm "$others"
kvss verify > /dev/null
assert_restored "${POINTS[restored]}" restored one vdb vdc vdd
