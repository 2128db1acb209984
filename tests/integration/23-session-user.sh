#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# All of it as an ordinary user on qemu:///session: Child VM Snapshot, Saved State, a VM that is off; restore after everything was
# lost. Needs no right that the user does not have.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

session_mode
kvss_setup
guest_define web tokens=driven disks=2
guest_define mute tokens=driven agent=no
guest_define off tokens=off agent=no
as_owner qemu-io -c 'write -q -P 0x33 2M 2M' "$IMAGES/off-vda.qcow2"
guest_start web
guest_start mute
guest_wait web
guest_wait mute
TOKEN_PAUSE_MS=$TOKENS_OFTEN token_drive web mute
poll 20 _token_past 10
boot=$(guest_bootid mute) count=$(guest_counter mute)
before=$(token_acked)
for vm in web mute off; do definition $vm > "$SANDBOX/$vm.before"; done
backup web mute off --verbose
assert_match "$(cat "$SANDBOX/stderr")" 'qemu-nbd run here without a root folder of their own, a network of their own' "what -v says"
assert_report_vm web .method child-vm-snapshot
assert_report_vm mute .method saved-state
assert_report_vm off .method offline
assert_tokens_flow
assert_eq "$(guest_bootid mute)" "$boot" "boot id of mute"
token_drive_stop
note "backed up"
# what belongs to the user is readable for nobody else
find "$KVSS_REPOSITORY" ! -uid 64777 | grep . && fail "files of somebody else in the user's repository"

destroy_vm web mute off
kvss_json restore --yes "$POINT"
assert_state off "shut off"
guest_wait web
guest_wait mute
assert_eq "$(guest_bootid mute)" "$boot" "boot id of mute after the restore"
assert_ge "$(guest_counter mute)" "$count" "counter of mute"
web=$(guest_tokens web) mute=$(guest_tokens mute)
assert_set_order "$web" "$mute"
assert_ge "$(field b "$mute")" "$before" "last token"
for vm in web mute off; do assert_definition $vm "$SANDBOX/$vm.before"; done
assert_match "$(as_owner qemu-io -r -c 'read -P 0x33 2M 2M' "$IMAGES/off-vda.qcow2")" 'read 2097152/2097152'
as_owner "$KVSS" verify "$POINT"
find "$IMAGES" ! -uid 64777 | grep . && fail "images of somebody else"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
