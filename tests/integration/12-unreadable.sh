#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A VM that is off and whose disks cannot be read is refused beforehand, with the true reason and the remedy, and check says the same: the
# image is gone, holds another format than is declared, lacks a backing image at any depth, is written by another program, is on the
# network where nobody serves it, or is a volume of a storage pool that is not active, is not defined or does not have it; or its
# definition declares another chain of backing images than these record. What is not backed up anyway may be missing. A VM that runs has its
# images open, but a volume must be found. M11.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
points=0

# refused VM TEXT: by check and by backup, for the same reason
refused() {
    local why
    kvss check "$1" --json > "$REPORT" 2> "$SANDBOX/stderr" && fail "check of $1: a backup would not be refused"
    why=$(report_vm "$1" .refused)
    assert_match "$why" "$2" "why a backup of $1 would be refused"
    kvss_fails "$EXIT_REFUSED" backup "$1" --quiet
    assert_match "$(tr '\n' ' ' <<< "$OUTPUT")" "$2" "why the backup of $1 is refused"
    [[ $OUTPUT == *"$why"* ]] || fail "check says '$why', and the backup '$OUTPUT'"
    assert_nothing_left
    assert_points $points
    note "$1: $why"
}

# ---- images
guest_define bad agent=no tokens=off size=8M
I=$IMAGES/bad-vda.qcow2
cp "$I" "$SANDBOX/whole"
rm "$I"
refused bad "disk vda .*image $I does not exist.*virsh undefine"
head -c 1M /dev/urandom > "$I"
refused bad "disk vda .*not in qcow2 format"
qemu-img create -q -f raw "$I" 8M
refused bad "disk vda .*not in qcow2 format"
cp "$SANDBOX/whole" "$IMAGES/base"
qemu-img create -q -f qcow2 -b "$IMAGES/base" -F qcow2 "$IMAGES/mid"
rm "$I" && qemu-img create -q -f qcow2 -b "$IMAGES/mid" -F qcow2 "$I"
rm "$IMAGES/base"
refused bad "backing image $IMAGES/base does not exist"
rm "$IMAGES/mid"
refused bad "backing image $IMAGES/mid does not exist"
qemu-img create -q -f raw "$IMAGES/base" 8M
rm "$I" && qemu-img create -q -f qcow2 -b "$IMAGES/base" -F raw "$I"
rm "$IMAGES/base"
refused bad "backing image $IMAGES/base does not exist"

# its backing image is on the network: whether somebody serves it, lets one wait, or not, nobody is asked
qemu-img create -q -f raw "$SANDBOX/served" 8M
timeout 60 qemu-nbd -t -f raw -k "$SANDBOX/nbd.sock" "$SANDBOX/served" &
server=$!
poll 10 test -S "$SANDBOX/nbd.sock"
rm "$I" && qemu-img create -q -f qcow2 -F raw -b "nbd+unix:///?socket=$SANDBOX/nbd.sock" "$I"
kill $server
wait $server || :
refused bad "backing image nbd.unix:.* is on the network and .*: start the VM"

cp "$SANDBOX/whole" "$I"
mkfifo "$SANDBOX/hold"
qemu-io -f qcow2 "$I" < "$SANDBOX/hold" > "$SANDBOX/out" &
pid=$!
exec 5> "$SANDBOX/hold"
echo 'write 0 512' >&5
poll 10 grep -q wrote "$SANDBOX/out"
refused bad "another program is writing to its image $I"
exec 5>&-
wait $pid

# ---- a definition that declares another chain than the images record: libvirt and QEMU follow the definition
rm "$IMAGES"/*
qemu-img create -q -f qcow2 "$IMAGES/base" 8M
qemu-io -f qcow2 -c 'write -q -P 1 0 1M' "$IMAGES/base"
cp "$IMAGES/base" "$IMAGES/other"
ln -s base "$IMAGES/link"
qemu-img create -q -f qcow2 -b base -F qcow2 "$IMAGES/mid"
qemu-img create -q -f qcow2 -b mid -F qcow2 "$IMAGES/top"
behind() { # FILE FORMAT INNER
    printf "<backingStore type='file'><format type='%s'/><source file='$IMAGES/%s'/>%s</backingStore>" "$2" "$1" "${3-}"
}
end='<backingStore/>'
n=0
# declared BACKINGSTORE [MARK]: defines a VM whose definition says so, in $vm; it starts, as far as libvirt and QEMU are concerned
declared() {
    vm=declared$((n += 1))
    guest_define $vm disks=0 agent=no tokens=off extra="<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
        <source file='$IMAGES/top'/>$1<target dev='vda' bus='virtio'/>${2-}</disk>"
}
starts() { virsh -q start $vm && virsh -q destroy $vm; }
declared "$end"
starts
refused $vm "$IMAGES/top has no backing image .*records $IMAGES/mid: .*qemu-img rebase -u -b \"\" $IMAGES/top"
declared "$(behind mid qcow2 "$end")"
starts
refused $vm "$IMAGES/mid has no backing image .*records $IMAGES/base"
declared "$(behind mid qcow2 "$(behind other qcow2 "$end")")"
starts
refused $vm "$IMAGES/other \(qcow2\) as the backing image of $IMAGES/mid .*records $IMAGES/base \(qcow2\): .*rebase -u -b $IMAGES/other -F qcow2 $IMAGES/mid"
# a disk that the guest only reads is read without its QEMU also while the VM runs
declared "$(behind mid qcow2 "$(behind other qcow2 "$end")")" '<readonly/>'
virsh -q start $vm
refused $vm "$IMAGES/other \(qcow2\) as the backing image of $IMAGES/mid"
virsh -q destroy $vm
declared "$(behind mid raw "$end")"
starts
refused $vm "$IMAGES/mid \(raw\) as the backing image of $IMAGES/top .*records $IMAGES/mid \(qcow2\)"
mv "$IMAGES/base" "$IMAGES/moved"
declared "$(behind mid qcow2 "$(behind moved qcow2 "$end")")"
starts
refused $vm "$IMAGES/moved \(qcow2\) as the backing image of $IMAGES/mid"
# the remedy
qemu-img rebase -u -b "$IMAGES/moved" -F qcow2 "$IMAGES/mid"
backup $vm
assert_report_vm $vm .method offline
mv "$IMAGES/moved" "$IMAGES/base"
qemu-img rebase -u -b base -F qcow2 "$IMAGES/mid"
points=1
# of a saved VM what its saved state says counts
declared "$(behind mid qcow2 "$(behind base qcow2 "$end")")"
virsh -q start $vm
virsh -q managedsave $vm
virsh -q dumpxml --inactive $vm | tr '\n' ' ' | sed 's|<backingStore.*</backingStore>||' > "$SANDBOX/later.xml"
virsh -q define "$SANDBOX/later.xml"
qemu-img rebase -u -b other -F qcow2 "$IMAGES/mid"
ALLOW_SAVED=$vm refused $vm "$IMAGES/base \\(qcow2\\) as the backing image of $IMAGES/mid .*records $IMAGES/other"
qemu-img rebase -u -b base -F qcow2 "$IMAGES/mid"
virsh -q managedsave-remove $vm
# what is declared agrees, by another name, to the end or in part
for store in "$(behind mid qcow2 "$(behind link qcow2 "$end")")" "$(behind mid qcow2)" "$(behind mid qcow2 "$(behind base qcow2)")"; do
    declared "$store"
    starts
    backup $vm
    points=$((points + 1))
    mkdir -m 755 "$SANDBOX/$vm"
    kvss restore --yes --quiet "$POINT" $vm --images-only --to "$SANDBOX/$vm"
    qemu-img compare -q "$SANDBOX/$vm/top" "$IMAGES/top"
done

# ---- what is never backed up may be missing
guest_define drives agent=no tokens=off size=8M extra="
    <disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='$IMAGES/gone.iso'/><target dev='sda' bus='scsi'/>
      <readonly/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$IMAGES/gone.raw'/><target dev='vdb' bus='virtio'/>
      <shareable/></disk>
    <controller type='scsi' model='virtio-scsi'/>"
kvss_json check drives
backup drives
points=$((points + 1))

# ---- on the network
guest_define far disks=0 agent=no tokens=off extra="
    <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd' name='x'><host name='127.0.0.1' port='7'/>
      </source><target dev='vda' bus='virtio'/></disk>"
refused far 'disk vda .*on the network.*Connection refused'

# ---- volumes of pools
mkdir -m 755 "$SANDBOX/pool"
virsh -q pool-define-as data dir --target "$SANDBOX/pool" && virsh -q pool-start data
virsh -q vol-create-as data v1.qcow2 8M --format qcow2
volume="<disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source pool='data' volume='v1.qcow2'/>
    <target dev='vda' bus='virtio'/></disk>"
guest_define pooled disks=0 agent=no tokens=off extra="$volume"
kvss_json check pooled
assert_report_vm pooled '.disks[0].covered' true
guest_start pooled
virsh -q pool-destroy data
refused pooled 'storage pool data, .*is not active: virsh pool-start data'
virsh -q destroy pooled
refused pooled 'storage pool data, .*is not active: virsh pool-start data'
virsh -q pool-undefine data
refused pooled 'there is no storage pool data, .*virsh pool-start data'
virsh -q pool-define-as data dir --target "$SANDBOX/pool" && virsh -q pool-start data
mv "$SANDBOX/pool/v1.qcow2" "$SANDBOX/pool.v1" && virsh -q pool-refresh data
refused pooled 'storage pool data has no volume v1.qcow2: if the volume exists, run virsh pool-refresh data'
mv "$SANDBOX/pool.v1" "$SANDBOX/pool/v1.qcow2" && virsh -q pool-refresh data
backup pooled
assert_report_vm pooled '.not_covered | length' 0
assert_report_vm pooled .disks 1
