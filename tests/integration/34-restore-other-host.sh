#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Another host: a libvirtd that has never seen the VM, and that shares nothing with the first but the repository, restores it and it boots
# there; a VM with memory goes on there. And no host at all: files only, without libvirt, of which a VM can be made by hand.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

if [ "${1:-}" = other-host ]; then
    # in the sandbox within the sandbox: $2 is the first one's folder, $3 the restore point, $4 the memory's boot id
    export KVSS_REPOSITORY=$2/repository KVSS_PASSWORD_FILE=$2/password KVSS_CONNECT=qemu:///system
    assert_eq "$(virsh -q list --all --name)" "" "VMs of the other host"
    # its network is not here, nor are its folders
    kvss_json restore --yes "$3" --to "$SANDBOX/vms" --dry-run
    assert_report_vm web .here null
    assert_report_vm web .turn_off false
    assert_report_vm web '.nics[0].link' false
    kvss_json restore --yes "$3" --to "$SANDBOX/vms"
    guest_wait web
    guest_wait mute
    assert_eq "$(guest_sh web cat /mnt/vda/f)" content "what web holds"
    assert_eq "$(guest_bootid mute)" "$4" "boot id of mute"
    assert_counts mute
    assert_eq "$(readlink "$IMAGES/web")" "$SANDBOX/vms" "link of web"
    assert_eq "$(cat /var/lib/libvirt/qemu/nvram/uefi_VARS.fd)" 'variables of the firmware' "NVRAM"
    assert_match "$(report_vm web '.warnings | join("; ")')" 'network lan does not exist'
    assert_match "$(report_vm web '.steps[0].text')" 'not on this host'
    assert_nothing_left
    exit 0
fi

kvss_setup
network_define lan
guest_define web tokens=off net=lan
guest_define mute agent=no tokens=off
guest_define uefi agent=no tokens=off firmware=efi
printf 'variables of the firmware' > /var/lib/libvirt/qemu/nvram/uefi_VARS.fd
guest_start web
guest_start mute
guest_wait web
guest_wait mute
guest_sh web 'echo content > /mnt/vda/f; sync'
boot=$(guest_bootid mute)
backup web mute uefi
note "backed up"
# its guests' kernel is a file of the host, and the same path there
chmod 711 "$SANDBOX"
status=0
"$TESTS/lib/sandbox" "$0" other-host "$SANDBOX" "$POINT" "$boot" || status=$?
[ "$status" != 77 ] || skip "no sandbox within a sandbox"
assert_eq "$status" 0 "on the other host"
assert_state web running
note "on another host"

# ---- without libvirt: even its address leads nowhere
mkdir -m 711 "$SANDBOX/files"
export KVSS_CONNECT='qemu+unix:///system?socket=/nowhere'
kvss_json restore --yes "$POINT" --to "$SANDBOX/files" --images-only --dry-run
[ -z "$(ls "$SANDBOX/files")" ] || fail "--dry-run has written files"
kvss_json restore --yes "$POINT" --to "$SANDBOX/files" --images-only
# shellcheck disable=SC2012 # these names hold nothing unusual
assert_eq "$(ls -A "$SANDBOX/files" | tr '\n' ' ')" \
    "mute-vda.qcow2 mute.save mute.xml uefi-vda.qcow2 uefi.xml uefi_VARS.fd web-vda.qcow2 web.xml " "files"
assert_report_vm mute '.files | map(.what) | join(" ")' "definition memory"
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" web --to "$SANDBOX/files" --images-only
assert_match "$OUTPUT" 'already exists'
kvss_json restore --yes "$POINT" web --to "$SANDBOX/files" --images-only --overwrite
kvss_json restore --yes "$POINT" web --to "$SANDBOX/one" --images-only --disk vda
kvss_fails "$EXIT_USAGE" restore --yes "$POINT" web --images-only
export KVSS_CONNECT=qemu:///system
image_file "$SANDBOX/files/web-vda.qcow2" f "$SANDBOX/f"
assert_eq "$(cat "$SANDBOX/f")" content "what the image holds"
assert_same_file "$SANDBOX/files/uefi_VARS.fd" /var/lib/libvirt/qemu/nvram/uefi_VARS.fd

# the definition names these files, and the memory goes on with them
destroy_vm mute
virsh -q define "$SANDBOX/files/mute.xml"
assert_match "$(virsh -q domblklist mute)" "$SANDBOX/files/mute-vda.qcow2"
sed "s|$IMAGES/mute-vda|$SANDBOX/files/mute-vda|" <(virsh -q save-image-dumpxml "$SANDBOX/files/mute.save") > "$SANDBOX/live.xml"
virsh -q restore "$SANDBOX/files/mute.save" --xml "$SANDBOX/live.xml"
guest_wait mute
assert_eq "$(guest_bootid mute)" "$boot" "boot id of mute"
virsh -q define "$SANDBOX/files/web.xml" # same UUID and name: the definition of the running one is replaced
guest_remember_disks mute
rm "$SANDBOX/disks/web"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
