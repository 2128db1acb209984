# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_guest.sh: test guests. Sourced by functions.sh.

# guest_image PATH SIZE [FORMAT]: an empty image (qcow2 unless said otherwise).
guest_image() { as_owner qemu-img create -q -f "${3:-qcow2}" "$1" "$2"; }

# _guest_disk PATH SIZE FORMAT LAYOUT NUMBER NAME: the image of a VM's disk: empty, for the guest to format, or a copy of one that a guest has
# formatted, with which a start takes half a second less (lib/saved-boots).
_guest_disk() {
    local ready number
    number=$(cksum <<< "$6")
    ready=$SAVED_BOOTS/formatted/$(((${number%% *} + $5) % 4)).$3
    if [ "$4 $2 $SESSION" = "ext4 64M no" ] && [ -n "$SAVED_BOOTS" ] && [ -e "$ready" ]; then
        cp --reflink=auto "$ready" "$1"
    else
        guest_image "$1" "$2" "$3"
    fi
}

_xml() { sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/"/\&quot;/g' <<< "$1"; }

_disk_size() { # LAYOUT: the least that its mkfs takes, roughly
    case $1 in xfs) echo 320M ;; btrfs) echo 128M ;; *) echo 64M ;; esac
}

_disk_xml() { # PATH FORMAT TARGET BUS
    printf '<disk type="file" device="disk"><driver name="qemu" type="%s"/><source file="%s"/>' "$2" "$(_xml "$1")"
    printf '<target dev="%s" bus="%s"/></disk>\n' "$3" "$4"
}

# name of the Nth disk (from 0) on a bus, as guest and libvirt call it
_disk_name() {
    local letters=abcdefghijklmnopqrstuvwxyz prefix=vd
    [ "$2" = virtio ] || prefix=sd
    echo "$prefix${letters:$1:1}"
}

# The guest's kernel signed with the key that Debian's firmware for tests trusts; made once in a sandbox.
_signed_kernel() {
    local signed=$SANDBOX/vmlinuz.signed key=/usr/share/ovmf/PkKek-1-snakeoil
    if [ ! -e "$signed" ]; then
        (umask 077 && openssl rsa -in $key.key -passin pass:snakeoil -out "$SANDBOX/snakeoil.key" 2> /dev/null)
        sbsign --key "$SANDBOX/snakeoil.key" --cert $key.pem --output "$signed" "$GUEST_DIR/vmlinuz" > /dev/null 2>&1
        chmod 644 "$signed"
    fi
    echo "$signed"
}

_os_xml() { # FIRMWARE INITRD WORDS
    local kernel=$GUEST_DIR/vmlinux machine=pc ovmf=/usr/share/OVMF/OVMF
    case $1 in
    efi)
        kernel=$GUEST_DIR/vmlinuz machine=q35
        echo '<os firmware="efi"><firmware><feature enabled="no" name="secure-boot"/></firmware>' ;;
    secure)
        kernel=$(_signed_kernel) machine=q35
        echo "<os><loader readonly=\"yes\" secure=\"yes\" type=\"pflash\">${ovmf}_CODE_4M.snakeoil.fd</loader>"
        echo "<nvram template=\"${ovmf}_VARS_4M.snakeoil.fd\"/>" ;;
    *) echo '<os>' ;;
    esac
    echo "<type arch=\"x86_64\" machine=\"$machine\">hvm</type>"
    echo "<kernel>$kernel</kernel><initrd>$GUEST_DIR/$2</initrd>"
    echo "<cmdline>console=ttyS0 quiet panic=-1 random.trust_cpu=on audit=0 no_timer_check cryptomgr.notests $(_xml "$3")</cmdline></os>"
}

# guest_xml NAME [OPTION=VALUE...]: prints the definition; the options are guest_define's.
# shellcheck disable=SC2153 # IMAGES is from functions.sh
guest_xml() {
    local name=$1 option i disk layout format path initrd=initrd words='' disks_xml='' nics_xml='' cpu=maximum
    local agent=yes disks=1 fs=ext4 formats=qcow2 size='' images='' net='' mem=192 firmware=bios tokens=free
    local bus=virtio extra='' more='' channels='' uuid='' vcpus=1 dir=$IMAGES tpm=no features=''
    shift
    for option; do
        case $option in
        agent=* | disks=* | fs=* | size=* | images=* | net=* | mem=* | firmware=* | tokens=* | bus=* | extra=* | \
            uuid=* | vcpus=* | dir=* | tpm=*) printf -v "${option%%=*}" %s "${option#*=}" ;;
        format=*) formats=${option#*=} ;;
        words=*) more=${option#*=} ;;
        *) fail "guest_define: no such option: $option" ;;
        esac
    done
    [[ $fs != *,* ]] || disks=$(tr , '\n' <<< "$fs" | wc -l)
    for ((i = 0; i < disks; i++)); do
        disk=$(_disk_name "$i" "$bus")
        layout=$(_nth "$fs" "$i") format=$(_nth "$formats" "$i") path=$(_nth "$images" "$i" only)
        path=${path:-$dir/$name-$disk.$format}
        [ -e "$path" ] || _guest_disk "$path" "${size:-$(_disk_size "$layout")}" "$format" "$layout" "$i" "$name"
        disks_xml+=$(_disk_xml "$path" "$format" "$disk" "$bus")
        words+=" kvss.$disk=$layout"
        case $layout in ext4 | none) ;; *) initrd='initrd-full' ;; esac
    done
    [ "$bus" = virtio ] && [ -z "$net" ] && [[ $extra != *"<interface"* ]] || initrd='initrd-full'
    for i in ${net//,/ }; do
        nics_xml+="<interface type=\"network\"><source network=\"$i\"/><model type=\"virtio\"/></interface>"
    done
    if [ "$tpm" = yes ]; then
        # its driver is in the kernel; without ACPI (a BIOS guest's kernel is started directly) it must be told to look
        extra+='<tpm model="tpm-tis"><backend type="emulator" version="2.0"/></tpm>' initrd='initrd-full'
        [ "$firmware" != bios ] || words+=' tpm_tis.force=1'
    fi
    [ "$firmware" = bios ] || [ "$mem" != 192 ] || mem=320
    if [ "$firmware" = secure ]; then
        features='<smm state="on"/>'
        [ "$mem" != 320 ] || mem=512
    fi
    [ "$initrd" = initrd ] || [ "$mem" != 192 ] || mem=256
    case $agent in
    yes) channels=org.qemu.guest_agent.0 ;;
    silent) channels=org.qemu.guest_agent.0 words+=" kvss.agent=no" ;;
    no) words+=" kvss.agent=no" ;;
    *) fail "guest_define: agent=yes|no|silent" ;;
    esac
    [ "$GUEST_TYPE" != kvm ] || cpu=host-passthrough
    cat <<END
<domain type="$GUEST_TYPE">
<name>$name</name>${uuid:+<uuid>$uuid</uuid>}
<memory unit="MiB">$mem</memory><vcpu>$vcpus</vcpu><cpu mode="$cpu"/>
$(_os_xml "$firmware" "$initrd" "kvss.tokens=$tokens$words $more")
<features><acpi/><apic/>$features</features><clock offset="utc"/>
<devices>
$disks_xml
$nics_xml
$(for i in $channels org.kvss.shell org.kvss.token; do
        echo "<channel type=\"unix\"><target type=\"virtio\" name=\"$i\"/></channel>"
    done)
$([ "$bus" != scsi ] || echo '<controller type="scsi" model="virtio-scsi"/>')
<controller type="usb" model="none"/><memballoon model="none"/>
<serial type="pty"><log file="$(_console_log "$name")" append="on"/></serial>
$extra
</devices></domain>
END
}

# the Nth (from 0) of a comma list; the last one stands for those that are missing, unless "only" is said
_nth() {
    local items
    IFS=, read -ra items <<< "$1"
    [ ${#items[@]} -gt 0 ] || return 0
    if [ "$2" -lt ${#items[@]} ]; then echo "${items[$2]}"; elif [ -z "${3:-}" ]; then echo "${items[-1]}"; fi
}

_console_log() {
    if [ "$SESSION" = yes ]; then echo "/run/kvss-test/$1.console"; else echo "/var/log/libvirt/qemu/$1.console"; fi
}

# guest_define NAME [OPTION=VALUE...]: makes the disks that are not there yet and defines the VM. Options:
#   agent=yes|no|silent   with the guest agent; without its channel; with the channel and no agent behind it
#   disks=N fs=LAYOUT,... format=qcow2|raw,... size=64M images=PATH,... dir=FOLDER bus=virtio|scsi|sata
#                         (layouts: tests/guest/init; the last of a list holds for the rest)
#   tpm=yes               an emulated TPM 2.0 (guestd tpm)
#   tokens=free|driven|off   net=NETWORK,...   mem=MiB   vcpus=N   firmware=bios|efi|secure (NVRAM; Secure Boot)   uuid=UUID
#   words='kvss.hook=yes ...'  more for the guest's command line       extra='<disk ...>'  more devices
guest_define() {
    guest_xml "$@" > "$SANDBOX/$1.xml"
    chmod 644 "$SANDBOX/$1.xml"
    virsh define --validate "$SANDBOX/$1.xml" > /dev/null
    guest_remember_disks "$1"
}

# guest_remember_disks NAME: the disks it has now are the ones it should have (assert_nothing_left).
guest_remember_disks() {
    mkdir -p "$SANDBOX/disks"
    virsh -q domblklist "$1" --inactive > "$SANDBOX/disks/$1"
}

# guest_port NAME PORT: pattern of the socket's path; the VM's changing id is in it
guest_port() {
    local dir=/var/lib/libvirt/qemu
    [ "$SESSION" = no ] || dir=/run/kvss-test/.config/libvirt/qemu
    echo "$dir/channel/target/domain-[0-9]*-${1:0:20}/org.kvss.$2"
}

# guest_wait NAME [SECONDS]: until the guest answers, and its agent if it has one.
guest_wait() {
    local errors
    guestctl -t "${2:-60}" wait "$(guest_port "$1" shell)" || fail "$1 does not answer"
    errors=$(guest_sh "$1" cat /run/kvss/errors)
    [ -z "$errors" ] || fail "$1 did not set itself up: $errors"
    if guest_sh "$1" 'pidof qemu-ga' > /dev/null; then poll 20 guest_agent "$1" guest-ping; fi
}

# guest_sh NAME COMMAND...: runs the words as one shell command in the guest; output and status are its.
guest_sh() { guestctl -t "${GUEST_TIMEOUT:-20}" sh "$(guest_port "$1" shell)" "${*:2}"; }

# guest_agent NAME COMMAND [JSON-ARGUMENTS]: asks the guest agent; prints its answer.
guest_agent() {
    virsh -q qemu-agent-command "$1" --timeout "${GUEST_TIMEOUT:-10}" "{\"execute\":\"$2\"${3:+,\"arguments\":$3}}"
}

# guest_status NAME [FIELD]: counter, bootid, a and b (last tokens), boot_a and boot_b (those it found when it
# started), errno. All as FIELD=VALUE, or the value of one.
guest_status() {
    local all
    all=$(guest_sh "$1" guestd status)
    if [ $# = 1 ]; then echo "$all"; else field "$2" "$all"; fi
}
guest_counter() { guest_status "$1" counter; }
guest_bootid() { guest_status "$1" bootid; }

# guest_tokens NAME: the last tokens in the guest's files, in the form of image_tokens. The workload is held
# meanwhile, so that A and B are of one instant.
guest_tokens() {
    guest_sh "$1" 'killall -STOP tokens; cat /mnt/*/tokens.a' > "$SANDBOX/$1.tokens.a"
    guest_sh "$1" 'cat /mnt/*/tokens.b; killall -CONT tokens' > "$SANDBOX/$1.tokens.b"
    guestctl records "$SANDBOX/$1.tokens.a" "$SANDBOX/$1.tokens.b"
}

# field NAME LINE: the value of NAME=VALUE in the line
field() {
    local word
    for word in $2; do
        if [ "${word%%=*}" = "$1" ]; then echo "${word#*=}" && return; fi
    done
    fail "no $1 in: $2"
}

# guest_stop NAME: shuts down cleanly and waits
guest_stop() {
    guest_sh "$1" '(sleep 0.2; shutdown) > /dev/null 2>&1 &'
    poll 30 _is_off "$1"
}
_is_off() { [ "$(vm_state "$1")" = "shut off" ]; }

# vm_state NAME: running, paused, shut off ...; "shut off, saved" with a managed save image; "gone" if not defined
vm_state() {
    local info state
    info=$(virsh -q dominfo "$1" 2> /dev/null) || { echo gone && return; }
    [[ $info =~ State:\ +([^$'\n']+) ]]
    state=${BASH_REMATCH[1]}
    [[ ! $info =~ Managed\ save:\ +yes ]] || state+=", saved"
    echo "$state"
}
assert_state() { assert_eq "$(vm_state "$1")" "$2" "state of $1"; }

# assert_counts NAME: the guest runs: its counter rises
assert_counts() { poll 20 _counter_past "$1" "$(guest_counter "$1")"; }
_counter_past() { [ "$(guest_counter "$1")" -gt "$2" ]; }

# network_define NAME [ADDRESS]: an isolated libvirt network, started; with an address (a /24) DHCP too
network_define() {
    local ip=''
    [ -z "${2:-}" ] || ip="<ip address=\"$2\" netmask=\"255.255.255.0\"><dhcp><range start=\"${2%.*}.100\" end=\"${2%.*}.200\"/></dhcp></ip>"
    echo "<network><name>$1</name>$ip</network>" > "$SANDBOX/net-$1.xml"
    virsh -q net-define "$SANDBOX/net-$1.xml" > /dev/null
    virsh -q net-start "$1" > /dev/null
}

# ---- tokens driven from the host ------------------------------------------------------------------------

# token_drive NAME...: sends rising tokens to the VMs (tokens=driven), each to the first, then to the second and
# so on, the next only when the one before has answered: so at one instant every disk of the set, in that
# order, has the same last token or one less. Runs in the background until token_drive_stop; it waits for a
# guest that is frozen, paused, saved or off. Its log is $DRIVE_LOG. Between two rounds it pauses for TOKEN_PAUSE_MS:
# TOKENS_OFTEN shows instants that differ by little, and costs a good part of a processor; the default is enough to see that guests write.
TOKENS_OFTEN=40
[ -z "${KVSS_TEST_FULL:-}" ] || TOKENS_OFTEN=5
token_drive() {
    local name ports=()
    for name; do ports+=("$(guest_port "$name" token)"); done
    DRIVE_LOG=$SANDBOX/drive.log
    DRIVE_LAST=$(($# - 1))
    "$(_guestctl_path)" -p "${TOKEN_PAUSE_MS:-200}" -l "$DRIVE_LOG" drive "${ports[@]}" &
    DRIVE_PID=$!
    cleanup_fn token_drive_stop
    poll 20 test -s "$DRIVE_LOG"
}

token_drive_stop() {
    [ -n "${DRIVE_PID:-}" ] || return 0
    kill "$DRIVE_PID" 2> /dev/null || :
    wait "$DRIVE_PID" 2> /dev/null || :
    DRIVE_PID=
}

# token_acked: the last token that all of the driven VMs have written
token_acked() { awk -v last="$DRIVE_LAST" '$2 == last { n = $3 } END { print n + 0 }' "$DRIVE_LOG"; }

_token_past() { [ "$(token_acked)" -gt "$1" ]; }

# assert_tokens_flow: the driven VMs all go on writing
assert_tokens_flow() { poll 20 _token_past "$(token_acked)"; }

# what a failed test shows of its guests
_show_guests() {
    local log
    command -v virsh > /dev/null && virsh -q list --all 2> /dev/null
    for log in /var/log/libvirt/qemu/*.console /run/kvss-test/*.console; do
        [ -s "$log" ] || continue
        echo "--- $log"
        tail -n 8 "$log"
    done
    return 0
}

# bare_define NAME: a VM with one disk, NAME.qcow2, and nothing that boots
bare_define() {
    guest_image "$IMAGES/$1.qcow2" 4M
    virsh -q define /dev/stdin > /dev/null <<XML
<domain type="$GUEST_TYPE"><name>$1</name><memory unit="MiB">16</memory><vcpu>1</vcpu>
<os><type arch="x86_64" machine="pc">hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type="file" device="disk"><driver name="qemu" type="qcow2"/><source file="$IMAGES/$1.qcow2"/><target dev="vda" bus="virtio"/></disk>
<controller type="usb" model="none"/><memballoon model="none"/></devices></domain>
XML
}

# overwrite_vdb NAME FILE: the guest overwrites its disk vdb, of 96 MiB, as fast as it can; FILE is there with what dd said when it has
overwrite_vdb() {
    rm -f "$2"
    (GUEST_TIMEOUT=200 guest_sh "$1" 'dd if=/dev/zero of=/dev/vdb bs=256k count=384 oflag=direct 2>&1; echo status $?' > "$2.part" 2>&1
        mv "$2.part" "$2") &
}
