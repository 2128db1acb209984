#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two sessions on one VM (behaviour 42): the second is refused and says what holds the VM; the first is not disturbed. On VMs that are
# off, which are only read, both work.
# In `make test` 83-wait has two sessions on one VM.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
for vm in web off; do # much to read, so that the first lasts
    head -c 600M /dev/urandom > "$SANDBOX/content"
    qemu-img convert -f raw -O qcow2 "$SANDBOX/content" "$IMAGES/$vm-vdb.qcow2"
done
rm "$SANDBOX/content"
guest_define web fs=ext4,none tokens=off
guest_define off fs=ext4,none agent=no
guest_start web
guest_wait web
has_job() { virsh -q domjobinfo web | grep 'Operation:.*Backup'; }

"$KVSS" backup web off --json > "$SANDBOX/first.json" 2> "$SANDBOX/first.err" &
first=$!
while ! has_job > /dev/null; do kill -0 $first || fail "the first backup ended early: $(cat "$SANDBOX/first.err")"; done
kvss_fails "$EXIT_REFUSED" backup web
assert_match "$OUTPUT" 'web.*(job|backup)' "the second backup says what holds the VM"
kill -0 $first || fail "the first backup had ended before the second: nothing was proved"
kvss_json backup off # beside the first
kill -0 $first || note "the first backup had ended before the other VM's"
wait $first || fail "the first backup failed: $(cat "$SANDBOX/first.err")"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
assert_points 2
kvss verify > /dev/null
assert_state off "shut off"
guest_start off
backup web
