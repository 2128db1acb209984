#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A damaged repository: verify names the point and the VM and ends with a status of its own; a restore refuses before any VM is
# touched (one is never worse off); other points stay good. B4 (verified on every read), M10.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
fill() { # VM: fresh content in its image
    head -c 24M /dev/urandom > "$SANDBOX/content"
    qemu-img convert -f raw -O qcow2 "$SANDBOX/content" "$IMAGES/$1-vda.qcow2"
}
fill one
fill two
guest_define one tokens=off agent=no
guest_define two tokens=off agent=no
guest_define runs tokens=off agent=no
backup two
# shellcheck disable=SC2153 # backup sets it
good=$POINT
find "$KVSS_REPOSITORY" -type f | sort > "$SANDBOX/files.before"
fill one
guest_start runs
guest_wait runs
backup one runs
bad=$POINT
boot=$(guest_bootid runs)
kvss verify "$good"
kvss verify
kvss_json verify "$bad"
assert_eq "$(report .count)" 0 "problems of a sound point"
note "two sound points"

# the largest new file holds the data of `bad`: one bit of it flips
file=$(find "$KVSS_REPOSITORY" -type f | sort | comm -13 "$SANDBOX/files.before" - | xargs -d '\n' stat -c '%s %n' | sort -n | tail -n 1 | cut -d ' ' -f 2-)
size=$(stat -c %s "$file")
assert_gt "$size" 1000 "size of $file"
flip() { # OFFSET
    local byte
    byte=$(od -An -tu1 -j "$1" -N 1 "$file")
    printf '%b' "\\x$(printf %x $((byte ^ 1)))" | dd of="$file" bs=1 seek="$1" conv=notrunc status=none
}
chmod u+w "$file"
flip $((size / 2))
kvss_fails "$EXIT_DAMAGED" verify "$bad" --json
assert_ge "$(report .count)" 1 "problems found"
assert_match "$(report '.problems | tostring')" "${bad:0:8}"
assert_eq "$(report '.damaged[].id')" "$bad" "the damaged point"
assert_eq "$(report '.damaged[].vms | map(.name) | sort | join(" ")')" "one runs" "VMs of the damaged point"
assert_ge "$(report '[.damaged[].vms[].damaged[]] | length')" 1 "what is damaged"
kvss_fails "$EXIT_DAMAGED" verify
OUTPUT+=$(cat "$REPORT")
assert_match "$OUTPUT" "DAMAGED: restore point ${bad:0:12} as of .*: (one|runs) \\((disk|part)/" "what of the point is damaged"
assert_match "$OUTPUT" '1 other restore point is intact' "what is still good"
assert_match "$OUTPUT" "${bad:0:8}" "the point is named"
assert_match "$OUTPUT" '(one|runs)' "the VM is named"
kvss verify "$good"
note "damage is found: $(head -n 1 <<< "$OUTPUT")"

# never worse off: the restore fails and the VMs are what they were
facts_before one two runs
kvss_fails "$EXIT_DAMAGED" restore --yes "$bad"
assert_match "$OUTPUT" 'damaged|corrupt' "message of the restore"
assert_facts_same
assert_eq "$(guest_bootid runs)" "$boot" "boot id of runs"
assert_counts runs
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
find "$IMAGES" -name '*kvss*' | grep . && fail "staged files are left"

# the same with the file gone altogether
mv "$file" "$SANDBOX/lost"
kvss_fails "$EXIT_DAMAGED" verify "$bad"
kvss_fails "$EXIT_DAMAGED" restore --yes "$bad" runs one
assert_facts_same
assert_counts runs

# put right again it is sound, and restores
mv "$SANDBOX/lost" "$file"
flip $((size / 2))
kvss verify
kvss_json restore --yes "$bad"
guest_wait runs
assert_eq "$(guest_bootid runs)" "$boot" "boot id of runs, from its memory"

# ---- a listing that does not say what the VM's record does: somebody with the key has changed one of them
document() { "$KVSS_BUILD/tests/tools/document" "$1" "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "${@:2}"; }
document get "$good" META > "$SANDBOX/listed"
tampered() { # FIELD JQ-PROGRAM
    local point
    jq "$2" "$SANDBOX/listed" > "$SANDBOX/tampered"
    point=$(document put "$good" META "$SANDBOX/tampered")
    kvss_fails "$EXIT_DAMAGED" verify "$point" --json
    assert_eq "$(report .count)" 1 "problems of a point with another $1"
    assert_match "$(report '.problems[].what')" "^the summary of VM two differs from its record: $1: .* in the summary, .* in the record$" "what verify says"
    assert_eq "$(report '.damaged[].vms[].name')" two "the VM that is damaged"
}
kvss verify "$(document put "$good" META "$SANDBOX/listed")"
tampered consistency '.vms[0].consistency = "application"'
tampered size '.vms[0].size += 1'
tampered stored '.vms[0].stored -= 1'
tampered checkpoint '.vms[0].checkpoint = "another"'
tampered warnings 'del(.vms[0].warnings)'
jq '.disks[0].stored += 1' <(document get "$good" "vm/$(virsh domuuid two)/vm.json") > "$SANDBOX/tampered"
kvss_fails "$EXIT_DAMAGED" verify "$(document put "$good" "vm/$(virsh domuuid two)/vm.json" "$SANDBOX/tampered")" --json
assert_match "$(report '.problems[].what')" 'the summary of VM two differs from its record: stored: ' "a record that was changed"
note "a listing that differs from the record is found"

# ---- the record is stored once: the components document only says which VM it is
document get "$good" bcd.xml > "$SANDBOX/bcd.xml"
assert_match "$(cat "$SANDBOX/bcd.xml")" 'metadata="\{&quot;version&quot;:1,&quot;vm&quot;:&quot;two&quot;,[^}]*\}"' "the component's backup metadata"
grep -q 'conditions\|parts' "$SANDBOX/bcd.xml" && fail "the components document holds the record"
true
