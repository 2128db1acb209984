# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_live.sh: live-state. A test sources it after functions_kvss.sh.

_LIVE_LOCK=${KVSS_SANDBOX_DIR:-/var/tmp}/kvss-userfaultfd
_LIVE_SYSCTL=/proc/sys/vm/unprivileged_userfaultfd

# live_allow: QEMUs may use userfaultfd as long as a test needs that. It is the whole host's: the last of these tests sets it back.
live_allow() {
    [ -e $_LIVE_SYSCTL ] || skip "this kernel has no userfaultfd"
    exec 7>> "$_LIVE_LOCK"
    flock -s 7
    if [ "$(cat $_LIVE_SYSCTL)" = 0 ]; then
        echo 0 > "$_LIVE_LOCK.was"
        echo 1 > $_LIVE_SYSCTL || skip "vm.unprivileged_userfaultfd cannot be set"
    fi
    cleanup_fn _live_set_back
}
_live_set_back() {
    flock -u 7
    flock -n -x 7 || return 0
    [ ! -e "$_LIVE_LOCK.was" ] || echo 0 > $_LIVE_SYSCTL
    rm -f "$_LIVE_LOCK.was"
}

# live_host_forbids / live_host_allows: what kvss sees of the host from here on, QEMU not
live_host_forbids() {
    echo 0 > "$SANDBOX/sysctl"
    mount --bind "$SANDBOX/sysctl" $_LIVE_SYSCTL
}
live_host_allows() { umount $_LIVE_SYSCTL; }

# qmp NAME COMMAND [ARGUMENTS]: asks QEMU; prints what it returns
qmp() {
    virsh -q qemu-monitor-command "$1" "{\"execute\":\"$2\"${3:+,\"arguments\":$3}}" | jq -c .return
}

# live_capability NAME: on or off
live_capability() {
    qmp "$1" query-migrate-capabilities | jq -r '.[] | select(.capability == "background-snapshot") | if .state then "on" else "off" end'
}

# assert_live_over NAME...: the VM runs, QEMU writes nothing, the capability is off, and a managed save and a start do what they should
assert_live_over() {
    local vm status count
    for vm; do
        assert_state "$vm" running
        assert_eq "$(live_capability "$vm")" off "background-snapshot of $vm"
        status=$(qmp "$vm" query-migrate | jq -r '.status // "none"')
        assert_match "$status" '^(none|completed|failed|cancelled)$' "QEMU's migration of $vm"
        assert_counts "$vm"
    done
}
assert_saves_and_starts() {
    local vm count
    for vm; do
        count=$(guest_counter "$vm")
        virsh -q managedsave "$vm" > /dev/null
        assert_state "$vm" "shut off, saved"
        virsh -q start "$vm" > /dev/null
        guest_wait "$vm"
        assert_ge "$(guest_counter "$vm")" "$count" "counter of $vm after managed save and start"
        assert_counts "$vm"
    done
}

# assert_memory_fits NAME: of a VM with two disks (tokens=driven) that was just restored, paused: what its memory knows to be written is on
# its disks, and they hold no more than the next token, which it was at; then it goes on from there
assert_memory_fits() {
    local disks memory a b began ran
    disks=$(image_tokens "$IMAGES/$1-vda.qcow2" "$IMAGES/$1-vdb.qcow2")
    began=$SECONDS
    virsh -q resume "$1"
    guest_wait "$1"
    memory=$(guest_status "$1")
    ran=$(((SECONDS - began + 1) * 4)) # the counter counts every 250 ms, and has since it goes on
    for a in a b; do
        b=$(field $a "$memory")
        # what was being written is, by now
        assert_ge "$b" "$(field $a "$disks")" "last token $a of $1: in memory, on disk ($memory; $disks)"
        assert_le "$b" $(($(field $a "$disks") + 1)) "last token $a of $1: in memory, on disk ($memory; $disks)"
    done
    assert_eq "$(field bootid "$memory")" "$(field bootid "$disks")" "boot id in memory and on the disks of $1"
    assert_ge "$(field counter "$memory")" "$(field counter "$disks")" "counter in memory and on the disks of $1"
    assert_le "$(field counter "$memory")" $(($(field counter "$disks") + 25 + ran)) "counter in memory and on the disks of $1"
    assert_counts "$1"
    note "$1: disks $(field a "$disks")/$(field b "$disks"), memory $(field a "$memory")/$(field b "$memory")"
}
