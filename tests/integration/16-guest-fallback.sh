#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Writers in a guest that cannot be used or that refuse: the host learns which one and why, and policy decides whether there is no backup, one
# by Saved State, or one of the file systems alone, which never claims more than it is. M2, M10, B3.
# In `make test` 80-policy and 80-crash have what is done in place of what was wanted, 16-guest-writers a writer that refuses.
# only: full
# timeout: 900
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_writers.sh
. "$(dirname "$0")/../lib/functions_writers.sh"

kvss_setup
guest_define web words=kvss.hook=yes
guest_start web
guest_wait web
poll 60 guest_agent web guest-ping
guest_install web
guest_writer web orders 3b0f1d5e-5a5c-4d0c-9a3e-2f6f7a1c9e55
guest_writer web stock 7c1d2e3f-0a1b-4c5d-8e9f-a0b1c2d3e4f5
guest_forget web

# fell_back METHOD CONSISTENCY PATTERN: what became of web in the last backup, and that the restore point says why
fell_back() {
    assert_report_vm web '[.method, .consistency] | join(" ")' "$1 $2"
    assert_match "$(report_vm web .not_quiesced)" "$3" "why it fell back"
    kvss_json show "$(report .point)"
    assert_match "$(report '.details[] | select(.vm == "web").not_quiesced')" "$3" "why, in the restore point"
    poll 60 guest_agent web guest-ping
}

# ---- a program that cannot be used is known before anything is touched
printf '#!/bin/sh\necho "no licence" >&2\nexit 1\n' | guest_put web /etc/kvss/writers.d/broken 755
broken='a writer in the guest cannot be used: .*broken.*'
for fallback in auto fail; do
    kvss_fails "$EXIT_REFUSED" check web --fallback $fallback --json
    assert_match "$(report_vm web .refused)" "$broken" "check with --fallback $fallback"
    kvss_fails "$EXIT_REFUSED" backup web --fallback $fallback
    assert_match "$OUTPUT" "$broken" "backup with --fallback $fallback"
done
for fallback in file-system saved-state crash; do
    kvss_fails "$EXIT_REFUSED" backup web --fallback $fallback --require application
    assert_match "$OUTPUT" "--require application: .*$broken" "an application consistent backup with --fallback $fallback"
done
assert_points 0
assert_eq "$(guest_events web)" "" "events of backups that were refused"

kvss_json check web --fallback file-system
assert_report_vm web '[.level, .refused] | join(" ")' 'file-system '
assert_match "$(report_vm web '.warnings | join(" ")')" "$broken" "warning of check"
kvss_json backup web --fallback file-system
fell_back child-vm-snapshot file-system "$broken"
assert_eq "$(report '.details[] | select(.vm == "web").guest | [.completed, (.writers | map(.state)[])] | unique | tostring')" '[null]' \
    "what the restore point says of the writers"
assert_eq "$(guest_events web)" "" "events without the writers"
kvss_json backup web --fallback saved-state
fell_back saved-state saved-state "$broken"
kvss show latest -v > "$SANDBOX/show" # nothing was tried before
assert_eq "$(grep -c 'was restarted' "$SANDBOX/show" || :)" 0 "what show says of a restart"
kvss_json backup web --fallback crash
fell_back crash crash "$broken"
guest_wait web
guest_sh web 'rm /etc/kvss/writers.d/broken'
note "a program that cannot be used"

# ---- a writer that refuses: all is undone, and the set begins again without the writers
guest_does web stock freeze 'echo "stock is being counted" >&2; exit 1'
kvss_fails "$EXIT_FAILED" backup web
assert_match "$OUTPUT" 'web.*stock.*stock is being counted' "the refusal"
kvss_fails "$EXIT_FAILED" backup web --fallback file-system --require application
guest_forget web
kvss_json backup web --fallback file-system
assert_eq "$(report '[.attempts[].vms[]] | join(" ")')" web "VMs that fell back"
fell_back child-vm-snapshot file-system 'stock.*stock is being counted'
assert_match "$(guest_events web orders)" '^prepare-backup prepare-snapshot (freeze )?abort .*backup-shutdown $' "events of the writer that agreed"
kvss show latest -v > "$SANDBOX/show"
assert_match "$(cat "$SANDBOX/show")" 'without the writers in the guest: .*stock is being counted' "what show says"
kvss check web --json > "$REPORT"
assert_match "$(report '.vms[].findings[] | select(.id == "last-freeze-failed").text')" 'only the file systems of the guest were frozen: .*stock' \
    "what check says of it"
guest_does web stock freeze
kvss_json backup web --fallback file-system
assert_report_vm web .consistency application # nothing is given up that need not be
note "a writer that refuses"

# ---- a guest whose agent cannot freeze has no file system to fall back to
guest_sh web 'sed -i s/agent_block=.*/agent_block=guest-fsfreeze-freeze/ /run/kvss/agent.conf; agentctl stop; sleep 0.5; agentctl start'
poll 60 guest_agent web guest-ping
kvss_fails "$EXIT_REFUSED" backup web --fallback file-system
assert_match "$OUTPUT" '--fallback file-system: the guest cannot be quiesced: .*guest-fsfreeze' "an agent that may not freeze"
