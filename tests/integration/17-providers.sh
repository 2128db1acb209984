#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Providers of third parties (M22): the examples, built outside of the tree against what `meson install` installs, take part in backups: a
# shared object with the disks of VMs, one running and one off, a program with a volume of a writer's files. What they make is gone
# afterwards, also if kvss is killed. One that crashes, hangs or lies fails the backup with its name, and leaves the guest running; one
# that others can change is not loaded.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

for tool in cc pkg-config; do command -v $tool > /dev/null || skip "$tool is missing: run make deps"; done
kvss_setup
examples=$TESTS/../examples/providers
objects=/etc/kvss/objects programs=/etc/kvss/providers.d
mirror=/var/lib/kvss-mirror mirrord=/var/lib/kvss-mirrord

# ---- built outside, from what is installed
DESTDIR=$SANDBOX/installed meson install -C "$KVSS_BUILD" --no-rebuild --quiet > "$SANDBOX/install.log" 2>&1 || fail "$(tail -n 5 "$SANDBOX/install.log")"
pc=$(find "$SANDBOX/installed" -name kvss.pc)
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$SANDBOX/installed
outside=$SANDBOX/outside
mkdir "$outside"
build_mirror() { # CODE: run at the instant
    sed "s|^    for (size_t i = 0; i < point->n_disks; i++) {|    $1\n&|" "$examples/mirror.c" > "$outside/mirror.c"
    # shellcheck disable=SC2046 # the options are several words
    (cd "$outside" && cc -std=c99 -Wall -Wextra -Werror -shared -fPIC $(pkg-config --cflags kvss) -o mirror.so mirror.c) || fail "the example does not build"
    install -D -m 755 "$outside/mirror.so" "$objects/mirror.so"
}
build_mirror ''
printf 'provider-objects-dir = %s\nfreeze-limit = 20\n' "$objects" > /etc/kvss/kvss.conf
note "built against $(pkg-config --modversion kvss)"

# ---- nothing is there yet for them: they say so, and do not get in the way
install -D -m 755 "$examples/mirrord" "$programs/mirrord"
kvss_json list providers
assert_eq "$(report '[.providers[].name] | join(" ")')" "mirror mirrord qemu btrfs reflink lvm copy" "providers, in order"
assert_eq "$(report '.providers[0].file')" "$objects/mirror.so" "file"
assert_eq "$(report '.providers[0].usable')" false "usable"
assert_match "$(report '.providers[0].why_not')" 'does not exist: create it' "why not"
assert_eq "$(report '.providers[2] | [.file, .usable] | tostring')" '[null,true]' "a built-in provider"
mkdir -p "$mirror/vms" "$mirrord"
kvss_json list providers
assert_eq "$(report '[.providers[].usable] | unique | tostring')" '[true]' "usable now"
assert_ge "$(report '.providers[0].free')" 1 "free space"

# ---- two VMs and a writer
guest_define web tokens=driven
guest_define off agent=no format=raw size=64M
guest_define other agent=no format=raw size=64M
head -c 64M /dev/urandom > "$IMAGES/off-vda.raw"
head -c 64M /dev/urandom > "$IMAGES/other-vda.raw"
guest_start web
guest_wait web
for vm in web off; do touch "$mirror/vms/$(virsh domuuid $vm | tr -d '\n')"; done
volume=$SANDBOX/volume
mkdir "$volume" && mount -t tmpfs tmpfs "$volume" && mkdir "$volume/files"
echo content > "$volume/files/one"
echo -n "$volume" > "$mirrord/volume"
install -D -m 755 "$TESTS/writers/recorder" "$WRITERS/recorder"
printf 'LOG=%s\nFILES=%s\n' "$SANDBOX/recorder.log" "$volume/files" > "$WRITERS/.recorder.conf"
sets() { find "$mirror" "$mirrord" -mindepth 1 -maxdepth 1 -name '*-*' | wc -l; }

sum=$(sha256sum < "$IMAGES/off-vda.raw")
backup web off other
assert_eq "$(sets)" 0 "what is left of the snapshots"
told=$(jq -c '.snapshots[] | select(.device)' "$SANDBOX/recorder.log.post-snapshot.json")
assert_eq "$(jq -r .volume <<< "$told")" "$volume" "volume of the snapshot that the writer was told of"
assert_match "$(jq -r .device <<< "$told")" "^$mirrord/" "where it was"
assert_eq "$(jq -c .snapshots "$SANDBOX/recorder.log.freeze.json")" '[]' "snapshots in freeze"
kvss verify "$POINT" > /dev/null 2> "$SANDBOX/stderr" || fail "verify: $(cat "$SANDBOX/stderr")"
head -c 64M /dev/zero > "$IMAGES/off-vda.raw"
kvss_json restore --yes "$POINT" off web
assert_eq "$(sha256sum < "$IMAGES/off-vda.raw")" "$sum" "sum of the restored image"
guest_wait web
note "backed up and restored through the mirror"

# ---- killed right after the points were taken: whoever comes next has the provider delete them
KVSS_TEST_FAULT=kill:freeze-guest:settled kvss backup web off > /dev/null 2> "$SANDBOX/stderr" && fail "it was not killed"
gone() { [ "$(sets)" = 0 ]; }
kvss recover > /dev/null 2>> "$SANDBOX/stderr" || fail "recover: $(cat "$SANDBOX/stderr")"
poll 60 gone
assert_nothing_left
note "killed: nothing is left"

# ---- it crashes, hangs, lies
points=$(point_count)
bad() { # CODE MESSAGE
    build_mirror "$1"
    kvss_fails "$EXIT_FAILED" backup web off
    assert_match "$OUTPUT" "provider .?mirror" "the provider is named"
    assert_match "$OUTPUT" "$2" "why"
    assert_state web running
    guest_wait web
    assert_points "$points"
    assert_nothing_left
    rm -rf "$mirror"/????????-*
    note "$2"
}
bad 'if (point->n_disks) *(volatile int *)p = 1;' 'crashed: Segmentation fault'
bad 'while (point->n_disks) pause();' 'not answered in time'
bad 'if (point->n_disks) return err_set(err, ENOSPC, "the store is full");' 'the store is full'
build_mirror '(void)p;'
sed -i 's|ret->path = strdup(copy);|ret->path = strdup(STORE "/nothing");|' "$outside/mirror.c"
# shellcheck disable=SC2046
(cd "$outside" && cc -std=c99 -shared -fPIC $(pkg-config --cflags kvss) -o mirror.so mirror.c) && install -m 755 "$outside/mirror.so" "$objects/mirror.so"
kvss_fails "$EXIT_FAILED" backup off
assert_match "$OUTPUT" "provider .?mirror.*$mirror/nothing" "a file that is not there"
assert_nothing_left
build_mirror ''
# shellcheck disable=SC2016 # the program's own parameter
printf '#!/bin/sh\ncase $1 in identify) exec %s identify ;; *) echo "{\\"supported\\": 7}" ;; esac\n' "$examples/mirrord" > "$programs/mirrord"
kvss_fails "$EXIT_FAILED" backup other
assert_match "$OUTPUT" "mirrord.*is-volume-supported" "a program that answers nonsense is named"
rm "$programs/mirrord"

# ---- what others can change is not loaded
chmod o+w "$objects/mirror.so"
kvss_json list providers
assert_eq "$(report '[.providers[].name] | join(" ")')" "qemu btrfs reflink lvm copy" "providers without it"
assert_match "$(report '.not_used[0] | .file + ": " + .why')" "mirror.so: .*can be changed by users other than root" "why it is not loaded"
kvss_json check web > /dev/null || :
assert_match "$(report '[.findings[].id] | join(" ")')" provider-not-loaded "finding"
backup web off
