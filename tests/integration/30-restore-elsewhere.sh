#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Restored to other places: a folder, single disks, a storage pool, a block device. New targets, the link in the default place, and the
# paths in the definition are right (M16, M17, behaviour 36), and all else in it is as it was: title, description, metadata, autostart.
# What is in the way and not the VM's is refused before anything is touched, and replaced with --overwrite.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
mkdir -m 711 "$SANDBOX/second"
guest_define web fs=ext4,none format=qcow2,raw size=64M tokens=driven
qemu-io -f raw -c 'write -q -P 0x5a 1M 3M' "$IMAGES/web-vdb.raw"
virsh -q desc web --title 'The web server' > /dev/null
virsh -q desc web 'two disks & "quotes"' > /dev/null
virsh -q metadata web --uri http://example.org/kvss --key k --set '<owner>me</owner>' > /dev/null
virsh -q autostart web > /dev/null
guest_define other agent=no tokens=off
guest_start web
guest_wait web
token_drive web
poll 20 _token_past 5
backup web
token_drive_stop
definition web > "$SANDBOX/web.before"
uuid=$(virsh -q domuuid web)
note "backed up"

# the definition is the one before but for the paths given as OLD=NEW, and for what follows from a path's kind
assert_same_but() {
    local p was now args=()
    for p; do args+=(-e "s|${p#*=}|${p%%=*}|"); done
    was=$(cat "$SANDBOX/web.before") now=$(definition web | sed "${args[@]}")
    assert_eq "$now" "$was" "definition of web, paths put back"
}
# what is in the images: vdb's pattern, and tokens of before, as the guest finds them if it runs
assert_content() { # VDA VDB
    assert_match "$(qemu-io -U -r -f raw -c 'read -P 0x5a 1M 3M' "$2")" 'read 3145728/3145728'
    if [ "$(vm_state web)" = running ]; then
        guest_wait web
        assert_ge "$(guest_status web boot_b)" 5 "token of web"
    else
        assert_ge "$(field b "$(image_tokens "$1")")" 5 "token of web"
    fi
    assert_eq "$(virsh -q domuuid web)" "$uuid" "UUID of web"
    assert_match "$(virsh dominfo web)" 'Autostart: +enable'
    assert_eq "$(virsh -q desc web --title)" 'The web server' "title"
    assert_match "$(virsh -q metadata web --uri http://example.org/kvss)" '<owner>me</owner>'
}
# nothing was done: no VM touched, no file changed
refused() { # TEXT COMMAND...
    local text=$1
    shift
    facts_before web other
    kvss_fails "$EXIT_FAILED" restore --yes --move "$POINT" "$@"
    assert_match "$OUTPUT" "$text"
    assert_facts_same
}

# ---- a folder that is not there yet: first told, then done
kvss_json restore --yes "$POINT" web --move --to "$SANDBOX/new/place" --dry-run
assert_eq "$(report .dry_run)" true
[ ! -e "$SANDBOX/new" ] || fail "--dry-run has made the folder"
assert_report_vm web .turn_off true
assert_report_vm web .delete true
assert_report_vm web '.write | map(.what) | join(" ")' "vda vdb"
assert_report_vm web '.write[0].path' "$SANDBOX/new/place/web-vda.qcow2"
assert_report_vm web '.write[0].replaces' false
assert_report_vm web '.deletes | join(" ")' "$IMAGES/web-vda.qcow2 $IMAGES/web-vdb.raw"
assert_report_vm web '.stays | join(" ")' ""
assert_report_vm web .link.to "$SANDBOX/new/place"
assert_report_vm web .state running
kvss restore --yes "$POINT" web --move --to "$SANDBOX/new/place" --dry-run > "$SANDBOX/plan"
note "$(tr '\n' ';' < "$SANDBOX/plan")"
assert_match "$(cat "$SANDBOX/plan")" 'power off.*delete.*write vda.*delete the old image.*define the VM.*link.*boots and is then running'
assert_state web running

kvss_json restore --yes "$POINT" web --move --to "$SANDBOX/new/place"
assert_content "$SANDBOX/new/place/web-vda.qcow2" "$SANDBOX/new/place/web-vdb.raw"
assert_same_but "$IMAGES/web-vda=$SANDBOX/new/place/web-vda" "$IMAGES/web-vdb=$SANDBOX/new/place/web-vdb"
assert_eq "$(readlink "$IMAGES/web")" "$SANDBOX/new/place" "link of web"
for image in vda.qcow2 vdb.raw; do [ ! -e "$IMAGES/web-$image" ] || fail "an old image is left"; done
steps=$(report_vm web '.steps[].step' | uniq | tr '\n' ' ')
assert_eq "$steps" "turn off delete restore status register link disk path start delete " "steps"
guest_remember_disks web
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
note "in a folder"

# ---- files in the way; two disks in one place; names that are none
echo precious > "$SANDBOX/second/web-vda.qcow2"
refused 'web-vda.qcow2 already exists' web --to "$SANDBOX/second"
refused 'both' web --disk "vda=$SANDBOX/second/x" --disk "vdb=$SANDBOX/second/../second/x"
refused 'no such disk.*vda, vdb' web --disk "vdz=$SANDBOX/second/x"
refused 'belongs to VM other' web --disk "vda=$IMAGES/other-vda.qcow2" --overwrite
refused 'no storage pool nowhere' web --pool nowhere
refused 'no block device /dev/not-there' web --disk vda=/dev/not-there
mkdir "$SANDBOX/second/folder"
refused 'folder' web --disk "vda=$SANDBOX/second/folder" --overwrite
mkdir -m 700 "$SANDBOX/private"
refused 'cannot access' web --to "$SANDBOX/private/web"
kvss_fails "$EXIT_USAGE" restore --yes "$POINT" web --to "$SANDBOX/second" --pool x
kvss_fails "$EXIT_USAGE" restore --yes "$POINT" web --disk vda --disk "vdb=$SANDBOX/second/x"
kvss_fails "$EXIT_USAGE" restore --yes web --start --no-start
assert_eq "$(cat "$SANDBOX/second/web-vda.qcow2")" precious "the file in the way"

# ---- single disks: one over that file, one onto a block device that holds something else
truncate -s 96M "$SANDBOX/device"
LOOP=$(losetup --find --show "$SANDBOX/device")
cleanup_fn losetup --detach "$LOOP"
dd if=/dev/urandom of="$LOOP" bs=1M count=96 status=none
refused "block device $LOOP is not currently a disk of this VM" web --disk "vda=$SANDBOX/second/v.qcow2" --disk "vdb=$LOOP"
kvss_json restore --yes "$POINT" web --move --disk "vda=$SANDBOX/second/web-vda.qcow2" --disk "vdb=$LOOP" --overwrite --no-start
assert_state web "shut off"
assert_content "$SANDBOX/second/web-vda.qcow2" "$LOOP"
assert_match "$(qemu-io -r -U -f raw -c 'read -P 0 4M 60M' "$LOOP")" 'read 62914560/62914560' # holes are zeros there too
assert_match "$(virsh -q domblklist web --inactive --details)" "block +disk +vdb +$LOOP"
assert_eq "$(readlink "$IMAGES/web")" "$SANDBOX/second" "link of web"
note "on a block device"

# ---- in place onto that device: it is the VM's own now, so no question is asked
guest_remember_disks web
backup web
dd if=/dev/zero of="$LOOP" bs=1M seek=1 count=3 conv=notrunc oflag=direct status=none
kvss_json restore --yes "$POINT" web
assert_content "$SANDBOX/second/web-vda.qcow2" "$LOOP"
# and when the VM is gone, it may hold anything
virsh -q undefine web --checkpoints-metadata
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" web
assert_match "$OUTPUT" "block device $LOOP is not currently a disk of this VM"

# ---- a pool; a pool that is no folder
mkdir -m 711 "$SANDBOX/pool"
virsh -q pool-define-as fast dir --target "$SANDBOX/pool"
refused_off() { kvss_fails "$EXIT_FAILED" restore --yes "$POINT" web "${@:2}" && assert_match "$OUTPUT" "$1"; }
refused_off 'not active' --pool fast
virsh -q pool-start fast
virsh -q pool-define-as group logical --source-name no-group --target /dev/no-group
refused_off 'not active|type logical' --pool group
kvss_json restore --yes "$POINT" web --pool fast
assert_content "$SANDBOX/pool/web-vda.qcow2" "$SANDBOX/pool/web-vdb.raw"
assert_match "$(virsh -q vol-list fast)" 'web-vda.qcow2.*web-vdb.raw'
assert_match "$(virsh -q domblklist web --inactive --details)" "file +disk +vdb +$SANDBOX/pool/web-vdb.raw"
note "in a pool"

# ---- a disk that is a volume of a pool stays one where it comes back to its place
virsh -q vol-create-as fast pooled 8M --format qcow2
guest_xml pooled agent=no tokens=off images="$SANDBOX/pool/pooled" |
    sed "s|<disk type=\"file\"|<disk type=\"volume\"|; s|<source file=\"[^\"]*\"|<source pool=\"fast\" volume=\"pooled\"|" > "$SANDBOX/pooled.xml"
virsh -q define "$SANDBOX/pooled.xml"
guest_remember_disks pooled
guest_remember_disks web
definition pooled > "$SANDBOX/pooled.before"
backup_of=$POINT
backup pooled
kvss_json restore --yes "$POINT" pooled
assert_definition pooled "$SANDBOX/pooled.before"
kvss_json restore --yes "$POINT" pooled --move --to "$SANDBOX/second"
assert_match "$(virsh -q domblklist pooled --details)" "file +disk +vda +$SANDBOX/second/pooled"
virsh -q undefine pooled
POINT=$backup_of

# ---- and back to the default place: the link goes
kvss_json restore --yes "$POINT" web --move --to "$IMAGES" --start
assert_content "$IMAGES/web-vda.qcow2" "$IMAGES/web-vdb.raw"
[ ! -L "$IMAGES/web" ] || fail "the link is still there"
guest_remember_disks web
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
