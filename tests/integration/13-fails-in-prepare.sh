#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# All or nothing (M10, B1; behaviours 24, 26, 27): one VM of three fails in PrepareForSnapshot, in several real ways. Each time: the
# exit code is not 0, the VM and the cause are named, the repository holds nothing, all three VMs are as before and go on, nothing
# is left behind. Then an ordinary backup works.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define one tokens=driven words=kvss.hook=yes
guest_define two tokens=driven disks=2
guest_define mute tokens=driven agent=no
guest_define odd format=vmdk tokens=off agent=no # QEMU cannot save a VM with such a disk
guest_start odd
for vm in one two mute; do guest_start $vm; done
for vm in one two mute; do guest_wait $vm; done
token_drive one two mute
boot=$(guest_bootid mute)

# assert_all_or_nothing VM TEXT [OPTION...]: a backup of all three fails because of that VM, for that reason
assert_all_or_nothing() {
    local vm=$1 text=$2 began=$SECONDS
    shift 2
    facts_before one two mute
    kvss_fails "$EXIT_FAILED" backup one two mute "$@"
    assert_match "$OUTPUT" "$vm" "the VM is named"
    assert_match "$OUTPUT" "$text" "the cause is named"
    assert_all_as_before
    assert_points 0
    note "$vm: $(tail -n 1 <<< "$OUTPUT" | cut -c 1-160) ($((SECONDS - began)) s)"
}
# The id of a VM that was saved and started again is another one: only that may differ.
assert_all_as_before() {
    sed -i 's/^== \([^ ]*\).*/== \1/' "$SANDBOX/facts"
    _facts one two mute | sed 's/^== \([^ ]*\).*/== \1/' > "$SANDBOX/facts.now"
    diff "$SANDBOX/facts" "$SANDBOX/facts.now" >&2 || fail "the VMs are not as before"
    assert_tokens_flow
    assert_eq "$(guest_bootid mute)" "$boot" "boot id of mute"
    assert_nothing_left
}

# ---- the freeze hook in the guest hangs, so the agent does not answer the freeze
hook=/etc/qemu/fsfreeze-hook.d/slow
guest_sh one "printf '#!/bin/sh\n[ \$1 != freeze ] || sleep 8\n' > $hook && chmod +x $hook"
assert_all_or_nothing one 'did not answer' --agent-timeout 3
guest_sh one "rm $hook"

# ---- the freeze hook refuses
guest_sh one "printf '#!/bin/sh\n[ \$1 != freeze ] || exit 1\n' > $hook && chmod +x $hook"
assert_all_or_nothing one 'frozen|freeze'
guest_sh one "rm $hook"

# ---- there is no room for the saved state
mount -t tmpfs -o size=8m,mode=770,uid="$(id -u libvirt-qemu)",gid="$(id -g libvirt-qemu)" tmpfs /var/lib/libvirt/qemu/save
assert_all_or_nothing mute 'saved state'
umount /var/lib/libvirt/qemu/save

# ---- the VM cannot be saved at all
kvss_fails "$EXIT_FAILED" backup one two odd
assert_match "$OUTPUT" 'odd.*vmdk' "VM and cause are named"
assert_all_as_before
assert_state odd running
assert_points 0
note "odd: $(tail -n 1 <<< "$OUTPUT" | cut -c 1-160)"
virsh -q destroy odd

# ---- the place for scratch files cannot be written
mkdir -m 711 "$SANDBOX/scratch"
mount --bind "$SANDBOX/scratch" "$SANDBOX/scratch"
mount -o remount,bind,ro "$SANDBOX/scratch"
cleanup_fn umount -l "$SANDBOX/scratch"
assert_all_or_nothing '(one|two)' 'Read-only' --snapshot-dir "$SANDBOX/scratch"

# ---- another program's job holds one of them: known beforehand, so it is refused
install -d -m 770 -g libvirt-qemu "$SANDBOX/job"
echo "<domainbackup mode='pull'><server transport='unix' socket='$SANDBOX/job/socket'/></domainbackup>" > "$SANDBOX/job.xml"
virsh -q backup-begin two "$SANDBOX/job.xml" > /dev/null
facts_before one mute
kvss_fails "$EXIT_REFUSED" backup one two mute
assert_match "$OUTPUT" 'two.*job'
assert_facts_same
assert_points 0
virsh -q domjobabort two

backup one two mute
assert_tokens_flow
assert_points 1
