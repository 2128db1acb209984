#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two sessions on one VM (behaviour 42): the second names the owner and is refused, or waits with --wait, for a limited time or until
# the first has ended, however it ends; it waits for jobs of other programs too. Nothing interleaves and nothing is left.
# timeout: 420
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
head -c 64M /dev/urandom > "$SANDBOX/content"
qemu-img convert -f raw -O qcow2 "$SANDBOX/content" "$IMAGES/web-vdb.qcow2"
guest_define web fs=ext4,none tokens=off
guest_define db tokens=off
guest_start web
guest_start db
guest_wait web
guest_wait db
has_job() { virsh -q domjobinfo web | grep -q 'Operation:.*Backup'; }
waits() { grep -q 'waiting' "$SANDBOX/second"; }

# first OPTION...: a backup of web that is at its disks when this returns
first() {
    env --default-signal=INT "$KVSS" backup web --quiet --type full "$@" > "$SANDBOX/first" 2>&1 &
    first=$!
    until has_job; do kill -0 $first 2> /dev/null || fail "the first backup ended early: $(cat "$SANDBOX/first")"; sleep 0.05; done
}
# second NAME...: a backup that waits when this returns
second() {
    : > "$SANDBOX/second" # or else it seems to wait, by what the one before said, before it has begun
    env --default-signal=INT "$KVSS" backup "$@" --wait > "$SANDBOX/second" 2>&1 &
    second=$!
    poll 30 waits
}

# ---- refused, with the owner's name; with limited patience too; both VMs are left alone
first --bwlimit 64K
kvss_fails "$EXIT_REFUSED" backup web
assert_match "$OUTPUT" "VM web is in use by another kvss session: backup, pid $first, host $(hostname), since 20.*--wait" "the owner"
kvss_fails "$EXIT_REFUSED" backup db web --wait=1
assert_match "$OUTPUT" "web.*pid $first" "the owner"
kill -0 $first || fail "the first backup ended before the second"
backup_of_another=$(kvss backup db --json | jq -r '.vms[0].name') # is not in the way
assert_eq "$backup_of_another" db
note "refused"

# ---- the first is interrupted: the second goes on at once
second db web
kill -INT $first
wait $first && fail "the first backup came to an end"
wait $second || fail "the second backup failed: $(cat "$SANDBOX/second")"
assert_points 2
note "after an interruption"

# ---- the first is killed outright; its watchdog puts back what it did
first --bwlimit 64K
second web
kill -KILL $first
wait $first 2> /dev/null || :
wait $second || fail "the second backup failed: $(cat "$SANDBOX/second")"
assert_points 3
note "after a kill"

# ---- both come to their ends
first --bwlimit 4M
kvss_fails "$EXIT_REFUSED" restore --yes latest web
assert_match "$OUTPUT" "VM web is in use by another kvss session: backup, pid $first" "the owner"
second web
wait $first || fail "the first backup failed: $(cat "$SANDBOX/first")"
wait $second || fail "the second backup failed: $(cat "$SANDBOX/second")"
assert_points 5

# ---- a restore has its VMs alone; another one waits for it
restoring() { grep -qs '"what":"restore"' "/var/lib/kvss/vms/$(virsh -q domuuid web)"; }
"$KVSS" restore --yes latest web > "$SANDBOX/first" 2>&1 &
first=$!
until restoring; do kill -0 $first 2> /dev/null || fail "the restore ended early: $(cat "$SANDBOX/first")"; done
kill -STOP $first
kvss_fails "$EXIT_REFUSED" backup web
assert_match "$OUTPUT" "VM web is in use by another kvss session: restore, pid $first" "the owner"
"$KVSS" restore --yes latest web --wait > "$SANDBOX/second" 2>&1 &
second=$!
poll 30 waits
kill -CONT $first
wait $first || fail "the first restore failed: $(cat "$SANDBOX/first")"
wait $second || fail "the second restore failed: $(cat "$SANDBOX/second")"
assert_state web running
guest_wait web
note "restores"

# ---- another program's job; an interruption ends the waiting
install -d -m 770 -g libvirt-qemu "$SANDBOX/job"
echo "<domainbackup mode='pull'><server transport='unix' socket='$SANDBOX/job/socket'/></domainbackup>" > "$SANDBOX/job.xml"
virsh -q backup-begin web "$SANDBOX/job.xml" > /dev/null
kvss_fails "$EXIT_REFUSED" backup web --wait=1
assert_match "$OUTPUT" 'is in use by another job \(a backup\)' "what holds it"
note "refused for the job of another program"
second web
kill -INT $second
status=0
wait $second || status=$?
assert_eq $status "$EXIT_INTERRUPTED" "status of the interrupted backup"
note "interrupted while it waited"
second web
virsh -q domjobabort web
wait $second || fail "the second backup failed: $(cat "$SANDBOX/second")"
assert_points 6
note "after the job"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
assert_eq "$(ls /var/lib/kvss/vms)" "" "files of owners"
kvss verify > /dev/null
