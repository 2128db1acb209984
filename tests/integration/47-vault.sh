#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The drill: a vault on another host pulls from the repository of a hypervisor. Whoever has everything that the hypervisor holds, its
# repository and its passphrase too, can delete, replace or read nothing in the vault. The vault's folder and key are in a mount namespace that
# only the vault's own commands enter. B2, M17, demand 7 of the peers' users.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define ledger agent=no tokens=off size=16M fs=none
vault=$SANDBOX/vault
mkdir "$vault"
unshare --mount --propagation private sleep 1000 &
keeper=$!
trap 'kill $keeper 2> /dev/null || :' EXIT
poll 10 sh -c "[ \"\$(readlink /proc/$keeper/ns/mnt)\" != \"\$(readlink /proc/self/ns/mnt)\" ]"

# in_vault COMMAND...: on the vault host, which reads the hypervisor's repository and has a folder, a key and a state of its own
in_vault() { nsenter --target $keeper --mount "$@"; }
in_vault mount -t tmpfs -o mode=700 vault "$vault"
in_vault mkdir -p "$vault/state"
in_vault sh -c "head -c 24 /dev/urandom | base64 > '$vault/passphrase' && chmod 600 '$vault/passphrase'"
pull() { in_vault env XDG_STATE_HOME="$vault/state" "$KVSS" copy --all --to "$vault/repository" --to-password-file "$vault/passphrase"; }
vault() { in_vault env XDG_STATE_HOME="$vault/state" "$KVSS" --repository "$vault/repository" --password-file "$vault/passphrase" "$@"; }
held() { vault list points --json | jq -r '[.points[].id] | sort | join(" ")'; }
written() { qemu-img convert -O raw "$1" "$2"; }

vault init > /dev/null
for i in 1 2 3; do
    qemu-io -f qcow2 -c "write -q -P $i ${i}M 1M" "$IMAGES/ledger-vda.qcow2"
    backup ledger
    written "$IMAGES/ledger-vda.qcow2" "$SANDBOX/truth-$i"
done
pull > /dev/null 2>&1
before=$(held)
assert_eq "$(wc -w <<< "$before")" 3 "points in the vault"
sums() { in_vault sh -c "cd '$vault/repository' && find points packs -type f -exec sha256sum {} + | sort"; }
sums > "$SANDBOX/sums"

# still_whole WHAT: everything that was in the vault is there as it was, and can be restored
still_whole() {
    local i id
    sums > "$SANDBOX/sums-now"
    assert_eq "$(comm -23 "$SANDBOX/sums" "$SANDBOX/sums-now")" "" "files of the vault that are gone or changed after $1"
    for id in $before; do assert_match " $(held) " " $id " "points in the vault after $1"; done
    vault verify > "$SANDBOX/verify" || fail "verify in the vault after $1: $(cat "$SANDBOX/verify")"
    i=1
    for id in $(vault list points --json | jq -r '.points[].id'); do
        [[ " $before " == *" $id "* ]] || continue
        rm -rf "$SANDBOX/out"
        vault restore "$id" ledger --images-only --to "$SANDBOX/out" --quiet > /dev/null
        written "$SANDBOX"/out/*vda* "$SANDBOX/back"
        cmp "$SANDBOX/back" "$SANDBOX/truth-$i" || fail "the image of point $i is another after $1"
        i=$((i + 1))
    done
    note "whole after $1"
}
still_whole "nothing"

# ---- what the hypervisor's root can do with its own repository
mapfile -t points < <(kvss list points --json | jq -r '.points[].id')
kvss forget "${points[@]:0:2}" > /dev/null
pull > "$SANDBOX/pull" 2>&1 || :
still_whole "points that the hypervisor forgot"

find "$KVSS_REPOSITORY/packs" -type f | while read -r pack; do printf 'ransom' | dd of="$pack" bs=1 seek=4096 conv=notrunc status=none; done
pull > "$SANDBOX/pull" 2>&1 || :
still_whole "packs that were overwritten"

rm -rf "$KVSS_REPOSITORY"
kvss init > /dev/null 2>&1
qemu-io -f qcow2 -c "write -q -P 9 1M 8M" "$IMAGES/ledger-vda.qcow2"
kvss backup ledger > /dev/null 2>&1 || :
pull > "$SANDBOX/pull" 2>&1 || :
still_whole "another repository in the place of the first"

rm -rf "$KVSS_REPOSITORY"
kvss init --no-encryption > /dev/null 2>&1 || :
pull > "$SANDBOX/pull" 2>&1 || :
still_whole "an unencrypted repository in its place"

# ---- read: with all that the hypervisor has, also of a stolen copy of the vault
in_vault cp -r "$vault/repository" "$SANDBOX/stolen"
kvss_fails "$EXIT_FAILED" list points --repository "$SANDBOX/stolen"
assert_match "$OUTPUT" 'passphrase|key' "why the stolen vault cannot be read"
assert_eq "$(ls -A "$vault")" "" "what the hypervisor sees of the vault's folder"
