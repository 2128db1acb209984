#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The crash matrix (B2, M10; behaviours 24, 25, 27, 29, 30): at every step of every effect of a backup the requester is killed, is
# killed together with its watchdog (then `kvss recover`), loses its watchdog, is interrupted, hangs, or the step fails; for a VM with
# an agent, one that is saved, one that is off. The steps are those that a backup that goes well comes to, so a new effect is in it by
# itself. After each cell: the guests run on and write, nothing is left, and the very next backup works and holds what was there. All
# of it with KVSS_TEST_FULL=1, else a few cells with all three VMs at once.
# timeout: 10800
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_fault.sh
. "$(dirname "$0")/../lib/functions_fault.sh"

ACTIONS=(kill killall killdog fail hang int term)
# hold-writer needs a writer that is a program: 27-writers-killed; provider-set a provider of a third party: 17-providers
# and what other providers do
if [[ ${KVSS_TEST_PROVIDER:-} == lvm* ]]; then # on a slow kernel
    ONLY_ACTIONS='kill killall fail' ONLY_STEPS='*@(overlay|lv-snapshot|volume-mount)'
fi
RESTORES="$([ -n "${KVSS_TEST_PROVIDER:-}" ] && echo backup-job checkpoint closed-folder nbd-socket scratch-file shadow-dir || echo overlay)"
RESTORES+=" kept-copy $([[ ${KVSS_TEST_PROVIDER:-} == btrfs ]] || echo volume-copy) $([[ ${KVSS_TEST_PROVIDER:-} == reflink* ]] || echo image-copy) $([[ ${KVSS_TEST_PROVIDER:-} == lvm* ]] || echo lv-snapshot volume-mount) "
RESTORES+="hold-writer provider-set default-link delete-vm keep-saved-state made-folder made-volume old-image register-vm replaced-file staged-file turn-off-vm" # effects of restores only
RESTORES+=" cluster-lease save-vm-to cluster-stop cluster-definition cluster-start" # and of VMs of a cluster: 90-cluster-saved, 90-cluster-restore

# cell SET ACTION VERB WHEN VM...: one line of $SANDBOX/cells: good|bad SET ACTION ...
cell() {
    local set=$1 verdict=good began=$SECONDS
    shift
    (fault_cell "$@") > "$SANDBOX/cell" 2>&1 || verdict=bad
    echo "$verdict $set $1 $3 $2" >> "$SANDBOX/cells"
    [ "$verdict" = good ] || sed 's/^/        /' "$SANDBOX/cell"
    note "$verdict: $set, $1 at $3 $2 ($((SECONDS - began)) s)"
    [ "$verdict" = good ] || repair
}

# So that one bad cell does not spoil those after it.
repair() {
    local vm
    pkill -KILL -x kvss || :
    kvss recover || :
    for vm in web mute; do
        case $(vm_state $vm) in
        paused) virsh -q resume $vm ;;
        "shut off, saved" | "shut off") guest_start $vm ;;
        esac
    done
    virsh -q domfsthaw web || :
}

# row SET VM...: every action at every step
row() {
    local set=$1 action step
    shift
    fault_trace "$@" > "$SANDBOX/trace"
    cut -d ' ' -f 2 "$SANDBOX/trace" >> "$SANDBOX/verbs"
    while read -r step <&5; do
        for action in "${ACTIONS[@]}"; do
            # the watchdog is of no consequence where nothing is open any more, and a signal where nothing is left to be done
            case "$action $step" in "int settled "* | "term settled "* | "int after "* | "term after "*) continue ;; esac
            [[ " ${ONLY_ACTIONS:-${ACTIONS[*]}} " == *" $action "* ]] || continue
            # shellcheck disable=SC2053 # a pattern is meant
            [[ $step == ${ONLY_STEPS:-*} ]] || continue
            cell "$set" "$action" "${step#* }" "${step% *}" "$@"
        done
    done 5< "$SANDBOX/trace"
}

# Every kind of effect was reached by a backup, but those of restores.
assert_all_verbs() {
    local unreached
    unreached=$(comm -23 <(sed -n 's/^verb //p' "$FAULT_LOG" | sort -u) <({ cat "$SANDBOX/verbs"; tr ' ' '\n' <<< "$RESTORES"; } | sort -u))
    assert_eq "$unreached" "" "effects that no backup of this test has"
}

table() {
    local action set sets
    mapfile -t sets < <(awk '!seen[$2]++ { print $2 }' "$SANDBOX/cells")
    printf '%-9s' action
    printf '%8s' "${sets[@]}"
    echo
    for action in "${ACTIONS[@]}"; do
        printf '%-9s' "$action"
        for set in "${sets[@]}"; do printf '%8s' "$(grep -c "^good $set $action " "$SANDBOX/cells" || :)"; done
        echo
    done
}

fault_setup
note "guests are up"
if [ -n "${KVSS_TEST_FULL:-}" ]; then
    row child web
    row saved mute
    row off off
    assert_all_verbs
else
    case ${KVSS_TEST_PROVIDER:-qemu} in
    qemu)
        cell all killall freeze-guest "done" web mute off
        cell all hang backup-job "done" web off
        cell all kill part-file after mute
        cell all int pause-vm "done" web mute ;;
    *)
        copy=volume-copy
        [[ $KVSS_TEST_PROVIDER != reflink* ]] || copy=image-copy
        cell all killall overlay "done" web off
        cell all kill overlay begin web
        cell all fail $copy "done" web mute off
        cell all kill $copy begin mute
        cell all killall $copy "done" web mute
        cell all int overlay "done" web mute ;;
    esac
fi
# shellcheck disable=SC2153 # the one of the last backup
assert_recovers web mute off
kvss fsck --read-data > /dev/null
restored=$POINT
for vm in web mute; do virsh -q destroy $vm; done
assert_restores "$restored" web mute off

table
longest=$(fault_frozen_longest)
note "frozen longest: $((longest * 10)) ms (limit $FREEZE_LIMIT s)"
assert_le "$longest" $(((FREEZE_LIMIT + 1) * 100)) "hundredths of a second that web was frozen"
assert_eq "$(grep ^bad "$SANDBOX/cells" || :)" "" "bad cells"
