#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A VM that cannot be backed up does not have to sink every backup of all: --exclude and kvss.conf leave VMs out of --all, by name, pattern
# or UUID, and reports name them. Who names a VM means it. check warns of a pattern that matches nothing. M10, M11.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
for name in web01 web02 broken old-1 old-2; do guest_define $name agent=no tokens=off size=8M; done
rm "$IMAGES/broken-vda.qcow2"
names() { report '[.vms[].name] | join(" ")'; }
left_out() { report '[.vms_left_out[] | .name + ": " + .why] | join("; ")'; }

kvss_fails "$EXIT_REFUSED" check --all
kvss_fails "$EXIT_REFUSED" backup --all
assert_match "$OUTPUT" 'VM broken: disk vda .*does not exist' "the VM that sinks it is named"
assert_points 0

kvss_json check --all --exclude broken -x 'old-*'
assert_eq "$(names)" "web01 web02" "VMs that are looked at"
backup --all --exclude broken -x 'old-*'
assert_eq "$(names)" "web01 web02" "VMs of the backup"
assert_eq "$(left_out)" "broken: excluded by broken; old-1: excluded by old-*; old-2: excluded by old-*" "VMs that were left out"
assert_match "$(kvss show "$POINT")" 'skipped: VM old-2: excluded by old-\*' "kvss show for people"
assert_match "$(kvss check --all --exclude broken)" 'skipped: VM broken: excluded by broken' "kvss check for people"
assert_match "$(kvss backup --all --exclude broken)" 'skipped: VM broken: excluded by broken' "kvss backup for people"

# ---- what matches nothing: a warning, since one kvss.conf may serve many hosts
idle() { report '[.findings[] | select(.id == "exclude-matches-nothing") | .level + " " + (.text | split(" ")[0])] | join("; ")'; }
kvss_json check --all --exclude broken -x 'old-?' -x 'old-1' -x "$(virsh domuuid old-2)"
assert_eq "$(idle)" "" "warnings of patterns that all match, one of them what another has left out already"
kvss_json check --all --exclude broken -x 'web1*' -x 'web1*' -x 3f0c7c9e-3c61-4d1f-9f6e-0b0f2f2a7a01
assert_eq "$(idle)" "warning web1*; warning 3f0c7c9e-3c61-4d1f-9f6e-0b0f2f2a7a01" "patterns that match nothing"
printf 'exclude = old-* bro?en elsewhere[0-9]\n' > /etc/kvss/kvss.conf
kvss_json check --all --exclude nobody
assert_eq "$(idle)" "warning nobody; warning elsewhere[0-9]" "patterns of kvss.conf and of an option that match nothing"
assert_match "$(kvss check --all)" 'elsewhere\[0-9\] is excluded .*no VM on this host' "kvss check for people"
kvss_json check web01 # named
assert_eq "$(idle)" "warning elsewhere[0-9]" "with the names of VMs"
backup --all # is not kept from anything by it

printf 'exclude =  old-?\t%s\n' "$(virsh domuuid broken)" > /etc/kvss/kvss.conf
backup --all --exclude web02
assert_eq "$(names)" web01 "VMs of the backup with kvss.conf"
assert_match "$(left_out)" 'broken: excluded by [0-9a-f-]{36}; old-1: excluded by old-\?; old-2.*; web02: excluded by web02' "left out"
backup old-1 # named
assert_eq "$(names)" old-1 "a VM that is named"
assert_eq "$(left_out)" "" "VMs left out of those named"
kvss_fails "$EXIT_FAILED" backup --all -x '*'
assert_match "$OUTPUT" 'all VMs selected at .* are excluded' "all are excluded"
kvss_fails 2 backup web01 --exclude web02
assert_match "$OUTPUT" '--exclude works only with --all' "with names"
rm /etc/kvss/kvss.conf
