#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The writers of a Windows guest, whose agent freezes by a VSS backup in the guest and tells nobody what the writers made of it: the guest's
# vssadmin is asked before the backup and after the thaw. Only if every writer has come through is the restore point application-consistent
# (B3); a freeze of more than 10 s is not consistent at all. M2, M4a. The answers are scripted (tests/golden/vssadmin): no Windows runs here.
# With KVSS_TEST_FULL=1 also more of what writers answer, and two VMs.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_conditions.sh
. "$(dirname "$0")/../lib/functions_conditions.sh"
# shellcheck source=tests/lib/functions_agent.sh
. "$(dirname "$0")/../lib/functions_agent.sh"

GOLDEN=$TESTS/golden
kvss_setup
guest_define win tokens=off
guest_define other tokens=off
guest_start win
guest_wait win
lifecycle_start
disk=$(guest_agent win guest-get-fsinfo | jq -c '[.return[] | select(.mountpoint == "/mnt/vda")][0].disk')
fake_start win
fake_answer win guest-get-osinfo < "$GOLDEN/agent/server-2022.osinfo.json"
jq --argjson disk "$disk" '(.return[] | select(.disk == "DISK") | .disk) = $disk' "$GOLDEN/agent/server-2022.fsinfo.json" |
    fake_answer win guest-get-fsinfo

# writers BEFORE [AFTER]: what vssadmin lists, before the backup and once the guest was frozen
writers() {
    fake_no_exec win
    fake_exec win vssadmin.exe 0 < "$GOLDEN/vssadmin/$1.txt"
    [ $# -lt 2 ] || fake_exec win vssadmin.exe.after 0 < "$GOLDEN/vssadmin/$2.txt"
}
thawed() { ! guest_sh win 'cat /run/fake/frozen > /dev/null 2>&1'; }

# ---- the agent may start nothing, or not vssadmin: nothing is claimed
kvss_json check win
assert_report_vm win .level file-system
assert_refuses win 'not known whether its writers succeeded \(the guest agent could not start vssadmin.exe' --require application
kvss_json guest status win
assert_eq "$(report '.vms[0] | [.installed, .guest] | tojson')" '[false,null]' "status where nothing can be asked"

# ---- all come through
writers server-2022 server-2022
fake_exec win reg.exe 0 < "$GOLDEN/vssadmin/copy.reg.txt"
kvss_json check win
assert_report_vm win .level application
assert_report_vm win '.guest | [.version, .backup_type, (.writers | length)] | join(" ")' "vssadmin copy 7"
kvss check win > "$SANDBOX/text"
assert_match "$(cat "$SANDBOX/text")" 'guest writer SqlServerWriter: \[1\] Stable' "check in words"
kvss guest status win > "$SANDBOX/text"
assert_match "$(tr '\n' ' ' < "$SANDBOX/text")" 'win: a Windows guest, .*VSS backup type set in the guest: copy.*SqlServerWriter' "status in words"
backup win --require application
assert_report_vm win .consistency application
kvss_json show "$POINT"
assert_eq "$(report '.details[0].guest | [.completed, .backup_type, ([.writers[] | select(.error)] | length)] | join(" ")')" \
    "true copy 0" "what the restore point says of them"
writers german german
fake_exec win reg.exe 1 < /dev/null
backup win
assert_report_vm win .consistency application
kvss_json show "$POINT"
assert_eq "$(report '.details[0].guest.backup_type')" full "without VssOption"

# ---- one fails, says nothing useful, or is gone: where more is required nothing is stored, else less is claimed
writers server-2022 sql-failed
points=$(point_count)
kvss_fails "$EXIT_FAILED" backup win --require application
assert_match "$OUTPUT" 'win.*SqlServerWriter: \[8\] Failed: Retryable error' "why a backup that requires more fails"
assert_points "$points"
poll 20 thawed
less() { # TEXT
    backup win
    assert_report_vm win .consistency file-system
    assert_match "$(report_vm win '.warnings | join("; ")')" "only file-system consistent.*$1"
    kvss_json show "$POINT"
    assert_eq "$(report '.details[0] | [.consistency, .guest.completed] | join(" ")')" "file-system false" "the restore point of: $1"
    note "$(report '.details[0].warnings | join("; ")')"
}
writers server-2022 sql-failed
less 'SqlServerWriter: \[8\] Failed: Retryable error'
if [ -n "${KVSS_TEST_FULL:-}" ]; then
    writers server-2022 sql-timed-out
    less 'SqlServerWriter: \[1\] Stable: Timed out'
    writers server-2022 german
    less 'ended, or was restarted'
fi
sed '/SqlServerWriter/,/Last error/ s/9a2c071c/aa2c071c/' "$GOLDEN/vssadmin/server-2022.txt" > "$SANDBOX/restarted"
writers server-2022
fake_exec win vssadmin.exe.after 0 < "$SANDBOX/restarted"
less 'SqlServerWriter: it ended, or was restarted'
writers server-2022
fake_exec win vssadmin.exe.after 2 <<< "Error: You don't have the correct permissions to run this command."
less 'exit code 2'

# ---- one that has failed before may do better now
writers sql-failed server-2022
kvss_json check win
assert_match "$(report_vm win '.warnings | join("; ")')" 'failed in an earlier backup: SqlServerWriter: \[8\] Failed'
backup win --require application
assert_report_vm win .consistency application

# ---- a language that is not known
writers french french
assert_refuses win 'Aucune erreur.*does not know this language' --require application
backup win
assert_match "$(report_vm win '.warnings | join("; ")')" 'cannot be queried.*Aucune erreur'
assert_report_vm win .consistency file-system

# ---- the guest did not stay frozen: it says so, or has stood still for longer than VSS holds
overruns() { # TEXT VM...
    local points text=$1
    shift
    points=$(point_count)
    kvss_fails "$EXIT_FAILED" backup "$@"
    assert_match "$OUTPUT" "win.*$text" "why it fails"
    assert_points "$points"
    poll 30 thawed
}
writers server-2022 server-2022
fake_mode win idle
overruns 'the guest agent froze no volume' win
fake_mode win overrun
overruns 'did not stay frozen.*limited up to 10 seconds' win
fake_mode win overrun
kvss_json backup win --fallback saved-state
assert_report_vm win .method saved-state
[ -n "${KVSS_TEST_FULL:-}" ] || exit 0
guest_start other
guest_wait other
fake_start other
fake_mode other slow
overruns 'had thawed before the point in time was complete' --agent-timeout 20 win other
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
