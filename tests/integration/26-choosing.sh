#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Which VMs are meant: by patterns, of which a VM that is really called so comes first; by tags, which kvss and virsh both set, on VMs that
# run too; by state. What is left out by that is said, what nobody has is an error. B1, M10.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
for name in web1 web2 web3 'web*' db1; do define_off "$name"; done
names() { report '[.vms[].name] | join(" ")'; }
left_out() { report '[.vms_left_out[] | .name + ": " + .why] | join("; ")'; }

# ---- patterns
backup 'web[12]' db1
assert_eq "$(names)" "db1 web1 web2" "VMs of a pattern and a name"
backup 'web*'
assert_eq "$(names)" 'web*' "a VM that is called as the pattern"
virsh -q undefine 'web*'
backup 'web*'
assert_eq "$(names)" "web1 web2 web3" "VMs of the pattern, once no VM is called so"
backup 'web*' --exclude 'web[12]'
assert_eq "$(names)" web3 "VMs of the pattern without those that are excluded"
assert_eq "$(left_out)" "web1: excluded by web[12]; web2: excluded by web[12]" "who is left out"
backup 'web*' web2 --exclude 'web[12]'
assert_eq "$(names)" "web2 web3" "one that is named too, and excluded"
kvss_fails "$EXIT_FAILED" backup web1 'mail*'
assert_match "$OUTPUT" "no VM at .* matches 'mail\*'" "a pattern without a VM"
kvss_fails "$EXIT_FAILED" backup 'web*' --exclude '*'
assert_match "$OUTPUT" 'all VMs selected at .* are excluded' "all of a pattern are excluded"
kvss_json check 'web?'
assert_eq "$(names)" "web1 web2 web3" "VMs of check"
note "patterns"

# ---- tags, of kvss and of virsh, of VMs that run
kvss tag 'web*' add web tier:front > "$REPORT"
assert_match "$(cat "$REPORT")" '^web1: tier:front web' "what tag add prints"
kvss tag web3 remove tier:front > /dev/null
virsh -q metadata db1 --uri urn:kvss:tags --key kvss --set '<tags><tag>production</tag> <tag>nightly</tag></tags>' --config
assert_match "$(virsh metadata web1 --uri urn:kvss:tags)" '<tag>web</tag>' "what virsh shows"
kvss_json tag db1 list
assert_eq "$(report '.vms[0].tags | join(" ")')" "nightly production" "tags of virsh"
virsh -q start web2
kvss tag web2 add running > /dev/null
assert_match "$(virsh metadata web2 --uri urn:kvss:tags --config)" running "the tag in the definition for the next start"
virsh -q destroy web2
assert_match "$(kvss list vms)" 'web2 .*running, tier:front, web' "kvss list vms"
backup --tag web
assert_eq "$(names)" "web1 web2 web3" "VMs of a tag"
backup --tag tier:front --tag nightly --exclude web1
assert_eq "$(names)" "web2 db1" "VMs of two tags, without one that is excluded"
backup web3 --tag nightly
assert_eq "$(names)" "web3 db1" "a name and a tag"
kvss_fails "$EXIT_FAILED" backup --tag frontend
assert_match "$OUTPUT" "no VM at .* has the tag 'frontend'" "a tag that none has"
kvss_fails "$EXIT_FAILED" tag web1 remove frontend
assert_match "$OUTPUT" "web1 does not have the tag 'frontend'" "removing what is not there"
kvss_fails "$EXIT_FAILED" tag web1 add 'a b'
kvss_fails "$EXIT_FAILED" tag web1 add '<tag/>'
kvss tag web1 remove web tier:front > /dev/null
! virsh metadata web1 --uri urn:kvss:tags > /dev/null 2>&1 || fail "web1 has tags: $(virsh metadata web1 --uri urn:kvss:tags)"
virsh -q metadata web3 --uri urn:kvss:tags --key kvss --set '<tags><tag>a b</tag><tag></tag><other>web</other><tag> x </tag></tags>' --config
kvss_json tag web3 list
assert_eq "$(report '.vms[0].tags | join(" ")')" x "tags of what somebody else wrote"
kvss_fails "$EXIT_USAGE" tag web1 drop web
kvss_fails "$EXIT_USAGE" tag web1 add
kvss_fails "$EXIT_USAGE" backup --all --tag web
note "tags"

# ---- states
virsh -q start web1
virsh -q start db1
virsh -q suspend db1
kvss_json check --all --state running
assert_eq "$(names)" web1 "VMs that run"
assert_match "$(left_out)" 'db1: its state is paused, not running as requested; web2: its state is off' "who is left out"
kvss_json check --all --state running --state paused
assert_eq "$(names)" "db1 web1" "VMs that run or are paused"
virsh -q resume db1
backup 'web*' --state off
assert_eq "$(names)" "web2 web3" "VMs of a pattern that are off"
assert_match "$(kvss show "$POINT")" 'skipped: VM web1: its state is running, not off as requested' "kvss show"
kvss_fails "$EXIT_FAILED" backup --all --state saved
assert_match "$OUTPUT" 'all VMs selected at .* in another state' "no VM is saved"
kvss_fails "$EXIT_USAGE" backup web1 --state off
kvss_fails "$EXIT_USAGE" backup --all --state sleeping
note "states"
