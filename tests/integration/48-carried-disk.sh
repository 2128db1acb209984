#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# what functions of chains set is not seen from here
# shellcheck disable=SC2153,SC2154
# A disk that is carried from host to host has exFAT on it: no owners, no modes, no links, no holes. A repository there works in full
# (init once and not twice, incremental backups, forget, prune, fsck, copy), a VM is restored from it, and one is restored to it and runs
# there; that its files keep no owner is told. B4, M14.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_chain.sh
. "$(dirname "$0")/../lib/functions_chain.sh"

requires test -c /dev/fuse
kvss_setup
disk=$SANDBOX/carried
truncate -s 600M "$SANDBOX/exfat"
mkfs.exfat "$SANDBOX/exfat" > /dev/null
loop=$(losetup --find --show "$SANDBOX/exfat")
cleanup_fn losetup --detach "$loop"
mkdir "$disk"
mount.exfat-fuse -o allow_other "$loop" "$disk" > /dev/null
cleanup_fn umount "$disk"
home=$KVSS_REPOSITORY
export KVSS_REPOSITORY=$disk/repository
kvss init > /dev/null 2>&1
kvss_fails "$EXIT_FAILED" init
assert_match "$OUTPUT" 'already'
guest_define web fs=none tokens=off size=64M
guest_start web
guest_wait web

guest_write web vda 64k 10 20
backup web
POINTS[1]=$POINT
truth 1 web vda
guest_write web vda 64k 40 8
backup web
assert_report_vm web .type incremental
POINTS[2]=$POINT
truth 2 web vda
kvss_json copy "${POINTS[2]}" --to "$home"
kvss_json forget "${POINTS[1]}" --prune --now
kvss_json fsck --read-data
assert_eq "$(report .count)" 0 "findings"
kvss verify > /dev/null
assert_restored "${POINTS[2]}" 2 web vda
note "repository"

mkdir "$disk/vms"
kvss restore --yes "${POINTS[2]}" web --move --to "$disk/vms" > "$SANDBOX/out" 2>&1
assert_match "$(cat "$SANDBOX/out")" "$disk/vms/web-vda.qcow2: cannot set the owner"
assert_file "$disk/vms/web-vda.qcow2"
guest_wait web
assert_match "$(virsh domblklist web)" "$disk/vms/web-vda.qcow2"
virsh -q destroy web
guest_remember_disks web
assert_nothing_left
