#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kvss-guest as packages (`make packages`): the Debian package and the RPM hold what `kvss guest install` unpacks, a service and the manual
# page, depend on nothing, are the same if built again, and are installed, upgraded and removed by dpkg and rpm, leaving nothing but a
# changed configuration file. The program that was installed runs. M2.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"

DATA=$TESTS/../data
command -v rpmbuild > /dev/null || skip "rpmbuild is missing: run make test-deps"
[ -e "$KVSS_BUILD/docs/man/kvss-guest.8" ] || fail "the manual page was not built"
work=$SANDBOX/packages
mkdir -p "$work"
parts=("$KVSS_BUILD/data/kvss-guest.tar" "$DATA/guest/kvss-guest.service" "$DATA/guest/kvss-guest.rules" "$KVSS_BUILD/docs/man/kvss-guest.8" "$DATA/../LICENSE")
make_deb() { (umask 077 && "$DATA/guest/deb" "$1" "$2" "${parts[@]}"); }
make_rpm() { (umask 077 && "$DATA/guest/rpm" "$1" "$2" "$DATA/guest/kvss-guest.spec" "${parts[@]}"); }
make_deb "$work/one.deb" 1.0
make_deb "$work/again.deb" 1.0
make_deb "$work/two.deb" 1.1
make_rpm "$work/one.rpm" 1.0
make_rpm "$work/again.rpm" 1.0
make_rpm "$work/two.rpm" 1.1

# ---- what is in them
archive() { tar -tf "$KVSS_BUILD/data/kvss-guest.tar"; }
expected() { # HOOK_FOLDER PAGE LICENSE
    archive | sed "s|^etc/qemu/fsfreeze-hook.d|$1|"
    printf '%s\n' usr/lib/systemd/system/kvss-guest.service usr/lib/udev/rules.d/99-kvss-guest.rules "$2" "$3"
}
assert_eq "$(dpkg-deb --fsys-tarfile "$work/one.deb" | tar -t | sed 's|^\./||' | grep -v '/$' | grep . | sort)" \
    "$(expected etc/qemu/fsfreeze-hook.d usr/share/man/man8/kvss-guest.8.gz usr/share/doc/kvss-guest/copyright | sort)" "files of the .deb"
assert_eq "$(rpm -qpl "$work/one.rpm" | grep -vE '/kvss-guest$|/writers$' | sort)" \
    "$(expected etc/qemu-ga/fsfreeze-hook.d usr/share/man/man8/kvss-guest.8 usr/share/licenses/kvss-guest/LICENSE |
        grep -vE '/kvss-guest$' | sed 's|^|/|' | sort)" "files of the RPM"
rpm -qpl "$work/one.rpm" > "$work/rpm.files"
for path in /usr/sbin/kvss-guest /etc/qemu-ga/fsfreeze-hook.d/kvss-guest; do
    grep -qxF "$path" "$work/rpm.files" || fail "the RPM lacks $path"
done
assert_eq "$(dpkg-deb --field "$work/one.deb" Depends Pre-Depends)" "" "dependencies of the .deb"
assert_eq "$(rpm -qp --requires "$work/one.rpm" | grep -vE '^(rpmlib\(|/bin/sh$|config\()' || :)" "" "dependencies of the RPM"
assert_eq "$(dpkg-deb --fsys-tarfile "$work/one.deb" | tar -tv --numeric-owner | awk '{ print $2 }' | sort -u)" 0/0 "owners in the .deb"
cmp "$work/one.deb" "$work/again.deb" || fail "built again, the .deb differs"
cmp "$work/one.rpm" "$work/again.rpm" || fail "built again, the RPM differs"
assert_eq "$(dpkg-deb --fsys-tarfile "$work/one.deb" | tar -tv | awk '{ print $1 }' | sort -u | tr '\n' ' ')" '-rw-r--r-- -rwxr-xr-x drwxr-xr-x ' \
    "modes in the .deb"

# ---- installed, upgraded, removed
root=$work/root
mkdir -p "$root/var/lib/dpkg/"{info,updates} "$root/var/lib/rpm"
touch "$root/var/lib/dpkg/status"
deb() { dpkg --root="$root" --force-not-root --force-script-chrootless --log=/dev/null "$@" > "$work/out" 2>&1 || fail "dpkg $*: $(cat "$work/out")"; }
rpms() { rpm --root "$root" --noscripts --nodeps "$@" > "$work/out" 2>&1 || fail "rpm $*: $(cat "$work/out")"; }
has() { find "$root" -path "$root/var" -prune -o -type f -printf '%P\n' | sort; }
works() {
    "$root/usr/sbin/kvss-guest" --run-dir "$work/run" --writers-dir "$work/none" status < /dev/null > "$work/status"
    assert_eq "$(jq -r '[.protocol, (.writers | length)] | join(" ")' "$work/status")" "1 0" "the program of the package"
}
deb --install "$work/one.deb"
works
echo '# mine' >> "$root/etc/qemu/fsfreeze-hook.d/kvss-guest"
deb --install "$work/two.deb"
works
assert_eq "$(tail -n 1 "$root/etc/qemu/fsfreeze-hook.d/kvss-guest")" '# mine' "a changed hook, after the upgrade"
deb --remove kvss-guest
assert_eq "$(has)" etc/qemu/fsfreeze-hook.d/kvss-guest "left by the .deb when it is removed"
sh "$root/etc/qemu/fsfreeze-hook.d/kvss-guest" freeze || fail "the hook that stays fails the freeze"
deb --purge kvss-guest
assert_eq "$(has)" "" "left by the .deb when it is purged"
rpms --install "$work/one.rpm"
works
rpms --upgrade "$work/two.rpm"
works
rpms --erase kvss-guest
assert_eq "$(has)" "" "left by the RPM"

# ---- the service is one that systemd understands
systemd-analyze verify --man=no "$DATA/guest/kvss-guest.service" > "$work/verify" 2>&1 || :
assert_eq "$(grep -v 'kvss-guest is not executable\|No such file' "$work/verify" || :)" "" "what systemd says of the service"
assert_nothing_left
