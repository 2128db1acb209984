#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The name of a bitmap in an image proves little. An image that was replaced, that changed places with another of the VM's, over which
# another was copied, that was made smaller and larger again, or that stands on a file which has changed, is read whole, the others are
# not, and the restore is right (B4). An image brought back from a later copy holds a record that is true of it.
# In `make test` 41-incremental-broken has records of changes that are not believed.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_chain.sh
. "$(dirname "$0")/../lib/functions_chain.sh"

kvss_setup
qemu-img create -q -f raw "$IMAGES/base.raw" 48M
qemu-io -f raw -c 'write -q -P 0x11 0 8M' "$IMAGES/base.raw"
qemu-img create -q -f qcow2 -b "$IMAGES/base.raw" -F raw "$IMAGES/one-vdd.qcow2"
guest_define one fs=none disks=4 tokens=off size=48M
guest_start one
guest_wait one
for disk in vda vdb vdc; do guest_write one $disk 1M 0 20; done
ALL="vda vdb vdc vdd"
A=$IMAGES/one-vda.qcow2 B=$IMAGES/one-vdb.qcow2 C=$IMAGES/one-vdc.qcow2 D=$IMAGES/one-vdd.qcow2
write() { qemu-io -f qcow2 -c "write -q -P $((RANDOM % 255 + 1)) $2 $3" "$1"; }
chain_fresh one vda vdb vdc vdd
guest_stop one
FILES=("$A" "$B" "$C" "$D" "$IMAGES/base.raw")
for f in "${FILES[@]}"; do cp "$f" "$SANDBOX/keep-${f##*/}"; done
again() { for f in "${FILES[@]}"; do cat "$SANDBOX/keep-${f##*/}" > "$f"; done; } # all as of the checkpoint, in the same files

# written by QEMU's tools: recorded
write "$A" 1M 64k
qemu-io -f qcow2 -c 'write -q -z -u 3M 1M' "$B"
assert_doubted recorded one incremental '' "$ALL" ""
assert_le "$(report_vm one .read)" $((3 << 20)) "bytes read"

# brought back as they were: the records are true of them; but the file beneath vdd was written
again
assert_doubted beneath one incremental 'backing image was replaced' "$ALL" vdd

# one image over another in place: same file, a bitmap of the right name, other content
cat "$B" > "$C"
assert_doubted copied one incremental 'change tracking is wrong' "$ALL" "vdc vdd"
again

# smaller and larger again
qemu-img resize -q --shrink "$B" 10M
qemu-img resize -q "$B" 48M
assert_doubted shrunk one incremental 'change tracking is wrong' "$ALL" "vdb vdd"
again

# one cannot go back to an internal snapshot as long as there is a record
qemu-img snapshot -c before "$A"
write "$A" 0 64k
if qemu-img snapshot -a before "$A" 2> "$SANDBOX/out"; then fail "QEMU went back to a snapshot and kept the record of changes"; fi
assert_match "$(cat "$SANDBOX/out")" 'dirty bitmap'
qemu-img snapshot -d before "$A"
assert_doubted snapshot one incremental '' "$ALL" vdd
again

# replaced by a copy without a record
qemu-img convert -O qcow2 "$A" "$A.new"
write "$A.new" 1M 1M
mv "$A.new" "$A"
assert_doubted replaced one incremental 'was replaced after the earlier restore point' "$ALL" "vda vdd"

# two changed places; both have a bitmap of the right name
mv "$B" "$B.x" && mv "$C" "$B" && mv "$B.x" "$C"
assert_doubted swapped one full 'was replaced after the earlier restore point' "$ALL" "vda vdb vdc vdd"

# another size, another format, another place
qemu-img resize -q "$C" 49M
qemu-img convert -O raw "$B" "$B.raw"
mkdir "$IMAGES/moved"
mv "$A" "$IMAGES/moved/"
guest_define one fs=none disks=4 tokens=off format=qcow2,raw,qcow2,qcow2 uuid="$(virsh -q domuuid one | tr -d '\n')" \
    images="$IMAGES/moved/${A##*/},$B.raw,$C,$D"
assert_doubted changed one full 'vda: its location has changed.*vdb: its location has changed.*vdc: its size' "$ALL" "vda vdb vdc vdd"

assert_points_true one "$ALL" changed swapped shrunk copied beneath snapshot recorded replaced
kvss verify > /dev/null
