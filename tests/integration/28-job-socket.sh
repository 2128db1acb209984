#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The socket of a backup job lies in libvirt's own folder of the VM, where AppArmor and SELinux let QEMU make one, however long the VM's
# name is and whatever else lies there; nothing of it is left, neither by a backup nor by one that is killed with its watchdog
# (B2). 39-apparmor.sh is about what AppArmor says.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
vm=web-server-of-the-house-on-the-hill
bare_define $vm
# of a host that crashed, under the ids to come
mkdir -p /var/lib/libvirt/qemu/domain-{1,2,3,4,5,6}-web
chown libvirt-qemu: /var/lib/libvirt/qemu/domain-*-web
guest_start $vm

sockets() { find /var/lib/libvirt/qemu -type s -name 'kvss-*'; }
folder() { echo "/var/lib/libvirt/qemu/domain-$(virsh -q domid $vm)-${vm:0:20}"; }

# at_the_job ACTION: a backup that comes to its job and waits there, or dies there
at_the_job() {
    rm -f "$SANDBOX/log" "$SANDBOX/log.go"
    KVSS_TEST_FAULT=$1:backup-job:done KVSS_TEST_FAULT_LOG=$SANDBOX/log "$KVSS" backup $vm --quiet > "$SANDBOX/out" 2>&1 &
    BACKUP=$!
    poll 60 grep -q "^fault $1" "$SANDBOX/log"
}

at_the_job wait
found=$(sockets)
assert_eq "$(dirname "$found")" "$(folder)" "folder of the socket"
assert_match "${found##*/}" '^kvss-[0-9a-f]{7}$' "name of the socket"
touch "$SANDBOX/log.go"
wait $BACKUP || fail "the backup: $(cat "$SANDBOX/out")"
assert_eq "$(sockets)" "" "sockets left by a backup"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
note "backed up by ${found#/var/lib/libvirt/qemu/}"

at_the_job killall
wait $BACKUP 2> /dev/null || :
assert_eq "$(dirname "$(sockets)")" "$(folder)" "folder of the socket of a session that is dead"
kvss recover > /dev/null
assert_eq "$(sockets)" "" "sockets left by kvss recover"
assert_file "$(folder)/monitor.sock"
assert_state $vm running
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
note "recovered"
backup $vm
