#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# One VM cannot keep all others from being backed up, where that is asked for (--on-failure skip): one that is refused beforehand, whose guest
# writes more than its share of scratch space, or whose QEMU dies. The others have one instant, the report names who is missing, and the
# exit code tells. Without the option it is all or nothing. B2, M10.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

EXIT_PARTLY=5
kvss_setup
for name in good other broken; do guest_define $name agent=no tokens=off size=8M; done
rm "$IMAGES/broken-vda.qcow2"
names() { report '[.vms[].name] | join(" ")'; }
left_out() { report '[.vms_left_out[] | .name + ": " + (.failed | tostring) + ": " + .why] | join("; ")'; }

# partly ARGUMENT...: a backup without VMs that failed; its report is in $REPORT
partly() {
    local status=0
    REPORT=$SANDBOX/report.json
    "$KVSS" backup --json "$@" > "$REPORT" 2> "$SANDBOX/stderr" || status=$?
    assert_eq "$status" "$EXIT_PARTLY" "status: $(cat "$SANDBOX/stderr")"
    POINT=$(report .point)
}

# ---- refused beforehand
kvss_fails "$EXIT_REFUSED" backup --all
assert_points 0
partly --all --on-failure skip
assert_eq "$(names)" "good other" "VMs in the restore point"
assert_match "$(left_out)" '^broken: true: failed: .*disk vda .*does not exist' "who is missing"
assert_match "$(cat "$SANDBOX/stderr")" 'VM broken failed: .*rolled back, continuing without it' "what is said meanwhile"
assert_match "$(kvss show "$POINT")" 'skipped: VM broken: failed: ' "kvss show for people"
assert_points 1
kvss_fails "$EXIT_REFUSED" backup broken --on-failure skip # nothing would be left
assert_points 1
printf 'on-failure = skip\n' > /etc/kvss/kvss.conf
partly good broken
assert_eq "$(names)" good "VMs, as kvss.conf has it"
kvss_fails "$EXIT_REFUSED" backup good broken --on-failure fail
rm /etc/kvss/kvss.conf
note "refused beforehand: left out"

# ---- a guest that overwrites its disk as fast as it can
head -c 96M /dev/urandom > "$SANDBOX/content"
qemu-img convert -f raw -O qcow2 "$SANDBOX/content" "$IMAGES/web-vdb.qcow2"
rm "$SANDBOX/content"
guest_define web fs=ext4,none tokens=driven agent=no
guest_start web
guest_wait web
boot=$(guest_bootid web)
has_job() { virsh -q domjobinfo web | grep -q 'Operation:.*Backup'; }
finished() { [ -s "$SANDBOX/written" ]; }

# slow_backup OPTION...: one that lasts until something happens to it
slow_backup() {
    "$KVSS" backup web good --json --quiet --bwlimit 256K "$@" > "$SANDBOX/report.json" 2> "$SANDBOX/stderr" &
    backup=$!
    while ! has_job; do kill -0 $backup 2> /dev/null || fail "the backup ended early: $(cat "$SANDBOX/stderr")"; sleep 0.05; done
    poll 20 guest_sh web true
}

overwrite() { overwrite_vdb web "$SANDBOX/written"; }

before=$(kvss list points --json | jq '.points | length')
slow_backup --scratch-limit 16M --on-failure skip
overwrite
status=0
wait $backup || status=$?
assert_eq "$status" "$EXIT_PARTLY" "status: $(cat "$SANDBOX/stderr")"
REPORT=$SANDBOX/report.json
assert_eq "$(names)" good "VMs in the restore point"
assert_match "$(left_out)" '^web: true: failed: .*scratch space, and a VM may use 16[.0]* MiB .scratch-limit.' "who is missing"
poll 200 finished
assert_match "$(cat "$SANDBOX/written")" 'status 0' "what the guest wrote"
assert_state web running
assert_eq "$(guest_bootid web)" "$boot" "boot id of web"
note "too much scratch space: left out, and unharmed"

slow_backup --scratch-limit 16M
overwrite
wait $backup && fail "a backup of all or nothing came to an end"
assert_match "$(cat "$SANDBOX/stderr")" 'web: .*scratch-limit' "the reason"
poll 200 finished
assert_points $((before + 1))

# ---- its QEMU dies while it is read
slow_backup --on-failure skip
pkill -KILL -f 'guest=web,'
status=0
wait $backup || status=$?
assert_eq "$status" "$EXIT_PARTLY" "status: $(cat "$SANDBOX/stderr")"
assert_eq "$(names)" good "VMs in the restore point"
assert_match "$(left_out)" '^web: true: failed: VM web was turned off or its QEMU ended' "who is missing"
assert_nothing_left
kvss verify "$(report .point)" > /dev/null
note "its QEMU died: left out: $(left_out | cut -c 1-150)"

# ---- both fail: both are named, each with its cause
guest_start good
guest_start web
guest_wait web
slow_backup
kill -KILL "$(cat /run/libvirt/qemu/web.pid)" "$(cat /run/libvirt/qemu/good.pid)" # one after the other would be a backup that fails of one
wait $backup && fail "a backup succeeded whose VMs died"
assert_eq "$(report '[.failures[].name] | sort | join(" ")')" "good web" "those that failed"
assert_eq "$(report '[.failures[] | select(.uuid and (.cause | test("was turned off or its QEMU ended")))] | length')" 2 "causes: $(report .failures)"
for vm in good web; do
    assert_eq "$(grep -c "VM $vm was turned off or its QEMU ended" "$SANDBOX/stderr")" 1 "lines about $vm: $(cat "$SANDBOX/stderr")"
done
assert_nothing_left
note "two failed: $(report '.failures | length') causes"
