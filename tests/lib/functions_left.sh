# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_left.sh: nothing may be left behind (mission B2, M10). Sourced by functions.sh.

# Folders where kvss keeps what lasts only as long as a session.
RUN_DIRS=(/run/kvss /run/user/64777/kvss /var/lib/kvss/sessions)

_qmp() { virsh -q qemu-monitor-command "$1" "{\"execute\":\"$2\"}"; }

# vm_facts NAME: everything about the VM that a backup must leave as it was; to be compared before and after
vm_facts() {
    echo "state: $(vm_state "$1")"
    echo "definition: $(virsh -q dumpxml --inactive --security-info "$1" | sha256sum)"
    echo "disks: $(virsh -q domblklist "$1")"
    echo "checkpoints: $(virsh -q checkpoint-list "$1" --name)"
    echo "snapshots: $(virsh -q snapshot-list "$1" --name)"
    if [ "$(vm_state "$1")" = running ] || [ "$(vm_state "$1")" = paused ]; then
        echo "job: $(virsh -q domjobinfo "$1")"
        echo "block jobs: $(_qmp "$1" query-block-jobs | sed 's/"id":"[^"]*"//')"
    fi
}

# Says what is left of kvss on a VM; nothing if nothing.
_left_on() { # NAME
    local name=$1 state item
    state=$(vm_state "$name")
    [ "${state%, saved}" = "$state" ] || [[ " ${ALLOW_SAVED:-} " == *" $name "* ]] || echo "$name has a managed save image"
    [ "$state" != paused ] || [[ " ${ALLOW_PAUSED:-} " == *" $name "* ]] || echo "$name is paused"
    for item in $(virsh -q checkpoint-list "$name" --name); do
        # shellcheck disable=SC2254 # a pattern is meant
        case $item in ${ALLOW_CHECKPOINTS:-}) ;; *) echo "$name has the checkpoint $item" ;; esac
    done
    for item in $(virsh -q snapshot-list "$name" --name); do echo "$name has the snapshot $item"; done
    if [ -e "$SANDBOX/disks/$name" ] && [ "$(virsh -q domblklist "$name")" != "$(cat "$SANDBOX/disks/$name")" ]; then
        echo "$name has other disks than before: $(virsh -q domblklist "$name")"
    fi
    case $state in running | paused) _left_in_qemu "$name" ;; esac
    if [ "$state" = running ] && guest_agent "$name" guest-ping > /dev/null 2>&1; then
        guest_agent "$name" guest-fsfreeze-status | grep -q thawed || echo "$name: file systems are frozen"
    fi
}

_left_in_qemu() {
    local what
    virsh -q domjobinfo "$1" | grep -q 'None' || echo "$1 has a job: $(virsh -q domjobinfo "$1")"
    for what in query-block-jobs query-jobs query-block-exports; do
        [ "$(_qmp "$1" "$what" | sed 's/,"id":.*//')" = '{"return":[]' ] || echo "$1: $what: $(_qmp "$1" "$what")"
    done
}

# assert_nothing_left: no VM has a job, export, overlay, frozen file system or managed save image, or is
# paused (but those named in $ALLOW_SAVED, $ALLOW_PAUSED); no checkpoint but those whose names match the
# pattern $ALLOW_CHECKPOINTS; no scratch file, no session and no folder of one, no process of kvss.
assert_nothing_left() {
    local name dir left
    left=$(
        for name in $(virsh -q list --all --name); do _left_on "$name"; done
        find "$IMAGES" "$SANDBOX" -xdev -name '.kvss-*' ! -path '*/cover/*' 2> /dev/null || :
        for dir in "${RUN_DIRS[@]}"; do
            [ ! -d "$dir" ] || find "$dir" -mindepth 1 ! -name '*.lock'
        done
        ps -eo comm=,pid=,args= | grep -E '^(kvss|kvss-|qemu-nbd|nbdkit)' || :
    )
    [ -z "$left" ] || fail "left behind: $left"
}

# assert_left REGEX: the opposite, for tests that look half-way: something is left, and it is this.
assert_left() {
    local said
    if said=$( (assert_nothing_left) 2>&1); then fail "nothing is left, but should be: $1"; fi
    assert_match "$said" "$1" "what is left"
}
