#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Restored as a copy: another name, UUID, MACs, NVRAM and images; the original is not touched, and both run side by side. A VM that was
# backed up with its memory goes on in that memory under its new name, while the original runs. The definition is the original's but
# for what identifies it. With KVSS_TEST_FULL=1 also with the MACs of the original, in another network.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
network_define lan
network_define lab
nic() { echo "<interface type='network'><source network='lan'/><mac address='$1'/><model type='virtio'/></interface>"; }
guest_define web disks=2 tokens=driven words=kvss.net=192.168.9.2/24 \
    extra="$(nic 52:54:00:00:01:01)<graphics type='vnc' port='5931' autoport='no'/>"
guest_define mute agent=no tokens=off extra="$(nic 52:54:00:00:01:02)"
guest_define uefi agent=no tokens=off firmware=efi
printf 'variables of the firmware' > /var/lib/libvirt/qemu/nvram/uefi_VARS.fd
virsh -q desc web --title 'The web server' > /dev/null
guest_start web
guest_start mute
guest_wait web
guest_wait mute
token_drive web
poll 20 _token_past 5
backup web mute uefi
token_drive_stop
mute_boot=$(guest_bootid mute) web_boot=$(guest_bootid web)
for vm in web mute uefi; do definition $vm > "$SANDBOX/$vm.before"; done
lifecycle_start
facts_before web mute uefi
note "backed up"

mac_of() { virsh -q domiflist "$1" | awk '{ print $5 }'; }
assert_original() {
    assert_facts_same
    assert_untouched web mute uefi
}
# what a copy may have other than its original, taken out of a definition
neutral() { # NAME
    sed -e "s|<name>$1</name>|<name/>|; s|<uuid>.*</uuid>|<uuid/>|; s|mac address='.*'|mac|; s|/$1-vd|/NAME-vd|; s|/$1.console|/NAME.console|" \
        -e "s|/$1_VARS.fd|/NAME_VARS.fd|" -e '/<graphics/,/<\/graphics>/d' -e '/<listen type/d'
}
assert_copy() { # NAME COPY
    # libvirt puts controllers of its own into another order when it reads its definition again
    diff <(neutral "$1" < "$SANDBOX/$1.before" | sort) <(definition "$2" | neutral "$2" | sort) >&2 || fail "the definition of $2 differs"
    assert_ne "$(virsh -q domuuid "$1")" "$(virsh -q domuuid "$2")" "UUID of $2"
    assert_report_vm "$1" .as "$2"
    assert_report_vm "$1" .as_uuid "$(virsh -q domuuid "$2")"
}

# ---- told, and then done: it boots, beside the original
kvss_json restore --yes "$POINT" web --name web-2 --dry-run
assert_report_vm web .turn_off false
assert_report_vm web .delete false
assert_report_vm web '.write[0].path' "$IMAGES/web-2-vda.qcow2"
assert_report_vm web '.nics[0].mac' null
assert_report_vm web '.nics[0].to' 'network lan'
assert_original
kvss_json restore --yes "$POINT" web --name web-2
assert_original
guest_wait web-2
assert_copy web web-2
assert_ge "$(guest_status web-2 boot_b)" 5 "token of web-2"
assert_eq "$(guest_bootid web)" "$web_boot" "boot id of web"
mac=$(mac_of web-2)
assert_match "$mac" '^52:54:00:' "MAC of web-2"
assert_ne "$mac" "$(mac_of web)" "MAC of web-2"
assert_eq "$(guest_sh web-2 cat /sys/class/net/eth0/address)" "$mac" "MAC as web-2 sees it"
assert_eq "$(guest_sh web-2 cat /sys/class/dmi/id/product_uuid)" "$(virsh -q domuuid web-2)" "UUID as web-2 sees it"
assert_eq "$(virsh -q desc web-2 --title)" 'The web server'
assert_match "$(report_vm web '.warnings | join("; ")')" 'fixed port'
guest_remember_disks web-2
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
note "web-2 beside web"

# ---- the name is taken; the place is taken
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" web --name mute
assert_match "$OUTPUT" 'mute.*another VM on this host has that name'
virsh -q destroy web-2 > /dev/null
virsh -q undefine web-2
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" web --name web-2
assert_match "$OUTPUT" 'web-2-vda.qcow2 already exists'
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" --name x
assert_match "$OUTPUT" 'works for a single VM'
assert_original

# ---- with its memory, which knows nothing of the new name
kvss_json restore --yes "$POINT" mute --name a-much-longer-name-than-the-other --to "$SANDBOX/copies"
copy=a-much-longer-name-than-the-other
assert_original
guest_wait "$copy"
assert_copy_memory() {
    assert_eq "$(guest_bootid "$copy")" "$mute_boot" "boot id of the copy"
    assert_le "$(guest_sh "$copy" 'cut -d. -f1 /proc/uptime')" 300 "uptime"
    assert_counts "$copy"
    assert_counts mute
}
assert_copy_memory
assert_ne "$(virsh -q domuuid "$copy")" "$(virsh -q domuuid mute)" "UUID"
assert_eq "$(guest_sh "$copy" cat /sys/class/net/eth0/address)" 52:54:00:00:01:02 "MAC in its memory"
assert_eq "$(virsh -q domif-getlink "$copy" 52:54:00:00:01:02 | awk '{ print $2 }')" down "link of the copy"
assert_no_match "$(definition "$copy")" "52:54:00:00:01:02|link state='down'"
assert_match "$(report_vm mute '.warnings | join("; ")')" 'links are down until its next boot'
assert_eq "$(readlink "$IMAGES/$copy")" "$SANDBOX/copies" "link of the copy"
note "memory under another name"
# saved and started again by hand: the new name is all through
virsh -q managedsave "$copy" > /dev/null
guest_start "$copy"
guest_wait "$copy"
assert_copy_memory
virsh -q destroy "$copy" > /dev/null
virsh -q undefine "$copy"

# ---- the same MACs, into another network; memory given up
elsewhere() {
    kvss_json restore --yes "$POINT" mute --name twin --keep-mac --network lan=lab --discard-memory --to "$SANDBOX/twin"
    guest_wait twin
    assert_eq "$(mac_of twin)" 52:54:00:00:01:02 "MAC of twin"
    assert_match "$(virsh -q domiflist twin)" 'network +lab'
    assert_ne "$(guest_bootid twin)" "$mute_boot" "boot id of twin"
    assert_eq "$(virsh -q domif-getlink twin 52:54:00:00:01:02 | awk '{ print $2 }')" up "link of twin"
    # ... and with memory and the same MACs, into no network
    virsh -q destroy twin > /dev/null
    virsh -q undefine twin
    kvss_json restore --yes "$POINT" mute --name twin --keep-mac --network 52:54:00:00:01:02=none --to "$SANDBOX/twin" --overwrite --no-start
    assert_state twin "shut off, saved"
    guest_start twin
    guest_wait twin
    assert_eq "$(guest_bootid twin)" "$mute_boot" "boot id of twin"
    assert_eq "$(virsh -q domif-getlink twin 52:54:00:00:01:02 | awk '{ print $2 }')" down "link of twin"
}
[ -z "${KVSS_TEST_FULL:-}" ] || elsewhere
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" mute --network lam=lab
assert_match "$OUTPUT" 'no NIC'
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" mute --network lan=nowhere
assert_match "$OUTPUT" 'no network and no bridge nowhere'

# ---- a copy that does not start is named by its own name
cp "$GUEST_DIR/vmlinuz" "$SANDBOX/kernel"
chmod 644 "$SANDBOX/kernel"
guest_xml stuck agent=no tokens=off fs=none size=8M | sed "s|<kernel>[^<]*<|<kernel>$SANDBOX/kernel<|" > "$SANDBOX/stuck.xml"
chmod 644 "$SANDBOX/stuck.xml"
virsh -q define "$SANDBOX/stuck.xml"
kvss_json backup stuck
head -c 100 /dev/urandom > "$SANDBOX/kernel"
kvss_fails "$EXIT_FAILED" restore "$(report .point)" stuck --name stuck-2 --start
assert_match "$OUTPUT" 'VM stuck-2: it was defined and is off: cannot start it: libvirt: '
assert_no_match "$OUTPUT" 'VM stuck:'
virsh -q undefine stuck-2
virsh -q undefine stuck
rm "$IMAGES"/stuck*

# ---- NVRAM of its own
kvss_json restore --yes "$POINT" uefi --name uefi-2
assert_eq "$(cat /var/lib/libvirt/qemu/nvram/uefi-2_VARS.fd)" 'variables of the firmware'
assert_copy uefi uefi-2
assert_file /var/lib/libvirt/qemu/nvram/uefi_VARS.fd
assert_original
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
