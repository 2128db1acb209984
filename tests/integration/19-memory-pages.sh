#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Memory is stored by pages: the saved state that comes out of a restore point is the one that went in, byte for byte, and what did not
# change between two points is stored once, by saved-state and by live-state, also in a copy of the repository. A saved state of another
# kind is stored as it is. Each VM goes on from its own instant. M8, M13, B4, B7.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_live.sh
. "$(dirname "$0")/../lib/functions_live.sh"

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
goes_on() { # from its memory, whatever state it was restored to
    [ "$(vm_state one)" = running ] || guest_start one
    guest_wait one
}
keep_save() { # NAME: the saved state that libvirt has now
    local file
    file=$(find /var/lib/libvirt/qemu/save -name one.save)
    assert_file "$file"
    cp --reflink=auto "$file" "$SANDBOX/save.$1"
}

# ---- a VM that was saved: its saved state is libvirt's own file
boot=$(guest_bootid one)
virsh -q managedsave one > /dev/null
keep_save first
ALLOW_SAVED=one backup one
first=$POINT
show
assert_eq "$(memory .kind)" pages
whole=$(memory .stored)
assert_eq "$(memory .size)" "$(stat -c %s "$SANDBOX/save.first")" "size of the saved state, as recorded"
assert_same_file "$(saved_out "$first")" "$SANDBOX/save.first"
guest_start one
assert_eq "$(guest_bootid one)" "$boot" "boot id"
virsh -q managedsave one > /dev/null
keep_save second
ALLOW_SAVED=one backup one
second=$POINT
show
assert_eq "$(memory .kind)" pages
assert_same_file "$(saved_out "$second")" "$SANDBOX/save.second"
assert_same_file "$(saved_out "$first")" "$SANDBOX/save.first"
again=$(memory .stored)
assert_ge "$((whole / 3))" "$again" "bytes that a second memory adds, at most"
note "byte for byte; the first added $((whole / 1024)) KiB, the second $((again / 1024)) KiB"

# ---- in another repository, and damaged
other=$SANDBOX/other
kvss init --repository "$other" > /dev/null 2>&1
kvss copy --all --to "$other" > /dev/null
copies=$(kvss list points --repository "$other" --json | jq -r '.points | sort_by(.time) | .[-1].id')
assert_same_file "$(saved_out "$copies" --repository "$other")" "$SANDBOX/save.second"
size_of() { du -sk "$1/packs" | cut -f 1; }
assert_ge "$(($(size_of "$KVSS_REPOSITORY") * 3 / 2))" "$(size_of "$other")" "KiB of the copies"
kvss verify > /dev/null
kvss_json prune --now
assert_same_file "$(saved_out "$first")" "$SANDBOX/save.first"
note "copied, verified, pruned"

# ---- while it runs: both methods share what they store
guest_start one
assert_eq "$(guest_bootid one)" "$boot" "boot id"
counter=$(guest_counter one)
ALLOW_SAVED=one backup one --method saved-state
show
assert_eq "$(memory .kind)" pages
assert_ge "$((whole / 3))" "$(memory .stored)" "bytes that saved-state adds, at most"
saved=$POINT
backup one --method live-state
show
assert_eq "$(memory .kind)" pages
assert_ge "$((whole / 3))" "$(memory .stored)" "bytes that live-state adds, at most"
for point in "$POINT" "$saved" "$second"; do
    destroy_vm one
    kvss_json restore --yes "$point"
    goes_on
    assert_eq "$(guest_bootid one)" "$boot" "boot id from $point"
    [ "$point" = "$second" ] || assert_ge "$(guest_counter one)" "$counter" "counter from $point"
done
note "each goes on from its own instant"

# ---- libvirt compresses it: it is stored as it is
virsh -q destroy one
echo 'save_image_format = "gzip"' >> /etc/libvirt/qemu.conf
libvirtd_restart TERM
guest_start one
guest_wait one
boot=$(guest_bootid one)
virsh -q managedsave one > /dev/null
keep_save gzip
ALLOW_SAVED=one backup one
show
assert_eq "$(memory .kind)" image
assert_same_file "$(saved_out "$POINT")" "$SANDBOX/save.gzip"
destroy_vm one
kvss_json restore --yes "$POINT"
goes_on
assert_eq "$(guest_bootid one)" "$boot" "boot id from a compressed memory"
