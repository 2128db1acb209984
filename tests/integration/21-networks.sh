#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# M18, behaviour 37: where the virtual switch still exists, a new port is made and connected; where it is gone the VM is registered
# and runs all the same, its link down, and the user is told. libvirt networks and host bridges; a VM that boots, one that goes on
# from its saved state, and one that is off.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
bridge() { ip link add "$1" type bridge && ip link set "$1" up; }
for net in stays sleeps leaves; do network_define $net; done
bridge br-stays
bridge br-leaves

nic() { echo "<interface type='$1'><source $1='$2'/><mac address='52:54:00:00:$3'/><model type='virtio'/></interface>"; }
nics() { # NUMBER
    nic network stays "$1:01"
    nic network sleeps "$1:02"
    nic network leaves "$1:03"
    nic bridge br-stays "$1:04"
    nic bridge br-leaves "$1:05"
}
guest_define boots tokens=off words=kvss.net=192.168.9.2/24 extra="$(nics 01)"
guest_define memory tokens=off agent=no extra="$(nics 02)"
guest_define off tokens=off agent=no extra="$(nics 03)"
guest_start boots
guest_start memory
guest_wait boots
guest_wait memory
backup boots memory off
boot=$(guest_bootid memory)
note "backed up"

# the VMs go first: a network that is in use stays
for vm in boots memory off; do definition $vm > "$SANDBOX/$vm.before"; done
destroy_vm boots memory off
virsh -q net-destroy leaves > /dev/null
virsh -q net-undefine leaves > /dev/null
virsh -q net-destroy sleeps > /dev/null
ip link del br-leaves
kvss_json restore --yes "$POINT"
cp "$REPORT" "$SANDBOX/restored.json"

# connected NAME: MAC and bridge of each NIC that hangs on one now
connected() {
    local line tap mac
    virsh -q domiflist "$1" | while read -r line; do
        read -r tap _ _ _ mac <<< "$line"
        echo "$mac $(ip -o link show "$tap" | sed -n 's/.* master \([^ ]*\).*/\1/p')"
    done
}
bridge_of() { virsh -q net-info "$1" | awk '$1 == "Bridge:" { print $2 }'; }
link_state() { virsh -q domif-getlink "$1" "52:54:00:00:$2" ${3:+"$3"} | awk '{ print $2 }'; }

assert_network() { # NAME NUMBER
    local vm=$1 mac
    assert_report_vm "$vm" .registered true
    for mac in 03 05; do
        assert_eq "$(link_state "$vm" "$2:$mac" --config)" down "$vm: link of the NIC $mac, whose switch is gone"
        assert_match "$(report_vm "$vm" '.warnings | join("; ")')" "52:54:00:00:$2:$mac" "warnings of $vm"
    done
    for mac in 01 02 04; do
        assert_ne "$(link_state "$vm" "$2:$mac" --config)" down "$vm: link of the NIC $mac"
        assert_match "$(report_vm "$vm" '[.steps[] | "\(.step): \(.text)"] | join("; ")')" "new port for NIC 52:54:00:00:$2:$mac" "steps of $vm"
        assert_no_match "$(report_vm "$vm" '.warnings | join("; ")')" "52:54:00:00:$2:$mac" "warnings of $vm"
    done
    assert_match "$(report_vm "$vm" '.warnings | join("; ")')" 'network leaves.*bridge br-leaves' "switches named for $vm"
}
for pair in boots=01 memory=02 off=03; do
    cp "$SANDBOX/restored.json" "$REPORT"
    assert_network "${pair%=*}" "${pair#*=}"
done
assert_match "$(virsh -q net-info sleeps)" 'Active: +yes' "the inactive network"
assert_eq "$(report_vm off '.steps[].step' | uniq | paste -sd ' ')" "turn off restore status register network" "steps of off"

guest_wait boots
guest_wait memory
assert_eq "$(guest_bootid memory)" "$boot" "boot id of memory"
for pair in boots=01 memory=02; do
    vm=${pair%=*} number=${pair#*=}
    links=$(connected "$vm")
    assert_match "$links" "$number:01 $(bridge_of stays)" "port of $vm"
    assert_match "$links" "$number:02 $(bridge_of sleeps)" "port of $vm"
    assert_match "$links" "$number:04 br-stays" "port of $vm"
    assert_no_match "$links" "$number:0[35] [a-z]" "port of $vm"
    assert_eq "$(link_state "$vm" "$number:03")" down "live link of $vm"
    assert_eq "$(link_state "$vm" "$number:01")" up "live link of $vm"
done
# as the guest sees it
assert_eq "$(guest_sh boots 'cat /sys/class/net/eth0/carrier')" 1 "carrier of eth0"
guest_sh boots 'ip link set eth2 up'
assert_eq "$(guest_sh boots 'cat /sys/class/net/eth2/carrier')" 0 "carrier of eth2"
# nothing but the two NICs has changed
strip() { sed '/<interface/,/<\/interface>/d' "$1"; }
definition off > "$SANDBOX/off.after"
diff <(strip "$SANDBOX/off.before") <(strip "$SANDBOX/off.after") >&2 || fail "off: more than the NICs has changed"
# and the VM that is off can start as it is
guest_start off
