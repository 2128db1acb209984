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

overwrite() {
    rm -f "$SANDBOX/written"
    (GUEST_TIMEOUT=200 guest_sh web 'dd if=/dev/zero of=/dev/vdb bs=256k count=384 oflag=direct 2>&1; echo status $?' > "$SANDBOX/dd" 2>&1
        mv "$SANDBOX/dd" "$SANDBOX/written") &
}

# ---- its QEMU dies while it is read
slow_backup --on-failure skip
pkill -KILL -f 'guest=web,'
status=0
sleep 3; { ps -eo pid,ppid,stat,wchan:20,args | grep -E "[q]emu-system|[l]ibvirtd|kvss" | cut -c1-120; ss -xp | grep -i monitor; gdb -p $(pgrep -o -x libvirtd) -batch -ex "thread apply all bt 12" 2>/dev/null | grep -E "^#|^Thread" | cut -c1-110; } > /tmp/me-dbg2.log || :; wait $backup || status=$?
assert_eq "$status" "$EXIT_PARTLY" "status: $(cat "$SANDBOX/stderr")"
assert_eq "$(names)" good "VMs in the restore point"
assert_match "$(left_out)" '^web: true: failed: VM web was turned off, or its QEMU ended' "who is missing"
assert_nothing_left
kvss verify "$(report .point)" > /dev/null
note "its QEMU died: left out: $(left_out | cut -c 1-150)"
