#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The state that a VM comes back in: as at the backup, or --start, --no-start, --paused; memory kept or given up. Autostart both ways.
# Which restore point: --latest and --at, by the instant and by what it holds.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define mute agent=no tokens=off
guest_define off agent=no tokens=off
virsh -q autostart off > /dev/null
guest_start mute
guest_wait mute
backup mute off
first=$POINT instant=$(report .instant)
boot=$(guest_bootid mute)
note "backed up"

# ---- with memory: paused, kept saved, given up
kvss_json restore --yes "$first" mute --paused
assert_state mute paused
assert_report_vm mute .state paused
virsh -q resume mute > /dev/null
guest_wait mute
assert_eq "$(guest_bootid mute)" "$boot" "boot id"

kvss_json restore --yes "$first" mute --no-start
assert_state mute "shut off, saved"
assert_report_vm mute .state saved
assert_report_vm mute .memory true
guest_start mute
guest_wait mute
assert_eq "$(guest_bootid mute)" "$boot" "boot id"

kvss_json restore --yes "$first" mute --no-start --discard-memory
assert_state mute "shut off"
assert_report_vm mute .memory false
kvss_json restore --yes "$first" mute --discard-memory
assert_state mute running
guest_wait mute
assert_ne "$(guest_bootid mute)" "$boot" "boot id"
note "with memory and without"

# ---- saved at the backup: it stays saved, or runs on in its memory
boot=$(guest_bootid mute)
virsh -q managedsave mute > /dev/null
sleep 1.1
ALLOW_SAVED=mute backup mute
saved=$POINT
kvss_json restore --yes "$saved" mute
assert_state mute "shut off, saved"
kvss_json restore --yes "$saved" mute --start
assert_state mute running
guest_wait mute
assert_eq "$(guest_bootid mute)" "$boot" "boot id"

# ---- off at the backup; the autostart flag comes back both ways
virsh -q autostart --disable off > /dev/null
virsh -q autostart mute > /dev/null
kvss_json restore --yes "$first" off --start
guest_wait off
assert_match "$(virsh dominfo off)" 'Autostart: +enable'
kvss_json restore --yes "$first" off
assert_state off "shut off"
kvss_json restore --yes "$first" off --paused
assert_state off paused
virsh -q destroy off > /dev/null
kvss_json restore --yes "$saved" mute
assert_match "$(virsh dominfo mute)" 'Autostart: +disable'
note "states"

# ---- which point
kvss_json restore --yes --latest off --dry-run
assert_eq "$(report .point)" "$first" "the newest that holds off"
kvss_json restore --yes --latest --dry-run mute
assert_eq "$(report .point)" "$saved" "the newest that holds mute"
kvss_json restore --yes --at "$instant" mute --dry-run
assert_eq "$(report .point)" "$first" "the point of $instant"
kvss_json restore --yes --at "$(date +%F)" mute --dry-run
assert_eq "$(report .point)" "$saved" "the last point of today"
kvss_fails "$EXIT_FAILED" restore --yes --at 2001-01-01 mute
assert_match "$OUTPUT" 'no restore point as of 2001-01-01 or earlier that contains mute'
kvss_fails "$EXIT_FAILED" restore --yes --at yesterday mute
assert_match "$OUTPUT" 'not a time'
kvss_fails "$EXIT_USAGE" restore
assert_match "$OUTPUT" 'name a restore point'

# ---- a kernel that is not here: refused while the VM is as it was; without starting it is possible
cp "$GUEST_DIR/vmlinux" "$SANDBOX/vmlinux"
virsh -q dumpxml off --inactive | sed "s|$GUEST_DIR/vmlinux|$SANDBOX/vmlinux|" > "$SANDBOX/off.xml"
virsh -q define "$SANDBOX/off.xml"
ALLOW_SAVED=mute backup off
rm "$SANDBOX/vmlinux"
facts_before off
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" off --start
assert_match "$OUTPUT" "this host lacks: kernel $SANDBOX/vmlinux"
assert_facts_same
kvss_json restore --yes "$POINT" off
assert_match "$(report_vm off '.warnings | join("; ")')" "kernel $SANDBOX/vmlinux"
redefine() { # VM SED-SCRIPT
    virsh -q dumpxml "$1" --inactive --security-info | sed "$2" > "$SANDBOX/changed.xml"
    virsh -q define "$SANDBOX/changed.xml"
}
redefine off "s|$SANDBOX/vmlinux|$GUEST_DIR/vmlinux|"

# ---- a secret that is not here, or has lost its value
secret=11111111-2222-4333-8444-555555555556
set_secret() {
    echo "<secret ephemeral='no' private='no'><uuid>$secret</uuid><usage type='volume'><volume>disk</volume></usage></secret>" > "$SANDBOX/secret.xml"
    virsh -q secret-define "$SANDBOX/secret.xml" > /dev/null
    [ $# = 0 ] || virsh -q secret-set-value $secret --plain --file "$1" > /dev/null
}
printf locked > "$SANDBOX/secret"
set_secret "$SANDBOX/secret"
image_encrypted "$IMAGES/locked.luks" luks "$SANDBOX/secret"
virsh -q attach-disk off "$IMAGES/locked.luks" vdz --config
guest_remember_disks off
redefine off "/locked.luks/ s|/>|><encryption format='luks'><secret type='passphrase' usage='disk'/></encryption></source>|"
ALLOW_SAVED=mute backup off
virsh -q secret-undefine $secret
facts_before off
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" off --start
assert_match "$OUTPUT" "this host lacks: secret disk\. "
set_secret
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" off --start
assert_match "$OUTPUT" "this host lacks: secret disk \(its value\)"
assert_facts_same
set_secret "$SANDBOX/secret"
kvss_json restore --yes "$POINT" off --start
assert_state off running
virsh -q destroy off
virsh -q detach-disk off vdz --config
guest_remember_disks off

# ---- an emulator that is not here: this host's is taken. A machine that it cannot run: refused, and the VM stays as it was
ln -s /usr/bin/qemu-system-x86_64 "$SANDBOX/qemu"
redefine off "s|<emulator>.*<|<emulator>$SANDBOX/qemu<|"
ALLOW_SAVED=mute backup off
rm "$SANDBOX/qemu"
kvss_json restore --yes "$POINT" off --dry-run
assert_match "$(report_vm off '.warnings | join("; ")')" "its emulator $SANDBOX/qemu is not on this host"
kvss_json restore --yes "$POINT" off --start
assert_match "$(report_vm off '.warnings | join("; ")')" "its emulator $SANDBOX/qemu is not on this host"
assert_match "$(virsh dumpxml off)" '<emulator>/usr/bin/qemu-system-x86_64</emulator>'
virsh -q destroy off
ALLOW_SAVED=mute backup off
mount --bind /dev/null /usr/bin/qemu-system-x86_64
facts_before off
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" off
assert_match "$OUTPUT" "VM off.*this host cannot run the VM's machine \(qemu, x86_64, "
assert_facts_same
kvss_json restore --yes "$POINT" off --images-only --to "$SANDBOX/images"
umount /usr/bin/qemu-system-x86_64
ALLOW_SAVED=mute ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
