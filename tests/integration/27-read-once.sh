#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A session examines each VM once before the instant, and looks at its images once after it: its agent is asked once, its images are opened
# once, its definition and its checkpoints are read once. What is asked again right before the instant is little, and notices what would make
# another backup of the VM: a disk that was attached meanwhile, another state. M4, M10, M11.
# In `make test` 10-one-instant and 44-many-vms have what is done to each VM of a session.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_agent.sh
. "$(dirname "$0")/../lib/functions_agent.sh"

kvss_setup
guest_define web tokens=off
guest_define plain agent=no tokens=off size=8M
guest_define off agent=no tokens=off size=8M
guest_start web
guest_start plain
guest_wait web
fake_start web

TOOLS=$SANDBOX/tools.log
CALLS=$SANDBOX/libvirt.log
log_tool() { echo "$2 $(readlink "/proc/$1"/fd/* | tr '\n' ' ')" >> "$TOOLS"; }
tool_watch qemu-img log_tool
tool_watch qemu-nbd log_tool

# counted COMMAND...: what it asks of the agent of web, of libvirt and of images
counted() {
    : > "$TOOLS"
    rm -f "$CALLS"
    fake_mode web good
    PATH=$SANDBOX/bin:$PATH LIBVIRT_LOG_FILTERS=1:libvirt.domain LIBVIRT_LOG_OUTPUTS=1:file:$CALLS "$@"
    [ -s "$CALLS" ] || fail "libvirt has logged nothing"
    guest_sh web 'cat /run/fake/log' > "$SANDBOX/asked"
}
asked() { grep -c "good $1\$" "$SANDBOX/asked" || :; }
calls() { grep -cE -e "$2.*VM: name=$1,.*${3-}" "$CALLS" || :; } # VM FUNCTION [REST]
ran() { grep -cE -e "$1.*/$2\\b" "$TOOLS" || :; }         # ARGUMENT IMAGE

counted backup web plain off
assert_report_vm web .method child-vm-snapshot
assert_report_vm plain .method saved-state
assert_report_vm off .method offline
for question in guest-info guest-get-osinfo guest-get-fsinfo; do assert_eq "$(asked $question)" 1 "$question, asked of the agent"; done
for image in web-vda plain-vda off-vda; do
    assert_eq "$(ran '--read-only.*force-share' $image)" 1 "image $image, opened for its partition table"
    [ $image != off-vda ] || continue # whether it is the same as a moment ago is in doubt, as long as it is so new
    # when the VM is examined, for its scratch file, and after the instant
    assert_eq "$(ran ^info $image)" 3 "qemu-img, run on image $image"
done
assert_eq "$(calls off virDomainGetBlockInfo:)" 1 "libvirt, asked for the size of its disk"
for vm in web plain off; do
    # when the VM is examined, right before the instant, and by its provider
    assert_eq "$(calls $vm virDomainGetXMLDesc: 'flags=0x3$')" 3 "libvirt, asked for the definition of $vm"
    note "$vm: libvirt was asked for definitions $(calls $vm virDomainGetXMLDesc:) times"
done

# ---- refused: why is known, and nothing is asked again
refused() { kvss_fails "$EXIT_REFUSED" backup web plain --require application; }
counted refused
assert_match "$OUTPUT" 'VM web: --require application' "why"
assert_match "$OUTPUT" 'VM plain: --require application' "why"
for question in guest-info guest-get-osinfo guest-get-fsinfo; do assert_eq "$(asked $question)" 1 "$question, asked of the agent"; done
assert_eq "$(calls plain virDomainGetXMLDesc: 'flags=0x3$')" 1 "libvirt, asked for the definition of plain"
note "refused"

# ---- what changes after the VM was examined: nothing is frozen, saved or paused, and it is worth another attempt
lifecycle_start
changed() { # WHY COMMAND...: done once, while writers prepare for the backup
    rm -f "$SANDBOX/once"
    writer_install saboteur <<< "[ \$event != prepare-backup ] || [ -e $SANDBOX/once ] || { touch $SANDBOX/once; $2; }"
    kvss_fails "$EXIT_FAILED" backup web plain off --retries 0
    assert_match "$OUTPUT" "$1: run the backup again" "why"
}
qemu-img create -q -f qcow2 "$IMAGES/more.qcow2" 4M
changed 'VM plain: disk vdb was attached after the VM was examined' \
    "virsh -q -c qemu:///system attach-disk plain $IMAGES/more.qcow2 vdb --subdriver qcow2 --live"
changed 'VM plain: disk vdb was detached after the VM was examined' "virsh -q -c qemu:///system detach-disk plain vdb --live"
changed 'VM off: disk vdb was attached after the VM was examined' \
    "virsh -q -c qemu:///system attach-disk off $IMAGES/more.qcow2 vdb --subdriver qcow2 --config"
assert_untouched
rm "$SANDBOX/once"
qemu-img create -q -f qcow2 "$IMAGES/third.qcow2" 4M
writer_install saboteur << END
[ \$event != prepare-backup ] || [ -e $SANDBOX/once ] ||
    { touch $SANDBOX/once; virsh -q -c qemu:///system attach-disk off $IMAGES/third.qcow2 vdc --subdriver qcow2 --config; }
END
kvss_json backup web plain off --retries 1
assert_match "$(report '.attempts[0].why')" 'VM off: disk vdc was attached' "why it was tried again"
kvss_json show "$(report .point)"
assert_eq "$(report '[.details[] | select(.vm == "off") | .disks[] | select(.covered) | .target] | join(" ")')" 'vda vdb vdc' "disks"
note "disks"

changed 'VM plain: it was running and is paused now' 'virsh -q -c qemu:///system suspend plain'
assert_state plain paused
virsh -q resume plain
note "state"

fake_mode web good
# the agent hangs: found out with nothing held, so no freeze is sent to it
writer_install saboteur <<< "[ \$event != prepare-backup ] || { $(guestctl_path) sh '$(guest_port web shell)' 'echo silent > /run/fake/mode'; }"
kvss_fails "$EXIT_FAILED" backup web off --fallback fail --retries 0
assert_match "$OUTPUT" 'VM web: the guest can no longer be quiesced: integration-service: the guest agent does not answer' "why"
guest_sh web 'cat /run/fake/log' > "$SANDBOX/asked"
assert_eq "$(asked guest-fsfreeze-freeze)" 0 "freezes"
note "agent"
