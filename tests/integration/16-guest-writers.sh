#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Writers inside a guest take part in its backup: their events come in VSS's order and lie inside the host's PrepareForSnapshot, what they say
# is in the restore point, which is called application consistent for that; one that refuses is named and there is no backup; with the host
# killed the guest thaws itself. Without kvss-guest, a hook or guest-exec it is less, and said so. With KVSS_TEST_FULL=1 also two
# VMs at once, and a veto in every event, else in some. M2, M7, M9, M12, B2, B3.
# timeout: 1800
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_fault.sh
. "$(dirname "$0")/../lib/functions_fault.sh"
# shellcheck source=tests/lib/functions_writers.sh
. "$(dirname "$0")/../lib/functions_writers.sh"

SESSION_EVENTS='prepare-backup prepare-snapshot freeze thaw post-snapshot backup-complete backup-shutdown '
ALL=$SESSION_EVENTS'committed ' # which is after the host's commit
kvss_setup
guest_define web words=kvss.hook=yes extra='<channel type="unix"><target type="virtio" name="org.kvss.guest.0"/></channel>'
guest_start web
guest_wait web
poll 60 guest_agent web guest-ping

# ---- a guest without kvss-guest: as ever
kvss_json check web
assert_report_vm web '[.level, .guest] | join(" ")' 'file-system '
kvss_fails "$EXIT_REFUSED" backup web --require application
assert_match "$OUTPUT" 'kvss-guest is not installed in the guest' "reason"
kvss check web --freeze-limit 11 > /dev/null # without kvss-guest the host alone decides
guest_install web
kvss_json check web
assert_report_vm web '[.level, (.guest.writers | length)] | join(" ")' 'file-system 0'
kvss_fails "$EXIT_REFUSED" backup web --require application
assert_match "$OUTPUT" 'kvss-guest has no writer in the guest' "reason"

# ---- with two writers
guest_writer web orders 3b0f1d5e-5a5c-4d0c-9a3e-2f6f7a1c9e55
guest_writer web stock 7c1d2e3f-0a1b-4c5d-8e9f-a0b1c2d3e4f5
kvss_json check web
assert_report_vm web '[.level, (.guest.writers | map(.name) | join("+"))] | join(" ")' 'application orders+stock'
kvss check web > "$SANDBOX/check.txt"
grep -q 'guest writer orders' "$SANDBOX/check.txt" || fail "check does not list the writers: $(cat "$SANDBOX/check.txt")"

# ---- a freeze limit that is longer than the guest's is refused before anything is touched, from wherever it comes
too_long='the freeze limit is 11 s, but kvss-guest in the guest thaws it after 10 s at most: set .*freeze-limit to 10 or less'
guest_forget web
kvss_fails "$EXIT_REFUSED" check web --freeze-limit 11 --json
assert_match "$(report_vm web .refused)" "$too_long" "check with a limit that is too long"
kvss_fails "$EXIT_REFUSED" backup web --freeze-limit 11
assert_match "$OUTPUT" "$too_long" "backup with a limit that is too long"
assert_eq "$(guest_events web)" "" "events of a backup that was refused"
mkdir -p /etc/kvss
echo 'freeze-limit = 11' > /etc/kvss/kvss.conf
kvss_fails "$EXIT_REFUSED" check web
assert_match "$(cat "$REPORT")" "$too_long" "check with a configured limit that is too long"
kvss check web --freeze-limit 10 > /dev/null
kvss check web --method saved-state > /dev/null # nothing is frozen in the guest
rm /etc/kvss/kvss.conf

# A writer on the host counts the events in the guest before and after the host's PrepareForSnapshot.
port=$(guest_port web shell)
cat > "$SANDBOX/witness" <<END
#!/bin/bash
cat > /dev/null
[ "\$1" != identify ] || {
    echo '{"api": 1, "name": "witness", "id": "11d5ba0e-97aa-4b2c-8c3d-1f6b6b1e2a10",
        "components": [{"name": "w", "files": [{"path": "$SANDBOX", "filespec": "nothing*"}]}]}'
    exit
}
case \$1 in
prepare-backup | freeze) echo "\$1 \$($(guestctl_path) -t 20 sh "$port" 'wc -l < $EVENTS')" >> "$SANDBOX/witnessed" ;;
esac
END
install -D -m 755 "$SANDBOX/witness" "$WRITERS/witness"
guest_forget web
ms_before=$(guest_sh web 'cut -d" " -f1 /proc/uptime')
backup web --require application
rm "$WRITERS/witness"
assert_report_vm web .consistency application
assert_eq "$(guest_events web orders)" "$ALL" "events of the guest's writer orders"
assert_eq "$(guest_events web stock)" "$ALL" "events of the guest's writer stock"
assert_eq "$(cat "$SANDBOX/witnessed")" "$(printf 'prepare-backup 0\nfreeze 14')" "events in the guest around the host's PrepareForSnapshot"
# The agent's hook: frozen between the writers' freeze and thaw
guest_sh web "cat $EVENTS /run/kvss/hook.log" > "$SANDBOX/all.log"
echo "events since $ms_before: $(tr '\n' ';' < "$SANDBOX/all.log")"

# ---- what the restore point holds
kvss_json show "$POINT"
guest='.details[] | select(.vm == "web") | .guest'
assert_eq "$(report "$guest | [.completed, .broken, .by_hook, .hook] | join(\" \")")" "true false true true" "the guest's session"
assert_eq "$(report "$guest | .writers | map(.name + \" \" + .state + \" \" + (.held | tostring)) | join(\", \")")" \
    "orders VSS_WS_STABLE true, stock VSS_WS_STABLE true" "states of the guest's writers"
assert_match "$(report "$guest | .writers[0].components[0] | .name + \" \" + .invariant")" '^orders-data position [78]$' "invariant"
assert_eq "$(report "$guest | .events | map(select(.writer == \"orders\").event) | join(\" \")")" \
    "Identify PrepareForBackup PrepareForSnapshot Freeze Thaw PostSnapshot BackupComplete BackupShutdown" "events in the restore point"
note "held $(report "$guest | .hold_ms") ms, prepared in $(report "$guest | .prepare_ms") ms"
kvss show "$POINT" > "$SANDBOX/show.txt"
grep -q 'guest writer orders' "$SANDBOX/show.txt" || fail "show does not name the writers: $(cat "$SANDBOX/show.txt")"
kvss verify "$POINT" > /dev/null
kvss restore "$POINT" web --name copy --dry-run > /dev/null # M12: no guest writer is asked
assert_points 1

# ---- two VMs: one prepares slowly, and the other does not wait frozen for it; a veto in one is one for both
two_vms() {
    guest_define db words=kvss.hook=yes
    guest_start db
    guest_wait db
    poll 60 guest_agent db guest-ping
    guest_install db
    guest_writer db ledger 5e0a1b2c-3d4e-4f5a-8b6c-7d8e9f0a1b2c
    guest_forget web
    guest_does db ledger prepare-snapshot 'sleep 6'
    backup web db --require application
    for vm in web db; do assert_report_vm $vm .consistency application; done
    kvss_json show "$POINT"
    waited=$(report '.details[] | select(.vm == "web") | .guest.events | map(select(.writer == "orders")) | [.[] | select(.event == "Freeze").ms][0] -
        [.[] | select(.event == "PrepareForSnapshot").ms][0] | floor')
    assert_ge "$waited" 2000 "milliseconds for which web waited for db, prepared and not frozen"
    note "two VMs: $(report '[.details[] | "\(.vm) prepared in \(.guest.prepare_ms | floor) ms, held \(.guest.hold_ms | floor) ms"] | join("; ")')"
    for event in prepare-snapshot freeze backup-complete; do
        guest_forget web
        guest_forget db
        guest_does db ledger "$event" 'echo "the ledger is open" >&2; exit 1'
        kvss_fails "$EXIT_FAILED" backup web db --retries 0
        assert_match "$OUTPUT" 'db.*ledger.*the ledger is open' "a veto in $event of one of two VMs"
        ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
        for vm in web db; do
            assert_counts $vm
            assert_match "$(guest_agent $vm guest-fsfreeze-status)" thawed "$vm"
            assert_eq "$(guest_sh $vm 'kvss-guest status' | jq -r .phase)" null "session in $vm"
        done
        # which had prepared, was let go; where it had been through with all, BackupShutdown has told it so
        assert_match "$(guest_events web orders)" 'backup-shutdown $' "events in the other VM"
        guest_does db ledger "$event"
    done
    kvss forget --yes "$POINT" > /dev/null 2>&1 || kvss forget "$POINT" > /dev/null
    guest_stop db
    guest_forget web
    assert_points 1
}
[ -z "${KVSS_TEST_FULL:-}" ] || two_vms

# ---- vetoes
refused() { # WHAT PATTERN
    kvss_fails "$EXIT_FAILED" backup web --retries 0
    assert_match "$OUTPUT" "web.*$2" "$1"
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
    assert_points 1
    assert_counts web
    assert_match "$(guest_agent web guest-fsfreeze-status)" thawed "$1"
    assert_match "$(guest_events web orders)" 'abort .*backup-shutdown $' "$1: events of the writer that agreed"
    assert_eq "$(guest_sh web 'kvss-guest status' | jq -r .phase)" null "$1: session in the guest"
    guest_forget web
}
guest_forget web
vetoed="thaw backup-complete"
[ -z "${KVSS_TEST_FULL:-}" ] || vetoed="prepare-snapshot freeze thaw post-snapshot backup-complete"
for event in $vetoed; do
    guest_does web stock "$event" "echo 'stock is being counted' >&2; exit 1"
    refused "a veto in $event" 'stock.*stock is being counted'
    guest_does web stock "$event"
    note "veto in $event: refused"
done
# a hook that hides failures, as distributions ship it
guest_sh web 'mv /etc/qemu/fsfreeze-hook /etc/qemu/honest; printf "#!/bin/sh\n/etc/qemu/honest \$1\nexit 0\n" > /etc/qemu/fsfreeze-hook
    chmod 755 /etc/qemu/fsfreeze-hook'
guest_does web stock freeze "echo 'stock is being counted' >&2; exit 1"
refused "a veto that the hook hides" 'stock.*stock is being counted'
guest_does web stock freeze
guest_sh web 'mv /etc/qemu/honest /etc/qemu/fsfreeze-hook'
# one that never answers does not keep anybody waiting for longer than it may
guest_does web stock freeze 'sleep 1000'
kvss_fails "$EXIT_FAILED" backup web --retries 0 --freeze-limit 3
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
assert_counts web
guest_does web stock freeze
guest_forget web
note "a writer that hangs: refused"
# with a fallback it is saved instead
guest_does web stock freeze 'echo "stock is being counted" >&2; exit 1'
kvss_json backup web --fallback saved-state
assert_report_vm web '[.method, .consistency] | join(" ")' 'saved-state saved-state'
guest_does web stock freeze
kvss forget --yes "$(report .point)" > /dev/null 2>&1 || kvss forget "$(report .point)" > /dev/null
guest_wait web

# ---- an agent without a hook: the host asks, and it is the same but for that
guest_sh web 'sed -i s/agent_hook=yes/agent_hook=no/ /run/kvss/agent.conf; agentctl stop; sleep 0.5; agentctl start'
poll 60 guest_agent web guest-ping
guest_forget web
backup web --require application
kvss_json show "$POINT"
assert_eq "$(report "$guest | [.completed, .broken, .by_hook, .hook] | join(\" \")")" "true false false false" "the session without a hook"
assert_eq "$(guest_events web orders)" "$ALL" "events without a hook"
note "without a hook: application consistent"

# ---- the host is killed while the guest is frozen: it thaws itself, and the next backup works
guest_sh web 'sed -i s/agent_hook=no/agent_hook=yes/ /run/kvss/agent.conf; agentctl stop; sleep 0.5; agentctl start'
poll 60 guest_agent web guest-ping
guest_forget web
fault_backup killall:backup-job:done web
wait "$FAULT_PID" || :
assert_match "$(guest_events web orders)" 'freeze $' "the writers are held when the host dies"
start=$SECONDS
writes() { guest_sh web 'echo x > /mnt/vda/after && sync'; }
poll 15 writes
assert_le $((SECONDS - start)) 12 "seconds until the guest had thawed itself"
poll 20 eval '[[ "$(guest_events web orders)" == *"abort "* ]]'
note "the guest thawed itself $((SECONDS - start)) s after the host was killed"
kvss recover > "$SANDBOX/recover" 2>&1 || fail "recover: $(cat "$SANDBOX/recover")"
poll 30 guest_agent web guest-ping
backup web --require application
assert_report_vm web .consistency application

# ---- an agent that may not start programs
guest_sh web 'sed -i s/agent_block=.*/agent_block=guest-exec/ /run/kvss/agent.conf; agentctl stop; sleep 0.5; agentctl start'
poll 60 guest_agent web guest-ping
guest_forget web
kvss_fails "$EXIT_REFUSED" backup web --require application
assert_match "$OUTPUT" 'does not allow guest-exec' "reason"
backup web
assert_report_vm web .consistency file-system
assert_eq "$(guest_events web)" "" "events in a guest that cannot be asked"
note "without guest-exec: file-system consistent"

# ---- but may be asked over a channel of our own
listening() { virsh dumpxml web | grep -A3 "org.kvss.guest.0" | grep -q "state='connected'"; }
guest_sh web 'setsid kvss-guest listen < /dev/null > /run/listen.log 2>&1 &'
poll 20 listening
kvss_json check web
assert_report_vm web '[.level, (.guest.writers | map(.name) | join("+"))] | join(" ")' 'application orders+stock'
backup web --require application
assert_eq "$(guest_events web orders)" "$ALL" "events over the channel"
kvss_json show "$POINT"
assert_eq "$(report "$guest | [.completed, .broken, .by_hook, .hook] | join(\" \")")" "true false true true" "the session over the channel"
guest_forget web
guest_does web stock freeze 'echo "stock is being counted" >&2; exit 1'
kvss_fails "$EXIT_FAILED" backup web --retries 0
assert_match "$OUTPUT" 'web.*stock.*stock is being counted' "a veto over the channel"
guest_does web stock freeze
# what an earlier host has left half said, and nonsense, is passed over
"$(_guestctl_path)" -t 2 sh "$(guest_port web guest.0)" 'nonsense' > /dev/null 2>&1 || :
backup web --require application
