# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_image.sh: looks into disk images without starting their VM, always on a copy: what a crash or a
# freeze left is repaired by journal replay there, and the image stays as it is. Sourced by functions.sh.

# image_raw IMAGE COPY: the image's content as a raw file, holes kept; also while a VM uses the image
image_raw() { qemu-img convert -U -O raw -S 4k "$1" "$2"; }

# image_encrypted IMAGE FORMAT SECRET: 16 MiB that QEMU encrypts (LUKS), as qcow2 or luks, with the passphrase in the file SECRET.
# qemu-img measures how fast it hashes, and gives up ("Unable to get accurate CPU usage") when no tick fell into that.
image_encrypted() {
    local option=key-secret=s,iter-time=10 try # opened soon: else each opening takes seconds of a processor
    [ "$2" = luks ] || option=encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10
    for try in {1..20}; do
        qemu-img create -q --object "secret,id=s,file=$3" -f "$2" -o "$option" "$1" 16M && return
    done
    fail "$1 was not made in $try tries"
}

# tool_watch TOOL FUNCTION: with $SANDBOX/bin first in PATH, each run of TOOL (qemu-img, qemu-nbd) stops before it begins, and goes on after
# FUNCTION PID ARGUMENTS, which is called here: such a tool can reach nothing of the host, so it cannot do this itself.
tool_watch() {
    local at=$SANDBOX/bin/$1
    mkdir -p "$SANDBOX/bin"
    mkfifo -m 666 "$at.asks"
    cat > "$at" <<END
#!/bin/bash
echo "\$\$ \$*" > "$at.asks"
kill -STOP \$\$
exec $(command -v "$1") "\$@"
END
    chmod 755 "$at"
    _tool_watcher "$2" <> "$at.asks" &
    cleanup_fn kill $!
}
_tool_watcher() {
    local pid arguments
    while read -r pid arguments; do
        while [[ $(< "/proc/$pid/stat") == *") "[RSD]" "* ]]; do sleep 0.01; done 2> /dev/null
        "$1" "$pid" "$arguments" || :
        kill -CONT "$pid" 2> /dev/null || :
    done
}

_fs_type() { blkid -p -s TYPE -o value "$1" || :; }

# Puts the file system with the data into $2: the image itself, or its last partition.
_last_partition() { # RAW PART
    local start count
    if [ -n "$(_fs_type "$1")" ]; then
        mv "$1" "$2"
        return
    fi
    read -r start count < <(sfdisk -d "$1" | tr -d ' ' | sed -n 's/^.*start=\([0-9]*\),size=\([0-9]*\),.*/\1 \2/p' | tail -n 1)
    [ -n "${count:-}" ] || fail "no file system and no partition in $1"
    dd if="$1" of="$2" bs=512 skip="$start" count="$count" conv=sparse status=none
}

_mount_and_copy() { # TYPE FS NAME FILE: in a mount namespace of its own, so that nothing stays mounted
    local options=loop
    [ "$1" != xfs ] || options=loop,nouuid
    # shellcheck disable=SC2016 # for the inner shell
    unshare -m sh -c 'mkdir -p /run/kvss-image && mount -t "$1" -o "$2" "$3" /run/kvss-image && cat "/run/kvss-image/$4"' \
        sh "$1" "$options" "$2" "$3" > "$4"
}

# image_file IMAGE NAME FILE: copies the file /NAME of the image's file system to FILE. Fails if the file
# system is damaged (beyond what its journal repairs).
image_file() {
    local dir type status=0
    dir=$(mktemp -d)
    image_raw "$1" "$dir/raw"
    _last_partition "$dir/raw" "$dir/fs"
    type=$(_fs_type "$dir/fs")
    case $type in
    ext4)
        e2fsck -fp "$dir/fs" > "$dir/log" 2>&1 || status=$?
        [ "$status" -le 1 ] || fail "$1: e2fsck: $(cat "$dir/log")"
        debugfs -R "dump /$2 $3" "$dir/fs" > "$dir/log" 2>&1
        [ -e "$3" ] || fail "$1: no /$2 in it: $(cat "$dir/log")"
        ;;
    xfs | btrfs | vfat) _mount_and_copy "$type" "$dir/fs" "$2" "$3" || fail "$1: cannot read /$2 in its $type" ;;
    *) fail "$1: cannot look into ${type:-an unknown file system} (LVM: see inspect_tokens)" ;;
    esac
    rm -r "$dir"
}

# image_tokens IMAGE_A [IMAGE_B]: prints what is in their token files (B's are in IMAGE_A if no other is named):
#   a=LAST b=LAST previous=(the one before the last on A) records_a= records_b= counter= bootid= torn= corrupt= order=ok
# Fails if the order A, then B, does not hold, or a file system is damaged.
image_tokens() {
    local dir
    dir=$(mktemp -d)
    image_file "$1" tokens.a "$dir/a"
    image_file "${2:-$1}" tokens.b "$dir/b"
    guestctl records "$dir/a" "$dir/b"
    rm -r "$dir"
}

# assert_set_order LINE...: one line of image_tokens or guest_tokens per VM, in the order of token_drive: the
# whole set is of one instant if the last token falls by no more than one step from the first disk to the last.
assert_set_order() {
    local line n last='' lowest
    lowest=$(field previous "$1")
    for line; do
        for n in $(field a "$line") $(field b "$line"); do
            [ -z "$last" ] || assert_le "$n" "$last" "token order over the set"
            assert_ge "$n" "$lowest" "token order over the set"
            last=$n
        done
    done
}

# inspect_tokens WORDS IMAGE...: like image_tokens, for what only a guest can read (LVM): boots the images,
# without writing to them, in a QEMU of their own; WORDS are the guest's, e.g. 'kvss.vda=lvm kvss.vdb=lvm'.
inspect_tokens() {
    local dir image format args=()
    dir=$(mktemp -d)
    for image in "${@:2}"; do
        format=$(qemu-img info -U --output=json "$image" | sed -n '/^    "format"/s/.*: "\(.*\)".*/\1/p')
        args+=(-drive "file=$image,format=$format,if=virtio,snapshot=on,file.locking=off")
    done
    qemu-system-x86_64 -accel "${GUEST_TYPE/qemu/tcg}" -cpu max -m 256 -nodefaults -no-reboot -display none \
        -serial file:"$dir/console" -kernel "$GUEST_DIR/vmlinux" -initrd "$GUEST_DIR/initrd-full" \
        -append "console=ttyS0 quiet panic=-1 random.trust_cpu=on kvss.agent=no kvss.tokens=off $1" \
        "${args[@]}" -device virtio-serial -chardev "socket,id=c,path=$dir/shell,server=on,wait=off" \
        -device virtserialport,chardev=c,name=org.kvss.shell < /dev/null &
    local pid=$!
    guestctl -t 60 wait "$dir/shell" || fail "the inspecting guest does not answer: $(tail -n 5 "$dir/console")"
    guestctl sh "$dir/shell" 'cat /mnt/*/tokens.a' > "$dir/a"
    guestctl sh "$dir/shell" 'cat /mnt/*/tokens.b' > "$dir/b"
    guestctl sh "$dir/shell" 'poweroff -f' 2> /dev/null || :
    wait "$pid" || :
    guestctl records "$dir/a" "$dir/b"
    rm -r "$dir"
}
