#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What cannot be put in a saved state is told by check, and refused by the backup, before anything is touched (M3, M10): devices that QEMU
# cannot save, held against what libvirt says when it is asked to save such a VM; no room for the memory, of one VM and of all together; VMs of a cluster.
# timeout: 480
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_image "$IMAGES/bare.qcow2" 16M
mkdir "$SANDBOX/folder"

# bare NAME DEVICES [ELSE]: a VM without a system, so that it is up at once
bare() {
    cat > "$SANDBOX/$1.xml" <<END
<domain type='$GUEST_TYPE' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>$1</name>
<maxMemory slots='2' unit='MiB'>512</maxMemory><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<cpu><numa><cell id='0' cpus='0' memory='64' unit='MiB'/></numa></cpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$IMAGES/$1.qcow2'/><target dev='vda' bus='virtio'/></disk>
<controller type='usb' model='qemu-xhci'/>$2</devices>${3:-}</domain>
END
    virsh -q define "$SANDBOX/$1.xml" && virsh -q start "$1"
}
gone() { # NAME
    virsh -q destroy "$1" > /dev/null 2>&1 || :
    virsh -q undefine "$1" --managed-save > /dev/null 2>&1 || :
}

unsaveable=0 saveable=0
# told WORDS DEVICES [ELSE]: libvirt refuses to save such a VM, and check has said so in these words; WORDS "-": it can be saved
told() {
    local refused status=0
    if ! bare bare "${@:2}" > "$SANDBOX/start.log" 2>&1; then
        note "cannot be tried here: $2 ${3:-}: $(tail -n 2 "$SANDBOX/start.log" | tr "\n" " " | cut -c 1-250)"
        gone bare
        return
    fi
    kvss check bare --json > "$REPORT" 2> "$SANDBOX/stderr" || status=$?
    refused=$(report_vm bare .refused)
    if virsh managedsave bare > "$SANDBOX/save.log" 2>&1; then
        assert_eq "$1" - "libvirt saves a VM with $2 ${3:-}; what was expected"
        assert_eq "$refused" null "refused, though it can be saved, with $2 ${3:-}"
        saveable=$((saveable + 1))
    else
        assert_eq "$status" "$EXIT_REFUSED" "status of check, with $2 ${3:-}: $(cat "$SANDBOX/save.log")"
        assert_match "$refused" "cannot save a VM with.*$1" "what check says"
        unsaveable=$((unsaveable + 1))
    fi
    gone bare
}
told 'ivshmem.*: one' "<shmem name='one'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>"
told - "<shmem name='two' role='master'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>"
told 'USB sound' "<sound model='usb'/>"
told 'USB network' "<interface type='user'><model type='usb-net'/><address type='usb' bus='0' port='1'/></interface>"
told 'USB serial' "<serial type='null'><target type='usb-serial'><model name='usb-serial'/></target></serial>"
told 'command line: nvme' '' "<qemu:commandline><qemu:arg value='-blockdev'/><qemu:arg value='driver=null-co,node-name=nv'/>
    <qemu:arg value='-device'/><qemu:arg value='nvme,serial=1,drive=nv,addr=0x10'/></qemu:commandline>"
told - "<sound model='ich9'/><watchdog model='i6300esb'/><input type='tablet' bus='usb'/><memballoon model='virtio'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng><panic model='isa'/><audio id='1' type='none'/>
    <filesystem type='mount'><source dir='$SANDBOX/folder'/><target dir='folder'/></filesystem>
    <video><model type='virtio'/></video><graphics type='vnc'/><interface type='user'><model type='e1000'/></interface>"
assert_ge $unsaveable 4 "devices that cannot be saved"
assert_eq $saveable 2 "VMs that can be saved"
note "$unsaveable kinds of devices are told of"

# ---- room
for vm in one two; do guest_image "$IMAGES/$vm.qcow2" 16M && bare $vm ''; done
save=/var/lib/libvirt/qemu/save
mkdir -p $save
# room SIZE STATUS: as much is free there, and so check ends
room() {
    local status=0
    mount -t tmpfs -o "size=$1,mode=755" tmpfs $save
    kvss check "${@:3}" --json > "$REPORT" 2> "$SANDBOX/stderr" || status=$?
    assert_eq $status "$2" "status of check with $1 free: $(cat "$SANDBOX/stderr")"
    found=$(report '[.findings[] | select(.level == "error") | .id] | join(" ")')
    if [ "$2" = 0 ]; then backup "${@:3}"; else kvss_fails "$EXIT_REFUSED" backup "${@:3}"; fi
    umount $save
}
needs() { awk '/^(RssAnon|RssShmem|VmSwap):/ { n += $2 } END { print n }' "/proc/$(cat "/run/libvirt/qemu/$1.pid")/status"; }
room 1m "$EXIT_REFUSED" one
assert_match "$OUTPUT" 'not enough space for saved states in .*/save: up to .* needed, 1.0 MiB' "what the backup says"
first=$(needs one) second=$(needs two)
both=$((first + second))
# each would fit
if ((first > second)); then fits=$((first + second / 2)); else fits=$((second + first / 2)); fi
room $((fits + 1024))k "$EXIT_REFUSED" one two
assert_eq "$found" saved-state-full "what check found"
assert_match "$OUTPUT" 'not enough space for saved states' "what the backup says"
room $((both + 4096))k 0 one two
for vm in one two; do assert_state $vm running; done

# ---- how large its saved state will be: not less than libvirt then writes, whatever the guest's memory is made of (B2)
# large WHAT MEMORY-BACKING
large() {
    local told saved
    guest_xml full agent=no tokens=off mem=256 | sed "s|</vcpu>|</vcpu><memoryBacking>$2</memoryBacking>|" > "$SANDBOX/full.xml"
    chmod 644 "$SANDBOX/full.xml"
    virsh -q define "$SANDBOX/full.xml"
    if ! virsh -q start full > "$SANDBOX/start.log" 2>&1; then
        note "cannot be tried here: memory of $1: $(tail -n 1 "$SANDBOX/start.log")"
        gone full
        return
    fi
    guest_wait full
    GUEST_TIMEOUT=60 guest_sh full 'mkdir /run/full; mount -t tmpfs -o size=90% full /run/full; head -c 40000000 /dev/urandom > /run/full/file'
    told=$("$KVSS_BUILD/tests/tools/hvtool" -c "$LIBVIRT_DEFAULT_URI" save-bytes full)
    virsh -q managedsave full
    saved=$(stat -c %s $save/full.save)
    note "memory of $1: $((told >> 20)) MiB are told, $((saved >> 20)) MiB written"
    assert_ge "$saved" 100000000 "its saved state, memory of $1"
    assert_ge "$told" "$saved" "what is told, memory of $1"
    gone full
}
large 'shared files' "<access mode='shared'/>"
if [ -n "${KVSS_TEST_FULL:-}" ]; then
    large 'files' "<source type='file'/>"
    large 'its own' ''
    large memfd "<source type='memfd'/><access mode='shared'/>"
    if [ "$(awk '$1 == "HugePages_Free:" { print $2 }' /proc/meminfo)" -ge 128 ]; then
        mkdir -p /dev/hugepages # libvirt looks for them when it starts
        mount -t hugetlbfs hugetlbfs /dev/hugepages
        libvirtd_restart
        large 'huge pages' '<hugepages/>'
    fi
fi

# ---- a VM that a cluster manages, and the cluster does not answer: that is not "no cluster" (behaviour 41; M19: 90-cluster-saved)
mkdir -p /var/lib/pacemaker/cib
sed "s|FILE|$SANDBOX/one.xml|" > /var/lib/pacemaker/cib/cib.xml <<'END'
<cib validate-with="pacemaker-3.9" epoch="9" num_updates="0" admin_epoch="0"><configuration><crm_config/><nodes/><resources>
<primitive id="vm-1" class="ocf" provider="heartbeat" type="VirtualDomain"><instance_attributes id="vm-1-a">
<nvpair id="vm-1-a-config" name="config" value="FILE"/></instance_attributes></primitive></resources><constraints/></configuration></cib>
END
lifecycle_start
kvss_fails "$EXIT_REFUSED" backup one
assert_match "$OUTPUT" 'Pacemaker manages VM one \(resource vm-1\): the cluster does not answer' "what the backup says"
kvss check one --json > "$REPORT" 2> /dev/null && fail "check does not tell of the cluster"
assert_match "$(report_vm one '[.findings[].id] | join(" ")')" clustered "what check found"
kvss_fails "$EXIT_REFUSED" restore --yes latest one
assert_match "$OUTPUT" 'managed by Pacemaker .*resource vm-1.*the cluster does not answer' "what the restore says"
assert_untouched one
kvss restore latest one --images-only --to "$SANDBOX/images" > /dev/null 2> "$SANDBOX/stderr" || fail "images: $(cat "$SANDBOX/stderr")"
backup two
rm /var/lib/pacemaker/cib/cib.xml
backup one
note "done"
