#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The commands of kvss-howto(7), all of them, as they stand on the page: a host with two VMs, one of which runs, is backed up, loses things
# and gets them back. Only the place of kvss is another, and units are run by a manager in the sandbox. M16, B4.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_systemd.sh
. "$TESTS/lib/functions_systemd.sh"

PAGE=$TESTS/../docs/man/kvss-howto.rst BLOCKS=$SANDBOX/blocks
mkdir "$BLOCKS" "$SANDBOX/bin"
# Each literal block of the page is a script, BLOCKS/NN, with the title of its task in BLOCKS/NN.title.
awk -v dir="$BLOCKS" '
    /^-+$/ && length(before) == length($0) { title = before }
    literal && /^[^ ]/ { literal = 0; close(out) }
    literal { sub(/^    /, ""); print > out }
    /::$/ && !literal { literal = 1; out = sprintf("%s/%02d", dir, ++n); print title > (out ".title"); close(out ".title") }
    { before = $0 }' "$PAGE"
mapfile -t blocks < <(find "$BLOCKS" -name '[0-9][0-9]' | sort)
[ ${#blocks[@]} -ge 20 ] || fail "only ${#blocks[@]} blocks of commands were found"
assert_eq "$(cat "${blocks[@]}" | grep -c '^ *kvss ')" "$(grep -c '^    kvss ' "$PAGE")" "lines that begin with kvss"
titles=$(cat "$BLOCKS"/*.title | uniq | wc -l)
[ "$titles" -ge 12 ] || fail "only $titles tasks were found"

# ---- the host
mount -t tmpfs tmpfs /srv
mount -t tmpfs tmpfs /mnt
ln -s "$KVSS" "$SANDBOX/bin/kvss"
export PATH=$SANDBOX/bin:$PATH
unset KVSS_REPOSITORY KVSS_PASSWORD_FILE KVSS_CONNECT
cat > "$SANDBOX/bin/systemctl" <<END
#!/bin/bash
# The system's manager is one of a user's in the sandbox.
mkdir -p $UNITS
for unit in /etc/systemd/system/kvss-*; do
    sed -e 's|^ExecStart=/usr/bin/kvss |ExecStart=$KVSS |' -e '/^After=libvirtd/d' "\$unit" > $UNITS/"\${unit##*/}"
done
exec /bin/systemctl --user "\$@"
END
chmod 755 "$SANDBOX/bin/systemctl"
systemd_start

# define NAME DISK...: a VM without a system
define() {
    local name=$1 disk
    {
        echo "<domain type='qemu'><name>$name</name><memory unit='MiB'>16</memory><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>"
        for disk in "${@:2}"; do
            qemu-img create -q -f qcow2 "$IMAGES/$name-$disk.qcow2" 8M
            qemu-io -f qcow2 -c 'write -q -P 0x55 0 1M' "$IMAGES/$name-$disk.qcow2"
            echo "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$IMAGES/$name-$disk.qcow2'/>"
            echo "<target dev='$disk' bus='virtio'/></disk>"
        done
        echo '</devices></domain>'
    } > "$SANDBOX/$name.xml"
    virsh -q define "$SANDBOX/$name.xml"
}
define web01 vda vdb
define db01 vda
virsh -q start db01
for disk in web01-vda web01-vdb db01-vda; do cp "$IMAGES/$disk.qcow2" "$SANDBOX/$disk.before"; done
damage() { qemu-io -f qcow2 -c 'write -q -P 0x66 0 1M' "$IMAGES/$1.qcow2"; }
as_before() { qemu-img compare -U -q "$IMAGES/$1.qcow2" "$SANDBOX/${1%-*}-${1##*-}.before" || fail "$1 is not as it was"; }

# ---- what has happened before a task, and what must be so after it
before() { # TITLE
    case $1 in
    'Restore a VM') damage web01-vda ;;
    'Restore a single disk') damage web01-vdb ;;
    'Keep a second copy at another site') mkdir /mnt/offsite ;;
    'Restore on another host')
        destroy_vm db01
        rm -rf /var/lib/kvss/* # which knows nothing
        ;;
    esac
}
after() { # TITLE
    case $1 in
    'Make the first backup')
        assert_eq "$(kvss list points --json | jq '[.points[].vms | length] | join(" ")' -r)" "2 2 1" "VMs in the restore points"
        assert_state db01 running
        ;;
    'Back up every night')
        [ "$(/bin/systemctl --user is-active kvss-backup.timer)" = active ] || fail "the timer: $(cat "$SANDBOX/manager")"
        /bin/systemctl --user start kvss-backup.service ||
            fail "the service: $(/bin/systemctl --user status kvss-backup.service) $(cat "$SANDBOX/manager")"
        assert_eq "$(kvss list points --json | jq '[.points[-2:][].vms | length] | join(" ")' -r)" "1 1" "what the timer made"
        sed -n 's/^0 2 \* \* \* root //p' /etc/cron.d/kvss-backup > "$SANDBOX/cron"
        assert_match "$(cat "$SANDBOX/cron")" '^kvss backup' "cron's command"
        sh -e "$SANDBOX/cron" || fail "cron's command"
        ;;
    'Restore a VM') as_before web01-vda ;;
    'Restore a copy next to the original')
        assert_state web01-copy 'shut off'
        [ "$(virsh domuuid web01)" != "$(virsh domuuid web01-copy)" ] || fail "the copy is the original"
        ;;
    'Restore a single disk') as_before web01-vdb ;;
    'Restore on another host')
        as_before db01-vda
        assert_state db01 running
        ;;
    'Get at files and images') qemu-img compare -q /srv/extract/web01-vda.qcow2 "$SANDBOX/web01-vda.before" ;;
    'Keep some, remove the rest')
        [ "$(kvss list points --json | jq '[.points[] | select(.protected and .protected.until == null)] | length')" = 1 ] || fail "no restore point is protected"
        ;;
    'Keep a second copy at another site')
        assert_eq "$(kvss list points -r /mnt/offsite/backup --json | jq '.points | length')" "$(kvss list points --json | jq '.points | length')" \
            "restore points in the second repository"
        ;;
    'Prepare for a lost passphrase')
        kvss_fails "$EXIT_FAILED" list points --password-file /etc/kvss/second
        kvss list points > /dev/null
        ;;
    esac
}

title=
for block in "${blocks[@]}"; do
    if [ "$(cat "$block.title")" != "$title" ]; then
        after "$title"
        [ -z "$title" ] || note "$title"
        title=$(cat "$block.title")
        before "$title"
    fi
    bash -e -o pipefail "$block" > "$SANDBOX/shown" 2>&1 || fail "$title: status $?: $(cat "$block" "$SANDBOX/shown")"
done
after "$title"
note "$title"
