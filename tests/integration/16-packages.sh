#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kvss as Debian packages: whatever is installed is in one of them, and what kvss.conf suggests is valid. With KVSS_TEST_FULL=1 they are built, lintian
# has nothing to say, and they are installed, upgraded during a backup, removed and purged in a copy of this system: only the repository is left.
# timeout: 2400
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
TOP=$(cd "$TESTS/.." && pwd)
[ -e "$KVSS_BUILD/docs/man/kvss.1" ] || fail "the manual pages were not built"

# ---- each file is in a package
DESTDIR=$SANDBOX/installed meson install -C "$KVSS_BUILD" --no-rebuild --quiet > "$SANDBOX/install.log" 2>&1 || fail "$(tail -n 5 "$SANDBOX/install.log")"
mapfile -t patterns < <(cat "$TOP"/debian/*.install | sed -n 's|^lib/|usr/lib/|; s|^\(usr/[^ ]*\).*|\1|p')
# debian/rules puts these into kvss-guest, where the archive for guests has them
patterns+=(usr/sbin/kvss-guest usr/share/kvss-guest/fsfreeze-hook usr/share/kvss-guest/writers)
missed=$(cd "$SANDBOX/installed" && find . -type f -printf '%P\n' | sed 's|^usr/local/|usr/|' | while read -r file; do
    for pattern in "${patterns[@]}"; do
        # shellcheck disable=SC2053,SC2254 # patterns
        case $file in $pattern | $pattern/*) continue 2 ;; esac
    done
    echo "$file"
done)
assert_eq "$missed" "" "installed files that are in no package"
for file in $(cat "$TOP"/debian/*.docs) $(sed -n 's|^\(data/[^ ]*\).*|\1|p' "$TOP"/debian/*.install); do [ -e "$TOP/$file" ] || fail "$file is missing"; done

# ---- each setting that kvss.conf suggests, as it would be with its # removed
sed 's/^#\([][a-z].*\)$/\1/' "$TOP/data/kvss.conf" > "$SANDBOX/kvss.conf"
assert_ge "$(grep -c ' = ' "$SANDBOX/kvss.conf")" 15 "settings"
assert_status 0 kvss --config "$SANDBOX/kvss.conf" list vms
assert_status 0 kvss --config "$TOP/data/kvss.conf" list vms
[ -n "${KVSS_TEST_FULL:-}" ] || exit 0

# ---- built, as from a release
for tool in dpkg-buildpackage dh lintian; do command -v $tool > /dev/null || skip "$tool is missing: run make test-deps"; done
mkdir -p "$SANDBOX/built/kvss"
(cd "$TOP" && git ls-files -z | tar --null -T - -cf -) | tar -C "$SANDBOX/built/kvss" -xf -
(cd "$SANDBOX/built/kvss" && DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage -b -us -uc) > "$SANDBOX/build.log" 2>&1 || fail "$(tail -n 20 "$SANDBOX/build.log")"
debs=("$SANDBOX"/built/*.deb)
assert_match "$(dpkg-deb -f "$SANDBOX"/built/kvss_*.deb Depends)" 'libvirt0.*' "dependencies"
lintian --fail-on error,warning --suppress-tags-from-file <(echo bad-distribution-in-changes-file) "$SANDBOX"/built/*.changes > "$SANDBOX/lintian.log" 2>&1 ||
    fail "lintian: $(cat "$SANDBOX/lintian.log")"
note "built: $(basename -a "${debs[@]}" | tr '\n' ' ')"

# ---- installed in a copy of this system
root=$SANDBOX/system
mkdir "$SANDBOX/upper" "$root"
mount -t tmpfs tmpfs "$SANDBOX/upper" && mkdir "$SANDBOX/upper/"{upper,work}
mount -t overlay -o "lowerdir=/,upperdir=$SANDBOX/upper/upper,workdir=$SANDBOX/upper/work" overlay "$root" 2> /dev/null || skip "no overlay file system"
cleanup_fn umount -l "$root"
in_root() { chroot "$root" env -i "PATH=$PATH" HOME=/root DEBIAN_FRONTEND=noninteractive "$@" > "$SANDBOX/out" 2>&1 || fail "$*: $(cat "$SANDBOX/out")"; }
mkdir -p "$root/packages" "$root/srv"
cp "${debs[@]}" "$root/packages"
for place in proc dev; do mount --rbind "/$place" "$root/$place"; done
has() { (cd "$SANDBOX/upper/upper" && find . \( -path ./packages -o -path './var/*' -o -path ./srv -o -path ./tmp -o -path ./root \) -prune -o \( -type f -o -type l \) -print | sort); }
before=$(has)
in_root sh -c 'dpkg -i /packages/kvss_*.deb /packages/kvss-doc_*.deb'
in_root kvss --version
in_root sh -c 'kvss list --help && man -w kvss.conf kvss-backup || [ ! -e /usr/bin/man ]'
[ -L "$root/etc/systemd/system/multi-user.target.wants/kvss-recover.service" ] || fail "kvss-recover.service is not enabled"
echo pass > "$root/etc/kvss/password"
chmod 600 "$root/etc/kvss/password"
sed -i 's|^#\(password-file = .*\)|\1|; s|^#\(repository = .*\)|\1|' "$root/etc/kvss/kvss.conf"
in_root kvss init
mkdir -p "$root/var/lib/kvss/sessions"
in_root sh -c 'dpkg -i /packages/kvss_*.deb' # as an upgrade
assert_eq "$(grep -c '^repository = ' "$root/etc/kvss/kvss.conf")" 1 "a changed kvss.conf after an upgrade"
in_root kvss list points
in_root dpkg --remove kvss kvss-doc
[ -e "$root/etc/kvss/kvss.conf" ] || fail "the configuration was removed, not only the program"
in_root dpkg --purge kvss kvss-doc
rm "$root/etc/kvss/password"
[ ! -e "$root/var/lib/kvss" ] || fail "left: $(find "$root/var/lib/kvss")"
[ -e "$root/srv/backup/config" ] || [ -n "$(ls "$root/srv/backup")" ] || fail "the repository was removed"
assert_eq "$(comm -13 <(echo "$before") <(has))" "" "files that are left after the purge"
