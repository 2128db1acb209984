#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# live-state: the memory of one instant, written while the VM runs on. It is down for a moment and not for as long as its memory takes;
# memory and disks of the whole set are of that instant; what is restored goes on there. Afterwards nothing of it is left: QEMU's
# capability is off, and a managed save and a start work. M3, M7, M8, B1, B7, B8.
# timeout: 1200
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_live.sh
. "$(dirname "$0")/../lib/functions_live.sh"

live_allow
kvss_setup
guest_define web disks=2 size=96M tokens=driven agent=no
guest_define mute disks=2 size=96M tokens=driven agent=no
guest_start web
guest_start mute
guest_wait web
guest_wait mute
TOKEN_PAUSE_MS=$TOKENS_OFTEN token_drive web mute
poll 20 _token_past 20
lifecycle_start
boot=$(guest_bootid mute) count=$(guest_counter mute)
before=$(token_acked)
backup web mute --method live-state
after=$(token_acked)
for vm in web mute; do
    assert_report_vm $vm .method live-state
    assert_report_vm $vm .consistency saved-state
    note "$vm: down for $(report_vm $vm .down_ms) ms"
done
assert_live_over web mute
assert_tokens_flow
events() { awk -v vm="$1" '$2 == vm { print $3 }' "$SANDBOX/lifecycle" | tr '\n' ' '; }
lifecycle > "$SANDBOX/lifecycle"
for vm in web mute; do
    assert_eq "$(events $vm)" "Suspended Resumed " "what happened to $vm"
    # libvirt's own count of what kvss reports, but for the time that its events take on a busy machine
    down=$(awk -v vm=$vm '$2 == vm { if ($3 == "Suspended") at = $1; else printf "%d", ($1 - at) * 1000 }' "$SANDBOX/lifecycle")
    assert_le "$down" "$(report_vm $vm '.down_ms * 1.5 + 500 | ceil')" "down time of $vm, in ms"
    assert_ge "$down" 1 "down time of $vm, in ms"
done
assert_eq "$(guest_bootid mute)" "$boot" "boot id of mute"
assert_gt "$(guest_counter mute)" "$count" "counter of mute"
assert_saves_and_starts mute
kvss_json show "$POINT"
assert_eq "$(report '[.details[] | select(.vm == "mute") | .parts[].name] | sort | join(" ")')" "definition definition-live memory" "parts of mute"
assert_match "$(kvss show "$POINT")" 'method: live state: live-state was requested' "kvss show, for people"
kvss verify "$POINT" > /dev/null
live=$POINT

# ---- increments, while the guests write to memory and disks (20 with KVSS_TEST_FULL=1, and as fast as they can)
pause='sleep 0.5'
[ -z "${KVSS_TEST_FULL:-}" ] || pause=:
for vm in web mute; do
    guest_sh $vm "printf '#!/bin/sh\nwhile :; do dd if=/dev/urandom of=/mnt/vda/load bs=64k count=64; dd if=/dev/zero of=/run/load bs=1M count=16; $pause; done' > /run/write"
    guest_sh $vm 'chmod +x /run/write; /run/write > /dev/null 2>&1 &'
done
# It costs the emulated processor all it has, and is in the memory that was saved.
load_stop() { guest_sh "$1" 'killall -9 write 2> /dev/null; for i in 1 2 3 4 5 6 7 8 9; do pidof write || exit 0; sleep 0.2; done; exit 1'; }
points=("$live")
runs=1
[ -z "${KVSS_TEST_FULL:-}" ] || runs=20
for ((i = 0; i < runs; i++)); do
    backup web mute --method live-state
    assert_report_vm web .type incremental
    assert_live_over web mute
    points+=("$POINT")
done
for vm in web mute; do load_stop $vm; done
note "under load: down for $(report_vm web .down_ms) and $(report_vm mute .down_ms) ms"

# ---- restored: paused, so that the disks can be looked at before anything runs
token_drive_stop
for of in "${points[@]}"; do
    destroy_vm web mute
    kvss_json restore --yes "$of" web mute --paused
    assert_set_order "$(image_tokens "$IMAGES/web-vda.qcow2" "$IMAGES/web-vdb.qcow2")" \
        "$(image_tokens "$IMAGES/mute-vda.qcow2" "$IMAGES/mute-vdb.qcow2")"
    for vm in web mute; do
        assert_memory_fits $vm
        load_stop $vm
    done
    assert_ge "$(guest_status mute b)" "$before" "last token of mute"
    assert_eq "$(guest_bootid mute)" "$boot" "boot id of mute after the restore"
done
assert_saves_and_starts web # which stands on what libvirt made of kvss's head
[ "$(guest_status web a)" -ge "$after" ] || fail "the last increment is older than the first point"
note "restored"

# ---- a copy goes on beside the original
kvss_json restore "$live" mute --name twin
guest_wait twin
assert_eq "$(guest_bootid twin)" "$boot" "boot id of the copy"
assert_counts twin
assert_state mute running
virsh -q destroy twin
note "copied"

# ---- libvirt itself reads the image
kvss restore "$live" mute --images-only --to "$SANDBOX/images" > /dev/null
memory=$SANDBOX/images/mute.save
virsh -q save-image-dumpxml "$memory" --security-info > "$SANDBOX/in-image.xml"
assert_match "$(cat "$SANDBOX/in-image.xml")" '<name>mute</name>' "definition in the image"

# ---- by auto only where it was enabled, and where it is possible; said which and why
kvss_json check mute
assert_report_vm mute .method saved-state
echo 'live-state = yes' > /etc/kvss/kvss.conf
kvss_json check mute
assert_report_vm mute .method live-state
live_host_forbids
kvss_json check mute
assert_report_vm mute .method saved-state
assert_match "$(report_vm mute '.warnings | join(" ")')" 'live-state is enabled but not possible.*vm.unprivileged_userfaultfd is 0' "why not"
kvss_fails "$EXIT_REFUSED" backup mute --method live-state
assert_match "$OUTPUT" 'mute: live-state was requested but is not possible: .*unprivileged_userfaultfd' "why it is refused"
live_host_allows
virsh -q suspend mute
kvss_json check mute
assert_report_vm mute .method saved-state
assert_match "$(report_vm mute '.warnings | join(" ")')" 'live-state is enabled .*not running' "why not"
ALLOW_PAUSED=mute backup mute
assert_state mute paused
assert_report_vm mute .method saved-state
virsh -q resume mute
echo 'lock_manager = "lockd"' >> /etc/libvirt/qemu.conf
kvss_json check mute
assert_report_vm mute .method saved-state
assert_match "$(report_vm mute '.warnings | join(" ")')" 'lock manager' "why not"
sed -i '/^lock_manager/d' /etc/libvirt/qemu.conf
# what a cluster manages is not paused either (behaviour 41)
virsh -q dumpxml mute > "$SANDBOX/mute.xml"
mkdir -p /var/lib/pacemaker/cib
cat > /var/lib/pacemaker/cib/cib.xml << END
<cib validate-with="pacemaker-3.9" epoch="9" num_updates="0" admin_epoch="0"><configuration><crm_config/><nodes/><resources>
<primitive id="vm-1" class="ocf" provider="heartbeat" type="VirtualDomain"><instance_attributes id="vm-1-a">
<nvpair id="vm-1-a-config" name="config" value="$SANDBOX/mute.xml"/></instance_attributes></primitive></resources><constraints/></configuration></cib>
END
for method in live-state auto; do
    kvss_fails "$EXIT_REFUSED" backup mute --method $method
    assert_match "$OUTPUT" 'Pacemaker manages (the VM|VM mute) \(resource vm-1\)' "why it is refused ($method)"
done
rm /var/lib/pacemaker/cib/cib.xml
backup mute
assert_report_vm mute .method live-state
assert_match "$(report_vm mute .why)" '^integration-service: ' "why of mute"
assert_live_over mute
note "by auto"
