#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Restore points of somebody who has the key and changes what is in them at random, by its structure: no command crashes, hangs or takes much
# memory; nothing is run, and nothing is written where nobody said. Some in every run, 200 with KVSS_TEST_FULL=1 (MUTANTS, SEED; ONLY: a
# single seed).
# timeout: 7200
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_mutants.sh
. "$(dirname "$0")/../lib/functions_mutants.sh"

mutants_begin 9
mutants_define m
writer_install keeper < /dev/null
mkdir "$SANDBOX/files-keeper/below"
echo a > "$SANDBOX/files-keeper/below/a"
ln -s a "$SANDBOX/files-keeper/below/link"
backup m
base=$(report .point) copies=$SANDBOX/copies
"$TOOLS/newrepo" "$copies" "$KVSS_PASSWORD_FILE"
mapfile -t documents < <("$TOOLS/document" list "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "$base" | grep -vE 'nvram|tpm' && echo META)

for ((i = 0; i < MUTANTS; i++)); do
    seed=${ONLY:-$((SEED * 1000 + i))}
    document=${documents[seed % ${#documents[@]}]}
    mutant="seed $seed ($document)"
    "$TOOLS/document" get "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "$base" "$document" > "$SANDBOX/before"
    kind=json
    case $document in META | *.json) ;; *) kind=xml ;; esac
    ASAN_OPTIONS=detect_leaks=0 "$TOOLS/mutate" $kind "$seed" "$PROGRAM" < "$SANDBOX/before" > "$SANDBOX/after" || fail "$mutant: not changed"
    point=$("$TOOLS/document" put "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "$base" "$document" "$SANDBOX/after")
    attempt list points
    attempt show "$point"
    attempt verify "$point"
    attempt restore --dry-run "$point"
    attempt restore --images-only --to "$OUT" "$point"
    attempt restore --yes --overwrite --no-start "$point"
    if ((seed % 3 == 0)); then
        attempt restore --yes --overwrite --no-start --name copy --to "$OUT" "$point" m
        attempt copy --to "$copies" "$point"
    fi
    if ((seed % 8 == 0)); then
        attempt check m
        attempt fsck
        attempt prune --dry-run
        attempt prune
    fi
    assert_outside_untouched
    virsh -q undefine copy > /dev/null 2>&1 || :
    kvss --accept-rollback -q forget "$point" > /dev/null 2>&1 || :
    rm -rf "$OUT" "$KVSS_REPOSITORY/points/$point"
    [ -z "${ONLY:-}" ] || break
done
mutants_end
