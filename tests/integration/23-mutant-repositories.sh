#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Repositories of somebody who can write to the storage, and has the key: packs, index files, config, keys, older master keys, locks, gc
# records, protections, the catalogue, restore points and trees, changed at random by their structure, signed and sealed again; objects and
# folders replaced by links, pipes and the like. No command crashes, hangs or takes much memory, and nothing is written where nobody said.
# Some in every run, 200 with KVSS_TEST_FULL=1 (MUTANTS, SEED; ONLY: a single seed; KIND: catalogue, config, keys or ring alone).
# timeout: 7200
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_mutants.sh
. "$(dirname "$0")/../lib/functions_mutants.sh"

mutants_begin 3
mutants_define m
backup m
first=$POINT
qemu-io -f raw -c "write -q -P 7 0 64k" "$IMAGES/m.raw"
backup m
second=$POINT
qemu-io -f raw -c "write -q -P 8 64k 64k" "$IMAGES/m.raw"
backup m
kvss -q key rotate --new-password-file "$KVSS_PASSWORD_FILE" > /dev/null
qemu-io -f raw -c "write -q -P 9 128k 64k" "$IMAGES/m.raw"
backup m
kvss -q protect "$first" > /dev/null
kvss -q forget "$second" > /dev/null
kvss -q prune > /dev/null 2>&1 # what is unused waits
[ -n "$(ls "$KVSS_REPOSITORY/gc")" ] || fail "there is no gc record"
base=$SANDBOX/base copies=$SANDBOX/copies
mv "$KVSS_REPOSITORY" "$base"
cp -a /var/lib/kvss/known "$SANDBOX/known"
"$TOOLS/newrepo" "$copies" "$KVSS_PASSWORD_FILE"

for ((i = 0; i < MUTANTS; i++)); do
    seed=${ONLY:-$((SEED * 1000 + i * 5))} # which says what is changed: seed % 24
    cp -a "$base" "$KVSS_REPOSITORY"
    rm -rf /var/lib/kvss/known
    [ $((i % 2)) = 0 ] || cp -a "$SANDBOX/known" /var/lib/kvss/known # else it is met for the first time
    ASAN_OPTIONS=detect_leaks=0 "$TOOLS/mutaterepo" "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "$seed" "$MINE" \
        /var/lib/kvss/host.key ${KIND:+"$KIND"} > "$SANDBOX/did" 2>&1 || fail "seed $seed: $(cat "$SANDBOX/did")"
    mutant="seed $seed ($(tail -n 1 "$SANDBOX/did"))"
    attempt list points
    attempt list hosts
    attempt key list
    attempt show latest
    [ $((i % 4)) != 0 ] || attempt check m
    attempt verify
    attempt fsck --read-data
    attempt restore --dry-run latest
    attempt restore --images-only --to "$OUT" latest
    attempt restore --yes --overwrite --no-start latest
    attempt prune --dry-run
    attempt prune --now
    attempt copy --to "$copies" --all
    assert_outside_untouched
    rm -rf "$OUT" "${KVSS_REPOSITORY:?}"
    [ -z "${ONLY:-}" ] || break
done
mutants_end
