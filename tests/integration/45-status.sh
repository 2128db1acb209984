#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# One look at the state of the backups: the newest restore point of each VM, VMs without any, those of other hosts, what was never verified,
# locks, crashed sessions, missing restore points; and as a check for a monitoring system, with its exit codes. B2, B3.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
for name in web db scratch old; do define_off "$name"; done
# plugin STATUS ARGUMENT...: one line in $LINE
plugin() {
    local wanted=$1 status=0
    shift
    LINE=$(kvss status "$@" 2> "$SANDBOX/stderr") || status=$?
    assert_eq "$status" "$wanted" "status of kvss status $*: $LINE $(cat "$SANDBOX/stderr")"
    assert_eq "$(wc -l <<< "$LINE")" 1 "lines of kvss status $*: $LINE"
}
problems() { report '[.problems[] | .level + ": " + .text] | join("; ")'; }

# ---- nothing yet, then some
kvss_json status
assert_eq "$(report '[.vms[] | .name + " " + (.points | tostring)] | join(", ")')" "db 0, old 0, scratch 0, web 0" "VMs"
assert_match "$(problems)" 'warning: db has no restore point; warning: old has' "VMs without a restore point"
plugin 2 --crit 50h
plugin 1 --warn 26h
backup web db
first=$POINT
backup web old
kvss verify "$first" > /dev/null
virsh -q undefine old
printf 'exclude = scr*\n' > /etc/kvss/kvss.conf
kvss_json status
assert_eq "$(problems)" "" "problems"
assert_report_vm web .point "$POINT"
assert_report_vm web .points 2
assert_report_vm db .point "$first"
assert_report_vm db .consistency offline
assert_report_vm db .state off
assert_report_vm old .state null
assert_report_vm scratch .excluded 'scr*'
[ "$(report_vm web .age_s)" -lt 300 ] || fail "age of web: $(report_vm web .age_s)"
assert_eq "$(report '.repository.unverified | join(" ")')" "$POINT" "points that were never verified"
assert_eq "$(report '.repository.points')" 2 "restore points"
[ "$(report .repository.free)" -gt 0 ] || fail "free space"
text=$(kvss status)
assert_match "$text" "Repository $KVSS_REPOSITORY: 2 restore points, .* of .* free" "the repository for people"
assert_match "$text" 'Never verified by this host: 1 restore point' "verified"
assert_match "$text" "web  *off  *${POINT:0:12}  *[0-9]+ (seconds?|minutes?) old  *offline  *2" "a VM for people"
assert_match "$text" 'scratch  *off  *-  *-  *-  *0  *excluded by scr\*' "an excluded VM for people"
assert_match "$text" 'old  *not here' "a VM that is not here, for people"
kvss verify > /dev/null
kvss_json status 'w*'
assert_eq "$(report '[.vms[].name] | join(" ")')" web "VMs of a pattern"
assert_eq "$(report '.repository.unverified | length')" 0 "points that were never verified, after kvss verify"
kvss_fails "$EXIT_FAILED" status nobody
note "what is shown"

# ---- as a check
plugin 0 --warn 26h --crit 50h
assert_match "$LINE" '^KVSS OK - 2 VMs, all backed up within the last hour \| vms=2 without=0 oldest=[0-9]+s points=2 free=[0-9]+B$' "the line"
sleep 2
plugin 1 --warn 1s --crit 50h
assert_match "$LINE" '^KVSS WARNING - db was last backed up 0 minutes ago; web was last backed up 0 minutes ago; 2 VMs' "the line"
plugin 2 --warn 1s --crit 2s
assert_match "$LINE" '^KVSS CRITICAL - ' "the line"
plugin 0 web --crit 1h
define_off new
plugin 1 --warn 26h
assert_match "$LINE" 'new has no restore point' "a VM without"
plugin 2 --crit 26h
virsh -q undefine new
kvss status --warn 26h --json > "$REPORT" || fail "status --json"
assert_eq "$(report '.problems | length')" 0 "--json as a check"
for wrong in '--warn soon' '--warn 0' '--warn 50h --crit 26h'; do
    status=0
    # shellcheck disable=SC2086 # words
    kvss status $wrong > /dev/null 2> "$SANDBOX/stderr" || status=$?
    assert_eq "$status" 3 "status of kvss status $wrong"
done
KVSS_REPOSITORY=$SANDBOX/nowhere plugin 3 --warn 26h
assert_match "$LINE" '^KVSS UNKNOWN - .*nowhere' "the line without a repository"
KVSS_PASSWORD_FILE=/dev/null plugin 3 --warn 26h
note "as a check"

# ---- what needs attention: a restore point that is missing, a session that crashed, no libvirt
mv "$KVSS_REPOSITORY/points/$first" "$SANDBOX/" 2> /dev/null || mv "$(find "$KVSS_REPOSITORY/points" -name "$first*" | head -n 1)" "$SANDBOX/"
kvss_json status
assert_match "$(problems)" 'critical: restore points missing from the repository: 1' "a restore point is missing"
plugin 2 --warn 26h
mv "$SANDBOX/$first"* "$KVSS_REPOSITORY/points/"
kvss_json status
assert_eq "$(problems)" "" "problems, once it is back"
KVSS_CONNECT='qemu+unix:///system?socket=/nowhere' kvss_json status
assert_match "$(problems)" 'warning: the VMs of this host are not known' "libvirt is not there"
assert_report_vm old .points 1
note "what needs attention"
