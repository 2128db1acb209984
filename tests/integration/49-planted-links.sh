#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# An unprivileged user owns folders that root reads and writes in: a service's data, and images of VMs. While backups and restores run, he
# swaps files and folders for symbolic links to root's, and whatever kvss makes beside them too. Nothing outside his own folder changes, is
# made, or gets into the repository; without him all works. B2, M12-M14. The links of an administrator are followed, and told.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

swaps=300
[ -z "${KVSS_TEST_FULL:-}" ] || swaps=1000
export KVSS_REPOSITORY=$SANDBOX/plain KVSS_CONNECT=qemu:///system
kvss init --no-encryption > "$SANDBOX/out"

# ---- what is root's, and what is the user's
roots=$SANDBOX/roots users=$SANDBOX/users
mkdir -p "$roots/conf.d" "$roots/private"
chmod 700 "$roots/private"
marker=$(head -c 48 /dev/urandom | base64 -w 0)
head -c 65536 /dev/urandom > "$roots/private/secret"
printf '%s' "$marker" | dd of="$roots/private/secret" bs=1 seek=8192 conv=notrunc 2> "$SANDBOX/dd"
cp "$roots/private/secret" "$roots/conf.d/secret"
chmod 600 "$roots/private/secret" "$roots/conf.d/secret"
mkdir -p "$users/images" "$users/data/conf.d" "$users/data/dir/below"
control=$(head -c 48 /dev/urandom | base64 -w 0)
{ head -c 8192 /dev/urandom; printf '%s' "$control"; head -c 50000 /dev/urandom; } > "$users/data/file"
echo 'his own' | tee "$users/data/conf.d/secret" "$users/data/conf.d/evil" > "$users/data/dir/below/x"
head -c 65536 /dev/urandom > "$users/images/off.raw"
qemu-img create -q -f qcow2 "$users/images/two.qcow2" 1M
chown -R 64777:64777 "$users"
chmod 4755 "$users/data/conf.d/evil"

vm() { # NAME DISK FORMAT
    virsh -q define /dev/stdin <<END
<domain type='qemu'><name>$1</name><memory unit='MiB'>64</memory><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='$3'/><source file='$2'/><target dev='vda' bus='virtio'/></disk>
</devices></domain>
END
}
vm off "$users/images/off.raw" raw
vm two "$users/images/two.qcow2" qcow2
mkdir -p "$WRITERS"
cat > "$WRITERS/svc" <<END
#!/bin/sh
cat > /dev/null
[ "\$1" != identify ] || echo '{"api": 1, "name": "svc", "id": "5d4e7a10-0d2b-4c55-8a63-0123456789ab", "components": [{"name": "svc",
"files": [{"path": "$users/data", "filespec": "*", "recursive": true}]}]}'
END
chmod 755 "$WRITERS/svc"

listing() { find "$roots" -printf '%P %M %U:%G %s %T@ %i %n\n' -type f -exec sha256sum {} + | sort; }
in_repository() { grep -rqaF -- "$1" "$KVSS_REPOSITORY"; }
listing > "$SANDBOX/before"

# ---- undisturbed: a backup, whose bytes can be found
kvss_json backup off two
calm=$(report .point) # later ones hold what the user let them see
in_repository "$control" || fail "what is in the repository cannot be found this way"
note "backed up"

# ---- the user at work
cat > "$SANDBOX/attack.py" <<END
import os, random, signal, sys, time
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1)) # he puts back what he has just moved away
users, roots, told = "$users", "$roots", "$users/swaps"
def both(path, target):
    kept = path + ".his"
    os.rename(path, kept)
    os.symlink(target, path)
    time.sleep(random.random() * 0.03)
    os.unlink(path) if os.path.islink(path) else os.rename(path, path + ".made%d" % random.randrange(1 << 30))
    os.rename(kept, path)
def planted(folder):
    for name in os.listdir(folder):
        path = folder + "/" + name
        if name.startswith(".kvss-") and not os.path.islink(path):
            os.rename(path, folder + "/taken%d" % random.randrange(1 << 30))
            os.symlink(random.choice([roots + "/private/secret", roots + "/private/new", roots + "/conf.d"]), path)
            return 1
    return 0
n = 0
while not ended:
    for path, target in (("data/conf.d", roots + "/conf.d"), ("data/dir", roots + "/private"), ("data/file", roots + "/private/secret"),
                         ("images/off.raw", roots + "/private/secret"), ("images/two.qcow2", roots + "/private/secret"),
                         ("data/dir/below", roots + "/conf.d"), ("images", roots + "/private")):
        try:
            both(users + "/" + path, target)
            n += 1
        except OSError:
            pass
        for folder in ("data", "data/conf.d", "data/dir/below", "images"):
            try:
                n += planted(users + "/" + folder)
            except OSError:
                pass
        time.sleep(random.random() * 0.03)
    with open(told + ".new", "w") as f:
        f.write(str(n))
    os.replace(told + ".new", told)  # never seen empty
END
chmod 644 "$SANDBOX/attack.py"
setpriv --reuid 64777 --regid 64777 --clear-groups --no-new-privs /usr/bin/python3 "$SANDBOX/attack.py" > "$SANDBOX/attack.log" 2>&1 &
attack=$!
end_attack() { kill $attack 2> /dev/null || :; }
cleanup_fn end_attack
so_far() { cat "$users/swaps" 2> /dev/null || echo 0; }
rounds=0 refused=0
while [ $rounds -lt 3 ] || [ "$(so_far)" -lt $swaps ]; do
    kill -0 $attack || fail "the user has given up: $(cat "$SANDBOX/attack.log")"
    for job in "backup off two" "restore --yes --no-start latest" "restore --yes --no-start latest off" "restore --yes latest two"; do
        # shellcheck disable=SC2086
        timeout 120 "$KVSS" $job > "$SANDBOX/out" 2>&1 && status=0 || status=$?
        [ "$status" = 0 ] || refused=$((refused + 1))
        [ "$status" != 124 ] || fail "kvss $job hangs"
        listing > "$SANDBOX/now"
        diff "$SANDBOX/before" "$SANDBOX/now" > "$SANDBOX/diff" || fail "kvss $job: root's files have changed: $(cat "$SANDBOX/diff" "$SANDBOX/out")"
    done
    rounds=$((rounds + 1))
done
end_attack
wait $attack || :
assert_ge "$(so_far)" "$swaps" "swaps"
note "$rounds rounds, $(so_far) swaps, $refused of $((rounds * 4)) jobs were refused or failed; the last said: $(tail -n 1 "$SANDBOX/out" | cut -c 1-150)"
! in_repository "$marker" || fail "root's secret is in the repository"

# ---- he leaves a link behind: refused before anything is touched, with its place
find "$users" -type l -delete # an undo may have put back a link of his that it had met
rm -rf "$users/images/off.raw" "$users/data"
ln -s "$roots/private/secret" "$users/images/off.raw"
chown -h 64777:64777 "$users/images/off.raw"
kvss_fails "$EXIT_REFUSED" restore --dry-run "$calm" off
assert_match "$OUTPUT" "$roots/private/secret that belongs to user 64777"
kvss_fails "$EXIT_REFUSED" restore --yes "$calm" off
rm "$users/images/off.raw"
mkdir "$users/data"
ln -s "$roots/conf.d" "$users/data/conf.d"
chown -hR 64777:64777 "$users/data"
kvss_fails "$EXIT_REFUSED" restore --yes "$calm"
assert_match "$OUTPUT" "data/conf.d is a symbolic link to $roots/conf.d that belongs to user 64777"
listing > "$SANDBOX/now"
diff "$SANDBOX/before" "$SANDBOX/now" || fail "root's files have changed"

# ---- without links all comes back; the set-id bit of what was not root's does not, and that is told
rm "$users/data/conf.d"
kvss_json restore --yes "$calm"
assert_eq "$(report '.files[0].set_ids[0] | "\(.path) \(.mode) \(.kept)"')" "$users/data/conf.d/evil 4755 false" "set-id bits"
assert_eq "$(stat -c '%a %u' "$users/data/conf.d/evil")" "755 64777" "mode and owner"
assert_eq "$(cat "$users/data/dir/below/x")" "his own"

# ---- an administrator's link
mkdir "$SANDBOX/other"
mv "$users/images/off.raw" "$SANDBOX/other/off.raw"
chown root "$SANDBOX/other/off.raw"
ln -s "$SANDBOX/other" "$SANDBOX/admin"
virsh -q undefine off
vm off "$SANDBOX/admin/off.raw" raw
kvss backup off > "$SANDBOX/out" 2>&1 || fail "$(cat "$SANDBOX/out")"
kvss_json restore --dry-run latest off
assert_report_vm off '.write[0].real' "$SANDBOX/other/off.raw"
kvss_json restore --yes latest off
assert_report_vm off '.disks[0] | "\(.path) \(.real)"' "$SANDBOX/admin/off.raw $SANDBOX/other/off.raw"
[ -L "$SANDBOX/admin" ] || fail "the administrator's link is gone"
note "links of others are refused, the administrator's are followed"
