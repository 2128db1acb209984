#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# One backup of three VMs (agent; no agent; off) at one instant. A recording writer sees the events in the order of behaviour 9 and
# what the VMs do meanwhile: M3, M7, M8, B1, behaviours 15-18. Restored, the order of the tokens holds over all disks (23), what was
# written after the thaw is absent and what was synced before the freeze is there, without repair (20); the live disks keep it (22).
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define web disks=2 tokens=driven words=kvss.hook=yes
guest_define mute disks=2 tokens=driven agent=no
guest_define old format=raw
head -c 3M /dev/urandom | dd of="$IMAGES/old-vda.raw" conv=notrunc bs=1M seek=20 status=none
old_sum=$(sha256sum < "$IMAGES/old-vda.raw")
guest_start web
guest_start mute
guest_wait web
guest_wait mute
TOKEN_PAUSE_MS=5 token_drive web mute
poll 20 _token_past 20
guest_sh web 'echo before > /mnt/vdb/before; sync; : > /run/kvss/hook.log'

# In every event the recorder notes what the VMs do. In Freeze web has thawed again and writes a file, which thus is younger than
# the instant and older than the copying.
writer_install recorder <<END
state() { virsh -q -c qemu:///system domstate "\$1"; }
agent() { virsh -q -c qemu:///system qemu-agent-command web '{"execute":"guest-fsfreeze-status"}' 2>&1; }
echo "\$(date +%s.%N) \$event web=\$(state web) mute=\$(state mute | tr ' ' -) old=\$(state old | tr ' ' -) \$(agent | grep -o 'thawed\|frozen')" >> $SANDBOX/recorded
[ "\$event" != freeze ] || $(guestctl_path) sh "$(guest_port web shell)" 'echo after > /mnt/vdb/after; sync'
echo "\$(date +%s.%N) \$event-end" >> $SANDBOX/recorded
END
boot_web=$(guest_bootid web) boot=$(guest_bootid mute) count=$(guest_counter mute)
clock_offset() { echo "$(date +%s.%N) $(guest_sh web 'cut -d " " -f 1 /proc/uptime')"; }
offset=$(clock_offset)
lifecycle_start
before=$(token_acked)
backup web mute old
cp "$REPORT" "$SANDBOX/backup.json"
after=$(token_acked)
note "backed up"

# ---- 9: the order of events; nothing else
assert_eq "$(awk '!/-end$/ { print $2 }' "$SANDBOX/recorded" | uniq | tr '\n' ' ')" \
    "identify prepare-backup prepare-snapshot freeze thaw post-snapshot backup-complete backup-shutdown " "events"
recorded() { awk -v event="$1" '$2 == event { print $1; exit }' "$SANDBOX/recorded"; }
seen() { grep -E "^[0-9.]+ $1 " "$SANDBOX/recorded" | head -n 1 | cut -d ' ' -f 3-; }
le() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 <= b + 0) }' || fail "$3: $1 is later than $2"; }

# ---- 16, 17, 18: between PrepareForSnapshot and PostSnapshot mute is off with its state saved and web runs, thawed
for event in freeze thaw; do assert_eq "$(seen $event)" "web=running mute=shut-off old=shut-off thawed" "seen in $event"; done
assert_eq "$(seen backup-complete)" "web=running mute=running old=shut-off thawed" "seen in backup-complete"
lifecycle > "$SANDBOX/lifecycle"
of_mute=$(awk '$2 == "mute" { print $3 }' "$SANDBOX/lifecycle" | uniq | tr '\n' ' ')
assert_match "$of_mute" '^Suspended (Stopped|Suspended Stopped) .*Started .*Resumed $' "what happened to mute"
assert_eq "$(awk '$2 == "web" || $2 == "old"' "$SANDBOX/lifecycle")" "" "what happened to web and old"
le "$(recorded prepare-backup)" "$(awk '$2 == "mute" { print $1; exit }' "$SANDBOX/lifecycle")" "mute is paused after PrepareForBackup"
le "$(awk '$2 == "mute" && $3 == "Stopped" { print $1 }' "$SANDBOX/lifecycle")" "$(recorded freeze)" "mute is saved before Freeze"
le "$(recorded thaw-end)" "$(awk '$2 == "mute" && $3 == "Started" { print $1 }' "$SANDBOX/lifecycle")" "mute is started after Thaw"
# 17: the guest's own log says when it was frozen, by its own clock
guest_sh web 'cat /run/kvss/hook.log' > "$SANDBOX/hook"
assert_eq "$(awk '{ print $1 }' "$SANDBOX/hook" | tr '\n' ' ')" "freeze thaw " "what the guest's agent was told"
host_time() { awk -v verb="$1" -v o="$offset" '$1 == verb { split(o, t, " "); printf "%.3f", t[1] + $2 - t[2] }' "$SANDBOX/hook"; }
le "$(recorded prepare-backup-end)" "$(host_time freeze)" "web is frozen after PrepareForBackup"
le "$(host_time thaw)" "$(awk -v t="$(recorded freeze)" 'BEGIN { printf "%.3f", t + 0.1 }')" "web is thawed before Freeze"
# the instant lies between them
instant=$(date -d "$(report .instant)" +%s.%N)
le "$(host_time freeze)" "$(awk -v t="$instant" 'BEGIN { printf "%.3f", t + 0.1 }')" "the instant is after the freeze"
le "$instant" "$(recorded freeze)" "the instant is before Freeze"
note "events: $(awk '!/-end$/ { print $2 }' "$SANDBOX/recorded" | uniq | tr '\n' ' ')"

# ---- 15, 16: states as before; memory went on; tokens flow
assert_state web running
assert_state mute running
assert_state old "shut off"
assert_eq "$(guest_bootid web)" "$boot_web" "boot id of web"
assert_eq "$(guest_bootid mute)" "$boot" "boot id of mute"
assert_gt "$(guest_counter mute)" "$count" "counter of mute"
assert_tokens_flow
assert_gt "$(token_acked)" "$before" "token after the backup"
assert_report_vm web .method child-vm-snapshot
assert_report_vm mute .method saved-state
assert_report_vm old .method offline
# 22: the live disk has what was written later
assert_eq "$(guest_sh web 'cat /mnt/vdb/after')" after "the later file on the live disk"

# ---- destroyed and restored
token_drive_stop
rm "$WRITERS/recorder"
last=$(guest_counter mute)
destroy_vm web mute old
kvss_json restore --yes "$POINT" web mute old
note "restored"
guest_wait web
guest_wait mute
assert_eq "$(guest_bootid mute)" "$boot" "boot id of mute after the restore"
assert_ge "$(guest_counter mute)" "$count" "counter of mute after the restore"
assert_counts mute
assert_ne "$(guest_bootid web)" "$boot_web" "boot id of web after the restore"
[ "$(guest_counter mute)" -lt $((last + 250)) ] || fail "the counter of mute jumped"
assert_eq "$(sha256sum < "$IMAGES/old-vda.raw")" "$old_sum" "image of old"
assert_state old "shut off"
web=$(guest_tokens web) mute=$(guest_tokens mute)
assert_set_order "$web" "$mute"
assert_ge "$(field b "$mute")" "$before" "last token of mute"
assert_le "$(field a "$web")" "$after" "last token of web"
assert_eq "$(guest_sh web 'cat /mnt/vdb/before')" before "the file that was synced before"
assert_eq "$(guest_sh web 'ls /mnt/vdb | grep -c after')" 0 "files that were written after the thaw"
assert_no_match "$(guest_sh web dmesg)" 'EXT4-fs.*(recover|orphan|error)' "kernel log of web"
note "instant: $before <= web $(field a "$web")/$(field b "$web"), mute $(field a "$mute")/$(field b "$mute") <= $after"
