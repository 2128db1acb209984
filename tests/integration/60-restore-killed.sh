#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A restore over a running VM that is killed, or fails, at any journaled step: afterwards a VM runs, the old one or the new one, with the
# definition, the disk (byte for byte) and the link in the default place that belong to it, and nothing is left behind. The watchdog
# sees to it; where it was killed too, `kvss recover` does, even if that is killed in turn. With KVSS_TEST_FULL=1 every step, else some. Issue
# 5, "Never worse off"; B2; behaviour 29.
# timeout: 3600
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"

kvss_setup
mkdir -m 711 "$SANDBOX/elsewhere"
image=$SANDBOX/elsewhere/web-vda.qcow2
guest_define web agent=no tokens=off fs=none size=24M dir="$SANDBOX/elsewhere"
content() { # BYTE: what the whole disk holds
    qemu-io -c "write -q -P $1 0 24M" "$image"
    image_raw "$image" "$SANDBOX/raw"
    sha256sum < "$SANDBOX/raw"
}
new=$(content 0x11)
guest_start web
guest_wait web
uuid=$(virsh domuuid web)
backup web
destroy_vm web

# the VM that is to be replaced: another definition, another content, and a link that leads elsewhere
old_vm() {
    rm -f "$image" "$IMAGES/web"
    guest_define web agent=no tokens=off fs=none size=24M dir="$SANDBOX/elsewhere" uuid="$uuid"
    old=$(content 0x22)
    virsh -q desc web --config --title --new-desc old > /dev/null
    virsh -q autostart web > /dev/null
    ln -s /nowhere "$IMAGES/web"
    guest_start web
    definition web > "$SANDBOX/old.xml"
}
old_vm

no_kvss() { [ -z "$(pgrep -x kvss)" ]; }

# what_is [LINK]: old or new, and fails where it is neither, or a mixture. LINK: where that of the new one leads, if not to its folder
what_is() {
    local now wanted link
    assert_state web running
    image_raw "$image" "$SANDBOX/raw"
    now=$(sha256sum < "$SANDBOX/raw")
    link=$(readlink "$IMAGES/web")
    case $now in
    "$old") wanted=old ;;
    "$new") wanted=new ;;
    *) fail "the disk is neither the old nor the new one" ;;
    esac
    if [ $wanted = old ]; then
        assert_definition web "$SANDBOX/old.xml"
        assert_eq "$link" /nowhere "the link of the old VM"
        assert_match "$(virsh dominfo web)" 'Autostart: +enable'
    else
        assert_no_match "$(definition web)" '<title>'
        assert_eq "$link" "${1:-$SANDBOX/elsewhere}" "the link of the new VM"
    fi
    assert_nothing_left
    [ ! -d /var/lib/kvss/sessions ] || assert_eq "$(ls /var/lib/kvss/sessions)" "" "sessions left"
    assert_eq "$(find "$SANDBOX/elsewhere" "$IMAGES" -mindepth 1 | sort | xargs)" "$IMAGES/web $image" "files"
    assert_eq "$(find /var/lib/libvirt/qemu/save -name '.kvss-*')" "" "memory left on the host"
    [ ! -d /var/lib/kvss/vms ] || assert_eq "$(ls /var/lib/kvss/vms)" "" "claims left"
    WHAT=$wanted
}

# at FAULT WANTED: a restore with that fault leaves WANTED (old, new, either)
at() {
    local status=0
    [ "$WHAT" = old ] || { destroy_vm web && old_vm; }
    KVSS_TEST_FAULT=$1 KVSS_TEST_FAULT_LOG=$SANDBOX/faults "$KVSS" restore --yes "$POINT" web > "$SANDBOX/out" 2> "$SANDBOX/stderr" || status=$?
    grep -q '^fault' "$SANDBOX/faults" || fail "the restore never came to $1: $(cat "$SANDBOX/stderr")"
    rm "$SANDBOX/faults"
    poll 90 no_kvss
    case $1 in
    kill*) assert_eq "$status" 137 "status of the restore ($1)" ;;
    *:undo | *:settled | *:after) ;;
    # a link that cannot be made is told and does not fail the restore; once a VM is committed it stands
    fail:default-link:begin) assert_match "$status $(cat "$SANDBOX/out" "$SANDBOX/stderr")" '^0 .*link .* left unchanged' "the restore ($1)" ;;
    fail:default-link:done | fail:commit:done) assert_eq "$status" 0 "status of the restore ($1)" ;;
    fail:*) assert_ne "$status" 0 "status of the restore ($1)" ;;
    esac
    case $1 in killall:*) recover "$1" ;; esac
    case $1 in fail:default-link:begin) what_is /nowhere ;; *) what_is ;; esac
    [ "$2" = either ] || assert_eq "$WHAT" "$2" "what runs after $1"
    note "$1: $WHAT"
}

recover() {
    local fault status
    for fault in ${RECOVER_FAULTS:-}; do
        status=0
        KVSS_TEST_FAULT=$fault KVSS_TEST_FAULT_LOG=$SANDBOX/faults "$KVSS" recover > "$SANDBOX/recover" 2>&1 || status=$?
        assert_eq "$status" 137 "status of kvss recover with $fault: $(cat "$SANDBOX/recover")"
        rm "$SANDBOX/faults"
    done
    kvss recover > "$SANDBOX/recover" 2>&1 || fail "kvss recover after $1: $(cat "$SANDBOX/recover")"
}

WHAT=old
if [ -z "${KVSS_TEST_FULL:-}" ]; then
    at kill:turn-off-vm:done old
    at fail:delete-vm:done old
    RECOVER_FAULTS='kill:register-vm:undo kill:delete-vm:settled' at killall:register-vm:done old
    at killall:replaced-file:done old
    at killall:commit:done new
else
    # every step that a good restore passes
    KVSS_TEST_FAULT_LOG=$SANDBOX/good "$KVSS" restore --yes "$POINT" web > "$SANDBOX/out" 2>&1 || fail "$(cat "$SANDBOX/out")"
    WHAT=new
    mapfile -t steps < <(sed -n 's/^\(begin\|done\|settled\|after\) \(.*\)/\2:\1/p' "$SANDBOX/good" | awk '!seen[$0]++')
    rm "$SANDBOX/good"
    assert_gt ${#steps[@]} 12 "number of steps"
    for step in "${steps[@]}"; do
        # shellcheck disable=SC2053 # a pattern is meant
        [[ $step == ${ONLY_STEPS:-*} ]] || continue
        for action in kill killall fail; do at "$action:$step" either; done
    done
    for verb in register-vm default-link replaced-file delete-vm turn-off-vm staged-file; do
        for when in undo settled; do RECOVER_FAULTS="kill:$verb:$when" at killall:commit:begin old; done
    done
fi

# and a restore works
kvss_json restore --yes "$POINT" web
what_is
assert_eq "$WHAT" new
guest_wait web
