#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A VM that is put in a saved state comes back (B2, M3, M9), whatever its host lacks of the things that only a start needs: the medium of a
# drive, networks, the kernel, folders of logs and sockets, a source of random numbers. What is missing beforehand is told by check and
# refused by the backup, and nothing is touched; what gets lost while the VM is saved, it comes back without, running, with its memory, and
# the report says so. Whoever brings it back: the backup, its undo, its watchdog, or recover. Its own definition stays as it is. Some of it only
# with KVSS_TEST_FULL=1.
# timeout: 600
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"
kvss_setup
L=$SANDBOX/lost
# what the VM has of its host, and how each thing is lost
things() {
    mkdir -p "$L/ports" "$L/sockets"
    chmod 777 "$L/ports" "$L/sockets"
    head -c 1M /dev/zero > "$L/cd.iso"
    cp "$GUEST_DIR/vmlinuz" "$L/kernel"
    [ -e "$L/base" ] || mv "$L/base.away" "$L/base"
    [ -e "$L/under" ] || mv "$L/under.away" "$L/under"
    [ -e "$L/random" ] || mknod -m 666 "$L/random" c 1 9
    virsh -q net-info lab > /dev/null 2>&1 || virsh -q net-define "$SANDBOX/net-lab.xml" > /dev/null
    virsh -q net-start lab > /dev/null 2>&1 || :
}
lose() {
    case $1 in
    medium) rm "$L/cd.iso" ;;
    kernel) rm "$L/kernel" ;;
    folders) rm -r "$L/ports" "$L/sockets" ;;
    random) rm "$L/random" ;;
    base) mv "$L/base" "$L/base.away" ;; # QEMU has it open
    under) mv "$L/under" "$L/under.away" ;;
    stopped) virsh -q net-destroy lab > /dev/null ;;
    undefined) virsh -q net-destroy lab > /dev/null && virsh -q net-undefine lab > /dev/null ;;
    esac
}
network_define lab
mkdir -m 755 "$L"
for image in base under; do qemu-img create -q -f qcow2 "$L/$image" 4M; done
qemu-img create -q -f qcow2 -b "$L/base" -F qcow2 "$IMAGES/away-over.qcow2"
qemu-img create -q -f qcow2 -b "$L/under" -F qcow2 "$L/layered.qcow2"
chmod 644 "$L"/*
things
guest_xml away agent=no tokens=off net=lab extra="
    <disk type='file' device='cdrom'><source file='$L/cd.iso'/><target dev='hda' bus='ide'/><readonly/></disk>
    <disk type='file' device='cdrom'><driver name='qemu' type='qcow2'/>
    <source file='$L/layered.qcow2'/><target dev='hdb' bus='ide'/><readonly/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
    <source file='$IMAGES/away-over.qcow2'/><target dev='vdb' bus='virtio'/></disk>
    <serial type='file'><source path='$L/ports/log'/></serial>
    <parallel type='unix'><source mode='bind' path='$L/sockets/port'/></parallel>
    <graphics type='vnc'><listen type='socket' socket='$L/sockets/vnc'/></graphics>
    <rng model='virtio'><backend model='random'>$L/random</backend></rng>" |
    sed "s|<kernel>[^<]*<|<kernel>$L/kernel<|" > "$SANDBOX/away.xml"
chmod 644 "$SANDBOX/away.xml" "$L/kernel"
virsh define --validate "$SANDBOX/away.xml" > /dev/null
guest_remember_disks away
definition away > "$SANDBOX/definition"
guest_start away
guest_wait away
boot=$(guest_bootid away)
note "the guest is up"

# same [DRIVES, now empty]: it runs, in the memory that it had, and nothing is left; its definition is what it was
same() {
    virsh -q domblklist away --inactive > "$SANDBOX/disks/away"
    [ -z "${1:-}" ] || sed -Ei "s#^ ($1) .*# \\1   -#" "$SANDBOX/disks/away"
    poll 60 eval '[ "$(vm_state away)" = running ]'
    guest_wait away
    assert_eq "$(guest_bootid away)" "$boot" "boot id"
    assert_counts away
    definition away | diff "$SANDBOX/definition" - >&2 || fail "its definition has changed"
    poll 30 eval '[ -z "$(pgrep -x kvss)" ]'
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
    assert_eq "$(find /var/lib/kvss/sessions -mindepth 1 -type d)" "" "sessions left"
}
# anew: with all that it had
anew() {
    things
    virsh -q destroy away
    guest_start away
    guest_wait away
    boot=$(guest_bootid away)
}

# ---- known beforehand
lifecycle_start
for thing in medium:'cd.iso.*change-media away hda --eject' kernel:"kernel $L/kernel" folders:"$L/ports.*$L/sockets" random:"$L/random" \
    base:"$L/base, the backing image of disk vdb" \
    under:"$L/under, the backing image of the medium in drive hdb .*change-media away hdb --eject" \
    stopped:'net-start lab' undefined:'network lab'; do
    lose "${thing%%:*}"
    kvss check away --json > "$REPORT" 2> /dev/null && fail "${thing%%:*}: check says that all is well"
    assert_match "$(report_vm away .refused)" "${thing#*:}" "${thing%%:*}: what check says"
    kvss_fails "$EXIT_REFUSED" backup away
    assert_match "$OUTPUT" "${thing#*:}" "${thing%%:*}: what the backup says"
    things
done
assert_untouched away
kvss_json check away
assert_points 0
note "refused beforehand"

# ---- lost while it is saved: by the time that the backup brings it back, its undo, its watchdog, recover
# wait_saved ACTION: a backup that has come to where the VM is saved, and waits there or dies there
wait_saved() {
    rm -f "$SANDBOX/fault.log" "$SANDBOX/fault.log.go"
    KVSS_TEST_FAULT=$1 KVSS_TEST_FAULT_LOG=$SANDBOX/fault.log "$KVSS" backup away --json > "$REPORT" 2> "$SANDBOX/stderr" &
    backup_pid=$!
    poll 60 grep -q ^fault "$SANDBOX/fault.log"
}
wait_saved wait:save-vm:done
for thing in medium under kernel folders random undefined; do lose $thing; done
touch "$SANDBOX/fault.log.go"
wait $backup_pid || fail "the backup failed: $(cat "$SANDBOX/stderr")"
same 'hda|hdb'
for told in 'drive hda is empty' "drive hdb is empty now: its medium $L/layered.qcow2 is based on a missing image: $L/under" \
    'kernel is missing' 'ports' 'sockets' 'urandom' 'is not connected'; do
    assert_match "$(report_vm away '.warnings | join("; ")')" "$told" "warnings of the report"
done
assert_match "$(virsh -q domiflist away)" ethernet "its network interface"
anew
note "brought back by the backup"

if [ -n "${KVSS_TEST_FULL:-}" ]; then
    wait_saved wait:save-vm:done
    lose stopped
    touch "$SANDBOX/fault.log.go"
    wait $backup_pid || fail "the backup failed: $(cat "$SANDBOX/stderr")"
    same
    assert_match "$(report_vm away '.warnings | join("; ")')" 'network lab was started' "warnings of the report"
    assert_match "$(virsh -q domiflist away)" 'network +lab' "its network interface"
    assert_match "$(report_vm away '.warnings | join("; ")')" 'network interface [0-9a-f:]* is now vnet[0-9]*, was vnet' "its new tap"
    note "the network was started"

    wait_saved wait:save-vm:done # its undo: the backup is ended then
    for thing in medium folders; do lose $thing; done
    kill -TERM $backup_pid
    touch "$SANDBOX/fault.log.go"
    wait $backup_pid && fail "the backup was not ended"
    same hda
    anew
    note "brought back by the undo"
fi

lose_all() { for thing in medium kernel folders random undefined; do lose $thing; done; }
wait_saved killall:save-vm:done
wait $backup_pid && fail "the backup was not killed"
lose_all
assert_state away "shut off, saved"
kvss recover > "$SANDBOX/recover" 2>&1 || fail "recover: $(cat "$SANDBOX/recover")"
same hda
assert_match "$(cat "$SANDBOX/recover")" 'drive hda is empty' "what recover says"
note "brought back by recover"
[ -n "${KVSS_TEST_FULL:-}" ] || exit 0
anew

# ---- what nobody can tell: an address that is the host's no more; found out by trying
virsh -q destroy away
definition away | sed "/<graphics/,/<\/graphics>/d; s|</devices>|<graphics type='vnc' listen='192.0.2.1'/></devices>|" > "$SANDBOX/display.xml"
ip addr add 192.0.2.1/32 dev lo
virsh -q define "$SANDBOX/display.xml" > /dev/null
definition away > "$SANDBOX/definition"
guest_start away
guest_wait away
boot=$(guest_bootid away)
wait_saved wait:save-vm:done
ip addr del 192.0.2.1/32 dev lo
touch "$SANDBOX/fault.log.go"
wait $backup_pid || fail "the backup failed: $(cat "$SANDBOX/stderr")"
same
assert_match "$(report_vm away '.warnings | join("; ")')" 'display' "warnings of the report"
assert_no_match "$(report_vm away '.warnings | join("; ")')" 'no longer connected' "warnings of the report, where only the display is at fault"
note "done"
