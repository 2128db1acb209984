# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_kvss.sh: the command under test, its reports, and what it must leave alone. A test sources it after functions.sh:
#     . "$(dirname "$0")/../lib/functions_kvss.sh"

KVSS=$KVSS_BUILD/src/cli/kvss
WRITERS=/etc/kvss/writers.d
REPORT=$SANDBOX/report.json # of the last kvss_json
[ -x "$KVSS" ] || skip "$KVSS is not built"
command -v jq > /dev/null || skip "jq is missing: run make deps"
# exit codes (kvss.1)
EXIT_FAILED=1 EXIT_USAGE=2 EXIT_REFUSED=3 EXIT_DAMAGED=4 EXIT_INTERRUPTED=130
export WRITERS EXIT_FAILED EXIT_USAGE EXIT_REFUSED EXIT_DAMAGED EXIT_INTERRUPTED

# shellcheck source=tests/lib/functions_volumes.sh
. "$TESTS/lib/functions_volumes.sh"

note() { printf '%4d s  %s\n' $SECONDS "$*"; }

# kvss ...: the command, as whoever owns the guests. The guests boot from kernels in the sandbox, write their consoles to a log, and have disks
# in odd places, which a restore takes for a stranger's wish once the VM is gone; tests about that set STRANGERS=yes.
kvss() {
    local more=()
    [ "${1:-}" != restore ] || [ "${STRANGERS:-no}" = yes ] || more=(--trust-definition --allow-path /)
    as_owner "$KVSS" "$@" "${more[@]}"
}

# kvss_setup: password, environment and an empty repository (tests/tools/newrepo.c)
kvss_setup() {
    local dir=$SANDBOX
    [ "$SESSION" = no ] || dir=/run/kvss-test
    export KVSS_REPOSITORY=$dir/repository KVSS_PASSWORD_FILE=$dir/password KVSS_CONNECT=qemu:///system
    [ "$SESSION" = no ] || KVSS_CONNECT=qemu:///session
    (umask 077 && echo 'only a test' > "$KVSS_PASSWORD_FILE")
    [ "$SESSION" = no ] || chown 64777:64777 "$KVSS_PASSWORD_FILE"
    as_owner "$KVSS_BUILD/tests/tools/newrepo" "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE"
}
volumes_setup

# kvss_json ...: the command with --json; what it prints is in $REPORT, the rest in $SANDBOX/stderr. Fails with the command.
kvss_json() {
    local status=0
    kvss "$@" --json > "$REPORT" 2> "$SANDBOX/stderr" || status=$?
    jq -e . "$REPORT" > /dev/null 2>&1 || [ "$status" != 0 ] || fail "kvss $*: this is not JSON: $(head -c 500 "$REPORT")"
    [ "$status" = 0 ] || fail "kvss $*: status $status: $(tail -n 20 "$SANDBOX/stderr")"
}

# kvss_fails STATUS ...: the command must end with that status; its messages are in $OUTPUT, what it printed in $REPORT.
kvss_fails() {
    local wanted=$1 status=0
    shift
    kvss "$@" > "$REPORT" 2> "$SANDBOX/stderr" || status=$?
    OUTPUT=$(cat "$SANDBOX/stderr")
    [ "$status" = "$wanted" ] || fail "kvss $*: status $status instead of $wanted: $(tail -n 20 "$REPORT" "$SANDBOX/stderr")"
    [ -n "$OUTPUT" ] || [ -s "$REPORT" ] || fail "kvss $*: fails with status $status and says nothing"
}

# report FILTER: from the last report, by jq. report_vm NAME FILTER: from its part about that VM.
report() { jq -r "$1" "$REPORT"; }
report_vm() { jq -r --arg name "$1" "[.vms[] | select(.name == \$name)][0] | $2" "$REPORT"; }

# assert_report_vm NAME FILTER WANTED
assert_report_vm() { assert_eq "$(report_vm "$1" "$2")" "$3" "$1: $2"; }

# backup NAME...: a backup that must work and leave nothing behind; its report is in $REPORT, its point in $POINT.
backup() {
    kvss_json backup "$@"
    POINT=$(report .point)
    [ ${#POINT} -ge 8 ] || fail "the report names no restore point: $(cat "$REPORT")"
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
}

# define_off NAME: a small VM that is off, with a disk
define_off() {
    qemu-img create -q -f qcow2 "$IMAGES/$1-vda.qcow2" 1M
    qemu-io -f qcow2 -c 'write -q -P 0x55 0 64k' "$IMAGES/$1-vda.qcow2"
    cat > "$SANDBOX/vm.xml" <<END
<domain type='qemu'><name>$1</name><memory unit='MiB'>16</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$IMAGES/$1-vda.qcow2'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>
END
    virsh -q define "$SANDBOX/vm.xml"
}

# point_count: restore points in the repository; also counts what is there but cannot be read
point_count() { kvss list points --json | jq '(.points | length) + .unreadable'; }
assert_points() { assert_eq "$(point_count)" "$1" "number of restore points"; }

# destroy_vm NAME...: the disaster: VM, its disk images (but CD-ROMs), its saved state, its NVRAM, all gone.
destroy_vm() {
    local name path
    for name; do
        [ "$(vm_state "$name")" = "shut off" ] || [ "$(vm_state "$name")" = "shut off, saved" ] || virsh -q destroy "$name" > /dev/null
        for path in $(virsh -q domblklist "$name" --inactive --details | awk '$1 == "file" && $2 == "disk" { print $4 }'); do
            rm -f "$path"
        done
        virsh -q undefine "$name" --checkpoints-metadata --managed-save --nvram > /dev/null
    done
}

# ---- what happens to VMs --------------------------------------------------------------------------------

# lifecycle_start: records what libvirt says of all VMs from now on in lifecycle: TIME VM EVENT DETAIL, time in seconds
lifecycle_start() {
    # shellcheck disable=SC2024 # the sandbox is ours
    as_owner virsh event --event lifecycle --loop --timestamp > "$SANDBOX/events" 2>&1 &
    LIFECYCLE_PID=$!
    cleanup_fn lifecycle_stop
    sleep 0.5
}
lifecycle_stop() {
    [ -n "${LIFECYCLE_PID:-}" ] || return 0
    kill "$LIFECYCLE_PID" 2> /dev/null || :
    wait "$LIFECYCLE_PID" 2> /dev/null || :
    LIFECYCLE_PID=
}
# lifecycle [NAME...]: what was recorded so far, of these VMs only
lifecycle() {
    local at rest name
    sleep 0.3
    while read -r at rest; do
        name=$(sed -n "s/.*for domain '\([^']*\)'.*/\1/p" <<< "$rest")
        [ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
        printf '%s %s %s\n' "$(date -d "${at/+0000:/ UTC}" +%s.%N)" "$name" "${rest##*: }"
    done < <(sed -n 's/^\([0-9-]*\) \([0-9:.]*+0000:\)/\1T\2/p' "$SANDBOX/events")
}
# assert_untouched NAME...: nothing has happened to them since lifecycle_start
assert_untouched() { assert_eq "$(lifecycle "$@")" "" "what happened to $*"; }

# facts_before NAME... / assert_facts_same: what vm_facts tells; line "Id" of a running VM says which QEMU it is
_facts() {
    local name
    for name; do
        echo "== $name"
        vm_facts "$name"
    done
}
facts_before() {
    FACTS_OF=("$@")
    _facts "$@" > "$SANDBOX/facts"
}
assert_facts_same() {
    _facts "${FACTS_OF[@]}" > "$SANDBOX/facts.now"
    diff "$SANDBOX/facts" "$SANDBOX/facts.now" >&2 || fail "the VMs are not as before"
}
# ... but for QEMU: a VM that was saved and started again has another one
assert_states_same() {
    diff <(sed '/^Id:/d' "$SANDBOX/facts") <(_facts "${FACTS_OF[@]}" | sed '/^Id:/d') >&2 ||
        fail "the VMs are not as before"
}

# assert_all_or_nothing VM TEXT [OPTION...]: a backup of the VMs of facts_before fails because of that VM, for that reason; there is
# no restore point, all are as before, those that write go on writing, and nothing is left behind (M10)
assert_all_or_nothing() {
    local vm=$1 text=$2 began=$SECONDS points
    shift 2
    points=$(point_count)
    kvss_fails "$EXIT_FAILED" backup "${FACTS_OF[@]}" "$@"
    assert_match "$OUTPUT" "$vm" "the VM is named"
    assert_match "$OUTPUT" "$text" "the cause is named"
    assert_states_same
    assert_tokens_flow
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
    assert_points "$points"
    note "$vm: $(tail -n 1 <<< "$OUTPUT" | cut -c 1-200) ($((SECONDS - began)) s)"
}

# definition NAME / assert_definition NAME FILE: it is what the file says, character by character
definition() { virsh -q dumpxml "$1" --inactive --security-info; }
assert_definition() {
    local differences
    differences=$(diff "$2" <(definition "$1")) || fail "the definition of $1 is another one: $differences"
}

# ---- writers --------------------------------------------------------------------------------------------

# writer_install NAME: a writer that owns the files below $SANDBOX/files-NAME and in every event runs the shell commands on stdin,
# in which $event is the event's name; a command that fails vetoes.
writer_install() {
    local id
    id=$(md5sum <<< "$1" | cut -c 1-12)
    mkdir -p "$WRITERS" "$SANDBOX/files-$1"
    cat > "$SANDBOX/writer" <<END
#!/bin/bash
set -eu
event=\$1
cat > /dev/null
if [ "\$event" = identify ]; then
    echo '{"api": 1, "name": "kvss test $1", "id": "5d4e7a10-0d2b-4c55-8a63-$id", "backup_types": ["copy"],
 "components": [{"name": "$1", "files": [{"path": "$SANDBOX/files-$1", "filespec": "*", "recursive": true}]}]}'
fi
exec > /dev/null
$(cat)
END
    chmod 755 "$SANDBOX/writer"
    mv "$SANDBOX/writer" "$WRITERS/$1"
}

# guestctl_path: for scripts that are no functions
guestctl_path() {
    guestctl > /dev/null 2>&1 || : # builds it if need be
    if [ -x "$KVSS_BUILD/tests/tools/guestctl" ]; then realpath "$KVSS_BUILD/tests/tools/guestctl"; else echo "$SANDBOX/guestctl"; fi
}
