#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The provider `lvm`: disks that are logical volumes, thin and classic, and files of writers on the file systems of such volumes, also where
# only a part of one is mounted. What comes back is of the instant. Nothing is left, whoever is killed at whatever step; too little room is
# refused, or files are copied as ever. With a guest that runs on logical volumes: KVSS_TEST_FULL=1. M9, M22, B2.
# Where the kernel has no device mapper, User Mode Linux has one.
# timeout: 1800
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

OTHER_KERNEL=always lvm_group 2G
kvss_setup
POOL=200
lvcreate -q -T "$GROUP/pool" -L "${POOL}M" > /dev/null 2>&1
lvcreate -q -T "$GROUP/pool" -V 32M -n thin > /dev/null 2>&1
lvcreate -q -T "$GROUP/pool" -V 64M -n orders > /dev/null 2>&1
lvcreate -q "$GROUP" -L 64M -n classic > /dev/null
volumes() { lvs --noheadings -o lv_name "$GROUP" | tr -d ' ' | sort | tr '\n' ' '; }
THERE=$(volumes)
# as it was: no snapshot, nothing mounted, and the journal empty
as_before() { [ "$(volumes)" = "$THERE" ] && ! grep -q /volume- /proc/self/mountinfo && [ -z "$(ls /var/lib/kvss/sessions 2> /dev/null)" ]; }
assert_as_before() { as_before || fail "$1: left are: $(volumes) $(grep /volume- /proc/self/mountinfo)"; }

# on_volumes VM VOLUME...: its disks, which are images, become logical volumes with the same content
on_volumes() {
    local vm=$1 path format xml
    shift
    virsh dumpxml "$vm" --inactive --security-info > "$SANDBOX/$vm.xml"
    while read -r path; do
        format=${path##*.}
        dd if="$path" of="/dev/$GROUP/$1" bs=1M conv=fsync status=none
        xml=$(sed "s|<source file='$path'/>|<source dev='/dev/$GROUP/$1'/>|" "$SANDBOX/$vm.xml")
        echo "$xml" > "$SANDBOX/$vm.xml"
        shift
    done < <(virsh -q domblklist "$vm" --inactive | awk '{ print $2 }')
    python3 - "$SANDBOX/$vm.xml" << 'END'
import sys, xml.etree.ElementTree as e
tree = e.parse(sys.argv[1])
for disk in tree.iter("disk"):
    if disk.find("source").get("dev"):
        disk.set("type", "block")
tree.write(sys.argv[1])
END
    virsh -q undefine "$vm"
    virsh -q define "$SANDBOX/$vm.xml"
}
guest_define off fs=none agent=no disks=2 format=raw,qcow2 size=32M tokens=off
qemu-io -f raw -c 'write -q -P 0x11 1M 3M' "$IMAGES/off-vda.raw"
qemu-io -f qcow2 -c 'write -q -P 0x22 2M 3M' "$IMAGES/off-vdb.qcow2"
on_volumes off thin classic
guest_remember_disks off
sums() { cmp -n $((32 << 20)) "/dev/$GROUP/thin" "$IMAGES/off-vda.raw" && qemu-img compare -q -f qcow2 -F qcow2 "/dev/$GROUP/classic" "$IMAGES/off-vdb.qcow2"; }
sums || fail "the disks are not what the images were"

# ---- disks
backup off --provider lvm
assert_eq "$(report '.shadow_copies | map(select(.provider == "lvm") | .volume) | sort | join(" ")')" "/dev/$GROUP/classic /dev/$GROUP/thin" "volumes"
assert_match "$(report '[.shadow_copies[] | select(.provider == "lvm").device] | join(" ")')" "^/dev/$GROUP/kvss-[0-9a-f-]+ /dev/$GROUP/kvss-[0-9a-f-]+$" "devices"
assert_as_before "disks"
qemu-io -f raw -c 'write -q -P 0x77 0 32M' "/dev/$GROUP/thin"
qemu-io -f qcow2 -c 'write -q -P 0x77 0 8M' "/dev/$GROUP/classic"
kvss_json restore --yes "$POINT" off
sums || fail "the restored disks are not what they were"
note "disks that are logical volumes"

# ---- files: of the moment at which the writer held them, with what it put in order in the copy; a folder of the volume is mounted elsewhere
volume_logical ext4 "$SANDBOX/orders" orders
mkdir -p "$SANDBOX/orders/part/files" "$SANDBOX/bound" "$WRITERS"
mount --bind "$SANDBOX/orders/part" "$SANDBOX/bound"
cleanup_fn umount -l "$SANDBOX/bound"
cat > "$WRITERS/orders" <<END
#!/bin/bash
input=\$(cat)
F=\$(cat $SANDBOX/folder)
case \$1 in
identify) echo '{"api":1,"name":"Orders","id":"7f7c2d1e-55a5-4a0b-9f1c-3c7b7a0d9b11","components":[{"name":"orders",
    "files":[{"path":"'\$F'","filespec":"*","recursive":true}]}]}' ;;
freeze) echo FROZEN > \$F/state ;;
thaw) echo THAWED > \$F/state ;;
post-snapshot) echo LATER > \$F/state
    lvs --noheadings -o lv_name,lv_skip_activation $GROUP | grep kvss- > $SANDBOX/skipped
    device=\$(jq -r '.snapshots[] | select(.device) | .device' <<< "\$input")
    [ -z "\$device" ] || echo recovered > \$(find \$device -type d -name files)/order ;;
esac
END
chmod 755 "$WRITERS/orders"
component() { report ".writers[] | select(.name == \"Orders\") | .components[0].$1"; }
for volume in "$SANDBOX/orders" "$SANDBOX/bound"; do
    folder=$(find "$volume" -name files)
    echo "$folder" > "$SANDBOX/folder"
    backup off --writer orders
    assert_eq "$(component held)" snapshot "how the files were held"
    assert_match "$(cat "$SANDBOX/skipped")" 'kvss-.*skip activation' "the snapshot, after a restart of the host"
    assert_eq "$(report '.shadow_copies[] | select(.provider == "lvm").volume')" "$volume" "volume"
    assert_eq "$(cat "$folder/state")" LATER "state on the volume"
    assert_eq "$(find "$folder" -name order)" "" "what the writer changed in the copy"
    assert_as_before "files"
    rm "$folder"/*
    kvss_json restore --yes "$POINT"
    assert_eq "$(cat "$folder/state" "$folder/order" | tr '\n' ' ')" "FROZEN recovered " "what came back"
    rm "$folder/order"
done
note "files on logical volumes"

# ---- killed at each step of it
export KVSS_TEST_FAULT_LOG=$SANDBOX/faults
STEPS="kill:lv-snapshot:done kill:volume-mount:done"
[ -z "${KVSS_TEST_FULL:-}" ] || STEPS+=" kill:lv-snapshot:begin kill:volume-mount:begin fail:volume-mount:done"
for step in $STEPS; do
    : > "$KVSS_TEST_FAULT_LOG"
    KVSS_TEST_FAULT=$step kvss backup off --writer orders > /dev/null 2>&1 && fail "$step: the backup went well"
    grep -q '^fault' "$KVSS_TEST_FAULT_LOG" || fail "$step was not reached"
    poll 60 as_before
done
unset KVSS_TEST_FAULT_LOG
note "killed"
if [ -z "${KVSS_TEST_FULL:-}" ]; then
    ALLOW_CHECKPOINTS='' assert_nothing_left
    exit 0
fi

# while lvm waits for its turn, before it has done anything
exec 8> "/run/lock/lvm/V_$GROUP"
flock 8
kvss backup off --provider lvm > /dev/null 2>&1 &
backup=$!
poll 60 pgrep -f 'lvm lvs'
kill -9 $backup
wait $backup || :
exec 8>&-
poll 60 as_before
note "killed while lvm waits"

# ---- too little room
lvcreate -q "$GROUP" -l 100%FREE -n full > /dev/null
THERE=$(volumes)
kvss_fails "$EXIT_FAILED" backup off --provider lvm
assert_match "$OUTPUT" "volume group $GROUP has .* free, too little for 1 snapshot, one of them of classic, which has 64.0 MiB.*10 %" "no room in the group"
assert_as_before "no room"
lvremove -q -f "$GROUP/full" > /dev/null
lvcreate -q -T "$GROUP/pool" -V "${POOL}M" -n full > /dev/null 2>&1
THERE=$(volumes)
dd if=/dev/zero of="/dev/$GROUP/full" bs=1M count=$((POOL * 62 / 100)) oflag=direct status=none # with what there is, 70 to 95 %
backup off --writer orders
assert_ne "$(component held)" snapshot "how the files were held where the pool has other uses for its space"
dd if=/dev/zero of="/dev/$GROUP/full" bs=1M count=$((POOL * 96 / 100)) oflag=direct status=none 2> /dev/null || :
kvss_fails "$EXIT_FAILED" backup off --provider lvm --no-writers
assert_match "$OUTPUT" "thin pool $GROUP/pool is nearly full.*lvextend" "no room in the pool"
assert_as_before "no room in the pool"
lvremove -q -f "$GROUP/full" > /dev/null
THERE=$(volumes)
note "too little room"

# ---- a guest that writes more than /dev has room for while it is on its overlays
guest_define web disks=2 format=raw size=64M tokens=off words=kvss.hook=yes
lvcreate -q "$GROUP" -L 64M -n web-b > /dev/null
lvcreate -q -T "$GROUP/pool" -V 64M -n web-a > /dev/null 2>&1
on_volumes web web-a web-b
guest_remember_disks web
THERE=$(volumes)
guest_start web
guest_wait web
export KVSS_TEST_FAULT_LOG=$SANDBOX/faults
: > "$KVSS_TEST_FAULT_LOG"
guest_sh web 'echo FROZEN > /mnt/vda/state; echo FROZEN > /mnt/vdb/state; sync'
KVSS_TEST_FAULT=wait:lv-snapshot:begin kvss backup web --provider lvm --snapshot-dir "$IMAGES" --no-writers --json > "$SANDBOX/report.json" &
backup=$!
poll 120 grep -q '^fault' "$KVSS_TEST_FAULT_LOG"
guest_sh web 'for d in vda vdb; do echo LATER > /mnt/$d/state; dd if=/dev/urandom of=/mnt/$d/much bs=1M count=8 2> /dev/null; done; sync'
touch "$KVSS_TEST_FAULT_LOG.go"
wait $backup || fail "backup of a guest on logical volumes: $(cat "$SANDBOX/report.json")"
POINT=$(jq -r .point "$SANDBOX/report.json")
poll 60 as_before
assert_eq "$(guest_sh web 'cat /mnt/vda/state /mnt/vdb/state; ls /mnt/vda/much /mnt/vdb/much | wc -l' | tr '\n' ' ')" "LATER LATER 2 " "the live guest"
kvss_json restore --yes "$POINT" web
guest_wait web
assert_eq "$(guest_sh web 'cat /mnt/vda/state /mnt/vdb/state' | tr '\n' ' ')" "FROZEN FROZEN " "the restored guest"
virsh -q destroy web
virsh -q undefine web --checkpoints-metadata
note "a guest that runs on logical volumes"
ALLOW_CHECKPOINTS='' assert_nothing_left
