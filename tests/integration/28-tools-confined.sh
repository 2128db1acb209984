#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# qemu-img and qemu-nbd, which parse what strangers have written, have nothing but the images they are handed: a root folder, a network and
# an IPC namespace of their own, QEMU's user, no new privileges, a filter for system calls, no capability but to open those images. So an
# image that names other files or servers yields nothing even where nobody has looked at it. A user's own session goes
# without namespaces, a container without what it refuses. Relative backing names and data files in another file are read as before. B3, M22.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

C=$KVSS_BUILD/tests/tools/confined
QEMU_UID=$(id -u libvirt-qemu)
kvss_setup

# status PID KEY: from /proc
status() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }
# assert_confined PID WHAT host|own: whose network it has
assert_confined() {
    local ns
    for ns in mnt ipc uts; do
        [ "$(readlink "/proc/$1/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ] || fail "$2: the host's namespace $ns"
    done
    ns=$([ "$(readlink "/proc/$1/ns/net")" = "$(readlink /proc/self/ns/net)" ] && echo host || echo own)
    assert_eq "$ns" "$3" "$2: network"
    for ns in "$IMAGES" "$KVSS_REPOSITORY" /root /home /var/lib /run /etc/shadow /etc/libvirt /proc/1 /sys/kernel; do
        [ ! -e "/proc/$1/root$ns" ] || fail "$2: it can reach $ns"
    done
    [ -d "/proc/$1/root/usr/bin" ] || fail "$2: its root folder was not looked at"
    assert_eq "$(status "$1" Uid)" "$(printf '%s\t%s\t%s\t%s' "$QEMU_UID" "$QEMU_UID" "$QEMU_UID" "$QEMU_UID")" "$2: user"
    assert_eq "$(status "$1" NoNewPrivs) $(status "$1" Seccomp)" "1 2" "$2: no new privileges, filter"
    assert_match "$(status "$1" CapEff) $(status "$1" CapPrm)" '^(0{15}[02]) \1$' "$2: capabilities (none, or CAP_DAC_OVERRIDE)"
    assert_match "$(grep 'core file' "/proc/$1/limits")" ' 0 +0 ' "$2: core files"
}
watch() { # PID WHAT: as it stands there before it begins
    if (assert_confined "$1" "$2" own) > "$SANDBOX/watched" 2>&1; then echo "ok $2"; else cat "$SANDBOX/watched"; fi >> "$SANDBOX/seen"
}
watch_img() { watch "$1" "qemu-img ${2%% *}"; }
watch_nbd() { watch "$1" qemu-nbd; }
tool_watch qemu-img watch_img
tool_watch qemu-nbd watch_nbd

# ---- in backups and restores: an image whose backing file has a relative name, one whose data are in another file, one on the network
qemu-img create -q -f qcow2 "$IMAGES/base.qcow2" 8M
qemu-io -f qcow2 -c 'write -q -P 5 1M 1M' "$IMAGES/base.qcow2"
(cd "$IMAGES" && qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2)
qemu-io -f qcow2 -c 'write -q -P 6 4M 1M' "$IMAGES/top.qcow2"
qemu-img create -q -f qcow2 -o "data_file=$IMAGES/data,data_file_raw=on" "$IMAGES/outside.qcow2" 8M
qemu-io -f qcow2 -c 'write -q -P 7 2M 1M' "$IMAGES/outside.qcow2"
head -c 4M /dev/urandom > "$SANDBOX/served"
cp "$(command -v qemu-nbd)" "$SANDBOX/nbd-server"
"$SANDBOX/nbd-server" -t -e 4 -f raw -k "$SANDBOX/served.sock" "$SANDBOX/served" &
poll 10 test -S "$SANDBOX/served.sock"
chmod 666 "$SANDBOX/served.sock"
disk() {
    echo "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$2'/><target dev='$1' bus='virtio'/></disk>"
}
guest_define vm disks=0 agent=no tokens=off extra="$(disk vda "$IMAGES/top.qcow2")$(disk vdb "$IMAGES/outside.qcow2")"
guest_define net disks=0 agent=no tokens=off extra="<disk type='network' device='disk'><driver name='qemu' type='raw'/><source
    protocol='nbd'><host transport='unix' socket='$SANDBOX/served.sock'/></source><target dev='vda' bus='virtio'/></disk>"
for i in top outside; do image_raw "$IMAGES/$i.qcow2" "$SANDBOX/$i.was"; done

chmod 711 "$SANDBOX/bin"
free_path=$PATH
PATH=$SANDBOX/bin:$PATH
kvss_json backup vm --verbose
[[ $(cat "$SANDBOX/stderr") != *"run here without"* ]] || fail "$(cat "$SANDBOX/stderr")"
point=$(report .point)
kvss_json restore --yes "$point" vm
PATH=$free_path
sort "$SANDBOX/seen" | uniq -c
grep -v '^ok' "$SANDBOX/seen" && fail "tools that are not confined"
for i in 'qemu-img info' 'qemu-img create' qemu-nbd; do grep -qx "ok $i" "$SANDBOX/seen" || fail "$i was not seen"; done
image_raw "$IMAGES/top.qcow2" "$SANDBOX/top.is"
image_raw "$IMAGES/outside.qcow2" "$SANDBOX/outside.is"
for i in top outside; do assert_same_file "$SANDBOX/$i.is" "$SANDBOX/$i.was"; done
note "backup and restore: every tool is confined, and the images are as they were"

# the real thing, while it serves: for longer than it takes to look
# one_confined VM NETWORK: one of those that serve it was looked at, and is; those that look at its first blocks end too soon for that
one_confined() {
    local pid seen=no
    : > "$SANDBOX/loose"
    for pid in $(pgrep -x qemu-nbd); do
        if (assert_confined "$pid" "qemu-nbd of $1" "$2") > "$SANDBOX/watched" 2>&1; then
            seen=yes
        elif [[ $(status "$pid" State 2> /dev/null) == [RSD]* ]] && [ -d "/proc/$pid/root/usr/bin" ]; then
            cat "$SANDBOX/watched" >> "$SANDBOX/loose"
            return 0
        fi
    done
    [ $seen = yes ]
}
for vm in vm net; do
    "$KVSS" backup "$vm" --quiet --bwlimit 64K 2> "$SANDBOX/stderr" &
    poll 60 one_confined "$vm" "$([ $vm = vm ] && echo own || echo host)"
    [ ! -s "$SANDBOX/loose" ] || fail "$(cat "$SANDBOX/loose")"
    kill -TERM $!
    status=0
    wait $! || status=$?
    assert_eq $status "$EXIT_INTERRUPTED" "status of the interrupted backup of $vm: $(cat "$SANDBOX/stderr")"
done
note "qemu-nbd, of images here and of one on the network"

# ---- images that name what they should not. Each yields the secret to a tool that is not confined, and nothing to one that is.
E=$SANDBOX/hostile
mkdir -m 755 "$E"
SECRET=$E/secret
(echo "a secret of the host" && head -c 65000 /dev/zero) > "$SECRET" && truncate -s 64k "$SECRET"
chmod 644 "$SECRET"
cp "$SECRET" "$E/served"
"$SANDBOX/nbd-server" -t -e 4 -f raw -b 127.0.0.1 -p 10822 "$E/served" &
"$SANDBOX/nbd-server" -t -e 4 -f raw -k "$E/served.sock" "$E/served" &
served() { [ -S "$E/served.sock" ] && chmod 666 "$E/served.sock" && (exec 3<> /dev/tcp/127.0.0.1/10822) 2> /dev/null; }
poll 10 served
names() { # NAME BACKING: an image that is backed by it
    qemu-img create -q -f qcow2 -u -b "$2" -F raw "$E/$1" 64k
}
names path "$SECRET"
names json "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"$SECRET\"}}"
names proc "/proc/1/root$SECRET"
names tcp nbd://127.0.0.1:10822
names unix "nbd+unix:///?socket=$E/served.sock"
qemu-img create -q -f qcow2 -o "data_file=$E/data,data_file_raw=on" "$E/data-file" 64k
rm "$E/data" && ln "$SECRET" "$E/data"
qemu-img create -q -f qcow2 "$E/harmless" 64k && qemu-io -f qcow2 -c 'write -q -P 65 0 64k' "$E/harmless" # "AAAA..."
out() { rm -f "$E/out" && truncate -s 64k "$E/out"; }
for image in harmless path json proc tcp unix data-file; do
    out
    qemu-img convert -n -f qcow2 -O raw "$E/$image" "$E/out"
    grep -qaE 'a secret of the host|AAAA' "$E/out" || fail "$image yields nothing even to a tool that is free"
    out
    status=0
    "$C" -w "$E/$image" "$E/out" -- qemu-img convert -n -f qcow2 -O raw /proc/self/fd/3 /proc/self/fd/4 > "$SANDBOX/said" 2>&1 || status=$?
    assert_match "$(tail -n 1 "$SANDBOX/said")" '^lacks=0$' "what the tool goes without"
    found=$(head -c 100 "$E/out" | grep -aoE 'secret|^AAAA' || :)
    assert_eq "$((status != 0)) $found" "$([ "$image" = harmless ] && echo 0 AAAA || echo '1 ')" "$image: $(cat "$SANDBOX/said")"
    note "$image: $(head -n 1 "$SANDBOX/said")"
done

# ---- and if it runs code of theirs
try() { ! "$C" "$E/harmless" -- sh -c "$1" > "$SANDBOX/said" 2>&1 || fail "in a confined tool, '$1' works: $(cat "$SANDBOX/said")"; }
try "cat '$SECRET'"
try 'cat /etc/passwd'
try ': > /usr/bin/new'
try ': > /new'
setpriv --reuid libvirt-qemu --regid kvm --clear-groups sleep 60 &
poll 10 pgrep -x sleep -u libvirt-qemu
try "kill -0 $!" # one of its own user, as QEMUs are
try 'mount -t tmpfs none /usr'
try 'unshare -U true'
try 'exec 5<> /proc/self/fd/3'
try "bash -c 'exec 5<> /dev/tcp/127.0.0.1/10822'"
note "code in it gets nowhere"

# ---- as an ordinary user: no namespaces, but a filter and, where the kernel has it, Landlock
as_user "$C" "$E/harmless" -- qemu-img info -f qcow2 /proc/self/fd/3 > "$SANDBOX/said" 2>&1 || fail "$(cat "$SANDBOX/said")"
lacks=$(sed -n 's/^lacks=//p' "$SANDBOX/said")
assert_eq $((lacks & 16)) 0 "the filter of a user's tool"
if [ $((lacks & 32)) = 0 ]; then
    as_user "$C" "$E/harmless" -- cat "$SECRET" > /dev/null 2>&1 && fail "a user's tool reads files it was not handed"
    note "a user's tool: Landlock"
fi

# ---- root in a container may lack what it takes: the tool goes without, and works
for lack in sys_admin setuid,-setgid setpcap all; do
    setpriv --bounding-set="-$lack" "$C" -w "$E/harmless" -- qemu-img info -f qcow2 /proc/self/fd/3 > "$SANDBOX/said" 2>&1 ||
        fail "without $lack: $(cat "$SANDBOX/said")"
    note "without $lack: $(grep lacks= "$SANDBOX/said")"
done
