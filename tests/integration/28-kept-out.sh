#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Members of QEMU's group, who could not read an image, cannot read it through a backup either, and reach nothing that root believes: they
# cannot enter the session's folder, nor the folder of a backup job's socket, which libvirt leaves open to them; that one has its mode
# back afterwards, whoever dies (B2, M22).
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
vm=ledger
bare_define $vm
chmod 600 "$IMAGES/$vm.qcow2"
guest_start $vm
folder() { echo /var/lib/libvirt/qemu/domain-*-$vm; } # another one after each start, so after Saved State
group=$(stat -c %g "$(folder)")
mode=$(stat -c %a "$(folder)")

# What a user who has nothing but QEMU's group can do.
member() { setpriv --reuid 64777 --regid 64777 --groups "$group" --no-new-privs "$@"; }

# can_enter FOLDER: yes or no
can_enter() { if member test -x "$1" || member ls "$1" > /dev/null 2>&1; then echo yes; else echo no; fi; }

is_mode() { [ "$(stat -c %a "$(folder)")" = "$1" ]; }

# at_the_job ACTION: a backup that comes to its job and waits there, or dies there
at_the_job() {
    rm -f "$SANDBOX/log" "$SANDBOX/log.go"
    KVSS_TEST_FAULT=$1:backup-job:done KVSS_TEST_FAULT_LOG=$SANDBOX/log "$KVSS" backup $vm --quiet > "$SANDBOX/out" 2>&1 &
    BACKUP=$!
    poll 60 grep -q "^fault $1" "$SANDBOX/log"
}

assert_eq "$(can_enter "$(folder)")" yes "libvirt's folder, open to the group before"
[[ $mode != 700 ]] || fail "libvirt's folder has nobody to be kept out of it"
assert_match "$(member head -c 1 "$IMAGES/$vm.qcow2" 2>&1)" 'Permission denied' "a member who reads the image"

at_the_job wait
socket=$(find /var/lib/libvirt/qemu -type s -name 'kvss-*')
disk="nbd+unix:///vda?socket=$socket"
assert_match "$(nbdinfo --json "$disk" 2>&1)" '"exports"' "root, who reads the disk through the job"
assert_match "$(member nbdinfo --json "$disk" 2>&1)" 'Permission denied' "a member, who tries the same"
assert_eq "$(stat -c %a "$(folder)")" 700 "mode of libvirt's folder during the job"
sessions=$(find /run/kvss -mindepth 1 -maxdepth 1 -type d)
assert_match "$sessions" '/session-' "folders in /run/kvss"
for dir in $sessions; do
    assert_eq "$dir $(can_enter "$dir")" "$dir no" "a member in a folder of the session"
done
assert_eq "$(find /run/kvss/session-* -user libvirt-qemu -o -group "$group" | sort)" "" "QEMU's files in the session's folder"
touch "$SANDBOX/log.go"
wait $BACKUP || fail "the backup: $(cat "$SANDBOX/out")"
assert_eq "$(stat -c %a "$(folder)")" "$mode" "mode of libvirt's folder after the backup"
note "nobody but root and QEMU's user gets in"

at_the_job killall
wait $BACKUP 2> /dev/null || :
assert_eq "$(stat -c %a "$(folder)")" 700 "mode of libvirt's folder, of a session that is dead"
kvss recover > /dev/null
assert_eq "$(stat -c %a "$(folder)")" "$mode" "mode of libvirt's folder after kvss recover"
at_the_job kill
wait $BACKUP 2> /dev/null || :
poll 60 is_mode "$mode"
kvss recover > /dev/null
assert_eq "$(stat -c %a "$(folder)")" "$mode" "mode of libvirt's folder after the watchdog"

# Somebody else sets the mode meanwhile: theirs stays.
at_the_job wait
chmod 711 "$(folder)"
touch "$SANDBOX/log.go"
wait $BACKUP || fail "the backup: $(cat "$SANDBOX/out")"
assert_eq "$(stat -c %a "$(folder)")" 711 "mode that an administrator set meanwhile"
chmod "$mode" "$(folder)"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left

# The VM is started anew before the dead session is put back: its new folder is not the one that was closed.
at_the_job killall
wait $BACKUP 2> /dev/null || :
virsh -q destroy $vm
guest_start $vm
kvss recover > /dev/null
assert_eq "$(stat -c %a "$(folder)")" "$mode" "mode of the folder of the next start"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
backup $vm
