#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# VMs one by one, or some at a time (--each): each has a restore point of its own, one that fails keeps no other from its, and the exit code
# says that some failed. All VMs without it are one set, which the report says first; so are those of [set NAME], all or nothing. Labels of
# restore points: shown, and looked for. B1, M10.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

EXIT_SOME=6
kvss_setup
for name in app1 app2 db1 db2; do define_off "$name"; done
names() { report '[.vms[].name] | join(" ")'; }
results() { report '[.vms[] | .name + " " + .result] | join(", ")'; }
ends() { # STATUS ARGUMENT...
    local wanted=$1 status=0
    shift
    kvss "$@" > "$REPORT" 2> "$SANDBOX/stderr" || status=$?
    assert_eq "$status" "$wanted" "status of $*: $(cat "$SANDBOX/stderr")"
}

# ---- one by one
virsh -q start db1 # memory without a guest: it is saved, and resumes
ends 0 backup --all --each --json --label nightly
assert_eq "$(results)" "app1 done, app2 done, db1 done, db2 done" "one by one"
assert_eq "$(report '[.vms[].report.point] | unique | length')" 4 "restore points"
assert_eq "$(report '[.vms[].report.vms | length] | unique | join(" ")')" 1 "VMs in each"
assert_points 4
assert_state db1 running
[ "$(virsh dominfo db1 | grep -c 'Managed save: *yes')" = 0 ] || fail "db1 is still saved"
virsh -q destroy db1
rm "$IMAGES/app2-vda.qcow2"
ends $EXIT_SOME backup 'app*' db2 --each=3 --json
assert_eq "$(results)" "db2 done, app1 done, app2 refused" "one that fails"
assert_match "$(report '.vms[2].error.text')" 'VM app2: disk vda cannot be read' "why"
assert_eq "$(report '[.done, .failed] | join(" ")')" "2 1" "how many"
assert_match "$(cat "$SANDBOX/stderr")" 'warning: VM app2: disk vda cannot be read' "what is said meanwhile"
assert_eq "$(grep -c warning: "$SANDBOX/stderr")" 1 "warnings: $(cat "$SANDBOX/stderr")"
kvss_json fsck # all of them signed for by one host, one after the other
assert_eq "$(report '[.count, (.missing | length), (.unsigned | length), (.catalogue.cut | length)] | join(" ")')" "0 0 0 0" "findings"
ends $EXIT_SOME backup 'app*' --each
assert_match "$(head -n 1 "$REPORT")" '^2 VMs, each with a restore point of its own$' "the first line for people"
assert_match "$(cat "$REPORT")" 'app1  *done  *[0-9a-f]{12}  *offline' "the table for people"
assert_match "$(cat "$REPORT")" 'app2  *refused  *-' "the table for people"
assert_match "$(cat "$REPORT")" 'app2: refused: .*VM app2: disk vda cannot be read' "the reason for people"
assert_match "$(tail -n 1 "$REPORT")" '^1 backed up, 1 not, in ' "the last line for people"
ends "$EXIT_REFUSED" backup app2 --each --json # nothing else than refused
ends "$EXIT_FAILED" backup nobody --each
ends "$EXIT_USAGE" backup --all --each=0
KVSS_PASSWORD_FILE=/dev/null ends "$EXIT_FAILED" backup --all --each # for all, and once
assert_eq "$(wc -l < "$SANDBOX/stderr")" 1 "lines about a passphrase that is missing: $(cat "$SANDBOX/stderr")"
assert_points 7
note "one by one, and some at a time"

# ---- the same as one set
kvss_fails "$EXIT_REFUSED" backup --all
assert_points 7
text=$(kvss backup --all --exclude app2)
assert_match "$(head -n 1 <<< "$text")" 'All VMs as one set, at the same instant' "the first line"
text=$(kvss backup app1 db1)
! grep -q 'as one set' <<< "$text" || fail "named VMs: $text"

# ---- sets of kvss.conf
cat > /etc/kvss/kvss.conf <<END
on-failure = skip
[set shop]
vms = app1 d*
exclude = db2
[set tagged]
tags = money
[set broken]
vms = app1 app2
[set empty]
END
kvss_json backup --set shop
assert_eq "$(names)" "app1 db1" "VMs of the set"
assert_eq "$(report .selection.set)" shop "the set in the report"
assert_match "$(kvss backup --set shop | head -n 1)" '^Set shop: its VMs as one set' "the first line"
kvss tag db2 add money > /dev/null
kvss_json check --set tagged
assert_eq "$(names)" db2 "VMs of a set of tags"
before=$(point_count)
kvss_fails "$EXIT_REFUSED" backup --set broken # although on-failure is skip
assert_points "$before"
for wrong in '--set nothing' '--set empty' '--set shop app1' '--set shop --all' '--set shop --each' '--set shop --on-failure skip' \
    '--set shop --exclude app1'; do
    # shellcheck disable=SC2086 # words
    kvss_fails "$EXIT_USAGE" backup $wrong
done
printf '[set x]\nmethod = crash\n' > /etc/kvss/kvss.conf
kvss_fails "$EXIT_USAGE" backup --set x
assert_match "$OUTPUT" "unknown setting 'method' in \[set x\]" "a setting that a set has not"
rm /etc/kvss/kvss.conf
note "sets"

# ---- labels
kvss_json list points --label 'night*'
assert_eq "$(report '[.points[] | .label + " " + .vms[0].name] | join(", ")')" "nightly app1, nightly app2, nightly db1, nightly db2" "points with a label"
assert_match "$(kvss list points | head -n 1)" ' LABEL$' "the table has a column for labels"
kvss_json list points db1 --label other
assert_eq "$(report '.points | length')" 0 "points with a label that none has"
backup db1 --label 'before the upgrade'
assert_match "$(kvss show "$POINT")" '^Label: before the upgrade' "kvss show"
backup db1 --label nightly
kvss_json forget --keep-last 1 --label nightly --dry-run
assert_eq "$(report '[.removed[] | .vms[0]] | join(" ")')" db1 "what is removed: of db1 the older nightly one, and nothing that has another label"
assert_match "$(report '[.kept[].why] | unique | join(", ")')" 'does not have the label, last' "why the others are kept"
kvss_fails "$EXIT_FAILED" backup db1 --label "$(printf 'a\nb')"
kvss_fails "$EXIT_USAGE" backup db1 --label ''
kvss_fails "$EXIT_USAGE" list vms --label x
kvss_fails "$EXIT_USAGE" forget latest --label x
note "labels"
