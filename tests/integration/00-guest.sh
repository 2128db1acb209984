#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The ground that the other tests stand on: guests boot, talk, freeze, write tokens and count; every layout
# works (with KVSS_TEST_FULL=1); images can be looked into; what is left behind would be seen.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"

note() { printf '%4d s  %s\n' $SECONDS "$*"; }

# ---- two ordinary guests: an agent and two disks; no agent
guest_define web fs=ext4,ext4 format=qcow2,raw tokens=driven
guest_define mute agent=no tokens=driven size=65M # blank: nobody has formatted such a one for it
guest_start web
began=$(date +%s%N)
guest_wait web
note "web: agent answers after $((($(date +%s%N) - began) / 1000000)) ms"
assert_eq "$(qemu-img convert -O raw "$IMAGES/mute-vda.qcow2" /dev/stdout 2> /dev/null | tr -d '\000' | wc -c)" 0 "bytes on a blank disk"
guest_start mute
guest_wait mute
assert_match "$(guest_sh mute cat /proc/mounts)" '/dev/vda /mnt/vda ext4' "what it has made of that"
assert_status 1 virsh qemu-agent-command mute '{"execute":"guest-ping"}'
assert_counts mute
assert_match "$(guest_agent web guest-get-osinfo)" return

# the shell tells output and status apart, and a hanging command does not block the next
assert_status 3 guest_sh web 'echo one; echo two >&2; exit 3'
assert_eq "$OUTPUT" $'one\ntwo'
GUEST_TIMEOUT=1 assert_status 124 guest_sh web 'sleep 30'
assert_eq "$(guest_sh web "printf 'a\\tb'; head -c 3 /dev/zero | tr '\\000' z")" $'a\tbzzz'

# an agent that hangs, and one that is gone
guest_sh web agentctl hang
GUEST_TIMEOUT=1 assert_status 1 guest_agent web guest-ping
guest_sh web agentctl resume
poll 20 guest_agent web guest-ping
guest_sh web agentctl stop
poll 5 guest_sh web '! pidof qemu-ga'
GUEST_TIMEOUT=1 assert_status 1 guest_agent web guest-ping
guest_sh web agentctl start
poll 20 guest_agent web guest-ping

# tokens go to all disks of both in turn; frozen disks hold them back, and a counter does not care
TOKEN_PAUSE_MS=$TOKENS_OFTEN token_drive web mute
assert_tokens_flow
assert_match "$(virsh domfsfreeze web)" 'Froze 2'
assert_match "$(guest_agent web guest-fsfreeze-status)" frozen
sleep 0.3
acked=$(token_acked)
assert_counts web
sleep 1
assert_eq "$(token_acked)" "$acked" "token written on a frozen disk"
assert_left "web: file systems are frozen"
image_web=$(image_tokens "$IMAGES/web-vda.qcow2" "$IMAGES/web-vdb.raw")
assert_ge "$(field a "$image_web")" "$acked" "token in the frozen image"
virsh domfsthaw web > /dev/null
assert_tokens_flow

# a paused guest holds them back too; its images are of one instant with those of the other
virsh suspend mute > /dev/null
sleep 0.3
acked=$(token_acked)
sleep 0.5
assert_eq "$(token_acked)" "$acked" "token written by a paused guest"
virsh suspend web > /dev/null
assert_set_order "$(image_tokens "$IMAGES"/web-vda.qcow2 "$IMAGES"/web-vdb.raw)" "$(image_tokens "$IMAGES"/mute-vda.qcow2)"
assert_left "web is paused"
ALLOW_PAUSED="web mute" assert_nothing_left
virsh resume web > /dev/null
virsh resume mute > /dev/null
assert_tokens_flow

# managed save keeps memory: same boot, counter goes on; the driver finds the new QEMU by itself
assert_nothing_left
boot=$(guest_bootid mute) count=$(guest_counter mute)
virsh managedsave mute > /dev/null
assert_state mute "shut off, saved"
assert_left "mute has a managed save image"
ALLOW_SAVED=mute assert_nothing_left
note "mute: saved in $(find /var/lib/libvirt/qemu/save -name 'mute*')"
guest_start mute
assert_tokens_flow
assert_eq "$(guest_bootid mute)" "$boot" "boot id after managed save"
assert_ge "$(guest_counter mute)" "$count" "counter after managed save"
token_drive_stop
assert_set_order "$(guest_tokens web)" "$(guest_tokens mute)"
assert_nothing_left

# what a backup would leave behind is seen: a job, its export and checkpoint; an overlay; a file; a process
facts=$(vm_facts web)
echo "<domainbackup mode='pull'><server transport='unix' socket='/var/lib/libvirt/qemu/web.nbd'/></domainbackup>" > "$SANDBOX/backup.xml"
echo "<domaincheckpoint><name>kvss-1</name><disks><disk name='vda'/><disk name='vdb' checkpoint='no'/></disks></domaincheckpoint>" > "$SANDBOX/checkpoint.xml"
virsh backup-begin web "$SANDBOX/backup.xml" "$SANDBOX/checkpoint.xml" > /dev/null
assert_left "web has the checkpoint kvss-1"
assert_left "web has a job"
assert_left "web: query-block-exports"
assert_ne "$(vm_facts web)" "$facts" "facts during a job"
virsh domjobabort web
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
virsh checkpoint-delete web kvss-1 > /dev/null
virsh snapshot-create-as web --disk-only --no-metadata --diskspec vda,file="$IMAGES/web-over.qcow2" \
    --diskspec vdb,snapshot=no > /dev/null
assert_left "web has other disks than before"
virsh blockcommit web vda --active --pivot > /dev/null
touch "$IMAGES/.kvss-1.scratch"
assert_left "kvss-1.scratch"
rm "$IMAGES/.kvss-1.scratch" "$IMAGES/web-over.qcow2"
guest_image "$SANDBOX/spare" 1M
qemu-nbd -f qcow2 -k "$SANDBOX/nbd" --persistent "$SANDBOX/spare" &
poll 10 test -S "$SANDBOX/nbd"
assert_left "qemu-nbd"
kill $!
wait $! || :
assert_eq "$(vm_facts web)" "$facts" "facts after all that"
assert_nothing_left

# a guest that starts again finds its disks as they were
last=$(guest_status mute b)
guest_stop mute
guest_start mute
guest_wait mute
assert_eq "$(guest_status mute boot_b)" "$last" "token after a restart"
assert_ne "$(guest_bootid mute)" "$boot" "boot id after a restart"
assert_nothing_left
guest_stop web
virsh destroy mute > /dev/null
note "ordinary guests done"

[ -n "${KVSS_TEST_FULL:-}" ] || exit 0 # 18-file-systems and 11-conditions-guest have them, too
# ---- the other layouts, two guests at a time
network_define lab 192.168.77.1
guest_define fs fs=xfs,btrfs,vfat net=lab words='kvss.net=dhcp kvss.hook=yes'
guest_define span fs=lvm,lvm words=kvss.agentblock=guest-file-open
guest_define parts fs=ldm,gptldm,esp,part agent=silent bus=scsi

guest_start fs
guest_start span
guest_wait fs
guest_wait span
note "xfs, btrfs, vfat with a network; LVM over two disks"
# vfat cannot be frozen, and the agent passes over it; the LVM volume is one file system
assert_match "$(virsh domfsfreeze fs)" 'Froze 2'
assert_match "$(virsh domfsthaw fs)" 'Thawed 2'
assert_match "$(virsh domfsfreeze span)" 'Froze 1'
virsh domfsthaw span > /dev/null
assert_match "$(virsh domfsinfo fs)" vfat
assert_match "$(virsh domfsinfo span)" /mnt/lvm
assert_match "$(guest_sh fs 'cut -d" " -f1 /run/kvss/hook.log | tr "\n" " "')" '^freeze thaw $' "hooks run"
guest_sh fs 'echo "#!/bin/false" > /etc/qemu/fsfreeze-hook.d/bad; chmod +x /etc/qemu/fsfreeze-hook.d/bad'
assert_status 1 virsh domfsfreeze fs
assert_match "$OUTPUT" hook
guest_sh fs 'rm /etc/qemu/fsfreeze-hook.d/bad'
assert_status 1 guest_agent span guest-file-open '{"path":"/etc/passwd"}'
assert_match "$OUTPUT" disabled
poll 60 guest_sh fs 'ip addr show eth0 | grep 192.168.77.1'
virsh suspend fs > /dev/null
image_tokens "$IMAGES/fs-vda.qcow2" "$IMAGES/fs-vdb.qcow2"
virsh suspend span > /dev/null
inspect_tokens 'kvss.vda=lvm kvss.vdb=lvm' "$IMAGES/span-vda.qcow2" "$IMAGES/span-vdb.qcow2"
virsh resume span > /dev/null
virsh resume fs > /dev/null
assert_nothing_left
virsh destroy fs > /dev/null
virsh destroy span > /dev/null

guest_start parts
guest_wait parts
note "partitions: LDM, EFI"
partitions() { guest_sh parts "sfdisk -d \$(sed -n 's/^$1 //p' /run/kvss/disks)"; }
assert_match "$(partitions sda)" 'type=42'
assert_match "$(partitions sdb)" 'type=AF9B60A0-1431-4F62-BC68-3311714A69AD'
assert_match "$(guest_sh parts 'grep -c /mnt/sd /proc/mounts')" 5
GUEST_TIMEOUT=3 assert_status 1 guest_agent parts guest-ping
guest_stop parts
image_tokens "$IMAGES/parts-sda.qcow2" "$IMAGES/parts-sdb.qcow2"
assert_nothing_left
note "done"
