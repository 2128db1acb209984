#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# M18 on Open vSwitch: a restored VM gets a new port with a new interface id, its VLAN too, and traffic flows; no port of before is
# left in the switch. A bridge that is gone: the VM runs, that link down. A copy beside the original, a move to another bridge, and
# Open vSwitch that does not run at all (these with KVSS_TEST_FULL=1). In its user-space data path, which needs no module of the kernel.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

RUN=/run/openvswitch
vswitch_start() {
    mkdir -p $RUN
    [ -e $RUN/conf.db ] || ovsdb-tool create $RUN/conf.db /usr/share/openvswitch/vswitch.ovsschema
    ovsdb-server --remote=punix:$RUN/db.sock --pidfile=$RUN/ovsdb-server.pid --detach --no-chdir \
        --log-file=$RUN/db.log $RUN/conf.db 2> /dev/null
    ovs-vsctl --no-wait init
    ovs-vswitchd --pidfile=$RUN/ovs-vswitchd.pid --detach --no-chdir --log-file=$RUN/switch.log unix:$RUN/db.sock 2> /dev/null
}
vswitch_stop() { kill "$(cat $RUN/ovs-vswitchd.pid)" "$(cat $RUN/ovsdb-server.pid)"; poll 10 _vswitch_gone; }
_vswitch_gone() { ! pgrep -x 'ovs-vswitchd|ovsdb-server'; }
vswitch() { ovs-vsctl --timeout=10 "$@"; }
bridge() { vswitch add-br "$1" -- set bridge "$1" datapath_type=netdev; }

# interface_ids MAC: of the ports that the switch has for a NIC; one line for each
interface_ids() {
    vswitch --format=csv --no-headings --data=bare --columns=external_ids list interface |
        sed -n "s/.*attached-mac=$1 iface-id=\([0-9a-f-]*\).*/\1/p"
}
# ports_of BRIDGE: NICs on it, by MAC, sorted
ports_of() {
    local port
    for port in $(vswitch list-ports "$1"); do vswitch get interface "$port" external_ids:attached-mac | tr -d '"'; done | sort | paste -sd ' '
}
tag_of() { vswitch get port "$(virsh -q domiflist "$1" | awk -v mac="$2" '$5 == mac { print $1 }')" tag; }
reaches() { guest_sh "$1" "ping -c 1 -W 2 $2"; }

nic() { # MAC BRIDGE [MORE]
    echo "<interface type='bridge'><source bridge='$2'/><mac address='$1'/>${3:-}<virtualport type='openvswitch'/><model type='virtio'/></interface>"
}
WEB=52:54:00:00:01:01 WEB_GONE=52:54:00:00:01:02 MUTE=52:54:00:00:02:01 OFF=52:54:00:00:03:01

kvss_setup
vswitch_start
for name in stays leaves other; do bridge $name; done
vlan="<vlan><tag id='7'/></vlan>"
guest_define web tokens=off words=kvss.net=192.168.9.2/24 extra="$(nic $WEB stays "$vlan")$(nic $WEB_GONE leaves)"
guest_define mute tokens=off agent=no words=kvss.net=192.168.9.3/24 extra="$(nic $MUTE stays "$vlan")"
guest_define off tokens=off agent=no extra="$(nic $OFF stays)"
for vm in web mute; do guest_start $vm; done
for vm in web mute; do guest_wait $vm; done
poll 20 reaches web 192.168.9.3
backup web mute off
boot=$(guest_bootid mute)
assert_eq "$(ports_of stays)" "$WEB $MUTE" "ports before"
note "backed up"

# ---- over the VMs that run, at a host whose bridge went meanwhile
declare -A before
for mac in $WEB $MUTE; do before[$mac]=$(interface_ids "$mac"); done
virsh -q detach-interface web bridge --mac $WEB_GONE --live
vswitch del-br leaves
kvss_json restore --yes "$POINT"
for vm in web mute; do guest_wait $vm; done
assert_eq "$(guest_bootid mute)" "$boot" "boot id of mute"
assert_eq "$(ports_of stays)" "$WEB $MUTE" "ports after"
for mac in $WEB $MUTE; do
    assert_match "$(interface_ids "$mac")" '^[0-9a-f-]{36}$' "interface id of $mac"
    assert_ne "$(interface_ids "$mac")" "${before[$mac]}" "interface id of $mac"
done
assert_eq "$(tag_of web $WEB) $(tag_of mute $MUTE)" "7 7" "VLANs"
poll 20 reaches web 192.168.9.3
assert_match "$(report_vm web '[.steps[] | "\(.step): \(.text)"] | join("; ")')" "new port for NIC $WEB" "steps of web"
assert_eq "$(virsh -q domif-getlink web $WEB_GONE | awk '{ print $2 }')" down "link of the NIC whose bridge is gone"
assert_match "$(report_vm web '.warnings | join("; ")')" "bridge leaves does not exist.*$WEB_GONE" "warnings of web"
assert_no_match "$(report_vm web '.warnings | join("; ")')" "$WEB" "warnings of web"
assert_nothing_left
note "restored"

[ -n "${KVSS_TEST_FULL:-}" ] || exit 0
# the VM that was off has a port as soon as it starts
guest_start off
guest_wait off
assert_match "$(interface_ids $OFF)" '^[0-9a-f-]{36}$' "interface id of $OFF"

# ---- a copy beside the original has a port of its own; on another bridge none stays on the first
kvss_json restore --yes "$POINT" web --name twin
guest_wait twin
twin=$(virsh -q domiflist twin | awk '$3 == "stays" { print $5 }')
assert_ne "$twin" $WEB "MAC of the copy"
assert_match "$(ports_of stays)" "$twin" "ports with the copy"
assert_ne "$(interface_ids "$twin")" "$(interface_ids $WEB)" "interface id of the copy"
assert_eq "$(tag_of twin "$twin")" 7 "VLAN of the copy"
destroy_vm twin
kvss_json restore --yes "$POINT" web --network stays=other
guest_wait web
assert_eq "$(ports_of other)" "$WEB" "ports of the other bridge"
assert_eq "$(ports_of stays)" "$MUTE $OFF" "ports of the first bridge"
note "moved"

# ---- no Open vSwitch: the VM is there all the same, with no link
destroy_vm web mute off
vswitch_stop
kvss_json restore --yes "$POINT" web
guest_wait web
for mac in $WEB $WEB_GONE; do assert_eq "$(virsh -q domif-getlink web "$mac" | awk '{ print $2 }')" down "link of $mac"; done
assert_match "$(report_vm web '.warnings | join("; ")')" "bridge stays cannot be used because Open vSwitch does not respond: NIC $WEB" "warnings"
assert_nothing_left
