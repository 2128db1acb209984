#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2153 # POINT is set by backup()
# kvss protect: no rule and no name removes a protected restore point, a prune keeps what it needs, also where the storage has lost it, and
# it is shown; an end that has passed is the end; a repository made before there were protections gets them. No guest runs.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
rm -rf "${KVSS_REPOSITORY:?}/protected"
guest_define vm agent=no tokens=off size=8M
declare -A ids
for i in 1 2 3; do
    head -c 2M /dev/urandom > "$SANDBOX/raw"
    qemu-img convert -f raw -O qcow2 "$SANDBOX/raw" "$IMAGES/vm-vda.qcow2"
    cp "$SANDBOX/raw" "$SANDBOX/$i.raw"
    backup vm
    ids[$i]=$POINT
done

kvss_json protect "${ids[1]:0:12}"
assert_eq "$(report '.points[0] | .id + " " + (.protected.until | tostring)')" "${ids[1]} null" "what is reported"
kvss protect --until 2999-12-31 latest > "$SANDBOX/text"
assert_match "$(cat "$SANDBOX/text")" "^${ids[3]:0:12} protected until 29(99|98)-12-31 .*by uid 0 on" "what is printed"
kvss_fails "$EXIT_FAILED" protect --until 2001-01-01 latest
kvss_fails "$EXIT_USAGE" protect
kvss_fails "$EXIT_USAGE" protect --until 2999-12-31 --off latest
kvss_json list points
assert_eq "$(report '[.points[] | .protected != null] | join(" ")')" "true false true" "what list points reports"
assert_match "$(kvss list points)" "${ids[1]:0:12}.* full, protected" "what list points prints"
assert_match "$(kvss show "${ids[3]}")" 'protected until 29' "what show prints"
kvss_json show "${ids[2]}"
assert_eq "$(report .protected)" null "protection of another"

# ---- neither by name nor by rules
kvss_fails "$EXIT_REFUSED" forget "${ids[2]}" "${ids[1]}"
assert_match "$OUTPUT" "restore point ${ids[1]:0:12} is protected: nothing was removed .*kvss protect --off" "the refusal"
kvss_fails "$EXIT_REFUSED" forget --dry-run "${ids[1]}"
kvss list points --json | jq -e '.points | length == 3' > /dev/null || fail "something was removed"
kvss_json forget --keep-last 1 --prune
assert_eq "$(report '.removed[].id')" "${ids[2]}" "what the rules remove"
assert_eq "$(report ".kept[] | select(.id == \"${ids[1]}\") | .why")" protected "why the oldest is kept"
kvss restore --yes "${ids[1]}" vm --images-only --to "$SANDBOX/out" > /dev/null
qemu-img convert -O raw "$SANDBOX/out/vm-vda.qcow2" "$SANDBOX/back.raw"
cmp "$SANDBOX/back.raw" "$SANDBOX/1.raw" || fail "what came back is not what was stored"

# ---- the storage loses it
mv "$KVSS_REPOSITORY/points/${ids[1]}" "$SANDBOX/hidden"
kvss_fails "$EXIT_REFUSED" prune
assert_match "$OUTPUT" "${ids[1]:0:12}.*no host signed for removing it" "why a prune is refused"
kvss_fails "$EXIT_DAMAGED" prune --accept-rollback
assert_match "$OUTPUT" "${ids[1]:0:12} is protected but no longer exists" "what a prune says"
kvss_fails "$EXIT_DAMAGED" fsck
assert_match "$(cat "$REPORT")" 'protected but no longer exists' "what fsck says"
mv "$SANDBOX/hidden" "$KVSS_REPOSITORY/points/${ids[1]}"
kvss fsck --read-data > /dev/null

# ---- the end of it
kvss protect --off "${ids[1]}" > "$SANDBOX/text"
assert_match "$(cat "$SANDBOX/text")" 'is not protected' "what is printed"
kvss forget "${ids[1]}" > /dev/null
end=$(date -d '3 seconds' '+%Y-%m-%d %H:%M:%S')
kvss protect --until "$end" "${ids[3]}" > /dev/null
sleep 5
kvss_json list points
assert_eq "$(report '.points[0].protected')" null "protection after its end"
kvss forget "${ids[3]}" > /dev/null
kvss prune > /dev/null
