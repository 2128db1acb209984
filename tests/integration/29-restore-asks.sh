#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A restore asks before it powers off, replaces or deletes anything that exists: on a terminal it shows the plan and has the VM's name
# typed; without one it is refused (3) unless --yes says that it may. A place given for a VM that is here must say what is meant:
# a copy, an extraction, or a move. Whatever is refused changes nothing. M13, M14.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
PTY=$KVSS_BUILD/tests/tools/ptyrun

tiny() { # NAME: a VM without a system, whose QEMU only runs its firmware
    qemu-img create -q -f qcow2 "$IMAGES/$1-vda.qcow2" 16M
    qemu-img create -q -f raw "$IMAGES/$1-vdb.raw" 4M
    local disks='' target format
    for target in vda.qcow2 vdb.raw; do
        format=${target#*.}
        disks+="<disk type='file' device='disk'><driver name='qemu' type='$format'/><source file='$IMAGES/$1-$target'/>"
        disks+="<target dev='${target%.*}' bus='virtio'/></disk>"
    done
    cat > "$SANDBOX/$1.xml" <<END
<domain type='qemu'><name>$1</name><memory unit='MiB'>48</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><devices>$disks</devices></domain>
END
    virsh -q define "$SANDBOX/$1.xml"
    virsh -q dumpxml "$1" > "$SANDBOX/$1.xml"
}
pattern() { # NAME BYTE: what its images hold
    qemu-io -f qcow2 -c "write -q -P $2 0 1M" "$IMAGES/$1-vda.qcow2"
    qemu-io -f raw -c "write -q -P $2 0 1M" "$IMAGES/$1-vdb.raw"
}
holds() { # BYTE IMAGE...
    local byte=$1 image
    shift
    for image; do
        assert_match "$(qemu-io -U -r -c "read -P $byte 0 1M" "$image" 2>&1)" '^read 1048576/1048576' "$image holds $byte"
        ! qemu-io -U -r -c "read -P $byte 0 1M" "$image" 2>&1 | grep -q 'verification failed' || fail "$image does not hold $byte"
    done
}
same() { # nothing has happened to the VMs, their images, or anything beside them
    assert_facts_same
    holds 0x22 "$IMAGES"/{on,off}-{vda.qcow2,vdb.raw}
    assert_eq "$(ls -A "$IMAGES")" "$(cat "$SANDBOX/files")" "files beside the images"
    assert_untouched
}
asked() { # ANSWER STATUS COMMAND...: on a terminal; what it showed is in $SANDBOX/shown, what it printed in $REPORT
    local answer=$1 wanted=$2 status=0
    shift 2
    "$PTY" -o "$REPORT" 'type the name of the VM' "$answer" -- "$KVSS" "$@" > "$SANDBOX/shown" 2> "$SANDBOX/stderr" < /dev/null || status=$?
    assert_eq "$status" "$wanted" "status of kvss $*: $(tail -n 30 "$SANDBOX/shown" "$SANDBOX/stderr")"
}
shown() { assert_match "$(tr -d '\r' < "$SANDBOX/shown")" "$1" "what the terminal showed"; }

tiny on
tiny off
pattern on 0x11
pattern off 0x11
virsh -q start on
backup on off
first=$POINT
virsh -q destroy on
pattern on 0x22
pattern off 0x22
virsh -q start on
ls -A "$IMAGES" > "$SANDBOX/files"
lifecycle_start
facts_before on off

# ---- without a terminal: refused, and nothing is touched
for args in off '' 'on --disk vdb' 'off --disk vdb' '--at 2099-01-01 on'; do
    # shellcheck disable=SC2086 # words
    if [[ $args = --at* ]]; then kvss_fails "$EXIT_REFUSED" restore $args; else kvss_fails "$EXIT_REFUSED" restore "$first" $args; fi
    assert_match "$OUTPUT" '--yes' "restore $args: the remedy"
    assert_match "$OUTPUT" 'VM (on|off)' "restore $args: the VM"
    assert_eq "$(grep -c . <<< "$OUTPUT")" 1 "restore $args: said once: $OUTPUT"
done
kvss_fails "$EXIT_REFUSED" restore "$first" on
assert_match "$OUTPUT" 'VM on is running.*powered off' "what happens to a VM that runs"
kvss_fails "$EXIT_REFUSED" restore "$first" on --json
assert_eq "$(report .error.errno)" ECANCELED "the error as JSON"
kvss_fails "$EXIT_REFUSED" restore "$first" on < <(echo on)
same
# a terminal, but an unattended job on it
"$PTY" -t 120 -- sh -c '"$0" restore "$1" on < /dev/null' "$KVSS" "$first" > "$SANDBOX/shown" 2> "$SANDBOX/stderr" && fail "not refused"
shown '--yes'
same
note "refused without a terminal"

# ---- a place for a VM that is here
for args in "--to $SANDBOX/else" '--pool nowhere' "--disk vdb=$SANDBOX/else/b"; do
    [ "$args" != '--pool nowhere' ] || virsh -q pool-create-as nowhere dir --target "$SANDBOX" > /dev/null
    # shellcheck disable=SC2086 # words
    for also in --yes --dry-run; do
        kvss_fails "$EXIT_REFUSED" restore "$first" off $args $also
        for remedy in --name --images-only --move; do assert_match "$OUTPUT" "$remedy" "restore $args $also"; done
    done
done
kvss_fails "$EXIT_REFUSED" restore "$first" off --move --to "$SANDBOX/else"
assert_match "$OUTPUT" '--yes' '--move without --yes'
for args in --move "--move --to $SANDBOX/else --name x" "--move --to $SANDBOX/else --images-only" '--move --disk vdb'; do
    # shellcheck disable=SC2086 # words
    kvss_fails "$EXIT_USAGE" restore "$first" off $args
done
[ ! -e "$SANDBOX/else" ] || fail "the folder was made"
same
note "places"

# ---- nothing of what exists is replaced: no question
kvss restore "$first" off --to "$SANDBOX/x" --images-only > /dev/null
holds 0x11 "$SANDBOX"/x/off-vd*
kvss restore "$first" off --name twin --to "$SANDBOX/copy" > /dev/null
holds 0x11 "$SANDBOX"/copy/twin-vd*
virsh -q undefine twin; rm -f "$IMAGES/twin" # its link
kvss_fails "$EXIT_REFUSED" restore "$first" off --to "$SANDBOX/x" --images-only --overwrite
kvss_fails "$EXIT_REFUSED" restore "$first" off --name twin --to "$SANDBOX/copy" --overwrite
assert_match "$OUTPUT" "$SANDBOX/copy/twin-vda.qcow2 exists"
kvss_json restore "$first" off --name twin --to "$SANDBOX/copy" --overwrite --dry-run
assert_eq "$(report .asks)" true "the plan says that it asks"
virsh -q pool-destroy nowhere > /dev/null
note "copies and extractions"
# what happened to the copy does not matter
lifecycle_stop
lifecycle_start

# ---- on a terminal: the plan, and the name
for answer in '' off 'on ' ^D; do
    asked "$answer" "$EXIT_REFUSED" restore "$first" on
    shown 'nothing was changed'
    same
done
asked ^C "$EXIT_INTERRUPTED" restore "$first" on
same
asked '' "$EXIT_REFUSED" restore latest on
for text in "Restore point ${first:0:12}" 'old\)' 'power off \(currently running\)' 'delete its definition' \
    "replace vda: $IMAGES/on-vda.qcow2" "replace vdb: $IMAGES/on-vdb.raw" 'memory and disks from the same moment' \
    'All changes since .* will be lost: VM on\.'; do
    shown "$text"
done
asked nothing "$EXIT_REFUSED" restore "$first" off --move --to "$SANDBOX/moved"
shown "delete the old image: $IMAGES/off-vda.qcow2"
same
note "the plan, and no name typed"

# ---- what changes between the question and the act, and while the images are made
status=0
"$PTY" -o "$REPORT" 'type the name of the VM' '@virsh -q start off' '(off): ' off -- "$KVSS" restore "$first" off > "$SANDBOX/shown" || status=$?
assert_eq "$status" "$EXIT_REFUSED" "a VM that was started while the question waited: $(cat "$SANDBOX/shown")"
shown 'VM off was off when the plan was shown and is running now'
assert_eq "$(vm_state off)" running "state of off"
holds 0x22 "$IMAGES"/off-vd*
virsh -q destroy off
meanwhile() { # COMMAND...: run while the images are being made
    (until grep -q 'fault wait' "$SANDBOX/fault" 2> /dev/null; do sleep 0.1; done; "$@"; : > "$SANDBOX/fault.go") &
    MEANWHILE=$!
}
if [ "${KVSS_FAULT_POINTS:-yes}" = yes ]; then
    for how in start define; do
        rm -f "$SANDBOX"/fault*
        [ $how = start ] || virsh -q undefine off
        if [ $how = start ]; then meanwhile virsh -q start off; else meanwhile virsh -q define "$SANDBOX/off.xml"; fi
        status=0
        KVSS_TEST_FAULT=wait:staged-file:done KVSS_TEST_FAULT_LOG=$SANDBOX/fault \
            "$PTY" -o "$REPORT" 'type the name of the VM' off -- "$KVSS" restore "$first" off > "$SANDBOX/shown" || status=$?
        assert_eq "$status" "$EXIT_REFUSED" "$how while the images are made: $(cat "$SANDBOX/shown")"
        wait "$MEANWHILE"
        holds 0x22 "$IMAGES"/off-vd*
        virsh -q destroy off 2> /dev/null || :
    done
fi
assert_eq "$(ls -A "$IMAGES")" "$(cat "$SANDBOX/files")" "files beside the images"
note "changes in between"

# ---- agreed to: done
asked on 0 restore "$first" on --json
assert_eq "$(jq -s length "$REPORT")" 1 "JSON documents"
assert_eq "$(report '.vms[0].registered')" true
assert_eq "$(vm_state on)" running "state of on"
pattern_of() { virsh -q destroy "$1"; holds "$2" "$IMAGES/$1"-vd*; }
pattern_of on 0x11
pattern on 0x22
"$PTY" -o "$REPORT" '(on): ' on '(off): ' off -- "$KVSS" restore "$first" > "$SANDBOX/shown"
pattern_of on 0x11
holds 0x11 "$IMAGES"/off-vd*
pattern off 0x22
asked off 0 restore "$first" off --disk vdb
holds 0x11 "$IMAGES/off-vdb.raw"
holds 0x22 "$IMAGES/off-vda.qcow2"
note "agreed to"

# ---- a move: the old images are deleted, but not one that others need, that no backup holds, or that is not a file
qemu-img create -q -f qcow2 -F raw -b "$IMAGES/off-vdb.raw" "$IMAGES/child.qcow2"
cat > "$SANDBOX/child.xml" <<END
<domain type='qemu'><name>child</name><memory unit='MiB'>48</memory><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$IMAGES/child.qcow2'/><target dev='vda' bus='virtio'/></disk>
</devices></domain>
END
virsh -q define "$SANDBOX/child.xml"
qemu-img create -q -f raw "$IMAGES/off-vdc.raw" 1M
virsh -q attach-disk off "$IMAGES/off-vdc.raw" vdc --config > /dev/null
kvss_json restore "$first" off --move --to "$SANDBOX/moved" --dry-run
assert_eq "$(report '.vms[0].deletes | join(" ")')" "$IMAGES/off-vda.qcow2" "old images to be deleted"
assert_eq "$(report '.vms[0].stays | sort | join(" ")')" "$IMAGES/off-vdb.raw $IMAGES/off-vdc.raw" "old images that stay"
kvss restore "$first" off --move --to "$SANDBOX/moved" --yes > "$SANDBOX/out"
holds 0x11 "$SANDBOX"/moved/off-vd*
[ ! -e "$IMAGES/off-vda.qcow2" ] || fail "the old image is left"
for image in vdb vdc; do [ -e "$IMAGES/off-$image.raw" ] || fail "an image that others need was deleted"; done
assert_eq "$(virsh -q domblklist off | awk '{ print $2 }' | sort | xargs)" "$SANDBOX/moved/off-vda.qcow2 $SANDBOX/moved/off-vdb.raw" "disks"
# where it fails, they are there
kvss_fails "$EXIT_FAILED" restore "$first" off --move --to /proc/nowhere --yes
[ -e "$SANDBOX/moved/off-vda.qcow2" ] || fail "an old image was deleted by a restore that failed"
if [ "${KVSS_FAULT_POINTS:-yes}" = yes ]; then
    KVSS_TEST_FAULT=fail:old-image:done kvss_fails "$EXIT_FAILED" restore "$first" off --move --to "$IMAGES/again" --yes
    holds 0x11 "$SANDBOX"/moved/off-vd*
    assert_eq "$(virsh -q domblklist off | awk '{ print $2 }' | sort | xargs)" "$SANDBOX/moved/off-vda.qcow2 $SANDBOX/moved/off-vdb.raw"
fi
note "a move"

# ---- a VM that is not here any more, and none of its files: no question; a file of it: the question
virsh -q undefine child
virsh -q undefine off
kvss_fails "$EXIT_REFUSED" restore "$first" off
assert_match "$OUTPUT" "off-vdb.raw exists"
rm "$IMAGES"/off-* "$IMAGES/child.qcow2"
kvss restore "$first" off > /dev/null
holds 0x11 "$IMAGES"/off-vd*
assert_eq "$(vm_state off)" "shut off"
assert_nothing_left
