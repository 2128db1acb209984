#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A restore that cannot succeed leaves nobody worse off: whatever can be known beforehand (another VM has the name, no room, an image
# in use, interrupted) is found while every VM is as it was; a writer that vetoes in PreRestore costs no VM its images or its
# definition. With KVSS_TEST_FULL=1 also what a start of the old VM would lack. M10 in spirit, M13-M15; behaviours 33, 35.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
mkdir -m 711 "$SANDBOX/small"
mount -t tmpfs -o size=500m,mode=711 tmpfs "$SANDBOX/small"
cleanup_fn umount -l "$SANDBOX/small"
guest_define one fs=ext4,none dir="$SANDBOX/small" tokens=off
head -c 120M /dev/urandom > "$SANDBOX/small/content"
qemu-img convert -f raw -O qcow2 "$SANDBOX/small/content" "$SANDBOX/small/one-vdb.qcow2"
rm "$SANDBOX/small/content"
guest_define other agent=no tokens=off
guest_start one
guest_wait one
writer_install doubter <<END
[ ! -e "$SANDBOX/veto-\$event" ]
END
echo content > "$SANDBOX/files-doubter/file"
backup one other
boot=$(guest_bootid one)
guest_sh one 'echo later > /mnt/vda/later; sync'
definition one > "$SANDBOX/one.before"

assert_nobody_touched() { # TEXT: what the message must say
    assert_match "$OUTPUT" "$1"
    assert_facts_same
    assert_eq "$(guest_bootid one)" "$boot" "boot id of one"
    [ -z "$(find "$SANDBOX/small" "$IMAGES" -name '*kvss*')" ] || fail "staged files are left: $(find "$SANDBOX/small" "$IMAGES" -name '*kvss*')"
    note "$(tail -n 1 <<< "$OUTPUT" | cut -c 1-200)"
}
facts_before one other

# ---- no room for the new images beside the old
fallocate -l 330M "$SANDBOX/small/full"
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" one
assert_nobody_touched 'not enough space'
rm "$SANDBOX/small/full"

# ---- a folder that QEMU's user cannot pass through
chmod 700 "$SANDBOX/small"
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" one
assert_nobody_touched "QEMU's user cannot access"
chmod 711 "$SANDBOX/small"

# ---- interrupted while the new images are being written
env --default-signal=INT "$KVSS" restore --yes "$POINT" one > "$SANDBOX/out" 2> "$SANDBOX/stderr" &
pid=$!
until [ -n "$(find "$SANDBOX/small" -name '.kvss*')" ]; do kill -0 $pid || fail "it ended early: $(cat "$SANDBOX/stderr")"; done
kill -INT $pid
status=0
wait $pid || status=$?
OUTPUT=$(cat "$SANDBOX/stderr")
assert_eq "$status" "$EXIT_INTERRUPTED" "status of an interrupted restore: $OUTPUT"
assert_nobody_touched 'interrupted'

# ---- another VM has got the name
virsh -q undefine other --checkpoints-metadata
guest_define other agent=no tokens=off
facts_before one other
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" one other
assert_nobody_touched 'other.*another VM'
virsh -q undefine other

# ---- another VM runs on the image
guest_define thief agent=no tokens=off images="$IMAGES/other-vda.qcow2"
guest_start thief
facts_before one thief
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" one other
assert_nobody_touched 'other-vda.qcow2|other, disk vda'
virsh -q destroy thief > /dev/null
virsh -q undefine thief

# ---- a writer vetoes in PreRestore: one was turned off by then, and comes back with its definition and images, newer than the point
touch "$SANDBOX/veto-pre-restore"
kvss_fails "$EXIT_FAILED" restore --yes "$POINT"
assert_match "$OUTPUT" 'kvss test doubter'
rm "$SANDBOX/veto-pre-restore"
assert_state one running
assert_definition one "$SANDBOX/one.before"
guest_wait one
assert_eq "$(guest_sh one 'cat /mnt/vda/later')" later "what was written after the point"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left # the old VM has its checkpoint again

# and without a veto it works
kvss_json restore --yes "$POINT"
guest_wait one
assert_eq "$(guest_sh one 'ls /mnt/vda | grep -c later')" 0 "files that were written after the point"
assert_nothing_left

[ -n "${KVSS_TEST_FULL:-}" ] || exit 0
# ---- the VM that is here could not be started again if the restore failed (B2)
network_define lab
head -c 1M /dev/zero > "$SANDBOX/small/cd.iso"
guest_define needy agent=no tokens=off size=8M net=lab extra="<disk type='file' device='cdrom'><source file='$SANDBOX/small/cd.iso'/>
    <target dev='hda' bus='ide'/><readonly/></disk>"
backup needy
guest_start needy
lifecycle_start
rm "$SANDBOX/small/cd.iso"
kvss_fails "$EXIT_REFUSED" restore --yes "$POINT" needy
assert_match "$OUTPUT" 'needy is running and could not be started again if the restore failed, .*cd.iso, the medium in drive hda .*--eject' "refused"
assert_match "$OUTPUT" 'nothing was changed|nothing needs' "refused"
virsh -q change-media needy hda --eject
virsh -q net-destroy lab
kvss_fails "$EXIT_REFUSED" restore --yes --disk vda "$POINT" needy
assert_match "$OUTPUT" 'network lab, which is not active \(virsh net-start lab\)' "refused"
assert_untouched needy
kvss_json restore "$POINT" needy --name twin --dry-run # whose original is left alone
virsh -q net-start lab
mv "$IMAGES/needy-vda.qcow2" "$SANDBOX/gone"
kvss_json restore --yes "$POINT" needy --dry-run # what is lost may be why it is restored
assert_match "$(report_vm needy '.warnings | join("; ")')" 'if the restore fails, .*cannot be started again: .*needy-vda.qcow2' "warning"
mv "$SANDBOX/gone" "$IMAGES/needy-vda.qcow2"
virsh -q managedsave needy
virsh -q net-destroy lab
kvss_fails "$EXIT_REFUSED" restore --yes "$POINT" needy
assert_match "$OUTPUT" 'needy is saved and could not be started again.*network lab.* managedsave-remove needy' "refused"
virsh -q net-start lab
kvss_json restore --yes "$POINT" needy
note "what a start of the old VM lacks"
