#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A full disk at each place that a backup writes to (B2, M10): the repository, the place of scratch files, that of saved states, the
# journal's at any line of it. Each time the backup fails and says which, the VMs are unharmed, nothing is left, and when there is
# room the very next backup works. With KVSS_TEST_FULL=1 all of them, else repository and journal.
# timeout: 1200
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_fault.sh
. "$(dirname "$0")/../lib/functions_fault.sh"

# small DIR SIZE: a file system of that size there, with what was in it
small() {
    local dir=$1
    mkdir -p "$dir"
    cp -a "$dir" "$SANDBOX/was"
    mount -t tmpfs -o "size=$2,mode=$(stat -c %a "$dir"),uid=$(stat -c %u "$dir"),gid=$(stat -c %g "$dir")" tmpfs "$dir"
    cp -a "$SANDBOX/was/." "$dir/"
    rm -rf "$SANDBOX/was"
}
# fill DIR PAGES: all but so many pages of it
fill() {
    dd if=/dev/zero of="$1/filler" bs=4k 2> /dev/null || :
    truncate -s "-$(($2 * 4096))" "$1/filler"
}

# full TEXT OPTION...: the backup of all fails for this reason
full() {
    local text=$1 before
    shift
    before=$(_points)
    _fault_facts web mute off > "$SANDBOX/facts.fault"
    kvss_fails "$EXIT_FAILED" backup web mute off --retries 0 "$@"
    assert_match "$OUTPUT" "$text"
    assert_eq "$(_points)" "$before" "restore points"
    note "$(tail -n 1 <<< "$OUTPUT" | cut -c 1-180)"
    assert_unharmed
}

fault_setup
note "guests are up"

# ---- the repository
small "$KVSS_REPOSITORY" 400m
fill "$KVSS_REPOSITORY" 100
guest_sh web 'dd if=/dev/urandom of=/mnt/vda/new bs=1M count=8 conv=fsync 2> /dev/null'
full '[Nn]o space left'
rm "$KVSS_REPOSITORY/filler"
assert_recovers web mute off

if [ -n "${KVSS_TEST_FULL:-}" ]; then
    # ---- scratch files
    mkdir -m 711 "$SANDBOX/scratch"
    small "$SANDBOX/scratch" 1m
    fill "$SANDBOX/scratch" 20
    full 'scratch.*[Nn]o space left' --snapshot-dir "$SANDBOX/scratch"
    umount "$SANDBOX/scratch"
    assert_recovers web mute off

    # ---- saved states
    small /var/lib/libvirt/qemu/save 16m
    full 'saved state'
    umount /var/lib/libvirt/qemu/save
    assert_recovers web mute off
fi

# ---- the journal: no room for the session, for its first line, for some
small /var/lib/kvss 64k
for pages in $([ -z "${KVSS_TEST_FULL:-}" ] || echo 0) 1; do
    fill /var/lib/kvss "$pages"
    full '[Nn]o space left'
    rm /var/lib/kvss/filler
done
# a session that goes on from where there was no more room, and is killed then
fill /var/lib/kvss 1
_fault_facts web mute off > "$SANDBOX/facts.fault"
fault_backup killall:session-folder:undo web mute off
wait "$FAULT_PID" || :
rm /var/lib/kvss/filler
kvss recover > "$SANDBOX/recover" || fail "recover: $(cat "$SANDBOX/recover")"
assert_unharmed
umount /var/lib/kvss
assert_recovers web mute off
