#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A backup never harms its guest, however little room there is for what the guest overwrites meanwhile: the backup is given up in time;
# where the guest was faster and QEMU stopped it, it goes on at once and its writes have not failed, also if kvss was killed before.
# Nothing is left behind. And the limit of bytes per second holds. B2, demand 21 of the peers' users.
# timeout: 420
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
head -c 96M /dev/urandom > "$SANDBOX/content"
qemu-img convert -f raw -O qcow2 "$SANDBOX/content" "$IMAGES/web-vdb.qcow2"
rm "$SANDBOX/content"
guest_define web fs=ext4,none tokens=driven agent=no
guest_start web
guest_wait web
token_drive web
boot=$(guest_bootid web)
mkdir -m 711 "$SANDBOX/scratch"
has_job() { virsh -q domjobinfo web | grep -q 'Operation:.*Backup'; }
stopped() { virsh -q domstate web --reason | grep -q 'I/O error'; }
no_kvss() { [ -z "$(pgrep -x kvss)" ]; }
finished() { [ -s "$SANDBOX/written" ]; }

room() { # SIZE: a file system of that size for scratch files
    umount -l "$SANDBOX/scratch" 2> /dev/null || :
    mount -t tmpfs -o "size=$1,mode=711" tmpfs "$SANDBOX/scratch"
}

overwrite() { overwrite_vdb web "$SANDBOX/written"; }

assert_unharmed() {
    poll 200 finished
    assert_match "$(cat "$SANDBOX/written")" '384\+0 records out' "what the guest wrote"
    assert_match "$(cat "$SANDBOX/written")" 'status 0' "what the guest wrote"
    assert_state web running
    assert_no_match "$(guest_sh web dmesg)" '(I/O error|Buffer I/O|blk_update_request)' "the guest's kernel log"
    assert_eq "$(guest_bootid web)" "$boot" "boot id of web"
    assert_tokens_flow
    assert_nothing_left
    assert_eq "$(find "$SANDBOX/scratch" -type f)" "" "files in the scratch folder"
    assert_points 0
}

# slow_backup OPTION...: one that lasts until something happens to it
slow_backup() {
    "$KVSS" backup web --quiet --snapshot-dir "$SANDBOX/scratch" --bwlimit 256K "$@" > "$SANDBOX/out" 2>&1 &
    backup=$!
    while ! has_job; do kill -0 $backup 2> /dev/null || fail "the backup ended early: $(cat "$SANDBOX/out")"; sleep 0.05; done
    poll 20 guest_sh web true # it runs again
}

# ---- watched: given up while there is room
room 64M
slow_backup --scratch-reserve 40M
overwrite
wait $backup && fail "the backup came to an end"
assert_match "$(cat "$SANDBOX/out")" 'web: the backup was abandoned: out of scratch space' "the reason"
assert_match "$(cat "$SANDBOX/out")" "$SANDBOX/scratch.*(snapshot-dir|free space)" "the remedy"
assert_unharmed
note "given up in time: $(tail -n 1 "$SANDBOX/out" | cut -c 1-160)"

# ---- the guest is faster: QEMU stops it, and it goes on by itself
room 8M
slow_backup --scratch-reserve 1
overwrite
wait $backup && fail "the backup came to an end"
assert_match "$(cat "$SANDBOX/out")" '(had paused the VM|out of scratch space)' "the reason"
assert_unharmed
note "the guest was faster: $(tail -n 1 "$SANDBOX/out" | cut -c 1-160)"

# ---- the same, while the session hangs, and then it is killed
slow_backup --scratch-reserve 1
kill -STOP $backup
overwrite
poll 60 stopped
kill -KILL $backup
wait $backup 2> /dev/null || :
poll 60 finished
poll 60 no_kvss
assert_unharmed
note "killed while the VM was stopped"

# ---- too little room to begin with: nothing is touched
lifecycle_start
kvss_fails "$EXIT_REFUSED" backup web --snapshot-dir "$SANDBOX/scratch" --scratch-reserve 1G
assert_match "$OUTPUT" 'out of scratch space: .* free in .*scratch' "the reason"
assert_untouched web
lifecycle_stop
assert_nothing_left

# ---- a limit of bytes per second: 96 MiB of memory and disks at 32 MiB/s take more than a second
umount -l "$SANDBOX/scratch"
begun=$(date +%s%N)
backup web --bwlimit 16M --snapshot-dir "$SANDBOX/scratch"
took=$((($(date +%s%N) - begun) / 1000000))
least=$(($(report .read) * 1000 / (16 << 20) - 500))
assert_ge "$took" "$least" "milliseconds that the backup took"
note "$(report .read) bytes at 16 MiB/s in $took ms"
