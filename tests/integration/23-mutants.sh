#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Restore points of somebody who has the key and changes what is in them at random, by its structure: no command crashes, hangs or takes much
# memory; nothing is run, and nothing is written where nobody said. Some in every run, 200 with KVSS_TEST_FULL=1 (MUTANTS, SEED).
# timeout: 3600
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

UUID=5a0e2f6d-7d6a-4a39-8d0e-7c5c0a7e9b31
TOOLS=$KVSS_BUILD/tests/tools OUT=$SANDBOX/out MINE=$SANDBOX/mine
MUTANTS=${MUTANTS:-12} SEED=${SEED:-1}
[ -z "${KVSS_TEST_FULL:-}" ] || MUTANTS=200
MEMORY=$((300 * 1024)) # KiB; ASan keeps what was freed, and a shadow of all
! nm "$KVSS" 2> /dev/null | grep -q __asan_init || MEMORY=$((1200 * 1024))
mkdir -p "$SANDBOX/evil" "$MINE"
printf '#!/bin/sh\necho run >> %s/evil/log\n' "$SANDBOX" > "$SANDBOX/evil/program"
chmod 755 "$SANDBOX/evil" "$SANDBOX/evil/program"
kvss_setup
head -c 300K /dev/urandom > "$IMAGES/m.raw"
virsh -q define /dev/stdin << END
<domain type='qemu'><name>m</name><uuid>$UUID</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$IMAGES/m.raw'/><target dev='vda' bus='virtio'/></disk>
</devices></domain>
END
writer_install keeper < /dev/null
mkdir "$SANDBOX/files-keeper/below"
echo a > "$SANDBOX/files-keeper/below/a"
ln -s a "$SANDBOX/files-keeper/below/link"
backup m
# shellcheck disable=SC2153 # of `backup`
mapfile -t documents < <("$TOOLS/document" list "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "$POINT" | grep -E '\.json$' && echo META)

# attempt ARG...: the command ends in one of the ways that it has
attempt() {
    local status=0
    "$TOOLS/mutate" run $MEMORY 120 "$KVSS" "$@" > "$SANDBOX/printed" 2>&1 || status=$?
    case $status in
    0 | 1 | 3 | 4) ;;
    *) fail "seed $seed, $document: kvss $*: status $status: $(tail -n 20 "$SANDBOX/printed")" ;;
    esac
    ! grep -qE 'Sanitizer|runtime error' "$SANDBOX/printed" || fail "seed $seed, $document: kvss $*: $(grep -m 1 -A 20 -E 'Sanitizer|runtime error' "$SANDBOX/printed")"
    ends[status]=$((${ends[status]:-0} + 1))
}
declare -a ends=()
touch "$SANDBOX/began"
sleep 0.1
for ((i = 0; i < MUTANTS; i++)); do
    seed=$((SEED * 1000 + i))
    document=${documents[seed % ${#documents[@]}]}
    "$TOOLS/document" get "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "$POINT" "$document" > "$SANDBOX/before"
    "$TOOLS/mutate" json "$seed" "$SANDBOX/evil/program" < "$SANDBOX/before" > "$SANDBOX/after"
    point=$("$TOOLS/document" put "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "$POINT" "$document" "$SANDBOX/after")
    attempt show "$point"
    attempt list points
    attempt restore --dry-run "$point"
    attempt restore --images-only --to "$OUT" "$point"
    attempt restore --yes --overwrite --no-start "$point"
    rm -rf "$OUT" "$KVSS_REPOSITORY/points/$point"
done
assert_no_file "$SANDBOX/evil/log"
for place in "$MINE" "$SANDBOX/evil" /etc /root /srv /usr/local /boot; do
    [ ! -d "$place" ] || assert_eq "$(find "$place" -xdev -newer "$SANDBOX/began" -not -path '/etc/kvss*' -not -path '/etc/libvirt*' | head -n 5)" "" "written in $place"
done
note "$MUTANTS mutants; exit codes: $(for code in "${!ends[@]}"; do printf '%s: %s  ' "$code" "${ends[code]}"; done)"
