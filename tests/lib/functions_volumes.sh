# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_volumes.sh: file systems of which providers make shadow copies. Sourced by functions_kvss.sh.
#
# With KVSS_TEST_PROVIDER=btrfs, reflink or lvm, which tests/run sets, a test runs with that provider in place of `qemu`: the disks lie on such a
# file system (reflink: XFS; reflink-btrfs: btrfs; lvm: ext4 on a thin volume; lvm-classic: XFS on a classic one), and the configuration asks
# for it. Its assertions are the same.

# volume_make TYPE FOLDER [SIZE]: a file system of that type, in a file, mounted there; closed to others as libvirt's folder for images is
volume_make() {
    local image
    mkdir -p "$2"
    image=$(mktemp "$SANDBOX/volume.XXXXXX")
    truncate -s "${3:-4G}" "$image"
    case $1 in
    btrfs) mkfs.btrfs -q "$image" ;;
    xfs) mkfs.xfs -q "$image" ;;
    *) fail "volume_make: $1" ;;
    esac
    mount -o loop "$image" "$2" 2> "$SANDBOX/stderr" || skip "$1 cannot be mounted: $(cat "$SANDBOX/stderr")"
    cleanup_fn umount -l "$2"
    chmod 711 "$2"
}

# lvm_group [SIZE]: a volume group in a file; $GROUP is its name. Nobody here waits for udev, which would make the device nodes.
lvm_group() {
    local file loop
    # shellcheck disable=SC2015 # no module is needed where it is built in
    modprobe -q -a dm-mod dm-snapshot dm-thin-pool loop 2> /dev/null || :
    dmsetup version > /dev/null 2>&1 || other_kernel "no device mapper, so no LVM"
    command -v thin_check > /dev/null || skip "thin_check is missing: run make deps"
    mkdir -p /etc/lvm
    echo 'activation { udev_sync = 0 udev_rules = 0 verify_udev_operations = 1 }' > /etc/lvm/lvmlocal.conf
    file=$(mktemp "$SANDBOX/group.XXXXXX")
    truncate -s "${1:-4G}" "$file"
    loop=$(losetup --find --show "$file")
    cleanup_fn losetup --detach "$loop"
    # shellcheck disable=SC2034 # for the tests
    GROUP=kvss$$
    pvcreate -q "$loop" > /dev/null
    vgcreate -q "$GROUP" "$loop" > /dev/null
    cleanup_fn group_remove
}

group_remove() { vgremove -f -q "$GROUP" > /dev/null 2>&1; } # it may still be in use; this kernel ends anyway

# volume_logical TYPE FOLDER NAME: the file system on the logical volume, mounted there
volume_logical() {
    mkdir -p "$2"
    "mkfs.$1" -q "/dev/$GROUP/$3"
    mount "/dev/$GROUP/$3" "$2"
    cleanup_fn umount -l "$2"
    chmod 711 "$2"
}

# what kvss.conf says of it
volumes_conf() { echo "provider = ${KVSS_TEST_PROVIDER%-*}"; }

volumes_setup() {
    case ${KVSS_TEST_PROVIDER:-} in
    '') return ;;
    btrfs | reflink-btrfs) volume_make btrfs "$IMAGES" ;;
    reflink) volume_make xfs "$IMAGES" ;;
    lvm)
        lvm_group
        lvcreate -q -T "$GROUP/pool" -L 3500M > /dev/null
        lvcreate -q -T "$GROUP/pool" -V 2G -n images > /dev/null
        volume_logical ext4 "$IMAGES" images
        ;;
    lvm-classic)
        lvm_group
        lvcreate -q "$GROUP" -L 2G -n images > /dev/null
        volume_logical xfs "$IMAGES" images
        ;;
    *) fail "KVSS_TEST_PROVIDER=$KVSS_TEST_PROVIDER" ;;
    esac
    mkdir -p /etc/kvss
    volumes_conf >> /etc/kvss/kvss.conf
}
