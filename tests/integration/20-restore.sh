#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A restore over VMs that exist: only the selected ones are turned off and deleted, the others see nothing (33); one unknown to this
# host is made; no guest agent hears of it (M12, 40). The steps come in the order of M13, M14, M16, M17: turn off, delete, disk
# paths, register, link in the default place; a stale link is removed. Definitions are the same, character by character.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
mkdir -m 711 "$SANDBOX/elsewhere"
guest_define web dir="$SANDBOX/elsewhere" disks=2 tokens=driven words=kvss.hook=yes
guest_define other tokens=driven words=kvss.hook=yes
guest_define gone agent=no tokens=off
qemu-io -c 'write -q -P 0x77 0 4M' "$IMAGES/gone-vda.qcow2"
virsh -q autostart gone > /dev/null
guest_start web
guest_start other
guest_wait web
guest_wait other
token_drive web other
poll 20 _token_past 10
backup web other gone
token_drive_stop
cat=$(report_vm web .state)
assert_eq "$cat" running
for vm in web other gone; do definition $vm > "$SANDBOX/$vm.before"; done

# what changes after the backup: gone is gone, web loses a disk and gets a definition that is wrong; a stale link is in the way
virsh -q undefine gone --checkpoints-metadata
rm "$IMAGES/gone-vda.qcow2"
ln -s /nowhere "$IMAGES/gone"
virsh -q setmaxmem web 1G --config
virsh -q detach-disk web vdb --config > /dev/null
last=$(guest_status web a)
other_counter=$(guest_counter other)
facts_before other
boot_other=$(guest_bootid other) boot_web=$(guest_bootid web)
guest_sh other ': > /run/kvss/hook.log'
lifecycle_start

kvss_json restore --yes "$POINT" web gone
note "restored"
assert_eq "$(report '[.vms[].name] | sort | join(" ")')" "gone web" "VMs restored"

# 33: the unselected VM has seen nothing; 40: nor has its agent
assert_facts_same
assert_eq "$(lifecycle other)" "" "what happened to other"
assert_eq "$(guest_bootid other)" "$boot_other" "boot id of other"
assert_gt "$(guest_counter other)" "$other_counter" "counter of other"
assert_eq "$(guest_sh other 'cat /run/kvss/hook.log')" "" "what the agent of other was told"

# the selected one was turned off and booted anew from the disks of the instant
assert_match "$(lifecycle web | awk '{ print $3 }' | tr '\n' ' ')" '^(Shutdown )?Stopped Undefined Defined ' "what happened to web"
assert_state web running
assert_state gone "shut off"
guest_wait web
assert_ne "$(guest_bootid web)" "$boot_web" "boot id of web"
assert_le "$(guest_status web boot_a)" "$last" "token of web"
assert_ge "$(guest_status web boot_b)" 10 "token of web"
assert_eq "$(guest_sh web 'cat /run/kvss/hook.log 2> /dev/null; true')" "" "what the agent of web was told"
for vm in web other gone; do
    assert_definition $vm "$SANDBOX/$vm.before"
done
assert_match "$(virsh dominfo gone)" 'Autostart: +enable'
assert_match "$(qemu-io -r -c 'read -P 0x77 0 4M' "$IMAGES/gone-vda.qcow2")" 'read 4194304/4194304'

# M13-M17: the order of the steps
steps=$(report_vm web '.steps[].step' | uniq | tr '\n' ' ')
note "steps of web: $steps"
assert_match "$steps" '^turn off delete .*register .*link .*start $' "steps of web"
assert_match "$(report_vm web '.steps[] | "\(.step): \(.text)"')" 'turn off: VM web was running'
assert_match "$(report_vm gone '[.steps[] | "\(.step): \(.text)"] | join("; ")')" 'turn off: VM gone is not on this host; .*register.*; link: .*removed' "steps of gone"
assert_report_vm web .registered true
assert_report_vm web .memory false

# M16: a link where the images do not lie in the default place, none where they do
assert_eq "$(readlink "$IMAGES/web")" "$SANDBOX/elsewhere" "link of web"
[ ! -L "$IMAGES/gone" ] || fail "the stale link of gone is still there"
[ ! -e "$IMAGES/other" ] || fail "a VM that was not restored has got a link"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left

# again, with a file in the link's place: it is left alone, and the user is told
rm "$IMAGES/web"
echo precious > "$IMAGES/web"
kvss_json restore --yes "$POINT" web
assert_eq "$(cat "$IMAGES/web")" precious "the file in the link's place"
assert_match "$(report_vm web '.warnings[]')" 'in the way'
guest_wait web
rm "$IMAGES/web"

# a person sees the steps in that order with --verbose
kvss restore --yes "$POINT" web --verbose > "$SANDBOX/verbose" 2> "$SANDBOX/stderr"
seen=$(sed -n 's/^ *step: \([a-z ]*\):.*/\1/p' "$SANDBOX/verbose" | uniq | paste -sd ' ')
assert_match "$seen" '^turn off delete restore status register link .*start$' "steps that --verbose shows"
guest_wait web
# the next backup of what was restored works
backup web gone
