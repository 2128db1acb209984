#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Disks on overlays, where a provider copies volumes: between the point in time and the copy of the volume the guest writes, and what it
# writes is in no restore point and never lost. Whatever becomes of the VM while kvss and its watchdog are dead, its disks write into their own
# images afterwards, with all that the guest has written: it runs on, was killed, shut down, saved, undefined, or has got a further snapshot;
# libvirtd was restarted; the volume is full. B2, M9, M10.
# timeout: 1200
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
KVSS_TEST_PROVIDER=${KVSS_TEST_PROVIDER:-btrfs}
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_fault.sh
. "$(dirname "$0")/../lib/functions_fault.sh"
grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"
FREEZE_LIMIT=10
STEP=volume-copy:begin
[[ $KVSS_TEST_PROVIDER != reflink* ]] || STEP=image-copy:begin
[[ $KVSS_TEST_PROVIDER != lvm* ]] || STEP=lv-snapshot:begin
kvss_setup
guest_define web disks=2 words=kvss.hook=yes tokens=off
virsh dumpxml web --inactive --security-info > "$SANDBOX/web.before"

web_up() {
    [ "$(vm_state web)" = running ] || guest_start web
    guest_wait web
    poll 60 guest_agent web guest-ping
    # the guest's own writer: it says in which moment of the backup its file was written
    guest_sh web 'printf "#!/bin/sh\ncase \$1 in freeze) echo FROZEN > /mnt/vda/state ;; thaw) echo THAWED > /mnt/vda/state ;; esac\n" \
        > /etc/qemu/fsfreeze-hook.d/state && chmod +x /etc/qemu/fsfreeze-hook.d/state'
}
on_overlay() { virsh -q domblklist web | grep -c '\.overlay$' || :; }
later=0
# between: a backup that waits between the thaw of the guest and the copy of its volume; the guest writes meanwhile
between() {
    fault_backup "wait:$STEP" web
    poll 60 fault_happened
    assert_eq "$(on_overlay)" 2 "disks on overlays"
    assert_eq "$(guest_sh web 'cat /mnt/vda/state')" THAWED "state of the guest while its volume is not copied yet"
    later=$((later + 1))
    guest_sh web "echo LATER $later > /mnt/vda/state; echo LATER $later > /mnt/vdb/state; sync"
}
# killed: kvss and its watchdog die there
killed() {
    local helpers
    between
    mapfile -t helpers < <(pgrep -f "$KVSS.* (watchdog|keeper)")
    kill -9 "$FAULT_PID" "${helpers[@]}" 2> /dev/null || : # one may have ended with another
    wait "$FAULT_PID" 2> /dev/null || :
    assert_eq "$(on_overlay)" 2 "disks on overlays with nobody who would bring them back"
}
recovers() { kvss recover > "$SANDBOX/recover" 2>&1 || fail "recover: $(cat "$SANDBOX/recover")"; }
# over WHAT: nothing is left, and the guest has what it wrote last
over() {
    ALLOW_CHECKPOINTS="kvss-*" assert_nothing_left
    if [ "$(vm_state web)" = gone ]; then virsh -q define "$SANDBOX/web.before"; fi
    diff "$SANDBOX/web.before" <(virsh dumpxml web --inactive --security-info) || fail "$1: the definition is not as before"
    web_up
    assert_eq "$(guest_sh web 'cat /mnt/vda/state /mnt/vdb/state | sort -u')" "LATER $later" "$1: what the guest wrote last"
    note "$1"
}

# ---- the point in time, and the live VM
web_up
between
touch "$FAULT_LOG.go"
wait "$FAULT_PID" || fail "backup: $(cat "$SANDBOX/stderr")"
POINT=$(report .point)
assert_eq "$(report '.shadow_copies | map(select(.volume | test("images")).provider) | unique | join(" ")')" "${KVSS_TEST_PROVIDER%-*}" "provider"
over "backed up while the guest wrote"
kvss restore "$POINT" web --name copy > /dev/null 2>&1 || kvss restore "$POINT" web --name copy
guest_wait copy
assert_eq "$(guest_sh copy 'cat /mnt/vda/state')" FROZEN "state of the guest in the restore point"
assert_eq "$(guest_sh copy 'cat /mnt/vdb/state 2> /dev/null || echo none')" none "what was written later on the other disk"
virsh -q destroy copy
virsh -q undefine copy --nvram
rm -f "$IMAGES"/copy-*

# ---- a shadow copy that must not be changed cannot be rolled back (behaviour 22, the writer itself)
kvss_fails "$EXIT_REFUSED" backup web --no-auto-recovery
assert_match "$OUTPUT" 'VM web: Child VM Snapshot needs a shadow copy that can be recovered.*--method saved-state' "refusal without auto-recovery"
ALLOW_CHECKPOINTS="kvss-*" assert_nothing_left
backup web --no-auto-recovery --method saved-state
over "without auto-recovery, in a saved state"

# ---- whatever becomes of the VM
killed
recovers
over "it runs on"

# ... and is started again on its overlay before anybody comes to it
killed
virsh -q destroy web
virsh -q start web
guest_wait web
guest_sh web "echo LATER again > /mnt/vda/again; sync"
recovers
assert_eq "$(guest_sh web 'cat /mnt/vda/again')" "LATER again" "what was written after it was started on its overlay"
over "its QEMU was killed, and it was started again"

killed
virsh -q destroy web
assert_match "$(virsh -q domblklist web --inactive)" '\.overlay' "the definition, without kvss"
recovers
over "its QEMU was killed"

killed
guest_stop web
recovers
over "it was shut down"

bootid=$(guest_bootid web)
killed
virsh -q managedsave web > /dev/null
recovers
virsh -q start web
poll 60 guest_agent web guest-ping
over "it was saved"
assert_eq "$(guest_bootid web)" "$bootid" "boot id of the VM that was saved"

killed
virsh -q destroy web
virsh -q undefine web --checkpoints-metadata
recovers
over "it was undefined"

killed
virsh -q snapshot-create-as web more --disk-only --no-metadata --diskspec "vda,file=$IMAGES/more.qcow2" --diskspec vdb,snapshot=no > /dev/null
guest_sh web "echo LATER $later > /mnt/vda/more; sync"
recovers
assert_eq "$(virsh -q domblklist web | awk '$1 == "vda" { print $2 }')" "$IMAGES/more.qcow2" "the disk that has got another snapshot"
[ ! -e "$(qemu-img info -U --output=json "$IMAGES/more.qcow2" | jq -r '."backing-filename" | select(test("overlay"))')" ] || fail "the overlay is still there"
virsh -q blockcommit web vda --active --pivot --wait > /dev/null
rm "$IMAGES/more.qcow2"
assert_eq "$(guest_sh web 'cat /mnt/vda/more')" "LATER $later" "what was written after the other snapshot"
over "it has got a further snapshot"

# ---- somebody takes the disk away from the VM: what it wrote last is only in the overlay, which is kept, and told of
if [ -n "${KVSS_TEST_FULL:-}" ]; then
    killed
    virsh -q detach-disk web vdb --live > /dev/null
    poll 20 eval '[ "$(virsh -q domblklist web | grep -c vdb)" = 0 ]'
    kvss recover > "$SANDBOX/recover" 2>&1 || :
    overlay=$(find "$IMAGES" -name '.kvss-*-vdb.overlay')
    [ -n "$overlay" ] || fail "the only copy of what the guest wrote last is gone: $(cat "$SANDBOX/recover")"
    assert_match "$(cat "$SANDBOX/recover")" "disk vdb was taken off its overlay by someone else: $overlay" "what recover says"
    guest_stop web
    qemu-img commit -q "$overlay"
    rm "$overlay"
    over "a disk was taken away from it"
fi

# ---- libvirtd is restarted meanwhile; the session goes on, or puts all back
between
pkill -x libvirtd
poll 30 eval '! pgrep -x libvirtd > /dev/null'
libvirtd --daemon --pid-file /run/libvirtd.pid
poll 30 virsh -q uri
touch "$FAULT_LOG.go"
wait "$FAULT_PID" || :
recovers
over "libvirtd was restarted"

# ---- no room to bring it back: the guest goes on, and is brought back once there is
if [ -n "${KVSS_TEST_FULL:-}" ]; then
    between
    guest_sh web 'dd if=/dev/urandom of=/mnt/vda/much bs=1M count=20 2> /dev/null; sync' || :
    dd if=/dev/zero of="$IMAGES/fill" bs=1M 2> /dev/null || :
    touch "$FAULT_LOG.go"
    wait "$FAULT_PID" && fail "a backup on a full volume"
    rm "$IMAGES/fill"
    sync -f "$IMAGES"
    poll 120 eval '[ "$(on_overlay)" = 0 ]'
    poll 60 _no_kvss
    recovers
    over "the volume was full"
fi

# ---- libvirt has no definition of it on file: nobody could bring its disks back, so it gets no overlays
virsh -q destroy web
virsh dumpxml web --inactive --security-info > "$SANDBOX/transient.xml"
virsh -q undefine web --checkpoints-metadata
virsh -q create "$SANDBOX/transient.xml"
guest_wait web
poll 60 guest_agent web guest-ping
kvss_fails "$EXIT_FAILED" backup web
assert_match "$OUTPUT" 'transient' "a transient VM"
ALLOW_CHECKPOINTS="kvss-*" assert_nothing_left

# ---- a disk that is elsewhere
guest_define other disks=1 agent=no dir="$SANDBOX"
kvss_fails "$EXIT_REFUSED" backup other
assert_match "$OUTPUT" "VM other: the provider ${KVSS_TEST_PROVIDER%-*} cannot create a shadow copy of disk vda" "a disk on another file system"
kvss_fails "$EXIT_REFUSED" check other --json
assert_match "$(report '.vms[].findings[] | select(.id == "no-provider").text')" "the provider ${KVSS_TEST_PROVIDER%-*}" "what check says of it"
kvss_fails "$EXIT_FAILED" backup other --provider zfs
assert_match "$OUTPUT" "unknown provider 'zfs': use auto, qemu, btrfs" "a provider that there is not"
