# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_mutants.sh: what the tests of mutated restore points and repositories share. A test sources it after functions_kvss.sh.

# mutants_begin N: an empty repository; N mutants, or 200 with KVSS_TEST_FULL=1. What a mutant names lies in $SANDBOX/evil (a program, which
# nobody may start) and $MINE (files that nobody may change). $OUT is where restores are told to go.
mutants_begin() {
    TOOLS=$KVSS_BUILD/tests/tools OUT=$SANDBOX/out MINE=$SANDBOX/mine PROGRAM=$SANDBOX/evil/program
    MUTANTS=${MUTANTS:-$1} SEED=${SEED:-1}
    [ -z "${KVSS_TEST_FULL:-}" ] || MUTANTS=200
    MEMORY=$((300 * 1024)) # KiB; ASan keeps what was freed, and a shadow of all
    [ "$(nm "$KVSS" 2> /dev/null | grep -c __asan_init)" = 0 ] || MEMORY=$((1200 * 1024))
    problems=() ends=() most=0 longest=0
    mkdir -p "$SANDBOX/evil" "$MINE"
    printf '#!/bin/sh\necho run >> %s/evil/log\n' "$SANDBOX" > "$PROGRAM"
    chmod 755 "$SANDBOX/evil" "$PROGRAM"
    echo mine > "$MINE/object"
    kvss_setup
}

# mutants_define NAME: a small VM that is off
mutants_define() {
    head -c 300K /dev/urandom > "$IMAGES/$1.raw"
    virsh -q define /dev/stdin << EOF
<domain type='qemu'><name>$1</name><uuid>5a0e2f6d-7d6a-4a39-8d0e-7c5c0a7e9b31</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$IMAGES/$1.raw'/><target dev='vda' bus='virtio'/></disk>
</devices></domain>
EOF
    touch "$SANDBOX/began"
    sleep 0.1
}

# problem TEXT: of this mutant; the others are still looked at
problem() {
    problems+=("$mutant: $*")
    echo "PROBLEM: $mutant: $*"
}

# attempt ARG...: the command ends in one of the ways that it has
attempt() {
    local status=0 kib ms
    "$TOOLS/mutate" run "$MEMORY" 120 "$SANDBOX/used" "$KVSS" "$@" > "$SANDBOX/printed" 2>&1 || status=$?
    read -r kib ms < "$SANDBOX/used"
    [ "$kib" -le "$most" ] || most=$kib
    [ "$ms" -le "$longest" ] || { longest=$ms && longest_of="$mutant: $*"; }
    case $status in
    0 | 1 | 3 | 4) ;;
    97) problem "kvss $*: killed by a signal: $(tail -n 20 "$SANDBOX/printed")" ;;
    98) problem "kvss $*: takes longer than 120 s" ;;
    99) problem "kvss $*: takes $((kib / 1024)) MiB" ;;
    *) problem "kvss $*: status $status: $(tail -n 20 "$SANDBOX/printed")" ;;
    esac
    ! grep -qE 'Sanitizer|runtime error' "$SANDBOX/printed" || problem "kvss $*: $(grep -m 1 -A 20 -E 'Sanitizer|runtime error' "$SANDBOX/printed")"
    ends[status]=$((${ends[status]:-0} + 1))
}

# After each mutant: nothing was started, nothing was written where nobody said.
assert_outside_untouched() {
    local place changed
    [ ! -e "$SANDBOX/evil/log" ] || { problem "the program was started" && rm "$SANDBOX/evil/log"; }
    for place in "$MINE" "$SANDBOX/evil" /etc /root /srv /usr/local /boot /opt /home; do
        [ -d "$place" ] || continue
        changed=$(find "$place" -xdev -newer "$SANDBOX/began" -not -path '/etc/kvss*' -not -path '/etc/libvirt*' | head -n 5)
        [ -z "$changed" ] || { problem "written: $changed" && touch "$SANDBOX/began" && sleep 0.1; }
    done
}

# mutants_end: what came of it; where there are many, all ways to end were reached
mutants_end() {
    local code
    note "$MUTANTS mutants; exit codes: $(for code in "${!ends[@]}"; do printf '%s: %s  ' "$code" "${ends[code]}"; done)"
    note "at most $((most / 1024)) MiB, at most $longest ms (${longest_of:-})"
    [ ${#problems[@]} = 0 ] || fail "${#problems[@]} problems: $(printf '%s\n' "${problems[@]}" | cut -c 1-2000)"
    [ -n "${ONLY:-}" ] || [ "$MUTANTS" -lt 50 ] || for code in 0 3 4; do
        [ "${ends[code]:-0}" -gt 0 ] || fail "no command ended with exit code $code"
    done
}
