#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Memory is stored by pages: the saved state that comes out of a restore point is the one that went in, byte for byte, and what did not
# change between two points is stored once, by saved-state and by live-state, also in a copy of the repository. Each VM goes on from its
# own instant. With KVSS_TEST_FULL=1 a series of 20 points of a VM with 1 GiB, and a saved state of another kind, which is stored as it is. M8,
# M13, B4, B7.
# timeout: 2400
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_live.sh
. "$(dirname "$0")/../lib/functions_live.sh"

declare -A POINTS
live_allow
kvss_setup
guest_define one agent=no fs=none tokens=off
guest_start one
guest_wait one
memory() { report ".details[0].parts[] | select(.name == \"memory\") | $1"; }
# shellcheck disable=SC2153 # of backup()
show() { kvss_json show "$POINT"; }
# saved_out POINT [OPTION...]: its saved state, as a file
saved_out() {
    rm -rf "$SANDBOX/out"
    kvss restore --yes "$@" one --images-only --to "$SANDBOX/out" > /dev/null
    find "$SANDBOX/out" -name '*.save'
}
# assert_adds STORED SAVED-BEFORE SAVED: no more than 1.2 times the pages that changed
assert_adds() {
    local changed
    changed=$("$KVSS_BUILD/tests/tools/savediff" "$2" "$3")
    assert_ge $((changed * 4096 * 6 / 5)) "$1" "bytes that a memory with $changed changed pages adds, at most"
    CHANGED+=" $1/$((changed * 4096))"
}
mark() { guest_sh one "echo $1 > /run/mark"; }
assert_mark() { assert_eq "$(guest_sh "${2:-one}" 'cat /run/mark')" "$1" "what the VM remembers"; }
goes_on() { # from its memory, whatever state it was restored to
    [ "$(vm_state one)" = running ] || guest_start one
    guest_wait one
}
# backup_saved NAME KIND: of the VM, saved by libvirt: stored in this way, and out of it comes libvirt's own file
backup_saved() {
    local file
    virsh -q managedsave one > /dev/null
    file=$(find /var/lib/libvirt/qemu/save -name one.save)
    assert_file "$file"
    cp --reflink=auto "$file" "$SANDBOX/save.$1"
    ALLOW_SAVED=one backup one
    POINTS[$1]=$POINT
    show
    assert_eq "$(memory .kind)" "$2" "kind of the memory"
    assert_eq "$(memory .size)" "$(stat -c %s "$SANDBOX/save.$1")" "size of the saved state, as recorded"
    assert_same_file "$(saved_out "$POINT")" "$SANDBOX/save.$1"
}

# ---- a VM that was saved: its saved state is libvirt's own file
boot=$(guest_bootid one)
backup_saved first pages
whole=$(memory .stored)
guest_start one
assert_eq "$(guest_bootid one)" "$boot" "boot id"
backup_saved second pages
assert_same_file "$(saved_out "${POINTS[first]}")" "$SANDBOX/save.first"
assert_adds "$(memory .stored)" "$SANDBOX/save.first" "$SANDBOX/save.second"
note "byte for byte; the first added $whole bytes, the second (bytes/changed)$CHANGED"

# ---- in another repository, and after a prune
other=$SANDBOX/other
kvss init --repository "$other" > /dev/null 2>&1
kvss copy --all --to "$other" > /dev/null
copies=$(kvss list points --repository "$other" --json | jq -r '.points | sort_by(.time) | .[-1].id')
assert_same_file "$(saved_out "$copies" --repository "$other")" "$SANDBOX/save.second"
size_of() { du -sk "$1/packs" | cut -f 1; }
assert_ge "$(($(size_of "$KVSS_REPOSITORY") * 3 / 2))" "$(size_of "$other")" "KiB of the copies"
kvss verify > /dev/null
kvss_json prune --now
assert_same_file "$(saved_out "${POINTS[first]}")" "$SANDBOX/save.first"
note "copied, verified, pruned"

# ---- while it runs: both methods share what they store
guest_start one
assert_eq "$(guest_bootid one)" "$boot" "boot id"
mark saved
ALLOW_SAVED=one backup one --method saved-state
show
assert_eq "$(memory .kind)" pages
assert_ge "$((whole / 3))" "$(memory .stored)" "bytes that saved-state adds, at most"
POINTS[saved]=$POINT
mark live
backup one --method live-state
show
assert_eq "$(memory .kind)" pages
assert_ge "$((whole / 3))" "$(memory .stored)" "bytes that live-state adds, at most"
POINTS[live]=$POINT
mark none
for which in live saved; do
    destroy_vm one
    kvss_json restore --yes "${POINTS[$which]}"
    goes_on
    assert_eq "$(guest_bootid one)" "$boot" "boot id from $which"
    assert_mark $which
done
note "each goes on from its own instant"

# ---- a series
if [ -n "${KVSS_TEST_FULL:-}" ]; then
    destroy_vm one
    guest_define one agent=no fs=none tokens=off mem=1024
    guest_start one
    guest_wait one
    boot=$(guest_bootid one)
    CHANGED=
    rm -rf "$other"
    kvss init --repository "$other" > /dev/null 2>&1
    for ((i = 1; i <= 20; i++)); do
        mark "$i"
        ALLOW_SAVED=one backup one --method "$([ $((i % 2)) = 1 ] && echo saved || echo live)-state"
        POINTS[$i]=$POINT
        show
        cp "$(saved_out "$POINT")" "$SANDBOX/save.$i"
        [ "$i" = 1 ] || assert_adds "$(memory .stored)" "$SANDBOX/save.$((i - 1))" "$SANDBOX/save.$i"
        rm -f "$SANDBOX/save.$((i - 1))"
    done
    note "a series (bytes/changed):$CHANGED"
    kvss copy --all --to "$other" > /dev/null
    mapfile -t COPIES < <(kvss list points --repository "$other" --json | jq -r '.points | sort_by(.time) | .[].id')
    assert_eq ${#COPIES[@]} "$(kvss list points --json | jq '.points | length')" "copies"
    for ((i = 1; i <= 20; i++)); do
        destroy_vm one
        if ((i % 2)); then
            kvss_json restore --yes "${POINTS[$i]}"
        else # on a host that knows nothing of it
            rm -rf /var/lib/kvss/*
            kvss_json restore --yes --repository "$other" "${COPIES[${#COPIES[@]} - 21 + i]}"
        fi
        goes_on
        assert_mark "$i"
        assert_eq "$(guest_bootid one)" "$boot" "boot id from point $i"
    done
    kvss_json restore "${POINTS[7]}" one --name twin
    guest_wait twin
    assert_mark 7 twin
    virsh -q destroy twin
    note "each of 20 goes on from its own instant"
fi

[ -n "${KVSS_TEST_FULL:-}" ] || exit 0
# ---- libvirt compresses it: it is stored as it is
virsh -q destroy one
echo 'save_image_format = "gzip"' >> /etc/libvirt/qemu.conf
libvirtd_restart TERM
guest_start one
guest_wait one
boot=$(guest_bootid one)
backup_saved gzip image
destroy_vm one
kvss_json restore --yes "$POINT"
goes_on
assert_eq "$(guest_bootid one)" "$boot" "boot id from a compressed memory"
