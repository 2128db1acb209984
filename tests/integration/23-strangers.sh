#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A restore point is a stranger: whoever has the key of the repository can write what he likes into one. It says where files go, who owns
# them, what the VM runs and what it opens; of all that a restore does by itself what the VM has on this host anyway, and no more. The VMs
# are small and never run.
# shellcheck disable=SC2016 # programs for jq and sh, whose variables are theirs
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

STRANGERS=yes
UUID=2c1f8f2a-51a7-4a55-9d83-5b4ddc0a7f11
DOCUMENT=$KVSS_BUILD/tests/tools/document
HOME_OF=$SANDBOX/machines OUTSIDE=$SANDBOX/outside
mkdir -p "$HOME_OF" "$OUTSIDE"
chmod 711 "$HOME_OF"
kvss_setup

define_shop() { # [DEVICES]
    virsh -q define /dev/stdin <<END
<domain type='qemu'><name>shop</name><uuid>$UUID</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$HOME_OF/shop.raw'/><target dev='vda' bus='virtio'/></disk>
${1:-}</devices></domain>
END
}
document() { "$DOCUMENT" "$1" "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "${@:2}"; }
# forge_record FILTER / forge_definition SED: a point like $POINT but for that; its id
forge_record() {
    document get "$POINT" vm/$UUID/vm.json | jq "$@" > "$SANDBOX/vm.json"
    document put "$POINT" vm/$UUID/vm.json "$SANDBOX/vm.json"
}
forge_definition() {
    document get "$POINT" vm/$UUID/part/definition | sed "$@" > "$SANDBOX/definition"
    document put "$POINT" vm/$UUID/part/definition "$SANDBOX/definition"
}
forge_devices() { forge_definition "s|</devices>|$1</devices>|"; }
lose() { virsh -q undefine shop && rm -f "$HOME_OF/shop.raw"; }

head -c 300K /dev/urandom > "$HOME_OF/shop.raw"
cp "$HOME_OF/shop.raw" "$SANDBOX/saved"
define_shop
backup shop

# ---- places: a VM that is here has its own again, wherever they are
: > "$HOME_OF/shop.raw"
kvss_json restore --yes "$POINT"
assert_same_file "$HOME_OF/shop.raw" "$SANDBOX/saved"
kvss_json restore --yes "$POINT" shop --name stall
assert_same_file "$HOME_OF/stall-vda.raw" "$SANDBOX/saved"
virsh -q undefine stall
note "what the VM has here now is its own"

# one that is gone is a stranger's: refused, and how to go on is said
lose
kvss_fails "$EXIT_REFUSED" restore "$POINT"
assert_match "$OUTPUT" "disk vda would be written to $HOME_OF/shop.raw" "the place"
assert_match "$OUTPUT" "--allow-path $HOME_OF/shop.raw" "the option"
assert_no_file "$HOME_OF/shop.raw"
kvss_fails "$EXIT_REFUSED" restore --dry-run "$POINT" --json
assert_eq "$(report '.refused[].option')" "--allow-path $HOME_OF/shop.raw" "what the plan refuses"
kvss_fails "$EXIT_REFUSED" restore --dry-run "$POINT"
assert_match "$(cat "$REPORT")" "REFUSED: VM shop, disk vda would be written to $HOME_OF/shop.raw" "the plan in words"
kvss_json restore "$POINT" --allow-path "$HOME_OF"
assert_same_file "$HOME_OF/shop.raw" "$SANDBOX/saved"
lose
mkdir -p /etc/kvss
printf 'restore-paths = /srv/no-such-place %s\n' "$HOME_OF" > /etc/kvss/kvss.conf
kvss_json restore "$POINT"
lose
echo "restore-paths = relative" > /etc/kvss/kvss.conf
kvss_fails "$EXIT_USAGE" restore "$POINT"
rm /etc/kvss/kvss.conf
virsh -q pool-define-as machines dir --target "$HOME_OF"
virsh -q pool-start machines
kvss_json restore "$POINT"
lose
virsh -q pool-destroy machines
kvss_fails "$EXIT_REFUSED" restore "$POINT"
kvss_json restore "$POINT" --to "$HOME_OF"
lose
kvss_json restore "$POINT" --disk vda="$HOME_OF/shop.raw"
note "named by option, by kvss.conf, as a pool"

# ---- ways out of a place that is allowed
echo precious > "$OUTSIDE/file"
ln -s "$OUTSIDE" "$HOME_OF/way-out"
ln -s "$OUTSIDE/file" "$HOME_OF/link"
for path in "$OUTSIDE/file" "$HOME_OF/way-out/file" "$HOME_OF/way-out/new" "$HOME_OF/link" "$HOME_OF/../outside/file" \
    "$HOME_OF/not-there/../../outside/file" "$IMAGES/../../../..$OUTSIDE/new" "$HOME_OF-beside/file"; do
    point=$(forge_record --arg path "$path" '.disks[0].path = $path')
    kvss_fails "$EXIT_REFUSED" restore --yes --overwrite "$point" --allow-path "$HOME_OF"
    assert_match "$OUTPUT" "--allow-path" "the way on"
done
point=$(forge_record --arg path "$OUTSIDE/file" '.parts += [.parts[] | select(.name == "definition") | .name = "nvram" | .restore_path = $path]')
kvss_fails "$EXIT_REFUSED" restore --yes --overwrite "$point" --allow-path "$HOME_OF"
assert_match "$OUTPUT" "NVRAM would be written to $OUTSIDE/file" "the NVRAM"
assert_eq "$(cat "$OUTSIDE/file")" precious
assert_eq "$(ls "$OUTSIDE")" file "what is outside"
assert_no_file "$HOME_OF/not-there" "$HOME_OF-beside"
point=$(forge_record --arg path "$HOME_OF/link" '.disks[0].path = $path')
kvss_json restore --yes --overwrite "$point" --allow-path "$OUTSIDE/file"
assert_same_file "$OUTSIDE/file" "$SANDBOX/saved"
note "no link and no .. leads out"

# ---- owner and mode
point=$(forge_record '.disks[0] |= (.mode = 4095 | .uid = 12345 | .gid = 54321 | del(.user, .group))')
kvss_json restore --yes "$point" --to "$HOME_OF/fresh" --move
assert_eq "$(stat -c '%u %a' "$HOME_OF/fresh/shop.raw")" "$(id -u libvirt-qemu) 775" "owner and mode of an image"
assert_match "$(cat "$SANDBOX/stderr")" 'belonged to user 12345, group 54321' "what is told"
chown 12345:54321 "$HOME_OF/fresh/shop.raw"
kvss_json restore --yes "$point" --to "$HOME_OF/fresh" --move
assert_eq "$(stat -c '%u:%g' "$HOME_OF/fresh/shop.raw")" 12345:54321 "owner of what it replaces"
lose
rm -rf "$HOME_OF/fresh"
head -c 300K /dev/zero > "$HOME_OF/shop.raw"
define_shop

# ---- definitions
mkdir -p "$SANDBOX/evil"
printf '#!/bin/sh\necho "run: $0 $*" >> %s/evil/log\nexec /usr/bin/qemu-system-x86_64 "$@"\n' "$SANDBOX" > "$SANDBOX/evil/qemu-system-x86_64"
cp "$SANDBOX/evil/qemu-system-x86_64" "$SANDBOX/evil/up"
chmod 755 "$SANDBOX"/evil/*
chmod 711 "$SANDBOX/evil"

listed() { # POINT TEXT DANGER: it is listed everywhere, would be refused, and nothing has been run
    kvss_fails "$EXIT_REFUSED" restore --dry-run "$1" --json
    assert_eq "$(report ".vms[0].demands[] | select(.refused) | .danger + \" \" + .kind + \" \" + .text" | head -n 1)" "$3 $2" "what the plan refuses"
    kvss show "$1" > "$REPORT"
    grep -qF "$2" "$REPORT" || fail "kvss show does not tell of $2: $(cat "$REPORT")"
    assert_no_file "$SANDBOX/evil/log"
}
refused() { # the same, and it is
    listed "$@"
    kvss_fails "$EXIT_REFUSED" restore --yes "$1"
    assert_match "$OUTPUT" "--trust-definition" "the way on"
    [[ $OUTPUT == *"$2"* ]] || fail "the refusal does not name $2: $OUTPUT"
    assert_no_file "$SANDBOX/evil/log"
}
while read -r danger text xml; do
    listed "$(forge_devices "$xml")" "${text//_/ }" "$danger"
done <<'END'
host cdrom_/etc/hostname_(hdc) <disk type='file' device='cdrom'><source file='/etc/hostname'/><target dev='hdc' bus='ide'/><readonly/></disk>
host filesystem_/_(passthrough) <filesystem type='mount' accessmode='passthrough'><source dir='/'/><target dir='host'/></filesystem>
host file_/root/serial.log <serial type='file'><source path='/root/serial.log'/><target port='0'/></serial>
host device_/dev/tty1 <serial type='dev'><source path='/dev/tty1'/><target port='0'/></serial>
host socket_/run/docker.sock <channel type='unix'><source mode='connect' path='/run/docker.sock'/><target type='virtio' name='x'/></channel>
host host_device_usb_id=0x1234_id=0xbeef <hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/><product id='0xbeef'/></source></hostdev>
host source_of_random_numbers_/dev/sda <rng model='virtio'><backend model='random'>/dev/sda</backend></rng>
host disk_image_/dev/null/x_(vdz) <disk type='file' device='disk'><source file='/dev/null/x'/><target dev='vdz' bus='virtio'/></disk>
unknown element_devices/frobnicator <frobnicator/>
END
refused "$(forge_devices "<interface type='ethernet'><script path='$SANDBOX/evil/up'/></interface>")" "script $SANDBOX/evil/up" code
refused "$(forge_definition "s|/usr/bin/qemu-system-x86_64|$SANDBOX/evil/qemu-system-x86_64|")" "emulator $SANDBOX/evil/qemu-system-x86_64" code
refused "$(forge_definition "s|/usr/bin/qemu-system-x86_64|/usr/bin/env|")" "emulator /usr/bin/env" code
refused "$(forge_definition "s|</domain>|<x:commandline xmlns:x='http://libvirt.org/schemas/domain/qemu/1.0'><x:arg value='-snapshot'/></x:commandline></domain>|")" \
    "argument (qemu:commandline) -snapshot" code
refused "$(forge_definition "s|</os>|<kernel>/boot/vmlinuz</kernel></os>|")" "kernel /boot/vmlinuz" host
refused "$(forge_definition "s|</domain>|<seclabel type='static' model='dac'><label>+0:+0</label></seclabel></domain>|")" "security label dac static +0:+0" code
note "what runs code or opens the host's is listed and refused"

# of another VM: refused before that one is touched
point=$(forge_definition "s|$UUID|2c1f8f2a-51a7-4a55-9d83-5b4ddc0a7f22|")
kvss_fails "$EXIT_DAMAGED" restore --yes "$point" --trust-definition
assert_match "$OUTPUT" "nothing was changed.*belongs to another VM" "what is said"

# what the VM has here now, it may have again; what only takes a share of the host needs no word; and a word is enough
log="<serial type='file'><source path='/root/serial.log'/><target port='0'/></serial>"
point=$(forge_devices "$log<graphics type='vnc' port='-1' listen='0.0.0.0'/>")
define_shop "$log"
kvss_json check shop
assert_match "$(report '.vms[0].demands[] | .danger + " " + .kind + " " + .text')" 'host file /root/serial.log' "what check tells"
kvss_json restore --yes "$point"
assert_eq "$(report '[.vms[0].demands[] | select(.refused)] | length')" 0 "refused"
kvss_json restore --yes "$(forge_devices "${log/serial.log/other.log}")" --trust-definition
assert_match "$(definition shop)" '/root/other.log' "the definition"
# images alone register nothing
kvss_json restore "$(forge_devices "<frobnicator/>")" --images-only --to "$SANDBOX/extracted"
assert_same_file "$SANDBOX/extracted/shop.raw" "$SANDBOX/saved"
assert_no_file "$SANDBOX/evil/log"
note "what it had it may have again"

# under the name of one VM, another: a person has to say that it is meant
virsh -q domrename shop till
kvss_fails "$EXIT_REFUSED" restore --yes "$(forge_devices "<memballoon model='none'/>")"
assert_match "$OUTPUT" 'VM shop in the restore point has the UUID of VM till on this host' "what is said of a VM with another name here"
virsh -q domrename till shop

# what this host made itself is no stranger's: the VM is gone, and had it here; but to a host that does not remember
backup shop # with the log
own=$POINT
lose
kvss_json restore --yes --no-start --allow-path "$HOME_OF" "$own"
assert_match "$(definition shop)" '/root/other.log' "the definition of a VM that was gone"
assert_eq "$(report '[.vms[0].demands[] | select(.refused)] | length')" 0 "refused of a point of this host"
lose
POINT=$own
kvss_fails "$EXIT_REFUSED" restore --yes --no-start --allow-path "$HOME_OF" "$(forge_devices "<frobnicator/>")"
mv /var/lib/kvss/known "$SANDBOX/known"
kvss_fails "$EXIT_REFUSED" restore --yes --no-start --allow-path "$HOME_OF" "$own"
assert_match "$OUTPUT" '/root/other.log.*--trust-definition' "what another host says"
rm -rf /var/lib/kvss/known
mv "$SANDBOX/known" /var/lib/kvss/known
kvss_json restore --yes --no-start --allow-path "$HOME_OF" "$own" --trust-definition
note "what this host made is no stranger's"

# ---- files of writers: the one that is installed says where they may go
writer_install clerk < /dev/null
mkdir -p "$SANDBOX/files-clerk/books"
echo ledger > "$SANDBOX/files-clerk/books/ledger"
backup shop
document get "$POINT" files/0000/index.json > "$SANDBOX/index.json"
forge_index() {
    jq "$@" "$SANDBOX/index.json" > "$SANDBOX/index.forged"
    document put "$POINT" files/0000/index.json "$SANDBOX/index.forged"
}
for path in "$OUTSIDE/planted" "$SANDBOX/files-clerks/planted" /etc/cron.d/planted; do
    point=$(forge_index --arg path "$path" '(.files[] | select(.type == "file") | .path) = $path')
    kvss_fails "$EXIT_REFUSED" restore --yes "$point" --trust-definition
    assert_match "$OUTPUT" "--allow-path $(dirname "$path")" "the way on"
    kvss_fails "$EXIT_REFUSED" restore --dry-run "$point" --json
    assert_no_file "$path"
done
point=$(forge_index --arg path "$OUTSIDE/planted" '(.files[] | select(.type == "file") | .path) = $path')
kvss_json restore --yes "$point" --allow-path "$OUTSIDE"
assert_eq "$(cat "$OUTSIDE/planted")" ledger
rm "$SANDBOX/files-clerk/books/ledger"
kvss_json restore --yes "$POINT"
assert_eq "$(cat "$SANDBOX/files-clerk/books/ledger")" ledger
# a writer whose files are elsewhere now
sed -i "s|files-clerk\"|files-clerk/elsewhere\"|" "$WRITERS/clerk"
kvss_fails "$EXIT_REFUSED" restore --yes "$POINT"
rm "$WRITERS/clerk"
note "files of writers go where their writers have them"

# ---- names that a terminal would obey: C1, right-to-left, zero width
document get "$POINT" META | jq '.vms[0].name = "sh\u009b31m\u202eop\u200b"' > "$SANDBOX/meta"
point=$(document put "$POINT" META "$SANDBOX/meta")
kvss list points > "$REPORT"
kvss show "$point" >> "$REPORT"
LC_ALL=C grep -nE $'\xc2\x9b|\xe2\x80\xae|\xe2\x80\x8b' "$REPORT" && fail "a name reaches the terminal as it is"
grep -q 'sh.*31m' "$REPORT" || fail "the name is not shown: $(cat "$REPORT")"
note "names are shown as text"
