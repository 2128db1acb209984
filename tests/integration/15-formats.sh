#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Images of every kind come back byte for byte, in their format and with their options, sparse where they were: qcow2 with 2 MiB
# clusters and lazy refcounts, qcow2 of the old version, with subclusters and zstd, sparse raw, preallocated raw, raw that ends
# within a sector, VDI and other formats, a chain of three, a block device; of a VM that runs and of one that is off. Of a transient disk, the image that
# it starts from. B7, M14, M17.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup

# make_images NAME: NAME-b.qcow2 -c.qcow2 -d.raw -e.qcow2 (a chain) and a block device, with data here and there
make_images() {
    local at=$IMAGES/$1
    qemu-img create -q -f qcow2 -o cluster_size=2M,compat=1.1,lazy_refcounts=on "$at-b.qcow2" 64M
    qemu-img create -q -f qcow2 -o compat=0.10,cluster_size=4096 "$at-c.qcow2" 33M
    qemu-img create -q -f raw "$at-d.raw" 2G
    qemu-img create -q -f qcow2 -o extended_l2=on,cluster_size=128k,compression_type=zstd,refcount_bits=32 "$at-g.qcow2" 33M
    qemu-img create -q -f raw -o preallocation=falloc "$at-h.raw" 20M
    head -c 1000001 /dev/urandom > "$at-i.raw"
    local format
    for format in vdi vmdk vpc qcow; do
        qemu-img create -q -f $format "$at-j.$format" 16M
        write "$at-j.$format" $format 5M 1M 0x91
    done
    qemu-img create -q -f qcow2 "$at-k.qcow2" 33M
    write "$at-k.qcow2" qcow2 2M 1M 0xa1
    write "$at-g.qcow2" qcow2 4k 4k 0x71 32M 1M 0x72
    write "$at-h.raw" raw 1M 4k 0x81
    qemu-img create -q -f raw "$at-base.raw" 48M
    write "$at-base.raw" raw 0 1M 0x11 40M 1M 0x12
    qemu-img create -q -f qcow2 -b "$at-base.raw" -F raw "$at-middle.qcow2" 48M
    write "$at-middle.qcow2" qcow2 512k 1M 0x21
    qemu-img create -q -f qcow2 -b "$at-middle.qcow2" -F qcow2 "$at-e.qcow2" 64M
    write "$at-e.qcow2" qcow2 1M 64k 0x31 60M 64k 0x32
    qemu-io -f qcow2 -c 'write -q -z 40M 512k' "$at-e.qcow2" # zeroes over data of the base
    write "$at-b.qcow2" qcow2 0 512 0x41 63M 1M 0x42
    write "$at-c.qcow2" qcow2 4k 4k 0x51 32M 1M 0x52
    write "$at-d.raw" raw 1G 64k 0x61 2147483136 512 0x62
    truncate -s 40M "$SANDBOX/$1-f"
    head -c 3M /dev/urandom | dd of="$SANDBOX/$1-f" conv=notrunc bs=1M seek=7 status=none
    LOOP=$(losetup --find --show "$SANDBOX/$1-f")
    cleanup_fn losetup --detach "$LOOP"
}
write() { # IMAGE FORMAT (OFFSET LENGTH PATTERN)...
    local image=$1 format=$2
    shift 2
    while [ $# -gt 0 ]; do
        qemu-io -f "$format" -c "write -q -P $3 $1 $2" "$image"
        shift 3
    done
}
disk() { # TARGET FORMAT FILE
    printf "<disk type='file' device='disk'><driver name='qemu' type='%s'/><source file='%s'/>" "$2" "$3"
    printf "<target dev='%s' bus='virtio'/></disk>\n" "$1"
}
disks_of() { # NAME LOOP
    disk vdb qcow2 "$IMAGES/$1-b.qcow2"
    disk vdc qcow2 "$IMAGES/$1-c.qcow2"
    disk vdd raw "$IMAGES/$1-d.raw"
    disk vde qcow2 "$IMAGES/$1-e.qcow2"
    printf "<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='%s'/>" "$2"
    printf "<target dev='vdf' bus='virtio'/></disk>\n"
    disk vdg qcow2 "$IMAGES/$1-g.qcow2"
    disk vdh raw "$IMAGES/$1-h.raw"
    disk vdi raw "$IMAGES/$1-i.raw"
    disk vdj vdi "$IMAGES/$1-j.vdi"
    disk vdl vmdk "$IMAGES/$1-j.vmdk"
    disk vdm vpc "$IMAGES/$1-j.vpc"
    disk vdn qcow "$IMAGES/$1-j.qcow"
    disk vdk qcow2 "$IMAGES/$1-k.qcow2" | sed 's|<target|<transient/>&|'
}
# keep NAME: what the images hold now, and how they are made
FILES=(b.qcow2 c.qcow2 d.raw e.qcow2 g.qcow2 h.raw i.raw j.vdi j.vmdk j.vpc j.qcow k.qcow2)
keep() {
    local file
    for file in "${FILES[@]}"; do qemu-img convert -U -O qcow2 "$IMAGES/$1-$file" "$SANDBOX/$1-$file.was"; done
    facts "$1" > "$SANDBOX/$1.facts"
    sha256sum < "$SANDBOX/$1-f" > "$SANDBOX/$1-f.sum"
}
facts() {
    local file
    for file in "${FILES[@]}"; do
        echo "$file $(qemu-img info -U --output=json "$IMAGES/$1-$file" |
            jq -c '[.format, ."virtual-size", ."cluster-size", ."format-specific".data.compat, ."format-specific".data."lazy-refcounts",
            ."format-specific".data."extended-l2", ."format-specific".data."compression-type", ."format-specific".data."refcount-bits"]')"
        [[ $file != *.raw ]] || stat -c "$file %s bytes" "$IMAGES/$1-$file"
    done
}
assert_same() { # NAME
    local file blocks
    for file in "${FILES[@]}"; do
        qemu-img compare -q -U "$SANDBOX/$1-$file.was" "$IMAGES/$1-$file" || fail "$1-$file is not what it was"
    done
    diff "$SANDBOX/$1.facts" <(facts "$1") >&2 || fail "$1: images are made in another way than before"
    assert_eq "$(sha256sum < "$SANDBOX/$1-f")" "$(cat "$SANDBOX/$1-f.sum")" "block device of $1"
    blocks=$(stat -c %b "$IMAGES/$1-d.raw")
    assert_le $((blocks * 512)) $((4 << 20)) "space taken by the sparse raw image"
    assert_ge $(($(stat -c %b "$IMAGES/$1-h.raw") * 512)) $((20 << 20)) "space taken by the preallocated raw image"
}

make_images off
guest_define off disks=1 agent=no extra="$(disks_of off "$LOOP")"
keep off
off_loop=$LOOP
make_images on
guest_define on disks=1 tokens=off extra="$(disks_of on "$LOOP")"
guest_start on
guest_wait on
# the guest writes too, and what it wrote is settled
for name in vdb vdc vdd vde vdf vdk; do guest_sh on "dd if=/dev/urandom of=/dev/$name bs=64k seek=300 count=16 conv=fsync" > /dev/null; done
keep on
on_loop=$LOOP
note "images made"

backup off on
assert_report_vm on .disks 14
assert_match "$(report_vm on '.warnings | join("; ")')" 'disk vdk is transient'
assert_report_vm on .method child-vm-snapshot
assert_report_vm off .method offline
kvss_json show "$POINT"
assert_eq "$(report '[.details[] | .disks[] | select(.target == "vde") | .backing | length] | join(" ")')" "2 2" "images behind vde"
destroy_vm off on
rm "$IMAGES"/*
for loop in "$off_loop" "$on_loop"; do dd if=/dev/zero of="$loop" bs=1M count=40 conv=fsync status=none; done
note "destroyed"
# a device that no VM has any more may have another use by now
kvss_fails "$EXIT_FAILED" restore --yes "$POINT"
assert_match "$OUTPUT" 'block device .*--overwrite'
kvss_json restore --yes "$POINT" --overwrite
assert_same off
guest_wait on
assert_same on
for name in off on; do
    assert_report_vm $name '.disks[] | select(.target == "vde") | .flattened' true
    assert_report_vm $name '[.disks[] | select(.flattened) | .target] | join(" ")' vde
done
assert_eq "$(qemu-img info -U --output=json "$IMAGES/off-e.qcow2" | jq '."backing-filename"')" null "backing file of the flattened image"
assert_match "$(kvss verify "$POINT" 2>&1)" .
