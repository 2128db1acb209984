#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# src/hypervisor against real libvirt, QEMU and guests: each of its functions is called and what it did is looked at with
# other programs (virsh, qemu-img, nbdinfo, nbdcopy, the guest itself).
# In `make test` all others use these functions through kvss.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"

tool=$KVSS_BUILD/tests/tools/hvtool
[ -x "$tool" ] || skip "hvtool is not built"
note() { printf '%4d s  %s\n' $SECONDS "$*"; }
hv() { as_owner "$tool" "$@" 2> "$SANDBOX/hv.err" || { cat "$SANDBOX/hv.err" >&2 && return 1; }; }
# hv_fails ERRNO TEXT COMMAND...: fails with that code, and the text is in the message
hv_fails() {
    assert_status 1 as_owner "$tool" "${@:3}"
    assert_match "$OUTPUT" "hvtool: $1: .*$2"
}
value() { sed -n "s/^$1=//p"; }
ms() { echo $(($(date +%s%N) / 1000000)); }

# ---- the connection
out=$(hv connection)
assert_eq "$(value local <<< "$out")" 1
assert_eq "$(value save_dir <<< "$out")" /var/lib/libvirt/qemu/save
assert_eq "$(value uid <<< "$out")" "$(id -u libvirt-qemu)"
assert_eq "$(value images <<< "$out")" /var/lib/libvirt/images
hv_fails EOPNOTSUPP test:///default -c test:///default list
hv_fails ECONNREFUSED nowhere -c 'qemu+unix:///system?socket=/nowhere' list
dir=$(hv shared-dir)
assert_eq "$(stat -c '%a %G' "$dir")" "700 libvirt-qemu"
setpriv --reuid libvirt-qemu --regid libvirt-qemu --clear-groups touch "$dir/x" && rm "$dir/x"

# ---- VMs and agents
network_define lab
guest_define web fs=ext4,ext4 format=qcow2,raw net=lab words=kvss.hook=yes
guest_define span fs=lvm,lvm agent=yes
guest_define mute agent=no
guest_define silent agent=silent
for vm in web span mute silent; do guest_start $vm; done
hv_fails ENOENT nobody info nobody
assert_eq "$(hv list)" $'mute running\nsilent running\nspan running\nweb running'
for vm in web span mute silent; do guest_wait $vm; done
out=$(hv info web)
assert_match "$out" "disk=vda device=disk source=file format=qcow2 size=67108864 locator=$IMAGES/web-vda.qcow2"
assert_match "$out" "disk=vdb device=disk source=file format=raw size=67108864 locator=$IMAGES/web-vdb.raw"
assert_match "$out" "nic=52:54:[0-9a-f:]* type=network source=lab target=vnet"
assert_eq "$(hv info "$(virsh -q domuuid web)")" "$out" "the VM by its UUID"

out=$(hv agent web)
assert_eq "$(value agent <<< "$out")" ok
assert_match "$out" "fs=/mnt/vda type=ext4 device=/dev/vda targets=vda unknown_disk=0 freezable=1"
assert_match "$(hv agent span)" "fs=/mnt/lvm type=ext4 device=dm-0 targets=vda,vdb unknown_disk=0" "LVM over two disks (M4d)"
assert_eq "$(hv agent mute | value agent)" no-channel
assert_eq "$(hv agent silent | value agent)" not-connected
guest_sh silent 'true' # the guest itself is well
hv pool web 20 "test \$(ls -l /proc/\$PPID/fd | grep -c socket:) -ge 4" > /dev/null
note "agents probed"

# a freeze that the guest's configuration forbids
guest_sh web 'agentctl stop; sed -i "s/^agent_block=.*/agent_block=guest-fsfreeze-freeze/" /run/kvss/agent.conf; agentctl start'
poll 10 guest_agent web guest-ping
assert_eq "$(hv agent web | value agent)" no-freeze
guest_sh web 'agentctl stop; sed -i "s/^agent_block=.*/agent_block=/" /run/kvss/agent.conf; agentctl start'
poll 10 guest_agent web guest-ping
assert_eq "$(hv agent web | value agent)" ok

# ---- freeze and thaw
assert_eq "$(hv freeze web)" frozen=2
assert_eq "$(hv frozen web)" frozen=1
hv_fails EBUSY "already frozen" freeze web
assert_eq "$(hv thaw web)" thawed=2
assert_eq "$(hv frozen web)" frozen=0
assert_eq "$(hv freeze web 5000 /mnt/vdb)" frozen=1
assert_eq "$(hv thaw web)" thawed=1
hv_fails EOPNOTSUPP "not configured" freeze mute
hv_fails ENOTCONN "guest agent is not running" freeze silent
for vm in span mute silent; do assert_eq "$(hv change $vm destroy)" state=off; done

# our time limits do not stay on the VM, where other programs' calls would meet them
hv agent web 1000 > /dev/null
hv frozen web 1000 > /dev/null
# shellcheck disable=SC2016 # for the guest's shell
guest_sh web 'printf "#!/bin/sh\n[ \$1 != freeze ] || sleep 3\n" > /etc/qemu/fsfreeze-hook.d/slow; chmod +x /etc/qemu/fsfreeze-hook.d/slow'
virsh domfsfreeze web > /dev/null
virsh domfsthaw web > /dev/null

# a disk that is none of the VM's, as one over iSCSI would be (M4d); one that QEMU has and the definition has not will do
truncate -s 64M /var/lib/libvirt/qemu/foreign.img
mke2fs -q -t ext4 -F /var/lib/libvirt/qemu/foreign.img
chown libvirt-qemu: /var/lib/libvirt/qemu/foreign.img
virsh qemu-monitor-command web --hmp 'drive_add 0 if=none,id=foreign,format=raw,file=/var/lib/libvirt/qemu/foreign.img' > /dev/null
virsh qemu-monitor-command web --hmp 'device_add virtio-blk-pci,drive=foreign,id=foreign' > /dev/null
poll 10 guest_sh web 'test -b /dev/vdc'
guest_sh web 'mkdir /mnt/foreign && mount -t ext4 /dev/vdc /mnt/foreign'
assert_match "$(hv agent web)" "fs=/mnt/foreign type=ext4 device=/dev/vdc targets= unknown_disk=1"
guest_sh web 'umount /mnt/foreign'
virsh qemu-monitor-command web --hmp 'device_del foreign' > /dev/null

# a hung agent: told within the deadline, and no freeze lies in wait for it
guest_sh web 'chmod -x /etc/qemu/fsfreeze-hook.d/slow; killall -STOP qemu-ga'
assert_eq "$(hv agent web 2000 | value agent)" not-responding
began=$(ms)
hv_fails EHOSTUNREACH "did not answer in time" freeze web 2000
assert_le $(($(ms) - began)) 3500 "milliseconds for a freeze with a deadline of 2 s"
guest_sh web 'killall -CONT qemu-ga'
sleep 1
assert_eq "$(hv frozen web)" frozen=0 "after the hung agent came back"

# an agent that hangs while it freezes: the freeze comes late; a thaw that waits for the agent ends it (B2)
guest_sh web 'chmod +x /etc/qemu/fsfreeze-hook.d/slow; sed -i "s/sleep 3/sleep 12/" /etc/qemu/fsfreeze-hook.d/slow'
began=$(ms)
hv_fails ETIMEDOUT "may still be frozen or freeze late" freeze web 1000
assert_le $(($(ms) - began)) 9000 "milliseconds for a freeze with a deadline of 1 s and the thaw after it"
hv thaw web 20000 > /dev/null
sleep 1
assert_eq "$(hv frozen web)" frozen=0 "after a late freeze"
guest_sh web 'rm /etc/qemu/fsfreeze-hook.d/slow'
# a thaw waits for an agent that comes back
hv freeze web > /dev/null
guest_sh web 'killall -STOP qemu-ga; (sleep 3; killall -CONT qemu-ga) > /dev/null 2>&1 &'
assert_eq "$(hv thaw web 15000)" thawed=2
assert_counts web
assert_nothing_left_but_dir() { rmdir "$dir" && assert_nothing_left && dir=$(hv shared-dir); }
assert_nothing_left_but_dir
note "freezing done"

# ---- points in time
out=$(hv point web "$dir" one)
note "frozen for $(value frozen_us <<< "$out") us"
assert_eq "$(hv frozen web)" frozen=0
assert_eq "$(hv busy web)" $'busy=1\nwhat=a backup'
export_uri="nbd+unix:///vda?socket=$dir/socket"
nbdcopy "$export_uri" "$SANDBOX/at-point"
guest_sh web 'dd if=/dev/urandom of=/mnt/vda/later bs=64k count=20 2> /dev/null && sync'
nbdcopy "$export_uri" "$SANDBOX/later"
assert_same_file "$SANDBOX/at-point" "$SANDBOX/later"
e2fsck -fn "$SANDBOX/at-point" > "$SANDBOX/fsck" || fail "the point is no consistent file system: $(cat "$SANDBOX/fsck")"
hv end web
hv end web
assert_eq "$(hv busy web | value busy)" 0
assert_eq "$(ls "$dir")" "" "scratch and socket after the end"
hv_fails EEXIST "already has a checkpoint one" begin web "$dir" one
rm -f "$dir"/*

# what changed since, and nothing more
out=$(hv begin web "$dir" two one)
context=$(sed -n "s/^export=.*vda?.* context=//p" <<< "$out")
dirty=$(nbdinfo --map="$context" --totals "$export_uri" | awk '$NF == "dirty" { print $1 }')
assert_ge "$dirty" $((20 * 65536)) "dirty bytes"
assert_le "$dirty" $((40 << 20)) "dirty bytes"
hv end web
hv_fails ENOENT "checkpoint" begin web "$dir" three nosuch
rm -f "$dir"/*
# another program's job is not ours to end
echo "<domainbackup mode='pull'><server transport='unix' socket='/var/lib/libvirt/qemu/other'/></domainbackup>" > "$SANDBOX/other.xml"
virsh backup-begin web "$SANDBOX/other.xml" > /dev/null
hv end web
assert_match "$(virsh domjobinfo web)" Backup
virsh domjobabort web
hv_fails EINVAL kvss begin web /var/lib/libvirt/qemu -
note "points in time done"

# ---- states; checkpoints survive a saved state
boot=$(guest_bootid web)
assert_eq "$(hv change web pause)" state=paused
assert_eq "$(hv change web pause)" state=paused
assert_eq "$(hv change web save-running)" state=saved
save=$(hv save-path web | value path)
assert_file "$save"
cp "$save" "$SANDBOX/copy.save"
assert_eq "$(hv info web | value checkpoint)" $'one\ntwo'
assert_eq "$(hv change web start-paused)" state=paused
assert_no_file "$save"
assert_eq "$(hv info web | value detail)" "paused, restored or migrating"
hv begin web "$dir" three two > /dev/null
dirty=$(nbdinfo --map="$context" --totals "$export_uri" | awk '$NF == "dirty" { print $1 }')
assert_le "${dirty:-0}" $((20 << 20)) "dirty bytes since the checkpoint before the saved state"
hv end web
assert_eq "$(hv change web resume)" state=running
assert_eq "$(hv change web resume)" state=running
assert_eq "$(guest_bootid web)" "$boot"
assert_counts web

hv checkpoint-xml web three > "$SANDBOX/three.xml"
hv checkpoint-delete web three metadata
hv checkpoint-redefine web "$SANDBOX/three.xml"
hv checkpoint-delete web three
hv checkpoint-delete web three
hv_fails ESTALE "bitmap" checkpoint-redefine web "$SANDBOX/three.xml"

# a saved state that was cut off is refused, where libvirt would boot the VM afresh without a word
assert_eq "$(hv change web save-paused)" state=saved
cp --sparse=never "$save" "$SANDBOX/good.save"
printf LibvirtQemudPart | dd of="$save" conv=notrunc status=none
hv_fails EIO "incomplete" change web start
assert_eq "$(hv info web | value state)" saved
cp "$SANDBOX/good.save" "$save"
assert_eq "$(hv change web start)" state=paused # as it was saved
assert_eq "$(hv change web resume)" state=running
assert_eq "$(guest_bootid web)" "$boot"
hv change web destroy > /dev/null
assert_eq "$(hv change web destroy)" state=off
hv_fails EIO "not running" change web save-running

# from a save image that was kept elsewhere
assert_match "$(virsh save-image-dumpxml "$SANDBOX/good.save")" '<name>web</name>'
hv start-from "$SANDBOX/good.save" paused
assert_state web paused
hv change web resume > /dev/null
assert_eq "$(guest_bootid web)" "$boot"
hv change web save-running > /dev/null
assert_eq "$(hv change web drop)" state=off
assert_eq "$(hv change web drop)" state=off
assert_eq "$(qemu-img info "$IMAGES/web-vda.qcow2" | grep -c 'name: \(one\|two\)')" 2
hv checkpoint-delete web one # of a VM that is off: libvirt alone cannot
assert_eq "$(qemu-img info "$IMAGES/web-vda.qcow2" | grep -c 'name: \(one\|two\)')" 1
assert_eq "$(hv info web | value checkpoint)" two
hv checkpoint-delete web two
note "states done"

# ---- images of VMs that are off, and of ones that run
mkdir -m 755 "$SANDBOX/chain"
qemu-img create -q -f raw "$SANDBOX/chain/base, 1.raw" 64M
qemu-img create -q -f qcow2 -b "base, 1.raw" -F raw "$SANDBOX/chain/mid.qcow2"
qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 "$SANDBOX/chain/top.qcow2"
guest_define chain agent=no images="$SANDBOX/chain/top.qcow2"
out=$(hv info chain)
assert_eq "$(value backing <<< "$out")" "$SANDBOX/chain/mid.qcow2"$'\n'"$SANDBOX/chain/base, 1.raw"
# shellcheck disable=SC2016 # for the shell that the tool starts
hv export "$SANDBOX/chain/top.qcow2" qcow2 read 'virsh start chain > $SANDBOX/start.log 2>&1; nbdinfo --size $uri' > /dev/null
# QEMU says why; libvirt repeats it, unless QEMU has ended before libvirt came to talk to it
assert_match "$(cat "$SANDBOX/start.log")" 'Failed to start domain' "what libvirt says of a start while the image is read"
said=$(cat "$SANDBOX/start.log" /var/log/libvirt/qemu/chain.log) # with QEMU's command line, so its very words are looked for
assert_match "$said" 'Failed to get .* lock' "what QEMU says of it"
assert_match "$said" 'using the image \[[^]]*top\.qcow2\]' "the image that QEMU names"
assert_state chain "shut off"
guest_start chain
assert_eq "$(hv info chain | value backing)" "$(value backing <<< "$out")" "the chain of a running VM"
hv_fails EBUSY "top.qcow2 is in use" export "$SANDBOX/chain/top.qcow2" qcow2 read
hv_fails EBUSY "top.qcow2 is in use" export "$SANDBOX/chain/top.qcow2" qcow2 write
hv peek "$SANDBOX/chain/top.qcow2" qcow2 0 512 > "$SANDBOX/peeked"
assert_eq "$(stat -c %s "$SANDBOX/peeked")" 512
hv change chain destroy > /dev/null
virsh undefine chain

# ---- definitions and firmware
guest_define efi firmware=efi tokens=off
virsh dumpxml --inactive efi > "$SANDBOX/efi.inactive"
guest_start efi
nvram=$(hv info efi | value nvram)
assert_file "$nvram"
hv_fails EBUSY "not off" undefine efi
hv change efi destroy > /dev/null
assert_eq "$(hv info efi | value nvram)" "$nvram" "NVRAM of a VM that is off, whose definition does not name it (B7)"
hv undefine efi keep
assert_file "$nvram"
hv define "$SANDBOX/efi.inactive" > /dev/null
hv autostart efi on
assert_match "$(virsh dominfo efi)" 'Autostart: *enable'
hv autostart efi off
hv undefine efi
assert_no_file "$nvram"

# ---- networks (M18)
assert_eq "$(hv switch network lab)" active
assert_eq "$(hv switch bridge "$(virsh -q net-info lab | sed -n 's/^Bridge: *//p')")" active
assert_eq "$(hv switch bridge nosuch)" absent
assert_eq "$(hv switch network nosuch)" absent
assert_eq "$(hv switch user '')" active
virsh net-destroy lab > /dev/null
assert_eq "$(hv switch network lab)" inactive
hv network-start lab
hv network-start lab
assert_eq "$(hv switch network lab)" active
hv_fails ENOENT nosuch network-start nosuch

# ---- a volume is deleted by the key that it had when it was made; one of another key, under its name, is somebody else's (B2)
mkdir "$SANDBOX/volumes"
virsh -q pool-create-as shelf dir --target "$SANDBOX/volumes"
virsh -q vol-create-as shelf book 1M
key=$(virsh -q vol-key book shelf)
assert_match "$(hv volume-delete shelf book another-key)" "volume book of storage pool shelf may belong to something else and was left alone"
assert_match "$(hv volume-delete shelf book)" 'left alone'
assert_file "$SANDBOX/volumes/book"
hv volume-delete shelf book "$key"
assert_no_file "$SANDBOX/volumes/book"
hv volume-delete shelf book "$key"
hv_fails ENOENT nosuch volume-delete nosuch book "$key"
virsh -q pool-destroy shelf
rmdir "$dir"
assert_nothing_left
note "root's side done"

# ---- libvirt without a daemon, in this process
mkdir -m 711 "$SANDBOX/embed"
echo leak:libvirt_driver_qemu > "$SANDBOX/lsan" # with ASan: libvirt's driver leaves some of its own when the process ends
export LSAN_OPTIONS="suppressions=$SANDBOX/lsan:print_suppressions=0"
embed="qemu:///embed?root=$SANDBOX/embed"
guest_xml emb > "$SANDBOX/emb.xml"
hv -c "$embed" define "$SANDBOX/emb.xml" > /dev/null
assert_eq "$(hv -c "$embed" change emb start)" state=running
_agent_up() { [ "$(hv -c "$embed" agent emb | value agent)" = ok ]; }
for ((i = 0; i < 60; i++)); do ! _agent_up || break; sleep 0.5; done
dir=$(hv -c "$embed" shared-dir)
hv -c "$embed" point emb "$dir" one > "$SANDBOX/out"
hv -c "$embed" end emb
assert_eq "$(hv -c "$embed" change emb save-running)" state=saved
assert_file "$(hv -c "$embed" save-path emb | value path)"
assert_eq "$(hv -c "$embed" change emb start)" state=running
hv -c "$embed" change emb destroy > /dev/null
hv -c "$embed" undefine emb
rmdir "$dir"
assert_eq "$(cat "$SANDBOX/hv.err")" "" "what libvirt wrote to stderr"
unset LSAN_OPTIONS
note "embedded libvirt done"

# ---- an ordinary user
session_mode
install -m 755 "$tool" /run/kvss-test/hvtool
tool=/run/kvss-test/hvtool
out=$(hv connection)
assert_eq "$(value uid <<< "$out")" 64777
guest_define own
guest_start own
guest_wait own
assert_eq "$(hv agent own | value agent)" ok
dir=$(hv shared-dir)
assert_eq "$(stat -c '%a %U' "$dir")" "700 kvss-test"
hv point own "$dir" one > /dev/null
hv end own
assert_eq "$(hv change own save-running)" state=saved
assert_file "$(hv save-path own | value path)"
assert_eq "$(hv change own start-paused)" state=paused
assert_eq "$(hv change own resume)" state=running
hv checkpoint-delete own one
hv change own destroy > /dev/null
# shellcheck disable=SC2016 # for the shell that the tool starts
hv export "$IMAGES/own-vda.qcow2" qcow2 read 'nbdinfo --size $uri' > /dev/null
as_user rmdir "$dir"
assert_nothing_left
note "ordinary user done"
