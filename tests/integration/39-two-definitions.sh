#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A VM that runs with another definition than the one for its next start comes back with both (M14, M16, M17), compared field by field:
# {live only, config only, pending, half detached} x {disk, NIC, CD, other device}, all in one VM, x {in place, copy, images only,
# another host}, with its memory and without. Half detached: gone from the definition for the next start, and the guest has not given
# it up: the VM runs its firmware only, which answers no such request. A CD drive cannot be asked for; it is gone for the next start only.
# With KVSS_TEST_FULL=1 also each of the sixteen alone, so that none hides another, and a VM that is paused, or in a saved state.
# timeout: 1800
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

FIELDS=$KVSS_BUILD/tests/tools/fields
STATES=(live config pending half)
DEVICES=(disk nic cd other)

# ---- devices --------------------------------------------------------------------------------------------

disk() { # NAME FILE TARGET BUS [ALIAS]
    printf '<disk type="file" device="disk"><driver name="qemu" type="qcow2"/><source file="%s"/>' "$IMAGES/$1-$2.qcow2"
    printf '<target dev="%s" bus="%s"/>%s</disk>' "$3" "$4" "${5:+<alias name=\"$5\"/>}"
}
cd_drive() { # TARGET BUS [MEDIUM]
    printf '<disk type="file" device="cdrom"><driver name="qemu" type="raw"/>%s' "${3:+<source file=\"$MEDIA/$3\"/>}"
    printf '<target dev="%s" bus="%s"/><readonly/></disk>' "$1" "$2"
}
nic() { # VM-NUMBER NUMBER NETWORK [ALIAS]
    printf '<interface type="network"><mac address="52:54:00:00:%02x:%02x"/><source network="%s"/><model type="virtio"/>' "$1" "$2" "$3"
    printf '<rom enabled="no"/>%s</interface>' "${4:+<alias name=\"$4\"/>}"
}
rng() { printf '<rng model="virtio"><backend model="random">/dev/urandom</backend>%s</rng>' "${1:+<alias name=\"$1\"/>}"; }
watchdog() { printf '<watchdog model="ib700" action="%s"/>' "$1"; }

# device STATE-DEVICE VM VM-NUMBER: what the VM is defined and started with; nothing if it comes later
device() {
    case $1 in
    pending-disk) disk "$2" vdd vdd virtio ;;
    half-disk) disk "$2" vde vde virtio ua-half-disk ;;
    pending-nic) nic "$3" 4 lan ;;
    half-nic) nic "$3" 5 lan ua-half-nic ;;
    live-cd) cd_drive hda ide ;;
    config-cd) cd_drive hdb ide ;;
    pending-cd) cd_drive hdc ide a.iso ;;
    half-cd) cd_drive sdh scsi a.iso ;;
    pending-other) watchdog reset ;;
    half-other) rng ua-half-rng ;;
    esac
}

# change STATE-DEVICE VM VM-NUMBER: makes the two definitions differ
change() {
    local vm=$2
    case $1 in
    live-disk) plug "$vm" live "$(disk "$vm" vdb vdb virtio)" ;;
    config-disk) plug "$vm" config "$(disk "$vm" vdc vdc virtio)" ;;
    pending-disk) unplug "$vm" "$(disk "$vm" vdd vdd virtio)" && plug "$vm" config "$(disk "$vm" vdd sdd scsi)" ;;
    half-disk) half "$vm" ua-half-disk "$(disk "$vm" vde vde virtio)" ;;
    live-nic) plug "$vm" live "$(nic "$3" 2 lan)" ;;
    config-nic) plug "$vm" config "$(nic "$3" 3 lan)" ;;
    pending-nic) unplug "$vm" "$(nic "$3" 4 lan)" && plug "$vm" config "$(nic "$3" 4 lab)" ;;
    half-nic) half "$vm" ua-half-nic "$(nic "$3" 5 lan)" ;;
    live-cd) virsh -q change-media "$vm" hda "$MEDIA/a.iso" --insert --live > /dev/null ;;
    config-cd) virsh -q change-media "$vm" hdb "$MEDIA/a.iso" --insert --config > /dev/null ;;
    pending-cd) virsh -q change-media "$vm" hdc "$MEDIA/b.iso" --update --config > /dev/null ;;
    half-cd) unplug "$vm" "$(cd_drive sdh scsi a.iso)" ;;
    live-other) plug "$vm" live "$(rng)" ;;
    config-other) plug "$vm" config '<sound model="ac97"/>' ;;
    pending-other) unplug "$vm" "$(watchdog reset)" && plug "$vm" config "$(watchdog poweroff)" ;;
    half-other) half "$vm" ua-half-rng "$(rng ua-half-rng)" ;;
    esac
}

with_file() { # DEVICE COMMAND [ARG...]: with the device in a file, whose name comes last
    echo "$1" > "$SANDBOX/device.xml"
    virsh -q "${@:2}" "$SANDBOX/device.xml" > /dev/null
}
plug() { with_file "$3" attach-device "$1" "--$2" --file; } # VM live|config DEVICE
unplug() { with_file "$2" detach-device "$1" --config --file; }
half() { # VM ALIAS DEVICE
    virsh -q detach-device-alias "$1" "$2" --live > /dev/null
    unplug "$1" "$3"
}

# make VM VM-NUMBER CELL...: defined, started, changed
make() {
    local vm=$1 number=$2 cell devices='' file byte=$((8 * $2))
    shift 2
    for cell; do devices+=$(device "$cell" "$vm" "$number"); done
    for file in vda vdb vdc vdd vde; do
        guest_image "$IMAGES/$vm-$file.qcow2" 2M
        qemu-io -c "write -q -P $((++byte)) 64k 128k" "$IMAGES/$vm-$file.qcow2"
    done
    cat > "$SANDBOX/$vm.xml" <<XML
<domain type="qemu"><name>$vm</name><memory unit="MiB">16</memory><vcpu>1</vcpu>
<os><type arch="x86_64" machine="pc">hvm</type></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>$(disk "$vm" vda vda virtio)$(nic "$number" 1 lan)
<controller type="scsi" model="virtio-scsi"/><controller type="usb" model="none"/><memballoon model="none"/>$devices</devices></domain>
XML
    virsh -q define "$SANDBOX/$vm.xml" > /dev/null
    guest_start "$vm"
    for cell; do change "$cell" "$vm" "$number"; done
}

# ---- fields ---------------------------------------------------------------------------------------------

# Numbers that libvirt and the kernel count up at each start
COUNTED='^/domain\[1\]/@id=|/@portid=|/source\[1\]/@index=|/interface\[[0-9a-f:]*\]/target\[1\]/@dev=|/domain-[0-9]*-|=/dev/pts/'
fields() { "$FIELDS" | grep -vE "$COUNTED" | sort; }
next_of() { virsh -q dumpxml "$1" --inactive --security-info | fields; }
live_of() { virsh -q dumpxml "$1" --security-info "${@:2}" | fields; }

# remember VM...: both definitions, and what is on its disks
remember() {
    local vm image
    for vm; do
        next_of "$vm" > "$KEPT/$vm.next"
        live_of "$vm" > "$KEPT/$vm.live"
        live_of "$vm" --migratable > "$KEPT/$vm.live.xml"
        for image in "$IMAGES/$vm"-vd?.qcow2; do cp "$image" "$KEPT/"; done
    done
}

# assert_fields FILE FILE WHAT [FILTER...]: the same fields, once the first have passed through the filter
assert_fields() {
    local differences
    differences=$(diff <(if [ $# -gt 3 ]; then "${@:4}" < "$1" | sort; else cat "$1"; fi) "$2") || fail "$3: other fields: $differences"
}
# assert_both VM WHAT [AS [FILTER...]]: both definitions, and all images that the VM has open
assert_both() {
    local now=${3:-$1} target path
    next_of "$now" > "$SANDBOX/next" && live_of "$now" > "$SANDBOX/live"
    assert_fields "$KEPT/$1.next" "$SANDBOX/next" "$1, $2, for its next start" "${@:4}"
    assert_fields "$KEPT/$1.live" "$SANDBOX/live" "$1, $2, as it runs" "${@:4}"
    while read -r target path; do assert_image "$KEPT/$1-$target.qcow2" "$path"; done < <(images_of "$now")
}
images_of() { virsh -q domblklist "$1" --details | awk '$2 == "disk" { print $3, $4 }'; }
assert_image() { qemu-img compare -q -U "$1" "$2" || fail "$2 is not what $1 was"; }

# lose VM: all that the restore point should have of it; a disk for the next start only is not in it
lose() {
    local path
    for path in $(images_of "$1" | cut -d " " -f 2); do rm "$path"; done
    virsh -q destroy "$1" > /dev/null
    virsh -q undefine "$1" --managed-save --checkpoints-metadata > /dev/null
}

# ---- on another host ------------------------------------------------------------------------------------

if [ "${1:-}" = other-host ]; then
    KEPT=$2/kept
    export KVSS_REPOSITORY=$2/repository KVSS_PASSWORD_FILE=$2/password KVSS_CONNECT=qemu:///system
    network_define lan
    network_define lab
    kvss_json restore --yes "${@:3}"
    for vm in $(report '.vms[].name'); do assert_both "$vm" "on another host"; done
    assert_nothing_left
    exit 0
fi
on_another_host() { # POINT [OPTION...]
    local status=0
    "$TESTS/lib/sandbox" "$0" other-host "$SANDBOX" "$@" || status=$?
    [ "$status" != 77 ] || skip "no sandbox within a sandbox"
    assert_eq "$status" 0 "status on another host"
}

KEPT=$SANDBOX/kept MEDIA=$SANDBOX/media
mkdir -m 755 "$KEPT" "$MEDIA"
truncate -s 64k "$MEDIA/a.iso" "$MEDIA/b.iso"
chmod 711 "$SANDBOX"
kvss_setup
network_define lan
network_define lab
cells=()
for state in "${STATES[@]}"; do for device in "${DEVICES[@]}"; do cells+=("$state-$device"); done; done
make mixed 1 "${cells[@]}"
remember mixed
for half in ua-half-disk ua-half-nic ua-half-rng; do
    assert_match "$(cat "$KEPT/mixed.live")" "alias\[1\]/@name=$half" "what the guest was asked for and has not given up"
    assert_no_match "$(cat "$KEPT/mixed.next")" "$half" "what is gone for the next start"
done
note "made"
backup mixed
assert_both mixed "after the backup"
assert_report_vm mixed .disks 4
assert_match "$(report_vm mixed '.not_covered | join(" ")')" '\<vdc\>' "what is not covered"
note "backed up"
kvss verify
kvss_json restore --yes "$POINT" mixed
assert_both mixed "in place"
note "in place, with its memory"
lose mixed
kvss_json restore --yes "$POINT" mixed --discard-memory
assert_both mixed "in place, after the disaster"
note "in place, booted"
on_another_host "$POINT"
note "on another host, with its memory"
on_another_host "$POINT" --discard-memory
note "on another host, booted"

# ---- as copies beside the original. With its memory the NICs keep the MACs that the guest knows, and are down; the disk for the next
# start is not in the restore point, and the copy does not get the original's
as_twin() {
    sed "s|/name\\[1\\]=mixed|/name[1]=twin|; s|/uuid\\[1\\]=.*|/uuid[1]=$(virsh -q domuuid twin)|; s|/mixed-vd|/twin-vd|; /disk\\[vdc\\]/d" |
        if [ "${LINK:-up}" = up ]; then cat; else sed 's|^\(.*/interface\[[0-9a-f:]*\]\)/mac\[1\]=$|&\n\1/link[1]/@state=down\n\1/link[1]=|'; fi
}
without_macs() { sed 's/52:54:00:[0-9a-f:]*/MAC/g'; }
kvss_json restore --yes "$POINT" mixed --name twin --discard-memory --keep-mac
assert_both mixed "a copy that booted" twin as_twin
assert_match "$(report_vm mixed '.warnings | join("; ")')" 'vdc .* belongs to the original' "what is told of vdc"
lose twin
kvss_json restore --yes "$POINT" mixed --name twin --discard-memory
assert_eq "$(virsh -q domiflist twin | awk '{ print $5 }' | grep -cxFf <(virsh -q domiflist twin --inactive | awk '{ print $5 }'))" 2 "NICs in both"
assert_fields "$KEPT/mixed.live" <(live_of twin | without_macs | sort) "a copy with other MACs" eval 'as_twin | without_macs'
lose twin
kvss_json restore --yes "$POINT" mixed --name twin
assert_fields "$KEPT/mixed.next" <(next_of twin | without_macs | sort) "a copy for its next start" eval 'as_twin | without_macs'
LINK=down assert_fields "$KEPT/mixed.live" <(live_of twin) "a copy in its memory" as_twin
assert_both mixed "beside its copy"
lose twin
note "as copies"

# ---- images only: both definitions are there, and name the files that were written; what libvirt found in the images is left to it
in_out() { sed "s|=$IMAGES/\(.*-vd[abde]\.\)|=$SANDBOX/out/\1|" | grep -v '/disk\[vd.\]/backingStore\[1\]=$'; }
kvss_json restore --yes "$POINT" mixed --to "$SANDBOX/out" --images-only
assert_fields "$KEPT/mixed.next" <(fields < "$SANDBOX/out/mixed.xml") "mixed.xml" in_out
assert_fields "$KEPT/mixed.live.xml" <(fields < "$SANDBOX/out/mixed.live.xml") "mixed.live.xml" in_out
for target in vda vdb vdd vde; do assert_image "$KEPT/mixed-$target.qcow2" "$SANDBOX/out/mixed-$target.qcow2"; done
assert_no_file "$SANDBOX/out/mixed-vdc.qcow2"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
note "images only"

# ---- points whose definitions are none, or not this VM's: the images come out of each, and verify tells what else does
uuid=$(virsh -q domuuid mixed)
retouched() { # NAME DOCUMENT [FILE]: a restore point with another document in it
    POINT=$("$KVSS_BUILD/tests/tools/document" put "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "$good" "vm/$uuid/$2" "${@:3}")
    rm -rf "$SANDBOX/out"
    kvss_json restore --yes "$POINT" mixed --to "$SANDBOX/out" --images-only
    for target in vda vdb vdd vde; do assert_image "$KEPT/mixed-$target.qcow2" "$SANDBOX/out/mixed-$target.qcow2"; done
    note "$1: its images come out"
}
could_not() { # TEXT: the newest point could not be restored, and nothing happens to the VM that is here
    kvss_fails "$EXIT_DAMAGED" verify "$POINT"
    assert_match "$OUTPUT$(cat "$REPORT")" "mixed.*cannot be restored.*$1" "what verify says"
    facts_before mixed
    kvss_fails "$EXIT_DAMAGED" restore --yes "$POINT" mixed
    assert_facts_same
}
good=$POINT
head -c 3000 /dev/urandom > "$SANDBOX/garbage"
retouched "a definition that is none" part/definition "$SANDBOX/garbage"
could_not definition
virsh -q dumpxml mixed --inactive | sed '/<disk/,/<\/disk>/d' > "$SANDBOX/other.xml"
retouched "a definition without disks" part/definition "$SANDBOX/other.xml"
kvss verify "$POINT"
# the memory knows what the VM ran with, too
for file in "$SANDBOX/garbage" ''; do
    retouched "no definition that it ran with: ${file:-none}" part/definition-live ${file:+"$file"}
    kvss verify "$POINT"
    kvss_json restore --yes "$POINT" mixed --discard-memory
    assert_both mixed "with what its memory holds"
done
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
lose mixed
[ -n "${KVSS_TEST_FULL:-}" ] || exit 0

# ---- a guest with its agent: an increment of a disk that it has for the time being; it boots with it
guest_define web fs=none tokens=off
guest_image "$IMAGES/web-vdb.qcow2" 16M
guest_start web
guest_wait web
plug web live "$(disk web vdb vdb virtio)"
rm "$SANDBOX/disks/web"
poll 20 guest_sh web test -b /dev/vdb
backup web
guest_sh web 'dd if=/dev/urandom of=/dev/vdb bs=1M seek=2 count=1 conv=fsync 2> /dev/null'
remember web
backup web
assert_report_vm web '"\(.type) \(.method)"' 'incremental child-vm-snapshot'
kvss_json restore --yes "$POINT"
guest_wait web
assert_both web "a guest with its agent"
lose web
note "a guest with its agent"

# ---- each alone: sixteen VMs; and one more with all of them, which is paused, and later in a saved state
number=1 vms=()
for cell in "${cells[@]}"; do
    make "$cell" $((++number)) "$cell"
    vms+=("$cell")
done
make paused $((++number)) "${cells[@]}"
virsh -q suspend paused > /dev/null
remember "${vms[@]}" paused
note "made each"
ALLOW_PAUSED=paused backup "${vms[@]}" paused
for vm in "${vms[@]}" paused; do assert_both "$vm" "after the backup"; done
note "backed up each"
for options in "" "--discard-memory"; do
    # shellcheck disable=SC2086 # words
    kvss_json restore --yes "$POINT" $options
    for vm in "${vms[@]}" paused; do assert_both "$vm" "in place $options"; done
    assert_state paused paused
    # shellcheck disable=SC2086
    ALLOW_PAUSED=paused on_another_host "$POINT" $options
    for vm in "${vms[@]}"; do
        # shellcheck disable=SC2086
        kvss_json restore --yes "$POINT" "$vm" --name twin --keep-mac $options
        assert_both "$vm" "a copy $options" twin sed "s|/name\\[1\\]=$vm|/name[1]=twin|; s|/uuid\\[1\\]=.*|/uuid[1]=$(virsh -q domuuid twin)|; s|/$vm-vd|/twin-vd|; /disk\\[vdc\\]/d"
        lose twin
    done
    note "each: in place, on another host, as a copy $options"
done
rm -rf "$SANDBOX/out"
kvss_json restore --yes "$POINT" --to "$SANDBOX/out" --images-only
for vm in "${vms[@]}" paused; do
    assert_fields "$KEPT/$vm.next" <(fields < "$SANDBOX/out/$vm.xml") "$vm.xml" in_out
    assert_fields "$KEPT/$vm.live.xml" <(fields < "$SANDBOX/out/$vm.live.xml") "$vm.live.xml" in_out
done
note "each: images only"

# ---- in a saved state: the definition in that is not the one for the next start
virsh -q resume paused > /dev/null
virsh -q managedsave paused > /dev/null
next_of paused > "$KEPT/paused.next"
ALLOW_SAVED=paused backup paused
virsh -q managedsave-remove paused
rm "$IMAGES"/paused-vd[abde].qcow2
virsh -q undefine paused --checkpoints-metadata
kvss_json restore --yes "$POINT" paused
assert_state paused "shut off, saved"
guest_start paused
assert_both paused "from a saved state"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
