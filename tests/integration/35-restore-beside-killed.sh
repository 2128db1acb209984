#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The restores that replace no VM, killed or failing at their steps: of a copy, of a single disk into a VM that stays, of files without
# libvirt. Afterwards all is as before, or the restore stands as a whole; the original and the VM that stays are what they were, and no
# file is left behind. B2, behaviour 29.
# In `make test` 60-restore-killed kills restores.
# only: full
# timeout: 1800
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"

kvss_setup
guest_define web agent=no tokens=off fs=none,none size=8M
fill() { qemu-io -c "write -q -P $2 0 8M" "$IMAGES/web-$1.qcow2"; }
holds() { qemu-io -r -U -c "read -P $2 0 8M" "$1" | grep -q 'read 8388608/8388608'; } # qemu-io ends with 0 where the pattern differs
fill vda 0x11
fill vdb 0x11
backup web
fill vda 0x22
fill vdb 0x22
definition web > "$SANDBOX/web.before"
before=$(sha256sum < "$IMAGES/web-vda.qcow2")

no_kvss() { [ -z "$(pgrep -x kvss)" ]; }
nothing_of_kvss() {
    assert_nothing_left
    [ ! -d /var/lib/kvss/sessions ] || assert_eq "$(ls /var/lib/kvss/sessions)" "" "sessions left"
}
# at FAULT OPTION...: a restore with that fault, and what tidies up after it
at() {
    local fault=$1 status=0
    shift
    KVSS_TEST_FAULT=$fault KVSS_TEST_FAULT_LOG=$SANDBOX/faults "$KVSS" restore --yes "$POINT" web "$@" > "$SANDBOX/out" 2> "$SANDBOX/stderr" ||
        status=$?
    grep -q '^fault' "$SANDBOX/faults" || fail "the restore never came to $fault: $(cat "$SANDBOX/stderr")"
    rm "$SANDBOX/faults"
    [ "$status" != 0 ] || fail "$fault: the restore says that it is good"
    poll 90 no_kvss
    case $fault in killall:*) kvss recover > "$SANDBOX/recover" 2>&1 || fail "kvss recover after $fault: $(cat "$SANDBOX/recover")" ;; esac
    assert_definition web "$SANDBOX/web.before"
    assert_eq "$(sha256sum < "$IMAGES/web-vda.qcow2")" "$before" "vda of web after $fault"
    nothing_of_kvss
    note "$fault $*"
}

# ---- a copy: there is none, and none of its files; or it stands
for fault in kill:staged-file:done fail:replaced-file:done kill:register-vm:done killall:register-vm:done fail:commit:begin; do
    at "$fault" --name copy --to "$SANDBOX/copies"
    assert_eq "$(vm_state copy)" gone "state of the copy after $fault"
    assert_no_file "$SANDBOX/copies"
    [ ! -L "$IMAGES/copy" ] || fail "the link of the copy is left after $fault"
done
at killall:commit:done --name copy --to "$SANDBOX/copies"
assert_state copy "shut off"
holds "$SANDBOX/copies/copy-vda.qcow2" 0x11 || fail "the copy holds something else"
assert_eq "$(readlink "$IMAGES/copy")" "$SANDBOX/copies" "link of the copy"
virsh -q undefine copy
rm -r "$SANDBOX/copies" "$IMAGES/copy"

# ---- a disk of a VM that is off, and of one that runs and runs again afterwards
at kill:replaced-file:done --disk vdb
holds "$IMAGES/web-vdb.qcow2" 0x22 || fail "vdb holds something else"
guest_start web
before=$(image_raw "$IMAGES/web-vda.qcow2" "$SANDBOX/raw" && sha256sum < "$IMAGES/web-vda.qcow2")
for fault in kill:turn-off-vm:done killall:replaced-file:done fail:replaced-file:done kill:commit:begin; do
    at "$fault" --disk vdb
    assert_state web running
    holds "$IMAGES/web-vdb.qcow2" 0x22 || fail "vdb holds something else after $fault"
done
at killall:commit:done --disk vdb
assert_state web running
holds "$IMAGES/web-vdb.qcow2" 0x11 || fail "vdb is not the restored one"

# ---- files, with nobody to look after them until the next command
for fault in killall:staged-file:done killall:replaced-file:done fail:replaced-file:done; do
    at "$fault" --images-only --to "$SANDBOX/files"
    assert_no_file "$SANDBOX/files"
done
at killall:commit:done --images-only --to "$SANDBOX/files"
holds "$SANDBOX/files/web-vda.qcow2" 0x11 || fail "the file holds something else"
assert_file "$SANDBOX/files/web.xml" "$SANDBOX/files/web-vdb.qcow2"
