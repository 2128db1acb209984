#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# More that a VM in a saved state comes back without (B2, M3), as 44-way-back.sh: files that only its firmware reads, and the servers that
# its devices are connected to. What is missing beforehand is told by check and refused by the backup.
# In `make test` 44-way-back has others of these.
# only: full
# timeout: 300
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"
kvss_setup
L=$SANDBOX/lost
mkdir -m 755 "$L"
echo x > "$L/setting"
echo x > "$L/argument"
printf 'SLIC\x24\0\0\0\1\0BOCHS BXPCSLIC\0\0\0\0BXPC\0\0\0\0' > "$L/table"
# one that is no other than QEMU's own in size: the memory that is saved has it
rom=/usr/lib/ipxe/qemu/efi-virtio.rom
[ -e $rom ] || rom=/usr/share/qemu/efi-virtio.rom
requires [ -e $rom ]
cp $rom "$L/rom"
truncate -s 4k "$L/json"
chmod 644 "$L"/*

# what its devices are connected to
servers_start() {
    qemu-system-x86_64 -M none -nodefaults -display none -chardev socket,id=egd,path="$L/egd",server=on,wait=off \
        -chardev socket,id=far,host=127.0.0.1,port=7001,server=on,wait=off -chardev socket,id=usb,host=127.0.0.1,port=7002,server=on,wait=off &
    servers=$!
    poll 20 [ -S "$L/egd" ]
    chmod 777 "$L/egd"
}
servers_stop() {
    kill "$servers" 2> /dev/null || return 0
    wait "$servers" 2> /dev/null || :
    rm -f "$L/egd"
}
servers_start
cleanup_fn servers_stop
guest_xml away agent=no tokens=off extra="
    <interface type='user'><model type='virtio'/><rom bar='on' file='$L/rom'/></interface>
    <rng model='virtio'><backend model='egd' type='unix'><source mode='connect' path='$L/egd'/></backend></rng>
    <rng model='virtio'><backend model='egd' type='tcp'><source mode='connect' host='127.0.0.1' service='7001'/></backend></rng>
    <controller type='usb' model='qemu-xhci'/>
    <redirdev bus='usb' type='tcp'><source mode='connect' host='127.0.0.1' service='7002'/><protocol type='raw'/></redirdev>
    <serial type='file'><source path='$L/logs/away'/></serial>
    <graphics type='vnc' port='5999' autoport='no' listen='127.0.0.1'/>
    <smartcard mode='passthrough' type='unix'><source mode='bind' path='$L/cards/card'/></smartcard>" |
    sed "s|<controller type=\"usb\" model=\"none\"/>||; s|</os>|<acpi><table type='slic'>$L/table</table></acpi></os>|
        s|^<domain |<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' |
        s|^<features>|<sysinfo type='fwcfg'><entry name='opt/org.test/setting' file='$L/setting'/></sysinfo><features>|
        s|</domain>|<qemu:commandline><qemu:arg value='-fw_cfg'/><qemu:arg value='name=opt/org.test/argument,file=$L/argument'/>\
<qemu:arg value='-blockdev'/><qemu:arg value='{\&quot;driver\&quot;:\&quot;file\&quot;,\&quot;node-name\&quot;:\&quot;more\&quot;,\&quot;read-only\&quot;:true,\&quot;filename\&quot;:\&quot;$L/json\&quot;}'/>\
</qemu:commandline></domain>|" > "$SANDBOX/away.xml"
mkdir "$L/cards" "$L/logs"
chmod 777 "$L/cards" "$L/logs"
chmod 644 "$SANDBOX/away.xml"
virsh define --validate "$SANDBOX/away.xml" > /dev/null
guest_remember_disks away
definition away > "$SANDBOX/definition"
guest_start away
guest_wait away
boot=$(guest_bootid away)
note "the guest is up"

# ---- known beforehand
kvss_json check away
lifecycle_start
for thing in setting table rom egd cards argument json; do
    mv "$L/$thing" "$L/$thing.away"
    kvss check away --json > "$REPORT" 2> /dev/null && fail "$thing: check says that all is well"
    assert_match "$(report_vm away .refused)" "$L/$thing" "$thing: what check says"
    kvss_fails "$EXIT_REFUSED" backup away
    assert_match "$OUTPUT" "$L/$thing" "$thing: what the backup says"
    mv "$L/$thing.away" "$L/$thing"
done
# servers that are gone and left their sockets behind, though QEMU has its connections; nobody else has been connected to
kill -KILL "$servers"
wait "$servers" 2> /dev/null || :
assert_file "$L/egd"
kvss check away --json > "$REPORT" 2> /dev/null && fail "check says that all is well without servers"
for pattern in "socket $L/egd .* random numbers" '127.0.0.1 port 7001 .* random numbers' '127.0.0.1 port 7002 .* USB redirection'; do
    assert_match "$(report_vm away .refused)" "$pattern.*nothing is listening there" "what check says"
done
kvss_fails "$EXIT_REFUSED" backup away
assert_match "$OUTPUT" '127.0.0.1 port 7001 .*nothing is listening there' "what the backup says"
assert_untouched away
lifecycle_stop
virsh -q destroy away
rm "$L/egd"
servers_start
guest_start away
guest_wait away
boot=$(guest_bootid away)
kvss_json check away
assert_points 0
note "refused beforehand"

# ---- lost while it is saved
# comes_back THING...: without them, running, in the memory that it had; its definition is what it was
comes_back() {
    local thing
    rm -f "$SANDBOX/fault.log" "$SANDBOX/fault.log.go"
    KVSS_TEST_FAULT=wait:save-vm:done KVSS_TEST_FAULT_LOG=$SANDBOX/fault.log \
        "$KVSS" backup away --json > "$REPORT" 2> "$SANDBOX/stderr" &
    backup_pid=$!
    poll 60 grep -q ^fault "$SANDBOX/fault.log"
    for thing; do
        case $thing in servers) servers_stop ;; *) rm -r "${L:?}/$thing" ;; esac
    done
    touch "$SANDBOX/fault.log.go"
    wait $backup_pid || fail "the backup failed: $(cat "$SANDBOX/stderr")"
    assert_state away running
    guest_wait away
    assert_eq "$(guest_bootid away)" "$boot" "boot id"
    assert_definition away "$SANDBOX/definition"
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
}
told() {
    local pattern
    for pattern; do assert_match "$(report_vm away '.warnings | join("; ")')" "$pattern" "warnings of the report"; done
}
comes_back setting table cards argument rom
told "QEMU's own option ROM .*$L/rom" "fw_cfg. $L/setting" "ACPI table $L/table" "$L/cards" "$L/argument is missing \(-fw_cfg"
assert_no_match "$(report_vm away '.warnings | join("; ")')" urandom "warnings of the report"
note "without what firmware reads"
comes_back servers
told urandom 'USB redirections keep trying'
assert_no_match "$(report_vm away '.warnings | join("; ")')" 'display|files, sockets' "warnings of the report"
note "without servers"
