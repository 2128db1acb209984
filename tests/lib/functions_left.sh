# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_left.sh: nothing may be left behind (mission B2, M10). Sourced by functions.sh.

# Folders where kvss keeps what lasts only as long as a session.
RUN_DIRS=(/run/kvss /run/user/64777/kvss /var/lib/kvss/sessions)

# _ask NAME PART=COMMAND...: asks virsh several things about a VM; before each answer stands a line "@ PART". One process: to start
# virsh takes longer than its answers.
_ask() {
    local quoted="'$1'" words='' item
    shift
    for item; do words+="echo '"$'\n'"@ ${item%%=*}"$'\n'"'; ${item#*=} "; done
    virsh -q "${words//NAME/$quoted}" 2> /dev/null
}

# A QMP command for _ask
_qmp() { echo "qemu-monitor-command NAME '{\"execute\":\"$1\"}';"; }

_PARTS=("info=dominfo NAME;" "disks=domblklist NAME;" "checkpoints=checkpoint-list NAME --name;" "snapshots=snapshot-list NAME --name;"
    "job=domjobinfo NAME;")
for _part in query-block-jobs query-jobs query-block-exports; do _PARTS+=("$_part=$(_qmp "$_part")"); done

# vm_facts NAME: everything about the VM that a backup must leave as it was; to be compared before and after. "gone" if it is not defined
vm_facts() {
    _ask "$1" "${_PARTS[@]}" "definition=dumpxml NAME --inactive --security-info;" |
        sed -E '/^$/d; /^(CPU time|Used memory|Messages|Security [a-zA-Z]*):|^ +(tainted|deprecated configuration):/d; s/,?"id":"[^"]*"//' || echo gone
}

# Says what is left of kvss on a VM; nothing if nothing.
_left_on() { # NAME
    local name=$1 all line part='' state='' disks='' answers=0
    all=$(_ask "$name" "${_PARTS[@]}") || :
    while IFS= read -r line; do
        case "$part: $line" in
        *": @ "*) part=${line#@ } ;;
        *": ") ;;
        "info: State:"*) state=${line#State:} state=${state#"${state%%[! ]*}"} ;;
        "info: Managed save:"*yes) [[ " ${ALLOW_SAVED:-} " == *" $name "* ]] || echo "$name has a managed save image" ;;
        checkpoints:*)
            # shellcheck disable=SC2254 # a pattern is meant
            case $line in ${ALLOW_CHECKPOINTS:-}) ;; *) echo "$name has the checkpoint $line" ;; esac ;;
        snapshots:*) echo "$name has the snapshot $line" ;;
        disks:*) disks+=${line%".TRANSIENT-$name"}$'\n' ;; # libvirt's overlay of a transient disk
        "job: Job type:"*None*) answers=$((answers + 1)) ;;
        "job: Job type:"*) answers=$((answers + 1)) && echo "$name has a job: $line" ;;
        'query-'*': {"return":[],'*) answers=$((answers + 1)) ;;
        query-*) answers=$((answers + 1)) && echo "$name: $part: $line" ;;
        esac
    done <<< "$all"
    [ -n "$state" ] || echo "$name: libvirt does not tell its state"
    [ "$state" != paused ] || [[ " ${ALLOW_PAUSED:-} " == *" $name "* ]] || echo "$name is paused"
    if [ -e "$SANDBOX/disks/$name" ] && [ "${disks%$'\n'}" != "$(cat "$SANDBOX/disks/$name")" ]; then
        echo "$name has other disks than before: $disks"
    fi
    case $state in running | paused) [ "$answers" = 4 ] || echo "$name: only $answers of 4 questions about jobs were answered" ;; esac
    [ "$state" != running ] || _left_frozen "$name"
}

# An agent that answers must say that it is thawed.
_left_frozen() {
    local said
    said=$(_ask "$1" "ping=qemu-agent-command NAME --timeout 10 '{\"execute\":\"guest-ping\"}';" \
        "status=qemu-agent-command NAME --timeout 10 '{\"execute\":\"guest-fsfreeze-status\"}';") || :
    [[ $said != *'{"return":{}}'* ]] || [[ $said == *thawed* ]] || echo "$1: file systems are frozen"
}

# assert_nothing_left: no VM has a job, export, overlay, frozen file system or managed save image, or is
# paused (but those named in $ALLOW_SAVED, $ALLOW_PAUSED); no checkpoint but those whose names match the
# pattern $ALLOW_CHECKPOINTS; no scratch file, no session and no folder of one, no process of kvss. No kept copy, unless kvss.conf wants them.
assert_nothing_left() {
    local name dir left wanted
    ! grep -qs '^keep-copies = yes' /etc/kvss/kvss.conf || wanted='/\.kvss-kept-[^/]*[^w]$' # not those that have no name yet: .new
    left=$(
        for name in $(virsh -q list --all --name); do _left_on "$name"; done
        find "$IMAGES" "$SANDBOX" -xdev -name '.kvss-*' ! -path '*/cover/*' 2> /dev/null | grep -v -e "${wanted:-^\$}" || :
        find /var/lib/libvirt/qemu /run/kvss-test/.config/libvirt/qemu -path "*/domain-*/kvss-*" 2> /dev/null || :
        for dir in "${RUN_DIRS[@]}"; do
            [ ! -d "$dir" ] || find "$dir" -mindepth 1 ! -name '*.lock'
        done
        [ -z "${GROUP:-}" ] || lvs --noheadings -o lv_name "$GROUP" | grep kvss- || :
        grep -F '/volume-' /proc/self/mountinfo || :
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
