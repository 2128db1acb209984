#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Many VMs, one whose QEMU hangs and one whose image is gone: commands about others do not wait for it and look at nobody's images but their
# own; those about it are refused within its time, with nothing touched, and the first signal ends each. B2, M10, M11.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

COUNT=24
[ -z "${KVSS_TEST_FULL:-}" ] || COUNT=200
kvss_setup
LOG=$SANDBOX/qemu-img.log
# images come as open files: which ones they are is logged
log_images() { echo "$2 $(readlink "/proc/$1"/fd/* | tr '\n' ' ')" >> "$LOG"; }
tool_watch qemu-img log_images

guest_define one agent=no tokens=off size=8M
guest_define broken agent=no tokens=off size=8M
guest_define hung agent=no tokens=off size=8M mem=64
for ((i = 0; i < COUNT - 3; i++)); do
    qemu-img create -q -f qcow2 "$IMAGES/many$i.qcow2" 8M
    cat > "$SANDBOX/vm.xml" << X
<domain type='$GUEST_TYPE'><name>many$i</name><memory unit='MiB'>16</memory><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$IMAGES/many$i.qcow2'/><target dev='vda' bus='virtio'/>
</disk></devices></domain>
X
    virsh -q define "$SANDBOX/vm.xml"
done
rm "$IMAGES/broken-vda.qcow2"
guest_start hung
qemu=$(cat /run/libvirt/qemu/hung.pid)
kill -STOP "$qemu"
cleanup_fn go_on
go_on() { kill -CONT "$qemu" 2> /dev/null || :; }
note "$COUNT VMs"

# own_images COMMAND...: it works, soon, and qemu-img runs on images of VM one only
own_images() {
    local began=$SECONDS
    : > "$LOG"
    PATH=$SANDBOX/bin:$PATH timeout 25 "$KVSS" "$@" > "$SANDBOX/out" 2> "$SANDBOX/stderr" || fail "kvss $*: $? $(cat "$SANDBOX/stderr")"
    [ -z "$(grep -vE "one-vda|\.kvss-new-" "$LOG")" ] || fail "kvss $*: qemu-img $(grep -vE "one-vda|\.kvss-new-" "$LOG" | head -n 5)"
    note "kvss $*: qemu-img $(wc -l < "$LOG") times, $((SECONDS - began)) s"
}
own_images list vms
assert_eq "$(grep -cE '^(one|broken|hung|many[0-9]+) ' "$SANDBOX/out")" "$COUNT" "VMs in the list"
own_images check one
own_images backup one
own_images restore --yes latest one
own_images restore latest one --dry-run

# ---- about it: within its time, at the same time
silent='VM hung: QEMU does not respond \(30 s\)'
lifecycle_start
pids=()
# shellcheck disable=SC2086 # words of a command
for command in "check hung" "backup --all --exclude broken"; do
    timeout 80 "$KVSS" $command > "$SANDBOX/out.${command// /_}" 2>&1 &
    pids+=($!)
done
for pid in "${pids[@]}"; do
    status=0
    wait "$pid" || status=$?
    assert_eq "$status" "$EXIT_REFUSED" "status of a command about the VM that hangs: $(cat "$SANDBOX"/out.*)"
done
for out in "$SANDBOX"/out.*; do assert_match "$(cat "$out")" "$silent" "$out"; done
assert_untouched
assert_points 1
note "refused, by check and by backup --all"
kvss_fails "$EXIT_REFUSED" backup hung # while libvirt still waits for the answers to those two
assert_match "$OUTPUT" "$silent" "why the backup is refused"
note "refused, again"

# ---- the first signal ends each
# shellcheck disable=SC2086 # words of a command, numbers of processes
for command in "check hung" "backup hung" "backup --all --exclude broken"; do
    for signal in INT TERM; do
        env --default-signal=INT "$KVSS" $command > "$SANDBOX/out" 2>&1 &
        pid=$!
        sleep 3
        kill -$signal $pid
        ended() { ! kill -0 $pid 2> /dev/null; }
        poll 10 ended
        status=0
        wait $pid || status=$?
        assert_eq "$status" "$EXIT_INTERRUPTED" "kvss $command, after SIG$signal: $(cat "$SANDBOX/out")"
    done
done
note "interrupted"

go_on
poll 40 bash -c 'virsh domblkinfo hung vda > /dev/null 2>&1'
kvss_fails "$EXIT_REFUSED" backup one hung broken
assert_match "$OUTPUT" 'VM broken: disk vda' "the broken one"
backup one hung
assert_state hung running

# ---- what hangs can be replaced: it is turned off all the same
qemu=$(cat /run/libvirt/qemu/hung.pid)
kill -STOP "$qemu"
timeout 60 "$KVSS" restore --yes latest hung > "$SANDBOX/out" 2>&1 || fail "restore of the VM that hangs: $(cat "$SANDBOX/out")"
assert_state hung running
assert_ne "$(cat /run/libvirt/qemu/hung.pid)" "$qemu" "QEMU of the VM that hung"
virsh -q domblkinfo hung vda > /dev/null # it answers
