# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_chain.sh: chains of restore points, and what the disks really held. Sourced by tests after functions_kvss.sh.

# truth LABEL NAME TARGET...: keeps what the VM's disks hold now; the guest must have flushed what it wrote and leave them alone
truth() {
    local label=$1 name=$2 target
    shift 2
    for target; do image_raw "$(disk_path "$name" "$target")" "$SANDBOX/$label-$name-$target.truth"; done
}
disk_path() { virsh -q domblklist "$1" | awk -v target="$2" '$1 == target { print $2 }'; }

# assert_truth LABEL NAME TARGET...: the disks hold now what they held then, byte for byte
assert_truth() {
    local label=$1 name=$2 target
    shift 2
    for target; do
        image_raw "$(disk_path "$name" "$target")" "$SANDBOX/now.raw"
        cmp "$SANDBOX/now.raw" "$SANDBOX/$label-$name-$target.truth" || fail "$name $target is not what it was at $label"
    done
}

# assert_restored POINT LABEL NAME TARGET...: a restore of the VM brings back exactly that
assert_restored() {
    kvss restore --yes "$1" "$3" --quiet > "$SANDBOX/restore.log" 2>&1 || fail "restore of $2: $(cat "$SANDBOX/restore.log")"
    assert_truth "${@:2}"
}

# guest_write NAME DEVICE BLOCKSIZE SEEK COUNT [SOURCE]: written through to the image when it returns
guest_write() {
    guest_sh "$1" "dd if=${6:-/dev/urandom} of=/dev/$2 bs=$3 seek=$4 count=$5 conv=fsync,notrunc 2> /dev/null"
}

# assert_type NAME TYPE [WHY]: what the VM got in the last backup; without WHY it is what was asked for, or was the best there is
assert_type() {
    assert_report_vm "$1" .type "$2"
    if [ -n "${3:-}" ]; then
        assert_match "$(report_vm "$1" '[.why_type, (.whole[] | .target + ": " + .why)] | join("; ")')" "$3" "why $1 got $2"
    fi
}

# checkpoints NAME: of all repositories, one per line
checkpoints() { virsh -q checkpoint-list "$1" --name | sed '/^$/d' | sort; }
assert_checkpoints() { assert_eq "$(checkpoints "$1" | wc -l)" "$2" "number of checkpoints of $1"; }

# vm_kill NAME: the end of its QEMU by SIGKILL
vm_kill() {
    kill -9 "$(cat "/run/libvirt/qemu/$1.pid")"
    poll 20 _is_off "$1"
}

# chain_fresh NAME DISK...: an increment may follow: the running guest has written to each disk, and a backup is made; $CHECKPOINT
chain_fresh() {
    local disk name=$1
    shift
    for disk; do guest_write "$name" "$disk" 64k 40 1; done
    backup "$name"
    export CHECKPOINT
    CHECKPOINT=$(report_vm "$name" .checkpoint)
}

# assert_doubted LABEL NAME TYPE WHY "DISK..." "WHOLE...": the next backup gets that type for that reason and reads these disks
# whole. The truth of all disks is kept as LABEL; the point is in $POINTS[LABEL].
declare -A POINTS=()
assert_doubted() {
    local name=$2 type=$3 why=$4 all
    read -ra all <<< "$5"
    truth "$1" "$name" "${all[@]}"
    backup "$name"
    POINTS[$1]=$POINT # shellcheck disable=SC2153 # the one of backup()
    assert_type "$name" "$type" "$why"
    assert_eq "$(report_vm "$name" '[.whole[].target] | join(" ")')" "$6" "disks read whole ($1)"
    note "$1: $type, whole: $6: $(report_vm "$name" '[.why_type, .whole[0].why] | map(select(.)) | join("; ")' | cut -c 1-110)"
}

# assert_points_true NAME "DISK..." LABEL...: each of these points comes back as its truth
assert_points_true() {
    local label name=$1 all
    read -ra all <<< "$2"
    shift 2
    for label; do assert_restored "${POINTS[$label]}" "$label" "$name" "${all[@]}"; done
}
