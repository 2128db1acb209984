#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The truth about consistency is kept with the restore point and told in words and JSON (B3): per VM the method, why, what was
# frozen per mount point, for how long the guest was frozen or down, and the level.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define web fs=ext4,xfs tokens=off
guest_define mute tokens=off agent=no
guest_define off tokens=off agent=no
guest_start web
guest_start mute
guest_wait web
guest_wait mute
began=$(date +%s)
backup web mute off
cp "$REPORT" "$SANDBOX/backup.json"
ended=$(date +%s)

check_report() { # what the backup says, and what the point says later
    assert_report_vm web .method child-vm-snapshot
    assert_report_vm web .consistency file-system
    assert_report_vm web .down_ms 0 # frozen, it runs
    assert_ge "$(report_vm web '.frozen_ms | floor')" 1 "frozen_ms"
    assert_le "$(report_vm web '.frozen_ms | floor')" 10000 "frozen_ms"
    assert_report_vm mute .method saved-state
    assert_report_vm mute .consistency saved-state
    assert_match "$(report_vm mute .why)" '^integration-service: .*channel'
    assert_report_vm mute .frozen_ms null
    assert_ge "$(report_vm mute '.down_ms | floor')" 100 "down_ms"
    assert_le "$(report_vm mute '.down_ms | floor')" $(((ended - began + 1) * 1000)) "down_ms"
    assert_report_vm off .method offline
    assert_report_vm off .down_ms null
    assert_report_vm off .consistency offline
    assert_match "$(report_vm off .why)" 'the VM was off'
    # B1: the set has one instant, in the time of the backup
    ms() { date -d "$(report_vm "$1" .instant)" +%s%3N; }
    assert_le $(($(ms web) - $(ms mute))) 500 "distance of the instants in ms"
    assert_le $(($(ms mute) - $(ms web))) 500 "distance of the instants in ms"
    at=$(date -d "$(report .instant)" +%s)
    assert_ge "$at" "$began" "instant"
    assert_le "$at" "$ended" "instant"
}
check_report
kvss_json show "$POINT"
check_report
diff <(jq -S .vms "$SANDBOX/backup.json") <(jq -S .vms "$REPORT") >&2 || fail "the point says something else than the backup"
detail() { report "[.details[] | select(.vm == \"$1\")][0] | $2"; }
assert_eq "$(detail web '[.frozen[] | select(.frozen) | .mountpoint] | sort | join(" ")')" "/mnt/vda /mnt/vdb" "frozen mount points"
assert_eq "$(detail web '[.conditions[] | select(.ok) | .clause] | join(" ")')" "M4a M4b M4c M4d M4e" "conditions of web"
assert_eq "$(detail mute '.conditions[] | select(.clause == "M4a") | .ok')" false "condition M4a of mute"
assert_eq "$(for vm in web mute off; do detail $vm .clause; done | tr '\n' ' ')" "M4 M4 null " "clauses by which methods were chosen"
assert_eq "$(report '[.vms[] | .clause] | join(" ")')" "$(report '[.details[] | .clause] | join(" ")')" "clauses, in the listing"
assert_eq "$(detail mute '[.parts[].name] | sort | join(" ")')" "definition definition-live memory" "parts of mute"

# for people
kvss show "$POINT" > "$SANDBOX/words"
words=$(cat "$SANDBOX/words")
for text in 'web' 'mute' 'off' '/mnt/vda' '/mnt/vdb' 'frozen' 'channel' 'Child VM Snapshot' 'Saved State' 'file-system consistent' 'integration-service'; do
    assert_match "$words" "$text" "kvss show for people"
done
assert_match "$words" "frozen $(report_vm web .frozen_ms | awk '{ if ($1 < 1000) printf "%.0f ms", $1; else printf "%.1f s", $1 / 1000 }')" "frozen time, for people"
assert_match "$words" "paused $(report_vm mute .down_ms | awk '{ printf "%.0f ms", $1 }')" "down time, for people"
kvss list points > "$SANDBOX/list"
assert_match "$(cat "$SANDBOX/list")" "${POINT:0:8}"
# by prefix and by "latest" it is the same point
for which in latest "${POINT:0:8}"; do
    kvss_json show "$which"
    assert_eq "$(report '.id // .point')" "$POINT" "point called $which"
done
