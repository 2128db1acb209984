#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Disks on the network (NBD over TCP and over a UNIX socket, names that need care) of VMs that are off, saved, running: backed
# up byte for byte, restored in the same ways. Where the server is away, does not have it or does not answer, where something asks for a
# secret, or the definition does not tell surely, check and backup refuse alike, beforehand. With KVSS_TEST_FULL=1 also: a server that stops
# answering in the midst of a backup does not keep it from ending at the first signal; servers that hang are waited for once, side by side; a
# VM that is started meanwhile spoils it; what a running VM has open there and its next start would not find is told before it is saved. M3,
# M10, M11, B2, B3.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
points=0
S=$SANDBOX/served
mkdir -m 711 "$S"
cp "$(command -v qemu-nbd)" "$SANDBOX/nbd-server" # a name that is not taken for what kvss may leave behind
NAME=$'x,y "z" \'w\' \\$HOME'
NAME_XML='x,y &quot;z&quot; &apos;w&apos; \$HOME'
TCP=(-b 127.0.0.1 -p 10811 -x "$NAME")

# serve KEY FILE OPTION...: a server of the file, writable; its pid is in SERVER[KEY]
declare -A SERVER
serve() {
    local key=$1 file=$2
    shift 2
    "$SANDBOX/nbd-server" -t -e 8 -f raw "$@" "$file" 2>> "$SANDBOX/servers" &
    SERVER[$key]=$!
    poll 20 nbd_ready "$@"
}
nbd_ready() {
    case $1 in
    -k) [ -S "$2" ] && chmod 666 "$2" ;;
    *) (exec 3<> "/dev/tcp/127.0.0.1/$4") 2> /dev/null ;;
    esac
}
stop() { kill -CONT "${SERVER[$1]}"; kill "${SERVER[$1]}"; wait "${SERVER[$1]}" || :; }

# disk FORMAT TARGET SOURCE... : its XML
disk() {
    echo "<disk type='network' device='disk'><driver name='qemu' type='$1'/>$3<target dev='$2' bus='virtio'/>${4:-}</disk>"
}
RAW="<source protocol='nbd'><host transport='unix' socket='$S/raw.sock'/></source>"
TCP_XML="<source protocol='nbd' name='$NAME_XML'><host name='127.0.0.1' port='10811'/></source>"

# refused VM TEXT: by check and by backup, for the same reason
refused() {
    local why
    kvss check "$1" --json > "$REPORT" 2> "$SANDBOX/stderr" && fail "check of $1: a backup would not be refused"
    why=$(report_vm "$1" .refused)
    assert_match "$why" "$2" "why a backup of $1 would be refused"
    assert_match "$why" "exclude the VM from --all \(--exclude $1\)" "the remedy"
    kvss_fails "$EXIT_REFUSED" backup "$1" --quiet
    [[ $OUTPUT == *"$why"* ]] || fail "check says '$why', and the backup '$OUTPUT'"
    ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
    assert_points $points
    note "$1: $why"
}

# as_served POINT: the images of the point are what is served
as_served() {
    rm -rf "$SANDBOX/images"
    kvss_json restore "$1" net --images-only --to "$SANDBOX/images"
    assert_same_file "$SANDBOX/images/net-vda.raw" "$S/raw"
    assert_same_file "$SANDBOX/images/net-vdb.raw" "$S/tcp"
}

head -c 24M /dev/urandom > "$S/raw" && truncate -s 64M "$S/raw"
head -c 9M /dev/urandom > "$S/tcp" && truncate -s 32M "$S/tcp"
truncate -s 1M "$S/medium"
serve raw "$S/raw" -k "$S/raw.sock"
serve tcp "$S/tcp" "${TCP[@]}"

# ---- off: backed up, and again after a change
guest_define net disks=0 agent=no tokens=off extra="$(disk raw vda "$RAW")$(disk raw vdb "$TCP_XML")"
kvss_json check net
assert_report_vm net .refused null
assert_report_vm net '[.disks[].covered] | all' true
definition net > "$SANDBOX/net.before"
backup net
assert_report_vm net .state off
assert_report_vm net .consistency offline
assert_report_vm net '.not_covered | length' 0
first=$(report .point)
as_served "$first"
qemu-io -f raw -c 'write -P 7 1M 3M' "nbd+unix:///?socket=$S/raw.sock" > /dev/null
stop tcp
qemu-io -f raw -c 'write -P 9 20M 1M' "$S/tcp" > /dev/null
serve tcp "$S/tcp" "${TCP[@]}"
backup net
as_served "$POINT"
points=2
assert_definition net "$SANDBOX/net.before"
note "off: both disks are as they were served"

# ---- running, then saved
guest_start net
backup net
running=$(report .point)
assert_state net running
virsh -q managedsave net > /dev/null
ALLOW_SAVED=net backup net
assert_report_vm net .state saved
as_served "$POINT"
assert_eq "$(vm_state net)" "shut off, saved" "state of net"
virsh -q start net > /dev/null
virsh -q destroy net
ALLOW_CHECKPOINTS='kvss-*' backup net # reads whole what a running one could have told the changes of
as_served "$POINT"
points=5
note "running and saved, too"

# ---- restored in the same ways, whether it was off or running
for where in "$first" "$running"; do
    kvss_json verify "$where"
    kvss_fails "$EXIT_FAILED" restore "$where" net --yes
    assert_match "$OUTPUT" 'VM net, disk vda: it was on the network .*--to, --pool or --disk vda=PATH' "restored in place"
    kvss_json restore "$where" net --name copy --to "$SANDBOX/copy" --no-start
    assert_match "$(vm_state copy)" '^shut off' "state of the copy"
    [ "$where" != "$first" ] || cmp -n 1M "$SANDBOX/copy/copy-vda.raw" "$S/raw"
    virsh -q domblklist copy > "$SANDBOX/out"
    assert_match "$(cat "$SANDBOX/out")" "$SANDBOX/copy/copy-vda.raw" "the copy's image"
    virsh -q undefine copy --managed-save > /dev/null
    rm -r "$SANDBOX/copy"
done
kvss_json restore "$first" net --move --to "$SANDBOX/moved" --yes --no-start
assert_match "$(virsh -q domblklist net)" "vda +$SANDBOX/moved/net-vda.raw" "where it went"
guest_remember_disks net
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
virsh -q define "$SANDBOX/net.before" > /dev/null
guest_remember_disks net
note "restored as copy and moved to files; both alike"

# ---- the server is away, or does not have it
stop raw
refused net "disk vda .*its image nbd:$S/raw.sock is on the network and not open in a running QEMU: .*(No such file|Connection refused).*: check its server"
serve raw "$S/raw" -k "$S/raw.sock"
stop tcp
refused net "disk vdb .*its image nbd:x,y .*not open in a running QEMU: .*Connection refused"
serve tcp "$S/tcp" -b 127.0.0.1 -p 10811 -x other
refused net "disk vdb .*not open in a running QEMU: .*not available"
stop tcp
guest_define fine agent=no tokens=off size=8M
kvss_fails "$EXIT_REFUSED" backup --all
assert_match "$OUTPUT" '^VM net: disk vdb cannot be read|VM net: disk vdb cannot be read' "who sinks it, and why"
backup --all --exclude net
points=6

# ---- an image that can name files of this host: its server could change it between two looks
virsh -q undefine net
guest_define net disks=0 agent=no tokens=off extra="$(disk qcow2 vdb "$TCP_XML")"
refused net 'disk vdb .*its format is qcow2, .*no image can refer to files of this host: start the VM'
virsh -q undefine net
virsh -q define "$SANDBOX/net.before" > /dev/null
guest_remember_disks net

# ---- definitions that do not tell surely how it is to be read
refused_source() { # TEXT FORMAT SOURCE
    virsh -q undefine odd 2> /dev/null || :
    guest_define odd disks=0 agent=no tokens=off extra="$(disk "$2" vda "$3")"
    refused odd "$1"
}
H="<host name='localhost' port='7'/>"
refused_source 'encrypted \(TLS\): start the VM' raw "<source protocol='nbd' name='x' tls='yes'>$H</source>"
refused_source 'libvirt secret \(auth\): start the VM' raw "<source protocol='rbd' name='p/i'><host name='localhost' port='7'/>
    <auth username='me'><secret type='ceph' usage='none'/></auth></source>"
refused_source 'does not support sheepdog' raw "<source protocol='sheepdog' name='x'>$H</source>"
refused_source 'its format is vmdk' vmdk "<source protocol='nbd' name='x'>$H</source>"
refused_source 'qemu-block-extra|[Cc]onnect' raw "<source protocol='https' name='x'>$H</source>"
virsh -q undefine odd

[ -n "${KVSS_TEST_FULL:-}" ] || exit 0
# ---- a disk that the guest only reads is read beside a VM that runs
guest_define reader disks=0 agent=no tokens=off extra="$(disk raw vda "$RAW" '<readonly/>')"
guest_start reader
backup reader
points=7
kvss_json restore "$POINT" reader --images-only --to "$SANDBOX/reader"
assert_same_file "$SANDBOX/reader/reader-vda.raw" "$S/raw"
stop raw
refused reader 'disk vda cannot be read: .*not open in a running QEMU: '
virsh -q destroy reader
virsh -q undefine reader

# ---- a medium that a VM has open and could not open again (M3, B2)
serve medium "$S/medium" -k "$S/medium.sock" -r
guest_define drive agent=no tokens=off size=8M extra="<disk type='network' device='cdrom'><driver name='qemu' type='raw'/>
    <source protocol='nbd'><host transport='unix' socket='$S/medium.sock'/></source><target dev='hda' bus='ide'/><readonly/></disk>"
guest_start drive
lifecycle_start
kvss_json check drive
assert_report_vm drive '.warnings | length' 0
kill -STOP "${SERVER[medium]}" # which may as well let in nobody but the VM
kvss_json check drive
assert_match "$(report_vm drive '.warnings | join("; ")')" 'may not be possible to start the VM again: its drive hda .*medium.sock.* does not respond \(5 s\)' "warning"
kill -CONT "${SERVER[medium]}"
stop medium
rm -f "$S/medium.sock"
kvss check drive --json > "$REPORT" 2> /dev/null && fail "check says that all is well, without the medium's server"
why=$(report_vm drive .refused)
assert_match "$why" 'lacks nbd:.*medium.sock, the medium in drive hda, from its server: .*(No such file|refused).* --eject' "refused"
kvss_fails "$EXIT_REFUSED" backup drive --quiet
assert_match "$OUTPUT" 'the medium in drive hda, from its server' "what the backup says"
assert_untouched drive
lifecycle_stop
virsh -q destroy drive
virsh -q undefine drive
note "$why"

# ---- it stops answering
serve raw "$S/raw" -k "$S/raw.sock"
serve tcp "$S/tcp" "${TCP[@]}"
ends() { # WHAT: the command in $pid, at its first signal, soon
    local began=$SECONDS status=0
    kill -INT $pid
    wait $pid || status=$?
    assert_eq $status "$EXIT_INTERRUPTED" "status of $1"
    assert_le $((SECONDS - began)) 10 "seconds until $1 ended"
    note "$1 ended $((SECONDS - began)) s after the signal"
}
asking() { pgrep -x qemu-img > /dev/null; }
kill -STOP "${SERVER[raw]}"
env --default-signal=INT "$KVSS" check net > "$SANDBOX/out" 2>&1 &
pid=$!
poll 20 asking
ends "check of a server that hangs"
kill -CONT "${SERVER[raw]}"
assert_nothing_left

# Two disks of two VMs: one wait for all of them, and for all the looks of one command
guest_define other disks=0 agent=no tokens=off extra="$(disk raw vda "$RAW")$(disk raw vdb "$TCP_XML")"
kill -STOP "${SERVER[raw]}" "${SERVER[tcp]}"
began=$SECONDS
kvss_fails "$EXIT_REFUSED" backup net other --quiet
assert_match "$OUTPUT" 'VM net: disk vda cannot be read: .* the server does not respond \(30 s\)' "why"
assert_match "$OUTPUT" 'VM other: disk vda cannot be read' "why"
assert_le $((SECONDS - began)) 45 "seconds until servers that hang were given up"
note "refused after $((SECONDS - began)) s"
kill -CONT "${SERVER[raw]}" "${SERVER[tcp]}"
virsh -q undefine other
assert_nothing_left

blocks() { find "$KVSS_REPOSITORY" -type f | wc -l; }
head -c 64M /dev/urandom | dd of="$S/raw" conv=notrunc status=none
reading() { [ "$(pgrep -xc qemu-nbd)" = 2 ] && [ "$(du -sm "$KVSS_REPOSITORY" | cut -f 1)" -ge $((start + 2)) ]; }
held_backup() { # [RATE]: until it reads
    start=$(du -sm "$KVSS_REPOSITORY" | cut -f 1)
    env --default-signal=INT "$KVSS" backup net --quiet --bwlimit "${1:-4M}" > "$SANDBOX/out" 2>&1 &
    pid=$!
    until reading; do kill -0 $pid 2> /dev/null || fail "the backup ended early: $(cat "$SANDBOX/out")"; sleep 0.1; done
}
held_backup
kill -STOP "${SERVER[raw]}" "${SERVER[tcp]}"
sleep 3
ends "a backup from servers that hang"
kill -CONT "${SERVER[raw]}" "${SERVER[tcp]}"
assert_nothing_left
assert_points $points

# ---- nothing locks it: a VM that is started meanwhile spoils the copy
held_backup 2M # time for the start, on a busy machine too
guest_start net
wait $pid && fail "the backup succeeded though the VM was started"
assert_match "$(cat "$SANDBOX/out")" 'VM net was off and is .* now, and may have written to its network disk .*run the backup again' "why"
assert_nothing_left
assert_points $points
virsh -q destroy net 2> /dev/null || : # its guest may have ended by itself
backup net
as_served "$POINT"
stop raw
stop tcp
