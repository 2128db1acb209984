#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A restore dies, or fails, and what it did cannot be undone or finished at once: the file system with the image is not mounted (an empty
# mount point answers "no such file"), another one is mounted in its place, the folder was moved, is a file, a circle of links, or somebody
# else's file is where its own was. Nothing is removed or replaced then, `kvss recover` fails and names it, twice the same; and once the
# place is back it undoes, or finishes, all of it: the old image byte for byte, or the new one, and nothing left (B2, M14; docs/undo.md).
# No guest is booted. Every obstacle at every step with KVSS_TEST_FULL=1.
# timeout: 3600
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"

kvss_setup
place=$SANDBOX/place view=$SANDBOX/view
for fs in fs other; do
    truncate -s 100M "$SANDBOX/$fs.img"
    mke2fs -q -t ext4 "$SANDBOX/$fs.img"
done
mkdir -m 711 "$place" "$view"
mount -o loop "$SANDBOX/fs.img" "$place"
mount --bind "$place" "$view" # where the file system is seen whatever is done to the place
chmod 711 "$place"
guest_define web disks=1 fs=none size=8M agent=no tokens=off dir="$place"
image=$place/web-vda.qcow2
fill() { qemu-io -c "write -q -P $1 0 8M" "$image"; }
fill 0x11
backup web
fill 0x22
old=$(sha256sum < "$image")
definition web > "$SANDBOX/web.xml"

contents() { find "$1" -type f -printf '%P %i\n' -exec sha256sum {} + | sort; }
recover_fails() {
    kvss_fails "$EXIT_FAILED" recover
    assert_match "$OUTPUT" "$1" "what recover says of $2"
}

# ---- obstacles: put in the way, and taken out
unmounted() { umount "$place"; }
unmounted_not() { mount --bind "$view" "$place"; }
other() {
    umount "$place"
    mount -o loop "$SANDBOX/other.img" "$place"
    echo "of others" > "$image"
    touch "$place/.kvss-new-0"
}
other_not() {
    assert_eq "$(cat "$image")" "of others" "somebody else's file"
    assert_file "$place/.kvss-new-0"
    umount "$place"
    unmounted_not
}
remounted() { # anew, perhaps on another loop device: that is no obstacle
    umount "$place" "$view"
    mount -o loop "$SANDBOX/fs.img" "$place"
    mount --bind "$place" "$view"
}
moved() { # NEW: what is in its place
    umount "$place"
    rmdir "$place"
    "$@"
}
file() { moved touch "$place"; }
circle() { moved ln -s "$place" "$place"; }
file_not() {
    rm "$place"
    mkdir -m 711 "$place"
    unmounted_not
}
circle_not() { file_not; }

# at FAULT OBSTACLE: a session that was killed there, with its watchdog
at() {
    local fault=$1 obstacle=$2 status=0
    KVSS_TEST_FAULT=killall:$fault KVSS_TEST_FAULT_LOG=$SANDBOX/faults "$KVSS" restore --yes "$POINT" web > "$SANDBOX/out" 2>&1 || status=$?
    grep -q '^fault' "$SANDBOX/faults" || fail "the restore never came to $fault: $(cat "$SANDBOX/out")"
    rm "$SANDBOX/faults"
    assert_eq "$status" 137 "status of the restore ($fault)"
    contents "$view" > "$SANDBOX/before"
    $obstacle
    if [ "$obstacle" != remounted ]; then
        for _ in 1 2; do
            recover_fails 'folder' "$obstacle at $fault"
            diff "$SANDBOX/before" <(contents "$view") >&2 || fail "$obstacle at $fault: the file system that cannot be seen was changed"
        done
        "${obstacle}_not"
    fi
    settled "$fault" "$obstacle"
}

# After a last recover: the old one, or after the commit the new one, and nothing else
settled() {
    kvss recover > "$SANDBOX/recover" 2>&1 || fail "$2 at $1: $(cat "$SANDBOX/recover")"
    assert_match "$(kvss recover)" 'Nothing to recover' "a second recover"
    case $1 in
    commit:done | *:after)
        qemu-io -r -c 'read -P 0x11 0 8M' "$image" | grep -q 'read 8388608/8388608' || fail "$2 at $1: not the new image"
        fill 0x22
        old=$(sha256sum < "$image")
        ;;
    *) assert_eq "$(sha256sum < "$image")" "$old" "the old image ($2 at $1)" ;;
    esac
    assert_definition web "$SANDBOX/web.xml"
    assert_eq "$(find "$view" -type f)" "$view/web-vda.qcow2" "files ($2 at $1)"
    assert_eq "$(find /var/lib/kvss/vms -type f)" "" "claims ($2 at $1)"
    assert_nothing_left
    note "$2 at $1"
}

# Somebody else's file where ours was, or where the old one belongs
theirs() {
    local status=0
    KVSS_TEST_FAULT=killall:replaced-file:done "$KVSS" restore --yes "$POINT" web > "$SANDBOX/out" 2>&1 || status=$?
    assert_eq "$status" 137 "status of the restore"
    rm "$image"
    echo "of others" > "$image"
    recover_fails "belongs to something else" "the image of others"
    recover_fails "belongs to something else" "the image of others"
    assert_eq "$(cat "$image")" "of others"
    rm "$image"
    settled replaced-file:done "somebody else's file"
}

# A hook that unmounts for the moment: the restore fails, and whoever undoes it finds the place as it was, or not yet
hooked() {
    local event=$1
    writer_install hook <<END
case \$event in
pre-restore) umount "$place" ;;
$event) mount --bind "$view" "$place" ;;
esac
END
    mkdir -p "$SANDBOX/files-hook"
    echo x > "$SANDBOX/files-hook/file"
    kvss_json backup web
    kvss_fails "$EXIT_FAILED" restore --yes "$(report .point)" web hook
    rm "$WRITERS/hook"
    [ "$event" = post-restore ] || unmounted_not
    settled hook:hook "a hook that unmounts until $event"
}

if [ -n "${KVSS_TEST_FULL:-}" ]; then
    for fault in staged-file:begin staged-file:done turn-off-vm:done delete-vm:done replaced-file:begin replaced-file:done register-vm:done commit:begin commit:done replaced-file:after; do
        for obstacle in unmounted other file circle remounted; do at $fault $obstacle; done
    done
else
    at replaced-file:done unmounted
    at staged-file:done other
    at commit:done circle
    at register-vm:done remounted
fi
theirs
hooked post-restore

# ---- a target that cannot be looked at: refused before anything is entered, and the VM is as it was
umount "$place"
rmdir "$place"
ln -s "$place" "$place"
status=0
kvss restore --yes "$POINT" web > "$SANDBOX/out" 2> "$SANDBOX/stderr" || status=$?
assert_ne "$status" 0 "status of a restore to a circle of links"
assert_definition web "$SANDBOX/web.xml"
assert_eq "$(ls /var/lib/kvss/sessions)" "" "sessions left"
assert_eq "$(find "$view" -type f)" "$view/web-vda.qcow2" "files"
assert_eq "$(sha256sum < "$view/web-vda.qcow2")" "$old" "the image"
