# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_boot.sh: guests that need not boot. Sourced by functions.sh.
#
# Without KVM a kernel takes seconds to start. So guests with the usual devices were started once (tests/lib/saved-boots) and saved while
# they were held, before they looked at any disk (tests/guest/init). guest_start hands libvirt a copy of that memory as the managed save image
# of the VM, then tells the guest the time, random numbers and the words of its own kernel command line; disks, file systems, agent and
# tokens come after that, and are its own. What has no such memory, or does not go on from it, boots; so does all that virsh starts.

SAVED_BOOTS=${KVSS_SAVED_BOOTS:-} # tests/run says where; empty: every guest boots
SAVE_DIR=/var/lib/libvirt/qemu/save

guest_start() { _resume "$@" || virsh start "$@" > /dev/null; }

_boot_programs() { echo "$GUEST_ID $(stat -c '%Y %s' /usr/bin/qemu-system-x86_64 /usr/sbin/libvirtd | tr '\n' ' ')"; }

# The parts of the definition on stdin that the memory of a held guest depends on: devices and kernel, not names, places and contents.
_boot_topology() {
    _boot_programs
    sed -E -e '/^  <(name|uuid|title|description)>/d' -e '/^  <metadata>/,/^  <\/metadata>/d' -e "s|$GUEST_DIR/||" \
        -e 's/ kvss\.[^ <]*//g; s/ +<\/cmdline>/<\/cmdline>/' -e '/^      <log file=/d' \
        -e "/^    <disk /,/^    <\/disk>/{/<source file=/d; s/ (name|type|cache|io|discard)='[^']*'//g}"
}

# Whether a definition has only devices whose state at that moment is the same in every VM.
_boot_usual() { # DEFINITION
    local line device='^    <([a-z]+)'
    [[ $1 == *"<kernel>$GUEST_DIR/vmlinux</kernel>"* ]] && [[ $1 == *org.kvss.shell* ]] || return 1
    while IFS= read -r line; do
        [[ $line =~ $device ]] || continue
        case $line in
        "    <disk type='file' device='disk'>" | "    <disk type='file' device='cdrom'>") ;;
        '    <emulator>'* | '    <controller '* | '    <serial '* | '    <console '* | '    <channel '*) ;;
        '    <input '* | '    <audio '* | '    <memballoon '*) ;;
        *) return 1 ;;
        esac
    done < <(sed -n '/^  <devices>/,/^  <\/devices>/p' <<< "$1")
}

_boot_key() { _boot_topology <<< "$1" | sha256sum | cut -c 1-20; }

# the numbers as a file of libvirt's has them
_u32() {
    local i bytes
    for i; do
        printf -v bytes '\\x%02x' $((i & 255)) $((i >> 8 & 255)) $((i >> 16 & 255)) $((i >> 24 & 255))
        printf '%b' "$bytes"
    done
}

# A file as `virsh save` makes it (struct _virQEMUSaveHeader in libvirt's src/qemu/qemu_saveimage.h)
_save_image() { # DEFINITION FOLDER
    local LC_ALL=C xml=$1 cookie
    cookie=$(< "$2/cookie")
    printf LibvirtQemudSave
    _u32 2 $((${#xml} + 1 + ${#cookie} + 1)) 1 0 $((${#xml} + 1)) 0 0 0 0 0 0 0 0 0 0 0 0 0 0
    printf '%s\0%s\0' "$xml" "$cookie"
    cat "$2/memory"
}

# _resume NAME: fails where the VM has to boot.
_resume() {
    local name=$1 said xml key words save=$SAVE_DIR/$1.save
    [ $# = 1 ] && [ -d "$SAVED_BOOTS" ] && [ "$GUEST_TYPE" = qemu ] && [ "$SESSION" = no ] && [ ! -e "$save" ] || return 1
    said=$(virsh -q "domstate '$name'; dumpxml '$name' --inactive --security-info" 2> /dev/null) || return 1
    [[ $said == "shut off"* ]] && xml=${said#*$'\n'} && xml="<domain${xml#*<domain}" && _boot_usual "$xml" || return 1
    key=$(_boot_key "$xml")
    if [ ! -e "$SAVED_BOOTS/$key/memory" ]; then
        echo >&2 "$name boots: there is no $SAVED_BOOTS/$key"
        return 1
    fi
    words=$(sed -n 's|^ *<cmdline>\(.*\)</cmdline>$|\1|p' <<< "$xml")
    [[ $words != *"&"* ]] || return 1
    (umask 077 && _save_image "$xml" "$SAVED_BOOTS/$key" > "$save") || return 1
    ! virsh -q start "$name" || ! guestctl -t 15 boot "$(guest_port "$name" shell)" "$words" || return 0
    echo >&2 "$name boots: it does not go on from $SAVED_BOOTS/$key"
    virsh -q destroy "$name" || :
    rm -f "$save"
    return 1
}

# guest_save_boot NAME: starts the VM (words=kvss.boot=held), and keeps its memory for those with the same devices.
guest_save_boot() {
    local xml key folder=$SANDBOX/saved-boot image=$SANDBOX/saved-boot.image length cookie
    xml=$(virsh -q dumpxml "$1" --inactive --security-info)
    _boot_usual "$xml" || fail "$1 has devices of which guest_start knows nothing"
    key=$(_boot_key "$xml")
    [ ! -e "$SAVED_BOOTS/$key" ] || return 0
    virsh -q start "$1"
    guestctl -t 60 wait "$(guest_port "$1" shell)" || fail "$1 does not answer"
    virsh -q save "$1" "$image"
    length=$(od -An -t u4 -j 20 -N 4 "$image") cookie=$(od -An -t u4 -j 32 -N 4 "$image")
    mkdir -p "$folder" "$SAVED_BOOTS"
    head -c $((92 + length)) "$image" | tail -c $((length - cookie)) | tr -d '\000' > "$folder/cookie"
    tail -c +$((92 + length + 1)) "$image" > "$folder/memory"
    _boot_topology <<< "$xml" > "$folder/topology"
    cp -r "$folder" "$SAVED_BOOTS/$key.new"
    mv -T "$SAVED_BOOTS/$key.new" "$SAVED_BOOTS/$key"
    rm -r "$folder" "$image"
}
